#!/bin/sh
# SPDX-License-Identifier: MIT
# outside.sh ROOT: a backend from outside of the tree is built under its folder's name, and judged
# by the same suite; a name that is nowhere is refused with the list of those that there are.
set -u
root=$1
place=$(mktemp -d) || exit 1
trap 'rm -rf "$place"' EXIT
mkdir "$place/mine"
echo 'poll_is_linear needs_no_epoll' >"$place/mine/capabilities.txt"
sed 's/\.name = "poll"/.name = "mine"/' "$root/backends/poll/poll.c" >"$place/mine/mine.c"

fail() {
    echo "$*"
    tail -n 20 "$place/log"
    exit 1
}
meson setup "$place/build" "$root" -Dweft_backend_dir="$place/mine" -Dtests=plain \
    -Dbuildtype=plain >"$place/log" 2>&1 || fail "it cannot be configured"
program=conformance/plain-conformance-contract-mine
ninja -C "$place/build" "$program" >"$place/log" 2>&1 || fail "it does not compile"
"$place/build/$program" 'c01/*' 'c10/*' >"$place/log" 2>&1 || fail "it does not pass"
grep -q '^ok .* c01/it_is_the_backend_that_was_asked_for$' "$place/log" || fail "no proof of it"

if meson setup "$place/none" "$root" -Dweft_backend=none >"$place/log" 2>&1; then
    fail "a backend that is nowhere was configured"
fi
grep -q 'weft_backend is none, not one of epoll, .*fake' "$place/log" || fail "no list of backends"
