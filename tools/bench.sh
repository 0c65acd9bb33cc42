#!/bin/sh
# SPDX-License-Identifier: MIT
# bench.sh [ARGS]: hands over to bench/tool, which builds what it measures; --help tells more.
set -eu
root=$(dirname -- "$(dirname -- "$(readlink -f -- "$0")")")
exec python3 "$root/bench/tool" "$@"
