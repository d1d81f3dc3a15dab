#!/usr/bin/env bats
# mrverify: its line, its JSON, its exit status, and what it does to a file.
# What it finds is tested in ../libmr/verify/verify_test.c.

load ../lib/env

setup() { cd "$BATS_TEST_TMPDIR" || return; }

@test "wrong usage" {
	for args in "--direct=x" "-j 65" "-j -1" "--subset 0/3" "--subset 4/3" \
		"--subset 1/" "--subset /2" "--subset 3x" "--subset 0" \
		"--subset -1/2" "--subset 1/2 --seal" "--output x" \
		"--subset 1G --repair" "--limit 0" "--limit x"; do
		run -2 --separate-stderr mrverify $args image
		[ -z "$output" ]
		[[ $stderr == "mrverify: "* ]]
	done
	run -2 mrverify
	mkimage a
	cp a b
	run -2 mrverify --seal -o c a b
	[ ! -e c ]
}

@test "sound images: a line each" {
	mkimage a
	mkimage --libvirt sparse b
	run -0 --separate-stderr mrverify a b
	[ "${#lines[@]}" = 2 ]
	[ "${lines[0]}" = "a: sound, 4.2 MiB of memory, 928 KiB looked at, 1 note" ]
	[[ ${lines[1]} == "b: sound, "* ]]
	[ -z "$stderr" ]
	run -0 mrverify -v a
	[ "${lines[1]}" = "  note: no seal: only the structure can be checked" ]
	run -0 mrverify -q --limit=1G a b
	[ -z "$output" ]
	run -1 mrverify --need-seal a
	[ "$output" = "a: damaged: no seal: only the structure can be checked" ]
}

# A capture is a folder; without an index nothing is known of times.
@test "a capture" {
	mkdir kept
	mkimage --plain kept/main
	run -0 mrverify kept
	[ "$output" = "kept: a complete migration, 0 channels, 1088 pages in 1 round" ]
	run -0 mrverify -q kept
	[ -z "$output" ]
	run -0 mrinspect --json kept
	jq -e '.files[0] | .kind == "capture" and .damage == null and
		.seconds == null and .data_pages == 232 and .zero_pages == 856
		and (.blocks | length) == 2 and .blocks[1].length == 262144 and
		.blocks[1].data_pages == 64 and (.rounds | length) == 1 and
		.rounds[0].twice == 0' <<<"$output"
	# an index that says more than there is
	printf '\x8bmrcapt\n\0\0\0\1\0\0\0\0' >kept/index
	printf '\0\1\0\0\0\xff\0\0\0\0\0\0\x3b\x9a\xca\0' >>kept/index
	run -0 mrverify -v kept
	[[ ${lines[0]} == *", 1 note" ]]
	[[ ${lines[1]} == "  note: index: 16711680 bytes of connection 0, which has 960379" ]]
	mrinspect kept | grep " in 1.000 s"
	# the first page once more: legal, and odd
	python3 - <<-E
		b = open("kept/main", "rb").read()
		w = b[101:101 + 8 + 7 + 4096]
		assert w[7:8] == b"\x08" and w[9:15] == b"pc.ram"
		open("kept/main", "wb").write(b[:101] + w + b[101:])
	E
	run -0 mrverify -v kept
	[[ $output == *"note: 1 pages came again within a round"* ]]
	mrverify --json kept | jq -e '.sound and (.files[0] | .sound and
		.twice == 1 and .data_pages == 233 and .notes == 2 and
		.findings[0].damage == false)'
	for i in --seal --repair --need-seal --subset=1/2; do
		run -2 mrverify $i kept
		[[ $output == *"kept is a folder"* ]]
	done
	truncate -s 500000 kept/main
	run -1 mrverify kept
	[[ $output == "kept: damaged: "*" at byte 500000" ]]
	run -1 mrinspect kept
	[[ $output == "kept: a migration that was kept, damaged"* ]]
	mrverify --json kept | jq -e '.sound == false and
		(.files[0] | .damages == 1 and .findings[0].offset == 500000)'
}

@test "other kinds of files" {
	mkimage --plain plain
	run -0 mrverify plain
	run -1 mrverify --need-seal plain
	mkimage --devices devices
	run -0 mrverify devices
	mkimage --libvirt zstd packed
	run -2 mrverify packed
	[[ $output == *"packed: a compressed image (zstd)"* ]]
	mkimage --libvirt sparse --part part
	run -1 mrverify part
	[[ $output == "part: damaged: libvirt says that the save did not end"* ]]
	echo hello >text
	run -1 mrverify text
	run -2 mrverify absent
	run -2 mrverify .
	run -2 mrverify --seal plain
	run -2 mrverify --seal absent
}

@test "the worst of several files is the status" {
	mkimage good
	echo hello >bad
	run -1 mrverify good bad good
	[ "${#lines[@]}" = 3 ]
	run -2 --separate-stderr mrverify bad absent good
	[ "${#lines[@]}" = 2 ]
	[[ $stderr == *absent* ]]
}

@test "a changed byte: what, where, and nothing is mended" {
	mkimage --block pc.ram=2048:0+600 a
	mrverify -q --seal a
	run -0 mrverify a
	[[ $output == "a: sound, sealed, "* ]]
	printf x | dd of=a bs=1 seek=$((0x100000 + 300 * 4096 + 5)) \
		conv=notrunc status=none
	run -1 mrverify a
	[ "$output" = "a: damaged: block pc.ram: page 300 differs from the seal" ]
	sum=$(sha256sum a)
	run -1 mrverify --repair a
	[[ $output == *"; nothing was changed" ]]
	[ "$sum" = "$(sha256sum a)" ]
	run -1 mrverify --repair -o b a
	[ ! -e b ]
	# Another part does not see it.
	run -0 mrverify --subset 2/2 a
	[[ $output == *"(part 2 of 2)"* ]]
	run -1 mrverify --subset 1/2 a
}

@test "a seal of version 1 is read, and renewed by --seal alone" {
	fuzz-pack -u "$ROOT/tests/fuzz/corpus/image/sealed" a
	sum=$(sha256sum a)
	run -0 mrverify --repair --need-seal a
	[[ $output == "a: sound, sealed, "* ]]
	[ "$sum" = "$(sha256sum a)" ]
	cp a b
	printf x | dd of=b bs=1 seek=$((0x100000 + 4096)) conv=notrunc \
		status=none
	run -1 mrverify b
	[[ $output == *"block a: pages 0-7 differ from the seal" ]]
	run -0 mrverify --seal a
	[[ ${lines[1]} == "  sealed: "* ]]
	run -0 mrverify --seal a
	[ "${#lines[@]}" = 1 ]
	printf x | dd of=a bs=1 seek=$((0x100000 + 4096)) conv=notrunc \
		status=none
	run -1 mrverify a
	[[ $output == *"block a: page 1 differs from the seal" ]]
}

@test "a changed section of the device state is named" {
	mkimage --device timer=5000 --device serial=3000 a
	at=$(grep -abo serial a | head -n 1 | cut -d : -f 1)
	mrverify -q --seal a
	printf x | dd of=a bs=1 seek=$((at + 2000)) conv=notrunc status=none
	run -1 mrverify a
	[[ $output == *"device state differs from the seal"*"section serial)" ]]
}

@test "repair: in place and onto a copy" {
	mkimage --block pc.ram=1024:0+160 a
	# A page of zeros that is present, data where none is.
	dd if=/dev/zero of=a bs=4096 seek=$((256 + 7)) count=1 conv=notrunc \
		status=none
	echo stale | dd of=a bs=4096 seek=$((256 + 500)) conv=notrunc \
		status=none
	cp a was
	run -0 mrverify --repair --seal -o b a
	cmp a was
	[ "$(stat -c %a b)" = 600 ]
	run -0 mrverify --repair --seal a
	[[ $output == *"block pc.ram: 1 stale pages punched out"* ]]
	[[ $output == *"block pc.ram: 1 zero pages marked"* ]]
	[[ $output == *"sealed: "* ]]
	cmp a b
	run -0 mrverify -v a
	[ "${#lines[@]}" = 1 ]
	# A seal that is made anew says of what it is.
	mrconvert -q --name web1 a named.mr
	mrverify -q --repair -o new.mr named.mr
	mrinspect --json named.mr new.mr |
		jq -e '.files | .[0].label.name == "web1" and .[0].label == .[1].label'
}

@test "repair: a background snapshot" {
	mkimage --no-end --no-bitmaps a
	mkimage --no-end b
	run -1 mrverify a
	[[ $output == "a: damaged: a background snapshot"* ]]
	run -0 mrverify --repair a
	[[ $output == *"mended"*"block pc.ram: bitmap rebuilt: 168 pages"* ]]
	mrverify -q --seal b
	cmp a b
}

@test "an image that is in use is not touched" {
	mkimage a
	sum=$(sha256sum a)
	exec 5<a
	flock_ofd 5 || skip "no python3 to take an OFD lock with"
	run -3 mrverify --seal a
	[[ $output == *"in use"* ]]
	[ "$sum" = "$(sha256sum a)" ]
	run -0 mrverify a
	exec 5<&-
	run -0 mrverify --seal a
}

# An OFD read lock on an open descriptor of ours: it outlives the one who asks.
flock_ofd() {
	python3 -c "import fcntl, struct, os
os.lseek($1, 0, 0)
fcntl.fcntl($1, 37, struct.pack('hhqqi4x', fcntl.F_RDLCK, 0, 0, 0, 0))"
}

@test "JSON" {
	mkimage --block pc.ram=2048:0+600 a
	mrverify -q --seal a
	printf x | dd of=a bs=1 seek=$((0x100000 + 300 * 4096 + 5)) \
		conv=notrunc status=none
	run -2 --separate-stderr mrverify --json a absent
	for line in '"sound": false' '"path": "a"' '"sealed": true' \
		'"kind": "pages"' '"damage": true' '"block": "pc.ram"' \
		'"first_page": 300' '"pages": 1' '"offset": 2277376' \
		'"length": 4096' '"path": "absent"' '"message": "cannot open'; do
		[[ $output == *"$line"* ]] || {
			echo "no $line in $output"
			return 1
		}
	done
	jobs1=$(mrverify --json -j 1 a | grep -v seconds) || :
	jobs8=$(mrverify --json -j 8 a | grep -v seconds) || :
	[ "$jobs1" = "$jobs8" ]
}

@test "odd pages: in text and in JSON" {
	mkimage --block pc.ram=1024:0+160 a
	for page in 7 8 20; do
		dd if=/dev/zero of=a bs=4096 seek=$((256 + page)) count=1 \
			conv=notrunc status=none
	done
	echo stale | dd of=a bs=4096 seek=$((256 + 500)) conv=notrunc \
		status=none
	run -0 mrverify -v a
	[ "${lines[2]}" = "  note: block pc.ram: page 500 holds stale data, which instant restore would show" ]
	[ "${lines[3]}" = "  note: block pc.ram: 3 pages (7-8 and 20) are all zero and need no room" ]
	run -0 --separate-stderr mrverify --json a
	output=$(tr -d ' \n' <<<"$output")
	[[ $output == *'"first_page":7,"pages":14,"count":3,"ranges":[[7,2],[20,1]],"range_count":2'* ]]
}

# The rest of the disk goes away below a file system that has the image.
@test "an image on a disk that cannot be read" {
	[ "$(id -u)" = 0 ] || skip "only root can mount"
	type mkfs.ext4 losetup >/dev/null || skip "no mkfs.ext4, no losetup"
	truncate -s 128M disk
	mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 disk
	mkdir mnt
	loop=$(losetup --direct-io=on -f --show disk) || skip "no loop device"
	mount -t ext4 -o noload "$loop" mnt 2>/dev/null || mount "$loop" mnt || {
		losetup -d "$loop"
		skip "nothing can be mounted"
	}
	mkimage --block pc.ram=4096:0+4096 good
	mrverify -q --seal good
	cp good mnt/image
	sync mnt/image
	at=$(filefrag -b4096 -e mnt/image | awk -F '[ .:]+' \
		'$2 ~ /^[0-9]+$/ { print $5; exit }')
	umount mnt
	mount -o ro "$loop" mnt
	truncate -s $((4096 * (at + 2000))) disk
	run -1 mrverify -v mnt/image
	first=$output
	run -2 mrdiff good mnt/image
	second=$output
	run -2 mrdiff mnt/image good
	third=$output
	umount mnt
	losetup -d "$loop"
	echo "$first $second $third"
	[[ $first == "mnt/image: damaged: "*"cannot be read"* ]]
	[[ $first == *"block pc.ram: pages "*-4095" cannot be read"* ]]
	[[ $second == "mrdiff: mnt/image: cannot read"*" at byte "* ]]
	[[ $third == "$second" ]]
}

@test "a full disk loses no result silently" {
	mkimage a
	run -2 sh -c 'mrverify a >/dev/full'
}

@test "every kind of mapped-ram image can be sealed" {
	while read -r options; do
		mkimage $options a
		run -0 mrverify --seal a
		[[ ${lines[1]} == "  sealed: "* ]]
		run -0 mrverify a
		[[ $output == *"sound, sealed, "* ]]
		# In the first page of the first block.
		at=$(($(mrinspect --json a | sed -n \
			's/.*"pages_offset": \([0-9]*\).*/\1/p' | head -n 1)))
		printf x | dd of=a bs=1 seek=$((at + 77)) conv=notrunc \
			status=none
		run -1 mrverify a
		[[ $output == *": page 0 differs from the seal" ]]
	done <<-END
		--page-bits 10
		--page-bits 13
		--page-bits 16
		--ignore-shared --ignored shm=512 --block pc.ram=256:0+5
		--ignore-shared --block pc.ram=256:0+5 --ignored shm=512
		--vmdesc none
		--vmdesc zero
		--early x=100 --no-devices
		--libvirt sparse --big-endian
		--block x=70000:0+1,69999+1 --block yy=1:0+1
	END
}
