"""Handlers in cgroups: whatever they do, what is in the group ends with them. Real groups, where this machine has cgroup v2 that may be written."""
import json
import os
import signal

import pytest

from harness import alive, command_line, processes, send, wait_until

PYTHON = "/usr/bin/python3"


def group_of(pid):
    """Its path in the v2 tree, or None."""
    try:
        with open("/proc/%d/cgroup" % pid) as text:
            return [line.strip()[3:] for line in text if line.startswith("0::")][0]
    except (OSError, IndexError):
        return None


def folder_of(daemon):
    """The daemon's own folder of groups; a skip where there is none."""
    ready = daemon.wait_event("daemon.ready")
    if "cgroup" not in ready:
        pytest.skip("no cgroup v2 that may be written here")
    return ready["cgroup"]


def members(folder):
    """Everything in the groups below."""
    found = []
    for path, _, _ in os.walk(folder):
        try:
            with open(os.path.join(path, "cgroup.procs")) as text:
                found += [int(line) for line in text]
        except OSError:
            pass
    return [pid for pid in found if alive(pid)]


# A session of its own, no parent, deaf to TERM; says its number when all that is done.
DEAF = """
import os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
        os.closerange(0, 64)
        with open(sys.argv[1], "a") as out:
            out.write("%d\\n" % os.getpid())
        time.sleep(600)
    os._exit(0)
os.wait()
"""


def deaf(box):
    return "%s %s %s" % (PYTHON, box.write("deaf.py", DEAF), box.path("kids"))


def gone(box):
    """A command: true if none of the kids lives; a zombie does not, whoever has to reap it."""
    return "/bin/sh " + box.write("gone.sh", GONE % box.path("kids"))


GONE = """
for pid in $(cat %s); do
	case $(cat /proc/$pid/stat 2>/dev/null) in
	"" | *") Z "* | *") X "*) ;;
	*) exit 1 ;;
	esac
done
"""


def kid(box):
    return int(wait_until(lambda: box.lines("kids"), 10)[-1])


def wait_gone(pid):
    wait_until(lambda: not alive(pid), 10, "%d is gone: %s" % (pid, command_line(pid)))


def test_a_handler_is_born_in_its_workers_group(box):
    """And nothing else is: neither xackd nor Redis."""
    gate = box.gate()
    daemon = box.daemon({"exec": ["/bin/sh", "-c", ": < %s" % box.path("gate")]}, workers=2)
    folder = folder_of(daemon)
    entries = [box.add(), box.add()]
    handlers = [daemon.wait_event("job.started", id=entry)["pid"] for entry in entries]
    groups = [group_of(pid) for pid in handlers]
    assert len(set(groups)) == 2 and all("/" + os.path.basename(folder) + "/default-" in group for group in groups)
    assert sorted(members(folder)) == sorted(handlers)
    gate.open()
    for entry in entries:
        daemon.wait_event("job.succeeded", id=entry)
    assert daemon.stop() == 0
    assert not os.path.exists(folder)


def test_what_a_handler_leaves_ends_with_it(box):
    daemon = box.daemon({"exec": ["/bin/sh", "-c", "%s; until test -s %s; do sleep 0.01; done" % (deaf(box), box.path("kids"))]})
    folder = folder_of(daemon)
    daemon.wait_event("job.succeeded", id=box.add())
    wait_gone(kid(box))
    assert not members(folder)


def test_at_the_timeout(box):
    daemon = box.daemon({"exec": ["/bin/sh", "-c", "trap '' TERM; %s; sleep 600" % deaf(box)], "timeout": "1s", "kill_grace": "300ms",
                         "retry": {"initial": "1h"}})
    folder = folder_of(daemon)
    ended = daemon.wait_event("job.failed", id=box.add(), timeout=20)
    assert ended["reason"] == "timeout"
    wait_gone(kid(box))
    assert not members(folder)


def test_at_a_stop(box):
    """The time to drain is over, then that of the grace."""
    daemon = box.daemon({"exec": ["/bin/sh", "-c", "trap '' TERM; %s; sleep 600" % deaf(box)], "kill_grace": "300ms"}, drain_timeout="100ms")
    folder = folder_of(daemon)
    entry = box.add()
    stray = kid(box)
    assert daemon.stop() == 0
    daemon.wait_event("job.released", id=entry)
    wait_gone(stray)
    assert not os.path.exists(folder)


def test_a_bomb_without_limits(box):
    """It forks faster than it could be killed one by one; each child has a session of its own. The kernel ends them all at once."""
    daemon = box.daemon({"exec": [PYTHON, box.write("bomb.py", BOMB)], "timeout": "1s", "kill_grace": "100ms", "retry": {"initial": "1h"}})
    folder = folder_of(daemon)
    worker = daemon.wait_workers(1)
    entry = box.add()
    ended = daemon.wait_event("job.failed", id=entry, timeout=30)
    assert ended["reason"] == "timeout"
    wait_until(lambda: not members(folder), 10)
    assert daemon.workers() == worker
    wait_until(lambda: not daemon.zombies(), 5)


# Bounded: a machine that is slow to kill it must not die of it.
BOMB = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
end = time.monotonic() + 20
generation = 0
while time.monotonic() < end:
    if os.fork():
        time.sleep(0.02)
        os._exit(0) if generation else None
    else:
        generation += 1
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
"""


def test_a_worker_is_killed(box):
    """Before its entry runs again."""
    script = "test $XACKD_ATTEMPT -gt 1 && exec %s; %s; sleep 600" % (gone(box), deaf(box))
    daemon = box.daemon({"exec": ["/bin/sh", "-c", script]})
    folder = folder_of(daemon)
    entry = box.add()
    stray = kid(box)
    send(daemon.workers()[0], signal.SIGKILL)
    daemon.wait_event("job.succeeded", id=entry, timeout=20)
    wait_gone(stray)
    assert not members(folder)


def kill_both(daemon):
    """Supervisor and workers at once, so that none of them can do anything any more."""
    victims = [daemon.pid] + daemon.workers()
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in victims:
            send(pid, number)
    daemon.killed = True
    daemon.process.wait()
    wait_until(lambda: not [p for p in processes() if p.pid in victims and p.state != "Z"], 10)


def test_worker_and_supervisor_are_killed(box):
    """Nobody of that life is left who could; the next one does it, before the entry runs again."""
    script = "test $XACKD_ATTEMPT -gt 1 && exec %s; %s; sleep 600" % (gone(box), deaf(box))
    daemon = box.daemon({"exec": ["/bin/sh", "-c", script]})
    folder = folder_of(daemon)
    entry = box.add()
    stray = kid(box)
    kill_both(daemon)
    assert alive(stray), "nobody has killed it yet, or the test shows nothing"
    again = box.again(daemon)
    assert folder_of(again) == folder
    again.wait_event("job.succeeded", id=entry, timeout=20)
    wait_gone(stray)
    assert again.stop() == 0
    assert not os.path.exists(folder)


def test_a_persistent_process(box):
    """It has a group of its own beside that of the other jobs' handlers; what it leaves ends with it."""
    gate = box.gate()
    box.write("server.py", SERVER)
    daemon = box.daemon({"server": {"stream": "work", "match": {"n": "1"}, "mode": "persistent",
                                    "exec": [PYTHON, box.path("server.py"), box.path("kids"), box.path("deaf.py")]},
                         "plain": {"stream": "work", "exec": ["/bin/sh", "-c", ": < %s" % box.path("gate")]}})
    deaf(box)
    folder = folder_of(daemon)
    daemon.wait_event("job.started", id=box.add(fields={"n": "1"}))
    stray = kid(box)
    other = box.add(fields={"n": "2"})
    handler = daemon.wait_event("job.started", id=other)["pid"]
    assert group_of(stray) and group_of(stray).endswith("/process") and group_of(handler).endswith("/handler")
    gate.open()
    daemon.wait_event("job.succeeded", id=other)
    assert daemon.stop() == 0
    wait_gone(stray)
    assert not os.path.exists(folder)


SERVER = """
import json, os, subprocess, sys
for line in sys.stdin:
    subprocess.run([sys.executable, sys.argv[2], sys.argv[1]])
    os.write(3, (json.dumps({"id": json.loads(line)["id"], "status": "ok"}) + "\\n").encode())
"""


def test_a_group_that_was_taken_away(box):
    """Someone removes it while it is empty: work goes on without."""
    daemon = box.daemon()
    folder = folder_of(daemon)
    daemon.wait_event("job.succeeded", id=box.add())
    for path, folders, _ in os.walk(folder, topdown=False):
        for name in folders:
            os.rmdir(os.path.join(path, name))
    daemon.wait_event("job.succeeded", id=box.add())
    assert daemon.stop() == 0
    assert not os.path.exists(folder)


def test_a_reload_leaves_no_group(box):
    """Workers of an older generation end after what they run; their groups go with them."""
    daemon = box.daemon(workers=3)
    folder = folder_of(daemon)
    assert len(os.listdir(folder)) >= 3
    config = dict(daemon.config, workers=1)
    with open(daemon.file, "w") as out:
        json.dump(config, out)
    send(daemon.pid, signal.SIGHUP)
    daemon.wait_event("daemon.reloaded")
    wait_until(lambda: len(groups_in(folder)) == 1, 10)
    daemon.wait_event("job.succeeded", id=box.add())


def groups_in(folder):
    return [name for name in os.listdir(folder) if os.path.isdir(os.path.join(folder, name))]


# ---- where clone3 is refused, as by a service's RestrictNamespaces= ----

# x86_64 and aarch64 alike: the number of clone3 is the same everywhere; "not implemented" is the answer.
REFUSE = """
import ctypes, os, struct, sys
CLONE3, ENOSYS = 435, 38
program = b"".join(struct.pack("HBBI", *line) for line in [(0x20, 0, 0, 0), (0x15, 0, 1, CLONE3), (0x06, 0, 0, 0x00050000 | ENOSYS), (0x06, 0, 0, 0x7fff0000)])
buffer = ctypes.create_string_buffer(program)
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Program(4, ctypes.addressof(buffer))), 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""


def refusing(box):
    return [PYTHON, box.write("refuse.py", REFUSE)]


def test_where_clone3_is_refused(box):
    """The worker itself is in the group, and so is what it starts."""
    gate = box.gate()
    daemon = box.daemon({"exec": ["/bin/sh", "-c", ": < %s" % box.path("gate")]}, prefix=refusing(box))
    folder = folder_of(daemon)
    entry = box.add()
    handler = daemon.wait_event("job.started", id=entry)["pid"]
    assert sorted(members(folder)) == sorted([handler] + daemon.workers())
    assert group_of(handler) == group_of(daemon.workers()[0])
    gate.open()
    daemon.wait_event("job.succeeded", id=entry)
    assert daemon.stop() == 0
    assert not os.path.exists(folder)


@pytest.mark.parametrize("whole", [False, True])
def test_where_clone3_is_refused_and_the_worker_is_killed(box, whole):
    """Alone, or together with its supervisor."""
    script = "test $XACKD_ATTEMPT -gt 1 && exec %s; %s; sleep 600" % (gone(box), deaf(box))
    daemon = box.daemon({"exec": ["/bin/sh", "-c", script]}, prefix=refusing(box))
    folder = folder_of(daemon)
    entry = box.add()
    stray = kid(box)
    if whole:
        kill_both(daemon)
        assert alive(stray)
        daemon = box.daemon(ready=False, text=daemon.config, prefix=refusing(box)).wait_ready()
    else:
        send(daemon.workers()[0], signal.SIGKILL)
    daemon.wait_event("job.succeeded", id=entry, timeout=20)
    wait_gone(stray)
    assert daemon.stop() == 0
    assert not os.path.exists(folder)


# ---- a group that was handed to it ----

# As systemd's Delegate=yes leaves it: the service is alone in its group, which is marked.
DELEGATE = """
import os, sys
os.mkdir(sys.argv[1])
os.setxattr(sys.argv[1], "trusted.delegate", b"1")
with open(sys.argv[1] + "/cgroup.procs", "w") as procs:
    procs.write("0")
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root may mark a group")
def test_a_delegated_group(box):
    """What is no handler makes room in a leaf of it, so that the controllers can be used."""
    gate = box.gate()
    job = {"exec": ["/bin/sh", "-c", ": < %s" % box.path("gate")]}
    room = os.path.dirname(folder_of(box.daemon(job, name="h0")))
    unit = os.path.join(room, "test-%s" % os.path.basename(box.folder))
    daemon = box.daemon(job, prefix=[PYTHON, box.write("delegate.py", DELEGATE), unit], redis={"url": "embedded"})
    try:
        folder = folder_of(daemon)
        assert os.path.dirname(folder) == unit
        own = members(os.path.join(unit, "supervisor"))
        assert sorted(own) == sorted(members(unit)), "the group itself is empty"
        assert set(daemon.own()) < set(own) and len(own) == 3, "it, its worker, and Redis"
        box.ctl("add", "work", "n=1", config=daemon.file)
        handler = daemon.wait_event("job.started")["pid"]
        assert members(folder) == [handler]
        gate.open()
        daemon.wait_event("job.succeeded")
        available = words_in(unit, "cgroup.controllers") & {"memory", "pids"}
        assert words_in(unit, "cgroup.subtree_control") == available and words_in(folder, "cgroup.subtree_control") == available
        assert daemon.stop() == 0
        assert not os.path.exists(folder)
    finally:
        send(daemon.pid, signal.SIGKILL)
        daemon.process.wait()
        wait_until(lambda: not members(unit), 10)
        for path, folders, _ in os.walk(unit, topdown=False):
            for name in folders:
                os.rmdir(os.path.join(path, name))
        os.rmdir(unit)


def words_in(folder, file):
    with open(os.path.join(folder, file)) as text:
        return set(text.read().split())


# ---- limits ----

def limits_of(daemon, what, controller):
    folder_of(daemon)
    if what not in daemon.wait_event("daemon.ready")["cgroup_limits"].split():
        pytest.skip("no %s controller in cgroup v2 here" % controller)


@pytest.mark.parametrize("refused", [False, True])
def test_out_of_memory(box, refused):
    """The kernel ends all of the handler, and that is the reason, also where a shell makes an exit code of it; the next run begins at zero."""
    eat = PYTHON + " -c 'b = []\nwhile True: b.append(bytearray(1 << 20))'"
    daemon = box.daemon({"exec": ["/bin/sh", "-c", "test $FIELD_N = fine && exit 0; test $FIELD_N = fails && exit 3; " + eat.replace("{", "{{") + "; exit 5"],
                         "limits": {"memory": "64M"}, "retry": {"max_attempts": 1}}, prefix=refusing(box) if refused else ())
    limits_of(daemon, "memory", "memory")
    entry = box.add(fields={"n": "bad"})
    failed = daemon.wait_event("job.failed", id=entry, timeout=30)
    assert failed["reason"] == "oom" and failed["detail"] == "signal 9 (KILL), out of memory (cgroup)"
    assert daemon.wait_event("job.dead", id=entry)["reason"] == "oom"
    assert daemon.wait_event("job.failed", id=box.add(fields={"n": "fails"}))["reason"] == "exit", "it was the last one that had no memory"
    daemon.wait_event("job.succeeded", id=box.add(fields={"n": "fine"}))


def test_memory_is_not_counted_to_the_next(box):
    """A file in memory (/dev/shm) that a handler leaves is counted to its group, not to that of the next run."""
    file = "/dev/shm/xackd-test-%d" % os.getpid()
    daemon = box.daemon({"exec": ["/bin/sh", "-c", "test $FIELD_N = fine || exec head -c 40M /dev/zero > %s; head -c 40M /dev/zero > %s.2" % (file, file)],
                         "limits": {"memory": "64M"}, "retry": {"max_attempts": 1}})
    try:
        limits_of(daemon, "memory", "memory")
        daemon.wait_event("job.succeeded", id=box.add(fields={"n": "first"}))
        daemon.wait_event("job.succeeded", id=box.add(fields={"n": "fine"}))
    finally:
        for path in (file, file + ".2"):
            if os.path.exists(path):
                os.unlink(path)


def test_limits_change_from_job_to_job(box):
    """One worker, one group: what one job is limited to, the next one is not."""
    cat = "cat /proc/self/cgroup > %s; sed -n s/^0:://p /proc/self/cgroup > %s" % (box.path("all"), box.path("own"))
    show = "%s; d=$ROOM/$(cat %s); cat $d/memory.max $d/pids.max; ulimit -v" % (cat, box.path("own"))
    room = {"ROOM": v2_mount()}
    daemon = box.daemon({"small": {"stream": "work", "match": {"n": "1"}, "shell": show, "env": room, "limits": {"memory": "64M", "processes": 30}},
                         "free": {"stream": "work", "shell": show, "env": room}})
    limits_of(daemon, "memory", "memory")
    limits_of(daemon, "processes", "pids")
    seen = []
    for n in ("1", "2", "1"):
        entry = box.add(fields={"n": n})
        daemon.wait_event("job.succeeded", id=entry)
        lines = [event["line"] for event in daemon.events("job.output", id=entry)]
        assert lines[2] == "unlimited", "the limit is the group's alone"
        seen.append(lines[:2])
    assert seen == [["67108864", "30"], ["max", "max"], ["67108864", "30"]]


def v2_mount():
    with open("/proc/self/mountinfo") as text:
        found = [line.split()[4] for line in text if " - cgroup2 " in line]
    return found[0] if found else "/nowhere"


def test_processes(box):
    """Of the handler with all that it starts, whoever it runs as; a bomb stays within it."""
    daemon = box.daemon({"exec": [PYTHON, box.write("bomb.py", COUNTED)], "limits": {"processes": 20}, "timeout": "2s", "kill_grace": "100ms",
                         "retry": {"initial": "1h"}})
    limits_of(daemon, "processes", "pids")
    entry = box.add()
    most = 0

    def ended():
        nonlocal most
        most = max(most, len(members(daemon.wait_event("daemon.ready")["cgroup"])))
        return daemon.events("job.failed", id=entry)
    wait_until(ended, 30)
    assert ended()[0]["reason"] == "timeout" and 5 < most <= 20
    wait_until(lambda: not daemon.zombies(), 5)


COUNTED = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    try:
        if os.fork() == 0:
            os.setsid()
    except OSError:
        time.sleep(0.01)
"""
