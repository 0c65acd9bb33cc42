#!/bin/sh
# SPDX-License-Identifier: MIT
# The plain programs on the other machine, by Debian's cross compiler and qemu-user.
set -u
cd -- "$(dirname -- "$0")/../.." || exit 1
# shellcheck source=tools/tap.sh
. tools/tap.sh

for tool in qemu-aarch64 aarch64-linux-gnu-gcc aarch64-linux-gnu-g++; do
    command -v $tool >/dev/null && continue
    echo "ok - aarch64 # SKIP $tool is not installed"
    exit
done
tap_build aarch64 --cross-file=tools/presets/aarch64.ini
export WEFT_TEST_TIMEOUT_FACTOR=20
tap_plain qemu-aarch64 -L /usr/aarch64-linux-gnu
