"""What all lints share: where the sources are, and a report in TAP (one test a rule, the findings as comments)."""
import os
import re
import sys

TOP = os.environ.get("XACKD_SRCDIR") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("XACKD_BUILD") or os.path.join(TOP, "build")
SKIPPED_FOLDERS = {".git", "autom4te.cache", "__pycache__", ".pytest_cache", ".deps"}


def files(*folders, endings=()):
    """Paths below the checkout, sorted, with one of the endings (all if none are given); never what a build made."""
    found = []
    for folder in folders or (".",):
        for root, names, leaves in os.walk(os.path.join(TOP, folder)):
            names[:] = sorted(n for n in names
                              if n not in SKIPPED_FOLDERS and not n.startswith(("build-asan", "build-address", "build-thread"))
                              and not os.path.exists(os.path.join(root, n, "config.status")))
            for leaf in leaves:
                path = os.path.relpath(os.path.join(root, leaf), TOP)
                if (not endings or path.endswith(tuple(endings))) and not path.endswith(("scripts_gen.c", "assets_gen.c")):
                    found.append(path)
    return sorted(found)


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8", errors="replace") as stream:
        return stream.read()


def without_comments(text):
    """C text with comments, strings and character constants blanked; lines keep their numbers."""
    def blank(match):
        piece = match.group(0)
        if piece.startswith("/"):
            return re.sub(r"[^\n]", " ", piece)
        return piece[0] + " " * (len(piece) - 2) + piece[-1]
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def report(rules):
    """rules: list of (name, findings). Ends the program."""
    print("1..%d" % len(rules))
    bad = 0
    for number, (name, findings) in enumerate(rules, 1):
        print("%s %d - %s" % ("not ok" if findings else "ok", number, name))
        for finding in findings:
            print("# " + finding)
        bad += bool(findings)
    sys.exit(0)
