#!/bin/sh
# SPDX-License-Identifier: MIT
# differential_mutants.sh [--tenth K] [--all] [NAME...]: the planted faults that
# conformance/differential/mutants.txt names are found within 200 generated programs.
exec python3 "$(dirname -- "$0")/../differential_mutants.py" "$@"
