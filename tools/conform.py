# SPDX-License-Identifier: MIT
"""Runs the conformance suite of every backend and prints it group by group, from what ran.

A row of conformance/rows.txt is tested, or stands in conformance/not_yet.txt with what it waits
for. Anything else, and any failure, makes the exit status 1.
"""

import collections
import glob
import os
import re
import subprocess
import sys

from builds import BACKENDS, ROOT, Result, backend_options, folder, prepare, read_tap


def read_rows():
    """{id: behaviour}: the catalogue, then one row per clause of the backends' contract."""
    rows = {}
    with open(os.path.join(ROOT, "conformance", "rows.txt"), encoding="utf-8") as file:
        for line in file:
            name, behaviour = line.rstrip("\n").split(" ", 1)
            rows[name] = behaviour
    with open(os.path.join(ROOT, "backends", "contract.h"), encoding="utf-8") as file:
        for number in sorted({int(n) for n in re.findall(r"\[C-(\d+)\]", file.read())}):
            rows[f"C-{number:02}"] = "clause of backends/contract.h"
    return rows


def read_not_yet():
    path = os.path.join(ROOT, "conformance", "not_yet.txt")
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        lines = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    return dict(line.split(": ", 1) if ": " in line else (line, "") for line in lines)


def row_of(test):
    """chan::07b_full_buffer -> CHAN-07; contract tests c06_poll::... -> C-06."""
    clause = re.match(r"c_?0*(\d+)(_|::)", test)
    if clause:
        return f"C-{int(clause.group(1)):02}"
    match = re.match(r"([a-z]+)::(\d+)", test)
    return f"{match.group(1).upper()}-{match.group(2)}" if match else test


def run_backend(backend):
    """{row: [results]} of everything that the backend's conformance programs reported."""
    problem = prepare(backend, backend_options(backend))
    if problem:
        print(problem, file=sys.stderr)
    by_row = collections.defaultdict(list)
    pattern = os.path.join(folder(backend), "conformance", f"conformance-*-{backend}")
    for program in sorted(glob.glob(pattern)):
        if not os.access(program, os.X_OK) or os.path.isdir(program):
            continue
        command = [program, "--tap=-", "--jobs=1"]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        results = read_tap(run.stdout)
        if run.returncode != 0 and all(result.state != "failed" for result in results):
            name = os.path.basename(program)
            results.append(Result(name, "failed", [f"exit status {run.returncode}"]))
        for result in results:
            by_row[row_of(result.name)].append(result)
    return by_row


def judge(rows, not_yet, by_row):
    """Per group [rows, tested, passed, not yet], and the complaints."""
    groups = collections.OrderedDict()
    complaints = []
    for name in rows:
        count = groups.setdefault(name.split("-")[0], [0, 0, 0, 0])
        count[0] += 1
        ran = [result for result in by_row.get(name, []) if result.state != "skipped"]
        count[1] += bool(ran)
        count[2] += bool(ran) and all(result.state == "passed" for result in ran)
        count[3] += name in not_yet
        complaints += [f"failed: {result.name}" for result in ran if result.state == "failed"]
        if bool(ran) == (name in not_yet):
            what = "tested, and in not_yet.txt" if ran else "not tested"
            complaints.append(f"{name} is {what}: {rows[name]}")
    for name, results in by_row.items():
        if name in rows:
            continue
        for result in results:  # suite `fake`: what only a scripted backend has
            if not result.name.startswith("fake::"):
                complaints.append(f"no row for the test {result.name}")
            elif result.state == "failed":
                complaints.append(f"failed: {result.name}")
    return groups, complaints


def main():
    rows = read_rows()
    not_yet = read_not_yet()
    complaints = [f"not_yet.txt: {name} is no row" for name in not_yet if name not in rows]
    for name, why in not_yet.items():
        if not why:
            complaints.append(f"not_yet.txt: {name} does not say what it waits for")
    table = {}
    who = collections.OrderedDict()  # complaint: the backends that have it
    for backend in BACKENDS:
        groups, found = judge(rows, not_yet, run_backend(backend))
        for complaint in found:
            who.setdefault(complaint, []).append(backend)
        for group, count in groups.items():
            table.setdefault(group, {})[backend] = count

    print(f"{'':8}{'':>6}" + "".join(f"   {backend:^24}" for backend in BACKENDS))
    columns = f"   {'tested':>7}{'passed':>8}{'not yet':>9}"
    print(f"{'group':8}{'rows':>6}" + columns * len(BACKENDS))
    total = {backend: [0, 0, 0, 0] for backend in BACKENDS}
    for group, counts in table.items():
        for backend in BACKENDS:
            total[backend] = [a + b for a, b in zip(total[backend], counts[backend])]
        print_row(group, counts)
    print_row("all", total)
    complaints += [f"{', '.join(backends)}: {complaint}" for complaint, backends in who.items()]
    for complaint in complaints:
        print(complaint)
    return 1 if complaints else 0


def print_row(group, counts):
    cells = "".join(f"   {counts[b][1]:7}{counts[b][2]:8}{counts[b][3]:9}" for b in BACKENDS)
    print(f"{group:8}{counts[BACKENDS[0]][0]:6}{cells}")


if __name__ == "__main__":
    sys.exit(main())
