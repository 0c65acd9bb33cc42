# SPDX-License-Identifier: MIT
"""naive.py [TEST...]: do the tests of the differences between event loops show them?

Reads the tables of docs/conformance-differences.md. A line holds if its test passes on
conformance/naive/ without a fault, and fails with the line's fault. A line that names a mutant
holds if the test is what that mutant's first glob means; mutants.sh plants it. Prints TAP; builds
in build/naive.
"""

import collections
import concurrent.futures
import fnmatch
import os
import re
import subprocess
import sys

from builds import ROOT, folder, preset
from mutants import read_mutants

NAIVE = os.path.join(ROOT, "conformance", "naive")
LINE = re.compile(r"^\|.*\| `([a-z0-9]+/\w+)` \| (mutant )?`(\w+)` \|$")
# Times the usual time-out: many faults are hangs. The sound run has the same.
PATIENCE = "0.4"
# A machine that is late by itself can hide what is early by a millisecond.
ATTEMPTS = 6

Row = collections.namedtuple("Row", "test fault is_mutant")


def read_table():
    path = os.path.join(ROOT, "docs", "conformance-differences.md")
    with open(path, encoding="utf-8") as file:
        lines = [line.rstrip("\n") for line in file if line.startswith("| ")]
    rows = []
    for line in lines:
        match = LINE.match(line)
        if match:
            rows.append(Row(match.group(1), match.group(3), bool(match.group(2))))
        elif not line.startswith(("| what differs |", "| --- |")):
            sys.exit(f"what is this? {line}")
    return rows


def fault_names():
    with open(os.path.join(NAIVE, "naive.c"), encoding="utf-8") as file:
        return set(re.findall(r"\bF\((\w+)\)", file.read()))


def programs():
    """{kind: path} of the plain runners, built."""
    place = folder("naive")
    names = {k: f"conformance/plain-conformance-{k}-naive" for k in ("contract", "runtime")}
    if not os.path.exists(os.path.join(place, "build.ninja")):
        options = preset("release") + [f"-Dweft_backend_dir={NAIVE}", "-Dtests=plain"]
        subprocess.run(["meson", "setup", place, ROOT] + options, check=True, capture_output=True)
    build = ["ninja", "-C", place] + list(names.values())
    run = subprocess.run(build, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        sys.exit(run.stdout + run.stderr)
    return {kind: os.path.join(place, name) for kind, name in names.items()}


def run_test(program, test, fault):
    """(has passed or None if it did not run at all, output)."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("WEFT_", "NAIVE_"))}
    environment |= {"WEFT_TEST_TIMEOUT_FACTOR": PATIENCE, "NAIVE_FAULT": fault}
    run = subprocess.run(
        [program, test],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    output = run.stdout + run.stderr
    match = re.search(rf"^(not )?ok 1 - {test}( # SKIP)?", run.stdout, re.MULTILINE)
    if not match or match.group(2) or "NAIVE_FAULT: no" in output:
        return None, output
    return not match.group(1), output


def judge(row, paths, mutants):
    """What is wrong with a line of the table; None: it holds."""
    if row.is_mutant:
        mutant = mutants.get(row.fault)
        if mutant is None:
            return "there is no such mutant"
        is_first = fnmatch.fnmatch(row.test, mutant.tests[0])
        return None if is_first else f"the mutant's first test is {mutant.tests[0]}"
    program = paths["contract" if re.match(r"c\d\d/", row.test) else "runtime"]
    passed, output = run_test(program, row.test, "")
    if not passed:
        return "does not pass without a fault\n" + output
    for _ in range(ATTEMPTS):
        passed, output = run_test(program, row.test, row.fault)
        if passed is None:
            return "did not run\n" + output
        if not passed:
            return None
    return "passes with the fault"


def main():
    rows = read_table()
    unused = fault_names() - {"name"} - {row.fault for row in rows}
    if sys.argv[1:]:
        rows = [row for row in rows if row.test in sys.argv[1:]]
    paths = programs()
    mutants = {mutant.name: mutant for mutant in read_mutants()}
    print(f"1..{len(rows) + 1}", flush=True)
    failures = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = pool.map(lambda row: judge(row, paths, mutants), rows)
        for number, (row, problem) in enumerate(zip(rows, problems), 1):
            failures += problem is not None
            print(f"{'not ' if problem else ''}ok {number} - {row.test} {row.fault}", flush=True)
            for line in (problem or "").splitlines():
                print(f"# {line}", flush=True)
    print(f"{'not ' if unused else ''}ok {len(rows) + 1} - every_fault_has_a_test")
    for name in sorted(unused):
        print(f"# {name}")
    return failures > 0 or bool(unused)


if __name__ == "__main__":
    sys.exit(main())
