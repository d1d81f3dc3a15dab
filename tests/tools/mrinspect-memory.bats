#!/usr/bin/env bats
# mrinspect: memory by place, by content, and as a picture.

load ../lib/env

setup() {
	cd "$BATS_TEST_TMPDIR" || return
}

# Byte of the file where a page of block NAME is: place NAME PAGE
place() {
	mrinspect --json image | jq ".files[0].blocks[] |
		select(.name == \"$1\") | .pages_offset + $2 * 4096"
}

# Writes TEXT over memory: put NAME PAGE OFFSET TEXT
put() {
	printf '%s' "$4" | dd of=image bs=1 conv=notrunc status=none \
		seek=$(($(place "$1" "$2") + $3))
}

@test "a page, and a part of one" {
	mkimage --block "0000:00:02.0/vga.vram=8:2+1" image
	put 0000:00:02.0/vga.vram 2 16 "Hello, memory!"
	run -0 mrinspect --page 0000:00:02.0/vga.vram:0x2fff image
	[ "${lines[1]}" = "0000:00:02.0/vga.vram:0x2000" ]
	[[ ${lines[3]} == "  00002010  48 65 6c 6c 6f 2c 20 6d  65 6d 6f 72 79 21 "*"  |Hello, memory!"* ]]
	[ "${lines[-1]}" = "  00003000" ]
	run -0 mrinspect --page 0000:00:02.0/vga.vram:0x2012+5 image
	diff - <(printf '%s\n' "${lines[@]:1}") <<-'END'
	0000:00:02.0/vga.vram:0x2012
	  00002012  6c 6c 6f 2c 20                                    |llo, |
	  00002017
	END
	[ "$(mrinspect --json -p 0000:00:02.0/vga.vram:8K+32 image |
		jq -r '.files[0].memory[0] | .bytes[32:60], .present')" = \
		"$(printf '48656c6c6f2c206d656d6f727921\n32')" ]
}

@test "what the image does not have is zeros, and says so" {
	mkimage --block pc.ram=8:2+1 image
	run -0 mrinspect -p pc.ram:0x1000 image
	diff - <(printf '%s\n' "${lines[@]:2}") <<-'END'
	  00001000  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|
	  *
	  00002000
	  (not in the image: zeros)
	END
	run -0 mrinspect -p pc.ram:0x2ffe+4 image
	[[ $output == *"(2 of the bytes are not in the image: zeros)"* ]]
}

@test "places that are none" {
	mkimage --block pc.ram=8:2+1 image
	for place in pc.ram pc.ram: pc.ram:x pc.ram:0+ pc.ram:1+0 pc.ram:-1 \
		pc.ram:0x8000 pc.ram:0x7fff+2 no:0 pc.ram:99999999999999999999 \
		pc.ram:18014398509481984K; do
		run -2 --separate-stderr mrinspect -p "$place" image
		[[ $stderr == "mrinspect: "* ]]
	done
	mkimage --ignore-shared --ignored pc.ram=8 --block pc.bios=2:0+1 image
	run -2 --separate-stderr mrinspect -p pc.ram:0 image
	[[ $stderr == *"pc.ram was left out of the image"* ]]
	mkimage --devices image
	run -2 --separate-stderr mrinspect -p pc.ram:0 image
}

# The dumps of all memory, without the lines that say what is in the file.
dumps() {
	mrinspect -p pc.ram:0+4M -p pc.bios:0+64K --gpa 0xffffe000+8192 "$@" |
		tail -n +2 | grep -v 'not in the image'
}

@test "memory of a plain stream is that of the image" {
	blocks=(--block pc.ram=1024:0+160,300+8 --block pc.bios=16:1+15)
	mkimage "${blocks[@]}" image
	dumps image >want
	[ "$(wc -l <want)" -gt 10000 ]
	for how in --plain '--plain --libvirt raw' '--plain --no-end' \
		'--plain --vmdesc none'; do
		mkimage $how "${blocks[@]}" stream
		diff want <(dumps stream)
	done
	cmp <(mrinspect --json -p pc.ram:12+99999 image | jq -S \
		'.files[0].memory[0].bytes') \
		<(mrinspect --json -p pc.ram:12+99999 stream | jq -S \
		'.files[0].memory[0].bytes')
}

@test "what changed in a plain stream" {
	# A page goes to zero, another changes by XBZRLE twice, one is new.
	mkimage --plain --block pc.ram=8:0+3 --part-bytes "$(
		printf '%016x06%s00' 2 "$(printf pc.ram | xxd -p)" # zero
		printf '%016x01000402026869' $((0x1000 | 0x60)) # "hi" at 2
		printf '%016x01000304014f' $((0x1000 | 0x60)) # "O" at 4
		printf '%016x01000300014f' $((0x7000 | 0x60)) # on zeros
		printf '%016x' 16
	)" image
	[ "$(mrinspect --json -p pc.ram:0 image |
		jq -r '.files[0].memory[0] | .present, (.bytes |
		test("^0+$"))')" = "$(printf '4096\ntrue')" ]
	run -0 mrinspect -p pc.ram:0x1002+3 image
	[[ $output == *"  68 69 4f  "* ]]
	run -0 mrinspect -p pc.ram:0x7000+2 image
	[[ $output == *"  4f 00  "* ]]
}

@test "a plain stream without its memory" {
	mkimage --plain --flush image
	run -2 --separate-stderr mrinspect -p pc.ram:0 image
	[[ $stderr == *"went through multifd channels: they are not in it" ]]
	mkimage --plain --no-pages image
	run -2 --separate-stderr mrinspect -p pc.ram:0 image
	[[ $stderr == *"no page with data is in this stream"* ]]
	mkimage --plain --block pc.ram=8:0+8 --truncate 20000 image
	run -2 --separate-stderr mrinspect -p pc.ram:0 image
	[[ $stderr == *"file ends"*" byte 20000" ]]
}

@test "guest-physical addresses" {
	mkimage --machine pc-q35-9.2 --block pc.ram=720896:524288+1,5+1 \
		--block pc.bios=64:0+64 image
	put pc.ram 524288 0 "above 4 GiB"
	put pc.bios 63 4080 "reset"
	run -0 mrinspect --gpa 4G+16 image
	[ "${lines[1]}" = "pc.ram:0x80000000, guest-physical 0x100000000" ]
	[ "${lines[2]}" = "  (RAM from 0x100000000 on, the first 0x80000000 bytes being below, by what q35 machines do by themselves)" ]
	[[ ${lines[3]} == *"|above 4 GiB"* ]]
	run -0 mrinspect --gpa 0xfffffff0+5 image
	[[ $output == *"pc.bios:0x3fff0, guest-physical 0xfffffff0"*"|reset|"* ]]
	run -0 mrinspect --gpa 0x5123 image
	[[ $output == *"pc.ram:0x5000, guest-physical 0x5000"* ]]
	# Over a border: two pieces.
	[ "$(mrinspect --json --gpa 0x9fffe+2 --gpa 0xfffffff0+16 image |
		jq -c '[.files[0].memory[] | [.block,.gpa,.length]]')" = \
		'[["pc.ram",655358,2],["pc.bios",4294967280,16]]' ]
	run -2 --separate-stderr mrinspect --gpa 0x9fffe+4 image
	[[ $stderr == *"0xa0000 is in the window to the video memory"* ]]
	run -2 --separate-stderr mrinspect --gpa 0x80000000 image
	[[ $stderr == *"no RAM is known at 0x80000000"* ]]
	mkimage --machine virt-9.2 image
	run -2 --separate-stderr mrinspect --gpa 0 image
	[[ $stderr == *'machine type "virt-9.2" is not known'* ]]
}

@test "virtual addresses without a CPU, and options that fit nothing" {
	mkimage --machine pc-q35-9.2 --block pc.ram=1024:0+4 image
	run -2 --separate-stderr mrinspect --virt 0x1000 image
	[[ $stderr == 'mrinspect: image: there is no section "cpu"' ]]
	for options in "--vcpu 0" "--cr3 0" "--virt 0 --vcpu -1" "--virt x" \
		"--virt 0 --cr3 x" "--virt 0 --cr3 0+1" \
		"--virt 0xffffffffffffffff+2"; do
		# shellcheck disable=SC2086
		run -2 --separate-stderr mrinspect $options image
		[[ $stderr == "mrinspect: "*"--help"* ]]
	done
}

@test "finding text and bytes" {
	mkimage --block pc.ram=1024:0+4,300+8 --block vga=16:0+1 image
	put pc.ram 1 4090 needle12
	put pc.ram 307 0 needle
	put vga 0 100 needle
	run -0 --separate-stderr mrinspect --find needle image
	diff - <(printf '%s\n' "${lines[@]:1}") <<-'END'
	pc.ram:0x1ffa
	pc.ram:0x133000
	vga:0x64
	END
	run -0 mrinspect -f 0x6e6565646c653132 image
	[ "${lines[1]}" = pc.ram:0x1ffa ]
	[ ${#lines[@]} = 2 ]
	put pc.ram 2 0 0x41
	run -0 mrinspect -f text:0x41 image
	[ "${lines[1]}" = pc.ram:0x2000 ]
	run -0 mrinspect -f needle --max 2 image
	[ "${lines[*]:1}" = "pc.ram:0x1ffa pc.ram:0x133000 (and more)" ]
	[ "$(mrinspect --json -f needle --max 1 -j 3 image |
		jq -c '.files[0] | [.found,.found_more]')" = \
		'[[{"block":"pc.ram","offset":8186}],true]' ]
	run -0 --separate-stderr mrinspect -v -f needle image
	[[ $stderr == *"mrinspect: read 0 of 4 MiB in "*"page cache"* ]]
	run -1 mrinspect -f nothing image
	[[ $output == *"(not found)"* ]]
	# Zeros up to, and including, pages that are absent.
	run -0 mrinspect -f 0x0000 --max 1 image
	[ "${lines[1]}" = pc.ram:0x4000 ] || [[ ${lines[1]} < pc.ram:0x4000 ]]
}

@test "what cannot be found" {
	mkimage image
	for pattern in 0x 0x1 0x1g text: ''; do
		run -2 mrinspect -f "$pattern" image
	done
	run -2 mrinspect -f "$(printf 'x%.0s' {1..4097})" image
	run -1 mrinspect -f "$(printf 'x%.0s' {1..4096})" image
	run -2 mrinspect -f x --max 0 image
	run -2 mrinspect -f x --jobs 65 image
	run -2 mrinspect -f x --direct sometimes image
	mkimage --devices image
	run -2 --separate-stderr mrinspect -f x image
	[[ $stderr == *"(device-state) has no memory to read"* ]]
	# A plain stream is searched like an image of the same pages.
	mkimage --block pc.ram=64:0+8,32+16 image
	mkimage --plain --block pc.ram=64:0+8,32+16 stream
	mrinspect -f x image | tail -n +2 >of-image
	mrinspect -f x stream | tail -n +2 | diff of-image -
	[ -s of-image ]
	mkimage --ignore-shared --ignored pc.ram=8 --block pc.bios=2:0+1 image
	run -1 --separate-stderr mrinspect -f nothing image
	[[ $stderr == *"the memory of 1 block is not in the image"* ]]
}

# Bytes of memory: hex ADDRESS HEX
hex() {
	xxd -r -p <<<"$2" | dd of=image bs=1 conv=notrunc status=none \
		seek=$((at + $1))
}

# A little-endian number: le BYTES NUMBER
le() {
	printf "%0$((2 * $1))x" "$2" | fold -w 2 | tac | tr -d '\n'
}

# A message of the log at this address: message ADDRESS NS TEXT
message() {
	hex "$1" "$(le 8 "$2")$(le 2 48)$(le 2 ${#3})"
	printf '%s' "$3" | dd of=image bs=1 conv=notrunc status=none \
		seek=$((at + $1 + 16))
}

# A kernel of 2 MiB at 0, with the messages of one before 5.10.
@test "a kernel's messages" {
	mkimage --machine pc-q35-9.2 --block pc.ram=1024:0+512 image
	run -2 --separate-stderr mrinspect --log image
	[[ $stderr == *"no Linux kernel tells of itself in this memory"* ]]
	at=$(place pc.ram 0)
	hex 0x100000 "$(printf '%08192d' 0)"
	put pc.ram 256 0 "$(printf '%s\n' OSRELEASE=5.9.0-test PAGESIZE=4096 \
		'SYMBOL(init_uts_ns)=ffffffff80110000' 'NUMBER(phys_base)=0' \
		'SYMBOL(swapper_pg_dir)=ffffffff80120000' \
		'SYMBOL(log_buf)=ffffffff80130000' \
		'SYMBOL(log_buf_len)=ffffffff80130008' \
		'SYMBOL(log_first_idx)=ffffffff8013000c' \
		'SYMBOL(log_next_idx)=ffffffff80130010' \
		'SIZE(printk_log)=16' 'OFFSET(printk_log.ts_nsec)=0' \
		'OFFSET(printk_log.len)=8' 'OFFSET(printk_log.text_len)=10')"$'\n'
	put pc.ram 272 134 "5.9.0-test"
	hex $((0x110000 + 144)) 00
	hex 0x120ff8 "$(le 8 0x121003)"
	hex 0x121ff0 "$(le 8 0x122003)"
	hex 0x122000 "$(le 8 0x83)"
	hex 0x130000 "$(le 8 0xffffffff80140000)$(le 4 4096)$(le 4 0)$(le 4 144)"
	message 0x140000 0 "Linux version"
	message 0x140030 1234567890 $'tab\there, bell\a'
	message 0x140060 99999000000000 $'two\nlines'
	run -0 --separate-stderr mrinspect -v --log image
	[[ $stderr == *"Linux 5.9.0-test: 3 messages"* ]]
	diff - <(printf '%s\n' "${lines[@]:1}") <<-'END'
	[    0.000000] Linux version
	[    1.234567] tab	here, bell\x07
	[99999.000000] two
	[99999.000000] lines
	END
	[ "$(mrinspect --json --log image | jq -c '.files[0].log |
		[.release, .records[1], .records[2].text]')" = \
		'["5.9.0-test",{"ns":1234567890,"text":"tab\there, bell\u0007"},"two\nlines"]' ]
	run -2 mrinspect --list --log image
}

@test "a map in the terminal" {
	mkimage --block pc.ram=64:0+8,32+16 image
	COLUMNS=80 run -0 mrinspect --map image
	[[ $output == *"not in the file"*"zero"*"data"* ]]
	[[ $output == *"pc.ram, 256 KiB"* ]]
	[[ $output == *"00000000  ########                        ################"* ]]
	mkimage --plain --block pc.ram=64:0+8,32+16 image
	COLUMNS=80 run -0 mrinspect --map image
	[[ $output == *"00000000  ########........................################................"* ]]
	run -2 mrinspect --json --map image
}

@test "a picture" {
	mkimage image
	run -0 mrinspect --svg picture.svg image
	[[ $(head -c 200 picture.svg) == *"<svg "* ]]
	grep -q 'pc.bios' picture.svg
	mkimage --plain image
	run -0 mrinspect --json --svg picture.svg image
	run -2 --separate-stderr mrinspect --svg none/picture.svg image
	[[ $stderr == *"none/picture.svg"* ]]
}

@test "device state alone: past the memory of a plain stream" {
	mkimage --plain --block pc.ram=1024:0+160,300+8 --device vga=99 image
	run -0 mrinspect --device vga image
	[[ ${lines[1]} == "  skipped       "*" KiB of memory, not looked at" ]]
	[[ $output == *"vga, instance 0, section 4, version 1, 99 bytes"* ]]
	# Not when something of memory is asked for too.
	devices() { mrinspect --json -d all "$@" image | jq .files[0].devices; }
	diff <(devices) <(devices --svg picture.svg)
	skipped() { mrinspect --json "$@" image | jq -c '.files[0] |
		[.memory_skipped > 600000, .blocks[0].data_words, .flushes]'; }
	[ "$(skipped -d all)" = '[true,null,null]' ]
	[ "$(skipped -d all --svg picture.svg)" = '[false,168,0]' ]
	[ "$(skipped)" = '[false,168,0]' ]
	run -0 mrinspect --vmdesc image
	# Damage in memory is not in the way: the first word of the second section.
	cp image broken
	at=$(mrinspect --json image |
		jq '.files[0].sections[0] | .offset + .length + 5')
	printf '\377\377\377\377\377\377\377\377' |
		dd of=broken bs=1 conv=notrunc seek="$at" status=none
	run -1 mrinspect broken
	run -0 mrinspect -d vga broken
	[[ $output == *"99 bytes"* ]]
	# Without a description there is no way around it.
	mkimage --plain --vmdesc none --device vga=99 image
	run -0 mrinspect -d vga image
	[[ $output != *skipped* ]]
	[[ $output == *"99 bytes"* ]]
}

@test "a plain stream in numbers" {
	mkimage --plain --block pc.ram=1024:0+160,300+8 image
	[ "$(mrinspect --json image | jq -c '.files[0].blocks[0] |
		[.data_words,.zero_words,.xbzrle_words,.data_pages,.zero_pages,
		.absent_pages]')" = '[168,856,0,168,856,0]' ]
	# The first word has the name, the data 4096 bytes, zeros one.
	[ "$(mrinspect --json image | jq '.files[0].blocks[0].wire_bytes')" = \
		$((1024 * 8 + 7 + 168 * 4096 + 856)) ]
	run -0 mrinspect -v image
	[[ $output == *"BYTES"*"DATA PAGES"*"ZERO PAGES"* ]]
}

@test "pages that QEMU before 9.1 compressed" {
	# "ab" 600 times, then zeros.
	local words=00000000000011000670632e72616d00000020 to
	words+=78daedc1310d0000080330ac0eff22e6818fa46d36aa2f0e000070
	words+=56b665c918
	mkimage --plain --block pc.ram=4:0+1 --device serial=8 \
		--part-bytes "${words}0000000000000010" image
	[ "$(mrinspect --json image | jq -c '.files[0].blocks[0] |
		[.data_words,.compress_words,.data_pages,.zero_pages]')" = \
		'[1,1,2,2]' ]
	run -0 mrinspect -v image
	[[ $output == *"XBZRLE WORDS  ZLIB WORDS  BYTES"* ]]
	run -0 mrinspect -p pc.ram:0x14a0+32 image
	[[ $output == *"61 62 61 62 61 62 61 62  61 62 61 62 61 62 61 62"* ]]
	[[ $output == *"000014b0  00 00 00"* ]]
	run -0 mrverify image
	for to in image.mr image.mrp image.stream; do
		mrconvert -q image $to
		run -0 mrdiff image $to
	done
	[ "$(mrinspect --json image.stream |
		jq '.files[0].blocks[0].compress_words')" = 0 ]
	# Another length: then it is no page.
	mkimage --plain --block pc.ram=4:0+1 --device serial=8 \
		--part-bytes "${words/00000020/0000001f}0000000000000010" image
	run -1 mrinspect image
}
