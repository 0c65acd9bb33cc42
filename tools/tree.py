# SPDX-License-Identifier: MIT
"""What the style checks share: which files there are, their text without comments, complaints."""

import os
import re
import sys

SKIPPED = {".git", "build", "subprojects", "__pycache__"}
C_SUFFIXES = (".c", ".h", ".S", ".cc")


class Tree:
    def __init__(self, root):
        self.root = root
        self.complaints = 0

    def paths(self, suffixes=C_SUFFIXES, under=""):
        """Paths of all such files, relative to the root, in a fixed order."""
        for folder, folders, names in os.walk(os.path.join(self.root, under)):
            folders[:] = sorted(set(folders) - SKIPPED)
            for name in sorted(names):
                if name.endswith(suffixes):
                    yield os.path.relpath(os.path.join(folder, name), self.root)

    def text(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8") as file:
            return file.read()

    def complain(self, path, line, message):
        self.complaints += 1
        print(f"{path}:{line}: {message}")


TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def code_only(text):
    """The text with comments and the insides of literals blanked out; lines keep their numbers."""

    def blank(match):
        token = match.group(0)
        if token[0] in "\"'":
            return token[0] + " " * (len(token) - 2) + token[0]
        return re.sub(r"[^\n]", " ", token)

    return TOKEN.sub(blank, text)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def main(check):
    """Runs check(tree) on the folder named on the command line, else on this repository."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    tree = Tree(sys.argv[1] if len(sys.argv) > 1 else here)
    check(tree)
    sys.exit(1 if tree.complaints else 0)
