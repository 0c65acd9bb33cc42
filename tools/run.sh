#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh [--backend B|all] FILE [ARGS]: as `go run`. Ninja decides what is stale, both for the
# library and for FILE with the headers that it includes. With `all`, FILE runs once per backend,
# with an empty standard input, and it is said whether output and exit status are the same.
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
    echo "usage: weft run [--backend B|all] FILE [ARGS]" >&2
    exit 2
}
file=$1
shift
[ -f "$file" ] || {
    echo "weft: no such file: $file" >&2
    exit 2
}
source=$(readlink -f -- "$file")

backends=" $(tr '\n' ' ' <"$root/backends/list.txt")"
case "${backends}all " in
*" $backend "*) ;;
*)
    echo "weft: no backend is called '$backend'; there are:$backends" >&2
    exit 2
    ;;
esac
[ "$backend" = all ] || backends=$backend

# shellcheck source=tools/packages.sh
. "$root/tools/packages.sh"
case $source in
*.c) compiler="${CC:-cc} -std=gnu17 ${CFLAGS-}" ;;
*.cc | *.cpp | *.cxx)
    packages_need cxx
    compiler="${CXX:-c++} -std=gnu++17 ${CXXFLAGS-}"
    ;;
*)
    echo "weft: $file: neither .c nor .cc nor .cpp" >&2
    exit 2
    ;;
esac
# shellcheck disable=SC2086 # names are words; a set per backend
packages_need $backends

# shellcheck source=tools/library.sh
. "$root/tools/library.sh"

library_place "$backend"
program=$cache/programs/$backend-$(printf %s "$source" | cksum | tr ' ' -)
mkdir -p "$program"

# One backend: the program holds its archive. All: it is linked once, and the loader chooses.
target=libweft.a
[ "$backend" != all ] || target=all

program_describe() { # a build.ninja for the one file
    quoted=$(printf %s "$source" | sed 's/[$ :]/$&/g')
    headers=$(printf %s "$root/api" | sed "s/'/'\\\\''/g; s/[$]/$&/g")
    if [ "$backend" = all ]; then
        archive=
        libs=$(printf %s "-L'$library/lib/epoll' -lweft -pthread" | sed 's/[$]/$&/g')
    else
        libs=$(PKG_CONFIG_PATH="$library/meson-uninstalled" pkg-config --static --libs weft |
            sed 's/ *-lweft\>//')
        archive=$(printf %s "$library/libweft.a" | sed 's/[$ :]/$&/g')
    fi
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
    library_build $target || return 1
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
[ "$backend" = all ] || exec "$program/program" "$@"

# What is printed is the first backend's output, then how the others differ from it.
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
first=
different=
for name in $backends; do
    status=0
    LD_LIBRARY_PATH=$library/lib/$name${LD_LIBRARY_PATH+:$LD_LIBRARY_PATH} \
        "$program/program" "$@" >"$place/$name" </dev/null || status=$?
    if [ -z "$first" ]; then
        first=$name first_status=$status
        cat "$place/$name"
        continue
    fi
    if [ "$status" -ne "$first_status" ]; then
        echo "weft: exit status $status on $name, $first_status on $first" >&2
        different="$different $name"
    fi
    if ! diff -u --label "$first" --label "$name" "$place/$first" "$place/$name" >&2; then
        case $different in *" $name") ;; *) different="$different $name" ;; esac
    fi
done
if [ -n "$different" ]; then
    echo "weft: not the same as on $first:$different" >&2
    exit 1
fi
echo "weft: the same output and exit status ($first_status) on:$backends" >&2
exit "$first_status"
