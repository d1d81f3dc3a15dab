#!/usr/bin/env bats
# Images that libvirt itself saves, and libvirt restoring what we sealed, and what
# we made. Its QEMU driver runs inside virsh (qemu:///embed): no daemon, nothing outside of
# the test's folder.

load ../lib/vm
load ../lib/libvirt

setup() {
	need_virsh
	# Sockets are in there: a short name.
	ROOT_DIR=$(mktemp -d "${MR_SOCKETS:-/tmp}/mrlv.XXXXXX")
	mkdir "$ROOT_DIR/etc"
	qemu_conf "$ROOT_DIR/etc/qemu.conf"
	printf '%s = "%s"\n' user "$(id -un)" group "$(id -gn)" \
		>>"$ROOT_DIR/etc/qemu.conf"
	cd "$BATS_TEST_TMPDIR"
	domain_xml t "$O/guest.img" "$PWD/serial" >vm.xml
	# It wants more of a machine than we do: a chroot is not enough.
	: >serial
	printf '%s\n' 'create vm.xml' 'destroy t' | driver >driver.log 2>&1 ||
		skip "no QEMU driver in virsh"
	! grep -i '^error: failed to create' driver.log ||
		skip "libvirt starts no guest here"
}

# A QEMU may outlive a virsh that failed.
teardown() {
	local f
	[ -n "${ROOT_DIR:-}" ] || return 0
	while read -r f; do
		kill -KILL "$(cat "$f")" 2>/dev/null || :
	done < <(find "$ROOT_DIR" -name t.pid)
	rm -rf "$ROOT_DIR"
}

# Commands from stdin, as they come.
driver() {
	timeout 120 virsh -q -c "qemu:///embed?root=$ROOT_DIR" 3>&-
}

# A guest that has filled its memory is saved: save FILE [OPTION...]
save() {
	local file=$PWD/$1
	shift
	: >serial
	{
		echo create vm.xml
		serial-wait serial 0 1 "count " $$ >&2
		echo save t "$file" "$@"
	} | driver
}

# The QEMU stream, unpacked by a program.
body() { # FILE PROGRAM...
	local len
	len=$(od -An -tu4 -j20 -N4 "$1")
	tail -c +$((92 + len + 1)) "$1" | "${@:2}"
}

@test "virsh save: raw, compressed and sparse" {
	local format
	save raw
	run -0 mrinspect raw
	[[ $output == "raw: libvirt save image, plain migration stream, complete"* ]]
	run -0 mrverify raw
	save sparse --image-format sparse
	save bypass --image-format sparse --bypass-cache --parallel-channels 2
	for format in sparse bypass; do
		run -0 mrinspect -v "$format"
		[[ $output == "$format: libvirt save image, mapped-ram, complete"* ]]
		[[ $output == *"format sparse, VM was running"* ]]
		run -0 mrverify "$format"
		[[ $output == *": sound"* ]]
	done
	for format in gzip zstd; do
		command -v "$format" >/dev/null || continue
		save "$format" --image-format "$format"
		run -0 mrinspect "$format"
		[[ $output == *"compressed, not looked into"* ]]
		body "$format" "$format" -dc >stream
		run -0 mrinspect stream
		[[ $output == "stream: plain migration stream, complete"* ]]
	done
}

# Without libvirt's header; of --memory-only it is told what it is.
@test "virsh dump" {
	: >serial
	{
		echo create vm.xml
		serial-wait serial 0 1 "count " $$ >&2
		echo dump t "$PWD/plain"
		echo dump t "$PWD/elf" --memory-only
		echo dump t "$PWD/kdump" --memory-only --format kdump-zlib
		echo destroy t
	} | driver
	run -0 mrinspect plain
	[[ $output == "plain: plain migration stream, complete"* ]]
	mrconvert -q plain plain.mr
	mrdiff -q plain plain.mr
	run -1 mrinspect elf kdump
	[ "${lines[0]}" = "elf: an ELF core: gdb, crash and drgn read it" ]
	[[ ${lines[1]} == "kdump: a "*"kdump: "* ]]
	# All of a compressed one: dump_image_format.
	echo 'dump_image_format = "zstd"' >>"$ROOT_DIR/etc/qemu.conf"
	: >serial
	{
		echo create vm.xml
		serial-wait serial 0 1 "count " $$ >&2
		echo dump t "$PWD/zstd"
		echo destroy t
	} | driver
	run -0 mrinspect --json zstd
	[ "$(jq -r .files[0].compression <<<"$output")" = zstd ]
	mrconvert -q zstd zstd.mr
	run -0 mrverify zstd.mr
}

@test "virsh restore of a sparse image that we sealed" {
	save image --image-format sparse
	mrverify -q --seal image
	run -0 mrverify image
	[[ $output == *"sound, sealed"* ]]
	# It checks all of its memory twice: the first pass may have begun
	# before it was saved.
	: >serial
	{
		echo restore "$PWD/image"
		serial-wait serial 0 2 "pass " $$ >&2
		echo destroy t
	} | driver
	! grep -m 1 '^BAD' serial
}

# It goes on from where it was when it was saved, and checks all of its memory.
restores() { # FILE [OPTION...]
	local file=$PWD/$1 from to
	shift
	from=$(grep -a '^count ' saved | tail -n 1)
	: >serial
	{
		echo restore "$file" "$@"
		serial-wait serial 0 2 "pass " $$ >&2
		echo destroy t
	} | driver
	! grep -m 1 '^BAD' serial
	to=$(grep -a -m 1 '^count ' serial)
	((${to#count } >= ${from#count } && ${to#count } <= ${from#count } + 2))
}

xml_of() { # FILE
	timeout 120 virsh -q -c "qemu:///embed?root=$ROOT_DIR" \
		save-image-dumpxml --security-info "$PWD/$1" 2>driver.log 3>&-
}

@test "virsh restore of what mrconvert made: raw, zstd, sparse" {
	local form
	save own
	cp serial saved
	xml_of own >own.xml
	grep -q "<name>t</name>" own.xml
	mrconvert -q own vm.mrp
	for form in libvirt libvirt:zstd libvirt:sparse; do
		# From libvirt's own: with all that it knew.
		mrconvert -q -O $form own again
		xml_of again | cmp own.xml -
		# A pack has no XML, and does not know that it ran: libvirt
		# stops a guest first.
		mrconvert -q -O $form --xml own.xml vm.mrp image
		xml_of image | cmp own.xml -
		[ "$(od -An -tu4 -j24 -N4 image | tr -d ' ')" = 0 ]
		restores image --running
	done
	restores again
}
