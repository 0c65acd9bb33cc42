#!/bin/sh
# SPDX-License-Identifier: MIT
# The plain programs under Valgrind, after it has found a planted leak.
set -u
cd -- "$(dirname -- "$0")/../.." || exit 1
# shellcheck source=tools/tap.sh
. tools/tap.sh

command -v valgrind >/dev/null || { echo "ok - valgrind # SKIP valgrind is not installed"; exit; }
tap_build valgrind --native-file=tools/presets/debug.ini -Dtests=plain
memcheck="valgrind --quiet --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite"
# shellcheck disable=SC2086 # the command is words
tap "planted leak" tests/planted/check.sh '1,234 bytes' \
    $memcheck build/valgrind/tests/planted/planted-leak
export WEFT_TEST_TIMEOUT_FACTOR=20
# shellcheck disable=SC2086
tap_plain $memcheck
