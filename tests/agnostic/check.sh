#!/bin/sh
# SPDX-License-Identifier: MIT
# check.sh BUILD ROOT BACKEND...: examples/agnostic is built once, against what an installation of
# BUILD offers, and the same two files run with each backend's library.
set -eu
build=$1 root=$2
shift 2
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

echo "1..$(($# + 2))"
status=0
tell() { # tell STATUS NAME REPORT
    if [ "$1" -eq 0 ]; then
        echo "ok - $2"
    else
        echo "not ok - $2"
        sed 's/^/# /' "$3"
        status=1
    fi
}

build_once() {
    DESTDIR=$place/root meson install -C "$build" --no-rebuild --quiet &&
        pc=$(find "$place/root" -name weft.pc) &&
        export PKG_CONFIG_PATH="${pc%/*}" PKG_CONFIG_SYSROOT_DIR="$place/root" &&
        meson setup "$place/courier" "$root/examples/agnostic" &&
        DESTDIR=$place/courier meson install -C "$place/courier"
}
build_once >"$place/log" 2>&1 && result=0 || result=$?
tell "$result" courier_is_built_against_an_installation "$place/log"
[ "$result" -eq 0 ] || exit 1
# As installed: without the paths that Meson writes into what is to be run in place.
library=$(find "$place/courier/usr" -name libcourier.so.0)
demo=$(find "$place/courier/usr" -name courier_demo)

# Neither file asks for a loop's library, nor for any symbol that is not weft's or libc's.
{
    readelf -d "$library" "$demo" | grep NEEDED |
        grep -v 'libweft.so.0\|libcourier.so.0\|libc.so' || true
    nm -D --undefined-only "$library" | grep -E ' (uv_|ev_|event_|epoll_)' ||
        true
} >"$place/named"
[ ! -s "$place/named" ] && result=0 || result=1
tell "$result" courier_names_no_backend "$place/named"

before=$(cksum "$library" "$demo")
for backend in "$@"; do
    result=0
    LD_LIBRARY_PATH=$build/lib/$backend:${library%/*} timeout 60 "$demo" \
        >"$place/output" 2>"$place/backend" || result=$?
    {
        [ "$result" -eq 0 ] || echo "exit status $result"
        diff "$root/examples/agnostic/expected.txt" "$place/output" || result=1
        [ "$(cat "$place/backend")" = "$backend" ] || {
            echo "it ran on $(cat "$place/backend")"
            result=1
        }
        [ "$before" = "$(cksum "$library" "$demo")" ] ||
            result=1
    } >"$place/report" 2>&1
    tell "$result" "courier_on_$backend" "$place/report"
done
exit $status
