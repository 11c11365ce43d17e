"""xackctl top: the full screen in tmux, and frames with --batch. What stands on the screen is what tmux, a terminal of its own,
made of it: a value that could move the cursor would be seen here."""
import json
import os
import pty
import re
import signal
import subprocess
import unicodedata

import pytest

from harness import BYSTANDERS, SLOW, XACKCTL, children, in_sh, wait_until

HOSTILE = "\x1b[2J\x1b[1;1H\x1b]0;owned\x07 \x9b31m 漢字 e\u0301\u0302 \u202eabc\u2066 \udcff\udcfe tab\there\r\nFORGED\x7f"


def width(line):
    """Columns of a line on the screen."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


class Screen:
    """xackctl top in a tmux of the test's own; its status stands on the screen when it has ended."""

    def __init__(self, box, number, file, *args, rows=24, columns=80, env=()):
        self.box = box
        self.socket = box.path("tmux-%d" % number)
        self.rows, self.columns = rows, columns
        script = box.script("top-%d.sh" % number, 'trap : INT\nstty -g >%s\nenv LC_ALL=C.UTF-8 %s %s -c %s top %s\nstatus=$?\nstty -g >%s\n'
                            'echo "ended with $status"\nexec cat\n' % (
                                box.path("stty-before"), " ".join(env), XACKCTL, file, " ".join(args), box.path("stty-after")))
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows), script)

    def tmux(self, *args):
        environment = dict(os.environ, LC_ALL="C.UTF-8", TERM="screen")
        environment.pop("TMUX", None)
        done = subprocess.run(["tmux", "-u", "-S", self.socket] + list(args), capture_output=True, timeout=20 * SLOW, env=environment)
        assert done.returncode == 0, (args, done.stderr)
        return done.stdout.decode("utf-8")

    def lines(self):
        return self.tmux("capture-pane", "-p").split("\n")[:-1]

    def text(self):
        return "\n".join(self.lines())

    def wait(self, *wanted, gone=(), timeout=15):
        """Until all of these stand on the screen, and none of those; gives it."""
        def there():
            self.seen = self.text()
            return all(w in self.seen for w in wanted) and not any(g in self.seen for g in gone)
        try:
            wait_until(there, timeout, "%s on the screen" % (wanted,), step=0.05)
        except AssertionError as error:
            raise AssertionError("%s:\n%s" % (error, self.seen)) from None
        return self.seen

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def resize(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def pid(self):
        parent = self.tmux("display-message", "-p", "#{pane_pid}").strip()
        done = subprocess.run(["pgrep", "-P", parent, "xackctl"], capture_output=True, text=True, timeout=20)
        return int(done.stdout.split()[0])

    def check(self):
        """Whole lines, a head and a foot at their places."""
        def drawn():
            self.seen = self.lines()
            return len(self.seen) == self.rows and self.seen[0].startswith("xackd h1") and self.seen[2].startswith("Redis") and \
                self.seen[-1].startswith(("q quit", "row")) and [line for line in self.seen if re.match("1 QUE", line)]
        try:
            wait_until(drawn, 10)
        except AssertionError:
            raise AssertionError("\n".join(self.seen)) from None
        assert all(width(line) <= self.columns for line in self.seen), self.seen
        return self.seen

    def ended(self, status=0):
        """It is over and the terminal is as it was: the shell's screen, echo, line by line."""
        self.wait("ended with %d" % status, gone=["QUEUE", "q quit"])
        assert self.box.read("stty-before") == self.box.read("stty-after") != ""
        assert self.tmux("display-message", "-p", "#{alternate_on} #{cursor_flag} #{keypad_cursor_flag}").split() == ["0", "1", "0"]
        self.keys("echoed", "Enter")
        self.wait("echoed\nechoed")

    def close(self):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], capture_output=True, timeout=20 * SLOW)


def reaped(box):
    """What ran in a tmux falls to this process when that ends."""
    known = {d.pid for d in box.daemons} | {s.process.pid for s in box._servers} | BYSTANDERS
    left = [p for p in children(os.getpid()) if p.pid not in known]
    for p in left:
        os.waitpid(p.pid, os.WNOHANG)
    return not left


@pytest.fixture
def screens(box):
    opened = []

    def open_one(file, *args, **how):
        opened.append(Screen(box, len(opened), file, *args, **how))
        return opened[-1]
    yield open_one
    for screen in opened:
        screen.close()
    wait_until(lambda: reaped(box), 10, "tmux and what ran in it have ended")


@pytest.fixture
def desk(box):
    """A daemon whose job does what its entry says; another whose entries wait."""
    gate = box.gate()
    daemon = box.daemon({
        "work": {"exec": in_sh("case $FIELD_DO in slow) printf 'PROGRESS=40\\nSTATUS=%%s\\n' \"$FIELD_STATUS\" >&3; : < %s;; "
                               "fail) echo reason >&2; exit 3;; dead) exit 65;; esac" % gate.path), "retry": {"initial": "1h"}},
        "other": {"exec": ["/bin/true"]}}, workers=3)
    daemon.gate = gate
    return daemon


def open_top(screens, daemon, *args, **how):
    screen = screens(daemon.file, "--interval", "200ms", *args, **how)
    screen.wait("1 QUEUE")
    return screen


# ---- the full screen ----

def test_what_it_shows(box, desk, screens):
    running = box.add(fields={"do": "slow", "status": "half way"})
    failed = box.add(fields={"do": "fail"})
    dead = box.add(fields={"do": "dead"})
    desk.wait_event("job.dead", id=dead)
    desk.wait_event("job.retry", id=failed)
    screen = open_top(screens, desk)
    text = screen.wait("running, up for", "workers 1/3 busy", "half way", "exit 65", "exit 3")
    screen.check()
    assert re.search(r"^work +0 +1 +1 +1 ", text, re.M), text
    assert re.search(r"^default/\d busy +work %s +1 .* 40 half way" % running, text, re.M), text
    assert re.search(r" work +%s dead +1 +- exit 65" % dead, text) and re.search(r" work +%s parked +1 .* exit 3" % failed, text)
    assert re.search(r"failed/s", text) and "redis.sock" in text
    screen.keys("q")
    screen.ended()


def test_hostile_values_in_every_place(box, desk, screens):
    """What an entry, a handler or a forger of notes and dead letters says moves nothing, at any size."""
    value = HOSTILE.encode("utf-8", "surrogateescape")
    running = box.raw("XADD", "work", "*", "do", "slow", "status", value.replace(b"\n", b" "), value, value).decode()
    failed = box.raw("XADD", "work", "*", "do", "fail", value, value).decode()
    desk.wait_event("job.retry", id=failed)
    desk.wait_event("job.started", id=running)
    text = HOSTILE.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    box.r.hset(box.key("note"), failed, json.dumps({"reason": text, "detail": text, "stderr": text, "at_ms": 1}))
    pairs = ["id", running, "job", value, "reason", value, "detail", value, "attempts", value, "stderr", value]
    box.raw("XADD", box.key("dead"), "*", "xackd.meta", len(pairs) // 2,
            *[part for name, what in zip(pairs[::2], pairs[1::2]) for part in ("xackd." + name, what)], "f", value)
    screen = open_top(screens, desk)
    screen.wait("\\x1b[2J")
    for rows, columns in ((24, 80), (10, 40), (40, 200), (24, 80)):
        screen.resize(rows, columns)
        lines = screen.check()
        assert not [line for line in lines if line.strip().startswith("FORGED")]
    assert screen.tmux("display-message", "-p", "#{pane_title}").strip() != "owned"
    for pane in "23":
        screen.keys(pane, "Enter")
        screen.wait("Fields", "\\x1b[2J\\x1b[1;1H\\x1b]0;owned\\x07", "\\xff\\xfe", "\\u{202e}")
        assert all(width(line) <= 80 for line in screen.lines())
        screen.keys("q")
        screen.wait("1 QUEUE")
    screen.keys("q")
    screen.ended()
    desk.gate.open()


def test_sizes(box, desk, screens):
    for n in range(30):
        box.add(fields={"do": "fail"})
    box.wait_pending(30)
    screen = open_top(screens, desk)
    screen.wait("parked")
    screen.keys("3", "G")
    screen.wait("row 20 of 20")
    for rows, columns, wanted in ((12, 50, "3 AGO"), (50, 132, "q quit"), (6, 20, "xackd h1"), (4, 10, "too small"), (24, 80, "q quit")):
        screen.resize(rows, columns)
        screen.wait(wanted)
        wait_until(lambda: len(screen.lines()) == rows, 5, "%d lines" % rows)
        assert all(width(line) <= columns for line in screen.lines())
    screen.check()
    screen.keys("q")
    screen.ended()


def test_keys(box, desk, screens):
    failed = [box.add(fields={"do": "fail", "marked": "with-this"}) for _ in range(2)]
    for entry in failed:
        desk.wait_event("job.retry", id=entry)
    screen = open_top(screens, desk)
    screen.wait(*failed)
    screen.keys("?")
    screen.wait("Ctrl-L")
    screen.keys("x", "3", "s", "s", "s")
    screen.wait("ID>")
    screen.keys("/", failed[0][-6:], "Enter")
    screen.wait("filter", failed[0], gone=[failed[1]])
    screen.keys("Enter")
    screen.wait("State             parked", "with-this", "exit 3", "Its stderr        reason", failed[0])
    screen.keys("r")
    screen.wait("Retry %s now? (y/n)" % failed[0])
    screen.keys("n")
    screen.wait("q back")
    assert box.note(failed[0])["attempt"] == 1
    screen.keys("r", "y")
    desk.wait_event("job.started", id=failed[0], attempt=2)
    screen.wait("Attempt           2")
    screen.keys("q")
    screen.wait("1 QUEUE")
    screen.keys("Escape")
    screen.wait(failed[1])
    screen.keys("q")
    screen.ended()
    assert not desk.events("job.started", id=failed[1], attempt=2)


def test_pause_and_resume(box, desk, screens):
    screen = open_top(screens, desk)
    screen.keys("j", "p")
    screen.wait("Pause queue work, on all hosts? (y/n)")
    screen.keys("Escape")
    screen.wait("q quit")
    assert not box.r.exists(box.key("paused"))
    screen.keys("p", "y")
    screen.wait("queue work/xackd is paused")
    assert box.r.exists(box.key("paused")) and not box.r.exists(box.key("paused", "other"))
    wait_until(lambda: re.search(r"^work .* paused$", screen.text(), re.M), 10, "its row says so")
    entry = box.add()
    wait_until(lambda: re.search(r"^work +1 +0 ", screen.text(), re.M), 10, "it waits")
    screen.keys("p")
    screen.wait("Resume queue work")
    screen.keys("y")
    screen.wait("goes on")
    desk.wait_event("job.succeeded", id=entry)
    assert not box.r.exists(box.key("paused"))
    screen.keys("q")
    screen.ended()


def test_it_goes_on_when_redis_or_the_daemon_come_back(box, desk, screens):
    screen = open_top(screens, desk)
    desk.allow_errors = True
    box.redis.kill()
    screen.wait("cannot be reached")
    wait_until(lambda: re.search(r"^work +- +- ", screen.text(), re.M), 10, "no figures that are old")
    screen.keys("p")
    screen.wait("Redis does not tell")
    box.redis.start()
    box.add()
    screen.wait("Redis unix://", gone=["cannot be reached"])
    wait_until(lambda: re.search(r"^work +0 +0 ", screen.text(), re.M), 15, "its figures again")
    assert desk.stop() == 0
    screen.wait("the daemon does not run (nobody answers at", "its workers are not known")
    wait_until(lambda: re.search(r"^work +0 +0 ", screen.text(), re.M), 10, "Redis's figures go on")
    box.again(desk)
    screen.wait("running, up for", "default/2", gone=["does not run"])
    screen.keys("q")
    screen.ended()


def test_keys_work_while_redis_is_frozen(box, desk, screens):
    screen = open_top(screens, desk)
    box.redis.freeze()
    try:
        screen.keys("2")
        screen.keys("?")
        screen.wait("Ctrl-L")
        screen.keys("x")
        screen.wait("NO NEWS", "does not answer", timeout=30)
        screen.keys("q")
        screen.ended()
    finally:
        box.redis.thaw()


@pytest.mark.parametrize("number,status", [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=lambda v: str(int(v)))
def test_signals_leave_the_terminal_as_it_was(box, desk, screens, number, status):
    screen = open_top(screens, desk)
    if number == signal.SIGINT:
        screen.keys("C-c")
    else:
        os.kill(screen.pid(), number)
    screen.ended(status)


@pytest.mark.parametrize("kind", ["no-such-terminal", "dumb"])
def test_a_terminal_that_cannot_be_drawn_on(box, desk, kind):
    """In a pty, for it must be a terminal; there is no screen, but a word about --batch."""
    main, side = pty.openpty()
    done = subprocess.run([XACKCTL, "-c", desk.file, "top"], stdin=side, stdout=side, stderr=subprocess.PIPE, text=True,
                          timeout=20 * SLOW, env=dict(os.environ, TERM=kind))
    os.close(side)
    os.close(main)
    assert done.returncode == 64 and kind in done.stderr and "--batch" in done.stderr


# ---- without a terminal ----

@pytest.mark.parametrize("args,word", [
    ([], "terminal"), (["-o", "json"], "--batch"), (["--limit", "2"], "--batch"), (["--batch", "--interval", "1ms"], "--interval"),
    (["--batch", "--interval", "5"], "duration"), (["--batch", "extra"], "too many"),
], ids=lambda v: "_".join(v) if isinstance(v, list) else v)
def test_usage(box, desk, args, word):
    done = box.ctl("top", *args, status=64)
    assert word in done.errors and not done.text


def test_batch(box, desk):
    running = box.add(fields={"do": "slow", "status": HOSTILE.replace("\n", " ").encode("utf-8", "surrogateescape")})
    dead = box.add(fields={"do": "dead"})
    desk.wait_event("job.dead", id=dead)
    desk.wait_event("job.started", id=running)
    text = box.ctl("top", "--batch", "-n", "2", "--interval", "100ms").text
    assert text.count("xackd h1 ") == 2 and text.count("QUEUE ") == 2 and text.count(dead) == 2
    assert all(c == "\n" or c.isprintable() or unicodedata.combining(c) for c in text), text
    desk.gate.open()


def test_batch_json(box, desk):
    entry = box.add(fields={"do": "slow", "status": "half way"})
    box.add(fields={"do": "fail"})
    desk.wait_event("job.retry")
    box.wait_pending(2)
    done = box.ctl("top", "--batch", "-o", "jsonl", "-n", "2", "--interval", "100ms")
    frames = [json.loads(line) for line in done.text.splitlines()]
    assert len(frames) == 2
    for frame in frames:
        assert frame["daemon"]["state"] == "running" and frame["daemon"]["busy"] == 1 and frame["redis_error"] is None
        queue, = [q for q in frame["queues"] if q["stream"] == "work"]
        assert (queue["running"], queue["parked"], queue["dead"], queue["state"], queue["jobs"]) == (1, 1, 0, "ok", ["work"])
        worker, = [w for w in frame["workers"] if w["state"] == "busy"]
        assert (worker["id"], worker["progress"], worker["status"]) == (entry, 40, "half way")
        failure, = frame["failures"]
        assert (failure["state"], failure["detail"], failure["attempts"]) == ("parked", "exit 3", 1) and failure["due_in_ms"] > 0
    assert frames[0]["queues"][0]["done_per_s"] is None and frames[1]["daemon"]["failed_per_s"] == 0
    desk.gate.open()


def test_batch_without_redis_or_daemon(box, desk):
    box.add()
    box.wait_done()
    assert desk.stop() == 0
    text = box.ctl("top", "--batch", "-n", "1").text
    assert "the daemon does not run" in text and re.search(r"^work +0 +0 ", text, re.M)
    box.redis.kill()
    done = box.ctl("top", "--batch", "-n", "1", status=69)
    assert "cannot be reached" in done.text and re.search(r"^work +- ", done.text, re.M) and not done.errors


def test_rates(box, desk):
    """Done by all hosts as Redis counts it, failed as this daemon does: what they sum up to is what happened."""
    count, bad = 40, 10
    watch = subprocess.Popen([XACKCTL, "-c", desk.file, "top", "--batch", "-o", "jsonl", "--interval", "100ms"],
                             stdout=subprocess.PIPE, text=True)
    sums = {"done_per_s": 0, "failed_per_s": 0}

    def add_up():
        frame = json.loads(watch.stdout.readline())
        queue, = [q for q in frame["queues"] if q["stream"] == "work"]
        for name in sums:
            sums[name] += (queue[name] or 0) * (frame["at_ms"] - add_up.before) / 1000
        add_up.before = frame["at_ms"]
        return [round(value / 4) * 4 for value in sums.values()]
    try:
        add_up.before = json.loads(watch.stdout.readline())["at_ms"]
        for n in range(count):
            box.add(fields={"do": "fail" if n < bad else "ok"})
        desk.wait_event("job.succeeded", count=count - bad)
        # Tenths of a second's rate, times a tenth of a second: a few are lost in rounding.
        wait_until(lambda: add_up() and abs(sums["done_per_s"] - (count - bad)) < 4 and abs(sums["failed_per_s"] - bad) < 3, 10,
                   "%d done, %d failed: %s" % (count - bad, bad, sums))
    finally:
        watch.kill()
        watch.wait()
        watch.stdout.close()


def test_costs_do_not_grow(box, desk):
    """The commands that a frame costs are the same with ten and with thousands of parked and dead entries."""
    def cost():
        before = box.r.info("commandstats")
        box.ctl("top", "--batch", "-n", "3", "--interval", "100ms")
        after = box.r.info("commandstats")
        return sum(after[name]["calls"] - before.get(name, {"calls": 0})["calls"] for name in after
                   if name not in ("cmdstat_info", "cmdstat_time", "cmdstat_xinfo|groups"))
    assert desk.stop() == 0

    def fill(count):
        pipe = box.r.pipeline(transaction=False)
        for n in range(count):
            pipe.xadd("work", {"do": "x"}, id="%d-1" % (box.r.filled + n))
        ids = pipe.execute()
        box.r.xreadgroup("xackd", "h9/default/0/0123456789abcdef", {"work": ">"}, count=count)
        pipe.execute_command("XCLAIM", "work", "xackd", "xackd:parked", 0, *ids, "JUSTID")
        pipe.zadd(box.key("due"), {i: 9000000000000 for i in ids})
        for i in ids:
            pipe.xadd(box.key("dead"), {"xackd.meta": "1", "xackd.id": i, "f": "v"})
        pipe.execute()
        box.r.filled += count
    box.r.filled = 1700000000000
    fill(50)
    few = cost()
    fill(3000)
    many = cost()
    assert many <= few * 1.1 + 5, (few, many)


def test_dead_letters_that_go_are_gone(box, desk):
    """They are read once; what is purged or requeued meanwhile does not stay on the screen."""
    letters = []
    for _ in range(3):
        entry = box.add(fields={"do": "dead"})
        desk.wait_event("job.dead", id=entry)
        letters.append(entry)
    watch = subprocess.Popen([XACKCTL, "-c", desk.file, "top", "--batch", "-o", "jsonl", "--interval", "100ms"],
                             stdout=subprocess.PIPE, text=True)

    def dead():
        return sorted(f["id"] for f in json.loads(watch.stdout.readline())["failures"] if f["dead"])
    try:
        assert dead() == letters
        box.ctl("dead", "purge", letters[1])
        wait_until(lambda: dead() == [letters[0], letters[2]], 10, "it is gone")
        more = box.add(fields={"do": "dead"})
        wait_until(lambda: dead() == [letters[0], letters[2], more], 10, "the new one is there")
        box.ctl("dead", "purge", "--all", "--yes")
        wait_until(lambda: dead() == [], 10, "all are gone")
    finally:
        watch.kill()
        watch.wait()
        watch.stdout.close()


def test_a_queue_that_redis_refuses(box, desk):
    box.r.delete("other")
    box.r.set("other", "not a stream")
    desk.allow_errors = True
    text = box.ctl("top", "--batch", "-n", "1").text
    assert re.search(r"^other .* refused$", text, re.M) and re.search(r"^work +0 ", text, re.M)
