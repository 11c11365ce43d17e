#!/usr/bin/python3
"""The manual pages are right (mandoc -T lint), name every event, and those that are made from the programs' tables are what
these print now; so is the completion."""
import os
import re
import shutil
import subprocess
import sys

import tap

sys.path.insert(0, os.path.join(tap.TOP, "src", "man"))
import generate  # noqa: E402

PAGES = [path for path in tap.files("src/man") if re.search(r"\.[1-9]$", path)]
WANTED = {"src/man/xackd.8", "src/man/xackctl.1", "src/man/xackd.yaml.5", "src/man/xackd-handler.7", "src/man/xackd-events.7",
          "src/man/xackd-metrics.7"}


def lint():
    """What mandoc says; a reference to a page of ours is good where that is there, any other is not its business here."""
    if not shutil.which("mandoc"):
        return ["mandoc is missing: contrib/install-deps test"]
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "all"] + [os.path.join(tap.TOP, path) for path in PAGES], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=60)
    found = []
    for line in done.stdout.split("\n"):
        reference = re.search(r"referenced manual not found: Xr (\S+) (\d)", line)
        if "outdated mandoc.db" in line or (reference and not reference.group(1).startswith("xack")):
            continue
        if reference and "src/man/%s.%s" % reference.groups() in PAGES:
            continue
        if line.strip():
            found.append(line.replace(tap.TOP + "/", ""))
    return found


def drift():
    try:
        made = generate.pages(tap.BUILD)
    except (OSError, subprocess.CalledProcessError) as error:
        return ["cannot be made again: %s" % error]
    return ["%s is not what the programs say: make man" % path for path, text in made.items()
            if not os.path.exists(os.path.join(tap.TOP, path)) or tap.read(path) != text]


def words(text):
    """Event names in the text of a page: NAME.NAME behind a macro."""
    return set(re.findall(r"\b((?:daemon|worker|redis|job|dead|retain|log)\.[a-z_]+)\b", text))


def events():
    known = set(re.findall(r'^EVENT\(\w+, "([a-z._]+)"', tap.read("src/log/events.def"), re.M))
    told = set()
    for line in re.findall(r"^\.It Ql (.*)$", tap.read("src/man/xackd-events.7"), re.M):
        told |= words(line)
    elsewhere = {word for path in PAGES if not path.endswith(".5")
                 for word in re.findall(r"^\.Ql ((?:daemon|worker|redis|job)\.[a-z_]+)", tap.read(path), re.M)}
    return ["%s is not in xackd-events(7)" % name for name in sorted(known - told)] + \
        ["%s is no event" % name for name in sorted((told | elsewhere) - known)]


def completion():
    if not shutil.which("bash"):
        return ["bash is missing"]
    done = subprocess.run(["bash", "-n", os.path.join(tap.TOP, "contrib/completion/xackctl")], text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
    return done.stdout.split("\n")[:-1]


tap.report([
    ("every manual page is there", sorted(WANTED - set(PAGES))),
    ("mandoc finds nothing in the manual pages", lint()),
    ("the generated pages and the completion are what the programs say", drift()),
    ("xackd-events(7) has every event", events()),
    ("the completion is bash", completion()),
])
