"""xackctl cancel and drain: an operator ends one handler, or the daemon of a host."""
import json
import os
import signal
import socket
import subprocess

import pytest

from harness import SLOW, XACKCTL, alive, in_sh, never, wait_until
from test_xackctl import desk  # noqa: F401  (a fixture)
from test_xackctl_desk import complete

HOLD = "sleep 600 & wait"


def holding(box, text=HOLD, **job):
    return box.daemon({"exec": box.recording(text), "kill_grace": "20s", "retry": {"initial": "1h"}, **job}, workers=1,
                      drain_timeout="100ms")


def started(box, daemon, **fields):
    entry = box.add(fields=fields or None)
    return entry, daemon.wait_event("job.started", id=entry)["pid"]


def background(box, daemon, *args):
    process = subprocess.Popen([XACKCTL, "-c", daemon.file, *args, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    box.others.append(process)
    return process


def ask(daemon, **request):
    """Over the control socket, as xackctl does."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(daemon.config["control_socket"])
        s.sendall(json.dumps(request).encode() + b"\n")
        return json.loads(s.makefile().read())


# ---- a handler that runs ----

def test_a_running_handler(box):
    daemon = holding(box)
    entry, pid = started(box, daemon)
    row, = box.ctl("cancel", entry, "--json").json
    assert (row["id"], row["stream"], row["group"], row["job"], row["state"]) == (entry, "work", "xackd", "work", "dead")
    failed, dead = daemon.wait_event("job.failed", id=entry), daemon.wait_event("job.dead", id=entry)
    assert (failed["reason"], failed["signal"], dead["reason"], dead["attempts"]) == ("cancelled", 15, "cancelled", 1)
    assert dead["dead_id"] == row["dead_id"] and not alive(pid)
    letter, = box.dead()
    assert (letter["dead_id"], letter["reason"], letter["detail"]) == (row["dead_id"], "cancelled", "cancelled by an operator")
    told = box.ctl("explain", entry, "--json").json
    assert (told["state"], told["reason"], told["dead_id"]) == ("dead", "cancelled", row["dead_id"])
    assert [r["id"] for r in box.ctl("dead", "ls", "--reason", "cancelled", "--json").json] == [entry]
    again = box.ctl("cancel", entry, status=1)
    assert "already" in again.errors and row["dead_id"] in again.errors and len(box.dead()) == 1
    assert "already" in box.ctl("cancel", row["dead_id"], status=1).errors
    assert started(box, daemon), "the worker goes on"


@pytest.mark.parametrize("text, how", [("trap 'exit 0' TERM; " + HOLD, {"exit": 0}), ("trap 'exit 3' TERM; " + HOLD, {"exit": 3}),
                                       ("trap '' TERM; sleep 600 & wait", {"signal": 9})], ids=["exit 0", "exit 3", "deaf"])
def test_however_it_answers_term(box, text, how):
    daemon = holding(box, text, kill_grace="200ms")
    entry, pid = started(box, daemon)
    assert "dead" in box.ctl("cancel", entry).text
    failed = daemon.wait_event("job.failed", id=entry)
    assert failed["reason"] == "cancelled" and {k: failed.get(k) for k in how} == how
    assert box.dead()[0]["reason"] == "cancelled" and not daemon.events("job.succeeded") and not alive(pid)


def test_retry_parks_it(box):
    daemon = holding(box)
    entry, _ = started(box, daemon)
    row, = box.ctl("cancel", entry, "--retry", "--json").json
    assert row["state"] == "parked" and row["dead_id"] is None and box.parked(entry) and not box.dead()
    assert daemon.wait_event("job.retry", id=entry)["attempt"] == 1 and box.note(entry)["reason"] == "cancelled"
    assert "xackctl retry" in box.ctl("cancel", entry, "--retry", status=1).errors and box.parked(entry)
    box.ctl("retry", entry)
    assert daemon.wait_event("job.started", count=2, id=entry) and box.ctl("explain", entry, "--json").json["attempt"] == 2
    assert box.ctl("cancel", entry, "--json").json[0]["state"] == "dead" and box.dead()[0]["attempts"] == "2"


def test_retry_without_an_attempt_left(box):
    daemon = holding(box, retry={"max_attempts": 1})
    entry, _ = started(box, daemon)
    done = box.ctl("cancel", entry, "--retry", status=1)
    assert "no attempt left" in done.errors and box.dead()[0]["reason"] == "cancelled"


def test_only_the_delivery_that_was_named(box):
    """A request that comes too late, or too early, ends nothing."""
    daemon = holding(box)
    entry, pid = started(box, daemon)
    consumer = box.ctl("explain", entry, "--json").json["consumer"]
    right = dict(verb="cancel", stream="work", group="xackd", id=entry, delivery=1, consumer=consumer)

    def final(request):
        answer = ask(daemon, **request)
        return answer["cancel"] if answer["cancel"] != "asked" else None
    for wrong in (dict(delivery=2), dict(id="1-1"), dict(group="other"), dict(stream="other")):
        assert wait_until(lambda: final(dict(right, **wrong)), 10) == "not_held", wrong
    assert ask(daemon, **dict(right, consumer="h1/default/0/0123456789abcdef"))["cancel"] == "no_worker"
    assert "error" in ask(daemon, verb="cancel") and "error" in ask(daemon, **dict(right, delivery=0))
    assert alive(pid) and not box.dead()
    assert wait_until(lambda: final(right), 10) == "ending"
    box.wait_dead()


def test_several_at_once(box):
    daemon = holding(box)
    entry, _ = started(box, daemon)
    waiting = [box.add() for _ in range(3)]
    box.ctl("pause", "work")
    done = box.ctl("cancel", entry, *waiting, "9999999999999-0", "--json", status=1)
    assert [row["id"] for row in json.loads(done.text)] == [entry] + waiting and "9999999999999-0 is in no queue" in done.errors
    assert sorted(letter["id"] for letter in box.dead()) == sorted([entry] + waiting)


def test_its_worker_dies_meanwhile(box):
    """The entry is not lost: whoever has it then is told to end it."""
    daemon = holding(box, "test $XACKD_ATTEMPT = 2 || trap '' TERM; " + HOLD)
    entry, pid = started(box, daemon)
    cancel = background(box, daemon, "cancel", entry)
    worker, = daemon.workers()
    wait_until(lambda: told_to_end(daemon, entry), 10)
    os.kill(worker, signal.SIGKILL)
    assert cancel.wait(20 * SLOW) == 0
    letter, = box.wait_dead()
    assert (letter["id"], letter["reason"]) == (entry, "cancelled") and box.pending() == {}
    assert not alive(pid)


def told_to_end(daemon, entry):
    """The worker has answered: asked again, it says that the handler ends."""
    consumer = daemon.box.ctl("explain", entry, "--json", config=daemon.file).json["consumer"]
    return ask(daemon, verb="cancel", stream="work", group="xackd", id=entry, delivery=1, consumer=consumer)["cancel"] == "ending"


def test_it_had_ended_before(box):
    gate = box.gate()
    daemon = holding(box, "trap '' TERM; : < %s" % gate.path, kill_grace="20s")
    entry, _ = started(box, daemon)
    gate.open()
    daemon.wait_event("job.succeeded", id=entry)
    assert "done already" in box.ctl("cancel", entry, status=1).errors


def test_timeout(box):
    daemon = holding(box, "trap '' TERM; " + HOLD)
    entry, pid = started(box, daemon)
    assert "has not ended yet" in box.ctl("cancel", entry, "--timeout", "300ms", status=75).errors
    assert alive(pid)
    os.kill(-pid, signal.SIGKILL)
    assert box.wait_dead()[0]["reason"] == "cancelled"


# ---- nobody runs it ----

def test_what_is_parked(box):
    daemon = box.daemon({"exec": in_sh("echo the reason >&2; exit 3"), "retry": {"initial": "1h"}})
    entry = box.add(fields={"a": "1"})
    box.wait_parked(entry)
    row, = box.ctl("cancel", entry, "--json").json
    letter, = box.dead()
    assert (letter["dead_id"], letter["id"], letter["reason"], letter["attempts"], letter["job"], letter["host"], letter["stderr"]) == (
        row["dead_id"], entry, "cancelled", "1", "work", "h1", "the reason\n")
    assert letter["pairs"] == [(b"a", b"1")] and box.pending() == {} and not box.r.exists(box.key("due"))
    assert (box.note(entry)["reason"], box.note(entry)["dead_id"]) == ("cancelled", row["dead_id"])
    assert daemon.wait_event("job.dead", id=entry)["reason"] == "cancelled"
    assert "already" in box.ctl("cancel", entry, status=1).errors


def test_without_a_daemon(desk, box):
    parked, gone = desk.parked(note={"reason": "exit"}), desk.parked()
    waiting = box.add(fields=[(b"x", b"\xff\0"), (b"x", b"")])
    box.r.xdel("work", gone)
    rows = desk.json("cancel", parked, waiting, gone)
    assert [row["state"] for row in rows] == ["dead"] * 3
    letters = {letter["id"]: letter for letter in box.dead()}
    assert letters[waiting]["pairs"] == [(b"x", b"\xff\0"), (b"x", b"")] and letters[waiting]["attempts"] == "0"
    assert letters[gone]["pairs"] == [] and {letter["reason"] for letter in letters.values()} == {"cancelled"}
    assert box.pending() == {} and box.r.xlen("work") == 1, "what waited has left the stream, or it would be given to somebody"
    assert desk.json("explain", waiting)["state"] == "dead" and desk.fetch() == []
    assert desk.json("dead", "requeue", waiting)[0]["id"] == waiting and len(desk.fetch()) == 1
    running = box.add()
    desk.fetch()
    assert "does not run" in desk.ctl("cancel", running, status=69).errors and running in box.pending()


def test_what_another_group_wants_stays(desk, box):
    box.r.xgroup_create("work", "audit", id="0")
    entry = box.add()
    assert "audit" in desk.ctl("cancel", entry, status=1).errors and box.r.xlen("work") == 1 and box.dead() == []
    box.r.xreadgroup("audit", "me", {"work": ">"})
    assert "audit" in desk.ctl("cancel", entry, status=1).errors
    box.r.xack("work", "audit", entry)
    assert desk.json("cancel", entry)[0]["state"] == "dead" and box.r.xlen("work") == 0
    assert "nothing to end" in desk.ctl("cancel", box.add(), "--retry", status=1).errors


def test_what_runs_elsewhere(desk, box):
    entry, foreign = box.add(), box.add()
    desk.fetch("h2/default/0/0123456789abcdef"), desk.fetch("somebody")
    assert "runs on host h2" in desk.ctl("cancel", entry, status=1).errors
    assert "held by somebody" in desk.ctl("cancel", foreign, status=1).errors
    assert set(box.pending()) == {entry, foreign} and box.dead() == []


def test_dead_letters_that_cannot_be_written(desk, box):
    parked, waiting = desk.parked(), box.add()
    box.r.set(box.key("dead"), "a text")
    for entry in (parked, waiting):
        assert "WRONGTYPE" in desk.ctl("cancel", entry, status=1).errors
    assert box.parked(parked) and box.r.xlen("work") == 2


# ---- one process for several entries ----

READS = """import json, os, sys, time
fd = os.fdopen(3, "w")
for line in sys.stdin:
    entry = json.loads(line)
    with open(sys.argv[1], "a") as runs:
        runs.write(entry["id"] + "\\n")
    if entry["fields"].get("do") != "hold":
        fd.write(json.dumps({"id": entry["id"], "status": "ok"}) + "\\n")
        fd.flush()
while sys.argv[2:]:
    time.sleep(1)
"""


def many(box, mode, **job):
    script = box.write("reads.py", READS)
    stays = ["stays"] if mode == "batch" else []
    return box.daemon({"exec": ["/usr/bin/python3", script, box.path("runs")] + stays, "mode": mode, "kill_grace": "5s",
                       "retry": {"initial": "1h"}, **job}, workers=1, drain_timeout="100ms")


def held(box):
    try:
        return box.read("runs").split()
    except FileNotFoundError:
        return []


@pytest.mark.parametrize("mode", ["batch", "persistent"])
def test_one_of_several(box, mode):
    rules = {"batch": {"size": 3, "wait": "20s"}} if mode == "batch" else {"persistent": {"window": 8}}
    daemon = many(box, mode, **rules)
    ids = [box.add(fields={"do": "hold"}) for _ in range(3)]
    wait_until(lambda: len(held(box)) == 3, 10)
    refused = box.ctl("cancel", ids[1], status=1)
    assert "2 more" in refused.errors and "--force" in refused.errors and box.dead() == []
    assert box.ctl("cancel", ids[1], "--force", "--json").json[0]["state"] == "dead"
    wait_until(lambda: set(held(box)[3:]) >= {ids[0]}, 20)
    assert [letter["id"] for letter in box.dead()] == [ids[1]] and box.dead()[0]["reason"] == "cancelled"
    assert ids[1] not in held(box)[3:]
    assert {e["id"] for e in daemon.events("job.failed")} == {ids[1]}, "the others lost no attempt"
    assert daemon.wait_event("job.released", id=ids[2])


def test_the_only_one_of_a_persistent_process(box):
    daemon = many(box, "persistent", persistent={"window": 3})
    entry = box.add(fields={"do": "hold"})
    wait_until(lambda: held(box) == [entry], 10)
    box.ctl("cancel", entry)
    assert daemon.wait_event("job.failed", id=entry)["reason"] == "cancelled" and box.dead()[0]["id"] == entry
    other = box.add()
    wait_until(lambda: held(box)[-1] == other, 10)
    box.wait_pending(0)


def test_one_of_a_batch_that_is_gathered(box):
    daemon = many(box, "batch", batch={"size": 3, "wait": "20s"})
    ids = [box.add(fields={"do": "hold"}) for _ in range(2)]
    box.wait_pending(2)
    box.ctl("cancel", ids[0])
    assert box.dead()[0]["id"] == ids[0] and set(box.pending()) == {ids[1]}
    more = [box.add(fields={"do": "hold"}) for _ in range(2)]
    wait_until(lambda: len(held(box)) == 3, 20)
    assert held(box) == [ids[1]] + more and len(daemon.events("job.failed")) == 1


def test_completion_offers_what_runs(box):
    daemon = holding(box)
    entry, _ = started(box, daemon)
    assert complete(box, "xackctl -c %s cancel " % daemon.file) == [entry]
    assert "--retry" in complete(box, "xackctl cancel --")


# ---- drain ----

def test_drain(box):
    gate = box.gate()
    daemon = box.daemon({"exec": box.recording(": < %s" % gate.path)}, workers=1, drain_timeout="60s")
    entry = box.add()
    daemon.wait_event("job.started", id=entry)
    told = box.ctl("drain", "--json").json
    assert (told["pid"], told["state"], told["running"], told["drain_timeout_ms"]) == (daemon.pid, "stopping", 1, 60000)
    assert daemon.wait_event("daemon.stopping")["why"] == "xackctl drain"
    later = box.add()
    assert box.ctl("drain", "--json").json["state"] == "stopping", "a second one does not hurry"
    assert box.ctl("drain", "--wait", "--timeout", "300ms", status=75).errors
    waiting = background(box, daemon, "drain", "--wait")
    never(lambda: waiting.poll() is not None, 0.3)
    gate.open()
    assert waiting.wait(20 * SLOW) == 0 and json.loads(waiting.stdout.read())["state"] == "stopped"
    assert not alive(daemon.pid) or daemon.wait() == 0
    assert daemon.wait() == 0 and [run[0] for run in box.runs()] == [entry] and box.pending() == {}
    assert box.ctl("explain", later, "--json").json["state"] == "waiting"
    assert "does not run" in box.ctl("drain", status=69).errors


def test_the_name_is_free_after_a_drain(box):
    daemon = box.daemon({"exec": ["/bin/true"]})
    assert box.ctl("drain", "--wait").text
    assert daemon.wait() == 0
    box.again(daemon)


def test_a_drain_need_not_wait_for_what_is_cancelled(box):
    daemon = box.daemon({"exec": box.recording(HOLD), "kill_grace": "20s"}, workers=1, drain_timeout="60s")
    entry, _ = started(box, daemon)
    waiting = background(box, daemon, "drain", "--wait")
    daemon.wait_event("daemon.stopping")
    assert box.ctl("cancel", entry, "--json").json[0]["state"] == "dead"
    assert waiting.wait(20 * SLOW) == 0 and daemon.wait() == 0
    assert [letter["reason"] for letter in box.dead()] == ["cancelled"] and box.pending() == {}
