#!/usr/bin/env bats
# What people run: one save and one load under KVM, where there is one.
# KVM_ACCEL=tcg tries the test itself.

load ../lib/vm

setup() { need_qemu; }
teardown() { kill_vms; }

@test "KVM: a guest is saved and loaded, and counts on" {
	local image=$BATS_TEST_TMPDIR/image
	export ACCEL=${KVM_ACCEL:-kvm}
	local guest=(-m 24M -cpu qemu64 -append "fill=4M zero=0")
	[ "$ACCEL" != kvm ] || { [ -c /dev/kvm ] && (exec 9<>/dev/kvm); } 2>/dev/null ||
		skip "/dev/kvm cannot be opened"
	start_vm a "${guest[@]}" || skip "QEMU does not start with $ACCEL"
	# Under another hypervisor it can be slower than TCG.
	MR_TIMEOUT=15 wait_ready a ||
		skip "with $ACCEL no guest is ready within 15 s"
	wait_count a
	run -0 mrsave --leave-paused "$(vm_qmp a)" "$image"
	[[ $output == *"engine     direct"* ]]
	mrverify "$image"
	start_vm b "${guest[@]}" -incoming defer
	mrload "$image" "$(vm_qmp b)"
	counts_on a b
	assert_no_bad b
	qmp_do a cont
	wait_checked a
	assert_no_bad a
}
