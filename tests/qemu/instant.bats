#!/usr/bin/env bats
# mrload --instant against a real QEMU: memory that is a mapping of the image.

load ../lib/vm

setup() {
	need_qemu
	IMAGE=$BATS_TEST_TMPDIR/image
}

teardown() {
	kill_vms
	[ ! -s "$BATS_TEST_TMPDIR/pool" ] ||
		cat "$BATS_TEST_TMPDIR/pool" >/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
}

# An image of VM a, which has begun to count and stands still then.
saved_vm() { # QEMU ARGUMENT...
	start_vm a "$@"
	wait_ready a
	wait_count a 3
	mrsave -q --leave-paused "$(vm_qmp a)" "$IMAGE"
}

# VM b begins on the image, goes on from there and finds its memory right; the
# image stays what it was.
goes_on() { # QEMU ARGUMENT...
	local sum
	sum=$(sha256sum <"$IMAGE")
	instant_vm b "$IMAGE" -- "$@"
	counts_on a b
	assert_no_bad b
	[ "$(sha256sum <"$IMAGE")" = "$sum" ]
}

log_of() { cat "$VM_DIR/$1.log"; }

# MiB of the image that a VM has mapped.
mapped() {
	local range file sum=0
	while read -r range _ _ _ _ file; do
		[ "$file" != "$IMAGE" ] ||
			sum=$((sum + 0x${range#*-} - 0x${range%-*}))
	done <"/proc/$(vm_pid "$1")/maps"
	echo $((sum >> 20))
}

# bats test_tags=address
@test "pc: a VM of -m alone" {
	saved_vm -M pc
	goes_on -M pc
	[ "$(mapped b)" = 256 ]
	[[ $(log_of b) == *"machine pc: pc-i440fx-"*", as the image has it"* ]]
	run -0 qmp_do b query-migrate
	[[ $output == *completed* ]]
}

@test "q35: two nodes and a dimm, two CPUs" {
	local memory=(-M q35 -m 256M,slots=2,maxmem=1G -smp 2
		-object memory-backend-memfd,id=m0,size=128M,share=on
		-object '{"qom-type":"memory-backend-ram","id":"m1","size":134217728}'
		-numa node,memdev=m0 -numa node,memdev=m1
		-object memory-backend-ram,id=d,size=128M -device pc-dimm,memdev=d)
	saved_vm "${memory[@]}"
	goes_on "${memory[@]}"
	[ "$(mapped b)" = 384 ]
	[[ $(log_of b) == *"object m0: without share=on"* ]]
}

@test "microvm" {
	saved_vm -M microvm -m 64M
	goes_on -M microvm -m 64M
	[ "$(mapped b)" = 64 ]
}

@test "memory of an object that has its path as its name" {
	local memory=(-M q35,memory-backend=m -m 64M -object
		memory-backend-ram,id=m,size=64M,x-use-canonical-path-for-ramblock-id=on)
	saved_vm "${memory[@]}"
	goes_on "${memory[@]}"
	[ "$(mapped b)" = 64 ]
	mrinspect -v "$IMAGE" | grep -q /objects/m
	mrsave -q "$(vm_qmp b)" "$IMAGE.2"
	mrinspect -v "$IMAGE.2" | grep -q /objects/m
}

@test "QEMU's own image" {
	start_vm a
	wait_ready a
	wait_count a 3
	qemu_save a "$IMAGE" multifd
	goes_on
}

# Pages that the image lacks, in the command that begins on it.
searched() { # IMAGE
	mrload -q --force --instant --json --print "$1" -- "$QEMU" -m 32M |
		json stale_pages
}

# VM a saved live, with stale pages: it depends on the moment how many.
stale_save() { # IMAGE
	local try
	for try in 1 2 3 4 5; do
		qemu_live_save a "$1"
		(($(searched "$1") == 0)) || return 0
		rm "$1"
		qmp_do a cont >/dev/null
		wait_count a >/dev/null
	done
	return 1
}

@test "QEMU's own image, saved live: stale pages are zero" {
	start_vm a -m 32M -append fill=8M
	wait_ready a
	wait_count a 3
	stale_save "$IMAGE"
	goes_on -m 32M -append fill=8M
}

@test "a seal saves the search for stale pages" {
	start_vm a -m 32M -append fill=8M
	wait_ready a
	wait_count a 3
	qmp_do a stop >/dev/null
	mrsave -q "$(vm_qmp a)" "$IMAGE"
	qmp_do a cont >/dev/null
	cp --sparse=never "$IMAGE" "$IMAGE.full"
	mrsave -q --no-seal "$(vm_qmp a)" "$IMAGE.bare"
	cp --sparse=never "$IMAGE.bare" "$IMAGE.bare-full"
	stale_save "$IMAGE.live"
	mrverify -q --seal "$IMAGE.live"
	# Zeros, but that has to be known.
	[ "$(searched "$IMAGE.full")" = 0 ]
	(($(searched "$IMAGE.bare-full") > 1000))
	(($(searched "$IMAGE.live") > 0))
	mrverify -q --repair "$IMAGE.live"
	[ "$(searched "$IMAGE.live")" = 0 ]
	IMAGE=$IMAGE.full
	stop_vm a
	instant_vm b "$IMAGE" --run -- -m 32M -append fill=8M
	wait_checked b
	assert_no_bad b
	# One that is damaged says nothing, to who takes the image all the same.
	printf x | dd of="$IMAGE" bs=1 seek=$(($(stat -c %s "$IMAGE") - 40)) \
		conv=notrunc status=none
	run -3 mrload --instant --check "$IMAGE" -- "$QEMU" -m 32M
	[[ $output == *"loaded only with --force: the seal is damaged"* ]]
	(($(searched "$IMAGE") > 1000))
}

@test "libvirt's sparse image, whose flag says whether the guest runs" {
	start_vm a
	wait_ready a
	wait_count a 3
	libvirt_save 6 1 mapped-ram multifd
	goes_on
	[ "$(mapped b)" = 256 ]
	stop_vm b
	printf '\0' | dd of="$IMAGE" bs=1 seek=24 conv=notrunc status=none
	instant_vm b "$IMAGE" --
	wait_status b paused
}

@test "it ends as it was saved, or as it is told" {
	saved_vm -m 64M
	instant_vm b "$IMAGE" --paused -- -m 64M
	wait_status b paused
	stop_vm b
	instant_vm b "$IMAGE" -- -m 64M -S
	wait_status b paused
	stop_vm b
	instant_vm b "$IMAGE" --run -- -m 64M -S
	wait_status b running
	stop_vm b
	mrsave -q "$(vm_qmp a)" "$IMAGE"
	instant_vm b "$IMAGE" -- -m 64M
	wait_status b paused
	stop_vm b
	instant_vm b "$IMAGE" --run -- -m 64M
	wait_status b running
	counts_on a b
}

# bats test_tags=address
@test "its next save is the same as an ordinary one of the same pause" {
	saved_vm -m 64M
	instant_vm b "$IMAGE" -- -m 64M
	wait_checked b
	qmp_do b stop >/dev/null
	mrsave -q "$(vm_qmp b)" "$IMAGE.ours"
	qemu_save b "$IMAGE.qemu"
	mrdiff -q --memory "$IMAGE.ours" "$IMAGE.qemu"
	incoming_vm c "$IMAGE.ours" -m 64M
	qmp_do c cont >/dev/null
	wait_checked c
	assert_no_bad c
}

@test "eight at once: right, and with one page cache" {
	local i pss=0 rss=0 now sum
	saved_vm -m 64M
	for i in 1 2 3 4 5 6 7 8; do
		instant_vm "c$i" "$IMAGE" -- -m 64M
	done
	[[ $(log_of c1) != *"random numbers"* ]]
	[[ $(log_of c8) == *"without a vmgenid device both guests draw"* ]]
	for i in 1 2 3 4 5 6 7 8; do
		wait_count "c$i" >/dev/null
		qmp_do "c$i" stop >/dev/null
	done
	for i in 1 2 3 4 5 6 7 8; do
		now=$(awk -v image="$IMAGE" '$NF == image { on = 1; next }
			/^[0-9a-f]+-/ { on = 0 }
			on && /^Rss:/ { r += $2 }
			on && /^Pss:/ { p += $2 }
			END { print r + 0, p + 0 }' \
			"/proc/$(vm_pid "c$i")/smaps")
		rss=$((rss + ${now% *})) pss=$((pss + ${now#* }))
	done
	echo "rss $rss pss $pss"
	((rss > 0 && pss * 2 < rss))
	# half of them end as nobody wants it: the others, and the image, stay
	sum=$(sha256sum <"$IMAGE")
	for i in 1 3 5 7; do
		kill -KILL "$(vm_pid "c$i")"
	done
	for i in 2 4 6 8; do
		qmp_do "c$i" cont >/dev/null
		wait_checked "c$i"
		assert_no_bad "c$i"
	done
	run -3 mrverify --repair "$IMAGE"
	for i in 2 4 6 8; do
		stop_vm "c$i"
	done
	mrverify -q --repair "$IMAGE"
	[ "$(sha256sum <"$IMAGE")" = "$sum" ]
	[ "$(ls "$BATS_TEST_TMPDIR")" = image ]
}

@test "with standard descriptors closed: none becomes the image, or the stub" {
	local how fd dir=$BATS_TEST_TMPDIR/bin
	mkdir "$dir"
	saved_vm -m 32M -append fill=8M
	for how in '<&-' '>&-' '2>&-' '<&- >&- 2>&-'; do
		printf '#!/bin/sh\nexec "%s/mrload" "$@" %s\n' "$O" "$how" >"$dir/mrload"
		chmod +x "$dir/mrload"
		PATH=$dir:$PATH instant_vm b "$IMAGE" --record=1 --prefault=all \
			-- -m 32M -append fill=8M
		for fd in 0 1 2; do
			fd=$(readlink "/proc/$(vm_pid b)/fd/$fd")
			[[ $fd == /dev/null || $fd == "$VM_DIR/b.log" ]]
		done
		counts_on a b
		assert_no_bad b
		wait_record "$IMAGE.touched"
		rm "$IMAGE.touched"
		stop_vm b
	done
}

@test "the image is locked for as long as the VM lives" {
	saved_vm -m 64M
	instant_vm b "$IMAGE" -- -m 64M
	wait_status b running
	run -3 mrverify --repair "$IMAGE"
	[[ $output == *"$IMAGE"*lock* || $output == *writing* ]]
	mrload --instant --check "$IMAGE" -- "$QEMU" -m 64M
	mrsave -q "$(vm_qmp a)" "$IMAGE" # by a rename
	wait_checked b
	assert_no_bad b
	stop_vm b
	mrverify -q --repair "$IMAGE"
}

@test "a balloon leaves the image as it was" {
	saved_vm -m 64M -device virtio-balloon-pci,id=balloon
	sum=$(sha256sum <"$IMAGE")
	instant_vm b "$IMAGE" -- -m 64M -device virtio-balloon-pci,id=balloon
	[[ $(log_of b) == *"virtio-balloon-pci: memory that the guest gives back"* ]]
	qmp_do b balloon '{"value":33554432}' >/dev/null
	wait_checked b
	[ "$(sha256sum <"$IMAGE")" = "$sum" ]
}

@test "what would copy all of the memory at the start" {
	saved_vm -m 64M
	local lock=(-overcommit mem-lock=on)
	[ "$(ulimit -l)" = unlimited ] || lock=() # QEMU may not lock memory
	run -0 mrload --instant --print "$IMAGE" -- "$QEMU" -m 64M \
		-overcommit mem-lock=on
	[[ $output == *"-overcommit mem-lock=on: o"* ]]
	[[ $output == *"-overcommit mem-lock=o"[nf]* ]]
	# several of an option are one; memory that has a name is memory, too
	run -0 mrload --instant --print "$IMAGE" -- "$QEMU" -m 64M \
		-mem-prealloc -overcommit mem-lock=on -overcommit cpu-pm=off \
		-object memory-backend-ram,id=pc.ram,size=64M \
		-machine memory-backend=pc.ram
	[[ $output == *"-overcommit mem-lock=on: o"* ]]
	[[ $output == *"-overcommit mem-lock=o"[nf]*"-overcommit cpu-pm=off"* ]]
	[[ $output == *"without -mem-prealloc"* ]]
	[[ $output != *" -mem-prealloc "* ]]
	# a set of descriptors that has the number of ours
	run -0 mrload --instant --print "$IMAGE" -- "$QEMU" -m 64M \
		-add-fd fd=9,set=0x1e14
	[[ $output == *"set=7701,opaque=mrtools"* ]]
	instant_vm b "$IMAGE" -- -m 64M -mem-prealloc "${lock[@]}"
	[[ $(log_of b) == *"without -mem-prealloc"* ]]
	counts_on a b
	stop_vm b
	instant_vm b "$IMAGE" -- -m 64M -M pc,memory-backend=pc.ram \
		-object memory-backend-ram,id=pc.ram,size=64M,prealloc=on,host-nodes=0,policy=bind
	[[ $(log_of b) == *"object pc.ram: without prealloc"* ]]
	[[ $(log_of b) == *"object pc.ram: without host-nodes"* ]]
	counts_on a b
}

# bats test_tags=address
@test "memory that cannot be mapped is fed" {
	local file=$BATS_TEST_TMPDIR/ram
	local memory=(-M pc -m 96M
		-object memory-backend-ram,id=m0,size=48M
		-object memory-backend-file,id=m1,size=48M,share=on,mem-path="$file"
		-numa node,memdev=m0 -numa node,memdev=m1)
	saved_vm "${memory[@]}"
	rm "$file"
	run -3 mrload --instant --strict --print "$IMAGE" -- "$QEMU" "${memory[@]}"
	[[ $output == *"block m1 cannot be mapped: a file that is shared"* ]]
	goes_on "${memory[@]}"
	[[ $(log_of b) == *"block m1 is read, not mapped: a file that is shared"* ]]
	[ "$(mapped b)" = 48 ]
}

@test "what the image does not fit is refused, and nothing started" {
	local said
	saved_vm -m 64M -smp 2
	printf '[memory]\n  size = "64M"\n' >"$BATS_TEST_TMPDIR/config"
	printf ' [ device "x"]\n driver = "rtl8139"\n' >"$BATS_TEST_TMPDIR/spaced"
	{
		yes '#' | head -n 70000
		echo '[memory]'
	} >"$BATS_TEST_TMPDIR/long"
	mkfifo "$BATS_TEST_TMPDIR/fifo"
	while read -r said; do
		read -ra words
		run -3 mrload --instant "$IMAGE" -- "$QEMU" "${words[@]}"
		[[ $output == *"$said"* ]] || {
			echo "${words[*]}: $output"
			return 1
		}
	done <<-END
		the image is of a pc-i440fx
		-M q35 -m 64M -smp 2
		64 MiB in the image, 128 MiB on the command line
		-M pc -m 128 -smp 2
		64 MiB in the image, 128 MiB on the command line (-m)
		-smp 2
		the image has 2 CPUs, the command line makes 1
		-m 64M
		the image has 2 CPUs, the command line makes 4
		-m 64M -smp sockets=2,cores=2
		the image has 2 CPUs, the command line makes 4
		-m 64M -smp 2 -smp cpus=4
		64 MiB in the image, 96 MiB on the command line (-m)
		-m 64M -m 96M,maxmem=1G,slots=1 -smp 2
		64 MiB in the image, 128 MiB on the command line (-m)
		-m 64M -m 0 -smp 2
		the command line makes a q35
		-m 64M -smp 2 -M pc -machine q35
		what is to be loaded is the image
		-m 64M -smp 2 -incoming defer
		what is to be loaded is the image
		-m 64M -smp 2 -loadvm x
		takes memory back by holes
		-m 64M -smp 2 -device virtio-mem-pci,memdev=x
		there is no -object with id=x
		-m 64M -smp 2 -machine memory-backend=x
		the image has no memory of object x
		-m 64M -smp 2 -machine memory-backend=x -object memory-backend-ram,id=x,size=64M
		say it by -smp or -m
		-M pc,memory.size=64M -smp 2
		has a section [memory]
		-smp 2 -readconfig $BATS_TEST_TMPDIR/config
		QEMU would expect another stream
		-m 64M -smp 2 -global migration.x-multifd=on
		QEMU would expect another stream
		-m 64M -smp 2 -global driver=migration,property=send-section-footer,value=off
		has a section [device]
		-m 64M -smp 2 -readconfig $BATS_TEST_TMPDIR/spaced
		cannot be read to its end
		-m 64M -smp 2 -readconfig $BATS_TEST_TMPDIR/long
		is no regular file
		-m 64M -smp 2 -readconfig $BATS_TEST_TMPDIR/fifo
	END
}

# As QEMU puts them together: later keys win, others stay.
@test "-m and -smp given several times" {
	local memory=(-m 64M -smp 1,maxcpus=4 -smp cpus=2 -m maxmem=1G,slots=1)
	saved_vm "${memory[@]}"
	goes_on "${memory[@]}"
	[ "$(mapped b)" = 64 ]
}

@test "-machine given several times, by either name" {
	saved_vm -m 64M -M pc,memory-backend=m,hpet=off \
		-object memory-backend-ram,id=m,size=64M
	goes_on -m 64M -M q35,hpet=off -machine memory-backend=n,vmport=off \
		-M type=pc -machine memory-backend=m,vmport=auto \
		-object memory-backend-ram,id=m,size=64M
	[ "$(mapped b)" = 64 ]
	[[ $(log_of b) == *"machine pc: pc-i440fx-"*", as the image has it"* ]]
}

@test "a QEMU that is none, an old one, a script" {
	local dir=$BATS_TEST_TMPDIR
	saved_vm -m 64M
	run -2 mrload --instant --print "$IMAGE" -- "$QEMU" -S -m
	[[ $output == *"$QEMU: -m at the end lacks its value"* ]]
	run -2 mrload --instant "$IMAGE" -- no-such-qemu -m 64M
	[[ $output == *"no-such-qemu: cannot open the program"* ]]
	run -3 mrload --instant "$IMAGE" -- true -m 64M
	[[ $output == *"true: this is no QEMU"* ]]
	printf '#!/bin/sh\necho QEMU emulator version 8.1.5\n' >"$dir/old"
	chmod +x "$dir/old"
	run -3 mrload --instant "$IMAGE" -- "$dir/old" -m 64M
	[[ $output == *"QEMU 8.1.5 cannot map"*"8.2"* ]]
	# what may not be run; a folder of its name
	cp "$dir/old" "$dir/plain"
	chmod -x "$dir/plain"
	run -2 mrload --instant --check "$IMAGE" -- "$dir/plain" -m 64M
	[[ $output == *"plain: cannot execute it: Permission denied"* ]]
	mkdir -p "$dir/first/old"
	run -3 env "PATH=$dir/first:$dir:$PATH" mrload --instant "$IMAGE" -- \
		old -m 64M
	[[ $output == *"QEMU 8.1.5 cannot map"* ]]
	# that nobody writes to; one that says nothing, and who waits gives up
	mkfifo "$dir/fifo"
	run -3 mrload --instant "$IMAGE" -- "$dir/fifo" -m 64M
	[[ $output == *"fifo: this is no program"* ]]
	printf '#!/bin/sh\necho $$ >%s/asked\nsleep 77\n' "$dir" >"$dir/silent"
	chmod +x "$dir/silent"
	mrload --instant "$IMAGE" -- "$dir/silent" -m 64M 3>&- &
	local pid=$! rc=0
	until [ -s "$dir/asked" ]; do kill -0 $pid; done
	kill -TERM $pid
	wait $pid || rc=$?
	[ $rc = 2 ]
	! kill -0 -- "-$(cat "$dir/asked")" 2>/dev/null
	printf '#!/bin/sh\nexec %s "$@"\n' "$QEMU" >"$dir/wrapper"
	chmod +x "$dir/wrapper"
	QEMU=$dir/wrapper instant_vm b "$IMAGE" -- -m 64M
	counts_on a b
}

@test "an own set of descriptors" {
	saved_vm -m 64M
	exec 9</dev/null
	instant_vm b "$IMAGE" -- -m 64M -add-fd fd=9,set=7700
	exec 9<&-
	counts_on a b
}

@test "huge pages, and all memory if somebody else needs it" {
	local pages=/sys/kernel/mm/hugepages/hugepages-2048kB
	local memory=(-m 96M -M pc -object memory-backend-ram,id=m0,size=64M
		-object memory-backend-memfd,id=m1,size=32M,share=on
		-numa node,memdev=m0 -numa node,memdev=m1)
	saved_vm "${memory[@]}"
	run -0 mrload --instant --print "$IMAGE" -- "$QEMU" "${memory[@]}" \
		-chardev socket,id=c,path=none \
		-device vhost-user-fs-pci,chardev=c,tag=t
	[[ $output == *"block m0 is read, not mapped: vhost-user-fs-pci"* ]]
	[[ $output == *"block m1 is read, not mapped: vhost-user-fs-pci"* ]]
	[[ $output == *"-object memory-backend-memfd,id=m1,size=32M,share=on "* ]]
	[[ $output == *"-incoming fd:"* ]]
	run -3 mrload --instant --strict --print "$IMAGE" -- "$QEMU" \
		"${memory[@]}" -netdev vhost-user,id=n,chardev=c
	[[ $output == *"block m0 cannot be mapped: vhost-user"* ]]
	run -3 mrload --instant --strict --print "$IMAGE" -- "$QEMU" \
		"${memory[@]}" -nic vhost-user,chardev=c
	[[ $output == *"block m0 cannot be mapped: vhost-user"* ]]

	{ exec 9<"$pages/nr_hugepages" && flock 9; } || skip "no huge pages"
	[ -w "$pages/nr_hugepages" ] || skip "may not reserve huge pages"
	cp "$pages/nr_hugepages" "$BATS_TEST_TMPDIR/pool"
	echo 40 >"$pages/nr_hugepages" || skip "may not reserve huge pages"
	(($(cat "$pages/free_hugepages") >= 32)) || skip "too few huge pages"
	memory=("${memory[@]/size=32M/size=32M,hugetlb=on,hugetlbsize=2M}")
	goes_on "${memory[@]}"
	[[ $(log_of b) == *"block m1 is read, not mapped: huge pages"* ]]
	[ "$(mapped b)" = 64 ]
}

@test "-daemonize: the lock goes with the VM, and nothing is left of it" {
	local pid
	saved_vm -m 64M
	mrload --instant "$IMAGE" -- "$QEMU" -accel "${ACCEL:-tcg}" \
		-nodefaults -display none -rtc clock=vm \
		-kernel "$O/guest.img" -serial "file:$(vm_serial b)" -m 64M \
		-qmp "unix:$VM_DIR/b.ctl,server=on,wait=off" \
		-pidfile "$VM_DIR/b.pid" -daemonize
	pid=$(vm_pid b)
	run -3 mrverify --repair "$IMAGE"
	counts_on a b
	kill -KILL "$pid"
	while kill -0 "$pid" 2>/dev/null; do :; done
	mrverify -q --repair "$IMAGE"
	[ "$(ls "$BATS_TEST_TMPDIR")" = image ]
}

@test "a read-only file, and one that is removed" {
	saved_vm -m 64M
	chmod 400 "$IMAGE"
	instant_vm b "$IMAGE" -- -m 64M
	rm "$IMAGE"
	counts_on a b
	assert_no_bad b
}

@test "an image with a flipped bit: found by --verify" {
	saved_vm -m 64M
	mrload --instant --verify --check "$IMAGE" -- "$QEMU" -m 64M
	printf '\377' | dd of="$IMAGE" bs=1 seek=$((2 << 20)) conv=notrunc \
		status=none
	run -3 mrload --instant --verify --check "$IMAGE" -- "$QEMU" -m 64M
	[[ $output == *"$IMAGE: damaged"* ]]
	mrsave -q --no-seal "$(vm_qmp a)" "$IMAGE"
	run -3 mrload --instant --verify --check "$IMAGE" -- "$QEMU" -m 64M
	[[ $output == *"no seal"* ]]
}

# ---- what is touched first ----

# VM b is being watched.
wait_record() { # FILE
	until [ -e "$1" ]; do
		wait_count b >/dev/null
	done
}

cached() { fincore -b -n -o RES "$IMAGE"; }

drop_cache() {
	sync "$IMAGE"
	dd if="$IMAGE" iflag=nocache count=0 status=none
	(($(cached) < 1 << 20)) || skip "the page cache of this folder stays"
}

# bats test_tags=address
@test "what the guest touches is recorded, and read ahead the next time" {
	command -v fincore >/dev/null || skip "no fincore"
	need_direct
	local all
	saved_vm -m 192M -append fill=96M
	stop_vm a
	drop_cache
	instant_vm b "$IMAGE" --record=2 -- -m 192M -append fill=96M
	wait_record "$IMAGE.touched"
	[ "$(stat -c %a "$IMAGE.touched")" = 600 ]
	wait_checked b
	assert_no_bad b
	stop_vm b
	drop_cache
	instant_vm c "$IMAGE" --prefault=none -- -m 192M -append fill=96M -S
	wait_status c paused
	(($(cached) < 16 << 20))
	stop_vm c
	drop_cache
	instant_vm c "$IMAGE" -- -m 192M -append fill=96M -S
	for ((i = 0; i < 1000 && $(cached) < 64 << 20; i++)); do
		wait_status c paused
	done
	(($(cached) >= 64 << 20))
	qmp_do c cont >/dev/null
	wait_checked c
	assert_no_bad c
	stop_vm c
	drop_cache
	instant_vm c "$IMAGE" --prefault=all -- -m 192M -append fill=96M -S
	for ((i = 0; i < 1000 && $(cached) < 96 << 20; i++)); do
		wait_status c paused
	done
	(($(cached) >= 96 << 20))
	stop_vm c
	# one long piece, of which the kernel reads no more at a time than the
	# device reads ahead
	cp --sparse=never "$IMAGE" whole.mr
	mv whole.mr "$IMAGE"
	drop_cache
	instant_vm c "$IMAGE" --prefault=all -- -m 192M -append fill=96M -S
	for ((i = 0; i < 1000 && $(cached) < 190 << 20; i++)); do
		wait_status c paused
	done
	(($(cached) >= 190 << 20))
}

# Of the first MiB of the image's RAM: pages in the page cache.
low_memory() {
	mrinspect --json "$IMAGE" | python3 -c 'import ctypes, json, mmap, os, sys
blocks = json.load(sys.stdin)["files"][0]["blocks"]
at = next(b["pages_offset"] for b in blocks if b["name"] == "pc.ram")
fd = os.open(sys.argv[1], os.O_RDONLY)
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int,
                      ctypes.c_int, ctypes.c_int, ctypes.c_long]
p = libc.mmap(None, 1 << 20, 1, 1, fd, at)
seen = (ctypes.c_ubyte * 256)()
assert libc.mincore(ctypes.c_void_p(p), ctypes.c_size_t(1 << 20), seen) == 0
print(sum(b & 1 for b in seen))' "$IMAGE"
}

@test "low memory, into which devices look, is there when QEMU starts" {
	command -v fincore >/dev/null || skip "no fincore"
	saved_vm -m 64M -append fill=32M
	stop_vm a
	drop_cache
	local dir=$BATS_TEST_TMPDIR
	cat >"$dir/slow" <<-E
		#!/bin/sh
		case \$1 in -version | --version) exec $QEMU --version ;; esac
		until [ -e $dir/go ]; do sleep 0.01; done
		exec $QEMU "\$@"
	E
	chmod +x "$dir/slow"
	[ "$(low_memory)" -lt 64 ]
	drop_cache
	QEMU=$dir/slow instant_vm b "$IMAGE" --prefault=none -- -m 64M &
	local pid=$! n=0
	until [ "$(low_memory)" = 256 ]; do ((++n < 200)); done
	touch "$dir/go"
	wait $pid
	stop_vm b
}

@test "a record is of one image, and ends with its VM" {
	start_vm a -m 64M
	wait_ready a
	wait_count a 3
	qemu_save a "$IMAGE" # without a seal
	instant_vm b "$IMAGE" --record=600 -- -m 64M
	wait_checked b
	stop_vm b
	for ((i = 0; i < 1000; i++)); do
		[ ! -e "$IMAGE.touched" ] || break
		qmp_do a query-status >/dev/null
	done
	instant_vm c "$IMAGE" -- -m 64M
	[ -z "$(log_of c)" ] || [[ $(log_of c) != *touched* ]]
	stop_vm c
	touch "$IMAGE"
	instant_vm c "$IMAGE" -- -m 64M
	[[ $(log_of c) == *"$IMAGE.touched is about another image: not used"* ]]
	stop_vm c
	printf x >>"$IMAGE.touched"
	touch -d @0 "$IMAGE"
	instant_vm c "$IMAGE" --prefault=recorded -- -m 64M
	[[ $(log_of c) == *"$IMAGE.touched"* ]]
	stop_vm c
	rm "$IMAGE.touched"
	instant_vm c "$IMAGE" --prefault=recorded -- -m 64M
	[[ $(log_of c) == *"no pages are read ahead"* ]]
	stop_vm c
	run -3 mrload --instant --record=1 "$IMAGE" -- "$QEMU" -m 64M -daemonize
	[[ $output == *"goes on as another process"* ]]
	echo mine >"$BATS_TEST_TMPDIR/file"
	run -3 mrload --instant --record=1 --record-file="$BATS_TEST_TMPDIR/file" \
		"$IMAGE" -- "$QEMU" -m 64M
	[[ $output == *"$BATS_TEST_TMPDIR/file"*"nor a record of touched pages"* ]]
}
