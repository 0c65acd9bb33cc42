# SPDX-License-Identifier: MIT
"""test.py [--full] [PART...]: builds and tests everything, or only the parts named, each in a build
folder of its own. The last line says `N passed, N failed`, counting every test.
"""

import concurrent.futures
import dataclasses
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import time

from builds import ROOT, Result, backend_options, folder, prepare, preset, read_tap


@dataclasses.dataclass
class Build:
    """A build folder, and which suites run there."""

    name: str
    options: list  # how Meson configures it
    suites: list
    wrapper: list = dataclasses.field(default_factory=list)  # an emulator or the like
    patience: int = 1  # how many times slower than usual programs run there
    needs: list = dataclasses.field(default_factory=list)  # commands without which it is skipped
    rows: list = dataclasses.field(default_factory=list)  # of conformance-runtime; empty: all


ONCE = ["entry", "style", "headers", "compile_fail", "abi", "install", "docs", "seeds", "faults"]
EVERYWHERE = ["conformance", "core", "plain", "examples"]
PLAIN = ["conformance", "plain"]  # what needs no Criterion
MEMCHECK = "valgrind --quiet --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite"
AARCH64 = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"]

BUILDS = [
    Build("epoll", backend_options("epoll"), ONCE + EVERYWHERE),
    Build("libevent", backend_options("libevent"), ["conformance", "examples"]),
    Build("fake", backend_options("fake"), ["conformance"]),
    Build("asan", preset("asan"), EVERYWHERE + ["planted", "faults"], patience=3),
    Build(
        "bench-fake",
        preset("release") + ["-Dweft_backend=fake", "-Dtests=none", "-Dbench=true"],
        ["budget"],
        needs=["valgrind"],
    ),
]
FULL_BUILDS = [
    Build("fake-asan", preset("asan") + ["-Dweft_backend=fake"], ["conformance"], patience=3),
    Build("clang", preset("asan", "clang"), EVERYWHERE, patience=3),
    Build("ucontext", preset("debug") + ["-Dswitch=ucontext"], ["conformance", "plain"]),
    Build("tsan", preset("tsan"), ["plain", "planted"], patience=10),
    Build(
        "valgrind",
        preset("debug") + ["-Dtests=plain"],
        PLAIN + ["planted"],
        wrapper=MEMCHECK.split(),
        patience=10,
        needs=["valgrind"],
        # Not here: lim and stress (12 minutes together under load), life, fd, tcp.
        rows=[f"{group}/*" for group in ("task", "join", "cancel", "chan", "sel", "time")],
    ),
    Build(
        "aarch64",
        [f"--cross-file={ROOT}/tools/presets/aarch64.ini"],
        PLAIN,
        wrapper=AARCH64,
        patience=5,
        needs=["qemu-aarch64", "aarch64-linux-gnu-gcc", "aarch64-linux-gnu-g++"],
    ),
]


def run_test(test, build):
    """Runs what meson.build calls test(). Every row in TAP counts on its own, a crash as one."""
    title = test["name"]
    environment = {**os.environ, "MALLOC_PERTURB_": "165", **test["env"]}
    environment["WEFT_TEST_TIMEOUT_FACTOR"] = str(build.patience)
    command = list(test["cmd"])
    if command[0].startswith(folder(build.name)):  # a program of ours, not a script
        command = build.wrapper + command
    if title.startswith("conformance-runtime"):
        command += build.rows
    place = test["workdir"] or folder(build.name)
    status, output, errors = run_limited(
        command, environment, place, test["timeout"] * build.patience
    )
    if test["protocol"] != "tap":
        state = {0: "passed", 77: "skipped"}.get(status, "failed")
        return [Result(title, state, (output + errors).splitlines() or ["no output"])]

    rows = [row._replace(name=f"{title} {row.name}") for row in read_tap(output)]
    if not rows or status != 0 and all(row.state != "failed" for row in rows):
        detail = [f"exit status {status}"] + errors.splitlines()
        rows.append(Result(f"{title} as a whole", "failed", detail))
    return rows


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


def run_build(build):
    missing = [command for command in build.needs if not shutil.which(command)]
    if missing:
        return [Result("everything", "skipped", [f"no {', '.join(missing)} here"])]

    results = []
    problem = prepare(build.name, build.options)
    if problem:
        results.append(Result("compilation", "failed", problem.splitlines()))
    path = os.path.join(folder(build.name), "meson-info", "intro-tests.json")
    tests = []
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            tests = json.load(file)

    for suite in build.suites:
        chosen = [test for test in tests if f"weft:{suite}" in test["suite"]]
        if not chosen:
            results.append(Result(f"suite {suite}", "failed", ["nothing to run"]))
        # Some measure time: those have the machine to themselves.
        together = [test for test in chosen if test["is_parallel"]]
        alone = [test for test in chosen if not test["is_parallel"]]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for rows in pool.map(lambda test: run_test(test, build), together):
                results += rows
        for test in alone:
            results += run_test(test, build)
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
    full = "--full" in sys.argv[1:]
    only = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    steps = {build.name: (run_build, build) for build in BUILDS + FULL_BUILDS}
    for path in sorted(glob.glob(os.path.join(ROOT, "tools", "full", "*.sh"))):
        steps[os.path.basename(path).removesuffix(".sh")] = (run_script, path)
    chosen = only or (list(steps) if full else [build.name for build in BUILDS])
    unknown = [name for name in chosen if name not in steps]
    if unknown:
        print(f"no such part: {', '.join(unknown)}; there are: {', '.join(steps)}")
        return 2

    results = []
    for name in chosen:
        start = time.monotonic()
        run, what = steps[name]
        results += show(name, run(what), start)

    failed = [row for row in results if row.state == "failed"]
    skipped = [row for row in results if row.state == "skipped"]
    if failed:
        print("\nFAILED:")
        for row in failed:
            print(f"  {row.name}")
    if skipped:
        print("SKIPPED: " + "; ".join(f"{row.name} ({row.detail[0].strip()})" for row in skipped))
    if len(chosen) < len(steps):
        left = ", ".join(name for name in steps if name not in chosen)
        print(f"not run without --full: {left}")
    passed = sum(row.state == "passed" for row in results)
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
