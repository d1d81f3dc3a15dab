#!/usr/bin/env bats
# ELF cores out of images, beside those of QEMU's dump-guest-memory of the same
# paused VM.

load ../lib/vm

setup() {
	need_qemu
	cd "$BATS_TEST_TMPDIR"
}

teardown() {
	kill_vms
	umount "$BATS_TEST_TMPDIR/fs" 2>/dev/null || :
}

# VM a, paused: an image of it, and QEMU's own core.
paused() { # QEMU ARGUMENT...
	start_vm a "$@"
	wait_ready a
	qmp_do a stop
	mrsave -q "$(vm_qmp a)" vm.mr
	qmp_do a dump-guest-memory \
		"{\"paging\":false,\"protocol\":\"file:$PWD/theirs.core\"}"
}

same_core() { python3 "$ROOT/tests/lib/same-core.py" "$@"; }

# bats test_tags=address
@test "a core is QEMU's own: registers, memory, in holes and above 4 GiB" {
	paused -M q35,max-ram-below-4g=64M -m 128M -smp 2 -device VGA \
		-append fill=64M
	run -0 --separate-stderr mrconvert vm.mr ours.core
	[[ $output == *"format     elf"* && $output == *"of 2 CPUs"* ]]
	[[ $stderr == *"the core has no VMCOREINFO"* ]]
	run -0 same_core ours.core theirs.core
	[[ $output == "4 notes, "* ]]
	# It is as sparse as the image, and nobody else's.
	[ "$(stat -c %a ours.core)" = 600 ]
	(($(stat -c %b ours.core) < $(stat -c %b vm.mr) + 2048))
	[ "$(mrconvert -q --force --json vm.mr ours.core 2>/dev/null |
		jq -c '[.format,.cpus,.linux,.kernel_mapped]')" = \
		'["elf",2,null,false]' ]
	# Of what it is made makes no difference.
	mrconvert -q vm.mr vm.mrp
	mrconvert -q vm.mr vm.stream
	for from in vm.mrp vm.stream; do
		mrconvert -q $from other.elf 2>/dev/null
		cmp ours.core other.elf
		rm other.elf
	done
	mrconvert -q -O elf - other 2>/dev/null <vm.mrp
	cmp ours.core other
	mrconvert -q --jobs 1 -O elf "$(vm_qmp a)" other --force 2>/dev/null
	cmp ours.core other
}

@test "gdb reads a core" {
	local out
	command -v gdb >/dev/null || skip "no gdb"
	paused -m 64M -smp 2 -append fill=16M
	mrconvert -q vm.mr vm.core 2>/dev/null
	mrinspect --json --cpu vm.mr >cpus
	run -0 gdb -batch -ex 'set architecture i386:x86-64' \
		-ex 'core-file vm.core' -ex 'info threads' -ex 'p/x $rip' \
		-ex 'p/x $rsp' -ex 'x/2xg 0x100000'
	[[ $output == *"LWP 2"* ]]
	out=$(jq -r '.files[0].cpus[0].registers | .RIP, .RSP' cpus)
	for reg in $out; do
		printf -v reg '0x%x' "$reg"
		[[ $output == *"= $reg"* ]]
	done
	out=$(mrinspect --json --gpa 0x100000+8 vm.mr |
		jq -r '.files[0].memory[0].bytes' | sed 's/../& /g' |
		awk '{ for (i = 8; i; i--) printf "%s", $i }')
	[[ $output == *"0x$out"* ]]
}

# What a Linux kernel has in its memory: a page that is its text.
vmcoreinfo() {
	printf '%s\n' OSRELEASE=6.1.0-test PAGESIZE=4096 \
		'SYMBOL(init_uts_ns)=ffffffff81a1a3c0' \
		'SYMBOL(_stext)=ffffffff81000000' \
		'NUMBER(phys_base)=16777216' KERNELOFFSET=0
}

@test "a kernel's text is in a note, and its memory is mapped" {
	command -v readelf >/dev/null || skip "no readelf"
	vmcoreinfo >text
	# Put into the guest's memory, as what is loaded.
	cp text page
	truncate -s 4096 page
	paused -m 64M -append fill=16M \
		-device loader,file=page,addr=0x3000000,force-raw=on
	run -0 mrconvert vm.mr vm.core
	[[ $output == *"kernel     Linux 6.1.0-test"* ]]
	[[ $output != *"no VMCOREINFO"* ]]
	run -0 same_core vm.core theirs.core
	grep -qaF 'KERNELOFFSET=0' vm.core
	run -0 readelf -lW vm.core
	[[ $output == *" 0xffffffff80000000 0x0000000001000000 0x3000000 "* ]]
	[[ $(readelf -nW vm.core) == *VMCOREINFO* ]]
	a_kdump
}

# Somebody who makes kdumps, and what comes of what that does.
a_kdump() {
	local PATH=$PWD/bin:$PATH
	mkdir bin
	cat >bin/makedumpfile <<-'END'
		#!/bin/bash
		[ "$1" != -v ] || exit 0
		echo "$*" >called
		[ ! -e none ] || exit 0
		{ printf 'KDUMP   ' && cat "${@: -2:1}"; } >"${@: -1}"
		[ ! -e fail ] || { printf 'no\tkernel\nFailed.\n' >&2; exit 1; }
		[ ! -e kill ] || kill -9 $$
	END
	chmod +x bin/makedumpfile
	run -0 mrconvert vm.mr vm.kdump
	[[ $output == *"format     kdump"*"kernel     Linux 6.1.0-test"* ]]
	[[ $(cat called) == "-f -l --message-level 4 -d 1 /proc/self/fd/"* ]]
	cmp vm.core <(tail -c +9 vm.kdump)
	[ "$(stat -c %a vm.kdump)" = 600 ]
	mrconvert -q --force --dump-level=31 vm.mr vm.kdump
	[[ $(cat called) == *" -d 31 "* ]]
	echo old >vm.kdump
	touch fail
	run -2 mrconvert --force vm.mr vm.kdump
	[[ $output == *"could not make a kdump of the core (status 1): no?kernel" ]]
	mv fail kill
	run -2 mrconvert --force vm.mr vm.kdump
	[[ $output == *"was ended by signal 9" ]]
	mv kill none
	run -2 mrconvert --force vm.mr vm.kdump
	[[ $output == *"ended well, and made no kdump" ]]
	# One that hangs, and says nothing, ends with a signal.
	cat >bin/makedumpfile <<-'END'
		#!/bin/bash
		[ "$1" != -v ] || exit 0
		exec 2>&-
		exec sleep 1000
	END
	mrconvert --force vm.mr vm.kdump >says 2>&1 3>&- &
	until pgrep -P $! -x sleep >/dev/null; do kill -0 $!; done
	kill -TERM $!
	wait $! && false
	grep -q interrupted says
	chmod -x bin/makedumpfile
	run ! mrconvert --force vm.mr vm.kdump
	[[ $output == *"makedumpfile"* ]]
	[ "$(cat vm.kdump)" = old ]
	[ "$(echo vm.*)" = "vm.core vm.kdump vm.mr" ]
}

@test "of several kernels' texts that of the one which runs" {
	vmcoreinfo >page
	sed s/6.1.0-test/5.10.0-old/ page >old
	truncate -s 4096 page old
	# init_uts_ns, at 0x1a1a3c0 + phys_base: its release is the third text.
	printf '6.1.0-test\0' >release
	paused -m 64M -append fill=16M \
		-device loader,file=old,addr=0x2f00000,force-raw=on \
		-device loader,file=page,addr=0x3000000,force-raw=on \
		-device loader,file=release,addr=$((0x2a1a3c0 + 130)),force-raw=on
	[ "$(mrconvert --json vm.mr vm.core | jq -c '[.linux,.kernel_mapped]')" = \
		'["6.1.0-test",true]' ]
}

@test "where a DIMM is must be said, unless QEMU is there to say it" {
	start_vm a -M q35 -m 64M,slots=2,maxmem=1G -append fill=16M \
		-object memory-backend-memfd,id=d0,size=128M,share=on \
		-device pc-dimm,memdev=d0,addr=0x110000000 \
		-device loader,addr=0x110400000,data=0x1122334455667788,data-len=8
	wait_ready a
	qmp_do a stop
	qmp_do a dump-guest-memory \
		"{\"paging\":false,\"protocol\":\"file:$PWD/theirs.core\"}"
	mrsave -q "$(vm_qmp a)" vm.mr
	run -3 mrconvert vm.mr vm.core
	[[ $output == *"block d0 is (1 such blocks)"*"--at d0=ADDRESS"* ]]
	[ ! -e vm.core ]
	run -2 mrconvert --at d0=16M vm.mr vm.core
	[[ $output == *"would overlap"* ]]
	run -2 mrconvert --at d1=16M vm.mr vm.core
	[[ $output == *"no block is called d1"* ]]
	run -2 mrconvert --at d0=here vm.mr vm.core
	run -2 mrconvert --at d0 vm.mr vm.core
	run -2 mrconvert --at d0=none vm.mr vm.mrp
	[[ $output == *"only a core"* ]]
	[ ! -e vm.core ]
	mrconvert -q --at d0=none vm.mr vm.core 2>/dev/null
	run -1 same_core vm.core theirs.core
	[[ $output == "memory differs at 0x110000000" ]]
	mrconvert -q --force --at d0=0x110000000 vm.mr vm.core 2>/dev/null
	same_core vm.core theirs.core
	mrconvert -q "$(vm_qmp a)" asked.core 2>/dev/null
	cmp vm.core asked.core
	# Who says it all the same is believed.
	mrconvert -q --force --at d0=none "$(vm_qmp a)" asked.core 2>/dev/null
	run -1 same_core asked.core theirs.core
	[[ $output == "memory differs at 0x110000000" ]]
	run -2 mrconvert -q --force --at d0=16M "$(vm_qmp a)" asked.core
	[[ $output == *"would overlap"* ]]
	run -0 mrinspect --gpa 0x110400000+8 "$(vm_qmp a)"
	[[ $output == *"d0:0x400000"*"as QEMU says"*"88 77 66 55 44 33 22 11"* ]]
}

@test "virtio-mem is plugged memory, too" {
	start_vm a -S -M q35 -m 64M,maxmem=1G \
		-object memory-backend-ram,id=m0,size=128M \
		-device virtio-mem-pci,memdev=m0,memaddr=0x110000000
	mrsave -q "$(vm_qmp a)" vm.mr
	run -3 mrconvert vm.mr vm.core
	[[ $output == *"block 0000:00:0"?".0/m0 is (1 such blocks)"* ]]
	mrconvert -q "$(vm_qmp a)" vm.core 2>/dev/null
	# Physical address and length, of whatever comes first in a header.
	xxd -p vm.core | tr -d '\n' | head -c 4096 |
		grep -q 0000001001000000'.\{16\}'0000000800000000
}

@test "a core shares the image's memory, where files can" {
	command -v mkfs.xfs >/dev/null || skip "no mkfs.xfs"
	mkdir fs
	truncate -s 512M disk
	mkfs.xfs -q -m reflink=1 disk >/dev/null
	mount -o loop disk fs 2>/dev/null || skip "may not mount a file system"
	start_vm a -m 96M -append fill=32M
	wait_ready a
	# Stale data under clear bits: it must not be in the core.
	qemu_live_save a "$PWD/fs/live.mr"
	qmp_do a dump-guest-memory \
		"{\"paging\":false,\"protocol\":\"file:$PWD/theirs.core\"}"
	for from in live vm; do
		[ $from = live ] || mrsave -q "$(vm_qmp a)" fs/vm.mr
		mrconvert -q --json fs/$from.mr fs/$from.core 2>/dev/null >out
		(($(jq .shared out) == $(jq .data out)))
		(($(jq .shared out) > 32 << 20))
		same_core fs/$from.core theirs.core
		mrconvert -q fs/$from.mr $from.core 2>/dev/null
		cmp $from.core fs/$from.core
	done
}

@test "a core of aarch64 virt" {
	type qemu-system-aarch64 >/dev/null || skip "no qemu-system-aarch64"
	# mov x3, #5; movk x3, #0x1234, lsl 48; mov sp, x3; b .
	printf '\xa3\x00\x80\xd2\x83\x46\xe2\xf2\x7f\x00\x00\x91\x00\x00\x00\x14' >code
	QEMU=qemu-system-aarch64 start_vm a -M virt -cpu cortex-a57 -smp 2 \
		-m 64M -kernel code
	until [[ $(qmp_do a human-monitor-command \
		'{"command-line":"info registers"}') == *X03=1234000000000005* ]]; do
		:
	done
	qmp_do a stop
	mrsave -q "$(vm_qmp a)" vm.mr
	qmp_do a dump-guest-memory \
		"{\"paging\":false,\"protocol\":\"file:$PWD/theirs.core\"}"
	mrconvert -q vm.mr vm.core 2>/dev/null
	run -0 same_core vm.core theirs.core
	[[ $output == "2 notes, 16384 pages" ]]
	run -0 mrinspect --cpu vm.mr
	[[ $output == *"X3 =1234000000000005"* && $output == *"SP =1234"* ]]
	[ "$(mrinspect --json --cpu vm.mr |
		jq -r '.files[0].cpus[0].registers.X3')" = 0x1234000000000005 ]
}
