# SPDX-License-Identifier: MIT
"""test.py [--full | --tenth K | --soak HOURS] [PART...]: builds and tests, each part in a build
folder of its own. The last line says `N passed, N failed`, counting every test.

Nothing: every row once per backend, plain; the core under ASan; style, ABI, install, ... --full:
also sanitizers and Valgrind on every backend, mutants, seeds, fault injection. --tenth K: the first
tier and the K-th tenth of the rest; `auto` takes it from the commit's hash. --soak: the seeds and
the load for so long, on every backend in turn.
"""

import argparse
import concurrent.futures
import dataclasses
import glob
import os
import shutil
import subprocess
import sys
import time

from builds import (
    BACKENDS,
    COMPARE,
    COMPARE_OPTIONS,
    ROOT,
    Result,
    folder,
    prepare,
    preset,
    read_tap,
    read_tests,
    run_test,
)


@dataclasses.dataclass
class Part:
    """A build folder, and which suites run there; or a script that prints TAP."""

    name: str
    options: list = dataclasses.field(default_factory=list)  # how Meson configures it
    suites: list = dataclasses.field(default_factory=list)
    others: list = None  # suites that other parts run; then there may be no further ones
    folder: str = ""  # if not NAME
    backends: list = dataclasses.field(default_factory=list)  # only tests of these; empty: all
    wrapper: list = dataclasses.field(default_factory=list)  # an emulator or the like
    patience: int = 1  # how many times slower than usual programs run there
    needs: list = dataclasses.field(default_factory=list)  # commands without which it is skipped
    rows: list = dataclasses.field(default_factory=list)  # of conformance-runtime; empty: all
    environment: dict = dataclasses.field(default_factory=dict)  # besides what the test sets
    script: list = dataclasses.field(default_factory=list)
    is_tenfold: bool = False  # the script takes --tenth K itself


ONCE = ["entry", "style", "headers", "compile_fail", "abi", "clash", "install", "docs", "seeds"]
ONCE += ["faults", "environment"]
EVERYWHERE = ["conformance", "core", "plain", "examples"]
PLAIN = ["conformance", "plain"]  # what needs no Criterion
MEMCHECK = "valgrind --quiet --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite"
AARCH64 = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"]
COMPARED = ["-Dcompare=true"]
TIMES = folder("times.txt")  # where the time of the last run went


def of_each_backend(part, backends):
    """The part once per backend, all in its folder."""
    return [
        dataclasses.replace(
            part,
            name=f"{part.name}-{backend}",
            folder=part.folder or part.name,
            backends=[backend],
        )
        for backend in backends
    ]


def with_workers(count):
    """The whole runtime suite, where each runtime has so many."""
    return Part(
        f"workers-{count}",
        COMPARE_OPTIONS,
        ["runtime"],
        folder=COMPARE,
        environment={"WEFT_TEST_WORKERS": str(count)},
    )


FIRST = [
    Part(COMPARE, COMPARE_OPTIONS, ONCE + EVERYWHERE, others=["planted"]),
    *of_each_backend(with_workers(2), BACKENDS[:1]),
    Part("differential", script=[sys.executable, os.path.join(ROOT, "tools", "differential.py")]),
    Part("models", script=[sys.executable, os.path.join(ROOT, "tools", "models.py")]),
    Part("asan", preset("asan"), EVERYWHERE + ["planted", "faults"], patience=3),
    Part(
        "bench-fake",
        preset("release") + ["-Dweft_backend=fake", "-Dtests=none", "-Dbench=true"],
        ["budget"],
        needs=["valgrind"],
    ),
]


# Not here: lim and stress (12 minutes together under load), life, fd, tcp.
MEMCHECKED = [f"{group}/*" for group in ("task", "join", "cancel", "chan", "sel", "time")]
VALGRIND = Part(
    "valgrind",
    preset("debug") + COMPARED + ["-Dtests=plain"],
    PLAIN,
    wrapper=MEMCHECK.split(),
    patience=10,
    needs=["valgrind"],
    rows=MEMCHECKED,
)
# What the core does without a loop needs no second look: the contract, and what reaches the loop.
VALGRIND_REST = dataclasses.replace(VALGRIND, rows=["cancel/*", "time/*", "fd/0*"])
ASAN = Part("asan-all", preset("asan") + COMPARED, ["conformance", "faults"], patience=3)


# A tenth of these runs with each commit, taken from this list as it stands: neighbours go into
# different tenths, and what shares a folder should not.
REST = [
    *of_each_backend(ASAN, BACKENDS[1:]),  # epoll is in the first tier
    *of_each_backend(with_workers(2), BACKENDS[1:]),
    *of_each_backend(with_workers(4), BACKENDS),
    Part("clang", preset("asan", "clang"), EVERYWHERE, patience=3),
    Part("ucontext", preset("debug") + ["-Dswitch=ucontext"], PLAIN),
    Part("tsan", preset("tsan") + COMPARED, ["plain", "planted"], patience=10),
    Part(
        "aarch64",
        [f"--cross-file={ROOT}/tools/presets/aarch64.ini"],
        PLAIN,
        wrapper=AARCH64,
        patience=5,
        needs=["qemu-aarch64", "aarch64-linux-gnu-gcc", "aarch64-linux-gnu-g++"],
    ),
    *of_each_backend(VALGRIND, BACKENDS[:1]),
    *of_each_backend(VALGRIND_REST, BACKENDS[1:]),
    Part("planted", preset("debug") + ["-Dtests=plain"], ["planted"], needs=["valgrind"]),
]


def scripts():
    """tools/full/*.sh; one whose second line says [--tenth K] divides its work itself."""
    for path in sorted(glob.glob(os.path.join(ROOT, "tools", "full", "*.sh"))):
        with open(path, encoding="utf-8") as file:
            is_tenfold = "[--tenth K]" in file.read()
        name = os.path.basename(path).removesuffix(".sh")
        yield Part(name, script=[path], is_tenfold=is_tenfold)


def tenth_of(parts, number):
    """Every tenth part, beginning with the NUMBER-th, and a tenth of what divides its own work."""
    whole = [part for part in parts if not part.is_tenfold]
    divided = [
        dataclasses.replace(part, script=part.script + ["--tenth", str(number)])
        for part in parts
        if part.is_tenfold
    ]
    return whole[number - 1 :: 10] + divided


def tenth_of_commit():
    """1 to 10, from the hash of the commit; 1 where there is none."""
    command = ["git", "-C", ROOT, "rev-parse", "HEAD"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return 1
    return int(run.stdout.strip() or "0", 16) % 10 + 1


def run_part(part):
    if part.script:
        return run_script(part.script)
    missing = [command for command in part.needs if not shutil.which(command)]
    if missing:
        return [Result("everything", "skipped", [f"no {', '.join(missing)} here"])]

    name = part.folder or part.name
    results = []
    problem = prepare(name, part.options)
    if problem:
        results.append(Result("compilation", "failed", problem.splitlines()))
    tests = read_tests(name)
    if part.backends:
        tests = [test for test in tests if set(part.backends) & set(test["suite"])]

    chosen = []
    for suite in part.suites:
        found = [test for test in tests if suite in test["suite"]]
        if not found:
            results.append(Result(f"suite {suite}", "failed", ["nothing to run"]))
        chosen += [test for test in found if test not in chosen]
    if part.others is not None:
        known = set(part.suites + part.others)
        for test in tests:
            if not known & set(test["suite"]):
                results.append(Result(test["name"], "failed", ["no part runs its suite"]))
    # The longest first, so that all cores end together; some need the machine for themselves.
    together = [test for test in chosen if test["is_parallel"]]
    together.sort(key=lambda test: -test["timeout"])
    alone = [test for test in chosen if not test["is_parallel"]]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for test, rows in zip(together, pool.map(lambda test: run_in(part, test), together)):
            results += named(test, rows)
    for test in alone:
        results += named(test, run_in(part, test))
    return results


def run_in(part, test):
    start = time.monotonic()
    test = {**test, "env": {**test["env"], **part.environment}}
    rows = run_test(test, part.folder or part.name, part.wrapper, part.patience, part.rows)
    with open(TIMES, "a", encoding="utf-8") as file:
        file.write(f"{time.monotonic() - start:7.1f} s  {part.name}: {test['name']}\n")
    return rows


def named(test, rows):
    if test["protocol"] != "tap":
        return rows
    return [row._replace(name=f"{test['name']} {row.name}") for row in rows]


def run_script(command):
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    results = read_tap(run.stdout)
    if not results or run.returncode != 0 and all(row.state != "failed" for row in results):
        tail = (run.stdout + run.stderr).splitlines()[-40:]
        results.append(Result("as a whole", "failed", [f"exit status {run.returncode}"] + tail))
    return results


def show(title, results, start):
    count = {state: sum(row.state == state for row in results) for state in ("passed", "failed")}
    seconds = time.monotonic() - start
    counts = f"{count['passed']:5} passed {count['failed']:4} failed"
    print(f"{title:<18} {counts} {seconds:6.0f} s", flush=True)
    for row in results:
        if row.state == "failed":
            print(f"  FAILED {row.name}")
            for line in row.detail[:60]:
                print(f"    {line}")
    return [row._replace(name=f"{title}: {row.name}") for row in results]


def soak(hours):
    """The seeds and the load again and again, on each backend in turn, until the time is over."""
    end = time.monotonic() + hours * 3600
    problem = prepare(COMPARE, COMPARE_OPTIONS)
    if problem:
        return [Result("compilation", "failed", problem.splitlines())]
    programs = [
        test for test in read_tests(COMPARE) if test["name"].startswith("conformance-runtime")
    ]
    results = []
    number = 0
    while number == 0 or time.monotonic() < end:
        number += 1
        start = time.monotonic()
        test = programs[number // 2 % len(programs)]
        if number % 2:
            os.environ.pop("WEFT_TEST_SHUFFLE", None)
            loads = ["--filter=@(stress|fd|tcp|time|emb)/*"]
        else:  # what promises nothing about the order of ready tasks
            os.environ["WEFT_TEST_SHUFFLE"] = str(number)
            loads = ["--filter=@(task|join|cancel|chan|sel)/*"]
        rows = run_test(test, COMPARE, patience=2, rows=loads)
        title = f"{number} {test['name'].rpartition('-')[2]}"
        results += show(title, [row for row in rows if row.state != "skipped"], start)
    return results


def read_arguments(names):
    parser = argparse.ArgumentParser(prog="weft test", description=__doc__.split("\n\n")[1])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(names))
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--tenth", metavar="K")
    parser.add_argument("--soak", type=float, metavar="HOURS")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.parts if name not in names]
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}; there are: {', '.join(names)}")
    if arguments.tenth == "auto":
        arguments.tenth = tenth_of_commit()
    elif arguments.tenth:
        arguments.tenth = int(arguments.tenth)
        if not 1 <= arguments.tenth <= 10:
            parser.error("--tenth is 1 to 10, or auto")
    return arguments


def main():
    rest = REST + list(scripts())
    parts = {part.name: part for part in FIRST + rest}
    arguments = read_arguments(list(parts))
    if arguments.parts:
        chosen = [parts[name] for name in arguments.parts]
    elif arguments.full:
        chosen = list(parts.values())
    elif arguments.tenth:
        chosen = FIRST + tenth_of(rest, arguments.tenth)
        names = ", ".join(part.name for part in chosen[len(FIRST) :])
        print(f"tenth {arguments.tenth} of 10 of the full tests: {names}")
    else:
        chosen = FIRST

    os.makedirs(os.path.dirname(TIMES), exist_ok=True)
    with open(TIMES, "w", encoding="utf-8"):
        pass
    results = []
    if arguments.soak:
        results = soak(arguments.soak)
        chosen = []
    for part in chosen:
        start = time.monotonic()
        results += show(part.name, run_part(part), start)
    return summary(results, [name for name in parts if name not in {part.name for part in chosen}])


def summary(results, left):
    failed = [row for row in results if row.state == "failed"]
    skipped = [row for row in results if row.state == "skipped"]
    if failed:
        print("\nFAILED:")
        for row in failed:
            print(f"  {row.name}")
    if skipped:
        print("SKIPPED: " + "; ".join(f"{row.name} ({row.detail[0].strip()})" for row in skipped))
    if left:
        print(f"not run: {', '.join(left)}")
    passed = sum(row.state == "passed" for row in results)
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
