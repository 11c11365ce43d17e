"""Every verb in every format: what a script reads is JSON whatever happens, and what a person reads is text."""
import json

import pytest

from harness import in_sh
from test_xackctl import run

HOSTILE = [(b"do", b"fail"), (b"\x1b[2Jname", b"\x1b]0;owned\x07\r\n\xff")]


class Scene:
    """A daemon, and one entry in each state."""

    def __init__(self, box):
        self.box = box
        self.gate = box.gate()
        self.daemon = box.daemon({"exec": in_sh("case $FIELD_DO in wait) : < %s;; fail) exit 3;; dead) exit 65;; esac" % self.gate.path),
                                  "kill_grace": "200ms", "retry": {"initial": "1h"}}, workers=3, drain_timeout="100ms",
                                 cron={"yearly": {"schedule": "\r\n0 0 1 1 *", "timezone": "UTC", "job": "work"}})
        self.log = box.write("log", json.dumps({"ts": "2026-01-01T00:00:00.000000Z", "level": "info", "event": "job.retry", "host": "h",
                                                "job": "work", "id": "1-1"}) + "\n")

    def done(self):
        entry = self.box.add(fields={"do": "ok"})
        self.daemon.wait_event("job.succeeded", id=entry)
        return entry

    def running(self):
        entry = self.box.add(fields={"do": "wait"})
        self.daemon.wait_event("job.started", id=entry)
        return entry

    def parked(self):
        entry = self.box.add(fields=HOSTILE)
        self.box.wait_parked(entry)
        return entry

    def dead(self):
        entry = self.box.add(fields=[(b"do", b"dead")] + HOSTILE[1:])
        self.daemon.wait_event("job.dead", id=entry)
        return entry

    def exported(self):
        entry = self.dead()
        return self.box.write("letters", self.box.ctl("dead", "export", entry).text)


# What is said, made anew for each format; the status; what JSON gives: a list, one object, or (jsonl in all of them) lines.
SAYS = {
    "status": (lambda s: [], 0, dict), "queues": (lambda s: [], 0, list), "jobs": (lambda s: [], 0, list), "cron": (lambda s: [], 0, list), "workers": (lambda s: [], 0, list),
    "running": (lambda s: [] if s.running() else [], 0, list), "suspended": (lambda s: [], 0, list),
    "top": (lambda s: ["--batch", "--limit", "1"], 0, dict),
    "add": (lambda s: ["work", "do=ok"], 0, dict), "explain": (lambda s: [s.parked()], 0, dict),
    "retries": (lambda s: [] if s.parked() else [], 0, list), "retry": (lambda s: [s.parked()], 0, list),
    "cancel": (lambda s: [s.running(), s.parked()], 0, list),
    "dead ls": (lambda s: [] if s.dead() else [], 0, list), "dead show": (lambda s: [s.dead()], 0, dict),
    "dead requeue": (lambda s: [s.dead()], 0, list), "dead purge": (lambda s: [s.dead()], 0, dict),
    "dead edit": (lambda s: [s.dead(), "a=1"], 0, dict), "dead export": (lambda s: [s.dead()], 0, None),
    "dead import": (lambda s: [s.exported()], 0, dict), "wait": (lambda s: [s.done()], 0, dict),
    "check": (lambda s: [], 0, dict), "doctor": (lambda s: [], None, list), "events": (lambda s: [s.log], 0, None),
    "pause": (lambda s: [], 0, list), "resume": (lambda s: [], 0, list), "drain": (lambda s: ["--wait"], 0, dict),
    "trim": (lambda s: ["work", "--acked", "--yes"] if s.done() else [], 0, list),
    "replay": (lambda s: ["work", "--from", "0", "--yes"] if s.done() else [], 0, dict), "report": (lambda s: [s.log], 0, None),
}


def all_verbs():
    return [verb["name"] for verb in json.loads(run("--print", "verbs").stdout)["verbs"]]


def test_every_verb_is_here():
    assert set(all_verbs()) <= set(SAYS)


@pytest.mark.parametrize("verb", sorted(SAYS))
def test_formats(box, verb):
    if verb not in all_verbs():
        pytest.skip("built without it")
    make, status, kind = SAYS[verb]
    scene = Scene(box)
    for form in ("json", "jsonl", "table"):
        if verb == "report" and form != "json":
            continue  # its --output is a file
        if verb == "drain" and form != "json":
            scene.daemon.wait()
            scene.daemon = box.again(scene.daemon)
        how = ["--json"] if verb == "report" else ["-o", form]
        done = box.ctl(*verb.split(), *make(scene), *how, status=status)
        assert done.text.strip() or (kind is list and form != "json" and verb in ("suspended", "doctor")), "it says something"
        if form == "table":
            assert not any(c in done.stdout for c in (b"\x1b", b"\x07", b"\r"))
        elif form == "jsonl" or verb in ("dead export", "events"):
            assert all(isinstance(json.loads(line), dict) for line in done.text.splitlines())
        else:
            assert isinstance(json.loads(done.text), kind or dict)


@pytest.mark.parametrize("verb", ["retry", "dead requeue", "dead purge"])
def test_what_changes_much_asks(box, verb):
    """Where nobody can be asked: the count, and nothing is changed without --yes."""
    scene = Scene(box)
    ids = {scene.parked() if verb == "retry" else scene.dead() for _ in range(2)}

    def state():
        return box.r.zrange(box.key("due"), 0, -1, withscores=True), [letter["dead_id"] for letter in box.dead()]
    before = state()
    for args in (["--all"], ["--reason", "exit"]):
        refused = box.ctl(*verb.split(), *args, status=1)
        assert "2 " in refused.errors and "--yes" in refused.errors and refused.text == ""
    assert len(ids) == 2 and before == state()
    assert box.ctl(*verb.split(), "--all", "--dry-run").text
    assert before == state()
    box.ctl(*verb.split(), "--all", "--yes")
    assert before != state()
