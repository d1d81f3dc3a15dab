# lib.bash - what the scripts that make bad files share.
#
# Each makes one file, "bad", in the current folder: a sound one by mkimage
# (tests/helpers), broken in one place. Places are searched for by bytes, so
# that no script knows the layout.
set -euo pipefail
export LC_ALL=C

# Two blocks, pages 0-2 and 10-11 of the first, page 1 of the second; a device.
mapped() {
	mkimage --block pc.ram=64:0+3,10+2 --block pc.bios=16:1+1 \
		--device serial=20 "$@" bad
}

plain() {
	mkimage --plain --block pc.ram=8:0+3 --block pc.bios=4:1+1 \
		--device serial=20 "$@" bad
}

# The same with a seal. seal: the byte where it begins; its end has 32 bytes.
sealed() {
	mapped "$@"
	mrverify -q --seal bad
}
# The same, whose label says "web1".
labelled() {
	mapped "$@"
	mv bad image
	mrconvert -q -O mapped --name web1 image bad
	rm image
}
seal() { at '\x8bmrseal'; }
seal_end() { echo $(($(stat -c %s bad) - 32)); }

# A pack of pages 0, 1, 300, 301, 520 of one block, 1 of another: extents are
# parts 0-3, entries of 128 bytes in the index, whose blocks begin at byte 96.
packed() { # OPTION of mkpack...
	mkimage --plain --block pc.ram=600:0+2,300+2,520+1 \
		--block pc.bios=4:1+1 --device serial=20 stream
	mkpack "$@" stream bad
	rm stream
}

# The byte where the N-th (1st) match of a PCRE is: at PATTERN [N]
at() {
	local all
	mapfile -t all < <(grep -obUaP "(?s)$1" bad | cut -d: -f1)
	echo "${all[${2:-1} - 1]:?no $1 in the file}"
}

# put OFFSET HEX
put() {
	printf "$(sed 's/../\\x&/g' <<<"$2")" |
		dd of=bad bs=1 seek="$1" conv=notrunc status=none
}

# cut_at OFFSET: the file ends there
cut_at() {
	truncate -s "$1" bad
}

# Numbers as they are in the file, for --part-bytes and put.
u16() { printf %04x "$1"; }
u32() { printf %08x "$1"; }
u64() { printf %016x "$1"; }
hex() { printf %s "$1" | od -An -v -tx1 | tr -d ' \n'; }
str8() { printf %02x ${#1}; hex "$1"; }

# The place of a field of a block's entry: field BLOCK FIELD
field() {
	local name=$1 entry
	entry=$(at "$(printf '\\x%02x' ${#name})${name//./\\.}")
	case $2 in
	name) echo $((entry + 1)) ;;
	total) echo $((entry - 8)) ;; # of the first block
	used_length) echo $((entry + 1 + ${#name})) ;;
	version) echo $((entry + 1 + ${#name} + 8)) ;;
	page_size) echo $((entry + 1 + ${#name} + 12)) ;;
	bitmap_offset) echo $((entry + 1 + ${#name} + 20)) ;;
	pages_offset) echo $((entry + 1 + ${#name} + 28)) ;;
	bitmap) echo $((entry + 1 + ${#name} + 36)) ;;
	esac
}

# The JSON text begins here.
vmdesc() { at '\{"configuration"'; }
# libvirt's header, and XML, before it.
libvirt() { mapped --libvirt sparse "$@"; }
