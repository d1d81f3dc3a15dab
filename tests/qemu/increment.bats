#!/usr/bin/env bats
# Packs that hold what changed since another one: chains of them are images, and
# alone they are nothing that a QEMU takes for one.

load ../lib/vm

setup() {
	need_qemu
	[ -n "$(command -v zstd)" ] || skip "no zstd"
	cd "$BATS_TEST_TMPDIR"
}

teardown() { kill_vms; }

# Images 0.mr, 1.mr, 2.mr of a guest that goes on in between, stopped in the
# end, and the packs 0.mrp <- 1.mrp <- 2.mrp.
make_chain() { # QEMU ARGUMENT...
	start_vm a "$@"
	wait_ready a
	wait_count a
	mrsave -q "$(vm_qmp a)" 0.mr
	wait_count a
	mrsave -q "$(vm_qmp a)" 1.mr
	wait_count a
	mrsave -q --leave-paused "$(vm_qmp a)" 2.mr
	mrconvert -q 0.mr 0.mrp
	mrconvert -q --base 0.mrp 1.mr 1.mrp
	mrconvert -q --base 1.mrp 2.mr 2.mrp
}

size() { stat -c %s "$1"; }

@test "a chain is an image: loaded, compared, looked into, made one pack again" {
	make_chain -append fill=64M
	(($(size 1.mrp) * 4 < $(size 0.mrp)))
	(($(size 2.mrp) * 4 < $(size 0.mrp)))
	for i in 0 1 2; do
		mrdiff -q $i.mr $i.mrp
		mrverify -q $i.mrp
	done
	run -1 mrdiff -q 0.mrp 1.mrp
	run -0 mrinspect 2.mrp
	[[ $output == *"2 packs below it"* ]]
	[[ $output == *"pack, an increment, complete"* ]]
	# Flat, it is what it would have been at once.
	mrconvert -q 2.mrp flat.mrp
	mrconvert -q 2.mr once.mrp
	cmp <(zstd -qdc flat.mrp) <(zstd -qdc once.mrp)
	# A QEMU that waits.
	start_vm b -incoming defer
	mrload -q 2.mrp "$(vm_qmp b)"
	wait_status b running
	counts_on a b
	assert_no_bad b
}

@test "an increment alone is nothing that a QEMU loads" {
	make_chain -append fill=16M
	mkdir alone
	cp 1.mrp alone/
	# Its bytes as a stream: it does not begin as one.
	start_vm b -incoming "exec:zstd -qdc $PWD/1.mrp" || true
	while kill -0 "$(vm_pid b)" 2>/dev/null; do sleep 0.1; done
	grep -q "Not a migration stream" "$VM_DIR/b.log"
	start_vm c -incoming defer
	run -3 mrload -q alone/1.mrp "$(vm_qmp c)"
	[[ $output == *"increment: its base, the pack "*"is no *.mrp in folder alone/"* ]]
	run -3 mrconvert -q alone/1.mrp alone/out.mr
	[ ! -e alone/out.mr ]
	run -0 mrinspect alone/1.mrp
	[[ $output == *"is no *.mrp in folder alone/"* ]]
	# It is whole, all the same.
	run -0 mrverify -v alone/1.mrp
	[[ $output == *"this increment cannot be loaded: its base, "* ]]
	# Whose base is missing is said.
	cp 2.mrp alone/
	run -3 mrconvert -q alone/2.mrp alone/out.mr
	[[ $output == *"1.mrp's base, the pack "* ]]
	rm alone/2.mrp
	# With its base beside it, under whatever name, it is an image.
	cp 0.mrp alone/renamed.mrp
	mrdiff -q alone/1.mrp 1.mr
}

@test "bases that are others, damaged, or to be replaced" {
	make_chain -append fill=16M
	mkdir other
	cp 1.mrp other/
	# A base that was made anew is another one.
	mrconvert -q --name other 0.mr other/0.mrp
	run -3 mrconvert -q other/1.mrp other/out.mr
	[[ $output == *"its base, the pack "* ]]
	# A frame of the base is damaged: said of the base.
	cp 0.mrp other/0.mrp
	at=$(($(size 0.mrp) / 2))
	printf '\377\377\377\377' |
		dd of=other/0.mrp bs=1 seek=$at conv=notrunc status=none
	run -2 mrconvert -q other/1.mrp other/out.mr
	[[ $output == *"base 0.mrp: "* ]]
	[ ! -e other/out.mr ]
	# What it stands on is not replaced.
	for out in 0.mrp 1.mrp; do
		run -3 mrconvert -q --base 1.mrp 2.mr $out
		[[ $output == *"stands on"* ]]
	done
	run -3 mrconvert -q --base 0.mr 2.mr new.mrp
	[[ $output == *"0.mr: "*"since a pack"* ]]
	run -2 mrconvert -q --base 0.mrp 2.mr new.mr
	[[ $output == *"only a pack"* ]]
	[ ! -e new.mrp ] && [ ! -e new.mr ]
}

@test "a full one after so many" {
	mkimage one.mr
	mrconvert -q one.mr 0.mrp
	for i in 1 2 3; do
		mrconvert -q --full-every 3 --base $((i - 1)).mrp one.mr $i.mrp
	done
	[ "$(mrinspect --json 2.mrp | json files 0 pack below)" = 2 ]
	[ "$(mrinspect --json 3.mrp | json files 0 pack below)" = 0 ]
	mrdiff -q one.mr 2.mrp
}

@test "memory that comes, goes, grows and shrinks" {
	local base=(-M q35 -m 64M,slots=2,maxmem=256M)
	start_vm a "${base[@]}" \
		-object memory-backend-ram,id=m1,size=32M \
		-object memory-backend-ram,id=m2,size=32M -append fill=8M
	wait_ready a
	wait_count a
	mrsave -q "$(vm_qmp a)" 0.mr
	qmp_do a device_add '{"driver":"pc-dimm","id":"d1","memdev":"m1"}' >/dev/null
	wait_count a
	mrsave -q --leave-paused "$(vm_qmp a)" 1.mr
	mrconvert -q 0.mr 0.mrp
	mrconvert -q --base 0.mrp 1.mr 1.mrp
	mrdiff -q 1.mr 1.mrp
	# And back: what has gone does not come with it.
	mrconvert -q --base 1.mrp 0.mr 2.mrp
	mrdiff -q 0.mr 2.mrp
	mrconvert -q --base 2.mrp 1.mr 3.mrp
	mrdiff -q 1.mr 3.mrp
	mrconvert -q 3.mrp flat.mrp
	start_vm b "${base[@]}" -object memory-backend-ram,id=m1,size=32M \
		-device pc-dimm,id=d1,memdev=m1 \
		-incoming "exec:zstd -qdc $PWD/flat.mrp"
	wait_status b running
	counts_on a b
	assert_no_bad b
}
