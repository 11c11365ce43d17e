#!/usr/bin/python3
"""Scripts: what is executable says with what it runs, shell scripts stop at the first error and parse, Lua scripts
keep to the keys they are given."""
import os
import re
import subprocess

import tap

no_interpreter, careless, broken, loose = [], [], [], []
for path in tap.files("contrib", "tests", "etc", ".ci", "build-aux"):
    full = os.path.join(tap.TOP, path)
    text = tap.read(path)
    first = text.split("\n", 1)[0]
    if os.path.islink(full) or not first.startswith("#!"):
        # Sources tarballs and checkouts keep the mode; what is compiled here is no script.
        if os.access(full, os.X_OK) and not text.startswith("\x7fELF") and not path.startswith(("build-aux", "tests/unit")):
            no_interpreter.append("%s: executable, but no #! line" % path)
        continue
    if path.startswith("build-aux"):
        continue
    if re.match(r"#!(/usr/bin/env )?(/bin/)?(ba)?sh\b", first) or first in ("#!/bin/sh", "#!/bin/bash"):
        if not path.startswith("etc/") and not re.search(r"^set -[a-z]*[eu]", text, re.M):
            careless.append("%s: no set -eu" % path)
        shell = "bash" if "bash" in first else "sh"
        check = subprocess.run([shell, "-n", full], capture_output=True, text=True, timeout=20)
        if check.returncode:
            broken.append("%s: %s" % (path, check.stderr.strip()[:200]))
    elif "python" in first and first != "#!/usr/bin/python3":
        no_interpreter.append("%s: %s instead of #!/usr/bin/python3" % (path, first))

for path in tap.files("src/lua", endings=(".lua",)):
    code = "\n".join(re.sub(r"--.*", "", line) for line in tap.read(path).split("\n"))
    for number, line in enumerate(code.split("\n"), 1):
        if re.search(r"redis\.call\(\s*['\"](KEYS|SCAN|FLUSHALL|FLUSHDB|EVAL|SCRIPT|DEBUG)['\"]", line, re.I):
            loose.append("%s:%d: %s" % (path, number, line.strip()))
        if re.match(r"\s*function\s+\w", line):
            loose.append("%s:%d: a global function: say local" % (path, number))

tap.report([
    ("executables name their interpreter", no_interpreter),
    ("shell scripts stop at errors", careless),
    ("shell scripts parse", broken),
    ("Lua scripts look at no other keys and leave no globals", loose),
])
