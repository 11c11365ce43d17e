"""kill -9 of a worker, of the supervisor, of everything: nothing is lost, nothing runs twice side by side."""
import signal

from harness import PARKED, SLOW, alive, milliseconds, never, process, send, wait_until

# A first attempt that sleeps with children inside and outside of its shell; later attempts end at once.
SLEEPER = "test $XACKD_ATTEMPT -gt 1 -o $FIELD_N = quick && exit 0\nsleep 600 & echo $! >> %s\nexec sleep 600"


def sleeper(box, **job):
    return dict({"exec": box.recording(SLEEPER % box.path("kids"))}, **job)


def victims(box):
    """Pids of the first attempt's processes."""
    wait_until(lambda: box.lines("kids"), 10, "the handler runs")
    return [int(line.split()[3]) for line in box.lines()] + [int(pid) for pid in box.lines("kids")]


def worker_of(daemon, handler):
    return process(handler).ppid


def test_killed_worker(box):
    """Its handler's whole group goes first; then the entry runs again as attempt 2, in milliseconds."""
    daemon = box.daemon(sleeper(box), workers=2)
    entry = box.add()
    pids = victims(box)
    worker = worker_of(daemon, pids[0])
    send(worker, signal.SIGKILL)
    done = daemon.wait_event("job.succeeded", id=entry)
    assert done["attempt"] == 2 and box.runs() == [(entry, 1, 1), (entry, 2, 2)]
    assert not any(alive(pid) for pid in pids), "the group was gone before the entry was released"
    exited = daemon.wait_event("worker.exited", pid=worker)
    assert "9" in str(exited.get("signal", exited.get("status")))
    recovered = daemon.wait_event("job.recovered", id=entry)
    assert recovered["why"] == "worker_died" and recovered["attempt"] == 1 and recovered["from"].startswith("h1/default/")
    started = [e for e in daemon.events("job.started", id=entry) if e["attempt"] == 2][0]
    assert milliseconds(started["ts"]) - milliseconds(exited["ts"]) < 500 * SLOW
    box.wait_done()
    daemon.wait_workers(2)
    assert not daemon.zombies()


def test_killed_worker_is_quick(box):
    """Five times: the median from kill to the next start is within 200 ms plus the start of a process."""
    import time
    daemon = box.daemon({"exec": box.recording("test $XACKD_ATTEMPT -gt 1 || exec sleep 600")}, workers=2)
    took = []
    for round_ in range(5):
        entry = box.add()
        handler = daemon.wait_event("job.started", id=entry)["pid"]
        wait_until(lambda: len(box.lines()) == 2 * round_ + 1)
        worker = worker_of(daemon, handler)
        before = time.time() * 1000
        send(worker, signal.SIGKILL)
        daemon.wait_event("job.succeeded", id=entry, attempt=2)
        started = [e for e in daemon.events("job.started", id=entry) if e["attempt"] == 2][0]
        took.append(milliseconds(started["ts"]) - before)
        daemon.wait_workers(2)
    assert sorted(took)[2] < 250 * SLOW, "ms from kill to start: %s" % took


def test_entries_end_as_dead_letters_when_they_kill_their_worker(box):
    """A poison entry: exactly max_attempts runs, then worker_lost, never a loop."""
    daemon = box.daemon({"exec": box.recording('test "$FIELD_POISON" || exit 0; kill -9 $PPID; sleep 600'),
                         "retry": {"max_attempts": 3}}, workers=2)
    entry = box.add(fields={"poison": "1"})
    dead = daemon.wait_event("job.dead", id=entry, timeout=30)
    assert dead["reason"] == "worker_lost" and dead["attempts"] == 3
    letter = box.wait_dead()[0]
    assert (letter["reason"], letter["attempts"], letter["id"]) == ("worker_lost", "3", entry)
    assert box.runs() == [(entry, n, n) for n in (1, 2, 3)]
    daemon.wait_event("job.succeeded", id=box.add(fields={"ok": "1"}), timeout=20)
    assert [e["attempt"] for e in daemon.events("job.recovered", id=entry)] == [1, 2, 3]


def test_idle_worker_killed_is_replaced(box):
    daemon = box.daemon(workers=2)
    first = daemon.wait_workers(2)
    send(first[0], signal.SIGKILL)
    wait_until(lambda: len(daemon.workers()) == 2 and first[0] not in daemon.workers(), 10, "a new worker")
    daemon.wait_event("job.succeeded", id=box.add())
    assert not daemon.zombies()


def test_a_slot_that_keeps_dying_does_not_stop_the_others(box):
    daemon = box.daemon(workers=2)
    daemon.wait_workers(2)
    slot = daemon.events("worker.started", worker="default/0")[0]["pid"]
    for _ in range(4):
        send(slot, signal.SIGKILL)
        daemon.wait_event("worker.exited", pid=slot)
        daemon.wait_event("job.succeeded", id=box.add())
        started = wait_until(lambda: [e for e in daemon.events("worker.started", worker="default/0") if e["pid"] != slot and alive(e["pid"])], 20)
        slot = started[-1]["pid"]
    box.wait_done()


def test_killed_supervisor(box):
    """No worker and no handler is left; a new start runs every entry that was pending."""
    daemon = box.daemon(sleeper(box), workers=2)
    entry = box.add()
    pids = victims(box)
    workers = daemon.workers()
    more = box.add()
    wait_until(lambda: len(box.lines("kids")) == 2)
    pids = victims(box)
    waiting = [box.add(fields={"n": "quick"}) for _ in range(3)]
    daemon.kill9()
    wait_until(lambda: not any(alive(pid) for pid in workers + pids), 5, "workers and handlers are gone at once")
    again = box.again(daemon)
    for one in [entry, more] + waiting:
        again.wait_event("job.succeeded", id=one, timeout=20)
    box.wait_done()
    assert sorted(box.runs()) == sorted([(entry, 1, 1), (entry, 2, 2), (more, 1, 1), (more, 2, 2)] + [(one, 1, 1) for one in waiting])
    assert {e["why"] for e in again.events("job.recovered")} == {"earlier_life"}
    assert {e["id"] for e in again.events("job.recovered")} == {entry, more}


def test_everything_killed(box):
    """As if the machine had lost power: the next life needs no lease to pass."""
    daemon = box.daemon(sleeper(box, lease="60s"), workers=2)
    entry = box.add()
    pids = victims(box)
    daemon.kill9_all()
    wait_until(lambda: not any(alive(pid) for pid in pids))
    again = box.again(daemon)
    done = again.wait_event("job.succeeded", id=entry, timeout=15)
    assert done["attempt"] == 2
    assert again.wait_event("job.recovered", id=entry)["why"] == "earlier_life"


def test_handlers_that_outlived_are_killed_before_their_entries_are_released(box):
    """Supervisor and workers die at once; a handler that PDEATHSIG could not reach (another user's, set-uid) would live on."""
    daemon = box.daemon({"exec": box.recording("test $XACKD_ATTEMPT -gt 1 && exit 0\nsetsid sleep 600 & echo $! >> %s\nexec sleep 600" % box.path("kids"))})
    entry = box.add()
    victims(box)
    handler = int(box.lines()[0].split()[3])
    daemon.kill9_all()
    again = box.again(daemon)
    again.wait_event("job.succeeded", id=entry, attempt=2, timeout=15)
    assert not alive(handler)


def test_killed_handler_is_only_a_failure(box):
    daemon = box.daemon({"exec": box.recording("test $XACKD_ATTEMPT -gt 1 || sleep 600")})
    entry = box.add()
    handler = daemon.wait_event("job.started", id=entry)["pid"]
    send(handler, signal.SIGKILL)
    assert daemon.wait_event("job.failed", id=entry)["reason"] == "signal"
    assert daemon.wait_event("job.succeeded", id=entry)["attempt"] == 2
    assert not daemon.events("worker.exited")


def test_frozen_worker_loses_its_entry_after_the_lease(box):
    """SIGSTOP of one worker: its entry is taken over after the lease; after SIGCONT it does no harm."""
    gate = box.gate()
    daemon = box.daemon({"exec": box.recording("test $XACKD_DELIVERY -gt 1 || : < " + gate.path)}, workers=2)
    entry = box.add()
    handler = daemon.wait_event("job.started", id=entry)["pid"]
    worker = worker_of(daemon, handler)
    daemon.allow_errors = True  # the supervisor may say worker.hung
    send(worker, signal.SIGSTOP)
    daemon.wait_event("job.succeeded", id=entry, timeout=40)
    send(worker, signal.SIGCONT)
    gate.open()
    box.wait_pending(0)
    daemon.wait_event("job.succeeded", id=box.add())
    assert not box.r.exists(box.key("dead"))


def test_consumers_of_the_dead_are_removed(box):
    daemon = box.daemon(sleeper(box), workers=1)
    entry = box.add()
    send(worker_of(daemon, victims(box)[0]), signal.SIGKILL)
    daemon.wait_event("job.succeeded", id=entry)

    def names():
        return {c["name"] for c in box.r.xinfo_consumers("work", "xackd")} - {PARKED}
    wait_until(lambda: len(names()) == 1, 10, "one consumer a living worker")
    assert daemon.stop() == 0
    assert not names()


def test_storm_of_kills(box):
    """Workers die all the time; every entry is done, each attempt number is seen once, nothing is left."""
    import random
    dice = random.Random(7)
    daemon = box.daemon({"exec": box.recording("sleep 0.05"), "retry": {"max_attempts": 0}}, workers=3)
    ids = set(box.add_many("work", 60))
    for _ in range(6):
        count = len(box.lines())
        wait_until(lambda: len(box.lines()) > count or box.pending_count() == 0, 20)
        workers = daemon.workers()
        if workers:
            send(dice.choice(workers), signal.SIGKILL)
    box.wait_done(timeout=40)
    runs = box.runs()
    assert {r[0] for r in runs} == ids
    assert len({(r[0], r[2]) for r in runs}) == len(runs), "(ID, delivery) is a fencing token"
    wait_until(lambda: not daemon.zombies())
    never(lambda: box.pending_count(), 0.3)
