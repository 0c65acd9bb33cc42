# SPDX-License-Identifier: MIT
"""The numbers in README.md and docs/: parts between `<!-- bench: WHAT -->` and `<!-- end -->` are
written from a run's file, and a test compares them with the one that is committed.

WHAT is: machine; losses; goals; table SUITE; requests; value ROW SUBJECT; instructions SUBJECT;
plot GROUP (an image, which is written as well). `in NAME WHAT` takes it from NAME.json, which lies
beside the run's file: a run of its own, for what needs other settings.
"""

import os
import re
import sys

import build
import machine
import page
import store
import table
import text
import verdicts

DOCS = os.path.join(build.ROOT, "docs")
PLOTS = os.path.join(DOCS, "benchmarks", "plots")
PART = re.compile(r"(<!-- bench: (.*?) -->)(.*?)(<!-- end -->)", re.DOTALL)


def paths():
    """README.md and every document."""
    found = [os.path.join(build.ROOT, "README.md")]
    for folder, folders, names in os.walk(DOCS):
        folders.sort()
        found += [os.path.join(folder, name) for name in sorted(names) if name.endswith(".md")]
    return found


def in_block(lines):
    return "\n" + "\n".join(lines) + "\n"


def show_machine(report):
    data = report.data
    here = data["machine"]
    remarks = machine.remarks(data["noise"])
    quick = " of a tenth of the usual work" if data["settings"]["quick"] else ""
    versions = "; ".join(f"{name} {version}" for name, version in data["versions"].items())
    return in_block([
        f"- {here['cores']} cores of {here['processor']}, {here['system']}, Linux {here['kernel']}",
        f"- {versions}",
        f"- revision {data['weft']}, {data['started']}, rounds: {data['settings']['runs']}{quick},"
        f" {data['seconds'] // 60} minutes",
        "- the machine was " + ("noisy: " + "; ".join(remarks) if remarks else "quiet"),
        *(f"- {line}" for line in data["skipped"]),
    ])


def show_losses(report):
    lines = [["", "ahead of weft", "by"]]
    for row, best, factor in verdicts.losses(report):
        lines.append([row["title"], report.titles[best], "x" + text.ratio(factor)])
    return in_block(text.markdown(lines))


def show_goals(report):
    lines = [["", "beside", "factor", "goal", ""]]
    for title, beside, factor, goal, is_reached in verdicts.all_goals(report):
        lines.append([title, beside, f"{factor:.2f}" if factor else "", f">= {goal:g}",
                      "reached" if is_reached else "missed"])
    return in_block(text.markdown(lines))


def show_table(report, suite):
    return in_block(line for line in table.tables(report, suite, 0, has_markdown=True) if line)


def show_requests(report):
    lines = [["per request", "instructions in user mode", "system calls"]]
    for name, one in report.data["requests"].items():
        calls = ", ".join(f"{call} {count:.3f}" for call, count in one.get("calls", {}).items())
        lines.append([report.titles[name], text.number(one.get("instructions")), calls])
    return in_block(text.markdown(lines))


def show_value(report, name, subject):
    row = next(row for row in report.rows if row["name"] == name)
    return text.number(report.value(row, subject))


def show_instructions(report, subject):
    return text.number(report.data["requests"][subject]["instructions"])


def show_plot(report, group):
    row = next(row for row in report.rows if row["group"] == group)
    return in_block([f"![{page.curve_title(row)}](benchmarks/plots/{group}.svg)"])


SHOWS = {"machine": show_machine, "losses": show_losses, "goals": show_goals, "table": show_table,
         "requests": show_requests, "value": show_value, "instructions": show_instructions,
         "plot": show_plot}


def rewritten(document, report, place=""):
    """The document with its parts as the report has them; other runs are in PLACE."""

    def replace(match):
        name, *arguments = match.group(2).split()
        source = report
        if name == "in":
            source = store.load(os.path.join(place, arguments[0] + ".json"))
            name, *arguments = arguments[1:]
        return match.group(1) + SHOWS[name](source, *arguments) + match.group(4)

    return PART.sub(replace, document)


def plots(report, documents):
    """{path: SVG} of all plots that the documents show."""
    wanted = re.findall(r"<!-- bench: plot (\w+) -->", "".join(documents))
    found = {}
    for group in sorted(set(wanted)):
        rows = [row for row in report.rows if row["group"] == group]
        found[os.path.join(PLOTS, group + ".svg")] = page.curve(report, rows, is_alone=True) + "\n"
    return found


def read(path):
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as file:
        return file.read()


def main(words):
    """documents [--check] A.json; a check fails when something differs, or nothing is generated."""
    is_check = "--check" in words
    run = [word for word in words if word != "--check"][0]
    report = store.load(run)
    place = os.path.dirname(run)
    before = {path: read(path) for path in paths()}
    after = {path: rewritten(document, report, place) for path, document in before.items()}
    images = plots(report, before.values())
    before.update({path: read(path) for path in images})
    after.update(images)
    stale = [path for path in after if after[path] != before[path]]
    if is_check:
        count = sum(len(PART.findall(document)) for document in before.values())
        for path in stale:
            print(f"{os.path.relpath(path, build.ROOT)}: not what the run says; to write it again:")
            print(f"    ./weft bench documents {os.path.relpath(sys.argv[-1], build.ROOT)}")
        if count == 0:
            print("no document has a generated part")
        return 1 if stale or count == 0 else 0
    os.makedirs(PLOTS, exist_ok=True)
    for path in stale:
        with open(path, "w", encoding="utf-8") as file:
            file.write(after[path])
    return 0
