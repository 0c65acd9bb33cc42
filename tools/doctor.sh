#!/bin/sh
# SPDX-License-Identifier: MIT
# doctor.sh: what this machine has for weft, and what is missing. Installs nothing.
set -u
root=$(dirname -- "$(dirname -- "$(readlink -f -- "$0")")")
# shellcheck source=tools/packages.sh
. "$root/tools/packages.sh"
# shellcheck source=tools/library.sh
. "$root/tools/library.sh"

say() {
    printf '%-16s %s\n' "$1" "$2"
}
version() { # version COMMAND ARGS: the first line, or "missing"
    if command -v "$1" >/dev/null 2>&1; then "$@" 2>&1 | head -n 1; else echo missing; fi
}
library_version() { # library_version PKG-CONFIG-NAME HEADER: by either, or "missing"
    pkg-config --modversion "$1" 2>/dev/null && return
    if [ -e "/usr/include/$2" ]; then echo found; else echo missing; fi
}
shared_names() { # how many functions libev and libevent both export; fails if one is missing
    for file in libev.so libevent_core.so; do
        path=$(cc -print-file-name=$file 2>/dev/null)
        [ -e "$path" ] || return 1
        nm -D --defined-only "$path" 2>/dev/null | sed -n 's/.* T //p' | sort -u
    done | sort | uniq -d | grep -c .
}

say compiler "$(version cc --version)"
say meson "$(version meson --version)"
say ninja "$(version ninja --version)"
say kernel "$(uname -sr) on $(uname -m)"
say max_map_count "$(cat /proc/sys/vm/max_map_count 2>/dev/null || echo unknown)"

if [ -z "$(packages_missing run)" ]; then
    library_place epoll
    if library_build libweft.a tools/doctor; then
        "$library/tools/doctor"
    fi
fi

say libuv "$(library_version libuv uv.h)"
say libev "$(library_version libev ev.h)"
say libevent "$(library_version libevent event2/event.h)"
if count=$(shared_names) && [ "$count" -gt 0 ]; then
    say "libev, libevent" \
        "$count common names: linked with -lev before -levent_core, weft on libevent says -ELIBBAD"
fi

status=0
for set in run cxx libuv libev libevent test full; do
    missing=$(packages_missing $set)
    [ -n "$missing" ] || continue
    say "missing, $set" "apt-get install $missing"
    [ $set != run ] || status=1
done
exit $status
