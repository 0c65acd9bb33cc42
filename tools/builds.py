# SPDX-License-Identifier: MIT
"""The build folders that the tests use, and how a program's TAP output is read.

builds.py BACKEND... prepares the folders of backends.
"""

import collections
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def read_backends():
    """The lines of backends/list.txt, the one list."""
    with open(os.path.join(ROOT, "backends", "list.txt"), encoding="utf-8") as file:
        names = file.read().split()
    return [name for name in names if os.path.isdir(os.path.join(ROOT, "backends", name))]


BACKENDS = read_backends()

Result = collections.namedtuple("Result", "name state detail")  # state: passed, failed, skipped


def folder(name):
    return os.path.join(ROOT, "build", name)


def prepare(name, options, targets=()):
    """Configures build/NAME if needed and compiles it, or only the targets; returns what went
    wrong, or None."""
    path = folder(name)
    if not os.path.exists(os.path.join(path, "build.ninja")):
        command = ["meson", "setup", path, ROOT] + options
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode != 0:
            return run.stdout + run.stderr
    # -k 0: one file that does not compile must not hide the results of all others.
    command = ["ninja", "-C", path, "-k", "0", *targets]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode == 0:
        return None
    lines = (run.stdout + run.stderr).splitlines()
    return "\n".join(line for line in lines if not re.match(r"\[\d+/\d+\] |Program |cc ", line))


def preset(*names):
    return [f"--native-file={ROOT}/tools/presets/{name}.ini" for name in names]


def backend_options(backend):
    return preset("release") + [f"-Dweft_backend={backend}"]


TAP_LINE = re.compile(r"^\s{0,4}(not ok|ok)\b\s*\d*\s*-?\s*(\S+)\s*(.*)$")


def read_tap(text):
    """The results in TAP output, each with the lines that follow it; a short run is a failure."""
    results = []
    planned = 0
    for line in text.splitlines():
        match = TAP_LINE.match(line)
        plan = re.match(r"^1\.\.(\d+)", line)
        if match:
            word, name, rest = match.groups()
            skip = re.search(r"#\s*SKIP\s*(.*)", rest, re.IGNORECASE)
            state = "skipped" if skip else "passed" if word == "ok" else "failed"
            results.append(Result(name, state, [skip.group(1) if skip else rest]))
        elif plan:
            planned += int(plan.group(1))
        elif results and results[-1].state == "failed":
            results[-1].detail.append(line)
    if len(results) < planned:
        results.append(Result("plan", "failed", [f"{len(results)} of {planned} tests reported"]))
    return results


if __name__ == "__main__":
    failures = [prepare(name, backend_options(name)) for name in sys.argv[1:]]
    sys.exit("\n".join(filter(None, failures)) or 0)
