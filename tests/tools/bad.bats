#!/usr/bin/env bats
# The hostile corpus: what each tool says of every file in tests/data/bad. The
# rules are those of tests/data/bad/try.

load ../lib/env

BAD=$ROOT/tests/data/bad

# All files are made once: BATS_FILE_TMPDIR/KIND/bad.
setup_file() {
	local make kind
	for make in "$BAD"/*/make; do
		kind=$(basename "$(dirname "$make")")
		mkdir "$BATS_FILE_TMPDIR/$kind"
		cd "$BATS_FILE_TMPDIR/$kind"
		"$make" || {
			echo "cannot make $kind"
			return 1
		}
	done
}

try() {
	"$BAD/try" "$BATS_FILE_TMPDIR" "$@"
}

@test "there are kinds enough, and something is expected of each" {
	local kind
	(($(find "$BAD" -name make | wc -l) >= 60))
	for kind in "$BAD"/*/; do
		[ -s "$kind/mrinspect" ]
		[ -s "$kind/mrload" ]
		[ -s "$kind/mrverify" ]
	done
}

@test "mrinspect" {
	try mrinspect mrinspect bad
}

@test "mrinspect --json" {
	try mrinspect mrinspect --json bad
}

@test "mrinspect: device state, registers, memory, maps" {
	local json
	for json in "" --json; do
		try + mrinspect $json --device all
		try - mrinspect $json --cpu --vmdesc-from bad bad
		try + mrinspect $json --page pc.ram:0+8192 --gpa 0xfff0+64
		try + mrinspect $json --find 0x55aa --max 3
		try + mrinspect $json --svg map.svg --device 'd*'
	done
	try + mrinspect --map
	try + mrinspect --vmdesc
}

# There is no VM, which is what a file hears that is good enough.
@test "mrload" {
	try mrload mrload --check bad no-vm
}

@test "mrload --memory" {
	try - mrload -q --memory pc.ram=memory bad
}

@test "mrverify" {
	try mrverify mrverify bad
}

@test "mrverify --json" {
	try mrverify mrverify --json bad
}

@test "mrverify --repair" {
	try - mrverify -q --repair -o memory bad
}

@test "mrdiff" {
	mkimage "$BATS_TEST_TMPDIR/good"
	try - mrdiff bad bad
	try - mrdiff --pages --device --map "$BATS_TEST_TMPDIR/good" bad
	try - mrdiff --json --device bad "$BATS_TEST_TMPDIR/good"
}
