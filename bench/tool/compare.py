# SPDX-License-Identifier: MIT
"""compare A.json B.json: which numbers really changed from run A to run B.

A difference is called real if the Mann-Whitney test on the samples gives p < 0.01 and the medians
differ by at least 3 %. The test asks nothing of the shape of the noise. Two sets of five samples
can reach p = 0.008; with fewer in each nothing is ever called real, and the summary says so.
"""

import collections

import stats
import text

LEVEL = 0.01
LEAST = 0.03

Difference = collections.namedtuple("Difference", "row subject first second change p verdict")


def judge(row, first, second):
    """(the change of the median as a part, p, the word for it)"""
    before, after = stats.median(first), stats.median(second)
    change = after / before - 1 if before else 0.0
    if stats.smallest_p(len(first), len(second)) >= LEVEL:
        return change, 1.0, "too few runs"
    p = stats.mann_whitney(first, second)
    if p >= LEVEL or abs(change) < LEAST:
        return change, p, "same"
    is_better = (change > 0) == (row["better"] == "more")
    return change, p, "better" if is_better else "worse"


def differences(first, second):
    """[Difference] of all that both runs measured."""
    found = []
    rows = {row["name"]: row for row in second.rows}
    for row in first.rows:
        other = rows.get(row["name"])
        for subject in first.titles:
            mine = first.samples(row, subject)
            its = second.samples(other, subject) if other else []
            if mine and its:
                change, p, verdict = judge(row, mine, its)
                found.append(Difference(row, subject, stats.median(mine), stats.median(its),
                                        change, p, verdict))
    return found


def drift(first, second):
    """How the machine's own speed differs: {what: change}."""
    before = first.data["noise"]["calibration"]
    after = second.data["noise"]["calibration"]
    return {name: stats.median(after[name]) / stats.median(before[name]) - 1
            for name in before if name in after}


def lines(first, second):
    """The comparison, as text."""
    found = differences(first, second)
    yield f"A: {first.data['weft']}, {first.data['started']}"
    yield f"B: {second.data['weft']}, {second.data['started']}"
    if first.data["machine"] != second.data["machine"]:
        yield "These are two machines, or one that changed: what differs may be theirs."
    for name, change in drift(first, second).items():
        if abs(change) >= LEAST:
            yield f"The machine itself: {name} {change:+.0%}. Times of weft may follow it."
    yield ""
    changed = [one for one in found if one.verdict in ("better", "worse")]
    changed.sort(key=lambda one: (one.verdict == "better", -abs(one.change)))
    if changed:
        table = [["", "who", "A", "B", "change", "p", "verdict"]]
        for one in changed:
            table.append([one.row["title"], first.titles[one.subject],
                          f"{text.number(one.first)} {text.unit(one.row['unit'])}",
                          text.number(one.second), f"{one.change:+.1%}", f"{one.p:.3f}",
                          one.verdict])
        yield from text.columns(table)
        yield ""
    counts = collections.Counter(one.verdict for one in found)
    yield (f"{counts['worse']} worse, {counts['better']} better, {counts['same']} the same"
           f"{too_few(counts)}, of {len(found)} compared.")
    yield (f"Real: Mann-Whitney p < {LEVEL} and the medians differ by {LEAST:.0%} or more. By"
           f" chance alone {LEVEL * len(found):.1f} of {len(found)} could pass the test.")


def too_few(counts):
    few = counts["too few runs"]
    return f", {few} with too few runs to tell" if few else ""
