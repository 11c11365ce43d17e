"""From XADD to XACK: fetch, run, acknowledge; jobs, streams, groups and pools."""
import json
import re
import socket
import time

import pytest

from harness import PARKED, milliseconds, never, wait_until


def test_entry_runs_and_is_acknowledged(box):
    daemon = box.daemon({"exec": box.recording()})
    entry = box.add()
    done = daemon.wait_event("job.succeeded", id=entry)
    assert box.runs() == [(entry, 1, 1)]
    box.wait_done()
    assert box.r.xlen("work") == 1, "what is done stays in the stream"
    assert not box.r.exists(box.key("due"), box.key("given"), box.key("note"), box.key("dead"))
    assert (done["job"], done["stream"], done["group"], done["attempt"], done["worker"], done["host"], done["level"]) == (
        "work", "work", "xackd", 1, "default/0", "h1", "info")
    for name in ("duration_ms", "wait_ms", "total_ms", "user_ms", "sys_ms", "maxrss_kb", "pid"):
        assert isinstance(done[name], int) and done[name] >= 0, name
    assert done["maxrss_kb"] > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", done["ts"])
    started = daemon.wait_event("job.started", id=entry)
    assert started["level"] == "debug" and 0 <= started["wait_ms"] < 5000
    assert started["pid"] == done["pid"] == int(box.lines()[0].split()[3])
    assert milliseconds(started["ts"]) <= milliseconds(done["ts"])


def test_each_entry_runs_exactly_once(box):
    ids = box.add_many("work", 120)
    daemon = box.daemon({"exec": box.recording()}, workers=4)
    more = box.add_many("work", 30)
    box.wait_done()
    assert sorted(run[0] for run in box.runs()) == sorted(ids + more)
    assert {run[1] for run in box.runs()} == {1}
    # Read ahead and given back before anyone waited for it: another delivery, the same first attempt.
    given_back = {e["id"] for e in daemon.events("job.released")}
    assert {run[0] for run in box.runs() if run[2] > 1} <= given_back
    wait_until(lambda: len(daemon.events("job.succeeded")) == 150)
    for bad in ("job.failed", "job.recovered", "job.stale_ack", "job.lease_lost"):
        assert not daemon.events(bad)
    assert len({e["worker"] for e in daemon.events("job.succeeded")}) > 1, "several workers took part"


def test_producer_need_not_wait_for_the_daemon(box):
    entry = box.add()
    daemon = box.daemon()
    daemon.wait_event("job.succeeded", id=entry)


def test_new_group_starts_at_the_beginning_by_default_and_at_the_end_with_dollar(box):
    old = box.add("first"), box.add("second")
    daemon = box.daemon({"first": {"exec": ["/bin/true"]}, "second": {"exec": ["/bin/true"], "start": "$", "pool": "b"}},
                        pools={"b": {"workers": 1}})
    daemon.wait_event("job.succeeded", job="first", id=old[0])
    new = box.add("second")
    daemon.wait_event("job.succeeded", job="second", id=new)
    box.wait_done("second")
    assert not daemon.events("job.started", job="second", id=old[1])


def test_existing_group_is_taken_where_it_stands(box):
    first, second = box.add(), box.add()
    box.r.xgroup_create("work", "xackd", first)
    daemon = box.daemon({"exec": box.recording()})
    daemon.wait_event("job.succeeded", id=second)
    assert box.runs() == [(second, 1, 1)]


def test_group_of_the_file_and_of_a_job(box):
    entry = box.add()
    daemon = box.daemon({"one": {"stream": "work", "exec": box.recording(name="one")},
                         "two": {"stream": "work", "group": "other", "pool": "b", "exec": box.recording(name="two")}},
                        group="mine", pools={"b": {"workers": 1}})
    daemon.wait_event("job.succeeded", job="one", id=entry, group="mine")
    daemon.wait_event("job.succeeded", job="two", id=entry, group="other")
    assert {g["name"] for g in box.groups()} == {"mine", "other"}
    assert box.runs("one") == box.runs("two") == [(entry, 1, 1)]


def test_jobs_share_a_stream_and_the_first_match_wins(box):
    daemon = box.daemon({
        "thumb": {"stream": "work", "match": {"type": "thumb"}, "exec": box.recording(name="thumb")},
        "both": {"stream": "work", "match": {"type": "mail", "urgent": "yes"}, "exec": box.recording(name="both")},
        "mail": {"stream": "work", "match": {"type": "mail"}, "exec": box.recording(name="mail")}})
    thumb = box.add(fields={"x": "1", "type": "thumb"})
    mail = box.add(fields={"type": "mail"})
    both = box.add(fields={"urgent": "yes", "type": "mail"})
    first_counts = box.add(fields=[("type", "thumb"), ("type", "mail")])
    box.wait_done()
    daemon.wait_event("job.succeeded", id=first_counts, job="thumb")
    assert [r[0] for r in box.runs("thumb")] == [thumb, first_counts]
    assert [r[0] for r in box.runs("mail")] == [mail]
    assert [r[0] for r in box.runs("both")] == [both]


def test_unmatched_entry_becomes_a_dead_letter(box):
    daemon = box.daemon({"thumb": {"stream": "work", "match": {"type": "thumb"}, "exec": ["/bin/true"]}})
    entry = box.add(fields={"type": "other", "n": "7"})
    event = daemon.wait_event("job.dead", id=entry)
    assert event["reason"] == "no_job" and event["stream"] == "work" and "job" not in event
    letter = box.wait_dead()[0]
    assert letter["reason"] == "no_job" and letter["id"] == entry and "job" not in letter
    assert letter["pairs"] == [(b"type", b"other"), (b"n", b"7")]
    box.wait_pending(0)


def test_unmatched_entry_is_acknowledged_if_asked_for(box):
    box.daemon({"thumb": {"stream": "work", "match": {"type": "thumb"}, "exec": ["/bin/true"]}}, unmatched="ack")
    box.add(fields={"type": "other"})
    box.wait_done()
    assert not box.r.exists(box.key("dead"))


def test_streams_of_a_pool_hoard_nothing(box):
    """One worker, three streams: while it runs one entry it holds no other."""
    streams = ["s1", "s2", "s3"]
    gate = box.gate()
    daemon = box.daemon({s: {"exec": box.recording(": < %s" % gate.path)} for s in streams})
    pipe = box.r.pipeline(transaction=True)
    for stream in reversed(streams):
        for _ in range(3):
            pipe.xadd(stream, {"a": "1"})
    pipe.execute()
    daemon.wait_event("job.started")

    def held():
        rows = [row for s in streams for row in box.pending(s).values()]
        return [row for row in rows if row[0] != PARKED]
    wait_until(lambda: len(held()) == 1)
    never(lambda: len(held()) > 1, 0.5)
    gate.open()
    for stream in streams:
        box.wait_done(stream)
    assert len(box.runs()) == 9 and {r[1] for r in box.runs()} == {1}, "a surplus entry loses no attempt"


def test_weights_of_streams(box):
    box.add_many("heavy", 60)
    box.add_many("light", 60)
    box.daemon({"heavy": {"weight": 4, "exec": box.recording("echo heavy >> %s" % box.path("order"))},
                "light": {"weight": 1, "exec": box.recording("echo light >> %s" % box.path("order"))}})
    box.wait_done("heavy")
    box.wait_done("light")
    first = box.lines("order")[:50]
    assert 32 <= first.count("heavy") <= 48, "4 to 1 while both wait, and none starves: %s" % first


def test_pools_have_workers_of_their_own(box):
    gate = box.gate()
    daemon = box.daemon({"slow": {"exec": ["/bin/sh", "-c", ": < " + gate.path], "pool": "video"}, "fast": {"exec": ["/bin/true"]}},
                        workers=2, pools={"video": {"workers": 1}})
    box.add("slow")
    daemon.wait_event("job.started", job="slow", worker="video/0")
    fast = box.add("fast")
    assert daemon.wait_event("job.succeeded", id=fast)["worker"].startswith("default/")
    assert sorted(e["worker"] for e in daemon.events("worker.started")) == ["default/0", "default/1", "video/0"]


def test_paused_queue_starts_nothing_new_and_nothing_due(box):
    daemon = box.daemon({"work": {"exec": box.recording("test $XACKD_ATTEMPT -gt 1")}, "free": {"exec": ["/bin/true"]}})
    parked = box.add()
    daemon.wait_event("job.retry", id=parked)
    daemon.wait_event("job.succeeded", id=parked)
    box.r.set(box.key("paused"), "1")
    # The reaper looks at least every ten seconds; what it has not seen yet may still start one entry a worker.
    paused = {row["stream"]: row["paused"] for row in box.ctl("queues", "--json").json}
    assert paused == {"work": True, "free": False}
    daemon.wait_event("job.succeeded", id=box.add("free"))
    entry = None

    def held_back():
        nonlocal entry
        before = len(box.runs())
        entry = box.add()
        daemon.wait_event("job.succeeded", id=box.add("free"))
        return len(box.runs()) == before and not daemon.events("job.started", id=entry)
    wait_until(held_back, 15, "the pause is in force")
    never(lambda: daemon.events("job.started", id=entry), 1)
    box.r.delete(box.key("paused"))
    daemon.wait_event("job.succeeded", id=entry, timeout=15)


@pytest.mark.parametrize("streams", [["work"], ["work", "free"]], ids=["one", "two"])
def test_a_pause_by_hand_holds_at_once_where_nothing_goes_on(box, streams):
    """Its workers wait in a read, and no reaper has looked yet: what the read brings is given back, with its attempt."""
    daemon = box.daemon({s: {"exec": box.recording()} for s in streams}, workers=2)
    first = box.add()
    daemon.wait_event("job.succeeded", id=first)
    since = time.monotonic()
    wait_until(lambda: time.monotonic() - since > 0.6, 5)
    box.r.set(box.key("paused"), "by hand")
    held = box.add_many("work", 5)
    wait_until(lambda: box.pending_count() >= 1, 5, "an idle worker was given one")
    for _ in range(3 if "free" in streams else 0):
        daemon.wait_event("job.succeeded", stream="free", id=box.add("free"))
    never(lambda: any(daemon.events("job.started", stream="work", id=entry) for entry in held), 1.5)
    assert box.pending_count() <= 2, "a backlog that is paused is not fetched"
    box.r.delete(box.key("paused"))
    for entry in held:
        daemon.wait_event("job.succeeded", stream="work", id=entry, attempt=1, timeout=20)
    assert sorted(r[0] for r in box.runs() if r[0] in held) == sorted(held)


@pytest.mark.parametrize("paused, free", [("a", "b"), ("b", "a")])
def test_paused_queue_does_not_keep_its_neighbours_from_work(box, paused, free):
    """Whichever comes first: a wake for a due retry looks at all queues, and ends although one of them is closed."""
    daemon = box.daemon({s: {"exec": box.recording("test $XACKD_ATTEMPT -gt 1 -o $FIELD_N = quick"), "retry": {"initial": "400ms"}}
                         for s in ("a", "b")})
    box.ctl("pause", paused)
    never_run = box.add(paused)
    for _ in range(3):
        entry = box.add(free)
        daemon.wait_event("job.succeeded", id=entry, attempt=2, timeout=5)
        before = box.r.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]
        daemon.wait_event("job.succeeded", id=box.add(free, {"n": "quick"}), timeout=5)
        never(lambda: daemon.events("job.started", job=paused, id=never_run), 0.3)
        calls = box.r.info("commandstats")["cmdstat_evalsha"]["calls"] - before
        assert calls < 60, "%d scripts in a third of a second: it spins" % calls
    box.ctl("resume", paused)
    daemon.wait_event("job.succeeded", job=paused, id=never_run, timeout=5)


def test_backlog_of_a_paused_queue_stays_where_it_is(box):
    """`xackctl pause` is in force at once; its backlog is neither run nor fetched and given back."""
    daemon = box.daemon({s: {"exec": box.recording()} for s in ("a", "b")})
    daemon.wait_event("job.succeeded", id=box.add("a"))
    box.ctl("pause", "b")
    box.add_many("b", 500)
    for _ in range(20):
        daemon.wait_event("job.succeeded", id=box.add("a"), timeout=5)
    assert not daemon.events("job.started", stream="b")
    assert box.pending_count("b") < 5, "%d of a paused backlog were fetched and parked" % box.pending_count("b")


def test_paused_queue_of_its_own_is_not_fetched(box):
    box.r.set(box.key("paused"), "1")
    entry = box.add()
    daemon = box.daemon({"exec": box.recording()})
    never(lambda: box.pending_count() or box.runs(), 1)
    box.r.delete(box.key("paused"))
    daemon.wait_event("job.succeeded", id=entry, timeout=15)
    assert box.runs() == [(entry, 1, 1)]


def test_consumer_names_and_client_names(box):
    gate = box.gate()
    daemon = box.daemon({"exec": box.recording(": < " + gate.path)}, workers=2)
    entry = box.add()
    daemon.wait_event("job.started", id=entry)
    consumer, delivery = box.pending()[entry]
    assert re.fullmatch(r"h1/default/[01]/[0-9a-f]{16}", consumer) and delivery == 1


def test_host_row(box):
    daemon = box.daemon(workers=3)
    row = json.loads(box.r.hget(box.key("hosts"), "h1"))
    assert row.keys() >= {"boot", "machine", "pid_ns", "pid", "started", "version", "workers", "lease_ms", "seen_ms"}
    assert row["pid"] == daemon.pid and row["lease_ms"] == 2000 and row["workers"] == 3
    first = row["seen_ms"]
    wait_until(lambda: json.loads(box.r.hget(box.key("hosts"), "h1"))["seen_ms"] > first, 5, "the row is renewed")
    assert daemon.stop() == 0
    assert not box.r.hexists(box.key("hosts"), "h1"), "a daemon that ends takes its row away"


def test_hash_tag_of_the_keys(box):
    daemon = box.daemon({"work": {"stream": "a{b}c", "exec": ["/bin/false"], "retry": {"initial": "1h"}}})
    entry = box.add("a{b}c")
    daemon.wait_event("job.retry", id=entry)
    assert box.r.zscore("xackd:{b}:a{b}c:xackd:due", entry)
    box.ctl("dead", "ls", "--json")


def test_ids_that_are_no_time(box):
    daemon = box.daemon({"exec": box.recording()})
    entry = box.add(id="0-7")
    late = box.add(id="9999999999999999-1")
    assert daemon.wait_event("job.succeeded", id=entry)["wait_ms"] is None
    assert daemon.wait_event("job.succeeded", id=late)["wait_ms"] is None
    assert box.runs() == [(entry, 1, 1), (late, 1, 1)]


def test_default_name_is_the_hosts(box):
    config = box.config()
    del config["name"]
    box.daemon(ready=False, text=json.dumps(config))
    daemon = box.daemons[-1].wait_ready()
    assert daemon.events("daemon.ready")[0]["host"] == socket.gethostname()


@pytest.mark.parametrize("database", [0, 3])
def test_database_of_the_url(box, database):
    daemon = box.daemon(redis={"url": box.redis.url + "?db=%d" % database})
    entry = box.redis.client(db=database).xadd("work", {"a": "1"})
    daemon.wait_event("job.succeeded", id=entry)


def test_tcp_url(box):
    server = box.redis_server(tcp=True)
    daemon = box.daemon(redis={"url": server.tcp_url})
    daemon.wait_event("job.succeeded", id=box.add())


@pytest.mark.parametrize("how", ["file", "env"])
def test_password(box, how):
    server = box.redis_server(args=["--requirepass", "open sesame"])
    box._client, box._client_of = server.client(password="open sesame"), server
    box.write("password", "open sesame\n", 0o600)
    redis = {"url": server.url, "password_file": "password"} if how == "file" else {"url": server.url, "password_env": "SECRET"}
    daemon = box.daemon({"exec": ["/bin/sh", "-c", "env > %s" % box.path("env")]}, redis=redis, env={"SECRET": "open sesame"})
    entry = box.r.xadd("work", {"a": "1"})
    daemon.wait_event("job.succeeded", id=entry)
    assert "sesame" not in box.read("env"), "no handler sees the password"
    with open("/proc/%d/cmdline" % daemon.pid, "rb") as line:
        assert b"sesame" not in line.read()
