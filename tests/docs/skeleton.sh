#!/bin/sh
# SPDX-License-Identifier: MIT
# skeleton.sh ROOT: docs/writing-a-backend.md is true: its skeleton compiles without a warning, and
# the backend that it leads through is as short as it says.
set -eu
root=$1
lines=$(wc -l <"$root/backends/poll/poll.c")
if [ "$lines" -gt 200 ]; then
    echo "backends/poll/poll.c has $lines lines; the document says 200"
    exit 1
fi
awk '/^```c$/ { inside = 1; next } /^```$/ { inside = 0 } inside' \
    "$root/docs/writing-a-backend.md" |
    cc -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Wconversion -Wmissing-prototypes -Werror \
        -fsyntax-only -I"$root" -x c -
