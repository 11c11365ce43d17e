"""What fails: parked, due, retried, buried; the hints, and the doors out of the pending list."""
import json
import os

import pytest

from harness import PARKED, milliseconds, never, wait_until

TWICE = "test $XACKD_ATTEMPT -gt 2 || { echo about to fail >&2; exit 3; }"
FOREVER = {"max_attempts": 0, "initial": "1h"}


def test_failure_is_parked_with_due_time_and_note(box):
    daemon = box.daemon({"exec": ["/bin/sh", "-c", "echo one >&2; echo two >&2; exit 3"], "retry": {"initial": "10m"}})
    entry = box.add()
    failed = daemon.wait_event("job.failed", id=entry)
    assert (failed["reason"], failed["detail"], failed["exit"], failed["attempt"], failed["level"]) == (
        "exit", "exit 3", 3, 1, "warning")
    assert failed["stderr"] == "one\ntwo\n" or failed["stderr"] == "one\ntwo"
    assert isinstance(failed["duration_ms"], int) and "signal" not in failed
    retry = daemon.wait_event("job.retry", id=entry)
    assert retry["delay_ms"] == 600000
    assert box.pending()[entry] == (PARKED, 1)
    due = box.r.zscore(box.key("due"), entry)
    assert due == retry["due_ms"]
    assert abs(due - 600000 - milliseconds(retry["ts"])) < 3000
    note = box.note(entry)
    assert (note["reason"], note["detail"], note["exit"], note["attempt"], note["host"]) == ("exit", "exit 3", 3, 1, "h1")
    assert note["stderr"].strip() == "one\ntwo" and abs(note["at_ms"] - milliseconds(failed["ts"])) < 3000


def test_retry_is_the_same_entry_as_the_next_attempt(box):
    daemon = box.daemon({"exec": box.recording(TWICE)})
    entry = box.add(fields={"a": "b"})
    done = daemon.wait_event("job.succeeded", id=entry)
    assert done["attempt"] == 3 and box.runs() == [(entry, 1, 1), (entry, 2, 2), (entry, 3, 3)]
    assert [e["attempt"] for e in daemon.events("job.retry")] == [1, 2]
    box.wait_done()
    assert not box.r.zscore(box.key("due"), entry) and not box.note(entry) and not box.r.hget(box.key("given"), entry)


def test_retry_is_on_time(box):
    """Never before it is due, and within 250 ms of it on an idle host that parked it."""
    daemon = box.daemon({"exec": box.recording("test $XACKD_ATTEMPT -gt 5"), "retry": {"initial": "700ms", "backoff": "fixed", "max_attempts": 9}})
    entry = box.add()
    daemon.wait_event("job.succeeded", id=entry, timeout=20)
    starts = [milliseconds(e["ts"]) for e in daemon.events("job.started", id=entry)]
    dues = [e["due_ms"] for e in daemon.events("job.retry", id=entry)]
    assert len(dues) == 5
    late = [start - due for start, due in zip(starts[1:], dues)]
    assert min(late) >= -1, "before it was due: %s" % late
    assert sorted(late)[2] <= 250, "the median on a machine that has other things to do: %s" % late


@pytest.mark.parametrize("retry, expected", [
    ({"backoff": "fixed", "initial": "50ms"}, [50, 50, 50, 50]),
    ({"backoff": "linear", "initial": "50ms"}, [50, 100, 150, 200]),
    ({"backoff": "exponential", "initial": "50ms"}, [50, 100, 200, 400]),
    ({"backoff": "exponential", "initial": "50ms", "max": "120ms"}, [50, 100, 120, 120]),
])
def test_backoff(box, retry, expected):
    daemon = box.daemon({"exec": ["/bin/false"], "retry": dict(retry, max_attempts=5, jitter=0)})
    entry = box.add()
    dead = daemon.wait_event("job.dead", id=entry)
    assert dead["attempts"] == 5
    assert [e["delay_ms"] for e in daemon.events("job.retry")] == expected


def test_jitter(box):
    daemon = box.daemon({"exec": ["/bin/false"], "retry": {"initial": "100s", "backoff": "fixed", "jitter": 0.5}})
    box.add_many("work", 40)
    daemon.wait_event("job.retry", count=40)
    delays = [e["delay_ms"] for e in daemon.events("job.retry")]
    assert 50000 <= min(delays) < 80000 and 120000 < max(delays) <= 150000 and len(set(delays)) > 20


def test_dead_letter_layout(box):
    """A count, the meta pairs, then the original pairs: in order, with doubles and any bytes."""
    pairs = [(b"a", b"1"), (b"a", b"2"), (b"", b""), (b"\xff\x00", b"\x00\r\n\xfe"), (b"xackd.meta", b"99"), (b"xackd.id", b"no")]
    daemon = box.daemon({"exec": ["/bin/sh", "-c", "echo the end >&2; exit 9"], "retry": {"max_attempts": 2}})
    entry = box.add(fields=pairs)
    event = daemon.wait_event("job.dead", id=entry)
    assert (event["reason"], event["detail"], event["attempts"], event["level"]) == ("exit", "exit 9", 2, "warning")
    letter = box.wait_dead()[0]
    assert letter["pairs"] == pairs
    assert {k: letter[k] for k in ("id", "stream", "group", "job", "reason", "detail", "attempts", "exit", "host")} == {
        "id": entry, "stream": "work", "group": "xackd", "job": "work", "reason": "exit", "detail": "exit 9", "attempts": "2",
        "exit": "9", "host": "h1"}
    assert letter["stderr"].strip() == "the end" and "signal" not in letter
    assert abs(int(letter["at"]) - milliseconds(event["ts"])) < 3000
    box.wait_done()
    assert not box.r.zscore(box.key("due"), entry)
    assert box.note(entry) is None or box.note(entry)["dead_id"] == letter["dead_id"]


def test_dead_letter_of_a_signal(box):
    daemon = box.daemon({"exec": ["/bin/sh", "-c", "kill -9 $$"], "retry": {"max_attempts": 1}})
    entry = box.add()
    failed = daemon.wait_event("job.failed", id=entry)
    assert (failed["reason"], failed["detail"], failed["signal"]) == ("signal", "signal 9 (KILL)", 9) and "exit" not in failed
    letter = box.wait_dead()[0]
    assert (letter["reason"], letter["signal"], letter["attempts"]) == ("signal", "9", "1") and "exit" not in letter
    assert not daemon.events("job.retry")


def test_dead_letter_keeps_the_reason_of_the_last_attempt(box):
    box.daemon({"exec": ["/bin/sh", "-c", "test $XACKD_ATTEMPT -gt 1 && exit 7; kill -9 $$"], "retry": {"max_attempts": 2}})
    box.add()
    letter = box.wait_dead()[0]
    assert (letter["reason"], letter["exit"]) == ("exit", "7") and "signal" not in letter


def test_end_of_stderr_is_kept(box):
    """4 KiB of it, valid UTF-8, the end and not the beginning."""
    box.daemon({"exec": ["/bin/sh", "-c", "i=0; while [ $i -lt 1000 ]; do echo line $i é >&2; i=$((i+1)); done; exit 1"],
                "retry": {"max_attempts": 1}, "output": "discard"})
    box.add()
    tail = box.wait_dead()[0]["stderr"]
    assert tail.rstrip("\n").endswith("line 999 é") and 3000 < len(tail.encode()) <= 4096
    assert not any("\ud800" <= c <= "\udfff" for c in tail)


def test_entry_with_thousands_of_pairs(box):
    """More pairs than Redis's Lua can unpack."""
    pairs = [("f%d" % i, "v%d" % i) for i in range(5000)]
    daemon = box.daemon({"exec": ["/bin/sh", "-c", "exit 65"]})
    entry = box.add(fields=pairs)
    daemon.wait_event("job.dead", id=entry)
    letter = box.wait_dead()[0]
    assert [name for name, _ in letter["pairs"]] == [b"xackd.packed"]
    shown = box.ctl("dead", "show", letter["dead_id"], "--json").json
    shown = shown[0] if isinstance(shown, list) else shown
    assert shown["fields"] == dict(pairs)
    new = box.ctl("dead", "requeue", letter["dead_id"]).text.split()
    assert len(new) == 1
    again = box.raw("XRANGE", "work", new[0], new[0])[0][1]
    assert [p.decode() for p in again[:10000]] == [part for pair in pairs for part in pair]


def test_cap_of_dead_letters_is_not_silent(box):
    daemon = box.daemon({"exec": ["/bin/sh", "-c", "exit 65"], "dead": {"maxlen": 3}})
    ids = box.add_many("work", 10)
    box.wait_done()
    wait_until(lambda: len(daemon.events("job.dead")) == 10)
    assert [letter["id"] for letter in box.dead()] == ids[-3:]
    wait_until(lambda: sum(e["count"] for e in daemon.events("dead.dropped")) == 7, 15)


def test_many_due_at_once_keep_all_workers_busy(box):
    daemon = box.daemon({"exec": box.recording("test $XACKD_ATTEMPT -gt 1 && sleep 0.05"), "retry": {"initial": "1s"}}, workers=2)
    ids = box.add_many("work", 40)
    box.wait_done()
    wait_until(lambda: len(daemon.events("job.succeeded")) == 40)
    assert sorted(e["id"] for e in daemon.events("job.succeeded")) == sorted(ids)
    assert {e["attempt"] for e in daemon.events("job.succeeded")} == {2}
    assert {e["worker"] for e in daemon.events("job.succeeded")} == {"default/0", "default/1"}


def test_due_entries_do_not_starve_new_ones(box):
    """A worker that always finds something due still turns to new entries."""
    daemon = box.daemon({"exec": ["/bin/sh", "-c", 'test "$FIELD_N" = new'], "retry": {"initial": "1ms", "max_attempts": 0, "max": "1ms"}})
    box.add_many("work", 5)
    daemon.wait_event("job.failed", count=10)
    fresh = box.add(fields={"n": "new"})
    daemon.wait_event("job.succeeded", id=fresh)


@pytest.mark.parametrize("keys", [("due",), ("due", "given", "note")])
def test_hints_can_be_deleted(box, keys):
    """Each entry is still run: only due times, notes and given-back attempts are gone."""
    daemon = box.daemon({"exec": box.recording("test -e %s" % box.path("good")), "retry": FOREVER})
    ids = box.add_many("work", 5)
    daemon.wait_event("job.retry", count=5)
    box.write("good", "")
    box.r.delete(*[box.key(k) for k in keys])
    for entry in ids:
        daemon.wait_event("job.succeeded", id=entry, timeout=25)
    box.wait_done()
    assert len(box.runs()) == 10


def test_all_hints_deleted_at_once(box):
    """Also hosts and whatever else xackd added: a new life begins from the pending list alone."""
    daemon = box.daemon({"exec": box.recording("test -e %s" % box.path("good")), "retry": FOREVER})
    entry = box.add()
    daemon.wait_event("job.retry", id=entry)
    for key in box.r.keys("xackd:*"):
        box.r.delete(key)
    box.write("good", "")
    daemon.wait_event("job.succeeded", id=entry, timeout=25)
    wait_until(lambda: box.r.hexists(box.key("hosts"), "h1"), 5, "the host's row is written again")


def test_acknowledged_by_hand_while_parked(box):
    daemon = box.daemon({"exec": box.recording("exit 1"), "retry": {"initial": "1500ms"}})
    entry = box.add()
    daemon.wait_event("job.retry", id=entry)
    assert box.r.xack("work", "xackd", entry) == 1
    gone = daemon.wait_event("job.vanished", timeout=15)
    assert gone["level"] == "warning" and entry in json.dumps(gone)
    assert len(box.runs()) == 1
    wait_until(lambda: not box.r.zscore(box.key("due"), entry))


def test_parked_consumer_deleted_is_reported(box):
    daemon = box.daemon({"exec": ["/bin/false"], "retry": {"initial": "1500ms"}})
    ids = box.add_many("work", 3)
    daemon.wait_event("job.retry", count=3)
    box.r.xgroup_delconsumer("work", "xackd", PARKED)
    wait_until(lambda: all(entry in json.dumps(daemon.events("job.vanished")) for entry in ids), 15, "all are reported")
    daemon.wait_event("job.failed", id=box.add())


def test_payload_deleted_while_parked(box):
    daemon = box.daemon({"exec": box.recording("exit 1"), "retry": {"initial": "800ms"}})
    entry = box.add()
    daemon.wait_event("job.retry", id=entry)
    box.r.xdel("work", entry)
    event = daemon.wait_event("job.dead", id=entry, timeout=15)
    assert event["reason"] == "payload_gone"
    letter = box.wait_dead()[0]
    assert letter["reason"] == "payload_gone" and letter["id"] == entry and letter["pairs"] == []
    box.wait_pending(0)
    assert len(box.runs()) == 1


def test_payload_deleted_of_an_entry_nobody_runs(box):
    """Pending under a consumer that is no more: the sweep finds it."""
    entry, other = box.add(), box.add()
    box.r.xgroup_create("work", "xackd", "0")
    box.r.xreadgroup("xackd", "somebody", {"work": ">"}, count=1)
    box.r.xdel("work", entry)
    daemon = box.daemon({"exec": box.recording()})
    daemon.wait_event("job.succeeded", id=other)
    letter = box.wait_dead(timeout=20)[0]
    assert letter["reason"] == "payload_gone" and letter["id"] == entry and letter["pairs"] == []
    box.wait_pending(0)


def test_payload_deleted_while_it_runs_and_succeeds(box):
    gate = box.gate()
    daemon = box.daemon({"exec": box.recording(": < " + gate.path)})
    entry = box.add()
    daemon.wait_event("job.started", id=entry)
    box.r.xdel("work", entry)
    never(lambda: box.r.exists(box.key("dead")) or len(box.runs()) > 1, 3, "one that its owner renews is its owner's")
    gate.open()
    daemon.wait_event("job.succeeded", id=entry)
    box.wait_pending(0)
    assert not box.r.exists(box.key("dead")) and len(box.runs()) == 1


def test_payload_deleted_while_it_runs_and_fails(box):
    gate = box.gate()
    daemon = box.daemon({"exec": ["/bin/sh", "-c", ": < %s; exit 3" % gate.path]})
    entry = box.add(fields={"kept": "by the worker"})
    daemon.wait_event("job.started", id=entry)
    box.r.xdel("work", entry)
    gate.open()
    letter = box.wait_dead()[0]
    assert letter["id"] == entry and letter["pairs"] == [(b"kept", b"by the worker")]
    box.wait_pending(0)


def test_foreign_entry_is_taken_after_the_lease(box):
    entry = box.add()
    box.r.xgroup_create("work", "xackd", "0")
    box.r.xreadgroup("xackd", "script-1", {"work": ">"}, count=1)
    daemon = box.daemon({"exec": box.recording()})
    event = daemon.wait_event("job.recovered", id=entry, timeout=20)
    assert event["from"] == "script-1" and event["why"] == "foreign" and event["idle_ms"] >= 2000
    daemon.wait_event("job.succeeded", id=entry)
    assert box.runs() == [(entry, 2, 2)]


def test_foreign_entry_is_left_if_asked_for(box):
    entry = box.add()
    box.r.xgroup_create("work", "xackd", "0")
    box.r.xreadgroup("xackd", "script-1", {"work": ">"}, count=1)
    daemon = box.daemon({"exec": box.recording(), "foreign": "leave", "lease": "1s"})
    other = box.add()
    daemon.wait_event("job.succeeded", id=other)
    never(lambda: daemon.events("job.recovered") or box.pending().get(entry, ("",))[0] != "script-1", 5)


def test_given_attempts_do_not_count(box):
    """Delivery only grows; attempt is delivery less what was given back."""
    box.write("later", "")
    daemon = box.daemon({"exec": box.recording("test -e %s && exit 99; exit 3" % box.path("later")),
                         "exit_codes": {"later": [99]}, "retry": {"initial": "30ms", "max_attempts": 2, "backoff": "fixed"}})
    entry = box.add()
    daemon.wait_event("job.later", id=entry, count=4)
    assert {e["attempt"] for e in daemon.events("job.later")} == {1}
    assert all({"due_ms", "delay_ms"} <= e.keys() for e in daemon.events("job.later"))
    os.unlink(box.path("later"))
    dead = daemon.wait_event("job.dead", id=entry)
    assert dead["attempts"] == 2
    runs = box.runs()
    assert [r[2] for r in runs] == list(range(1, len(runs) + 1)), "a delivery number is never seen twice"
    assert [r[1] for r in runs] == [1] * (len(runs) - 1) + [2]
    assert not box.r.hget(box.key("given"), entry)


def test_requeued_dead_letter_is_a_new_entry(box):
    daemon = box.daemon({"exec": box.recording("test -e %s || exit 65" % box.path("good"))})
    pairs = [(b"a", b"1"), (b"a", b"\xff\x00"), (b"xackd.reason", b"mine")]
    entry = box.add(fields=pairs)
    letter = box.wait_dead()[0]
    box.write("good", "")
    new = box.ctl("dead", "requeue", entry).text.split()
    assert len(new) == 1 and new[0] != entry
    daemon.wait_event("job.succeeded", id=new[0])
    values = box.raw("XRANGE", "work", new[0], new[0])[0][1]
    got = list(zip(values[::2], values[1::2]))
    assert got[:3] == pairs and [name for name, _ in got[3:]] == [b"xackd.requeued-from"]
    assert got[3][1].decode() in (letter["dead_id"], entry)
    assert box.runs()[-1][1:] == (1, 1)
