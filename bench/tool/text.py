# SPDX-License-Identifier: MIT
"""Numbers, names of units and tables as text."""

UNITS = {"per_s": "1/s", "us": "µs"}


def number(value):
    """Three or four digits that matter."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def unit(name):
    return UNITS.get(name, name)


def ratio(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def columns(lines):
    """Aligned: the first column to the left, the others to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return [
        "  ".join([line[0].ljust(widths[0])]
                  + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]).rstrip()
        for line in lines
    ]


def markdown(lines):
    """The same as a Markdown table; the first line is its head."""
    ruled = [lines[0], ["---"] + ["---:"] * (len(lines[0]) - 1)] + lines[1:]
    return ["| " + " | ".join(line) + " |" for line in ruled]
