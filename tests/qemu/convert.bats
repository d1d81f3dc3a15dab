#!/usr/bin/env bats
# What mrconvert makes, loaded by a QEMU without us: packs through zstd, plain
# streams, mapped-ram images.

load ../lib/vm

setup() {
	need_qemu
	[ -n "$(command -v zstd)" ] || skip "no zstd"
	cd "$BATS_TEST_TMPDIR"
}

teardown() { kill_vms; }

# VM a, which counts.
source_vm() { # QEMU ARGUMENT...
	start_vm a "$@"
	wait_ready a
	wait_count a
}

# VM b begins with what a command says, and goes on from where a stopped; it was
# $STATE then.
goes_on_from() { # COMMAND QEMU ARGUMENT...
	local command=$1
	shift
	start_vm b "$@" -incoming "exec:$command"
	wait_status b "${STATE:-running}"
	qmp_do b cont
	counts_on a b
	assert_no_bad b
	stop_vm b
}

# The pack and the stream of an image: the same bytes, and QEMU takes either.
both() { # IMAGE QEMU ARGUMENT...
	local image=$1
	shift
	mrconvert -q "$image" vm.mrp
	mrconvert -q "$image" vm.stream
	zstd -qdc vm.mrp | cmp - vm.stream
	mrdiff -q "$image" vm.stream
	goes_on_from "zstd -qdc $PWD/vm.mrp" "$@"
	goes_on_from "cat $PWD/vm.stream" "$@"
}

# bats test_tags=address
@test "mrsave's image: a pack that QEMU loads, and back into an image" {
	source_vm -append fill=32M
	mrsave -q --leave-paused "$(vm_qmp a)" image
	both image
	mrconvert -q vm.stream again.mr
	mrverify -q again.mr
	mrdiff -q image again.mr
	incoming_vm b again.mr
	counts_on a b
	assert_no_bad b
}

@test "QEMU's own stream and image of a guest that ran" {
	source_vm
	qmp_do a migrate "{\"uri\":\"file:$PWD/plain\"}" >/dev/null
	qmp_do a --wait-migration
	both plain
	mrconvert -q plain plain.mr
	mrdiff -q plain plain.mr
}

@test "q35: several blocks, memory of all kinds, stale data under clear bits" {
	local machine=(-M q35 -m 64M
		-object memory-backend-memfd,id=m0,size=32M,share=on
		-object memory-backend-ram,id=m1,size=32M
		-numa node,memdev=m0 -numa node,memdev=m1
		-device virtio-rng-pci -device VGA)
	source_vm "${machine[@]}" -append fill=8M
	qemu_live_save a image
	both image "${machine[@]}"
}

@test "a pack through a pipe, from stdout to -incoming" {
	source_vm
	mrsave -q --leave-paused "$(vm_qmp a)" image
	goes_on_from "mrconvert -q -O pack $PWD/image - | zstd -qdc"
	goes_on_from "mrconvert -q -O stream $PWD/image -"
}

@test "libvirt's file, raw and sparse" {
	IMAGE=save
	source_vm
	libvirt_save 0 1
	STATE=paused both save
	stop_vm a
	source_vm
	libvirt_save 6 1 mapped-ram
	STATE=paused both save
}

@test "memory that was plugged: what QEMU sends before memory" {
	local machine=(-M q35 -m 64M,maxmem=1G
		-object memory-backend-ram,id=vmem0,size=256M
		-device virtio-mem-pci,id=vm0,memdev=vmem0,requested-size=64M)
	source_vm "${machine[@]}"
	mrsave -q --leave-paused "$(vm_qmp a)" image
	qmp_do a migrate "{\"uri\":\"file:$PWD/plain\"}" >/dev/null
	qmp_do a --wait-migration
	both image "${machine[@]}"
	STATE=paused both plain "${machine[@]}"
	mrinspect --json vm.stream | jq -e '[.files[].sections[] | .type + " " + .name]
		| index("full virtio-mem-device-early") < index("start ram")'
}
