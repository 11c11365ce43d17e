#!/usr/bin/python3
"""The tree stands alone: it names no machine, folder or account that it happened to be written on, and speaks of the
program, not of its making."""
import re

import tap

# In brackets, so that this list does not find itself.
ELSEWHERE = re.compile(r"(?<![\w.$}])/(?:[w]ork|[r]oot|[h]ome/\w+)/|\.\./[s]hared|/tmp/[b]uild-|/tmp/[t]eam")
MAKING = re.compile(
    r"\b(?:[c]laude|[a]nthropic|[o]penai|[c]hat-?gpt|[c]opilot|[l]lms?|[s]ub-?agents?|[a]i[- ](?:generated|written|assist\w*)"
    r"|[c]o-authored-by|[l]anguage model|this [s]ession|[p]rompted)\b", re.I)
MIRRORS = re.compile(r"https?://[^\s/]*\b(?:[p]ypi|[a]rtifactory|[n]exus|[s]napshot\.debian|[p]roxy\.golang)", re.I)
WORKPLACE_OK = ("tests/lint/words.py",)

elsewhere, making, mirrors, blanks = [], [], [], []
for path in tap.files():
    if path in WORKPLACE_OK or path.startswith(("build-aux/", "configure", "Makefile.in", "aclocal.m4", "config.")):
        if path not in ("configure.ac", "build-aux/embed-lua.awk"):
            continue
    text = tap.read(path)
    if "\0" in text:
        continue
    for number, line in enumerate(text.split("\n"), 1):
        where = "%s:%d: %s" % (path, number, line.strip()[:100])
        if ELSEWHERE.search(line):
            elsewhere.append(where)
        if MAKING.search(line):
            making.append(where)
        if MIRRORS.search(line):
            mirrors.append(where)
    if path.endswith((".c", ".h", ".py", ".lua", ".am", ".ac", ".def")) and re.search(r"[ \t]+$", text, re.M):
        blanks.append("%s: blanks at the end of a line" % path)

tap.report([
    ("no path of somebody's machine", elsewhere),
    ("no word about how it was made", making),
    ("no package mirror is named", mirrors),
    ("no blanks at line ends", blanks),
])
