"""kill -9 of a worker or of the supervisor at each named step, and SIGSTOP of a worker at each step at which it holds an entry.

The steps are those of tests/model/steps.txt; the daemon is one that was built with --enable-kill-points (tests/run does it; the
folder is XACKD_KILL_BUILD, or build-kill). Whatever dies where: each entry ends as it must (done, or a dead letter in the
same step), its attempts are those that its log tells, and nothing is left behind.
"""
import os
import signal
import socket
import threading
import time
from collections import Counter, namedtuple

import pytest

import harness
from harness import TOP, alive, in_sh, never, process, send, wait_until
from test_later_scripts import packed

KILL_BUILD = os.environ.get("XACKD_KILL_BUILD") or os.path.join(TOP, "build-kill")
KILLABLE = os.path.join(KILL_BUILD, "src", "xackd")

Step = namedtuple("Step", "point process scene lost freeze model")


def read_steps():
    with open(os.path.join(TOP, "tests", "model", "steps.txt"), encoding="utf-8") as text:
        return [Step(*line.split()) for line in text if line.strip() and not line.startswith("#")]


STEPS = read_steps()
pytestmark = pytest.mark.skipif(not os.access(KILLABLE, os.X_OK), reason="no build with --enable-kill-points: " + KILL_BUILD)

CRON_ROW = "xackd:{work}:work:cron"

# What an entry of each kind does. What it does "once" is marked in a folder of its own, for attempts may be lost on the way.
HANDLER = """
echo "$XACKD_ID $XACKD_ATTEMPT $XACKD_DELIVERY $$ $XACKD_STREAM" >> %(runs)s
once() { mkdir "%(folder)s/once-$XACKD_STREAM-$XACKD_ID" 2>/dev/null; }
case $FIELD_KIND in
slow) sleep %(slow)s ;;
gate) while ! test -e %(folder)s/go; do sleep 0.05; done ;;
fail) if once; then exit 1; fi ;;
dead) exit 65 ;;
die) if once; then kill -9 $PPID; sleep 60; fi ;;
later) if once; then echo LATER=0.2 >&3; exit 1; fi ;;
put_aside) if once; then echo LATER=60 >&3; exit 1; fi ;;
result) echo "RESULT=of delivery $XACKD_DELIVERY" >&3 ;;
esac
echo "$XACKD_STREAM $XACKD_ID" >> %(folder)s/done
"""


class Proxy:
    """Between the daemon and Redis: holds back blocking reads while it is told to."""

    def __init__(self, path, target):
        self.target, self.may_block = target, threading.Event()
        self.held = threading.Event()
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(path)
        self.server.listen(16)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.target)
            threading.Thread(target=self.pump, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self.pump, args=(server, client, False), daemon=True).start()

    def pump(self, source, sink, asks):
        try:
            while data := source.recv(65536):
                if asks and b"\r\nBLOCK\r\n" in data:
                    self.held.set()
                    self.may_block.wait()
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Scene:
    """A daemon that dies at one point, and what it has to do until then."""

    def __init__(self, box, step, action):
        self.box, self.step, self.action = box, step, action
        self.entries = {}  # (stream, id): kind
        self.delayed = 0   # entries whose IDs are not known before they are due
        self.token = box.path("token")
        self.daemons = []

    def env(self):
        return {"XACKD_KILL_POINT": "%s:%s" % (self.step.point, self.action), "XACKD_KILL_TOKEN": self.token}

    def start(self, workers=2, lease="2s", ready=True, slow="0.9", jobs=None, name="h1", env=None, **more):
        text = HANDLER % {"runs": self.box.path("runs"), "folder": self.box.folder, "slow": slow}
        job = {"exec": in_sh(text)}
        jobs = {stream: dict(job, **keys) for stream, keys in (jobs or {"work": {}}).items()}
        daemon = self.box.daemon(jobs, name=name, workers=workers, ready=False, env=self.env() if env is None else env,
                                 defaults={"lease": lease}, **more)
        self.daemons.append(daemon)
        if ready:
            daemon.wait_ready()
        return daemon

    def add(self, *kinds, stream="work"):
        new = [self.box.add(stream, {"kind": kind}) for kind in kinds]
        self.entries.update({(stream, one): kind for one, kind in zip(new, kinds)})
        return new

    def open_gate(self):
        self.box.write("go", "")

    def there(self):
        return os.path.exists(self.token)

    def wait_there(self, timeout=15):
        try:
            wait_until(self.there, timeout, "a process comes by " + self.step.point)
        except AssertionError as error:
            raise AssertionError("%s\n%s" % (error, self.daemons[-1].tail())) from None

    def until_there(self, provoke, step=0.3):
        """What leads there is a race: provoked again until it happens."""
        def look():
            if not self.there():
                provoke()
            return self.there()
        wait_until(look, 20, "a process comes by " + self.step.point, step)

    def victim(self):
        """The pid that the token tells."""
        wait_until(lambda: os.path.getsize(self.token) > 0)
        with open(self.token) as text:
            return int(text.read())

    def consumer(self):
        """Of the first worker that lives now."""
        started = [e for e in self.daemons[0].events("worker.started") if alive(e["pid"])]
        return started[0]["consumer"]

    def clients(self):
        """Ids of the workers' connections."""
        return [c["id"] for c in self.box.r.client_list() if "/default/" in c["name"]]

    def cut(self):
        for client in self.clients():
            self.box.r.execute_command("CLIENT", "KILL", "ID", client)

    def destroy_group(self):
        self.box.r.execute_command("XGROUP", "DESTROY", "work", "xackd")


# ---- the scenes: each ends when its point was reached ----

def scene_load(s):
    """Entries of every kind."""
    s.start(ready=False)
    s.add("ok", "slow", "fail", "dead", "die", "later", "ok")
    s.wait_there()


def scene_results(s):
    """Entries with results, one by one and several in one step."""
    s.start(ready=False)
    s.add(*["result"] * 12)
    s.wait_there()


def scene_start(s):
    s.box.r.xgroup_create("work", "xackd", "0", mkstream=True)
    s.add("ok", "fail")
    s.start(ready=False)
    s.wait_there()


def scene_stop(s):
    daemon = s.start()
    s.add("fail", "gate", "ok")
    s.box.wait_runs(4)
    s.open_gate()
    send(daemon.pid, signal.SIGTERM)
    s.wait_there()


def scene_surplus(s):
    """One worker reads two streams; both get an entry between the script that found nothing and the read that waits."""
    path = s.box.path("proxy.sock")
    proxy = Proxy(path, s.box.redis.socket)
    s.start(workers=1, jobs={"work": {}, "more": {}}, redis={"url": "unix://" + path}, ready=False)
    wait_until(proxy.held.is_set, 10, "the worker waits in a read")
    for stream in ("work", "more"):
        s.add("slow", stream=stream)
    proxy.may_block.set()
    s.wait_there()


def scene_group(s):
    """The group is destroyed under a worker that waits in a read."""
    s.start(workers=1)
    s.add("ok", "fail")
    s.box.wait_done()
    s.until_there(s.destroy_group)
    s.add("ok")


def scene_put_back(s):
    """The group is destroyed under a worker whose handler runs; its renewal notices."""
    s.start(workers=1, lease="1s")
    s.add("ok", "gate")
    s.box.wait_runs(2)
    s.until_there(s.destroy_group, 0.7)


def scene_remake(s):
    """The group is destroyed, and the reaper notices, for nothing is renewed for a long time."""
    s.start(workers=1, lease="60s")
    s.add("ok", "gate", "ok")
    s.box.wait_runs(2)
    s.destroy_group()
    s.wait_there()


def scene_reconnect(s):
    """The connection of a worker ends while its handler runs."""
    s.start(workers=1)
    s.add("gate")
    s.box.wait_runs(1)
    s.cut()
    s.wait_there()


def scene_unknown(s):
    """As above, and Redis holds an entry under its name that it never heard of: the reply was lost."""
    s.start(workers=1)
    s.add("gate")
    s.box.wait_runs(1)
    s.add("ok")
    s.box.r.xreadgroup("xackd", s.consumer(), {"work": ">"}, count=1)
    s.cut()
    s.wait_there()


def scene_undone(s):
    """As above, and Redis has forgotten an acknowledgement."""
    s.start(workers=1)
    done = s.add("ok")[0]
    s.box.wait_done()
    s.add("gate")
    s.box.wait_runs(2)
    s.box.r.execute_command("XCLAIM", "work", "xackd", s.consumer(), "0", done, "FORCE", "JUSTID")
    s.cut()
    s.wait_there()


def scene_resend(s):
    """The settling call was sent, and the connection ends before its answer."""
    s.start(workers=1)
    s.add("gate")
    s.box.wait_runs(1)
    s.box.r.execute_command("CLIENT", "PAUSE", "60000", "WRITE")
    s.open_gate()
    s.daemons[0].wait_event("job.started")
    wait_until(lambda: any(c["name"].startswith("h1/default/") and int(c["qbuf"]) + int(c.get("argv-mem", 0)) > 0
                           for c in s.box.r.client_list()), 10, "the call is in the server")
    s.cut()
    s.box.r.execute_command("CLIENT", "UNPAUSE")
    s.wait_there()


def scene_foreign(s):
    """A consumer that is none of xackd's has read an entry and is gone; another entry is running."""
    s.start(workers=2, lease="1s")
    s.add("ok")
    s.box.wait_done()
    lost = s.box.add("work", {"kind": "ok"})
    s.box.r.xreadgroup("xackd", "somebody", {"work": ">"}, count=1)
    s.entries[("work", lost)] = "ok"
    s.add("gate")
    s.wait_there()


def scene_hints(s):
    """The due times of what is parked are deleted."""
    s.start()
    s.add("put_aside")
    s.daemons[0].wait_event("job.later")
    s.box.r.delete(s.box.key("due"))
    s.wait_there()


def scene_retry(s):
    """A retry is due, and all workers wait in a read."""
    s.start()
    s.add("fail")
    s.wait_there()


def scene_retain(s):
    """What is done leaves the stream."""
    s.start(jobs={"work": {"retain": "acked"}})
    s.add("ok", "fail", "ok", "gate")
    s.wait_there()


def scene_limited(s):
    """One at once, and two workers that wait in a read."""
    s.start(jobs={"work": {"concurrency": 1}})
    s.until_there(lambda: s.add("slow", "ok", "fail"), 1)


def scene_held(s):
    """What waits for the only slot."""
    s.start(jobs={"work": {"concurrency": 1}})
    s.add("gate")
    s.box.wait_runs(1)
    s.add("ok")
    s.wait_there()


def scene_slots(s):
    """The first life of a daemon whose job has a limit."""
    s.add("ok", "fail")
    s.start(ready=False, jobs={"work": {"concurrency": 1}})
    s.wait_there()


def scene_suspended(s):
    """The handler's folder is missing at first."""
    missing = s.box.path("folder")
    daemon = s.start(jobs={"work": {"cwd": missing}})
    s.add("ok", "ok")
    daemon.wait_event("job.suspended")
    os.mkdir(missing)
    s.until_there(lambda: s.add("ok"))  # each probe takes another entry


def scene_cron(s):
    """A schedule of each minute has five or six of them to make up for, and an entry of its own waits."""
    minute = int(s.box.r.time()[0]) // 60 * 60000
    s.box.r.hset(CRON_ROW, mapping={"tick": minute - 5 * 60000, "tick/rule": "* * * * * UTC"})
    s.slots = [minute - n * 60000 for n in range(4, -1, -1)]
    s.add("ok")
    s.start(cron={"tick": {"schedule": "* * * * *", "timezone": "UTC", "job": "work", "missed": "all"}}, ready=False)
    s.wait_there()


def scene_delayed(s):
    """Delayed entries become due, one of which has lost its due time."""
    s.box.add_later(300, [{"kind": "ok"}, {"kind": "fail"}, {"kind": "ok"}])
    s.box.r.hset(s.box.later_key("later:data"), "7-7", packed("kind", "ok"))
    s.delayed = 4
    s.start(ready=False)
    s.wait_there()


SCENES = {name[6:]: function for name, function in globals().items() if name.startswith("scene_")}


# ---- what has to come of it ----

DEAD_KINDS = {"dead"}
# The process dies after Redis has done the step and before it could say so.
UNTOLD = {"park.after": "retry", "reap.after": "lost", "sweep.after": "lost", "sweep_one.after": "lost"}
# Where the group was made again, a run may begin anew with the number that it had.
GROUP_SCENES = {"group", "put_back", "remake"}


def finished(box, streams):
    for stream in streams:
        info = [g for g in box.groups(stream) if g["name"] == "xackd"]
        if not info or info[0]["pending"] != 0 or info[0]["last-delivered-id"] != box.last_id(stream):
            return False
    return True


def state(scene):
    return {stream: (scene.box.pending(stream), scene.box.groups(stream)) for stream in streams_of(scene)}


def streams_of(scene):
    return sorted({stream for stream, _ in scene.entries})


def ledger(box):
    """{(stream, id): [(delivery, attempt), …]} of all runs that began."""
    rows = {}
    for entry, attempt, delivery, _, stream in (line.split() for line in box.lines("runs")):
        rows.setdefault((stream, entry), []).append((int(delivery), int(attempt)))
    return {entry: sorted(runs) for entry, runs in rows.items()}


def result_key(stream, entry):
    return "xackd:{%s}:%s:result:%s" % (stream, stream, entry)


# What is pending and has a result nevertheless.
HASTY = """
local found = {}
for _, row in ipairs(redis.call('XPENDING', KEYS[1], 'xackd', '-', '+', 1000)) do
  if redis.call('EXISTS', ARGV[1] .. row[1]) == 1 then found[#found + 1] = row[1] end
end
return found
"""


def check_results(scene, rows):
    """Of the run that was acknowledged: the last one."""
    for (stream, entry), kind in scene.entries.items():
        if kind == "result":
            assert scene.box.r.get(result_key(stream, entry)) == "of delivery %d" % rows[(stream, entry)][-1][0], (entry, rows[(stream, entry)])


def check_entries(scene):
    """Done or dead, never both, never neither; the letter of a dead one stands once."""
    box, rows = scene.box, ledger(scene.box)
    done = {tuple(line.split()) for line in box.lines("done")}
    check_results(scene, rows)
    letters = {stream: Counter(letter["id"] for letter in box.dead(stream)) for stream in streams_of(scene)}
    for (stream, entry), kind in scene.entries.items():
        key, dead = (stream, entry), kind in DEAD_KINDS
        assert key in rows, "%s (%s) never ran" % (entry, kind)
        assert dead or key in done, "%s (%s) is lost: it ran %s, and never to its end" % (entry, kind, rows[key])
        assert letters[stream][entry] == (1 if dead else 0), "%s (%s): %d dead letters" % (entry, kind, letters[stream][entry])
        deliveries = [delivery for delivery, _ in rows[key]]
        assert scene.step.scene in GROUP_SCENES or len(set(deliveries)) == len(deliveries), (
            "(ID, delivery) was seen twice: %s %s" % (entry, rows[key]))


def count_events(scene, name, stream, entry):
    return sum(len(daemon.events(name, id=entry, stream=stream)) for daemon in scene.daemons)


def check_attempts(scene):
    """An attempt more for each failure and for each run that was lost, and for nothing else. Gives the number of lost runs."""
    lost, rows, untold = 0, ledger(scene.box), UNTOLD.get(scene.step.point)
    for (stream, entry), kind in scene.entries.items():
        runs, recovered = rows[(stream, entry)], count_events(scene, "job.recovered", stream, entry)
        told = 1 + count_events(scene, "job.retry", stream, entry) + recovered
        more = runs[-1][1] - told
        assert 0 <= more <= (1 if untold else 0), "%s (%s): attempts %s, told %d" % (entry, kind, runs, told)
        lost += recovered + (more if untold == "lost" else 0)
    return lost


def ordinary(scene):
    """Attempts that would be lost without the kill: a handler that killed its own worker, a foreign consumer that went away."""
    died = sum(1 for name in os.listdir(scene.box.folder) if name.startswith("once-work-")
               and scene.entries.get(("work", name[10:])) == "die")
    return died + len({e["id"] for d in scene.daemons for e in d.events("job.recovered", why="foreign")})


def check_lost(scene, lost):
    lost -= ordinary(scene)
    if scene.step.lost == "+":
        assert 0 <= lost <= 2, "attempts lost: %d" % lost
    elif scene.step.lost == "?":
        assert lost in (0, 1), "attempts lost: %d" % lost
    else:
        assert lost == int(scene.step.lost), "attempts lost: %d" % lost


@pytest.fixture
def killable(monkeypatch):
    monkeypatch.setattr(harness, "XACKD", KILLABLE)


def check_slots(scene):
    """Each slot is one entry, whoever died where."""
    wait_until(lambda: int(scene.box.r.hget(CRON_ROW, "tick")) >= scene.slots[-1], 10, "all slots are dealt with")
    got = [int(fields["xackd.slot"]) for _, fields in scene.box.r.xrange("work") if "xackd.slot" in fields]
    assert got[:len(scene.slots)] == scene.slots and len(got) == len(set(got)), got


def find_delayed(scene):
    """Each is in the stream, once, and nowhere else."""
    if scene.delayed == 0:
        return
    r, keys = scene.box.r, [scene.box.later_key(last) for last in ("later", "later:data")]
    wait_until(lambda: r.exists(*keys) == 0, 20, "all that was delayed is in the stream")
    scene.entries = {("work", entry): fields["kind"] for entry, fields in r.xrange("work")}
    assert len(scene.entries) == scene.delayed


def finish(scene):
    scene.open_gate()
    find_delayed(scene)
    streams = streams_of(scene)

    def done():
        for stream in streams:
            assert not scene.box.groups(stream) or not scene.box.r.eval(HASTY, 1, stream, result_key(stream, "")), "a result came before its time"
        return finished(scene.box, streams)
    try:
        wait_until(done, 20, "all is done")
    except AssertionError as error:
        raise AssertionError("%s: %s\n%s" % (error, state(scene), scene.daemons[-1].tail())) from None


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.point)
def test_killed_at(box, killable, step):
    scene = Scene(box, step, "kill")
    SCENES[step.scene](scene)
    victim = scene.victim()
    if step.process == "supervisor":
        first = scene.daemons[0]
        assert victim == first.pid
        first.killed = True
        assert first.wait(5) == -signal.SIGKILL
        scene.daemons.append(box.again(first))
    else:
        assert victim != scene.daemons[0].pid
        wait_until(lambda: not alive(victim), 5, "the worker is dead")
    if step.scene == "cron":
        check_slots(scene)
    finish(scene)
    last = scene.daemons[-1]
    check_entries(scene)
    assert last.stop() == 0, last.tail()
    check_lost(scene, check_attempts(scene))
    for stream in streams_of(scene):
        assert not [c for c in box.r.xinfo_consumers(stream, "xackd") if c["pending"]], "somebody still holds something"


# The acknowledgement is sent after the thaw, gets no answer in time and is sent again: whose it was can no longer be told.
AMBIGUOUS = {"xack.queued"}
FROZEN = [step for step in STEPS if step.freeze != "-"]


@pytest.mark.parametrize("step", FROZEN, ids=lambda step: step.point)
def test_frozen_at(box, killable, step):
    """A host freezes; another one takes the entry over after the lease; the thawed worker says what it lost, and does no harm."""
    scene = Scene(box, step, "stop")
    first = scene.start(workers=1, lease="1s", slow="0.5")
    entry = scene.add(step.freeze)[0]
    scene.wait_there()
    victim = scene.victim()
    wait_until(lambda: process(victim).state == "T", 5, "the worker is stopped")
    send(first.pid, signal.SIGSTOP)  # its supervisor would replace a worker that stands still
    other = scene.start(workers=1, lease="1s", slow="0.5", name="h2", env={})
    finish(scene)
    send(victim, signal.SIGCONT)
    if step.point not in AMBIGUOUS:
        wait_until(lambda: first.events("job.lease_lost", id=entry) or first.events("job.stale_ack", id=entry), 10,
                   "the thawed worker says that it lost the entry")
    send(first.pid, signal.SIGCONT)
    after = scene.add("ok", "fail")
    finish(scene)
    assert other.events("job.started", id=entry), "the second daemon ran it"
    assert victim in first.workers(), "the thawed worker goes on"
    never(lambda: box.pending_count(), 0.2)
    check_entries(scene)
    assert count_events(scene, "job.recovered", "work", entry) >= 1, "a doubled run is told"
    assert len(ledger(box)[("work", entry)]) <= 3 and len(after) == 2
    for daemon in (first, other):
        assert daemon.stop() == 0, daemon.tail()


def test_what_hung_while_redis_was_frozen(box, killable):
    """The other host's reaper is between two of its calls when Redis and the owner freeze for longer than the lease, and asks on at the very
    moment of the thaw: the owner, who could not renew, comes first."""
    step = next(step for step in STEPS if step.point == "sweep_one.before")
    scene = Scene(box, step, "stop")
    one = scene.start(workers=1, lease="2s", env={})
    entry = scene.add("gate")[0]
    one.wait_event("job.started", id=entry)
    two = scene.start(workers=1, lease="2s", name="h2")
    scene.wait_there()
    assert scene.victim() == two.pid
    wait_until(lambda: process(two.pid).state == "T", 5, "the other host's reaper stands still")
    one.freeze()
    box.redis.freeze()
    before = time.monotonic()
    wait_until(lambda: time.monotonic() - before > 3, 6)
    send(two.pid, signal.SIGCONT)
    box.redis.thaw()
    one.thaw()
    never(lambda: two.events("job.recovered"), 2)
    scene.open_gate()
    one.wait_event("job.succeeded", id=entry, attempt=1)
    assert not one.events("job.lease_lost")
    finish(scene)
    check_entries(scene)
