# Completion for the mr* tools: options out of --help, so that it is never
# behind; the words that an option takes; files for the rest. One file,
# installed under each tool's name.

# The words that option $2 of tool $1 takes; fails if it takes others.
_mrtools_values() {
	case $2 in
	--describe | --direct | --zero-copy) echo 'auto on off' ;;
	--engine) echo 'auto direct qemu' ;;
	--format | -O)
		echo 'mapped stream pack'
		[[ $1 != *mrconvert ]] ||
			echo 'elf kdump libvirt libvirt:zstd libvirt:sparse'
		;;
	--live) echo 'precopy background' ;;
	--prefault) echo 'recorded all none' ;;
	--compress) echo 'none zlib zstd' ;;
	*) return 1 ;;
	esac
}

_mrtools() {
	# Bash breaks words at "=" and ":", unless it is told not to.
	local line=${COMP_LINE:0:COMP_POINT} word option='' values given=''
	word=${line##*[[:space:]]}
	line=${line%"$word"}
	line=${line%"${line##*[![:space:]]}"}
	COMPREPLY=()
	case $word in
	--*=*)
		option=${word%%=*}
		word=${word#*=}
		[[ $COMP_WORDBREAKS == *=* ]] || given=$option=
		;;
	-*) ;;
	*) option=${line##*[[:space:]]} ;;
	esac
	if values=$(_mrtools_values "$1" "$option"); then
		mapfile -t COMPREPLY < <(compgen -P "$given" -W "$values" -- "$word")
		[[ $COMP_WORDBREAKS != *:* || $word != *:* ]] ||
			COMPREPLY=("${COMPREPLY[@]#"${word%:*}:"}")
	elif [[ $word == -* ]]; then
		values=$("$1" --help 2>/dev/null | grep -o -e '--[a-z0-9-]*=\?' |
			sort -u)
		mapfile -t COMPREPLY < <(compgen -W "$values" -- "$word")
		[[ ${COMPREPLY-} != *= ]] || compopt -o nospace
	else
		mapfile -t COMPREPLY < <(compgen -P "$given" -f -- "$word")
		compopt -o filenames
	fi
}

complete -F _mrtools mrsave mrload mrrecv mrsend mrconvert mrinspect mrverify mrdiff
