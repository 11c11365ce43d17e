"""Delayed and unique entries: what a user sees, on one host and on several, with and without a daemon, and what goes wrong."""
import json
import os
import re
import subprocess
import time
from collections import Counter

import pytest

from harness import TOP, XACKCTL, in_sh, never, wait_until
from test_later_scripts import packed

ODD = {"two words": "a\r\nb", "\udcff": "\udcff\udcfe", "{x}": "{{"}


def add(box, *args, **more):
    return box.ctl("add", "work", "--json", *args, **more).json


def many(box, count, in_ms):
    return box.add_later(in_ms, [{"n": str(n)} for n in range(count)])


def make_due(box, ids, at=1):
    box.r.zadd(box.later_key(), {i: at for i in ids})


def look(box):
    """The reaper looks at once, as it does every ten seconds."""
    box.ctl("resume")


def lateness(box, due_ms):
    """Redis's own word: an entry's ID is the time at which it came into the stream."""
    return int(box.r.xrevrange("work", count=1)[0][0].split("-")[0]) - due_ms


def commands(box):
    return {name: row["calls"] for name, row in box.r.info("commandstats").items()}


# ---- add ----

def test_it_runs_when_it_is_due(box):
    daemon = box.daemon({"exec": box.recording('printf %s "$FIELD_N" >> ' + box.path("n"))})
    early = add(box, "n=1", "--in", "300ms")
    absolute = add(box, "n=2", "--at", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2)))
    for added in (early, absolute):
        assert box.ctl("explain", added["id"], "--json").json["state"] == "later" and added["due_ms"] > time.time() * 1000 - 1000
    assert box.ctl("queues", "--json").json[0]["later"] == 2
    assert box.ctl("wait", early["id"], "--timeout", "10s").text.split()[1] == "acknowledged"
    late = lateness(box, early["due_ms"])
    box.ctl("wait", absolute["id"], "--timeout", "10s")
    wait_until(lambda: box.read("n") == "12", what="both have run, in this order")
    assert len(daemon.events("job.succeeded")) == 2 and late >= 0 and lateness(box, absolute["due_ms"]) >= 0
    told = box.ctl("explain", early["id"], "--json").json
    assert told["later_id"] == early["id"] and told["id"] == box.r.xrange("work")[0][0] and told["state"] == "acknowledged"
    assert box.ctl("explain", told["id"], "--json").json["later_id"] is None


def test_any_bytes(box):
    daemon = box.daemon({"exec": ["/bin/true"], "stdin": "none"})
    args = [os.fsencode("%s=%s" % pair) for pair in ODD.items()]
    subprocess.run([XACKCTL, "-c", daemon.file, "add", "work", "--in", "200ms", "f=@-"] + args, check=True, input=b"\0\xff\n", stdout=subprocess.DEVNULL)
    daemon.wait_event("job.succeeded")
    assert box.raw("XRANGE", "work", "-", "+")[0][1] == [b"f", b"\0\xff\n"] + [os.fsencode(text) for pair in ODD.items() for text in pair]


@pytest.mark.parametrize("args, why", [
    (["--in", "5"], "duration"), (["--in", "-5s"], "duration"), (["--at", "soon"], "is a time"), (["--at", "20261201"], "is a time"),
    (["--at", "1795672974651"], "is a time"), (["--in", "5s", "--at", "2030-01-01"], "not both"), (["--once", ""], "wants a key"),
    (["--once-for", "5s"], "which key"), (["--once", "k", "--once-for", "0"], "1ms at least")])
def test_wrong_options(box, args, why):
    box.write_config(box.config(), "c.yaml")
    assert why in box.ctl("add", "work", "f=v", *args, config=box.path("c.yaml"), status=64).errors
    assert box.r.keys() == []


def test_too_many_fields_are_refused(box):
    box.write_config(box.config(), "c.yaml")
    fields = ["f%d=" % n for n in range(3501)]
    assert "3500 fields" in box.ctl("add", "work", "--in", "5s", *fields, config=box.path("c.yaml"), status=64).errors
    box.ctl("add", "work", *fields, config=box.path("c.yaml"))


def test_once(box):
    """No daemon is needed to add, nor to be told."""
    box.write_config(box.config(), "c.yaml")
    file = box.path("c.yaml")
    first = add(box, "n=1", "--once", "daily", config=file)
    assert first == {"id": box.r.xrange("work")[0][0], "existing": False}
    again = box.ctl("add", "work", "n=2", "--once", "daily", config=file)
    assert again.text.strip() == first["id"] and "nothing was added" in again.errors
    assert add(box, "n=2", "--once", "daily", "--in", "1h", config=file) == {"id": first["id"], "existing": True, "due_ms": None}
    later = add(box, "n=3", "--once", "other", "--at", "2040-01-01T00:00:00+01:00", "--once-for", "10s", config=file)
    assert later["due_ms"] == 2208985200000 and 5000 < box.r.pttl(box.later_key("once:other")) <= 10000
    assert add(box, "n=4", "--once", "other", config=file) == {"id": later["id"], "existing": True}
    assert box.r.xlen("work") == 1 and box.r.zcard(box.later_key()) == 1
    assert add(box, "n=5", config=file).keys() == {"id"}


def test_many_at_once_add_one(box):
    box.write_config(box.config(), "c.yaml")
    running = [subprocess.Popen([XACKCTL, "-c", box.path("c.yaml"), "--json", "add", "work", "f=v", "--once", "k", *how], stdout=subprocess.PIPE)
               for how in ([], ["--in", "1h"]) for _ in range(5)]
    told = [json.loads(one.communicate(timeout=30)[0]) for one in running]
    assert len({one["id"] for one in told}) == 1 and sorted(one["existing"] for one in told) == [False] + [True] * 9
    assert box.r.xlen("work") + box.r.zcard(box.later_key()) == 1


def test_wait_for_its_result(box):
    """By the ID that add gave, over the one that it has since."""
    box.daemon({"exec": in_sh("echo RESULT=fine >&3"), "result_ttl": "1h"})
    assert box.ctl("add", "work", "n=1", "--in", "200ms", "--wait", "--raw", "--timeout", "10s").text == "fine"
    first = box.ctl("add", "work", "n=1", "--in", "100ms", "--once", "k", "--wait", "--json", "--timeout", "10s").json
    assert first["result"] == "fine"
    again = box.ctl("add", "work", "n=1", "--once", "k", "--wait", "--raw")
    assert again.text == "fine" and "nothing was added" in again.errors
    assert box.ctl("wait", first["id"], "--raw").text == "fine" and box.ctl("explain", first["id"], "--json").json["result"] == "fine"


# ---- looking and cancelling ----

def test_list_explain_cancel(box):
    jobs = {"mail": {"stream": "work", "match": {"kind": "mail"}, "exec": ["/bin/true"]}, "sms": {"stream": "work", "match": {"kind": "sms"}, "exec": ["/bin/true"]}}
    box.daemon(jobs)
    mail = box.ctl("add", "mail", "to=a", "--in", "2h", "--once", "k", "--json").json
    sms = box.ctl("add", "sms", "to=b", "--in", "1h", "--json").json
    rows = box.ctl("retries", "--later", "--json").json
    assert [(row["id"], row["job"], row["fields"]["to"]) for row in rows] == [(sms["id"], "sms", "b"), (mail["id"], "mail", "a")]
    assert rows[0]["due_ms"] == sms["due_ms"] and 3500000 < rows[0]["due_in_ms"] <= 3600000
    assert [row["id"] for row in box.ctl("retries", "--later", "--job", "mail", "--json").json] == [mail["id"]]
    assert [row["id"] for row in box.ctl("retries", "--later", "--match", "to=b", "--json").json] == [sms["id"]]
    assert len(box.ctl("retries", "--later", "--limit", "1", "--json").json) == 1
    assert box.ctl("retries", "--json").json == []
    assert "no --reason" in box.ctl("retries", "--later", "--reason", "exit", status=64).errors
    told = box.ctl("explain", mail["id"], "--json").json
    assert (told["state"], told["job"], told["due_ms"], told["fields"]) == ("later", "mail", mail["due_ms"], {"to": "a", "kind": "mail"})
    assert "still later" in box.ctl("wait", mail["id"], "--timeout", "100ms", status=75).errors
    assert "nothing to end" in box.ctl("cancel", mail["id"], "--retry", status=1).errors
    gone = box.ctl("cancel", mail["id"], "--json").json[0]
    assert (gone["id"], gone["state"]) == (mail["id"], "dead")
    letter, = box.ctl("dead", "ls", "--json").json
    assert (letter["id"], letter["reason"], letter["job"], letter["fields"], letter["attempts"]) == (mail["id"], "cancelled", "mail",
                                                                                                  {"to": "a", "kind": "mail"}, 0)
    assert box.ctl("explain", mail["id"], "--json").json["state"] == "dead" and box.ctl("wait", mail["id"], status=1)
    assert box.ctl("add", "mail", "to=a", "--in", "2h", "--once", "k", "--json").json["existing"] is False, "its key went with it"
    new = box.ctl("dead", "requeue", letter["dead_id"]).text.split()[0]
    assert box.ctl("wait", new, "--timeout", "10s")
    assert box.ctl("explain", "1795672974651-1795672974651000", "--json", status=1).text.count("unknown") == 1


def test_cancel_asks_for_other_groups(box):
    box.daemon({"exec": ["/bin/true"]})
    box.r.xgroup_create("work", "audit", id="0")
    one = add(box, "--in", "1h", "n=1")["id"]
    assert "group audit" in box.ctl("cancel", one, status=1).errors and box.r.zcard(box.later_key()) == 1
    box.ctl("cancel", one, "--force")
    assert box.r.zcard(box.later_key()) == 0 and box.dead()[0]["reason"] == "cancelled"


def test_cancel_by_the_first_id_when_it_runs(box):
    gate = box.gate()
    daemon = box.daemon({"exec": in_sh("read x < " + gate.path)})
    one = add(box, "n=1", "--in", "100ms")["id"]
    daemon.wait_event("job.started")
    assert box.ctl("cancel", one, "--json").json[0]["id"] == box.r.xrange("work")[0][0]
    assert box.ctl("explain", one, "--json").json["state"] == "dead"


# ---- the reaper ----

def test_pause_and_no_daemon_and_restart(box):
    """It becomes an entry while nobody may run it; and what was due while no daemon ran is due at the next one's start."""
    daemon = box.daemon({"exec": box.recording()})
    box.ctl("pause")
    one = add(box, "n=1", "--in", "200ms")["id"]
    wait_until(lambda: box.ctl("explain", one, "--json").json["state"] == "waiting", what="it waits in the stream")
    daemon.stop()
    box.ctl("resume")
    two = add(box, "n=2", "--in", "100ms")
    wait_until(lambda: box.ctl("explain", two["id"], "--json").json["due_in_ms"] < 0, what="its time passes")
    assert box.r.xlen("work") == 1
    again = box.again(daemon)
    again.wait_event("job.succeeded", count=2)


def test_an_idle_host_asks_for_nothing_more(box):
    """With a thousand delayed entries as with none: the look of every ten seconds."""
    box.daemon({"exec": ["/bin/true"]})
    many(box, 1000, 3600000)
    box.ctl("queues"), box.r.config_resetstat()
    box.ctl("status")  # asks once, too: its figures are no part of the daemon's
    before, since = commands(box), time.monotonic()
    never(lambda: box.r.xlen("work") > 0, 4, "nothing is due")
    asked = Counter(commands(box))
    asked.subtract(before)
    scripts = sum(count for name, count in asked.items() if name in ("cmdstat_evalsha", "cmdstat_eval"))
    assert scripts <= 2 + (time.monotonic() - since) * 1.1, "renewals of the host's row, every third of its lease of 2 s, and a look"


def test_told_from_another_machine(box):
    """Added where no daemon runs: the reaper of an idle host, which sleeps for ten seconds, looks at once."""
    daemon = box.daemon({"exec": box.recording()}, defaults={"lease": "60s"})
    box.write_config(dict(daemon.config, control_socket=box.path("run", "nobody.sock")), "elsewhere.yaml")
    for n in range(3):
        added = add(box, "n=%d" % n, "--in", "1s", config=box.path("elsewhere.yaml"))
        assert daemon.wait_event("job.succeeded", count=n + 1)
        assert 0 <= lateness(box, added["due_ms"]) < 3000, "not at the end of the ten seconds"


def test_two_hosts_promote_each_once(box):
    jobs = {"exec": box.recording()}
    ids = many(box, 1000, 3600000)
    first = box.daemon(jobs, name="h1", workers=2, log={"success": "summary"})
    second = box.daemon(jobs, name="h2", workers=2, log={"success": "summary"})
    at = box.r.time()[0] * 1000 + 1500
    for n in range(0, 1000, 100):
        box.r.zadd(box.later_key(), {i: at + n for i in ids[n:n + 100]})
    wait_until(lambda: box.r.xlen("work") == 1000, 20, "all are in the stream")
    never(lambda: box.r.xlen("work") != 1000, 0.3, "none comes twice")
    assert sorted(int(fields["n"]) for _, fields in box.r.xrange("work")) == list(range(1000))
    assert box.r.exists(box.later_key(), box.later_key("later:data")) == 0
    assert first.own() and second.own()
    box.ctl("pause")


def test_a_clock_that_is_set(box):
    """Redis's time counts: its due time comes nearer, and nothing here has to be told."""
    daemon = box.daemon({"exec": box.recording()})
    one = add(box, "n=1", "--in", "1h")["id"]
    make_due(box, [one], box.r.time()[0] * 1000)  # as if its clock had been set an hour ahead
    look(box)  # else within ten seconds
    daemon.wait_event("job.succeeded")


# ---- what goes wrong ----

def test_until_empty_does_not_wait_for_what_is_not_due(box):
    many(box, 3, 3600000)
    due = many(box, 2, 3600000)
    make_due(box, due)
    daemon = box.until_empty({"exec": box.recording()})
    assert daemon.status == 0 and len(daemon.events("job.succeeded")) == 2 and box.r.zcard(box.later_key()) == 3


@pytest.mark.parametrize("last", ["later", "later:data"])
def test_keys_of_a_wrong_type_stop_nothing_else(box, last):
    daemon = box.daemon({"exec": box.recording()})
    one = add(box, "n=1", "--in", "1h")["id"]
    key = box.later_key(last)
    box.r.rename(key, "kept"), box.r.lpush(key, "x")
    make_due(box, [one]) if last != "later" else box.r.zadd("kept", {one: 1})
    daemon.allow_errors = True
    look(box)
    other = box.add()
    daemon.wait_event("job.succeeded", id=other)
    error = daemon.wait_event("redis.error")
    assert "WRONGTYPE" in error["why"] and "rename" in error["advice"] and "delayed" in error["detail"]
    if last == "later":
        assert box.ctl("queues", "--json").json[0]["later"] is None
    assert "not a" in box.ctl("doctor", status=None).text
    box.r.delete(key), box.r.rename("kept", key)
    look(box)  # else within five seconds
    daemon.wait_event("job.succeeded", count=2)
    assert box.r.xlen("work") == 2 and len(daemon.events("redis.error")) == 1, "said once"


def test_what_was_deleted_is_told_or_found_again(box):
    daemon = box.daemon({"exec": box.recording()}, workers=1)
    ids = many(box, 60, 3600000)  # more than a small hash has: HSCAN goes on in steps
    box.r.hdel(box.later_key("later:data"), ids[0])
    make_due(box, [ids[0]])
    box.r.hset(box.later_key("later:data"), "7-7", b"\xc1")
    box.r.zadd(box.later_key(), {"7-7": 1})
    look(box)
    dead = daemon.wait_event("job.dead", count=2) and {e["reason"]: e for e in daemon.events("job.dead")}
    assert dead["payload_gone"]["id"] == ids[0] and dead["malformed"]["id"] == "7-7" and dead["malformed"]["attempts"] == 0
    assert {letter["reason"] for letter in box.dead()} == {"payload_gone", "malformed"}
    box.r.delete(box.later_key())
    look(box)
    assert daemon.wait_event("daemon.warning")["count"] == 59
    assert box.r.zcard(box.later_key()) == 59 and min(score for _, score in box.r.zrange(box.later_key(), 0, -1, withscores=True)) > time.time() * 1000


def test_until_empty_says_that_what_is_due_cannot_start(box):
    make_due(box, many(box, 2, 3600000))
    box.r.rename(box.later_key("later:data"), "kept"), box.r.set(box.later_key("later:data"), "x")
    daemon = box.daemon(ready=False, args=["--until-empty"])
    daemon.allow_errors = True
    assert daemon.wait(20) == 1 and box.r.zcard(box.later_key()) == 2


def test_a_producer_needs_the_documented_rights_alone(box):
    """As xackd(8) has them."""
    with open(os.path.join(TOP, "src", "man", "xackd.8"), encoding="utf-8") as text:
        line = re.search(r"(SETUSER shop reset on .*'~mail' .*?)\n\.Ed", text.read().split("or once only, calls a script")[1], re.S).group(1)
    words = [word.strip("'>") for word in line.replace("\\e", "").split()]
    box.raw("ACL", *[">OTHER" if word == "OTHER" else word for word in words])
    shop = box.redis.client(username="shop", password="OTHER")
    with open(os.path.join(TOP, "src", "lua", "enqueue.lua"), encoding="utf-8") as text:
        script = text.read()
    keys = [box.later_key("%s" % last, "mail") for last in ("later", "later:data", "once:k")]
    answers = [shop.eval(script, 4, "mail", *keys, "in", when, "", "f", "v") for when in (60000, 0)]
    assert [answer[0] for answer in answers] == [0, 1] and answers[0][1] == answers[1][1]
    assert shop.eval(script, 3, "mail", *keys[:2], "in", 0, "", "f", "v")[0] == 0


def test_redis_that_is_killed(box):
    server = box.redis_server()
    daemon = box.daemon({"exec": box.recording()})
    added = [add(box, "n=%d" % n, "--in", "1s")["id"] for n in range(3)]
    server.restart()
    daemon.wait_event("job.succeeded", count=3, timeout=25)
    assert box.r.xlen("work") == 3 and all(box.ctl("wait", i, "--timeout", "5s") for i in added)


def test_full_memory(box):
    daemon = box.daemon({"exec": ["/bin/true"]})
    one = add(box, "n=1", "--in", "1s")["id"]
    box.r.config_set("maxmemory", 1)
    assert "OOM" in box.ctl("add", "work", "n=2", "--in", "1s", status=None).errors
    daemon.wait_event("job.succeeded")
    box.r.config_set("maxmemory", 0)
    assert box.ctl("explain", one, "--json").json["state"] == "acknowledged" and box.r.xlen("work") == 1


def test_doctor_sees_what_nobody_promotes(box):
    box.write_config(box.config(), "c.yaml")
    ids = many(box, 3, 3600000)
    box.r.hset(box.later_key("later:data"), "7-7", packed("f", "v"))
    said = box.ctl("doctor", config=box.path("c.yaml"), status=2).text
    assert "lost their due times" in said and "lets it run" not in said
    make_due(box, ids[:1])
    assert "of 3 delayed entries the first has been due" in box.ctl("doctor", config=box.path("c.yaml"), status=2).text
