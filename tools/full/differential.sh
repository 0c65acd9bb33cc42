#!/bin/sh
# SPDX-License-Identifier: MIT
# differential.sh [--tenth K] [--all] [NAME...]: the generated programs find the planted faults that
# conformance/differential/mutants.txt names, within 200 programs.
exec python3 "$(dirname -- "$0")/../differential_mutants.py" "$@"
