# SPDX-License-Identifier: MIT
"""mutants.py [--tenth K] [--jobs N] [NAME...]: is the conformance suite able to fail?

Each paragraph of conformance/mutants/*.txt plants one fault in a copy of the tree; the tests that
it names must notice. Prints TAP. A line that does not match exactly once is `not ok`, so that no
change of the library silently disarms a mutant; a test that also fails without the fault is no
proof, and is not counted as one. Works below build/mutants/, which may be deleted.
"""

import argparse
import dataclasses
import filecmp
import glob
import os
import queue
import re
import shutil
import subprocess
import sys
import threading

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LEFT_OUT = shutil.ignore_patterns("build", ".git", "__pycache__")
OPTIONS = ["-Dtests=plain", "-Dbuildtype=plain", "-Doptimization=1", "-Ddebug=false"]
LIMIT_SECONDS = 300  # of all tests of one mutant together
PATIENCE = "0.5"  # times the usual time-out of a test: a lost wake-up shall not cost 20 s


@dataclasses.dataclass
class Mutant:
    """One paragraph: see conformance/mutants/README."""

    name: str
    file: str = ""
    tests: list = dataclasses.field(default_factory=list)  # globs of the plain runner
    breaks: str = ""
    program: str = "runtime"
    backend: str = "epoll"
    after: str = ""  # a line above the one to replace, where that one is not unique
    old: str = ""
    new: str = ""


def read_mutants():
    mutants = []
    for path in sorted(glob.glob(os.path.join(ROOT, "conformance", "mutants", "*.txt"))):
        with open(path, encoding="utf-8") as file:
            for paragraph in re.split(r"\n\s*\n", file.read()):
                lines = [line for line in paragraph.splitlines() if not line.startswith("#")]
                if lines:
                    mutants.append(read_mutant(path, lines))
    names = [mutant.name for mutant in mutants]
    if len(set(names)) < len(names):
        sys.exit("two mutants have one name")
    return mutants


def read_mutant(path, lines):
    mutant = Mutant("")
    for line in lines:
        key, _, value = line.partition(" ")
        value = value.strip()
        if key in ("-", "+", "@"):
            setattr(mutant, {"-": "old", "+": "new", "@": "after"}[key], value)
        elif key.rstrip(":") in ("name", "file", "breaks", "program", "backend"):
            setattr(mutant, key.rstrip(":"), value)
        elif key == "tests:":
            mutant.tests = value.split()
        else:
            sys.exit(f"{path}: what is this? {line}")
    if not (mutant.name and mutant.file and mutant.tests and mutant.breaks and mutant.old):
        sys.exit(f"{path}: {mutant.name}: incomplete")
    return mutant


def change(mutant, text):
    """(the text with the fault in it, None), or (None, what is wrong with the mutant)."""
    lines = text.splitlines()
    start = 0
    if mutant.after:
        places = [i for i, line in enumerate(lines) if line.strip() == mutant.after]
        if len(places) != 1:
            return None, f"`{mutant.after}` is there {len(places)} times"
        start = places[0] + 1
    places = [i for i, line in enumerate(lines) if line.strip() == mutant.old and i >= start]
    if not places or len(places) > 1 and not mutant.after:
        return None, f"`{mutant.old}` is there {len(places)} times"
    indent = re.match(r"\s*", lines[places[0]]).group()
    lines[places[0]] = indent + mutant.new
    return "\n".join(lines) + "\n", None


def copy_changed(source, target):
    """What is the same keeps its time, so that ninja leaves it alone."""
    if not os.path.exists(target) or not filecmp.cmp(source, target, shallow=False):
        shutil.copyfile(source, target)
        shutil.copymode(source, target)


class Bench:
    """A copy of the tree, and a build folder per backend; kept. Only one thread uses it."""

    target = "conformance/plain-conformance-{program}-{backend}"

    def __init__(self, place):
        self.tree = os.path.join(place, "tree")
        self.place = place
        self.sound = {}  # programs without a fault
        shutil.copytree(
            ROOT, self.tree, ignore=LEFT_OUT, copy_function=copy_changed, dirs_exist_ok=True
        )

    def build(self, backend, program, options=None):
        """(path, None) or (None, what went wrong). Options instead of the one for `backend`."""
        folder = os.path.join(self.place, backend)
        target = self.target.format(program=program, backend=backend)
        if not os.path.exists(os.path.join(folder, "build.ninja")):
            setup = ["meson", "setup", folder, self.tree] + OPTIONS
            setup += options or [f"-Dweft_backend={backend}"]
            run = subprocess.run(setup, capture_output=True, text=True, check=False)
            if run.returncode != 0:
                return None, run.stdout + run.stderr
        run = subprocess.run(
            ["ninja", "-C", folder, target], capture_output=True, text=True, check=False
        )
        return (os.path.join(folder, target), None) if run.returncode == 0 else (None, run.stdout)

    def build_sound(self, backend, program):
        """The program without a fault, kept aside."""
        if (backend, program) not in self.sound:
            path, problem = self.build(backend, program)
            if problem:
                return None, problem
            copy = os.path.join(self.place, f"sound-{backend}-{program}")
            shutil.copy(path, copy)
            self.sound[backend, program] = copy
        return self.sound[backend, program], None

    def examine(self, mutant):
        """(True, the test that found it) or (False, why not)."""
        path = os.path.join(self.tree, mutant.file)
        with open(path, encoding="utf-8") as file:
            original = file.read()
        changed, problem = change(mutant, original)
        if problem:
            return False, problem
        sound, problem = self.build_sound(mutant.backend, mutant.program)
        if problem:
            return False, problem
        try:
            with open(path, "w", encoding="utf-8") as file:
                file.write(changed)
            program, problem = self.build(mutant.backend, mutant.program)
            return (False, problem) if problem else self.judge(mutant, program, sound)
        finally:
            with open(path, "w", encoding="utf-8") as file:
                file.write(original)

    def judge(self, mutant, program, sound):
        """As examine(), of the two programs."""
        return find(program, sound, mutant.tests)


def find(program, sound, tests):
    doubtful = []
    for glob_ in tests:  # in the given order: the likeliest first
        name = first_failure(program, glob_)
        if name is None:
            continue
        if first_failure(sound, name) is None:
            return True, name
        doubtful.append(name)
    if doubtful:
        return False, f"only {', '.join(doubtful)} failed, also without the fault"
    return False, f"all of {' '.join(tests)} passed"


def first_failure(program, tests):
    """The first test that fails; None if all pass."""
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("WEFT_")
    } | {"WEFT_TEST_TIMEOUT_FACTOR": PATIENCE}
    try:
        run = subprocess.run(
            [program, "--stop", tests],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LIMIT_SECONDS,
            check=False,
        )
        output, status = run.stdout, run.returncode
    except subprocess.TimeoutExpired as late:
        output, status = (late.stdout or b"").decode(errors="replace"), -1
    match = re.search(r"^not ok \d+ - (\S+)", output, re.MULTILINE)
    if match:
        return match.group(1)
    return None if status == 0 else "everything"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tenth", type=int, choices=range(1, 11))
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()

    mutants = read_mutants()
    if options.names:
        mutants = [mutant for mutant in mutants if mutant.name in options.names]
    if options.tenth:
        mutants = mutants[options.tenth - 1 :: 10]
    # Neighbours in the table change the same file: kept together, less is compiled twice.
    work = queue.SimpleQueue()
    for mutant in mutants:
        work.put(mutant)

    lock = threading.Lock()
    counts = {"done": 0, "missed": 0}
    print(f"1..{len(mutants)}", flush=True)

    def worker(number):
        bench = Bench(os.path.join(ROOT, "build", "mutants", str(number)))
        while True:
            try:
                mutant = work.get_nowait()
            except queue.Empty:
                return
            try:
                found, detail = bench.examine(mutant)
            except OSError as error:
                found, detail = False, str(error)
            with lock:
                counts["done"] += 1
                counts["missed"] += not found
                report(counts["done"], mutant, found, detail)

    threads = [threading.Thread(target=worker, args=(number,)) for number in range(options.jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counts["missed"] > 0 or counts["done"] < len(mutants)


def report(number, mutant, found, detail):
    if found:
        print(f"ok {number} - {mutant.name}: found by {detail}", flush=True)
        return
    print(f"not ok {number} - {mutant.name}", flush=True)
    for line in [mutant.breaks] + detail.splitlines()[-20:]:
        print(f"# {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
