# Every run state that a QEMU can be brought into here: saved from it, put back
# into it, and loaded again. The guest is a boot sector of a few bytes.
. "$BATS_TEST_DIRNAME/../lib/vm.bash"

setup() {
	need_qemu
	IMAGE=$BATS_TEST_TMPDIR/image
}

teardown() { kill_vms; }

# A diskette whose boot sector is these bytes, then stands still.
sector() { # BYTES...
	local file=$BATS_TEST_TMPDIR/floppy byte
	truncate -s 1474560 "$file"
	{
		for byte in "$@" f4 eb fd; do printf "\\x$byte"; done
	} | dd of="$file" conv=notrunc status=none
	printf '\x55\xaa' | dd of="$file" bs=1 seek=510 conv=notrunc status=none
	echo "if=floppy,format=raw,file.locking=off,file=$file"
}

start_bare() { # NAME ARGUMENTS...
	local name=$1
	shift
	vm_dir
	(
		ulimit -t 600
		exec "$QEMU" -name "$name" -accel tcg -nodefaults -M pc \
			-display none -m 32M \
			-qmp "unix:$VM_DIR/$name.qmp,server=on,wait=off" \
			-qmp "unix:$VM_DIR/$name.ctl,server=on,wait=off" \
			"$@" </dev/null >"$VM_DIR/$name.log" 2>&1 3>&-
	) &
	echo $! >"$VM_DIR/$name.pid"
}

state() { # NAME
	local s
	s=$(qmp_do "$1" query-status)
	s=${s#*\"status\":\"}
	echo "${s%%\"*}"
}

# VM a is in state $1: saved, it is in it still; its image says $2 and is so
# loaded (state $3, or $2). More arguments are the loading QEMU's.
saves_and_loads() {
	local before=$1 image=$2 after=${3:-$2}
	shift 3 || shift 2
	wait_status a "$before"
	mrsave -q --engine=direct "$(vm_qmp a)" "$IMAGE"
	[ "$(state a)" = "$before" ]
	[[ $(mrinspect --json "$IMAGE") == *"\"run_state\": \"$image\""* ]]
	mrverify -q "$IMAGE"
	start_bare b "$@" -incoming defer
	QEMU_PID=$(vm_pid b) qmp_do b query-status >/dev/null
	mrload -q "$IMAGE" "$(vm_qmp b)"
	[ "$(state b)" = "$after" ]
}

refused() { # STATE ENGINE
	wait_status a "$1"
	run mrsave -q --engine="$2" "$(vm_qmp a)" "$IMAGE"
	echo "$output"
	[ "$status" -eq 3 ]
	[ ! -e "$IMAGE" ]
	[ "$(state a)" = "$1" ]
}

@test "suspended (S3): it is stopped, saved, and suspended again" {
	local disk
	# out 0x604, SLP_EN and type 1
	disk=$(sector ba 04 06 b8 00 24 ef)
	start_bare a -drive "$disk"
	saves_and_loads suspended suspended suspended -drive "$disk"
	run mrdiff "$IMAGE" "$(vm_qmp a)"
	[ "$status" -eq 3 ]
	[[ $output == *"the VM is suspended"* ]]
	rm "$IMAGE"
	# QEMU's own save ends in a state from which it aborts
	refused suspended qemu
	# both wake up
	qmp_do b system_wakeup
	wait_status b running
	qmp_do a system_wakeup
	wait_status a running
}

@test "suspended, then stopped: still so when it goes on" {
	local disk
	disk=$(sector ba 04 06 b8 00 24 ef)
	start_bare a -drive "$disk"
	wait_status a suspended
	qmp_do a stop
	refused paused qemu
	[[ $output == *"suspended before it was stopped"* ]]
	saves_and_loads paused paused paused -drive "$disk"
	qmp_do b cont
	wait_status b suspended
	qmp_do a cont
	wait_status a suspended
}

@test "prelaunch" {
	start_bare a -S
	saves_and_loads prelaunch prelaunch
}

@test "guest-panicked" {
	local disk
	disk=$(sector ba 05 05 b0 01 ee) # out 0x505, 1
	start_bare a -device pvpanic -action panic=pause -drive "$disk"
	saves_and_loads guest-panicked guest-panicked guest-panicked \
		-device pvpanic -drive "$disk"
}

@test "shutdown" {
	local disk
	disk=$(sector ba 04 06 b8 00 20 ef) # out 0x604, SLP_EN and type 0
	start_bare a -no-shutdown -drive "$disk"
	saves_and_loads shutdown shutdown shutdown -drive "$disk"
}

@test "watchdog" {
	local disk
	disk=$(sector ba 43 04 b0 0f ee) # out 0x443, 15: at once
	start_bare a -device ib700 -action watchdog=pause -drive "$disk"
	saves_and_loads watchdog watchdog watchdog -device ib700 -drive "$disk"
}

@test "io-error" {
	local disk="driver=blkdebug,image.driver=null-co,image.size=1048576"
	start_bare a -blockdev "$disk,node-name=d,inject-error.0.event=none,inject-error.0.iotype=read,inject-error.0.errno=5" \
		-device ide-hd,drive=d,rerror=stop
	saves_and_loads io-error io-error io-error \
		-blockdev "$disk,node-name=d" -device ide-hd,drive=d
}

@test "debug: its image says paused, as QEMU aborts over the other" {
	start_bare a -S -gdb "unix:$VM_DIR/a.gdb,server=on,wait=off"
	QEMU_PID=$(vm_pid a) qmp_do a query-status >/dev/null
	# one step
	python3 - "$VM_DIR/a.gdb" <<-'PY'
		import socket, sys
		s = socket.socket(socket.AF_UNIX)
		s.connect(sys.argv[1])
		s.settimeout(60)
		s.sendall(b"+$s#73")
		said = b""
		while b"#" not in said: # "+", and that it has stopped
		    more = s.recv(100)
		    assert more
		    said += more
	PY
	saves_and_loads debug paused
}

@test "postmigrate: its image says paused; QEMU cannot save it again" {
	start_bare a -S
	QEMU_PID=$(vm_pid a) qmp_do a query-status >/dev/null
	qmp_do a cont
	wait_status a running
	qmp_do a stop
	qmp_do a migrate "{\"uri\":\"file:$BATS_TEST_TMPDIR/other\"}"
	qmp_do a --wait-migration
	refused postmigrate qemu
	[[ $output == *"cont"* ]]
	saves_and_loads postmigrate paused
}

@test "inmigrate and preconfig: nothing to save" {
	start_bare a -incoming defer
	QEMU_PID=$(vm_pid a) qmp_do a query-status >/dev/null
	refused inmigrate auto
	stop_vm a
	start_bare a --preconfig
	QEMU_PID=$(vm_pid a) qmp_do a query-status >/dev/null
	run mrsave -q "$(vm_qmp a)" "$IMAGE"
	echo "$output"
	[ "$status" -eq 3 ]
}

@test "an image in a state in which QEMU cannot begin is refused" {
	start_bare a -S
	QEMU_PID=$(vm_pid a) qmp_do a query-status >/dev/null
	mrsave -q --no-seal "$(vm_qmp a)" "$IMAGE"
	# as others write it
	python3 - "$IMAGE" <<-'PY'
		import sys
		old = b"\0\0\0\x0aprelaunch\0"
		data = open(sys.argv[1], "rb").read()
		assert data.count(old) == 1
		new = b"\0\0\0\x06debug".ljust(len(old), b"\0")
		open(sys.argv[1], "wb").write(data.replace(old, new))
	PY
	[[ $(mrinspect --json "$IMAGE") == *'"run_state": "debug"'* ]]
	start_bare b -incoming defer
	QEMU_PID=$(vm_pid b) qmp_do b query-status >/dev/null
	run mrload "$IMAGE" "$(vm_qmp b)"
	[ "$status" -eq 3 ]
	[[ $output == *"run state debug"* ]]
	[ "$(state b)" = inmigrate ]
}

@test "what QEMU would refuse later is refused beforehand" {
	# a proxy through which no descriptor comes
	start_bare a -S -qmp "unix:$VM_DIR/a.raw,server=on,wait=off"
	QEMU_PID=$(vm_pid a) qmp_do a query-status >/dev/null
	python3 - "$VM_DIR/a.raw" "$VM_DIR/proxy" <<-'PY' 3>&- &
		import os, select, socket, sys
		l = socket.socket(socket.AF_UNIX)
		l.bind(sys.argv[2])
		l.listen(1)
		for _ in range(2):
		    c = l.accept()[0]
		    s = socket.socket(socket.AF_UNIX)
		    s.connect(sys.argv[1])
		    while True:
		        for f in select.select([c, s], [], [])[0]:
		            data = f.recv(65536)
		            if not data:
		                break
		            (s if f is c else c).sendall(data)
		        else:
		            continue
		        break
		    c.close()
		    s.close()
	PY
	proxy=$!
	until [ -S "$VM_DIR/proxy" ]; do
		kill -0 "$proxy" # or it failed
		sleep 0.01
	done
	for engine in direct qemu; do
		run mrsave --pid="$(vm_pid a)" --engine=$engine --check \
			"$VM_DIR/proxy" "$IMAGE"
		echo "$output"
		[ "$status" -eq 3 ]
		[[ $output == *"descriptors do not reach QEMU"* ]]
	done
	wait "$proxy"

	# a copy of a disk is being made
	stop_vm a
	start_bare a -S -blockdev driver=null-co,size=1048576,node-name=d \
		-blockdev driver=null-co,size=1048576,node-name=to \
		-device ide-hd,drive=d
	QEMU_PID=$(vm_pid a) qmp_do a query-status >/dev/null
	qmp_do a blockdev-mirror '{"job-id":"j","device":"d","target":"to",
		"sync":"full"}'
	run mrsave --engine=qemu --check "$(vm_qmp a)" "$IMAGE"
	[ "$status" -eq 3 ]
	[[ $output == *"block job is at work"* ]]
	mrsave -q --engine=direct "$(vm_qmp a)" "$IMAGE"

	# a QEMU that takes no unstable commands
	stop_vm a
	start_bare a -S -compat unstable-input=reject
	QEMU_PID=$(vm_pid a) qmp_do a query-status >/dev/null
	run mrsave --check "$(vm_qmp a)" "$IMAGE"
	echo "$output"
	[ "$status" -eq 3 ]
	[[ $output == *"x-query-ramblock disabled by policy"* ]]
}
