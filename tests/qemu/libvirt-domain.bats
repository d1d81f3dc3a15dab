#!/usr/bin/env bats
# A domain of libvirt's is a VM: libvirt:DOMAIN. With a daemon of a session, which
# has all that it keeps in the test's folder.

load ../lib/vm
load ../lib/libvirt

setup() {
	need_virsh
	command -v libvirtd >/dev/null || skip "no libvirtd"
	[ -x "$O/mrtools-libvirt" ] || skip "this build has no libvirt"
	cd "$BATS_TEST_TMPDIR"
	# Sockets are in there: a short name.
	HOME_DIR=$(mktemp -d "${MR_SOCKETS:-/tmp}/mrld.XXXXXX")
	mkdir -p "$HOME_DIR/conf/libvirt" "$HOME_DIR/cache"
	qemu_conf "$HOME_DIR/conf/libvirt/qemu.conf"
	cp "$O/guest.img" "$HOME_DIR/guest.img"
	: >"$HOME_DIR/serial"
	domain_xml web1 "$HOME_DIR/guest.img" "$HOME_DIR/serial" \
		>"$HOME_DIR/vm.xml"
	URI="qemu+unix:///session?socket=$HOME_DIR/run/libvirt/libvirt-sock"
	VM="libvirt+$URI:web1"
	AS=(env "HOME=$HOME_DIR" "XDG_RUNTIME_DIR=$HOME_DIR/run"
		"XDG_CONFIG_HOME=$HOME_DIR/conf" "XDG_CACHE_HOME=$HOME_DIR/cache")
	# To root a daemon would be the machine's.
	if [ "$(id -u)" = 0 ]; then
		AS=(setpriv --reuid=65534 --regid=65534 --clear-groups "${AS[@]}")
		chmod 711 "$HOME_DIR"
		mkdir "$HOME_DIR/run"
		chown -R 65534:65534 "$HOME_DIR"
	fi
	begin_daemon
	virsh create "$HOME_DIR/vm.xml" >create.log 2>&1 ||
		skip "libvirt starts no guest here: $(tail -n 1 create.log)"
	until_counts 3
}

teardown() {
	[ -n "${HOME_DIR:-}" ] || return 0
	pkill -KILL -f "$HOME_DIR/" || :
	pkill -KILL -f "mrtools-libvirt .*$HOME_DIR" || :
	[ -z "${DAEMON:-}" ] || kill -KILL "$DAEMON" 2>/dev/null || :
	rm -rf "$HOME_DIR"
}

virsh() { command virsh -c "$URI" "$@"; }

begin_daemon() {
	"${AS[@]}" libvirtd >>"$HOME_DIR/daemon.log" 2>&1 3>&- &
	DAEMON=$!
	until virsh list >/dev/null 2>&1; do
		kill -0 $DAEMON || skip "libvirtd ends: $(tail -n 1 "$HOME_DIR/daemon.log")"
		sleep 0.1
	done
}

count() { sed -n 's/^count //p' "$HOME_DIR/serial" | tail -n 1 | grep . || echo 0; }

# The guest counts N more, without a fault.
until_counts() { # N
	local from
	from=$(count)
	until (($(count) >= from + $1)); do
		! grep BAD "$HOME_DIR/serial"
		sleep 0.1
	done
}

@test "a domain is a VM: saved, looked at, compared, converted" {
	run -0 mrsave "$VM" a.mr
	[[ $output == *"found running, left as found"*"engine     direct"* ]]
	[ "$(virsh domstate web1 | head -n 1)" = running ]
	until_counts 2
	mrverify -q a.mr
	[[ $(mrinspect a.mr) == *" of VM web1 ($(virsh domuuid web1 | head -n 1)), by "* ]]
	mrsave -q -O pack "libvirt+$URI:$(virsh domuuid web1 | head -n 1)" a.mrp
	virsh suspend web1
	mrsave -q "$VM" b.mr
	# Its clock goes on.
	[[ $(mrdiff "$VM" b.mr || :) == *"no page of "*" differs"* ]]
	run -1 mrdiff "$VM" a.mr
	cmp <(mrinspect --page pc.ram:0x100000+64 "$VM" | tail -n +2) \
		<(mrinspect --page pc.ram:0x100000+64 b.mr | tail -n +2)
	mrconvert -q "$VM" vm.core 2>/dev/null
	[ "$(virsh domstate web1 | head -n 1)" = paused ]
	virsh resume web1
	# Migrations are libvirt's.
	for how in --engine=qemu --live=background; do
		run -3 mrsave $how "$VM" c.mr
		[[ $output == *"libvirt's own (virsh save)"* ]]
	done
	[ ! -e c.mr ]
	[ "$(virsh domstate web1 | head -n 1)" = running ]
	# Nobody waits for who speaks with libvirt.
	[ "$(mrsave -q "$VM" c.mr 2>&1 | cat)" = "" ]
	rm c.mr
	# What is no domain, and what is off.
	run -2 mrsave "libvirt+$URI:none" c.mr
	[[ $output == *"libvirt: Domain not found"* && ${#lines[@]} = 1 ]]
	run -2 mrsave "libvirt+qemu+unix:///session?socket=/none:web1" c.mr
	[[ $output == *"libvirt: Failed to connect"* && ${#lines[@]} = 1 ]]
	run -3 mrload b.mr "$VM"
	[[ $output == *": the domain is on: what it is would be lost" ]]
	[[ $(mrsave --version) == *"VMs of: QEMU, libvirt"* ]]
	run -2 mrsave "libvirt:" c.mr
	[[ $output == *"a domain is called libvirt:DOMAIN"* ]]
	until_counts 2
}

@test "virsh restore brings back what mrsave made of a domain" {
	local form before
	for form in libvirt:sparse libvirt:zstd; do
		mrsave -q -O $form "$VM" web1.save --force
		virsh destroy web1
		run -2 mrsave "$VM" c.mr
		[[ $output == *"omain"* ]]
		before=$(count)
		cp web1.save "$HOME_DIR/web1.save"
		[ "$(id -u)" != 0 ] || chown 65534 "$HOME_DIR/web1.save"
		virsh save-image-dumpxml "$HOME_DIR/web1.save" |
			grep -q '<name>web1</name>'
		virsh restore "$HOME_DIR/web1.save"
		until (($(count) >= before + 2)); do
			! grep BAD "$HOME_DIR/serial"
			sleep 0.1
		done
	done
	run -2 mrsave -O libvirt:sparse vm.sock web1.save
	[[ $output == *"only a domain"* ]]
}

@test "mrload: an image into a domain that is off" {
	local before
	# As the daemon's user, who has to read what is made.
	mine() { TMPDIR=$HOME_DIR "${AS[@]}" "$O/$@"; }
	[ "$(id -u)" != 0 ] || setpriv --reuid=65534 --regid=65534 --clear-groups \
		test -x "$O/mrload" || skip "$O is root's alone"
	virsh define "$HOME_DIR/vm.xml" >/dev/null
	mine mrsave -q "libvirt:web1" "$HOME_DIR/vm.mr"
	before=$(count)
	virsh destroy web1
	run -3 mine mrsave "libvirt:web1" "$HOME_DIR/none.mr"
	[[ $output == *": the domain is off" ]]
	run -0 mine mrload --check "$HOME_DIR/vm.mr" "libvirt:web1"
	[[ $output == *"fits       machine type"* ]]
	[ "$(virsh domstate web1 | head -n 1)" = "shut off" ]
	run -0 mine mrload --paused "$HOME_DIR/vm.mr" "libvirt:web1"
	[ "$(virsh domstate web1 | head -n 1)" = paused ]
	virsh destroy web1
	[ "$(mine mrload --json "$HOME_DIR/vm.mr" "libvirt:web1" | jq -r .vm)" = loaded ]
	[ "$(virsh domstate web1 | head -n 1)" = running ]
	until (($(count) >= before + 2)); do
		! grep BAD "$HOME_DIR/serial"
		sleep 0.1
	done
	# What is not as it was saved is not tried; nothing is left behind.
	virsh destroy web1
	printf X | "${AS[@]}" dd of="$HOME_DIR/vm.mr" bs=1 conv=notrunc status=none \
		seek=$(($(mrinspect --json "$HOME_DIR/vm.mr" | jq '.files[0].stream_end') - 300))
	run -2 mine mrload "$HOME_DIR/vm.mr" "libvirt:web1"
	[[ $output == *"vm.mr: the device state differs from the seal"* ]]
	[ "$(virsh domstate web1 | head -n 1)" = "shut off" ]
	virsh undefine web1
	[ -z "$(find "$HOME_DIR" -name 'mrload.*')" ]
}

@test "whoever dies meanwhile: the domain runs on" {
	local pid
	paused() { # COMMAND while the guest stands still
		rm -f here
		mrsave "$VM" --while-paused "touch here; sleep 1" k.mr 3>&- &
		pid=$!
		until [ -e here ]; do kill -0 $pid && sleep 0.02; done
		[ "$(virsh domstate web1 | head -n 1)" = paused ]
	}
	ended() { # STATUS
		local is=0
		wait $pid || is=$?
		[ $is = "$1" ]
	}
	paused
	kill -KILL $pid
	ended 137
	until [ "$(virsh domstate web1 | head -n 1)" = running ]; do sleep 0.1; done
	until_counts 2
	[ ! -e k.mr ]
	# With who speaks with libvirt: the guardian starts another one.
	paused
	pkill -KILL -f "mrtools-libvirt .*$HOME_DIR"
	kill -KILL $pid
	ended 137
	until [ "$(virsh domstate web1 | head -n 1)" = running ]; do sleep 0.1; done
	until_counts 2
	[ ! -e k.mr ]
	until mrsave --check -q "$VM" k.mr 2>/dev/null; do sleep 0.1; done
	# Somebody else lets it go on, for a moment.
	paused 2>says
	virsh resume web1
	virsh suspend web1
	ended 2
	grep -q "another client of QEMU's disturbed the VM meanwhile" says
	[ ! -e k.mr ]
	[ "$(virsh domstate web1 | head -n 1)" = running ]
	# For good: then it runs, and is not said to be paused.
	paused 2>says
	virsh resume web1
	ended 2
	grep -q "another client of QEMU's disturbed the VM meanwhile" says
	# The guardian does not undo what somebody does after that.
	paused
	virsh resume web1
	kill -KILL $pid
	ended 137
	sleep 1
	virsh suspend web1
	sleep 0.2
	[ "$(virsh domstate web1 | head -n 1)" = paused ]
	virsh resume web1
	# The daemon: there is another one soon, but nobody knows what was meanwhile.
	paused 2>says
	kill -KILL $DAEMON
	begin_daemon
	ended 2
	grep -q "MRTOOLS_EVENTS_LOST" says
	[ ! -e k.mr ]
	[ "$(virsh domstate web1 | head -n 1)" = running ]
	until_counts 2
	paused 2>says
	virsh destroy web1
	ended 4
	grep -q "QEMU has ended, and the VM with it" says
}
