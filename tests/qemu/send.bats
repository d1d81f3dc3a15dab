#!/usr/bin/env bats
# mrsend: an image into real QEMUs that wait for a migration.

load ../lib/vm

setup() {
	need_qemu
	cd "$BATS_TEST_TMPDIR"
	IMAGE=$PWD/vm.mr
	IN=$VM_DIR/in.sock
}

teardown() { kill_vms; }

# A guest in $IMAGE, stopped; VM a is where it was saved.
saved() { # QEMU ARGUMENT...
	start_vm a "$@" -append fill=64M
	wait_ready a
	mrsave -q --leave-paused "$(vm_qmp a)" "$IMAGE"
}

# VM b waits at $IN, told so: waits CHANNELS METHOD QEMU ARGUMENT...
waits() {
	local channels=$1 method=$2
	shift 2
	start_vm b "$@" -incoming defer
	if [ "$channels" != 0 ]; then
		set_caps b multifd
		qmp_do b migrate-set-parameters "{\"multifd-channels\":$channels,
			\"multifd-compression\":\"$method\"}" >/dev/null
	fi
	qmp_do b migrate-incoming "{\"uri\":\"unix:$IN\"}" >/dev/null
}

goes_on() {
	wait_status b running
	counts_on a b
	assert_no_bad b
	stop_vm b
}

@test "one connection" {
	saved
	waits 0 none
	run -0 mrsend --json "$IMAGE" "unix:$IN"
	jq -e '.data > 60000000 and .data < 80000000 and .sent > .data and
		.run_state == "running"' <<<"$output"
	goes_on
}

@test "multifd: 1, 2, 8 channels; none, zlib, zstd" {
	saved
	for n in 1 2 8; do
		for method in none zlib zstd; do
			waits $n $method
			mrsend -q --channels=$n --compress=$method "$IMAGE" \
				"unix:$IN"
			goes_on
		done
	done
	waits 2 zstd
	mrsend -q --channels=2 --compress=zstd:9 "$IMAGE" "unix:$IN"
	goes_on
}

@test "machine types of before: barriers at each section" {
	local type
	for type in pc-i440fx-8.0 pc-q35-8.2; do
		saved -M $type
		waits 2 none -M $type
		mrsend -q --channels=2 "$IMAGE" "unix:$IN"
		goes_on
		stop_vm a
	done
}

@test "a plain stream, and what mrsend sends, mrrecv takes: the same memory" {
	saved
	mrrecv -q "unix:$IN" again.mr 3>&- &
	until [ -S "$IN" ]; do kill -0 $!; done
	mrsend -q --channels=3 --compress=zlib "$IMAGE" "unix:$IN"
	wait $!
	mrverify -q again.mr
	mrdiff -q "$IMAGE" again.mr
	# more channels than there are threads
	rm again.mr
	mrrecv -q "unix:$IN" again.mr 3>&- &
	until [ -S "$IN" ]; do kill -0 $!; done
	mrsend -q --channels=100 "$IMAGE" "unix:$IN"
	wait $!
	mrdiff -q "$IMAGE" again.mr
	# over what was handed to both, one connection
	mkfifo pipe
	mrrecv -q fd:5 piped.mr 5<pipe 3>&- &
	qmp_do a migrate "{\"uri\":\"exec:cat >$PWD/plain\"}" >/dev/null
	qmp_do a --wait-migration
	cat plain >pipe
	wait $!
	mrdiff -q plain piped.mr
	waits 0 none
	mrsend -q plain "unix:$IN"
	wait_status b paused
	qmp_do b cont
	goes_on
}

@test "a VM with a UUID: the channels have to say it" {
	local uuid=12345678-9abc-def0-1234-56789ABCDEF0
	saved -uuid $uuid
	waits 2 none -uuid $uuid
	mrsend -q --channels=2 --uuid=$uuid "$IMAGE" "unix:$IN"
	goes_on
}

@test "what does not fit: the destination says no, and mrsend says so" {
	saved
	waits 0 none -m 128M
	run -2 mrsend "$IMAGE" "unix:$IN"
	[[ $output == "mrsend: unix:$IN: the destination "*"see what it said"* ]]
	stop_vm b
	run -2 mrsend "$IMAGE" "unix:$VM_DIR/nobody"
	[[ $output == *"cannot connect"* ]]
	head -c 1000000 "$IMAGE" >cut.mr
	run -3 mrsend cut.mr "unix:$VM_DIR/nobody"
	[[ $output == "mrsend: cut.mr: "* ]]
}

@test "a destination that dies, and one that says nothing" {
	saved
	waits 0 none
	kill -STOP "$(vm_pid b)"
	run -2 mrsend --timeout=1 "$IMAGE" "unix:$IN"
	[[ $output == *"other end for 1 s"* ]]
	mrsend -q "$IMAGE" "unix:$IN" 2>says 3>&- &
	local pid=$! rc=0
	stop_vm b
	wait $pid || rc=$?
	[ $rc = 2 ]
}
