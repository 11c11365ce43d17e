"""xackctl: every verb's JSON shape, exit codes, and what it says to people.

Most of it needs no daemon: the queues are brought into each state by hand, key by key, as the protocol has them.
"""
import base64
import itertools
import json
import os
import pty
import re
import select
import subprocess
import time

import pytest

from harness import PARKED, SLOW, XACKCTL, flat, wait_until

UNKNOWN = "1700000000000-0"
QUEUE_KEYS = {"stream", "group", "jobs", "length", "waiting", "running", "parked", "later", "dead", "oldest_waiting_ms",
              "oldest_running_ms", "paused", "suspended", "held"}
NUMBERS = itertools.count(1000000)  # a dead letter's ID is never an entry's
DEAD_KEYS = {"dead_id", "id", "job", "reason", "detail", "attempts", "exit", "signal", "stderr", "at_ms", "fields"}


class Desk:
    """A configuration without a daemon, and entries in every state."""

    def __init__(self, box, jobs=None, **over):
        self.box = box
        self.file = box.write_config(box.config(jobs, **over), "desk.yaml")
        for stream in {job.get("stream", name) for name, job in box.config(jobs)["jobs"].items()}:
            box.r.xgroup_create(stream, "xackd", id="0", mkstream=True)

    def ctl(self, *args, **how):
        return self.box.ctl(*args, config=self.file, **how)

    def json(self, *args, status=0, **how):
        done = self.ctl(*args, "--json", status=status, **how)
        return json.loads(done.text)

    def fetch(self, consumer="h1/default/0/0123456789abcdef", stream="work", count=1):
        rows = self.box.r.xreadgroup("xackd", consumer, {stream: ">"}, count=count)
        return [row[0] for row in rows[0][1]] if rows else []

    def park(self, entry, due_in_ms=3600000, note=None, stream="work", given=0):
        self.box.r.xclaim(stream, "xackd", PARKED, 0, [entry], justid=True)
        self.box.r.zadd(self.box.key("due", stream), {entry: now_ms(self.box) + due_in_ms})
        if note:
            self.box.r.hset(self.box.key("note", stream), entry, note if isinstance(note, str) else json.dumps(note))
        if given:
            self.box.r.hset(self.box.key("given", stream), entry, given)

    def parked(self, stream="work", fields=None, **how):
        entry = self.box.add(stream, fields)
        assert self.fetch(stream=stream) == [entry]
        self.park(entry, stream=stream, **how)
        return entry

    def bury(self, stream="work", fields=None, entry=None, **meta):
        """An entry that became a dead letter; gives (dead_id, id)."""
        if entry is None:
            entry = self.box.add(stream, fields)
            assert self.fetch(stream=stream, count=10)
        rows = self.box.raw("XRANGE", stream, entry, entry)
        values = {"id": entry, "stream": stream, "group": "xackd", "job": "work", "reason": "exit", "detail": "exit 3",
                  "attempts": 5, "exit": 3, "stderr": "it broke\n", "host": "h1", "at": now_ms(self.box)}
        values.update(meta)
        pairs = [("xackd." + name, value) for name, value in values.items() if value is not None]
        own = "%d-%d" % (now_ms(self.box), next(NUMBERS))
        dead_id = self.box.raw("XADD", self.box.key("dead", stream), own, "xackd.meta", len(pairs), *flat(pairs),
                               *(rows[0][1] if rows else [])).decode()
        self.box.r.xack(stream, "xackd", entry)
        self.box.r.hset(self.box.key("note", stream), entry, json.dumps(
            {"reason": values["reason"], "detail": values["detail"], "dead_id": dead_id, "delivery": 5}, separators=(",", ":")))
        return dead_id, entry


def now_ms(box):
    seconds, micro = box.r.time()
    return seconds * 1000 + micro // 1000


def stored(box, entry, stream="work"):
    values = box.raw("XRANGE", stream, entry, entry)[0][1]
    return list(zip(values[::2], values[1::2]))


@pytest.fixture
def desk(box):
    return Desk(box)


@pytest.fixture
def shared(box):
    """Two jobs on one queue, one of their own."""
    return Desk(box, {"thumb": {"stream": "media", "match": {"type": "thumb"}, "exec": ["/bin/true"]},
                      "video": {"stream": "media", "match": {"type": "video"}, "exec": ["/bin/true"]},
                      "work": {"exec": ["/bin/true"]}})


# ---- the command line ----

def run(*args, **how):
    return subprocess.run([XACKCTL] + list(args), capture_output=True, text=True, timeout=20 * SLOW, stdin=subprocess.DEVNULL, **how)


def test_help_and_version(box):
    done = run("--help")
    assert done.returncode == 0 and "dead requeue" in done.stdout and "--json" in done.stdout
    assert re.fullmatch(r"xackctl \S+\n", run("--version").stdout)
    verbs = re.findall(r"^  ((?:dead )?[a-z]+) ", done.stdout, re.M)
    assert len(verbs) > 10 and done.stdout.isascii()
    for verb in verbs:
        said = run(*verb.split(), "--help")
        assert said.returncode == 0 and said.stdout.startswith("Usage: xackctl " + verb), verb


@pytest.mark.parametrize("args", [
    [], ["nonsense"], ["dead"], ["dead", "nonsense"], ["queues", "extra"], ["explain"], ["explain", "no-id"], ["--nonsense"],
    ["queues", "--reason", "exit"], ["-o", "yaml", "queues"], ["dead", "ls", "--limit", "0"], ["dead", "ls", "--older-than", "5"],
    ["dead", "ls", "--match", "regex"], ["dead", "ls", "--match", "a=("], ["add", "work", "novalue"], ["add", "work", "=x"],
    ["add", "work"], ["dead", "purge"], ["dead", "requeue", "--all", UNKNOWN], ["dead", "show", "x"],
], ids=" ".join)
def test_usage(desk, args):
    done = desk.ctl(*args, status=64)
    assert done.errors and not done.text


def test_options_stand_before_or_behind_the_verb(desk):
    desk.box.add()
    for args in (["--json", "queues"], ["queues", "--json"], ["-o", "json", "queues"], ["queues", "-ojson"]):
        assert json.loads(desk.ctl(*args).text)[0]["waiting"] == 1
    line = desk.ctl("queues", "-o", "jsonl").text
    assert line.count("\n") == 1 and json.loads(line)["stream"] == "work"
    assert run("queues", "-c", desk.file).returncode == 0


def test_configuration_that_is_wrong(box):
    file = box.write("wrong.yaml", "jobs: { work: { exec: [ /bin/true ], nonsense: 1 } }\n")
    done = box.ctl("queues", config=file, status=78)
    assert "nonsense" in done.errors and "wrong.yaml:1:" in done.errors
    assert box.ctl("queues", config=box.path("missing.yaml"), status=78).errors


def test_redis_away(box):
    file = box.write_config(box.config(redis={"url": "unix://" + box.path("nobody.sock")}), "away.yaml")
    for args in (["queues"], ["add", "work", "a=1"], ["explain", UNKNOWN], ["dead", "ls"], ["retries"], ["pause"], ["retry", UNKNOWN]):
        done = box.ctl(*args, config=file, status=69)
        assert "Redis" in done.errors and "nobody.sock" in done.errors, args
    status = json.loads(box.ctl("status", "--json", config=file, status=69).text)
    assert status["daemon"] is None and status["queues"] is None


def test_a_queue_that_redis_refuses_does_not_hide_the_others(shared):
    box = shared.box
    box.r.delete("media")
    box.r.set("media", "no stream")
    waiting = box.add("work")
    done = shared.ctl("queues", "--json", status=1)
    media, work = json.loads(done.text)
    assert "media/xackd" in done.errors and "WRONGTYPE" in done.errors
    assert media.keys() == QUEUE_KEYS and media["stream"] == "media" and media["waiting"] is None and work["waiting"] == 1
    assert len(shared.json("status", status=1)["queues"]) == 2
    assert shared.json("explain", waiting)["state"] == "waiting"
    shared.ctl("explain", UNKNOWN, status=1)
    dead = shared.bury(entry=waiting)[0] if shared.fetch() else None
    box.r.set(box.key("dead", "media"), "no stream")
    done = shared.ctl("dead", "ls", "--json", status=1)
    assert [row["dead_id"] for row in json.loads(done.text)] == [dead] and "media/xackd" in done.errors
    assert "media/xackd" in shared.ctl("add", "thumb", status=1).errors


def test_redis_that_is_full_says_so(desk):
    desk.box.r.config_set("maxmemory", 1)
    done = desk.ctl("add", "work", "a=1", status=69)
    assert "cannot do it now" in done.errors and "maxmemory" in done.errors
    assert desk.json("queues")[0]["length"] == 0


def test_daemon_away(desk):
    for verb in ("workers", "running", "suspended"):
        done = desk.ctl(verb, status=69)
        assert "daemon does not run" in done.errors
    status = desk.json("status")
    assert status["daemon"] is None and status["workers"] is None and status["queues"][0]["stream"] == "work"
    assert "does not run" in desk.ctl("status").text


def test_password_from_a_file(box):
    server = box.redis_server(args=["--requirepass", "secret words"])
    secret = box.write("password", "secret words\n", 0o600)
    file = box.write_config(box.config(redis={"url": server.url, "password_file": secret}), "with.yaml")
    assert box.ctl("add", "work", "a=1", config=file).text
    assert "secret" not in box.ctl("queues", config=box.write_config(box.config(), "without.yaml"), status=69).errors


# ---- add ----

def test_add_prints_the_id(desk):
    entry = desk.ctl("add", "work", "a=1", "b=two words=x", "empty=").text.strip()
    assert stored(desk.box, entry) == [(b"a", b"1"), (b"b", b"two words=x"), (b"empty", b"")]
    assert re.fullmatch(r"\d+-\d+", desk.json("add", "work", "a=1")["id"])
    assert "no job" in desk.ctl("add", "nowork", "a=1", status=1).errors


def test_add_takes_bytes_from_files_and_standard_input(desk):
    value = bytes(range(256)) * 5000
    with open(desk.box.path("value"), "wb") as file:
        file.write(value)
    entry = desk.ctl("add", "work", "file=@" + desk.box.path("value"), "input=@-", stdin=b"\0\xff\n").text.strip()
    assert stored(desk.box, entry) == [(b"file", value), (b"input", b"\0\xff\n")]
    desk.ctl("add", "work", "a=@-", "b=@-", status=64)
    assert "missing" in desk.ctl("add", "work", "a=@" + desk.box.path("missing"), status=1).errors


def test_add_fills_in_what_the_match_asks_for(shared):
    entry = shared.ctl("add", "video", "a=1").text.strip()
    assert stored(shared.box, entry, "media") == [(b"a", b"1"), (b"type", b"video")]
    assert stored(shared.box, shared.ctl("add", "thumb").text.strip(), "media") == [(b"type", b"thumb")]
    assert stored(shared.box, shared.ctl("add", "thumb", "type=thumb").text.strip(), "media") == [(b"type", b"thumb")]
    assert "job video" in shared.ctl("add", "thumb", "type=video", status=64).errors
    assert "no job" in shared.ctl("add", "thumb", "type=else", status=64).errors


# ---- queues, status, jobs ----

def test_queues(shared):
    box = shared.box
    shared.parked()
    box.add_many("work", 4)
    running = shared.fetch(count=2)
    shared.bury("media", {"type": "thumb"})
    media, work = shared.json("queues")
    assert media.keys() == work.keys() == QUEUE_KEYS
    assert (media["stream"], media["group"], media["jobs"], media["dead"]) == ("media", "xackd", ["thumb", "video"], 1)
    assert (work["length"], work["waiting"], work["parked"], work["dead"], work["later"]) == (5, 2, 1, 0, 0)
    assert work["running"] == 2 == len(running)
    assert 0 <= work["oldest_waiting_ms"] < 60000 and media["oldest_waiting_ms"] is None
    assert work["paused"] is False and work["suspended"] is None and work["oldest_running_ms"] is None
    assert [row["stream"] for row in shared.json("queues", "--job", "video")] == ["media"]
    assert [row["stream"] for row in shared.json("queues", "--queue", "work/xackd")] == ["work"]
    shared.ctl("queues", "--job", "nonsense", status=1)
    shared.ctl("queues", "--queue", "work/nonsense", status=1)
    assert [row["stream"] for row in shared.json("status")["queues"]] == ["media", "work"]


def test_queues_whose_figures_redis_cannot_tell(desk):
    """Someone deleted entries behind last-delivered-id: Redis no longer knows the lag."""
    ids = desk.box.add_many("work", 5)
    desk.fetch()
    desk.box.r.xdel("work", ids[2])
    assert desk.json("queues")[0]["waiting"] in (None, 3)


def test_a_queue_that_is_not_there_yet(box):
    file = box.write_config(box.config(), "new.yaml")
    row = json.loads(box.ctl("queues", "--json", config=file).text)[0]
    assert (row["length"], row["waiting"], row["parked"], row["dead"], row["running"]) == (0, 0, 0, 0, 0)
    box.add()
    row = json.loads(box.ctl("queues", "--json", config=file).text)[0]
    assert (row["length"], row["waiting"]) == (1, 1)


def test_id_that_is_no_time_has_no_age(desk):
    desk.box.add(id="0-7")
    assert desk.json("queues")[0]["oldest_waiting_ms"] is None


def test_jobs(shared):
    rows = {row["job"]: row for row in shared.json("jobs")}
    assert rows.keys() == {"thumb", "video", "work"}
    assert rows["thumb"]["stream"] == "media" and rows["thumb"]["match"] == {"type": "thumb"}
    assert rows["work"]["pool"] == "default" and rows["work"]["suspended"] is None


# ---- explain ----

def test_explain_unknown(desk):
    desk.box.add()
    shown = desk.json("explain", UNKNOWN, status=1)
    assert shown["id"] == UNKNOWN and shown["state"] == "unknown"


def test_explain_waiting(desk):
    entry = desk.box.add(fields={"a": "1"})
    shown = desk.json("explain", entry)
    assert (shown["state"], shown["stream"], shown["group"], shown["job"]) == ("waiting", "work", "xackd", "work")
    assert shown["fields"] == {"a": "1"} and shown["attempt"] is None and shown["paused"] is False
    assert "waiting" in desk.ctl("explain", entry).text


def test_explain_running_elsewhere(desk):
    entry = desk.box.add()
    desk.fetch("other/default/2/0123456789abcdef")
    shown = desk.json("explain", entry)
    assert (shown["state"], shown["host"], shown["worker"], shown["attempt"]) == ("running", "other", "default/2", 1)
    assert shown["consumer"] == "other/default/2/0123456789abcdef" and shown["idle_ms"] >= 0
    assert shown["pid"] is None and shown["running_ms"] is None


def test_explain_running_under_a_foreign_consumer(desk):
    entry = desk.box.add()
    desk.fetch("someone")
    shown = desk.json("explain", entry)
    assert (shown["state"], shown["consumer"], shown["worker"]) == ("running", "someone", None)


def test_explain_parked(desk):
    entry = desk.parked(note={"reason": "exit", "detail": "exit 3", "exit": 3, "stderr": "boom\x1b[31m\n", "attempt": 1})
    shown = desk.json("explain", entry)
    assert shown["state"] == "parked" and shown["attempt"] == 1
    assert 3500000 < shown["due_in_ms"] <= 3600000 and shown["due_ms"] > now_ms(desk.box)
    assert shown["last_failure"]["reason"] == "exit" and shown["reason"] == "exit" and shown["detail"] == "exit 3"
    text = desk.ctl("explain", entry).text
    assert "exit 3" in text and "\x1b" not in text and "\\x1b[31m" in text


def test_explain_counts_what_was_given_back(desk):
    entry = desk.parked(given=1)
    assert desk.json("explain", entry)["attempt"] == 0


def test_explain_with_a_note_that_is_nonsense(desk):
    entry = desk.parked(note="[1,{")
    shown = desk.json("explain", entry)
    assert shown["state"] == "parked" and shown["last_failure"] is None


def test_explain_dead(desk):
    dead_id, entry = desk.bury(fields={"a": "1"})
    shown = desk.json("explain", entry)
    assert (shown["state"], shown["dead_id"], shown["reason"], shown["attempt"], shown["job"]) == ("dead", dead_id, "exit", 5, "work")
    assert shown["stderr"] == "it broke\n" and shown["fields"] == {"a": "1"}
    assert desk.json("explain", dead_id) == shown, "the dead letter's own ID says the same"
    desk.box.r.delete(desk.box.key("note"))
    assert desk.json("explain", entry)["dead_id"] == dead_id, "also without the hint"


def test_explain_acknowledged_and_gone(desk):
    first, second = desk.box.add(), desk.box.add()
    desk.fetch(count=2)
    desk.box.r.xack("work", "xackd", first, second)
    desk.box.r.xdel("work", first)
    assert desk.json("explain", first)["state"] == "gone"
    assert desk.json("explain", second)["state"] == "acknowledged"


def test_explain_an_id_in_several_queues(shared):
    box = shared.box
    box.add("work", id="1700000000000-5")
    box.add("media", {"type": "video"}, id="1700000000000-5")
    rows = shared.json("explain", "1700000000000-5", status=1)
    assert [(row["stream"], row["state"]) for row in rows] == [("media", "waiting"), ("work", "waiting")]
    assert "--job" in shared.ctl("explain", "1700000000000-5", status=1).errors
    shown = shared.json("explain", "1700000000000-5", "--job", "video")
    assert (shown["stream"], shown["job"]) == ("media", "video")
    assert shared.json("explain", "1700000000000-5", "--queue", "work")["job"] == "work"


def test_explain_is_not_led_astray_by_ids_that_another_queue_has_passed(shared):
    box = shared.box
    entry = box.add("work", id="1700000000000-5")
    box.add("media", {"type": "video"}, id="1800000000000-5")
    shared.fetch(stream="media")
    assert shared.json("explain", entry)["stream"] == "work"


# ---- retries ----

def test_retries_in_due_order(desk):
    late = desk.parked(due_in_ms=7200000, note={"reason": "timeout", "detail": "timeout after 5m"})
    soon = desk.parked(due_in_ms=60000, note={"reason": "exit", "detail": "exit 3"}, fields={"user": "anna"})
    rows = desk.json("retries")
    assert [row["id"] for row in rows] == [soon, late]
    assert rows[0].keys() == {"id", "stream", "group", "job", "attempt", "due_ms", "due_in_ms", "held_by", "reason", "detail", "last_failure"}
    assert (rows[0]["job"], rows[0]["attempt"], rows[0]["reason"]) == ("work", 1, "exit") and 0 < rows[0]["due_in_ms"] <= 60000
    assert [row["id"] for row in desk.json("retries", "--reason", "timeout")] == [late]
    assert [row["id"] for row in desk.json("retries", "--match", "user=^an+a$")] == [soon]
    assert [row["id"] for row in desk.json("retries", "--limit", "1")] == [soon]
    assert desk.json("retries", "--older-than", "1h") == []


def test_retries_of_jobs_that_share_a_queue(shared):
    thumb = shared.parked("media", {"type": "thumb"})
    video = shared.parked("media", {"type": "video"})
    assert {row["id"]: row["job"] for row in shared.json("retries")} == {thumb: "thumb", video: "video"}
    assert [row["id"] for row in shared.json("retries", "--job", "video")] == [video]


def test_retries_page_by_page(desk):
    ids = desk.box.add_many("work", 450)
    desk.fetch(count=450)
    pipe = desk.box.r.pipeline()
    for i, entry in enumerate(ids):
        pipe.xclaim("work", "xackd", PARKED, 0, [entry], justid=True)
        pipe.zadd(desk.box.key("due"), {entry: now_ms(desk.box) + 3600000 + i} if i == 0 else {entry: 4102444800000 + i})
    pipe.execute()
    assert [row["id"] for row in desk.json("retries")] == ids


def test_retry_makes_it_due(desk):
    first, second = desk.parked(), desk.parked()
    assert [row["id"] for row in desk.json("retry", first)] == [first]
    assert desk.box.r.zscore(desk.box.key("due"), first) <= now_ms(desk.box)
    assert desk.box.r.zscore(desk.box.key("due"), second) > now_ms(desk.box)
    done = desk.ctl("retry", desk.box.add(), second, status=1)
    assert "not parked" in done.errors and second in done.text


# ---- dead letters ----

def test_dead_ls(desk):
    dead_id, entry = desk.bury(fields={"a": "1"})
    killed = desk.bury(fields={"a": "2"}, reason="signal", detail="signal 9 (KILL)", exit=None, signal=9, stderr=None)
    rows = desk.json("dead", "ls")
    assert rows[0].keys() >= DEAD_KEYS and [row["dead_id"] for row in rows] == [dead_id, killed[0]]
    row = rows[0]
    assert (row["id"], row["job"], row["reason"], row["detail"], row["attempts"], row["exit"], row["signal"], row["stderr"], row["fields"]) == (
        entry, "work", "exit", "exit 3", 5, 3, None, "it broke\n", {"a": "1"})
    assert isinstance(row["at_ms"], int)
    assert (rows[1]["exit"], rows[1]["signal"], rows[1]["stderr"]) == (None, 9, None)
    assert desk.json("dead", "show", dead_id) == row == desk.json("dead", "show", entry)
    desk.ctl("dead", "show", UNKNOWN, status=1)
    assert "exit 3" in desk.ctl("dead", "ls").text and "it broke" in desk.ctl("dead", "show", entry).text


def test_dead_letters_of_any_bytes(desk):
    pairs = [(b"text", "é".encode()), (b"raw", b"\xff\0\x01"), (b"text", b"again")]
    desk.bury(fields=pairs)
    row = desk.json("dead", "ls")[0]
    assert row["fields"]["text"] == "é" and base64.b64decode(row["fields_b64"]["raw"]) == b"\xff\0\x01"
    assert [tuple(base64.b64decode(part) for part in pair) for pair in row["pairs_b64"]] == pairs


def test_dead_filters(desk):
    ids = [desk.bury(fields={"user": "u%d" % i, "kind": "even" if i % 2 == 0 else "odd"}, job="work" if i < 4 else "gone",
                     reason="exit" if i != 1 else "timeout", at=now_ms(desk.box) - i * 3600000)[1] for i in range(6)]

    def listed(*args):
        return [row["id"] for row in desk.json("dead", "ls", *args)]
    assert listed("--job", "gone") == ids[4:]
    assert listed("--reason", "timeout") == [ids[1]]
    assert listed("--match", "kind=even") == ids[::2]
    assert listed("--match", "kind=even", "--match", "user=[02]$") == [ids[0], ids[2]]
    assert listed("--match", "nothing=.") == []
    assert listed("--older-than", "150m") == ids[3:]
    assert listed("--limit", "2") == ids[:2]
    assert listed("--queue", "work", "--limit", "1") == ids[:1]


def test_match_sees_what_stands_behind_a_nul(desk):
    _, entry = desk.bury(fields=[(b"v", b"before\0behind")])
    assert [row["id"] for row in desk.json("dead", "ls", "--match", "v=behind$")] == [entry]


def test_requeue_one(desk):
    dead_id, entry = desk.bury(fields=[(b"a", b"1"), (b"a", b"\xff"), (b"xackd.x", b"mine")])
    new = desk.ctl("dead", "requeue", entry).text.split()
    assert len(new) == 1
    assert stored(desk.box, new[0]) == [(b"a", b"1"), (b"a", b"\xff"), (b"xackd.x", b"mine"), (b"xackd.requeued-from", dead_id.encode())]
    assert desk.json("dead", "ls") == [] and not desk.box.r.hexists(desk.box.key("note"), entry)
    desk.ctl("dead", "requeue", entry, status=1)
    dead_id, entry = desk.bury()
    row = desk.json("dead", "requeue", dead_id)[0]
    assert (row["dead_id"], row["id"]) == (dead_id, entry) and stored(desk.box, row["new_id"])


def test_requeue_by_filter_wants_yes(desk):
    kept = desk.bury(fields={"kind": "b"})[0]
    for _ in range(3):
        desk.bury(fields={"kind": "a"})
    done = desk.ctl("dead", "requeue", "--match", "kind=a", status=1)
    assert "3 dead letters" in done.errors and "--yes" in done.errors and len(desk.box.dead()) == 4
    listed = desk.json("dead", "requeue", "--match", "kind=a", "--dry-run")
    assert len(listed) == 3 and len(desk.box.dead()) == 4
    rows = desk.json("dead", "requeue", "--match", "kind=a", "--yes")
    assert len({row["new_id"] for row in rows}) == 3
    assert [letter["dead_id"] for letter in desk.box.dead()] == [kept]
    assert desk.json("dead", "requeue", "--match", "kind=a", "--yes") == []


def test_requeue_many_moves_each_once(desk):
    pipe = desk.box.r.pipeline(transaction=False)
    for i in range(700):
        pipe.xadd(desk.box.key("dead"), {"xackd.meta": 4, "xackd.id": "1700000000000-%d" % i, "xackd.job": "work", "xackd.reason": "exit",
                                         "xackd.attempts": 5, "n": i})
    pipe.execute()
    new = desk.ctl("dead", "requeue", "--match", "n=[05]$", "--limit", "100", "--yes").text.split()
    assert len(set(new)) == 100
    new += desk.ctl("dead", "requeue", "--match", "n=[05]$", "--yes").text.split()
    assert len(set(new)) == 140 == desk.box.r.xlen("work") and len(desk.box.dead()) == 560
    moved = sorted(int(dict(stored(desk.box, entry))[b"n"]) for entry in new)
    assert moved == list(range(0, 700, 5))


def test_letter_without_pairs_is_left_and_does_not_stop_the_others(desk):
    gone = desk.bury(reason="payload_gone")
    desk.box.r.delete(desk.box.key("dead"))
    gone = desk.box.r.xadd(desk.box.key("dead"), {"xackd.meta": 2, "xackd.id": gone[1], "xackd.reason": "payload_gone"})
    desk.bury()
    done = desk.ctl("dead", "requeue", "--all", "--yes", status=1)
    assert len(done.text.split()) == 1 and "1 dead letter cannot be requeued" in done.errors
    assert [letter["dead_id"] for letter in desk.box.dead()] == [gone]
    desk.ctl("dead", "requeue", gone, status=1)


def test_purge(desk):
    first, second, third = (desk.bury(fields={"n": str(i)}) for i in range(3))
    assert desk.json("dead", "purge", first[0]) == {"purged": 1}
    desk.ctl("dead", "purge", first[1], status=1)
    assert "2 dead letters" in desk.ctl("dead", "purge", "--all", status=1).errors
    assert [row["dead_id"] for row in desk.json("dead", "purge", "--all", "--dry-run")] == [second[0], third[0]]
    assert "1 dead letter purged" in desk.ctl("dead", "purge", "--match", "n=2", "--yes").text
    assert desk.json("dead", "purge", "--all", "--yes") == {"purged": 1}
    assert desk.box.dead() == [] and not desk.box.r.hgetall(desk.box.key("note"))


def test_dead_letter_in_several_queues(shared):
    shared.box.add("work", id="1700000000000-5"), shared.box.add("media", {"type": "video"}, id="1700000000000-5")
    shared.fetch(stream="work"), shared.fetch(stream="media")
    work = shared.bury("work", entry="1700000000000-5")[0]
    media = shared.bury("media", entry="1700000000000-5", job="video")[0]
    done = shared.ctl("dead", "show", "1700000000000-5", status=1)
    assert "media/xackd" in done.errors and "work/xackd" in done.errors
    assert shared.json("dead", "show", "1700000000000-5", "--job", "video")["dead_id"] == media
    assert shared.json("dead", "show", "1700000000000-5", "--queue", "work")["dead_id"] == work


def test_a_dead_letters_own_id_comes_first(shared):
    """An entry of another queue may have it by accident."""
    work, entry = shared.bury("work")
    shared.box.add("media", {"type": "video"}, id=work)
    assert shared.fetch(stream="media") == [work]
    media = shared.bury("media", entry=work, job="video")[0]
    for wanted, ids in ((work, (work, entry)), (media, (media,))):
        for one in ids:
            assert shared.json("dead", "show", one)["dead_id"] == wanted
    assert shared.json("dead", "show", work, "--queue", "media")["dead_id"] == media
    shared.ctl("dead", "requeue", work)
    assert shared.box.dead() == [] and shared.box.dead("media")[0]["dead_id"] == media


# ---- pause and resume ----

def test_pause_and_resume(shared):
    box = shared.box
    rows = shared.json("pause", "work")
    assert rows == [{"stream": "work", "group": "xackd", "jobs": ["work"], "paused": True, "changed": True}]
    assert box.r.exists(box.key("paused")) and not box.r.exists(box.key("paused", "media"))
    assert shared.json("pause", "work")[0]["changed"] is False
    assert [row["paused"] for row in shared.json("queues")] == [False, True]
    assert shared.json("explain", box.add())["paused"] is True
    assert "--queue media/xackd" in shared.ctl("pause", "thumb", status=1).errors
    assert not box.r.exists(box.key("paused", "media"))
    assert shared.json("pause", "--queue", "media")[0]["jobs"] == ["thumb", "video"]
    assert [row["changed"] for row in shared.json("resume")] == [True, True]
    assert not box.r.exists(box.key("paused"), box.key("paused", "media"))
    shared.ctl("pause", "nonsense", status=1)


# ---- what people see ----

HOSTILE = "a\x1b[31mred\x07\r\n\u202ebidi\u200b\x9b31m\\"


def test_nothing_from_an_entry_reaches_the_terminal_as_it_is(desk):
    fields = [(HOSTILE.encode(), HOSTILE.encode() + b"\xff\0")]
    _, dead = desk.bury(fields=fields, detail=HOSTILE, stderr=HOSTILE, job=HOSTILE, reason=HOSTILE, host=HOSTILE)
    parked = desk.parked(fields=fields, note={"reason": HOSTILE, "detail": HOSTILE, "stderr": HOSTILE})
    waiting = desk.box.add(fields=fields)
    for args in (["dead", "ls"], ["dead", "show", dead], ["explain", dead], ["explain", parked], ["explain", waiting], ["retries"]):
        text = desk.ctl(*args).text
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufffd]", text), (args, text)
        assert "\\x1b[31mred" in text or args == ["retries"], args


def on_terminal(*args, width=80, answer=b"", **env):
    """On a terminal of this width; gives (text, status)."""
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update({"TERM": "xterm", "LC_ALL": "C.UTF-8"})
        os.environ.pop("NO_COLOR", None)
        os.environ.update(env)
        import fcntl
        import struct
        import termios
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        os.execv(XACKCTL, [XACKCTL] + list(args))
    os.write(fd, answer)
    text, end = b"", time.monotonic() + 20 * SLOW
    while time.monotonic() < end:
        if select.select([fd], [], [], 0.5)[0]:
            try:
                got = os.read(fd, 65536)
            except OSError:
                break
            if not got:
                break
            text += got
    os.close(fd)
    return text.decode().replace("\r\n", "\n"), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_tables_fit_the_terminal(desk):
    desk.bury(fields={"long": "x" * 300, "wide": "日本語" * 50}, detail="d" * 200)
    text, status = on_terminal("-c", desk.file, "dead", "ls", width=106, NO_COLOR="1")
    assert status == 0 and "\x1b" not in text and "…" in text
    assert all(len(line) <= 106 for line in text.split("\n")), text
    coloured, _ = on_terminal("-c", desk.file, "dead", "ls")
    assert "\x1b[1m" in coloured and "\x1b[0m" in coloured
    assert "\x1b" not in desk.ctl("dead", "ls").text, "no colours in a pipe"


def test_on_a_terminal_it_asks(desk):
    for _ in range(2):
        desk.bury()
    text, status = on_terminal("-c", desk.file, "dead", "purge", "--all", answer=b"n\n")
    assert status == 1 and "2 dead letters: purge? [y/N]" in text and len(desk.box.dead()) == 2
    text, status = on_terminal("-c", desk.file, "dead", "purge", "--all", answer=b"y\n")
    assert status == 0 and "2 dead letters purged" in text and desk.box.dead() == []


def test_json_on_a_terminal_moves_no_cursor(desk):
    desk.bury(fields={"a": HOSTILE})
    text, _ = on_terminal("-c", desk.file, "dead", "ls", "--json")
    assert "\u202e" not in text and "\x1b" not in text and "\x9b" not in text
    assert json.loads(text)[0]["fields"]["a"] == HOSTILE


def test_a_reader_that_has_seen_enough(desk):
    desk.box.r.xadd(desk.box.key("dead"), {"xackd.meta": 1, "xackd.reason": "exit", "big": "x" * 500000})
    for _ in range(30):
        desk.bury(fields={"big": "x" * 50000})
    with subprocess.Popen([XACKCTL, "-c", desk.file, "dead", "ls", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(10)
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait(20 * SLOW) == 0 and not errors
    with open("/dev/full", "w") as full:
        done = subprocess.run([XACKCTL, "-c", desk.file, "dead", "ls"], stdout=full, stderr=subprocess.PIPE, timeout=20 * SLOW)
        assert done.returncode == 1 and b"No space" in done.stderr


# ---- with a daemon ----

def test_status_and_workers_of_a_daemon(box):
    gate = box.gate()
    daemon = box.daemon({"exec": ["/bin/sh", "-c", ": < " + gate.path]}, workers=3)
    entry = box.add(fields={"a": "1"})
    started = daemon.wait_event("job.started", id=entry)
    status = box.ctl("status", "--json").json
    assert status.keys() == {"daemon", "workers", "queues"}
    assert status["daemon"].keys() >= {"pid", "version", "uptime_ms", "state", "redis"} and status["daemon"]["pid"] == daemon.pid
    assert status["daemon"]["redis"].keys() >= {"connected", "since_ms", "url"} and status["daemon"]["redis"]["connected"] is True
    assert status["workers"].keys() >= {"total", "busy", "idle", "starting"}
    assert (status["workers"]["total"], status["workers"]["busy"]) == (3, 1)
    rows = box.ctl("workers", "--json").json
    assert len(rows) == 3
    assert all(row.keys() == {"pool", "slot", "pid", "state", "job", "id", "attempt", "running_ms", "handler_pid", "progress", "done",
                              "failed"} for row in rows)
    busy = [row for row in rows if row["state"] == "busy"]
    assert [(row["job"], row["id"], row["attempt"], row["handler_pid"]) for row in busy] == [("work", entry, 1, started["pid"])]
    assert {row["pid"] for row in rows} == set(daemon.workers())
    running = box.ctl("running", "--json").json
    assert [(row["id"], row["job"], row["stream"], row["handler_pid"]) for row in running] == [(entry, "work", "work", started["pid"])]
    assert box.ctl("running", "--job", "work", "--older-than", "1h", "--json").json == []
    shown = box.ctl("explain", entry, "--json").json
    assert (shown["state"], shown["worker"], shown["pid"], shown["attempt"]) == ("running", started["worker"], started["pid"], 1)
    assert shown["running_ms"] >= 0
    queue = box.ctl("queues", "--json").json[0]
    assert queue["running"] == 1 and queue["oldest_running_ms"] >= 0 and queue["suspended"] == []
    for args in (["workers"], ["running"], ["explain", entry]):
        assert entry in box.ctl(*args).text
    assert "1 busy" in box.ctl("status").text
    gate.open()
    daemon.wait_event("job.succeeded", id=entry)


def test_status_without_redis_still_tells_of_the_daemon(box):
    daemon = box.daemon()
    daemon.allow_errors = True
    box.redis.kill()
    daemon.wait_event("redis.lost")
    status = json.loads(box.ctl("status", "--json", status=69).text)
    assert status["daemon"]["pid"] == daemon.pid and status["queues"] is None
    done = box.ctl("status", status=69)
    assert str(daemon.pid) in done.text and "Redis" in done.errors
    box.redis.start()


def test_suspended_jobs_are_seen_and_resumed(box):
    daemon = box.daemon({"exec": [box.path("not-there")]})
    entry = box.add()
    daemon.wait_event("job.suspended", job="work")
    rows = box.ctl("suspended", "--json").json
    assert [row["job"] for row in rows] == ["work"]
    assert box.ctl("queues", "--json").json[0]["suspended"] == ["work"]
    assert box.ctl("jobs", "--json").json[0]["suspended"] is True
    box.script("not-there", "exit 0\n")
    box.ctl("resume", "work")
    daemon.wait_event("job.succeeded", id=entry, timeout=8)
    wait_until(lambda: box.ctl("suspended", "--json").json == [], 5, "it is no longer suspended")


def test_retry_starts_it_now(box):
    daemon = box.daemon({"exec": box.recording("test $XACKD_ATTEMPT -gt 1"), "retry": {"initial": "1h", "max": "1h"}})
    entry = box.add()
    daemon.wait_event("job.retry", id=entry)
    assert box.ctl("retries", "--json").json[0]["id"] == entry
    box.ctl("retry", entry)
    daemon.wait_event("job.succeeded", id=entry, timeout=8)


def test_pause_holds_and_resume_releases(box):
    daemon = box.daemon({"exec": box.recording()}, workers=2)
    daemon.wait_event("job.succeeded", id=box.add())
    box.ctl("pause", "work")
    wait_until(lambda: {row["state"] for row in box.ctl("workers", "--json").json} == {"paused"}, 12, "the workers know")
    entry = box.add()
    assert box.ctl("explain", entry, "--json").json["state"] == "waiting"
    box.ctl("resume", "work")
    daemon.wait_event("job.succeeded", id=entry, timeout=8)


def test_daemon_that_does_not_answer(box):
    """A frozen daemon: xackctl says so in the end, and what Redis knows is still told."""
    daemon = box.daemon()
    daemon.freeze()
    try:
        done = subprocess.run([XACKCTL, "-c", daemon.file, "workers"], capture_output=True, text=True, timeout=40 * SLOW)
        assert done.returncode == 69 and "daemon" in done.stderr
    finally:
        daemon.thaw()
