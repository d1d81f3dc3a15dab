#!/usr/bin/env bats
# --metrics of mrsave and mrload against a real QEMU.

load ../lib/vm
load ../lib/metrics

setup() {
	need_qemu
	cd "$BATS_TEST_TMPDIR"
}

teardown() { kill_vms; }

@test "mrsave: a success, one that a signal ended, one that was refused" {
	local saver rc=0
	start_vm a
	wait_ready a
	mrsave -q --metrics m.prom "$(vm_qmp a)" image
	prom m.prom
	[ "$(value run_success image)" = 1 ]
	[ "$(value success_size_bytes)" = "$(stat -c %s image)" ]
	(($(value success_data_bytes) < $(value success_memory_bytes)))
	[ -n "$(value success_paused_seconds)" ]
	grep success_ m.prom | grep -v '^#' >before
	# It is in the pause when the signal comes.
	mkfifo ready
	mrsave -q --metrics m.prom --while-paused 'echo >ready; exec sleep 1000' \
		"$(vm_qmp a)" image 3>&- &
	saver=$!
	read -r <ready
	kill -TERM $saver
	wait $saver || rc=$?
	((rc == 2))
	prom m.prom
	[ "$(value run_success)" = 0 ]
	[ "$(value exit_status)" = 2 ]
	grep success_ m.prom | grep -v '^#' | diff before -
	# The work is done, whatever becomes of the metrics.
	run -0 mrsave -q --metrics none/m.prom "$(vm_qmp a)" image
	[[ $output == *"cannot write the metrics"* ]]
	# Another one into another file.
	start_vm b -incoming defer
	mrload -q --metrics load.prom image "$(vm_qmp b)"
	prom load.prom
	grep -q '^mrtools_last_run_success{tool="mrload",image="image"} 1$' load.prom
	[ "$(value exit_status)" = 2 ] # of mrsave
	stop_vm a
	run -2 mrsave -q --metrics m.prom "$VM_DIR/a.qmp" image
	prom m.prom
	[ "$(value exit_status)" = 2 ]
	grep success_ m.prom | grep -v '^#' | diff before -
}
