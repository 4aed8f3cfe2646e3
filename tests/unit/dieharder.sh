#!/bin/sh
# dieharder -a on the random words as they are used: dieharder.sh STREAM OUTPUT_FOLDER
# SPDX-License-Identifier: Apache-2.0
#
# One stream after the other per core, each in a file of its own. FAILED (p < 1e-6)
# anywhere fails; WEAK is counted: 1 % of 114 tests a stream is what a good generator gets.
set -eu

if [ $# -ne 2 ]; then
    echo "usage: dieharder.sh STREAM OUTPUT_FOLDER" >&2
    exit 2
fi
if ! command -v dieharder >/dev/null; then
    echo "dieharder.sh: dieharder is missing: apt install dieharder" >&2
    exit 2
fi
stream=$1
out=$2
seed=${FZ_TEST_SEED:-20261124}
mkdir -p "$out"

list=
for size in f32 f64; do
    for order in lane lanes seeds calls threads; do
        list="$list $order-$size"
    done
done
export stream out seed
printf '%s\n' $list | xargs -P "${JOBS:-$(nproc)}" -I NAME sh -c '
    name=NAME
    "$stream" "${name%-*}" "${name#*-}" "$seed" 2>/dev/null |
        nice dieharder -a -g 200 > "$out/$name.txt"'

status=0
passed=0
failed=0
for name in $list; do
    p=$(grep -c PASSED "$out/$name.txt" || true)
    w=$(grep -c WEAK "$out/$name.txt" || true)
    f=$(grep -c FAILED "$out/$name.txt" || true)
    echo "dieharder: $name: $p passed, $w weak, $f failed"
    passed=$((passed + p + w))
    failed=$((failed + f))
    [ "$f" -eq 0 ] || status=1
    # a battery that stopped early proves nothing
    if [ $((p + w + f)) -lt 100 ]; then
        echo "dieharder: $name: only $((p + w + f)) tests ran" >&2
        status=1
    fi
done
echo "dieharder: $passed passed, $failed failed"
exit $status
