#!/usr/bin/env bats
# mrload against a real QEMU: images of QEMU's own making and ours, into VMs
# that fit and that do not.

load ../lib/vm

setup() {
	need_qemu
	IMAGE=$BATS_TEST_TMPDIR/image
}

teardown() {
	kill_vms
}

# VM a, which has begun to count.
source_vm() { # QEMU ARGUMENT...
	start_vm a "$@"
	wait_ready a
	wait_count a
}

# VM b, which waits for an image.
waiting_vm() { # QEMU ARGUMENT...
	start_vm b "$@" -incoming defer
}

status_of() {
	qmp_do "$1" query-status
}

# QEMU saves the paused VM a with these capabilities; mrload loads it into b.
qemu_to_mrload() { # CAPABILITY... -- QEMU ARGUMENT...
	local caps=()
	while [ "$1" != -- ]; do
		caps+=("$1")
		shift
	done
	shift
	source_vm "$@"
	[[ " ${caps[*]} " != *' multifd '* ]] ||
		qmp_do a migrate-set-parameters "$PARAMETERS" >/dev/null
	qemu_save a "$IMAGE" "${caps[@]}"
	waiting_vm "$@"
	run -0 mrload "$IMAGE" "$(vm_qmp b)"
	[[ $output == *'saved running, now running'* ]]
	counts_on a b
	assert_no_bad b
}

@test "pc: QEMU's own image, saved while the guest ran" {
	qemu_to_mrload -- -M pc
}

# bats test_tags=address
@test "q35: QEMU's own image, with multifd, several blocks" {
	PARAMETERS='{"multifd-channels":3}' qemu_to_mrload multifd -- -M q35 \
		-object memory-backend-memfd,id=m0,size=128M,share=on \
		-object memory-backend-ram,id=m1,size=128M \
		-numa node,memdev=m0 -numa node,memdev=m1
}

@test "QEMU's own image, with multifd and direct I/O" {
	need_qemu 9.1
	PARAMETERS='{"multifd-channels":2,"direct-io":true}' \
		qemu_to_mrload multifd -- -M pc
}

@test "a live save, with stale data under clear bits" {
	source_vm -m 32M -append fill=8M
	qemu_live_save a "$IMAGE"
	waiting_vm -m 32M
	mrload "$IMAGE" "$(vm_qmp b)"
	counts_on a b
}

@test "mrsave's image, any number of channels, direct or not" {
	local jobs direct
	source_vm
	mrsave --leave-paused "$(vm_qmp a)" "$IMAGE"
	for jobs in 1 8 64; do
		for direct in auto off; do
			waiting_vm
			mrload -q -j "$jobs" --direct="$direct" "$IMAGE" \
				"$(vm_qmp b)"
			counts_on a b
			stop_vm b
		done
	done
}

# Until mrload of $! has verified the image, opened it and come to the VM.
at_the_vm() {
	until ls -l "/proc/$!/fd" | grep -q socket:; do kill -0 $!; done
}

@test "what was verified is what is loaded" {
	local how
	source_vm -m 32M -append fill=8M
	mrsave -q --leave-paused "$(vm_qmp a)" "$IMAGE"
	cp "$IMAGE" "$IMAGE.2"
	waiting_vm -m 32M
	# Before the VM is touched: it waits for the next.
	for how in written replaced none; do
		kill -STOP "$(vm_pid b)"
		mrload -q --verify "$IMAGE" "$(vm_qmp b)" 2>"$IMAGE.says" 3>&- &
		at_the_vm
		case $how in
		written)
			printf x | dd of="$IMAGE" bs=1 seek=3000000 \
				conv=notrunc status=none
			;;
		replaced) mv "$IMAGE.2" "$IMAGE" ;;
		esac
		kill -CONT "$(vm_pid b)"
		status=0
		wait $! || status=$?
		[ $how = none ] || {
			[ $status = 3 ]
			[ "$(cat "$IMAGE.says")" = "mrload: $IMAGE: written to, or replaced, since it was verified" ]
		}
		[ $how != written ] || cp "$IMAGE.2" "$IMAGE"
	done
	[ $status = 0 ]
	counts_on a b
	assert_no_bad b
}

@test "progress, and JSON" {
	source_vm
	mrsave --leave-paused "$(vm_qmp a)" "$IMAGE"
	waiting_vm
	run -0 mrload --json --progress=1 "$IMAGE" "$(vm_qmp b)"
	[[ $output == *'100/100'* ]]
	[[ $output == *'"run_state": "running"'* ]]
	# However few CPUs there are.
	[[ $output == *'"jobs": 8,'* ]]
}

@test "a guest saved running, loaded paused; with -S, loaded running" {
	source_vm
	mrsave --leave-paused "$(vm_qmp a)" "$IMAGE"
	waiting_vm
	mrload --paused "$IMAGE" "$(vm_qmp b)"
	[[ $(status_of b) == *'"paused"'* ]]
	qmp_do b cont
	counts_on a b
	stop_vm b
	waiting_vm -S
	mrload "$IMAGE" "$(vm_qmp b)"
	counts_on a b
}

@test "a guest saved paused stays paused, or runs" {
	source_vm
	qmp_do a stop
	mrsave "$(vm_qmp a)" "$IMAGE"
	waiting_vm
	run -0 mrload "$IMAGE" "$(vm_qmp b)"
	[[ $output == *'saved paused, now paused'* ]]
	[[ $(status_of b) == *'"paused"'* ]]
	qmp_do b cont
	counts_on a b
	stop_vm b
	waiting_vm
	run -0 mrload --run "$IMAGE" "$(vm_qmp b)"
	[[ $output == *'saved paused, now running'* ]]
	counts_on a b
}

# The image does not fit VM b, which goes on waiting: these lines say why.
misfit() { # LINE...
	local line
	run -3 mrload "$IMAGE" "$(vm_qmp b)"
	for line; do
		[[ $output == *"$line"* ]]
	done
	[ "${#lines[@]}" = $(($# + 1)) ]
	run -3 mrload --check "$IMAGE" "$(vm_qmp b)"
	[ "${#lines[@]}" = $(($# + 1)) ]
	[[ $(status_of b) == *'"inmigrate"'* ]]
}

# bats test_tags=address
@test "mismatches: a line for each, and the VM still waits" {
	start_vm c -m 128M
	wait_ready c
	wait_count c
	mrsave --leave-paused "$(vm_qmp c)" "$BATS_TEST_TMPDIR/fits"
	source_vm -device VGA
	mrsave "$(vm_qmp a)" "$IMAGE"

	waiting_vm -m 128M
	misfit 'pc.ram: 262144 KiB in the image, 131072 KiB in the VM' \
		'VM has no such block' 'VM has no such block' \
		'0000:00:02.0/vga: the VM has no device at that place'
	mrload "$BATS_TEST_TMPDIR/fits" "$(vm_qmp b)"
	counts_on c b
	stop_vm b

	waiting_vm -M q35 -device VGA
	run -3 mrload "$IMAGE" "$(vm_qmp b)"
	[[ $output =~ machine\ type:\ pc-i440fx-.*\ in\ the\ image,\ pc-q35- ]]
	stop_vm b

	mv "$BATS_TEST_TMPDIR/fits" "$IMAGE"
	waiting_vm -m 128M
	run -0 mrload --check "$IMAGE" "$(vm_qmp b)"
	[[ $output == *"RAM blocks, places on the first PCI bus"$'\n'"unchecked  other"* ]]
	stop_vm b
	# QEMU would load it, and have a CPU that nobody has begun
	waiting_vm -m 128M -smp 2
	misfit 'CPUs: 1 in the image, 2 in the VM'
	stop_vm b
	waiting_vm -m 128M -device VGA
	misfit 'vga.vram: 16384 KiB in the VM, the image has no such block' \
		'vga.rom: 64 KiB in the VM, the image has no such block'
}

@test "a VM that does not wait" {
	source_vm
	mrsave "$(vm_qmp a)" "$IMAGE"
	run -3 mrload "$IMAGE" "$(vm_qmp a)"
	[[ $output == *'run state running'* ]]
	wait_count a
	start_vm b -incoming "unix:$BATS_TEST_TMPDIR/sock"
	run -3 mrload "$IMAGE" "$(vm_qmp b)"
	[[ $output == *'-incoming defer'* ]]
}

@test "a truncated image: refused, the VM still waits" {
	local size
	source_vm
	mrsave --leave-paused "$(vm_qmp a)" "$IMAGE"
	cp "$IMAGE" "$IMAGE.whole"
	waiting_vm
	for size in 500000 50000000 $(($(stat -c %s "$IMAGE") - 200000)); do
		truncate -s "$size" "$IMAGE"
		run -3 mrload "$IMAGE" "$(vm_qmp b)"
		[[ $(status_of b) == *'"inmigrate"'* ]]
	done
	mrload "$IMAGE.whole" "$(vm_qmp b)"
	counts_on a b
}

@test "what QEMU will not load: exit 4, in its own words" {
	need_qemu 9.1
	source_vm -device pci-ohci
	mrsave "$(vm_qmp a)" "$IMAGE"
	waiting_vm -device piix3-usb-uhci
	run -4 mrload "$IMAGE" "$(vm_qmp b)"
	[[ $output == *'could not load it: load of migration failed'* ]]
	[[ $output == *'start a new QEMU'* ]]
	[[ $(status_of b) == *'"inmigrate"'* ]]
	run -3 mrload "$IMAGE" "$(vm_qmp b)"
	[[ $output == *'failed to load already'* ]]
}

# bats test_tags=address
@test "libvirt's sparse image: its flag says whether the guest runs" {
	source_vm
	libvirt_save 6 1 mapped-ram multifd
	waiting_vm
	run -0 mrload "$IMAGE" "$(vm_qmp b)"
	[[ $output == *'saved paused, now running'* ]]
	counts_on a b
	stop_vm b
	printf '\0' | dd of="$IMAGE" bs=1 seek=24 conv=notrunc status=none
	waiting_vm
	run -0 mrload "$IMAGE" "$(vm_qmp b)"
	[[ $output == *'now paused'* ]]
}

@test "libvirt's raw image, and a plain stream" {
	source_vm
	libvirt_save 0 1
	waiting_vm
	run -0 mrload "$IMAGE" "$(vm_qmp b)"
	[[ $output == *'a plain stream'* ]]
	counts_on a b
	stop_vm b
	tail -c +2093 "$IMAGE" >"$IMAGE.plain"
	waiting_vm
	mrload --run "$IMAGE.plain" "$(vm_qmp b)"
	counts_on a b
}

# bats test_tags=address,thread
@test "--memory writes what QEMU itself would load" {
	local file=$BATS_TEST_TMPDIR/ram
	local ram="memory-backend-file,id=m,size=256M,share=on,mem-path=$file"
	source_vm -M pc,memory-backend=m -m 256M \
		-object memory-backend-ram,id=m,size=256M
	mrsave --leave-paused "$(vm_qmp a)" "$IMAGE"
	waiting_vm -M pc,memory-backend=m -m 256M -object "$ram"
	mrload -q --memory "m=$file" "$IMAGE"
	mrload -q --memory "m=$file.made" "$IMAGE"
	cmp "$file" "$file.made"
	mrload --paused "$IMAGE" "$(vm_qmp b)"
	cmp "$file" "$file.made"
	qmp_do b cont
	counts_on a b
}

# QEMU saves VM a, which is paused, to a plain stream.
qemu_stream() { # FILE
	qmp_do a migrate "{\"uri\":\"file:$1\"}" >/dev/null
	qmp_do a --wait-migration
}

# A file of 64 MiB that is full of something.
old_file() { # FILE
	head -c 64M /dev/zero | tr '\0' x >"$1"
}

# VM b, with its memory over that file.
over_file() { # FILE shared|private
	local share=off
	[ "$2" = private ] || share=on
	waiting_vm -m 64M -M pc,memory-backend=m -object \
		"memory-backend-file,id=m,size=64M,share=$share,mem-path=$1"
}

small_source() {
	source_vm -m 64M -M pc,memory-backend=m \
		-object memory-backend-ram,id=m,size=64M
	mrsave --leave-paused "$(vm_qmp a)" "$IMAGE"
}

# bats test_tags=address,thread
@test "memory with old content: none of it is left" {
	local dir how file
	small_source
	dir=$(mktemp -d /dev/shm/mrload.XXXXXX)
	for file in "$dir/old" "$BATS_TEST_TMPDIR/old"; do
		for how in shared private; do
			old_file "$file"
			over_file "$file" $how
			mrload -n "$IMAGE" "$(vm_qmp b)"
			[ "$(tr -d x <"$file" | wc -c)" = 0 ] # as it was
			run -0 mrload -v --paused "$IMAGE" "$(vm_qmp b)"
			[[ $output =~ mrload:\ [0-9]{5}\ KiB\ of\ old\ content\ cleared ]]
			run mrdiff "$IMAGE" "$(vm_qmp b)"
			[[ $output == *'no page of '*' differs'* ]]
			qmp_do b cont
			counts_on a b
			assert_no_bad b
			stop_vm b
		done
	done
	rm -r "$dir"
}

@test "memory that is not to be seen: refused if it is in a file" {
	[ "$(id -u)" = 0 ] || skip "not root"
	setpriv --bounding-set=-sys_ptrace true 2>/dev/null ||
		skip "cannot give up a capability"
	blind() { setpriv --bounding-set=-sys_ptrace "$@"; }
	local file=$BATS_TEST_TMPDIR/old args
	small_source
	# New by its making.
	for args in memfd "file,mem-path=$BATS_TEST_TMPDIR"; do
		waiting_vm -m 64M -M pc,memory-backend=m \
			-object "memory-backend-$args,id=m,size=64M"
		blind mrload "$IMAGE" "$(vm_qmp b)"
		counts_on a b
		stop_vm b
	done
	old_file "$file"
	over_file "$file" shared
	for args in -n -q; do
		run -3 blind mrload $args "$IMAGE" "$(vm_qmp b)"
		[[ $output == *"memory in $file may hold old content"* ]]
		[[ $output == *--force ]]
	done
	[ "$(tr -d x <"$file" | wc -c)" = 0 ]
	[[ $(status_of b) == *'"inmigrate"'* ]]
	mrload "$IMAGE" "$(vm_qmp b)"
	counts_on a b
	stop_vm b
	# A plain stream has a word for every page.
	qemu_stream "$IMAGE.plain"
	old_file "$file"
	over_file "$file" shared
	blind mrload --run "$IMAGE.plain" "$(vm_qmp b)"
	counts_on a b
	stop_vm b
	: >"$file"
	over_file "$file" shared
	blind mrload --force "$IMAGE" "$(vm_qmp b)"
	counts_on a b
}

# VM a is saved without the memory that it shares, and ends; its file is kept.
save_elsewhere() { # IMAGE CAPABILITY...
	local image=$1
	shift
	source_vm -m 64M -M pc,memory-backend=m -object \
		"memory-backend-file,id=m,size=64M,share=on,mem-path=$FILE"
	set_caps a x-ignore-shared "$@"
	qmp_do a migrate "{\"uri\":\"file:$image\"}" >/dev/null
	qmp_do a --wait-migration
	kill -KILL "$(vm_pid a)"
	cp "$FILE" "$FILE.kept"
}

# Both ways to save; only new QEMUs have both.
elsewhere() { # CAPABILITY...
	local how
	FILE=$BATS_TEST_TMPDIR/ram
	save_elsewhere "$IMAGE" "$@"
	for how in shared private; do
		cp "$FILE.kept" "$FILE"
		over_file "$FILE" $how
		mrload -v "$IMAGE" "$(vm_qmp b)"
		counts_on a b
		assert_no_bad b
		run ! grep -F '"state":true,"capability":"x-ignore-shared"' \
			<(qmp_do b query-migrate-capabilities)
		stop_vm b
	done
	# It is not there.
	waiting_vm -m 64M -M pc,memory-backend=m \
		-object memory-backend-memfd,id=m,size=64M
	misfit 'block m: its memory was left out of the image'
	stop_vm b
	rm "$FILE"
	over_file "$FILE" shared
	run -3 mrload -n "$IMAGE" "$(vm_qmp b)"
	[[ $output == *"VM's file for it is empty"* ]]
}

@test "x-ignore-shared, a plain stream: the memory is where it was" {
	elsewhere
}

@test "x-ignore-shared, mapped-ram: the memory is where it was" {
	need_qemu 11.0
	elsewhere mapped-ram
}

@test "x-ignore-shared, with nothing that was left out" {
	need_qemu 11.0
	small_source
	start_vm c -m 64M -incoming defer -M pc,memory-backend=m \
		-object memory-backend-ram,id=m,size=64M
	mrload --paused "$IMAGE" "$(vm_qmp c)"
	qemu_save c "$IMAGE" x-ignore-shared
	FILE=$BATS_TEST_TMPDIR/ram
	old_file "$FILE"
	over_file "$FILE" shared
	mrload --run "$IMAGE" "$(vm_qmp b)"
	counts_on a b
	assert_no_bad b
}
