#!/usr/bin/env bats
# Packs are images to every tool. That each byte of one is looked at is tested
# in ../libmr/pack/packed_test.c; QEMU's own in ../qemu/pack.bats.

load ../lib/env

setup() { cd "$BATS_TEST_TMPDIR" || return; }

# Of pages 0-299 and 500-699 of 1000, and one of another block.
make() { # OPTION of mkpack...
	mkimage --plain --ram-id 1 --block pc.ram=1000:0+300,500+200 \
		--block pc.bios=16:1+1 --device serial=20 stream
	mkpack "$@" stream pack
}

@test "mrinspect: what it is" {
	make --name "vm one" --maker "somebody 1" --uuid 0123456789abcdef
	run -0 --separate-stderr mrinspect -v pack
	[ -z "$stderr" ]
	[ "${lines[0]}" = "pack: pack, complete" ]
	[ "${lines[2]}" = "  made          2023-11-14 22:13:20 UTC of VM vm one (30313233-3435-3637-3839-616263646566), by somebody 1" ]
	[[ ${lines[5]} =~ ^"  identity      "[0-9a-f]{32}$ ]]
	[ "${lines[6]}" = "  packed        1.9 MiB of stream in 1.7 MiB, 6 frames, extents of 1 MiB" ]
	[[ $output == *"  file          1.7 MiB ($(stat -c %s pack) bytes), "* ]]
	make --made 9000000000000000000
	run -0 mrinspect pack
	[ "${lines[2]}" = "  made          9000000000000000000 s after 1970, VM not said, by mkpack" ]
}

@test "mrinspect --json" {
	make --name vm1 --uuid 0123456789abcdef --extent 262144
	run -0 mrinspect --json pack
	jq -e '.files[0] | .kind == "stream" and .verdict == "sound" and
		(.label | .made == 1700000000 and .name == "vm1" and
		.uuid == "30313233-3435-3637-3839-616263646566" and
		.maker == "mkpack") and (.pack | .extent_size == 262144 and
		.increment == false and .below == 0 and .frames == 12 and
		(.base | not) and (.identity | length) == 32 and
		.unpacked == 2057044 and .packed < .unpacked)' <<<"$output"
	make
	run -0 mrinspect --json pack
	jq -e '.files[0].label | .name == null and .uuid == null' <<<"$output"
}

# All that is known of the stream, without unpacking its pages.
@test "mrinspect: as zstd's stream" {
	command -v zstd || skip "no zstd"
	make --zeros
	zstd -dcq pack >unpacked
	for file in pack unpacked; do
		mrinspect --json $file | jq '.files[0] | del(.path, .pack, .label,
			.seal, .file_size, .file_allocated)' >$file.json
		mrinspect --map $file | sed 1d >$file.map
		mrinspect --device all $file | sed 1d >$file.devices
		mrinspect --page pc.ram:0x12c000+8192 $file | sed 1d >$file.page
		mrinspect --find 0x2af894fe $file | sed 1d >$file.find
	done
	for what in json map devices page find; do
		cmp pack.$what unpacked.$what
	done
	(($(wc -l <pack.find) > 2))
}

@test "mrdiff: the same" {
	make
	mkimage --block pc.ram=1000:0+300,500+200 --block pc.bios=16:1+1 \
		--device serial=20 mapped
	for other in stream mapped; do
		run -0 mrdiff pack $other
		[[ $output == *"memory   no page of 1016 differs"* ]]
		[[ $output == *"devices  no section of 2 differs"* ]]
	done
	mkimage --block pc.ram=1000:0+300,500+199 --block pc.bios=16:1+1 \
		--device serial=20 mapped
	run -1 mrdiff -q pack mapped
}

@test "mrload --memory" {
	for extent in 262144 1048576 4194304; do
		make --extent $extent
		mrload -q --memory pc.ram=ours pack
		mrload -q -j 5 --memory pc.ram=ours5 pack
		mrload -q --memory pc.ram=theirs stream
		cmp ours theirs
		cmp ours5 theirs
	done
}

# A frame that cannot be unpacked is in the way of its own pages only.
@test "one page costs one frame" {
	# some byte of the first extent, and one of the third
	for at in 9000:0 1200000:0x200000; do
		make
		printf '\xff\xff' | dd of=pack bs=1 seek=${at%:*} conv=notrunc \
			status=none
		run -0 mrinspect pack
		run -0 mrinspect --map pack
		run -0 mrinspect --device all pack
		run -0 mrinspect --page pc.ram:0x100000 --page pc.bios:4096 pack
		why="pack: the frame in bytes * is damaged: its digest differs at byte *"
		run -2 mrinspect --page pc.ram:${at#*:} pack
		[[ $output == *$why* ]]
		run -2 mrload --memory pc.ram=memory pack
		[[ $output == "mrload: pack: "$why ]]
		[ ! -e memory ]
	done
}

@test "what cannot be done with one" {
	make
	run -3 mrload --instant pack -- qemu-system-x86_64
	[ "$output" = "mrload: pack: only a mapped-ram image can be mapped, this is a pack: load it without --instant, or have mrconvert make an image of it" ]
	for how in --seal --repair; do
		run -2 mrverify $how pack
		[ "$output" = "mrverify: pack: a pack has its seal in itself, and what is damaged in it cannot be mended" ]
	done
	run -0 mrverify --need-seal pack
	[ "$output" = "pack: sound, sealed, 3.9 MiB of memory, 1.9 MiB looked at" ]
}

@test "an increment: its devices, not its memory" {
	make --increment
	run -0 mrinspect -v pack
	[ "${lines[0]}" = "pack: pack, an increment, complete" ]
	[ "${lines[1]}" = "  beware        its base, the pack 11111111111111111111111111111111, is no *.mrp in folder ." ]
	[ "${lines[5]}" = "  increment     1 pack below it, the next is 11111111111111111111111111111111" ]
	run -0 mrinspect --json pack
	jq -e '.files[0] | .pack.increment and .pack.below == 1 and
		.pack.base == "11111111111111111111111111111111" and
		.blocks[0].data_pages == 500 and .blocks[0].zero_pages == 500' \
		<<<"$output"
	run -0 mrinspect --device serial pack
	[[ $output == *"serial, instance 0"* ]]
	why="this pack is an increment: its base, the pack 11111111111111111111111111111111, is no *.mrp in folder ."
	run -2 mrinspect --page pc.ram:0 pack
	[[ $output == "mrinspect: pack: $why"* ]]
	run -2 mrdiff pack stream
	[ "$output" = "mrdiff: pack: $why" ]
	run -3 mrload --memory pc.ram=memory pack
	[ "$output" = "mrload: pack: $why" ]
	run -3 mrload --check pack no-vm
	[ "$output" = "mrload: pack: $why" ]
	run -3 mrsend pack unix:no.sock
	[ "$output" = "mrsend: pack: $why" ]
}
