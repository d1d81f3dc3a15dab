#!/usr/bin/env bats
# mrsave against a real QEMU: images that QEMU alone loads, and a VM that
# comes to no harm.

load ../lib/vm

setup() {
	need_qemu
	IMAGE=$BATS_TEST_TMPDIR/image
}

teardown() {
	kill_vms
	[ ! -s "$BATS_TEST_TMPDIR/pool" ] ||
		cat "$BATS_TEST_TMPDIR/pool" \
			>/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
	[ ! -d "$BATS_TEST_TMPDIR/small" ] ||
		umount "$BATS_TEST_TMPDIR/small" 2>/dev/null || :
}

# A guest that is saved here and loaded by QEMU alone counts on.
save_and_move() { # QEMU ARGUMENT...
	start_vm a "$@"
	wait_ready a
	wait_count a 3
	wait_checked a
	mrsave --leave-paused "$(vm_qmp a)" "$IMAGE"
	[[ $(qmp_do a query-status) == *'"paused"'* ]]
	incoming_vm b "$IMAGE" "$@"
	counts_on a b
	assert_no_bad b
	# And the other one goes on as well.
	qmp_do a cont
	wait_checked a
	assert_no_bad a
}

# VM a still runs, and its memory is as it was.
unharmed() {
	wait_status a running
	wait_count a 2
	assert_no_bad a
}

# The descriptor behind the memory of VM $1.
memfd_of() {
	find "/proc/$(vm_pid "$1")/fd" -lname '/memfd:*' | head -n 1
}

# How long a save of VM a takes here and now, in milliseconds; it is left.
measure() { # MRSAVE ARGUMENT...
	local begin
	begin=$(date +%s%N)
	mrsave -q "$@" "$(vm_qmp a)" "$IMAGE"
	SAVE_MS=$((($(date +%s%N) - begin) / 1000000 + 1))
}

# A leak check at exit that the signal falls into may hang for ever.
interrupt_at() {
	ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 timeout -s INT "$@"
}

# A random moment in it, in seconds for timeout; 0 would be no limit.
moment() {
	local ms=$((RANDOM % SAVE_MS + 1))
	printf '%d.%03d' $((ms / 1000)) $((ms % 1000))
}

no_temporary() {
	run ! compgen -G "$BATS_TEST_TMPDIR/.*.tmp"
}

@test "pc: one anonymous block" {
	save_and_move -M pc
}

@test "q35: one memfd block" {
	save_and_move -M q35,memory-backend=m -m 256M \
		-object memory-backend-memfd,id=m,size=256M,share=on
}

# bats test_tags=address,thread
@test "q35: nodes of anonymous, memfd and file memory, above 4 GiB too" {
	save_and_move -M q35,max-ram-below-4g=192M -m 384M \
		-object memory-backend-memfd,id=m0,size=128M,share=on \
		-object memory-backend-ram,id=m1,size=128M \
		-object "memory-backend-file,id=m2,size=128M,share=on,mem-path=$BATS_TEST_TMPDIR/m2" \
		-numa node,memdev=m0 -numa node,memdev=m1 -numa node,memdev=m2
}

@test "a dimm" {
	save_and_move -m 128M,slots=1,maxmem=1G -append "range=4G:128M" \
		-object memory-backend-ram,id=d,size=128M \
		-device pc-dimm,memdev=d
}

@test "memory that is a private mapping of a file" {
	# As after an instant restore: absent pages hold what the file does.
	truncate -s 256M "$BATS_TEST_TMPDIR/ram"
	save_and_move -M pc,memory-backend=m -m 256M \
		-object "memory-backend-file,id=m,size=256M,share=off,mem-path=$BATS_TEST_TMPDIR/ram"
}

@test "huge pages" {
	local pages=/sys/kernel/mm/hugepages/hugepages-2048kB
	# Who changes the machine's number does it alone.
	{ exec 9<"$pages/nr_hugepages" && flock 9; } ||
		skip "no huge pages in this kernel"
	cp "$pages/nr_hugepages" "$BATS_TEST_TMPDIR/pool" ||
		skip "no huge pages in this kernel"
	echo 80 >"$pages/nr_hugepages" || skip "may not reserve huge pages"
	(($(cat "$pages/free_hugepages") >= 64)) ||
		skip "no room for 64 huge pages"
	start_vm a -M pc,memory-backend=m -m 128M \
		-object memory-backend-memfd,id=m,size=128M,share=on,hugetlb=on,hugetlbsize=2M
	wait_ready a
	wait_count a
	qmp_do a stop
	run -0 mrsave "$(vm_qmp a)" "$IMAGE"
	run -0 mrsave --zero-copy=off "$(vm_qmp a)" "$IMAGE.copied"
	same_but_made "$IMAGE" "$IMAGE.copied"
	# What the guest never touched is still in the pool.
	(($(cat "$pages/free_hugepages") > 16))
	incoming_vm b "$IMAGE" -M pc,memory-backend=m -m 128M \
		-object memory-backend-memfd,id=m,size=128M,share=on
	qmp_do b cont
	counts_on a b
	assert_no_bad b
}

# bats test_tags=address
@test "a running guest goes on, and its image is that of one instant" {
	start_vm a
	wait_ready a
	run -0 mrsave "$(vm_qmp a)" "$IMAGE"
	[[ $output == *"found running, left as found"* ]]
	unharmed
	incoming_vm b "$IMAGE"
	wait_checked b
	assert_no_bad b
	[ "$(stat -c %a "$IMAGE")" = 600 ]
	no_temporary
}

@test "a paused guest stays paused; its image loads as paused" {
	start_vm a
	wait_ready a
	wait_count a
	qmp_do a stop
	run -0 mrsave "$(vm_qmp a)" "$IMAGE"
	[[ $output == *"found paused, left as found"* ]]
	[[ $(qmp_do a query-status) == *'"paused"'* ]]
	incoming_vm b "$IMAGE"
	[[ $(qmp_do b query-status) == *'"paused"'* ]]
	qmp_do b cont
	counts_on a b
}

# bats test_tags=thread
@test "any number of workers makes the same file" {
	# The clock of a paused VM goes on otherwise, and is device state.
	start_vm a
	wait_ready a
	wait_count a
	qmp_do a stop
	for jobs in 1 2 8; do
		mrsave -j "$jobs" "$(vm_qmp a)" "$IMAGE.$jobs"
	done
	mrsave --direct=off "$(vm_qmp a)" "$IMAGE.buffered"
	same_but_made "$IMAGE.1" "$IMAGE.2"
	same_but_made "$IMAGE.1" "$IMAGE.8"
	same_but_made "$IMAGE.1" "$IMAGE.buffered"
}

# bats test_tags=address,thread
@test "shared memory written in place: the same file, and it does not grow" {
	local before after
	# The clock of a paused VM goes on otherwise, and is device state.
	start_vm a -M q35,memory-backend=m -m 256M \
		-object memory-backend-memfd,id=m,size=256M,share=on
	wait_ready a
	wait_count a
	qmp_do a stop
	before=$(stat -L -c %b "$(memfd_of a)")
	mrsave --zero-copy=on "$(vm_qmp a)" "$IMAGE.1"
	mrsave --zero-copy=off "$(vm_qmp a)" "$IMAGE.2"
	after=$(stat -L -c %b "$(memfd_of a)")
	same_but_made "$IMAGE.1" "$IMAGE.2"
	((before == after))
}

@test "save, load, save: the memory is equal" {
	local end
	start_vm a
	wait_ready a
	wait_count a
	qmp_do a stop
	mrsave "$(vm_qmp a)" "$IMAGE"
	incoming_vm b "$IMAGE"
	mrsave "$(vm_qmp b)" "$IMAGE.2"
	# pc.ram is the first block: 256 MiB from 1 MiB on, after its bitmap.
	cmp -n $((257 << 20)) "$IMAGE" "$IMAGE.2"
}

# bats test_tags=address
@test "a device that cannot be migrated: refused, and the guest runs" {
	# Others that could not once can now: nvme since 11.0.
	start_vm a -device rocker,name=r
	wait_ready a
	run -3 mrsave "$(vm_qmp a)" "$IMAGE"
	[[ $output == *"cannot migrate this VM"*rocker* ]]
	run -3 mrsave --engine=qemu "$(vm_qmp a)" "$IMAGE"
	[ ! -e "$IMAGE" ]
	unharmed
}

@test "a migration blocker: refused, and the guest runs" {
	start_vm a -object memory-backend-ram,id=s,size=1M,share=on \
		-device ivshmem-plain,memdev=s
	wait_ready a
	run -3 mrsave "$(vm_qmp a)" "$IMAGE"
	[[ $output == *"cannot migrate this VM"*ivshmem* ]]
	[ ! -e "$IMAGE" ]
	unharmed
}

@test "the VM's own file is not overwritten" {
	local ram=$BATS_TEST_TMPDIR/ram
	start_vm a -M pc,memory-backend=m -m 64M -append "fill=16M" \
		-object "memory-backend-file,id=m,size=64M,share=on,mem-path=$ram"
	wait_ready a
	run -3 mrsave "$(vm_qmp a)" "$ram"
	[[ $output == *"not replaced"* ]] # it is no image
	run -3 mrsave --force "$(vm_qmp a)" "$ram"
	[[ $output == *"uses this file"* ]]
	ln -s ram "$BATS_TEST_TMPDIR/link"
	run -3 mrsave "$(vm_qmp a)" "$BATS_TEST_TMPDIR/link"
	unharmed
}

@test "--check asks and touches nothing" {
	start_vm a
	wait_ready a
	run -0 mrsave --check "$(vm_qmp a)" "$IMAGE"
	[[ $output == *"engine     direct"*"room       at most"* ]]
	[ ! -e "$IMAGE" ]
	run -0 mrsave --check --json "$(vm_qmp a)" "$IMAGE"
	[[ $output == *'"estimate": '* ]]
	unharmed
}

@test "killed at any moment: the guest runs, the old file stays" {
	local i rc killed=0 old="LibvirtQemudSave: an old one"
	start_vm a -append "fill=96M"
	wait_ready a
	measure
	echo "$old" >"$IMAGE"
	for ((i = 0; i < 200 && killed < 25; i++)); do
		rc=0
		timeout -s KILL "$(moment)" \
			mrsave -q "$(vm_qmp a)" "$IMAGE" || rc=$?
		if ((rc == 137)); then
			killed=$((killed + 1))
		else
			((rc == 0))
		fi
		wait_status a running
		wait_count a
		[ "$(head -c 4 "$IMAGE" | tr -d '\0')" = QEVM ] ||
			[ "$(cat "$IMAGE")" = "$old" ]
		echo "$old" >"$IMAGE"
	done
	assert_no_bad a
	((killed == 25))
}

# bats test_tags=address
@test "interrupted: exit 2, no file, the guest runs" {
	local i rc hit=0
	start_vm a -append "fill=160M"
	wait_ready a
	measure
	for ((i = 0; i < 100 && hit < 3; i++)); do
		rc=0
		interrupt_at "$(moment)" \
			mrsave -q "$(vm_qmp a)" "$IMAGE" || rc=$?
		[ -e "$IMAGE" ] || hit=$((hit + 1))
		rm -f "$IMAGE"
		unharmed
		no_temporary
	done
	((hit == 3))
}

@test "a full file system: exit 2, no file, the guest runs" {
	local dir=$BATS_TEST_TMPDIR/small
	mkdir "$dir"
	mount -t tmpfs -o size=24M none "$dir" 2>/dev/null ||
		skip "may not mount a small file system"
	start_vm a
	wait_ready a
	run -3 mrsave "$(vm_qmp a)" "$dir/image"
	[[ $output == *"the file system has"* ]]
	run -2 mrsave --no-room-check "$(vm_qmp a)" "$dir/image"
	[[ $output == *"No space left on device"* ]]
	[ -z "$(ls -A "$dir")" ]
	unharmed
}

# bats test_tags=address,thread
@test "the same with direct I/O, on a small disk" {
	local dir=$BATS_TEST_TMPDIR/small
	mkdir "$dir"
	type mkfs.ext4 >/dev/null || skip "no mkfs.ext4"
	truncate -s 64M "$BATS_TEST_TMPDIR/disk"
	mkfs.ext4 -q "$BATS_TEST_TMPDIR/disk"
	mount -o loop "$BATS_TEST_TMPDIR/disk" "$dir" 2>/dev/null ||
		skip "may not mount a disk image"
	start_vm a
	wait_ready a
	run -2 mrsave --no-room-check "$(vm_qmp a)" "$dir/image"
	[[ $output == *"No space left on device"* ]]
	[ "$(ls -A "$dir")" = lost+found ]
	unharmed
}

# bats test_tags=address
@test "64 GiB, of which little was touched" {
	start_vm a -M q35,memory-backend=m -m 64G -append "fill=192M zero=8M" \
		-object memory-backend-ram,id=m,size=64G,reserve=off
	wait_ready a
	run -0 peak-memory mrsave --json "$(vm_qmp a)" "$IMAGE"
	[[ $output =~ \"scanned\":\ ([0-9]+) ]]
	((BASH_REMATCH[1] < 320 << 20))
	[[ $output =~ peak\ ([0-9]+)\ KiB ]]
	((BASH_REMATCH[1] < 128 << 10))
	unharmed
}

# bats test_tags=address
@test "QEMU saves itself: a running guest" {
	need_qemu 9.1
	start_vm a
	wait_ready a
	run -0 --separate-stderr mrsave --engine=qemu "$(vm_qmp a)" "$IMAGE"
	[[ $output == *"engine     qemu"* ]]
	[ -z "$stderr" ]
	unharmed
	run -0 qmp_do a query-migrate-capabilities
	[[ $output =~ '"mapped-ram"' ]]
	incoming_vm b "$IMAGE"
	wait_status b running
	wait_checked b
	# And it can be saved again.
	mrsave --engine=qemu "$(vm_qmp a)" "$IMAGE"
	unharmed
}

@test "no right to read QEMU's memory: QEMU saves itself" {
	need_qemu 9.1
	local as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	[ "$(id -u)" = 0 ] || skip "not root: no other user to be"
	start_vm a
	wait_ready a
	# All in a place that the other user can reach.
	chmod 755 "$VM_DIR"
	chmod 666 "$(vm_qmp a)"
	cp "$(command -v mrsave)" "$VM_DIR"
	mkdir "$VM_DIR/out"
	chown 65534 "$VM_DIR/out"
	run -0 --separate-stderr "${as[@]}" "$VM_DIR/mrsave" --name web1 \
		"$(vm_qmp a)" "$VM_DIR/out/image"
	[[ $output == *"engine     qemu"*"process"* ]]
	[ "$stderr" = "mrsave: --name is of no use: QEMU makes the image itself, without a seal: when and of which VM is not in it; mrverify --seal adds digests alone" ]
	run -0 --separate-stderr "${as[@]}" "$VM_DIR/mrsave" --check \
		"$(vm_qmp a)" "$VM_DIR/out/none"
	[[ $stderr == "mrsave: QEMU makes the image itself, without a seal: "* ]]
	run -0 --separate-stderr "${as[@]}" "$VM_DIR/mrsave" --check --no-seal \
		"$(vm_qmp a)" "$VM_DIR/out/none"
	[ -z "$stderr" ]
	run -3 "${as[@]}" "$VM_DIR/mrsave" --engine=direct "$(vm_qmp a)" \
		"$VM_DIR/out/second"
	[[ $output == *"--engine=qemu"* ]]
	[ ! -e "$VM_DIR/out/second" ]
	unharmed
	incoming_vm b "$VM_DIR/out/image"
	wait_checked b
}

@test "QEMU saves itself: not where there may be no room" {
	need_qemu 9.1
	local dir=$BATS_TEST_TMPDIR/small
	mkdir "$dir"
	mount -t tmpfs -o size=24M none "$dir" 2>/dev/null ||
		skip "may not mount a small file system"
	start_vm a
	wait_ready a
	run -3 mrsave --engine=qemu "$(vm_qmp a)" "$dir/image"
	[[ $output == *"running out of room can crash QEMU"* ]]
	[ -z "$(ls -A "$dir")" ]
	unharmed
}

@test "QEMU saves itself: interrupted, it ends first, and the guest runs" {
	need_qemu 9.1
	local i rc hit=0
	start_vm a -append "fill=160M"
	wait_ready a
	measure --engine=qemu
	for ((i = 0; i < 100 && hit < 3; i++)); do
		rc=0
		interrupt_at "$(moment)" \
			mrsave -q --engine=qemu "$(vm_qmp a)" "$IMAGE" || rc=$?
		((rc == 0 || rc == 124)) # of timeout: it came too late, or not
		[ -e "$IMAGE" ] || hit=$((hit + 1))
		rm -f "$IMAGE"
		unharmed
		no_temporary
	done
	((hit == 3))
}

@test "QEMU saves itself: live" {
	need_qemu 9.1
	start_vm a -append "fill=16M"
	wait_ready a
	mrsave --engine=qemu --live "$(vm_qmp a)" "$IMAGE"
	unharmed
	incoming_vm b "$IMAGE"
	wait_checked b
}

# bats test_tags=address
@test "QEMU saves itself: a paused guest" {
	need_qemu 9.1
	start_vm a
	wait_ready a
	wait_count a
	qmp_do a stop
	run -0 mrsave --engine=qemu "$(vm_qmp a)" "$IMAGE"
	[[ $output == *postmigrate* ]]
	incoming_vm b "$IMAGE"
	[[ $(qmp_do b query-status) == *'"paused"'* ]]
	qmp_do b cont
	counts_on a b
	qmp_do a cont
	unharmed
}

@test "QEMU saves itself: killed at any moment, the guest runs" {
	need_qemu 9.1
	local i rc killed=0
	start_vm a
	wait_ready a
	measure --engine=qemu
	for ((i = 0; i < 100 && killed < 8; i++)); do
		rc=0
		timeout -s KILL "$(moment)" \
			mrsave -q --engine=qemu "$(vm_qmp a)" "$IMAGE" || rc=$?
		# 3: QEMU is still busy with leaving the last one.
		((rc == 0 || rc == 137 || rc == 3))
		((rc != 137)) || killed=$((killed + 1))
		wait_status a running
		wait_count a
		rm -f "$IMAGE"
	done
	assert_no_bad a
	((killed == 8))
}

@test "the UUID is in the image if QEMU would send it" {
	local id=01234567-89ab-cdef-0123-456789abcdef
	start_vm a -uuid "$id" -append fill=16M
	wait_ready a
	local before after
	before=$(date +%s)
	run -0 mrsave --json "$(vm_qmp a)" "$IMAGE"
	after=$(date +%s)
	[[ $output == *'"name": "a"'*"\"uuid\": \"$id\""* ]]
	mrinspect --json "$IMAGE" | jq -e ".files[0] | .uuid == null and (.label |
		.name == \"a\" and .uuid == \"$id\" and
		.made >= $before and .made <= $after)"
	mrsave -q --name web1 "$(vm_qmp a)" "$IMAGE"
	[[ $(mrinspect --list "$IMAGE" | tr -s ' ') == *" whole web1 "*"$(date -u +%Y)-"* ]]
	run ! grep uuid <(mrinspect -v "$IMAGE")
	incoming_vm b "$IMAGE" -uuid "${id/0/1}" -append fill=16M
	wait_checked b
	set_caps a validate-uuid
	mrsave -q "$(vm_qmp a)" "$IMAGE"
	mrinspect -v "$IMAGE" | grep "^  uuid  *$id$"
	mrverify -q "$IMAGE"
	incoming_vm c "$IMAGE" -uuid "$id" -append fill=16M
	wait_checked c
	run ! incoming_vm d "$IMAGE" -uuid "${id/0/1}" -append fill=16M
	assert_no_bad a
}

@test "a reader that does not read does not keep the guest paused" {
	start_vm a
	wait_ready a
	cd "$BATS_TEST_TMPDIR"
	mkfifo pipe
	for how in --progress=7 -v; do
		exec 7<>pipe
		dd if=/dev/zero of=pipe bs=4096 oflag=nonblock 2>/dev/null || :
		mrsave $how "$(vm_qmp a)" image 2>&7 >out 3>&- &
		pid=$!
		until [ -e image ]; do
			kill -0 $pid
		done
		wait_count a 2
		kill -0 $pid # it waits for its reader now
		dd if=pipe of=drained bs=1M count=1 2>/dev/null
		wait $pid
		exec 7<&-
		mrverify -q image
		rm image
	done
	# Nor does such a mrsave ignore a signal.
	exec 7<>pipe
	dd if=/dev/zero of=pipe bs=4096 oflag=nonblock 2>/dev/null || :
	mrsave --progress=7 "$(vm_qmp a)" image >out 3>&- &
	pid=$!
	until [ -e image ]; do
		kill -0 $pid
	done
	kill -TERM $pid
	wait $pid
	exec 7<&-
	assert_no_bad a
}
