"""Reading ahead: short handlers take several entries at once, nobody waits behind a long one, and what was only held never loses an attempt."""
import os
import threading
import time
from collections import Counter

import pytest

from harness import PARKED, in_sh, never, wait_until

LEASE = "60s"


def add_at_once(box, values, stream="work"):
    """One transaction: no worker sees half of it."""
    pipe = box.r.pipeline(transaction=True)
    for value in values:
        pipe.execute_command("XADD", stream, "*", "n", str(value))
    return pipe.execute()


def learnt(box, count=40):
    """Let the workers see what a handler takes."""
    for _ in range(count // 10):
        box.add_many("work", 10)
        box.wait_done()


class Backlog:
    """A producer that stays far ahead of the workers: whatever is done meanwhile, and however long that takes, is done in the midst of work."""

    AHEAD = 1000

    def __init__(self, box):
        self.box = box
        self.ids = add_at_once(box, range(self.AHEAD))
        self.enough = threading.Event()
        self.thread = threading.Thread(target=self.produce)

    def produce(self):
        while not self.enough.wait(0.01):
            if len(self.ids) - len(self.box.lines()) < self.AHEAD:
                self.ids += add_at_once(self.box, range(self.AHEAD // 4))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.enough.set()
        self.thread.join()


def calls(box, name):
    return box.r.info("commandstats").get("cmdstat_" + name, {"calls": 0})["calls"]


def held(box):
    """{consumer: how many}, parked ones left out."""
    return Counter(consumer for consumer, _ in box.pending().values() if consumer != PARKED)


def once_each(box, ids):
    """Every entry ran once, and no attempt was lost, whatever was given back."""
    runs = box.runs()
    assert Counter(run[0] for run in runs) == Counter(ids)
    assert {run[1] for run in runs} == {1}


def test_short_handlers_are_read_ahead(box):
    """Fewer reads than entries, each acknowledged by its name. On a machine that is busy with others no handler is short: several tries."""
    daemon = box.daemon({"exec": ["/bin/true"], "lease": LEASE}, workers=2)
    learnt(box)
    ids = []

    def fewer_reads():
        box.r.config_resetstat()
        ids.extend(add_at_once(box, range(300)))
        box.wait_done(timeout=60)
        assert calls(box, "xack") >= 290  # a few by the script, after they were given back
        return calls(box, "xreadgroup") < 240
    wait_until(fewer_reads, 60)
    wait_until(lambda: len(daemon.events("job.succeeded")) == 40 + len(ids))
    done = Counter(e["id"] for e in daemon.events("job.succeeded"))
    assert all(done[i] == 1 for i in ids)
    assert {e["attempt"] for e in daemon.events("job.succeeded")} == {1}
    assert not daemon.events("job.stale_ack")


def test_off_reads_one_at_a_time(box):
    box.daemon({"exec": ["/bin/true"], "lease": LEASE, "read_ahead": "off"})
    learnt(box)
    box.r.config_resetstat()
    add_at_once(box, range(100))
    box.wait_done()
    assert calls(box, "xreadgroup") >= 100


def test_long_handlers_hold_nothing(box):
    """Never more than one entry under a worker's name."""
    box.daemon({"exec": ["/bin/sleep", "0.06"], "lease": LEASE}, workers=2)
    ids = add_at_once(box, range(50))
    most = 0
    while box.groups()[0]["last-delivered-id"] != ids[-1]:
        most = max([most] + list(held(box).values()))
    box.wait_done()
    assert most == 1


def test_nobody_waits_behind_a_long_one(box):
    """One worker: what it held is given back at once when a handler takes long; later it all runs, with no attempt lost."""
    gate = box.gate()
    daemon = box.daemon({"exec": box.recording('test "$FIELD_N" != slow || : < ' + gate.path), "lease": LEASE})
    learnt(box)
    ids = add_at_once(box, ["slow" if n % 60 == 50 else n for n in range(120)])
    slow = ids[50]
    began = daemon.wait_event("job.started", id=slow)
    wait_until(lambda: list(held(box).values()) == [1], 10, "only the running one is held")
    worker = [consumer for consumer, _ in box.pending().values() if consumer != PARKED]
    assert box.pending()[slow][0] == worker[0] and began["attempt"] == 1
    gate.open()
    box.wait_done(timeout=30)
    once_each(box, [run[0] for run in box.runs()[:40]] + ids)


def test_a_neighbour_takes_what_is_given_back(box):
    gate = box.gate()
    daemon = box.daemon({"exec": box.recording('test "$FIELD_N" != slow || : < ' + gate.path), "lease": LEASE}, workers=2)
    learnt(box)
    before = len(box.lines())
    ids = add_at_once(box, ["slow" if n == 100 else n for n in range(200)])
    daemon.wait_event("job.started", id=ids[100])
    wait_until(lambda: len(box.lines()) == before + 200, 20, "all the others are done although one still runs")
    assert box.pending_count() == 1
    gate.open()
    box.wait_done()
    once_each(box, [run[0] for run in box.runs()[:before]] + ids)


def test_a_dead_worker_loses_one_attempt(box):
    """The entry that kills its worker counts; those that were held behind it do not."""
    daemon = box.daemon({"exec": box.recording('if [ "$FIELD_N" = kill ] && [ "$XACKD_ATTEMPT" = 1 ]; then kill -9 $PPID; fi'), "lease": LEASE})
    learnt(box)
    box.write("runs", "")
    ids = add_at_once(box, ["kill" if n in (60, 75) else n for n in range(120)])
    box.wait_done(timeout=30)
    runs = box.runs()
    last = {run[0]: run[1] for run in runs}
    assert {last[ids[60]], last[ids[75]]} == {2}
    assert {last[i] for i in ids if i not in (ids[60], ids[75])} == {1}
    # Acknowledgements are collected for ten milliseconds: what had just succeeded may run again, and is told.
    again = {i for i, n in Counter(run[0] for run in runs).items() if n > 1}
    assert again <= {e["id"] for e in daemon.events("job.recovered")}


def test_a_stop_gives_back_what_is_held(box):
    daemon = box.daemon({"exec": box.recording(), "lease": LEASE}, workers=2)
    learnt(box)
    box.write("runs", "")
    with Backlog(box) as work:
        box.wait_runs(100)
        assert daemon.stop() == 0
        assert not held(box)
        ran = len(box.runs())
    assert ran < len(work.ids)
    box.again(daemon)
    box.wait_done(timeout=60)
    once_each(box, work.ids)


def test_redis_away_in_the_middle(box):
    """What was held is given back after the reconnect, what had succeeded is acknowledged: no entry runs twice."""
    daemon = box.daemon({"exec": box.recording(), "lease": LEASE}, workers=2)
    learnt(box)
    box.write("runs", "")
    ids = add_at_once(box, range(400))
    box.wait_runs(60)
    for client in box.r.client_list():
        if client["name"].startswith("h1/default/"):
            box.r.client_kill_filter(_id=client["id"])
    box.wait_done(timeout=60)
    once_each(box, ids)
    assert not daemon.events("job.stale_ack")


def test_a_frozen_worker_does_not_start_what_it_held(box):
    """Its lease has run out meanwhile and another has done it."""
    job = {"exec": box.recording(), "lease": "1s"}
    daemon = box.daemon(job, workers=1)
    learnt(box)
    box.write("runs", "")
    ids = add_at_once(box, range(200))
    box.wait_runs(50)
    daemon.freeze()
    box.daemon(job, name="h2")
    box.wait_done(timeout=60)
    daemon.allow_errors = True
    daemon.thaw()
    end = time.monotonic() + 1
    wait_until(lambda: time.monotonic() > end, 3)
    runs = Counter(run[0] for run in box.runs())
    assert set(runs) == set(ids)
    # At most the one that ran when it froze, and what it had done but not acknowledged within ten milliseconds.
    assert len([i for i, n in runs.items() if n > 1]) <= 12


def test_pause_stops_what_is_held(box):
    """It is given back, and nothing runs until the queue is resumed. Where handlers happen to take long nothing is held: several tries."""
    daemon = box.daemon({"exec": box.recording(), "lease": LEASE}, workers=2)
    learnt(box)
    box.write("runs", "")

    def given_back():
        box.wait_runs(len(box.lines()) + 30)
        box.ctl("pause", "work")
        wait_until(lambda: {w["state"] for w in box.ctl("workers", "--json").json} == {"paused"}, 10, "all workers rest")
        ran = len(box.runs())
        assert not held(box)
        never(lambda: len(box.runs()) > ran, 0.1, "something runs although the queue is paused")
        box.ctl("resume", "work")
        return daemon.events("job.released", why="the queue is paused")

    with Backlog(box) as work:
        wait_until(given_back, 30, "a pause gives back what is held")
    box.wait_done(timeout=60)
    once_each(box, work.ids)
    assert not [e for e in daemon.seen if e["level"] in ("warning", "error")]


def test_failures_among_them(box):
    """A failure waits for its script; the others go on."""
    daemon = box.daemon({"exec": in_sh('test $((FIELD_N % 10)) -ne 3 || test "$XACKD_ATTEMPT" -gt 1'), "lease": LEASE}, workers=2)
    add_at_once(box, range(300))
    box.wait_done(timeout=60)
    assert len({e["id"] for e in daemon.events("job.failed")}) == len(daemon.events("job.failed")) == 30
    assert len({e["id"] for e in daemon.events("job.succeeded")}) == len(daemon.events("job.succeeded")) == 300


def cpus_of(pid):
    try:
        return os.sched_getaffinity(pid)
    except ProcessLookupError:
        return set()


def seen_at_home(box, daemon, values):
    """The sets of CPUs that workers were seen to run on while there was work; a busy machine has no short handlers, so it may take several tries."""
    seen = set()
    add_at_once(box, values)
    while box.groups()[0]["lag"] or box.pending():
        seen |= {frozenset(cpus_of(pid)) for pid in daemon.workers()}
    return seen


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU")
def test_workers_stay_on_their_cpu_while_there_is_a_backlog(box):
    """And their handlers may run anywhere."""
    everywhere = frozenset(os.sched_getaffinity(0))
    daemon = box.daemon({"exec": ["/bin/grep", "^Cpus_allowed:", "/proc/self/status"], "lease": LEASE}, workers=len(everywhere))
    learnt(box)
    homes = set()

    def spread():
        homes.update(seen_at_home(box, daemon, range(400)) - {everywhere, frozenset()})
        return homes == {frozenset({cpu}) for cpu in everywhere}
    wait_until(spread, 120)
    box.wait_done(timeout=60)
    wait_until(lambda: all(cpus_of(pid) == everywhere for pid in daemon.workers()))
    lines = {e["line"] for e in daemon.events("job.output")}
    assert len(lines) == 1 and int(lines.pop().split()[1].replace(",", ""), 16) == sum(1 << cpu for cpu in everywhere)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU")
def test_fewer_workers_than_cpus_go_where_there_is_room(box):
    everywhere = frozenset(os.sched_getaffinity(0))
    daemon = box.daemon({"exec": ["/bin/true"], "lease": LEASE}, workers=1)
    learnt(box)
    assert seen_at_home(box, daemon, range(1000)) == {everywhere}


ANOTHER_GROUP = """
local g, last = redis.call('XINFO', 'GROUPS', KEYS[1])[1], nil
for i = 1, #g, 2 do last = g[i] == 'last-delivered-id' and g[i + 1] or last end
redis.call('XGROUP', 'DESTROY', KEYS[1], 'xackd')
return redis.call('XGROUP', 'CREATE', KEYS[1], 'xackd', last)
"""


def test_what_is_given_back_is_put_back_first_in_another_group(box):
    """The group is destroyed and made again, by somebody who knows nothing of us, before what was read ahead is given back."""
    script = box.write("another.lua", ANOTHER_GROUP)
    slow = "redis-cli -s %s --eval %s work >/dev/null; sleep 0.3" % (box.redis.socket, script)
    box.daemon({"exec": in_sh('test "$FIELD_N" != slow || { %s; }; echo "$XACKD_ID" >> %s' % (slow, box.path("runs"))), "lease": LEASE}, workers=1)
    learnt(box)
    ids = add_at_once(box, [*range(20), "slow", *range(20), "slow", *range(20), "slow", *range(20)])
    wait_until(lambda: set(ids) <= set(box.lines()), 15, "each runs")
