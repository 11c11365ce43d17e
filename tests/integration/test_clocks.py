"""Clocks that are set while work is under way, forward and back by an hour: Redis's, by which leases and due times go, and the daemon's, by which
nothing goes but the stamps of its log. The machine's own clock is not touched: libfaketime reads an offset from a file."""
import glob
import os
import time

import pytest

from harness import PARKED, SANITIZED, alive, milliseconds, wait_until

LIBRARY = (glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1") + [None])[0]
pytestmark = [pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed (package faketime)"),
              pytest.mark.skipif(SANITIZED, reason="a sanitizer wants to be the first library that is loaded")]
TICKS = os.sysconf("SC_CLK_TCK")


class Clock:
    """libc stands behind the library: the clock is read before jemalloc, which Redis brings along, is ready for malloc from inside of it."""

    def __init__(self, path):
        self.path = path
        self.env = {"LD_PRELOAD": LIBRARY + ":libc.so.6", "FAKETIME_TIMESTAMP_FILE": path, "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                    "DONT_FAKE_MONOTONIC": "1"}
        self.set(0)

    def set(self, seconds):
        """In one step: a half-written file would be no offset."""
        with open(self.path + ".new", "w") as text:
            text.write("%+d" % seconds)
        os.rename(self.path + ".new", self.path)


SHARED = ("/dev/shm/faketime_shm_*", "/dev/shm/sem.faketime_sem_*")


def shared_files():
    return {file for pattern in SHARED for file in glob.glob(pattern)}


@pytest.fixture
def clock(tmp_path):
    """The library leaves its shared memory behind when its process is killed. (Made before the box, so that it is gone after it.)"""
    before = shared_files()
    yield Clock(str(tmp_path / "offset"))
    for file in shared_files() - before:
        if not alive(int(file.rpartition("_")[2])):
            os.unlink(file)


def cpu_seconds(daemon):
    total = 0
    for pid in daemon.own():
        with open("/proc/%d/stat" % pid) as stat:
            total += sum(int(field) for field in stat.read().rpartition(")")[2].split()[11:13])
    return total / TICKS


def commands(box):
    return box.r.info("stats")["total_commands_processed"]


def renewals(box, entry):
    """How long ago the owner has renewed the lease, in ms by Redis's clock."""
    return [row[2] for row in box.raw("XPENDING", "work", "xackd", entry, entry, "1")][0]


@pytest.mark.parametrize("step", [3600, -3600], ids=["forward", "back"])
@pytest.mark.parametrize("whose", ["redis", "xackd"])
def test_a_clock_is_set(clock, box, whose, step):
    """What runs is not stolen, what is parked is not forgotten, what comes is run at once, and nobody turns in a circle."""
    box.redis_server(env=clock.env if whose == "redis" else None)
    gate = box.gate()
    script = "case $FIELD_N in wait) : < %s;; fail) test $XACKD_ATTEMPT -gt 1;; esac" % gate.path
    job = {"exec": box.recording(script), "lease": "2s", "retry": {"initial": "6s", "jitter": 0, "max": "6s"}}
    env = clock.env if whose == "xackd" else None
    daemons = [box.daemon(job, name=name, env=env) for name in ("h1", "h2")]

    def somewhere(event, entry):
        return wait_until(lambda: [e for d in daemons for e in d.events(event, id=entry)], 20, "%s of %s" % (event, entry))
    running = box.add(fields={"n": "wait"})
    somewhere("job.started", running)
    failed = box.add(fields={"n": "fail"})
    somewhere("job.retry", failed)
    owner, due_ms = box.pending()[running], box.r.zscore(box.key("due"), failed)
    stamp = int(box.r.time()[0])

    clock.set(step)
    if whose == "redis":
        wait_until(lambda: abs(int(box.r.time()[0]) - stamp - step) < 60, 5, "Redis sees the other time")
    cpu, count, began = sum(map(cpu_seconds, daemons)), commands(box), time.monotonic()
    fresh = box.add(fields={"n": "new"})
    somewhere("job.succeeded", fresh)
    # Longer than the lease, whatever it is measured by: the owner keeps it.
    wait_until(lambda: time.monotonic() - began > 4.5, 10)
    elapsed = time.monotonic() - began
    assert sum(map(cpu_seconds, daemons)) - cpu < 0.25 * elapsed, "nobody turns in a circle"
    assert commands(box) - count < 1000 * elapsed
    assert box.pending()[running] == owner and [r[0] for r in box.runs()].count(running) == 1
    assert renewals(box, running) < 2000, "the lease is renewed"
    assert not [e for d in daemons for e in d.events("job.recovered") + d.events("job.lease_lost") + d.events("worker.exited")]

    if whose == "redis" and step < 0:
        # Due times are Redis's: they lie as far ahead as it was set back. Nothing is forgotten: an operator can have it now.
        assert box.pending()[failed][0] == PARKED and box.r.zscore(box.key("due"), failed) == due_ms
        box.ctl("retry", failed)
    somewhere("job.succeeded", failed)
    gate.open()
    somewhere("job.succeeded", running)
    box.wait_pending(0)
    runs = sorted((r[0], r[1], r[2]) for r in box.runs())
    assert runs == sorted([(running, 1, 1), (failed, 1, 1), (failed, 2, 2), (fresh, 1, 1)])
    if whose == "xackd":
        stamps = [milliseconds(e["ts"]) / 1000 for d in daemons for e in d.events("job.succeeded", id=running)]
        assert abs(stamps[0] - time.time() - step) < 60, "events are stamped by the clock that was set"
