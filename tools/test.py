# SPDX-License-Identifier: MIT
"""Builds and tests everything; the last line says `N passed, N failed`, counting every test."""

import glob
import json
import os
import subprocess
import sys
import time

from builds import ROOT, Result, backend_options, folder, prepare, preset, read_tap

# Build folder, how it is configured, and the suites that run there.
EVERYWHERE = ["conformance", "core", "plain", "examples"]
ONCE = ["style", "headers", "compile_fail", "abi", "install", "docs"]
PLAN = [
    ("epoll", backend_options("epoll"), ONCE + EVERYWHERE),
    ("fake", backend_options("fake"), ["conformance"]),
    ("asan", preset("asan"), EVERYWHERE + ["planted"]),
]


def read_log(name):
    """Meson's record of one run: one JSON object per test, TAP output included."""
    with open(os.path.join(folder(name), "meson-logs", "testlog.json"), encoding="utf-8") as log:
        return [json.loads(line) for line in log]


def results_of(test):
    """Every Criterion row counts on its own; a program that crashed counts as one failure more."""
    output = test.get("stdout", "")
    good = test["result"] in ("OK", "EXPECTEDFAIL")
    title = test["name"].split(" / ")[-1].split(" ")[-1]
    if "--tap=-" not in test["command"]:
        state = "passed" if good else "skipped" if test["result"] == "SKIP" else "failed"
        return [Result(title, state, (output + test.get("stderr", "")).splitlines())]

    rows = [row._replace(name=f"{title} {row.name}") for row in read_tap(output)]
    if not rows or not good and all(row.state != "failed" for row in rows):
        detail = [test["result"]] + test.get("stderr", "").splitlines()
        rows.append(Result(f"{title} as a whole", "failed", detail))
    return rows


def run_build(name, options, suites):
    results = []
    problem = prepare(name, options)
    if problem:
        results.append(Result("compilation", "failed", problem.splitlines()))
        if not os.path.exists(os.path.join(folder(name), "build.ninja")):
            return results
    command = ["meson", "test", "-C", folder(name), "--no-rebuild"]
    command += [f"--suite={suite}" for suite in suites]
    log = os.path.join(folder(name), "meson-logs", "testlog.json")
    if os.path.exists(log):
        os.remove(log)
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    tests = read_log(name) if os.path.exists(log) else []
    for suite in suites:
        if not any(suite in (s.split(":")[-1] for s in test["suite"]) for test in tests):
            results.append(Result(f"suite {suite}", "failed", ["nothing ran"]))
    for test in tests:
        results += results_of(test)
    return results


def run_script(path):
    run = subprocess.run([path], cwd=ROOT, capture_output=True, text=True, check=False)
    results = read_tap(run.stdout)
    if not results or run.returncode != 0 and all(row.state != "failed" for row in results):
        tail = (run.stdout + run.stderr).splitlines()[-40:]
        results.append(Result("as a whole", "failed", [f"exit status {run.returncode}"] + tail))
    return results


def show(title, results, start):
    count = {state: sum(row.state == state for row in results) for state in ("passed", "failed")}
    seconds = time.monotonic() - start
    counts = f"{count['passed']:5} passed {count['failed']:4} failed"
    print(f"{title:<12} {counts} {seconds:6.0f} s", flush=True)
    for row in results:
        if row.state == "failed":
            print(f"  FAILED {row.name}")
            for line in row.detail[:60]:
                print(f"    {line}")
    return [row._replace(name=f"{title}: {row.name}") for row in results]


def main():
    results = []
    for name, options, suites in PLAN:
        start = time.monotonic()
        results += show(name, run_build(name, options, suites), start)
    if "--full" in sys.argv[1:]:
        for path in sorted(glob.glob(os.path.join(ROOT, "tools", "full", "*"))):
            if os.access(path, os.X_OK) and os.path.isfile(path):
                start = time.monotonic()
                results += show(os.path.basename(path), run_script(path), start)

    failed = [row for row in results if row.state == "failed"]
    skipped = [row for row in results if row.state == "skipped"]
    if failed:
        print("\nFAILED:")
        for row in failed:
            print(f"  {row.name}")
    if skipped:
        print("SKIPPED: " + "; ".join(f"{row.name} ({row.detail[0].strip()})" for row in skipped))
    passed = sum(row.state == "passed" for row in results)
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
