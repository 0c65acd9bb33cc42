#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh [--backend B] FILE [ARGS]: as `go run`. Ninja decides what is stale, both for the library
# and for FILE with the headers that it includes.
set -eu

root=$(dirname -- "$(dirname -- "$(readlink -f -- "$0")")")
backend=epoll
case ${1-} in
--backend=*)
    backend=${1#--backend=}
    shift
    ;;
--backend)
    backend=${2-}
    shift 2
    ;;
esac
[ $# -gt 0 ] || {
    echo "usage: weft run [--backend B] FILE [ARGS]" >&2
    exit 2
}
file=$1
shift
[ -f "$file" ] || {
    echo "weft: no such file: $file" >&2
    exit 2
}
source=$(readlink -f -- "$file")

case $source in
*.c) compiler="${CC:-cc} -std=gnu17 ${CFLAGS-}" ;;
*.cc | *.cpp | *.cxx)
    # shellcheck source=tools/packages.sh
    . "$root/tools/packages.sh"
    packages_need cxx
    compiler="${CXX:-c++} -std=gnu++17 ${CXXFLAGS-}"
    ;;
*)
    echo "weft: $file: neither .c nor .cc nor .cpp" >&2
    exit 2
    ;;
esac

# shellcheck source=tools/library.sh
. "$root/tools/library.sh"
library_place "$backend"
program=$cache/programs/$backend-$(printf %s "$source" | cksum | tr ' ' -)
mkdir -p "$program"

program_describe() { # a build.ninja for the one file
    quoted=$(printf %s "$source" | sed 's/[$ :]/$&/g')
    headers=$(printf %s "$root/api" | sed "s/'/'\\\\''/g; s/[$]/$&/g")
    libs=$(PKG_CONFIG_PATH="$library/meson-uninstalled" pkg-config --static --libs weft |
        sed 's/ *-lweft\>//')
    archive=$(printf %s "$library/libweft.a" | sed 's/[$ :]/$&/g')
    cat <<NINJA
rule program
  command = $compiler -O2 -g -Wall '-I$headers' -MD -MF depfile \$in $libs ${LDFLAGS-} -o \$out
  depfile = depfile
  deps = gcc
build program: program $quoted $archive
NINJA
}

program_build() {
    program_describe >"$program/build.ninja.new"
    cmp -s "$program/build.ninja.new" "$program/build.ninja" 2>/dev/null ||
        mv "$program/build.ninja.new" "$program/build.ninja"
    ninja -C "$program" --quiet >"$program/log" 2>&1
}

build() {
    library_build libweft.a || return 1
    if ! program_build; then
        sed -e '/^FAILED: /,+1d' -e '/^ninja: /d' "$program/log" >&2
        return 1
    fi
    # Warnings are worth a line also when the compilation went well.
    grep -v '^ninja: ' "$program/log" >&2 || true
}

# One build at a time: two shells may run two programs of one tree.
(
    flock 9
    build 9>&-
) 9>"$cache/run.lock" || exit 1
exec "$program/program" "$@"
