"""xackctl as an operator's desk: check, wait, events, dead letters edited and carried about, retries by filter, completion."""
import json
import os
import subprocess
import threading

import pytest

from harness import SLOW, TOP, XACKCTL, Gate, in_sh, wait_until
from test_xackctl import Desk, UNKNOWN, desk, now_ms, run, shared  # noqa: F401  (fixtures)

BINARY = [(b"bin\xff\x00", b"\x00\x01\xfe\xff"), (b"plain", "naïve\u2028".encode()), (b"plain", b"again"), (b"", b"")]


def raw_dead(box, stream="work"):
    return box.raw("XRANGE", box.key("dead", stream), "-", "+")


# ---- check ----

def test_check(desk, box):
    done = desk.ctl("check", "--max-waiting", "1", "--max-age", "1h", "--max-dead", "0", status=0)
    assert done.text.startswith("XACKD OK - ") and done.text.count("\n") == 1
    assert "'work/xackd waiting'=0;;1;0" in done.text and "'work/xackd dead'=0;;0;0" in done.text
    box.add_many("work", 2)
    done = desk.ctl("check", "--max-waiting", "1", status=2)
    assert done.text.startswith("XACKD CRITICAL - work/xackd: 2 waiting (at most 1) | ")
    assert desk.ctl("check", "--max-waiting", "2", status=0)
    desk.bury()
    assert "1 dead letters" in desk.ctl("check", "--max-dead", "0", status=2).text
    desk.ctl("pause", "work")
    assert desk.ctl("check", status=1).text.startswith("XACKD WARNING - work/xackd: paused |")
    assert json.loads(desk.ctl("check", "--json", status=1).text)["status"] == "WARNING"
    assert desk.ctl("check", "--max-dead", "0", status=2)


def test_check_age(desk, box):
    seconds = now_ms(box) - 7200000
    box.raw("XADD", "old", "%d-0" % seconds, "n", "1")
    box.r.rename("old", "work")
    box.r.xgroup_create("work", "xackd", id="0")
    done = desk.ctl("check", "--max-age", "1h", status=2)
    assert "the oldest waits for 2 h" in done.text and "'work/xackd age'=72" in done.text
    assert desk.ctl("check", "--max-age", "3h", status=0)


def test_check_cannot_tell(desk, box):
    box.r.delete("work")
    box.r.set("work", "a text")
    assert desk.ctl("check", status=3).text.startswith("XACKD UNKNOWN - work/xackd: WRONGTYPE")
    box.redis.kill()
    assert desk.ctl("check", status=3).text.startswith("XACKD UNKNOWN - Redis at ")
    file = box.write("bad.yaml", "jobs: 3\n")
    done = run("-c", file, "check")
    assert done.returncode == 3 and done.stdout.startswith("XACKD UNKNOWN - ") and done.stdout.count("\n") == 1
    assert desk.ctl("check", "--job", "nonsense", status=3).text.startswith("XACKD UNKNOWN")


# ---- wait ----

def test_wait(desk, box):
    done = box.add()
    desk.fetch()
    box.r.xack("work", "xackd", done)
    assert desk.json("wait", done)["state"] == "acknowledged"
    dead_id, entry = desk.bury()
    told = desk.ctl("wait", entry, status=1)
    assert told.text == entry + " dead\n" and dead_id in told.errors
    later = box.add()
    assert "still waiting" in desk.ctl("wait", later, "--timeout", "100ms", status=75).errors
    assert "no queue" in desk.ctl("wait", UNKNOWN, status=1).errors


def test_wait_until_it_is_done(box):
    gate = box.gate()
    daemon = box.daemon({"exec": in_sh(": < %s" % gate.path)})
    entry = box.add()
    daemon.wait_event("job.started", id=entry)
    waiting = subprocess.Popen([XACKCTL, "-c", daemon.file, "wait", entry, "--timeout", "30s"], stdout=subprocess.PIPE, text=True)
    box.others.append(waiting)
    gate.open()
    assert waiting.communicate(timeout=20 * SLOW)[0] == entry + " acknowledged\n" and waiting.returncode == 0


# ---- events ----

EVENTS = [
    {"ts": "2026-01-01T00:00:00.000000Z", "level": "info", "event": "job.succeeded", "host": "h", "job": "a", "id": "1-1", "attempt": 1},
    {"ts": "2026-01-01T00:00:01.000000Z", "level": "warning", "event": "job.failed", "host": "h", "job": "a", "id": "1-2", "attempt": 2,
     "detail": "exit 3", "stderr": "\x1b[2Jboo\n"},
    {"ts": "2026-01-01T00:00:02.000000Z", "level": "error", "event": "redis.error", "host": "h", "why": "OOM"},
    {"ts": "2026-01-01T00:00:03.000000Z", "level": "info", "event": "job.retry", "host": "h", "job": "b", "id": "1-2", "due_ms": 5},
]


def log_of(box, name="log.jsonl", events=EVENTS):
    return box.write(name, "".join(json.dumps(e) + "\nStarted something.\n{\n" for e in events))


@pytest.mark.parametrize("filters, which", [
    ([], [0, 1, 2, 3]), (["--job", "a"], [0, 1]), (["--id", "1-2"], [1, 3]), (["--level", "warning"], [1, 2]), (["--event", "job.*"], [0, 1, 3]),
    (["--event", "job.failed"], [1]), (["--event", "job"], []), (["--job", "a", "--level", "warning"], [1]),
])
def test_events_filters(box, filters, which):
    done = run("events", log_of(box), "-o", "jsonl", *filters)
    assert done.returncode == 0 and [json.loads(line) for line in done.stdout.splitlines()] == [EVENTS[i] for i in which]


def test_events_in_words(box):
    with open(log_of(box), "rb") as log:
        done = subprocess.run([XACKCTL, "events"], stdin=log, capture_output=True, text=True, timeout=20)
    lines = done.stdout.splitlines()
    assert len(lines) == 4 and "\x1b" not in done.stdout
    assert lines[1] == '2026-01-01T00:00:01.000000Z warning job.failed    h a 1-2 attempt 2 detail="exit 3" stderr=\\x1b[2Jboo\\n'
    assert run("events", "--level", "loud").returncode == 64 and run("events", box.path("nowhere")).returncode == 1


def test_events_follows(box):
    log = log_of(box)
    follow = subprocess.Popen([XACKCTL, "events", "-f", log, "-o", "jsonl", "--job", "b"], stdout=subprocess.PIPE, text=True)
    box.others.append(follow)
    seen = []
    threading.Thread(target=lambda: [seen.append(json.loads(line)["id"]) for line in follow.stdout], daemon=True).start()
    wait_until(lambda: seen == ["1-2"], 10)
    with open(log, "a") as more:
        more.write(json.dumps(dict(EVENTS[3], id="2-1")) + "\n" + json.dumps(dict(EVENTS[3], id="2-2")))
        more.flush()
        wait_until(lambda: seen == ["1-2", "2-1"], 10)
        more.write("\n")
    wait_until(lambda: seen[2:] == ["2-2"], 10)
    os.rename(log, log + ".1")
    log_of(box, events=[dict(EVENTS[3], id="3-1")])
    wait_until(lambda: seen[3:] == ["3-1"], 10)
    follow.terminate()
    follow.wait()


def test_events_of_any_length(box):
    text = "x" * (3 << 20)
    log = box.write("log", json.dumps(dict(EVENTS[0], line=text)) + "\n" + json.dumps(EVENTS[1]) + "\n")
    done = run("events", log, "-o", "jsonl")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [EVENTS[1]]


# ---- dead letters: edit, export, import ----

def test_edit_by_fields(desk, box):
    dead_id, entry = desk.bury(fields=[("a", "1"), ("b", "2"), ("a", "3")])
    before = box.dead()[0]
    box.write("value", "a\udcff\0b")
    new = desk.ctl("dead", "edit", entry, "a=one", "c=@" + box.path("value")).text.strip()
    after = box.dead()
    assert len(after) == 1 and after[0]["dead_id"] == new != dead_id
    assert after[0].pop("pairs") == [(b"a", b"one"), (b"b", b"2"), (b"a", b"3"), (b"c", b"a\xff\0b")]
    before.pop("pairs")
    assert dict(after[0], dead_id=0) == dict(before, dead_id=0)
    assert box.note(entry)["dead_id"] == new and box.note(entry)["reason"] == "exit"
    assert desk.json("explain", entry)["dead_id"] == new
    requeued = desk.ctl("dead", "requeue", new).text.strip()
    assert dict(box.raw("XRANGE", "work", requeued, requeued) and
                {k: v for k, v in zip(*[iter(box.raw("XRANGE", "work", requeued, requeued)[0][1])] * 2)})[b"b"] == b"2"
    assert "no dead letter" in desk.ctl("dead", "edit", dead_id, "a=1", status=1).errors


def test_edit_in_an_editor(desk, box, monkeypatch):
    dead_id, entry = desk.bury(fields=BINARY)
    monkeypatch.setenv("VISUAL", box.script("same", "exit 0\n"))
    assert "nothing was changed" in desk.ctl("dead", "edit", dead_id, status=1).errors
    monkeypatch.setenv("VISUAL", box.script("fails", "exit 1\n"))
    assert "failed" in desk.ctl("dead", "edit", dead_id, status=1).errors
    monkeypatch.setenv("VISUAL", box.script("breaks", 'echo "{" > "$1"\n'))
    assert "nothing was changed" in desk.ctl("dead", "edit", dead_id, status=1).errors
    assert [r[0].decode() for r in raw_dead(box)] == [dead_id]
    monkeypatch.setenv("VISUAL", box.script("edits", 'stat -c %a "$2" > ' + box.path("mode") + '\nsed -i s/again/edited/ "$2"\n') + " --wait")
    desk.ctl("dead", "edit", dead_id)
    assert box.dead()[0]["pairs"] == BINARY[:2] + [(b"plain", b"edited")] + BINARY[3:]
    assert box.read("mode") == "600\n"


def test_import_of_an_id_of_the_future(desk, box):
    """Behind the greatest ID there is no dead letter could be written any more."""
    desk.bury(fields={"n": "1"})
    letter = json.loads(desk.ctl("dead", "export").stdout)
    desk.ctl("dead", "purge", "--all", "--yes")
    letter["dead_id"] = "18446744073709551615-18446744073709551615"
    desk.ctl("dead", "import", stdin=json.dumps(letter).encode())
    (row,) = raw_dead(box)
    seconds, _ = box.r.time()
    assert int(row[0].split(b"-")[0]) <= (seconds + 1) * 1000
    desk.bury(fields={"n": "2"})
    assert len(raw_dead(box)) == 2


def test_a_stream_that_ends_with_the_greatest_id(desk, box):
    """Nothing can be behind it, and that is no error."""
    top = "18446744073709551615-18446744073709551615"
    box.raw("XADD", "work", "1-1", "n", "1")
    box.raw("XADD", "work", top, "n", "2")
    (row,) = [row for row in desk.json("queues") if row["stream"] == "work"]
    assert row["waiting"] == 2
    box.raw("XREADGROUP", "GROUP", "xackd", "c", "COUNT", "5", "STREAMS", "work", ">")
    (row,) = [row for row in desk.json("queues") if row["stream"] == "work"]
    assert row["waiting"] == 0 and row["running"] == 2


def test_dead_letters_of_a_job_that_is_nowhere(desk, box):
    desk.bury(fields={"n": "1"})
    done = desk.ctl("dead", "ls", "--job", "wrok", status=1)
    assert "no job wrok" in done.errors
    assert "there is no job" not in desk.ctl("dead", "ls", "--job", "work").errors


def test_export_and_import(desk, box):
    letters = [desk.bury(fields=BINARY), desk.bury(fields={"n": "2"}, reason="timeout", exit=None), desk.bury(stderr=b"\x00\xff")]
    before, notes = raw_dead(box), box.r.hgetall(box.key("note"))
    text = desk.ctl("dead", "export").stdout
    assert [json.loads(line)["dead_id"] for line in text.splitlines()] == [dead_id for dead_id, _ in letters]
    assert len(desk.ctl("dead", "export", "--reason", "timeout").stdout.splitlines()) == 1
    assert desk.ctl("dead", "export", letters[1][1]).stdout == text.splitlines(True)[1]
    done = desk.ctl("dead", "import", stdin=text)
    assert done.text == "0 imported, 3 already there, 0 wrong\n" and raw_dead(box) == before
    # Elsewhere, or after all was lost: the very same, IDs too.
    box.r.delete(box.key("dead"), box.key("note"))
    file = box.path("letters")
    with open(file, "wb") as out:
        out.write(text)
    assert json.loads(desk.ctl("dead", "import", file, "--json").text) == {"imported": 3, "already_there": 0, "wrong": 0}
    assert raw_dead(box) == before
    # Where younger ones were they get new IDs, once.
    desk.ctl("dead", "purge", "--all", "--yes")
    for imported in (3, 0, 0):
        assert json.loads(desk.ctl("dead", "import", "--json", stdin=text).text)["imported"] == imported
        assert [row[1] for row in raw_dead(box)] == [row[1] for row in before]
    for (_, entry), row in zip(letters, raw_dead(box)):
        assert desk.json("explain", entry)["dead_id"] == row[0].decode()
    desk.ctl("dead", "requeue", "--all", "--yes")
    assert len(notes) == 3 and box.r.hlen(box.key("note")) == 0


def test_export_of_large_ones(desk, box):
    pairs = [(("f%d" % i).encode(), b"\xff%d" % i) for i in range(4000)]
    dead_id, entry = desk.bury(fields=pairs)
    text = desk.ctl("dead", "export").stdout
    box.r.delete(box.key("dead"), box.key("note"))
    desk.ctl("dead", "import", stdin=text)
    rows = raw_dead(box)
    assert rows[0][0].decode() == dead_id and b"xackd.packed" in rows[0][1]
    assert desk.ctl("dead", "export").stdout == text


def test_import_refuses(desk, box):
    desk.bury()
    good = json.loads(desk.ctl("dead", "export").stdout)
    box.r.delete(box.key("dead"), box.key("note"))
    wrong = ["", "nonsense", "[]", json.dumps(dict(good, stream="other")), json.dumps(dict(good, meta=good["meta"][:-1])),
             json.dumps(dict(good, pairs=[["a"]])), json.dumps(dict(good, dead_id="x")), json.dumps(dict(good, pairs=[["a", {"b64": "*"}]]))]
    done = desk.ctl("dead", "import", stdin=("\n".join(wrong + [json.dumps(good)])).encode(), status=1)
    assert done.text == "1 imported, 0 already there, 7 wrong\n" and "line 2: " in done.errors and "line 8: " in done.errors
    assert box.r.xlen(box.key("dead")) == 1
    dry = desk.ctl("dead", "import", "--dry-run", stdin=json.dumps(good).encode())
    assert "would be imported" in dry.text and box.r.xlen(box.key("dead")) == 1


# ---- retry by filter ----

def test_retry_by_filters(shared, box):
    thumbs = [shared.parked("media", {"type": "thumb", "n": str(i)}, note={"reason": "exit"}) for i in range(5)]
    videos = [shared.parked("media", {"type": "video", "n": str(i)}, note={"reason": "timeout"}) for i in range(5)]
    due = lambda: {i for i, at in box.r.zrange(box.key("due", "media"), 0, -1, withscores=True) if at <= now_ms(box)}  # noqa: E731
    assert "which?" in shared.ctl("retry", status=64).errors
    assert "3 parked entries would be retried now" in shared.ctl("retry", "--job", "thumb", "--limit", "3", status=1).errors
    assert len(shared.json("retry", "--reason", "timeout", "--dry-run")) == 5 and not due()
    assert len(shared.json("retry", thumbs[0], "--dry-run")) == 1 and not due()
    assert [row["id"] for row in shared.json("retry", "--reason", "timeout", "--yes")] == videos and due() == set(videos)
    shared.ctl("retry", "--match", "n=^[12]$", "--yes")
    assert due() == set(videos + thumbs[1:3])
    shared.ctl("retry", "--all", "--yes")
    assert due() == set(videos + thumbs) and shared.json("retry", "--all", "--yes") == []


@pytest.mark.big
def test_retry_of_many(desk, box):
    count = 20000
    box.add_many("work", count)
    for _ in range(count // 5000):
        ids = desk.fetch(count=5000)
        box.r.xclaim("work", "xackd", "xackd:parked", 0, ids, justid=True)
        box.r.zadd(box.key("due"), {entry: now_ms(box) + 3600000 for entry in ids})
    assert desk.ctl("retry", "--all", "--yes").text.count("\n") == count + 1
    assert box.r.zcount(box.key("due"), "-inf", now_ms(box)) == count


# ---- completion ----

def complete(box, line, config=None):
    words = line.split(" ")
    text = """source %s/contrib/completion/xackctl
COMP_WORDS=(%s)
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_xackctl
printf '%%s\\n' "${COMPREPLY[@]}"
""" % (TOP, " ".join("'%s'" % word for word in words))
    done = subprocess.run(["bash", "--norc", "-c", text], capture_output=True, text=True, timeout=20 * SLOW,
                          env=dict(os.environ, PATH=os.path.dirname(XACKCTL) + ":" + os.environ["PATH"]))
    assert done.stderr == ""
    return done.stdout.split()


def test_completion(shared, box):
    dead_id, _ = shared.bury()
    config = "xackctl -c %s " % shared.file
    assert "queues" in complete(box, "xackctl ") and complete(box, "xackctl que") == ["queues"]
    assert set(complete(box, "xackctl dead ")) == {"ls", "show", "requeue", "purge", "edit", "export", "import"}
    assert complete(box, "xackctl dead requeue --dr") == ["--dry-run"] and complete(box, "xackctl queues --dr") == []
    assert complete(box, "xackctl events --lev") == ["--level"] and complete(box, "xackctl -o ") == ["table", "json", "jsonl"]
    assert complete(box, config + "add th") == ["thumb"] and set(complete(box, config + "queues --job ")) == {"thumb", "video", "work"}
    assert complete(box, config + "dead show ") == [dead_id]
