#!/usr/bin/env bats
# Files that must not be lost: what a tool's output replaces, and what not.

load ../lib/vm

setup() {
	need_qemu
	cd "$BATS_TEST_TMPDIR" || return
	mkimage --block pc.ram=64:0+64 image
}

teardown() { kill_vms; }

# The command refuses, names PATH, and leaves it as it is.
spares() { # STATUS PATH COMMAND...
	local want=$1 path=$2 before
	shift 2
	before=$(stat -c '%i %s %y' "$path")
	run "-$want" --separate-stderr "$@"
	[[ $stderr == *": $path: "* ]]
	[ "$(stat -c '%i %s %y' "$path")" = "$before" ]
}

@test "mrsave replaces what is empty or an image, all else with --force" {
	start_vm a -m 8M
	qmp_do a stop >/dev/null
	a=$(vm_qmp a)
	: >empty
	mkimage --libvirt sparse --block pc.ram=64:0+64 libvirt
	mkimage --plain --block pc.ram=64:0+64 stream
	for old in empty libvirt stream image; do
		mrsave -q "$a" $old
		mrverify -q $old
	done
	echo 'what I wrote' >text
	printf 'QFI\373' >disk.qcow2
	for old in text disk.qcow2; do
		spares 3 $old mrsave --check "$a" $old
		for engine in direct qemu; do
			spares 3 $old mrsave --engine=$engine "$a" $old
		done
		mrsave -q --force "$a" $old
		mrverify -q $old
	done
}

@test "a file of the VM's is never replaced, though its process is not to be seen" {
	setpriv --bounding-set=-sys_ptrace true 2>/dev/null ||
		skip "cannot give up a capability"
	[ "$(id -u)" = 0 ] || skip "not root"
	blind() { setpriv --bounding-set=-sys_ptrace "$@"; }
	truncate -s 8M disk ram
	cp image first
	start_vm a -m 8M -object \
		"memory-backend-file,id=m,size=8M,mem-path=$PWD/ram,share=on" \
		-machine memory-backend=m \
		-drive "file=$PWD/disk,format=raw,if=none,id=d" \
		-blockdev "driver=file,node-name=n,filename=$PWD/first"
	qmp_do a stop >/dev/null
	a=$(vm_qmp a)
	inode=$(stat -c %i disk)
	for file in disk ram first; do
		spares 3 $file mrsave --force "$a" $file
		spares 3 $file blind mrsave --force "$a" $file
		[[ $stderr == *'the VM itself uses this file'* ]]
		spares 3 $file mrsave --force -O pack "$a" $file
		[[ $stderr == "mrsave: $file: the VM itself uses this file"* ]]
		spares 3 $file mrconvert --force -O pack "$a" $file
		[[ $stderr == "mrconvert: $file: the VM itself uses"* ]]
	done
	# Not to know is a no.
	spares 3 image blind mrsave "$a" image
	[[ $stderr == *'cannot be looked at'* ]]
	spares 3 image blind mrsave --check "$a" image
	blind mrsave -q "$a" new
	mrverify -q new
	# QEMU does not save itself twice in a row.
	qmp_do a cont >/dev/null
	qmp_do a stop >/dev/null
	blind mrsave -q --force "$a" image
	mrverify -q image
	qmp_do a cont >/dev/null
	qmp_do a stop >/dev/null
	# Nor if it gets that name while the guest stands still.
	for form in mapped pack; do
		for engine in direct qemu; do
			[ $form$engine != packqemu ] || continue
			run -2 --separate-stderr mrsave --force -O $form \
				--engine=$engine --while-paused "mv disk out" "$a" out
			[[ $stderr == "mrsave: out: the VM itself uses this"* ]]
			[ "$(stat -c %i out)" = "$inode" ]
			mv out disk
		done
	done
}

@test "no output goes over a device, a pipe, a socket, a link's aim or the input" {
	cp image other
	mkfifo fifo
	perl -MIO::Socket::UNIX -e '
		IO::Socket::UNIX->new(Local => "socket", Listen => 1) or die'
	mknod null c 1 3 2>/dev/null || ln -s /dev/null null
	mkdir folder
	ln -s nowhere dangling
	for bad in fifo socket null folder dangling; do
		spares 2 $bad mrinspect --svg $bad image
		spares 2 $bad mrdiff --svg $bad image other
		spares 2 $bad mrverify --seal -o $bad image
		spares 2 $bad mrload --memory pc.ram=$bad image
	done
	spares 3 image mrinspect --svg image image
	spares 3 other mrdiff --svg other image other
	spares 3 image mrverify --seal -o image image
	spares 3 image mrverify --seal --force -o image image
	spares 3 image mrload --memory pc.ram=image image
	echo mine >text
	spares 3 text mrinspect --svg text image
	spares 3 text mrverify --seal -o text image
	mrverify -q --seal --force -o text image
	mrverify -q --need-seal text
	# A drawing may be drawn again, and a link leads to it.
	ln -s picture link
	mrinspect --svg picture image
	mrinspect --svg link image
	[ -L link ]
	[ "$(stat -c %a picture)" = 600 ]
}

@test "another user's link in a folder for all is not followed" {
	[ "$(id -u)" = 0 ] || skip "only root can make another user's link"
	mkdir -m 1777 all
	: >aim
	for l in image memory drawing; do
		ln -s ../aim all/$l
		chown -h 65534 all/$l
	done
	start_vm a -m 8M
	qmp_do a stop >/dev/null
	spares 3 all/image mrsave "$(vm_qmp a)" all/image
	spares 3 all/image mrsave --force --engine=qemu "$(vm_qmp a)" all/image
	spares 3 all/image mrverify --seal -o all/image image
	spares 3 all/memory mrload --memory pc.ram=all/memory image
	spares 3 all/drawing mrinspect --svg all/drawing image
	spares 3 all/drawing mrdiff --svg all/drawing image image
	[ ! -s aim ]
}
