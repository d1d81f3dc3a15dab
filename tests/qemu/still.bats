# An image is one instant of the guest, whoever else has a monitor: what comes
# between the first page and the last byte is found out, and nothing appears.
. "$BATS_TEST_DIRNAME/../lib/vm.bash"

setup() {
	need_qemu
	IMAGE=$BATS_TEST_TMPDIR/image
	SAVER=
}

teardown() {
	[ -z "$SAVER" ] || kill -KILL "$SAVER" 2>/dev/null || :
	kill_vms
}

# Enough memory to be still at it when its first progress has been read.
start_big() {
	start_vm a -m 1G -append fill=640M "$@"
	wait_ready a
}

# Runs a tool until its first pages are done, and holds it there.
hold() { # COMMAND...
	local fifo=$BATS_TEST_TMPDIR/progress.$RANDOM line
	mkfifo "$fifo"
	"$@" --progress=4 4>"$fifo" 3>&- >"$BATS_TEST_TMPDIR/out" 2>&1 &
	SAVER=$!
	exec 5<"$fifo"
	# The first line may be 0/100.
	read -r line <&5
	while [[ $line == 0/* ]]; do read -r line <&5; done
	kill -STOP "$SAVER"
	exec 5<&-
	[ "$(sed 's/.*) //; s/ .*//' "/proc/$SAVER/stat")" != Z ]
}

let_go() { # sets status and output
	kill -CONT "$SAVER"
	status=0
	wait "$SAVER" || status=$?
	SAVER=
	output=$(cat "$BATS_TEST_TMPDIR/out")
	echo "status $status: $output"
}

nothing_published() {
	[ "$status" -eq 2 ]
	[ ! -e "$IMAGE" ]
	[ -z "$(find "$BATS_TEST_TMPDIR" -name '*image*')" ]
}

@test "resumed by somebody else while it is saved: nothing is published" {
	start_big
	hold mrsave -j 1 "$(vm_qmp a)" "$IMAGE"
	qmp_do a cont
	let_go
	nothing_published
	[[ $output == *RESUME* || $output == *"does not stand still"* ]]
	[[ $(qmp_do a query-status) == *running* ]]
	wait_checked a
	assert_no_bad a
}

@test "resumed and paused again while it is saved: nothing is published" {
	start_big
	hold mrsave -j 1 "$(vm_qmp a)" "$IMAGE"
	qmp_do a cont
	qmp_do a stop
	let_go
	nothing_published
	[[ $output == *RESUME* ]]
}

@test "reset, plugged or unplugged while it is saved: nothing is published" {
	start_big -device virtio-rng-pci,id=rng
	hold mrsave -j 1 "$(vm_qmp a)" "$IMAGE"
	qmp_do a device_add '{"driver":"usb-ehci","id":"more"}'
	let_go
	nothing_published
	[[ $output == *"devices (more child<usb-ehci>)"* ]]
	[[ $(qmp_do a query-status) == *running* ]]

	qmp_do a stop
	hold mrsave -j 1 "$(vm_qmp a)" "$IMAGE"
	qmp_do a object-add '{"qom-type":"memory-backend-ram","id":"m",
		"size":67108864}'
	let_go
	nothing_published
	[[ $output == *"memory blocks"* ]]

	hold mrsave -j 1 "$(vm_qmp a)" "$IMAGE"
	qmp_do a system_reset
	let_go
	nothing_published
	[[ $output == *RESET* ]]
}

@test "its memory file is cut short while it is saved: nothing is published" {
	local fd
	start_vm a -m 1G -append fill=640M -M memory-backend=m -object \
		memory-backend-memfd,id=m,size=1G,share=on,seal=off
	wait_ready a
	qmp_do a stop # that is the end of who looks at it
	fd=$(find "/proc/$(vm_pid a)/fd" -lname '/memfd:*')
	hold mrsave -j 1 --zero-copy=on "$(vm_qmp a)" "$IMAGE"
	truncate -s 100M "$fd"
	let_go
	nothing_published
	[[ $output == "mrsave: $(vm_qmp a): block 'm' has lost its memory at offset 0x6400000: somebody shrank the file behind it" ]]
	# nor afterwards, although it counts as never touched
	run mrsave "$(vm_qmp a)" "$IMAGE"
	nothing_published
	[[ $output == *"at offset 0x6400000"* ]]
	truncate -s 1G "$fd"
	wait_status a paused
	mrsave -q "$(vm_qmp a)" "$IMAGE"
}

@test "its name is taken while it is saved: no image, so it is not left paused" {
	start_big
	hold mrsave -j 1 --leave-paused "$(vm_qmp a)" "$IMAGE"
	echo mine >"$IMAGE"
	let_go
	[ "$status" -eq 2 ]
	[ "$(cat "$IMAGE")" = mine ]
	[[ $(qmp_do a query-status) == *running* ]]
}

@test "two savers at once, by two sockets: the second is refused" {
	start_big -qmp "unix:$VM_DIR/a.two,server=on,wait=off"
	hold mrsave -j 1 "$(vm_qmp a)" "$IMAGE"
	run mrsave "$VM_DIR/a.two" "$IMAGE.two"
	[ "$status" -eq 3 ]
	[[ $output == *"process $SAVER of user"* ]]
	[ ! -e "$IMAGE.two" ]
	run mrsave --check "$VM_DIR/a.two" "$IMAGE.two"
	[ "$status" -eq 3 ]
	run mrdiff "$VM_DIR/a.two" "$VM_DIR/a.two"
	[ "$status" -eq 3 ]
	[[ $output == *"process $SAVER of user"* ]]
	let_go
	[ "$status" -eq 0 ]
	mrverify "$IMAGE"
	# nothing stays behind, not even of one that was killed
	hold mrsave -j 1 "$(vm_qmp a)" "$IMAGE"
	kill -KILL "$SAVER"
	wait "$SAVER" || :
	SAVER=
	mrsave -q "$VM_DIR/a.two" "$IMAGE.two"
	[[ $(mrinspect --json "$IMAGE.two") == *'"run_state": "running"'* ]]
	[[ $(qmp_do a query-status) == *running* ]]
}

@test "resumed while it is compared: no result" {
	start_big
	qmp_do a stop
	mrsave -q "$(vm_qmp a)" "$IMAGE"
	hold mrdiff -j 1 "$IMAGE" "$(vm_qmp a)"
	qmp_do a cont
	let_go
	[ "$status" -eq 2 ]
	[[ $output == *RESUME* ]]
}

@test "resumed while its pages are shown: no page of another moment" {
	start_vm a -append fill=8M
	wait_ready a
	mrsave -q "$(vm_qmp a)" "$IMAGE"
	wait_count a 3
	qmp_do a stop
	mrdiff --hex "$IMAGE" "$(vm_qmp a)" >"$BATS_TEST_TMPDIR/all" || [ $? -eq 1 ]
	mkfifo "$BATS_TEST_TMPDIR/shown"
	# shellcheck disable=SC2094
	mrdiff --hex "$IMAGE" "$(vm_qmp a)" >"$BATS_TEST_TMPDIR/shown" \
		2>"$BATS_TEST_TMPDIR/out" 3>&- &
	SAVER=$!
	exec 5<"$BATS_TEST_TMPDIR/shown"
	read -r -u 5 _ # the rest does not fit into a pipe
	qmp_do a cont
	cat <&5 >"$BATS_TEST_TMPDIR/rest"
	exec 5<&-
	status=0
	wait $SAVER || status=$?
	[ "$status" -eq 2 ]
	grep RESUME "$BATS_TEST_TMPDIR/out"
	(($(wc -l <"$BATS_TEST_TMPDIR/rest") < $(wc -l <"$BATS_TEST_TMPDIR/all") - 100))
}
