#!/usr/bin/env bats
# --metrics: what a run came to, for node_exporter. Of mrsave and mrload with a
# VM: ../qemu/metrics.bats.

load ../lib/env
load ../lib/metrics

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	mkimage a
}

@test "a success: each line is as the format has it" {
	run -0 mrverify -q --metrics m.prom a
	[ -z "$output" ]
	prom m.prom
	[ "$(value run_success)" = 1 ]
	[ "$(value exit_status)" = 0 ]
	[ "$(value success_timestamp_seconds)" = "$(value run_timestamp_seconds)" ]
	[ "$(value success_memory_bytes)" = 4456448 ]
	[ "$(value success_data_bytes)" = $((232 * 4096)) ]
	# In seconds since 1970, by the clock of this machine.
	(($(value run_timestamp_seconds | cut -d . -f 1) <= $(date +%s)))
	(($(value run_timestamp_seconds | cut -d . -f 1) >= $(stat -c %Y a) - 1))
	[ "$(stat -c %a m.prom)" = 644 ]
	[ "$(ls -A)" = "a"$'\n'"m.prom" ]
	(umask 027 && mrverify -q --metrics n.prom a)
	[ "$(stat -c %a n.prom)" = 640 ]
}

@test "a failure keeps the last success, as long as it is to be read" {
	mrverify -q --metrics m.prom a
	prom m.prom
	grep success_ m.prom | grep -v '^#' >before
	printf x | dd of=a conv=notrunc seek=5 bs=1 status=none
	run -1 mrverify -q --metrics m.prom a
	prom m.prom
	[ "$(value run_success)" = 0 ]
	[ "$(value exit_status)" = 1 ]
	grep success_ m.prom | grep -v '^#' | diff before -
	rm a
	run -2 mrverify -q --metrics m.prom a
	prom m.prom
	[ "$(value exit_status)" = 2 ]
	grep success_ m.prom | grep -v '^#' | diff before -
	# Wrong options are a failure, too.
	run -2 mrverify -q --metrics m.prom --subset=0 a
	[ "$(value exit_status)" = 2 ]
	grep success_ m.prom | grep -v '^#' | diff before -
	# Of another image nothing is known; that of this one stays.
	run -2 mrverify -q --metrics m.prom b
	prom m.prom
	[ "$(value run_success)" = 0 ]
	grep success_ m.prom | grep -v '^#' | diff before -
}

@test "what cannot be read of the old file is forgotten" {
	local bad
	mrverify -q --metrics good a
	for bad in 's/\(timestamp[^ ]*}\) .*/\1 x/' 's/\(timestamp[^ ]*}\) /\1 -/' \
		's/\(timestamp[^ ]*}\) .*/\1 NaN/' 's/\(timestamp[^ ]*}\) .*/\1/' \
		's/image/volume/' 's/last_success_t/last_t/' \
		's/\(timestamp[^ ]*}.*\)/\1 7/'; do
		sed "$bad" good >m.prom
		run -2 mrverify -q --metrics m.prom --subset=0 a
		prom m.prom
		[ -z "$(grep '^[^#]*success_' m.prom)" ]
	done
	# Other figures may be lost alone.
	sed '/^mrtools_last_success_mem/s/ .*/ lots/' good >m.prom
	run -2 mrverify -q --metrics m.prom --subset=0 a
	prom m.prom
	[ -n "$(value success_data_bytes)" ]
	[ -z "$(value success_memory_bytes)" ]
	for n in $(seq 0 40 "$(stat -c %s good)"); do
		head -c "$n" good >m.prom
		mrverify -q --metrics m.prom a
		prom m.prom
	done
	{ echo '# '; head -c 100000 /dev/urandom; } >m.prom
	mrverify -q --metrics m.prom a
	prom m.prom
}

@test "several images: each for itself" {
	cp a b
	printf x | dd of=b conv=notrunc seek=5 bs=1 status=none
	run -2 mrverify -q --metrics m.prom a b c a
	prom m.prom
	[ "$(value exit_status a)" = 0 ]
	[ "$(value exit_status b)" = 1 ]
	[ "$(value exit_status c)" = 2 ]
	[ "$(grep -c '^mrtools_last_exit' m.prom)" = 3 ]
	# A capture is a folder.
	mkdir kept
	mkimage --plain kept/main
	mrverify -q --metrics m.prom kept
	prom m.prom
	[ "$(value run_success kept)" = 1 ]
}

@test "labels are escaped" {
	local name=$'q"b\\s\nl\xff'
	cp a "$name"
	mrverify -q --metrics m.prom "$name"
	prom m.prom
	grep -qF 'image="q\"b\\s\\x0al\\xff"' m.prom
	# And found again.
	run -2 mrverify -q --metrics m.prom --subset=0 "$name"
	prom m.prom
	[ -n "$(value success_data_bytes)" ]
}

@test "where it cannot be written: told, and no failure" {
	run -0 --separate-stderr mrverify -q --metrics none/m.prom a
	[ -z "$output" ]
	[ "$stderr" = "mrverify: none/m.prom: cannot write the metrics: No such file or directory" ]
	mkdir folder
	run -0 mrverify -q --metrics folder a
	[[ $output == *"folder: no metrics are written"* ]]
	mkfifo pipe
	run -0 mrverify -q --metrics pipe a
	[[ $output == *"pipe: no metrics are written"* ]]
	# An image by mistake.
	cp a b
	run -0 mrverify -q --metrics b a
	[[ $output == *"b: no metrics are written, as it holds something else" ]]
	cmp a b
	run ! compgen -G ".*.tmp"
}

@test "mrload" {
	run -2 mrload --check --metrics m a vm
	[[ $output == *"--check loads nothing"* ]]
	run -2 mrload --instant --metrics m a -- qemu
	[[ $output == *"--instant has no end"* ]]
	mrload -q --metrics m.prom --memory=pc.bios=out a
	prom m.prom
	[ "$(value run_success)" = 1 ]
	[ "$(value success_memory_bytes)" = 262144 ]
	grep -q 'tool="mrload"' m.prom
}

@test "images with a date in their names: the last success stays until the next" {
	cp a monday
	mrverify -q --metrics m.prom monday
	was=$(grep '^mrtools_last_success_timestamp_seconds{.*monday' m.prom)
	for day in tuesday wednesday; do
		run -2 mrverify -q --metrics m.prom $day
		prom m.prom
		grep -q "^mrtools_last_run_success{.*$day\"} 0$" m.prom
		[ "$(grep '^mrtools_last_success_timestamp_seconds{' m.prom)" = "$was" ]
	done
	cp a thursday
	mrverify -q --metrics m.prom thursday
	prom m.prom
	[ "$(grep -c monday m.prom)" = 0 ]
	[ "$(grep -c '^mrtools_last_success_timestamp_seconds{.*thursday' m.prom)" = 1 ]
}
