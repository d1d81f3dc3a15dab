#!/usr/bin/env bats
# mrdiff against a real QEMU: what a guest changed, and what it did not.

load ../lib/vm

setup() {
	need_qemu
	IMAGE=$BATS_TEST_TMPDIR/image
}

teardown() { kill_vms; }

# A field of the JSON in $output: number KEY
number() {
	[[ $output =~ \"$1\":\ ([0-9]+) ]]
	echo "${BASH_REMATCH[1]}"
}

@test "two saves of a paused guest are the same" {
	start_vm a
	wait_ready a
	wait_count a
	qmp_do a stop
	mrsave "$(vm_qmp a)" "$IMAGE.1"
	mrsave "$(vm_qmp a)" "$IMAGE.2"
	run -0 mrdiff "$IMAGE.1" "$IMAGE.2"
	[[ $output == *"no page of "*" differs"* ]]
	[[ $output == *"no section of "*" differs"* ]]
	run -0 mrdiff -q "$IMAGE.1" "$IMAGE.2"
	[ -z "$output" ]
}

@test "a guest that ran in between: what it dirtied, and its CPU" {
	start_vm a -append "fill=16M"
	wait_ready a
	mrsave -q "$(vm_qmp a)" "$IMAGE.1"
	wait_count a 3
	mrsave -q "$(vm_qmp a)" "$IMAGE.2"
	run -1 mrdiff --json --pages "$IMAGE.1" "$IMAGE.2"
	(($(number changed) + $(number only_a) + $(number only_b) > 0))
	# What it only filled is the same.
	(($(number equal) >= 4096))
	run -1 mrdiff --device "$IMAGE.1" "$IMAGE.2"
	[[ $output == *"sections differ:"*" cpu/0"* ]]
	run -1 mrdiff -q "$IMAGE.1" "$IMAGE.2"
	[ -z "$output" ]
}

@test "QEMU's own save and ours, of one instant: the same memory" {
	start_vm a
	wait_ready a
	wait_count a
	qmp_do a stop
	mrsave -q "$(vm_qmp a)" "$IMAGE.1"
	qemu_save a "$IMAGE.2"
	run -0 mrdiff --memory "$IMAGE.1" "$IMAGE.2"
}

@test "an image and the paused VM it is of: the same, either way round" {
	start_vm a
	wait_ready a
	wait_count a
	qmp_do a stop
	mrsave -q "$(vm_qmp a)" "$IMAGE"
	run -0 mrdiff "$IMAGE" "$(vm_qmp a)"
	[[ $output == *"a paused VM"* ]]
	run -0 mrdiff "$(vm_qmp a)" "$IMAGE"
	[[ $(qmp_do a query-status) == *'"paused"'* ]]
	# It goes on, is stopped again, and differs.
	qmp_do a cont
	wait_checked a
	assert_no_bad a
	qmp_do a stop
	run -1 mrdiff --pages --device "$IMAGE" "$(vm_qmp a)"
	[[ $output == *"Pages that differ"*"pc.ram:0x"* ]]
	[[ $output == *"sections differ:"*" cpu/0"* ]]
	run -1 mrdiff --hex --only pc.ram "$IMAGE" "$(vm_qmp a)"
	[[ $output == *" changed"* ]]
}

@test "a plain stream and the paused VM it is of: the same" {
	start_vm a
	wait_ready a
	wait_count a
	qmp_do a stop
	qmp_do a migrate "{\"uri\":\"file:$IMAGE\"}" >/dev/null
	qmp_do a --wait-migration
	run -0 mrdiff "$IMAGE" "$(vm_qmp a)"
	[[ $output == *"no page of "*" differs"* ]]
	[[ $output == *"no section of "*" differs"* ]]
	run -0 mrdiff "$(vm_qmp a)" "$IMAGE"
	# One page of it, as it was not.
	printf '\377' | dd of="$IMAGE" bs=1 conv=notrunc status=none \
		seek="$(grep -abo -m 1 -P '\x02\xb0\xad\x1b' "$IMAGE" |
			head -n 1 | cut -d : -f 1)"
	run -1 mrdiff --memory --pages "$IMAGE" "$(vm_qmp a)"
	[ "$(grep -c '^ *pc\.ram:0x' <<<"$output")" = 1 ]
	qmp_do a cont
	wait_checked a
	assert_no_bad a
}

# bats test_tags=address,thread
@test "memory in memfds, above 4 GiB too: nothing is allocated by looking" {
	local before
	start_vm a -M q35,memory-backend=m,max-ram-below-4g=192M -m 384M \
		-append "fill=16M" \
		-object memory-backend-memfd,id=m,size=384M,share=on
	wait_ready a
	qmp_do a stop
	mrsave -q "$(vm_qmp a)" "$IMAGE"
	before=$(grep -A 30 memfd "/proc/$(vm_pid a)/smaps" | grep -m 1 Rss)
	run -0 mrdiff "$(vm_qmp a)" "$IMAGE"
	[ "$(grep -A 30 memfd "/proc/$(vm_pid a)/smaps" | grep -m 1 Rss)" = \
		"$before" ]
}

@test "a running VM is refused, exit 3, and goes on" {
	start_vm a
	wait_ready a
	mrsave -q "$(vm_qmp a)" "$IMAGE"
	run -3 mrdiff "$IMAGE" "$(vm_qmp a)"
	[[ $output == *"the VM is running"*"stop"* ]]
	wait_status a running
	wait_checked a
	assert_no_bad a
}

@test "a VM whose device state cannot be had: memory alone can" {
	start_vm a -device rocker,name=r
	wait_ready a
	qmp_do a stop
	run -3 mrdiff "$(vm_qmp a)" "$(vm_qmp a)"
	[[ $output == *"cannot migrate this VM"*rocker* ]]
	start_vm b
	wait_ready b
	qmp_do b stop
	mrsave -q "$(vm_qmp b)" "$IMAGE"
	run -1 mrdiff --memory "$IMAGE" "$(vm_qmp a)"
	qmp_do a cont
	wait_checked a
	assert_no_bad a
}

@test "save, load, save: the memory is the same" {
	start_vm a
	wait_ready a
	wait_count a
	qmp_do a stop
	mrsave -q "$(vm_qmp a)" "$IMAGE.1"
	incoming_vm b "$IMAGE.1"
	mrsave -q "$(vm_qmp b)" "$IMAGE.2"
	run -0 mrdiff --memory "$IMAGE.1" "$IMAGE.2"
	run -0 mrdiff --memory "$(vm_qmp a)" "$(vm_qmp b)"
}

@test "stale data under clear bits of a live save is not content" {
	need_qemu 9.1
	start_vm a -m 32M -append "fill=4M zero=1M"
	wait_ready a
	qemu_live_save a "$IMAGE.1"
	# The guest is stopped now, in postmigrate: that is what it holds.
	run -0 mrdiff --memory "$IMAGE.1" "$(vm_qmp a)"
}

# bats test_tags=address
@test "device state field by field: QEMU's description, or one borrowed" {
	start_vm a
	wait_ready a
	qmp_do a stop
	qemu_save a "$IMAGE.own"
	mrsave -q "$(vm_qmp a)" "$IMAGE.1"
	qmp_do a cont
	wait_count a 3
	qmp_do a stop
	mrsave -q "$(vm_qmp a)" "$IMAGE.2"
	# Without any description bytes are all that can be told.
	run -1 mrdiff --device "$IMAGE.1" "$IMAGE.2"
	[[ $output == *"  cpu 0: "*" bytes"*"    bytes "*+* ]]
	for pair in "$IMAGE.own $IMAGE.2" "$IMAGE.own $(vm_qmp a)" \
		"--vmdesc-from $IMAGE.own $IMAGE.1 $IMAGE.2"; do
		run -1 mrdiff --device $pair
		[[ $output == *"  cpu 0: "*"    env."*" -> "* ]]
		run -1 mrdiff --json --device $pair
		json sections cpu fields 0 a value <<<"$output"
	done
}
