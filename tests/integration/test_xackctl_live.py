"""xackctl beside a daemon at work: what it tells is what happens."""
import json
import re

import pytest

from harness import wait_until

QUEUE_KEYS = {"stream", "group", "jobs", "length", "waiting", "running", "parked", "later", "dead", "oldest_waiting_ms", "oldest_running_ms",
              "paused", "suspended"}


@pytest.fixture
def desk(box):
    """One daemon, one job that does what its entry says."""
    gate = box.gate()
    daemon = box.daemon({"exec": box.recording(
        "case $FIELD_DO in wait) : < %s;; fail) echo the reason >&2; exit 3;; dead) echo beyond hope >&2; exit 65;; esac" % gate.path),
        "retry": {"initial": "1h"}}, workers=2)
    daemon.gate = gate
    return daemon


def explain(box, entry, *args, status=0):
    return box.ctl("explain", entry, "--json", *args, status=status).json if status == 0 else box.ctl("explain", entry, *args, status=status)


def test_add_prints_the_id(box, desk):
    done = box.ctl("add", "work", "a=1", "b=x=y", "c=", "d=zwei Wörter")
    entry = done.text.strip()
    assert re.fullmatch(r"\d+-\d+", entry)
    desk.wait_event("job.succeeded", id=entry)
    values = box.raw("XRANGE", "work", entry, entry)[0][1]
    assert values == [b"a", b"1", b"b", b"x=y", b"c", b"", b"d", "zwei Wörter".encode()]
    assert box.ctl("add", "work", "a=1", "--json").json.keys() == {"id"}
    assert box.ctl("--json", "add", "work", "a=1").text.startswith("{")


def test_queues(box, desk):
    ids = [box.add(fields={"do": what}) for what in ("ok", "fail", "dead", "wait", "wait")]
    desk.wait_event("job.started", id=ids[4])
    box.add(fields={"do": "ok"})
    queue, = box.ctl("queues", "--json").json
    assert queue.keys() >= QUEUE_KEYS
    assert {k: queue[k] for k in ("stream", "group", "jobs", "length", "waiting", "running", "parked", "later", "dead", "paused")} == {
        "stream": "work", "group": "xackd", "jobs": ["work"], "length": 6, "waiting": 1, "running": 2, "parked": 1, "later": 0, "dead": 1,
        "paused": False}
    assert isinstance(queue["oldest_running_ms"], int) and isinstance(queue["oldest_waiting_ms"], int)
    assert "work" in box.ctl("queues").text
    desk.gate.open()
    box.wait_pending(1)


def test_queues_without_the_daemon(box, desk):
    entry = box.add(fields={"do": "dead"})
    desk.wait_event("job.dead", id=entry)
    assert desk.stop() == 0
    queue, = box.ctl("queues", "--json").json
    assert queue["dead"] == 1 and queue["waiting"] == 0
    status = box.ctl("status", "--json").json
    assert status["daemon"] is None and status["queues"]


def test_status(box, desk):
    entry = box.add(fields={"do": "wait"})
    desk.wait_event("job.started", id=entry)
    got = box.ctl("status", "--json").json
    assert got["daemon"]["pid"] == desk.pid and got["daemon"]["version"] and got["daemon"]["uptime_ms"] >= 0 and got["daemon"]["state"]
    assert got["daemon"]["redis"]["connected"] is True and got["daemon"]["redis"]["since_ms"] >= 0 and "redis.sock" in got["daemon"]["redis"]["url"]
    wait_until(lambda: box.ctl("status", "--json").json["workers"] == {"total": 2, "busy": 1, "idle": 1, "starting": 0}, 5)
    assert got["queues"][0]["stream"] == "work"
    assert "work" in box.ctl("status").text
    desk.gate.open()


def test_explain_each_state(box, desk):
    done = box.add(fields={"do": "ok"})
    desk.wait_event("job.succeeded", id=done)
    got = explain(box, done)
    assert (got["id"], got["stream"], got["group"], got["state"]) == (done, "work", "xackd", "acknowledged")

    parked = box.add(fields={"do": "fail"})
    due = desk.wait_event("job.retry", id=parked)["due_ms"]
    got = explain(box, parked)
    assert got["state"] == "parked" and got["due_ms"] == due and got["job"] == "work"
    assert "exit 3" in json.dumps(got) and "the reason" in json.dumps(got)
    text = box.ctl("explain", parked).text
    assert "parked" in text and "exit 3" in text

    dead = box.add(fields={"do": "dead"})
    desk.wait_event("job.dead", id=dead)
    got = explain(box, dead)
    assert got["state"] == "dead" and got["dead_id"] == box.dead()[0]["dead_id"]
    assert "exit 65" in box.ctl("explain", dead).text
    assert explain(box, got["dead_id"])["state"] == "dead", "the dead letter's ID says the same"

    running = [box.add(fields={"do": "wait"}) for _ in range(2)]
    started = desk.wait_event("job.started", id=running[1])
    got = explain(box, running[1])
    assert got["state"] == "running" and got["consumer"].startswith("h1/default/") and got["attempt"] == 1
    assert got["worker"] == started["worker"] and got["pid"] == started["pid"] and got["running_ms"] >= 0

    waiting = box.add(fields={"do": "ok"})
    assert explain(box, waiting)["state"] == "waiting"

    gone = done
    box.r.xdel("work", gone)
    assert explain(box, gone)["state"] == "gone"
    desk.gate.open()
    box.wait_pending(1)


def test_explain_of_an_id_in_several_queues(box):
    daemon = box.daemon({"a": {"exec": ["/bin/true"]}, "b": {"exec": ["/bin/false"], "retry": {"initial": "1h"}}})
    box.add("a", id="7-1")
    box.add("b", id="7-1")
    daemon.wait_event("job.retry", id="7-1")
    daemon.wait_event("job.succeeded", id="7-1")
    done = box.ctl("explain", "7-1", status=1)
    assert "a" in done.text + done.errors and "b" in done.text + done.errors
    assert explain(box, "7-1", "--job", "a")["state"] == "acknowledged"
    assert explain(box, "7-1", "--job", "b")["state"] == "parked"


def test_dead_ls_show_requeue(box, desk):
    assert box.ctl("dead", "ls", "--json").json == []
    ids = []
    for n in range(3):
        ids.append(box.add(fields=[(b"do", b"dead"), (b"n", b"%d" % n), (b"raw", b"\xff\x00")]))
        desk.wait_event("job.dead", id=ids[-1])
    rows = box.ctl("dead", "ls", "--json").json
    assert sorted(row["id"] for row in rows) == sorted(ids)
    row = [row for row in rows if row["id"] == ids[1]][0]
    assert row.keys() >= {"dead_id", "id", "job", "reason", "detail", "attempts", "exit", "signal", "stderr", "at_ms", "fields"}
    assert (row["job"], row["reason"], row["detail"], row["attempts"], row["exit"], row["signal"]) == ("work", "exit", "exit 65", 1, 65, None)
    assert row["stderr"].strip() == "beyond hope" and row["fields"] == {"do": "dead", "n": "1"}
    assert row["fields_b64"] == {"raw": "/wA="} and isinstance(row["at_ms"], int)
    by_entry = box.ctl("dead", "show", ids[1], "--json").json
    by_dead = box.ctl("dead", "show", row["dead_id"], "--json").json
    assert by_entry == by_dead
    text = box.ctl("dead", "show", ids[1]).text
    assert "beyond hope" in text and "exit 65" in text and "\x00" not in text
    assert "exit 65" in box.ctl("dead", "ls").text
    box.ctl("dead", "show", "5-5", status=1)
    new = box.ctl("dead", "requeue", ids[1]).text.split()
    assert len(new) == 1
    desk.wait_event("job.dead", id=new[0])
    assert {letter["id"] for letter in box.dead()} == {ids[0], ids[2], new[0]}
    box.ctl("dead", "requeue", ids[1], status=1)
    both = box.ctl("dead", "requeue", ids[0], ids[2]).text.split()
    assert len(both) == 2


def test_output_for_people_cannot_be_abused(box, desk):
    """Escape sequences of a hostile producer do not reach the terminal."""
    entry = box.add(fields=[(b"do", b"dead"), (b"\x1b[2Jname", b"\x1b]0;owned\x07\r\nforged")])
    desk.wait_event("job.dead", id=entry)
    for verb in (["dead", "ls"], ["dead", "show", entry], ["explain", entry]):
        done = box.ctl(*verb)
        assert b"\x1b" not in done.stdout and b"\x07" not in done.stdout and b"\r" not in done.stdout


def test_status_of_a_daemon_that_does_not_answer(box):
    """It is not said to be down: it is there, and cannot be asked."""
    daemon = box.daemon({"exec": ["/bin/true"]})
    daemon.freeze()
    try:
        done = box.ctl("status", status=69)
        assert "cannot be asked" in done.text and "does not run" not in done.text + done.errors
    finally:
        daemon.thaw()
    assert "running" in box.ctl("status").text
