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

@test "q35 with many devices: mapped-ram, multifd, plain" {
	every_save_of -M q35 -smp 3 -device virtio-vga -device e1000e \
		-device qemu-xhci -device usb-tablet -device virtio-rng-pci \
		-device pcie-root-port,id=p -device ich9-intel-hda
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
	qemu_save a "$PWD/image" background-snapshot || skip "not in this QEMU"
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
