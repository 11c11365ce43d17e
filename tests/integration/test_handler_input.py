"""What a handler gets: argv, stdin, environment, descriptors. All fields are hostile."""
import base64
import json
import os

import pytest

from harness import never, wait_until

DUMP = """#!/usr/bin/python3 -SE
import json, os, sys
def text(b):
    return b.decode("latin-1")
fds = {}
for name in os.listdir("/proc/self/fd"):
    try:
        fds[name] = os.readlink("/proc/self/fd/" + name)
    except OSError:
        pass
status = open("/proc/self/status").read()
out = {
    "argv": [text(os.fsencode(a)) for a in sys.argv[1:]],
    "env": {text(k): text(v) for k, v in os.environb.items()},
    "stdin": text(sys.stdin.buffer.read()) if sys.stdin else None,
    "fds": fds, "cwd": os.getcwd(), "pgrp": os.getpgrp(), "pid": os.getpid(), "sid": os.getsid(0),
    "status": dict(line.split(":\\t", 1) for line in status.split("\\n") if ":\\t" in line),
}
name = %r + os.environ["XACKD_ID"]
json.dump(out, open(name + ".tmp", "w"))
os.rename(name + ".tmp", name)
"""


def latin(value):
    return value.encode("utf-8").decode("latin-1") if isinstance(value, str) else value.decode("latin-1")


class Dumper:
    def __init__(self, box):
        self.box = box
        self.path = box.write("dump.py", DUMP % box.path("dump-"), 0o755)

    def of(self, entry, timeout=15):
        wait_until(lambda: os.path.exists(self.box.path("dump-" + entry)), timeout, "a handler ran for " + entry)
        return json.loads(self.box.read("dump-" + entry))


@pytest.fixture
def dumper(box):
    return Dumper(box)


HOSTILE = [
    (b"plain", b"a b\tc  *"),
    (b"newline", b"one\ntwo\r\nthree"),
    (b"quote", b"it's \"quoted\" \\ `id`"),
    (b"dollar", b"$(touch PWNED); ${HOME}; $PATH"),
    (b"PATH", b"/nowhere"),
    (b"LD_PRELOAD", b"/tmp/evil.so"),
    (b"IFS", b"x"),
    (b"BASH_ENV", b"/tmp/evil"),
    (b"XACKD_ID", b"0-1"),
    (b"=", b"equals"),
    (b"a=b", b"c"),
    (b"-x", b"-rf"),
    (b"", b"no name"),
    ("größe".encode(), "fünf \U0001f600".encode()),
    (b"latin", b"\xff\xfe caf\xe9"),
    (b"\xc3\x28", b"name is no UTF-8"),
    (b"empty", b""),
    (b"json", b'"},{"event":"job.succeeded"'),
]


# ---- argv ----

def test_argv_templates(box, dumper):
    box.daemon({"exec": [dumper.path, "{a}", "x{a}y{b}z", "{{literal}}", "{@id}", "{@job}", "{@attempt}", "{@stream}",
                         "{none:-fallback}", "{empty:-unused}", "{none:-}", "plain $(id) `id` *", "{a}{{{b}}}"]})
    entry = box.add(fields={"a": "one two", "b": "", "empty": ""})
    assert dumper.of(entry)["argv"] == ["one two", "xone twoyz", "{literal}", entry, "work", "1", "work", "fallback", "", "",
                                        "plain $(id) `id` *", "one two{}"]


def test_hostile_values_in_argv(box, dumper):
    names = [n for n, _ in HOSTILE if n and not set(n) & set(b"{}:@") and n.decode("utf-8", "replace").isprintable() and b"\xc3(" != n]
    box.daemon({"exec": [dumper.path] + ["{%s}" % n.decode() for n in names]})
    entry = box.add(fields=HOSTILE)
    values = dict(HOSTILE)
    assert dumper.of(entry)["argv"] == [values[n].decode("latin-1") for n in names]
    assert not os.path.exists(box.path("PWNED"))


def test_first_of_equal_fields_fills_the_template(box, dumper):
    box.daemon({"exec": [dumper.path, "{a}"]})
    assert dumper.of(box.add(fields=[("a", "1"), ("a", "2")]))["argv"] == ["1"]


def test_missing_field_is_a_dead_letter_of_that_entry(box, dumper):
    daemon = box.daemon({"exec": [dumper.path, "{path}"]})
    entry, good = box.add(fields={"other": "1"}), box.add(fields={"path": "/x"})
    dead = daemon.wait_event("job.dead", id=entry)
    assert dead["reason"] == "missing_field" and "path" in dead["detail"]
    letter = box.wait_dead()[0]
    assert letter["reason"] == "missing_field" and letter["pairs"] == [(b"other", b"1")]
    assert dumper.of(good)["argv"] == ["/x"]
    assert not daemon.events("job.suspended")


@pytest.mark.parametrize("value", [b"a\0b", b"x" * 140000], ids=["NUL", "long"])
def test_value_that_can_be_no_argument_is_malformed(box, dumper, value):
    daemon = box.daemon({"exec": [dumper.path, "{v}"]})
    entry, good = box.add(fields=[(b"v", value)]), box.add(fields={"v": "fine"})
    dead = daemon.wait_event("job.dead", id=entry)
    assert dead["reason"] == "malformed"
    assert box.wait_dead()[0]["pairs"] == [(b"v", value)]
    assert dumper.of(good)["argv"] == ["fine"]
    assert not os.path.exists(box.path("dump-" + entry)) and not daemon.events("job.suspended")


def test_arguments_too_long_in_sum_are_malformed(box, dumper):
    daemon = box.daemon({"exec": [dumper.path] + ["{v}"] * 30})
    entry, good = box.add(fields=[(b"v", b"x" * 120000)]), box.add(fields={"v": "fine"})
    assert daemon.wait_event("job.dead", id=entry)["reason"] == "malformed"
    assert dumper.of(good)["argv"] == ["fine"] * 30


def test_name_without_slash_is_looked_up_in_path(box, dumper):
    box.script("handlertool", "echo ran $1 >> %s" % box.path("out"))
    daemon = box.daemon({"exec": ["handlertool", "{a}"], "env": {"PATH": box.folder + ":/usr/bin:/bin"}})
    daemon.wait_event("job.succeeded", id=box.add(fields={"a": "x y"}))
    assert box.lines("out") == ["ran x y"]


def test_shell_gets_values_through_the_environment_alone(box):
    daemon = box.daemon({"shell": 'printf "%%s" "$FIELD_A" > %s; echo {a} {@id} $# > %s' % (box.path("a"), box.path("b"))})
    daemon.wait_event("job.succeeded", id=box.add(fields={"a": "$(touch %s)'\"; x" % box.path("PWNED")}))
    assert box.read("a") == "$(touch %s)'\"; x" % box.path("PWNED")
    assert box.read("b") == "{a} {@id} 0\n", "no templates in shell:"
    assert not os.path.exists(box.path("PWNED"))


# ---- stdin ----

def test_stdin_json(box, dumper):
    box.daemon({"exec": [dumper.path], "retry": {"max_attempts": 7}})
    entry = box.add(fields={"a": "1", "b": "zwei ü \"\n\0"})
    text = dumper.of(entry)["stdin"].encode("latin-1").decode("utf-8")
    assert text.endswith("\n") and text.count("\n") == 1, "one object on one line"
    assert json.loads(text) == {
        "id": entry, "stream": "work", "group": "xackd", "job": "work", "attempt": 1, "delivery": 1, "max_attempts": 7,
        "enqueued_ms": int(entry.split("-")[0]), "fields": {"a": "1", "b": "zwei ü \"\n\0"}}


def test_stdin_json_with_bytes_and_doubles(box, dumper):
    box.daemon({"exec": [dumper.path]})
    entry = box.add(fields=[(b"a", b"1"), (b"raw", b"\xff\x00"), (b"a", b"2"), (b"\xc3\x28", b"v")])
    got = json.loads(dumper.of(entry)["stdin"].encode("latin-1").decode("utf-8"))
    assert got["fields"]["a"] == "1" and "raw" not in got["fields"]
    assert base64.b64decode(got["fields_b64"]["raw"]) == b"\xff\x00"
    pairs = [tuple(base64.b64decode(part) for part in pair) for pair in got["pairs_b64"]]
    assert pairs == [(b"a", b"1"), (b"raw", b"\xff\x00"), (b"a", b"2"), (b"\xc3\x28", b"v")]


def test_stdin_json_of_hostile_fields(box, dumper):
    daemon = box.daemon({"exec": [dumper.path]})
    entry = box.add(fields=HOSTILE)
    got = json.loads(dumper.of(entry)["stdin"].encode("latin-1").decode("utf-8"))
    for name, value in HOSTILE:
        try:
            name, value = name.decode(), value.decode()
        except UnicodeDecodeError:
            continue
        assert got["fields"][name] == value
    assert base64.b64decode(got["fields_b64"]["latin"]) == b"\xff\xfe caf\xe9"
    assert [tuple(base64.b64decode(p) for p in pair) for pair in got["pairs_b64"]] == HOSTILE
    daemon.wait_event("job.succeeded", id=entry)
    assert not os.path.exists(box.path("PWNED"))


def test_stdin_payload_adds_nothing(box, dumper):
    daemon = box.daemon({"raw": {"exec": [dumper.path], "stdin": "payload"},
                         "named": {"exec": [dumper.path], "stdin": "payload", "payload_field": "body"}})
    bytes_ = bytes(range(256)) * 3
    assert dumper.of(box.add("raw", [(b"x", b"no"), (b"payload", bytes_)]))["stdin"].encode("latin-1") == bytes_
    assert dumper.of(box.add("named", [(b"body", b"")]))["stdin"] == ""
    lacking = box.add("named", {"payload": "wrong name"})
    assert daemon.wait_event("job.dead", id=lacking)["reason"] == "missing_field"


def test_stdin_none(box, dumper):
    box.daemon({"exec": [dumper.path], "stdin": "none"})
    got = dumper.of(box.add())
    assert got["stdin"] == "" and got["fds"]["0"] == "/dev/null"


@pytest.mark.parametrize("kind", ["json", "payload"])
def test_a_megabyte_on_stdin(box, kind):
    """Neither a handler that reads it nor one that never looks at it hangs."""
    daemon = box.daemon({"read": {"exec": ["/bin/sh", "-c", "wc -c > %s" % box.path("count")], "stdin": kind},
                         "ignore": {"exec": ["/bin/true"], "stdin": kind}})
    value = b"\x00\xff" * (1 << 19)
    daemon.wait_event("job.succeeded", id=box.add("read", [(b"payload", value)]))
    count = int(box.read("count"))
    assert count == len(value) if kind == "payload" else count > len(value) * 4 / 3
    daemon.wait_event("job.succeeded", id=box.add("ignore", [(b"payload", value)]))


# ---- environment ----

def test_environment_is_clean(box, dumper):
    daemon = box.daemon({"exec": [dumper.path], "env": {"MINE": "a=b", "LANG": "C.UTF-8"}, "timeout": "90s",
                         "retry": {"max_attempts": 4}},
                        env={"SECRET": "x", "LD_LIBRARY_PATH": "/x", "NOTIFY_SOCKET": "/nowhere/notify", "LISTEN_FDS": "1"})
    entry = box.add(fields={"path": "/a b", "user-id": "7", "ÿ": "u"})
    env = dumper.of(entry)["env"]
    assert env["XACKD_JOB"] == env["XACKD_STREAM"] == "work" and env["XACKD_GROUP"] == "xackd"
    assert (env["XACKD_ID"], env["XACKD_ATTEMPT"], env["XACKD_DELIVERY"], env["XACKD_MAX_ATTEMPTS"], env["XACKD_TIMEOUT"],
            env["XACKD_ENQUEUED_MS"], env["XACKD_NOTIFY_FD"]) == (entry, "1", "1", "4", "90", entry.split("-")[0], "3")
    assert env["FIELD_PATH"] == "/a b" and env["FIELD_USER_ID"] == "7" and env["FIELD___"] == "u"
    assert env["MINE"] == "a=b" and env["LANG"] == "C.UTF-8" and env["PATH"] and env["HOME"] and env["USER"] and env["LOGNAME"] and env["SHELL"]
    known = {"PATH", "HOME", "LANG", "TZ", "USER", "LOGNAME", "SHELL", "MINE", "LC_CTYPE"}
    assert {name for name in env if not name.startswith(("XACKD_", "FIELD_"))} <= known
    daemon.wait_event("job.succeeded", id=entry)


def test_hostile_fields_in_the_environment(box, dumper):
    import pwd
    box.daemon({"exec": [dumper.path]})
    got = dumper.of(box.add(fields=HOSTILE + [(b"nul", b"a\0b")]))
    env = got["env"]
    assert env["FIELD_PATH"] == "/nowhere" and "nowhere" not in env["PATH"]
    assert env["FIELD_LD_PRELOAD"] == "/tmp/evil.so" and "LD_PRELOAD" not in env and "IFS" not in env and "BASH_ENV" not in env
    assert env["FIELD_XACKD_ID"] == "0-1" and env["XACKD_ID"] != "0-1"
    assert env["FIELD_NEWLINE"] == "one\ntwo\r\nthree" and env["FIELD_LATIN"] == "\xff\xfe caf\xe9" and env["FIELD_EMPTY"] == ""
    assert env["FIELD_A_B"] == "c" and env["FIELD__X"] == "-rf" and env["FIELD__"] == "equals"
    assert env["FIELD_GR____E"] == latin("fünf \U0001f600")
    assert "nul" in env["XACKD_OMITTED"].split(",") and "FIELD_NUL" not in env
    assert env["HOME"] == pwd.getpwuid(os.getuid()).pw_dir


def test_what_an_environment_cannot_hold_is_named(box, dumper):
    fields = [("big", "x" * (131072 - len("FIELD_BIG=") - 1)), ("bigger", "x" * 131072), ("a-b", "first"), ("a.b", "second"), ("small", "1")]
    daemon = box.daemon({"exec": [dumper.path]})
    env = dumper.of(box.add(fields=fields))["env"]
    assert len(env["FIELD_BIG"]) == len(fields[0][1]), "exactly 128 KiB with its name and NUL fits"
    assert "FIELD_BIGGER" not in env and env["FIELD_A_B"] == "first" and env["FIELD_SMALL"] == "1"
    assert sorted(env["XACKD_OMITTED"].split(",")) == ["a.b", "bigger"]
    many = [("f%02d" % i, "y" * 100000) for i in range(15)]
    entry = box.add(fields=many)
    env = dumper.of(entry)["env"]
    held = [n for n in env if n.startswith("FIELD_F")]
    assert 9 <= len(held) <= 10, "1 MiB in sum"
    assert len(env["XACKD_OMITTED"].split(",")) == 15 - len(held)
    daemon.wait_event("job.succeeded", id=entry)


def test_traceparent(box, dumper):
    box.daemon({"exec": [dumper.path]})
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert dumper.of(box.add(fields={"traceparent": trace}))["env"]["TRACEPARENT"] == trace
    assert "TRACEPARENT" not in dumper.of(box.add())["env"]


# ---- the process ----

def test_descriptors_group_and_signals(box, dumper):
    """0, 1, 2 and 3: nothing else is inherited; a group of its own; no signal blocked or ignored."""
    daemon = box.daemon({"exec": [dumper.path]})
    got = dumper.of(box.add())
    listing = {fd: target for fd, target in got["fds"].items() if not target.startswith("/proc/")}
    assert set(listing) == {"0", "1", "2", "3"}, listing
    assert got["pgrp"] == got["pid"]
    assert int(got["status"]["SigBlk"], 16) == 0
    assert int(got["status"]["SigIgn"], 16) & ~(1 << 12 | 1 << 24) == 0, "Python itself ignores PIPE and XFSZ"
    assert got["cwd"] == "/"
    assert got["pgrp"] != os.getpgid(daemon.pid)


def test_sigpipe_is_default(box):
    daemon = box.daemon({"exec": ["/bin/sh", "-c", "grep SigIgn /proc/self/status > %s; yes | head -n 1" % box.path("sig")]})
    daemon.wait_event("job.succeeded", id=box.add())
    assert int(box.read("sig").split()[1], 16) == 0


def test_nothing_hostile_forges_an_event(box):
    """Newlines and braces in fields, output, fd 3 and names never make a line of their own."""
    forged = '\n{"ts":"2020-01-01T00:00:00.000000Z","level":"info","event":"job.forged","host":"h1"}\n'
    daemon = box.daemon({"exec": ["/bin/sh", "-c", 'printf "%s" "$FIELD_V"; printf "%s" "$FIELD_V" >&2; printf "STATUS=%s" "$FIELD_V" >&3; printf "DEAD=%s" "$FIELD_V" >&3; exit 9', "x"]})
    entry = box.add(fields={"v": forged, forged: forged})
    daemon.wait_event("job.dead", id=entry)
    named = box.add("work", [("v", "\x1b[31m\u2028\x00" + forged)])
    daemon.wait_event("job.dead", id=named)
    assert not daemon.events("job.forged")
    assert any(e["line"].startswith('{"ts":"2020') for e in daemon.events("job.output", id=entry))
    never(lambda: daemon.bad_lines, 0.2)
