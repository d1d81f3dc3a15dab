#!/usr/bin/env bats
# What a COLO primary sent, kept: mrrecv --replay --colo, mrinspect, mrdiff. With
# a QEMU: ../qemu/colo.bats.

load ../lib/env

setup() { cd "$BATS_TEST_TMPDIR" || return; }

# The ends of its checkpoints go into `ends`.
make_capture() { # FOLDER CHANNELS CHECKPOINTS
	local flush=
	mkdir "$1"
	(($2 == 0)) || flush=--flush
	mkimage --plain $flush "$1/main"
	cp "$1/main" first
	python3 "$ROOT/tests/lib/colo-capture.py" "$@" >ends
}

# Pages 1 to 5, 40 and 42 to 46 of the image, each one byte all over, as text.
said() { # IMAGE
	mrinspect --json "$1" | python3 -c 'import json, sys
blocks = json.load(sys.stdin)["files"][0]["blocks"]
at = next(b["pages_offset"] for b in blocks if b["name"] == "pc.ram")
f = open(sys.argv[1], "rb")
for page in (1, 2, 3, 4, 5, 40, 42, 43, 44, 45, 46):
    f.seek(at + page * 4096)
    b = set(f.read(4096))
    print(b.pop() if len(b) == 1 else "-", end=" ")' "$1"
}

# The first migration left 0.mr; each checkpoint K changed three of them.
expected() { # NUMBER
	local -a page
	local k
	read -ra page < <(said 0.mr)
	for ((k = 1; k <= $1; k++)); do
		page[k - 1]=$k
		page[5]=$k
		page[5 + k]=0
	done
	printf '%s ' "${page[@]}"
}

replay() { mrrecv --replay "$@"; }

@test "replay: the image of each checkpoint" {
	local n
	for channels in 0 1 2 3; do
		make_capture kept$channels $channels 3
		for n in 0 1 2 3; do
			replay -q --checkpoint=$n kept$channels $n.mr
			mrverify -q $n.mr
			[ "$(said $n.mr)" = "$(expected $n)" ]
		done
		replay kept$channels last.mr >out
		grep "^image *of checkpoint 3, " out
		same_but_made 3.mr last.mr
		mrdiff -q kept$channels 3.mr
		run -1 mrdiff -q kept$channels 2.mr
	done
}

@test "replay: no such checkpoint, one that broke off, and what is missing" {
	local n at
	make_capture kept 2 3
	echo precious >vm.mr
	run -2 replay --force --checkpoint=4 kept vm.mr
	[ "$output" = "mrrecv: kept: there is no checkpoint 4: 3 came, whole" ]
	[ "$(cat vm.mr)" = precious ]
	run -2 mrrecv --checkpoint=1 unix:sock vm.mr
	run -2 replay --checkpoint=-1 kept vm.mr
	run -2 replay --durable kept vm.mr
	replay -q --checkpoint=0 kept 0.mr
	cp kept/main main
	mapfile -t ends <ends
	# main ends at a checkpoint, in its first word, in its last byte
	for at in 0 1 20 $((ends[2] - ends[1] - 1)); do
		head -c $((ends[1] + at)) main >kept/main
		replay kept vm.mr --force >out
		[ "$(said vm.mr)" = "$(expected 2)" ]
		grep "checkpoint 2," out
		[ "$(grep -c "broke off" out)" = $((at > 4)) ]
		[ "$(mrrecv --json --replay kept vm.mr | jq -c '[.primary,
			.checkpoints, .last, .kept, .broken, .changed]')" = \
			"[true,2,2,1,$( ((at > 4)) && echo true || echo false),24576]" ]
		run -2 replay --checkpoint=3 kept other.mr
		[[ $output == *"no checkpoint 3: 2 came, whole"* ]]
	done
	# no first migration, no image
	head -c 300 main >kept/main
	run -2 replay --checkpoint=0 kept other.mr
	# what follows is wrong
	(head -c $((ends[1] + 4)) main && printf '\0\0\0\6') >kept/main
	run -2 replay kept other.mr
	[[ $output == *"behind checkpoint 2, which can be had: the primary says vmstate-loaded"* ]]
	replay -q --force --checkpoint=2 kept vm.mr
	[ "$(said vm.mr)" = "$(expected 2)" ]
	cp main kept/main
	# a channel is not all there, or not at all
	truncate -s -5000 kept/channel-1
	replay -q kept vm.mr
	[ "$(said vm.mr)" = "$(expected 2)" ]
	rm kept/channel-1
	run -2 replay kept other.mr
	[[ $output == *"is one missing?"* ]]
	[ ! -e other.mr ]
}

@test "replay: an ordinary migration" {
	mkdir kept
	mkimage --plain kept/main
	replay kept vm.mr >out
	run -1 grep checkpoint out
	mrverify -q vm.mr
	run -2 replay --checkpoint=1 kept other.mr
	[[ $output == *"no checkpoint 1: 0 came"* ]]
}
