#!/usr/bin/env bats
# What bash offers for a line that is not complete yet.

load ../lib/env

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	. "$ROOT/tools/completion.bash"
	touch vm.mr
}

compopt() { :; } # of a completion that readline runs

offers() { # LINE WANTED
	COMP_LINE=$1 COMP_POINT=${#1}
	_mrtools "${1%% *}"
	[ "${COMPREPLY[*]}" = "$2" ] || {
		echo "$1: ${COMPREPLY[*]}"
		return 1
	}
}

@test "the words that options take" {
	local COMP_WORDBREAKS=$' \t\n"'"'><=;|&(:"
	offers 'mrsave --engine=' 'auto direct qemu'
	offers 'mrsave --engine=d' direct
	offers 'mrsave --describe=o' 'on off'
	offers 'mrsave -O ' 'mapped stream pack'
	offers 'mrsave --live=' 'precopy background'
	offers 'mrload --prefault=a' all
	offers 'mrsend --compress=z' 'zlib zstd'
	offers 'mrconvert -O  k' kdump
	# What is before the colon stands there already.
	offers 'mrconvert -O libvirt:' 'zstd sparse'
	offers 'mrconvert --format=libvirt:s' sparse
	offers 'mrconvert --at=v' vm.mr
	offers 'mrsave --live' '--live='
	offers 'mrsave v' vm.mr
	# Who has bash break words at blanks alone.
	COMP_WORDBREAKS=$' \t\n'
	offers 'mrsave --engine=d' --engine=direct
	offers 'mrconvert -O libvirt:z' libvirt:zstd
	offers 'mrload --metrics=v' --metrics=vm.mr
}

@test "every word that is offered is one that the tool takes" {
	local tool option value
	for tool in mrsave mrload mrconvert mrsend; do
		for option in --describe --direct --zero-copy --engine --format \
			--live --prefault --compress; do
			"$tool" --help | grep -q -e " $option\\b" || continue
			for value in $(_mrtools_values "$tool" "$option"); do
				run "$tool" "$option=$value" --json a b
				[[ $output != *"$option"* ]] || [[ $output == *" needs "* ||
					$output == *" about "* || $output == *" is for "* ||
					$output == *"is of"* || $output == *contradict* ]]
			done
		done
	done
}
