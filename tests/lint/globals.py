#!/usr/bin/python3
"""No state outside of the objects that main() makes and hands down: no variable in .data or .bss of the library."""
import os
import re
import subprocess

import tap

# symbol -> why it may be one
ALLOWED = {
    "event_sink": "the log sink: one a process",
}

archive = os.path.join(tap.BUILD, "libxackd.a")
if not os.path.exists(archive):
    tap.report([("libxackd.a is built", [archive + " is missing: make"])])

found = []
dump = subprocess.run(["objdump", "-t", archive], capture_output=True, text=True, timeout=60, check=True).stdout
member = "?"
instrumented = "__asan_" in dump or "__tsan_" in dump or "__gcov" in dump
for line in dump.split("\n"):
    heading = re.match(r"(\S+\.o):\s+file format", line)
    if heading:
        member = heading.group(1)
    symbol = re.match(r"[0-9a-f]+\s+(.{7})\s+(\.data|\.bss|\.tdata|\.tbss|\*COM\*)(?!\.rel\.ro)(?:\.\S+)?\s+([0-9a-f]+)\s+(?:\.hidden )?(\S+)$", line)
    if symbol and "O" in symbol.group(1) + ("O" if symbol.group(2) == "*COM*" else ""):
        name = re.sub(r"\.\d+$", "", symbol.group(4))
        if name not in ALLOWED:
            found.append("%s: %s" % (member, name))

# Instrumented objects carry variables of the instrumentation's own; the plain build has been looked at.
tap.report([("no global variables", [] if instrumented else found)])
