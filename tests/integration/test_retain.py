"""`retain` and `xackctl trim`: what is done leaves the stream, what any group has not acknowledged never does."""
import signal
import subprocess
import time

import pytest

import harness
from harness import in_sh, never, wait_until

HOUR = 3600 * 1000


def length(box, stream="work"):
    return box.r.xlen(stream)


def poked(box, predicate):
    """The reaper looks now: an idle one would look every ten seconds."""
    def look():
        box.ctl("resume", status=None)
        return predicate()
    return look


def wait_length(box, n, stream="work", timeout=15):
    wait_until(poked(box, lambda: length(box, stream) == n), timeout, "%d entries are left (there are %d)" % (n, length(box, stream)), step=0.2)


def work(box, retain=None, **more):
    job = {"exec": ["/bin/true"], "lease": "1s"}
    if retain is not None:
        job["retain"] = retain
    job.update(more)
    return {"work": job}


def old(box, n, hours=2, stream="work", first=1):
    """Entries that say they are so old."""
    at = int(time.time() * 1000) - hours * HOUR
    return [box.add(stream, {"n": str(k)}, id="%d-%d" % (at, first + k)) for k in range(n)]


def trim(box, daemon, *args, status=0, **more):
    return box.ctl("--json", "trim", *args, config=daemon.file, status=status, **more).json[0]


# ---- retain ----

def test_acked(box):
    daemon = box.daemon(work(box, "acked"))
    ids = [box.add("work", {"n": str(n)}) for n in range(150)]
    box.wait_done()
    wait_length(box, 0)
    assert sum(e["count"] for e in daemon.events("retain.trimmed")) == 150
    row = box.ctl("--json", "queues", config=daemon.file).json[0]
    assert (row["length"], row["waiting"], row["parked"]) == (0, 0, 0)
    explained = box.ctl("--json", "explain", ids[7], config=daemon.file).json
    assert explained["state"] == "gone"
    box.ctl("wait", ids[7], config=daemon.file)  # it is done
    later = box.add("work", {"n": "later"})
    box.wait_done()
    wait_until(lambda: daemon.events("job.succeeded", id=later), 10)


def test_all_is_kept_and_nothing_is_asked(box):
    box.daemon(work(box))
    for n in range(20):
        box.add("work", {"n": str(n)})
    box.wait_done()
    never(lambda: "cmdstat_xtrim" in box.r.info("commandstats"), 2)
    assert length(box) == 20


def test_what_is_not_done_stays(box):
    """What fails is parked, and all that is behind it stays until it is done."""
    gate = box.path("gate")
    daemon = box.daemon(work(box, "acked", exec=in_sh('test "$FIELD_N" != 5 || test -e %s' % gate), retry={"initial": "300ms", "backoff": "fixed", "max_attempts": 0}))
    ids = [box.add("work", {"n": str(n)}) for n in range(10)]
    wait_length(box, 5)
    assert [i for i, _ in box.r.xrange("work")] == ids[5:]
    box.write("gate", "")
    wait_length(box, 0)
    assert not daemon.events("job.dead")


def test_maxlen_and_age(box):
    box.daemon({"work": {"exec": ["/bin/true"], "retain": {"maxlen": 30}}, "aged": {"exec": ["/bin/true"], "retain": {"age": "1h"}}})
    old(box, 40, stream="aged")
    new = [box.add("aged", {"n": str(n)}) for n in range(5)]
    ids = [box.add("work", {"n": str(n)}) for n in range(130)]
    for stream in ("work", "aged"):
        box.wait_done(stream)
    wait_length(box, 30)
    wait_length(box, 5, "aged")
    assert [i for i, _ in box.r.xrange("work")] == ids[100:] and [i for i, _ in box.r.xrange("aged")] == new
    never(lambda: length(box) < 30 or length(box, "aged") < 5, 1.5)


def test_a_group_that_stands_still_is_told_once(box):
    box.r.xgroup_create("work", "audit", 0, mkstream=True)
    ids = old(box, 5)
    box.r.xreadgroup("audit", "reader", {"work": ">"}, count=1)
    daemon = box.daemon(work(box, "acked"))
    wait_until(poked(box, lambda: daemon.events("retain.held")), 20, step=0.2)
    event = daemon.events("retain.held")[0]
    assert (event["by"], event["why"], event["consumer"], event["id"]) == ("audit", "pending", "reader", ids[0])
    assert length(box) == 5
    doctor = box.ctl("doctor", config=daemon.file, status=None).text
    assert "audit" in doctor and "reader" in doctor
    never(poked(box, lambda: len(daemon.events("retain.held")) > 1), 3)
    row = trim(box, daemon, "work", "--acked", "--yes")
    assert (row["trimmed"], row["length"], row["held_by"], row["held_why"], row["held_id"], row["held_consumer"]) == (0, 5, "audit", "pending", ids[0], "reader")
    box.r.xack("work", "audit", ids[0])
    box.r.xreadgroup("audit", "reader", {"work": ">"}, noack=True)
    assert trim(box, daemon, "work", "--acked", "--yes")["trimmed"] == 5


def test_two_hosts_and_two_groups(box):
    """Both do it, and neither minds the other; a group of the same file that is not made yet is waited for."""
    jobs = {"one": {"stream": "work", "exec": ["/bin/true"], "retain": "acked", "lease": "1s"},
            "two": {"stream": "work", "group": "second", "pool": "other", "exec": ["/bin/sleep", "0.002"], "retain": "acked", "lease": "1s"}}
    a = box.daemon(jobs, pools={"other": {"workers": 2}})
    b = box.daemon(jobs, pools={"other": {"workers": 2}}, name="h2")
    ids = [box.add("work", {"n": str(n)}) for n in range(300)]
    for group in ("xackd", "second"):
        box.wait_done(group=group)
    wait_length(box, 0)
    for group in ("xackd", "second"):
        done = [e["id"] for d in (a, b) for e in d.events("job.succeeded", group=group)]
        assert sorted(done) == sorted(ids), "each once in each group"


def test_destroyed_group_loses_nothing(box):
    """While the group is gone, nobody can tell what it needs; made again, what runs is put back before anything is trimmed."""
    gate = box.path("gate")
    daemon = box.daemon(work(box, "acked", exec=in_sh('test "$FIELD_N" != 3 || while ! test -e %s; do sleep 0.05; done' % gate)), workers=2)
    ids = [box.add("work", {"n": str(n)}) for n in range(8)]
    wait_length(box, 5)
    for _ in range(3):
        box.r.xgroup_destroy("work", "xackd")
        wait_until(lambda: [g for g in box.groups() if g["name"] == "xackd" and g["pending"]], 10, "what runs is pending again")
        assert list(box.pending()) == [ids[3]]
        assert ids[3] in [i for i, _ in box.r.xrange("work")]
        time.sleep(0.3)  # and again, at another moment of the reaper's round
    box.write("gate", "")
    wait_length(box, 0, timeout=20)
    # What succeeded while there was no group is told so.
    done = lambda: {e["id"] for name in ("job.succeeded", "job.stale_ack") for e in daemon.events(name)}
    wait_until(lambda: done() == set(ids), 5, "each ran to its end")
    assert not daemon.events("job.dead")


def test_no_right_to_trim(box):
    box.r.acl_setuser("limited", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-xtrim"])
    box.r.xgroup_create("work", "xackd", 0, mkstream=True)
    daemon = box.daemon(work(box, "acked"), redis={"url": box.redis.url, "username": "limited"})
    box.add("work", {"n": "1"})
    wait_until(poked(box, lambda: daemon.events("redis.error")), 15, step=0.2)
    event = daemon.events("redis.error")[0]
    assert "xtrim" in event["advice"] and "retain" in event["detail"]
    daemon.allow_errors = True
    box.add("work", {"n": "2"})
    box.wait_done()
    never(poked(box, lambda: len(daemon.events("redis.error")) > 1), 2)
    box.r.acl_setuser("limited", commands=["+xtrim"])


def test_reload_changes_the_rule(box):
    daemon = box.daemon(work(box))
    for n in range(20):
        box.add("work", {"n": str(n)})
    box.wait_done()
    assert length(box) == 20
    box.write_config(box.config(work(box, {"maxlen": 7})), daemon.file)
    daemon.process.send_signal(signal.SIGHUP)
    wait_length(box, 7)


# ---- the configuration ----

def check(box, jobs):
    return box.check(box.config(jobs))


def test_refused(box):
    for value, why in (("some", "is not all, acked"), ({"age": "7"}, "has no unit"), ({"maxlen": 0}, "must be 1 to"), ({"days": 7}, "unknown key (age or maxlen)"),
                       ({"age": "7d", "maxlen": 5}, "must be all, acked"), ([], "must be all, acked"), ({}, "must be all, acked")):
        done = check(box, {"work": {"exec": ["/bin/true"], "retain": value}})
        assert done.returncode == 78 and why in done.stderr, (value, done.stderr)
    both = {name: {"stream": "s", "match": {"t": name}, "exec": ["/bin/true"], "retain": rule} for name, rule in (("a", "acked"), ("b", {"maxlen": 5}))}
    done = check(box, both)
    assert done.returncode == 78 and "jobs.b.retain: is { maxlen: 5 }, but acked in job a" in done.stderr
    groups = {name: {"stream": "s", "group": name, "pool": name, "exec": ["/bin/true"], "retain": rule} for name, rule in (("a", "acked"), ("b", {"age": "7d"}))}
    done = box.check(box.config(groups, pools={"a": {"workers": 1}, "b": {"workers": 1}}))
    assert done.returncode == 0 and "whichever keeps less" in done.stdout + done.stderr


# ---- trim ----

@pytest.fixture
def idle(box):
    """200 entries, all done."""
    daemon = box.daemon(work(box))
    ids = old(box, 150) + [box.add("work", {"n": str(n)}) for n in range(50)]
    box.wait_done()
    return daemon, ids


def test_trim_by_hand(box, idle):
    daemon, ids = idle
    row = trim(box, daemon, "work", "--older-than", "1h", "--dry-run")
    assert row == {"stream": "work", "trimmed": 150, "dry_run": True, "length": 50, "held_by": None, "held_why": None, "held_id": None,
                   "held_consumer": None, "held_idle_ms": None}
    assert length(box) == 200
    done = box.ctl("trim", "work", "--older-than", "1h", config=daemon.file, status=1)
    assert "150 entries would be trimmed; say --yes" in done.errors and length(box) == 200
    assert trim(box, daemon, "work", "--maxlen", "120", "--yes")["trimmed"] == 80
    assert trim(box, daemon, "--queue", "work/xackd", "--older-than", "1h", "--yes")["trimmed"] == 70
    assert [i for i, _ in box.r.xrange("work")] == ids[150:]
    assert "50 " in box.ctl("trim", "--all", "--maxlen", "0", "--yes", config=daemon.file).text
    assert length(box) == 0


def test_trim_wants_to_know(box, idle):
    daemon, _ = idle
    for args in (["work"], ["work", "--acked", "--maxlen", "5"], ["--acked"]):
        assert box.ctl("trim", *args, config=daemon.file, status=64).errors
    assert "no job" in box.ctl("trim", "nothing", "--acked", config=daemon.file, status=1).errors
    daemon.stop()
    box.r.xgroup_destroy("work", "xackd")
    assert "start xackd" in box.ctl("trim", "work", "--acked", "--yes", config=daemon.file, status=1).errors
    assert length(box) == 200


@pytest.mark.big
def test_trim_stopped_in_the_middle(box):
    """Wherever it is killed, the stream is shorter and whole, and the next one goes on."""
    daemon = box.daemon(work(box), name="h1")
    daemon.stop()
    pipe = box.r.pipeline(transaction=False)
    for n in range(60000):
        pipe.execute_command("XADD", "work", "%d-1" % (n + 1), "n", n)
    pipe.execute()
    box.r.execute_command("XGROUP", "SETID", "work", "xackd", "50000-1")
    killed = 0
    for wait in (0.02, 0.03, 0.05):
        before = killed
        process = subprocess.Popen([harness.XACKCTL, "-c", daemon.file, "trim", "work", "--acked", "--yes"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: length(box) < 60000 - killed or process.poll() is not None, 10, step=0.002)
        process.send_signal(signal.SIGINT if wait > 0.02 else signal.SIGKILL)
        process.wait(10)
        killed = 60000 - length(box)
        if wait > 0.02 and process.returncode == 1:
            assert "the same command goes on" in process.stderr.read() and str(killed - before) in process.stdout.read()
    assert trim(box, daemon, "work", "--acked", "--yes")["length"] == 10000
    first = box.r.xrange("work", count=1)[0][0]
    assert first == "50001-1"
