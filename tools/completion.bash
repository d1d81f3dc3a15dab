# Completion for the mr* tools: options out of --help, so that it is never
# behind; files for the rest. One file, installed under each tool's name.

_mrtools() {
	local cur=${COMP_WORDS[COMP_CWORD]}
	COMPREPLY=()
	case $cur in
	--*=*)
		local values=
		case $cur in
		--direct=*) values='auto on off' ;;
		--engine=*) values='auto direct qemu' ;;
		--format=*) values='mapped stream pack'
			[[ $1 != *mrconvert ]] ||
				values+=' elf kdump libvirt libvirt:zstd libvirt:sparse' ;;
		--live=*) values='precopy background' ;;
		esac
		mapfile -t COMPREPLY < <(compgen -W "$values" -- "${cur#*=}")
		;;
	-*)
		local options
		options=$("$1" --help 2>/dev/null | grep -o -e '--[a-z0-9-]*=\?')
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
		[[ ${COMPREPLY-} != *= ]] || compopt -o nospace
		;;
	*)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		compopt -o filenames
		;;
	esac
}

complete -F _mrtools mrsave mrload mrrecv mrsend mrconvert mrinspect mrverify mrdiff
