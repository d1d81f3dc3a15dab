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

	# So does mrinspect, of messages and addresses, without symbols.
	# (Further lines of a message have blanks for a time, there.)
	mrinspect --log vm.mr | tail -n +3 >log
	(($(wc -l <log) > 200))
	diff <(cut -c 16- log) <(printf '%s\n' log quit |
		timeout 200 crash -s vm.core "$LINUX/vmlinux" |
		sed -n '/\] Linux version /,$p' | cut -c 16-)
	read -r virt offset < <(mrinspect --json --find 'Linux version ' vm.mr |
		jq -r '.files[0].found[] | select(.virtual | length == 2) |
			[.virtual[0][2:], .offset] | @tsv')
	run -0 crash -s vm.core "$LINUX/vmlinux" < <(
		printf '%s\n' "vtop $virt" quit)
	[[ $output == *"$virt  $(printf '%x' "$offset")"* ]]
	[ "$(mrinspect --json --virt "0x$virt+14" vm.mr |
		jq -r '.files[0].memory[0] | .gpa, .bytes')" = \
		"$offset"$'\n'"$(printf 'Linux version ' | xxd -p)" ]
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
