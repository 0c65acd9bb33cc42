#!/bin/sh
# SPDX-License-Identifier: MIT
# mutants.sh [--tenth K] [NAME...]: every planted fault of conformance/mutants is found by a test.
exec python3 "$(dirname -- "$0")/../mutants.py" "$@"
