#!/usr/bin/env bats
# mrrecv: real QEMUs migrate into an image.

load ../lib/vm

setup() {
	need_qemu
	cd "$BATS_TEST_TMPDIR"
	IMAGE=$PWD/vm.mr
	IN=$VM_DIR/in.sock
}

teardown() {
	[ -z "${RECV-}" ] || kill "$RECV" 2>/dev/null || :
	kill_vms
}

# mrrecv in the background, its exit status in recv.rc when it has ended.
begin_recv() {
	rm -f recv.*
	mkfifo recv.says
	{
		rc=0
		mrrecv "${@:-unix:$IN}" "$IMAGE" >recv.out 2>recv.says || rc=$?
		echo $rc >recv.rc
	} 3>&- &
	RECV=$!
	exec 9<recv.says
	read -r _ _ _ WHERE <&9 # "mrrecv: listening on ..."
}

end_recv() { # STATUS
	cat <&9 >recv.err
	exec 9<&-
	wait $RECV || :
	RECV=
	cat recv.out recv.err
	[ "$(cat recv.rc)" = "${1:-0}" ]
}

# The guest in the image is the one that was stopped.
comes_back() {
	mrverify -q "$IMAGE"
	incoming_vm b "$IMAGE" "$@"
	qmp_do b cont >/dev/null
	counts_on a b
	assert_no_bad b
	stop_vm b
	rm "$IMAGE"
}

migrate() { # [VM]
	qmp_do "${1:-a}" migrate "{\"uri\":\"${WHERE:-unix:$IN}\"}" >/dev/null
}

parameters() { qmp_do a migrate-set-parameters "$1" >/dev/null; }

@test "one connection: a stopped guest, with and without return path" {
	start_vm a -append fill=64M
	wait_ready a
	qmp_do a stop
	begin_recv
	migrate
	qmp_do a --wait-migration
	end_recv
	grep "not told" recv.out
	comes_back
	qmp_do a cont
	qmp_do a stop
	set_caps a return-path
	begin_recv
	migrate
	qmp_do a --wait-migration
	end_recv
	grep "told that all" recv.out
	comes_back
}

@test "multifd: none, zlib, zstd; 1, 2, 8 channels; live" {
	start_vm a -append fill=64M
	wait_ready a
	set_caps a multifd return-path
	for n in 1 2 8; do
		for method in none zlib zstd; do
			parameters "{\"multifd-channels\":$n,
				\"multifd-compression\":\"$method\"}"
			begin_recv
			migrate
			qmp_do a --wait-migration
			end_recv
			grep "$n channels, $method" recv.out
			comes_back
			qmp_do a cont
		done
	done
}

@test "machine types of before: barriers at each section, zero pages as words" {
	for type in pc-i440fx-8.0 pc-i440fx-8.2 q35; do
		start_vm a -M "$type" -append fill=64M
		wait_ready a
		set_caps a multifd return-path
		parameters '{"multifd-compression":"zlib"}'
		begin_recv
		migrate
		qmp_do a --wait-migration
		end_recv
		comes_back -M "$type"
		stop_vm a
	done
}

@test "zero-page-detection none and legacy" {
	start_vm a -append fill=64M
	wait_ready a
	set_caps a multifd
	for how in none legacy; do
		parameters "{\"zero-page-detection\":\"$how\"}"
		begin_recv
		migrate
		qmp_do a --wait-migration
		end_recv
		# whatever the source calls them
		(($(stat -c %b "$IMAGE") * 512 < 80 << 20))
		comes_back
		qmp_do a cont
	done
}

@test "live, with the guest at work: xbzrle, and rounds of multifd" {
	for caps in xbzrle "multifd return-path"; do
		start_vm a -m 32M -append fill=8M
		wait_ready a
		set_caps a $caps
		parameters '{"max-bandwidth":2000000,
			"avail-switchover-bandwidth":100000}'
		begin_recv
		migrate
		# or until it is over, if the guest gets no time to write
		until says=$(qmp_do a query-migrate)
			[[ $says =~ sync-count\":\ *([0-9]+) ]] &&
				((BASH_REMATCH[1] > 4)) ||
				[[ $says == *completed* ]]; do
			:
		done
		parameters '{"max-bandwidth":0,"avail-switchover-bandwidth":0}'
		qmp_do a --wait-migration
		end_recv
		(($(stat -c %b "$IMAGE") * 512 < 24 << 20))
		comes_back -m 32M
		stop_vm a
	done
}

@test "pause-before-switchover: the source waits for migrate-continue" {
	start_vm a -append fill=16M
	wait_ready a
	set_caps a multifd return-path pause-before-switchover
	begin_recv
	migrate
	until [[ $(qmp_do a query-migrate) == *pre-switchover* ]]; do
		kill -0 $RECV
	done
	[[ $(qmp_do a query-status) == *finish-migrate* ]]
	[ ! -e "$IMAGE" ]
	kill -0 $RECV
	qmp_do a migrate-continue '{"state":"pre-switchover"}' >/dev/null
	qmp_do a --wait-migration
	end_recv
	comes_back
	qmp_do a cont
	# nobody is there any more: the guest stands still all the same until then
	# (without multifd: there QEMU 10.0 can hang when it goes on)
	qmp_do a migrate-set-capabilities '{"capabilities":[
		{"capability":"multifd","state":false}]}' >/dev/null
	begin_recv
	migrate
	until [[ $(qmp_do a query-migrate) == *pre-switchover* ]]; do
		kill -0 $RECV
	done
	pkill -TERM -P $RECV mrrecv
	end_recv 2
	[[ $(qmp_do a query-migrate) == *pre-switchover* ]]
	[[ $(qmp_do a query-status) == *finish-migrate* ]]
	qmp_do a migrate-continue '{"state":"pre-switchover"}' >/dev/null
	run qmp_do a --wait-migration
	[[ $output == *failed* ]]
	wait_count a
	[ ! -e "$IMAGE" ]
}

@test "tcp, on a free port; what listens is handed over" {
	start_vm a -append fill=16M
	wait_ready a
	set_caps a multifd
	begin_recv tcp::0
	[[ $WHERE == tcp:127.0.0.1:* ]]
	migrate
	qmp_do a --wait-migration
	end_recv
	comes_back
}

@test "a source that is killed: nothing is published" {
	start_vm a -append fill=64M
	wait_ready a
	set_caps a multifd return-path
	parameters '{"max-bandwidth":10000000}'
	begin_recv
	migrate
	wait_count a >/dev/null
	stop_vm a
	end_recv 2
	[ ! -e "$IMAGE" ]
	[ -z "$(ls -A | grep -v '^recv')" ]
}

@test "a receiver that is killed: the guest of the source goes on" {
	start_vm a -append fill=64M
	wait_ready a
	set_caps a multifd return-path
	for signal in TERM KILL; do
		parameters '{"max-bandwidth":10000000}'
		begin_recv
		migrate
		wait_count a >/dev/null
		pkill -$signal -P $RECV mrrecv
		run qmp_do a --wait-migration
		[[ $output == *failed* ]]
		wait_count a
		[ ! -e "$IMAGE" ]
		exec 9<&-
		wait $RECV || :
	done
	RECV=
}

@test "a full disk: the source is told, its guest goes on" {
	start_vm a -append fill=64M
	wait_ready a
	set_caps a multifd return-path
	ulimit -f 20000
	begin_recv
	ulimit -f unlimited || :
	migrate
	run qmp_do a --wait-migration
	[[ $output == *failed* ]]
	wait_count a
	end_recv 2
	[ ! -e "$IMAGE" ]
}

# Channel 2 of a VM with the UUID $1, before there is a source.
stranger() {
	rm -f here
	python3 -c 'import socket, sys, uuid
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.send(bytes([0x11, 0x22, 0x33, 0x44, 0, 0, 0, 1]) +
       uuid.UUID(sys.argv[2]).bytes + bytes([2]) + bytes(39))
print("here", flush=True)
s.recv(1)' "$IN" "$1" >here 3>&- 9<&- &
	STRANGER=$!
	until [ -s here ]; do kill -0 $STRANGER; done
}

@test "channels of another VM; a UUID is kept" {
	local uuid=c0ffee00-1234-4abc-8def-000000000001
	local other=c0ffee00-1234-4abc-8def-000000000002
	start_vm a -uuid $uuid -append fill=16M
	wait_ready a
	set_caps a multifd return-path
	# nobody knows which of them is whose
	begin_recv
	stranger $other
	migrate
	end_recv 2
	grep "two UUIDs" recv.err
	run qmp_do a --wait-migration
	[[ $output == *failed* ]]
	wait_count a
	wait $STRANGER || :
	[ ! -e "$IMAGE" ]
	# with validate-uuid the stream says it
	set_caps a validate-uuid
	begin_recv
	stranger $other
	migrate
	qmp_do a --wait-migration
	end_recv
	grep "2 channels" recv.out
	grep "turned away a channel of another VM" recv.err
	wait $STRANGER || :
	mrinspect --json "$IMAGE" | jq -e ".files[0] | .uuid == \"$uuid\" and
		.label.uuid == .uuid and .label.made > 1700000000 and
		.label.name == null"
	start_vm b -uuid $other -incoming defer
	set_caps b mapped-ram validate-uuid
	qmp_do b migrate-incoming "{\"uri\":\"file:$IMAGE\",
		\"exit-on-error\":false}"
	run qmp_do b --wait-migration
	[[ $output == *failed* ]]
	stop_vm b
	comes_back -uuid $uuid
}

@test "what no image can hold is refused at once" {
	start_vm a -append fill=16M
	wait_ready a
	for cap in postcopy-ram x-ignore-shared; do
		set_caps a "$cap"
		begin_recv
		migrate
		end_recv 2
		grep "$cap" recv.err
		run qmp_do a --wait-migration
		wait_count a
		qmp_do a migrate-set-capabilities "{\"capabilities\":[
			{\"capability\":\"$cap\",\"state\":false}]}"
	done
	[ ! -e "$IMAGE" ]
}

@test "a capture: with an image, alone, and replayed into the same one" {
	start_vm a -append fill=32M
	wait_ready a
	set_caps a multifd return-path
	parameters '{"multifd-channels":3,"multifd-compression":"zstd"}'
	begin_recv --progress=4 --capture=kept "unix:$IN" 4>progress
	migrate
	qmp_do a --wait-migration
	end_recv
	[ "$(tail -n 1 progress)" = 100/100 ]
	[ "$(sort -un progress | wc -l)" -gt 3 ]
	[ "$(ls kept | tr '\n' ' ')" = "channel-0 channel-1 channel-2 index main " ]
	[ "$(stat -c %a kept kept/main kept/index | tr '\n' ' ')" = "700 600 600 " ]
	run -2 mrrecv --capture=kept "unix:$IN" other.mr
	[[ $output == *"mrrecv: kept: cannot make the folder: File exists" ]]
	run -2 mrrecv --capture=none "unix:no/where" other.mr
	[ ! -e none ]
	# what is in it
	run -0 mrinspect kept
	[[ $output == *"kept/main: plain migration stream, complete"* ]]
	[[ $output == "kept: a migration that was kept, complete"* ]]
	mrinspect --json kept | jq -e '[.files[0].packets, .files[0].bytes] ==
		[([.files[2:][] | .packets] | add),
		 ([.files[1:][] | .file_size] | add)] and (.files[0] |
		.channels == 3 and .method == "zstd" and .seconds > 0 and
		.index_damage == null and .twice == 0 and
		([.blocks[].data_pages] | add) == .data_pages and
		([.rounds[].data_pages] | add) == .data_pages and
		([.rounds[].seconds] | . == sort and .[0] > 0))'
	for i in 0 1 2; do
		[[ $output == *"kept/channel-$i: channel $i of a migration"* ]]
		mrinspect --json --packets kept/channel-$i >packets
		jq -e '.files[0] | .method == "zstd" and .page_size == 4096 and
			.damage == null and (.packet_list | length) == .packets
			and ([.packet_list[] | .data_pages] | add) == .data_pages
			and ([.packet_list[] | select(.sync)] | length) == .barriers
			and .blocks[0].name == "pc.ram"' packets
		grep -c . <(mrinspect --packets kept/channel-$i | grep "#") |
			diff - <(jq '.files[0].packets' packets)
	done
	run -0 mrverify kept
	[[ $output == "kept: a complete migration, 3 channels, "*" rounds" ]]
	head -c 99999 kept/channel-0 >cut
	run -1 mrinspect cut
	[[ $output == *"damage "*"ends inside"*" at byte 99999"* ]]
	(head -c 1408 cut && echo garbage) >bad
	run -1 mrinspect bad
	[[ $output == *"damage "*"multifd: "*" at byte 14"* ]]
	mrrecv -q --replay kept again.mr
	same_but_made "$IMAGE" again.mr
	# when, a capture does not say
	mrinspect --json "$IMAGE" again.mr | jq -e '.files | map(.label.made) |
		.[0] > 1700000000 and .[1] == null'
	# guest memory that has a name could be left behind
	mkdir scratch
	TMPDIR=$PWD/scratch mrdiff -q kept "$IMAGE" 3>&- &
	local pid=$!
	while [ -e /proc/$pid/exe ]; do [ -z "$(ls -A scratch)" ]; done
	wait $pid
	rm "$IMAGE"
	qmp_do a cont
	qmp_do a stop
	mrrecv --capture=alone "unix:$IN" >says 3>&- &
	until [ -S "$IN" ]; do kill -0 $!; done
	qmp_do a migrate "{\"uri\":\"unix:$IN\"}"
	qmp_do a --wait-migration
	wait $!
	grep -v "memory .* 0 B data" says | grep "memory "
	mrrecv -q --replay alone "$IMAGE"
	comes_back
	# what is missing, or cut off
	rm alone/channel-1
	run -2 mrrecv --replay alone other.mr
	[[ $output == *"alone: "*"channel"* ]]
	run -1 mrverify alone
	[[ $output == "alone: damaged: "*"channel"* ]]
	run -2 mrdiff alone "$IMAGE"
	[[ $output == *"alone: "*"channel"* ]]
	truncate -s 100000 kept/channel-2
	run -1 mrverify kept
	[[ $output == "kept: damaged: channel 2, packet "*" at byte "* ]]
	run -2 mrrecv --replay kept other.mr
	[[ $output == *"kept: channel 2, packet "* ]]
	run -2 mrrecv --replay . other.mr
	[[ $output == *"no capture is there"* ]]
	[ ! -e other.mr ]
}
