# SPDX-License-Identifier: MIT
"""Runs the conformance suite on every backend and prints the matrix, rows x backends.

A row of conformance/rows.txt is tested, or stands in conformance/not_yet.txt with what it waits
for. Anything else, and any failure, makes the exit status 1.
"""

import argparse
import collections
import concurrent.futures
import dataclasses
import datetime
import os
import re
import subprocess
import sys

import conform_report
from builds import (
    BACKENDS,
    COMPARE,
    COMPARE_OPTIONS,
    ROOT,
    folder,
    prepare,
    preset,
    read_tests,
    run_test,
)


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
    """{id: what it waits for}"""
    path = os.path.join(ROOT, "conformance", "not_yet.txt")
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


@dataclasses.dataclass
class Matrix:
    """What ran: cells[backend][row] is a list of results, each a test."""

    rows: dict  # {row: behaviour}
    not_yet: dict  # {row: what it waits for}
    date: str  # of the run
    libraries: dict = dataclasses.field(default_factory=dict)  # {backend: "libev 4.33"}
    cells: dict = dataclasses.field(default_factory=dict)
    complaints: list = dataclasses.field(default_factory=list)

    def state(self, backend, row):
        """passed, failed, skipped, not yet, untested"""
        states = {result.state for result in self.cells[backend].get(row, [])}
        for state in ("failed", "passed", "skipped"):
            if state in states:
                return state
        return "not yet" if row in self.not_yet else "untested"


def library_of(build, backend):
    """What the backend's facts say it stands on."""
    name = f"doctor-{backend}" if build == COMPARE else "doctor"
    path = os.path.join(folder(build), "tools", name)
    if not os.path.exists(path):
        return "unknown"
    run = subprocess.run([path], capture_output=True, text=True, check=False)
    found = re.search(r"^loop\s+(.*)$", run.stdout, re.MULTILINE)
    return found.group(1) if found else "unknown"


def run_suites(build, backends):
    """{backend: {row: [results]}}: everything that tests of the suite `conformance` report."""
    cells = {backend: collections.defaultdict(list) for backend in backends}
    work = [
        (backend, test)
        for test in read_tests(build)
        for backend in backends
        if {"conformance", backend} <= set(test["suite"])
    ]
    # The long ones first, so that the cores end together.
    work.sort(key=lambda item: "runtime" not in item[1]["name"])
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        reports = pool.map(lambda item: run_test(item[1], build), work)
        for (backend, test), results in zip(work, reports):
            for result in results:
                name = row_of(result.name)
                if "::" not in result.name:  # no test, but what was wrong with all of them
                    name = test["name"]
                cells[backend][name].append(result)
    return cells


def judge(matrix):
    """Fills in the complaints: each once, with the backends that have it."""
    who = collections.OrderedDict()
    for backend, by_row in matrix.cells.items():
        for row, behaviour in matrix.rows.items():
            ran = [result for result in by_row.get(row, []) if result.state != "skipped"]
            if bool(ran) == (row in matrix.not_yet):
                what = "tested, and in not_yet.txt" if ran else "not tested"
                who.setdefault(f"{row} is {what}: {behaviour}", []).append(backend)
        for row, results in by_row.items():
            for result in results:
                # Suite `fake`: what only a scripted backend has.
                if row not in matrix.rows and result.state != "failed":
                    if not result.name.startswith("fake::"):
                        who.setdefault(f"no row for {result.name}", []).append(backend)
                elif result.state == "failed":
                    who.setdefault(f"failed: {row} {result.name}", []).append(backend)
    matrix.complaints += [f"{', '.join(names)}: {complaint}" for complaint, names in who.items()]


def check_catalogue(matrix):
    for name, why in matrix.not_yet.items():
        if name not in matrix.rows:
            matrix.complaints.append(f"not_yet.txt: {name} is no row")
        if not why:
            matrix.complaints.append(f"not_yet.txt: {name} does not say what it waits for")


def read_arguments():
    parser = argparse.ArgumentParser(prog="weft conform", description=__doc__.split("\n\n")[0])
    parser.add_argument("backends", nargs="*", metavar="BACKEND", help="all, if none is named")
    parser.add_argument("--backend-dir", metavar="DIR", help="judge the backend DIR/NAME.c instead")
    parser.add_argument("--markdown", metavar="FILE")
    parser.add_argument("--junit", metavar="FILE")
    parser.add_argument("--html", metavar="FILE")
    parser.add_argument("--update-docs", action="store_true", help="write docs/conformance.md")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.backends if name not in BACKENDS]
    if unknown:
        parser.error(f"no backend {', '.join(unknown)}; there are: {', '.join(BACKENDS)}")
    if arguments.backend_dir and (arguments.backends or arguments.update_docs):
        parser.error("--backend-dir judges that backend alone, and not for docs/conformance.md")
    return arguments


def main():
    arguments = read_arguments()
    build, options, backends = COMPARE, COMPARE_OPTIONS, arguments.backends or BACKENDS
    if arguments.backend_dir:
        outside = os.path.abspath(arguments.backend_dir)
        backends = [os.path.basename(outside)]
        build = f"outside-{backends[0]}"
        options = preset("release") + [f"-Dweft_backend_dir={outside}"]

    matrix = Matrix(read_rows(), read_not_yet(), datetime.date.today().isoformat())
    check_catalogue(matrix)
    problem = prepare(build, options)
    if problem:
        print(problem, file=sys.stderr)
        matrix.complaints.append("the build failed")
    matrix.cells = run_suites(build, backends)
    matrix.libraries = {backend: library_of(build, backend) for backend in backends}
    judge(matrix)

    conform_report.print_text(matrix)
    for path, write in (
        (arguments.markdown, conform_report.markdown),
        (arguments.junit, conform_report.junit),
        (arguments.html, conform_report.html),
    ):
        if path:
            conform_report.save(path, write(matrix))
    if arguments.update_docs and not problem:
        conform_report.update_docs(matrix)
    for complaint in matrix.complaints:
        print(complaint)
    return 1 if matrix.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
