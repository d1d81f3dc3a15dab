# env.bash - where things are; every bats file loads this, or vm.bash.
#
# ROOT  the source tree          O  the build to test (build/release)
# The tools and the test helpers of that build come first in PATH.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
O=${O:-build/release}
[[ $O == /* ]] || O=$ROOT/$O
PATH=$O:$O/tests/helpers:$PATH
export ROOT O PATH LC_ALL=C

bats_require_minimum_version 1.5.0
