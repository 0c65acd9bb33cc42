# SPDX-License-Identifier: MIT
"""What is made of a run: tables, page, comparison, documents. The run is made up."""

import contextlib
import html.parser
import io
import os
import re
import tempfile
import unittest
import unittest.mock

import compare
import documents
import page
import plot
import progress
import questions
import store
import table
import verdicts

SUBJECTS = [("weft-epoll", "weft, epoll", "weft", "epoll"),
            ("weft-libuv", "weft, libuv", "weft", "libuv"),
            ("go", "Go, 1 thread", "language", ""), ("tokio", "tokio <&>", "language", ""),
            ("st", "State Threads", "library", ""),
            ("plain-epoll", "plain epoll", "plain", "epoll"),
            ("bare", "bare system", "bare", ""),
            ("weft-epoll@2", "weft, epoll, 2", "weft", "epoll"),
            ("go@2", "Go, 2 threads", "language", "")]


def made_up(values, **more):
    """A report: VALUES is {row: {subject: [samples]}}; rows are real ones."""
    names = set(values)
    rows = [store.row_data(row) for row in questions.all_rows() if row.name in names]
    data = {
        "format": store.FORMAT, "weft": "0123456789ab", "started": "2026-01-01T00:00:00+00:00",
        "seconds": 60, "machine": {"processor": "P", "cores": 2, "memory_gib": 8.0, "system": "S",
                                   "kernel": "6.1", "huge_pages": "madvise"},
        "settings": {"suites": ["core"], "backends": ["epoll"], "peers": True, "workers": [1],
                     "runs": 5, "quick": False, "seconds": 2.0, "only": ""},
        "versions": {"compiler": "cc 12"}, "skipped": ["SKIPPED: smol: no cargo here"],
        "failures": {}, "counts": {}, "requests": {},
        "noise": {"calibration": {"arithmetic": [1.0, 1.01]}, "load": [0.1], "stolen": 0.0},
        "subjects": [{"name": name, "title": title, "kind": kind, "loop": loop,
                      "family": name.partition("@")[0], "workers": 2 if "@2" in name else 1}
                     for name, title, kind, loop in SUBJECTS],
        "rows": rows, "samples": values,
    }
    data.update(more)
    return store.Report(data)


def around(value):
    return [value * factor for factor in (0.98, 0.99, 1.0, 1.01, 1.02)]


USUAL = {
    "yield": {"weft-epoll": around(10), "go": around(50), "tokio": around(90), "st": around(200)},
    "pipe_0": {"weft-epoll": around(20), "weft-libuv": around(21), "go": around(60),
               "tokio": around(180), "st": around(15)},
    "pipe_64": {"weft-epoll": around(7), "go": around(34), "tokio": around(57)},
    "echo_64_rate": {"weft-epoll": around(100e3), "plain-epoll": around(99e3), "go": around(90e3)},
    "echo_512_rate": {"weft-epoll": around(80e3), "plain-epoll": around(99e3)},
    "wake_p50": {"weft-epoll": around(25), "bare": around(20), "go": around(40)},
}


class Tables(unittest.TestCase):
    def test_the_best_is_marked_and_ratios_are_to_the_first(self):
        text = "\n".join(table.tables(made_up(USUAL), "core", 200))
        self.assertRegex(text, r"yield, per switch +ns +10\.0 ±1%\* +50\.0 x5\.00 +90\.0 x9\.00")
        self.assertRegex(text, r"capacity 0, per item .* 15\.0 x0\.75\*")

    def test_the_bare_system_does_not_compete(self):
        report = made_up(USUAL)
        row = next(row for row in report.rows if row["name"] == "wake_p50")
        self.assertEqual(report.best(row), "weft-epoll")

    def test_more_is_better_where_it_is(self):
        report = made_up(USUAL)
        row = next(row for row in report.rows if row["name"] == "echo_64_rate")
        self.assertEqual(report.best(row), "weft-epoll")
        self.assertAlmostEqual(report.times_better(row, "weft-epoll", "go"), 100 / 90)

    def test_no_line_is_wider_than_the_terminal(self):
        lines = list(table.tables(made_up(USUAL), "core", 110))
        self.assertLessEqual(max(map(len, lines)), 110)
        self.assertIn("State Threads", "\n".join(lines))

    def test_markdown_has_as_many_cells_in_each_line(self):
        lines = [line for line in table.tables(made_up(USUAL), "core", 0, True) if line]
        self.assertEqual(len({line.count("|") for line in lines}), 1)


class Verdicts(unittest.TestCase):
    def test_losses_are_named_the_worst_first(self):
        report = made_up({**USUAL, "yield": {"weft-epoll": around(10), "st": around(2)}})
        found = [(row["name"], best) for row, best, _ in verdicts.losses(report)]
        self.assertEqual(found[:3], [("yield", "st"), ("pipe_0", "st"),
                                     ("echo_512_rate", "plain-epoll")])

    def test_another_backend_hides_no_loss(self):
        report = made_up({"yield": {"weft-epoll": around(10), "weft-libuv": around(2),
                                    "go": around(5)}})
        self.assertEqual([best for _, best, _ in verdicts.losses(report)], ["go"])

    def test_nothing_at_all_is_neither_a_loss_nor_an_error(self):
        report = made_up({"yield": {"weft-epoll": [0.0] * 5, "go": [0.0] * 5}})
        self.assertEqual(verdicts.losses(report), [])
        self.assertEqual(len(verdicts.all_goals(report)), 1)

    def test_several_workers_are_compared_with_as_many_threads(self):
        values = {"weft-epoll": around(10), "go": around(50), "weft-epoll@2": around(20),
                  "go@2": around(30), "st": around(5)}
        report = made_up({"yield": values})
        found = {title: (beside, goal, reached)
                 for title, beside, _, goal, reached in verdicts.all_goals(report)}
        self.assertEqual(found["yield, per switch; 2 workers"], ("Go, 2 threads", 1, True))
        self.assertFalse(found["yield, per switch"][2])  # behind State Threads

    def test_a_lead_within_the_noise_is_no_loss(self):
        report = made_up({"yield": {"weft-epoll": [9, 10, 11, 12, 13], "st": [8, 9, 11, 12, 12.5]}})
        self.assertEqual(verdicts.losses(report), [])

    def test_goals_want_the_factor_and_every_library_behind(self):
        found = {title: reached for title, _, _, _, reached in verdicts.all_goals(made_up(USUAL))}
        self.assertTrue(found["yield, per switch"])  # 5 times Go
        self.assertFalse(found["1 producer, 1 consumer, capacity 0, per item"])  # 3 times
        self.assertTrue(found["1 producer, 1 consumer, capacity 64, per item"])
        self.assertTrue(found["echo, 64 connections, requests: weft, epoll"])
        self.assertFalse(found["echo, 512 connections, requests: weft, epoll"])


class Tags(html.parser.HTMLParser):
    """Fails on tags that are not closed, and remembers what a page asks for from elsewhere."""

    ALONE = {"meta", "br"}

    def __init__(self):
        super().__init__()
        self.stack, self.foreign, self.counts = [], [], {}

    def handle_starttag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.foreign += [value for name, value in attributes
                         if name in ("src", "href") and not value.startswith("#")]
        if tag not in self.ALONE:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1

    def handle_endtag(self, tag):
        assert self.stack and self.stack[-1] == tag, f"</{tag}> in {self.stack}"
        self.stack.pop()


class Page(unittest.TestCase):
    def test_it_is_whole_and_asks_for_nothing_from_elsewhere(self):
        text = page.render(made_up(USUAL))
        tags = Tags()
        tags.feed(text)
        self.assertEqual((tags.stack, tags.foreign), ([], []))
        self.assertNotRegex(text, r"https?:|@import|url\(")
        self.assertGreaterEqual(tags.counts["svg"], 7)

    def test_several_numbers_of_workers_make_a_curve(self):
        values = {"weft-epoll": around(10), "weft-epoll@2": around(20), "go": around(50),
                  "go@2": around(40)}
        text = page.render(made_up({"yield": values}))
        workers = text[text.index('id="workers"'):]
        self.assertEqual(workers.count("<polyline points="), 4)  # a curve and a mark for each
        self.assertNotIn('id="workers"', page.render(made_up(USUAL)))

    def test_names_are_escaped(self):
        text = page.render(made_up(USUAL))
        self.assertIn("tokio &lt;&amp;&gt;", text)
        self.assertNotIn("tokio <&>", text)

    def test_what_was_skipped_and_what_failed_is_said(self):
        text = page.render(made_up(USUAL, failures={"yield, st": ["status 1"]}))
        self.assertIn("SKIPPED: smol: no cargo here", text)
        self.assertIn("FAILED: yield, st: status 1", text)

    def test_a_load_that_was_late_itself_is_said(self):
        report = made_up({"rate_64_40000_sent": {"weft-epoll": [40000, 30000]}})
        self.assertIn("kept 75.0% of its schedule", page.render(report))

    def test_noise_is_said(self):
        self.assertIn("The machine was quiet.", page.render(made_up(USUAL)))
        noise = {"calibration": {"arithmetic": [1.0, 1.4]}, "load": [0.1], "stolen": 0.0}
        self.assertIn("arithmetic took 1 to 1.4 ns, +40%", page.render(made_up(USUAL, noise=noise)))

    def test_both_schemes_have_colours_for_all(self):
        self.assertEqual((len(plot.LIGHT), len(plot.DARK)), (plot.COLOURS, plot.COLOURS))
        self.assertIn("prefers-color-scheme:dark", page.render(made_up(USUAL)))


class Plots(unittest.TestCase):
    def test_bars_are_as_long_as_their_numbers(self):
        text = plot.bars("t", "n", [("a", 10, 10, 10, (0, False), True),
                                    ("b", 20, 20, 20, (1, False), False)])
        first, second = [float(width) for width in re.findall(r'<rect [^>]*width="([\d.]+)"', text)]
        self.assertAlmostEqual(first * 2, second, places=0)

    def test_ticks_span_the_values(self):
        for low, high in ((3, 7), (0.02, 900), (1, 1), (15, 22)):
            marks = plot.ticks(low, high)
            self.assertLessEqual(marks[0], low)
            self.assertGreaterEqual(marks[-1], high)

    def test_names_of_curves_do_not_overlap(self):
        moved = plot.apart([10, 11, 12, 50], 14)
        self.assertEqual(moved, [10, 24, 38, 52])

    def test_a_curve_without_values_is_no_plot(self):
        self.assertEqual(plot.curves("t", "n", ["1"], [("a", (0, False), [(0, 0, 0, 0)])]), "")


class Comparison(unittest.TestCase):
    def test_what_changed_is_told_with_the_worse_first(self):
        later = {**USUAL, "yield": {"weft-epoll": around(12)}, "pipe_64": {"weft-epoll": around(5)}}
        text = "\n".join(compare.lines(made_up(USUAL), made_up(later)))
        self.assertLess(text.index("yield, per switch"), text.index("capacity 64"))
        self.assertRegex(text, r"1 worse, 1 better, \d+ the same, of \d+ compared")

    def test_another_speed_of_the_machine_is_said(self):
        noise = {"calibration": {"arithmetic": [1.2, 1.2]}, "load": [0.1], "stolen": 0.0}
        text = "\n".join(compare.lines(made_up(USUAL), made_up(USUAL, noise=noise)))
        self.assertIn("The machine itself: arithmetic +19%", text)


class Documents(unittest.TestCase):
    def test_parts_are_rewritten_and_the_rest_stays(self):
        text = ("a\n<!-- bench: table core -->old<!-- end -->\n"
                "b <!-- bench: value yield go -->1<!-- end -->")
        new = documents.rewritten(text, made_up(USUAL))
        self.assertIn("| yield, per switch | ns | 10.0 ±1%* |", new)
        self.assertTrue(new.startswith("a\n"))
        self.assertTrue(new.endswith("value yield go -->50.0<!-- end -->"))
        self.assertEqual(documents.rewritten(new, made_up(USUAL)), new)

    def test_a_part_may_come_from_a_run_beside_the_main_one(self):
        with tempfile.TemporaryDirectory() as folder:
            store.save(os.path.join(folder, "other.json"), made_up(USUAL).data)
            text = "<!-- bench: in other value yield go -->1<!-- end -->"
            new = documents.rewritten(text, None, folder)
        self.assertEqual(new, "<!-- bench: in other value yield go -->50.0<!-- end -->")

    def test_the_check_finds_a_number_that_is_not_the_runs(self):
        with tempfile.TemporaryDirectory() as folder:
            run, document = os.path.join(folder, "run.json"), os.path.join(folder, "page.md")
            store.save(run, made_up(USUAL).data)
            with open(document, "w", encoding="utf-8") as file:
                file.write("<!-- bench: value yield go -->49.0<!-- end -->\n")
            with unittest.mock.patch.object(documents, "paths", lambda: [document]):
                with contextlib.redirect_stdout(io.StringIO()):
                    self.assertEqual(documents.main(["--check", run]), 1)
                    self.assertEqual(documents.main([run]), 0)
                    self.assertEqual(documents.main(["--check", run]), 0)
            with open(document, encoding="utf-8") as file:
                self.assertEqual(file.read(), "<!-- bench: value yield go -->50.0<!-- end -->\n")


class Bar(unittest.TestCase):
    def test_what_is_left_follows_the_last_round(self):
        now = [0.0]
        stream = io.StringIO()
        bar = progress.Progress(["a", "b"], 2, stream, lambda: now[0])
        bar.step("a", 10)
        self.assertEqual(bar.left(), 30)  # b has not run: as long as the mean
        bar.step("b", 2)
        self.assertEqual(bar.left(), 12)
        bar.end_round()
        self.assertNotIn("\r", stream.getvalue())  # no terminal: a line for each round
        self.assertIn("12 s left", stream.getvalue())


if __name__ == "__main__":
    unittest.main()
