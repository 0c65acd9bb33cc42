#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""poll_loop_test.py PROGRAM: reminders come in the order in which they are due, while the program's
own timer goes on."""
import subprocess
import sys

LINES = "300 tea\n100 coffee\n0 now\n200 milk and sugar\n"
EXPECTED = "now\ncoffee\nmilk and sugar\ntea\nthe clock ticked meanwhile\n"


def main():
    program = subprocess.run([sys.argv[1]], input=LINES, capture_output=True, text=True, timeout=60,
                             check=False)
    if (program.returncode, program.stdout) != (0, EXPECTED):
        sys.exit(f"FAIL: exit code {program.returncode}, output:\n{program.stdout}{program.stderr}")
    print("ok   reminders come when they are due")


main()
