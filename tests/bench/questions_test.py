# SPDX-License-Identifier: MIT
"""The table of questions is sound: names, pages, programs."""

import os
import unittest

import build
import questions


class Questions(unittest.TestCase):
    def test_names_are_unique(self):
        names = [row.name for row in questions.all_rows()]
        self.assertEqual(len(names), len(set(names)))

    def test_every_row_has_a_suite_and_a_page_that_names_its_program(self):
        for row in questions.all_rows():
            self.assertIn(row.suite, questions.SUITES)
            path = os.path.join(build.ROOT, "docs", "benchmarks", row.page + ".md")
            with open(path, encoding="utf-8") as file:
                text = file.read()
            program = row.arguments[0] if row.question in ("load", "launch") else row.question
            self.assertIn(f"`{program}", text, f"{path} does not explain {row.name}")

    def test_every_program_exists(self):
        for row in questions.all_rows():
            if row.question not in ("load", "launch"):
                path = os.path.join(build.BENCH, row.question + ".c")
                self.assertTrue(os.path.exists(path), path)

    def test_quick_is_less_and_only_is_exact(self):
        every = questions.chosen(questions.SUITES)
        self.assertLess(len(questions.chosen(questions.SUITES, quick=True)), len(every))
        names = [row.name for row in questions.chosen(questions.SUITES, ["yield", "pipe"])]
        self.assertEqual(names, ["yield", "pipe_0", "pipe_1", "pipe_64", "pipe_1024"])

    def test_no_command_keeps_a_placeholder(self):
        for row in questions.chosen(questions.SUITES, seconds=1.5):
            self.assertNotIn("{", row.command + row.title)


if __name__ == "__main__":
    unittest.main()
