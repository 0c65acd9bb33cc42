# SPDX-License-Identifier: MIT
"""SVG without a library: bars with their spread, and curves. Colours are classes: STYLE has them
for light and for dark surroundings."""

import math
from html import escape

import text

COLOURS = 12
# Lightness differs from neighbour to neighbour, so that the order can be told without the hue.
LIGHT = ["#1257c9", "#c2410c", "#15803d", "#7e22ce", "#a16207", "#0e7490",
         "#be123c", "#4d7c0f", "#6366f1", "#9a3412", "#475569", "#db2777"]
DARK = ["#6ea8ff", "#fb923c", "#4ade80", "#c084fc", "#facc15", "#22d3ee",
        "#fb7185", "#a3e635", "#a5b4fc", "#fdba74", "#94a3b8", "#f472b6"]


def colours(values):
    return "".join(f".c{i}{{fill:{value};stroke:{value}}}" for i, value in enumerate(values))


STYLE = (
    "svg{font:12px system-ui,sans-serif;max-width:100%;height:auto}"
    "svg text{fill:#1f2328}svg .soft{fill:#59636e}svg .grid{stroke:#d1d9e0;stroke-width:1}"
    "svg .whisker{stroke:#1f2328;stroke-width:1.2;opacity:.75}svg .line{fill:none;stroke-width:2}"
    "svg .grey{fill:#8b949e;stroke:#8b949e}"
    "svg .bold{font-weight:600}svg rect.plain{fill-opacity:.45}"
    "svg polyline.plain{stroke-dasharray:5 4}" + colours(LIGHT) +
    "@media(prefers-color-scheme:dark){svg text{fill:#e6edf3}svg .soft{fill:#9198a1}"
    "svg .grid{stroke:#3d444d}svg .whisker{stroke:#e6edf3}" + colours(DARK) + "}"
    ".line{fill:none!important}"
)


def svg(width, height, title, body, is_alone=False):
    style = f"<style>{STYLE}</style>" if is_alone else ""
    space = ' xmlns="http://www.w3.org/2000/svg"' if is_alone else ""
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return (f'<svg{space} {size} role="img" aria-label="{escape(title, quote=True)}">'
            f'{style}{"".join(body)}</svg>')


def shade_of(colour):
    """The classes of (number, is it a plain program): those are dashed, and their bars pale.
    Without a number: grey."""
    number, is_plain = colour
    if number is None:
        return "grey"
    return f"c{number % COLOURS}" + (" plain" if is_plain else "")


def label(x, y, words, classes="", anchor="start"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" class="{classes}" text-anchor="{anchor}">'
            f"{escape(words)}</text>")


def line(x1, y1, x2, y2, classes):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{classes}"/>'


def bars(title, note, entries, is_alone=False):
    """ENTRIES: (who, median, lower, upper, colour, is it the best). Whiskers span the quartiles."""
    width, left, right, step, top = 412, 142, 72, 20, 40
    room = width - left - right
    most = max((max(median, upper) for _, median, _, upper, _, _ in entries), default=1) or 1
    body = [label(0, 14, title, "bold"), label(0, 29, note, "soft")]
    for place, (who, median, lower, upper, colour, is_best) in enumerate(entries):
        y = top + place * step
        length = max(1.0, room * median / most)
        emphasis = "bold" if is_best else ""
        body.append(label(left - 8, y + 12, who, emphasis, "end"))
        body.append(f'<rect x="{left}" y="{y + 2}" width="{length:.1f}" height="13" rx="2"'
                    f' class="{shade_of(colour)}" stroke-width="0"/>')
        first, last = left + room * lower / most, left + room * upper / most
        if last - first > 1:
            body.append(line(first, y + 8.5, last, y + 8.5, "whisker"))
            body += [line(end, y + 5, end, y + 12, "whisker") for end in (first, last)]
        after = max(left + length, last)
        body.append(label(after + 5, y + 12, text.number(median), emphasis))
    return svg(width, top + len(entries) * step + 4, title, body, is_alone)


def ticks(lowest, highest):
    """1, 2 and 5 times powers of ten that span the range; only powers if there are many."""
    first, last = math.floor(math.log10(lowest)), math.ceil(math.log10(highest))
    factors = (1,) if last - first > 3 else (1, 2, 5)
    found = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
    below = max((tick for tick in found if tick <= lowest), default=found[0])
    above = min((tick for tick in found if tick >= highest), default=found[-1])
    return [tick for tick in found if below <= tick <= above]


def tick_text(value):
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def apart(places, least):
    """The places, moved as little as needed so that neighbours are LEAST apart; order is kept."""
    ordered = sorted(range(len(places)), key=lambda i: places[i])
    moved = list(places)
    for before, after in zip(ordered, ordered[1:]):
        moved[after] = max(moved[after], moved[before] + least)
    return moved


def curves(title, note, points, series, is_alone=False):
    """POINTS: what stands below the x axis; SERIES: (who, colour, [(place, median, lower, upper)]).

    Points stand at equal distances, which suits numbers that grow by factors; y is logarithmic.
    """
    width, left, right, top = 640, 56, 186, 44
    values = [value for _, _, samples in series for _, *three in samples for value in three]
    values = [value for value in values if value > 0]
    if not values:
        return ""
    bottom = top + max(220, 15 * len(series) + 10)
    marks = ticks(min(values), max(values))
    low, high = math.log10(marks[0]), math.log10(marks[-1])
    span = high - low or 1

    def x_of(place):
        return left + 14 + (width - left - right - 28) * place / max(1, len(points) - 1)

    def y_of(value):
        return bottom - (bottom - top) * (math.log10(max(value, marks[0])) - low) / span

    body = [label(0, 14, title, "bold"), label(0, 30, note, "soft")]
    for mark in marks:
        body.append(line(left, y_of(mark), width - right, y_of(mark), "grid"))
        body.append(label(left - 6, y_of(mark) + 4, tick_text(mark), "soft", "end"))
    for place, words in enumerate(points):
        body.append(label(x_of(place), bottom + 18, words, "soft", "middle"))
    names = []
    for who, colour, samples in series:
        shade = shade_of(colour)
        path = " ".join(f"{x_of(place):.1f},{y_of(median):.1f}" for place, median, *_ in samples)
        body.append(f'<polyline points="{path}" class="{shade} line"/>')
        for place, median, lower, upper in samples:
            body.append(line(x_of(place), y_of(lower), x_of(place), y_of(upper), shade))
            body.append(f'<circle cx="{x_of(place):.1f}" cy="{y_of(median):.1f}" r="2.6"'
                        f' class="{shade}"/>')
        names.append((who, shade, x_of(samples[-1][0]), y_of(samples[-1][1])))
    heights = apart([y for *_, y in names], 14)
    lifted = max(0, max(heights) - bottom - 4)  # the lowest names stay inside
    for (who, shade, x, y), height in zip(names, heights):
        start = width - right + 12
        body.append(line(x + 4, y, start, height - lifted, shade + '" stroke-opacity=".35'))
        body.append(f'<polyline points="{start},{height - lifted:.1f} {start + 16},'
                    f'{height - lifted:.1f}" class="{shade} line"/>')
        body.append(label(start + 21, height - lifted + 4, who))
    return svg(width, bottom + 28, title, body, is_alone)
