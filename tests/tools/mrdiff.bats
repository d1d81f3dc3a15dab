#!/usr/bin/env bats
# mrdiff: what it finds, how it says so, and how it exits.

load ../lib/env

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	export COLUMNS=80
	unset NO_COLOR
}

# What the JSON in $output says: value KEY...
value() { json "$@" <<<"$output"; }

# Byte of image $1 where page 0 of block $2 is, or its bitmap.
pages_at() { mrinspect --json "$1" | json files 0 blocks "$2" pages_offset; }
bitmap_at() { mrinspect --json "$1" | json files 0 blocks "$2" bitmap_offset; }

# Byte of the payload of section $2 of image $1.
payload_at() {
	local section
	section=$(mrinspect --json "$1" | json files 0 sections "$2")
	echo $(($(json offset <<<"$section") + $(json header <<<"$section")))
}

# The tags of an XML file fit, and no & stands alone.
well_formed() {
	grep -o '<[^>]*>' "$1" | awk '
		/\/>$/ { next }
		/^<\// { if (stack[n--] != substr($1, 3, length($1) - 3)) bad = 1
			next }
		{ sub(/^</, "", $1); sub(/>$/, "", $1); stack[++n] = $1 }
		END { exit bad || n }' &&
		! sed 's/&\(amp\|lt\|gt\|quot\|#10\);//g' "$1" | grep '&'
}

put() { # FILE OFFSET TEXT
	printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# mrdiff a b exits with STATUS and says these: said STATUS TEXT...
said() {
	local status_=$1 text
	shift
	run "-$status_" --separate-stderr mrdiff a b
	[ -z "$stderr" ]
	for text; do
		[[ $output == *"$text"* ]] || {
			echo "no '$text' in $output"
			return 1
		}
	done
}

# Trouble with a file: trouble PATH TEXT
trouble() {
	run -2 --separate-stderr mrdiff a b
	[ -z "$output" ]
	[[ $stderr == "mrdiff: $1: "*"$2"* ]] || {
		echo "$stderr"
		return 1
	}
	[ "${#stderr_lines[@]}" = 1 ]
}

@test "the same" {
	mkimage a
	mkimage b
	said 0 "no page of 1088 differs" "no section of 1 differs"
	run -0 mrdiff --pages --device a a
	[ "${lines[-1]}" = "Pages that differ" ]
}

@test "the same memory at other offsets, in another order" {
	mkimage --block x=300:0+200 --block y=70:60+10 --block z=9:1+1 a
	mkimage --libvirt sparse --block z=9:1+1 --block y=70:60+10 \
		--block x=300:0+200 b
	said 0 "no page of 379 differs"
}

@test "changed, only in A, only in B" {
	mkimage --block x=300:0+10,200+5 a
	mkimage --block x=300:5+10,200+5 b
	put b $(($(pages_at b x) + 201 * 4096 + 5)) "secret!"
	said 1 "11 of 300 pages differ (44 KiB)"
	run -1 mrdiff --json a b
	[ "$(value blocks x pages only_a)" = 5 ]
	[ "$(value blocks x pages only_b)" = 5 ]
	[ "$(value blocks x pages changed)" = 1 ]
	[ "$(value blocks x pages equal)" = 9 ]
	[ "$(value blocks x pages zero)" = 280 ]
	run -1 mrdiff -q --pages a b
	[ "$output" = "x:0x0+0x5000 only in A
x:0xa000+0x5000 only in B
x:0xc9000+0x1000 changed" ]
	run -1 mrdiff --pages a b
	[[ $output == *"Pages that differ
  x:0x0+0x5000 only in A
  x:0xa000"* ]]
	# What is listed can be asked for.
	run -1 mrdiff -q --hex --only x:0xc9000+0x1000 a b
	[[ $output == "x:0xc9000+0x1000 changed
  0000000c9000 A  "*"|
               B  .. .. .. .. .. 73 65 63  72 65 74 21 .. .. .. ..  |"*"secret!"*"|" ]]
	run -0 mrdiff --only x:200K a b
	run -1 mrdiff -qx --only x:0 a b
	[ "${lines[0]}" = "x:0x0+0x1000 only in A" ]
	[ "${#lines[@]}" = $((1 + 2 * 256)) ]
}

@test "a set bit over zeros is a clear bit" {
	mkimage --block x=300:0+10 a
	mkimage --block x=300:0+10 b
	# Two more pages are in b, one of zeros that are there, one in a hole.
	put b $(($(bitmap_at b x) + 3)) '\201'
	put b $(($(pages_at b x) + 24 * 4096)) '\0'
	said 0 "no page of 300 differs"
	put b $(($(pages_at b x) + 24 * 4096 + 4095)) '\1'
	said 1 "1 of 300 pages differ"
	run -1 mrdiff -q --pages a b
	[ "$output" = "x:0x18000+0x1000 only in B" ]
}

@test "data under clear bits is not content" {
	mkimage --block x=300:0+10,100+100 a
	mkimage --block x=300:0+10,100+100 b
	put b $(($(pages_at b x) + 50 * 4096)) "left behind"
	# A whole megabyte that both do not have, and a gap that is read over.
	put b $(($(pages_at b x) + 11 * 4096)) "left behind"
	said 0 "no page of 300 differs"
}

@test "lengths differ: the common part, and that is said" {
	mkimage --block x=300:0+10 a
	mkimage --block x=400:0+10,350+10 b
	said 1 "lengths differ: A 1.1 MiB, B 1.5 MiB" "no page of 300 differs" \
		"1 block is not in both as a whole"
	run -0 mrdiff --only x:0+300K a b
	run -1 mrdiff -q a b
}

@test "blocks of one file only are not called zero" {
	mkimage --block x=30:0+10 --block only_a=8 a
	mkimage --block x=30:0+10 --block only_b=8:0+8 b
	said 1 "only in A" "only in B" "no page of 30 differs"
	run -1 mrdiff --json --only only_a a b
	[[ $output == *'"b": null'* ]]
	[ "$(value blocks only_a pages zero)" = 0 ]
}

@test "memory that is not in a file is not called zero" {
	mkimage --ignore-shared --block x=30:0+10 --ignored shm=64 a
	mkimage --ignore-shared --block x=30:0+10 --block shm=64:0+3 b
	said 1 "memory not in file A"
	mkimage --ignore-shared --block x=30:0+10 --ignored shm=64 b
	said 0 "memory not in these files"
	mkimage --ignore-shared --block x=30:0+10 b
	said 1 "only in A, memory not in this file"
}

@test "device sections" {
	mkimage --device cpu=300 --device timer=8 --device gone=3 a
	mkimage --device timer=8 --device cpu=310 --device new=4 b
	said 1 "3 of 5 sections differ: cpu/0 gone/0 new/0"
	run -1 mrdiff --device a b
	[[ $output == *"
  cpu 0: length 300 -> 310, 0 bytes
    data: 300 -> 310 bytes, buffer -> buffer
  gone 0: only in A
  new 0: only in B"* ]]
	run -0 mrdiff --memory a b
	[[ $output != *devices* ]]
	mkimage --device cpu=300 --device timer=8 --device gone=3 b
	put b $(($(payload_at b cpu) + 17)) "abc"
	run -1 mrdiff --device a b
	[[ $output == *"
  cpu 0: 3 bytes
    data: +17: 55 55 55"*" (300 bytes) -> +17: 61 62 63 55 55"* ]]
	run -1 mrdiff --json --device a b
	[ "$(value sections cpu same)" = false ]
	[ "$(value sections cpu differing)" = 3 ]
	[ "$(value sections cpu bytes)" = '[{"offset":17,"length":3}]' ]
	[ "$(value sections cpu fields 0 path)" = data ]
	[[ $(value sections cpu fields 0 b value) =~ ^(55){17}616263(55){280}$ ]]
}

@test "device sections without a description, or one of another file" {
	mkimage --vmdesc none --device cpu=300 a
	mkimage --vmdesc none --device cpu=300 b
	put b $(($(payload_at b cpu) + 17)) "abc"
	run -1 mrdiff --device a b
	[[ $output == *"
  cpu 0: 3 bytes
    bytes 17+3" ]]
	run -1 mrdiff --json --device a b
	[ "$(value sections cpu differing)" = 3 ]
	run ! value sections cpu fields
	mkimage --device cpu=300 c
	run -1 mrdiff --device --vmdesc-from c a b
	[[ $output == *"
    data: +17: 55 55 55"* ]]
	# One that does not fit is as none.
	mkimage --device cpu=301 c
	run -1 mrdiff --device --vmdesc-from c a b
	[[ $output == *"    bytes 17+3" ]]
	run -2 mrdiff --device --vmdesc-from nope a b
	[[ $output == "mrdiff: nope: "*"No such file"* ]]
	mkimage --truncate 5000000 c
	run -2 mrdiff --device --vmdesc-from c a b
	[[ $output == "mrdiff: c: "* ]]
}

@test "machine types differ" {
	mkimage --machine pc-q35-9.0 a
	mkimage b
	said 1 "pc-q35-9.0" "pc-i440fx-10.0" "not of one type"
	run -0 mrdiff --memory a b
}

# bats test_tags=thread
@test "any number of workers, any kind of I/O: the same answer" {
	mkimage --block x=9000:0+10,50+3000,7000+2000 --block y=700:3+80 a
	mkimage --block y=700:8+80 --block x=9000:2+10,40+3000,7000+1990 b
	mrdiff --json --pages a b | grep -v seconds >want || [ $? = 0 ]
	[[ $(<want) == *only_a* ]]
	for how in "-j 1" "-j 3" "-j 64" --direct=off --direct=on; do
		mrdiff $how --json --pages a b | grep -v seconds >got || :
		cmp want got || [ "$how" = --direct=on ]
	done
}

@test "JSON is JSON, of a hostile name too" {
	mkimage --block 'a"\<&>=30:0+3' a
	mkimage --block 'a"\<&>=30:0+4' b
	run -1 mrdiff --json --pages --device --svg out.svg a b
	[ "$(value schema) $(value tool) $(value same)" = "1 mrdiff false" ]
	[ "$(value a path)" = a ]
	[ "$(value b machine)" = pc-i440fx-10.0 ]
	[ "$(value blocks 0 name)" = 'a"\<&>' ]
	[ "$(value blocks 0 ranges)" = \
		'[{"offset":12288,"length":4096,"what":"only_b"}]' ]
	well_formed out.svg
}

@test "quiet" {
	mkimage a
	run -0 mrdiff -q a a
	[ -z "$output" ]
	mkimage --block pc.ram=1024:0+160 b
	run -1 mrdiff -q a b
	[ -z "$output" ]
}

@test "a map: plain where nothing else is wanted" {
	mkimage --block x=256:0+64,128+64 --block y=8 a
	mkimage --block x=256:0+64,144+64 b
	LC_ALL=C run -1 mrdiff -q --map a b
	[[ $output != *$'\033'* ]]
	[ "${lines[0]}" = "  one cell is 4 KiB: ' ' zero in both '.' equal" ]
	[ "${lines[1]}" = "  - + * # for up to 25, 50, 75, 100 % of it changed, only in A, only in B" ]
	[ "${lines[2]}" = "  x, 1 MiB" ]
	[ "${lines[3]}" = "  00000000  $(printf '.%.0s' {1..64})" ]
	[ "${lines[5]}" = "  00080000  $(printf '#%.0s' {1..16})$(printf '.%.0s' {1..48})" ]
	[ "${lines[6]}" = "  000c0000  $(printf '#%.0s' {1..16})$(printf ' %.0s' {1..48})" ]
	[ "${lines[7]}" = "  y, 32 KiB: only in A" ]
}

@test "a map as wide as COLUMNS" {
	local width
	mkimage --block x=8192:0+8192 a
	for width in 1 30 80 131 500; do
		COLUMNS=$width LC_ALL=C run -0 mrdiff -q --map a a
		[ "${#lines[3]}" -le $((width < 30 ? 30 : width)) ]
		[ "$(grep -o '\.' <<<"${output#*x, }" | wc -l)" -ge 128 ] ||
			[ "$width" -lt 30 ]
	done
}

@test "shades are the share of pages that differ, few are never none" {
	local i at
	mkimage --block x=65536:0+65536 a
	cp --sparse=always a b
	at=$(pages_at b x)
	put b $((at + 7)) x
	for ((i = 64; i < 88; i++)); do
		put b $((at + i * 4096)) x
	done
	for ((i = 128; i < 192; i++)); do
		put b $((at + i * 4096)) x
	done
	LC_ALL=C run -1 mrdiff -q --map a b
	[[ ${lines[0]} == *"one cell is 256 KiB"* ]]
	[[ ${lines[3]} == "  00000000  -+#..."* ]]
}

@test "colour only on a terminal, and not with NO_COLOR" {
	script -qec true /dev/null </dev/null >out ||
		skip "no pseudo-terminals here"
	mkimage --block x=256:0+60 a
	mkimage --block x=256:0+61 b
	export TERM=xterm LC_ALL=C.UTF-8
	script -qec "mrdiff -q --map a b" /dev/null </dev/null >out ||
		[ $? = 1 ]
	grep -q $'\033\[38;5;[0-9]*m█' out
	grep -q '·····' out
	NO_COLOR=1 script -qec "mrdiff -q --map a b" /dev/null \
		</dev/null >out || [ $? = 1 ]
	run ! grep -q $'\033' out
	grep -q '·█' out
	TERM=dumb script -qec "mrdiff -q --map a b" /dev/null \
		</dev/null >out || [ $? = 1 ]
	run ! grep -q $'\033' out
}

@test "a picture: whole or not at all" {
	mkimage --block 'x<&>=256:0+64' --block y=4 a
	mkimage --block 'x<&>=256:0+65' b
	run -1 mrdiff --svg out.svg a b
	well_formed out.svg
	# Nothing from outside of it.
	run ! grep -E 'href|url\(|<script|@import' out.svg
	grep -q '>x&lt;&amp;&gt;<' out.svg
	grep -q '>only in A<' out.svg
	grep -q '<title>.*1 only in B</title>' out.svg
	rm out.svg
	run -2 mrdiff --svg no/such/out.svg a b
	[[ $output == *"no/such/out.svg: cannot open the folder: No such file"* ]]
	[ ! -e out.svg ]
	echo mine >out.svg
	run -3 mrdiff --svg out.svg a b
	[ "$(cat out.svg)" = mine ]
	[ -z "$(ls ./*.tmp 2>/dev/null)" ]
}

@test "files that are no images: exit 2, and which of them" {
	mkimage a
	trouble b "No such file"
	echo no >b
	trouble b "a file of this kind (foreign) has no memory to read"
	mkimage --devices b
	trouble b "a file of this kind (device-state) has no memory to read"
	mkdir dir
	run -2 mrdiff a dir
	[[ $output == "mrdiff: dir: not a regular file"* ]]
	run -2 mrdiff dir a
	[[ $output == "mrdiff: dir: not a regular file"* ]]
}

@test "images that are broken: exit 2, never an answer" {
	local size at
	mkimage a
	size=$(stat -c %s a)
	for ((at = 0; at < size; at += 65521)); do
		mkimage --truncate "$at" b
		trouble b ""
	done
	mkimage --truncate $((size - 1)) b
	trouble b ""
	mkimage --interrupted b
	trouble b ""
	mkimage --no-bitmaps --no-end b
	trouble b "bitmaps are all clear"
	mkimage --no-bitmaps b
	trouble b "bitmaps are all clear"
	# The header of pc.ram: version, page size, offsets.
	for at in 99=02 103=07 111=ff 119=ff; do
		mkimage --patch "$at" b
		run mrdiff a b
		[ "$status" != 0 ]
	done
}

@test "wrong usage" {
	mkimage a
	for args in "" "a" "a a a" "--json --map a a" "--json --hex a a" \
		"--direct=maybe a a" "-j 65 a a" "--vmdesc-from a a a" "--device --memory a a" \
		"--only nope a a" "--only pc.ram:x a a" \
		"--only pc.ram:4M a a"; do
		run -2 mrdiff $args
		[[ $output == "mrdiff: "* ]] || {
			echo "$args: $output"
			return 1
		}
	done
}

@test "what cannot be printed is trouble" {
	mkimage a
	run -2 bash -c "mrdiff a a >/dev/full"
	run -2 bash -c "mrdiff --json a a >/dev/full"
}

@test "plain streams, among themselves and with an image" {
	local blocks=(--block pc.ram=1024:0+160,300+8 --block b=33:1+15)
	mkimage "${blocks[@]}" image
	mkimage --plain "${blocks[@]}" stream
	mkimage --plain --libvirt raw --no-end "${blocks[@]}" raw
	run -0 mrdiff image stream
	run -0 mrdiff stream raw
	# Page 7 becomes zero, page 200 gets what changes zeros: 3 bytes.
	mkimage --plain "${blocks[@]}" --part-bytes "$(
		printf '%016x06%s00' $((0x7000 | 2)) "$(printf pc.ram | xxd -p)"
		printf '%016x010005%s' $((200 * 4096 | 0x60)) 0903616263
		printf '%016x' 16
	)" changed
	for other in image stream raw; do
		run -1 mrdiff --json "$other" changed
		[ "$(jq -c '.blocks[0].pages' <<<"$output")" = \
			"$(jq -c . <<<'{"zero":855,"equal":167,"changed":0,"only_a":1,"only_b":1}')" ] || {
			jq -c '.blocks[0]' <<<"$output"
			return 1
		}
	done
	mkimage --plain --flush "${blocks[@]}" flush
	run -2 --separate-stderr mrdiff image flush
	[[ $stderr == "mrdiff: flush: "*"multifd channels"* ]]
}
