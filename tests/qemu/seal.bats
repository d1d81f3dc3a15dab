#!/usr/bin/env bats
# The seal and mrverify against a real QEMU.

load ../lib/vm

setup() {
	need_qemu
	IMAGE=$BATS_TEST_TMPDIR/image
}

teardown() { kill_vms; }

# QEMU alone loads $1, from offset $2, and the guest of VM a counts on.
loads() {
	incoming_vm b "$1${2:+,offset=$2}"
	counts_on a b
	assert_no_bad b
	stop_vm b
}

# bats test_tags=address
@test "a sealed image loads; a seal made later is the same" {
	start_vm a
	wait_ready a
	wait_count a 3
	qmp_do a stop
	mrsave "$(vm_qmp a)" "$IMAGE"
	mrsave --no-seal "$(vm_qmp a)" "$IMAGE.2"
	run -0 mrverify "$IMAGE"
	[[ $output == *"sound, sealed"* ]]
	[[ $output != *note* ]]
	run -0 mrverify -v "$IMAGE.2"
	[[ $output == *"1 note"*"no seal"* ]]
	mrverify -q --seal "$IMAGE.2"
	same_but_seal "$IMAGE" "$IMAGE.2"
	# Of the seals all but head, label and their own digests.
	digests() { tail -c +"$(($2 + 4097))" "$1" | head -c -24; }
	end=$(mrinspect --json "$IMAGE" | jq '.files[0].stream_end')
	cmp <(digests "$IMAGE" "$end") <(digests "$IMAGE.2" "$end")
	incoming_vm b "$IMAGE"
	qmp_do b cont
	counts_on a b
	assert_no_bad b
}

@test "QEMU's own image is sound, and loads when it is sealed" {
	start_vm a
	wait_ready a
	wait_count a 3
	qemu_save a "$IMAGE"
	run -0 mrverify "$IMAGE"
	[[ $output == *"sound, "*" note"* ]]
	mrverify -q --seal "$IMAGE"
	run -0 mrverify "$IMAGE"
	[[ $output == *"sound, sealed, "* ]]
	loads "$IMAGE"
}

@test "the same at an offset, as libvirt does it" {
	local offset=65649
	start_vm a
	wait_ready a
	wait_count a 3
	head -c "$offset" /dev/zero | tr '\0' x >"$IMAGE"
	qemu_save a "$IMAGE,offset=$offset"
	# Not libvirt's header, but what is behind it.
	{
		printf LibvirtQemudSave
		printf '\2\0\0\0'
		printf '\25\0\1\0' # data_len 65557
		printf '\1\0\0\0\6\0\0\0\0\0\0\0'
		head -c 56 /dev/zero
		printf '<domain/>\0'
		head -c 65547 /dev/zero
	} | dd of="$IMAGE" conv=notrunc status=none
	run -0 mrverify "$IMAGE"
	mrverify -q --seal "$IMAGE"
	run -0 mrverify "$IMAGE"
	[[ $output == *"sound, sealed, "* ]]
	loads "$IMAGE" "$offset"
	printf X | dd of="$IMAGE" bs=1 seek=99 conv=notrunc status=none
	run -1 mrverify "$IMAGE"
	[[ $output == *"libvirt's header differs from the seal"* ]]
}

@test "a live save leaves stale pages: they are told, and punched out" {
	start_vm a
	wait_ready a
	run -0 mrsave --engine=qemu --live "$(vm_qmp a)" "$IMAGE"
	run -0 mrverify "$IMAGE"
	run -0 mrverify --repair --seal "$IMAGE"
	run -0 mrverify -v "$IMAGE"
	[ "${#lines[@]}" = 1 ]
	[[ $output == *"sound, sealed, "* ]]
	incoming_vm b "$IMAGE"
	wait_checked b
	assert_no_bad b
}

@test "a background snapshot restores to nothing; mended, to all" {
	start_vm a -m 64M -append fill=16M
	wait_ready a
	wait_count a 3
	qmp_do a stop
	set_caps a background-snapshot || skip "no userfaultfd for QEMU"
	qemu_save a "$IMAGE"
	run -1 mrverify "$IMAGE"
	[[ $output == *"damaged: a background snapshot"* ]]
	run -0 mrverify --repair "$IMAGE"
	[[ $output == *"bitmap rebuilt"* ]]
	run -0 mrverify "$IMAGE"
	incoming_vm b "$IMAGE" -m 64M -append fill=16M
	qmp_do b cont
	counts_on a b
	assert_no_bad b
}
