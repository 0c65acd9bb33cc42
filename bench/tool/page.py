# SPDX-License-Identifier: MIT
"""The report of a run as one HTML file: text, tables and plots, nothing from elsewhere."""

from html import escape

import machine
import plot
import stats
import text
import verdicts

STYLE = """
:root{color-scheme:light dark;--text:#1f2328;--soft:#59636e;--back:#fff;--card:#f6f8fa;
--edge:#d1d9e0;--good:#116329;--bad:#a40e26}
@media(prefers-color-scheme:dark){:root{--text:#e6edf3;--soft:#9198a1;--back:#0d1117;--card:#151b23;
--edge:#3d444d;--good:#4ade80;--bad:#ff7b72}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--text);background:var(--back);margin:0 auto;
max-width:1400px;padding:24px}
h1{margin:0}h2{margin:2.2em 0 .6em;border-bottom:1px solid var(--edge);padding-bottom:.2em}
h3{margin:1.6em 0 .4em}p,li{max-width:90ch}.soft{color:var(--soft)}
.box{background:var(--card);border:1px solid var(--edge);border-radius:8px;padding:12px 16px;
margin:12px 0}.scroll{overflow-x:auto}.good{color:var(--good)}.bad{color:var(--bad)}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
th,td{padding:4px 10px;text-align:right;border-bottom:1px solid var(--edge);white-space:nowrap}
th:first-child,td:first-child{text-align:left;position:sticky;left:0;background:var(--back)}
.box td:first-child,.box th:first-child{background:var(--card)}
th{vertical-align:bottom}td.best{font-weight:700}td .soft{font-size:12px}
.cards{display:flex;flex-wrap:wrap;gap:14px}.card{background:var(--card);border-radius:8px;
border:1px solid var(--edge);padding:12px}nav a{margin-right:1em}
"""


def html_table(lines, classes=None):
    """LINES of cells that are HTML already, the head first; CLASSES: {(line, column): class}."""
    classes = classes or {}
    rows = []
    for number, cells in enumerate(lines):
        tag = "td" if number else "th"
        marks = [classes.get((number, column), "") for column in range(len(cells))]
        rows.append("<tr>" + "".join(
            f'<{tag} class="{mark}">{cell}</{tag}>' if mark else f"<{tag}>{cell}</{tag}>"
            for mark, cell in zip(marks, cells)) + "</tr>")
    return f'<div class="scroll"><table>{"".join(rows)}</table></div>'


def suite_table(report, suite):
    rows = [row for row in report.rows_of(suite) if row["is_shown"]]
    if not rows:
        return ""
    names = report.subjects_of(rows)
    baseline = report.baseline(rows)
    names = [baseline] + [name for name in names if name != baseline]
    has_counts = any(report.count(row, baseline) is not None for row in rows)
    lines = [["", "unit"] + (["instructions"] if has_counts else [])
             + [escape(report.titles[name]) for name in names]]
    classes = {}
    for row in rows:
        best = report.best(row)
        cells = [escape(row["title"]), escape(text.unit(row["unit"]))]
        if has_counts:
            cells.append(text.number(report.count(row, baseline)))
        for name in names:
            if name == best:
                classes[len(lines), len(cells)] = "best"
            cells.append(html_cell(report, row, name, baseline))
        lines.append(cells)
    return html_table(lines, classes)


def html_cell(report, row, name, baseline):
    value, base = report.value(row, name), report.value(row, baseline)
    if value is None:
        return ""
    if name == baseline:
        aside = f"±{stats.spread(report.samples(row, name)):.0%}"
    else:
        aside = f"×{text.ratio(value / base)}" if base else ""
    return f'{text.number(value)} <span class="soft">{aside}</span>'


def colours(report):
    """{subject: (the number of its colour, is it a plain program)}; the first plain program of a
    loop has the colour of weft on that loop."""
    found = {}
    by_loop = {}
    number = 0
    for subject in report.subjects:
        name, loop = subject["name"], subject["loop"]
        is_plain = subject["kind"] == "plain"
        if subject["kind"] == "bare":
            found[name] = (None, False)
            continue
        if is_plain and loop in by_loop:
            found[name] = (by_loop.pop(loop), True)
            continue
        found[name] = (number, is_plain)
        if subject["kind"] == "weft":
            by_loop.setdefault(loop, number)
        number += 1
    return found


def bar_cards(report, suite):
    shades = colours(report)
    cards = []
    for row in report.rows_of(suite):
        names = [name for name in report.titles if report.samples(row, name)]
        if not row["is_shown"] or len(names) < 2:
            continue
        best = report.best(row)
        entries = []
        for name in names:
            lower, upper = stats.quartiles(report.samples(row, name))
            entries.append((report.titles[name], report.value(row, name), lower, upper,
                            shades[name], name == best))
        better = "more is better" if row["better"] == "more" else "less is better"
        cards.append(plot.bars(row["title"], f"{text.unit(row['unit'])}; {better}", entries))
    return cards


def groups_of(report, suite):
    """{group: its rows} that are curves."""
    found = {}
    for row in report.rows_of(suite):
        if row["group"]:
            found.setdefault(row["group"], []).append(row)
    return {group: rows for group, rows in found.items() if len(rows) > 1}


def point_text(row):
    if row["axis"] == "quantile":
        return row["title"].rpartition(", ")[2]
    x = int(row["x"])
    return plot.tick_text(x) if x % 1000 == 0 else f"{x:,}"


def curve(report, rows, is_alone=False):
    """One group of rows as a plot."""
    shades = colours(report)
    series = []
    for name in report.subjects_of(rows):
        samples = [(place, report.value(row, name), *stats.quartiles(report.samples(row, name)))
                   for place, row in enumerate(rows) if report.samples(row, name)]
        series.append((report.titles[name], shades[name], samples))
    first = rows[0]
    title = curve_title(first)
    note = f"{text.unit(first['unit'])}, by {first['axis']}"
    return plot.curves(title, note, [point_text(row) for row in rows], series, is_alone)


TITLES = {
    "spawn": "spawn detached, wait for all, per task", "pipe": "1 producer, 1 consumer, per item",
    "crowd": "4 producers, 4 consumers, per item", "select": "select, per item",
    "ring": "ring, per hop", "skynet": "skynet, whole", "sleepers": "sleepers, processor time",
    "parked_memory": "memory of a parked task",
    "parked_page_tables": "page tables of a parked task",
    "parked_time": "parking, per task", "echo_rate": "echo, requests per second",
    "echo_p99": "echo, 99 % of the latencies", "echo_user": "echo, user time per request",
    "echo_cpu": "echo, processor time per request",
}


def curve_title(row):
    if row["axis"] == "quantile":
        return "latency at " + row["title"].rpartition(", ")[0]
    return TITLES.get(row["group"], row["group"])


def curve_cards(report, suite):
    return [curve(report, rows) for rows in groups_of(report, suite).values()]


def worker_cards(report):
    """Curves over workers, where a run had several numbers of them."""
    families = {}
    for subject in report.subjects:
        families.setdefault(subject["family"], []).append(subject)
    families = {name: members for name, members in families.items() if len(members) > 1}
    counts = sorted({member["workers"] for members in families.values() for member in members})
    cards = []
    for row in report.rows_of("core"):
        series = []
        for place, members in enumerate(families.values()):
            samples = [
                (counts.index(one["workers"]), report.value(row, one["name"]),
                 *stats.quartiles(report.samples(row, one["name"])))
                for one in members if report.samples(row, one["name"])
            ]
            if len(samples) > 1:
                title = members[0]["title"]
                who = title if members[0]["kind"] == "weft" else title.partition(",")[0]
                series.append((who, (place, False), samples))
        if series and row["is_shown"]:
            points = [str(count) for count in counts]
            note = f"{text.unit(row['unit'])}, by workers"
            cards.append(plot.curves(row["title"], note, points, series))
    return cards


def in_cards(plots):
    return f'<div class="cards">{"".join(f"<div class=card>{one}</div>" for one in plots)}</div>'


def losses(report):
    found = verdicts.losses(report)
    if not report.data["settings"]["peers"]:
        return "<p>No peers were asked.</p>"
    if not found:
        return "<p>In no row is anybody ahead of weft by more than the noise.</p>"
    lines = [["", "ahead of weft", "by"]]
    for row, best, factor in found:
        lines.append([escape(row["title"]), escape(report.titles[best]), "×" + text.ratio(factor)])
    return html_table(lines)


def goals(report):
    lines = [["", "beside", "factor", "goal", ""]]
    classes = {}
    for title, beside, factor, goal, is_reached in verdicts.all_goals(report):
        classes[len(lines), 4] = "good" if is_reached else "bad"
        lines.append([escape(title), escape(beside), f"{factor:.2f}" if factor else "",
                      f"≥ {goal:g}", "reached" if is_reached else "missed"])
    return html_table(lines, classes) if len(lines) > 1 else "<p>No peers were asked.</p>"


def schedule(report):
    """Whether the load at a fixed rate was itself in time."""
    part = verdicts.kept(report)
    if part is None:
        return ""
    is_in_time = part >= 0.99
    words = "so latencies are the servers'" if is_in_time else "latencies are partly the load's own"
    return f"<p>At fixed rates the load kept {part:.1%} of its schedule at worst: {words}.</p>"


def requests(report):
    """What --counts found out about servers."""
    if not report.data["requests"]:
        return ""
    lines = [["per request", "instructions in user mode", "system calls"]]
    for name, one in report.data["requests"].items():
        calls = ", ".join(f"{call} {count:.3f}" for call, count in one.get("calls", {}).items())
        lines.append([escape(report.titles[name]), text.number(one.get("instructions")),
                      escape(calls)])
    return "<h3>Counted</h3>" + html_table(lines)


def head(report):
    data = report.data
    here = data["machine"]
    settings = data["settings"]
    versions = "; ".join(f"{name}: {version}" for name, version in data["versions"].items())
    remarks = machine.remarks(data["noise"])
    quiet = "The machine was quiet." if not remarks else \
        "The machine was noisy: " + "; ".join(remarks) + "."
    skipped = "".join(f"<li>{escape(line)}</li>" for line in data["skipped"])
    failed = "".join(f"<li>FAILED: {escape(name)}: {escape(words)}</li>"
                     for name, times in data["failures"].items() for words in times)
    quick = ", a tenth of the usual work" if settings["quick"] else ""
    workers = ", ".join(map(str, settings["workers"]))
    memory = f", {here['memory_gib']} GiB" if here["memory_gib"] else ""
    return f"""<h1>weft benchmarks</h1>
<p class="soft">revision {escape(data['weft'])}, {escape(data['started'])}, {settings['runs']}
interleaved rounds{quick}, workers: {workers}</p>
<div class="box"><b>{here['cores']} cores</b> of {escape(here['processor'])}{memory},
{escape(here['system'])}, Linux {escape(here['kernel'])}.<br>
<span class="soft">{escape(versions)}</span></div>
<div class="box {'bad' if remarks else 'good'}">{escape(quiet)}</div>
<ul>{skipped}{failed}</ul>"""


NOTES = """<h2 id="notes">How to read this</h2>
<p>Each number is the median of the rounds. In a round every program runs once, in a process of its
own, all subjects of a question one after the other, each round beginning with another one; so what
drifts, drifts for all. ± is the median absolute deviation as a part of the median; × is the ratio
to the first column; bold is the best of its row. Whiskers and vertical strokes span the quartiles.
With one worker a program is bound to one core; a server stands on one core and the load on
another.</p>
<p>At a fixed rate a latency is counted from when a message was due by schedule, whether the load
could send it then or not. In a closed loop it is counted from the send.</p>
<p>Goals: the core beside the better of Go and tokio; where the goal is 1, beside Go. Net: requests
per second beside the fastest plain callback server on the same loop, the median of the rounds' own
ratios.</p>"""


def render(report):
    """The page."""
    suites = report.suites()
    links = "".join(f'<a href="#{suite}">{suite}</a>' for suite in suites)
    parts = [head(report), f'<nav><a href="#losses">where weft loses</a><a href="#goals">goals</a>'
             f'{links}<a href="#notes">how to read this</a></nav>',
             '<h2 id="losses">Where weft loses</h2>', losses(report),
             '<h2 id="goals">Goals</h2>', goals(report)]
    for suite in suites:
        parts.append(f'<h2 id="{suite}">{suite}</h2>{suite_table(report, suite)}')
        if suite == "net":
            parts.append(schedule(report) + requests(report))
        grown = curve_cards(report, suite)
        if grown:
            parts.append("<h3>As the work grows</h3>" + in_cards(grown))
        cards = bar_cards(report, suite)
        if cards:
            parts.append("<h3>Side by side</h3>" + in_cards(cards))
    workers = worker_cards(report)
    if workers:
        parts.append('<h2 id="workers">workers</h2>' + in_cards(workers))
    return ('<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<title>weft benchmarks</title>'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f"<style>{STYLE}{plot.STYLE}</style></head>"
            f"<body>{''.join(parts)}{NOTES}</body></html>\n")
