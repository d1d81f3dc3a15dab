# The description of device state: QEMU is asked for it by a migration that is
# refused, and the VM comes to no harm by that.

load ../lib/vm

setup() {
	need_qemu
	cd "$BATS_TEST_TMPDIR"
	truncate -s 64M disk
	SHARED=(-M q35,memory-backend=m -m 128M -append fill=32M
		-object memory-backend-file,id=m,size=128M,share=on,mem-path=ram
		-drive if=virtio,format=raw,file=disk)
}

teardown() { kill_vms; }

# What QEMU has locked of the disk.
locks() {
	grep -c ":$(stat -c %i disk) " /proc/locks
}

settings() {
	qmp_do a query-migrate-capabilities
	qmp_do a query-migrate-parameters
	qmp_do a query-fdsets
}

# Whether QEMU is at a migration.
is_under_way() {
	[[ $(qmp_do a query-migrate) =~ \"(active|device)\" ]]
}

# A save of the VM's memory, too, which takes a while; COMMAND comes meanwhile.
# STATUS is mrsave's then. Missed, it is tried again.
amid() { # COMMAND...
	local saver try
	for try in 1 2 3 4 5 6 7 8 9; do
		mrsave -v --describe=on "$(vm_qmp a)" image 2>said &
		saver=$!
		until is_under_way || ! kill -0 $saver 2>/dev/null; do :; done
		if is_under_way && "$@"; then
			STATUS=0
			wait $saver || STATUS=$?
			return
		fi
		wait $saver
	done
	echo "never in the middle: $(cat said)"
	return 1
}

# bats test_tags=address,thread
@test "shared memory: the image of a running guest is described" {
	local before held
	start_vm a "${SHARED[@]}"
	wait_ready a
	before=$(settings)
	held=$(locks)
	run -0 mrsave --json "$(vm_qmp a)" image
	jq -e '.description == "fresh" and .no_description == null' <<<"$output"
	wait_status a running
	wait_checked a
	assert_no_bad a
	[ "$(settings)" = "$before" ]
	[[ $(qmp_do a query-migrate) == *'"failed"'* ]]
	# Its disk is still its own, and is written.
	[ "$(locks)" = "$held" ]
	[[ $(qmp_do a query-named-block-nodes) != *'"active":false'* ]]
	qmp_do a human-monitor-command \
		'{"command-line":"qemu-io virtio0 \"write -P 7 1M 64k\""}'
	[ "$(od -An -tu1 -j 1M -N 1 disk)" -eq 7 ]
	# Fields, by name, and what changed of them.
	run -0 mrinspect --device cpu image
	[[ $output == *"env.regs"* && $output == *"env.eip"* ]]
	[[ $output != *"not decoded"* ]]
	mrsave -q "$(vm_qmp a)" later
	run -1 mrdiff --device image later
	[[ $output == *"env.regs"* ]]
	run -0 mrverify image
	# QEMU is content with it.
	qmp_do a quit
	incoming_vm b image "${SHARED[@]/mem-path=ram/mem-path=ram2}"
	run ! grep -q vmdescription "$VM_DIR/b.log"
	wait_checked b
	assert_no_bad b
}

@test "a VM that stands still is left as it was found" {
	local state
	for state in paused prelaunch; do
		if [ $state = paused ]; then
			# in a file that QEMU makes itself
			start_vm a "${SHARED[@]/mem-path=ram/mem-path=.}"
			wait_ready a
			qmp_do a stop
		else
			start_vm a -S "${SHARED[@]}"
		fi
		run -0 mrsave --json "$(vm_qmp a)" $state
		jq -e '.description == "fresh"' <<<"$output"
		[[ $(qmp_do a query-status) == *"\"$state\""* ]]
		run -0 mrsave -q "$(vm_qmp a)" again
		run -0 mrdiff -q $state again
		qmp_do a cont
		wait_ready a
		wait_checked a
		assert_no_bad a
		stop_vm a
	done
}

@test "it is left alone where that is asked for, or is no use" {
	start_vm a "${SHARED[@]}"
	wait_ready a
	run -0 mrsave --json --describe=off "$(vm_qmp a)" image
	jq -e '.description == null and .no_description == "not asked for"' \
		<<<"$output"
	[[ $(qmp_do a query-migrate) != *status* ]]
	run -0 mrinspect --device cpu image
	[[ $output == *"not decoded"* ]]
	stop_vm a
	start_vm a "${SHARED[@]/q35,/q35,suppress-vmdesc=on,}"
	run -0 mrsave --json "$(vm_qmp a)" image
	jq -e '.no_description | contains("suppress-vmdesc=on")' <<<"$output"
	[[ $(qmp_do a query-migrate) != *status* ]]
}

@test "private memory is sent along only if that is asked for" {
	start_vm a -m 128M -append fill=32M
	wait_ready a
	run -0 mrsave -v "$(vm_qmp a)" image
	[[ $output == *"no description of the device state: QEMU would send"* ]]
	[[ $(qmp_do a query-migrate) != *status* ]]
	run -0 mrsave --describe=on "$(vm_qmp a)" image
	[[ $output == *", described"* ]]
	run -0 mrinspect --device cpu image
	[[ $output == *"env.eip"* ]]
	wait_checked a
	assert_no_bad a
}

@test "one that came is kept for later saves, as far as it fits" {
	local file
	start_vm a -m 128M -append fill=32M
	wait_ready a
	run -0 mrsave --json --describe=on "$(vm_qmp a)" first
	jq -e '.description == "fresh"' <<<"$output"
	file=$(echo cache/mrtools/*.json)
	[ "$(stat -c %a cache/mrtools "$file" | xargs)" = "700 600" ]
	run -0 mrsave --json "$(vm_qmp a)" image
	jq -e '.description == "kept" and .no_description == null' \
		<<<"$output"
	run -0 mrinspect --device cpu image
	[[ $output == *"env.eip"* ]]
	run -1 mrdiff --device first image
	[[ $output == *"env.regs"* ]]
	run -0 mrsave --json --describe=off "$(vm_qmp a)" image
	jq -e '.description == null' <<<"$output"
	# Not of another VM.
	stop_vm a
	start_vm a -m 128M -append fill=32M -device virtio-rng-pci
	wait_ready a
	run -0 mrsave --json "$(vm_qmp a)" image
	jq -e '.description == null' <<<"$output"
	# Nor one that somebody has put there, of the same length.
	stop_vm a
	start_vm a -m 128M -append fill=32M
	wait_ready a
	sed -i 's/"name": *"env.eip"/"name":"env.eip","index":0,"array_len":2/' "$file"
	run -0 mrsave --json "$(vm_qmp a)" image
	jq -e '.description == null' <<<"$output"
	head -c 100 /dev/urandom >"$file"
	run -0 mrsave --json "$(vm_qmp a)" image
	jq -e '.description == null' <<<"$output"
	wait_checked a
	assert_no_bad a
}

@test "a background snapshot brings it along, and it is kept" {
	start_vm a -m 128M -append fill=32M
	wait_ready a
	run mrsave --json --live=background "$(vm_qmp a)" image
	[ "$status" != 3 ] || skip "no background snapshots here: $output"
	jq -e '.description == "fresh"' <<<"$output"
	run -0 mrsave --json "$(vm_qmp a)" image
	jq -e '.description == "kept"' <<<"$output"
	run -0 mrinspect --device cpu image
	[[ $output == *"env.eip"* ]]
}

@test "a pack and a stream have it as well" {
	start_vm a "${SHARED[@]}"
	wait_ready a
	for image in image.mrp image.stream; do
		mrsave -q "$(vm_qmp a)" $image
		run -0 mrinspect --device cpu $image
		[[ $output == *"env.eip"* ]]
	done
	wait_checked a
	assert_no_bad a
}

@test "another client cancels the migration: an image without it" {
	start_vm a -m 512M -append fill=256M
	wait_ready a
	amid qmp_do a migrate_cancel
	((STATUS == 0))
	grep -q 'no description of the device state' said
	wait_status a running
	mrverify -q image
	wait_checked a
	assert_no_bad a
}

@test "another client resumes the VM: no image, and it runs" {
	start_vm a -m 512M -append fill=256M
	wait_ready a
	amid qmp_do a cont
	((STATUS == 2))
	grep -q 'went from paused to running while' said
	[ ! -e image ]
	wait_status a running
	wait_checked a
	assert_no_bad a
}

@test "killed in the middle of it: the guest goes on, its settings are back" {
	local before
	start_vm a -m 512M -append fill=256M
	wait_ready a
	before=$(settings)
	slay() { kill -KILL $saver; }
	amid slay
	((STATUS == 137))
	wait_status a running
	until [ "$(settings)" = "$before" ]; do wait_count a; done
	wait_checked a
	assert_no_bad a
	mrsave -q "$(vm_qmp a)" image
}

@test "halted in the middle of it: as soon as it goes on all is well" {
	start_vm a -m 512M -append fill=256M
	wait_ready a
	pause_it() {
		kill -STOP $saver && is_under_way
		kill -CONT $saver
	}
	amid pause_it
	((STATUS == 0))
	wait_status a running
	wait_checked a
	assert_no_bad a
}
