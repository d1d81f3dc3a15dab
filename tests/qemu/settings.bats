# What belongs to the VM and to others: QEMU's migration settings, and a QEMU
# that is silent, hangs up, or ends while its guest stands still.
. "$BATS_TEST_DIRNAME/../lib/vm.bash"

setup() {
	need_qemu
	IMAGE=$BATS_TEST_TMPDIR/image
	SAVER=
}

teardown() {
	[ -z "$SAVER" ] || kill -KILL "$SAVER" 2>/dev/null || :
	[ ! -e "$VM_DIR/a.pid" ] || kill -CONT "$(vm_pid a)" 2>/dev/null || :
	kill_vms
}

settings() { # [VM]
	qmp_do "${1-a}" query-migrate-capabilities
	qmp_do "${1-a}" query-migrate-parameters
	qmp_do "${1-a}" query-fdsets
}

@test "a load leaves nothing behind" {
	local was
	start_vm a -m 32M -append fill=8M
	wait_ready a
	wait_count a
	mrsave -q --leave-paused "$(vm_qmp a)" "$IMAGE"
	start_vm b -m 32M -incoming defer
	set_caps b return-path
	was=$(settings b)
	mrload -q "$IMAGE" "$(vm_qmp b)"
	[ "$(settings b)" = "$was" ]
	counts_on a b
	# Nor does one that fails.
	need_qemu 9.1
	start_vm c -m 32M -device pci-ohci -S
	mrsave -q "$(vm_qmp c)" "$IMAGE"
	start_vm d -m 32M -device piix3-usb-uhci -incoming defer
	was=$(settings d)
	run -4 mrload -q "$IMAGE" "$(vm_qmp d)"
	[ "$(settings d)" = "$was" ]
}

@test "a capability that waits for a word is put off, and on again" {
	local was
	start_vm a -append fill=32M
	wait_ready a
	set_caps a pause-before-switchover return-path switchover-ack
	was=$(settings)
	for live in "" --live; do
		timeout 60 mrsave -q --engine=qemu $live "$(vm_qmp a)" "$IMAGE"
		[ "$(settings)" = "$was" ]
	done
	mrverify -q "$IMAGE"
	wait_checked a
	assert_no_bad a
}

@test "another mode of migration is put off, and on again" {
	local was
	start_vm a -append fill=32M
	wait_ready a
	qmp_do a migrate-set-parameters '{"mode":"cpr-reboot"}'
	was=$(settings)
	mrsave -q --engine=qemu "$(vm_qmp a)" "$IMAGE"
	[ "$(settings)" = "$was" ]
	incoming_vm b "$IMAGE"
	counts_on a b || wait_checked b
}

@test "killed while QEMU saves itself: its settings are as they were" {
	local was i
	start_vm a -m 1G -append fill=600M
	wait_ready a
	was=$(settings)
	for i in 1 2 3; do
		mrsave -q --engine=qemu "$(vm_qmp a)" "$IMAGE" 3>&- &
		SAVER=$!
		# as soon as something has changed
		until [ "$(settings)" != "$was" ]; do
			kill -0 "$SAVER"
		done
		kill -KILL "$SAVER"
		wait "$SAVER" || :
		SAVER=
		wait_status a running
		for _ in $(seq 500); do
			[ "$(settings)" != "$was" ] || break
			sleep 0.02
		done
		[ "$(settings)" = "$was" ]
	done
	wait_checked a
	assert_no_bad a
}

# Runs mrsave until its guest stands still, and holds it there.
hold_paused() { # ARGUMENTS...
	mrsave -q -j 1 "$@" "$IMAGE" 3>&- >"$BATS_TEST_TMPDIR/out" 2>&1 &
	SAVER=$!
	wait_status a paused
	kill -STOP "$SAVER"
}

end_of_saver() { # sets status and output
	kill -CONT "$SAVER" 2>/dev/null || :
	status=0
	wait "$SAVER" || status=$?
	SAVER=
	output=$(cat "$BATS_TEST_TMPDIR/out")
	echo "status $status: $output"
}

@test "a connection that is lost while the guest stands still" {
	start_vm a -m 1G -append fill=600M \
		-qmp "unix:$VM_DIR/a.raw,server=on,wait=off"
	wait_ready a
	# a proxy that passes descriptors on, and can be cut
	python3 - "$VM_DIR/a.raw" "$VM_DIR/proxy" "$VM_DIR/cut" <<-'PY' 3>&- &
		import array, os, select, socket, sys
		l = socket.socket(socket.AF_UNIX)
		l.bind(sys.argv[2])
		l.listen(5)
		def talk(c, s):
		    while True:
		        for f in select.select([c, s], [], [], 0.05)[0]:
		            data, anc, _, _ = f.recvmsg(65536, 64)
		            if not data:
		                return
		            (s if f is c else c).sendmsg([data], anc)
		            for a in anc:
		                for fd in array.array("i", a[2]): os.close(fd)
		        if os.path.exists(sys.argv[3]):
		            os.unlink(sys.argv[3])
		            return
		while True:
		    c = l.accept()[0]
		    s = socket.socket(socket.AF_UNIX)
		    s.connect(sys.argv[1])
		    talk(c, s)
		    c.close()
		    s.close()
	PY
	proxy=$!
	until [ -S "$VM_DIR/proxy" ]; do
		kill -0 "$proxy" # or it failed
		sleep 0.01
	done
	hold_paused --pid="$(vm_pid a)" "$VM_DIR/proxy"
	: >"$VM_DIR/cut"
	while [ -e "$VM_DIR/cut" ]; do
		kill -0 "$proxy"
		sleep 0.01
	done
	end_of_saver
	[ "$status" -eq 2 ]
	[ ! -e "$IMAGE" ]
	[[ $(qmp_do a query-status) == *running* ]]

	# the saver is killed, too: its guardian has to dial
	hold_paused --pid="$(vm_pid a)" "$VM_DIR/proxy"
	kill -KILL "$SAVER"
	: >"$VM_DIR/cut"
	wait_status a running
	kill "$proxy"
	wait_checked a
	assert_no_bad a
}

@test "QEMU ends while it is saved: told so, exit status 4" {
	start_vm a -m 1G -append fill=600M
	wait_ready a
	hold_paused "$(vm_qmp a)"
	kill -KILL "$(vm_pid a)"
	end_of_saver
	[ "$status" -eq 4 ]
	[[ $output == *"QEMU has ended"* ]]
	[ ! -e "$IMAGE" ]
}

@test "a QEMU that says nothing: a signal ends it" {
	start_vm a -m 1G -append fill=600M
	wait_ready a
	# before the guest is touched
	kill -STOP "$(vm_pid a)"
	mrsave -q "$(vm_qmp a)" "$IMAGE" 3>&- >"$BATS_TEST_TMPDIR/out" 2>&1 &
	SAVER=$!
	sleep 0.3
	kill -TERM "$SAVER"
	end_of_saver
	[ "$status" -eq 2 ]
	kill -CONT "$(vm_pid a)"
	# while it stands still
	hold_paused "$(vm_qmp a)"
	kill -STOP "$(vm_pid a)"
	kill -TERM "$SAVER"
	SECONDS=0
	end_of_saver
	((SECONDS < 40))
	[ "$status" -eq 4 ] # as far as anybody can tell
	[[ $output == *"a guardian goes on"* ]]
	[ ! -e "$IMAGE" ]
	# and the guardian brings it back
	kill -CONT "$(vm_pid a)"
	wait_status a running
	wait_checked a
	assert_no_bad a
}

@test "a limit on the size of files: an error, and the guest runs" {
	start_vm a -append fill=32M
	wait_ready a
	run bash -c "ulimit -f 1024; mrsave -q --engine=direct '$(vm_qmp a)' '$IMAGE'"
	echo "$output"
	[ "$status" -eq 2 ]
	[[ $output == *"File too large"* ]]
	[ ! -e "$IMAGE" ]
	[[ $(qmp_do a query-status) == *running* ]]
}

@test "saved, but nobody can be told: that is no failure of the save" {
	start_vm a -append fill=32M
	wait_ready a
	run bash -c "mrsave '$(vm_qmp a)' '$IMAGE' >/dev/full"
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"cannot write the result"* ]]
	mrverify -q "$IMAGE"
	# --check has no result but its text
	run bash -c "mrsave --check '$(vm_qmp a)' '$IMAGE' >/dev/full"
	[ "$status" -eq 2 ]
}
