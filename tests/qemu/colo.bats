#!/usr/bin/env bats
# mrrecv --colo: a QEMU that is a COLO primary, whose checkpoints are an image.

load ../lib/vm

setup() {
	need_qemu 11.0
	cd "$BATS_TEST_TMPDIR"
	IMAGE=$PWD/vm.mr
	IN=$VM_DIR/in.sock
}

teardown() {
	[ -z "${RECV-}" ] || kill "$RECV" 2>/dev/null || :
	kill_vms
}

# A guest whose pages from 10 to 16 MiB say how far it has counted.
start_primary() { # QEMU ARGUMENT...
	start_vm a -append "fill=48M tick=1" "$@"
	wait_ready a
}

begin_recv() { # OPTION...
	: >recv.err # the last one's says that it listens, too
	mrrecv --colo -v --timeout=60 "$@" "unix:$IN" "$IMAGE" >recv.out 2>recv.err 3>&- &
	RECV=$!
	until grep -q listening recv.err; do kill -0 $RECV; done
}

end_recv() { # STATUS
	local rc=0
	wait $RECV || rc=$?
	RECV=
	cat recv.out recv.err
	[ $rc = "${1:-0}" ]
}

# It asks for a checkpoint every so many milliseconds.
go() { # MILLISECONDS [CHANNELS COMPRESSION]
	set_caps a return-path x-colo
	if [ -n "${2-}" ]; then
		set_caps a multifd
		qmp_do a migrate-set-parameters "{\"multifd-channels\":$2,
			\"multifd-compression\":\"$3\"}" >/dev/null
	fi
	qmp_do a migrate-set-parameters "{\"x-checkpoint-delay\":$1}" >/dev/null
	qmp_do a migrate "{\"uri\":\"unix:$IN\"}" >/dev/null
}

# Or a later one: those that wait for the disk become one.
wait_checkpoint() { # NUMBER
	local line
	while read -r line; do
		[[ $line =~ ^mrrecv:\ checkpoint\ ([0-9]+): ]] || continue
		((BASH_REMATCH[1] < $1)) || return 0
	done < <(exec tail -n +1 -f --pid=$RECV recv.err 2>/dev/null)
	return 1
}

alone() { qmp_do a x-colo-lost-heartbeat >/dev/null; }

one_moment() { # [IMAGE]
	python3 "$ROOT/tests/lib/one-moment.py" "${1:-$IMAGE}"
}

comes_back() { # QEMU ARGUMENT...
	mrverify -q "$IMAGE"
	incoming_vm b "$IMAGE" "$@"
	qmp_do b cont >/dev/null
	wait_checked b
	assert_no_bad b
	stop_vm b
}

@test "one connection: each image is one moment, and comes back" {
	local last=0 n
	start_primary
	begin_recv
	go 100
	for i in 1 4 8 12; do
		wait_checkpoint $i
		# What is opened stays as it is, whatever has its name then.
		exec 8<"$IMAGE"
		n=$(one_moment /proc/self/fd/8)
		mrverify -q /proc/self/fd/8
		exec 8<&-
		((n > last))
		last=$n
	done
	alone
	end_recv
	grep "the last whole one" recv.out
	grep "^end " recv.out
	comes_back
	wait_checked a
	assert_no_bad a
	[ "$(find . -name '.*.tmp')" = "" ]
}

@test "multifd: channels, compressors, and waiting for the disk" {
	for how in "1 none" "2 zlib --durable" "4 zstd"; do
		set -- $how
		# One that was a primary before may send no memory.
		start_primary
		begin_recv ${3-}
		go 100 "$1" "$2"
		wait_checkpoint 5
		alone
		end_recv
		grep "^stream  *$1 channels, $2," recv.out
		one_moment
		comes_back
		wait_checked a
		assert_no_bad a
		stop_vm a
	done
}

@test "old machine types: barriers at sections, zero pages as words" {
	start_primary -M pc-i440fx-8.0
	begin_recv
	go 100 2 none
	wait_checkpoint 3
	alone
	end_recv
	one_moment
	comes_back -M pc-i440fx-8.0
}

@test "the primary dies" {
	start_primary
	begin_recv
	go 50
	wait_checkpoint 4
	kill -KILL "$(vm_pid a)"
	end_recv
	one_moment
	comes_back
}

@test "mrrecv is killed: the primary goes on when told, the image is there" {
	start_primary
	begin_recv
	go 50
	wait_checkpoint 4
	kill -KILL $RECV
	wait $RECV || :
	alone
	qmp_do a --wait-status running
	one_moment
	comes_back
	# What was left of it is gone with the next one.
	begin_recv
	go 50
	wait_checkpoint 2
	alone
	end_recv
	[ "$(find . -name '.*.tmp')" = "" ]
	wait_checked a
	assert_no_bad a
}

@test "the image is taken away: that stays so, and all ends" {
	start_primary
	begin_recv
	go 50
	wait_checkpoint 2
	rm "$IMAGE"
	end_recv 2
	grep "somebody else has put another file in its place, or removed" \
		recv.err
	! grep "whole, as of" recv.err
	[ "$(find . -name '*.mr' -o -name '.*.tmp')" = "" ]
	alone
	wait_checked a
	assert_no_bad a
}

@test "a guest lives on it meanwhile" {
	start_primary
	begin_recv
	go 100
	wait_checkpoint 2
	instant_vm b "$IMAGE" --
	qmp_do b cont >/dev/null
	wait_checkpoint 8
	wait_checked b
	assert_no_bad b
	alone
	end_recv
	stop_vm b
	comes_back
}

@test "a history: packs of moments, as many as are to be kept" {
	local last=0 n packs
	start_primary
	begin_recv --history=past --keep=5
	go 50
	n=20
	wait_checkpoint $n
	# On a slow machine many become one.
	while (($(ls past | wc -l) < 5)); do
		wait_checkpoint $((n += 2))
	done
	alone
	end_recv
	grep -E "^history +[0-9]+ packs, [0-9]+ there now$" recv.out
	packs=(past/*.mrp)
	((${#packs[@]} >= 5 && ${#packs[@]} <= 12))
	mrverify -q "${packs[@]}"
	mrdiff -q "$IMAGE" "${packs[-1]}"
	for pack in "${packs[0]}" "${packs[-3]}" "${packs[-1]}"; do
		mrconvert -q "$pack" moment.mr
		n=$(one_moment moment.mr)
		((n >= last))
		last=$n
	done
	mrinspect --json past/*.mrp | python3 -c 'import json, sys
print(max(f["pack"]["below"] for f in json.load(sys.stdin)["files"]))' >below
	[ "$(cat below)" -le 7 ]
	# Those of before count; one that cannot be made is told.
	begin_recv --history=past --keep=1 --every=1h
	go 50
	wait_checkpoint 2
	alone
	end_recv
	[ "$(ls past)" = "$(ls past | tail -n 1)" ]
}

@test "no primary: an ordinary migration" {
	start_primary
	begin_recv
	set_caps a return-path
	qmp_do a migrate "{\"uri\":\"unix:$IN\"}" >/dev/null
	end_recv
	grep "never was one" recv.out
	comes_back
}

# What the disk had no time for is in it too.
@test "a capture: the image of each checkpoint" {
	local n last=0
	start_primary
	begin_recv --capture=kept
	go 100 2 zstd
	wait_checkpoint 6
	kill -KILL "$(vm_pid a)"
	end_recv
	n=$(mrrecv --json --replay kept again.mr | jq .checkpoints)
	mrinspect --json kept | jq -e --argjson n "$n" '.files[0] |
		.damage == null and (.checkpoints | length == $n and $n >= 6 and
		all(.data_pages > 0 and .device_bytes > 10000)) and
		([.words[] | .seconds] | . == sort and .[0] > 0)'
	mrdiff -q "$IMAGE" again.mr
	for i in 0 1 3 5; do
		mrrecv -q --replay --checkpoint=$i kept $i.mr
		mrverify -q $i.mr
		n=$(one_moment $i.mr)
		((n >= last))
		last=$n
	done
	((n > $(one_moment 0.mr)))
	mv 3.mr "$IMAGE"
	comes_back
}
