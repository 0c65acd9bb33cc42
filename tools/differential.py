# SPDX-License-Identifier: MIT
"""differential.py [--backends B,B] [--seeds FROM..TO] [--replay SEED [--drop G,G]] [--shrink SEED]

Generated programs (conformance/differential/) run on every backend, with the virtual clock and the
real one, and must not differ:

- confluent ones, in which no race decides anything visible: the trace of each task is the same on
  all backends under both clocks, and each outcome is the one that the generator foresaw;
- racing ones without descriptors: under the virtual clock the whole interleaving is the same;
- all: no value or byte is lost or doubled, what did not win has no effect, everything ends.

Prints TAP. Of every outcome that a call has, it also says in which share of the programs it was
seen at least once; below 1 % (of 1,000 programs or more) a run proves too little, and fails.

--replay shows one program and what it did on each backend; --shrink leaves out what a failure
does not need, and then replays the rest.
"""

import argparse
import collections
import concurrent.futures
import difflib
import os
import subprocess
import sys

from builds import BACKENDS, COMPARE, COMPARE_OPTIONS, folder, prepare

CLOCKS = ["virtual", "real"]
TARGET = "conformance/differential/differential-{backend}"
CHUNK = 250  # programs per process
SHARE_MIN = 0.01
PROGRAMS_MIN = 1000  # fewer say nothing about shares

Outcome = collections.namedtuple("Outcome", "kind tasks order verdict trace")


def run_range(program, clock, seeds, dropped="", trace=False, stop=False, environment=None):
    """({seed: Outcome}, {(call, outcome): (programs, required)}). A process that ends early, by a
    violation or otherwise, is followed by one that begins behind that seed, unless `stop`."""
    outcomes, hits = {}, collections.Counter()
    required = set()
    first, last = seeds
    while first <= last:
        command = [program, "--clock", clock, "--seeds", f"{first}..{last}"]
        command += ["--drop", dropped] * bool(dropped) + ["--trace"] * trace
        run = subprocess.run(
            command,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        seed = first - 1
        for line in run.stdout.splitlines():
            words = line.split()
            if words and words[0].isdigit():
                seed = int(words[0])
                outcomes[seed] = read_outcome(words, run.returncode)
            elif line.startswith("  "):
                outcomes[seed].trace.append(line)
            elif line.startswith("hits "):
                hits[words[1], words[2]] += int(words[3])
                required |= {(words[1], words[2])} if words[4] == "required" else set()
        if run.returncode != 0 and (seed < first or outcomes[seed].verdict == "ok"):
            seed = max(seed, first - 1) + 1  # before the first line of this program
            outcomes[seed] = Outcome("", "", "", how_it_ended(run.returncode), [])
        first = last + 1 if run.returncode == 0 or stop else seed + 1
    return outcomes, {key: (hits[key], key in required) for key in required | set(hits)}


def how_it_ended(status):
    return f"killed by signal {-status}" if status < 0 else f"exit status {status}"


def read_outcome(words, status):
    if len(words) > 4:
        return Outcome(words[1], words[2], words[3], " ".join(words[4:]), [])
    verdict = "hangs" if words[-1] == "hangs" else how_it_ended(status)
    return Outcome(words[1] if len(words) > 1 else "", "", "", verdict, [])


def disagreement(seed, runs):
    """What is wrong with one program; None if nothing. `runs`: {(backend, clock): Outcome}."""
    for (backend, clock), outcome in runs.items():
        if outcome.verdict != "ok":
            return f"seed {seed}, {backend}, {clock} clock: {outcome.verdict}"
    kind = next(iter(runs.values())).kind
    traces = collections.defaultdict(list)
    for (backend, clock), outcome in runs.items():
        if kind == "confluent":
            traces[outcome.tasks].append(f"{backend}/{clock}")
        elif kind == "racing" and clock == "virtual":
            traces[outcome.order].append(backend)
    if len(traces) > 1:
        parties = " and ".join(", ".join(names) for names in traces.values())
        return f"seed {seed} ({kind}): {parties} differ"
    return None


def run_all(programs, seeds, dropped="", trace=False):
    """({seed: {(backend, clock): Outcome}}, {(backend, clock): hits})."""
    first, last = seeds
    work = [
        (backend, clock, (start, min(start + CHUNK - 1, last)))
        for start in range(first, last + 1, CHUNK)
        for clock in reversed(CLOCKS)  # the slow one first
        for backend in programs
    ]
    by_seed = collections.defaultdict(dict)
    all_hits = collections.defaultdict(lambda: collections.defaultdict(lambda: (0, False)))
    # Under the real clock a program mostly sleeps.
    with concurrent.futures.ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        done = pool.map(
            lambda job: run_range(programs[job[0]], job[1], job[2], dropped, trace), work
        )
        for (backend, clock, _), (outcomes, hits) in zip(work, done):
            for seed, outcome in outcomes.items():
                by_seed[seed][backend, clock] = outcome
            for key, (count, needed) in hits.items():
                before = all_hits[backend, clock][key]
                all_hits[backend, clock][key] = (before[0] + count, before[1] or needed)
    return by_seed, all_hits


def build(backends):
    """{backend: program}; exits if one does not compile."""
    targets = {backend: TARGET.format(backend=backend) for backend in backends}
    problem = prepare(COMPARE, COMPARE_OPTIONS, targets.values())
    if problem:
        sys.exit(problem)
    return {backend: os.path.join(folder(COMPARE), target) for backend, target in targets.items()}


# ---- one program ----


def groups_of(program, seed):
    run = subprocess.run(
        [program, "--show", "--seeds", str(seed)], capture_output=True, text=True, check=True
    )
    lines = [line.split() for line in run.stdout.splitlines() if line.startswith("  ")]
    return sorted({int(words[1][1:]) for words in lines})


def complaint_about(programs, seed, dropped):
    by_seed, _ = run_all(programs, (seed, seed), ",".join(map(str, dropped)))
    return disagreement(seed, by_seed[seed])


def shrink(programs, seed):
    """The groups that the failure does not need, found by halving what is tried at once."""
    groups = groups_of(next(iter(programs.values())), seed)
    kept = groups
    size = max(1, len(kept) // 2)
    while True:
        tried = len(kept)
        for start in range(0, len(kept), size):
            attempt = kept[:start] + kept[start + size :]
            if complaint_about(programs, seed, sorted(set(groups) - set(attempt))):
                kept = attempt
                break
        if len(kept) < tried:
            continue
        if size == 1:
            return sorted(set(groups) - set(kept))
        size = max(1, size // 2)


def replay(programs, seed, dropped):
    """Prints the program, and where the traces part; True if all is well."""
    text = ",".join(map(str, dropped))
    first = next(iter(programs.values()))
    subprocess.run([first, "--show", "--seeds", str(seed), "--drop", text], check=False)
    by_seed, _ = run_all(programs, (seed, seed), text, trace=True)
    complaint = disagreement(seed, by_seed[seed])
    runs = by_seed[seed]
    compared = sorted(runs, key=lambda key: (CLOCKS.index(key[1]), runs[key].verdict != "ok"))
    reference = compared[0]
    print(f"trace of {'/'.join(reference)}:")
    print("\n".join(runs[reference].trace))
    for key in compared:
        by_order = runs[key].kind == "racing" and key[1] == "virtual"
        if by_order or runs[key].kind == "confluent":
            here, there = runs[reference].trace, runs[key].trace
            names = "/".join(reference), "/".join(key)
            for line in difflib.unified_diff(here, there, *names, lineterm=""):
                print(line)
    print(complaint or f"seed {seed}: no difference")
    return complaint is None


# ---- many programs ----


def check_shares(all_hits, count):
    """(complaints, table lines)."""
    complaints, table = [], []
    keys = sorted({key for hits in all_hits.values() for key in hits})
    for call, outcome in keys:
        counts = {place: hits[call, outcome][0] for place, hits in all_hits.items()}
        needed = any(hits[call, outcome][1] for hits in all_hits.values())
        least = min(counts.values()) / count
        table.append(f"# {call:14}{outcome:12}{100 * least:6.1f} %{'' if needed else '  (rare)'}")
        if needed and least < SHARE_MIN and count >= PROGRAMS_MIN:
            complaints.append(f"{call} {outcome}: in {100 * least:.1f} % of the programs only")
    return complaints, table


def report(number, name, complaints):
    print(f"{'not ok' if complaints else 'ok'} {number} - {name}")
    for complaint in complaints[:20]:
        print(f"# {complaint}")


def run_many(programs, seeds):
    first, last = seeds
    count = last - first + 1
    by_seed, all_hits = run_all(programs, seeds)
    complaints = [
        complaint
        for seed in range(first, last + 1)
        if (complaint := disagreement(seed, by_seed[seed]))
    ]
    if complaints:
        complaints.append("./weft differential --shrink SEED makes it smaller and shows it")
    shares, table = check_shares(all_hits, count)
    kinds = collections.Counter(next(iter(runs.values())).kind for runs in by_seed.values())
    print("1..2")
    print(f"# {', '.join(programs)}; programs: " + ", ".join(f"{n} {k}" for k, n in kinds.items()))
    report(1, f"differential_{first}_to_{last} on {len(programs)} backends", complaints)
    print("# share of the programs in which it happened, the least of all backends and clocks:")
    print("\n".join(table))
    report(2, "differential_every_outcome_was_hit", shares)
    return not complaints and not shares


def main():
    parser = argparse.ArgumentParser(prog="weft differential")
    parser.add_argument("--backends", default=",".join(BACKENDS))
    parser.add_argument("--seeds", default="1..1000", help="FROM..TO")
    parser.add_argument("--replay", type=int, metavar="SEED")
    parser.add_argument("--drop", default="", metavar="GROUPS", help="left out of the replay")
    parser.add_argument("--shrink", type=int, metavar="SEED")
    options = parser.parse_args()

    programs = build(options.backends.split(","))
    if options.replay is not None:
        return not replay(programs, options.replay, options.drop.split(",") if options.drop else [])
    if options.shrink is not None:
        if not complaint_about(programs, options.shrink, []):
            print(f"seed {options.shrink}: no difference")
            return 0
        dropped = shrink(programs, options.shrink)
        replay(programs, options.shrink, dropped)
        print(f"./weft differential --backends {options.backends} --replay {options.shrink} "
              f"--drop {','.join(map(str, dropped))}")
        return 1
    first, _, last = options.seeds.partition("..")
    return not run_many(programs, (int(first), int(last or first)))


if __name__ == "__main__":
    sys.exit(main())
