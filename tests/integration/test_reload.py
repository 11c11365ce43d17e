"""SIGHUP: a wrong configuration is refused, a right one is taken over while work goes on."""
import os
import signal
import time

import pytest

from harness import SLOW, alive, descriptors, in_sh, never, send, wait_until


def change(daemon, box, name="daemon.reloaded", **over):
    """Write the configuration anew, ask for a reload, wait for its event; gives the event."""
    before = len(daemon.events(name))
    config = over.pop("config", None) or box.config(over.pop("jobs", daemon.config["jobs"]), **over)
    box.write_config(config, os.path.basename(daemon.file))
    send(daemon.pid, signal.SIGHUP)
    event = daemon.wait_event(name, count=before + 1)
    if name == "daemon.reloaded":
        daemon.config = config
    return event


def counts(event):
    return [event[key] for key in ("kept", "replaced", "added", "removed")]


def finished(daemon, entries):
    """Each of them succeeded exactly once, as its first attempt."""
    done = daemon.events("job.succeeded")
    assert sorted(e["id"] for e in done) == sorted(entries)
    assert {e["attempt"] for e in done} == {1}


def test_same_configuration_keeps_all_workers(box):
    daemon = box.daemon({"exec": box.recording()}, workers=3)
    before = daemon.wait_workers(3)
    assert counts(change(daemon, box, workers=3)) == [3, 0, 0, 0]
    assert daemon.workers() == before
    entry = box.add()
    daemon.wait_event("job.succeeded", id=entry)


def test_wrong_configuration_is_refused_with_all_errors(box):
    daemon = box.daemon({"exec": box.recording()}, workers=2)
    daemon.allow_errors = True
    before = daemon.wait_workers(2)
    refused = change(daemon, box, "daemon.reload_refused", jobs={"work": {"exec": ["/bin/true"], "timeuot": "1s", "lease": "5"}})
    assert "timeuot" in refused["errors"] and "lease" in refused["errors"] and daemon.file in refused["errors"]
    box.write_config("jobs: [", os.path.basename(daemon.file))
    send(daemon.pid, signal.SIGHUP)
    daemon.wait_event("daemon.reload_refused", count=2)
    os.unlink(daemon.file)
    send(daemon.pid, signal.SIGHUP)
    daemon.wait_event("daemon.reload_refused", count=3)
    assert daemon.workers() == before and not daemon.events("daemon.reloaded")
    entry = box.add()
    daemon.wait_event("job.succeeded", id=entry)
    assert counts(change(daemon, box, workers=2)) == [2, 0, 0, 0], "and a right one is welcome afterwards"


@pytest.mark.parametrize("key, value", [("name", "h2"), ("redis", {"url": "redis://127.0.0.1:1/0"}),
                                        ("control_socket", "/tmp/elsewhere.sock"), ("state_dir", "/tmp/elsewhere")])
def test_what_needs_a_restart_is_refused(box, key, value):
    daemon = box.daemon(workers=1)
    daemon.allow_errors = True
    config = dict(daemon.config, **{key: value})
    refused = change(daemon, box, "daemon.reload_refused", config=config)
    assert ("redis.url" if key == "redis" else key) + ": " in refused["errors"] and "restart" in refused["errors"]
    entry = box.add()
    daemon.wait_event("job.succeeded", id=entry)


def test_pools_grow_and_shrink(box):
    daemon = box.daemon({"exec": box.recording()}, workers=2)
    before = daemon.wait_workers(2)
    assert counts(change(daemon, box, workers=5)) == [2, 0, 3, 0]
    assert set(before) < set(daemon.wait_workers(5)), "who was there stays"
    assert counts(change(daemon, box, workers=1)) == [1, 0, 0, 4]
    daemon.wait_workers(1)
    entry = box.add()
    assert daemon.wait_event("job.succeeded", id=entry)["worker"] == "default/0"
    assert counts(change(daemon, box, workers=40)) == [1, 0, 39, 0], "more than there were slots at the start"
    daemon.wait_workers(40)
    assert [w["slot"] for w in box.ctl("workers", "--json").json] == list(range(40))


def test_only_changed_pools_are_replaced(box):
    jobs = {"a": {"exec": box.recording(name="a")}, "b": {"exec": box.recording(name="b"), "pool": "other"}}
    daemon = box.daemon(jobs, workers=2, pools={"other": {"workers": 2}})
    daemon.wait_workers(4)
    other = {e["pid"] for e in daemon.events("worker.started") if e["worker"].startswith("other/")}
    jobs["a"]["timeout"] = "30s"
    assert counts(change(daemon, box, jobs=jobs, workers=2, pools={"other": {"workers": 2}})) == [2, 2, 0, 0]
    wait_until(lambda: len(daemon.workers()) == 4, 10, "the old ones are gone")
    assert other < set(daemon.workers())
    daemon.wait_event("worker.stopped", count=2)
    assert not daemon.events("worker.exited")


def test_status_counts_those_that_are_there(box):
    """Those of a changed pool have other rows of the scoreboard than their predecessors: while these end, and when they are gone."""
    gate = box.gate()
    daemon = box.daemon({"exec": box.recording(": < " + gate.path)}, workers=2)
    figures = lambda: box.ctl("status", "--json").json["workers"]
    seen = lambda total, busy: wait_until(lambda: figures() == {"total": total, "busy": busy, "idle": total - busy, "starting": 0}, 10, "%d of %d busy" % (busy, total))
    seen(2, 0)
    box.add()
    seen(2, 1)
    assert counts(change(daemon, box, jobs=dict(daemon.config["jobs"]["work"], timeout="30s"), workers=2)) == [0, 2, 0, 0]
    seen(3, 1)
    gate.open()
    box.wait_done()
    gate.close()
    box.wait_runs(1)
    seen(2, 0)
    box.add_many("work", 2)
    seen(2, 2)


def test_jobs_and_streams_come_and_go(box):
    one = {"one": {"exec": box.recording(name="one")}}
    two = {"two": {"exec": box.recording(name="two"), "group": "xackd"}}
    daemon = box.daemon(one, workers=2)
    early = box.add("two")
    change(daemon, box, jobs=dict(one, **two), workers=2)
    daemon.wait_event("job.succeeded", id=early)
    later = box.add("two")
    daemon.wait_event("job.succeeded", id=later)
    assert box.r.hexists(box.key("hosts", "two"), "h1")
    change(daemon, box, jobs=two, workers=2)
    wait_until(lambda: not box.r.hexists(box.key("hosts", "one"), "h1"), 10, "the host's row of a queue that it reads no more is gone")
    left = box.add("one")
    last = box.add("two")
    daemon.wait_event("job.succeeded", id=last)
    never(lambda: daemon.events("job.started", id=left, job="one"), 0.5)
    change(daemon, box, jobs=dict(one, **two), workers=2)
    daemon.wait_event("job.succeeded", id=left, job="one")
    assert not daemon.events("worker.exited")


def test_job_moves_to_another_pool(box):
    jobs = {"a": {"exec": box.recording(name="a")}, "b": {"exec": box.recording(name="b")}}
    daemon = box.daemon(jobs, workers=1)
    change(daemon, box, jobs=dict(jobs, b=dict(jobs["b"], pool="video")), workers=1, pools={"video": {"workers": 2}})
    daemon.wait_event("worker.stopped")
    entry = box.add("b")
    assert daemon.wait_event("job.succeeded", id=entry)["worker"].startswith("video/")


def test_running_handler_is_not_touched(box):
    """It ends under the old configuration, its entry is acknowledged as its first attempt; the new one works meanwhile."""
    gate = box.gate()
    daemon = box.daemon({"exec": box.recording(": < " + gate.path), "timeout": "1h"}, drain_timeout="100ms")
    old = box.add()
    handler = int(box.wait_runs(1) and box.lines()[0].split()[3])
    reloaded = change(daemon, box, jobs={"exec": box.recording(name="fresh")}, drain_timeout="100ms")
    assert counts(reloaded) == [0, 1, 0, 0]
    fresh = box.add()
    daemon.wait_event("job.succeeded", id=fresh)
    assert box.runs("fresh") == [(fresh, 1, 1)]
    never(lambda: not alive(handler), 2 * 1.2, "the handler was ended")  # longer than the lease and drain_timeout
    gate.open()
    assert daemon.wait_event("job.succeeded", id=old)["attempt"] == 1
    daemon.wait_workers(1)
    box.wait_pending(0)
    finished(daemon, [old, fresh])


def test_removed_job_drains(box):
    gate = box.gate()
    daemon = box.daemon({"old": {"exec": box.recording(": < " + gate.path)}})
    entry = box.add("old")
    box.wait_runs(1)
    change(daemon, box, jobs={"new": {"exec": ["/bin/true"]}})
    never(lambda: daemon.events("job.succeeded"), 3, "longer than its lease")
    assert box.pending("old")[entry][0].startswith("h1/")
    gate.open()
    assert daemon.wait_event("job.succeeded", id=entry)["attempt"] == 1
    box.wait_pending(0, "old")
    daemon.wait_workers(1)


def test_shorter_lease_does_not_take_entries_from_the_old(box):
    gate = box.gate()
    jobs = {"work": {"exec": box.recording(": < " + gate.path), "lease": "60s"}}
    daemon = box.daemon(jobs)
    entry = box.add()
    box.wait_runs(1)
    change(daemon, box, jobs={"work": dict(jobs["work"], lease="1s")})
    never(lambda: daemon.events("job.recovered"), 3)
    gate.open()
    daemon.wait_event("job.succeeded", id=entry)
    finished(daemon, [entry])


def test_stop_while_an_old_worker_drains(box):
    """The drain_timeout that is in force counts, also for a worker of an older generation."""
    gate = box.gate()
    daemon = box.daemon({"exec": box.recording(": < " + gate.path)}, drain_timeout="100ms")
    entry = box.add()
    box.wait_runs(1)
    change(daemon, box, jobs={"exec": box.recording(name="fresh")}, drain_timeout="30s")
    send(daemon.pid, signal.SIGTERM)
    daemon.wait_event("daemon.stopping")
    never(lambda: daemon.events("job.released"), 1.5)
    gate.open()
    assert daemon.wait() == 0
    finished(daemon, [entry])
    assert box.pending() == {}


def test_stop_ends_handlers_of_old_workers(box):
    daemon = box.daemon({"exec": box.recording("exec sleep 600")}, drain_timeout="1h")
    entry = box.add()
    box.wait_runs(1)
    change(daemon, box, jobs={"exec": box.recording(name="fresh")}, drain_timeout="500ms")
    assert daemon.stop() == 0
    assert daemon.events("job.released", id=entry)
    again = box.again(daemon)
    assert again.wait_event("job.succeeded", id=entry)["attempt"] == 1


def test_killed_old_worker(box):
    """kill -9 of a worker that drains: its handler dies with it, the entry runs again as the second attempt."""
    gate = box.gate()
    daemon = box.daemon({"exec": box.recording(": < " + gate.path)})
    entry = box.add()
    box.wait_runs(1)
    old, handler = daemon.workers()[0], int(box.lines()[0].split()[3])
    change(daemon, box, jobs={"exec": box.recording(name="fresh")})
    send(old, signal.SIGKILL)
    daemon.wait_event("worker.exited", pid=old)
    done = daemon.wait_event("job.succeeded", id=entry)
    assert done["attempt"] == 2 and not alive(handler)
    assert daemon.wait_event("job.recovered", id=entry)["why"] == "worker_died"
    assert len(daemon.wait_workers(1)) == 1
    box.wait_pending(0)


def test_suspended_job_is_tried_at_once(box):
    script = box.path("late.sh")
    daemon = box.daemon({"exec": [script]})
    entry = box.add()
    daemon.wait_event("job.suspended")
    daemon.wait_event("job.released", id=entry)  # due again in 15 s
    box.script("late.sh", "exit 0\n")
    change(daemon, box)
    daemon.wait_event("job.succeeded", id=entry, timeout=8)


def test_log_level_changes(box):
    daemon = box.daemon({"exec": ["/bin/true"]}, log={"level": "info"})
    daemon.wait_event("job.succeeded", id=box.add())
    assert not daemon.events("job.started")
    change(daemon, box, log={"level": "debug"})
    entry = box.add()
    daemon.wait_event("job.succeeded", id=entry)
    assert daemon.events("job.started", id=entry)


def test_reload_before_ready(box):
    """A SIGHUP while Redis is away: done once the daemon is ready."""
    box.redis.freeze()
    daemon = box.daemon({"exec": ["/bin/true"]}, ready=False)
    wait_until(lambda: os.path.exists(box.path("run", "h1.sock")), 10, "the daemon is there")
    box.write_config(box.config({"exec": ["/bin/true"]}, workers=3), os.path.basename(daemon.file))
    send(daemon.pid, signal.SIGHUP)
    box.redis.thaw()
    daemon.wait_ready()
    assert daemon.wait_event("daemon.reloaded")["workers"] == 3
    daemon.wait_workers(3)


def test_reload_while_redis_is_away(box):
    """What runs goes on, what is new begins when Redis is back."""
    gate = box.gate()
    daemon = box.daemon({"exec": box.recording(": < " + gate.path)})
    old = box.add()
    box.wait_runs(1)
    box.redis.kill()
    daemon.wait_event("redis.lost")
    change(daemon, box, jobs={"work": {"exec": box.recording(name="fresh")}, "more": {"exec": box.recording(name="more")}})
    gate.open()
    box.redis.start()
    fresh, more = box.add(), box.add("more")
    for job, entry in (("work", old), ("work", fresh), ("more", more)):
        daemon.wait_event("job.succeeded", id=entry, job=job, timeout=20)
    finished(daemon, [old, fresh, more])


def test_persistent_handler_is_replaced(box):
    """The old process gets its end of input when it has answered what it had, and a new one works by the new configuration."""
    loop = """echo $$ >> %s
while read -r line; do
  id=$(printf %%s "$line" | sed 's/.*"id":"\\([^"]*\\)".*/\\1/')
  echo "{\\"id\\":\\"$id\\",\\"status\\":\\"ok\\"}" >&3
done"""
    daemon = box.daemon({"exec": in_sh(loop % box.path("old")), "mode": "persistent", "success": "each"})
    entries = [box.add() for _ in range(5)]
    for entry in entries:
        daemon.wait_event("job.succeeded", id=entry)
    old = int(box.lines("old")[0])
    change(daemon, box, jobs={"exec": in_sh(loop % box.path("new")), "mode": "persistent", "success": "each"})
    wait_until(lambda: not alive(old), 10, "the old process ended")
    entries += [box.add() for _ in range(5)]
    for entry in entries:
        daemon.wait_event("job.succeeded", id=entry)
    finished(daemon, entries)
    assert len(box.lines("new")) == 1


@pytest.mark.parametrize("after_ms", [0, 5, 15, 40])
def test_daemon_killed_during_a_reload(box, after_ms):
    """kill -9 of the supervisor somewhere in a reload: the next life runs what is left, by the new configuration."""
    job = {"exec": box.recording("sleep 0.05")}
    daemon = box.daemon({"work": job}, workers=3)
    entries = box.add_many("work", 40)
    box.wait_runs(5)
    config = box.config({"work": dict(job, timeout="30s"), "more": {"exec": ["/bin/true"]}}, workers=2)
    box.write_config(config, os.path.basename(daemon.file))
    daemon.config = config
    send(daemon.pid, signal.SIGHUP)
    time.sleep(after_ms / 1000)  # where in the reload it dies, no synchronisation
    daemon.kill9()
    again = box.again(daemon)
    box.wait_done(timeout=30)
    box.wait_pending(0)
    assert set(entries) == {run[0] for run in box.runs()}
    assert not again.events("job.dead")


def test_a_second_reload_while_an_old_worker_drains(box):
    """Three generations side by side; each handler ends by its own."""
    gate = box.gate()
    daemon = box.daemon({"exec": box.recording(": < " + gate.path, name="g0")})
    entries = [box.add()]
    box.wait_runs(1, "g0")
    for number in (1, 2, 3):
        change(daemon, box, jobs={"exec": box.recording(": < " + gate.path, name="g%d" % number)})
        entries.append(box.add())
        box.wait_runs(1, "g%d" % number)
    assert len(daemon.workers()) == 4
    assert len(box.ctl("running", "--json").json) == 4
    gate.open()
    for entry in entries:
        daemon.wait_event("job.succeeded", id=entry)
    daemon.wait_workers(1)
    finished(daemon, entries)


def test_many_reloads_leave_nothing_behind(box):
    """Descriptors and memory of the supervisor do not grow with the number of reloads."""
    daemon = box.daemon({"w0": {"exec": ["/bin/true"]}}, workers=1)

    def size():
        wait_until(lambda: len(daemon.workers()) == 1, 10, "one worker")
        return len(descriptors(daemon.pid))

    for number in range(1, 6):
        change(daemon, box, jobs={"w%d" % number: {"exec": ["/bin/true"]}}, workers=1)
    before = size()
    for number in range(6, 30):
        change(daemon, box, jobs={"w%d" % number: {"exec": ["/bin/true"]}}, workers=1)
    change(daemon, box, workers=1)
    assert size() <= before + 2
    daemon.wait_event("job.succeeded", id=box.add("w29"))


@pytest.mark.big
def test_reloads_under_load(box):
    """30 reloads of many kinds while 5,000 entries run: each succeeds exactly once, as its first attempt."""
    handler = {"exec": ["/bin/true"], "stdin": "none", "lease": "10s"}
    daemon = box.daemon({"work": handler}, workers=3)
    total, reloads = 5000, 30
    entries = []
    for number in range(reloads):
        entries += box.add_many("work", total // reloads if number < reloads - 1 else total - len(entries))
        jobs = {"work": dict(handler, timeout="%ds" % (60 + number)) if number % 3 == 0 else dict(daemon.config["jobs"]["work"])}
        if number % 4 == 1:
            jobs["extra"] = {"exec": ["/bin/true"]}
        change(daemon, box, jobs=jobs, workers=2 + number % 4)
    box.wait_done(timeout=120)
    wait_until(lambda: len(daemon.events("job.succeeded")) >= total, 10, "all are told of")
    finished(daemon, entries)
    assert not daemon.events("worker.exited") and not daemon.events("job.dead")
    daemon.wait_workers(daemon.config["workers"])


def test_status_tells_of_a_refused_one(box):
    import socket
    path = box.path("notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        listener.settimeout(10 * SLOW)
        daemon = box.daemon({"exec": ["/bin/true"]}, env={"NOTIFY_SOCKET": path})
        daemon.allow_errors = True
        heard = []

        def hear(what):
            while not any(what in text for text in heard):
                heard.append(listener.recv(4096).decode())
            return heard
        hear("READY=1")
        del heard[:]
        change(daemon, box, "daemon.reload_refused", jobs={"work": {"exec": ["/bin/true"], "timeuot": "1s"}})
        hear("RELOADING=1\nMONOTONIC_USEC=")
        hear("READY=1")
        hear("timeuot")
        del heard[:]
        change(daemon, box, jobs={"work": {"exec": ["/bin/true"], "timeout": "1s"}})
        hear("READY=1")
        hear("STATUS=")
        assert not any("refused" in text for text in heard)
        assert daemon.stop() == 0
