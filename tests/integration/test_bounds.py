"""What must not grow: unsettled outcomes while Redis is away, memory and descriptors over many jobs, whatever an entry brings, and logs that nobody
takes.

The long run is the same test with other figures: XACKD_BOUNDS=50000,500000 pytest tests/integration/test_bounds.py -k flat -s --timeout 7200"""
import hashlib
import json
import os
import re
import signal
import subprocess
import time

import pytest

from harness import PARKED, SANITIZED, XACKD, descriptors, never, send, wait_until


# ---- outcomes that cannot be settled ----

def test_nothing_new_while_redis_is_away(box):
    """Two workers hold an outcome each: fifty wait, none of them starts before those are settled."""
    gate = box.gate()
    daemon = box.daemon({"exec": box.recording('test "$FIELD_N" != wait || : < ' + gate.path), "lease": "60s"}, workers=2)
    held = [box.add(fields={"n": "wait"}) for _ in range(2)]
    box.wait_runs(2)
    ids = box.add_many("work", 50)
    box.redis.kill()
    daemon.wait_event("redis.lost")
    gate.open()
    never(lambda: len(box.lines()) > 2, 2, "an entry starts without Redis")
    box.redis.start()
    for entry in held + ids:
        daemon.wait_event("job.succeeded", id=entry, timeout=30)
    box.wait_done()
    assert sorted(box.runs()) == sorted((entry, 1, 1) for entry in held + ids)


@pytest.mark.parametrize("code, right", [(0, "xack"), (3, "xclaim")])
def test_an_outcome_that_is_refused_is_kept(box, code, right):
    """Reading is allowed, settling is not: the worker does not go on collecting outcomes. (A failure that may not be parked is left to the lease.)"""
    box.r.execute_command("ACL", "SETUSER", "worker", "on", ">pw", "~*", "&*", "+@all")
    gate = box.gate()
    daemon = box.daemon({"exec": box.recording(": < %s; test $XACKD_ATTEMPT -gt 1 || exit %d" % (gate.path, code)), "lease": "4s"},
                        redis={"url": box.redis.url, "username": "worker", "password_env": "PW"}, env={"PW": "pw"})
    daemon.allow_errors = True
    ids = box.add_many("work", 40)
    box.wait_runs(1)
    box.r.execute_command("ACL", "SETUSER", "worker", "-" + right)
    gate.open()
    never(lambda: len(box.lines()) > 1, 3, "more is run although nothing can be settled")
    assert not daemon.events("worker.exited")
    box.r.execute_command("ACL", "SETUSER", "worker", "+" + right)
    for entry in ids:
        daemon.wait_event("job.succeeded", id=entry, timeout=40)
    box.wait_done()
    assert len(box.runs()) == len(ids) * (2 if code else 1)


@pytest.mark.parametrize("how", ["worker killed", "everything killed", "stopped"])
def test_a_success_that_was_never_settled_is_told(box, how):
    """Its handler had ended with 0, nobody could acknowledge it: when it runs again, job.recovered says so; the attempt does not count."""
    box.r.execute_command("ACL", "SETUSER", "worker", "on", ">pw", "~*", "&*", "+@all", "-xack")
    env, where = {"PW": "pw"}, {"url": box.redis.url, "username": "worker", "password_env": "PW"}
    daemon = box.daemon({"exec": box.recording(), "lease": "60s"}, redis=where, env=env, drain_timeout="500ms")
    daemon.allow_errors = True
    entry = box.add()
    box.wait_runs(1)
    daemon.wait_event("redis.error", timeout=20)
    if how == "worker killed":
        send(daemon.workers()[0], signal.SIGKILL)
        daemon.wait_event("worker.exited")
    elif how == "everything killed":
        daemon.kill9_all()
    else:
        assert daemon.stop() == 1
    box.r.execute_command("ACL", "SETUSER", "worker", "+xack")
    last = daemon if how == "worker killed" else box.again(daemon, env=env)
    done = last.wait_event("job.succeeded", id=entry, timeout=20)
    assert len(box.runs()) == 2 and done["attempt"] in (1, 2)
    told = daemon.events("job.recovered", id=entry) + last.events("job.recovered", id=entry)
    assert told and told[0]["why"] in ("worker_died", "earlier_life")
    box.wait_pending(0)


# ---- many jobs ----

def anonymous_kib(pid):
    with open("/proc/%d/status" % pid) as status:
        text = status.read()
    return int(re.search(r"^RssAnon:\s*(\d+)", text, re.M).group(1)), int(re.search(r"^VmRSS:\s*(\d+)", text, re.M).group(1))


def take(daemon):
    return {pid: (anonymous_kib(pid), len(descriptors(pid))) for pid in daemon.own()}


@pytest.mark.big
@pytest.mark.skipif(SANITIZED, reason="sanitizers keep what was freed")
def test_memory_and_descriptors_stay_flat(box):
    few, many = (int(n) for n in os.environ.get("XACKD_BOUNDS", "2000,12000").split(","))
    box.redis.client().config_set("appendonly", "no")
    daemon = box.daemon({"work": {"exec": ["/bin/sh", "-c", "echo out; exit $((FIELD_N % 50 == 3 && XACKD_ATTEMPT == 1 ? 75 : 0))"],
                                  "retry": {"initial": "50ms"}}}, workers=2, log={"level": "notice"})
    done = 0

    def until(count):
        nonlocal done
        while done < count:
            step = min(5000, count - done)
            box.add_many("work", step)
            done += step
            box.wait_done(timeout=120)
            box.r.xtrim("work", maxlen=1000, approximate=True)
        return take(daemon)
    first, then = until(few), until(many)
    for pid in first:
        (anon, rss), fds = first[pid]
        (anon_then, rss_then), fds_then = then[pid]
        print("pid %d after %d: rss %d KiB (anonymous %d), %d descriptors; after %d: rss %d KiB (anonymous %d), %d descriptors" % (
            pid, few, rss, anon, fds, many, rss_then, anon_then, fds_then))
        assert fds_then == fds
        assert rss_then <= rss * 1.05 + 64, (first, then)
    assert daemon.own() == sorted(first) or set(daemon.own()) == set(first), "no worker was replaced"


# ---- entries ----

# A sanitizer copies the whole of a buffer that grows, each time, and keeps the old one.
LARGE_MB = 20 if SANITIZED else 100


def test_an_entry_of_100_mb(box):
    """Handed over whole, and the memory is given back."""
    payload = os.urandom(1 << 20) * LARGE_MB
    box.redis_server(args=["--auto-aof-rewrite-percentage", "0"])
    daemon = box.daemon({"exec": ["/bin/sh", "-c", "sha256sum > " + box.path("sum")], "stdin": "payload"}, log={"level": "debug"})
    before = anonymous_kib(daemon.workers()[0])[1]
    entry = box.raw("XADD", "work", "*", "payload", payload).decode()
    daemon.wait_event("job.succeeded", id=entry, timeout=60)
    assert box.read("sum").split()[0] == hashlib.sha256(payload).hexdigest()
    small = box.raw("XADD", "work", "*", "payload", "small").decode()
    daemon.wait_event("job.succeeded", id=small, timeout=20)
    if not SANITIZED:
        wait_until(lambda: anonymous_kib(daemon.workers()[0])[1] < before + 4096, 5, "its memory is given back")


def test_an_entry_of_100_mb_that_fails(box):
    """Parked, taken again, and in the end a dead letter with every byte."""
    payload = os.urandom(1 << 20) * LARGE_MB
    box.redis_server(args=["--auto-aof-rewrite-percentage", "0"])
    daemon = box.daemon({"exec": ["/bin/sh", "-c", "wc -c >> %s; exit 3" % box.path("sizes")], "stdin": "payload",
                         "retry": {"max_attempts": 2, "initial": "100ms"}})
    entry = box.raw("XADD", "work", "*", "payload", payload).decode()
    daemon.wait_event("job.dead", id=entry, timeout=60)
    assert box.lines("sizes") == [str(LARGE_MB << 20)] * 2
    letter = box.dead()[0]
    assert letter["id"] == entry and letter["pairs"] == [(b"payload", payload)]


def test_ten_thousand_fields(box):
    """As one object on stdin, in an environment as far as it holds, and as one packed dead letter that requeue unpacks."""
    fields = [("field-%d" % n, "value %d" % n) for n in range(10000)]
    script = "import json,sys,os; v = json.load(sys.stdin); print(len(v['fields'])); sys.exit(65)"
    daemon = box.daemon({"exec": ["/usr/bin/python3", "-c", script.replace("{", "{{").replace("}", "}}")]})
    entry = box.add(fields=fields)
    dead = daemon.wait_event("job.dead", id=entry, timeout=30)
    assert dead["reason"] == "exit"
    assert daemon.events("job.output", id=entry)[0]["line"] == "10000"
    assert [name for name, _ in box.dead()[0]["pairs"]] == [b"xackd.packed"]
    shown = box.ctl("dead", "show", entry, "--json").json
    shown = shown[0] if isinstance(shown, list) else shown
    assert shown["fields"] == dict(fields)
    again = box.ctl("dead", "requeue", entry).text.split()[-1]
    daemon.wait_event("job.dead", id=again, timeout=30)
    assert daemon.events("job.output", id=again)[0]["line"] in ("10000", "10001")


@pytest.mark.parametrize("fields", [{"": ""}, {"\x00": "\x00"}, [("same", "1"), ("same", "2")], {"unknown": "x"}])
def test_no_useful_field(box, fields):
    """A template that finds nothing is a dead letter; a job that needs nothing runs."""
    daemon = box.daemon({"picky": {"exec": ["/bin/true", "{path}"]}, "plain": {"exec": box.recording()}})
    picky, plain = box.add("picky", fields), box.add("plain", fields)
    assert daemon.wait_event("job.dead", id=picky)["reason"] == "missing_field"
    daemon.wait_event("job.succeeded", id=plain)
    assert not daemon.events("worker.exited")


# ---- logs ----

def by_hand(box, config, stderr):
    daemon = subprocess.Popen([XACKD, "-c", box.write_config(config)], stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr,
                              start_new_session=True)
    box.others.append(daemon)
    return daemon


def test_log_on_a_full_disk(box):
    """Lines are lost and counted, work is not; when there is room again the loss is told, and every line is whole."""
    folder = box.path("small")
    os.mkdir(folder)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], capture_output=True).returncode != 0:
        pytest.skip("no right to mount a small tmpfs")
    try:
        file = os.path.join(folder, "log")
        config = box.config({"exec": ["/bin/sh", "-c", "head -c 2000 /dev/zero | tr '\\0' x; echo; echo $XACKD_ID >> " + box.path("runs")]})
        with open(file, "ab") as log:
            daemon = by_hand(box, config, log)
        box.add_many("work", 100)
        wait_until(lambda: len(box.lines()) == 100, 40, "all run although the disk is full")
        box.wait_done()
        assert os.path.getsize(file) <= 65536
        os.truncate(file, 0)
        more = box.add_many("work", 3)
        wait_until(lambda: len(box.lines()) == 103, 20)

        def lines():
            with open(file, "rb") as log:
                return [json.loads(line) for line in log.read().split(b"\n")[1:-1] if line.strip(b"\0")]
        wait_until(lambda: [e for e in lines() if e["event"] == "log.dropped" and e["count"] > 0], 10, "log.dropped")
        wait_until(lambda: {e.get("id") for e in lines() if e["event"] == "job.succeeded"} >= set(more[1:]), 10)
        daemon.terminate()
        assert daemon.wait(20) == 0
    finally:
        if daemon.poll() is None:
            daemon.kill()
            daemon.wait()
        subprocess.run(["umount", "-l", folder], check=True)


def test_log_whose_reader_is_gone(box):
    """A pipe without a reader: no SIGPIPE, no end, no lost work."""
    reader, writer = os.pipe()
    daemon = by_hand(box, box.config({"exec": box.recording("echo out")}), writer)
    os.close(writer)
    try:
        os.close(reader)
        ids = box.add_many("work", 30)
        box.wait_runs(30)
        box.wait_done()
        assert {r[0] for r in box.runs()} == set(ids) and daemon.poll() is None
        daemon.terminate()
        assert daemon.wait(20) == 0
    finally:
        if daemon.poll() is None:
            daemon.kill()
            daemon.wait()


def test_log_reader_that_stalls_for_longer_than_the_lease(box):
    """Nobody waits for the reader: leases are renewed, nothing is taken over."""
    import fcntl
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    gate = box.gate()
    script = 'test "$FIELD_N" != wait || { : < %s; exit 0; }; head -c 2000 /dev/zero | tr "\\0" x; echo' % gate.path
    daemon = by_hand(box, box.config({"exec": box.recording(script), "lease": "1s"}, workers=2), writer)
    os.close(writer)
    try:
        entry = box.add(fields={"n": "wait"})
        box.wait_runs(1)
        ids = box.add_many("work", 60)
        box.wait_runs(61, timeout=30)
        before = time.monotonic()
        wait_until(lambda: time.monotonic() - before > 3, 5)
        assert box.pending()[entry][1] == 1 and box.pending()[entry][0] != PARKED
        gate.open()
        box.wait_done()
        assert sorted(box.runs()) == sorted((one, 1, 1) for one in [entry] + ids)
        daemon.terminate()
        assert daemon.wait(20) == 0
    finally:
        os.close(reader)
        if daemon.poll() is None:
            daemon.kill()
            daemon.wait()
