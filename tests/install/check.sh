#!/bin/sh
# SPDX-License-Identifier: MIT
# check.sh BUILD BACKEND PROGRAM: installs BUILD, compiles PROGRAM outside of the tree by
# pkg-config, against the shared library, the archive, and fully static, and runs all three.
set -eu
build=$1 backend=$2 source=$3
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
DESTDIR=$place meson install -C "$build" --no-rebuild --quiet

pc=$(find "$place" -name weft.pc)
export PKG_CONFIG_PATH="${pc%/*}" PKG_CONFIG_SYSROOT_DIR="$place"
libdir=$place$(PKG_CONFIG_SYSROOT_DIR='' pkg-config --variable=libdir weft)
cp "$source" "$place/program.c"
cd "$place"

fail() {
    echo "$*"
    exit 1
}
compile() { # compile NAME FLAGS...
    name=$1
    shift
    # shellcheck disable=SC2086 # flags are words
    cc -o "$name" program.c -Wall -Wextra -Werror $cflags "$@"
}
runs() { # runs NAME
    output=$(LD_LIBRARY_PATH=$libdir "./$1")
    [ "$output" = "42 $backend 1" ] || fail "$1 printed: $output"
}

cflags=$(pkg-config --cflags weft)
shared=$(pkg-config --libs weft)
static=$(pkg-config --static --libs weft)
[ "$(pkg-config --variable=backend weft)" = "$backend" ] || fail "weft.pc: not backend=$backend"
[ "$(pkg-config --modversion weft)" = 0.1.0 ] || fail "weft.pc: not version 0.1.0"

# shellcheck disable=SC2086
compile shared $shared
runs shared
readelf -d shared | grep -q 'NEEDED.*\[libweft\.so\.0\]' || fail "shared: no libweft.so.0 in it"

# shellcheck disable=SC2086
compile archive -Wl,-Bstatic $static -Wl,-Bdynamic
runs archive
readelf -d archive | grep -q libweft && fail "archive: still wants libweft.so"

# shellcheck disable=SC2086
compile static -static $static
runs static
readelf -d "$libdir/libweft.so" | grep -q 'SONAME.*\[libweft\.so\.0\]' || fail "no soname"
