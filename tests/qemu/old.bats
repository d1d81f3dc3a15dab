#!/usr/bin/env bats
# A QEMU that has no mapped-ram (before 9.0) is refused, by its version, and its
# guest comes to no harm.

load ../lib/vm

setup() {
	have=$(qemu_version)
	[ -n "$have" ] || skip "no $QEMU"
	! printf '9.0\n%s\n' "$have" | sort -CV ||
		skip "QEMU is $have, this needs one before 9.0"
	vm_dir
	IMAGE=$BATS_TEST_TMPDIR/image
}

teardown() { kill_vms; }

@test "mrsave: exit 3, no file, the guest runs" {
	start_vm a
	wait_ready a
	for engine in auto direct qemu; do
		run -3 mrsave --engine=$engine "$(vm_qmp a)" "$IMAGE"
		[[ $output == *"QEMU $have"* ]]
		run -3 mrsave --check --engine=$engine "$(vm_qmp a)" "$IMAGE"
	done
	[ -z "$(ls -A "$BATS_TEST_TMPDIR")" ]
	wait_status a running
	wait_count a 2
	wait_checked a
	assert_no_bad a
}

@test "mrload: exit 3, the VM still waits" {
	mkimage --block pc.ram=65536:0+3 "$IMAGE"
	start_vm b -incoming defer
	run -3 mrload "$IMAGE" "$(vm_qmp b)"
	[[ $output == *"QEMU $have cannot load a mapped-ram image"* ]]
	wait_status b inmigrate
}
