#!/usr/bin/env bats
# mrinspect: what it calls a file, what it says of it, and how it exits.

load ../lib/env

setup() {
	cd "$BATS_TEST_TMPDIR" || return
}

# The file that mkimage makes from these arguments is called VERDICT, and
# mrinspect exits with STATUS: called VERDICT STATUS [MKIMAGE OPTION...]
called() {
	local verdict=$1 status_=$2
	shift 2
	mkimage "$@" image
	run -"$status_" --separate-stderr mrinspect --json image
	[[ $output == *"\"verdict\": \"$verdict\""* ]]
	[ -z "$stderr" ]
	# The same of one that is opened for its devices, uncounted.
	run --separate-stderr mrinspect --json --device all image
	[[ $output == *"\"verdict\": \"$verdict\""* ]]
	[[ $output != *'"pages_present"'* ]]
	run -"$status_" --separate-stderr mrinspect image
	[ -z "$stderr" ]
}

# A line of the JSON: has KEY VALUE
has() {
	[[ $output == *"\"$1\": $2"[,$'\n']* ]] || {
		echo "no \"$1\": $2 in $output"
		return 1
	}
}

# A line of the text, however wide its columns: shows WORDS
shows() {
	[[ $(tr -s ' ' <<<"$output") == *" $1"* ]] || {
		echo "no $1 in $output"
		return 1
	}
}

# ---- what it shows ----

# answers KIND WHOLE MADE MACHINE MEMORY: five lines, each of a glob
answers() {
	local line want at=0
	run "-$1" --separate-stderr mrinspect image
	shift
	[ -z "$stderr" ]
	[ ${#lines[@]} = 5 ]
	[[ $output != *$'\n\n'* ]]
	for want; do
		line=$(tr -s ' ' <<<"${lines[at]}")
		at=$((at + 1))
		# shellcheck disable=SC2053
		[[ $line == $want ]] || {
			echo "not $want: $output"
			return 1
		}
	done
}

@test "what is it, is it whole, when, which VM, how large: five lines" {
	local file="made not said (file of 2001-02-03 04:05:06 UTC)"
	local unsealed="whole it has its end; no seal says whether it is unaltered"
	local unread="were not looked at, mrverify does that"
	local data="memory 4.2 MiB in 2 blocks, 928 KiB of it in the file; * on disk"
	at() { touch -d '2001-02-03 04:05:06 UTC' image; }
	mkimage --state paused --uuid 0123456789abcdef image && at
	answers 0 "image: mapped-ram image, complete" " $unsealed" \
		" $file of VM 30313233-3435-3637-3839-616263646566" \
		" machine pc-i440fx-10.0, was paused" " $data"
	mrverify -q --seal image && at
	answers 0 "image: mapped-ram image, complete" \
		" whole as it was sealed; its pages $unread" \
		" $file of VM 30313233-3435-3637-3839-616263646566" \
		" machine pc-i440fx-10.0, was paused" " $data"
	# One bit of a bitmap.
	printf '\177' | dd of=image bs=1 conv=notrunc status=none \
		seek="$(mrinspect --json image | jq '.files[0].blocks[0].bitmap_offset')"
	at
	answers 0 "image: mapped-ram image, complete" \
		" whole NOT as it was sealed: the bitmap of block pc.ram differs*" \
		"*" "*" "*"
	mkimage --plain image && at
	answers 0 "image: plain migration stream, complete" " $unsealed" \
		" $file, VM not said" " machine pc-i440fx-10.0, was running" \
		" memory 4.2 MiB in 2 blocks; * on disk"
	mv image stream
	mkpack --name web1 stream image
	answers 0 "image: pack, complete" \
		" whole it has its end; its frames $unread" \
		" made 2023-11-14 22:13:20 UTC of VM web1, by mkpack" \
		" machine pc-i440fx-10.0, was running" \
		" memory 4.2 MiB in 2 blocks; * on disk"
	# With a label, and a seal that has it.
	mrconvert -q -O mapped image a && mv a image
	answers 0 "image: mapped-ram image, complete" \
		" whole as it was sealed; its pages $unread" \
		" made 2023-11-14 22:13:20 UTC of VM web1, by mrtools *" \
		" machine pc-i440fx-10.0, was running" " $data"
	mkpack --increment stream image
	answers 0 "image: pack, an increment, complete" " beware its base, *" \
		" made *, VM not said, by mkpack" "*" "*"
	mkimage --libvirt sparse --was-running image && at
	answers 0 "image: libvirt save image, mapped-ram, complete" \
		" $unsealed" " $file, VM as in libvirt's XML" \
		" machine pc-i440fx-10.0, was running, running in libvirt" " $data"
	mkimage --plain --libvirt zstd image && at
	answers 0 "image: libvirt save image, compressed, not looked into" \
		" compression zstd: mrconvert reads it" \
		" $file, VM as in libvirt's XML" \
		" machine not looked into, not running in libvirt" \
		" memory not looked into; * on disk"
	mkimage --devices image && at
	answers 0 "image: device state without memory, complete" " $unsealed" \
		" $file, VM not said" " machine not said, was running" \
		" memory none; * on disk"
	mkimage --truncate 300 image
	answers 1 "image: mapped-ram image, DAMAGED" " damage * at byte 300" \
		"*" "*" "*"
	mkimage --interrupted image
	answers 1 "image: mapped-ram image, of a save that was INTERRUPTED" \
		" beware *it cannot be loaded" "*" "*" "*"
	# What else is wrong, is behind -v.
	run -1 mrinspect -v image
	[[ $(tr -s ' ' <<<"$output") == *" damage file ends before "* ]]
	gzip -c stream >image && at
	answers 0 "image: compressed file, no pack, not looked into" \
		" compression gzip: mrconvert reads it" " $file, VM not said" \
		" machine not looked into" " memory not looked into; * on disk"
}

@test "a mapped-ram image" {
	mkimage --machine pc-q35-9.2 --uuid 0123456789abcdef --parts 12 \
		--state paused --block pc.ram=1024:0+160,300+8 \
		--block "sram A1=3:1+1" --device serial=11 image
	run -0 --separate-stderr mrinspect -v image
	[ "${lines[0]}" = "image: mapped-ram image, complete" ]
	[[ $output == *"  capabilities  mapped-ram"$'\n'* ]]
	[[ $output == *"  uuid          30313233-3435-3637-3839-616263646566"* ]]
	[[ $output == *"  page size     4 KiB"$'\n'* ]]
	shows "NAME LENGTH PAGES PRESENT DATA ON DISK BITMAP AT PAGES AT"
	shows "pc.ram 4 MiB 1024 168 672 KiB"
	shows "0xb2 0x100000"
	shows "sram A1 12 KiB 3 1 4 KiB"
	shows "part x 12 2 ram - - 5 96 216"
	shows "full 4 serial 0 1 20 11 36"
	# Columns line up, and no line ends in a blank.
	local name at
	at=$(grep -n NAME <<<"$output" | head -n 1 | cut -d: -f1)
	mapfile -t all <<<"$output"
	name=$(grep -b -o 'NAME' <<<"${all[at - 1]}" | cut -d: -f1)
	[ "${all[at]:$name:6}" = pc.ram ]
	[ "${all[at + 1]:$name:7}" = "sram A1" ]
	[[ ! $output =~ \ $'\n' ]]
}

@test "the same as JSON" {
	mkimage --machine pc-q35-9.2 --uuid 0123456789abcdef --parts 12 \
		--state paused --block pc.ram=1024:0+160,300+8 \
		--block "sram A1=3:1+1" --device serial=11 --trailing 7 image
	run -0 --separate-stderr mrinspect --json image
	has schema 2
	has tool '"mrinspect"'
	has path '"image"'
	has kind '"mapped-ram"'
	has verdict '"sound"'
	has machine '"pc-q35-9.2"'
	has uuid '"30313233-3435-3637-3839-616263646566"'
	has page_size 4096
	has run_state '"paused"'
	has ram 4206592
	has pages_present 169
	has name '"sram A1"'
	has length 4194304
	has bitmap_offset 178
	has bitmap_size 128
	has pages_offset 1048576
	has pages_present 168
	has data_bytes 688128
	has count 12
	has payload 11
	has described true
	has trailing 7
	has ended true
}

@test "a seal is seen" {
	mkimage image
	run -0 mrinspect --json image
	has sealed false
	printf '\213mrseal\nwhatever' >>image
	run -0 mrinspect --json image
	has sealed true
	has trailing 16
	has seal '"broken"'
	run -0 mrinspect -v image
	[[ $output == *"  seal          16 bytes at 0x"* ]]
}

@test "a plain stream, with and without multifd" {
	mkimage --plain --block pc.ram=1024:0+160,300+8 image
	run -0 mrinspect -v image
	[ "${lines[0]}" = "image: plain migration stream, complete" ]
	[[ $output == *"  capabilities  none"* ]]
	shows "pc.ram 4 MiB 1024 168 856 0"
	run -0 mrinspect --json image
	has data_words 168
	has zero_words 856
	has flushes 0

	mkimage --plain --flush image
	run -0 mrinspect image
	[[ $output == *"1 flush word: pages travelled on other channels, and are not in this file"* ]]
}

@test "device state alone" {
	mkimage --devices --vmdesc none --device vga=1407 image
	run -0 mrinspect -v image
	[ "${lines[0]}" = "image: device state without memory, complete" ]
	[[ $output == *"none: device sections are told apart by their footers"* ]]
	shows "vga 0 1 17 1407"
}

@test "libvirt's save images" {
	for format in raw gzip bzip2 xz lzop zstd sparse; do
		for order in "" --big-endian; do
			plain=--plain
			[ $format = sparse ] && plain=
			# shellcheck disable=SC2086
			mkimage $plain --libvirt $format $order \
				--was-running image
			run -0 mrinspect -v image
			[[ ${lines[0]} == "image: libvirt save image, "* ]]
			[[ $output == *"version 2, format $format, VM was running"* ]]
			case $format in
			raw | sparse) [[ $output == *"pc.ram"* ]] ;;
			*) [[ $output == *"compressed, not looked into"* ]] ;;
			esac
			run -0 mrinspect --json image
			has format "\"$format\""
			has was_running true
		done
	done
}

@test "memory that was left out" {
	mkimage --ignore-shared --block pc.bios=64:0+64 --ignored pc.ram=1024 \
		image
	run -0 mrinspect -v image
	[[ $output == *"capabilities  x-ignore-shared, mapped-ram"* ]]
	shows "pc.ram 4 MiB 1024 left out"
	run -0 mrinspect --json image
	has in_file false
}

# ---- what it calls a file ----

@test "every verdict" {
	called sound 0
	called sound 0 --no-end
	called sound 0 --vmdesc '{}'
	called sound 0 --vmdesc none
	called sound 0 --vmdesc zero
	called sound 0 --page-bits 14
	called blank 1 --no-bitmaps
	[[ ${lines[0]} == *"BITMAPS EMPTY" ]]
	called background-snapshot 1 --no-bitmaps --no-end
	[[ ${lines[0]} == *"of a background-snapshot: BITMAPS EMPTY" ]]
	called interrupted 1 --interrupted
	[[ ${lines[0]} == *"of a save that was INTERRUPTED" ]]
	called interrupted 1 --libvirt sparse --part
	[[ $output == *"libvirt had not finished this file"* ]]
	# Nothing was lost if there was nothing:
	called sound 0 --no-bitmaps --block pc.ram=1024
	called damaged 1 --truncate 200
	called damaged 1 --truncate 1500000
	called foreign 1 --truncate 0
	called foreign 1 --patch 0=51454657
}

@test "a damaged file: what stopped it, where, and what came before" {
	local at
	mkimage --block pc.ram=1024:0+4 --block pc.bios=64:0+1 image
	run -0 mrinspect --json image
	[[ $output =~ \"entry_offset\":\ [0-9]+,$'\n'.*\"entry_offset\":\ ([0-9]+) ]]
	at=${BASH_REMATCH[1]} # a name must not be empty
	mkimage --block pc.ram=1024:0+4 --block pc.bios=64:0+1 \
		--patch "$at=00" image
	run -1 --separate-stderr mrinspect -v image
	[ "${lines[0]}" = "image: mapped-ram image, DAMAGED" ]
	[[ ${lines[1]} == "  damage        "*" at byte $at" ]]
	[[ $output == *"pc.ram"* ]]
	[[ $output != *"pc.bios"* ]]
	run -1 --separate-stderr mrinspect --json image
	has offset "$at"
}

# Headers of a mapped-ram block, one field wrong each. Where they are:
# name at 0x63, header at 0x72 (format version, page size, bitmap, pages).
@test "hostile headers" {
	run -0 mkimage image
	run -0 mrinspect --json image
	has header_offset $((0x72))
	called unknown 2 --patch 0x72=00000002 # a version to come
	called damaged 1 --patch 0x76=0000000000000000
	called damaged 1 --patch 0x76=0000000000001001
	called damaged 1 --patch 0x76=0000000000002000
	called damaged 1 --patch 0x76=8000000000000000
	called damaged 1 --patch 0x7e=0000000000000000
	called damaged 1 --patch 0x7e=ffffffffffffffff
	called damaged 1 --patch 0x7e=00000000000fffff
	called damaged 1 --patch 0x86=0000000000000000
	called damaged 1 --patch 0x86=fffffffffff00000
	called damaged 1 --patch 0x86=7ffffffffff00000
	called damaged 1 --patch 0x86=0000000000200000
	# lengths that do not add up, or to more than there is
	called damaged 1 --patch 0x6a=0000000000000000
	called damaged 1 --patch 0x6a=ffffffffffffffff
	called damaged 1 --patch 0x6a=fffffffffffff000
	called damaged 1 --patch 0x5b=7ffffffffffff004
	# configuration: a name of 4 GiB, an unknown capability
	called damaged 1 --patch 9=ffffffff
	called unknown 2 --patch 0x42=58
}

@test "names are shown without harm" {
	mkimage --state $'\e[31mred' image
	run mrinspect image
	[[ $output != *$'\e'* ]]
	mkimage $'\e[31m'
	run mrinspect $'\e[31m' $'none\e[32m'
	[[ $output != *$'\e'* ]]
	mkimage --machine $'a\nb' image
	run -1 mrinspect image
	[[ $output != *$'a\nb'* ]]
}

# ---- how it behaves ----

@test "several files: all are shown, the worst status counts" {
	mkimage good
	mkimage --truncate 300 bad
	run -1 --separate-stderr mrinspect good bad good
	[[ $output == "good: "*$'\n\n'"bad: "*$'\n\n'"good: "* ]]
	run -2 --separate-stderr mrinspect bad none good
	[[ $output == "bad: "*"good: "* ]]
	[ "$stderr" = "mrinspect: none: cannot open: No such file or directory" ]
	run -2 --separate-stderr mrinspect --json bad none good
	has path '"none"'
	has message '"cannot open: No such file or directory"'
	has path '"good"'
}

@test "what cannot be read is trouble" {
	mkdir folder
	mkfifo pipe
	run -2 --separate-stderr mrinspect folder
	[ -z "$output" ]
	run -2 --separate-stderr timeout 10 mrinspect pipe
	[ -z "$output" ]
	run -2 --separate-stderr mrinspect
	[[ $stderr == "mrinspect: no FILE given"* ]]
	run -2 --separate-stderr mrinspect --nonsense
	[[ $stderr == "mrinspect: --nonsense: unknown option"* ]]
	run -2 --separate-stderr mrinspect --progress=77 folder
	[[ $stderr == *"descriptor 77 is not open"* ]]
	run -2 --separate-stderr mrinspect --progress=7 folder 7<folder
	[[ $stderr == *"descriptor 7 is not open to write"* ]]
	run -2 --separate-stderr bash -c "mrinspect --progress=1 folder >&-"
	[[ $stderr == *"descriptor 1 is not open to write"* ]]
}

@test "a result that cannot be written is trouble" {
	mkimage image
	for args in image "--json image" --help --usage --version; do
		# shellcheck disable=SC2086
		run -2 bash -c "mrinspect $args >/dev/full"
		[[ $output == *"cannot write the result: No space left on device" ]]
		# shellcheck disable=SC2086
		run -2 bash -c "mrinspect $args >&-"
	done
	# Of the two, the worse.
	mkimage --truncate 300 image
	run -2 bash -c "mrinspect image >/dev/full"
}

@test "progress for programs" {
	mkimage --plain --block pc.ram=20000:0+10000 image
	mrinspect --progress=3 image 3>progress >/dev/null
	run -1 grep -vx '[0-9]*/100' progress
	[ "$(tail -n 1 progress)" = 100/100 ]
	sort -c -n progress
}

@test "an image of 1 TiB takes little memory and time" {
	mkimage --block pc.ram=268435456:0+10,200000000+5 image ||
		skip "no sparse files of 1 TiB here"
	run -0 timeout 60 peak-memory mrinspect --json image
	has pages_present 15
	[[ $output =~ peak\ ([0-9]+)\ KiB ]]
	# Sanitizers keep shadow memory.
	[[ $O == *address* || $O == *thread* ]] ||
		((BASH_REMATCH[1] < 128 * 1024))
}

@test "mrinspect: a reader that goes away is no trouble worth a word" {
	mkimage image
	run -141 --separate-stderr bash -c '
		{ sleep 1; mrinspect image; } | :
		exit ${PIPESTATUS[0]}'
	[ -z "$stderr" ]
}

@test "a line of each file" {
	mkimage --uuid 0123456789abcdef a
	mkimage --plain s
	mkpack --made=86400 --name=web1 s p
	mkpack --made=1 --increment s i
	echo "nothing that we know" >f
	head -c 300000 a >cut
	touch -d '2001-02-03 04:05:06 UTC' a s
	run -1 --separate-stderr mrinspect --list a s p i f cut
	[ -z "$stderr" ]
	output=$(tr -s ' ' <<<"$output")
	[ "$(head -n 1 <<<"$output")" = " FILE KIND STATE VM MACHINE MADE (UTC) MEMORY ON DISK" ]
	[[ $output == *$'\n'" a mapped-ram whole 30313233-3435-3637-3839-616263646566 pc-i440fx-10.0 2001-02-03 04:05:06* 4.2 MiB "* ]]
	[[ $output == *$'\n'" s stream whole - pc-i440fx-10.0 2001-02-03 04:05:06* 4.2 MiB "* ]]
	[[ $output == *$'\n'" p pack whole web1 pc-i440fx-10.0 1970-01-02 00:00:00 4.2 MiB "* ]]
	[[ $output == *$'\n'" i increment alone "* ]]
	[[ $output == *$'\n'" f foreign foreign - - "*"* - "* ]]
	[[ $output == *$'\n'" cut mapped-ram damaged "* ]]
	[ "$(wc -l <<<"$output")" = 7 ]
	run -0 mrinspect -l a p
	mkfifo pipe
	run -2 --separate-stderr mrinspect --list --json a p f none pipe
	jq -e '.files | length == 5 and
		(.[0] | .kind == "mapped-ram" and .verdict == "sound" and
			.name == null and .made == null and
			.uuid == "30313233-3435-3637-3839-616263646566" and
			.machine == "pc-i440fx-10.0" and
			.modified == 981173106 and .ram == 4456448) and
		(.[1] | .kind == "pack" and .name == "web1" and .made == 86400 and .alone == false) and
		(.[2] | .verdict == "foreign" and .machine == null) and
		(.[3] | .path == "none" and .error.errno == "ENOENT") and
		(.[4] | .path == "pipe" and .error.code == "unsupported")' \
		<<<"$output"
	[[ $stderr == *"none: cannot open"*"pipe: no file"* ]]
	# An image whose seal says it, and one whose seal is damaged.
	mrconvert -q -O mapped p m
	run -0 mrinspect --list m
	[[ $(tr -s ' ' <<<"$output") == *" m mapped-ram whole web1 pc-i440fx-10.0 1970-01-02 00:00:00 "* ]]
	sed s/web1/web2/ m >n
	run -0 mrinspect --list n
	[[ $(tr -s ' ' <<<"$output") == *" n mapped-ram whole - "*"* "* ]]
	run -0 mrinspect --json n
	jq -e '.files[0] | .sealed and .label == null' <<<"$output"
	run -2 mrinspect --list --map a
	[[ $output == *"--list shows a line of each file"* ]]
	run -2 mrinspect --list
	[[ $output == *"no FILE"* ]]
}

@test "what is no image is named, and nobody calls it damaged" {
	cd "$BATS_TEST_TMPDIR"
	printf '\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\4\0' >core
	printf 'KDUMP   \0\0\0\6' >kdump
	printf 'makedumpfile\0\0\0\0' >flat
	printf 'QFI\373\0\0\0\3%052d\0\0\0\1' 0 >disk
	printf 'PAGEDU64\017\0\0\0' >windows
	run -1 mrinspect core kdump flat disk windows
	[ "${lines[0]}" = "core: an ELF core: gdb, crash and drgn read it" ]
	[[ $output == *"kdump: a kdump: crash and drgn read it"* ]]
	[[ $output == *"flat: a flattened kdump: makedumpfile -R "* ]]
	[[ $output == *"disk: a qcow2 disk with snapshots: "*" -loadvm NAME, then mrsave"* ]]
	[[ $output == *"windows: a Windows crash dump: WinDbg reads it"* ]]
	run ! grep damaged <<<"$output"
	run -3 mrload --memory a=b disk
	[[ $output == "mrload: disk: this is no image, but a qcow2 disk "* ]]
	run -1 mrverify core
	[ "$output" = "core: not an image, but an ELF core: gdb, crash and drgn read it" ]
	run -1 mrinspect --json kdump
	jq -e '.files[0].other == "a kdump: crash and drgn read it"' <<<"$output"
}
