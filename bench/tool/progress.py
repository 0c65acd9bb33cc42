# SPDX-License-Identifier: MIT
"""How far a run is, and how long it will take: a bar on a terminal, a line per round elsewhere."""

import collections
import sys
import time

WIDTH = 30


def duration(seconds):
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


class Progress:
    """JOBS are the keys of one round; each is done ROUNDS times."""

    def __init__(self, jobs, rounds, stream=sys.stderr, clock=time.monotonic):
        self.jobs = list(jobs)
        self.rounds = rounds
        self.stream = stream
        self.clock = clock
        self.is_terminal = stream.isatty()
        self.start = clock()
        self.number = 0
        self.done = 0
        self.costs = {}
        self.counts = collections.Counter()

    def begin_round(self, number):
        self.number = number

    def step(self, job, seconds):
        self.done += 1
        self.counts[job] += 1
        self.costs[job] = seconds
        if self.is_terminal:
            self.stream.write("\r" + self.line() + "\x1b[K")
            self.stream.flush()

    def end_round(self):
        if not self.is_terminal:
            self.stream.write(self.line() + "\n")
            self.stream.flush()

    def end(self):
        if self.is_terminal:
            self.stream.write("\r\x1b[K")
            self.stream.flush()

    def left(self):
        """Seconds: each job costs what it did the last time, one that never ran the mean."""
        if not self.costs:
            return 0.0
        mean = sum(self.costs.values()) / len(self.costs)
        return sum((self.rounds - self.counts[job]) * self.costs.get(job, mean)
                   for job in self.jobs)

    def line(self):
        total = max(1, len(self.jobs) * self.rounds)
        filled = WIDTH * self.done // total
        bar = "#" * filled + "." * (WIDTH - filled)
        spent = duration(self.clock() - self.start)
        left = duration(self.left())
        return f"[{bar}] round {self.number + 1} of {self.rounds}, {spent} spent, {left} left"
