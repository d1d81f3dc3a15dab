#!/usr/bin/env bats
# A chain of packs made one by copying its frames: what comes out is what would
# have been compressed anew. With a real QEMU: ../qemu.

load ../lib/env

setup() { cd "$BATS_TEST_TMPDIR"; }

# A chain of images, each --block ... in one argument: 0.mrp <- 1.mrp ..
chain() { # PAGES...
	local n=0 base=()
	for blocks in "$@"; do
		# shellcheck disable=SC2086
		mkimage --device cpu=100 $blocks $n.mr
		mrconvert -q "${base[@]}" $n.mr $n.mrp
		base=(--base $n.mrp)
		((n += 1))
	done
}

# The last of the chain, by copying, is what it is without.
flatten() { # N [JQ]
	mrconvert -q -O pack --level 1 "$1.mrp" slow
	for jobs in 1 3 16; do
		run -0 mrconvert --json -j$jobs -O pack "$1.mrp" quick
		cmp slow quick
		jq -e ".frames >= .copied_frames and (${2:-true})" <<<"$output"
	done
	mrdiff -q "$1.mr" quick
	mrverify -q quick
	cmp <(mrconvert -O pack "$1.mrp" -) quick
}

@test "a chain: each frame that stands alone is copied" {
	chain "--block pc.ram=5000:0+600,1000+300,4000+1000 --block bios=64:0+60" \
		"--block pc.ram=5000:0+500,1000+300,2000+10,4000+1000 --block bios=64:0+60" \
		"--block pc.ram=5000:0+500,1000+300,2000+10,3000+9,4000+1000 --block bios=64:0+60"
	flatten 2 '.copied_frames == 12 and .frames == 13'
	# What was said twice, and what became zero, is not there any more.
	flatten 1 '.copied_frames == 11 and .frames == 12'
	flatten 0 '.copied_frames == 12 and .frames == 12'
	run -0 mrconvert 2.mrp out.mrp
	[[ $output == *"copied     12 of 13 frames as they were: "* ]]
	run -0 mrconvert --json --level 1 2.mrp out.mrp
	jq -e '.copied_frames == 0 and .copied == 0' <<<"$output"
	run -0 mrconvert --json --base 1.mrp 2.mr out.mrp
	jq -e '.copied_frames == 0 and .chain == 3' <<<"$output"
	# From a pipe too, and unseen by whoever only wants to know.
	mrconvert -O pack - - <0.mrp | cmp - 0.mrp
	mrconvert -q 2.mrp out.mrp
	run -0 mrconvert --json --dry-run 2.mrp none.mrp
	jq -e ".size == $(stat -c %s out.mrp)" <<<"$output"
}

@test "blocks that come, go, move, grow and shrink" {
	local a="--block pc.ram=3000:0+3000"
	chain "$a --block dimm=3000:0+3000" \
		"$a --block dimm=1000:0+1000" \
		"$a --block dimm=3000:0+1000" \
		"--block dimm=3000:0+1000,2000+300 $a" \
		"$a" \
		"$a --block dimm=2900:0+700,2000+300" \
		"$a --block dimm=900:0+700 --block rom=500:0+3,300+100" \
		"$a --block dimm=2000:0+700 --block rom=300:0+3"
	for i in 1 2 3 4 5 6 7; do flatten $i; done
	# pc.ram is the second one again, as when most of it was packed.
	flatten 2 '.copied_frames > 12'
}

@test "small blocks say what is zero there" {
	chain "--block pc.ram=5000:0+600 --block rom=700:0+100,300+100" \
		"--block pc.ram=5000:0+600 --block rom=700:0+100,400+100" \
		"--block pc.ram=5000:0+600 --block rom=700:0+100,400+100 --block new=700:9+1" \
		"--block pc.ram=5000:0+600 --block rom=700:0+100 --block new=700:9+1,699+1"
	for i in 0 1 2 3; do flatten $i; done
}

@test "frames keep the level that they have" {
	mkimage --block pc.ram=2500:0+2500 0.mr
	mkimage --block pc.ram=2500:0+2499 1.mr
	mrconvert -q --level 19 0.mr 0.mrp
	mrconvert -q --base 0.mrp 1.mr 1.mrp
	run -0 mrconvert --json 1.mrp flat.mrp
	jq -e '.frames == 10 and .copied_frames == 9' <<<"$output"
	mrdiff -q 1.mr flat.mrp
	mrverify -q flat.mrp
	# All but head and tail.
	run -0 mrconvert --json 0.mrp same.mrp
	jq -e '.frames == 10 and .copied_frames == 10' <<<"$output"
	mrdiff -q 0.mrp same.mrp
	# And extents of another size are made anew.
	mrconvert -q 0.mr 0.stream
	mkpack --extent 524288 0.stream other.mrp
	run -0 mrconvert --json other.mrp out.mrp
	jq -e '.copied_frames == 0' <<<"$output"
	mrdiff -q 0.mr out.mrp
}

@test "a frame that is damaged is not copied" {
	chain "--block pc.ram=9000:0+9000" "--block pc.ram=9000:0+8999"
	cp 0.mrp sound
	local size at
	size=$(stat -c %s sound)
	# Frames and notes; what begins the latter is in no digest.
	for at in $((size / 3)) $((size / 2)) \
		"$(($(grep -abom9 NOTE sound | cut -d: -f1 | tail -1) - 8))" \
		"$(($(grep -abom9 NOTE sound | cut -d: -f1 | tail -1) + 200))"; do
		cp sound 0.mrp
		printf '\125\252' | dd of=0.mrp bs=1 seek="$at" conv=notrunc \
			status=none
		run -2 mrconvert 1.mrp out.mrp
		[ "${#lines[@]}" = 1 ]
		[[ $output == "mrconvert: 1.mrp: base 0.mrp: pack: "* ]]
		run -2 mrconvert 0.mrp out.mrp
		[[ $output =~ ^"mrconvert: 0.mrp: pack: ".*" at byte "[0-9]+$ ]]
		[ ! -e out.mrp ]
	done
	cp sound 0.mrp
	mrconvert -q 1.mrp out.mrp
}
