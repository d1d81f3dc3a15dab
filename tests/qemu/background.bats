#!/usr/bin/env bats
# mrsave --live=background: the image is of one moment, and the guest runs on.

load ../lib/vm

setup() {
	need_qemu
	cd "$BATS_TEST_TMPDIR"
	IMAGE=$PWD/vm.mr
}

teardown() { kill_vms; }

# Whether QEMU may protect memory against writes by userfaultfd, here.
can() { # VM
	run mrsave --check --live=background "$(vm_qmp "$1")" "$IMAGE"
	[ "$status" = 0 ] || skip "$output"
}

loads() { # QEMU ARGUMENT...
	mrverify -q "$IMAGE"
	incoming_vm b "$IMAGE" "$@"
	qmp_do b cont >/dev/null
	wait_checked b
	assert_no_bad b
	stop_vm b
}

settings() {
	qmp_do a query-migrate-capabilities
	qmp_do a query-migrate-parameters
}

@test "a running guest: a whole, sealed image, loaded and begun on" {
	start_vm a -append fill=64M
	wait_ready a
	can a
	settings >before
	run -0 mrsave --live=background --json "$(vm_qmp a)" "$IMAGE"
	jq -e '.vm == "as found" and .sealed and .run_state == "running" and
		.engine == "qemu"' <<<"$output"
	settings | diff before -
	[[ $(qmp_do a query-status) == *running* ]]
	wait_checked a
	assert_no_bad a
	mrinspect --json "$IMAGE" | jq -e '[.. | .described? // empty] |
		length > 9 and (map(select(.)) | length > 9)' >/dev/null
	loads
	instant_vm b "$IMAGE" -- -m 256M
	wait_checked b
	assert_no_bad b
}

# 1536 pages say what the guest has counted to, one after the other: some have
# the next number, the others wait for it, and no page has a third.
one_moment() {
	python3 "$ROOT/tests/lib/one-moment.py" "$IMAGE"
}

@test "a guest that writes everywhere: one moment" {
	local last=0 n
	start_vm a -append "fill=64M tick=1"
	wait_count a 2
	can a
	for n in 1 2 3 4 5; do
		mrsave -q --live=background "$(vm_qmp a)" "$IMAGE"
		n=$(one_moment)
		((n > last))
		last=$n
	done
	loads
	wait_checked a
	assert_no_bad a
}

@test "a paused guest stays paused, and its image says so" {
	start_vm a -append fill=32M
	wait_ready a
	can a
	qmp_do a stop
	mrsave -q --live=background "$(vm_qmp a)" "$IMAGE"
	[[ $(qmp_do a query-status) == *paused* ]]
	mrsave -q "$(vm_qmp a)" ordinary.mr
	mrdiff -q ordinary.mr "$IMAGE"
	loads
}

@test "two in a row; memory in a shared file" {
	start_vm a -object memory-backend-memfd,id=m,size=256M,share=on \
		-M memory-backend=m -append fill=64M
	wait_ready a
	can a
	for i in 1 2; do
		mrsave -q --live=background "$(vm_qmp a)" "$IMAGE"
		loads -object memory-backend-memfd,id=m,size=256M,share=on \
			-M memory-backend=m
	done
	wait_checked a
	assert_no_bad a
}

@test "QEMU's own save right after it: that of before has been put away" {
	start_vm a -append fill=16M
	wait_ready a
	can a
	for i in 1 2 3 4 5 6 7 8; do
		mrsave -q --live=background "$(vm_qmp a)" "$IMAGE"
		mrsave -q --live --engine=qemu "$(vm_qmp a)" other.mr
	done
	wait_checked a
	assert_no_bad a
}

@test "--check: how long shared memory lets the guest stand still" {
	start_vm a -append fill=16M -machine memory-backend=m \
		-object memory-backend-memfd,id=m,size=256M
	wait_ready a
	can a
	run -0 mrsave --check --live=background "$(vm_qmp a)" "$IMAGE"
	[[ $output == *"pause      256 MiB of it is shared: about 4 ms"* ]]
	run -0 mrsave --check --json --live=background "$(vm_qmp a)" "$IMAGE"
	jq -e ".shared == $((256 << 20))" <<<"$output"
	start_vm b -append fill=16M
	wait_ready b
	run -0 mrsave --check --live=background "$(vm_qmp b)" "$IMAGE"
	[[ $output != *"pause "* ]]
}

# Between mrsave and VM a; before it lets the word $1 pass, another monitor does
# what $2 says.
meddle() { # WORD COMMAND ARGUMENTS
	python3 -c 'import array, select, socket, subprocess, sys
here, there, word, *command = sys.argv[1:]
listener = socket.socket(socket.AF_UNIX)
listener.bind(here)
listener.listen()
while True:
    a = listener.accept()[0]
    b = socket.socket(socket.AF_UNIX)
    b.connect(there)
    while True:
        for s in select.select([a, b], [], [])[0]:
            data, fds, _, _ = socket.recv_fds(s, 1 << 20, 8)
            if word.encode() in data and s is a:
                subprocess.run(command, stdout=subprocess.DEVNULL)
            if data:
                socket.send_fds(b if s is a else a, [data], fds)
        if not data:
            break
    a.close()
    b.close()' "$VM_DIR/proxy" "$(vm_qmp a)" "$1" qmp "$VM_DIR/a.ctl" "${@:2}" 3>&- &
	until [ -S "$VM_DIR/proxy" ]; do kill -0 $!; done
}

@test "somebody switches it off meanwhile: no image of another moment" {
	start_vm a -append fill=16M
	wait_ready a
	can a
	meddle '"migrate"' migrate-set-capabilities '{"capabilities":[
		{"capability":"background-snapshot","state":false}]}'
	local meddler=$!
	run -2 mrsave --live=background --force "$VM_DIR/proxy" "$IMAGE"
	[[ $output == *"ordinary migration"*"background-snapshot off"* ]]
	[[ $(qmp_do a query-status) == *running* ]]
	[ ! -e "$IMAGE" ]
	qmp_do a stop
	run -2 mrsave --live=background --force "$VM_DIR/proxy" "$IMAGE"
	[[ $output == *"ordinary migration"* ]]
	[ ! -e "$IMAGE" ]
	kill $meddler
	qmp_do a cont
	wait_checked a
	assert_no_bad a
}

@test "another migration that begins meanwhile is what it says" {
	start_vm a -append fill=64M
	wait_ready a
	can a
	qmp_do a migrate-set-parameters '{"max-bandwidth":1000000}'
	meddle '"background-snapshot"' migrate '{"uri":"exec:cat >/dev/null"}'
	local meddler=$!
	run -3 mrsave --live=background --force "$VM_DIR/proxy" "$IMAGE"
	[[ $output == *"a migration of this VM is under way"* ]]
	[[ $output != *userfaultfd* ]]
	[ ! -e "$IMAGE" ]
	kill $meddler
}

@test "not before the guest began: QEMU would abort" {
	start_vm a -S
	run -3 mrsave --live=background "$(vm_qmp a)" "$IMAGE"
	[[ $output == *"run state prelaunch"* ]]
	run -3 mrsave --check --live=background "$(vm_qmp a)" "$IMAGE"
	[[ $(qmp_do a query-status) == *prelaunch* ]]
	[ ! -e "$IMAGE" ]
}

@test "a full disk: nothing is published, the guest runs on" {
	start_vm a -append fill=64M
	wait_ready a
	can a
	settings >before
	run -2 bash -c 'ulimit -f 30000; exec mrsave --no-room-check \
		--live=background "$@"' - "$(vm_qmp a)" "$IMAGE"
	[[ $output == *"vm.mr: "* ]]
	settings | diff before -
	[ -z "$(ls -A | grep -v before)" ]
	wait_checked a
	assert_no_bad a
}

@test "interrupted, or killed: the guest runs on, its settings are put back" {
	start_vm a -append fill=128M
	wait_ready a
	can a
	settings >before
	for signal in TERM KILL; do
		mrsave -q --live=background "$(vm_qmp a)" "$IMAGE" 3>&- &
		until [[ $(qmp_do a query-migrate) == *active* ]]; do
			kill -0 $! || break
		done
		kill -$signal $! || :
		wait $! || :
		until settings | diff -q before -; do :; done
		[[ $(qmp_do a query-status) == *running* ]]
		wait_checked a
		rm -f "$IMAGE"
	done
	assert_no_bad a
}
