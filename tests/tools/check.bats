#!/usr/bin/env bats
# tests/check and corral: what fails, hangs or is killed leaves nothing behind.

load ../lib/env

# Programs that sleep under a name of ours.
setup() {
	cd "$BATS_TEST_TMPDIR"
	SLEEP=$PWD/sleep-$$
	cp "$(command -v sleep)" "$SLEEP"
}

nobody_sleeps() {
	[ -z "$(find /proc/[0-9]*/exe -lname "$SLEEP" 2>/dev/null)" ]
}

# With a limit, for when that is what does not work.
until_it_sleeps() { # PID
	while nobody_sleeps; do
		kill -0 "$1"
		sleep 0.1
	done
}

until_nobody_sleeps() {
	local i
	for ((i = 0; i < 300; i++)); do
		! nobody_sleeps || return 0
		sleep 0.1
	done
	return 1
}

ends_with() { # STATUS PID
	local status=0
	wait "$2" || status=$?
	((status == $1))
}

@test "corral: the command's status" {
	run -0 corral 60 true
	run -3 corral 60 sh -c 'exit 3'
	run -137 corral 60 sh -c 'kill -9 $$'
	run -126 corral 60 ./nothing
	[[ $output == *"nothing: No such file"* ]]
}

@test "corral: what is left behind is named and killed" {
	run -125 corral 60 sh -c "setsid $SLEEP 1000 & exit 0"
	[[ $output == *"left behind: "*"$SLEEP 1000"* ]]
	nobody_sleeps
	run -3 corral 60 sh -c "$SLEEP 1000 & exit 3"
	[[ $output == *"left behind: "* ]]
	nobody_sleeps
}

@test "corral: after its time, on a signal, and without a parent" {
	local pid
	run -124 corral 0.2 sh -c "trap '' TERM; $SLEEP 1000 & $SLEEP 1000"
	nobody_sleeps
	corral 60 sh -c "setsid $SLEEP 1000 & $SLEEP 1000" 3>&- &
	pid=$!
	until_it_sleeps $pid
	kill -TERM $pid
	ends_with 143 $pid
	nobody_sleeps
	sh -c "corral 60 $SLEEP 1000; true" 3>&- &
	pid=$!
	until_it_sleeps $pid
	kill -KILL $pid
	until_nobody_sleeps
}

# A tree with tests of its own, in which tests/check runs.
other_tree() {
	mkdir -p tests/formats tests/libmr tests/tools tests/qemu \
		build/release/tests
	cp "$ROOT/tests/check" tests
	: >build/release/flags
	printf '#!/bin/sh\n' >tests/check-layers
	chmod +x tests/check-layers
	ln -s "$O/tests/helpers" build/release/tests
	unset O
}

# The body "skip" is a test that is skipped.
bats_file() { # FILE [TITLE BODY]...
	local file=$1
	shift
	echo '#!/usr/bin/env bats' >"$file"
	while [ $# -gt 0 ]; do
		printf '@test "%s" {\n%s\n}\n' "$1" "$2" >>"$file"
		shift 2
	done
}

@test "check: sums up, in order; skips and failures say why" {
	other_tree
	bats_file tests/tools/a.bats good 'sleep 0.2' other 'skip "no such"'
	bats_file tests/tools/b.bats bad 'echo because; false'
	bats_file tests/tools/c.bats leaves "$SLEEP 1000 3>&- &"
	JOBS=3 run -1 tests/check
	nobody_sleeps
	echo "$output"
	[[ $output == *"tests/tools/a.bats: 1 passed, 0 failed, 1 skipped "*"# skip no such"*"tests/tools/b.bats: 0 passed, 1 failed, 0 skipped"*"# because"*"tests/tools/c.bats: 1 passed, 1 failed, 0 skipped"*"left behind"* ]]
	[[ $output == *$'\nFAILED tests/tools/b.bats: not ok 1 bad\nFAILED tests/tools/c.bats: left processes behind\n'* ]]
	[ "${lines[-1]}" = "3 passed, 2 failed, 1 skipped" ]
	run -0 tests/check a.bats
	[ "${lines[-1]}" = "1 passed, 0 failed, 1 skipped" ]
	run -1 tests/check nothing
	[ "${lines[-1]}" = "0 passed, 0 failed, 0 skipped" ]
}

@test "check: killed, nothing of it goes on" {
	local pid
	other_tree
	bats_file tests/tools/a.bats long "$SLEEP 1000"
	TMPDIR=$PWD tests/check >said 2>&1 3>&- &
	pid=$!
	until_it_sleeps $pid
	kill -TERM $pid
	ends_with 130 $pid
	until_nobody_sleeps
	[ -z "$(ls -d mrcheck.* 2>/dev/null)" ]
}

# As the flags of a build say: sums_up_to SANITIZERS SUM [NAME]
sums_up_to() {
	echo "-fsanitize=$1" >build/release/flags
	run -0 tests/check ${3-}
	[ "${lines[-1]}" = "$2" ]
}

@test "check: what a sanitizer told of a program is a failure" {
	other_tree
	bats_file tests/tools/a.bats tells \
		'echo "it leaks" >"${ASAN_OPTIONS##*:log_path=}.77"' silent :
	bats_file tests/tools/b.bats other :
	run -1 tests/check
	[[ $output == *"it leaks"*"a.bats: 2 passed, 1 failed"* ]]
	[[ $output == *"FAILED tests/tools/a.bats: a sanitizer's report"* ]]
	[ "${lines[-1]}" = "4 passed, 1 failed, 0 skipped" ]
}

@test "check: what each sanitizer runs" {
	other_tree
	bats_file tests/qemu/a.bats one : two :
	sed -i '2i # bats test_tags=thread' tests/qemu/a.bats
	bats_file tests/tools/bad.bats three :
	: >build/release/flags
	run -0 tests/check
	[ "${lines[-1]}" = "3 passed, 0 failed, 0 skipped" ]
	sums_up_to address,undefined "1 passed, 0 failed, 0 skipped"
	[[ $output == *bad.bats* ]]
	sums_up_to thread "1 passed, 0 failed, 0 skipped"
	[[ $output == *a.bats* ]]
	sums_up_to thread "3 passed, 0 failed, 0 skipped" /
}
