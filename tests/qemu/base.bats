#!/usr/bin/env bats
# mrsave --base against a real QEMU: what did not change since the VM began on
# an image is shared with it, and the result is an image like any other.

load ../lib/vm

setup() {
	need_qemu
	cd "$BATS_TEST_TMPDIR"
}

teardown() {
	kill_vms
	umount "$BATS_TEST_TMPDIR/fs" 2>/dev/null || :
}

# A file system at fs whose files can share data.
disk() { # MAKER...
	command -v "$1" >/dev/null || skip "no $1"
	mkdir fs
	truncate -s 512M disk
	"$@" disk >/dev/null
	mount -o loop disk fs 2>/dev/null || skip "may not mount what $1 makes"
}

# VM b began on fs/base, which is of VM a, and did something.
second_life() { # QEMU ARGUMENT...
	start_vm a "$@"
	wait_ready a
	wait_count a
	mrsave -q "$(vm_qmp a)" fs/base
	stop_vm a
	IMAGE=$PWD/fs/base
	instant_vm b "$IMAGE" -- "$@"
	wait_checked b
	qmp_do b stop >/dev/null
}

allocated() { df --output=used -B1 fs | tail -n 1; }

# It is what an ordinary save gives.
same_as_ever() {
	local before full
	mrsave -q "$(vm_qmp b)" fs/full
	sync
	before=$(allocated)
	run -0 mrsave --base fs/base "$(vm_qmp b)" fs/new
	[[ $output == *"base "*" kept"* ]]
	sync
	echo "$output; room $(($(allocated) - before))"
	same_but_made fs/full fs/new
	full=$(du -B1 fs/full | cut -f 1)
	(($(allocated) - before < full / 2))
	run -0 mrverify fs/new
	[[ $output == *"sound, sealed"* && $output != *note* ]]
	rm fs/full
	incoming_vm c fs/new "$@"
	qmp_do c cont >/dev/null
	wait_checked c
	assert_no_bad c
}

@test "btrfs: data shared, and the same image as ever" {
	disk mkfs.btrfs -q
	second_life -m 96M
	same_as_ever -m 96M
}

@test "xfs: two nodes, of which one is not a mapping" {
	local memory=(-m 96M -M q35
		-object memory-backend-ram,id=m0,size=64M
		-object memory-backend-file,id=m1,size=32M,share=on,mem-path="$PWD/ram"
		-numa node,memdev=m0 -numa node,memdev=m1)
	disk mkfs.xfs -q -m reflink=1
	start_vm a "${memory[@]}"
	wait_ready a
	wait_count a
	mrsave -q "$(vm_qmp a)" fs/base
	stop_vm a
	instant_vm b fs/base -- "${memory[@]}"
	wait_checked b
	qmp_do b stop >/dev/null
	mrsave -q "$(vm_qmp b)" fs/full
	run -0 mrsave --base fs/base "$(vm_qmp b)" fs/new
	[[ $output == *"base "*" kept"* ]]
	same_but_made fs/full fs/new
}

@test "QEMU's live image as the base: its stale pages do not come back" {
	disk mkfs.btrfs -q
	start_vm a -m 32M -append fill=8M
	wait_ready a
	wait_count a 3
	qemu_live_save a "$PWD/fs/base"
	stop_vm a
	mrverify -q --seal fs/base
	instant_vm b "$PWD/fs/base" -- -m 32M -append fill=8M
	wait_checked b
	qmp_do b stop >/dev/null
	mrsave -q "$(vm_qmp b)" fs/full
	run -0 mrsave --base fs/base "$(vm_qmp b)" fs/new
	[[ $output == *"base "*" kept"* ]]
	run -0 mrdiff fs/full fs/new
	mrverify -q fs/new
}

@test "what is no base: an ordinary save, and why" {
	local base
	start_vm a -m 64M
	wait_ready a
	qmp_do a stop
	mrsave -q "$(vm_qmp a)" full
	mrsave -q --no-seal "$(vm_qmp a)" bare
	for base in bare full; do
		run -0 mrsave --base "$base" "$(vm_qmp a)" new
		[[ $output == *"base       of no use: "* ]]
		same_but_made full new
	done
	mrsave --json --engine=qemu --base full "$(vm_qmp a)" new >said
	[[ $(json no_base <said) == "QEMU's own save knows none" ]]
	run -2 mrsave --base nosuch "$(vm_qmp a)" new
	[[ $output == *"nosuch: cannot open"* ]]
	echo hello >text
	run -3 mrsave --check --base text "$(vm_qmp a)" new
	[[ $output == *"text: this is no image"* ]]
}

# VM a was saved to fs/base and went on.
an_hour_later() { # MAKER... -- QEMU ARGUMENT...
	local maker=()
	while [ "$1" != -- ]; do
		maker+=("$1")
		shift
	done
	shift
	disk "${maker[@]}"
	start_vm a "$@"
	wait_ready a
	wait_count a
	mrsave -q "$(vm_qmp a)" fs/base
	wait_checked a
	qmp_do a stop >/dev/null
	mrsave -q "$(vm_qmp a)" fs/full
}

kept() { # MiB of a summary in JSON
	echo $(($(json kept) >> 20))
}

# The base's pages that are still the VM's, and no others.
only_changes() {
	local before
	sync
	before=$(allocated)
	mrsave --json --base fs/base "$(vm_qmp a)" fs/new >said
	sync
	cat said
	same_but_made fs/full fs/new
	(($(kept <said) >= 64))
	(($(json written <said) + $(json kept <said) >= $(json data <said)))
	(($(allocated) - before < 24 << 20))
	run -0 mrverify fs/new
	[[ $output == *"sound, sealed"* && $output != *note* ]]
}

@test "btrfs: a VM that did not begin on the base shares what did not change" {
	an_hour_later mkfs.btrfs -q -- -m 96M -append fill=64M
	only_changes
	# It is a base in its turn.
	mv fs/new fs/base
	only_changes
}

@test "xfs: a VM that did not begin on the base shares what did not change" {
	an_hour_later mkfs.xfs -q -m reflink=1 -- -m 96M -append fill=64M -object \
		memory-backend-memfd,id=m,size=96M,share=on -M pc,memory-backend=m
	only_changes
	mrsave -q --zero-copy=on --base fs/base "$(vm_qmp a)" fs/new
	same_but_made fs/full fs/new
	rm fs/base
	mrverify -q fs/new
}

@test "what was data in the base and is zero now leaves nothing behind" {
	an_hour_later mkfs.btrfs -q -- -m 96M -append fill=64M
	# A base with all of memory filled.
	start_vm b -m 96M -append fill=80M
	wait_ready b
	mrsave -q "$(vm_qmp b)" fs/base
	stop_vm b
	mrsave --json --base fs/base "$(vm_qmp a)" fs/new >said
	cat said
	same_but_made fs/full fs/new
	mrverify -q fs/new
	run -0 mrverify -v fs/new
	[[ $output != *note* ]]
}

@test "a base that is damaged, old or bare is none" {
	an_hour_later mkfs.btrfs -q -- -m 64M -append fill=32M
	local at
	cp --reflink=never fs/base fs/torn
	at=$(LC_ALL=C grep -obUaP '\x8bmrseal' fs/torn | tail -n 1 | cut -d: -f1)
	# The digest of a page near 8 MiB, where the guest has data.
	printf xxxxxxxx | dd of=fs/torn bs=1 seek=$((at + 20500)) conv=notrunc \
		status=none
	run -1 mrverify fs/torn
	[[ $output == *"the seal's digests of pages "* ]]
	# Blocks whose digests are whole are shared, pc.ram is not.
	mrsave --json --base fs/torn "$(vm_qmp a)" fs/new >said
	(($(kept <said) < 4))
	same_but_made fs/full fs/new
	fuzz-pack -u "$ROOT/tests/fuzz/corpus/image/sealed" fs/old
	run -0 mrsave --base fs/old "$(vm_qmp a)" fs/new
	[[ $output == *"of no use: its seal has no digests of pages: mrverify --seal renews it"* ]]
	same_but_made fs/full fs/new
	mrsave -q --no-seal "$(vm_qmp a)" fs/bare
	run -0 mrsave --base fs/bare "$(vm_qmp a)" fs/new
	[[ $output == *"of no use: it has no seal"* ]]
	same_but_made fs/full fs/new
	run -0 mrsave --no-seal --base fs/base "$(vm_qmp a)" fs/new
	[[ $output == *"of no use: no memory of the VM is a mapping of it"* ]]
	cmp fs/bare fs/new
}

@test "a base elsewhere, of other memory, or that is the target itself" {
	an_hour_later mkfs.btrfs -q -- -m 64M -append fill=32M
	local name
	cp fs/base elsewhere
	run -0 mrsave --base elsewhere "$(vm_qmp a)" fs/new
	[[ $output == *"of no use: the two files cannot share data"* ]]
	same_but_made fs/full fs/new
	start_vm b -m 96M -append fill=32M
	wait_ready b
	mrsave -q "$(vm_qmp b)" fs/other
	stop_vm b
	mrsave -q --base fs/other "$(vm_qmp a)" fs/new
	same_but_made fs/full fs/new
	# bits behind the last page, which no QEMU writes
	cp fs/base fs/stray
	python3 - fs/stray "$(mrinspect --json fs/base | jq '.files[0].blocks[]
		| select(.pages % 64 != 0) | .bitmap_offset, .pages' | head -n 2 |
		tr '\n' ' ')" <<-E
		import sys
		at, pages = map(int, sys.argv[2].split())
		f = open(sys.argv[1], "r+b")
		f.seek(at + pages // 8)
		f.write(b"\xff")
	E
	run -3 mrsave --base fs/stray "$(vm_qmp a)" fs/new
	[[ $output == *"fs/stray: "*"beyond its last page"* ]]
	same_but_made fs/full fs/new
	ln -s base fs/symlink
	ln fs/base fs/link
	for name in base symlink link base; do
		run -0 mrsave --base "fs/$name" "$(vm_qmp a)" fs/base
		[[ $output == *"base "*" kept"* ]]
		same_but_made fs/full fs/base
	done
}

@test "a base that is changed while it is used: no wrong image" {
	an_hour_later mkfs.btrfs -q -- -m 64M -append fill=32M
	local i pid rc
	cp fs/base fs/good
	for i in 1 2 3 4 5 6 7 8; do
		cp fs/good fs/torn
		rm -f fs/new
		mrsave -q --base fs/torn "$(vm_qmp a)" fs/new 2>says 3>&- &
		pid=$!
		sleep "0.0$i"
		truncate -s 20M fs/torn
		rc=0
		wait $pid || rc=$?
		((rc == 0)) || [ ! -e fs/new ]
		[ ! -e fs/new ] || same_but_made fs/full fs/new
		[ "$(wc -l <says)" -le 1 ]
	done
	# What was altered since the base was sealed is altered in the image,
	# and mrverify finds it.
	cp fs/good fs/torn
	printf altered | dd of=fs/torn bs=1 conv=notrunc status=none \
		seek=$(($(mrinspect --json fs/torn | jq '.files[0].blocks[0].pages_offset') + (20 << 20)))
	run -1 mrverify fs/torn
	mrsave -q --base fs/torn "$(vm_qmp a)" fs/new
	run -1 mrverify fs/new
	[[ $output == *"page"* ]]
}

@test "another image than the one that the VM began on is found out" {
	disk mkfs.btrfs -q
	second_life -m 64M -append fill=32M
	start_vm c -m 64M -append fill=48M
	wait_ready c
	mrsave -q "$(vm_qmp c)" fs/other
	stop_vm c
	mrsave -q "$(vm_qmp b)" fs/full
	for base in other base; do
		# By its content a copy is as good as the base itself.
		cp --reflink=never "fs/$base" fs/copy
		mrsave --json --base fs/copy "$(vm_qmp b)" fs/new >said
		cat said
		same_but_made fs/full fs/new
		mrverify -q fs/new
	done
	(($(kept <said) >= 32))
}
