"""Kept results: written in the step that acknowledges their entry, for result_ttl, and never in the way of the acknowledgement."""
import json
import os
import shutil
import subprocess

import pytest
import redis

from harness import SLOW, TOP, XACKCTL, in_sh, never, wait_until
from test_modes import at_once, persistent

LIMIT = 64 * 1024
SAY = 'printf "RESULT=%s\\n" "$FIELD_N" >&3\n'


def key(entry, stream="work"):
    return "xackd:{%s}:%s:result:%s" % (stream, stream, entry)


def kept(box, entry, stream="work"):
    return box.raw("GET", key(entry, stream))


def dropped(daemon, entry):
    return [e for e in daemon.events("job.result_dropped") if e["id"] == entry]


def calls(box):
    return {name[8:]: row["calls"] for name, row in box.r.info("commandstats").items()}


# ---- what a handler of mode exec says ----

def test_the_last_one_is_kept_byte_for_byte(box):
    daemon = box.daemon({"exec": in_sh(r"printf 'RESULT=first\nSTATUS=x\nRESULT=a\000b\377=c \r' >&3")})
    entry = box.add()
    done = daemon.wait_event("job.succeeded", id=entry)
    assert kept(box, entry) == b"a\0b\xff=c \r"
    assert 3590 < box.r.ttl(key(entry)) <= 3600
    assert done["attempt"] == 1 and not daemon.events("job.result_dropped")


def test_an_empty_one_is_one(box):
    box.daemon({"exec": in_sh("test $FIELD_N = none || echo RESULT= >&3")})
    one, none = box.add(fields={"n": "empty"}), box.add(fields={"n": "none"})
    box.wait_done()
    assert kept(box, one) == b"" and kept(box, none) is None


def test_that_of_a_failed_attempt_is_not_kept(box):
    daemon = box.daemon({"exec": in_sh("echo RESULT=attempt $XACKD_ATTEMPT >&3; test $XACKD_ATTEMPT -gt 1 && test $FIELD_N = ok || exit 1"),
                         "retry": {"max_attempts": 2, "initial": "1ms"}})
    good, bad = box.add(fields={"n": "ok"}), box.add(fields={"n": "no"})
    daemon.wait_event("job.retry", id=good)
    box.wait_dead()
    box.wait_done()
    assert kept(box, good) == b"attempt 2" and kept(box, bad) is None


def test_an_exit_code_that_means_done_and_a_timeout_that_is_answered(box):
    box.daemon({"work": {"exec": in_sh("echo RESULT=three >&3; exit 3"), "exit_codes": {"ack": [0, 3]}},
                "slow": {"exec": in_sh("trap 'echo RESULT=partly >&3; exit 0' TERM; echo RESULT=nothing >&3; sleep 60 & wait"), "timeout": "300ms"}})
    one, two = box.add(), box.add("slow")
    box.wait_done()
    box.wait_done("slow")
    assert kept(box, one) == b"three" and kept(box, two, "slow") == b"partly"


@pytest.mark.parametrize("ttl, seconds", [("90s", 90), ("0", None)])
def test_how_long(box, ttl, seconds):
    box.daemon({"exec": in_sh(SAY), "result_ttl": ttl})
    entry = box.add()
    box.wait_done()
    assert kept(box, entry) == (b"1" if seconds else None)
    assert not seconds or seconds - 10 < box.r.ttl(key(entry)) <= seconds


def test_it_is_gone_after_its_time(box):
    box.daemon({"exec": in_sh(SAY), "result_ttl": "50ms"})
    entry = box.add()
    box.wait_done()
    wait_until(lambda: kept(box, entry) is None)


@pytest.mark.parametrize("length, whole", [(LIMIT, True), (LIMIT + 1, False), (300 * 1024, False)])
def test_limit(box, length, whole):
    daemon = box.daemon({"exec": ["/usr/bin/python3", "-c", "import os; f = os.fdopen(3, 'wb'); f.write(b'RESULT=x\\n')\n"
                                  "f.write(b'RESULT=' + b'\\xfe' * %d)" % length]})
    entry = box.add()
    box.wait_done()
    daemon.wait_event("job.succeeded", id=entry, attempt=1)
    assert kept(box, entry) == (b"\xfe" * length if whole else None)
    if whole:
        assert not daemon.events("job.result_dropped")
    else:
        told = daemon.wait_event("job.result_dropped", id=entry)
        assert told["level"] == "warning" and "64 KiB" in told["why"] and told["job"] == "work"


def test_what_others_say_is_none(box):
    """RESULT= in the modes that answer in JSON, and \"result\" in mode exec."""
    box.daemon({"work": persistent(box, "for e in lines():\n    out.write('RESULT=x\\n')\n    say(e['id'])\n"),
                "alone": {"exec": in_sh("""echo '{"id":"'$XACKD_ID'","status":"ok","result":"x"}' >&3""")}})
    one, two = box.add(), box.add("alone")
    box.wait_done()
    box.wait_done("alone")
    assert kept(box, one) is None and kept(box, two, "alone") is None


# ---- answers ----

@pytest.mark.parametrize("mode", ["batch", "persistent"])
@pytest.mark.parametrize("result, text", [
    ("'text \\0 é'", "text \0 é"), ("''", ""), ("None", "null"), ("{'b': [1, 2.5, 'x y'], 'a': {}}", '{"b":[1,2.5,"x\\u0020y"],"a":{}}'.replace("\\u0020", " ")),
    ("10 ** 30", "1" + 30 * "0"), ("0.1", "0.1"), ("'x' * %d" % LIMIT, "x" * LIMIT), ("['é' * 10000]", '["%s"]' % (10000 * "\\u00e9")),
])
def test_answers(box, mode, result, text):
    job = persistent(box, "for e in lines():\n    say(e['id'], result=%s)\n" % result, mode=mode)
    if mode == "batch":
        job.pop("persistent")
    daemon = box.daemon(job)
    entry = box.add()
    box.wait_done()
    assert kept(box, entry) == text.encode()
    assert not daemon.events("job.failed") and not daemon.events("job.result_dropped")


@pytest.mark.parametrize("result", ["'x' * %d" % (LIMIT + 1), "['x'] * 30000", "'x' * 10 ** 6"])
def test_an_answer_with_too_long_a_result_is_an_answer(box, result):
    daemon = box.daemon(persistent(box, "for e in lines():\n    say(e['id'], result=%s if e['fields']['n'] == '1' else 'short')\n" % result, window=10))
    ids = at_once(box, range(3))
    box.wait_done()
    assert [kept(box, entry) for entry in ids] == [b"short", None, b"short"]
    assert [e["id"] for e in daemon.events("job.result_dropped")] == [ids[1]]
    assert not daemon.events("job.failed") and len(box.lines()) == 3


def test_other_answers_have_none(box):
    daemon = box.daemon(persistent(box, "for e in lines():\n    say(e['id'], 'retry' if e['attempt'] == 1 else 'ok', result=e['attempt'])\n",
                                   retry={"initial": "1ms"}))
    entry = box.add()
    box.wait_done()
    daemon.wait_event("job.retry", id=entry)
    assert kept(box, entry) == b"2"


def test_none_is_mixed_up(box):
    """Windows of a hundred, answers out of order, some without a result, in several workers."""
    body = """
import random, threading
held, lock = [], threading.Lock()
def answer():
    while True:
        time.sleep(0.002)
        with lock:
            random.shuffle(held)
            some, held[:] = held[:50], held[50:]
        for e in some:
            n = int(e['fields']['n'])
            say(e['id'], **({} if n % 7 == 0 else {'result': 'of ' + e['id'] + ' ' * (n % 900)}))
threading.Thread(target=answer, daemon=True).start()
for e in lines():
    with lock:
        held.append(e)
"""
    daemon = box.daemon(persistent(box, body, window=100), workers=2)
    ids = at_once(box, range(2000))
    box.wait_done(timeout=60)
    for n, entry in enumerate(ids):
        assert kept(box, entry) == (None if n % 7 == 0 else ("of " + entry + " " * (n % 900)).encode()), (n, entry)
    assert len(box.lines()) == 2000 and not daemon.events("job.failed") and not daemon.events("job.stale_ack")


# ---- an acknowledgement in doubt ----

def clients(box):
    return [c for c in box.r.client_list() if "/default/" in c["name"]]


def cut_before_the_answer(box, daemon, open_gate):
    """The acknowledgement is in the server, unanswered, when the connection ends."""
    box.r.execute_command("CLIENT", "PAUSE", "60000", "WRITE")
    open_gate()
    wait_until(lambda: any(int(c["qbuf"]) + int(c.get("argv-mem", 0)) > 0 for c in clients(box)), 10, "the call is in the server")
    for client in clients(box):
        box.r.execute_command("CLIENT", "KILL", "ID", client["id"])
    box.r.execute_command("CLIENT", "UNPAUSE")


@pytest.mark.parametrize("executed", [False, True])
def test_resent(box, executed):
    """The connection ends before the answer: the call was not executed, or it was and only its answer is lost."""
    gate = box.gate()
    daemon = box.daemon({"exec": box.recording(": < %s; echo RESULT=$XACKD_DELIVERY >&3" % gate.path)})
    entry = box.add()
    daemon.wait_event("job.started", id=entry)
    if executed:
        proxied(box, daemon, gate, entry)
    else:
        cut_before_the_answer(box, daemon, gate.open)
    box.wait_done()
    daemon.wait_event("job.succeeded", id=entry)
    assert kept(box, entry) == b"1" and len(box.runs()) == 1
    assert not daemon.events("job.stale_ack") and not daemon.events("job.result_dropped")


def proxied(box, daemon, gate, entry):
    """As a lost answer: the same was done by another connection in the worker's name while its own call could not be."""
    box.r.execute_command("CLIENT", "PAUSE", "60000", "WRITE")
    gate.open()
    wait_until(lambda: any(int(c["qbuf"]) + int(c.get("argv-mem", 0)) > 0 for c in clients(box)), 10, "the call is in the server")
    for client in clients(box):
        box.r.execute_command("CLIENT", "KILL", "ID", client["id"])
    pipe = box.r.pipeline(transaction=True)
    pipe.xack("work", "xackd", entry)
    pipe.set(key(entry), "1", px=60000)
    box.r.execute_command("CLIENT", "UNPAUSE")
    pipe.execute()


def test_resent_window(box):
    """A window of a hundred, acknowledged together, while the connection ends."""
    gate = box.gate()
    body = "held = []\nfor e in lines():\n    held.append(e)\n    if len(held) == 100:\n        open(%r).read()\n" % gate.path + \
        "        for e in held:\n            say(e['id'], result='of ' + e['id'])\n"
    daemon = box.daemon(persistent(box, body, window=100))
    ids = at_once(box, range(100))
    wait_until(lambda: len(box.lines()) == 100)

    def open_gate():
        gate.open()
        gate.close()
    cut_before_the_answer(box, daemon, open_gate)
    box.wait_done()
    assert [kept(box, entry) for entry in ids] == [("of " + entry).encode() for entry in ids]
    assert len(box.lines()) == 100 and not daemon.events("job.stale_ack")


def test_of_what_another_has_by_now(box):
    """The first success wins, with its result; a later one changes neither."""
    gate = box.gate()
    daemon = box.daemon({"exec": in_sh(": < %s; echo RESULT=mine >&3" % gate.path)}, workers=2)
    taken, done = box.add(), box.add()
    daemon.wait_event("job.started", id=taken)
    daemon.wait_event("job.started", id=done)
    box.r.xclaim("work", "xackd", "thief", 0, [taken])
    assert box.r.xack("work", "xackd", done) == 1
    box.r.set(key(done), "theirs")
    daemon.wait_event("job.lease_lost", id=taken)
    gate.open()
    for entry in (taken, done):
        daemon.wait_event("job.stale_ack", id=entry)
    box.wait_done()
    assert kept(box, taken) == b"mine" and kept(box, done) == b"theirs"


def test_scripts_are_forgotten(box):
    """The script's text follows at once, though a read waits behind it."""
    daemon = box.daemon({"exec": in_sh(SAY), "lease": "60s", "read_ahead": "off"})
    for number in range(3):
        entry = box.add(fields={"n": str(number)})
        wait_until(lambda: kept(box, entry) == str(number).encode(), 8)
        daemon.wait_event("job.succeeded", id=entry)
        wait_until(lambda: [c for c in clients(box) if c["cmd"] == "xreadgroup" and "b" in c["flags"]], 10, "it waits in a read again")
        box.r.script_flush()
    box.wait_done()
    assert len(daemon.events("job.started")) == 3


# ---- Redis refuses ----

@pytest.mark.parametrize("attempt", [1, 2])
def test_full_redis(box, attempt):
    """Its success counts, its result is not kept, and that is told."""
    gate = box.gate()
    daemon = box.daemon({"exec": in_sh("test $XACKD_ATTEMPT = %d || exit 1; : < %s; echo RESULT=x >&3" % (attempt, gate.path)),
                         "retry": {"initial": "1ms"}})
    daemon.allow_errors = True
    entry = box.add()
    daemon.wait_event("job.started", id=entry, attempt=attempt)
    box.r.config_set("maxmemory", "1")
    with pytest.raises(redis.exceptions.ResponseError):
        box.r.set("x", "y")
    gate.open()
    daemon.wait_event("job.succeeded", id=entry, attempt=attempt)
    told = daemon.wait_event("job.result_dropped", id=entry)
    assert "OOM" in told["why"] and told["bytes"] == 1
    wait_until(lambda: box.pending_count() == 0)
    assert kept(box, entry) is None
    box.r.config_set("maxmemory", "0")
    again = box.add()
    daemon.wait_event("job.retry", id=again) if attempt > 1 else None
    wait_until(lambda: kept(box, again) == b"x")


def test_key_of_another_type(box):
    gate = box.gate()
    daemon = box.daemon({"exec": in_sh(": < %s; echo RESULT=x >&3" % gate.path)})
    entry = box.add()
    box.r.rpush(key(entry), "a", "b")
    daemon.wait_event("job.started", id=entry)
    gate.open()
    box.wait_done()
    assert kept(box, entry) == b"x" and 0 < box.r.ttl(key(entry)) <= 3600
    box.r.delete(key(entry))
    box.r.rpush(key(entry), "a", "b")
    assert box.ctl("wait", entry, "--json").json["result"] is None
    assert box.ctl("explain", entry, "--json").json["result"] is None


def test_right_is_missing(box):
    box.r.execute_command("ACL", "SETUSER", "worker", "on", ">pw", "~*", "&*", "+@all", "-set")
    password = box.write("password", "pw\n", 0o600)
    daemon = box.daemon({"exec": in_sh(SAY)}, redis={"url": box.redis.url, "username": "worker", "password_file": password})
    entry = box.add()
    daemon.wait_event("job.succeeded", id=entry)
    box.wait_done()
    assert kept(box, entry) is None and daemon.wait_event("job.result_dropped", id=entry)["why"]
    box.r.execute_command("ACL", "SETUSER", "worker", "+set", "-xack")
    daemon.allow_errors = True
    entry = box.add()
    daemon.wait_event("redis.error")
    assert kept(box, entry) in (None, b""), "not acknowledged, not kept"
    box.r.execute_command("ACL", "SETUSER", "worker", "+xack")
    wait_until(lambda: kept(box, entry) == b"1", 20)
    box.wait_done()


def test_group_is_destroyed_while_it_runs(box):
    gate = box.gate()
    daemon = box.daemon({"exec": box.recording(": < %s; echo RESULT=x >&3" % gate.path)})
    entry = box.add()
    daemon.wait_event("job.started", id=entry)
    box.r.execute_command("XGROUP", "DESTROY", "work", "xackd")
    gate.open()
    daemon.wait_event("job.succeeded", id=entry)
    box.wait_done()
    assert kept(box, entry) == b"x"
    never(lambda: len(box.runs()) > 1, 0.3)


# ---- what it costs ----

def cost(box, job, count):
    box.daemon(job)
    box.add_many("work", 20)
    box.wait_done()
    box.ctl("pause", "work")
    ids = at_once(box, range(count))
    box.r.config_resetstat()
    box.ctl("resume", "work")
    box.wait_done(timeout=60)
    made = calls(box)
    return ids, sum(made.get(name, 0) for name in ("xreadgroup", "evalsha", "eval")) + made.get("xack", 0) - made.get("xpending", 0), made


def test_commands_a_job(box):
    """As many as without: what a script calls is counted by Redis, too, and is taken off."""
    ids, sent, made = cost(box, {"exec": in_sh(SAY), "lease": "60s"}, 300)
    assert all(kept(box, entry) == str(n).encode() for n, entry in enumerate(ids))
    assert sent <= 2.05 * 300, made
    assert made["set"] <= 1.05 * 300 and made["xpending"] <= 1.05 * 300, made


def test_commands_a_job_of_a_process_that_stays(box):
    ids, sent, made = cost(box, persistent(box, "for e in lines():\n    say(e['id'], result=int(e['fields']['n']))\n", window=100, lease="60s"), 3000)
    assert all(kept(box, entry) == str(n).encode() for n, entry in enumerate(ids))
    assert sent <= 0.06 * 3000, made


def test_without_a_result_nothing_is_asked(box):
    _, _, made = cost(box, {"exec": ["/bin/true"], "lease": "60s"}, 100)
    assert "set" not in made and made.get("evalsha", 0) + made.get("eval", 0) <= 12 and made["xack"] <= 101, made


# ---- xackctl ----

def test_wait_and_explain(box):
    daemon = box.daemon({"work": {"exec": in_sh("printf 'RESULT=naïve \\033[31m\\t%s' \"$FIELD_N\" >&3")}, "none": {"exec": ["/bin/true"]}})
    entry = box.add()
    box.wait_done()
    assert box.ctl("wait", entry).text == entry + " acknowledged\nnaïve \\x1b[31m\\t1\n"
    told = box.ctl("wait", entry, "--json").json
    assert told["result"] == "naïve \033[31m\t1" and told["state"] == "acknowledged"
    assert box.ctl("wait", entry, "--raw").stdout == "naïve \033[31m\t1".encode()
    assert box.ctl("explain", entry, "--json").json["result"] == "naïve \033[31m\t1"
    assert "naïve \\x1b[31m\\t1\n" in box.ctl("explain", entry).text
    box.r.xdel("work", entry)
    assert box.ctl("wait", entry, "--json", "--job", "work").json["result"] == told["result"], "gone from the stream"
    other = box.add("none")
    box.wait_done("none")
    assert box.ctl("wait", other).text == other + " acknowledged\n"
    assert box.ctl("wait", other, "--json").json["result"] is None
    assert box.ctl("explain", other, "--json").json["result"] is None
    raw = box.ctl("wait", other, "--raw", status=1)
    assert raw.stdout == b"" and "no result" in raw.errors
    assert daemon.stop() == 0


def test_what_is_no_text(box):
    box.daemon({"exec": in_sh(r"printf 'RESULT=\000\377\n' >&3")})
    entry = box.add()
    box.wait_done()
    for verb in ("wait", "explain"):
        told = box.ctl(verb, entry, "--json").json
        assert told["result_b64"] == "AP8=" and "result" not in told
    assert box.ctl("wait", entry).text == entry + " acknowledged\n\\x00\\xff\n"
    assert box.ctl("wait", entry, "--raw").stdout == b"\0\xff"


def test_a_large_one_is_told_whole(box):
    box.daemon(persistent(box, "for e in lines():\n    say(e['id'], result='\\n' * %d)\n" % LIMIT))
    entry = box.add()
    box.wait_done()
    assert box.ctl("wait", entry).text == entry + " acknowledged\n" + LIMIT * "\\n" + "\n"
    assert box.ctl("wait", entry, "--raw").stdout == LIMIT * b"\n"
    assert box.ctl("wait", entry, "--json").json["result"] == LIMIT * "\n"


def test_add_and_wait(box):
    box.daemon({"exec": in_sh('test "$FIELD_N" != bad || exit 65; test "$FIELD_N" = none || printf "RESULT=<%s>" "$FIELD_N" >&3')})
    done = box.ctl("add", "work", "n=a", "--wait")
    entry, result = done.text.splitlines()
    assert result == "<a>" and kept(box, entry) == b"<a>"
    told = box.ctl("add", "work", "n=b", "--wait", "--timeout", "20s", "--json").json
    assert told["result"] == "<b>" and told["state"] == "acknowledged" and told["stream"] == "work" and kept(box, told["id"]) == b"<b>"
    assert box.ctl("add", "work", "n=@-", "--wait", "--raw", stdin=b"c\xff").stdout == b"<c\xff>"
    assert len(box.ctl("add", "work", "n=none", "--wait").text.split()) == 1
    dead = box.ctl("add", "work", "n=bad", "--wait", status=1)
    assert len(dead.text.split()) == 1 and "is a dead letter" in dead.errors
    told = json.loads(box.ctl("add", "work", "n=bad", "--wait", "-o", "json", status=1).text)
    assert told["state"] == "dead" and told["dead_id"] and told["result"] is None
    missing = box.ctl("add", "work", "n=none", "--wait", "--raw", status=1)
    assert missing.stdout == b"" and "no result" in missing.errors


def test_add_and_wait_tells_the_id_at_once(box):
    gate = box.gate()
    daemon = box.daemon({"exec": in_sh(": < %s; echo RESULT=x >&3" % gate.path)})
    late = box.ctl("add", "work", "n=1", "--wait", "--timeout", "100ms", status=75)
    assert len(late.text.split()) == 1 and "still " in late.errors
    adding = subprocess.Popen([XACKCTL, "-c", daemon.file, "add", "work", "n=1", "--wait"], stdout=subprocess.PIPE, text=True)
    box.others.append(adding)
    entry = adding.stdout.readline().strip()
    assert adding.poll() is None and box.r.xrange("work", entry, entry)
    gate.open()
    assert adding.communicate(timeout=20 * SLOW)[0] == "x\n" and adding.returncode == 0


@pytest.mark.parametrize("args", [["--raw"], ["--timeout", "1s"], ["--wait", "--raw", "--json"]])
def test_options_that_go_nowhere(box, args):
    daemon = box.daemon()
    done = box.ctl("add", "work", "n=1", *args, config=daemon.file, status=64)
    assert done.stdout == b"" and done.errors
    assert not box.r.exists("work") or box.r.xlen("work") == 0


def test_waits_while_redis_is_away(box):
    gate = box.gate()
    daemon = box.daemon({"exec": in_sh(": < %s; echo RESULT=x >&3" % gate.path)})
    daemon.allow_errors = True
    adding = subprocess.Popen([XACKCTL, "-c", daemon.file, "add", "work", "n=1", "--wait"], stdout=subprocess.PIPE, text=True)
    box.others.append(adding)
    entry = adding.stdout.readline().strip()
    daemon.wait_event("job.started", id=entry)
    box.redis.restart()
    gate.open()
    assert adding.communicate(timeout=30 * SLOW)[0] == "x\n" and adding.returncode == 0


# ---- the example ----

def example(box, name):
    """As it stands in contrib/handlers, with work that gives something."""
    with open(os.path.join(TOP, "contrib", "handlers", name), encoding="utf-8") as text:
        text = text.read()
    nothing, something = {"persistent.py": ("return None", "return {'fields': len(entry['fields'])}"),
                          "persistent.js": ("return undefined;", "return { fields: Object.keys(entry.fields).length };")}[name]
    assert text.count(nothing) == 1
    return box.write(name, text.replace(nothing, something), 0o755)


@pytest.mark.parametrize("name", ["persistent.py", "persistent.js"])
def test_examples(box, name):
    if name.endswith(".js") and not shutil.which("node"):
        pytest.skip("node is not installed")
    box.daemon({"exec": [example(box, name)], "mode": "persistent", "persistent": {"window": 10}})
    assert json.loads(box.ctl("add", "work", "n=4", "m=5", "--wait", "--raw").stdout) == {"fields": 2}
