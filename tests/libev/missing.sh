#!/bin/sh
# SPDX-License-Identifier: MIT
# missing.sh RESULT CC...: without a usable libev.so.4 weft fails with -ELIBACC, and says nothing.
# An empty file in front stands for one that is not there, since nobody can take away the system's.
set -eu
result=$1
shift
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
failed=0

# check WHAT EXPECTED: runs with what lies in $directory in front of the system's libraries
check() {
    output=$(LD_LIBRARY_PATH=$directory "$result" 2>&1) || output="$output, exit $?"
    if [ "$output" = "$2" ]; then
        echo "ok - $1"
    else
        echo "not ok - $1"
        echo "$output"
        failed=1
    fi
}

refused='weft_run: ELIBACC
weft_attach: ELIBACC'

check "the system's libev is found" 'weft_run: 0'

: >"$directory/libev.so.4"
check "a file that is no library" "$refused"

echo 'int ev_version_major(void) { return 4; }' >"$directory/libev.c"
"$@" -shared -fPIC -o "$directory/libev.so.4" "$directory/libev.c"
check "a library that lacks functions" "$refused"

exit $failed
