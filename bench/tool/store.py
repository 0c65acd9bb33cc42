# SPDX-License-Identifier: MIT
"""The file of a run: JSON with the machine, the versions, the rows and every sample."""

import dataclasses
import json
import re

import stats

FORMAT = 1


class Report:
    """A run as its file has it, with the questions that tables and plots ask."""

    def __init__(self, data):
        if data.get("format") != FORMAT:
            raise ValueError(f"format {data.get('format')} is not {FORMAT}")
        self.data = data
        self.rows = data["rows"]
        self.subjects = data["subjects"]
        self.titles = {subject["name"]: subject["title"] for subject in self.subjects}
        self.kinds = {subject["name"]: subject["kind"] for subject in self.subjects}
        self.loops = {subject["name"]: subject["loop"] for subject in self.subjects}
        self.workers = {subject["name"]: subject["workers"] for subject in self.subjects}
        self.families = {subject["name"]: subject["family"] for subject in self.subjects}

    def samples(self, row, subject):
        return self.data["samples"].get(row["name"], {}).get(subject, [])

    def value(self, row, subject):
        """The median, or None."""
        samples = self.samples(row, subject)
        return stats.median(samples) if samples else None

    def count(self, row, subject):
        """Instructions per operation, or None."""
        return self.data["counts"].get(row["name"], {}).get(subject)

    def rows_of(self, suite):
        return [row for row in self.rows if row["suite"] == suite
                and self.data["samples"].get(row["name"])]

    def suites(self):
        return list(dict.fromkeys(row["suite"] for row in self.rows if self.rows_of(row["suite"])))

    def subjects_of(self, rows):
        """Names, in the run's order, of who answered any of these."""
        return [name for name in self.titles if any(self.samples(row, name) for row in rows)]

    def baseline(self, rows):
        """Whom the others are compared with: weft on the first backend."""
        names = self.subjects_of(rows)
        return next((name for name in names if self.kinds[name] == "weft"), names[0])

    def best(self, row, names=None):
        """Who (of NAMES) has the best median; a bare system does not compete."""
        values = {name: self.value(row, name) for name in names or self.titles
                  if self.kinds[name] != "bare" and self.samples(row, name)}
        if len(values) < 2:
            return None
        return (max if row["better"] == "more" else min)(values, key=values.get)

    def times_better(self, row, subject, other):
        """By what factor SUBJECT is better than OTHER; None if one of them has no answer."""
        mine, its = self.value(row, subject), self.value(row, other)
        if not mine or not its:
            return None
        return mine / its if row["better"] == "more" else its / mine


def row_data(row):
    """What of a Row goes into the file."""
    return dataclasses.asdict(row)


def save(path, data):
    """A line for each row and subject's samples, so that two files can be compared by eye."""
    text = json.dumps(data, indent=1, sort_keys=True)
    text = re.sub(r"\[[^][{}]*\]", lambda match: " ".join(match.group(0).split()), text)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text + "\n")


def load(path):
    with open(path, encoding="utf-8") as file:
        return Report(json.load(file))
