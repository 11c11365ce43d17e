"""No process, no memory, no descriptor: what is short for a while costs no entry an attempt, is told, is tried again at a pace, and work goes on by
itself when there is enough again."""
import os
import signal
import subprocess
import time

import pytest

from harness import SANITIZED, descriptors, send, wait_until

NOBODY = 61111  # no user of this system, and not "nobody", whose processes other tests count
as_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root, to run the daemon as somebody else (root has no limit of processes)")


AS_NOBODY = ["setpriv", "--reuid=%d" % NOBODY, "--regid=%d" % NOBODY, "--clear-groups"]


def limit(pid, **values):
    """By the process's own user: root may lack the right in a container."""
    for name, value in values.items():
        prefix = AS_NOBODY if os.stat("/proc/%d" % pid).st_uid == NOBODY else []
        subprocess.run(prefix + ["prlimit", "--pid", str(pid), "--%s=%s:" % (name, value)], check=True)


def as_nobody(box, *args, **more):
    """A daemon of a user whom RLIMIT_NPROC binds."""
    box.redis_server(args=["--unixsocketperm", "777"])
    for folder in ("run", "state-h1"):
        os.makedirs(box.path(folder), exist_ok=True)
        os.chown(box.path(folder), NOBODY, NOBODY)
    box.write("runs", "", 0o666)
    os.chmod(box.path("runs"), 0o666)
    return box.daemon(*args, prefix=AS_NOBODY, **more)


def given_back_at_a_pace(box, daemon, entry, lift):
    """Given back twice, not faster than once in half a second; then it runs as its first attempt."""
    began = time.monotonic()
    daemon.wait_event("job.released", id=entry, count=3, timeout=20)
    assert time.monotonic() - began > 1
    assert not daemon.events("job.suspended") and not daemon.events("job.failed") and not box.r.exists(box.key("dead"))
    lift()
    done = daemon.wait_event("job.succeeded", id=entry, timeout=30)
    assert done["attempt"] == 1 and len(box.runs()) == 2
    assert not daemon.events("worker.exited")


@as_root
def test_no_process(box):
    """clone says EAGAIN."""
    daemon = as_nobody(box, {"exec": box.recording(), "retry": {"max_attempts": 1}})
    daemon.wait_event("job.succeeded", id=box.add())
    worker = daemon.workers()[0]
    limit(worker, nproc=1)
    entry = box.add()
    given_back_at_a_pace(box, daemon, entry, lambda: limit(worker, nproc=4096))
    assert "temporarily unavailable" in daemon.events("job.released", id=entry)[0]["why"]


def test_no_descriptor(box):
    daemon = box.daemon({"exec": box.recording(), "retry": {"max_attempts": 1}})
    daemon.wait_event("job.succeeded", id=box.add())
    worker = daemon.workers()[0]
    limit(worker, nofile=len(descriptors(worker)) + 1)
    entry = box.add()
    given_back_at_a_pace(box, daemon, entry, lambda: limit(worker, nofile=1024))
    assert "Too many open files" in daemon.events("job.released", id=entry)[0]["why"]


def size_of(pid):
    with open("/proc/%d/statm" % pid) as statm:
        return int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(SANITIZED, reason="sanitizers need terabytes of addresses")
def test_no_memory_for_an_entry(box):
    """It is too large for what a worker may have: kept, tried again at a pace, and run when there is memory; the others go on meanwhile."""
    daemon = box.daemon({"exec": box.recording(), "stdin": "none", "retry": {"max_attempts": 1}})
    daemon.wait_event("job.succeeded", id=box.add())
    worker = daemon.workers()[0]
    limit(worker, **{"as": size_of(worker) + (1 << 20)})
    large = box.add(fields={"payload": "x" * (8 << 20)})
    wait_until(lambda: box.pending_count() == 1 or daemon.events("redis.lost") or daemon.events("worker.exited"), 10)
    small = box.add(fields={"n": "small"})
    daemon.wait_event("job.succeeded", id=small, timeout=30)
    assert not [r for r in box.runs() if r[0] == large]
    if daemon.workers() == [worker]:
        limit(worker, **{"as": "unlimited"})
    done = daemon.wait_event("job.succeeded", id=large, timeout=30)
    assert done["attempt"] == 1 and [r[0] for r in box.runs()].count(large) == 1
    box.wait_pending(0)


@as_root
@pytest.mark.parametrize("what", ["nproc", "nofile"])
def test_no_new_worker(box, what):
    """The supervisor can start none: it says so, tries again at a pace, and goes on by itself. The entry had begun to run: that attempt counts."""
    gate = box.gate()
    os.chmod(gate.path, 0o666)
    daemon = as_nobody(box, {"exec": box.recording("test $XACKD_ATTEMPT -gt 1 || : < " + gate.path), "lease": "60s"})
    daemon.allow_errors = True
    entry = box.add()
    box.wait_runs(1)
    limit(daemon.pid, **{what: 1 if what == "nproc" else len(descriptors(daemon.pid))})
    send(daemon.workers()[0], signal.SIGKILL)
    daemon.wait_event("worker.exited")
    told = wait_until(lambda: [e for e in daemon.events() if e["level"] in ("warning", "error") and "worker" in e["event"] + e.get("why", "") and
                               e is not daemon.events("worker.exited")[0]], 10, "it is said")
    began = len(told), time.monotonic()
    wait_until(lambda: time.monotonic() - began[1] > 2, 5)
    assert len(daemon.events()) < 40, "no torrent"
    assert daemon.process.poll() is None
    limit(daemon.pid, **{what: 4096 if what == "nproc" else 1024})
    done = daemon.wait_event("job.succeeded", id=entry, timeout=40)
    assert done["attempt"] == 2
    box.wait_pending(0)
