#!/usr/bin/env bats
# Sparse files can promise any size: each tool answers soon, from little memory.

load ../lib/env

setup() {
	DIR=$(mktemp -d /dev/shm/mrsizes.XXXXXX) && cd "$DIR" ||
		skip "no /dev/shm"
}

teardown() { rm -rf "$DIR"; }

# quick STATUS COMMAND...
quick() {
	local status_=$1
	shift
	rm -f memory
	run "-$status_" bash -c '
		grep -q fsanitize "$O/flags" || ulimit -v $((1 << 35))
		exec timeout -k 1 60 "$@"' bash "$@"
}

@test "1 EiB of memory" {
	mkimage --block pc.ram=$((1 << 48)):5+1 a 2>/dev/null ||
		skip "no file of that size on this file system"
	quick 0 mrinspect a
	quick 0 mrinspect --map a
	quick 0 mrinspect --page pc.ram:0x5000 a
	quick 2 mrinspect --find x a
	[[ $output == *"more than 64 TiB"* ]]
	quick 2 mrverify a
	[[ $output == *"more than 64 TiB"* ]]
	quick 2 mrdiff a a
	[[ $output == *"more than 64 TiB"* ]]
	quick 3 mrload --memory pc.ram=memory a
	[[ $output == *"more than 64 TiB"* ]]
	[ ! -e memory ]
	quick 2 mrverify --repair -o memory a
	[ ! -e memory ]
	printf '\213mrseal\n' >>a
	quick 0 mrinspect a
	[[ $output == *"its seal was not looked at"* ]]
}

@test "1 TiB of memory, of which little is there" {
	mkimage --block pc.ram=$((1 << 28)):5+1,260000000+3 a 2>/dev/null ||
		skip "no file of that size on this file system"
	quick 0 mrinspect --map a
	quick 0 mrverify --seal a
	quick 0 mrinspect a
	[[ $output == *"as it was sealed"* ]]
	quick 0 mrverify a
	[[ $output == *"sound, sealed, "*", 16 KiB looked at"* ]]
	quick 0 mrdiff a a
	quick 0 mrload --memory pc.ram=memory a
	[ "$(stat -c %s memory)" = $((1 << 40)) ]
	(($(stat -c %b memory) <= 64))
}

@test "64 TiB of memory are searched in little" {
	! grep -q fsanitize "$O/flags" || skip "sanitizers keep shadow memory"
	has-zero-page || skip "this kernel has no zero page for what is only read"
	mkimage --block pc.ram=$((1 << 34)):5+1,16000000000+3 a 2>/dev/null ||
		skip "no file of that size on this file system"
	run -0 timeout -k 1 60 peak-memory mrinspect --find x a
	[[ $output =~ peak\ ([0-9]+)\ KiB ]]
	# Its bitmap would be 2 GiB.
	((BASH_REMATCH[1] < 128 * 1024))
}
