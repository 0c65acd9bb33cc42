#!/bin/sh
# SPDX-License-Identifier: MIT
# bench.sh [ARGS]: builds the benchmarks as users build the library, then hands over to bench/run.
set -eu
root=$(dirname -- "$(dirname -- "$(readlink -f -- "$0")")")
for backend in epoll fake; do
    build=$root/build/bench-$backend
    [ -e "$build/build.ninja" ] ||
        meson setup "$build" "$root" --native-file "$root/tools/presets/release.ini" \
            "-Dweft_backend=$backend" -Dtests=none -Dbench=true >&2
    ninja -C "$build" --quiet >&2
done
exec "$root/bench/run" "$@"
