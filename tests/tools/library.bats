#!/usr/bin/env bats
# libmr as another program finds it: installed, and linked by pkg-config.

load ../lib/env

# make, as it made the build that is tested: its flags are not looked at.
build() { # ARGUMENT...
	env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS \
		make -s -C "$ROOT" -o "$O/flags" "O=$O" "$@"
}

setup_file() {
	is_plain || return 0 # bats 1.8 cannot skip here
	build install "DESTDIR=$BATS_FILE_TMPDIR" prefix=/opt/mr
}

setup() {
	is_plain || skip "sanitizers add symbols"
	cd "$BATS_TEST_TMPDIR"
	inst=$BATS_FILE_TMPDIR/opt/mr
	export PKG_CONFIG_PATH=$inst/lib/pkgconfig
}

flags() { pkg-config --define-variable="prefix=$inst" --static "$@" libmr; }

@test "a program links the installed library" {
	cat >kind.c <<-'END'
	#include <stdio.h>
	#include <libmr/mr.h>

	int main(int argc, char **argv)
	{
		struct mr_error err = MR_ERROR_INIT;
		struct mr_image *img = argc == 2 ? mr_image_open(argv[1],
			MR_DIRECT_AUTO, NULL, &err) : NULL;

		puts(img ? mr_image_kind_name(mr_image_info(img)->kind) :
			   err.msg);
		mr_image_free(img);
		return !img;
	}
	END
	cc -std=c11 -Wall -Werror $(flags --cflags) -o kind kind.c \
		$(flags --libs)
	mkimage vm.mr
	run -0 ./kind vm.mr
	[ "$output" = mapped-ram ]
	run -1 ./kind nosuch.mr
	[ "$output" = "cannot open: No such file or directory" ]
}

@test "each public header can be included alone" {
	(cd "$inst/include" && find libmr -name '*.h') >headers
	(cd "$ROOT" && ls libmr/mr.h libmr/mr/*.h) | sort | diff - <(sort headers)
	while read -r h; do
		echo "#include <$h>" | cc -std=c11 -Wall -Wextra -Wpedantic \
			-Werror $(flags --cflags) -fsyntax-only -x c -
	done <headers
}

@test "its global symbols are exactly what the headers declare" {
	echo '#include <libmr/mr.h>' |
		cc -std=c11 $(flags --cflags) -E -P -x c - | tr '\n;{}' ' \n\n\n' |
		grep -v 'static inline' | grep -oE '\bmr_[a-z0-9_]+ *\(' |
		tr -d ' (' | sort -u >declared
	nm -g --defined-only "$inst/lib/libmr.a" |
		awk 'NF == 3 { print $3 }' | sort >defined
	[ "$(wc -l <declared)" -gt 30 ]
	diff declared defined
}

@test "the version and the folders are those of make" {
	[ "$(pkg-config --modversion libmr)" = "$(cat "$ROOT/VERSION")" ]
	build install "DESTDIR=$PWD/there" prefix=/usr libdir=/usr/lib/x \
		includedir=/usr/include/mr
	[ -e there/usr/lib/x/libmr.a ]
	[ -e there/usr/include/mr/libmr/mr/error.h ]
	export PKG_CONFIG_PATH=there/usr/lib/x/pkgconfig
	[ "$(pkg-config --variable=libdir libmr)" = /usr/lib/x ]
	[ "$(pkg-config --variable=includedir libmr)" = /usr/include/mr ]
}

@test "make says what is missing in one line" {
	run -2 env PKG_CONFIG_LIBDIR=/nonexistent make -s -C "$ROOT" "O=$PWD/o"
	echo "$output"
	grep -o '\*\*\*.*' <<<"$output" | diff - <(echo "*** missing:\
 libjansson-dev libxxhash-dev libzstd-dev zlib1g-dev libpopt-dev (see make deps).  Stop.")
	! grep -iv -e '\*\*\*' -e '^make.*directory' <<<"$output"
	run -2 make -s -C "$ROOT" "O=$PWD/o" CPPFLAGS=-nostdinc
	[[ $output == *"missing: libaio-dev (see"* ]]
	run -2 make -s -C "$ROOT" "O=$PWD/o" PKG_CONFIG=/nonexistent
	[[ $output == *"missing: pkg-config (see"* ]]
}

@test "make asks pkg-config for the compiler's flags too" {
	for p in popt jansson libxxhash libzstd zlib; do
		printf '%s\n' "Name: $p" "Description: $p" "Version: 1" \
			"Cflags: -DOF_$p" "Libs: -lof_$p" >"$p.pc"
	done
	run -0 env "PKG_CONFIG_LIBDIR=$PWD" \
		make -n -C "$ROOT" "O=$PWD/o" "$PWD/o/mrsave"
	[[ $output == *-DOF_popt*-c* ]]
	[[ $output == *-DOF_jansson*-c* ]]
	[[ $output == *mrsave*-lof_jansson* ]]
}

@test "the units: systemd takes them, and finds the service well locked up" {
	local units=$inst/lib/systemd/system
	[ "$(sed -n 's/^ExecStart=//p' "$units/mrsave@.service")" = \
		"/opt/mr/lib/mrtools/mrsave-nightly %i" ]
	[ -x "$inst/lib/mrtools/mrsave-nightly" ]
	grep -qx "Environment=PATH=/opt/mr/bin:.*" "$units/mrsave@.service"
	[ -z "$(grep -r '@[a-z]*@' "$units" "$inst/lib/mrtools")" ]
	[ -e "$inst/share/man/man7/mrbackup.7" ]
	command -v systemd-analyze >/dev/null || skip "no systemd-analyze"
	sed "s|/opt/mr|$inst|" "$units/mrsave@.service" >mrsave@web1.service
	cp "$units/mrsave@.timer" mrsave@web1.timer
	run -0 systemd-analyze verify --man=no ./mrsave@web1.{service,timer}
	# It warns of what it does not know.
	[[ $output != *mrsave@* ]]
	systemd-analyze security --offline=true --threshold=35 \
		./mrsave@web1.service >report || {
		cat report
		return 1
	}
}
