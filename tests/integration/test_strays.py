"""Handlers that do not want to end: whatever they leave behind, the worker goes on, the timeout holds, nothing is left."""
import fcntl
import os
import pwd
import tempfile

import pytest

from harness import SLOW, alive, children, descendants, milliseconds, processes, wait_until

PYTHON = "/usr/bin/python3"


def pids(box, name="kids"):
    return [int(line) for line in box.lines(name)]


def wait_gone(box, name="kids"):
    wait_until(lambda: not any(alive(pid) for pid in pids(box, name)), 5, "nothing is left: %s" % pids(box, name))


def goes_on(box, daemon, worker):
    """The same worker takes the next entry, and has no child left over from before."""
    entry = box.add(fields={"n": "plain"})
    done = daemon.wait_event("job.succeeded", id=entry, timeout=15)
    assert daemon.workers() == [worker], "the worker is the same"
    wait_until(lambda: not children(worker), 5, "no child of it is left")
    wait_until(lambda: not daemon.zombies(), 5, "no zombie is left")
    return done


def play(box, script, timeout="1s", ends="job.succeeded", **job):
    """Run script (sh) once as an entry, with retries far away; then a plain one."""
    daemon = box.daemon(dict({"exec": ["/bin/sh", "-c", 'test "$FIELD_N" != plain || exit 0\n' + script.replace("{", "{{").replace("}", "}}")],
                              "timeout": timeout, "kill_grace": "500ms", "retry": {"initial": "1h"}}, **job))
    worker = daemon.wait_workers(1)[0]
    entry = box.add(fields={"n": "bad"})
    started = daemon.wait_event("job.started", id=entry)
    ended = daemon.wait_event(ends, id=entry, timeout=20)
    daemon.took_ms = milliseconds(ended["ts"]) - milliseconds(started["ts"])
    goes_on(box, daemon, worker)
    return daemon, ended


def test_double_fork(box):
    """Its grandchild is nobody's child and in another session."""
    play(box, "setsid sh -c 'sh -c \"echo \\$\\$ >> %s; exec sleep 600\" & exit 0'; while ! test -s %s; do sleep 0.02; done" % (box.path("kids"), box.path("kids")), timeout="20s")
    wait_until(lambda: pids(box), 5)
    wait_gone(box)


def test_a_chain_of_sessions(box):
    """Each of ten has a session of its own and has left its parent."""
    box.write("chain.py", CHAIN % box.path("kids"))
    box.write("kids", "")
    play(box, "%s %s; while test $(wc -l < %s) -lt 10; do sleep 0.02; done" % (PYTHON, box.path("chain.py"), box.path("kids")), timeout="20s")
    assert len(pids(box)) == 10
    wait_gone(box)


CHAIN = """
import os, time
for n in range(10):
    if os.fork():
        os._exit(0) if n else (os.wait(), os._exit(0))
    os.setsid()
    if os.fork() == 0:
        with open(%r, "a") as out:
            out.write("%%d\\n" %% os.getpid())
        time.sleep(600)
"""


@pytest.mark.parametrize("how", ["alone", "with children", "escaped"])
def test_term_is_ignored(box, how):
    """KILL comes after kill_grace, for all of them."""
    body = {"alone": "exec sleep 600",
            "with children": "sleep 600 & echo $! >> {k}; (trap '' TERM; sleep 600 & echo $! >> {k}; wait); wait; sleep 600",
            "escaped": "setsid sh -c 'echo $$ >> {k}; trap \"\" TERM; sleep 600; sleep 600' & wait; sleep 600"}[how]
    daemon, ended = play(box, "trap '' TERM\necho $$ >> {k}\n".replace("{k}", box.path("kids")) + body.replace("{k}", box.path("kids")),
                         timeout="500ms", ends="job.failed")
    assert ended["reason"] == "timeout"
    assert daemon.took_ms < 3000 * SLOW
    wait_gone(box)


def test_all_descriptors_closed(box):
    """No stdout, no stderr, no fd 3: it runs on in silence, and its end is seen."""
    daemon, ended = play(box, "exec 0<&- 1>&- 2>&- 3>&-; sleep 0.3; exit 0")
    assert ended["duration_ms"] >= 250


def test_all_descriptors_closed_and_the_timeout_holds(box):
    _, ended = play(box, "exec 0<&- 1>&- 2>&- 3>&-; exec sleep 600", ends="job.failed", timeout="300ms")
    assert ended["reason"] == "timeout"


def test_stdout_kept_open_in_the_background(box):
    """The end is that of the handler itself, not of whoever still holds its stdout."""
    daemon, _ = play(box, "sleep 600 & echo $! >> %s; setsid sleep 600 & echo $! >> %s; echo said; exit 0" % ((box.path("kids"),) * 2),
                     timeout="30s")
    assert daemon.took_ms < 2000 * SLOW
    assert daemon.events("job.output")[0]["line"] == "said"
    wait_gone(box)


def test_stderr_without_end(box):
    """A flood is dropped and counted, never kept; the timeout holds while it floods."""
    daemon, ended = play(box, "exec yes 'a line of many, on and on and on' >&2", timeout="1s", ends="job.failed")
    assert ended["reason"] == "timeout" and len(ended["stderr"]) <= 4096
    assert daemon.took_ms < 3500 * SLOW
    assert sum(e["count"] for e in daemon.events("log.dropped")) > 1000
    assert len(daemon.events("job.output")) < 20000
    with open("/proc/%d/status" % daemon.workers()[0]) as status:
        rss = [int(line.split()[1]) for line in status if line.startswith("VmRSS")][0]
    assert rss < 20000 * SLOW


def test_stderr_without_a_line_end(box):
    """One line that never ends."""
    daemon, ended = play(box, "exec tr '\\0' x < /dev/zero >&2", timeout="700ms", ends="job.failed")
    assert ended["reason"] == "timeout"
    with open("/proc/%d/status" % daemon.workers()[0]) as status:
        rss = [int(line.split()[1]) for line in status if line.startswith("VmRSS")][0]
    assert rss < 20000 * SLOW


def test_fd_3_without_end(box):
    _, ended = play(box, "exec yes PROGRESS=7 >&3", timeout="700ms", ends="job.failed")
    assert ended["reason"] == "timeout"


def test_it_stops_itself(box):
    """A stopped process does not hear TERM: it is continued, and ends."""
    daemon, ended = play(box, "echo $$ >> %s; kill -STOP $$; exec sleep 600" % box.path("kids"), timeout="500ms", ends="job.failed")
    assert ended["reason"] == "timeout" and daemon.took_ms < 3000 * SLOW
    wait_gone(box)


def test_it_stops_itself_and_ignores_term(box):
    script = "trap '' TERM; sh -c 'kill -STOP $$; sleep 600' & echo $! >> %s; echo $$ >> %s; kill -STOP $$; sleep 600"
    _, ended = play(box, script % ((box.path("kids"),) * 2), timeout="500ms", ends="job.failed")
    assert ended["reason"] == "timeout"
    wait_gone(box)


def test_it_leaves_its_group(box):
    """The handler itself moves to a group of its child's; the child into a session of its own."""
    box.write("leave.py", LEAVE % {"kids": box.path("kids")})
    _, ended = play(box, "exec %s %s" % (PYTHON, box.path("leave.py")), timeout="1s", ends="job.failed")
    assert ended["reason"] == "timeout"
    assert len(pids(box)) == 3
    wait_gone(box)


LEAVE = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def note():
    with open(%(kids)r, "a") as out:
        out.write("%%d\\n" %% os.getpid())
    time.sleep(600)
child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    note()
if os.fork() == 0:
    os.setsid()
    note()
while os.getpgrp() != child:
    try:
        os.setpgid(0, child)
    except OSError:
        time.sleep(0.01)
note()
"""


def test_it_kills_its_own_group(box):
    _, ended = play(box, "sleep 600 & kill -9 0; sleep 600", ends="job.failed")
    assert ended["reason"] == "signal" and ended["signal"] == 9


def test_it_signals_its_worker(box):
    """As root nothing forbids it: whatever it sends, at worst the attempt counts and another worker goes on."""
    daemon = box.daemon({"exec": box.recording('test "$FIELD_N" != bad -o $XACKD_ATTEMPT -gt 1 || { kill -$FIELD_S $PPID; sleep 600; }'), "lease": "2s"},
                        env={name: os.environ.get(name, "") + ":handle_segv=0" for name in ("ASAN_OPTIONS", "TSAN_OPTIONS")})  # it would be reported
    for name in ("KILL", "SEGV", "HUP", "USR1", "PIPE"):
        entry = box.add(fields={"n": "bad", "s": name})
        if name in ("KILL", "SEGV"):
            daemon.wait_event("job.succeeded", id=entry, timeout=20)
            continue
        daemon.wait_event("job.started", id=entry)
        handler = wait_until(lambda: [e for e in daemon.events("job.started", id=entry)], 5)[-1]["pid"]
        wait_until(lambda: any(p.pgrp == handler and p.comm == "sleep" for p in processes()) or daemon.events("job.succeeded", id=entry), 10)
        if alive(handler):
            os.kill(handler, 9)
        daemon.wait_event("job.succeeded", id=entry, timeout=20)
    daemon.wait_event("job.succeeded", id=box.add(), timeout=20)
    wait_until(lambda: not daemon.zombies(), 5)


BOMBER = "games"  # a user of every Debian who runs nothing, in no other test either: all of their processes count


def bomber_is_busy():
    uid = pwd.getpwnam(BOMBER).pw_uid
    return [p for p in processes() if os.path.exists("/proc/%d" % p.pid) and owner(p.pid) == uid]


def owner(pid):
    try:
        return os.stat("/proc/%d" % pid).st_uid
    except OSError:
        return -1


@pytest.mark.skipif(os.getuid() != 0, reason="limits.processes is tried as another user, which only root can become")
@pytest.mark.parametrize("escapes", [False, True])
def test_fork_bomb(box, escapes):
    """It can have no more than limits.processes, and all of them are gone after the timeout; also when each has a session of its own."""
    with open(os.path.join(tempfile.gettempdir(), "xackd-bomb.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one bomb at a time on this machine
        try:
            wait_until(lambda: not bomber_is_busy(), 20, "this user runs nothing else")
        except AssertionError:
            pytest.skip("the user %s has other processes here: their number would count" % BOMBER)
        explode(box, escapes)


def explode(box, escapes):
    box.write("bomb.py", BOMB % escapes, 0o755)
    daemon = box.daemon({"exec": [PYTHON, box.path("bomb.py"), "{n}"], "user": BOMBER, "timeout": "2s", "kill_grace": "300ms",
                         "limits": {"processes": 40}, "retry": {"initial": "1h"}})
    worker = daemon.wait_workers(1)[0]
    entry = box.add(fields={"n": "bad"})
    daemon.wait_event("job.started", id=entry)
    most = 0

    def ended():
        nonlocal most
        most = max(most, len(descendants(worker)))
        return daemon.events("job.failed", id=entry)
    wait_until(ended, 25, "the bomb ends")
    assert ended()[0]["reason"] == "timeout"
    assert 10 < most <= 41
    wait_until(lambda: not bomber_is_busy(), 10, "nothing of the bomb is left")
    daemon.wait_event("job.succeeded", id=box.add(fields={"n": "plain"}), timeout=15)
    assert daemon.workers() == [worker]
    wait_until(lambda: not daemon.zombies(), 5)


BOMB = """
import os, signal, sys, time
if sys.argv[1] == "plain":
    sys.exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    try:
        if os.fork() == 0 and %r:
            os.setsid()
    except OSError:
        time.sleep(0.01)
"""
