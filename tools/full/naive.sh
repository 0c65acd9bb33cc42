#!/bin/sh
# SPDX-License-Identifier: MIT
# naive.sh [TEST...]: every test of docs/conformance-differences.md fails on the naive backend.
exec python3 "$(dirname -- "$0")/../naive.py" "$@"
