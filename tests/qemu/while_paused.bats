#!/usr/bin/env bats
# mrsave --while-paused: a command in the pause, such as a snapshot of the disks.

load ../lib/vm

setup() {
	need_qemu
	IMAGE=$BATS_TEST_TMPDIR/image
	cd "$BATS_TEST_TMPDIR"
}

teardown() { kill_vms; }

# VM a still runs, and its memory is as it was.
unharmed() {
	wait_status a running
	wait_count a 2
	assert_no_bad a
}

# The save of VM a was undone with this said, and the guest runs.
undone() { # STATUS TEXT MRSAVE ARGUMENT...
	local status=$1 text=$2
	shift 2
	echo LibvirtQemudSave >"$IMAGE" # may be replaced
	run "-$status" mrsave -q "$@" "$(vm_qmp a)" "$IMAGE"
	[[ $output == "mrsave: "*"$text"* ]]
	[ "${#lines[@]}" = 1 ]
	[ "$(cat "$IMAGE")" = LibvirtQemudSave ]
	run ! compgen -G "$BATS_TEST_TMPDIR/.*.tmp"
	unharmed
}

# What says in the command that it runs, then runs on.
export HANG='echo "$$" >pid; echo >ready; exec sleep 1000'

# mrsave is in that command: its process is $SAVER, that of sleep $SLEEPER.
hang() { # MRSAVE ARGUMENT...
	mkfifo ready
	mrsave -q --while-paused "$HANG" "$@" "$(vm_qmp a)" "$IMAGE" \
		>out 2>&1 3>&- &
	SAVER=$!
	read -r <ready
	SLEEPER=$(cat pid)
	[[ $(qmp_do a query-status) == *'"paused"'* ]]
}

gone() { # PID
	while kill -0 "$1" 2>/dev/null &&
		! grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; do
		wait_count a
	done
}

# bats test_tags=address
@test "the guest stands still, nothing is published, stdout goes to stderr" {
	start_vm a
	wait_ready a
	export SEEN="qmp $VM_DIR/a.ctl query-status >status"
	run -0 --separate-stderr mrsave --json "$(vm_qmp a)" "$IMAGE" \
		--while-paused 'eval "$SEEN"; ls -A >files; cat; echo "$MR_IMAGE"
			echo "$MR_VM" >&2'
	[[ $(cat status) == *'"paused"'* ]]
	[ -z "$(grep -x image files)" ]
	[[ $output == "{"* ]] # and nothing before it
	[ "$stderr" = "$IMAGE"$'\n'"$(vm_qmp a)" ]
	unharmed
	mrverify -q "$IMAGE"
	# It is not run when nothing is saved.
	mrsave -q --check --while-paused 'echo >ran' "$(vm_qmp a)" "$IMAGE"
	[ ! -e ran ]
}

# bats test_tags=address
@test "a command that fails undoes the save" {
	start_vm a
	wait_ready a
	undone 2 "ended with status 3: the save is undone" --while-paused 'exit 3'
	undone 2 "ended with status 127" --while-paused 'no-such 2>/dev/null'
	undone 2 "killed by signal 9 (Killed)" --while-paused 'kill -9 $$'
	# Of a guest that is to stay paused, too.
	undone 2 "ended with status 1" --leave-paused --while-paused false
	run -2 --separate-stderr mrsave --json --while-paused false \
		"$(vm_qmp a)" "$IMAGE"
	[[ $output == *'"path": null'*'"code": "system"'* ]]
}

@test "it is ended after its time, with what it has started" {
	start_vm a
	wait_ready a
	undone 2 "more than 1 s, and was ended" --while-paused-timeout=1 \
		--while-paused 'trap "" TERM; sleep 1000 & echo "$!" >pid; wait'
	gone "$(cat pid)"
}

@test "a signal ends it, and undoes the save" {
	local status=0
	start_vm a
	wait_ready a
	hang
	kill -TERM "$SAVER"
	wait "$SAVER" || status=$?
	[ "$status" = 2 ]
	[ "$(cat out)" = "mrsave: interrupted" ]
	gone "$SLEEPER"
	[ ! -e "$IMAGE" ]
	unharmed
}

@test "mrsave is killed: the guest goes on, and the command ends" {
	start_vm a
	wait_ready a
	hang
	kill -KILL "$SAVER"
	gone "$SLEEPER"
	[ ! -e "$IMAGE" ]
	unharmed
}

@test "a command that resumes the guest" {
	start_vm a
	wait_ready a
	export CONT="qmp $VM_DIR/a.ctl cont >/dev/null"
	export STOP="qmp $VM_DIR/a.ctl stop >/dev/null"
	undone 2 "disturbed the VM" --while-paused "$CONT"
	undone 2 "disturbed the VM" --while-paused "$CONT; $STOP"
	need_qemu 9.1
	undone 2 "another moment" --engine=qemu --while-paused "$CONT"
	undone 2 "another moment" --engine=qemu --while-paused "$CONT; $STOP"
}

@test "QEMU saves itself: stopped or live, in the pause that there is" {
	need_qemu 9.1
	start_vm a -append fill=16M
	wait_ready a
	export SEEN="qmp $VM_DIR/a.ctl query-status >status"
	for live in '' --live; do
		rm -f "$IMAGE" status
		mrsave -q --engine=qemu $live "$(vm_qmp a)" "$IMAGE" \
			--while-paused 'eval "$SEEN"; [ ! -e "$MR_IMAGE" ]'
		[[ $(cat status) == *'"postmigrate"'* ]]
		mrinspect "$IMAGE" >/dev/null
		unharmed
		undone 2 "ended with status 1" --engine=qemu $live \
			--while-paused false
	done
}

bandwidth() { grep -o '"max-bandwidth": *[0-9]*' | grep -o '[0-9]*$'; }

@test "QEMU saves itself: live, with a limit" {
	local before rc=0
	need_qemu 9.1
	start_vm a -append fill=64M
	wait_ready a
	before=$(qmp_do a query-migrate-parameters | bandwidth)
	[ "$before" -gt 0 ]
	export SEEN="qmp $VM_DIR/a.ctl query-migrate-parameters >seen"
	mrsave -q --engine=qemu --live --limit=100M --while-paused 'eval "$SEEN"' \
		"$(vm_qmp a)" "$IMAGE"
	[ "$(bandwidth <seen)" = 104857600 ]
	[ "$(qmp_do a query-migrate-parameters | bandwidth)" = "$before" ]
	unharmed
	# It is lifted for a save that is given up, of which little would go.
	mrsave -q --engine=qemu --live --limit=4K "$(vm_qmp a)" "$IMAGE.2" \
		>out 2>&1 3>&- &
	SAVER=$!
	until [[ $(qmp_do a query-migrate) == *'"active"'* ]]; do
		kill -0 "$SAVER"
	done
	kill -TERM "$SAVER"
	wait "$SAVER" || rc=$?
	((rc == 2))
	grep -q "interrupted" out
	[ ! -e "$IMAGE.2" ]
	unharmed
	# The same for one that is killed.
	mrsave -q --engine=qemu --live --limit=4K "$(vm_qmp a)" "$IMAGE.2" \
		>out 2>&1 3>&- &
	SAVER=$!
	until [[ $(qmp_do a query-migrate) == *'"active"'* ]]; do
		kill -0 "$SAVER"
	done
	kill -KILL "$SAVER"
	unharmed
	until [ "$(qmp_do a query-migrate-parameters | bandwidth)" = "$before" ]; do
		wait_count a
	done
}

@test "not with a background snapshot" {
	run -2 mrsave --live=background --while-paused true vm image
	[[ $output == *"lets the guest go on"* ]]
}

# bats test_tags=address
@test "a snapshot of the disks by QEMU, in the same pause" {
	truncate -s 1M disk
	start_vm a -blockdev driver=file,filename=disk,node-name=d \
		-device virtio-blk-pci,drive=d
	wait_ready a
	cat >snapshot <<-END
		qmp "$VM_DIR/a.ctl" blockdev-snapshot-sync '{"node-name": "d",
			"snapshot-file": "$PWD/overlay", "format": "qcow2",
			"snapshot-node-name": "d1"}'
	END
	mrsave -q --while-paused 'sh -e ./snapshot' "$(vm_qmp a)" "$IMAGE"
	unharmed
	# What the guest writes from now on goes there.
	[ "$(head -c 3 overlay)" = QFI ]
	[[ $(qmp_do a query-named-block-nodes) == *"/overlay"* ]]
	# The disk as it was then, with the memory of then.
	start_vm b -incoming defer \
		-drive if=none,id=d,file=disk,format=raw,snapshot=on \
		-device virtio-blk-pci,drive=d
	mrload -q "$IMAGE" "$(vm_qmp b)"
	wait_checked b
	assert_no_bad b
}

@test "a snapshot from outside, while QEMU has let go of the disks" {
	need_qemu 9.1
	command -v qemu-img >/dev/null || skip "no qemu-img"
	qemu-img create -q -f qcow2 disk 1M
	start_vm a -drive if=none,id=d,file=disk,format=qcow2 \
		-device virtio-blk-pci,drive=d
	wait_ready a
	run ! qemu-img snapshot -c then disk
	mrsave -q --engine=qemu --while-paused 'qemu-img snapshot -c then disk' \
		"$(vm_qmp a)" "$IMAGE"
	unharmed
	[[ $(qemu-img snapshot -U -l disk) == *then* ]]
}
