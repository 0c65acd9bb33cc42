#!/bin/sh
# SPDX-License-Identifier: MIT
# The same ABI whichever backend is inside: abidiff finds nothing between the libraries of two.
set -u
cd -- "$(dirname -- "$0")/../.." || exit 1
if ! command -v abidiff >/dev/null; then
    echo "ok - epoll and fake # SKIP no abidiff here"
    exit
fi
if report=$(abidiff build/epoll/libweft.so build/fake/libweft.so 2>&1); then
    echo "ok - epoll and fake"
else
    echo "not ok - epoll and fake"
    printf '%s\n' "$report"
fi
