# SPDX-License-Identifier: MIT
"""The tables of a run: a row per question, a column per subject, the best marked."""

import shutil

import stats
import text

BOLD, PLAIN = "\x1b[1m", "\x1b[0m"
FIRST_WIDTH = 52  # of the titles


def cell(report, row, subject, baseline, best):
    """`12.3 x1.40*`: the median, its ratio to the baseline's, * if nobody has a better one."""
    value = report.value(row, subject)
    if value is None:
        return ""
    shown = text.number(value)
    base = report.value(row, baseline)
    if subject == baseline:
        shown += f" ±{stats.spread(report.samples(row, subject)):.0%}"
    elif base:
        shown += f" x{text.ratio(value / base)}"
    return shown + ("*" if subject == best else "")


def lines_of(report, rows, subjects, baseline, has_counts):
    """[[cell]], the head first."""
    head = ["", "unit"] + (["instr."] if has_counts else [])
    lines = [head + [report.titles[name] for name in subjects]]
    for row in rows:
        best = report.best(row)
        line = [row["title"], text.unit(row["unit"])]
        if has_counts:
            line.append(text.number(report.count(row, baseline)))
        lines.append(line + [cell(report, row, name, baseline, best) for name in subjects])
    return lines


def fit(report, rows, subjects, baseline, has_counts, width):
    """The subjects in groups that fit into WIDTH; the baseline is in each."""
    others = [name for name in subjects if name != baseline]
    groups = []
    while others or not groups:
        group = [baseline]
        while others:
            lines = lines_of(report, rows, group + others[:1], baseline, has_counts)
            if len(group) > 1 and max(map(len, text.columns(lines))) > width:
                break
            group.append(others.pop(0))
        groups.append(group)
    return groups


def tables(report, suite, width, has_markdown=False):
    """Lines of text: the suite's tables."""
    rows = [row for row in report.rows_of(suite) if row["is_shown"]]
    subjects = report.subjects_of(rows)
    if not rows or not subjects:
        return
    baseline = report.baseline(rows)
    has_counts = any(report.count(row, baseline) is not None for row in rows)
    groups = [[baseline] + [name for name in subjects if name != baseline]]
    if not has_markdown:
        groups = fit(report, rows, subjects, baseline, has_counts, width)
    for group in groups:
        answered = [row for row in rows if any(report.samples(row, name) for name in group)]
        lines = lines_of(report, answered, group, baseline, has_counts)
        yield from text.markdown(lines) if has_markdown else text.columns(lines)
        yield ""


def show(report, has_markdown, stream):
    """The whole run on a stream; on a terminal the best ones stand out."""
    width = shutil.get_terminal_size((160, 40)).columns
    for suite in report.suites():
        print(f"## {suite}\n", file=stream)
        for line in tables(report, suite, width, has_markdown):
            if stream.isatty() and not has_markdown:
                words = line.split("  ")
                line = "  ".join(f"{BOLD}{word}{PLAIN}" if word.endswith("*") else word
                                 for word in words)
            print(line, file=stream)
    print("xN: the ratio to the first column. ±: the median absolute deviation, as a part of the",
          file=stream)
    print("median. *: the best in its row.", file=stream)
