#!/usr/bin/env bats
# The tests' own guest and harness, with QEMU alone: what they are worth.

load ../lib/vm

setup() { need_qemu; }
teardown() { kill_vms; }

boots_and_moves() { # QEMU ARGUMENT...
	local image=$BATS_TEST_TMPDIR/image
	start_vm a "$@"
	wait_ready a
	wait_count a 3
	wait_checked a
	qemu_save a "$image"
	incoming_vm b "$image" "$@"
	counts_on a b
	assert_no_bad b
}

@test "pc: a saved guest counts on, its memory intact" {
	boots_and_moves -M pc
}

@test "q35: a saved guest counts on, its memory intact" {
	boots_and_moves -M q35
}

@test "two nodes, memfd and anonymous, above 4 GiB too" {
	boots_and_moves -M q35,max-ram-below-4g=192M \
		-object memory-backend-memfd,id=m0,size=128M,share=on \
		-object memory-backend-ram,id=m1,size=128M \
		-numa node,memdev=m0 -numa node,memdev=m1
}

@test "a dimm" {
	boots_and_moves -m 128M,slots=1,maxmem=1G -append "range=4G:128M" \
		-object memory-backend-ram,id=d,size=128M \
		-device pc-dimm,memdev=d
}

@test "the command line says how much is filled" {
	start_vm a -m 128M -append "fill=32M zero=8M every=4"
	wait_ready a
	grep '^memory 127 MiB, fill 32 MiB, zero 8 MiB, ' "$(vm_serial a)"
	wait_checked a
}

@test "it sleeps after its first pass, on request, until an NMI" {
	local image=$BATS_TEST_TMPDIR/image
	start_vm a -m 64M -append "fill=8M rest=1"
	wait_serial a "pass 1" >/dev/null
	qemu_save a "$image"
	[ "$(tail -n 1 "$(vm_serial a)")" = "pass 1" ]
	incoming_vm b "$image" -m 64M
	qmp_do b inject-nmi >/dev/null
	wait_serial b "pass 3" >/dev/null
	assert_no_bad b
}

@test "some of the data is written anew after each pass, on request" {
	local image=$BATS_TEST_TMPDIR/image pages
	start_vm a -m 64M -append "fill=32M turn=4K:40K"
	wait_serial a "turned " >/dev/null
	qemu_save a "$image.1"
	incoming_vm b "$image.1" -m 64M
	qmp_do b cont >/dev/null
	wait_serial b "turned " 2 >/dev/null
	assert_no_bad b
	qemu_save b "$image.2"
	run -1 mrdiff --json "$image.1" "$image.2"
	pages=$(json blocks pc.ram pages changed <<<"$output")
	echo "$pages of 8192"
	((pages > 800 && pages < 1200))
}

@test "a live save leaves stale data behind, and the guest is intact" {
	local image=$BATS_TEST_TMPDIR/image
	start_vm a -m 32M -append "fill=2M zero=0"
	wait_ready a
	qemu_live_save a "$image"
	# Of the 96 pages at 9 MiB half are zero; in the file fewer are.
	run -0 od -An -v -t x8 -w4096 -j $((1 + 9 << 20)) -N $((96 * 4096)) \
		"$image"
	(($(grep -c '^[ 0]*$' <<<"$output") < 40))
	incoming_vm b "$image"
	counts_on a b
}

@test "one wrong bit in memory: BAD, at the right address" {
	local image=$BATS_TEST_TMPDIR/image
	start_vm a
	wait_ready a
	wait_count a
	qemu_save a "$image"
	# pc.ram comes first, its pages at 1 MiB; the guest has data at 8 MiB.
	printf '\0\0\0\0\0\0\0\0' |
		dd of="$image" bs=8 seek=$(((1 + 8 << 20) / 8 + 1)) \
			conv=notrunc status=none
	incoming_vm b "$image"
	run ! wait_checked b
	[[ $output == *"memory wrong: BAD 800008"* ]]
	run ! assert_no_bad b
}

@test "a QEMU that does not start is said so at once" {
	run ! start_vm a -device no-such-device
	[[ $output == *"did not start: "*no-such-device* ]]
}

@test "a QEMU that ends is noticed at once" {
	start_vm a
	wait_ready a
	kill -KILL "$(vm_pid a)"
	run ! wait_count a 1000000
	[[ $output == *"QEMU has ended"* ]]
}
