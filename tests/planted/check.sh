#!/bin/sh
# SPDX-License-Identifier: MIT
# check.sh EXPECTED PROGRAM [ARGS]: PROGRAM must fail, and its report must say EXPECTED.
set -u
expected=$1
shift
output=$("$@" 2>&1)
status=$?
[ $status -ne 0 ] || { echo "no failure: the planted fault went unnoticed"; exit 1; }
printf '%s\n' "$output" | grep -q -- "$expected" && exit 0
printf '%s\nfailed (%d), but nowhere says "%s"\n' "$output" $status "$expected"
exit 1
