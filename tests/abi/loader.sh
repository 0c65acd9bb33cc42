#!/bin/sh
# SPDX-License-Identifier: MIT
# loader.sh BUILD ROOT BACKEND...: a program that is linked with the first library runs on each, by
# nothing but what the loader finds; it says itself which library and which loop are in its process.
set -eu
build=$1 root=$2
shift 2
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cc -std=gnu17 -D_GNU_SOURCE -I"$root" -I"$root/api" -o "$place/program" \
    "$root/tests/abi/program.c" "$root/conformance/capabilities.c" -L"$build/lib/$1" -lweft

first=$1
echo "1..$(($# + 1))"
status=0
for backend in "$@"; do
    library=$(readlink -f "$build/lib/$backend/libweft.so.0")
    if LD_LIBRARY_PATH=$build/lib/$backend "$place/program" \
        >"$place/$backend" 2>"$place/proof" &&
        [ "$(cat "$place/proof")" = "$backend $library" ] &&
        diff "$place/$first" "$place/$backend"; then
        echo "ok - the_loader_gives_$backend"
    else
        echo "not ok - the_loader_gives_$backend"
        sed 's/^/# /' "$place/proof"
        status=1
    fi
done
# Nothing in the program itself names a loop.
if readelf -d "$place/program" | grep NEEDED | grep -v 'libweft.so.0\|libc.so'; then
    echo "not ok - the_program_needs_libweft_only"
    status=1
else
    echo "ok - the_program_needs_libweft_only"
fi
exit $status
