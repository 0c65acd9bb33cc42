# SPDX-License-Identifier: MIT
"""Benchmarks: weft on its backends beside each other and beside peers.

  bench [core|timers|memory|startup|net ...] [options]   measures; nothing named: everything
  bench compare A.json B.json                            which numbers really changed
  bench show A.json                                      the tables of a run again
  bench page A.json OUT.html                             its report again
  bench documents [--check] A.json                       the numbers in README and docs/
"""

import argparse
import datetime
import os
import sys
import time

import build
import compare
import counts
import documents
import machine
import page
import progress
import questions
import runner
import store
import table

KEPT = ("suites", "backends", "peers", "workers", "runs", "quick", "seconds", "only")
OUT = os.path.join(build.ROOT, "build", "bench-results")


def backends_of(words):
    with open(os.path.join(build.ROOT, "backends", "list.txt"), encoding="utf-8") as file:
        known = [name for name in file.read().split() if name != "fake"]
    if words == "all":
        return known
    chosen = words.split(",")
    unknown = [name for name in chosen if name not in known]
    if unknown:
        sys.exit(f"no such backend: {', '.join(unknown)}; there are: {', '.join(known)}")
    return chosen


def read_arguments(words):
    parser = argparse.ArgumentParser(
        prog="weft bench", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(questions.SUITES))
    parser.add_argument("--backends", default="epoll", help="all, or names with commas between")
    parser.add_argument("--peers", action="store_true", help="also the peers that are here")
    parser.add_argument("--workers", default="1", metavar="N", help="or several: 1,2")
    parser.add_argument("--runs", type=int, metavar="R", help="rounds; 7, or 3 with --quick")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, fewer rows")
    parser.add_argument("--only", default="", help="rows, groups or programs, with commas between")
    parser.add_argument("--without", default="", help="subjects that are left out, by name")
    parser.add_argument("--counts", action="store_true", help="also instructions, system calls")
    parser.add_argument("--seconds", type=float, help="of each load on a server; 2, or 0.5")
    parser.add_argument("--markdown", action="store_true", help="tables for a document")
    parser.add_argument("--out", metavar="NAME", help="where NAME.json and NAME.html go")
    settings = parser.parse_args(words)
    unknown = [name for name in settings.suites if name not in questions.SUITES]
    if unknown:
        known = ", ".join(questions.SUITES)
        parser.error(f"no such suite: {', '.join(unknown)}; there are: {known}")
    settings.suites = settings.suites or questions.SUITES
    settings.runs = settings.runs or (3 if settings.quick else 7)
    settings.seconds = settings.seconds or (0.5 if settings.quick else 2.0)
    settings.backends = backends_of(settings.backends)
    settings.workers = [int(word) for word in settings.workers.split(",") if word.isdigit()]
    if settings.runs < 1 or min(settings.workers, default=0) < 1:
        parser.error("--runs and --workers are 1 or more")
    return settings


def subjects_of(settings):
    """([subjects], [skipped lines])"""
    build.build_weft()
    parts = [build.weft_all(settings.backends, workers) for workers in settings.workers]
    if settings.peers:
        parts += [build.peers_all(workers) for workers in settings.workers]
        parts.append(build.plain_all())
    found = [subject for subjects, _ in parts for subject in subjects]
    skipped = [line for _, lines in parts for line in lines]
    left_out = settings.without.split(",")
    return [subject for subject in found if subject.name not in left_out], skipped


def measure(settings):
    """The run as data."""
    started = datetime.datetime.now(datetime.timezone.utc)
    start = time.monotonic()
    revision = machine.revision()
    only = [word for word in settings.only.split(",") if word]
    rows = questions.chosen(settings.suites, only, settings.quick, settings.seconds)
    subjects, skipped = subjects_of(settings)
    for line in skipped:
        print(line, file=sys.stderr)
    if not rows or not subjects:
        sys.exit("nothing to measure")
    one = runner.Runner(rows, subjects, settings)
    noise = machine.Noise()
    bar = progress.Progress(runner.jobs_of(rows, subjects), settings.runs)
    samples, failures = one.measure(bar, noise)
    data = {
        "format": store.FORMAT,
        "weft": revision,
        "started": started.isoformat(timespec="seconds"),
        "settings": {name: getattr(settings, name) for name in KEPT},
        "machine": machine.describe(),
        "versions": machine.versions(),
        "noise": noise.report(),
        "skipped": skipped,
        "failures": failures,
        "subjects": [{"name": subject.name, "title": subject.title, "kind": subject.kind,
                      "loop": subject.loop, "family": subject.family,
                      "workers": subject.workers} for subject in subjects],
        "rows": [store.row_data(row) for row in rows],
        "samples": {name: dict(values) for name, values in samples.items()},
        "counts": {},
        "requests": {},
    }
    if settings.counts:
        data["counts"] = counts.of_programs(rows, subjects, skipped.append)
        if "net" in settings.suites:
            data["requests"] = counts.of_servers(subjects, skipped.append)
    data["seconds"] = round(time.monotonic() - start)
    return data


def show_requests(report, stream):
    """What --counts found out about servers."""
    for name, one in report.data["requests"].items():
        calls = ", ".join(f"{call} {count:.3f}" for call, count in one.get("calls", {}).items())
        cost = one.get("instructions")
        cost = f"{cost:,.0f} instructions, " if cost else ""
        print(f"{report.titles[name]}, per request: {cost}{calls}", file=stream)


def show(report, has_markdown=False):
    table.show(report, has_markdown, sys.stdout)
    show_requests(report, sys.stdout)
    print()
    for line in report.data["skipped"]:
        print(line)
    remarks = machine.remarks(report.data["noise"])
    print("The machine was noisy: " + "; ".join(remarks) if remarks else "The machine was quiet.")


def run(words):
    settings = read_arguments(words)
    data = measure(settings)
    os.makedirs(OUT, exist_ok=True)
    name = settings.out or os.path.join(OUT, data["started"].replace(":", "").replace("+0000", ""))
    store.save(name + ".json", data)
    report = store.Report(data)
    with open(name + ".html", "w", encoding="utf-8") as file:
        file.write(page.render(report))
    show(report, settings.markdown)
    print(f"{name}.json\n{name}.html")
    return 1 if data["failures"] else 0


def main(words):
    command = words[0] if words else ""
    if command == "compare" and len(words) == 3:
        for line in compare.lines(store.load(words[1]), store.load(words[2])):
            print(line)
        return 0
    if command == "show" and len(words) == 2:
        show(store.load(words[1]))
        return 0
    if command == "page" and len(words) == 3:
        with open(words[2], "w", encoding="utf-8") as file:
            file.write(page.render(store.load(words[1])))
        return 0
    if command == "documents":
        return documents.main(words[1:])
    return run(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
