#!/bin/sh
# SPDX-License-Identifier: MIT
# bench.sh [ARGS], bench.sh echo|loops [ARGS]: builds the benchmarks as users build the library and
# hands over to bench/run (the core beside peers), bench/echo/run (TCP beside plain servers) or
# bench/loops (the backends beside each other).
set -eu
root=$(dirname -- "$(dirname -- "$(readlink -f -- "$0")")")

prepare() { # prepare FOLDER OPTION...
    build=$root/build/$1
    shift
    [ -e "$build/build.ninja" ] ||
        meson setup "$build" "$root" --native-file "$root/tools/presets/release.ini" \
            -Dtests=none -Dbench=true "$@" >&2
    ninja -C "$build" --quiet >&2
}

case ${1-} in
echo)
    shift
    prepare bench-compare -Dcompare=true
    exec "$root/bench/echo/run" "$@"
    ;;
loops)
    shift
    prepare bench-compare -Dcompare=true
    exec "$root/bench/loops" "$@"
    ;;
esac
for backend in epoll fake; do
    prepare "bench-$backend" "-Dweft_backend=$backend"
done
exec "$root/bench/run" "$@"
