#!/usr/bin/python3
"""Makefile.am lists every source, test and script that is there, and nothing that is not."""
import os
import re

import tap

text = tap.read("Makefile.am")
listed = set(re.findall(r"(?<![\w/.)-])((?:src|tests|etc)/[\w./-]+)", text))
forgotten, gone = [], []

for path in tap.files("src", "tests/unit", endings=(".c", ".h", ".def", ".lua")):
    if path not in listed and not (path.startswith("tests/unit/test_") and path[:-2] in listed):
        forgotten.append(path)
for path in tap.files("etc"):
    if path not in listed:
        forgotten.append(path)
for path in listed:
    full = os.path.join(tap.TOP, path)
    made = path in ("src/xackd", "src/xackctl", "src/redis/scripts_gen.c", "src/report/assets_gen.c", "src/lua") or "*" in path
    if not made and not os.path.exists(full) and not os.path.exists(full + ".c"):
        gone.append(path)

libraries = tap.read("configure.ac")
unnamed = []
for module in re.findall(r"PKG_CHECK_MODULES\(\[(\w+)\]", libraries):
    if not re.search(r"PKG_CHECK_MODULES\(\[%s\].*?(apt install|have_)" % module, libraries, re.S):
        unnamed.append(module)

tap.report([
    ("Makefile.am lists every file", sorted(forgotten)),
    ("Makefile.am lists only files that are there", sorted(gone)),
    ("configure names the package of a missing library", unnamed),
])
