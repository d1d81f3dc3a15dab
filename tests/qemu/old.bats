#!/usr/bin/env bats
# A QEMU that has no mapped-ram (before 9.0): what needs it is refused, by its
# version, and its guest comes to no harm; images are played to it.

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

# VM a, which counts, goes into $IMAGE.
saved() { # QEMU ARGUMENT...
	local in=$VM_DIR/in.sock
	start_vm a "$@"
	wait_ready a
	wait_count a
	mrrecv -q "unix:$in" "$IMAGE" 3>&- &
	until [ -S "$in" ]; do kill -0 $!; done
	set_caps a return-path
	qmp_do a migrate "{\"uri\":\"unix:$in\"}"
	qmp_do a --wait-migration
	wait $!
}

# How VM b migrates.
settings() {
	qmp_do b query-migrate-parameters
	qmp_do b query-migrate-capabilities
}

@test "mrload: plays it, and says so" {
	local why="QEMU $have has no mapped-ram, that came with 9.0" was
	saved -append fill=32M
	start_vm b -incoming defer
	was=$(settings)
	run -0 mrload --check "$IMAGE" "$(vm_qmp b)"
	[[ $output == *"engine     sent as a plain stream: $why"* ]]
	wait_status b inmigrate
	run -0 mrload "$IMAGE" "$(vm_qmp b)"
	[[ $output == *'saved running, now running'* ]]
	[[ $output == *"engine     sent as a plain stream: $why"* ]]
	[ "$(settings)" = "$was" ]
	counts_on a b
	assert_no_bad b
	stop_vm b
	start_vm b -incoming defer
	run -0 mrload --json --paused "$IMAGE" "$(vm_qmp b)"
	jq -e ".way == \"sent\" and .why == \"$why\" and .jobs == 0 and
		.run_state == \"paused\" and .data > 30000000" <<<"$output"
	wait_status b paused
	qmp_do b cont
	counts_on a b
	assert_no_bad b
}

@test "mrload: memory with old content, none of it is left" {
	local file=$BATS_TEST_TMPDIR/ram size=size=64M
	saved -m 64M -M pc,memory-backend=m \
		-object "memory-backend-ram,id=m,$size"
	mrload -q --memory "m=$file.made" "$IMAGE"
	head -c 64M /dev/zero | tr '\0' x >"$file"
	start_vm b -m 64M -M pc,memory-backend=m -incoming defer \
		-object "memory-backend-file,id=m,$size,share=on,mem-path=$file"
	mrload -q --paused "$IMAGE" "$(vm_qmp b)"
	cmp "$file" "$file.made"
}

@test "mrload: what does not fit is told before, the VM still waits" {
	saved
	start_vm b -m 128M -incoming defer
	run -3 mrload "$IMAGE" "$(vm_qmp b)"
	[[ $output == *'pc.ram: 262144 KiB in the image, 131072 KiB in the VM'* ]]
	wait_status b inmigrate
	stop_vm b
	start_vm b -M q35 -incoming defer
	run -3 mrload "$IMAGE" "$(vm_qmp b)"
	[[ $output =~ machine\ type:\ pc-i440fx-.*\ in\ the\ image,\ pc-q35- ]]
	wait_status b inmigrate
}

@test "mrload: what QEMU will not load, exit 4" {
	saved -device pci-ohci
	start_vm b -device piix3-usb-uhci -incoming defer
	run -4 mrload "$IMAGE" "$(vm_qmp b)"
	[[ $output == *'QEMU could not load it; QEMU has ended'* ]]
}

# VM b stands still in the middle of it when it, or mrload, gets the signal.
disturb() { # SIGNAL vm|mrload
	local vm mrload rc=0 said=$BATS_TEST_TMPDIR/said
	start_vm b -incoming defer
	vm=$(vm_pid b)
	: >"$said"
	mrload -q -v "$IMAGE" "$(vm_qmp b)" 3>&- 2>"$said" &
	mrload=$!
	serial-wait "$said" 0 1 'mrload: QEMU has begun' $mrload
	kill -STOP "$vm"
	kill "-$1" "${!2}"
	kill -CONT "$vm" || :
	wait $mrload || rc=$?
	echo "status $rc, $(cat "$said")"
	[ $rc = 4 ]
	grep -F 'QEMU has ended' "$said"
	stop_vm b
}

@test "mrload: a QEMU that is killed, an mrload that is interrupted" {
	saved -append fill=160M
	disturb KILL vm
	grep -F 'could not load it' "$BATS_TEST_TMPDIR/said"
	disturb TERM mrload
	start_vm b -incoming defer
	mrload -q "$IMAGE" "$(vm_qmp b)"
	counts_on a b
}

@test "mrload: QEMU reads a plain stream itself" {
	start_vm a
	wait_ready a
	wait_count a
	qmp_do a migrate "{\"uri\":\"exec:cat >$IMAGE\"}"
	qmp_do a --wait-migration
	start_vm b -incoming defer
	run -0 mrload --json "$IMAGE" "$(vm_qmp b)"
	jq -e '.way == "read" and .why == null' <<<"$output"
	counts_on a b
	assert_no_bad b
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

# It is read as what the guest had, and loaded: by being played, as no QEMU
# reads it that was not told to.
@test "capability compress: its streams, and mrrecv of one" {
	local ram=$BATS_TEST_TMPDIR/ram in=$VM_DIR/in.sock
	local board="-m 64M -M pc,memory-backend=m
		-object memory-backend-file,id=m,size=64M,share=on,mem-path="
	start_vm a $board"$ram" -append fill=16M
	wait_ready a
	wait_count a
	set_caps a compress
	qmp_do a stop
	qmp_do a migrate "{\"uri\":\"exec:cat >$IMAGE\"}"
	qmp_do a --wait-migration
	run -0 mrinspect --json "$IMAGE"
	jq -e '.files[0] | .verdict == "sound" and
		(.blocks | map(.compress_words) | add) > 1000' <<<"$output"
	mrverify "$IMAGE"
	mrload -q --memory "m=$ram.made" "$IMAGE"
	cmp "$ram" "$ram.made"
	mrconvert -q "$IMAGE" "$IMAGE.mr"
	mrdiff -q "$IMAGE" "$IMAGE.mr"
	start_vm b $board"$ram.made" -incoming defer
	run -0 mrload --json "$IMAGE" "$(vm_qmp b)"
	jq -e '.way == "sent" and (.why | contains("compress")) and
		.data > 16777216 and .data < .ram' <<<"$output"
	qmp_do b cont
	counts_on a b
	assert_no_bad b
	stop_vm b
	qmp_do a cont
	wait_count a 2
	qmp_do a stop
	mrrecv -q "unix:$in" "$IMAGE.recv" 3>&- &
	until [ -S "$in" ]; do kill -0 $!; done
	qmp_do a migrate "{\"uri\":\"unix:$in\"}"
	qmp_do a --wait-migration
	wait $!
	mrverify -q "$IMAGE.recv"
	mrload -q --memory "m=$ram.made" "$IMAGE.recv"
	cmp "$ram" "$ram.made"
}
