# SPDX-License-Identifier: MIT
"""Instructions and system calls: the difference of two runs of different lengths, so that starting
and ending does not count."""

import concurrent.futures
import importlib.machinery
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile

import build
import net

# A row's operations for callgrind, and by how much more the second run does: what bench/budgets
# counts, and in the same way.
PARAMETERS = {"skynet": (1000, 10), "sieve": (100, 2)}
USUAL = (19200, 2)
COUNTED = ("yield", "spawn_join", "spawn_many", "ping_pong", "pipe", "crowd", "select", "ring",
           "sieve", "skynet", "scope", "sleep")


def budgets():
    """bench/check_budgets, which knows how instructions are counted."""
    path = os.path.join(build.BENCH, "check_budgets")
    loader = importlib.machinery.SourceFileLoader("check_budgets", path)
    spec = importlib.util.spec_from_loader("check_budgets", loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def is_counted(row):
    """One of each curve over a number of tasks is enough: the cost of one does not depend on it."""
    is_big = "-n" in row.arguments and row.name not in ("spawn_1000000", "skynet_1000000")
    tasks = int(row.arguments[0]) if row.question == "ring" else 0
    return row.question in COUNTED and not is_big and tasks <= 1000


def of_programs(rows, subjects, notice):
    """{row: {subject: instructions per operation}}"""
    if not shutil.which("valgrind"):
        notice("SKIPPED: instructions: no valgrind here")
        return {}
    tool = budgets()
    jobs = []
    for row in rows:
        for subject in subjects:
            if subject.kind == "weft" and is_counted(row) and subject.command(row):
                jobs.append((row, subject))

    def measure(job):
        row, subject = job
        arguments = [word for word in row.arguments if word != "-n" and int(word) < 2000]
        words = " ".join([f"{row.question}-{subject.loop}", *arguments])
        return tool.measure(build.FOLDER, (row.name, words, *PARAMETERS.get(row.question, USUAL)))

    found = {}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for (row, subject), value in zip(jobs, pool.map(measure, jobs)):
            found.setdefault(row.name, {})[subject.name] = round(value, 1)
    return found


def ended(command, environment, load):
    """Runs a server under a tool until its last connection has ended."""
    process, port = net.start(command, environment, sorted(os.sched_getaffinity(0)))
    try:
        loader = [os.path.join(build.FOLDER, "bench-load"), port, *load]
        subprocess.run(loader, capture_output=True, check=True, timeout=net.TIMEOUT)
        process.wait(timeout=60)
    finally:
        net.stop(process)


def instructions(subject, short=2000, long=12000):
    """In user mode, per request, with 16 connections."""
    found = []
    for requests in (short, long):
        with tempfile.TemporaryDirectory() as place:
            out = os.path.join(place, "callgrind")
            tool = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}"]
            ended([*tool, *subject.programs["echo"], "once"], {**os.environ, **subject.environment},
                  ["count", "16", "120", str(requests)])
            with open(out, encoding="utf-8") as file:
                found.append(int(re.search(r"^(?:summary|totals): (\d+)", file.read(), re.M)[1]))
    return (found[1] - found[0]) / (long - short)


def system_calls(subject, short=4000, long=24000):
    """{name: per request}, by strace -c, with 64 connections."""
    found = []
    for requests in (short, long):
        with tempfile.NamedTemporaryFile("r") as out:
            tool = ["strace", "-f", "-c", "-U", "calls,name", "-o", out.name]
            ended([*tool, *subject.programs["echo"], "once"], {**os.environ, **subject.environment},
                  ["count", "64", "120", str(requests)])
            lines = [line.split() for line in out.read().splitlines()]
            found.append({word[1]: int(word[0]) for word in lines
                          if len(word) == 2 and word[0].isdigit() and word[1] != "total"})
    first, second = found
    each = {name: (second[name] - first.get(name, 0)) / (long - short) for name in sorted(second)}
    return {name: round(count, 4) for name, count in each.items() if count > 4e-4}


def of_servers(subjects, notice):
    """{subject: {"instructions": per request, "calls": {name: per request}}}"""
    found = {}
    for subject in subjects:
        if "echo" not in subject.programs:
            continue
        one = {}
        # Valgrind runs neither io_uring nor several threads of a language's runtime.
        if shutil.which("valgrind") and subject.name != "plain-io_uring" \
                and subject.kind in ("weft", "plain"):
            one["instructions"] = round(instructions(subject), 1)
        if shutil.which("strace"):
            one["calls"] = system_calls(subject)
        found[subject.name] = one
    for tool in ("valgrind", "strace"):
        if not shutil.which(tool):
            notice(f"SKIPPED: counts per request: no {tool} here")
    return found
