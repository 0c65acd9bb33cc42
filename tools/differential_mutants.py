# SPDX-License-Identifier: MIT
"""differential_mutants.py [--tenth K] [--jobs N] [--all] [NAME...]: are faults found by programs?

Each mutant that conformance/differential/mutants.txt names is planted in a copy of the tree, as by
mutants.py, and must be found within 200 programs: one of them sees a violation, hangs or dies, or
its trace is not that of the sound library. naive/FAULT is a fault of conformance/naive/. With --all
every mutant is tried; those that the list does not name need not be found. Prints TAP. Works below
build/differential-mutants/.
"""

import argparse
import os
import queue
import re
import sys
import threading

import mutants
from differential import CLOCKS, TARGET, disagreement, run_range

SEEDS = (1, 200)
NAIVE = "naive/"
STEP = 25  # programs between two looks
NOTHING = f"no sign of it in programs {SEEDS[0]} to {SEEDS[1]}"


class Bench(mutants.Bench):
    """As for the suite, with another program."""

    target = TARGET

    def judge(self, mutant, program, sound):
        return self.compare(program, sound, {})

    def examine_naive(self, fault):
        """The same program with the fault and without."""
        options = [f"-Dweft_backend_dir={os.path.join(self.tree, 'conformance', 'naive')}"]
        program, problem = self.build("naive", "runtime", options)
        if problem:
            return False, problem
        return self.compare(program, program, {"NAIVE_FAULT": fault})

    def compare(self, program, sound, environment):
        for start in range(SEEDS[0], SEEDS[1] + 1, STEP):
            seeds = (start, start + STEP - 1)
            runs = {}
            for clock in CLOCKS:
                runs["mutant", clock], _ = run_range(
                    program, clock, seeds, stop=True, environment=environment
                )
                runs["sound", clock], _ = run_range(sound, clock, seeds)
                for seed in sorted(runs["mutant", clock]):
                    both = {key: run[seed] for key, run in runs.items() if seed in run}
                    complaint = disagreement(seed, both)
                    if complaint:
                        return True, complaint
        return False, NOTHING


def naive_faults():
    path = os.path.join(mutants.ROOT, "conformance", "naive", "naive.c")
    with open(path, encoding="utf-8") as file:
        return re.findall(r"\bF\((\w+)\)", file.read())


def read_list():
    path = os.path.join(mutants.ROOT, "conformance", "differential", "mutants.txt")
    with open(path, encoding="utf-8") as file:
        return [line.strip() for line in file if line.strip() and not line.startswith("#")]


def choose(options):
    """The mutants to try, and complaints about the list."""
    known = {mutant.name: mutant for mutant in mutants.read_mutants()}
    listed = read_list()
    for name in naive_faults():
        known[NAIVE + name] = mutants.Mutant(NAIVE + name, breaks="as its name says")
    complaints = [f"no mutant is called {name}" for name in listed if name not in known]
    names = options.names or (list(known) if options.all else [n for n in listed if n in known])
    if options.tenth:
        names = names[options.tenth - 1 :: 10]
    chosen = [known[name] for name in names if name in known]
    # Those of one file are kept together: less is compiled twice.
    return sorted(chosen, key=lambda mutant: (mutant.backend, mutant.file)), set(listed), complaints


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tenth", type=int, choices=range(1, 11))
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--all", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    os.environ["DIFFERENTIAL_PATIENCE"] = "4"

    chosen, listed, complaints = choose(options)
    work = queue.SimpleQueue()
    for mutant in chosen:
        work.put(mutant)
    lock = threading.Lock()
    counts = {"done": len(complaints), "missed": len(complaints)}
    print(f"1..{len(chosen) + len(complaints)}", flush=True)
    for number, complaint in enumerate(complaints, 1):
        print(f"not ok {number} - mutants.txt: {complaint}")

    def worker(number):
        place = os.path.join(mutants.ROOT, "build", "differential-mutants", str(number))
        bench = Bench(place)
        while True:
            try:
                mutant = work.get_nowait()
            except queue.Empty:
                return
            if mutant.name.startswith(NAIVE):
                found, detail = bench.examine_naive(mutant.name.removeprefix(NAIVE))
            else:
                found, detail = bench.examine(mutant)
            is_excused = detail == NOTHING and mutant.name not in listed
            with lock:
                counts["done"] += 1
                counts["missed"] += not found and not is_excused
                if is_excused:
                    detail = f"not listed, {detail}"
                mutants.report(counts["done"], mutant, found or is_excused, detail)

    threads = [threading.Thread(target=worker, args=(number,)) for number in range(options.jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counts["missed"] > 0 or counts["done"] < len(chosen) + len(complaints)


if __name__ == "__main__":
    sys.exit(main())
