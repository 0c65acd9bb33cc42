#!/bin/sh
# SPDX-License-Identifier: MIT
# The plain programs under ThreadSanitizer, after it has found a planted race.
set -u
cd -- "$(dirname -- "$0")/../.." || exit 1
# shellcheck source=tools/tap.sh
. tools/tap.sh

tap_build tsan --native-file=tools/presets/tsan.ini
tap "planted race" tests/planted/check.sh 'data race' build/tsan/tests/planted/planted-race
export WEFT_TEST_TIMEOUT_FACTOR=10
tap_plain env
