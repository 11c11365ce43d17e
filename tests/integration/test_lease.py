"""Leases, several hosts, freezes."""
import json
import signal

from harness import alive, milliseconds, never, process, send, wait_until


def two_hosts(box, first, second=None, **over):
    one = box.daemon(first, name="h1", **over)
    two = box.daemon(second or first, name="h2", **over)
    return one, two


def test_a_long_handler_runs_once(box):
    """Three leases long, with a second host idle beside it."""
    one, two = two_hosts(box, {"exec": box.recording("sleep 6.5"), "lease": "2s"})
    entry = box.add()
    wait_until(lambda: box.lines())
    wait_until(lambda: one.events("job.succeeded", id=entry) or two.events("job.succeeded", id=entry), 20)
    box.wait_done()
    assert box.runs() == [(entry, 1, 1)]
    for daemon in (one, two):
        assert not daemon.events("job.recovered") and not daemon.events("job.lease_lost")


def frozen_first(box, then, **job):
    """An entry runs on h1, which is then frozen whole; gives (one, two, entry) once h2 runs it."""
    one = box.daemon(dict({"exec": box.recording("case $XACKD_DELIVERY in 1) %s;; esac" % then)}, **job), name="h1")
    entry = box.add()
    box.wait_runs(1)
    two = box.daemon(dict({"exec": box.recording("true")}, **job), name="h2")
    one.freeze()
    two.wait_event("job.recovered", id=entry, timeout=25)
    return one, two, entry


def test_a_frozen_host_loses_its_lease(box):
    gate = box.gate()
    one, two, entry = frozen_first(box, ": < " + gate.path)
    done = two.wait_event("job.succeeded", id=entry)
    assert done["attempt"] == 2
    event = two.events("job.recovered", id=entry)[0]
    assert event["why"] == "host_lost" and event["from"].startswith("h1/") and event["idle_ms"] >= 2000
    one.thaw()
    gate.open()
    wait_until(lambda: one.events("job.lease_lost", id=entry) or one.events("job.stale_ack", id=entry), 15)
    box.wait_pending(0)
    assert box.runs() == [(entry, 1, 1), (entry, 2, 2)]
    assert not box.r.exists(box.key("dead"))
    fresh = box.add()
    wait_until(lambda: one.events("job.succeeded", id=fresh) or two.events("job.succeeded", id=fresh))


def test_a_late_failure_of_a_frozen_host_moves_nothing(box):
    """Its entry is done, or runs elsewhere: a strict park or dead must not touch it."""
    gate, gate2 = box.gate(), box.gate("gate2")
    one = box.daemon({"exec": box.recording("case $XACKD_DELIVERY in 1) : < %s; exit 65;; *) : < %s;; esac" % (gate.path, gate2.path))}, name="h1")
    entry = box.add()
    box.wait_runs(1)
    two = box.daemon(one.config["jobs"]["work"], name="h2")
    one.freeze()
    two.wait_event("job.started", id=entry, timeout=25)
    one.thaw()
    gate.open()
    wait_until(lambda: one.events("job.lease_lost", id=entry) or one.events("job.stale_ack", id=entry), 15)
    never(lambda: box.r.exists(box.key("dead")) or box.parked(entry), 1)
    gate2.open()
    two.wait_event("job.succeeded", id=entry)
    box.wait_pending(0)


def test_lease_lost_can_kill_the_handler(box):
    one, two, entry = frozen_first(box, "exec sleep 600", lease_lost="kill")
    two.wait_event("job.succeeded", id=entry)
    handler = int(box.lines()[0].split()[3])
    one.thaw()
    one.wait_event("job.lease_lost", id=entry, timeout=15)
    wait_until(lambda: not alive(handler), 5, "the handler is killed")
    box.wait_pending(0)
    assert not box.r.exists(box.key("dead"))


def test_entries_are_shared_by_hosts(box):
    one, two = two_hosts(box, {"exec": box.recording("sleep 0.02")})
    ids = box.add_many("work", 60)
    box.wait_done()
    assert sorted(r[0] for r in box.runs()) == sorted(ids) and {r[1:] for r in box.runs()} == {(1, 1)}
    wait_until(lambda: len(one.events("job.succeeded")) + len(two.events("job.succeeded")) == 60)
    assert one.events("job.succeeded") and two.events("job.succeeded")


def test_parked_by_one_host_and_retried_by_another(box):
    one = box.daemon({"exec": box.recording("exit 1"), "retry": {"initial": "2s"}}, name="h1")
    entry = box.add()
    due = one.wait_event("job.retry", id=entry)["due_ms"]
    two = box.daemon({"exec": box.recording("true")}, name="h2")
    assert one.stop() == 0
    alone = milliseconds(one.events("daemon.stopped")[0]["ts"])
    done = two.wait_event("job.succeeded", id=entry)
    assert done["attempt"] == 2
    started = milliseconds(two.events("job.started", id=entry)[0]["ts"])
    assert started >= due - 1, "never before it"
    late = started - max(due, alone)
    assert late < 2500, "about a second on another host: %d ms" % late


def test_a_dead_host_is_survived_by_the_others(box):
    one = box.daemon({"exec": box.recording("test $XACKD_ATTEMPT -gt 1 || sleep 600")}, name="h1")
    entry = box.add()
    box.wait_runs(1)
    two = box.daemon({"exec": box.recording("true")}, name="h2")
    one.kill9_all()
    done = two.wait_event("job.succeeded", id=entry, timeout=25)
    assert done["attempt"] == 2 and two.events("job.recovered", id=entry)[0]["why"] == "host_lost"
    box.wait_done()


def test_the_longest_lease_of_all_hosts_counts(box):
    """h2 has a short lease, h1 published a long one: h2 leaves its entry alone."""
    gate = box.gate()
    one = box.daemon({"exec": box.recording(": < " + gate.path), "lease": "20s"}, name="h1")
    entry = box.add()
    box.wait_runs(1)
    two = box.daemon({"exec": box.recording("true"), "lease": "1s"}, name="h2")
    worker = [p for p in one.workers()][0]
    send(worker, signal.SIGSTOP)
    never(lambda: two.events("job.recovered"), 5)
    send(worker, signal.SIGCONT)
    gate.open()
    one.wait_event("job.succeeded", id=entry)
    assert box.runs() == [(entry, 1, 1)]


def test_a_host_frozen_so_long_that_its_name_was_taken_ends(box):
    """It drains, touches nothing of the other, and ends with 1."""
    one = box.daemon({"exec": box.recording()}, name="h1", drain_timeout="1s")
    one.allow_errors = True
    one.freeze()
    row = json.loads(box.r.hget(box.key("hosts"), "h1"))
    row.update(boot="another", machine="another", pid=1)
    wait_until(lambda: time_ms(box) - row["seen_ms"] > 2500, 10)
    row["seen_ms"] = time_ms(box) + 3600000
    box.r.hset(box.key("hosts"), "h1", json.dumps(row))
    one.thaw()
    assert one.wait(20) == 1
    kept = json.loads(box.r.hget(box.key("hosts"), "h1"))
    assert kept["machine"] == "another"
    assert one.events("daemon.refused")


def time_ms(box):
    seconds, micros = box.r.time()
    return seconds * 1000 + micros // 1000


def test_foreign_claim_while_it_runs_is_noticed(box):
    gate = box.gate()
    daemon = box.daemon({"exec": box.recording("test $XACKD_DELIVERY -gt 1 || : < " + gate.path)})
    entry = box.add()
    daemon.wait_event("job.started", id=entry)
    box.r.xclaim("work", "xackd", "thief", 0, [entry])
    daemon.wait_event("job.lease_lost", id=entry)
    gate.open()
    daemon.wait_event("job.stale_ack", id=entry)
    box.wait_pending(0)
    assert len(box.runs()) == 1


def test_acknowledged_by_hand_while_it_runs(box):
    gate = box.gate()
    daemon = box.daemon({"exec": box.recording(": < " + gate.path)})
    entry = box.add()
    daemon.wait_event("job.started", id=entry)
    assert box.r.xack("work", "xackd", entry) == 1
    gate.open()
    daemon.wait_event("job.stale_ack", id=entry)
    assert len(box.runs()) == 1
    daemon.wait_event("job.succeeded", id=box.add())


def test_frozen_worker_is_replaced_before_its_entry_is_given_to_another(box):
    """One worker frozen, the rest alive: its handler is dead before the entry runs again on the same host."""
    daemon = box.daemon({"exec": box.recording("test $XACKD_ATTEMPT -gt 1 || sleep 600"), "lease": "4s"}, workers=2)
    entry = box.add()
    wait_until(lambda: box.lines(), 10, "the handler runs")
    handler = int(box.lines()[0].split()[3])
    worker = process(handler).ppid
    daemon.allow_errors = True  # worker.hung is one
    send(worker, signal.SIGSTOP)
    hung = daemon.wait_event("worker.hung", timeout=20)
    assert hung["id"] == entry and hung["pid"] == worker
    again = daemon.wait_event("job.started", id=entry, attempt=2, timeout=20)
    assert not alive(handler) and not alive(worker)
    assert again["delivery"] == 2
    daemon.wait_event("job.succeeded", id=entry)
    daemon.wait_workers(2)
