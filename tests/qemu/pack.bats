#!/usr/bin/env bats
# Packs of what a real QEMU saved: loaded by mrload, and by QEMU without us.

load ../lib/vm

setup() {
	need_qemu
	cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
	kill_vms
}

# VM a saves itself as a plain stream, of which a pack is made.
packed() { # QEMU ARGUMENT...
	start_vm a "$@"
	wait_ready a
	wait_count a
	qmp_do a migrate "{\"uri\":\"file:$PWD/stream\"}" >/dev/null
	qmp_do a --wait-migration
	mkpack --name a stream pack
}

# bats test_tags=address,thread
@test "mrload plays a pack to a QEMU that waits" {
	packed -M q35 -smp 2
	run -0 mrdiff stream pack
	[[ $output == *"memory   no page of "*" differs"* ]]
	start_vm b -M q35 -smp 2 -incoming defer
	run -0 mrload --json pack "$(vm_qmp b)"
	jq -e '.way == "sent" and .why == "QEMU does not read packs" and
		.data > 1000000' <<<"$output"
	counts_on a b
	assert_no_bad b
}

@test "QEMU loads a pack without us" {
	command -v zstd || skip "no zstd"
	packed
	start_vm b -incoming "exec:zstd -dcq $PWD/pack"
	qmp_do b --wait-migration
	counts_on a b
	assert_no_bad b
}

@test "mrload --memory, mrsend" {
	packed -m 32M
	mrload -q --memory pc.ram=ours pack
	mrload -q --memory pc.ram=theirs stream
	cmp ours theirs
	start_vm b -m 32M -incoming "unix:$PWD/b.sock"
	mrsend -q pack "unix:$PWD/b.sock"
	qmp_do b --wait-migration
	counts_on a b
	assert_no_bad b
}

# It would load as a guest without most of its memory.
@test "an increment is never loaded alone" {
	packed -m 32M
	mkpack --increment stream increment
	start_vm b -m 32M -incoming defer
	run -3 mrload increment "$(vm_qmp b)"
	[[ $output == "mrload: increment: this pack is an increment: "* ]]
	run -3 mrsend increment "unix:$PWD/no.sock"
	[[ $output == "mrsend: increment: this pack is an increment: "* ]]
	# neither by QEMU itself
	run -0 mrload pack "$(vm_qmp b)"
	stop_vm b
	command -v zstd || return 0
	start_vm b -m 32M -incoming defer
	qmp_do b migrate-incoming \
		"{\"uri\":\"exec:zstd -dcq $PWD/increment\"}" >/dev/null
	run ! qmp_do b --wait-migration
}
