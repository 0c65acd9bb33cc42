# SPDX-License-Identifier: MIT
"""How bench/tool/runner.py orders its jobs, and what it keeps of runs that go wrong."""

import contextlib
import io
import types
import unittest

import build
import progress
import questions
import runner
import subjects


def row(name, command, key=""):
    return questions.Row(name, name, "core", "ns", command, key=key)


def subject(name, output, status=0):
    """One that answers every question by a shell command."""
    command = ["/bin/sh", "-c", f"echo '{output}'; exit {status}"]
    return subjects.Subject(name, name, "library", {"one": command, "two": command})


class Quiet:
    """The machine is not asked."""

    def sample(self):
        pass


def measured(rows, who, runs=1, run=None):
    settings = types.SimpleNamespace(quick=False, runs=runs)
    one = runner.Runner(rows, who, settings)
    if run:
        one.run = run
    bar = progress.Progress(runner.jobs_of(rows, who), runs, io.StringIO())
    with contextlib.redirect_stderr(io.StringIO()):
        return one.measure(bar, Quiet())


class Order(unittest.TestCase):
    JOBS = [runner.Job(command, name) for command in ("one", "two") for name in "abc"]

    def test_subjects_of_a_question_are_neighbours_and_begin_in_turn(self):
        first = list(runner.in_turn(self.JOBS, 0))
        second = list(runner.in_turn(self.JOBS, 1))
        self.assertEqual([job.subject for job in first], list("abcabc"))
        self.assertEqual([job.subject for job in second], list("bcabca"))
        self.assertEqual([job.command for job in second], ["one"] * 3 + ["two"] * 3)

    def test_a_program_that_answers_several_rows_runs_once(self):
        rows = [row("p50", "one"), row("p99", "one"), row("x", "two")]
        self.assertEqual(len(runner.jobs_of(rows, [subject("a", "")])), 2)

    def test_who_is_left_out_of_a_row_is_not_asked(self):
        rows = [questions.Row("x", "x", "core", "ns", "one", without=("a",))]
        found = runner.jobs_of(rows, [subject("a", ""), subject("b", "")])
        self.assertEqual([job.subject for job in found], ["b"])


class Samples(unittest.TestCase):
    def test_a_row_takes_its_own_number_of_the_lines(self):
        rows = [row("x_p50", "one", "p50"), row("x_p99", "one", "p99")]
        samples, failures = measured(rows, [subject("a", "p50 us 3\np99 us 9")], 2)
        self.assertEqual((samples["x_p50"]["a"], samples["x_p99"]["a"]), ([3, 3], [9, 9]))
        self.assertEqual(failures, {})

    def test_of_several_lines_with_one_name_the_median_counts(self):
        self.assertEqual(runner.read_lines("x ns 5\nx ns 1\nx ns 3\nnoise\n"), {"x": 3})

    def test_a_failure_is_kept_and_not_tried_for_ever(self):
        who = [subject("a", "one ns 1"), subject("b", "", 7)]
        samples, failures = measured([row("one", "one")], who, 5)
        self.assertEqual(len(samples["one"]["a"]), 5)
        self.assertEqual(len(failures["one, b"]), runner.PATIENCE)
        self.assertIn("status 7", failures["one, b"][0])

    def test_a_report_names_no_place_of_this_machine(self):
        words = runner.without_paths(f"{build.ROOT}/build/x under closed: not one answer")
        self.assertEqual(words, "build/x under closed: not one answer")

    def test_an_interruption_keeps_what_there_is(self):
        calls = []

        def run(job):
            calls.append(job)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return {"one": 1.0}

        samples, failures = measured([row("one", "one")], [subject("a", "")], 5, run)
        self.assertEqual(samples["one"]["a"], [1.0, 1.0])
        self.assertEqual(failures, {"the run": ["interrupted in round 3"]})


if __name__ == "__main__":
    unittest.main()
