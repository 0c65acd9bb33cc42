# SPDX-License-Identifier: MIT
"""models.py [--table] [MODEL...]: explores every interleaving of tests/models/*.pml with spin.

The head of a model names its runs, which must find no error, and its mutants, which must find one:

    run NAME: -DWORKERS=2 ...
    mutant NAME: RUN -DM_SOMETHING        the run's options, and the change

Each is compiled and explored in build/models. A run that is not complete (out of memory or depth)
fails. Prints TAP; --table prints what tests/models/README.md holds.
"""

import argparse
import concurrent.futures
import dataclasses
import glob
import os
import re
import subprocess
import sys
import time

from builds import ROOT, folder

PLACE = os.path.join(ROOT, "tests", "models")
HEAD = re.compile(r"^ \* (run|mutant) (\w+): (.*)$", re.MULTILINE)
EXPLORE = ["-m20000", "-w20"]
# Without optimisation: compilation takes longer than exploration as it is.
COMPILE = ["gcc", "-O0", "-w", "-DSAFETY", "-DMEMLIM=1500", "-o", "pan", "pan.c"]


@dataclasses.dataclass
class Check:
    """One exploration, and what came of it."""

    model: str
    kind: str  # "run" or "mutant"
    name: str
    options: list
    states: int = 0
    seconds: float = 0
    problem: str = ""  # empty: as expected
    found: str = ""  # the error, in the words of spin


def read_model(model):
    with open(os.path.join(PLACE, model + ".pml"), encoding="utf-8") as file:
        heads = HEAD.findall(file.read())
    runs = {name: words.split() for kind, name, words in heads if kind == "run"}
    checks = []
    for kind, name, words in heads:
        options = words.split()
        if kind == "mutant":
            options = runs[options[0]] + options[1:]
        checks.append(Check(model, kind, name, options))
    return checks


def explore(check):
    place = folder(os.path.join("models", f"{check.model}-{check.name}"))
    os.makedirs(place, exist_ok=True)
    source = os.path.join(PLACE, check.model + ".pml")
    output = ""
    start = time.monotonic()
    for command in ["spin", *check.options, "-a", source], COMPILE, ["./pan", *EXPLORE]:
        run = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
        output = run.stdout + run.stderr
        if run.returncode != 0 or "Error" in output:
            check.problem = f"{command[0]} ends with {run.returncode}:\n{output}"
            return check
    check.seconds = time.monotonic() - start
    judge(check, output)
    return check


def judge(check, output):
    errors = re.search(r"errors: (\d+)", output)
    states = re.search(r"(\d+) states, stored", output)
    if not errors or not states:
        check.problem = "no result:\n" + output
        return
    check.states = int(states[1])
    found = re.search(r"^pan:1: (.*?) \(at depth", output, re.MULTILINE)
    check.found = found[1] if found else ""
    if check.kind == "mutant" and errors[1] == "0":
        check.problem = "the mutant was not found"
    elif check.kind == "run" and errors[1] != "0":
        check.problem = "an error was found:\n" + output
    elif check.kind == "run" and re.search(r"max search depth too small|Search not comp", output):
        check.problem = "the search was not complete:\n" + output


def print_tap(checks):
    for check in checks:
        word = "not ok" if check.problem else "ok"
        print(f"{word} - {check.model}: {check.kind} {check.name}")
        for line in check.problem.splitlines():
            print("  #", line)


def print_table(checks):
    print("| model | run or mutant | states | seconds | found |")
    print("| --- | --- | ---: | ---: | --- |")
    for check in checks:
        name = f"*{check.name}*" if check.kind == "mutant" else check.name
        found = check.found or "no error"
        print(f"| {check.model} | {name} | {check.states:,} | {check.seconds:.1f} | {found} |")


def main():
    models = sorted(os.path.basename(path)[:-4] for path in glob.glob(os.path.join(PLACE, "*.pml")))
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", default=models)
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()

    checks = [check for model in arguments.models for check in read_model(model)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        checks = list(pool.map(explore, checks))
    if arguments.table:
        print_table(checks)
    else:
        print_tap(checks)
    return 1 if any(check.problem for check in checks) else 0


if __name__ == "__main__":
    sys.exit(main())
