"""Redis away, frozen, emptied, full, refusing: an outage is never a failure of the job."""
import json
import os
import signal
import threading
import time

import pytest
import redis

from harness import PARKED, SLOW, milliseconds, never, send, wait_until
from redis_private import script_text


def test_restart_while_idle(box):
    daemon = box.daemon({"exec": box.recording()}, workers=2)
    daemon.wait_event("job.succeeded", id=box.add())
    box.redis.restart()
    daemon.wait_event("redis.lost")
    entry = box.add()
    daemon.wait_event("job.succeeded", id=entry, timeout=20)
    assert len(box.runs()) == 2
    daemon.wait_event("redis.connected", count=2, level="notice")
    assert len(daemon.events("redis.lost", level="warning")) == 1, "once a host and change of state"
    assert not daemon.events("worker.exited")


def test_soon_after_a_long_outage(box):
    """Workers wait long between their tries, not to storm; but they follow the reaper, which tries often: one connection a host."""
    daemon = box.daemon({"exec": box.recording()}, workers=8)
    wait_until(lambda: len({e["worker"] for e in daemon.events("redis.connected") if "worker" in e}) == 8)
    box.redis.kill()
    daemon.wait_event("redis.lost")
    before = time.monotonic()
    wait_until(lambda: time.monotonic() - before > 7, 10)
    seen = len(daemon.events("redis.connected"))
    box.redis.start()
    wait_until(lambda: len(daemon.events("redis.connected")) >= seen + 9, 4, "the reaper and all workers are connected")
    daemon.wait_event("job.succeeded", id=box.add())
    assert len(daemon.events("redis.lost", level="warning")) <= 2, "once a change of state: closed, then refused"


def test_outage_while_a_handler_runs(box):
    """The handler runs on; its outcome is kept and settled after the reconnect; no attempt is used."""
    gate = box.gate()
    daemon = box.daemon({"exec": box.recording(": < " + gate.path)})
    entry = box.add()
    box.wait_runs(1)
    box.redis.kill()
    gate.open()
    daemon.wait_event("redis.lost")
    never(lambda: daemon.events("job.failed") or daemon.events("worker.exited"), 1)
    box.redis.start()
    box.wait_pending(0, timeout=20)
    daemon.wait_event("job.succeeded", id=entry)
    assert box.runs() == [(entry, 1, 1)]


@pytest.mark.parametrize("code, state", [(3, "parked"), (65, "dead")])
def test_failure_during_an_outage_is_settled_afterwards(box, code, state):
    gate = box.gate()
    daemon = box.daemon({"exec": box.recording(": < %s; exit %d" % (gate.path, code)), "retry": {"initial": "1h"}})
    entry = box.add()
    box.wait_runs(1)
    box.redis.kill()
    gate.open()
    daemon.wait_event("redis.lost")
    box.redis.start()
    if state == "parked":
        box.wait_parked(entry, timeout=20)
        assert box.pending()[entry] == (PARKED, 1) and box.note(entry)["exit"] == 3
    else:
        assert box.wait_dead(timeout=20)[0]["id"] == entry
        box.wait_pending(0)
    assert len(box.runs()) == 1


def test_outage_longer_than_the_lease(box):
    gate = box.gate()
    daemon = box.daemon({"exec": box.recording(": < " + gate.path), "lease": "1s"})
    entry = box.add()
    box.wait_runs(1)
    box.redis.kill()
    daemon.wait_event("redis.lost")
    before = time.monotonic()
    wait_until(lambda: time.monotonic() - before > 2.5, 5)
    box.redis.start()
    daemon.wait_event("redis.connected", count=2, timeout=20)
    never(lambda: len(box.runs()) > 1, 2, "the owner renews first")
    gate.open()
    daemon.wait_event("job.succeeded", id=entry)
    box.wait_pending(0)
    assert box.runs() == [(entry, 1, 1)]


@pytest.mark.parametrize("busy", [False, True])
def test_connections_killed(box, busy):
    gate = box.gate()
    daemon = box.daemon({"exec": box.recording(": < " + gate.path)}, workers=2)
    if not busy:
        gate.open()
    entry = box.add()
    box.wait_runs(1)
    for _ in range(3):
        box.r.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    gate.open()
    more = box.add_many("work", 5)
    for one in [entry] + more:
        daemon.wait_event("job.succeeded", id=one, timeout=20)
    box.wait_pending(0)
    assert sorted(box.runs()) == sorted((one, 1, box_delivery(box, one)) for one in [entry] + more)


def box_delivery(box, entry):
    """A reply that was lost on its way was given back: the delivery grows, the attempt does not."""
    return [r[2] for r in box.runs() if r[0] == entry][0]


def test_connections_killed_all_the_time(box):
    daemon = box.daemon({"exec": box.recording("sleep 0.03")}, workers=3)
    ids = box.add_many("work", 60)
    while box.pending_count() or box.groups()[0]["last-delivered-id"] != ids[-1]:
        box.r.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        wait_until(lambda: box.r.execute_command("CLIENT", "LIST").count("\n") > 3, 15)
        assert daemon.process.poll() is None
    box.wait_done(timeout=30)
    runs = box.runs()
    assert {r[0] for r in runs} == set(ids)
    assert len({(r[0], r[2]) for r in runs}) == len(runs) and {r[1] for r in runs} == {1}
    assert not box.r.exists(box.key("dead"))


def test_frozen_redis(box):
    """It answers nothing for longer than the lease, then goes on: nobody's entry is taken."""
    gate = box.gate()
    job = {"exec": box.recording(": < " + gate.path), "lease": "2s"}
    one = box.daemon(job, name="h1")
    two = box.daemon(job, name="h2")
    entry = box.add()
    box.wait_runs(1)
    box.redis.freeze()
    before = time.monotonic()
    wait_until(lambda: time.monotonic() - before > 4, 6)
    box.redis.thaw()
    never(lambda: len(box.runs()) > 1, 3, "the owner renews first")
    gate.open()
    wait_until(lambda: one.events("job.succeeded", id=entry) or two.events("job.succeeded", id=entry), 15)
    box.wait_pending(0)
    assert box.runs() == [(entry, 1, 1)]
    assert not one.events("job.recovered") and not two.events("job.recovered")


def test_frozen_redis_just_after_an_entry_began(box):
    """The other host knows of nothing that is pending, whichever of its calls hangs during the freeze; what it learns after the thaw it leaves to
    the owner, who comes first."""
    gates = [box.gate("gate-%d" % n) for n in range(3)]
    job = {"exec": box.recording(": < %s-$FIELD_N" % box.path("gate")), "lease": "2s"}
    daemons = [box.daemon(job, name=name) for name in ("h1", "h2")]
    for number, gate in enumerate(gates):
        entry = box.add(fields={"n": str(number)})
        box.wait_runs(number + 1)
        owner = [d for d in daemons if d.events("job.started", id=entry)] or daemons
        box.redis.freeze()
        owner[0].freeze()
        before = time.monotonic()
        wait_until(lambda: time.monotonic() - before > 2.3 + 0.2 * number, 6)
        box.redis.thaw()
        never(lambda: len(box.runs()) > number + 1, 0.2, "the owner, who needs a moment, renews first")
        owner[0].thaw()
        never(lambda: len(box.runs()) > number + 1, 1, "the owner has renewed")
        gate.open()
        wait_until(lambda: [e for d in daemons for e in d.events("job.succeeded", id=entry)], 15)
        box.wait_pending(0)
    assert {r[1:3] for r in box.runs()} == {(1, 1)}
    assert not [e for d in daemons for e in d.events("job.recovered")]


def test_frozen_in_the_midst_of_a_call_nobody_is_called_hung(box):
    """Redis stands still, then the daemon, its reaper in a call. When both go on the supervisor is first: the worker has not turned yet."""
    gate = box.gate()
    daemon = box.daemon({"exec": box.recording(": < " + gate.path), "lease": "2s"})
    entry = box.add()
    daemon.wait_event("job.started", id=entry)
    box.redis.freeze()
    before = time.monotonic()
    wait_until(lambda: time.monotonic() - before > 1.5, 6)  # the reaper asks every second
    daemon.freeze()
    wait_until(lambda: time.monotonic() - before > 4, 10)
    box.redis.thaw()
    send(daemon.pid, signal.SIGCONT)
    never(lambda: daemon.events("worker.hung"), 0.5)
    daemon.thaw()
    gate.open()
    assert daemon.wait_event("job.succeeded", id=entry)["attempt"] == 1
    assert not daemon.events("worker.exited") and not daemon.events("job.recovered")


def test_client_pause(box):
    daemon = box.daemon({"exec": box.recording()})
    box.r.execute_command("CLIENT", "PAUSE", "1500", "ALL")
    entry = box.add()
    daemon.wait_event("job.succeeded", id=entry, timeout=15)
    assert box.runs() == [(entry, 1, 1)]


def test_script_flush(box):
    daemon = box.daemon({"exec": ["/bin/sh", "-c", "exit 3"], "retry": {"initial": "100ms", "max_attempts": 3}})
    for _ in range(3):
        box.r.script_flush()
        entry = box.add()
        assert daemon.wait_event("job.dead", id=entry)["attempts"] == 3
    assert not daemon.events("worker.exited")


def test_flushall_while_idle(box):
    daemon = box.daemon({"exec": box.recording()}, workers=2)
    daemon.wait_event("job.succeeded", id=box.add())
    box.r.flushall()
    entry = box.add()
    daemon.wait_event("job.succeeded", id=entry, timeout=15)
    box.wait_done()


def test_flushall_while_a_handler_runs(box):
    gate = box.gate()
    daemon = box.daemon({"exec": box.recording(": < " + gate.path)})
    daemon.allow_errors = True
    entry = box.add()
    box.wait_runs(1)
    box.r.flushall()
    gate.open()
    fresh = box.add()
    daemon.wait_event("job.succeeded", id=fresh, timeout=20)
    box.wait_done()
    assert [r[0] for r in box.runs()] == [entry, fresh]


@pytest.mark.parametrize("parked", [False, True])
def test_group_destroyed_is_made_where_it_had_got_to(box, parked):
    """Never at 0 over entries already done; what was parked and running is put back, without waiting for any lease."""
    gate = box.gate()
    script = "case $FIELD_N in wait) : < %s;; fail) test $XACKD_ATTEMPT -gt 1;; esac" % gate.path
    daemon = box.daemon({"exec": box.recording(script), "lease": "60s", "retry": {"initial": "4s"}}, workers=2)
    done = box.add_many("work", 20)
    box.wait_done()
    running = box.add(fields={"n": "wait"})
    daemon.wait_event("job.started", id=running)
    failed = box.add(fields={"n": "fail"}) if parked else None
    if failed:
        daemon.wait_event("job.retry", id=failed)
    box.r.xgroup_destroy("work", "xackd")
    fresh = box.add(fields={"n": "new"})
    daemon.wait_event("job.succeeded", id=fresh, timeout=20)
    gate.open()
    daemon.wait_event("job.succeeded", id=running, timeout=20)
    if failed:
        assert daemon.wait_event("job.succeeded", id=failed, timeout=20)["attempt"] == 2
    box.wait_pending(0, timeout=20)
    again = [r[0] for r in box.runs()]
    assert all(again.count(entry) == 1 for entry in done + [running, fresh]), "nothing done was run again"


def test_group_destroyed_under_a_batch(box):
    """All that one process was given is put back, not only the oldest, which the slot names; without waiting for any lease."""
    gate = box.gate()
    script = "read -r first; cat >/dev/null; case $first in *'\"attempt\":1,'*) echo go >> %s; : < %s; exit 3;; esac" % (box.path("begun"), gate.path)
    daemon = box.daemon({"shell": script, "mode": "batch",
                         "batch": {"size": 5, "wait": "500ms"}, "lease": "60s", "retry": {"initial": "100ms"}})
    ids = box.add_many("work", 5)
    wait_until(lambda: box.lines("begun") and box.pending_count() == 5)
    box.r.xgroup_destroy("work", "xackd")
    # With nothing known to be pending the reaper looks every ten seconds.
    wait_until(lambda: box.groups() and box.pending_count() >= 1, 20, "the group is made again, and the oldest put back")
    gate.open()
    for entry in ids:
        daemon.wait_event("job.retry", id=entry)
    box.wait_pending(0, timeout=20)
    assert not daemon.events("job.lease_lost") and not box.dead()


@pytest.mark.parametrize("job", [{}, {"mode": "batch", "batch": {"size": 7, "wait": "10ms"}}], ids=["read ahead", "batch"])
def test_group_destroyed_again_and_again(box, job):
    """Each entry fails once, at any time relative to the destruction: every one of them is done in the end."""
    script = "code=0; while read -r line; do echo $line >> %s; case $line in *'\"attempt\":1,'*) code=3;; esac; done; exit $code" % box.path("seen")
    daemon = box.daemon(dict({"shell": script, "lease": "60s", "retry": {"initial": "10ms", "max_attempts": 0}}, **job))
    ids = box.add_many("work", 400)
    for round in range(8):
        wait_until(lambda: len(set(box.lines("seen"))) > 40 * round, 20)
        box.r.xgroup_destroy("work", "xackd")
        wait_until(lambda: [g for g in box.groups() if g["name"] == "xackd"], 20, "the group is made again", step=0.002)
    box.wait_done(timeout=60)
    done = {e["id"] for e in daemon.events() if e["event"] in ("job.succeeded", "job.stale_ack")}
    assert done == set(ids), "none is lost (a success that came before its entry was put back is told of as late)"


def test_a_lost_answer_of_take_and_a_destroyed_group(box):
    """Somebody took a due entry, never read the answer, and the group is gone: the row that take left in `due` brings it back."""
    daemon = box.daemon({"exec": box.recording("test $XACKD_ATTEMPT -gt 1"), "lease": "1s", "retry": {"initial": "60s"}})
    entry = box.add()
    daemon.wait_event("job.retry", id=entry)
    box.r.zadd(box.key("due"), {entry: 1}, xx=True)
    keys = ["work"] + [box.key(name) for name in ("due", "given", "note", "dead", "paused")]
    box.r.eval(script_text("take"), len(keys), *keys, "xackd", "elsewhere/default/0/0123456789abcdef", 1, PARKED)
    box.r.xgroup_destroy("work", "xackd")
    assert daemon.wait_event("job.succeeded", id=entry, timeout=20)["attempt"] == 2
    box.wait_pending(0)
    assert not box.r.exists(box.key("due"))


def test_what_is_no_id_among_the_due_stops_no_queue(box):
    daemon = box.daemon({"exec": box.recording("test $XACKD_ATTEMPT -gt 1")})
    box.r.zadd(box.key("due"), {"garbage": 1, "99999999999999999999-1": 2})
    entry = box.add()
    daemon.wait_event("job.succeeded", id=entry)
    wait_until(lambda: not box.r.exists(box.key("due")), what="it is dropped")
    assert not daemon.events("redis.error")


def test_stream_deleted(box):
    daemon = box.daemon({"exec": box.recording()})
    first = box.add()
    daemon.wait_event("job.succeeded", id=first)
    box.r.delete("work")
    entry = box.add()
    daemon.wait_event("job.succeeded", id=entry, timeout=20)
    assert [r[0] for r in box.runs()] == [first, entry]


def test_stream_replaced_by_another_type(box):
    """WRONGTYPE: said, retried slowly, no crash loop; the other queues go on."""
    daemon = box.daemon({"work": {"exec": box.recording()}, "fine": {"exec": ["/bin/true"], "pool": "b"}}, pools={"b": {"workers": 1}})
    daemon.allow_errors = True
    box.r.delete("work")
    box.r.set("work", "a string")
    daemon.wait_event("redis.error", timeout=20)
    assert "WRONGTYPE" in json.dumps(daemon.events("redis.error")) or "work" in json.dumps(daemon.events("redis.error"))
    daemon.wait_event("job.succeeded", id=box.add("fine"), timeout=20)
    assert not daemon.events("worker.exited") and len(daemon.events("redis.error")) < 5
    box.r.delete("work")
    entry = box.add()
    daemon.wait_event("job.succeeded", id=entry, timeout=40)


def test_out_of_memory(box):
    """Producers are refused; reading, acknowledging, parking and burying go on."""
    daemon = box.daemon({"exec": box.recording("test $XACKD_ATTEMPT -gt 1 || exit $FIELD_N")}, workers=1)
    gate_ids = [box.add(fields={"n": n}) for n in ("3", "65", "0")]
    daemon.wait_event("job.succeeded", id=gate_ids[2])
    parked = box.r.pipeline(transaction=True)
    for n in ("3", "65", "0", "3"):
        parked.xadd("work", {"n": n})
    parked.execute_command("CONFIG", "SET", "maxmemory", "1")
    ids = parked.execute()[:4]
    with pytest.raises(redis.exceptions.ResponseError, match="OOM|maxmemory"):
        box.r.xadd("work", {"n": "0"})
    for entry in (ids[0], ids[2], ids[3]):
        daemon.wait_event("job.succeeded", id=entry, timeout=20)
    daemon.wait_event("job.dead", id=ids[1])
    box.wait_pending(0)
    box.r.execute_command("CONFIG", "SET", "maxmemory", "0")
    daemon.wait_event("job.succeeded", id=box.add(fields={"n": "0"}), timeout=20)
    daemon.allow_errors = True


def refuse(box, kind):
    """Make Redis refuse writes in one of its ways; gives the function that ends it."""
    if kind == "READONLY":
        box.r.execute_command("REPLICAOF", "127.0.0.1", "1")
        return lambda: box.r.execute_command("REPLICAOF", "NO", "ONE")
    if kind == "NOREPLICAS":
        box.r.config_set("min-replicas-to-write", 1)
        return lambda: box.r.config_set("min-replicas-to-write", 0)
    if kind == "MISCONF":
        folder = box.path("gone")
        os.mkdir(folder)
        for key, value in (("dir", folder), ("save", "3600 1000000")):
            box.r.config_set(key, value)
        os.rmdir(folder)
        box.r.bgsave()
        wait_until(lambda: box.r.info("persistence")["rdb_last_bgsave_status"] == "err", 10)
        return lambda: box.r.config_set("stop-writes-on-bgsave-error", "no")
    box.r.config_set("busy-reply-threshold", 50)
    spinner = threading.Thread(target=spin, args=(box.redis.client(),))
    spinner.start()

    def kill():
        box.r.script_kill()
        spinner.join()

    def busy():
        try:
            box.r.ping()
        except redis.exceptions.ResponseError as error:
            return "BUSY" in str(error)
    wait_until(busy, 10)
    return kill


def spin(client):
    with pytest.raises(redis.exceptions.ResponseError):
        client.eval("while true do end", 0)


@pytest.mark.parametrize("kind", ["READONLY", "NOREPLICAS", "MISCONF", "BUSY"])
def test_refused_for_a_while(box, kind):
    """Kept, backed off, settled when Redis takes writes again; said once, not for each try."""
    gate = box.gate()
    daemon = box.daemon({"exec": box.recording(": < " + gate.path)}, workers=2)
    daemon.allow_errors = True
    entry = box.add()
    box.wait_runs(1)
    accept = refuse(box, kind)
    gate.open()
    never(lambda: daemon.events("job.failed") or daemon.events("worker.exited") or daemon.events("job.succeeded"), 2)
    said = [e for e in daemon.read_log() if e["event"] in ("redis.error", "redis.lost") and e["level"] != "debug"]
    assert 1 <= len(said) <= 4, said
    accept()
    daemon.wait_event("job.succeeded", id=entry, timeout=25)
    box.wait_pending(0, timeout=20)
    assert box.runs() == [(entry, 1, 1)]
    daemon.wait_event("job.succeeded", id=box.add(), timeout=25)


def test_loading_redis(box):
    """It answers, but LOADING: waited for."""
    box.add_many("ballast", 2000)
    daemon = box.daemon({"exec": box.recording()})
    daemon.wait_event("job.succeeded", id=box.add())
    daemon.allow_errors = True
    box.redis.args += ["--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024"]
    box.redis.restart()
    daemon.wait_event("job.succeeded", id=box.add(), timeout=30)
    assert not daemon.events("worker.exited") and len(box.runs()) == 2


def test_wrong_password_is_said_and_retried(box):
    server = box.redis_server(args=["--requirepass", "right"])
    box._client, box._client_of = server.client(password="right"), server
    box.write("password", "wrong", 0o600)
    daemon = box.daemon(redis={"url": server.url, "password_file": box.path("password")}, ready=False)
    daemon.allow_errors = True
    error = daemon.wait_event("redis.error")
    assert "password" in json.dumps(error).lower()
    assert "right" not in daemon.tail(400) and '"wrong"' not in daemon.tail(400)
    box.write("password", "right", 0o600)
    daemon.wait_event("daemon.ready", timeout=40)
    entry = box.r.xadd("work", {"a": "1"})
    daemon.wait_event("job.succeeded", id=entry)


def test_missing_password_is_said(box):
    server = box.redis_server(args=["--requirepass", "right"])
    box._client, box._client_of = server.client(password="right"), server
    daemon = box.daemon(redis={"url": server.url}, ready=False)
    daemon.allow_errors = True
    assert "password" in json.dumps(daemon.wait_event("redis.error")).lower()
    assert daemon.stop(12) in (0, 1)


def test_permission_denied_is_said_and_not_a_crash_loop(box):
    box.r.execute_command("ACL", "SETUSER", "worker", "on", ">pw", "~*", "&*", "+@all", "-xack")
    daemon = box.daemon(redis={"url": box.redis.url, "username": "worker", "password_env": "PW"}, env={"PW": "pw"}, ready=False)
    daemon.allow_errors = True
    daemon.wait_event("daemon.ready")
    box.add()
    error = daemon.wait_event("redis.error", timeout=20)
    assert "xack" in json.dumps(error).lower()
    assert not daemon.events("worker.exited")
    box.r.execute_command("ACL", "SETUSER", "worker", "+xack")
    box.wait_pending(0, timeout=40)


@pytest.mark.parametrize("denied", [["-client|unblock", "-client|kill"], ["-client|id"], ["-client"]], ids=["some", "ids", "all"])
def test_without_client_unblock_and_kill(box, denied):
    """ACL forbids waking and killing of clients, or to know which they are: a little slower, but everything works. Nobody blocks for ten seconds."""
    box.r.execute_command("ACL", "SETUSER", "worker", "on", ">pw", "~*", "&*", "+@all", *denied)
    daemon = box.daemon({"exec": box.recording("test $XACKD_ATTEMPT -gt 1"), "retry": {"initial": "500ms"}},
                        redis={"url": box.redis.url, "username": "worker", "password_env": "PW"}, env={"PW": "pw"})
    daemon.allow_errors = True
    entry = box.add()
    daemon.wait_event("job.succeeded", id=entry, timeout=20)
    again = daemon.events("job.started", id=entry)[1]
    assert milliseconds(again["ts"]) - daemon.events("job.retry", id=entry)[0]["due_ms"] < 5000
    assert daemon.stop() == 0


def test_stop_while_redis_is_away(box):
    """It ends within drain_timeout + kill_grace + 5 s, with 1 if an outcome could not be settled."""
    gate = box.gate()
    daemon = box.daemon({"exec": box.recording(": < " + gate.path)}, drain_timeout="1s")
    daemon.allow_errors = True
    entry = box.add()
    box.wait_runs(1)
    box.redis.kill()
    gate.open()
    daemon.wait_event("redis.lost")
    before = time.monotonic()
    assert daemon.stop(12) == 1
    assert time.monotonic() - before < 7.5 * SLOW
    box.redis.start()
    again = box.again(daemon)
    assert again.wait_event("job.succeeded", id=entry, timeout=20)["attempt"] == 1, "a stop uses up no attempt"


def test_max_clients(box):
    """No connection left: the daemon waits its turn."""
    holders = [box.redis.client() for _ in range(6)]
    for holder in holders:
        holder.ping()
    box.r.execute_command("CONFIG", "SET", "maxclients", str(int(box.r.info("clients")["connected_clients"])))
    daemon = box.daemon(ready=False)
    daemon.allow_errors = True
    wait_until(lambda: [e for e in daemon.read_log() if e["event"].startswith("redis.")], 15)
    for holder in holders:
        holder.connection_pool.disconnect()
    box.r.execute_command("CONFIG", "SET", "maxclients", "1000")
    daemon.wait_event("daemon.ready", timeout=20)
    daemon.wait_event("job.succeeded", id=box.add())
