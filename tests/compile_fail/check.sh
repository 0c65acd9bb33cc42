#!/bin/sh
# SPDX-License-Identifier: MIT
# check.sh COMPILER INCLUDE FILE: FILE compiles as it is, and does not with -DFAULT, for the reason
# that it names in a line `expect: EXTENDED-REGEX`. A line `flags: ...` adds flags to both.
set -u
compiler=$1 include=$2 file=$3
command -v "$compiler" >/dev/null || exit 77
expect=$(sed -n 's/.*expect: \(.*[^ ]\) *\*\/$/\1/p' "$file" | head -n 1)
flags=$(sed -n 's/.*flags: \(.*[^ ]\) *\*\/$/\1/p' "$file" | head -n 1)
[ -n "$expect" ] || { echo "$file: no expect: line"; exit 1; }

compile() {
    # shellcheck disable=SC2086 # flags are words
    "$compiler" $flags -I"$include" -c -o /dev/null "$@" "$file" 2>&1
}

compile -Werror || { echo "$file: does not compile without its fault"; exit 1; }
if output=$(compile -DFAULT); then
    echo "$file: compiles in spite of its fault"
    exit 1
fi
printf '%s\n' "$output" | grep -Eq -- "$expect" && exit 0
printf '%s\n%s: fails, but not with "%s"\n' "$output" "$file" "$expect"
exit 1
