"""concurrency and rate: limits of a job over all hosts. Handlers hold locks, so that one too many is noticed whatever dies, and the
times at which starts were counted are read off Redis itself."""
import os
import re
import signal
import threading
import time

import pytest
import redis

from harness import SLOW, milliseconds, never, process, send, wait_until


# In braces that a template leaves alone.
HANGS = "test $XACKD_ATTEMPT -gt 1 -o $FIELD_N != hang || {{ sleep 600 & exec sleep 600; }}"


def holding(box, most, then="sleep 0.1", name="runs"):
    """A handler that takes the first free one of so many locks, and notes which, or `over`."""
    return ["/bin/sh", "-c", """for i in $(seq %d); do exec 9>>%s.$i; flock -n 9 && break; i=over; done
echo "$XACKD_ID $XACKD_ATTEMPT $XACKD_DELIVERY $i $$" >> %s
%s""" % (most, box.path("lock"), box.path(name), then)]


def locks(box, name="runs"):
    return [line.split()[-2] for line in box.lines(name)]


def calls(box):
    return sum(row["calls"] for name, row in box.r.info("commandstats").items()
               if name[8:] in ("evalsha", "eval", "xack", "xreadgroup", "client|unblock", "exists", "xpending"))


def test_never_more_than_so_many_over_two_hosts(box):
    job = {"exec": holding(box, 3), "concurrency": 3}
    hosts = [box.daemon(job, workers=4), box.daemon(job, workers=4, name="h2")]
    box.add_many("work", 40)
    box.wait_done(timeout=60)
    assert set(locks(box)) == {"1", "2", "3"} and len(box.lines()) == 40
    assert {attempt for _, attempt, _ in box.runs()} == {1}
    assert sum(len(host.events("job.succeeded")) for host in hosts) == 40
    wait_until(lambda: not box.r.exists(box.key("running:work")), 5, "all slots were given back")


def test_a_killed_worker_keeps_no_slot(box):
    """Its entry runs again, or the next one starts, in milliseconds: never beside what the dead one left."""
    daemon = box.daemon({"exec": holding(box, 1, HANGS), "concurrency": 1}, workers=3)
    for _ in range(3):
        done = len(box.lines())
        hung = box.add(fields={"n": "hang"})
        wait_until(lambda: len(box.lines()) > done, 10, "it hangs")
        others = [box.add() for _ in range(3)]
        worker = process(int(box.lines()[-1].split()[4])).ppid
        send(worker, signal.SIGKILL)
        exited = daemon.wait_event("worker.exited", pid=worker)
        box.wait_done()
        again = [e for e in daemon.events("job.started") if e["id"] in others + [hung] and e["ts"] > exited["ts"]]
        assert len(again) == 4 and milliseconds(again[0]["ts"]) - milliseconds(exited["ts"]) < 500 * SLOW
    assert set(locks(box)) == {"1"}


def test_a_killed_supervisor_and_its_next_life(box):
    """Whether the supervisor alone died or everything: the slots are free as soon as the next life has recovered what was running."""
    daemon = box.daemon({"exec": holding(box, 2, HANGS), "concurrency": 2, "lease": "60s"}, workers=3)
    for end in (daemon.kill9, lambda: daemon.kill9_all()):
        before = len(box.lines())
        hung = [box.add(fields={"n": "hang"}) for _ in range(2)]
        wait_until(lambda: len(box.lines()) == before + 2, 10, "two run")
        others = [box.add() for _ in range(2)]
        end()
        daemon = box.again(daemon)
        for entry in hung + others:
            daemon.wait_event("job.succeeded", id=entry, attempt=2 if entry in hung else 1)
    box.wait_done()
    assert "over" not in locks(box)


def test_a_lost_host_keeps_its_slots_for_its_lease(box):
    then = "test $XACKD_ATTEMPT -gt 1 || exec sleep 600"
    one = box.daemon({"exec": holding(box, 1, then), "concurrency": 1}, workers=2)
    entries = [box.add() for _ in range(2)]
    wait_until(lambda: len(box.lines()) == 1, 10, "one runs")
    two = box.daemon({"exec": holding(box, 1, "exit 0"), "concurrency": 1}, workers=2, name="h2")
    one.kill9_all()
    box.wait_done(timeout=40)
    done = [(e["id"], e["ts"]) for e in two.events("job.succeeded")]
    recovered = two.wait_event("job.recovered", id=box.runs()[0][0])
    assert recovered["why"] == "host_lost" and sorted(e for e, _ in done) == entries
    assert all(ts > recovered["ts"] for _, ts in done), "nothing had the slot before"
    assert set(locks(box)) == {"1"}


def test_keys_deleted_and_redis_restarted(box):
    """On a queue of its own a job stays within its limit even then: who has something pending counts."""
    job = {"exec": holding(box, 3, "sleep 0.05"), "concurrency": 3}
    box.daemon(job, workers=4)
    box.daemon(job, workers=4, name="h2")
    box.add_many("work", 60)
    for wanted in range(10, 60, 10):
        wait_until(lambda: len(box.lines()) >= wanted, 30, "%d runs" % wanted)
        if wanted == 30:
            box.redis.restart()
        keys = box.r.keys("xackd:*")
        box.r.delete(*[key for key in keys if not key.endswith(":hosts")])
    box.wait_done(timeout=60)
    assert "over" not in locks(box) and len({run[0] for run in box.runs()}) == 60


def test_the_next_one_starts_at_once(box):
    """Also where whoever leaves takes something else, or nothing any more."""
    jobs = {"slow": {"exec": holding(box, 1, "sleep 0.2"), "concurrency": 1, "stream": "slow"},
            "other": {"exec": ["/bin/sleep", "0.4"], "stream": "other", "weight": 5}}
    daemon = box.daemon(jobs, workers=4)
    box.add_many("other", 6)
    box.add_many("slow", 8)
    box.wait_done("slow")
    starts = sorted(milliseconds(e["ts"]) for e in daemon.events("job.started", job="slow"))
    ends = sorted(milliseconds(e["ts"]) for e in daemon.events("job.succeeded", job="slow"))
    waits = [start - end for start, end in zip(starts[1:], ends)]
    assert len(waits) == 7 and sorted(waits)[2] < 250 * SLOW, waits
    assert set(locks(box)) == {"1"}
    box.wait_done("other")


def test_waiting_costs_nothing(box):
    """A backlog behind a limit is asked about once a second and host, whatever its length; the queue's own is not even read."""
    gate = box.gate()
    jobs = {"own": {"exec": holding(box, 1, ": < " + gate.path, "own"), "concurrency": 1, "stream": "own"},
            "some": {"exec": holding(box, 1, ": < " + gate.path, "some"), "concurrency": 1, "stream": "work", "match": {"kind": "some"}, "pool": "b"},
            "rest": {"exec": box.recording("true", "rest"), "stream": "work", "pool": "b"}}
    jobs["own"]["exec"][2] = jobs["own"]["exec"][2].replace("/lock.", "/own-lock.")
    over = {"workers": 3, "pools": {"b": {"workers": 3}}, "defaults": {"lease": "60s"}}
    hosts = [box.daemon(jobs, **over), box.daemon(jobs, name="h2", **over)]
    box.add_many("own", 200)
    for number in range(100):
        box.add(fields={"kind": "some", "n": str(number)})
    box.add(fields={"kind": "none"})
    wait_until(lambda: box.lines("rest") and box.lines("own") and box.lines("some"), 20, "one of each runs, the rest goes on")
    wait_until(lambda: len([1 for owner, _ in box.pending().values() if owner == "xackd:parked"]) == 99, 20, "the others wait")
    never(lambda: len(box.lines("some")) > 1, 1)
    assert 190 <= 200 - box.pending_count("own") < 200, "hardly any was read"
    box.r.config_resetstat()
    began = time.monotonic()
    never(lambda: len(box.lines("some")) > 1 or len(box.lines("own")) > 1, 3)
    assert calls(box) <= (time.monotonic() - began + 1) * 2 * 8, box.r.info("commandstats")
    gate.open()
    for stream in ("own", "work"):
        box.wait_done(stream, timeout=60)
    assert set(locks(box, "own")) == {"1"} == set(locks(box, "some"))
    assert len(box.lines("own")) == 200 and len(box.lines("some")) == 100
    order = [run[0] for run in box.runs("some")]
    assert sum(1 for a, b in zip(order, order[1:]) if a > b) < 10, "those that waited longest come first"
    assert hosts[0].events("job.succeeded")


PERSISTENT = """import json, os, sys
for line in sys.stdin:
    entry = json.loads(line)
    with open("%s", "a") as runs:
        runs.write("%%s %%d\\n" %% (entry["id"], os.getpid()))
    __import__("time").sleep(0.01)
    os.write(3, json.dumps({"id": entry["id"], "status": "ok"}).encode() + b"\\n")
"""


def test_a_process_for_many_is_one_handler(box):
    """Its window is filled without asking for each entry; the next process waits until it has none."""
    runs = box.path("stays")
    jobs = {"stays": {"exec": ["/usr/bin/python3", box.write("stays.py", PERSISTENT % runs)], "mode": "persistent", "persistent": {"window": 10},
                      "concurrency": 1, "lease": "60s"},
            "batch": {"exec": holding(box, 1, "cat > /dev/null; sleep 0.1", "batches"), "mode": "batch", "batch": {"size": 20, "wait": "50ms"},
                      "concurrency": 1, "pool": "b"}}
    daemon = box.daemon(jobs, workers=3, pools={"b": {"workers": 3}})
    for stream in jobs:
        box.add_many(stream, 60)
    for stream in jobs:
        box.wait_done(stream)
    pids = [line.split()[1] for line in box.lines("stays")]
    assert len(pids) == 60
    assert sum(1 for a, b in zip(pids, pids[1:]) if a != b) <= 15, "one works until it has nothing more"
    assert set(locks(box, "batches")) == {"1"}
    assert 3 <= len(box.lines("batches")) < 30
    assert len(daemon.events("job.succeeded")) == 60 and not daemon.events("job.failed")  # of the batches; the others are summed up


def test_a_reload_changes_the_limit(box):
    gate = box.gate()
    job = {"exec": holding(box, 4, ": < " + gate.path)}
    daemon = box.daemon(dict(job, concurrency=1), workers=4)
    box.add_many("work", 8)
    box.wait_runs(1)
    never(lambda: len(box.lines()) > 1, 0.5)
    box.write_config(box.config(dict(job, concurrency=3), workers=4), os.path.basename(daemon.file))
    send(daemon.pid, signal.SIGHUP)
    daemon.wait_event("daemon.reloaded")
    box.wait_runs(3)
    never(lambda: len(box.lines()) > 3, 1.2)
    box.write_config(box.config(job, workers=4), os.path.basename(daemon.file))
    send(daemon.pid, signal.SIGHUP)
    daemon.wait_event("daemon.reloaded", count=2)
    box.wait_runs(7)  # four new workers beside the three that work by older configurations
    gate.open()
    box.wait_done()
    assert len(box.lines()) == 8 and {attempt for _, attempt, _ in box.runs()} == {1}


def test_pause_drain_and_until_empty(box):
    gate = box.gate()
    job = {"exec": holding(box, 1, ": < " + gate.path), "concurrency": 1}
    one = box.daemon(job, workers=2)
    box.add_many("work", 3)
    box.wait_runs(1)
    two = box.daemon(job, workers=2, name="h2")
    box.ctl("pause", "work")
    gate.open()
    one.wait_event("job.succeeded")
    never(lambda: len(box.lines()) > 1, 1)
    gate.close()
    box.ctl("resume", "work")
    box.wait_runs(2)
    holder, other = (one, two) if len(one.events("job.started")) == 2 else (two, one)
    gate.open()
    assert holder.stop() == 0
    wait_until(lambda: len(box.lines()) == 3, 10, "the other host goes on")
    box.wait_done()
    assert other.stop() == 0
    for _ in range(20):
        box.add(fields={"kind": "a"})
        box.add(fields={"kind": "b"})
    jobs = {kind: {"exec": holding(box, 1, "true", kind), "concurrency": 1, "stream": "work", "match": {"kind": kind}} for kind in "ab"}
    for kind, job in jobs.items():
        job["exec"][2] = job["exec"][2].replace("/lock.", "/%s-lock." % kind)
    assert box.until_empty(jobs, workers=4).status == 0
    assert set(locks(box, "a") + locks(box, "b")) == {"1"} and len(box.lines("a")) == len(box.lines("b")) == 20


def test_why_an_entry_waits_is_told(box):
    gate = box.gate()
    jobs = {"few": {"exec": box.recording(": < " + gate.path, "few"), "concurrency": 1, "stream": "work", "match": {"kind": "few"}},
            "slow": {"exec": box.recording("true", "slow"), "rate": "1/h", "stream": "work", "match": {"kind": "slow"}},
            "own": {"exec": box.recording(": < " + gate.path, "own"), "concurrency": 1}}
    box.daemon(jobs, workers=4)
    few = [box.add(fields={"kind": "few"}) for _ in range(2)]
    slow = [box.add(fields={"kind": "slow"}) for _ in range(2)]
    own = [box.add("own") for _ in range(4)]
    wait_until(lambda: all(box.lines(name) for name in jobs), 10, "one of each runs")
    wait_until(lambda: box.r.zcount(box.key("due"), "8e15", "(9e15") == 2, 10, "the others are held")
    held = [entry for entry in few + slow if box.parked(entry)]
    told = {entry: box.ctl("--json", "explain", entry, "--queue", "work").json for entry in held}
    assert {row["held_by"] for row in told.values()} == {"concurrency", "rate"}
    assert all(row["state"] == "parked" and row["due_ms"] is None and row["attempt"] == 0 for row in told.values())
    assert told[held[1]]["job"] == "slow" and told[held[1]]["held_by"] == "rate"
    last = box.ctl("--json", "explain", own[-1], "--queue", "own").json
    assert (last["state"], last["held_by"]) == ("waiting", "concurrency")
    rows = {row["id"]: row for row in box.ctl("--json", "retries", "--queue", "work").json}
    assert {row["held_by"] for row in rows.values()} == {"concurrency", "rate"} and all(row["due_ms"] is None for row in rows.values())
    assert {row["stream"]: row["held"] for row in box.ctl("--json", "queues").json}["work"] == 2
    limits = {row["job"]: (row["concurrency"], row["rate"]) for row in box.ctl("--json", "jobs").json}
    assert limits == {"few": (1, 0), "slow": (0, "1/h"), "own": (1, 0)}
    assert "Held by" in box.ctl("explain", held[0], "--queue", "work").text
    gate.open()
    for name in ("few", "own"):
        wait_until(lambda: len(box.lines(name)) == (2 if name == "few" else 4), 10, "they run")
    box.r.delete(box.key("starts:slow"))
    wait_until(lambda: len(box.lines("slow")) == 2, 10, "an operator forgot the last start")
    box.wait_done()


# ---- rate ----

class Starts(threading.Thread):
    """When starts were counted, as Redis's MONITOR shows it: [(job, ms by Redis's clock)]."""

    def __init__(self, box):
        super().__init__(daemon=True)
        self.seen = []
        self.monitor = box.redis.client().monitor()
        self.monitor.__enter__()
        self.start()

    def run(self):
        try:
            for line in self.monitor.listen():
                found = re.match(r"(?i)ZADD \S+:starts:(\S+) (\d+) \d+-\d+/\d+$", line["command"])
                if found:
                    self.seen.append((found.group(1), int(found.group(2))))
        except redis.exceptions.ConnectionError:  # Redis has ended
            pass

    def of(self, job):
        return sorted(at for name, at in self.seen if name == job)


def most_within(times, window_ms):
    return max(sum(1 for at in times if first <= at < first + window_ms) for first in times)


def test_a_rate_over_two_hosts(box):
    """Never more in any second, and about so many in all, on a queue of the job's own and on one that it shares."""
    starts = Starts(box)
    jobs = {"own": {"exec": box.recording("sleep 0.1", "own"), "rate": "10/s", "stream": "own"},
            "some": {"exec": box.recording("true", "some"), "rate": "20/s", "stream": "work", "match": {"kind": "some"}},
            "rest": {"exec": box.recording("true", "rest"), "stream": "work"}}
    hosts = [box.daemon(jobs, workers=4), box.daemon(jobs, workers=4, name="h2")]
    box.add_many("own", 35)
    for _ in range(70):
        box.add(fields={"kind": "some"})
    rest = [box.add() for _ in range(20)]
    box.r.config_resetstat()
    wait_until(lambda: len(box.lines("rest")) == len(rest), 10, "the other job goes on")
    assert len(box.lines("some")) < 70
    for stream in ("own", "work"):
        box.wait_done(stream, timeout=60 * SLOW)
    wait_until(lambda: len(starts.of("own")) == 35 and len(starts.of("some")) == 70, 10, "all starts were seen")
    assert 5 <= most_within(starts.of("own"), 1000) <= 10 and 10 <= most_within(starts.of("some"), 1000) <= 20
    for job, count, rate in (("own", 35, 10), ("some", 70, 20)):
        times = starts.of(job)
        assert times[-1] - times[0] < 1000 * SLOW * (count / rate + 10), (job, times)
    assert {attempt for name in ("own", "some") for _, attempt, _ in box.runs(name)} == {1}
    assert calls(box) < 20 * 125 * SLOW, box.r.info("commandstats")
    assert sum(len(host.events("job.succeeded")) for host in hosts) == 125
