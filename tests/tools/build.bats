#!/usr/bin/env bats
# The Makefile, over a tree of a few small files: what is built again when, and
# what may be asked for at the same time.

load ../lib/env

# What was compiled: each object once in a make, and never two at a time.
compiler() {
	cat >compiler <<-'END'
	#!/bin/bash
	for a; do [[ $was != -o ]] || out=$a; was=$a; done
	[[ $* != *-E* ]] || exec cc "$@"
	mkdir "busy.${out//\//_}" || exit
	sleep 0.02
	cc "$@"
	status=$?
	rmdir "busy.${out//\//_}"
	echo "$out" >>compiled
	exit $status
	END
	chmod +x compiler
}

setup() {
	is_plain || skip "this is about no build of ours"
	cd "$BATS_TEST_TMPDIR"
	mkdir -p .ci formats libmr/mr libmr/one tools/common \
		tests/{tools,helpers,formats,libmr}
	cp "$ROOT/Makefile" "$ROOT/VERSION" .
	cp -r "$ROOT/tests/guest" tests
	cp -r "$ROOT/man" .
	cp "$ROOT/libmr/libmr.pc.in" libmr
	cp -r "$ROOT/tools/completion.bash" "$ROOT/tools/systemd" tools
	echo '#define ONE 1' >formats/one.h
	for f in formats/one libmr/one/two tools/common/three; do
		printf '#include "formats/one.h"\n%s\n' \
			"int ${f##*/}(void); int ${f##*/}(void) { return ONE; }" \
			>$f.c
	done
	echo 'int main(void) { return 0; }' | tee tools/mrone.c \
		tests/helpers/corral.c >tests/formats/one_test.c
	touch libmr/mr.h libmr/mr/mr.h
	printf '#!/bin/sh\nexec echo %s\n' checked >tests/check
	printf '#!/bin/sh\nexec echo %s\n' shown >tests/demo
	printf '#!/bin/sh\n[ "$1" = -n ] || : >installed\n' >.ci/deps
	chmod +x tests/check tests/demo .ci/deps
	compiler
}

# Nothing of the make that runs the tests is passed on.
build() { # ARGUMENT...
	rm -f compiled
	env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u O make -s CC=./compiler "$@"
}

@test "a header that changes is seen, however the folder is spelled" {
	build "O=$PWD/build/x" all
	for o in build/x ./build/x "$PWD/build/x" build/../build/x; do
		build "O=$o" all
		[ ! -e compiled ]
		touch -d 'now + 2 sec' formats/one.h
		build "O=$o" all
		grep -q 'formats/one\.o' compiled
		grep -q 'libmr/one/two\.o' compiled
		touch -d 'now - 1 hour' formats/one.h
	done
}

@test "goals at the same time share one build" {
	for goals in "check demo" "demo install check" \
		"all unit-tests helpers check" "deps check demo install"; do
		rm -rf build installed
		run -0 build -j8 $goals DESTDIR="$PWD/there"
		echo "$goals: $output"
		[ -z "$(sort compiled | uniq -d)" ]
		[[ $goals != *check* || $output == *checked* ]]
		[[ $goals != *demo* || $output == *shown* ]]
		[[ $goals != *install* || -x there/usr/local/bin/mrone ]]
		[[ $goals != *deps* || -e installed ]]
	done
}

@test "deps come first, and what they bring is used" {
	cat >pkg-config <<-'END'
	#!/bin/sh
	case $1 in --version) echo 1; exit ;; esac
	[ -e installed ] || exit 1
	case $1 in --cflags) echo -DINSTALLED ;; esac
	END
	chmod +x pkg-config
	printf '#!/bin/sh\n[ "$1" = -n ] || { sleep 0.3; : >installed; }\n' \
		>.ci/deps
	sed -i '1i #ifndef INSTALLED\n#error too early\n#endif' tools/mrone.c
	for goals in "deps all" "all deps" "deps check" "check deps install"; do
		rm -rf build installed
		run -0 build -j8 PKG_CONFIG=./pkg-config DESTDIR="$PWD/there" \
			$goals
	done
	# Without them it ends before anything is compiled.
	rm -rf build installed
	run -2 build -j8 PKG_CONFIG=./pkg-config check
	[[ $output == *"missing:"* ]]
	[ ! -e compiled ]
}

@test "what is missing for the tests is said before anything is built" {
	printf '#!/bin/sh\necho "deps: missing"; exit 1\n' >.ci/deps
	for goal in check demo; do
		run -2 build -j8 $goal
		[[ $output == *"deps: missing"* ]]
		[ ! -e compiled ]
	done
}

@test "clean goes where it stands" {
	for _ in 1 2; do
		build -j8 clean all unit-tests
		[ -x build/release/mrone ]
		build -j8 clean deps check
		[ -x build/release/mrone ]
		build -j8 all clean
		[ ! -e build ]
	done
}
