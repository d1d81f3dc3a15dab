#!/usr/bin/env bats
# mrsave without a VM: usage, and sockets that are none. With one: ../qemu.

load ../lib/env

setup() { cd "$BATS_TEST_TMPDIR"; }

refused() { # STATUS TEXT ARGUMENT...
	local status=$1 text=$2
	shift 2
	run "-$status" mrsave "$@"
	[ "${#lines[@]}" -le 2 ]
	[[ $output == "mrsave: "*"$text"* ]]
	[ ! -e image ]
}

@test "wrong usage" {
	refused 2 needed vm
	refused 2 needed vm image more
	refused 2 "auto, on or off" --direct=maybe vm image
	refused 2 "auto, direct or qemu" --engine=steam vm image
	refused 2 "a core is made by mrconvert" vm vm.core
	refused 2 "1 to 64" -j 65 vm image
	refused 2 "1 to 64" -j -1 vm image
	refused 2 "--engine=qemu" --live vm image
	refused 2 "--engine=qemu" --live=precopy vm image
	refused 2 "precopy or background" --live=now vm image
	refused 2 "--engine=direct" --live=background --engine=direct vm image
	refused 2 "contradict" --live=background --leave-paused vm image
	refused 2 "contradict" --live --engine=qemu --leave-paused vm image
	refused 2 "auto, on or off" --zero-copy=2 vm image
	refused 2 "lets the guest go on" --live=background --while-paused=: vm image
	refused 2 "--check saves nothing" --check --metrics=m vm image
	refused 2 "stands still for it" --limit=1M vm image
	refused 2 "slow the guest down" --live=background --limit=1M vm image
	refused 2 "4K to" --live --engine=qemu --limit=4095 vm image
	refused 2 "4K to" --live --engine=qemu --limit=8388608T vm image
	refused 2 "is not a size" --live --engine=qemu --limit=fast vm image
	refused 2 "goes with" --while-paused-timeout=9 vm image
	refused 2 "1 to 240" --while-paused=: --while-paused-timeout=0 vm image
	refused 2 "1 to 240" --while-paused=: --while-paused-timeout=241 vm image
}

@test "no VM there" {
	refused 2 "No such file" vm image
	touch vm
	refused 2 "" vm image
	mkdir dir
	refused 2 "" dir image
}
