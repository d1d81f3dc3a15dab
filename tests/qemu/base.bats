#!/usr/bin/env bats
# mrsave --base against a real QEMU: what did not change since the VM began on
# an image is shared with it, and the result is an image like any other.

load ../lib/vm

setup() {
	need_qemu
	cd "$BATS_TEST_TMPDIR"
}

teardown() {
	kill_vms
	umount "$BATS_TEST_TMPDIR/fs" 2>/dev/null || :
}

# A file system at fs whose files can share data.
disk() { # MAKER...
	command -v "$1" >/dev/null || skip "no $1"
	mkdir fs
	truncate -s 512M disk
	"$@" disk >/dev/null
	mount -o loop disk fs 2>/dev/null || skip "may not mount what $1 makes"
}

# VM b began on fs/base, which is of VM a, and did something.
second_life() { # QEMU ARGUMENT...
	start_vm a "$@"
	wait_ready a
	wait_count a
	mrsave -q "$(vm_qmp a)" fs/base
	stop_vm a
	IMAGE=$PWD/fs/base
	instant_vm b "$IMAGE" -- "$@"
	wait_checked b
	qmp_do b stop >/dev/null
}

allocated() { df --output=used -B1 fs | tail -n 1; }

# It is what an ordinary save gives.
same_as_ever() {
	local before full
	mrsave -q "$(vm_qmp b)" fs/full
	sync
	before=$(allocated)
	run -0 mrsave --base fs/base "$(vm_qmp b)" fs/new
	[[ $output == *"base "*" kept"* ]]
	sync
	echo "$output; room $(($(allocated) - before))"
	cmp fs/full fs/new
	full=$(du -B1 fs/full | cut -f 1)
	(($(allocated) - before < full / 2))
	run -0 mrverify fs/new
	[[ $output == *"sound, sealed"* && $output != *note* ]]
	rm fs/full
	incoming_vm c fs/new "$@"
	qmp_do c cont >/dev/null
	wait_checked c
	assert_no_bad c
}

@test "btrfs: data shared, and the same image as ever" {
	disk mkfs.btrfs -q
	second_life -m 96M
	same_as_ever -m 96M
}

@test "xfs: two nodes, of which one is not a mapping" {
	local memory=(-m 96M -M q35
		-object memory-backend-ram,id=m0,size=64M
		-object memory-backend-file,id=m1,size=32M,share=on,mem-path="$PWD/ram"
		-numa node,memdev=m0 -numa node,memdev=m1)
	disk mkfs.xfs -q -m reflink=1
	start_vm a "${memory[@]}"
	wait_ready a
	wait_count a
	mrsave -q "$(vm_qmp a)" fs/base
	stop_vm a
	instant_vm b fs/base -- "${memory[@]}"
	wait_checked b
	qmp_do b stop >/dev/null
	mrsave -q "$(vm_qmp b)" fs/full
	run -0 mrsave --base fs/base "$(vm_qmp b)" fs/new
	[[ $output == *"base "*" kept"* ]]
	cmp fs/full fs/new
}

@test "QEMU's live image as the base: its stale pages do not come back" {
	disk mkfs.btrfs -q
	start_vm a -m 32M -append fill=8M
	wait_ready a
	wait_count a 3
	qemu_live_save a "$PWD/fs/base"
	stop_vm a
	mrverify -q --seal fs/base
	instant_vm b "$PWD/fs/base" -- -m 32M -append fill=8M
	wait_checked b
	qmp_do b stop >/dev/null
	mrsave -q "$(vm_qmp b)" fs/full
	run -0 mrsave --base fs/base "$(vm_qmp b)" fs/new
	[[ $output == *"base "*" kept"* ]]
	run -0 mrdiff fs/full fs/new
	mrverify -q fs/new
}

@test "what is no base: an ordinary save, and why" {
	local base
	start_vm a -m 64M
	wait_ready a
	qmp_do a stop
	mrsave -q "$(vm_qmp a)" full
	mrsave -q --no-seal "$(vm_qmp a)" bare
	for base in bare full; do
		run -0 mrsave --base "$base" "$(vm_qmp a)" new
		[[ $output == *"base       of no use: "* ]]
		cmp full new
	done
	mrsave --json --engine=qemu --base full "$(vm_qmp a)" new >said
	[[ $(json no_base <said) == "QEMU's own save knows none" ]]
	run -2 mrsave --base nosuch "$(vm_qmp a)" new
	[[ $output == *"nosuch: cannot open"* ]]
	echo hello >text
	run -3 mrsave --check --base text "$(vm_qmp a)" new
	[[ $output == *"text: this is no image"* ]]
}

@test "another image than the one that the VM began on is found out" {
	disk mkfs.btrfs -q
	second_life -m 64M
	cp fs/base fs/other
	mrsave -q "$(vm_qmp b)" fs/full
	run -0 mrsave --base fs/other "$(vm_qmp b)" fs/new
	[[ $output == *"of no use: no memory of the VM is a mapping of it"* ]]
	cmp fs/full fs/new
}
