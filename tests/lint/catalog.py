#!/usr/bin/python3
"""The message catalog of the journal explains each event of the table, by its ID."""
import re

import tap

rows = re.findall(r'^EVENT\((\w+), "([\w.]+)", \w+, "[^"]*", "(\w*)"\)$', tap.read("src/log/events.def"), re.M)
table = {identity: name for _, name, identity in rows}
entries = {}
twice, poor = [], []
for text in re.split(r"^-- ", tap.read("systemd/xackd.catalog"), flags=re.M)[1:]:
    identity, _, rest = text.partition("\n")
    head, _, body = rest.partition("\n\n")
    subject = re.search(r"^Subject: .*\(([\w.]+)\)$", head, re.M)
    if identity in entries:
        twice.append(identity)
    entries[identity] = subject.group(1) if subject else ""
    if not body.strip() or "Defined-By: xackd" not in head:
        poor.append("%s (%s) explains nothing, or does not say Defined-By: xackd" % (identity, entries[identity]))
    poor += ["%s: %s is no field" % (identity, field) for field in re.findall(r"@([^@\s]*)@", body)
             if not re.fullmatch(r"XACKD_[A-Z0-9_]+", field)]

ids = [identity for _, _, identity in rows]
tap.report([
    ("every event has an ID of 32 hex digits", [name for _, name, i in rows if not re.fullmatch(r"[0-9a-f]{32}", i)]
     + (["only %d of the lines of events.def were understood" % len(rows)] if len(rows) != tap.read("src/log/events.def").count("\nEVENT(") else [])),
    ("every ID is there once", sorted({i for i in ids if ids.count(i) > 1}) + twice),
    ("every event is explained", ["%s %s" % (i, name) for i, name in table.items() if i not in entries]),
    ("every explanation has its event", ["%s says %s, the table %s" % (i, name, table.get(i)) for i, name in entries.items() if table.get(i) != name]),
    ("explanations are whole", poor),
])
