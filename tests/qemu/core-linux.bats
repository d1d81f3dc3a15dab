#!/usr/bin/env bats
# A core of a Debian guest, shown to those who read such: crash and drgn, with
# the kernel's own symbols. `.ci/linux` gets the kernel, `.ci/deps cores` the
# programs; without them all is skipped.

load ../lib/vm

setup() {
	local p
	need_qemu
	LINUX=$ROOT/build/linux
	[ -e "$LINUX/vmlinux" ] || skip "no kernel with symbols (.ci/linux)"
	for p in crash drgn makedumpfile cpio busybox; do
		command -v $p >/dev/null || skip "no $p (.ci/deps cores)"
	done
	cd "$BATS_TEST_TMPDIR"
}

teardown() { kill_vms; }

# VM a: a guest with a few processes; paused once they run.
linux_vm() {
	mkdir -p root/bin
	cp "$(command -v busybox)" root/bin
	cat >root/init <<-'END'
		#!/bin/busybox sh
		/bin/busybox mkdir -p /dev
		/bin/busybox mount -t devtmpfs dev /dev
		/bin/busybox sleep 100000 &
		/bin/busybox yes >/dev/null &
		/bin/busybox sleep 1
		echo they-run >/dev/console
		exec /bin/busybox sleep 100000
	END
	chmod +x root/init
	(cd root && find . | cpio --quiet -o -H newc) >initrd
	start_vm a -m 256M -smp 2 -kernel "$LINUX/vmlinuz" -initrd initrd \
		-append "console=ttyS0 quiet"
	until grep -q they-run "$(vm_serial a)"; do
		kill -0 "$(vm_pid a)"
		sleep 0.2
	done
	qmp_do a stop
}

# What crash answers, but for the name of the file.
ask_crash() { # CORE
	printf '%s\n' sys ps 'bt -a' log 'bt 1' quit |
		timeout 200 crash -s "$1" "$LINUX/vmlinux" 2>&1 |
		grep -v DUMPFILE
}

@test "crash and drgn on a core of Linux, beside QEMU's own" {
	linux_vm
	mrsave -q "$(vm_qmp a)" vm.mr
	qmp_do a dump-guest-memory \
		"{\"paging\":false,\"protocol\":\"file:$PWD/theirs.core\"}"
	run -0 mrconvert vm.mr vm.core
	[[ $output == *"kernel     Linux "* && $output != *mrconvert:* ]]
	run -0 python3 "$ROOT/tests/lib/same-core.py" vm.core theirs.core

	# crash answers the same, of a kdump too. crash 8.0.2 finds all tasks of
	# kernels only in which struct pid has an array of one, and no stack of a
	# CPU whose exception stacks one has the size 0: on QEMU's core as well.
	ask_crash vm.core >ours
	grep -q 'RELEASE: [56]' ours
	grep -q 'Linux version' ours
	grep -q 'swapper/1' ours
	diff ours <(ask_crash theirs.core)
	mrconvert -q vm.mr vm.kdump
	diff <(grep -vE '^(bt|$)' ours) \
		<(ask_crash vm.kdump | grep -vE '^(bt|$)')

	# drgn does not take QEMU's core.
	cat >tasks.py <<-'END'
		from drgn.helpers.linux.pid import for_each_task
		for t in for_each_task(prog):
		    print(t.pid.value_(), t.comm.string_().decode())
	END
	run -0 --separate-stderr drgn -q -c vm.core -s "$LINUX/vmlinux" tasks.py
	[[ $output == *"1 "* && $output == *kthreadd* ]]
	[ "$(grep -c ' busybox$' <<<"$output")" = 3 ]
	((${#lines[@]} > 30))
	run -0 --separate-stderr drgn -q -c vm.kdump -s "$LINUX/vmlinux" tasks.py
	((${#lines[@]} > 30))
}
