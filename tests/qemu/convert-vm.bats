#!/usr/bin/env bats
# What mrconvert makes of a VM.

load ../lib/vm
load ../lib/metrics

UUID=01234567-89ab-cdef-0123-456789abcdef

setup() {
	need_qemu
	[ -n "$(command -v zstd)" ] || skip "no zstd"
	cd "$BATS_TEST_TMPDIR"
	mkdir spool
	export TMPDIR=$PWD/spool
}

teardown() { kill_vms; }

source_vm() { # QEMU ARGUMENT...
	start_vm a -append fill=16M -uuid $UUID "$@"
	wait_ready a
	wait_count a
}

# Nothing is left but these files; VM a counts, and is as it was.
left() { # FILE...
	wait_status a running
	wait_count a
	assert_no_bad a
	[ -z "$(ls -A spool)" ]
	[ "$(ls -A | grep -v '^spool$' | xargs)" = "$*" ]
}

# bats test_tags=address
@test "a pack, an increment of it, and an image of one that stands still" {
	source_vm
	run -0 mrconvert --metrics m.prom "$(vm_qmp a)" full.mrp
	[[ $output == *"found running, left as found; the guest stood still "* ]]
	[[ $(mrinspect full.mrp) == *" of VM a ($UUID), by "* ]]
	prom m.prom
	[ -n "$(value success_paused_seconds)" ]
	rm m.prom
	left full.mrp
	mrconvert -q --name web1 --base full.mrp "$(vm_qmp a)" inc.mrp
	[[ $(mrinspect inc.mrp) == *" of VM web1 ($UUID), by "* ]]
	left full.mrp inc.mrp
	qmp_do a stop >/dev/null
	mrconvert --json --base inc.mrp "$(vm_qmp a)" last.mrp >json
	[ "$(jq -c '[.format, .vm, .chain]' json)" = '["pack","as found",3]' ]
	[ "$(jq .paused_seconds json)" != null ]
	mrconvert -q "$(vm_qmp a)" image.mr
	wait_status a paused
	mrverify -q full.mrp inc.mrp last.mrp image.mr
	mrdiff -q last.mrp "$(vm_qmp a)"
	mrdiff -q image.mr "$(vm_qmp a)"
	incoming_vm b image.mr
	qmp_do b cont >/dev/null
	counts_on a b
	assert_no_bad b
}

@test "a stream and a pack to stdout, which QEMU takes while the guest runs" {
	source_vm
	mrconvert -O pack "$(vm_qmp a)" - | zstd -qdc >of-pack.stream
	mrinspect of-pack.stream | grep -q complete
	mrconvert -O stream "$(vm_qmp a)" - >vm.stream
	left of-pack.stream vm.stream
	stop_vm a
	start_vm b -uuid $UUID -incoming "exec:cat $PWD/vm.stream"
	wait_status b running
	wait_checked b
	assert_no_bad b
}

@test "libvirt's, with the domain's XML" {
	source_vm
	run -3 mrconvert -O libvirt "$(vm_qmp a)" out
	[[ $output == *"--xml"* ]]
	run -2 mrconvert -O libvirt --xml none "$(vm_qmp a)" out
	[[ $output == "mrconvert: none: "* ]]
	echo '<not-a-domain/>' >bad
	run -3 mrconvert -O libvirt --xml bad "$(vm_qmp a)" out
	[[ $output == "mrconvert: bad: "* ]]
	left bad
	echo '<domain></domain>' >xml
	for form in libvirt libvirt:zstd libvirt:sparse; do
		# Out of a file, and of a pipe.
		mrconvert -q -O $form --xml xml "$(vm_qmp a)" out
		mrconvert -q -O $form --xml <(cat xml) "$(vm_qmp a)" out
		mrconvert -q out image.mr
		mrverify -q image.mr
	done
	left bad image.mr out xml
}

@test "what is refused touches neither VM nor files" {
	source_vm
	echo keep >text
	run -3 mrconvert -O pack "$(vm_qmp a)" text
	[[ $output == "mrconvert: text: "* ]]
	run -2 mrconvert "$(vm_qmp a)" out
	run -2 mrconvert --dry-run "$(vm_qmp a)" out.mrp
	[[ $output == *"mrsave --check"* ]]
	run -2 mrconvert --spool-limit 1G "$(vm_qmp a)" out.mrp
	run -2 mrconvert --spool none "$(vm_qmp a)" out.mrp
	[[ $output == "mrconvert: none/"*": "* ]]
	run -2 mrconvert --base none "$(vm_qmp a)" out.mrp
	[[ $output == "mrconvert: none: "* ]]
	run -2 mrconvert -O mapped "$(vm_qmp a)" -
	run -2 mrconvert -O pack --json "$(vm_qmp a)" -
	left text
	# Nothing waits to be saved here.
	start_vm b -incoming defer
	run -3 mrconvert "$(vm_qmp b)" out.mrp
	[[ $output == "mrconvert: $(vm_qmp b): "* ]]
	wait_status b inmigrate
	stop_vm b
	# And its monitor is taken here.
	exec 8> >(exec perl -MIO::Socket::UNIX -e '
		my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die;
		readline $s; print STDERR "taken\n"; readline STDIN' \
		"$(vm_qmp a)" 2>taken)
	until grep -q taken taken; do wait_count a; done
	run -2 mrconvert "$(vm_qmp a)" out.mrp
	[[ $output == "mrconvert: $(vm_qmp a): "* ]]
	exec 8>&-
	rm taken
	left text
}

@test "ended in the middle: the VM runs, and nothing is published" {
	source_vm
	mkfifo progress
	for signal in TERM KILL; do
		mrconvert -q --limit 4K --progress=7 "$(vm_qmp a)" out.mrp \
			7>progress 2>/dev/null 3>&- &
		converter=$!
		read -r <progress
		kill -$signal $converter
		rc=0
		wait $converter || rc=$?
		[ $rc = $([ $signal = KILL ] && echo 137 || echo 2) ]
		left progress
	done
	# Whoever reads goes away.
	run -2 bash -c "set -o pipefail
		mrconvert -O pack '$(vm_qmp a)' - | head -c 1000 >/dev/null"
	[[ $output == *"Broken pipe"* ]]
	left progress
}
