#!/usr/bin/env bats
# check-layers, on a copy of the tree in which one rule at a time is broken.

load ../lib/env

setup_file() {
	is_plain || return 0 # bats 1.8 cannot skip here
	cd "$BATS_FILE_TMPDIR"
	mkdir -p tree/tests tree/build
	cp -a "$ROOT"/formats "$ROOT"/libmr "$ROOT"/tools tree
	cp "$ROOT/tests/check-layers" tree/tests
	cd tree
	find formats libmr tools -name '*.c' | sed 's/c$/o/' |
		(cd "$O" && xargs cp --parents -t "$BATS_FILE_TMPDIR/tree/build")
}

setup() {
	is_plain || skip "sanitizers add symbols"
	cd "$BATS_TEST_TMPDIR"
	cp -al "$BATS_FILE_TMPDIR/tree" .
	cd tree
}

# A new file of the tree, with its object.
add() { # FILE LINE...
	mkdir -p "$(dirname "$1")" "$(dirname "build/$1")"
	printf '%s\n' "${@:2}" >"$1"
	[[ $1 != *.c ]] || cc -w -I. -D_GNU_SOURCE -c -o "build/${1%c}o" "$1"
}

# What was added is refused in these words, and nothing else is.
refused() { # LINE...
	run tests/check-layers build
	[ "$status" -eq 1 ]
	[ "${lines[0]}" = "against the layers:" ]
	diff <(printf '%s\n' "${lines[@]:1}" | tr -s ' ' | sort) \
		<(printf '%s\n' "$@" | sort)
}

@test "the tree as it is" {
	run -0 tests/check-layers build
	[ -z "$output" ]
}

@test "formats see nothing but formats" {
	add formats/a.c '#include "libmr/base/error.h"'
	add formats/b.h '#include "libmr/mr.h"'
	add formats/c.c 'void *malloc(unsigned long);
		void *c(void) { return malloc(8); }'
	refused "formats/a.c:1: formats may not see libmr/base\
 (libmr/base/error.h)" \
		"formats/b.h:1: formats may not see libmr/mr (libmr/mr.h)" \
		"formats/c.o: formats may not need malloc"
}

@test "a noun sees none above it, and no verb" {
	add libmr/file/a.c '#include "libmr/image/image.h"'
	add libmr/image/b.c '#include "libmr/verify/state.h"'
	add libmr/image/c.c 'int mr_verify(void);
		int c(void) { return mr_verify(); }'
	refused "libmr/file/a.c:1: libmr/file may not see libmr/image\
 (libmr/image/image.h)" \
		"libmr/image/b.c:1: libmr/image may not see libmr/verify\
 (libmr/verify/state.h)" \
		"libmr/image/c.o: libmr/image may not see libmr/verify\
 (mr_verify)"
}

@test "a verb does not see another" {
	add libmr/load/a.h '#include <libmr/save/state.h>'
	add libmr/load/b.c 'int mr_save(void);
		int b(void) { return mr_save(); }'
	refused "libmr/load/a.h:1: libmr/load may not see libmr/save\
 (libmr/save/state.h)" \
		"libmr/load/b.o: libmr/load may not see libmr/save (mr_save)"
}

@test "public headers see no private ones" {
	add libmr/mr/a.h '#include "libmr/base/error.h"'
	refused "libmr/mr/a.h:1: libmr/mr may not see libmr/base\
 (libmr/base/error.h)"
}

@test "libmr sees no tool, and neither prints nor exits" {
	add libmr/vm/a.c '#include "tools/common/cli.h"'
	add libmr/vm/b.c 'int puts(const char *);
		void exit(int);
		void b(void) { puts("no"); exit(1); }'
	refused "libmr/vm/a.c:1: libmr/vm may not see tools/common\
 (tools/common/cli.h)" \
		"libmr/vm/b.o: libmr may not need exit" \
		"libmr/vm/b.o: libmr may not need puts"
}

@test "tools see what is public of libmr" {
	add tools/inspect/a.c '#include "libmr/image/image.h"'
	add tools/inspect/b.c '#include "formats/bits.h"'
	add tools/inspect/c.c 'int error_set(void);
		int c(void) { return error_set(); }'
	add tools/inspect/d.c '#include "libmr/mr/image.h"' \
		'void d(void) { mr_image_free(NULL); }'
	refused "tools/inspect/a.c:1: tools/inspect may not see libmr/image\
 (libmr/image/image.h)" \
		"tools/inspect/b.c:1: tools/inspect may not see formats\
 (formats/bits.h)" \
		"tools/inspect/c.o: tools/inspect may not see libmr/base\
 (error_set)"
}

@test "what tools share knows no tool, nor does one tool know another" {
	add tools/common/a.c '#include "tools/diff/diff.h"'
	add tools/inspect/b.c '#include "tools/diff/diff.h"'
	refused "tools/common/a.c:1: tools/common may not see tools/diff\
 (tools/diff/diff.h)" \
		"tools/inspect/b.c:1: tools/inspect may not see tools/diff\
 (tools/diff/diff.h)"
}

@test "each folder is in the plan, and libmr has no file at its top" {
	add libmr/attic/a.c '#include "libmr/mr.h"'
	add libmr/b.c '#include "libmr/mr.h"'
	refused "libmr/attic/a.c:1: libmr/attic is not in the plan" \
		"libmr/b.c:1: libmr is not in the plan"
}

@test "a path is written in full" {
	add libmr/image/a.c '#include "../seal/sealed.h"'
	add libmr/image/b.c '  #  include "libmr/image/../vm/qmp.h"'
	add libmr/image/c.c '#include "image.h"'
	refused "libmr/image/a.c:1: libmr/image may not see ../seal/sealed.h" \
		"libmr/image/b.c:1: libmr/image may not see\
 libmr/image/../vm/qmp.h" \
		"libmr/image/c.c:1: libmr/image may not see image.h"
}

@test "a plan with a circle is none" {
	sed -i 's|^\(\tlibmr/base:.*\)|\1 file|' tests/check-layers
	refused "plan: libmr/base sees libmr/file, not below it" \
		"plan: libmr/base sees libmr/file, and does not use it"
}

@test "a permission that nobody uses is not in the plan" {
	sed -i 's|^\(\tlibmr/find:.*\)|\1 vm|' tests/check-layers
	refused "plan: libmr/find sees libmr/vm, and does not use it"
}

@test "an object that is missing is not passed over" {
	rm build/libmr/image/image.o
	run tests/check-layers build
	[ "$status" -eq 1 ]
	[[ $output == *"'build/libmr/image/image.o': No such file"* ]]
}

@test "CONTRIB.md has the folders of the plan" {
	sed -n 's/^| `\([a-z]*\|libmr\/[a-z]*\|tools\/[a-z]*\)` |.*/\1/p' \
		"$ROOT/CONTRIB.md" | sort >said
	sed -n 's/^\t\([a-z/]*\):.*/\1/p' tests/check-layers | sort >planned
	[ "$(wc -l <planned)" -gt 10 ]
	diff planned said
}
