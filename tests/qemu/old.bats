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

# The image says the same as the guest did, whichever way it came and goes.
@test "mrrecv takes its guest into an image, mrsend plays that into another" {
	local in=$VM_DIR/in.sock channels
	start_vm a -append fill=32M
	wait_ready a
	for channels in 0 2; do
		rm -f "$IMAGE"
		mrrecv -q "unix:$in" "$IMAGE" 3>&- &
		until [ -S "$in" ]; do kill -0 $!; done
		set_caps a return-path $( ((channels == 0)) || echo multifd)
		qmp_do a migrate "{\"uri\":\"unix:$in\"}"
		qmp_do a --wait-migration
		wait $!
		mrverify -q "$IMAGE"
		start_vm b -incoming defer
		((channels == 0)) || set_caps b multifd
		qmp_do b migrate-incoming "{\"uri\":\"unix:$in\"}"
		mrsend -q --channels=$channels "$IMAGE" "unix:$in"
		wait_status b running
		counts_on a b
		assert_no_bad b
		stop_vm b
		qmp_do a cont
	done
}
