#!/bin/sh
# SPDX-License-Identifier: MIT
# same.sh BUILD BACKEND...: the same exported symbols (nm -D), and the same types behind them
# (abidiff, where it is installed), whichever backend is inside.
set -u
build=$1
shift
place=$(mktemp -d) || exit 1
trap 'rm -rf "$place"' EXIT
first=$1
status=0
library() {
    echo "$build/lib/$1/libweft.so.0"
}
tell() { # tell STATUS NAME REPORT
    if [ "$1" -eq 0 ]; then
        echo "ok - $2"
    else
        echo "not ok - $2"
        sed 's/^/# /' "$3"
        status=1
    fi
}

echo "1..$(($# * 2 - 1))"
for backend in "$@"; do # name and kind; addresses differ
    nm -D --defined-only "$(library "$backend")" | cut -d ' ' -f 2- | sort >"$place/$backend"
    grep -q ' weft_run$' "$place/$backend" &&
        diff "$place/$first" "$place/$backend" >"$place/report"
    tell $? "symbols_of_$backend" "$place/report"
    [ "$backend" != "$first" ] || continue
    if ! command -v abidiff >/dev/null; then
        echo "ok - types_of_$backend # SKIP no abidiff here"
        continue
    fi
    abidiff "$(library "$first")" "$(library "$backend")" >"$place/report" 2>&1
    tell $? "types_of_$backend" "$place/report"
done
exit $status
