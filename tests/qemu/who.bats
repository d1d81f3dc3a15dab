#!/usr/bin/env bats
# Every wrong argument of every tool: the message names that very path, and the
# exit status fits. The other arguments are right.

load ../lib/vm

setup() {
	need_qemu
	cd "$BATS_TEST_TMPDIR" || return
	mkimage --block pc.ram=64:0+64 good
	mkdir folder
	mkfifo fifo
	: >empty
	echo text >text
	perl -MIO::Socket::UNIX -e '
		IO::Socket::UNIX->new(Local => "dead", Listen => 1) or die'
	KINDS="absent folder fifo /dev/null empty text dead"
}

teardown() { kill_vms; }

# VM a stands still, VM b waits to be loaded.
vms() {
	start_vm a -m 8M
	qmp_do a stop >/dev/null
	start_vm b -m 8M -incoming defer
	a=$(vm_qmp a) b=$(vm_qmp b)
}

# TOOL ends with STATUS; its one message is about PATH.
blames() { # STATUS PATH TOOL...
	local status=0 want=$1 path=$2 out bound=
	shift 2
	out=$(timed "$@" 2>&1 >/dev/null </dev/null) || status=$?
	[ $1 != bound ] || bound=bound
	[ $1 != bound ] || shift
	[ "$status" = "$want" ] && [[ $out == "$1: $path: "* ]] &&
		[[ $out != *$'\n'* ]] || {
		echo "$* ended with $status, not $want, and said: $out"
		return 1
	}
	tells_json "$want" "$path" "$bound" "$@"
}

# The same for a program: the error is in JSON, and is all that there is.
tells_json() { # STATUS PATH TOOL...
	local tool=$4 got
	got=$(timed $3 "$tool" --json "${@:5}" 2>/dev/null </dev/null |
		jq -r '(.files[0].error // .error) |
			[.status, .path, (.message != ""), (.code != ""),
			has("offset"), has("errno"), length] | @csv') || :
	[ "$got" = "$1,\"$2\",true,true,true,true,6" ] || {
		echo "${*:4} --json: $got"
		return 1
	}
}

# A FIFO must not make it wait for ever.
timed() {
	if [ "$1" = bound ]; then
		shift
		bound timeout 60 "$@"
	else
		timeout 60 "$@"
	fi
}

@test "what is no VM, where a QMP socket belongs" {
	vms
	for bad in $KINDS good; do
		blames 2 "$bad" mrsave "$bad" image
		blames 2 "$bad" mrsave --check "$bad" image
		blames 2 "$bad" mrload good "$bad"
		[ ! -e image ]
	done
	# mrdiff takes what is no socket for an image.
	blames 2 dead mrdiff dead good
	blames 2 dead mrdiff good dead
	# The right socket, where it is that of a QEMU which is gone.
	stop_vm b
	blames 2 "$b" mrsave "$b" image
}

@test "what is no image, where one is read" {
	vms
	for bad in $KINDS "$a"; do
		status=2
		[[ $bad != empty && $bad != text ]] || status=3
		blames $status "$bad" mrload "$bad" "$b"
		blames $status "$bad" mrload --memory pc.ram=out "$bad"
		out=$(timeout -s KILL 60 mrload --instant "$bad" \
			-- "$QEMU" 2>&1) && false
		[[ $out == "mrload: $bad: "* ]]
		[ ! -e out ]
		[[ $bad == empty || $bad == text ]] ||
			blames 2 "$bad" mrinspect "$bad"
		[[ $bad == empty || $bad == text ]] ||
			blames 2 "$bad" mrverify "$bad"
		[ "$bad" = "$a" ] || blames 2 "$bad" mrdiff "$bad" good
		[ "$bad" = "$a" ] || blames 2 "$bad" mrdiff good "$bad"
		[ "$bad" = "$a" ] || blames 2 "$bad" mrdiff "$a" "$bad"
	done
}

@test "what cannot become a file, where one is written" {
	vms
	for bad in folder fifo /dev/null dead "$a" no/where good/image folder/; do
		blames 2 "$bad" mrsave "$a" "$bad"
		blames 2 "$bad" mrload --memory "pc.ram=$bad" good
		blames 2 "$bad" mrload --memory pc.ram=out \
			--memory "pc.ram=$bad" good
		[ ! -e out ]
		blames 2 "$bad" mrverify --seal -o "$bad" good
	done
	blames 3 good mrload --memory no.ram=out good
}

@test "VM and image that do not go together" {
	vms
	# One that runs; one that waits, and one that does not.
	qmp_do a cont >/dev/null
	blames 3 "$a" mrdiff "$a" good
	blames 3 "$a" mrdiff good "$a"
	blames 3 "$a" mrload good "$a"
	blames 3 "$b" mrsave "$b" image
	blames 3 "$b" mrdiff good "$b"
}

# What a mode forbids is no matter to root: without that right.
bound() { # COMMAND...
	if [ "$(id -u)" != 0 ]; then
		"$@"
	else
		setpriv --bounding-set=-dac_override,-dac_read_search "$@"
	fi
}

@test "what may not be read, or written" {
	bound true || skip "cannot give up a capability"
	cp good secret
	chmod 0 secret
	mkdir -m 555 shut
	blames 2 secret bound mrinspect secret
	blames 2 secret bound mrverify secret
	blames 2 secret bound mrdiff good secret
	blames 2 secret bound mrload secret dead
	blames 2 secret bound mrload --memory pc.ram=x secret
	blames 2 shut/x bound mrload --memory pc.ram=shut/x good
	blames 2 secret bound mrload --memory pc.ram=secret good
	blames 2 shut/x bound mrverify --seal -o shut/x good
	vms
	blames 2 shut/x bound mrsave "$a" shut/x
	chmod 0 "$a"
	blames 2 "$a" bound mrsave "$a" x
	blames 2 "$a" bound mrload good "$a"
	blames 2 "$a" bound mrdiff good "$a"
}

@test "JSON of what is wrong with the options, as far as it was asked for" {
	for tool in mrsave mrload mrinspect mrverify mrdiff; do
		for args in --bogus --jobs=1000 --jobs=0 --jobs=-1 \
			--progress=77 ""; do
			# bats closes 3; the shell has no 77.
			run -2 --separate-stderr $tool --json $args
			[ "$(jq -c '[.tool, .error.code, .error.path,
				.error.status]' <<<"$output")" = \
				"[\"$tool\",\"usage\",null,2]" ]
			[ "$(jq -r .error.message <<<"$output")" = \
				"${stderr_lines[0]#"$tool: "}" ]
		done
		run -2 --separate-stderr $tool --bogus --json
		[ -z "$output" ]
	done
}

@test "numbers of processes are numbers of processes" {
	for pid in 0 -1; do
		run -2 mrsave --pid=$pid dead image
		[[ $output == "mrsave: --pid "* ]]
		run -2 mrdiff --pid=$pid dead good
		[[ $output == "mrdiff: --pid "* ]]
		run -2 mrinspect --pid=$pid -p pc.ram:0 dead
		[[ $output == "mrinspect: --pid "* ]]
	done
}

@test "another QEMU's process, though its memory lies at the same places" {
	printf '#!/bin/sh\nexec setarch -R %s "$@"\n' "$QEMU" >same
	chmod 755 same
	setarch -R true || skip "may not switch off the random layout"
	QEMU=./same
	vms
	blames 3 "$a" mrsave --pid="$(vm_pid b)" "$a" image
	blames 3 "$a" mrsave --pid=$$ "$a" image
	blames 3 "$a" mrdiff --pid="$(vm_pid b)" good "$a"
	blames 3 "$a" mrinspect --pid="$(vm_pid b)" -p pc.ram:0 "$a"
	mrsave -q --pid="$(vm_pid a)" "$a" image
	mrdiff -q --pid="$(vm_pid a)" image "$a"
	mrinspect --pid="$(vm_pid a)" -p pc.ram:0 "$a"
}

@test "--vmdesc-from a file that describes nothing" {
	mkimage --vmdesc none --block pc.ram=64 none
	mkimage --vmdesc '{}' --block pc.ram=64 ours
	for bad in text empty /etc/passwd none ours; do
		blames 2 "$bad" mrdiff --device --vmdesc-from "$bad" good good
		run -2 mrinspect --device all --vmdesc-from "$bad" good
		[[ $output == *"mrinspect: $bad: there is no description"* ]]
	done
}
