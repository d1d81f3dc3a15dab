#!/usr/bin/env bats
# mrsave straight into packs, streams and pipes.

load ../lib/vm

setup() {
	need_qemu
	[ -n "$(command -v zstd)" ] || skip "no zstd"
	cd "$BATS_TEST_TMPDIR"
}

teardown() { kill_vms; }

source_vm() { # QEMU ARGUMENT...
	start_vm a "$@"
	wait_ready a
	wait_count a
}

# bats test_tags=address
@test "a pack and an increment of it, restored" {
	source_vm -append fill=32M
	mrsave -q --name web1 "$(vm_qmp a)" full.mrp
	wait_count a
	run -0 mrsave --base full.mrp "$(vm_qmp a)" inc.mrp
	[[ $output == *"an increment, in a chain of 2"* ]]
	qmp_do a stop >/dev/null
	mrsave -q --base inc.mrp "$(vm_qmp a)" last.mrp
	mrverify -q full.mrp inc.mrp last.mrp
	mrdiff -q last.mrp "$(vm_qmp a)"
	run -0 mrinspect full.mrp
	[[ $output == *"of VM web1"* ]]
	[ -z "$(find . -name '.*.tmp')" ]
	start_vm b -incoming defer
	mrload -q last.mrp "$(vm_qmp b)"
	qmp_do b cont >/dev/null
	counts_on a b
	assert_no_bad b
}

@test "a pack into a pipe; the stream of a background snapshot into another" {
	source_vm -append fill=32M -uuid 01234567-89ab-cdef-0123-456789abcdef
	mrsave -O pack "$(vm_qmp a)" - | cat >a.mrp
	mrverify -q a.mrp
	# QEMU has said who it is.
	[[ $(mrinspect a.mrp) == *" of VM a (01234567-89ab-cdef-0123-456789abcdef), by "* ]]
	mrsave -q "$(vm_qmp a)" a.stream
	mrinspect a.stream | grep -q "plain migration stream\|stream, complete"
	mrsave -O stream --live=background "$(vm_qmp a)" - | zstd -q >b.zst
	zstd -qdc b.zst >b.stream
	mrinspect b.stream | grep -q complete
	wait_count a
	stop_vm a
	start_vm b -incoming "exec:zstd -qdc $PWD/b.zst"
	wait_status b running
	assert_no_bad b
	wait_checked b
}

@test "a slow reader does not hold the guest" {
	source_vm -append fill=16M
	mkfifo pipe
	mrsave -O pack --spool . "$(vm_qmp a)" - >pipe 2>said &
	saver=$!
	exec 9<pipe
	# Nothing is read yet, and more is to come than a pipe holds.
	wait_status a running
	wait_checked a
	kill -0 $saver
	cat <&9 >got.mrp
	exec 9<&-
	wait $saver
	mrverify -q got.mrp
}

@test "what fails leaves the guest as it was, and nothing else" {
	source_vm
	run -2 bash -c "set -o pipefail; mrsave -O pack '$(vm_qmp a)' - | head -c 1000 >/dev/null"
	[[ $output == *"Broken pipe"* ]]
	wait_status a running
	mkimage ../one.mr
	run -3 mrsave -q -O pack --base ../one.mr "$(vm_qmp a)" out.mrp
	[[ $output == *"one.mr: "*"since a pack"* ]]
	run -2 mrsave -q --base none.mrp "$(vm_qmp a)" out.mrp
	[[ $output == *"none.mrp: "*"No such file"* ]]
	run -2 mrsave -O pack "$(vm_qmp a)" none/out.mrp
	run -2 mrsave -O pack --leave-paused "$(vm_qmp a)" out.mrp
	run -2 mrsave -O pack --live=precopy --engine=qemu "$(vm_qmp a)" out.mrp
	run -2 mrsave "$(vm_qmp a)" -
	run -2 mrsave --spool . "$(vm_qmp a)" out.mr
	run -2 mrsave --spool "" "$(vm_qmp a)" out.mrp
	run -0 mrsave --check -O pack "$(vm_qmp a)" -
	[[ $output == *"at most "*" needed"* ]]
	run -2 mrsave -O pack --json "$(vm_qmp a)" -
	run -3 mrsave -O pack --engine=qemu "$(vm_qmp a)" out.mrp
	[[ $output == *"--live=background"* ]]
	wait_status a running
	wait_count a
	[ -z "$(ls -A)" ]
}
