#!/usr/bin/env bats
# Machines that are no PC: what the direct engine can save is loaded by a real
# QEMU of that target, with the same memory, and the guest goes on; what it
# cannot goes to QEMU's own engine, or is refused. A target whose QEMU is not
# there is skipped.

load ../lib/vm

setup() {
	vm_dir
	cd "$BATS_TEST_TMPDIR" || return
	head -c 256K "$O/mrsave" >blob
}

teardown() {
	kill_vms
}

# need TARGET: its QEMU, which becomes the one that start_target starts
need() {
	QEMU=qemu-system-$1
	need_qemu
}

# The same where there are others to go on with: false if it is not there.
have() {
	QEMU=qemu-system-$1
	[ -n "$(qemu_version)" ] && return
	echo "# no $QEMU" >&3
	false
}

# start_target NAME QEMU-ARGUMENT...
start_target() {
	local name=$1
	shift
	(
		ulimit -t 600
		exec "$QEMU" -name "$name" -accel tcg -nodefaults \
			-display none \
			-qmp "unix:$VM_DIR/$name.qmp,server=on,wait=off" \
			-qmp "unix:$VM_DIR/$name.ctl,server=on,wait=off" \
			"$@" </dev/null >"$VM_DIR/$name.log" 2>&1 3>&-
	) &
	echo $! >"$VM_DIR/$name.pid"
	QEMU_PID=$! qmp_do "$name" query-status >/dev/null || {
		echo "$QEMU did not start: $(cat "$VM_DIR/$name.log")"
		return 1
	}
}

# memory NAME ADDRESS BYTES FILE: what the guest has there
memory() {
	qmp_do "$1" pmemsave "{\"val\":$(($2)),\"size\":$3,
		\"filename\":\"$PWD/$4\"}" >/dev/null
}

counter() {
	memory "$1" "$2" 4 counter
	od -An -tu4 counter
}

# The guest counts in memory, and goes on counting.
counts() {
	local from
	from=$(counter "$1" "$2")
	until (($(counter "$1" "$2") > from)); do :; done
}

# config FILE: the bytes from the header to the end of the configuration. With
# mapped-ram the capability is the last thing in it.
config() {
	local end
	end=$(grep -obUa -m 1 'mapped-ram' "$1" | head -n 1 | cut -d: -f1)
	head -c $((end + 10)) "$1"
}

# goes_on CODE COUNTER PROGRAM QEMU-ARGUMENT...: a program of five words that
# adds one to what is at COUNTER, for ever
goes_on() {
	local code=$1 at=$2 program=$3 n
	shift 3
	printf "$program" >code
	start_target a "$@" \
		-device "loader,file=code,addr=$code,force-raw=on,cpu-num=0" \
		-device "loader,file=blob,addr=$((at + 0x100000)),force-raw=on"
	counts a "$at"
	run -0 mrsave --engine=direct --leave-paused "$(vm_qmp a)" image
	[[ $output == *"engine"*"direct"* || $output == *direct* ]]
	n=$(counter a "$at")
	run -0 mrverify image
	[[ $output == *"sound, sealed"* ]]
	# QEMU itself describes such a machine by the same bytes.
	mrsave -q --engine=qemu "$(vm_qmp a)" by-qemu
	cmp <(config image) <(config by-qemu)
	mrverify -q by-qemu
	stop_vm a

	# Memory comes from the image, so there is no loader.
	start_target b "$@" -incoming defer
	run -0 mrload --paused image "$(vm_qmp b)"
	[ "$(counter b "$at")" -eq "$n" ]
	memory b $((at + 0x100000)) $((256 << 10)) loaded
	cmp blob loaded
	qmp_do b cont >/dev/null
	counts b "$at"
	stop_vm b

	# And so does QEMU alone, without a tool of ours.
	start_target c "$@" -S -incoming defer
	set_caps c mapped-ram
	qmp_do c migrate-incoming "{\"uri\":\"file:$PWD/image\"}" >/dev/null
	qmp_do c --wait-migration
	[ "$(counter c "$at")" -eq "$n" ]
	qmp_do c cont >/dev/null
	counts c "$at"
}

@test "aarch64 virt: pages of 4 KiB, which the image has to say" {
	need aarch64
	# movz x0, 0x4100, lsl 16; 1: ldr x1, [x0]; add x1, x1, 1
	# str x1, [x0]; b 1b
	goes_on 0x42000000 0x41000000 \
		'\x00\x20\xa8\xd2\x01\x00\x40\xf9\x21\x04\x00\x91\x01\x00\x00\xf9\xfd\xff\xff\x17' \
		-M virt -cpu max -m 64
	[ "$(config image | grep -ac target-page-bits)" -eq 1 ]
}

@test "arm virt: pages of 4 KiB, which the image has to say" {
	need arm
	# mov r0, 0x41000000; 1: ldr r1, [r0]; add r1, r1, 1; str r1, [r0]; b 1b
	goes_on 0x42000000 0x41000000 \
		'\x41\x04\xa0\xe3\x00\x10\x90\xe5\x01\x10\x81\xe2\x00\x10\x80\xe5\xfb\xff\xff\xea' \
		-M virt -m 64
	[ "$(config image | grep -ac target-page-bits)" -eq 1 ]
}

@test "riscv64 virt: nothing to say" {
	need riscv64
	# auipc t0, 0x1000; 1: ld t1, (t0); addi t1, t1, 1; sd t1, (t0); j 1b
	goes_on 0x80000000 0x81000000 \
		'\x97\x02\x00\x01\x03\xb3\x02\x00\x13\x03\x13\x00\x23\xb0\x62\x00\x6f\xf0\x5f\xff' \
		-M virt -m 64 -bios none
	run ! grep -aq target-page-bits <(config image)
}

# same_memory TARGET ADDRESS QEMU-ARGUMENT...: saved by the engine that is
# taken, which is $engine, and loaded
same_memory() {
	local at=$2
	have "$1" || return 0
	shift 2
	start_target a -S "$@" \
		-device "loader,file=blob,addr=$at,force-raw=on"
	memory a "$at" "$(stat -c %s blob)" saved
	cmp blob saved
	run -0 mrsave --json "$(vm_qmp a)" image
	[[ $output == *"\"engine\": \"$engine\""* ]]
	run -0 mrverify image
	[[ $output == *": sound"* ]]
	run -0 mrinspect image
	run -0 mrdiff --memory "$(vm_qmp a)" image
	stop_vm a
	start_target b -S "$@" -incoming defer
	run -0 mrload --paused image "$(vm_qmp b)"
	memory b "$at" "$(stat -c %s blob)" loaded
	cmp blob loaded
	stop_vm b
}

@test "other targets with pages of 4 KiB: saved from outside" {
	local engine=direct
	same_memory i386 0x1000000 -m 64
	same_memory riscv32 0x81000000 -M virt -m 64
	same_memory loongarch64 0x1000000 -M virt -m 512
	same_memory m68k 0x1000000 -M virt -m 64
	same_memory microblaze 0x91000000 -M petalogix-s3adsp1800
	same_memory microblazeel 0x91000000 -M petalogix-s3adsp1800
	same_memory rx 0x1000000 -M gdbsim-r5f562n8 -m 16
}

@test "targets with other pages: QEMU saves itself" {
	local engine=qemu
	same_memory aarch64 0x1000000 -M raspi3b
	same_memory arm 0x21000000 -M mps2-an385
	same_memory alpha 0x1000000 -m 64
	same_memory or1k 0x1000000 -M or1k-sim
	same_memory tricore 0x80000000 -M tricore_testboard
	truncate -s 4K blob
	same_memory avr 0x800200 -M mega
}

# refused TARGET WHY QEMU-ARGUMENT...
refused() {
	local why=$2 before
	have "$1" || return 0
	shift 2
	start_target a -S "$@"
	before=$(qmp_do a query-migrate-parameters)
	run -3 mrsave --engine=direct "$(vm_qmp a)" image
	[[ $output == *"$why"* ]]
	[ ! -e image ]
	[ "$(qmp_do a query-migrate-parameters)" = "$before" ]
	[[ $(qmp_do a query-status) == *prelaunch* ]]
	stop_vm a
}

@test "what the direct engine cannot write right is refused" {
	refused aarch64 "pages have 1024 bytes" -M raspi3b
	refused arm "pages have 1024 bytes" -M mps2-an385
	refused alpha "pages have 8192 bytes" -m 64
	refused tricore "pages have 16384 bytes" -M tricore_testboard
	refused avr "pages have 256 bytes" -M mega
	refused s390x "only QEMU's own migration can save" -m 64
}

# compared TARGET PAGE QEMU-ARGUMENT...: a VM, its image, and their pages
compared() {
	local page=$2
	have "$1" || return 0
	shift 2
	start_target a -S "$@"
	mrsave -q --engine=qemu "$(vm_qmp a)" image
	run -0 mrdiff --memory "$VM_DIR/a.ctl" "$(vm_qmp a)"
	[[ $output == *"(pages of $page)"* ]]
	run -0 mrdiff --memory image "$(vm_qmp a)"
	[[ $output == *"(pages of $page)"* ]]
	stop_vm a
}

@test "compared by the pages of the target" {
	compared aarch64 "1 KiB" -M raspi3b
	compared arm "1 KiB" -M mps2-an385
	compared arm "4 KiB" -M virt
	compared alpha "8 KiB" -m 64
	compared or1k "8 KiB" -M or1k-sim
	compared tricore "16 KiB" -M tricore_testboard
	compared avr "256 B" -M mega
}

@test "a target whose QEMU crashes when it is saved is left alone" {
	local engine
	need hppa
	start_target a -S -m 64
	for engine in auto direct qemu; do
		run -3 mrsave --engine=$engine "$(vm_qmp a)" image
		[[ $output == *"QEMU crashes"* ]]
	done
	qmp_do a query-status >/dev/null
}

@test "mrload compares page sizes before it sends anything" {
	need aarch64
	start_target a -S -M raspi3b
	mrsave -q "$(vm_qmp a)" image
	stop_vm a
	start_target b -S -M virt -cpu max -incoming defer
	run ! mrload image "$(vm_qmp b)"
	[[ $output == *"page size: 1024 bytes in the image, 4096 in the VM (aarch64)"* ]]
	[[ $(qmp_do b query-migrate) != *status* ]]
	# Without the subsection aarch64 means 1 KiB.
	[[ $(qmp_do b qom-get '{"path":"/machine","property":"type"}') =~ \
		virt-[0-9.]+[0-9] ]]
	mkimage --machine "${BASH_REMATCH[0]}" none
	run ! mrload none "$(vm_qmp b)"
	[[ $output == *"does not say it, which means 1024 bytes, 4096 in the VM (aarch64)"* ]]
	[[ $output != *"machine type"* ]]
}

# legal TARGET KIND QEMU-ARGUMENT...: QEMU writes it, so it is sound
legal() {
	local kind=$2
	have "$1" || return 0
	shift 2
	start_target a -S "$@"
	qmp_do a migrate "{\"uri\":\"file:$PWD/stream\"}" >/dev/null
	qmp_do a --wait-migration
	run -0 mrinspect -v stream
	[[ $output == *"page size     $kind"* ]]
	[[ $output == *", complete"* ]]
	run -0 mrverify stream
	stop_vm a
}

@test "plain streams of other pages, or without footers, are sound" {
	legal aarch64 "1 KiB" -M raspi3b
	legal avr "256 B" -M mega
	legal alpha "8 KiB" -m 64
	legal x86_64 "4 KiB" -m 64
	legal x86_64 "4 KiB" -m 64 \
		-global migration.send-section-footer=off
}

@test "an image without footers is sound" {
	need x86_64
	start_target a -S -m 64 -global migration.send-section-footer=off
	qemu_save a "$PWD/image"
	run -0 mrverify image
	run -0 mrinspect image
	[[ $output == *", complete"* ]]
}
