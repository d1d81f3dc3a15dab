#!/usr/bin/env bats
# What README.md shows, run to the letter.

load ../lib/vm

setup() { need_qemu; }
teardown() { kill_vms; }

@test "README's tour" {
	cd "$BATS_TEST_TMPDIR"
	start_vm a
	wait_ready a
	start_vm b -incoming defer
	ln -s "$(vm_qmp a)" vm.qmp
	ln -s "$(vm_qmp b)" new.qmp
	sed -n '/^```sh$/,/^```$/{/^```/d;p}' "$ROOT/README.md" >tour
	[ -s tour ]
	bash -eux tour
	wait_checked b
	assert_no_bad b
}

@test "README names every tool, and no other" {
	diff <(sed -n 's/^| `\(mr[a-z]*\) .*/\1/p' "$ROOT/README.md" | sort) \
		<(cd "$ROOT/tools" && ls mr*.c | sed 's/\.c$//' | sort)
}
