#!/usr/bin/env bats
# The same image on every file system, whether it gives direct I/O or not.

load ../lib/vm

setup() {
	need_qemu
	cd "$BATS_TEST_TMPDIR"
	# The clock of a paused VM goes on otherwise, and is device state.
	start_vm a -m 64M -append "fill=16M zero=2M"
	wait_ready a
	qmp_do a stop
	mrsave --direct=off "$(vm_qmp a)" reference
}

teardown() {
	kill_vms
	umount "$BATS_TEST_TMPDIR/fs" 2>/dev/null || :
	[ ! -s "$BATS_TEST_TMPDIR/loop" ] ||
		losetup -d "$(cat "$BATS_TEST_TMPDIR/loop")"
}

# An image file of $1 MiB as a disk with sectors of $2 bytes, formatted by the
# rest, mounted at fs.
disk() {
	local size=$1 sector=$2
	shift 2
	command -v "$1" >/dev/null || skip "no $1"
	mkdir fs
	truncate -s "${size}M" disk
	losetup --show -f --sector-size "$sector" disk >loop 2>/dev/null ||
		skip "may not make a loop device with sectors of $sector bytes"
	"$@" "$(cat loop)" >/dev/null
	mount "$(cat loop)" fs 2>/dev/null ||
		skip "may not mount what $1 makes"
}

# Saves into fs, looks whether it said direct or buffered as it should ($1),
# and compares; then the way back.
same_image() {
	run -0 mrsave "$(vm_qmp a)" fs/image
	[[ $output == *"$1 I/O"* ]]
	same_but_made reference fs/image
	if [ "$1" = direct ]; then
		mrsave --direct=on "$(vm_qmp a)" fs/image
	else
		run -2 mrsave --direct=on "$(vm_qmp a)" fs/image
		[[ $output == *"no direct I/O on this file system"* ]]
	fi
	same_but_made reference fs/image
	mrload --memory "pc.ram=fs/ram" fs/image
	mrload --direct=off --memory "pc.ram=ram" reference
	cmp ram fs/ram
	run -0 mrverify fs/image

	[ "$(ls -A fs | grep -v -e lost+found -e image -e ram | wc -l)" = 0 ]
}

@test "ext4, sectors of 512 bytes" {
	disk 128 512 mkfs.ext4 -q
	same_image direct
}

@test "ext4, sectors of 4096 bytes" {
	disk 128 4096 mkfs.ext4 -q
	same_image direct
}

@test "ext4, data in the journal: no direct I/O" {
	disk 256 512 mkfs.ext4 -q
	umount fs
	tune2fs -o journal_data "$(cat loop)" >/dev/null
	mount "$(cat loop)" fs
	same_image buffered
}

@test "xfs, sectors of 512 bytes" {
	disk 384 512 mkfs.xfs -q
	same_image direct
}

@test "xfs, sectors of 4096 bytes" {
	disk 384 4096 mkfs.xfs -q -s size=4096
	same_image direct
}

@test "btrfs" {
	disk 256 512 mkfs.btrfs -q
	# It writes what it has checksums of through the page cache.
	same_image buffered
}

@test "btrfs, no checksums in the folder" {
	disk 256 512 mkfs.btrfs -q
	chattr +C fs || skip "no chattr"
	same_image direct
}

@test "tmpfs" {
	mkdir fs
	mount -t tmpfs -o size=128M none fs 2>/dev/null ||
		skip "may not mount a tmpfs"
	same_image buffered
}

@test "overlay" {
	mkdir fs lower upper work
	mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work none fs \
		2>/dev/null || skip "may not mount an overlay here"
	same_image direct
}
