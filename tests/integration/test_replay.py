"""`replay`: what is done runs again, with its ID, for its group alone, each once whatever dies in the middle."""
import signal
import subprocess
import time

import pytest

import harness
from harness import wait_until
from redis_private import PARKED


def work(box, then="", **more):
    return {"work": dict({"exec": box.recording(then)}, **more)}


def ran(box):
    return [line.split()[0] for line in box.lines("runs")]


def replay(box, *args, status=0, **more):
    return box.ctl("--json", "replay", *args, status=status, **more).json


@pytest.fixture
def twenty(box):
    daemon = box.daemon(work(box))
    ids = [box.add("work", {"n": str(n), "kind": "even" if n % 2 == 0 else "odd"}) for n in range(20)]
    box.wait_done()
    return daemon, ids


def test_from_the_beginning(box, twenty):
    daemon, ids = twenty
    answer = replay(box, "work", "--from", "0", "--yes")
    assert answer == {"stream": "work", "group": "xackd", "replayed": 20, "replayed_in_all": 20, "left_pending": 0, "left_dead": 0,
                      "at": ids[-1], "to": ids[-1], "continued": False, "finished": True}
    box.wait_runs(40)
    box.wait_done()
    assert sorted(ran(box)) == sorted(2 * ids), "each once more, with its ID"
    runs = box.runs()
    assert len({(i, delivery) for i, _, delivery in runs}) == 40 and {attempt for _, attempt, _ in runs} == {1}
    assert all(e["wait_ms"] is None for e in daemon.events("job.started")[20:]), "they did not wait since they were added"
    assert box.r.xlen("work") == 20 and not box.r.exists(box.key("replay")) and not box.r.exists(box.key("given"))
    assert replay(box, "work", "--from", "0", "--yes")["replayed"] == 20, "asked for again, it is done again"
    box.wait_runs(60)


def test_a_part(box, twenty):
    daemon, ids = twenty
    rows = replay(box, "work", "--from", ids[3], "--to", ids[8], "--match", "kind=^even$", "--dry-run")
    assert rows == [{"id": i, "stream": "work", "group": "xackd", "job": "work"} for i in (ids[4], ids[6], ids[8])]
    asked = box.ctl("replay", "work", "--from", ids[3], "--to", ids[8], "--match", "kind=^even$", status=1)
    assert "3 entries that are done would be run again; say --yes" in asked.errors
    assert len(box.lines("runs")) == 20
    assert replay(box, "work", "--from", ids[3], "--to", ids[8], "--match", "kind=^even$", "--yes")["replayed"] == 3
    assert replay(box, "--queue", "work", "--from", ids[10], "--limit", "2", "--yes")["replayed"] == 2
    assert replay(box, "work", "--from", "1h", "--to", "30m", "--yes")["replayed"] == 0
    box.wait_runs(25)
    assert sorted(ran(box)[20:]) == sorted([ids[4], ids[6], ids[8], ids[10], ids[11]])


def test_which_and_from_where(box, twenty):
    for args, why in ((["work"], "from where"), (["--from", "0"], "which?"), (["work", "--from", "yesterday"], "is an ID"), (["work", "--from", "0", "--rate", "0"], "a second")):
        assert why in box.ctl("replay", *args, status=64).errors
    assert "no job" in box.ctl("replay", "nothing", "--from", "0", status=1).errors


def test_what_is_not_done_is_left_alone(box):
    """Running, parked, dead, waiting: nothing of it is touched."""
    gate = box.path("gate")
    then = 'case $FIELD_KIND in dead) exit 65;; fail) test -e %s || exit 1;; gate) while ! test -e %s; do sleep 0.05; done;; esac' % (gate, gate)
    box.daemon(work(box, then, retry={"initial": "1h"}))
    ids = {kind: box.add("work", {"kind": kind}) for kind in ("ok", "dead", "fail", "gate", "waits")}
    wait_until(lambda: ids["gate"] in ran(box), 10)
    before = box.pending()
    answer = replay(box, "work", "--from", "0", "--yes")
    assert (answer["replayed"], answer["left_pending"], answer["left_dead"], answer["to"]) == (1, 2, 1, ids["gate"])
    now = box.pending()
    assert {i: now[i] for i in before} == before and set(now) - set(before) == {ids["ok"]}
    box.write("gate", "")
    wait_until(lambda: ran(box).count(ids["ok"]) == 2 and ids["waits"] in ran(box), 10)
    assert [ran(box).count(ids[kind]) for kind in ("dead", "fail", "gate", "waits")] == [1, 1, 1, 1]


def test_failing_again(box):
    """A replayed entry has all its attempts, and ends as a dead letter with the right number of them."""
    box.daemon(work(box, "test -e %s || exit 0; exit 3" % box.path("broken"), retry={"initial": "20ms", "max_attempts": 3}))
    i = box.add("work", {"n": "1"})
    box.wait_done()
    box.write("broken", "")
    assert replay(box, "work", "--from", i, "--yes")["replayed"] == 1
    box.wait_dead()
    assert (box.dead()[0]["id"], int(box.dead()[0]["attempts"])) == (i, 3)
    assert [attempt for _, attempt, _ in box.runs()] == [1, 1, 2, 3]
    assert replay(box, "work", "--from", i, "--yes")["left_dead"] == 1


def test_other_groups_see_nothing(box):
    box.r.xgroup_create("work", "audit", 0, mkstream=True)
    box.daemon(work(box))
    for n in range(5):
        box.add("work", {"n": str(n)})
    box.wait_done()
    box.r.xreadgroup("audit", "c", {"work": ">"}, noack=True)
    assert replay(box, "work", "--from", "0", "--yes")["replayed"] == 5
    box.wait_runs(10)
    assert box.r.xreadgroup("audit", "c", {"work": ">"}) in ([], {}) and box.r.xlen("work") == 5


def test_jobs_of_one_queue(box):
    jobs = {name: {"stream": "work", "match": {"kind": name}, "exec": box.recording("", name)} for name in ("a", "b")}
    box.daemon(jobs)
    ids = {kind: box.add("work", {"kind": kind}) for kind in ("a", "b")}
    box.wait_done()
    assert replay(box, "b", "--from", "0", "--yes")["replayed"] == 1
    box.wait_runs(2, "b")
    assert [row["job"] for row in replay(box, "--queue", "work", "--from", "0", "--dry-run")] == ["a", "b"]
    assert [row["id"] for row in replay(box, "a", "--from", "0", "--dry-run")] == [ids["a"]] and len(box.lines("a")) == 1


def test_a_worker_that_lost_its_connection_runs_it(box):
    """What a worker acknowledged in the life before is no reason to acknowledge it again when the answer that gave it out was lost."""
    daemon = box.daemon(work(box))
    i = box.add("work", {"n": "1"})
    box.wait_done()
    daemon.wait_event("job.succeeded")
    box.r.set(box.key("paused"), 1)
    assert replay(box, "work", "--from", "0", "--yes")["replayed"] == 1
    consumer = daemon.events("worker.started")[0]["consumer"]
    delivery = box.pending()[i][1]
    # As take does, with an answer that never came:
    box.r.execute_command("XCLAIM", "work", "xackd", consumer, 0, i, "RETRYCOUNT", delivery + 1, "JUSTID")
    for client in box.r.client_list():
        if "/default/" in client["name"]:
            box.r.execute_command("CLIENT", "KILL", "ID", client["id"])
    wait_until(lambda: box.pending().get(i, ("",))[0] == PARKED or not box.pending(), 10, "it was given back")
    assert i in box.pending(), "acknowledged without a run"
    box.ctl("resume")
    box.wait_runs(2)
    box.wait_done()


def prepared(box, n, **more):
    """A queue of n entries that are done, without a run of each."""
    daemon = box.daemon(work(box, **more))
    box.r.set(box.key("paused"), 1)
    pipe = box.r.pipeline(transaction=False)
    for k in range(n):
        pipe.execute_command("XADD", "work", "%d-1" % (1700000000000 + k), "n", k)
    pipe.execute()
    box.r.execute_command("XGROUP", "SETID", "work", "xackd", "$")
    return daemon


def replayer(daemon, *args):
    return subprocess.Popen([harness.XACKCTL, "-c", daemon.file, "replay", "work", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def stopped(box, daemon, number, *args):
    """One that is killed in the middle."""
    before = box.pending_count()
    process = replayer(daemon, "--from", "0", "--yes", *args)
    wait_until(lambda: box.pending_count() > before or process.poll() is not None, 10, step=0.001)
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    return process.returncode, out, err


@pytest.mark.big
def test_killed_in_the_middle(box):
    """Killed again and again: each entry is put back once, whatever died where."""
    n = 8000
    daemon = prepared(box, n)
    for _ in range(4):
        assert stopped(box, daemon, signal.SIGKILL, "--rate", "1000")[0] == -signal.SIGKILL
    assert 0 < box.pending_count() < n, "it was stopped in the middle"
    assert "was not finished" in box.ctl("replay", "work", "--from", "1700000000001", "--yes", status=1).errors
    code, _, err = stopped(box, daemon, signal.SIGINT, "--rate", "1000")
    assert code == 1 and "the same command goes on" in err and "goes on with what was not finished" in err
    # What had been put back by then may be done by now: it is not put back once more.
    first = sorted(box.pending(), key=lambda i: int(i.split("-")[0]))[:100]
    box.r.xack("work", "xackd", *first)
    answer = replay(box, "work", "--from", "0", "--yes")
    assert (answer["replayed_in_all"], answer["continued"], answer["finished"]) == (n, True, True)
    assert box.pending_count() == n - 100 and not set(first) & set(box.pending())


def test_anew(box):
    daemon = prepared(box, 3000)
    stopped(box, daemon, signal.SIGINT, "--rate", "200/s")
    assert 0 < box.pending_count() < 3000
    answer = replay(box, "work", "--from", "1700000002990", "--anew", "--yes")
    assert (answer["replayed"], answer["continued"]) == (10, False)


def test_rate(box):
    daemon = prepared(box, 3000)
    process = replayer(daemon, "--from", "0", "--yes", "--rate", "100/s")
    began = time.monotonic()
    wait_until(lambda: box.pending_count() >= 100, 20, step=0.01)
    took = time.monotonic() - began
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert took > 0.7, "a hundred in %.2f s" % took


def test_two_at_once(box):
    """Who goes on with the same thing shares it; none is put back twice."""
    daemon = prepared(box, 3000)
    both = [replayer(daemon, "--from", "0", "--yes") for _ in range(2)]
    codes = []
    for process in both:
        process.communicate(timeout=30)
        codes.append(process.returncode)
    assert 0 in codes and box.pending_count() == 3000
    assert box.r.zcard(box.key("due")) == 3000


def test_without_the_right(box):
    daemon = prepared(box, 10)
    box.r.acl_setuser("limited", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-xclaim"])
    file = box.write_config(box.config(work(box), redis={"url": box.redis.url, "username": "limited"}), "limited.yaml")
    done = box.ctl("replay", "work", "--from", "0", "--yes", config=file, status=1)
    assert "right" in done.errors or "xclaim" in done.errors
    assert box.pending_count() == 0 and daemon
