#!/usr/bin/env bats
# The nightly backup, and the guide to it, mrbackup(7), whose commands are run.

load ../lib/vm
load ../lib/metrics

setup() {
	need_qemu
	cd "$BATS_TEST_TMPDIR"
	NIGHTLY=$ROOT/tools/systemd/mrsave-nightly
	mkdir clock images metrics
}

teardown() { kill_vms; }

# Night NUMBER: the clock is ours.
night() { # NUMBER VARIABLE=VALUE...
	printf '#!/bin/sh\necho 2026-01-0%sT030000Z\n' "$1" >clock/date
	chmod +x clock/date
	env PATH="$PWD/clock:$PATH" VM="$(vm_qmp a)" IMAGES="$PWD/images" \
		"${@:2}" sh "$NIGHTLY" web1
}

# "full 1" for that of the first night, and so on.
saves() {
	local image
	for image in images/*Z.mrp; do
		mrinspect --list --json "$image" | grep -q '"kind": "pack"' &&
			printf 'full ' || printf 'inc '
		printf '%s ' "${image:21:1}"
	done
}

@test "nights: a full one, increments, and what is old goes" {
	start_vm a -append fill=16M
	wait_ready a
	night 1 KEEP=2 FULL=3 METRICS="$PWD/metrics"
	[ "$(readlink images/web1.mrp)" = web1.2026-01-01T030000Z.mrp ]
	prom metrics/mrsave-web1.prom
	prom metrics/mrverify-web1.prom
	night 2 KEEP=2 FULL=3
	night 3 KEEP=2 FULL=3
	night 4 KEEP=2 FULL=3
	# Two are enough, but the older one stands on others.
	[ "$(saves)" = "full 1 inc 2 inc 3 full 4 " ]
	night 5 KEEP=2 FULL=3
	[ "$(saves)" = "full 4 inc 5 " ]
	[ "$(ls images | wc -l)" = 3 ]
	wait_count a
	assert_no_bad a
	# It can be loaded.
	start_vm b -append fill=16M -incoming defer
	mrload -q images/web1.mrp "$(vm_qmp b)"
	wait_checked b
	assert_no_bad b
	# No VM: all that there is stays, and the last success is known.
	stop_vm a
	run ! night 6 KEEP=1 METRICS="$PWD/metrics"
	[[ $output == "mrsave: "* ]]
	[ "$(saves)" = "full 4 inc 5 " ]
	prom metrics/mrsave-web1.prom
	grep -q '^mrtools_last_run_success.* 0$' metrics/mrsave-web1.prom
	grep -q '^mrtools_last_success_timestamp' metrics/mrsave-web1.prom
}

@test "a night with damage fails; what is no pack any more is no base" {
	start_vm a -append fill=16M
	wait_ready a
	night 1
	printf 'xx' | dd of=images/web1.mrp bs=1 seek=100000 conv=notrunc \
		status=none
	run -1 night 2 FULL=1 METRICS="$PWD/metrics"
	[[ $output == *2026-01-01*damaged* ]]
	grep -q '^mrtools_last_run_success.* 0$' metrics/mrverify-web1.prom
	grep -q '^mrtools_last_run_success.* 1$' metrics/mrsave-web1.prom
	truncate -s 1000 images/web1.mrp
	run -1 night 3
	mrverify -q images/web1.mrp
	rm images/*-0[12]T*
	# Nor is one that has lost what it stands on.
	night 4
	[ "$(saves)" = "full 3 inc 4 " ]
	rm images/*-03T*
	run night 5
	[[ $(saves) == "inc 4 full 5 " ]]
	assert_no_bad a
}

@test "with what the service may do, and by its line" {
	[ "$(id -u)" = 0 ] || skip "not root: nothing to be given up"
	command -v setpriv >/dev/null || skip "no setpriv"
	local unit=$PWD/mrsave@.service caps
	sed "s|@prefix@/lib/mrtools|$ROOT/tools/systemd|; s|@bindir@|$O|" \
		"$ROOT/tools/systemd/mrsave@.service.in" >"$unit"
	start_vm a -append fill=16M
	wait_ready a
	cat >web1.conf <<-END
		VM=$(vm_qmp a)
		IMAGES=$PWD/images
	END
	caps=$(sed -n 's/^CapabilityBoundingSet=//p' "$unit" |
		tr 'A-Z ' 'a-z,' | sed 's/cap_/+/g')
	env -i $(sed -n 's/^Environment=//p' "$unit") $(cat web1.conf) \
		setpriv --bounding-set="-all,$caps" --inh-caps=-all --no-new-privs \
		$(sed -n 's/^ExecStart=//p' "$unit" | sed 's/%i/web1/')
	mrverify -q images/web1.mrp
	assert_no_bad a
	# Nothing is called that its filter forbids.
	command -v strace >/dev/null && command -v systemd-analyze >/dev/null ||
		skip "no strace, or no systemd-analyze"
	env VM="$(vm_qmp a)" IMAGES="$PWD/images" \
		strace -f -qq -e signal=none -o calls sh "$NIGHTLY" web1
	sed -n 's/^[0-9]* *\([a-z_0-9]*\)(.*/\1/p' calls | sort -u >called
	filter=$(sed -n 's/^SystemCallFilter=//p' "$unit")
	for word in $filter; do
		[[ $word == @* ]] || echo "$word"
	done >allowed
	allow() { # SET
		local name
		while read -r name; do
			case $name in
			'' | \#*) ;;
			@*) [ "$name" = "$1" ] || allow "$name" ;;
			*) echo "$name" ;;
			esac
		done < <(systemd-analyze syscall-filter "$1")
	}
	allow @system-service >>allowed
	allow @default >>allowed
	sort -u allowed | comm -23 called - >forbidden
	cat forbidden
	[ "$(wc -l <called)" -gt 30 ]
	[ ! -s forbidden ]
}

# ---- the guide ----

# What its blocks with a "# " in front have, as a script; places are ours.
guide() {
	sed -n '/^\.Bd -literal/,/^\.Ed/p' "$ROOT/man/mrbackup.7" | awk '
		/^\.Bd/ { text = ""; first = 1; next }
		/^\.Ed/ { if (run) printf "%s", text; run = 0; next }
		first { run = /^# /; first = 0 }
		{ sub(/^# /, ""); gsub(/\\e/, "\\"); text = text $0 "\n" }' |
		sed -e "s|/etc/|$PWD/etc/|g; s|/var/lib/|$PWD/lib/|g
			s|/backup/|$PWD/backup/|g; s|-C /backup|-C $PWD/backup|
			s|/run/web1-2.qmp|$VM_DIR/a.ctl|g
			s|/run/web1.qmp|$(vm_qmp a)|g; s|/run/new.qmp|$(vm_qmp b)|g
			s|/usr/local/lib/mrtools|$ROOT/tools/systemd|g"
}

@test "the guide" {
	truncate -s 1M disk
	start_vm a -append fill=16M -device virtio-blk-pci,drive=d \
		-drive if=none,id=d,file=disk,format=raw
	wait_ready a
	start_vm b -append fill=16M -incoming defer \
		-device virtio-blk-pci,drive=d \
		-drive if=none,id=d,file=disk,format=raw,snapshot=on
	mkdir -p bin backup/web1 etc/cron.d lib/prometheus/node-exporter \
		lib/mrtools
	# The other host is this one.
	cat >bin/ssh <<-'END'
		#!/bin/sh
		shift
		exec sh -c "$*"
	END
	cat >bin/systemctl <<-END
		#!/bin/sh
		[ "\$*" = "start mrsave@web1.service" ] || exit 0
		set -a
		. "$PWD/etc/mrtools/web1.conf"
		mkdir -p "\$IMAGES"
		exec "$NIGHTLY" web1
	END
	command -v rsync >/dev/null || cat >bin/rsync <<-'END'
		#!/bin/sh
		exec cp -a "$2/." "${3#*:}"
	END
	chmod +x bin/*
	PATH=$PWD/bin:$PATH
	guide >script
	[ "$(grep -c mr script)" -gt 20 ]
	bash -eux script
	# What it made: a pack and its copies, the way of cron, an alarm's reason,
	# a snapshot of the same moment, a guest that goes on.
	mrverify -q backup/web1/web1.mrp backup/web1.mrp backup/today.mrp
	cmp lib/mrtools/web1/web1.mrp backup/web1/web1.mrp
	[ "$(readlink backup/web1/web1.mrp)" != "" ]
	mrinspect --list backup/web1.mr
	grep -q '^mrtools_last_success_timestamp' \
		lib/prometheus/node-exporter/mrsave-web1.prom
	[ "$(head -c 3 lib/mrtools/web1/d.*.qcow2)" = QFI ]
	mrverify -q lib/mrtools/web1/disks.mr
	wait_checked b
	assert_no_bad b
	rm lib/mrtools/web1/*.mrp
	read -r _ _ _ _ _ user command <etc/cron.d/mrsave
	[ "$user" = root ]
	sh -c "$command"
	mrverify -q lib/mrtools/web1/web1.mrp
	assert_no_bad a
}
