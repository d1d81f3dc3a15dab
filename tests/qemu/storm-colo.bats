# A COLO primary's checkpoints end in each way once, at a random moment; `make
# storm-colo` has more.
. "$BATS_TEST_DIRNAME/../lib/vm.bash"

setup() {
	need_qemu 11.0
}

teardown() {
	kill_vms
}

@test "a storm of 5 primaries: each image is one whole checkpoint" {
	cd "$BATS_TEST_TMPDIR"
	STORM="primary kill term cut replace" \
		"$ROOT/tests/qemu/storm-colo" 5 >said || :
	grep '^# note: ' said >&3 || :
	cat said
	[[ $(tail -n 1 said) == *" 0 with a fault" ]]
}
