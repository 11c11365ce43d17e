#!/usr/bin/python3
"""A file is one thought and a function fits a screen: at most 600 and 80 lines. Sources begin by saying what they are."""
import re

import tap

MAX_FILE, MAX_FUNCTION = 600, 80

long_files, long_functions, headless, marks = [], [], [], []
for path in tap.files("src", "tests/unit", endings=(".c", ".h", ".def")):
    raw = tap.read(path)
    lines = raw.count("\n")
    if lines > MAX_FILE:
        long_files.append("%s: %d lines" % (path, lines))
    if not raw.startswith("/*"):
        headless.append("%s: does not begin with a comment" % path)
    # In this style a function's body opens with a brace alone in column 0 and ends with another.
    start = None
    name = "?"
    for number, line in enumerate(tap.without_comments(raw).split("\n"), 1):
        head = re.match(r"[A-Za-z_].*?(\w+)\s*\(", line)
        if head:
            name = head.group(1)
        if line == "{":
            start = number
        elif line == "}" and start:
            if number - start + 1 > MAX_FUNCTION:
                long_functions.append("%s:%d: %s has %d lines" % (path, start, name, number - start + 1))
            start = None

for path in tap.files("src/lua", endings=(".lua",)):
    if not tap.read(path).startswith("--"):
        headless.append("%s: does not begin with a comment" % path)

todo = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
for path in tap.files("src", "contrib", "tests", "etc"):
    for number, line in enumerate(tap.read(path).split("\n"), 1):
        if todo.search(line):
            marks.append("%s:%d: %s" % (path, number, line.strip()[:80]))

tap.report([
    ("no file is longer than %d lines" % MAX_FILE, long_files),
    ("no function is longer than %d lines" % MAX_FUNCTION, long_functions),
    ("every source file begins by saying what it is", headless),
    ("nothing is left for later in the code", marks),
])
