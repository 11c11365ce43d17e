"""The table of reactions (src/redis/reaction.c), row by row: a server gives the error, its cause goes away, and work goes on without a restart;
nothing is lost, nothing runs twice, no worker dies, and each thing is said once for each change of state."""
import collections

import pytest

from harness import wait_until
from reactions import NO_ANSWER, PROVOKE, Scene, table

ROWS = [code for code, _ in table()]


def test_every_row_has_a_provocation():
    assert sorted(PROVOKE) == sorted(ROWS)


def run_again(scene):
    """The cause is gone: the entry that ran is done, and so is a new one."""
    box, daemon = scene.box, scene.daemon
    daemon.wait_ready(40)
    wait = 40
    if scene.entry:
        daemon.wait_event("job.succeeded", id=scene.entry, timeout=wait)
    fresh = box.r.xadd("work", {"n": "fresh"})
    daemon.wait_event("job.succeeded", id=fresh, timeout=wait)

    def nothing_pending():
        groups = box.groups()
        return groups and groups[0]["pending"] == 0
    wait_until(nothing_pending, wait, "nothing is left pending")
    return fresh


def check(scene, fresh):
    daemon, runs = scene.daemon, scene.box.runs()
    assert daemon.process.poll() is None and not daemon.events("worker.exited") and not daemon.events("worker.hung")
    assert not daemon.events("job.dead"), "an error of Redis is no failure of the job"
    assert len({(r[0], r[2]) for r in runs}) == len(runs), "(ID, delivery) is seen once"
    told = {e["id"] for e in daemon.events("job.failed")} | {e["id"] for e in daemon.events("job.recovered")}
    assert all(count == 1 or entry in told for entry, count in collections.Counter(r[0] for r in runs).items()), runs
    assert fresh in {r[0] for r in runs}


def check_noise(scene):
    """Once for each change of state: the reaper for the host, a worker for itself; connections that come and go are states, too."""
    connected = len(scene.daemon.events("redis.connected"))
    said = collections.Counter((e.get("why"), e.get("worker")) for e in scene.complaints() if e["level"] == "error")
    assert all(count <= 2 for count in said.values()), said
    assert len(scene.complaints()) <= 8 + 2 * connected, scene.complaints()


def play(box, code, provoke):
    scene = Scene(box, code)
    try:
        provoke(scene)
        fresh = run_again(scene)
        check(scene, fresh)
        check_noise(scene)
    finally:
        if scene.relay:
            scene.relay.close()


@pytest.mark.parametrize("code", ROWS, ids=lambda code: code or "anything else")
def test_row(box, code):
    play(box, code, PROVOKE[code])


@pytest.mark.parametrize("what", sorted(NO_ANSWER))
def test_no_answer(box, what):
    play(box, what, NO_ANSWER[what])
