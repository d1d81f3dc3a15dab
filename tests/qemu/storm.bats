# 40 saves into which somebody comes at a random moment; `make storm` has more.
. "$BATS_TEST_DIRNAME/../lib/vm.bash"

setup() {
	need_qemu 9.1
}

teardown() {
	kill_vms
}

@test "a storm of 40 saves: no guest is harmed, no image is torn" {
	cd "$BATS_TEST_TMPDIR"
	"$ROOT/tests/qemu/storm" 40 >said || :
	grep '^# note: ' said >&3 || :
	cat said
	[[ $(tail -n 1 said) == *" 0 with a fault" ]]
}
