#!/usr/bin/env bats
# What every tool says of itself, against its manual page.

load ../lib/env

tools() { (cd "$ROOT/tools" && ls mr*.c | sed 's/\.c$//'); }

@test "the manual pages have every option of --help, and no other" {
	cd "$BATS_TEST_TMPDIR"
	for tool in $(tools); do
		"$tool" --help | grep -o -e '--[a-z][a-z0-9-]*' | sort -u >help
		sed -n 's/^\.It.* Fl -\([a-z0-9-]*\).*/--\1/p
			s/^\.It.*, -\([a-z0-9-]*\).*/--\1/p' \
			"$ROOT/man/$tool.1" | sort -u >manual
		diff help manual || {
			echo "of $tool"
			return 1
		}
	done
}

@test "the short options too" {
	cd "$BATS_TEST_TMPDIR"
	for tool in $(tools); do
		"$tool" --help | grep -o -e '^  -[a-zA-Z]' | tr -d ' ' |
			sort -u >help
		sed -n 's/^\.It Fl \([a-zA-Z]\) .*/-\1/p' \
			"$ROOT/man/$tool.1" | sort -u >manual
		diff help manual || {
			echo "of $tool"
			return 1
		}
	done
}

@test "the members of JSON are all in the pages, and no other" {
	cd "$BATS_TEST_TMPDIR"
	for tool in mrconvert mrdiff mrinspect mrload mrrecv mrsave mrsend \
		mrverify; do
		(
			cd "$ROOT/tools"
			find $tool.c "${tool#mr}" -name '*.c' 2>/dev/null |
				xargs cat
			# what every document has
			sed -n '/^void cli_json_begin/,/^}/p' common/json.c
			# and one that failed, which one page lists
			[ $tool != mrinspect ] ||
				sed -n '/^static void put_failure/,/^}/p' \
					common/json.c
		) |
			grep -oE '(cli_json_(put_[a-z]*|key)|put_(hex|damage))\("[a-z_]*"' |
			cut -d '"' -f 2 | sort -u >code
		# ".It Cm a , b" are two; objects of one page may have the same
		sed -n '/^\.Sh JSON/,/^\.Sh EXIT/s/^\.It Cm //p' \
			"$ROOT/man/$tool.1" | tr -s ' ,' '\n' | sort -u >manual
		[ "$(wc -l <code)" -gt 9 ]
		diff code manual || {
			echo "of $tool"
			return 1
		}
	done
}

@test "the manual pages are clean" {
	[ -n "$(command -v mandoc)" ] || skip "no mandoc"
	mandoc -T lint -W warning "$ROOT"/man/*.[157]
}

@test "--version, --usage, --help" {
	for tool in $(tools); do
		run -0 "$tool" --version
		[ "${lines[0]}" = "$tool (mrtools) $(cat "$ROOT/VERSION")" ]
		case $tool in
		mrconvert)
			[[ ${lines[1]} == "with: zstd gzip"* ]]
			[[ ${lines[2]} == "VMs of: QEMU"* && ${#lines[@]} = 3 ]]
			;;
		mrsave | mrdiff | mrinspect)
			[[ ${lines[1]} == "VMs of: QEMU"* && ${#lines[@]} = 2 ]]
			;;
		*) [ ${#lines[@]} = 1 ] ;;
		esac
		run -0 "$tool" --usage
		[[ $output == "Usage: $tool "* ]]
		run -0 "$tool" --help
		[[ ${lines[0]} == "Usage: $tool [OPTION...] "* ]]
	done
}

@test "no arguments, an unknown option: usage, exit 2" {
	for tool in $(tools); do
		run -2 "$tool"
		[[ $output == "$tool: "* ]]
		run -2 "$tool" --no-such-option
		[[ $output == "$tool: --no-such-option: unknown option"* ]]
	done
}

@test "what cannot be printed is trouble" {
	for tool in $(tools); do
		for option in --help --usage --version; do
			run -2 bash -c "$tool $option >/dev/full"
		done
	done
}
