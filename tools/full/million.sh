#!/bin/sh
# SPDX-License-Identifier: MIT
# A million waiting tasks, each with a guarded stack, fit; their memory comes back. Without guard
# markers 30,000 are guarded, and the rest go on without.
set -u
cd -- "$(dirname -- "$0")/../.." || exit 1
build=build/bench-epoll
program=$build/bench/bench-parked

# check NAME: says how the condition before it ended.
check() {
    if [ $? -eq 0 ]; then
        echo "ok - $1"
    else
        echo "not ok - $1"
        printf '%s\n' "$report"
    fi
}

# at_most NAME NUMBER, at_least NAME NUMBER: of what the last run reported.
at_most() {
    printf '%s\n' "$report" |
        awk -v name="$1" -v most="$2" \
            '$1 == name { n++; bad = $3 > most } END { exit n != 1 || bad }'
}
at_least() {
    printf '%s\n' "$report" |
        awk -v name="$1" -v least="$2" \
            '$1 == name { n++; bad = $3 < least } END { exit n != 1 || bad }'
}

[ -e "$build/build.ninja" ] ||
    report=$(meson setup "$build" --native-file tools/presets/release.ini -Dtests=none \
        -Dbench=true 2>&1)
report=$(ninja -C "$build" 2>&1)
check builds

available=$(awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo)
markers=$(printf '%s\n' "6.13" "$(uname -r)" | sort -V | head -n 1)
if [ "$available" -lt $((6 << 20)) ]; then
    echo "ok - million # SKIP less than 6 GiB of memory are free"
elif [ "$markers" != 6.13 ]; then
    echo "ok - million # SKIP no guard markers before Linux 6.13"
else
    report=$(WEFT_GUARDS=require "$program" -n 1000000 2>&1)
    check million_guarded_tasks_wait
    at_most parked_unguarded 0
    check million_none_unguarded
    at_most parked_memory 4505 # 4.4 KiB
    check million_memory_per_task
    at_most parked_page_tables 160
    check million_page_tables_per_task
    at_most parked_left 64
    check million_memory_comes_back
fi

no_markers=$PWD/$build/bench/libno_markers.so
report=$(LD_PRELOAD=$no_markers WEFT_GUARDS=require "$program" -n 30000 2>&1)
check mprotect_30000_guarded_tasks_wait
at_most parked_unguarded 0 && at_least parked_mappings 60000
check mprotect_30000_all_guarded

report=$(LD_PRELOAD=$no_markers "$program" -n 100000 2>&1)
check mprotect_100000_tasks_wait
at_least parked_unguarded 60000 && at_least parked_mappings 60000
check mprotect_100000_change_over
at_most parked_left 256
check mprotect_100000_memory_comes_back
