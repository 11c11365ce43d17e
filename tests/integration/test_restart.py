"""Restarts and upgrades under load: nothing is lost, nothing runs twice, no attempt is used up."""
import signal

import pytest

from harness import alive, never, send, wait_until


def finished(daemons, entries):
    done = [e for daemon in daemons for e in daemon.events("job.succeeded")]
    assert sorted(e["id"] for e in done) == sorted(entries), "each exactly once"
    assert {e["attempt"] for e in done} == {1}
    for daemon in daemons:
        assert not daemon.events("job.dead") and not daemon.events("job.recovered") and not daemon.events("worker.exited")


@pytest.mark.big
def test_restarts_under_load(box):
    """10 times stop and start, as systemctl restart does it, while 5,000 entries run."""
    daemon = box.daemon({"work": {"exec": ["/bin/true"], "stdin": "none"}}, workers=3)
    total, restarts = 5000, 10
    lives, entries = [daemon], []
    for _ in range(restarts):
        entries += box.add_many("work", total // restarts)
        seen = len(daemon.events("job.succeeded"))
        wait_until(lambda: len(daemon.events("job.succeeded")) > seen + 20, 10, "it works")
        assert daemon.stop() == 0
        daemon = box.again(daemon)
        lives.append(daemon)
    box.wait_done(timeout=120)
    wait_until(lambda: sum(len(d.events("job.succeeded")) for d in lives) >= total, 10, "all are told of")
    finished(lives, entries)


def test_replace_the_binary_with_long_handlers_running(box):
    """README: the new daemon starts under another name, the old one drains as long as it takes."""
    gate = box.gate()
    job = {"work": {"exec": box.recording("test $FIELD_N = short || : < " + gate.path)}}
    old = box.daemon(job, workers=2, name="web1", drain_timeout="1h")
    long = [box.add(fields={"n": "long"}) for _ in range(2)]
    box.wait_runs(2)
    handlers = [int(line.split()[3]) for line in box.lines()]
    waiting = [box.add(fields={"n": "short"}) for _ in range(3)]
    new = box.daemon(job, workers=2, name="web1-b", drain_timeout="1h")
    for entry in waiting:
        new.wait_event("job.succeeded", id=entry)
    send(old.pid, signal.SIGTERM)
    old.wait_event("daemon.stopping")
    fresh = [box.add(fields={"n": "short"}) for _ in range(20)]
    for entry in fresh:
        new.wait_event("job.succeeded", id=entry)
    never(lambda: [pid for pid in handlers if not alive(pid)], 2.5, "a handler ended early")  # longer than the lease
    gate.open()
    assert old.wait() == 0
    finished([old, new], long + waiting + fresh)
    assert {e["id"] for e in old.events("job.succeeded")} == set(long)
    box.wait_pending(0)
    assert box.r.hkeys(box.key("hosts")) == ["web1-b"]


@pytest.mark.big
def test_replace_under_load(box):
    """The same while 3,000 entries run: two daemons side by side, then one."""
    job = {"work": {"exec": ["/bin/true"], "stdin": "none"}}
    names = ["a", "b", "a", "b"]
    lives, entries = [box.daemon(job, workers=2, name=names[0])], []
    for name in names[1:]:
        entries += box.add_many("work", 1000)
        new = box.daemon(job, workers=2, name=name)
        assert lives[-1].stop() == 0
        lives.append(new)
    box.wait_done(timeout=120)
    wait_until(lambda: sum(len(d.events("job.succeeded")) for d in lives) >= len(entries), 10, "all are told of")
    finished(lives, entries)
