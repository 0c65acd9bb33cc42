# SPDX-License-Identifier: MIT
"""Runs the jobs: round by round, in each round all subjects of a question one after the other, each
in a process of its own."""

import collections
import os
import subprocess
import sys
import time

import build
import net

TIMEOUT = 120
PATIENCE = 2  # failures until a job is not tried again

Job = collections.namedtuple("Job", "command subject")  # a row's command; a subject's name


class Failed(Exception):
    """A program that did not end well."""


def jobs_of(rows, subjects):
    """[Job]: neighbours answer the same question; a program that answers several rows runs once."""
    found = []
    for row in rows:
        for subject in subjects:
            job = Job(row.command, subject.name)
            is_asked = subject.command(row) and subject.name not in row.without
            if is_asked and job not in found:
                found.append(job)
    return found


def in_turn(jobs, number):
    """The jobs of a round: within each question another subject is the first."""
    questions = collections.OrderedDict()
    for job in jobs:
        questions.setdefault(job.command, []).append(job)
    for group in questions.values():
        shift = number % len(group)
        yield from group[shift:] + group[:shift]


def read_lines(text):
    """{name: value} of lines `name unit value`; of several with one name the median."""
    values = collections.defaultdict(list)
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3:
            values[words[0]].append(float(words[2]))
    return {name: sorted(found)[len(found) // 2] for name, found in values.items()}


def pin(cores):
    """What a child does before its program starts."""
    return lambda: os.sched_setaffinity(0, cores)


def without_paths(words):
    """A report may be published: it does not say where this tree is."""
    return words.replace(build.ROOT + os.sep, "")


class Runner:
    def __init__(self, rows, subjects, settings):
        self.rows = rows
        self.subjects = {subject.name: subject for subject in subjects}
        self.row_of = {row.command: row for row in reversed(rows)}
        self.settings = settings
        self.cores = sorted(os.sched_getaffinity(0))

    def environment(self, subject, row):
        found = {**os.environ, **subject.environment}
        if self.settings.quick:
            found["BENCH_QUICK"] = "1"
        if row.question == "sleep":
            found["WEFT_CLOCK"] = "virtual"
        return found

    def run_program(self, command, subject, row):
        is_wide = max(row.cores, subject.workers) > 1
        done = subprocess.run(
            command, env=self.environment(subject, row), capture_output=True, text=True,
            timeout=TIMEOUT, check=False,
            preexec_fn=pin(self.cores if is_wide else self.cores[-1:]),
        )
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)}: status {done.returncode}: {done.stderr[-300:]}")
        return read_lines(done.stdout)

    def run(self, job):
        """{name: value}"""
        row = self.row_of[job.command]
        subject = self.subjects[job.subject]
        command = subject.command(row)
        if row.question == "load":
            environment = self.environment(subject, row)
            return net.measure(command, row.arguments, environment, subject.workers)
        if row.question == "launch":
            count = "30" if self.settings.quick else "200"
            launcher = [os.path.join(build.FOLDER, "bench-launch"), count]
            return self.run_program(launcher + command, subject, row)
        return self.run_program(command, subject, row)

    def measure(self, progress, noise):
        """({row: {subject: [a value per round]}}, {"command, subject": [why it failed]})"""
        samples = {row.name: collections.defaultdict(list) for row in self.rows}
        failures = {}
        try:
            for number in range(self.settings.runs):
                self.measure_round(number, progress, noise, samples, failures)
        except KeyboardInterrupt:  # what there is so far is worth a report
            failures["the run"] = [f"interrupted in round {number + 1}"]
        noise.sample()
        progress.end()
        return samples, failures

    def measure_round(self, number, progress, noise, samples, failures):
        progress.begin_round(number)
        noise.sample()
        for job in in_turn(progress.jobs, number):
            name = f"{job.command}, {job.subject}"
            start = time.monotonic()
            if len(failures.get(name, [])) < PATIENCE:
                try:
                    self.keep(job, self.run(job), samples)
                except (Failed, OSError, subprocess.SubprocessError) as error:
                    failures.setdefault(name, []).append(without_paths(str(error)))
                    print(f"\nFAILED: {error}", file=sys.stderr)
            progress.step(job, time.monotonic() - start)
        progress.end_round()

    def keep(self, job, values, samples):
        for row in self.rows:
            if row.command != job.command:
                continue
            value = values.get(row.number, values.get(row.question))
            if value is not None:
                samples[row.name][job.subject].append(value)
