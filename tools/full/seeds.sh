#!/bin/sh
# SPDX-License-Identifier: MIT
# The order of ready tasks is shuffled with a hundred seeds; the tests must not depend on it.
set -u
cd -- "$(dirname -- "$0")/../.." || exit 1
program=build/epoll/conformance/conformance-runtime-epoll
if ! report=$(python3 tools/builds.py epoll 2>&1); then
    echo "not ok - compilation"
    printf '%s\n' "$report" | sed 's/^/# /'
    exit 1
fi
exec tests/seeds/run.sh "$program" 1 100
