# env.bash - where things are; every bats file loads this, or vm.bash.
#
# ROOT  the source tree          O  the build to test (build/release)
# The tools and the test helpers of that build come first in PATH; what makes
# file systems is in a folder that only root has there.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
O=${O:-build/release}
[[ $O == /* ]] || O=$ROOT/$O
PATH=$O:$O/tests/helpers:$PATH:/usr/sbin:/sbin
# What a test keeps is its own.
XDG_CACHE_HOME=${BATS_TEST_TMPDIR:-/nonexistent}/cache
export ROOT O PATH XDG_CACHE_HOME LC_ALL=C

bats_require_minimum_version 1.5.0

# No sanitizer's build.
is_plain() { ! grep -q fsanitize "$O/flags"; }

# Skips the test where its folder has no direct I/O: a tmpfs takes O_DIRECT, and
# goes on as always.
need_direct() {
	[ "$(stat -f -c %T "$BATS_TEST_TMPDIR")" != tmpfs ] &&
		dd if=/dev/zero of="$BATS_TEST_TMPDIR/direct" bs=4096 count=1 \
			oflag=direct status=none 2>/dev/null ||
		skip "no direct I/O in $BATS_TEST_TMPDIR"
}

# Two sealed images are the same to the byte, but for the moment that their
# labels say, and the digest of the seal.
same_but_made() { # A B
	local size seal
	size=$(stat -c %s "$1")
	seal=$((size - 0x$(tail -c 32 "$1" | head -c 8 | xxd -p)))
	! cmp -l "$1" "$2" 2>&1 | awk -v seal="$seal" -v size="$size" '
		!($1 > seal + 64 && $1 <= seal + 72 ||
		  $1 > size - 24 && $1 <= size - 8) { print; exit }' | grep .
}

# Two sealed images are the same, but for their seals, which are whole.
same_but_seal() { # A B
	cmp -n "$(mrinspect --json "$1" | jq '.files[0].stream_end')" "$1" "$2"
	mrverify -q "$1" "$2"
}
