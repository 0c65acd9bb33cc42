# SPDX-License-Identifier: MIT
"""The build folders of tests, how a test of one is run, and how TAP output is read.

builds.py: prepares build/compare, where every backend is.
"""

import collections
import json
import os
import re
import signal
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def read_backends():
    """The lines of backends/list.txt, the one list."""
    with open(os.path.join(ROOT, "backends", "list.txt"), encoding="utf-8") as file:
        return file.read().split()


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


# One folder with a library per backend, which `test` and `conform` share.
COMPARE = "compare"
COMPARE_OPTIONS = preset("release") + ["-Dcompare=true"]


def read_tests(name):
    """What meson.build calls test(), in the folder NAME."""
    path = os.path.join(folder(name), "meson-info", "intro-tests.json")
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        tests = json.load(file)
    for test in tests:
        test["suite"] = [suite.removeprefix("weft:") for suite in test["suite"]]
    return tests


def run_limited(command, environment, place, limit):
    """(exit status, stdout, stderr); what is still alive after `limit` seconds is killed."""
    try:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return -1, "", str(error)
    try:
        output, errors = process.communicate(timeout=limit)
        return process.returncode, output, errors
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, errors = process.communicate()
        return -1, output, errors + f"\nkilled after {limit} s"


def run_test(test, name, wrapper=(), patience=1, rows=()):
    """The results of one of read_tests(NAME): every row in TAP counts on its own, a crash as one.

    wrapper: an emulator or the like; patience: how many times slower than usual programs run there;
    rows: which tests of a conformance program run, if not all.
    """
    environment = {**os.environ, "MALLOC_PERTURB_": "165", **test["env"]}
    environment["WEFT_TEST_TIMEOUT_FACTOR"] = str(patience)
    command = list(test["cmd"])
    if command[0].startswith(folder(name)):  # a program of ours, not a script
        command = list(wrapper) + command
    if test["name"].startswith("conformance-runtime"):
        command += rows
    place = test["workdir"] or folder(name)
    limit = test["timeout"] * patience
    status, output, errors = run_limited(command, environment, place, limit)
    if test["protocol"] != "tap":
        state = {0: "passed", 77: "skipped"}.get(status, "failed")
        return [Result(test["name"], state, (output + errors).splitlines() or ["no output"])]

    results = read_tap(output)
    if not results or status != 0 and all(result.state != "failed" for result in results):
        detail = [f"exit status {status}"] + errors.splitlines()
        results.append(Result("everything", "failed", detail))
    return results


FILTERED = "test was skipped"  # Criterion's word for what --filter left out; ours says why
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
            if skip and skip.group(1).strip() == FILTERED:
                planned -= 1
            else:
                results.append(Result(name, state, [skip.group(1) if skip else rest]))
        elif plan:
            planned += int(plan.group(1))
        elif results and results[-1].state == "failed":
            results[-1].detail.append(line)
    if len(results) < planned:
        results.append(Result("plan", "failed", [f"{len(results)} of {planned} tests reported"]))
    return results


if __name__ == "__main__":
    sys.exit(prepare(COMPARE, COMPARE_OPTIONS) or 0)
