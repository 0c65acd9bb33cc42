# SPDX-License-Identifier: MIT
"""Who is asked: weft on each backend, the peers, plain servers, the bare system."""

import dataclasses
import os
import subprocess


@dataclasses.dataclass
class Subject:
    name: str  # weft-epoll, go, plain-libev
    title: str
    kind: str  # weft, language, library, plain, bare
    programs: dict  # question: the command that answers it, before the row's arguments
    environment: dict = dataclasses.field(default_factory=dict)
    loop: str = ""  # the backend, of weft and of plain servers
    workers: int = 1

    @property
    def family(self):
        """The same subject whatever the number of its workers."""
        return self.name.partition("@")[0]

    def command(self, row):
        """None if this one has no answer. Loads and launches say what they need after the word."""
        question = {"load": "echo", "launch": "startup"}.get(row.question, row.question)
        if question not in self.programs:
            return None
        arguments = [] if row.question in ("load", "launch") else row.arguments
        return self.programs[question] + arguments


def weft(folder, backend, workers):
    """All of bench-QUESTION-BACKEND in FOLDER."""
    ending = "-" + backend
    programs = {}
    for name in sorted(os.listdir(folder)):
        if name.startswith("bench-") and name.endswith(ending):
            question = name.removeprefix("bench-").removesuffix(ending)
            programs[question] = [os.path.join(folder, name)]
    environment = {"WEFT_WORKERS": str(workers)} if workers > 1 else {}
    return Subject("weft-" + backend + mark(workers), f"weft, {backend}" + words(workers), "weft",
                   programs, environment, backend, workers)


def mark(workers):
    """What is added to a name."""
    return f"@{workers}" if workers > 1 else ""


def words(workers):
    """And to a title."""
    return f", {workers} workers" if workers > 1 else ""


def ask_for_list(program, environment):
    """The questions that a peer says it can answer."""
    run = subprocess.run([program, "list"], env={**os.environ, **environment}, check=True,
                         capture_output=True, text=True)
    return run.stdout.split()


def peer(name, title, kind, program, workers, environment):
    """One that says itself what it can answer."""
    environment = {**environment, "BENCH_WORKERS": str(workers)}
    programs = {question: [program, question] for question in ask_for_list(program, environment)}
    return Subject(name + mark(workers), title, kind, programs, environment, workers=workers)


def bare(folder):
    program = os.path.join(folder, "bench-bare")
    questions = ("startup", "wake", "lateness")
    return Subject("bare", "bare system", "bare", {one: [program, one] for one in questions})


def refuses_workers(subject, workers):
    """What a weft subject says to so many workers, or None if it takes them."""
    command = subject.programs["startup"]
    run = subprocess.run(command, env={**os.environ, **subject.environment}, check=False,
                         capture_output=True, text=True)
    if run.returncode == 0:
        return None
    return f"SKIPPED: {subject.title} does not take {workers} workers (status {run.returncode})"
