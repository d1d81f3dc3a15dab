#!/usr/bin/env bats
# mrconvert from stdin, and from what is compressed.

load ../lib/env

setup() { cd "$BATS_TEST_TMPDIR"; }

# Those that this build reads and whose programs are here.
formats() {
	local f
	for f in $(mrconvert --version | sed -n 's/^with: //p'); do
		if command -v "$f" >/dev/null; then echo "$f"; fi
	done
}

pack_with() { "$1" -c <"$2"; }

refused() { # STATUS TEXT ARGUMENT...
	local status=$1 text=$2
	shift 2
	run "-$status" mrconvert "$@"
	[ "${#lines[@]}" -le 2 ]
	[[ $output == "mrconvert: "*"$text"* ]]
}

# The libvirt save image raw with its body compressed: libvirt FORMAT RAW
libvirt() {
	local -A number=([gzip]=1 [bzip2]=2 [xz]=3 [lzop]=4 [zstd]=5)
	local size=$((92 + $(od -An -tu4 -j20 -N4 "$2")))
	head -c 28 "$2"
	printf "\\x${number[$1]}\0\0\0"
	head -c $size "$2" | tail -c +33
	tail -c +$((size + 1)) "$2" | "$1" -c
}

@test "stdin: whatever an image is" {
	mkimage --block pc.ram=5000:0+300,1000+1,4000+1000 image
	touch -d @1600000000 image
	mrconvert -q image a.mrp
	mrconvert -q image a.stream
	mrconvert -q image a.mr
	mkimage --plain --libvirt raw libvirt
	mkimage --libvirt sparse sparse
	# And of a host with the other byte order.
	mkimage --plain --libvirt raw --big-endian libvirt-be
	mkimage --libvirt sparse --big-endian sparse-be
	for from in image a.mrp a.stream a.mr {libvirt,sparse}{,-be}; do
		mrconvert -q $from want.mr
		cat $from | mrconvert -q - out.mr
		cmp want.mr out.mr
		mrconvert -q - out.mr <$from
		cmp want.mr out.mr
		[[ $from != *-be ]] || mrdiff -q $from "${from%-be}"
		rm want.mr out.mr
	done
	cat a.mrp | mrconvert -q - b.mrp
	cmp a.mrp b.mrp
	# A file's moment is known, also when it is stdin.
	mrconvert -q - b.mrp <image
	cmp a.mrp b.mrp
	cat image | mrconvert -O stream - - | cmp - a.stream
	{ head -c 100 a.stream; sleep 0.1; tail -c +101 a.stream; } |
		mrconvert -q - b.mr
	cmp a.mr b.mr
	run -0 mrconvert --json --dry-run - c.mrp <image
	jq -e ".in == \"-\" and .in_size == $(stat -c %s image)" <<<"$output"
	cp image ./-
	mrconvert -q ./- b.mr
	cmp a.mr b.mr
}

@test "stdin: what it is not" {
	refused 3 "-: this is no image" - a.mr </dev/null
	refused 3 "-: this is no image" - a.mr <<<text
	refused 2 "-: cannot read: Is a directory" - a.mr <.
	run -2 bash -c "mrconvert - a.mr <&-"
	[[ $output == "mrconvert: -: cannot read: Bad file descriptor"* ]]
	run -2 python3 -c 'import os, pty, sys
sys.exit(os.waitstatus_to_exitcode(pty.spawn(["mrconvert", "-", "a.mr"])))' </dev/null
	[[ $output == *"stdin is a terminal"* ]]
	mkimage image
	mrconvert -q image a.mrp
	mkimage --block pc.ram=500:0+30 other
	mrconvert -q --base a.mrp other inc.mrp
	refused 3 "-: this pack is an increment" - b.mr <inc.mrp
	for size in 1 20 100 1000 $(($(stat -c %s a.mrp) - 1)); do
		run -3 bash -c "head -c $size a.mrp | mrconvert -q - b.mr"
		[[ $output == "mrconvert: -: "* ]]
		[ "${#lines[@]}" = 1 ]
	done
	[ ! -e b.mr ]
}

@test "compressed, from a file and from stdin" {
	mkimage --plain --block pc.ram=1500:0+300,400+1,1000+400 plain
	touch -d @1600000000 plain
	mrconvert -q plain want.mr
	mrconvert -q plain want.mrp
	for f in $(formats); do
		pack_with $f plain >in
		touch -d @1600000000 in
		mrconvert -q in out.mr
		cmp want.mr out.mr
		mrconvert -q in out.mrp
		cmp want.mrp out.mrp
		cat in | mrconvert -q - out.mr
		cmp want.mr out.mr
		# Two of them, one behind the other.
		{
			head -c 1000000 plain | $f -c
			tail -c +1000001 plain | $f -c
		} >in
		mrconvert -q in out.mr
		cmp want.mr out.mr
		# Its last sector filled with zeros, as from a tape.
		if [[ $f = [gx]z* ]]; then
			truncate -s %512 in
			mrconvert -q in out.mr
			cmp want.mr out.mr
		fi
		# A pack in it, a save image, a mapped-ram image.
		for from in want.mrp want.mr; do
			pack_with $f $from | mrconvert -q - out.mr
			same_but_seal want.mr out.mr
		done
		run -0 mrconvert --json in out.mr
		jq -e ".in_size == $(stat -c %s in)" <<<"$output"
	done
	[ "$f" ]
}

@test "libvirt's save images with a compressed body" {
	mkimage --plain --libvirt raw --was-running raw
	mrconvert -q raw want.mr
	for f in $(formats); do
		libvirt $f raw >in
		mrinspect -v in | grep "format $f"
		mrconvert -q in out.mr
		cmp want.mr out.mr
		cat in | mrconvert -q - out.mr
		cmp want.mr out.mr
		pack_with gzip in | mrconvert -q - out.mr
		cmp want.mr out.mr
		# The header says one thing, the body is another.
		size=$((92 + $(od -An -tu4 -j20 -N4 raw)))
		{ head -c $size in; tail -c +$((size + 1)) raw; } >lie
		refused 2 "what is here is no $f data at byte $size" lie a.mr
		truncate -s $((size - 1)) in
		refused 2 "ends inside libvirt's data area at byte $((size - 1))" \
			in a.mr
	done
	mkimage --plain --libvirt raw --part raw
	libvirt gzip raw >in
	refused 3 "did not finish" in a.mr
}

@test "compressed, and cut off, damaged, or not alone" {
	mkimage --plain --block pc.ram=500:0+500 plain
	for f in $(formats); do
		pack_with $f plain >in
		size=$(stat -c %s in)
		for n in 100 $((size - 1)); do
			head -c $n in >cut
			refused 2 "ends" cut a.mr
			run -2 bash -c "cat cut | mrconvert - a.mr"
			[[ $output == "mrconvert: -: "*" at byte "* ]]
		done
		{ cat in; echo more; } >more
		refused 2 "more: what is here is no $f data at byte $size" \
			more a.mr
		# The last bytes are a checksum or an end that must be there.
		cp in bad
		printf 'bad' | dd of=bad bs=1 seek=$((size / 2)) conv=notrunc \
			status=none
		run mrconvert bad a.mr
		[ "$status" = 2 ] || [ "$status" = 3 ]
		[ ${#lines[@]} = 1 ]
		[[ $output == "mrconvert: bad: "* ]]
	done
	[ ! -e a.mr ]
}

@test "compressed in a way that we do not read" {
	mkimage --plain plain
	{ printf '\x04\x22\x4d\x18'; cat plain; } >in
	refused 2 "in: this build does not unpack lz4" in a.mr
	for ((i = 0; i < 5; i++)); do
		gzip -c plain >next
		mv next plain
	done
	refused 2 "more than 4 times over" plain a.mr
	if command -v zstd >/dev/null; then
		# A window of 256 MiB, and one of 128 MiB.
		head -c 300M /dev/zero | zstd -q --long=28 -c >in
		refused 2 "look back further than 128 MiB" in a.mr
		head -c 300M /dev/zero | zstd -q --long=27 -c >in
		refused 3 "no image" in a.mr
	fi
	if formats | grep -qx xz; then
		head -c 1M /dev/zero | xz --format=xz \
			--lzma2=dict=512MiB -c >in || return 0
		refused 2 "more than 256 MiB" in a.mr
	fi
}

@test "the spool: where, how large, gone" {
	mkdir spool
	mkimage --plain --block pc.ram=5000:0+5000 plain
	size=$(stat -c %s plain)
	mrconvert -q --spool spool --spool-limit $size - a.mr <plain
	TMPDIR=spool mrconvert -q - a.mr <plain
	[ -z "$(ls -A spool)" ]
	rm a.mr
	refused 2 "spool: the spool is full: there are more than the $((size - 1)) bytes" \
		--spool spool --spool-limit $((size - 1)) - a.mr <plain
	refused 2 "none: cannot create a spool in this folder: No such" \
		--spool none - a.mr <plain
	TMPDIR=none refused 2 "none: cannot create a spool" - a.mr <plain
	refused 2 "--spool-limit" --spool-limit 1x - a.mr <plain
	refused 2 "above 0" --spool-limit 0 - a.mr <plain
	# Of a bomb no more than that is unpacked.
	head -c 100M /dev/zero | gzip -c >bomb
	refused 2 "the spool is full" --spool spool --spool-limit 50M bomb a.mr
	run -2 bash -c "trap '' XFSZ; ulimit -f 10000
		mrconvert --spool spool - a.mr <plain"
	[[ $output == "mrconvert: spool: cannot write the spool: File too large"* ]]
	[ "${#lines[@]}" = 1 ]
	# What needs none is not told of it.
	mrconvert -q --spool none plain a.mr
	[ -z "$(ls -A spool)" ]
}

@test "a sparse image comes out of a compressed one" {
	mkimage --block pc.ram=50000:0+1 image
	gzip -1 -c image >in
	run -0 mrconvert -v in a.mr
	[[ $output == *"unpacking it (gzip)"* ]]
	mrdiff -q image a.mr
	[ "$(stat -c %b a.mr)" -lt 2000 ]
}

@test "a signal ends the wait for stdin: one line" {
	mkimage --plain plain
	mkfifo pipe
	mrconvert --spool . - a.mr <pipe 2>says 3>&- &
	local rc=0
	exec 8>pipe
	head -c 100000 plain >&8
	# It has taken all, and waits.
	until python3 -c 'import fcntl, struct, sys, termios
n = fcntl.ioctl(8, termios.FIONREAD, struct.pack("i", 0))
sys.exit(struct.unpack("i", n)[0] != 0)'; do kill -0 $!; done
	kill -TERM $!
	wait $! || rc=$?
	exec 8>&-
	[ $rc = 2 ]
	[ "$(cat says)" = "mrconvert: interrupted" ]
	[ "$(ls -A | paste -s -d ' ')" = "pipe plain says" ]
}

@test "memory stays small, whatever is unpacked" {
	mkimage --plain --block pc.ram=40000:0+40000 plain
	for f in $(formats | grep -x -e zstd -e gzip); do
		$f -1 -c <plain >in
		run -0 peak-memory mrconvert -q in a.mr
		[[ $output =~ peak\ ([0-9]+) ]]
		[ "${BASH_REMATCH[1]}" -lt $((128 << 10)) ]
	done
}
