#!/usr/bin/env bats
# mrload without a VM: what it says, what it refuses, memory files.

load ../lib/env

setup() {
	cd "$BATS_TEST_TMPDIR"
}

teardown() {
	[ ! -d small ] || umount small 2>/dev/null || :
	[ -z "${FAKE_QEMU-}" ] || kill "$FAKE_QEMU" 2>/dev/null || :
}

# An image of block pc.ram with 1024 pages; runs as mkimage takes them.
RUNS=0+100,102+1,106+3,200+5,600+100,1000+24
make_image() {
	mkimage --block "pc.ram=1024:$RUNS" image
	want_of image "$RUNS" >want
}

# The memory that image $1 describes, by another way: dd of each run.
want_of() {
	local run first n
	truncate -s 4M want.tmp
	for run in ${2//,/ }; do
		first=${run%+*} n=${run#*+}
		dd if="$1" of=want.tmp bs=4096 skip=$((256 + first)) \
			seek="$first" count="$n" conv=notrunc status=none
	done
	cat want.tmp
	rm want.tmp
}

junk() { # BYTES FILE
	head -c "$1" /dev/zero | tr '\0' '\377' >"$2"
}

# A failed command told one line, and made nothing.
refused() { # STATUS TEXT ARGUMENT...
	local status_wanted=$1 text=$2
	shift 2
	run -"$status_wanted" mrload "$@"
	[[ $output == *"$text"* ]]
	[ ! -e out ]
}

@test "wrong usage" {
	make_image
	refused 2 needed
	refused 2 needed image
	refused 2 needed --memory pc.ram=out image vm
	refused 2 needed image vm more
	refused 2 BLOCK=FILE --memory out image
	refused 2 BLOCK=FILE --memory =out image
	refused 2 contradict --run --paused image vm
	refused 2 'about one' --run --memory pc.ram=out image
	refused 2 '1 to 64' -j 65 --memory pc.ram=out image
	refused 2 'auto, on or off' --direct=maybe --memory pc.ram=out image
	refused 2 'two blocks' --memory pc.ram=out --memory pc.ram=out image
	refused 2 'No such file' --memory pc.ram=out absent
	refused 2 'No such file' --memory pc.ram=no/out image
}

@test "a terminal is told how far it is, and no speed that nobody knows" {
	script -qec true /dev/null </dev/null >out ||
		skip "no pseudo-terminals here"
	make_image
	script -qec "mrload --memory pc.ram=out image" /dev/null \
		</dev/null >told
	grep -q 'mrload: 100 %' told
	run ! grep -E '[GTPE]iB/s' told
}

@test "a new memory file" {
	make_image
	umask 0
	run -0 mrload --memory pc.ram=out image
	[[ $output == *'4 MiB: 932 KiB data'* ]]
	cmp want out
	[ "$(stat -c '%a %s' out)" = '600 4194304' ]
	# Absent pages are holes.
	(($(stat -c %b out) * 512 < 1100000))
	run ! compgen -G '.*.tmp'
}

@test "an existing file: nothing of it shines through" {
	local size
	make_image
	for size in 8388608 4194304 12345 0; do
		junk "$size" out
		chmod 640 out
		ln -f out link
		mrload -q --memory pc.ram=out image
		cmp want out
		# It is still the same file.
		[ out -ef link ]
		[ "$(stat -c %a out)" = 640 ]
		(($(stat -c %b out) * 512 < 1100000))
	done
}

@test "memory files on tmpfs" {
	local dir
	dir=$(mktemp -d /dev/shm/mrload.XXXXXX) || skip "no /dev/shm"
	make_image
	mrload -q --memory "pc.ram=$dir/new" image
	junk 8388608 "$dir/old"
	mrload -q --memory "pc.ram=$dir/old" image
	cmp want "$dir/new" && cmp want "$dir/old"
	# Every absent page is a hole there.
	[ "$(stat -c %b "$dir/new" "$dir/old")" = $'1864\n1864' ]
	rm -r "$dir"
}

@test "data under clear bits means nothing" {
	local page
	make_image
	for page in 100 103 109 300 999; do
		dd if=/dev/urandom of=image bs=4096 seek=$((256 + page)) \
			count=1 conv=notrunc status=none
	done
	mrload -q --memory pc.ram=out image
	cmp want out
	junk 4194304 out
	mrload -q --memory pc.ram=out image
	cmp want out
}

# bats test_tags=thread
@test "any number of workers, direct I/O or not: the same file" {
	local jobs direct
	make_image
	for jobs in 1 2 8 64; do
		for direct in auto off; do
			mrload -q -j "$jobs" --direct="$direct" \
				--memory pc.ram=out image
			cmp want out
			rm out
		done
	done
}

@test "every second page, and pages of every size" {
	local bits i runs=
	for ((i = 0; i < 512; i += 2)); do
		runs+=${runs:+,}$i+1
		((i % 120)) || runs=
	done
	for bits in 10 12 13 16; do
		mkimage --page-bits "$bits" --block "m=512:${runs#,}" image
		junk 1000000 old
		mrload -q --memory m=old image
		mrload -q --memory m=new image
		cmp old new
		[ "$(stat -c %s new)" = $((512 << bits)) ]
		tail -c +1048577 image | head -c $((512 << bits)) | cmp - new
		rm old new
	done
}

@test "several blocks at a time" {
	mkimage --block a=700:3+650 --block b=1 --block c=513:0+513 image
	junk 999 out.b
	mrload -q --memory a=out.a --memory b=out.b --memory c=out.c image
	[ "$(stat -c %s out.a out.b out.c)" = $'2867200\n4096\n2101248' ]
	cmp -n 4096 out.b /dev/zero
	for block in a b c; do
		mrload -q --memory "$block=alone" image
		cmp alone "out.$block"
		rm alone
	done
}

@test "what is refused leaves the other files alone" {
	make_image
	junk 5000 old
	cp old before
	refused 3 'no RAM block b: there are pc.ram' --memory pc.ram=old --memory b=out image
	cmp old before
	refused 3 'image itself' --memory pc.ram=old --memory pc.ram=image image
	cmp old before
	ln -s old alias
	refused 2 'two blocks' --memory pc.ram=old --memory pc.ram=alias image
	cmp old before
	mkfifo pipe
	refused 2 'regular file' --memory pc.ram=old --memory pc.ram=pipe image
	cmp old before
}

flip() { # BYTE
	cp sealed image
	printf '\125' | dd of=image bs=1 seek="$1" conv=notrunc status=none
	run ! cmp -s sealed image
}

@test "an image that is not as it was sealed takes --force" {
	local size end bitmap
	make_image
	mrload -q --memory pc.ram=want image
	run -0 mrload --memory pc.ram=out image
	[[ ${lines[0]} == "image      image, "*" on disk, no seal" ]]
	mrload --json --memory pc.ram=out image |
		jq -e '.seal == "absent" and .allocated > 0 and (.verified | not)'
	run -3 mrload --verify --memory pc.ram=out image
	[[ $output == *"no seal to verify it by"* ]]
	rm out

	mrverify -q --seal image
	mv image sealed
	run -0 mrload --memory pc.ram=out sealed
	[[ ${lines[0]} == *"on disk, seal proven, pages not checked" ]]
	run -0 mrload --verify --memory pc.ram=out sealed
	[[ ${lines[0]} == *", seal proven, pages too" ]]
	rm out

	# Device state, a bit of the bitmap, the seal, and that it is cut off.
	size=$(stat -c %s sealed)
	end=$(mrinspect --json sealed | jq '.files[0].stream_end')
	bitmap=$(mrinspect --json sealed |
		jq '.files[0].blocks[0].bitmap_offset')
	flip $((end - 1))
	refused 3 'device state differs from the seal' --memory pc.ram=out image
	refused 3 'device state differs from the seal' image vm
	refused 3 'device state differs from the seal' --instant image -- true
	refused 3 'no QEMU' --instant --force image -- true
	flip $((bitmap + 50))
	refused 3 'loaded only with --force: the bitmap of block pc.ram differs' \
		--memory pc.ram=out image
	run -0 mrload -v --force --memory pc.ram=out image
	[[ $output == *"not as it was sealed: the bitmap of block pc.ram differs"* ]]
	[[ $output == *" on disk, not as it was sealed"* ]]
	rm out
	flip $((end + 40))
	refused 3 'the seal is damaged' --memory pc.ram=out image
	cp sealed image
	truncate -s $((size - 7)) image
	refused 3 'its end is lost' --memory pc.ram=out image

	# A page costs to read: only who asks is told.
	flip 1048580
	run -0 mrload -q --memory pc.ram=out image
	rm out
	refused 2 'page 0 of block pc.ram is not as it was sealed' \
		--verify --memory pc.ram=out image
	refused 3 'damaged: mrverify says where' --verify image vm
}

@test "a locked file is left alone" {
	make_image
	junk 5000 out
	cp out before
	# F_OFD_SETLK, F_WRLCK, the whole file.
	run -3 perl -e 'open(F, "+<", shift) or die;
		$lock = pack("s s x4 q q i x4", 1, 0, 0, 0, 0);
		fcntl(F, 37, $lock) or die;
		exit(system(@ARGV) >> 8)' \
		out mrload --memory pc.ram=out image
	[[ $output == *'holds a lock'* ]]
	cmp out before
}

@test "files that are no whole image" {
	local size
	mkimage --block pc.ram=64:0+64 --interrupted image
	refused 3 'broken off' --memory pc.ram=out image
	refused 3 'broken off' image vm
	mkimage --block pc.ram=64:0+64 --no-bitmaps --no-end image
	refused 3 'background-snapshot' --memory pc.ram=out image
	refused 3 'background-snapshot' image vm
	mkimage --block pc.ram=64:0+64 --no-bitmaps image
	refused 3 'bitmaps are clear' image vm
	mkimage --devices image
	refused 3 'device state only' image vm
	mkimage --libvirt zstd image
	refused 3 'compressed (zstd)' image vm
	mkimage --libvirt sparse --part --block pc.ram=64:0+64 image
	refused 3 'libvirt' image vm
	mkimage --plain --flush --block pc.ram=64 image
	refused 3 'multifd' --memory pc.ram=out image
	mkimage --plain --no-pages --block pc.ram=64 image
	refused 2 'no page with data is in this stream' \
		--memory pc.ram=out image
	mkimage --plain --block pc.ram=64:0+64 --truncate 99999 image
	refused 3 'file ends' --memory pc.ram=out image
	mkimage --plain --flush --block pc.ram=64 image
	refused 3 'multifd' image vm
	mkimage --ignore-shared --ignored a=16 --block b=16:0+16 image
	refused 3 'left out' --memory a=out image
	junk 5000 image
	refused 3 'no image' image vm
	: >image
	refused 3 'no image' image vm
	mkimage --block pc.ram=64:0+64 image
	size=$(stat -c %s image)
	# From inside the pages, from the end of memory, from the last device.
	for size in 1200000 1310720 $((size - 300)); do
		mkimage --block pc.ram=64:0+64 --truncate "$size" image
		refused 3 '' --memory pc.ram=out image
		refused 3 '' image vm
	done
}

# A QMP server in QEMU's place, for one client; its socket is "vm". It has the
# memory of make_image's image; COMMAND is where it hangs, or ends.
fake_qemu() { # VERSION [hang|end COMMAND]
	rm -f vm
	perl -MIO::Socket::UNIX -e '
		my ($version, $how, $where) = @ARGV;
		my ($major, $minor) = split /\./, $version;
		my $line = IO::Socket::UNIX->new(Local => "vm", Listen => 1);
		my $blocks = "Block Name PSize Offset Used Total HVA RO\\n" .
			"pc.ram    4 KiB  0x0000000000000000" .
			" 0x0000000000400000 0x0000000000400000" .
			" 0x00007f0000000000  rw\\n";
		my %answer = (
			"qom-get" => "\"pc-i440fx-10.0-machine\"",
			"query-status" => "{\"status\": \"inmigrate\",
				\"running\": false}",
			"query-target" => "{\"arch\": \"x86_64\"}",
			"query-cpus-fast" => "[{}]",
			"query-pci" => "[]",
			"query-migrate-capabilities" => "[]",
			"query-migrate-parameters" =>
				"{\"max-bandwidth\": 134217728,
				\"multifd-channels\": 2,
				\"multifd-compression\": \"none\",
				\"direct-io\": false}",
			"add-fd" => "{\"fdset-id\": 1}",
			"query-fdsets" => "[]",
			"x-query-ramblock" =>
				"{\"human-readable-text\": \"$blocks\"}");
		my $c = $line->accept;
		$c->autoflush;
		print $c "{\"QMP\": {\"version\": {\"qemu\": {\"major\": $major,
			\"minor\": $minor, \"micro\": 0}}}}\n";
		open(my $log, ">", "said");
		$log->autoflush;
		while (<$c>) {
			print $log $_;
			/"execute": ?"([^"]*)"/ or next;
			my $what = $1;
			exit if $how eq "end" && $what eq $where;
			next if $how eq "hang" && $what eq $where;
			/"id": ?(\d+)/;
			my $ret = $answer{$what} || "{}";
			print $c "{\"return\": $ret, \"id\": $1}\n";
		}' "$@" 3>&- &
	FAKE_QEMU=$!
	until [ -S vm ]; do
		kill -0 $FAKE_QEMU
	done
}

@test "an old QEMU is told from a new one" {
	make_image
	fake_qemu 4.1
	refused 3 'QEMU 4.1 does not load out of a descriptor' image vm
	# What reads no mapped-ram is lent a socket, and told nothing of it.
	fake_qemu 8.2 end migrate-incoming
	refused 4 'QEMU has ended' image vm
	grep fd:mrtools-fd said
	run ! grep -e mapped-ram -e add-fd -e exit-on-error said
	# It ends itself when it cannot load, and is not asked not to.
	fake_qemu 9.0 end migrate-incoming
	refused 4 'QEMU has ended' image vm
	run ! grep -e exit-on-error -e direct-io said
	fake_qemu 9.1 end migrate-incoming
	refused 4 'QEMU has ended' image vm
	grep exit-on-error said
}

@test "x-ignore-shared: what QEMU cannot load, and where memory is missing" {
	mkimage --ignore-shared --ignored pc.ram=1024 image
	fake_qemu 8.2
	refused 3 'some of the memory is not in it' image vm
	fake_qemu 10.2
	refused 3 'QEMU 10.2 cannot load a mapped-ram image that was saved with x-ignore-shared' \
		image vm
	fake_qemu 11.0
	run -3 mrload image vm
	[[ ${lines[0]} == *'pc.ram: its memory was left out of the image'* ]]
	[ ${#lines[@]} = 2 ]
}

@test "a QEMU without direct I/O" {
	need_direct
	make_image
	fake_qemu 9.0
	refused 3 'QEMU 9.0 has no direct I/O' --direct=on image vm
}

# mrload gets a signal after it sent COMMAND, and ends with STATUS.
terminate_at() { # COMMAND STATUS
	local pid status=0
	rm -f said
	mrload image vm 2>told &
	pid=$!
	until grep -qs "\"$1\"" said; do
		kill -0 $pid
	done
	kill -TERM $pid
	wait $pid || status=$?
	[ $status = "$2" ]
}

@test "interrupted before QEMU began: exit 2; while it loads: 4" {
	make_image
	fake_qemu 10.0 hang query-migrate-parameters
	terminate_at query-migrate-parameters 2
	fake_qemu 10.0
	terminate_at migrate-incoming 4
	grep 'goes on loading' told
}

@test "no VM there: trouble, not a refusal" {
	make_image
	refused 2 'QMP socket' image vm
}

@test "a full file system: exit 2, no file" {
	mkdir small
	mount -t tmpfs -o size=512K none small 2>/dev/null ||
		skip "may not mount"
	make_image
	run -2 mrload --memory pc.ram=small/out image
	[[ $output == *'No space left'* ]]
	[ -z "$(ls -A small)" ]
}

@test "room for one huge page and not for two: exit 2, no file, no crash" {
	local size
	mkimage --block pc.ram=1024:0+1024 image
	mkdir small
	mount -t tmpfs -o size=3M none small 2>/dev/null ||
		skip "may not mount"
	for size in 2048 2052 3072 4092; do
		mount -o "remount,size=${size}K" small
		run -2 mrload --memory pc.ram=small/out image
		[[ $output == *'No space left'* ]]
		[ -z "$(ls -A small)" ]
		# One that exists is filled in place.
		truncate -s 4M small/out
		run -2 mrload --memory pc.ram=small/out image
		[[ $output == *'No space left'* ]]
		rm small/out
	done
	mount -o remount,size=4096K small
	mrload -q --memory pc.ram=small/out image
	mrload -q --memory pc.ram=out image
	cmp out small/out
}

@test "JSON" {
	make_image
	run -0 mrload --json --memory pc.ram=out image
	[[ $output == *'"ram": 4194304,'*'"data": 954368,'* ]]
	[[ $output == *'"direct_write": '* ]]
	[[ $output == *'"huge_pages": 0,'* ]]
}

@test "an image of 1 TiB in less than 128 MiB" {
	mkimage --block pc.ram=268435456:0+10,134217728+300,268435455+1 image ||
		skip "no file of 1 TiB on this file system"
	run -0 peak-memory mrload -q --memory pc.ram=out image
	[[ $output =~ peak\ ([0-9]+)\ KiB ]]
	((BASH_REMATCH[1] < 131072))
	[ "$(stat -c %s out)" = 1099511627776 ]
	# The bitmap of 32 MiB begins in the first one.
	for at in 0 $((1 << 39)) $(((1 << 40) - 4096)); do
		cmp -n 4096 -i $(((33 << 20) + at)):$at image out
	done
}

@test "--memory of a plain stream is that of an image" {
	local how blocks=(--block pc.ram=1024:0+160,300+8 --block a=33:1+15)
	mkimage "${blocks[@]}" image
	run -0 mrload -q --memory pc.ram=want --memory a=want.a image
	for how in '' '--libvirt raw' --no-end; do
		mkimage --plain $how "${blocks[@]}" stream
		# Over what was there before, and as a new file.
		junk $((1024 * 4096)) got
		rm -f got.a
		run -0 mrload -q --memory pc.ram=got --memory a=got.a stream
		cmp want got
		cmp want.a got.a
	done
	[ "$(du -k got.a | cut -f 1)" -lt 120 ]
}

@test "--record and --prefault are checked" {
	run -2 mrload --record=5 image vm.qmp
	[[ $output == *"--record, --record-file and --prefault are about --instant"* ]]
	run -2 mrload --instant --record=0 image -- qemu
	[[ $output == *"--record takes 1 to 3600 seconds"* ]]
	run -2 mrload --instant --prefault=some image -- qemu
	[[ $output == *"--prefault is recorded, all or none, not some"* ]]
}

# What is mapped behind the end of a file kills who touches it.
@test "--instant: an image that ends early is refused, also with a hole there" {
	local end size pages=$((5 << 20)) # where the last one ends
	mkimage --block "pc.ram=1024:0+100" whole
	size=$(stat -c %s whole)
	run -3 mrload --instant --check whole -- true
	[[ $output == *"true: this is no QEMU"* ]]
	for end in $((2 << 20)) $((pages - 4096)) $((pages - 1)) "$pages" \
		$((pages + 1)) $((pages + 100)); do
		cp whole image
		truncate -s "$end" image
		run -3 mrload --instant --check image -- true
		[[ $output == "mrload: image: damaged: file ends "* ]]
		truncate -s "$size" image
		run -3 mrload --instant --check image -- true
		[[ $output == "mrload: image: damaged: "* ]]
	done
}
