#!/usr/bin/env bats
# How an increment finds what it stands on; with a real QEMU: ../qemu.

load ../lib/env

# inc.mrp, which stands on base.mrp.
setup() {
	cd "$BATS_TEST_TMPDIR" || return
	local machine=(--device cpu=100 --block pc.ram)
	mkimage "${machine[@]}=1000:0+300" 0.mr
	mkimage "${machine[@]}=1000:0+200,500+20" 1.mr
	mrconvert -q 0.mr base.mrp
	mrconvert -q --base=base.mrp 1.mr inc.mrp
}

@test "a damaged copy of the base does not hide a sound one" {
	# Whichever of them the folder names first.
	for i in 1 2 3 4 5; do
		cp base.mrp "$i.mrp"
		printf x | dd of="$i.mrp" bs=1 seek=30 conv=notrunc status=none
	done
	mrdiff -q 1.mr inc.mrp
	rm base.mrp
	run -3 mrconvert -q inc.mrp out.mr
	[[ $output == *": base "[1-5]".mrp: pack: "* ]]
	# And nothing else that is called so does.
	rm [1-5].mrp
	mkdir folder.mrp
	ln -s nowhere.mrp link.mrp
	ln -s self.mrp self.mrp
	echo short >short.mrp
	cp inc.mrp other.mrp
	run -3 mrconvert -q inc.mrp out.mr
	[[ $output == *"is no *.mrp in folder ."* ]]
	mv self.mrp self
	run -3 mrconvert -q inc.mrp out.mr
	[[ $output == *"is no *.mrp in folder ." ]]
	[ ! -e out.mr ]
}

@test "who waits to write into a pipe goes on waiting" {
	mkfifo pipe.mrp
	mkdir apart
	mv base.mrp apart
	(trap '' PIPE; echo data >pipe.mrp 2>says && echo written >>says) 3>&- &
	# It is in open(2): nobody reads.
	until [[ $(cat /proc/$!/syscall) == *0x* ]]; do kill -0 $!; done
	run -3 mrconvert -q inc.mrp out.mr
	[[ $output == *"is no *.mrp in folder ." ]]
	[ "$(cat pipe.mrp)" = data ]
	wait $!
	[ "$(cat says)" = written ]
}

@test "what cannot be read is told" {
	[ "$(id -u)" = 0 ] || skip "not root"
	local nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	"${nobody[@]}" test -x "$O/mrconvert" || skip "$O is root's alone"
	chmod 755 .
	chmod 644 inc.mrp
	run -3 "${nobody[@]}" "$O/mrconvert" -O stream inc.mrp -
	[[ $output == *"in folder . that can be read: base.mrp: Permission denied" ]]
	chmod 711 .
	run -3 "${nobody[@]}" "$O/mrconvert" -O stream inc.mrp -
	[[ $output == *"that can be read: cannot open it: Permission denied" ]]
}

@test "a symlink may stand where the packs are, or lead there" {
	mkdir away links
	ln -s ../inc.mrp away/latest.mrp
	mrdiff -q 1.mr away/latest.mrp
	mkimage --device cpu=100 --block pc.ram=1000:0+200 2.mr
	mrconvert -q --base=away/latest.mrp 2.mr next.mrp
	mrdiff -q 2.mr next.mrp
	# Of the packs in other places.
	mkdir one two
	mv base.mrp one
	mv inc.mrp two
	ln -s ../one/base.mrp ../two/inc.mrp links
	mrdiff -q 1.mr links/inc.mrp
}

@test "one in the middle may be a symlink, too" {
	mkimage --device cpu=100 --block pc.ram=1000:0+200 2.mr
	mrconvert -q --base=inc.mrp 2.mr top.mrp
	mkdir links one
	mv inc.mrp base.mrp one
	ln -s ../one/inc.mrp links/middle.mrp
	mv top.mrp links
	mrdiff -q 2.mr links/top.mrp
	# What stands where it leads to comes after what is beside it.
	rm one/base.mrp
	run -3 mrconvert -q links/top.mrp out.mr
	[[ $output == *": middle.mrp's base, the pack "*" in folder links/, nor where the symlink leads" ]]
	mrconvert -q 0.mr links/other.mrp
	mrdiff -q 2.mr links/top.mrp
	# And beside the top, which is a symlink itself.
	mkdir top
	mv links/other.mrp top
	mv links/top.mrp top/real.mrp
	ln -s ../top/real.mrp links/top.mrp
	mrdiff -q 2.mr links/top.mrp
}

@test "a base whose pages are damaged: where there is a copy is told" {
	mrconvert -q 0.mr whole.mrp
	cmp base.mrp whole.mrp
	printf bad | dd of=base.mrp bs=1 conv=notrunc status=none \
		seek=$(($(stat -c %s base.mrp) / 2))
	cp base.mrp other.mrp
	rm whole.mrp
	run -2 mrconvert -q inc.mrp out.mr
	[[ $output == *": base "*.mrp": pack: the frame in bytes "*"; "*.mrp" beside it is a copy"* ]]
	rm other.mrp
	run -2 mrconvert -q inc.mrp out.mr
	[[ $output == *": base base.mrp: pack: the frame in bytes "* ]]
	[[ $output != *copy* ]]
	# Under another name it is the same.
	ln -s base.mrp link.mrp
	ln base.mrp again.mrp
	run -2 mrconvert -q inc.mrp out.mr
	[[ $output != *copy* ]]
}

@test "more packs than are looked at" {
	mkdir many
	mv inc.mrp many
	(cd many && seq -f %.0f.mrp 65540 | xargs touch)
	run -3 mrconvert -q many/inc.mrp out.mr
	[[ $output == *"in folder many/ that can be read: only 65536 were looked at" ]]
}

@test "a chain does not lose what it stands on" {
	cp base.mrp was
	run -3 mrconvert inc.mrp base.mrp
	[[ $output == "mrconvert: base.mrp: the increment that is read stands on"* ]]
	cmp base.mrp was
	# Its own name is free: what was there is in it.
	mrconvert -q inc.mrp inc.mrp
	mrdiff -q 1.mr inc.mrp
	run -0 mrinspect inc.mrp
	[[ $output != *increment* ]]
	mrconvert -q --base=base.mrp 1.mr inc.mrp
	mrconvert -q --force inc.mrp base.mrp
	mrdiff -q 1.mr base.mrp
}

@test "more memory than increments can be put together to" {
	mkimage --block pc.ram=268435457:0+3 huge.mr
	mrconvert -q huge.mr huge.mrp
	run -2 mrconvert --base=huge.mrp huge.mr more.mrp
	[[ $output == "mrconvert: huge.mr: so much memory (0x10000001000 bytes)"* ]]
	[ ! -e more.mrp ]
}

@test "a base in another folder: it is said" {
	mkdir apart
	run -0 mrconvert --base=base.mrp 1.mr apart/inc.mrp
	[[ $output == *"needs all of them, in one folder: its base is in another"* ]]
	run -3 mrconvert apart/inc.mrp out.mr
	run -0 mrconvert --json --base=base.mrp 1.mr apart/inc.mrp
	jq -e '.chain == 2 and .apart' <<<"$output"
	run -0 mrconvert --json --base=base.mrp 1.mr inc.mrp
	jq -e '.chain == 2 and (.apart | not)' <<<"$output"
}

# There is no VM: it would be told if one had been asked for.
@test "mrsave looks at output and base before the guest stands still" {
	echo text >text.mrp
	mkdir folder.mrp
	run -3 mrsave -O pack no.qmp text.mrp
	[[ $output == "mrsave: text.mrp: exists, and is neither empty nor"* ]]
	run -2 mrsave -O pack no.qmp folder.mrp
	[[ $output == "mrsave: folder.mrp: "*"not a regular file" ]]
	run -3 mrsave --base=base.mrp no.qmp base.mrp
	[[ $output == "mrsave: base.mrp: "*"stands on" ]]
	run -3 mrsave --base=text.mrp no.qmp new.mrp
	[[ $output == "mrsave: text.mrp: "*"since a pack, and this is none" ]]
	run -2 mrsave --name x --no-seal no.qmp new.mr
	[[ $output == *"--name is in the seal that --no-seal leaves out"* ]]
	run -2 mrsave --name x --engine=qemu no.qmp new.mr
	[[ $output == *"--name is in the seal, which --engine=qemu does not write"* ]]
	run -2 mrsave --name x --engine=qemu --live=precopy no.qmp new.mr
	[[ $output == *"--name is in the seal, which --engine=qemu does not write"* ]]
	run -2 mrsave --name x --engine=qemu --live=background no.qmp new.mr
	[[ $output == *"no.qmp: "* ]]
	run -2 mrsave -O pack --name="$(printf %0256d 0)" no.qmp new.mrp
	[[ $output == *"at most 255 bytes" ]]
	rm base.mrp
	run -3 mrsave --base=inc.mrp no.qmp new.mrp
	[[ $output == "mrsave: inc.mrp: "*"is no *.mrp in folder ." ]]
	[ ! -e new.mrp ]
}

@test "an increment from stdin, or compressed: where its base is" {
	run -3 mrconvert -q -O mapped - out.mr <inc.mrp
	[[ $output == *"base, the pack "*" is no *.mrp in folder "* ]]
	mrconvert -q --bases . -O mapped - out.mr <inc.mrp
	mrdiff -q 1.mr out.mr
	mkdir apart
	mv base.mrp apart
	run -3 mrconvert -q --bases . inc.mrp out.mr
	mrconvert -q --bases apart inc.mrp out.mr
	mrdiff -q 1.mr out.mr
	run -3 mrconvert -q --bases none inc.mrp out.mr
	[[ $output == *"in folder none/ that can be read: cannot open it: No such"* ]]
	run -2 mrconvert -q --bases "$(printf '%5000s' '' | tr ' ' a)" inc.mrp out.mr
	[[ $output == *"no folder has so long a name"* ]]
	# What is compressed has a folder.
	gzip -k inc.mrp
	cp inc.mrp.gz apart/inc.gz
	mrconvert -q apart/inc.gz out.mr
	mrdiff -q 1.mr out.mr
}
