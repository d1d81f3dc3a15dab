#!/usr/bin/env bats
# mrconvert without a QEMU: what it makes, what it says, what it refuses. With
# one: ../qemu.

load ../lib/env

setup() { cd "$BATS_TEST_TMPDIR"; }

need_zstd() { [ -n "$(command -v zstd)" ] || skip "no zstd"; }

refused() { # STATUS TEXT ARGUMENT...
	local status=$1 text=$2
	shift 2
	run "-$status" mrconvert "$@"
	[ "${#lines[@]}" -le 2 ]
	[[ $output == "mrconvert: "*"$text"* ]]
}

@test "wrong usage" {
	mkimage image
	refused 2 needed image
	refused 2 needed image a.mrp more
	refused 2 "--format takes" -O raw image a.mrp
	refused 2 "1 to 19" --level=0 image a.mrp
	refused 2 "1 to 19" --level=20 image a.mrp
	for format in mapped stream libvirt libvirt:sparse; do
		refused 2 "only a pack and libvirt:zstd have a level" \
			-O $format --level=1 image a
	done
	refused 2 "--direct" --direct=perhaps image a.mrp
	refused 2 "a: what to make of it is not known" image a
	refused 2 "a.img: what to make" image a.img
	refused 2 ".mrp: what to make" image .mrp
	refused 2 "--format=pack or stream" image -
	run -2 bash -c "mrconvert --json -O pack image - 2>&1 >/dev/null"
	[[ $output == *"both go to stdout"* ]]
	refused 2 "not written from front to back" -O mapped image -
	refused 2 "a core is not written from front" -O elf image -
	refused 2 "only a kdump has a dump level" --dump-level=1 image a.core
	refused 2 "--dump-level takes 0 to 31" --dump-level=32 image a.kdump
	refused 2 "only a pack and libvirt:zstd" --level=1 image a.core
	refused 2 "--at takes BLOCK=ADDRESS" --at pc.ram image a.core
	refused 2 "--at takes BLOCK=ADDRESS" --at =none image a.core
	refused 2 "there is no address, nor none" --at pc.ram=there image a.core
	refused 2 "is no address, nor none" --at pc.ram=1+1 image a.core
	refused 2 "only a core says where" --at pc.ram=none image a.mrp
	mkimage --machine pseries-10.0 other
	refused 2 "the layout of machine type" other a.core
	rm other
	refused 2 "at most 255 bytes" --name="$(printf %0256d 0)" image a.mrp
	refused 2 "at most 255 bytes" --name=$'a\nb' image a.mrp
	refused 2 "none: cannot open: No such file" none a.mrp
	refused 2 "cannot open the folder: No such file" image none/a.mrp
	[ "$(ls)" = image ]
}

# A stream, a pack and an image of each other: the same memory and devices.
@test "all into all: nothing is lost, whatever it came from" {
	need_zstd
	local machine=(--block pc.ram=5000:0+300,1000+1,4000+1000
		--block pc.bios=64:0+60 --device cpu=5000 --machine pc-q35-9.0
		--page-bits 12 --early early=77)
	mkimage "${machine[@]}" image
	mkimage --plain "${machine[@]}" plain
	for from in image plain; do
		mrconvert -q $from a.mr
		mrconvert -q $from a.stream
		mrconvert -q $from a.mrp
		mrverify -q a.mr
		mrdiff -q $from a.mr
		mrdiff -q $from a.stream
		zstd -qdc a.mrp >unpacked
		cmp unpacked a.stream
		mrconvert -q a.stream b.mr
		cmp a.mr b.mr
		mrconvert -q a.mr b.stream
		mrdiff -q a.stream b.stream
		mrconvert -q a.mrp b.mr
		same_but_seal a.mr b.mr
		mrconvert -q a.mrp b.stream
		cmp a.stream b.stream
		mrverify -q a.mrp
		mrconvert -q --level 3 --name kept a.mrp c.mrp
		mrconvert -q --level 1 c.mrp b.mrp
		mrconvert -q --name= b.mrp b.mrp
		cmp a.mrp b.mrp
	done
	[ "$(stat -c %a a.mr a.stream a.mrp | uniq)" = 600 ]
}

@test "what QEMU sends before memory stays there" {
	mkimage --plain --early early=77 plain
	mrconvert -q plain a.stream
	mrinspect --json a.stream | jq -e '[.files[].sections[].name] |
		index("early") == 0 and index("ram") == 1'
	mrconvert -q plain a.mr
	mrconvert -q a.mr a.stream
	mrinspect --json a.stream | jq -e '[.files[].sections[].name] |
		index("early") > index("ram")'
}

@test "a dense copy becomes sparse, zeros that were written go" {
	mkimage --block pc.ram=5000:100+100 image
	cp --sparse=never image dense
	mrconvert -q dense sparse.mr
	mrdiff -q image sparse.mr
	[ "$(stat -c %b sparse.mr)" -lt 2000 ]
	[ "$(stat -c %b dense)" -gt 40000 ]
	mrconvert -q dense dense.mr
	mv dense.mr dense
	mrconvert -q -O mapped dense dense
	[ "$(stat -c %b dense)" -lt 2000 ]
	mkimage --plain --block pc.ram=5000:100+100 plain
	cmp <(mrconvert -q -O stream plain - | tail -c +9 | head -c 1000) \
		<(mrconvert -q -O stream image - | tail -c +9 | head -c 1000)
}

@test "the same bytes, however many threads and wherever they go" {
	need_zstd
	mkimage --block pc.ram=6000:0+2500,2600+1,4000+1900 \
		--block vga=4096:4000+96 image
	touch -d @1600000000 image
	for form in pack stream; do
		mrconvert -q -O $form -j1 image one
		for jobs in 2 3 8 64; do
			mrconvert -q -O $form -j$jobs image many
			cmp one many
		done
		mrconvert -O $form image - >many
		cmp one many
		mrconvert -O $form image - | cmp one -
		mrconvert -O $form image - > >(cat >many)
		wait $!
		cmp one many
		echo kept >many
		mrconvert -O $form image - >>many
		cmp one <(tail -c +6 many)
		rm one many
	done
	# Fewer, where there is no memory for so many.
	if is_plain; then
		for level in 1 13; do
			mrconvert -q -O pack -j1 --level $level image one
			(ulimit -v 200000 &&
				exec mrconvert -q -O pack -j64 --level $level image many)
			cmp one many
		done
	fi
	mrconvert -q -O pack --level 19 image small
	mrconvert -q -O pack image one
	[ "$(stat -c %s small)" -le "$(stat -c %s one)" ]
	zstd -qdc small | cmp - <(mrconvert -O stream image -)
}

@test "the label: machine's UUID, name, moment" {
	mkimage --uuid 0123456789abcdef image
	touch -d @1600000000 image
	mrconvert -q --name='web 1' image a.mrp
	head -c 200 a.mrp | grep -qa 'web 1'
	head -c 200 a.mrp | grep -qa 0123456789abcdef
	head -c 200 a.mrp | grep -qa "mrtools $(cat "$ROOT/VERSION")"
	[ "$(head -c 44 a.mrp | tail -c 8 | xxd -p)" = 000000005f5e1000 ]
	# A pack's stays, whenever its file was changed.
	touch -d @1700000000 a.mrp
	mrconvert -q --level 3 a.mrp b.mrp
	mrinspect --json b.mrp | jq -e '.files[0].label | .name == "web 1" and
		.made == 1600000000'
	mrconvert -q --name= a.mrp b.mrp
	mrinspect --json b.mrp | jq -e '.files[0].label.name == null'
	# The seal of an image says the same, whichever way it goes.
	mrconvert -q a.mrp c.mr
	mrinspect --json a.mrp c.mr | jq -e '.files | .[0].label == .[1].label'
	mrconvert -q c.mr d.mr
	cmp c.mr d.mr
	mrconvert -q d.mr c.mrp
	mrinspect --json a.mrp c.mrp | jq -e '.files | .[0].label == .[1].label'
	mrverify -q c.mr
	run -0 mrinspect c.mr
	[[ $output == *"  made          2020-09-13 12:26:40 UTC of VM web 1 (30313233-"* ]]
	# What nobody knows is not made up.
	mrconvert -q image d.mr
	mrinspect --json d.mr | jq -e '.files[0].label == null'
	mrconvert -q --name db image d.mr
	mrinspect --json d.mr | jq -e '.files[0].label | .name == "db" and .made == null'
	run -0 mrinspect d.mr
	[[ $output == *"made          not said (file of "*" UTC) of VM db"* ]]
}

@test "what it says" {
	mkimage image
	run -0 mrconvert image a.mrp
	[[ ${lines[0]} == "format     pack" ]]
	[[ ${lines[1]} == "machine    pc-i440fx-10.0, running" ]]
	[[ ${lines[2]} == "memory     4.2 MiB in 2 blocks: 928 KiB data; "* ]]
	[[ ${lines[3]} == "size       "*", of "* ]]
	run -0 mrconvert image a.mr
	[[ ${lines[0]} == "format     mapped, sealed" ]]
	run -0 mrconvert --no-seal image a.mr
	[[ ${lines[0]} == "format     mapped" ]]
	run -0 --separate-stderr mrconvert -O pack image -
	[ -z "$stderr" ]
	run -0 mrconvert --json image a.mrp
	jq -e ".format == \"pack\" and .data == 950272 and .blocks == 2 and
		.size == $(stat -c %s a.mrp) and (.dry_run | not)" <<<"$output"
	run -0 mrconvert --progress=5 -q image a.mrp 5>progress
	[ "$(tail -n 1 progress)" = 100/100 ]
}

@test "--dry-run says how large it would be, and makes nothing" {
	mkimage --block pc.ram=5000:0+2000 image
	for form in pack stream; do
		run -0 mrconvert --json --dry-run -O $form image out
		[ ! -e out ]
		mrconvert -q -O $form image out
		jq -e ".size == $(stat -c %s out) and .sampled == .extents and
			.dry_run" <<<"$output"
		run -0 mrconvert --dry-run -O $form image -
		[[ $output == *"all of it was tried"* ]]
		rm out
	done
	mkimage --block pc.ram=100000:0+100000 image
	for form in pack stream mapped; do
		run -0 mrconvert --json --dry-run -O $form image out
		mrconvert -q -O $form image out
		size=$(($(stat -c %b out) * 512))
		jq -e ".size > $size * 0.97 and .size < $size * 1.03 and
			.sampled == 128 and .extents == 391" <<<"$output"
		rm out
	done
	run -0 mrconvert --dry-run image a.mrp
	[[ $output == *"size       about "*"128 of 391 MiB were tried"* ]]
	echo precious >a.mrp
	refused 3 "neither empty nor an image" --dry-run image a.mrp
}

@test "what cannot be loaded is not converted" {
	mkimage --interrupted image
	refused 3 "image: this save was broken off" image a.mrp
	mkimage image
	truncate -s -100 image
	refused 3 "image: damaged" image a.mrp
	mkimage --devices image
	refused 3 "device state only" image a.mrp
	mkimage --libvirt gzip image
	refused 2 "what is here is no gzip data" image a.mrp
	mkimage --ignore-shared image
	refused 3 "x-ignore-shared" image a.mrp
	echo text >image
	refused 3 "no image of a virtual machine" image a.mrp
	[ "$(ls)" = image ]
}

@test "what is replaced, and what is not" {
	mkimage image
	echo precious >a.mrp
	refused 3 "a.mrp: exists, and is neither empty nor an image" image a.mrp
	[ "$(cat a.mrp)" = precious ]
	mrconvert -q --force image a.mrp
	cp a.mrp b.mr
	mrconvert -q image b.mr
	mrverify -q b.mr
	mrconvert -q -O pack image b.mr
	cmp a.mrp b.mr
	mkdir folder.mrp
	refused 2 "not a regular file" image folder.mrp
	cp image same.mr
	mrconvert -q same.mr same.mr
	mrdiff -q image same.mr
}

@test "a disk that is full: one line, and the old file stays" {
	mkimage --block pc.ram=20000:0+20000 image
	for form in pack stream; do
		echo QEVM >out
		run -2 bash -c "trap '' XFSZ; ulimit -f 20000
			mrconvert -O $form image out"
		[[ $output == "mrconvert: out: cannot write: File too large"* ]]
		[ "${#lines[@]}" = 1 ]
		[ "$(cat out)" = QEVM ]
		run -2 bash -c "mrconvert -O $form image - >/dev/full"
		[[ $output == "mrconvert: -: cannot write: No space left"* ]]
	done
	[ "$(ls -A | paste -s -d ' ')" = "image out" ]
}

@test "a reader that goes away: one line" {
	mkimage --block pc.ram=20000:0+20000 image
	for form in pack stream; do
		for jobs in 1 4; do
			run -0 bash -c "{ mrconvert -j$jobs -O $form image -
				echo \$? >status; } | head -c 1000 >/dev/null"
			[[ $output == "mrconvert: -: cannot write: Broken pipe at byte "* ]]
			[ "${#lines[@]}" = 1 ]
			[ "$(cat status)" = 2 ]
		done
	done
}

@test "a reader that stands still: a signal ends it, one line" {
	mkimage --block pc.ram=20000:0+20000 image
	mkfifo pipe
	sleep 1000 3>&- <pipe &
	local reader=$! rc=0
	mrconvert -O pack image - >pipe 2>says 3>&- &
	# It is stuck when the pipe takes no more.
	until python3 -c 'import os, select, sys
pipe = os.open("pipe", os.O_WRONLY | os.O_NONBLOCK)
poll = select.poll()
poll.register(pipe, select.POLLOUT)
sys.exit(len(poll.poll(0)))'; do kill -0 $!; done
	kill -TERM $!
	wait $! || rc=$?
	kill $reader
	[ $rc = 2 ]
	[ "$(cat says)" = "mrconvert: interrupted" ]
}

@test "an image that is written to meanwhile" {
	mkimage --block pc.ram=20000:0+20000 image
	mkfifo pipe
	mrconvert -O pack image - >pipe 2>says 3>&- &
	exec 8<pipe
	# It has begun, and more is to come than a pipe holds.
	head -c 1000 <&8 >/dev/null
	printf x | dd of=image bs=1 seek=$((50 << 20)) conv=notrunc status=none
	cat <&8 >/dev/null
	exec 8<&-
	rc=0
	wait $! || rc=$?
	[ $rc = 2 ]
	[ "$(cat says)" = "mrconvert: image: it was written to while it was read" ]
}

@test "memory stays small, whatever the guest has" {
	mkimage --block pc.ram=100000:0+100000 image
	for jobs in 1 8; do
		run -0 peak-memory mrconvert -q -j$jobs image a.mrp
		[[ $output =~ peak\ ([0-9]+) ]]
		[ "${BASH_REMATCH[1]}" -lt $((128 << 10)) ]
	done
}

@test "--limit and --metrics" {
	mkimage image
	run -2 mrconvert --limit=fast image a.mrp
	[[ $output == *"--limit"* ]]
	mrconvert -q --limit 100G --metrics m.prom image a.mrp
	mrdiff -q image a.mrp
	grep -q '^mrtools_last_run_success{.*"mrconvert".*} 1$' m.prom
	run -2 mrconvert --no-seal image b.mrp
	[[ $output == *"only a mapped-ram image has a seal"* ]]
	run -2 mrconvert --name x image b.stream
	[[ $output == *"only a pack, and a mapped-ram image's seal"* ]]
	run -2 mrconvert --no-seal --name x image b.mr
	[[ $output == *"only a pack, and a mapped-ram image's seal"* ]]
	# What fails is recorded, what is only tried is not.
	run -2 mrconvert -q --metrics m.prom none a.mrp
	grep -q '^mrtools_last_run_success{.*"mrconvert".*} 0$' m.prom
	mrconvert -q --dry-run --metrics n.prom image a.mrp
	[ ! -e n.prom ]
}

# ---- libvirt ----

domain() { # MACHINE
	echo "<!-- saved --><domain type='kvm'><os><type arch='x86_64' machine='$1'>hvm</type></os></domain>"
}

# A number of libvirt's header.
number() { od -An -tu4 -j"$2" -N4 "$1" | tr -d ' '; } # FILE BYTE

@test "libvirt: raw, zstd and sparse of any image, with a domain's XML" {
	need_zstd
	mkimage --block pc.ram=5000:0+300,4000+1000 --state paused paused
	mkimage --plain --block pc.ram=5000:0+300 running
	domain pc >xml
	for from in paused running; do
		mrconvert -q $from a.stream
		for form in libvirt libvirt:raw libvirt:zstd libvirt:sparse; do
			run -0 mrconvert -O $form --xml xml $from out
			[[ ${lines[0]} == "format     ${form%:raw}"* ]]
			[ "$(head -c 16 out)" = LibvirtQemudSave ]
			[ "$(stat -c %a out)" = 600 ]
			cmp xml <(tail -c +93 out | head -c "$(stat -c %s xml)")
			[ "$(number out 20)" = $((65537 + $(stat -c %s xml))) ]
			[[ $from == running ]] && want=1 || want=0
			[ "$(number out 24)" = $want ]
			[ "$(number out 32)" = 0 ]
			run -0 mrinspect out
			[[ $output == "out: libvirt save image, "* ]]
			tail -c +$((93 + $(number out 20))) out >body
			case $form in
			*:zstd) zstd -qdc body | cmp - a.stream ;;
			*:sparse) [ "$(number out 28)" = 6 ] ;;
			*) cmp body a.stream ;;
			esac
			[[ $form == *:zstd ]] || {
				mrverify -q out
				mrdiff -q $from out
			}
		done
	done
	run -0 mrverify out
	[[ $output == *"sound, sealed"* ]]
	mrconvert -q --no-seal -O libvirt:sparse out out
	run -0 mrverify out
	[[ $output != *sealed* ]]
	mrdiff -q running out
	[ "$(ls -A | wc -l)" = 6 ]
}

@test "libvirt: the same bytes by any number of threads, smaller with a level" {
	need_zstd
	mkimage --block pc.ram=20000:0+9000,12000+8000 image
	domain pc >xml
	for form in libvirt libvirt:zstd libvirt:sparse; do
		mrconvert -q -j1 -O $form --xml xml image one
		for jobs in 2 8; do
			mrconvert -q -j$jobs -O $form --xml xml image many
			cmp one many
		done
		run -0 mrconvert --json --dry-run -O $form --xml xml image out
		[ ! -e out ]
		size=$(($(stat -c %b one) * 512))
		jq -e ".format == \"$form\" and .size > $size * 0.97 and
			.size < $size * 1.03" <<<"$output"
	done
}

# A body's checksums are all that tells of a damage.
@test "libvirt:zstd: a flipped bit is found by zstd" {
	need_zstd
	mkimage --block pc.ram=5000:0+300 image
	domain pc >xml
	mrconvert -q -O libvirt:zstd --xml xml image out
	tail -c +$((93 + $(number out 20))) out >body
	zstd -qt body
	at=$(($(stat -c %s body) / 2))
	printf "\\x$(printf %02x $((0x$(xxd -p -s $at -l 1 body) ^ 1)))" |
		dd of=body bs=1 seek=$at conv=notrunc status=none
	run ! zstd -qt body
}

@test "libvirt: XML, cookie and flag of libvirt's own stay" {
	mkimage --plain --libvirt raw --was-running --state paused own
	# A cookie: libvirt writes one, mkimage does not.
	python3 - own <<-'END'
		import struct, sys
		image = bytearray(open(sys.argv[1], 'rb').read())
		end = image.index(0, 92) + 1
		image[end:end + 9] = b'<cookie/>'
		image[32:36] = struct.pack('<I', end - 92)
		open(sys.argv[1], 'wb').write(image)
	END
	for form in libvirt libvirt:sparse; do
		mrconvert -q -O $form own out
		[ "$(tail -c +93 out | head -c 20)" = "<domain type='kvm'/>" ]
		[ "$(tail -c +$((93 + $(number out 32))) out | head -c 9)" = \
			"<cookie/>" ]
		[ "$(number out 24)" = 1 ]
		mrdiff -q own out
	done
	# Another XML: the rest is of the guest.
	domain pc >xml
	mrconvert -q -O libvirt --xml xml own out
	cmp xml <(tail -c +93 out | head -c "$(stat -c %s xml)")
	[ "$(tail -c +$((93 + $(number out 32))) out | head -c 9)" = \
		"<cookie/>" ]
	[ "$(number out 24)" = 1 ]
	mrconvert -q -O libvirt out again
	cmp out again
}

@test "libvirt: what is refused" {
	mkimage image
	refused 3 "image: there is no libvirt domain in this image" \
		-O libvirt image out
	domain pc >xml
	refused 2 "only libvirt takes" -O pack --xml xml image out
	refused 2 "it needs a file" -O libvirt:zstd --xml xml image -
	refused 2 "--format takes" -O libvirt:gzip --xml xml image out
	refused 2 "none: cannot open: No such file" -O libvirt --xml none image out
	refused 2 ".: cannot read: Is a directory" -O libvirt --xml . image out
	domain pc-q35-10.0 >other
	refused 3 "other: this XML is of another machine (pc-q35-10.0) than the image (pc-i440fx-10.0)" \
		-O libvirt --xml other image out
	echo "<network/>" >other
	refused 3 "other: no domain's XML begins so at byte 0" \
		-O libvirt --xml other image out
	echo "<domain>" >other
	refused 3 "other: no domain's XML ends so" -O libvirt --xml other image out
	: >other
	refused 3 "no domain's XML begins so" -O libvirt --xml other image out
	{ cat xml; printf '\0'; } >other
	refused 3 "a NUL in the XML" -O libvirt --xml other image out
	{ cat xml; head -c 10M /dev/zero; } | tr '\0' ' ' >other
	refused 3 "more than 10 MiB are no domain's XML" \
		-O libvirt --xml other image out
	mrconvert -q -O libvirt --xml <(head -c 10M other) image out
	mrverify -q out
	echo precious >out
	refused 3 "neither empty nor an image" -O libvirt --xml xml image out
	[ "$(cat out)" = precious ]
}

@test "--verify: what is read is what was saved, or nothing is made" {
	local ram at
	mkimage --block pc.ram=3000:0+700,1500+1,2900+100 --block bios=64:0+3 image
	run -3 mrconvert --verify image a.mrp
	[[ $output == "mrconvert: image: nothing says whether "* ]]
	mkimage --plain stream
	run -3 mrconvert --verify stream a.mrp
	run -2 mrconvert --verify --dry-run image a.mrp
	mrconvert -q --name web1 image sound.mr
	for form in pack mapped stream; do
		mrconvert -q --verify -O $form sound.mr out
		mrconvert -q -O $form sound.mr same
		cmp out same
	done
	run -3 mrconvert --verify out again.mrp
	mrconvert -q --verify -O pack sound.mr sound.mrp
	mrconvert -q --verify sound.mrp again.mrp
	cmp sound.mrp again.mrp
	ram=$(mrinspect --json sound.mr | jq '.files[0].blocks[0].pages_offset')
	# A bit of a page; of its bitmap; of the device state; of the label.
	flip() { # BYTE
		cp sound.mr bad.mr
		printf "\\x$(printf %x $((0x$(xxd -p -l 1 -s "$1" bad.mr) ^ 4)))" |
			dd of=bad.mr bs=1 seek="$1" conv=notrunc status=none
		run -2 mrconvert -q --verify bad.mr bad.mrp
		[ "${#lines[@]}" = 1 ]
		[ ! -e bad.mrp ]
	}
	flip $((ram + 1500 * 4096 + 77))
	[[ $output == *"bad.mr: page 1500 of block pc.ram is not as it was sealed at byte $((ram + 1500 * 4096))"* ]]
	mrconvert -q bad.mr unseen.mrp
	at=$(mrinspect --json sound.mr | jq '.files[0].blocks[0].bitmap_offset')
	flip $((at + 100))
	[[ $output == *"the bitmap of block pc.ram differs from the seal"* ]]
	at=$(mrinspect --json sound.mr | jq '.files[0].vmdesc.offset')
	flip $((at + 30))
	[[ $output == *"the device state differs from the seal"* ]]
	flip "$(grep -obUa web1 sound.mr | head -n 1 | cut -d: -f1)"
	[[ $output == *"the seal is damaged: its own digest differs"* ]]
}

@test "--base --verify: what an increment stands on is whole" {
	mkimage --block pc.ram=3000:0+700 0.mr
	mkimage --block pc.ram=3000:0+701 1.mr
	mkimage --block pc.ram=3000:0+702 2.mr
	for i in 0 1 2; do mrverify -q --seal $i.mr; done
	mrconvert -q 0.mr 0.mrp
	mrconvert -q --verify --base 0.mrp 1.mr 1.mrp
	mrconvert -q --verify --base 1.mrp 2.mr 2.mrp
	mrdiff -q 2.mr 2.mrp
	# In the middle of a frame of the full one.
	printf X | dd of=0.mrp bs=1 seek=50000 conv=notrunc status=none
	mrconvert -q --base 1.mrp 2.mr unseen.mrp
	run -2 mrconvert --verify --base 1.mrp 2.mr bad.mrp
	[[ $output == "mrconvert: 1.mrp: base 0.mrp: pack: the frame in bytes "*"is damaged"* ]]
	[ ! -e bad.mrp ]
}

# Who needs another is told; nobody calls a size that is not ours damage.
@test "plain streams with pages of every size" {
	need_zstd
	local bits how
	for bits in 10 11 13 14 15 16; do
		for how in "" "--unsaid --vmdesc none"; do
			mkimage --plain --page-bits $bits $how \
				--block pc.ram=64:0+3,20+2 --device cpu=50 in
			[ "$(mrinspect --json in | jq -c '.files[0].blocks[0] |
				[.page_size,.data_words,.zero_words]')" = \
				"[$((1 << bits)),5,59]" ]
			mrload -q --memory pc.ram=ram in
			[ "$(stat -c %s ram)" = $((64 << bits)) ]
			for out in a.mrp a.stream; do
				mrconvert -q in $out
				mrdiff -q in $out
				mrload -q --memory pc.ram=again $out
				cmp ram again
			done
			refused 2 "in: pages of $((1 << bits)) bytes do not go" in a.mr
			[[ $output == *"into a mapped-ram image of ours: make a"* ]]
			rm a.mrp a.stream ram again
		done
	done
	mkimage --plain --page-bits 8 --unsaid --block pc.ram=64:0+3 in
	[ "$(mrinspect --json in | jq '.files[0].blocks[0].page_size')" = 256 ]
	mrload -q --memory pc.ram=ram in
	[ "$(stat -c %s ram)" = 16384 ]
	refused 2 "pages of 256 bytes do not go into a stream" in a.mrp
	refused 2 "pages of 256 bytes do not go into a stream" in a.stream
	[ ! -e a.mrp ] && [ ! -e a.stream ] && [ ! -e a.mr ]
}
