# vm.bash - real QEMUs for bats tests, under TCG, with the guest of tests/guest.
#
#   setup()    { need_qemu; }
#   teardown() { kill_vms; }
#
#   start_vm a -M q35 -m 512M -append fill=64M    ready to be waited for
#   incoming_vm b IMAGE [QEMU ARGUMENT...]        loads a mapped-ram image
#   instant_vm b IMAGE [OPTION...] -- [QEMU ARGUMENT...]   begins on it
#   wait_ready a        all of its memory is written
#   wait_count a        it counts
#   wait_checked b      it has checked all of its memory since now
#   counts_on a b       b counts on from where a stopped
#   qmp_do a stop       any QMP command, with its arguments as JSON
#   stop_vm a
#
# VM a has its QMP socket for the tools at $(vm_qmp a), another one for
# qmp_do (QEMU serves one client at a time), its process in $(vm_pid a), what
# it said in $(vm_serial a). No function sleeps; each fails, with the reason,
# when the guest says BAD or the QEMU ends.

. "$(dirname "${BASH_SOURCE[0]}")/env.bash"

QEMU=${QEMU:-qemu-system-x86_64}
VM_DIR=
BEFORE_QEMU=() # what becomes QEMU

qemu_version() { # 10.0
	"$QEMU" --version 2>/dev/null |
		sed -n 's/^QEMU emulator version \([0-9]*\.[0-9]*\).*/\1/p'
}

# Skips the test where there is no QEMU of this version (9.0) or newer.
need_qemu() {
	local want=${1:-9.0} have
	have=$(qemu_version)
	[ -n "$have" ] || skip "no $QEMU"
	printf '%s\n' "$want" "$have" | sort -CV ||
		skip "QEMU is $have, this needs $want"
	vm_dir
}

# Sockets live in a folder with a short name: theirs are limited to 107 bytes.
# Made before any subshell is, or it would be forgotten there.
vm_dir() {
	[ -n "$VM_DIR" ] ||
		VM_DIR=$(mktemp -d "${MR_SOCKETS:-/tmp}/mrvm.XXXXXX")
}

vm_qmp() { echo "$VM_DIR/$1.qmp"; }
vm_serial() { echo "$VM_DIR/$1.serial"; }
vm_pid() { cat "$VM_DIR/$1.pid"; }

# The machine's clock (device state) stands still with the guest, so that two
# saves of it are the same.
start_vm() {
	local name=$1
	shift
	vm_dir
	: >"$(vm_serial "$name")"
	(
		# Whatever becomes of the test, the guest does not run for ever.
		ulimit -t 1800
		exec "${BEFORE_QEMU[@]}" "$QEMU" -name "$name" -accel "${ACCEL:-tcg}" -nodefaults \
			-display none -m 256M -rtc clock=vm \
			-kernel "$O/guest.img" \
			-serial "file:$(vm_serial "$name")" \
			-qmp "unix:$VM_DIR/$name.qmp,server=on,wait=off" \
			-qmp "unix:$VM_DIR/$name.ctl,server=on,wait=off" \
			"$@" </dev/null >"$VM_DIR/$name.log" 2>&1 3>&-
	) &
	echo $! >"$VM_DIR/$name.pid"
	QEMU_PID=$! qmp_do "$name" query-status >/dev/null || {
		echo "QEMU $name did not start: $(cat "$VM_DIR/$name.log")"
		return 1
	}
}

qmp_do() {
	local name=$1
	shift
	qmp "$VM_DIR/$name.ctl" "$@"
}

# Sets capabilities: set_caps a mapped-ram multifd
set_caps() {
	local name=$1 list= cap
	shift
	for cap; do
		list="$list${list:+,}{\"capability\":\"$cap\",\"state\":true}"
	done
	qmp_do "$name" migrate-set-capabilities "{\"capabilities\":[$list]}" \
		>/dev/null
}

# QEMU alone saves VM $1 to the mapped-ram image $2; more capabilities follow.
qemu_save() {
	local name=$1 image=$2
	shift 2
	set_caps "$name" mapped-ram "$@"
	qmp_do "$name" migrate "{\"uri\":\"file:$image\"}" >/dev/null
	qmp_do "$name" --wait-migration
}

# QEMU alone saves the running VM $1 to $2, more slowly than the guest turns
# pages from data to zero: stale data stays under clear bits. Use a small guest.
qemu_live_save() {
	set_caps "$1" mapped-ram
	qmp_do "$1" migrate-set-parameters '{"max-bandwidth":2000000,
		"avail-switchover-bandwidth":100000}' >/dev/null
	qmp_do "$1" migrate "{\"uri\":\"file:$2\"}" >/dev/null
	until [[ $(qmp_do "$1" query-migrate) =~ sync-count\":([0-9]+) ]] &&
		((BASH_REMATCH[1] > 4)); do
		wait_count "$1" >/dev/null
	done
	qmp_do "$1" migrate-set-parameters '{"max-bandwidth":0,
		"avail-switchover-bandwidth":0}' >/dev/null
	qmp_do "$1" --wait-migration
}

# A QEMU, no tool of ours, loads the mapped-ram image $2 as VM $1.
incoming_vm() {
	local name=$1 image=$2
	shift 2
	start_vm "$name" "$@" -incoming defer
	set_caps "$name" mapped-ram
	qmp_do "$name" migrate-incoming \
		"{\"uri\":\"file:$image\",\"exit-on-error\":false}" >/dev/null
	qmp_do "$name" --wait-migration
}

le32() {
	printf '%b' "$(printf '\\x%02x' $(($1 & 255)) $(($1 >> 8 & 255)) \
		$(($1 >> 16 & 255)) $(($1 >> 24 & 255)))"
}

# What libvirt writes before the stream of VM a in $IMAGE; QEMU writes the rest.
# libvirt stops the guest before it saves it.
libvirt_save() { # FORMAT WAS_RUNNING CAPABILITY...
	local size=2000 format=$1 running=$2
	shift 2
	{
		printf LibvirtQemudSave
		le32 2
		le32 "$size"
		le32 "$running"
		le32 "$format"
		head -c 60 /dev/zero
		printf '<domain/>\0'
		head -c $((size - 10)) /dev/zero
	} >"$IMAGE"
	qmp_do a stop
	[ $# = 0 ] || set_caps a "$@"
	qmp_do a migrate "{\"uri\":\"file:$IMAGE,offset=$((92 + size))\"}"
	qmp_do a --wait-migration
}

# mrload becomes VM $1, on the image $2.
instant_vm() {
	local name=$1 rc
	BEFORE_QEMU=(mrload --instant "$2")
	shift 2
	while [ "$1" != -- ]; do
		BEFORE_QEMU+=("$1")
		shift
	done
	BEFORE_QEMU+=(--)
	start_vm "$name" "${@:2}"
	rc=$?
	BEFORE_QEMU=()
	return $rc
}

# Waits for the $3-th line beginning with $2 after byte $4 of what $1 said.
wait_serial() {
	serial-wait "$(vm_serial "$1")" "${4:-0}" "${3:-1}" "$2" \
		"$(vm_pid "$1")"
}

serial_size() { stat -c %s "$(vm_serial "$1")"; }
wait_ready() { wait_serial "$1" ready >/dev/null; }
wait_count() { wait_serial "$1" "count " "${2:-1}" "$(serial_size "$1")"; }
wait_status() { qmp_do "$1" --wait-status "$2"; }

# Two passes: the first may have begun before now.
wait_checked() {
	wait_serial "$1" "pass " 2 "$(serial_size "$1")" >/dev/null
}

assert_no_bad() {
	! grep -m 1 '^BAD' "$(vm_serial "$1")"
}

# The last and the first number counted; a line may be cut by a save.
last_count() {
	local word n last=
	while read -r word n; do # not true for a line without its end
		[ "$word" != count ] || last=$n
	done < <(tail -n 9 "$(vm_serial "$1")")
	echo "$last"
}

first_count() {
	wait_serial "$1" "count " | cut -d ' ' -f 2
}

# VM $2 was loaded from an image of $1, which has been stopped since.
counts_on() {
	local from to
	from=$(last_count "$1")
	to=$(first_count "$2")
	((to >= from && to <= from + 2)) || {
		echo "$1 stopped at count $from, $2 began at $to"
		return 1
	}
	wait_checked "$2"
}

stop_vm() {
	local pid
	pid=$(vm_pid "$1")
	kill -KILL "$pid" 2>/dev/null || :
	wait "$pid" 2>/dev/null || :
	rm -f "$VM_DIR/$1".*
}

kill_vms() {
	local f
	[ -n "$VM_DIR" ] || return 0
	for f in "$VM_DIR"/*.pid; do
		[ -e "$f" ] && stop_vm "$(basename "$f" .pid)"
	done
	rm -rf "$VM_DIR"
	VM_DIR=
}
