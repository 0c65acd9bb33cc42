# SPDX-License-Identifier: MIT
"""How `weft conform` shows its matrix: text, Markdown, JUnit XML, HTML, docs/conformance.md."""

import collections
import os
import re
from xml.sax.saxutils import escape, quoteattr

from builds import BACKENDS, ROOT

DOCS = os.path.join(ROOT, "docs", "conformance.md")
SHORT = {"passed": "ok", "failed": "FAILED", "skipped": "skipped", "not yet": "-", "untested": "?"}


def save(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def group_of(row):
    return row.split("-")[0]


def groups(matrix):
    """{group: [rows]}"""
    found = collections.OrderedDict()
    for row in matrix.rows:
        found.setdefault(group_of(row), []).append(row)
    return found


def passed_of(matrix, backend, rows):
    """`31 of 31`: of the rows that do not wait for anything."""
    due = [row for row in rows if row not in matrix.not_yet]
    passed = sum(matrix.state(backend, row) == "passed" for row in due)
    return f"{passed} of {len(due)}"


def print_text(matrix):
    """Every row, then every group."""
    backends = list(matrix.cells)
    width = 11
    heading = "".join(f"{backend:>{width}}" for backend in backends)
    print(f"{'row':11}{heading}")
    for row, behaviour in matrix.rows.items():
        cells = "".join(f"{SHORT[matrix.state(backend, row)]:>{width}}" for backend in backends)
        print(f"{row:11}{cells}  {behaviour[:60]}")
    print(f"\n{'group':6}{'rows':>5}{heading}{'not yet':>{width}}")
    for group, rows in [*groups(matrix).items(), ("all", list(matrix.rows))]:
        cells = "".join(f"{passed_of(matrix, backend, rows):>{width}}" for backend in backends)
        waiting = sum(row in matrix.not_yet for row in rows)
        print(f"{group:6}{len(rows):5}{cells}{waiting:{width}}")
    for backend in backends:
        count = sum(map(len, matrix.cells[backend].values()))
        print(f"{backend} runs on {matrix.libraries[backend]}: {count} tests")


def cell(matrix, backend, row):
    """`ok 2026-11-23`: what the Markdown says, with the date of the run."""
    state = matrix.state(backend, row)
    return "not yet" if state == "not yet" else f"{SHORT[state]} {matrix.date}"


def table(libraries, cells, behaviours):
    """A Markdown table; cells: {backend: {row: text}}."""
    lines = ["| row | behaviour | " + " | ".join(cells) + " |"]
    lines.append("| --- | --- |" + " --- |" * len(cells))
    lines.append("| | stands on | " + " | ".join(libraries.get(name, "") for name in cells) + " |")
    for row, behaviour in behaviours.items():
        texts = [by_row.get(row, "") for by_row in cells.values()]
        text = behaviour.replace("|", "\\|")
        lines.append(f"| {row} | {text} | " + " | ".join(texts) + " |")
    return "\n".join(lines) + "\n"


def markdown(matrix):
    cells = {
        backend: {row: cell(matrix, backend, row) for row in matrix.rows}
        for backend in matrix.cells
    }
    return table(matrix.libraries, cells, matrix.rows)


def read_docs():
    """(libraries, cells) of docs/conformance.md as it is."""
    libraries, cells, names = {}, {}, []
    if not os.path.exists(DOCS):
        return libraries, cells
    with open(DOCS, encoding="utf-8") as file:
        for line in file:
            parts = [part.strip() for part in re.split(r"(?<!\\)\|", line)[1:-1]]
            if parts[:2] == ["row", "behaviour"]:
                names = parts[2:]
                cells = {name: {} for name in names}
            elif parts[:2] == ["", "stands on"]:
                libraries = dict(zip(names, parts[2:]))
            elif names and parts and re.fullmatch(r"[A-Z]+-\d+", parts[0]):
                for name, text in zip(names, parts[2:]):
                    cells[name][parts[0]] = text
    return libraries, cells


def update_docs(matrix):
    """Only the cells of what ran are written anew: the others keep their dates."""
    libraries, cells = read_docs()
    for backend in matrix.cells:
        libraries[backend] = matrix.libraries[backend]
        cells[backend] = {row: cell(matrix, backend, row) for row in matrix.rows}
    ordered = {backend: cells.get(backend, {}) for backend in BACKENDS}
    counts = ["| backend | stands on | passed | failed | not yet |", "| --- |" + " --- |" * 4]
    for backend, by_row in ordered.items():
        words = collections.Counter(text.split(" ")[0] for text in by_row.values())
        counts.append(
            f"| {backend} | {libraries.get(backend, '')} | {words['ok']} "
            f"| {words['FAILED'] + words['?']} | {words['not']} |"
        )
    save(DOCS, INTRODUCTION + "\n".join(counts) + "\n\n" + table(libraries, ordered, matrix.rows))


INTRODUCTION = """\
# Conformance: the last run

`./weft conform --update-docs [BACKEND...]` writes this page from what ran; nobody edits it. Each
cell says when its row was last run on that backend. *not yet*: `conformance/not_yet.txt` says what
the row waits for. A row may be many tests; `ok` means that all of them passed.

"""


def junit(matrix):
    """One suite per backend, one case per test, named after its row."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>"]
    for backend, by_row in matrix.cells.items():
        results = [(row, result) for row, ran in by_row.items() for result in ran]
        waiting = [row for row in matrix.not_yet if row in matrix.rows]
        untested = [row for row in matrix.rows if matrix.state(backend, row) == "untested"]
        count = collections.Counter(result.state for _, result in results)
        lines.append(
            f'<testsuite name={quoteattr(backend)} timestamp="{matrix.date}T00:00:00" '
            f'tests="{len(results) + len(waiting) + len(untested)}" '
            f'failures="{count["failed"] + len(untested)}" errors="0" '
            f'skipped="{count["skipped"] + len(waiting)}">'
        )
        for row, result in results:
            inside = ""
            if result.state == "failed":
                text = "\n".join(result.detail)
                inside = f"<failure message={quoteattr(row)}>{escape(printable(text))}</failure>"
            elif result.state == "skipped":
                inside = f"<skipped message={quoteattr(printable(result.detail[0]))}/>"
            lines.append(case(backend, row, result.name, inside))
        for row in waiting:
            why = f"<skipped message={quoteattr(matrix.not_yet[row])}/>"
            lines.append(case(backend, row, row, why))
        for row in untested:
            lines.append(case(backend, row, row, '<failure message="no test ran"/>'))
        lines.append("</testsuite>")
    return "\n".join(lines + ["</testsuites>"]) + "\n"


def case(backend, row, name, inside):
    place = quoteattr(f"{backend}.{row}")
    return f"<testcase classname={place} name={quoteattr(printable(name))}>{inside}</testcase>"


def printable(text):
    """Without what XML 1.0 cannot hold."""
    return re.sub(r"[^\t\n\x20-\ud7ff\ue000-\ufffd]", "?", text)


def html(matrix):
    head = "".join(
        f"<th>{escape(backend)}<br><small>{escape(matrix.libraries[backend])}</small></th>"
        for backend in matrix.cells
    )
    body = []
    for group, rows in groups(matrix).items():
        totals = "".join(
            f"<th>{passed_of(matrix, backend, rows)}</th>" for backend in matrix.cells
        )
        body.append(f"<tr><th colspan=2>{group}</th>{totals}</tr>")
        for row in rows:
            cells = []
            for backend in matrix.cells:
                state = matrix.state(backend, row)
                names = [result.name for result in matrix.cells[backend].get(row, [])]
                title = ", ".join(names) or matrix.not_yet.get(row, "no test ran")
                style = f"class={state.replace(' ', '-')} title={quoteattr(title)}"
                cells.append(f"<td {style}>{SHORT[state]}</td>")
            behaviour = escape(matrix.rows[row])
            body.append(f"<tr><td>{row}</td><td>{behaviour}</td>{''.join(cells)}</tr>")
    complaints = "".join(f"<li>{escape(complaint)}</li>" for complaint in matrix.complaints)
    return PAGE.format(
        date=matrix.date, head=head, body="\n".join(body), complaints=complaints or "<li>none</li>"
    )


PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>weft: conformance on {date}</title>
<style>
body {{ font: 14px sans-serif; margin: 2em; }}
table {{ border-collapse: collapse; }}
td, th {{ border: 1px solid #ccc; padding: 2px 8px; text-align: left; }}
.passed {{ background: #dfd; }}
.failed, .untested {{ background: #fbb; font-weight: bold; }}
.skipped {{ background: #ffd; }}
.not-yet {{ color: #888; }}
</style>
</head>
<body>
<h1>weft: conformance on {date}</h1>
<p>One row per behaviour, one column per backend, from what ran. Point at a cell: its tests.</p>
<table>
<tr><th>row</th><th>behaviour</th>{head}</tr>
{body}
</table>
<h2>Complaints</h2>
<ul>{complaints}</ul>
</body>
</html>
"""
