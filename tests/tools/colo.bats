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
	for channels in 0 1 3; do
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

@test "mrinspect, mrverify: words and checkpoints" {
	for channels in 0 2; do
		make_capture kept$channels $channels 3
		mapfile -t ends <ends
		mrinspect --json kept$channels >says.json
		jq -e --argjson at "[${ends[0]},${ends[1]},${ends[2]}]" '
			def round: . * 100 + 0.5 | floor / 100; .files[0] |
			.damage == null and .broken == null and
			.index_damage == null and (.seconds | round) == 3.75 and
			(.checkpoints | map(.checkpoint) == [1, 2, 3] and
			 map(.main_end) == $at and
			 map(.seconds | round) == [1.75, 2.75, 3.75] and
			 all(.data_pages == 2 and .zero_pages == 1 and
			     .twice == 0 and .round_count == 1 and
			     .device_bytes == 135)) and
			([.words[] | .name] == ([["checkpoint-request",
				"vmstate-send", "vmstate-size"] | ., ., .] |
				add)) and
			([.words[] | .seconds | round] == [1, 1.25, 1.75, 2, 2.25, 2.75,
				3, 3.25, 3.75]) and
			([.words[] | select(.name == "vmstate-size") | .bytes]
				== [147, 147, 147]) and
			([.words[] | select(.checkpoint == 2) | .offset][0] ==
				$at[0]) and
			([.rounds[] | .checkpoint] | .[-3:] == [1, 2, 3])' says.json
		jq -e '.files[1].primary and .files[1].verdict != "damaged"' says.json
		# all bytes but those of the first migration
		jq -e --argjson n $(($(cat kept$channels/main \
			kept$channels/channel-* 2>/dev/null | wc -c) - \
			$(stat -c %s first) - channels * (64 + 2 * 1344))) \
			'([.files[0].checkpoints[] | .bytes] | add) == $n' says.json
		mrinspect -v kept$channels >says
		grep -E "^ *primary +3 checkpoints$" says
		grep -E "^ *vmstate-send +2 +2.250 +[0-9]+ +[0-9]+$" says
		grep -E "^ *3 +3.750 +2 +1 +0 +1 +[0-9.]+ KiB +135 B" says
		run -1 grep vmstate <(mrinspect kept$channels)
		run -0 mrverify kept$channels
		[[ $output == *" rounds, 3 checkpoints" ]]
		[ "$(mrverify --json kept$channels | jq '.files[0].checkpoints')" = 3 ]
	done
	# one that broke off: what came of it is told
	truncate -s $((ends[1] + 20)) kept2/main
	run -0 mrinspect kept2
	[[ $output == *"2 checkpoints; then: connection ends"* ]]
	mrinspect --json kept2 | jq -e '.files[0] | (.checkpoints | length == 2) and
		.damage == null and .broken != null and ([.words[] |
		select(.checkpoint == 3) | .bytes] | .[0] == 4 and length == 2)'
	# a word that is none
	printf '\0\0\0\7' | dd of=kept2/main bs=1 seek=$((ends[0])) conv=notrunc
	run -1 mrinspect kept2
	[[ $output == *"damage "*"COLO: unknown message"* ]]
	[[ $output == *"primary       1 checkpoint"* ]]
	run -1 mrverify kept2
	# without an index nothing is known of times
	rm kept0/index
	mrinspect --json kept0 | jq -e '.files[0] | .damage == null and
		all(.checkpoints[], .words[]; .seconds == null)'
	# what came is counted once, whatever broke off
	truncate -s -8380 kept0/main
	[ "$(replay --json kept0 vm.mr | jq .pages)" = $(((1088 + 6) * 4096)) ]
}

# A primary that sends what FILE has, up to each of these bytes, and waits then
# until it is answered.
feed() { # FILE BYTE...
	until [ -S sock ]; do kill -0 "$RECV"; done
	python3 -c 'import socket, sys
b = open(sys.argv[1], "rb").read()
s = socket.socket(socket.AF_UNIX)
s.connect("sock")
at = 0
try:
    for end in map(int, sys.argv[2:]):
        s.sendall(b[at:end])
        at = end
        s.recv(4)
    s.sendall(b[at:])
    s.shutdown(socket.SHUT_WR)
    while s.recv(4096): pass
except OSError: pass' "$@"
}

@test "a capture while IMAGE is kept" {
	local first rc=0
	make_capture kept 0 3
	mapfile -t ends <ends
	first=$(stat -c %s first)
	mrrecv --colo --json --capture=again unix:sock vm.mr >out 3>&- &
	RECV=$!
	feed kept/main "$first"
	wait $RECV
	jq -e --argjson size "$(stat -c %s vm.mr)" --argjson pages \
		"$(mrinspect --json vm.mr | jq '.files[0].pages_present')" \
		'.checkpoints == 3 and .last == 3 and .size == $size and
		.data == $pages * 4096 and .device > 0' out
	cmp again/main kept/main
	replay -q again again.mr
	mrdiff -q vm.mr again.mr
	[ "$(said vm.mr)" = "$(replay -q --checkpoint=0 kept 0.mr && expected 3)" ]
	# no room for all of it: IMAGE is what came until then
	mkdir small
	mount -t tmpfs -o size=$(((ends[0] / 4096 + 2) * 4))K none small 2>/dev/null ||
		skip "may not mount"
	mrrecv --colo --json --capture=small/kept unix:sock vm.mr >out 2>says 3>&- &
	RECV=$!
	feed kept/main "$first" "${ends[@]}"
	wait $RECV || rc=$?
	cat says
	[ "$rc" = 2 ]
	grep "^mrrecv: small/kept: cannot write: No space left on device" says
	grep "^mrrecv: vm.mr: whole, as of checkpoint 1$" says
	jq -e '.image == "vm.mr" and .last == 1 and .error.errno == "ENOSPC" and
		(.tool | type) == "string" and .error.status == 2' out
	[ "$(said vm.mr)" = "$(expected 1)" ]
	replay -q --checkpoint=1 small/kept again.mr
	mrdiff -q vm.mr again.mr
	umount small
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
