# SPDX-License-Identifier: MIT
"""What a run says about the goals, and where weft loses."""

import machine
import stats

RIVALS = ("go", "tokio")  # whom the goals of the core are about
LEVEL = 0.97  # of the plain server's requests
LEVEL_NOISY = 0.95
SURE = 0.05  # p at most, for a loss to be called one
LEAST = 0.03  # and by how much at least


def core_goal(report, row, weft):
    """{...} of a row with a goal, for one weft subject; None if nobody can be compared.

    Only who has as many workers is compared. With several it is enough to be ahead.
    """
    equals = [name for name in report.subjects_of([row])
              if report.workers[name] == report.workers[weft]]
    wanted = row["goal"] if report.workers[weft] == 1 else 1
    rivals = [name for name in equals if report.families[name] in RIVALS]
    if row["goal"] == 1:  # stacks cost what they cost: compared with Go only
        rivals = [name for name in rivals if report.families[name] == "go"]
    libraries = [name for name in equals if report.kinds[name] in ("library", "plain")]
    if not report.samples(row, weft) or not rivals + libraries:
        return None
    factors = {name: report.times_better(row, weft, name) or 1.0 for name in rivals + libraries}
    nearest = min(rivals, key=factors.get) if rivals else None
    is_reached = all(factors[name] >= wanted for name in rivals)
    is_reached &= all(factors[name] >= 1 for name in libraries)
    slowest = min(factors, key=factors.get)
    return {"goal": wanted, "nearest": nearest, "factor": factors.get(nearest),
            "is_reached": is_reached, "behind": slowest if factors[slowest] < 1 else None}


def paired(report, row, weft, other):
    """The median of the rounds' own ratios: a round's neighbours share its noise."""
    pairs = zip(report.samples(row, weft), report.samples(row, other))
    ratios = [mine / its if row["better"] == "more" else its / mine for mine, its in pairs if its]
    return stats.median(ratios) if ratios else None


def net_goals(report, is_noisy):
    """Of each backend, requests per second beside the fastest plain server on the same loop."""
    found = []
    for row in report.rows_of("net"):
        if row["group"] != "echo_rate":
            continue
        for weft in [name for name in report.titles if report.kinds[name] == "weft"]:
            plain = [name for name in report.titles if report.samples(row, name)
                     and report.kinds[name] == "plain" and report.loops[name] == report.loops[weft]]
            if not plain or not report.samples(row, weft):
                continue
            fastest = max(plain, key=lambda name, row=row: report.value(row, name))
            factor = paired(report, row, weft, fastest)
            level = LEVEL_NOISY if is_noisy else LEVEL
            found.append({"row": row, "weft": weft, "plain": fastest, "factor": factor,
                          "goal": level, "is_reached": factor >= level})
    return found


def scaling_goals(report, wefts):
    """Of rows that arithmetic decides: two workers of WEFTS beside one, in the same rounds."""
    of_workers = {report.workers[name]: name for name in wefts}
    if 1 not in of_workers or 2 not in of_workers:
        return []
    found = []
    for row in report.rows:
        wanted = row.get("scaling")  # an older run has no such field
        factor = paired(report, row, of_workers[2], of_workers[1]) if wanted else None
        if factor:
            found.append((row["title"] + "; 2 workers", report.titles[of_workers[1]], factor,
                          wanted, factor >= wanted))
    return found


def kept(report):
    """The least part of its schedule that the load kept at a fixed rate, or None."""
    parts = []
    for row in report.rows:
        if row["key"] == "sent_rate":
            wanted = float(row["command"].split()[-1])
            for name in report.titles:
                parts += [sample / wanted for sample in report.samples(row, name)]
    return min(parts, default=None)


def all_goals(report):
    """[(title, beside whom, factor, goal, is it reached)]: weft on the first backend."""
    found = []
    wefts = [name for name in report.titles if report.kinds[name] == "weft"]
    wefts = [name for name in wefts if report.loops[name] == report.loops[wefts[0]]]
    for row, weft in ((row, weft) for row in report.rows if row["goal"] for weft in wefts):
        one = core_goal(report, row, weft)
        if one:
            beside = [report.titles[one["nearest"]]] if one["nearest"] else []
            if one["behind"] and one["behind"] != one["nearest"]:
                beside.append("behind " + report.titles[one["behind"]])
            count = report.workers[weft]
            title = row["title"] + (f"; {count} workers" if count > 1 else "")
            found.append((title, "; ".join(beside), one["factor"], one["goal"], one["is_reached"]))
    found += scaling_goals(report, wefts)
    for one in net_goals(report, machine.remarks(report.data["noise"])):
        title = f"{one['row']['title']}: {report.titles[one['weft']]}"
        found.append((title, report.titles[one["plain"]], one["factor"], one["goal"],
                      one["is_reached"]))
    return found


def losses(report):
    """[(row, who is better, by what factor)] against weft on the first backend, the worst first."""
    found = []
    for row in report.rows:
        if not row["is_shown"] or not report.data["samples"].get(row["name"]):
            continue
        weft = report.baseline([row])
        others = [name for name in report.titles if name == weft or report.kinds[name] != "weft"
                  and report.workers[name] == report.workers[weft]]
        best = report.best(row, others)
        if best is None or report.kinds[weft] != "weft" or report.kinds[best] == "weft":
            continue
        advantage = report.times_better(row, best, weft)
        if advantage is None:  # one of them is nothing
            continue
        mine, its = report.samples(row, weft), report.samples(row, best)
        is_sure = stats.mann_whitney(mine, its) <= max(SURE, stats.smallest_p(len(mine), len(its)))
        if advantage > 1 + LEAST and is_sure:
            found.append((row, best, advantage))
    return sorted(found, key=lambda loss: -loss[2])
