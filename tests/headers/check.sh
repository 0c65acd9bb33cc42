#!/bin/sh
# SPDX-License-Identifier: MIT
# check.sh LANGUAGE COMPILER INCLUDE HEADER...: each header compiles alone, and twice, as C11 or
# C++17 with -pedantic.
set -u
language=$1 compiler=$2 include=$3
shift 3
command -v "$compiler" >/dev/null || exit 77
case $language in
c) flags="-x c -std=c11 -Wstrict-prototypes" ;;
c++) flags="-x c++ -std=c++17" ;;
esac

status=0
for header; do
    name=$(basename "$header")
    # shellcheck disable=SC2086 # flags are words
    printf '#include <weft/%s>\n#include <weft/%s>\nint weft_unit_is_not_empty;\n' "$name" "$name" |
        "$compiler" $flags -pedantic -Wall -Wextra -Werror -I"$include" -fsyntax-only - ||
        { echo "not alone: $name as $language with $compiler"; status=1; }
done
exit $status
