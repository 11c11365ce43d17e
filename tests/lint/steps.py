#!/usr/bin/python3
"""The kill points in the code, the list of steps, the model of the protocol and the tests speak of the same steps."""
import re

import tap

listed, scenes, modelled = [], set(), set()
for line in tap.read("tests/model/steps.txt").split("\n"):
    if not line.strip() or line.startswith("#"):
        continue
    fields = line.split()
    listed.append(fields[0])
    if len(fields) != 6:
        continue
    scenes.add(fields[2])
    if fields[5] == "in":
        modelled.add(fields[0])

placed = {}
for path in tap.files("src", endings=(".c",)):
    for call in re.findall(r"\bKILL_POINT(?:_IF)?\(([^;]*)\);", tap.read(path)):
        name = re.search(r'"([\w.]+)"$', call)
        placed.setdefault(name.group(1) if name else call, set()).add(path)

test = tap.read("tests/integration/test_kill_points.py")
written = set(re.findall(r"^def scene_(\w+)\(", test, re.M))
in_model = set(" ".join(re.findall(r"\bAT\(([\w.\s]+)\)", tap.read("tests/model/entry.pml"))).split()) - {"steps"}


def apart(left, right, text):
    return [text % name for name in sorted(set(left) - set(right))]


tap.report([
    ("every kill point of the code is listed", apart(placed, listed, "%s is not in steps.txt")),
    ("every listed step is in the code", apart(listed, placed, "%s is nowhere in src/")),
    ("every step is listed once", sorted({name for name in listed if listed.count(name) > 1})),
    ("every step has its test", apart(scenes, written, "no scene_%s in test_kill_points.py")
     + apart(written, scenes, "no step uses scene_%s") + ([] if "parametrize(\"step\", STEPS" in test else ["STEPS is not what is tested"])),
    ("the model has the steps that are said to be in it", apart(modelled, in_model, "%s is not in entry.pml")),
    ("the steps of the model are listed", apart(in_model, modelled, "%s is in entry.pml and not said to be")),
])
