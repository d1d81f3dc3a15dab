#!/usr/bin/env bats
# mrinspect against what a real QEMU writes.

load ../lib/vm

setup() {
	need_qemu
	cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
	kill_vms
}

# Once more, after a save.
again() {
	qmp_do a cont
	wait_count a
}

# Saves VM a as a plain stream: plain_save FILE
plain_save() {
	qmp_do a migrate "{\"uri\":\"file:$PWD/$1\"}" >/dev/null
	qmp_do a --wait-migration
}

# NAME and bytes of each block of VM a, as QEMU tells it.
blocks_of_vm() {
	qmp_do a x-query-ramblock |
		sed -nE 's/^ *(.*[^ ]) +[0-9]+ [KMG]iB +0x[0-9a-f]+ 0x([0-9a-f]+) .*/\1 \2/p' |
		while read -r line; do
			echo "${line% *} $((16#${line##* }))"
		done
}

blocks_of_file() {
	mrinspect --json "$1" | sed -n '/"blocks"/,/"sections"/p' |
		sed -nE 's/^ *"name": "(.*)",/\1/p; s/^ *"length": ([0-9]*),/\1/p' |
		paste -d ' ' - -
}

sections_of() {
	mrinspect --json "$1" | sed -n '/"sections"/,/\]/p' |
		sed '/"described"/d; s/,$//'
}

# Sound, and each device section ends where the description says; without
# the description, the footers say the same.
understood() {
	local at
	run -0 mrinspect --json "$1"
	[[ $output == *'"verdict": "sound"'* ]]
	[[ $output == *'"described": true'* ]]
	[[ $output != *'"described": false'* ]]
	[[ $output == *'"name": "globalstate"'* ]]
	[[ $output =~ \"vmdesc\":\ \{$'\n'\ *\"offset\":\ ([0-9]+) ]]
	at=${BASH_REMATCH[1]}
	cp --sparse=always "$1" cut
	truncate -s $((at - 5)) cut
	run -0 mrinspect --json cut
	[[ $output != *'"described": true'* ]]
	diff <(sections_of "$1") <(sections_of cut)
	diff <(blocks_of_file "$1") <(blocks_of_vm)
}

every_save_of() {
	start_vm a "$@"
	wait_ready a
	wait_count a
	qemu_save a "$PWD/mapped"
	understood mapped
	[[ $output == *'"kind": "mapped-ram"'* ]]
	again
	qemu_save a "$PWD/multifd" multifd
	understood multifd
	again
	qmp_do a migrate-set-capabilities '{"capabilities":[
		{"capability":"multifd","state":false},
		{"capability":"mapped-ram","state":false}]}' >/dev/null
	plain_save plain
	understood plain
	[[ $output == *'"kind": "stream"'* ]]
}

@test "pc: mapped-ram, multifd, plain" {
	every_save_of -M pc -device e1000 -device ide-hd,drive=d \
		-blockdev null-co,node-name=d,read-zeroes=on
}

# bats test_tags=address
@test "q35 with many devices: mapped-ram, multifd, plain" {
	every_save_of -M q35 -smp 3 -device virtio-vga -device e1000e \
		-device qemu-xhci -device usb-tablet -device virtio-rng-pci \
		-device pcie-root-port,id=p -device ich9-intel-hda
}

# ---- what is in it ----

hmp() { # VM COMMAND...
	local name=$1
	shift
	qmp_do "$name" human-monitor-command "{\"command-line\":\"$*\"}" |
		tr -d '\r'
}

# CPU NAME=VALUE, numbers without leading zeros; segments with the selector,
# base, limit and flags. CPUs that have not left real mode have fewer registers
# in the monitor, by their old names.
registers() {
	sed -E 's/^(CPU#[0-9]+).*/\1/
		s/(^| )E([A-Z]{2})=/\1R\2=/g
		s/^(..) =/\1=/; s/^(...?)= +/\1=/; s/ (R[89]) =/ \1=/g
		s/ DPL=.*//; s/\[[^]]*\]//; s/ (II|A20|SMM|IF)=.//g
		/^([ECSDFG]S|LDT|TR|GDT|IDT)=/s/ /,/g' |
		tr ' ' '\n' | grep -E '^(CPU#|R[A-Z0-9]+=|[ECSDFG]S=|LDT=|TR=|GDT=|IDT=|CR.=|DR.=|EFER=|CPL=|HLT=)' |
		sed -E 's/([=,])0+([0-9a-f])/\1\2/g; s/([=,])0+([0-9a-f])/\1\2/g; s/,$//' |
		awk '/^CPU#/ { cpu = $0 } { print cpu, $0 }' | sort
}

# bats test_tags=address
@test "registers are what the monitor says" {
	start_vm a -M q35 -smp 3
	wait_ready a
	qmp_do a stop
	hmp a info registers -a | registers >monitor
	grep -q '^CPU#2 EFER=' monitor
	grep -q '^CPU#0 CS=8,0,ffffffff,af' monitor
	grep -q '^CPU#1 ES=' monitor
	mrsave "$(vm_qmp a)" ours # without a description
	mrinspect --cpu ours >out
	grep -q 'CPU#1 (by place' out
	registers <out >shown
	[ -z "$(comm -23 monitor shown)" ]
	qemu_save a "$PWD/theirs"
	mrinspect --cpu theirs >out
	run -1 grep 'by place' out
	registers <out >shown
	[ -z "$(comm -23 monitor shown)" ]
	# Borrowed, for ours: every device.
	run -0 mrinspect --cpu --device all --vmdesc-from theirs ours
	[[ $output != *"by place"* ]]
	[[ $output != *"not decoded"* ]]
	mrinspect --json -d all theirs | jq -c '.files[0].devices[].fields' >f1
	mrinspect --json -d all --vmdesc-from theirs ours |
		jq -c '.files[0].devices[].fields' >f2
	diff <(jq 'select(has("env.regs"))' f1) <(jq 'select(has("env.regs"))' f2)
	[ "$(wc -l <f1)" = "$(wc -l <f2)" ]
}

# Memory of VM a by guest-physical address, as QEMU tells it: same_at ADDRESS
same_at() {
	local of
	hmp a pmemsave "$1" 4096 '\"'"$PWD/monitor.bin"'\"'
	for of in image "$(vm_qmp a)"; do
		mrinspect --json --gpa "$1+4096" "$of" |
			jq -r '[.files[0].memory[].bytes] | join("")' >hex
		[ "$(cat hex)" = \
			"$(od -An -v -tx1 monitor.bin | tr -d ' \n')" ] || {
			echo "at $1 of $of"
			return 1
		}
	done
}

# What the monitor says of VM a's page tables: addresses in both halves, and
# where they are, between 16 and 128 MiB
mapped() {
	hmp a info tlb | sed -nE \
		's/^([0-9a-f]+): 0*([1-7][0-9a-f]{6}) .*/\1 \2/p' | awk 'NR % 3 == 1'
}

# Those of CPU 0, whose mode the guest has.
every_virtual() {
	local of virt args=()
	mapped >tlb
	grep -q '^ffff8000' tlb
	(($(wc -l <tlb) > 30))
	while read -r virt _; do
		args+=(--virt "0x$virt+1")
	done <tlb
	for of in image "$(vm_qmp a)"; do
		mrinspect --json "${args[@]}" "$of" |
			jq '.files[0].memory[].gpa' >ours
		diff ours <(while read -r _ at; do
			echo $((16#$at))
		done <tlb)
	done
}

every_address_of() {
	local at
	start_vm a "$@"
	wait_ready a
	qmp_do a stop
	mrsave "$(vm_qmp a)" image
	for at in 0 0x7000 0x9f000 0xc0000 0xc8000 0xd0000 0xe0000 0xe8000 \
		0xf0000 0xff000 0x100000 0x10e000 0xfff000 0xfffff000; do
		same_at "$at"
	done
	every_virtual
}

@test "memory by address: pc" {
	every_address_of -M pc -device VGA
	same_at $((255 << 20))
	# The same with the monitor's own dump.
	[ "$(hmp a xp /16xb 0x100000 | sed 's/.*: //' | tr -d ' \n')" = \
		"$(mrinspect --json -p pc.ram:0x100000+16 image |
			jq -r '.files[0].memory[0].bytes' |
			sed 's/../0x&/g')" ]
	# The guest's first bytes, which make it a Multiboot kernel.
	mrinspect -f 0x02b0ad1b image | grep -x \
		'pc.ram:0x100000, virtual 0xffff800000100000 of CPU 0'
}

@test "memory of a paused VM: what its image holds" {
	local vm
	start_vm a
	wait_ready a
	wait_count a
	vm=$(vm_qmp a)
	run -3 mrinspect --page pc.ram:0x100000 "$vm"
	[[ $output == *"$vm: the VM is running, its memory changes while"* ]]
	qmp_do a stop
	mrsave -q "$vm" image
	for what in "-p pc.ram:0x100000" "-p pc.ram:0xff0+9000" "-f ready" \
		"-f 0x02b0ad1b" "-f 0x0000 --max 5" "-p pc.bios:0+64" \
		"-g 0xfffffff0+16 -f 0x00000001 -j 8"; do
		# shellcheck disable=SC2086
		mrinspect $what image | sed '1d; /: zeros)$/d' >of-image
		# shellcheck disable=SC2086
		mrinspect $what "$vm" | sed '1d; /: zeros)$/d' >of-vm
		diff of-image of-vm
		[ -s of-vm ]
	done
	run -0 mrinspect -f 0x02b0ad1b "$vm"
	[ "${lines[0]}" = "$vm: virtual machine, paused: pc-i440fx-$(qemu_version)" ]
	[[ $output == *$'\n'"pc.ram:0x100000, virtual 0xffff800000100000 of CPU 0" ]]
	run -0 bash -c "mrinspect --json -f 0x02b0ad1b '$vm' | jq -c '.files[0] |
		[.kind] + (.found[0] | [.block, .offset, .virtual, .vcpu])'"
	[ "$output" = '["vm","pc.ram",1048576,["0xffff800000100000"],0]' ]
	run -2 mrinspect -p nosuch:0 "$vm"
	[[ $output == *"there is no RAM block for nosuch:0"* ]]
	# There is no more to see than memory; and it is as it was.
	run -2 mrinspect "$vm"
	[[ $output == *"a virtual machine: --page, --gpa, --virt, --find"* ]]
	run -2 mrinspect --cpu -f ready "$vm"
	[[ $(qmp_do a query-status) == *'"paused"'* ]]
	qmp_do a cont
	wait_checked a
	assert_no_bad a
}

# bats test_tags=address
@test "memory by address: q35, above 4 GiB" {
	every_address_of -M q35,max-ram-below-4g=128M
	same_at $((127 << 20))
	same_at 0x100000000
	same_at $((0x100000000 + (127 << 20)))
	run -2 mrinspect --gpa $((0x100000000 + (128 << 20))) image
}

# What the loader put there says which block it is; guest and firmware may
# write elsewhere.
marked() { # ADDRESS...
	local at n=1
	for at; do
		printf -- '-device\nloader,addr=%s,data=0x%x,data-len=8\n' \
			"$at" $((0x1122334455660000 + n++))
	done
}

# bats test_tags=address
@test "memory by address: NUMA nodes of other lengths, and a DIMM" {
	local marks places=($((100 << 20)) $((300 << 20)) 0x100400000 0x107ff0000)
	mapfile -t marks < <(marked "${places[@]}")
	start_vm a -M q35,max-ram-below-4g=320M -S \
		-m 448M,slots=2,maxmem=2G "${marks[@]}" \
		-object memory-backend-ram,id=d0,size=448M \
		-object memory-backend-ram,id=m1,size=192M \
		-object memory-backend-ram,id=m0,size=256M \
		-numa node,nodeid=0,memdev=m0 -numa node,nodeid=1,memdev=m1 \
		-device pc-dimm,memdev=d0
	mrsave "$(vm_qmp a)" image
	run -2 mrinspect --gpa $((320 << 20)) image
	# It could be all RAM, and there is no firmware yet.
	[[ $output == *"block d0 is as long as all RAM, and others as "* ]]
	qmp_do a cont
	wait_ready a
	qmp_do a stop
	mrsave "$(vm_qmp a)" image
	for at in "${places[@]}"; do
		same_at "$at"
	done
	run -2 mrinspect --gpa 0x108000000 image
	[[ $output == *"nothing tells where block d0 is"* ]]
	# QEMU does.
	run -2 mrinspect --gpa 0x108000000 "$(vm_qmp a)"
	[[ $output == *"no RAM is known at 0x108000000"* ]]
	[[ $output != *"nothing tells"* ]]
	run -0 mrinspect --gpa 0x140000000 "$(vm_qmp a)"
	[[ $output == *"d0:0x0"*"as QEMU says"* ]]
}

@test "memory by address: NUMA nodes of the same length" {
	local marks
	mapfile -t marks < <(marked $((64 << 20)) $((192 << 20)))
	start_vm a -m 256M "${marks[@]}" \
		-object memory-backend-ram,id=m1,size=128M \
		-object memory-backend-ram,id=m0,size=128M \
		-numa node,nodeid=0,memdev=m0 -numa node,nodeid=1,memdev=m1
	wait_ready a
	qmp_do a stop
	mrsave "$(vm_qmp a)" image
	# The first one is where the firmware was.
	same_at $((64 << 20))
	same_at $((192 << 20))
	stop_vm a
	# Of three the others could be either.
	start_vm a -m 192M -S \
		-object memory-backend-ram,id=m0,size=64M \
		-object memory-backend-ram,id=m1,size=64M \
		-object memory-backend-ram,id=m2,size=64M \
		-numa node,nodeid=0,memdev=m0 -numa node,nodeid=1,memdev=m2 \
		-numa node,nodeid=2,memdev=m1
	mrsave "$(vm_qmp a)" image
	run -2 mrinspect --gpa 0 image
	[[ $output == *"there are 3 blocks of 0x4000000 bytes, and nothing "* ]]
}

@test "memory by address: microvm, above 4 GiB" {
	local marks
	mapfile -t marks < <(marked 0x1000000 0x10e000000 0xbfff0000)
	start_vm a -M microvm -m 3400M "${marks[@]}" -S
	mrsave "$(vm_qmp a)" image
	for at in 0 0xa0000 0xdf000 0xf0000 0xbfff0000 0x10e000000 0xfffff000; do
		same_at "$at"
	done
}

@test "memory by address: aarch64 virt" {
	local marks at
	type qemu-system-aarch64 >/dev/null || skip "no qemu-system-aarch64"
	mapfile -t marks < <(marked 0x48000000 0x51000000 0x5b000000)
	QEMU=qemu-system-aarch64 start_vm a -M virt -cpu cortex-a57 -S -m 448M \
		"${marks[@]}" \
		-object memory-backend-ram,id=m1,size=192M \
		-object memory-backend-ram,id=m0,size=256M \
		-numa node,nodeid=0,memdev=m0 -numa node,nodeid=1,memdev=m1
	mrsave "$(vm_qmp a)" image
	for at in 0x40000000 0x48000000 0x51000000 0x5b000000; do
		same_at "$at"
	done
	run -2 mrinspect --gpa 0x5c000000 image
	stop_vm a
	QEMU=qemu-system-aarch64 start_vm a -M virt -cpu cortex-a57 -S -m 448M \
		"${marks[@]}"
	mrsave "$(vm_qmp a)" image
	same_at 0x48000000
	same_at 0x5b000000
}

@test "plain streams say what analyze-migration.py says" {
	[ -n "${ANALYZE_MIGRATION-}" ] ||
		skip "ANALYZE_MIGRATION names no analyze-migration.py of QEMU"
	start_vm a -M q35 -smp 2 -device virtio-vga -device e1000e \
		-device qemu-xhci -device usb-tablet -device virtio-rng-pci \
		-device pcie-root-port,id=p -device ich9-intel-hda \
		-device virtio-scsi-pci -device virtio-balloon
	wait_ready a
	plain_save plain
	python3 "$ANALYZE_MIGRATION" -f plain >theirs
	mrinspect --json --device all plain >ours
	grep -q '"memory_skipped"' ours
	run -0 python3 "$ROOT/tests/lib/same-state.py" ours theirs
	mrinspect --json --device all --svg map.svg plain >ours
	run -1 grep '"memory_skipped"' ours
	run -0 python3 "$ROOT/tests/lib/same-state.py" ours theirs
	python3 "$ANALYZE_MIGRATION" -d desc -f plain | jq -S . >theirs
	mrinspect --vmdesc plain | jq -S . | diff theirs -
}

@test "maps of what QEMU wrote" {
	start_vm a
	wait_ready a
	qmp_do a stop
	mrsave "$(vm_qmp a)" image
	plain_save plain
	# Zeros are words in the one and absent in the other.
	mrinspect --map image | sed -n '/pc.ram/,/^$/p' >a
	mrinspect --map plain | sed -n '/pc.ram/,/^$/p' | sed '/^  0/s/\./ /g' >b
	diff a b
	grep -q '##' a
}

@test "device state alone" {
	start_vm a
	wait_count a
	qmp_do a stop
	qmp_do a xen-save-devices-state \
		"{\"filename\":\"$PWD/devices\",\"live\":false}"
	run -0 mrinspect --json devices
	[[ $output == *'"kind": "device-state"'* ]]
	[[ $output == *'"name": "cpu"'* ]]
}

@test "background-snapshot into mapped-ram is called what it is" {
	start_vm a
	wait_ready a
	set_caps a background-snapshot || skip "QEMU may not do that here"
	qemu_save a "$PWD/image" background-snapshot
	run -1 mrinspect --json image
	[[ $output == *'"verdict": "background-snapshot"'* ]]
}

@test "a save that QEMU did not finish is called what it is" {
	start_vm a
	wait_ready a
	set_caps a mapped-ram
	qmp_do a migrate-set-parameters '{"max-bandwidth":4194304}' >/dev/null
	qmp_do a migrate "{\"uri\":\"file:$PWD/image\"}" >/dev/null
	# Some pages are written, most are not.
	until [[ $(qmp_do a query-migrate) =~ \"normal\":\ *([0-9]+) ]] &&
		((BASH_REMATCH[1] > 100)); do
		[[ $(qmp_do a query-migrate) != *'"completed"'* ]]
	done
	stop_vm a
	run -1 mrinspect --json image
	[[ $output == *'"verdict": "interrupted"'* ]]
	[[ $output == *'"pages_present": 0'* ]]
	run -1 mrinspect image
	[[ ${lines[0]} == *INTERRUPTED ]]
}

# ---- the memory of plain streams ----

# The blocks of FILE, all of their memory: a page is zero, or has words.
memory_of() {
	local name length
	blocks_of_file "$1" | while read -r name length; do
		echo "$name"
		mrinspect -p "$name:0+$length" "$1" |
			sed '1,/^$/d; /not in the image/d'
	done
}

# The stream FILE holds what the mapped-ram image "mapped" holds, and no more.
same_memory() {
	memory_of mapped >mapped.dump
	(($(wc -l <mapped.dump) > 100000))
	memory_of "$1" | cmp mapped.dump -
}

@test "memory of a plain stream, of a paused guest" {
	start_vm a -m 32M -append "fill=4M zero=1M" -device VGA,vgamem_mb=1
	wait_ready a
	wait_count a
	qmp_do a stop
	mrsave -q "$(vm_qmp a)" mapped
	plain_save stream
	same_memory stream
}

# The guest writes on while QEMU sends it, and what it changed is sent as
# changes; it stands still then, and its memory is what the stream says.
@test "memory of a live plain stream with XBZRLE" {
	start_vm a -m 32M -append "fill=4M zero=1M" -machine memory-backend=m0 \
		-object "memory-backend-file,id=m0,size=32M,mem-path=$PWD/ram,share=on"
	wait_ready a
	set_caps a xbzrle
	qmp_do a migrate-set-parameters '{"max-bandwidth":2000000,
		"avail-switchover-bandwidth":100000,"downtime-limit":1}' >/dev/null
	qmp_do a migrate "{\"uri\":\"file:$PWD/stream\"}" >/dev/null
	# Slower than the guest, from the second round on.
	until [[ $(qmp_do a query-migrate) =~ sync-count\":\ *([0-9]+) ]] &&
		((BASH_REMATCH[1] > 1)); do :; done
	qmp_do a migrate-set-parameters '{"max-bandwidth":200000}' >/dev/null
	until [[ $(qmp_do a query-migrate) =~ \
		xbzrle-cache[^}]*\"pages\":\ *([0-9]+) ]] &&
		((BASH_REMATCH[1] > 2)); do
		[[ $(qmp_do a query-migrate) != *'"completed"'* ]]
	done
	qmp_do a migrate-set-parameters '{"max-bandwidth":0,
		"avail-switchover-bandwidth":0,"downtime-limit":300}' >/dev/null
	qmp_do a --wait-migration
	run -0 mrinspect --json stream
	(($(jq '[.files[0].blocks[].xbzrle_words] | add' <<<"$output") > 0))
	cmp <(od -An -v -tx1 ram | tr -d ' \n') \
		<(mrinspect --json -p m0:0+32M stream |
			jq -j '.files[0].memory[0].bytes')
}
