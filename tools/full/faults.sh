#!/bin/sh
# SPDX-License-Identifier: MIT
# Fault injection on every backend: the k-th call fails, and with --lasting all that follow it too.
set -u
cd -- "$(dirname -- "$0")/../.." || exit 1
number=0
backends=$(tr '\n' ' ' <backends/list.txt)
for backend in $backends; do
    [ -d "backends/$backend" ] || continue
    program=build/$backend/tests/faults/plain-faults-$backend
    if ! report=$(python3 tools/builds.py "$backend" 2>&1); then
        number=$((number + 1))
        echo "not ok $number - ${backend}_compiles"
        printf '%s\n' "$report" | sed 's/^/# /'
        continue
    fi
    for how in '' --lasting; do
        # One numbering for all runs; their own plans would contradict each other.
        while IFS= read -r line; do
            case $line in
            1..*) continue ;;
            ok* | 'not ok'*)
                number=$((number + 1))
                echo "${line%% [0-9]*} $number - $backend${how#-}_${line#* - }"
                ;;
            *) echo "$line" ;;
            esac
        done <<TEXT
$("$program" $how)
TEXT
    done
done
echo "1..$number"
