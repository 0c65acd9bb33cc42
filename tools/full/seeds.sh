#!/bin/sh
# SPDX-License-Identifier: MIT
# seeds.sh [--tenth K]: the order of ready tasks is shuffled with a hundred seeds on epoll, and with
# twenty on each other backend; the tests must not depend on it.
set -u
cd -- "$(dirname -- "$0")/../.." || exit 1
if ! report=$(python3 tools/builds.py 2>&1); then
    echo "not ok - compilation"
    printf '%s\n' "$report" | sed 's/^/# /'
    exit 1
fi
tenth=${2-}
place=build/compare/seeds
mkdir -p "$place"

run() { # run BACKEND SEEDS: the K-th tenth of them, or all
    first=1 last=$2
    if [ -n "$tenth" ]; then
        first=$(($2 * (tenth - 1) / 10 + 1)) last=$(($2 * tenth / 10))
    fi
    tests/seeds/run.sh "build/compare/conformance/conformance-runtime-$1" "$first" "$last" |
        sed "s/ - seed_/ - $1_seed_/" >"$place/$1"
}

# The many of epoll beside the few of all others: two cores.
run epoll 100 &
while read -r backend; do
    [ "$backend" = epoll ] || run "$backend" 20
done <backends/list.txt
wait
while read -r backend; do
    cat "$place/$backend"
done <backends/list.txt
