#!/usr/bin/python3
"""The folders of src/ are layers: an include may only point down. Foreign headers stay in the rooms made for them."""
import re

import tap

BELOW = {
    "base": set(),
    "report": {"base", "domain"},
    "domain": {"base"},
    **{room: {"base", "domain"} for room in ("redis", "handler", "config", "log", "ipc")},
    **{room: {"base", "domain", "redis", "handler", "config", "log", "ipc"} for room in ("worker", "reaper")},
}
# The reaper is a thread of the supervisor's.
BELOW["supervisor"] = BELOW["reaper"] | {"reaper"}
MAINS = {"base", "domain", "report", "redis", "handler", "config", "log", "ipc", "worker", "reaper", "supervisor"}
BELOW["daemon"] = MAINS
BELOW["ctl"] = MAINS

# header -> (prefixes of the files that may include it, how many files below each prefix may; None: all)
ROOMS = {
    "hiredis/": (("src/redis/",), None),
    "yaml.h": (("src/config/",), None),
    "jansson.h": (("src/base/json.h",), None),
    "ev.h": (("src/handler/", "src/ipc/", "src/worker/", "src/supervisor/", "src/ctl/"), None),
    "microhttpd.h": (("src/supervisor/", "src/ctl/"), None),
    "ncurses.h": (("src/ctl/",), 1),
    "systemd/": (("src/supervisor/", "src/log/", "src/ctl/"), 1),
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.M)

upward, strange, guests = [], [], []
users = {}
for path in tap.files("src", endings=(".c", ".h", ".def")):
    room = path.split("/")[1]
    for kind, header in INCLUDE.findall(tap.read(path)):
        if kind == '"':
            target = header.split("/")[0]
            if header == "config.h":
                continue
            if "/" not in header or target not in BELOW:
                strange.append('%s: "%s" is not written from src/' % (path, header))
            elif target != room and target not in BELOW.get(room, set()):
                upward.append("%s: %s may not include %s" % (path, room, header))
            continue
        for foreign, (rooms, limit) in ROOMS.items():
            if header == foreign or (foreign.endswith("/") and header.startswith(foreign)):
                users.setdefault(foreign, set()).add(path)
                if not path.startswith(rooms):
                    guests.append("%s: <%s> belongs to %s" % (path, header, ", ".join(rooms)))

for foreign, (rooms, limit) in ROOMS.items():
    for room in rooms:
        inside = [path for path in users.get(foreign, ()) if path.startswith(room)]
        if limit and len(inside) > limit:
            guests.append("<%s…> is for %d file of %s: %s" % (foreign, limit, room, ", ".join(sorted(inside))))

tap.report([
    ("includes point down the layers", upward),
    ("includes are written from src/", strange),
    ("foreign headers stay in their rooms", guests),
])
