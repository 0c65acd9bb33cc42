#!/bin/sh
# SPDX-License-Identifier: MIT
# Fault injection with consequences, on every backend: the k-th call fails, and all that follow it
# too. (That the k-th alone fails is tested by every run.)
set -u
cd -- "$(dirname -- "$0")/../.." || exit 1
if ! report=$(python3 tools/builds.py 2>&1); then
    echo "not ok - compilation"
    printf '%s\n' "$report" | sed 's/^/# /'
    exit 1
fi
status=0
while read -r backend; do
    "build/compare/tests/faults/plain-faults-$backend" --lasting >"build/faults.log" || status=1
    sed "s/^\(ok\|not ok\) \([0-9]*\) - /\1 \2 - lasting_${backend}_/" build/faults.log
done <backends/list.txt
exit $status
