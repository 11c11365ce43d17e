"""What the integration tests stand on: a private Redis for each test, daemons with their log read as events, and a
watch over every process that comes of them.

The test process is a child subreaper: whatever a daemon leaves behind becomes its child, so nothing can hide. Waiting is
always for a condition, with a limit; no test sleeps and hopes.
"""
import ctypes
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections import namedtuple

import redis

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("XACKD_BUILD") or os.path.join(TOP, "build")
XACKD = os.path.join(BUILD, "src", "xackd")
XACKCTL = os.path.join(BUILD, "src", "xackctl")
PARKED = "xackd:parked"


def sanitized():
    try:
        with open(os.path.join(BUILD, "config.h")) as text:
            return re.search(r"^#define WITH_SANITIZERS 1", text.read(), re.M) is not None
    except OSError:
        return False


# Sanitizers make the daemon slower and fatter: what a figure promises is then not what is measured.
SANITIZED = sanitized()
SLOW = 4 if SANITIZED else 1


def become_subreaper():
    libc = ctypes.CDLL(None, use_errno=True)
    pr_set_child_subreaper = 36
    if libc.prctl(pr_set_child_subreaper, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


become_subreaper()


# ---- waiting ----

def wait_until(predicate, timeout=10, what="the condition", step=0.02):
    """Look again and again until predicate() is true; gives its value."""
    end = time.monotonic() + timeout * SLOW
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("after %g s still not: %s" % (timeout * SLOW, what))
        time.sleep(step)


def never(predicate, seconds, what="what must not happen"):
    """Watch for some time that something does not happen."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = predicate()
        assert not value, "it happened: %s: %r" % (what, value)
        time.sleep(0.05)


# ---- processes ----

Process = namedtuple("Process", "pid ppid pgrp state start comm")


def process(pid):
    """One line of /proc, or None."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as stat:
            text = stat.read().decode("utf-8", "replace")
    except OSError:
        return None
    head, _, tail = text.rpartition(")")
    rest = tail.split()
    return Process(int(text.split()[0]), int(rest[1]), int(rest[2]), rest[0], int(rest[19]), head.split("(", 1)[1])


def processes():
    return [p for p in (process(int(name)) for name in os.listdir("/proc") if name.isdigit()) if p]


def descendants(root):
    """All processes below root, zombies too."""
    children = {}
    for p in processes():
        children.setdefault(p.ppid, []).append(p)
    found, queue = [], [root]
    while queue:
        for p in children.get(queue.pop(), []):
            found.append(p)
            queue.append(p.pid)
    return found


def children(root):
    return [p for p in processes() if p.ppid == root]


def alive(pid):
    p = process(pid)
    return p is not None and p.state not in "ZX"


def executable(pid):
    try:
        return os.readlink("/proc/%d/exe" % pid)
    except OSError:
        return ""


def command_line(pid):
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as text:
            return text.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        return ""


def descriptors(pid):
    try:
        return sorted(int(name) for name in os.listdir("/proc/%d/fd" % pid))
    except OSError:
        return []


def switches(pid):
    """Voluntary context switches of all threads."""
    total = 0
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/status" % (pid, task)) as text:
            total += int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", text.read(), re.M).group(1))
    return total


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


# ---- Redis ----

class Redis:
    """A redis-server of the test's own: unix socket, AOF, and a loopback port if asked for."""

    def __init__(self, folder, tcp=False, args=(), env=None):
        self.folder = folder
        self.env = dict(os.environ, **(env or {}))
        os.makedirs(folder, exist_ok=True)
        self.socket = os.path.join(folder, "redis.sock")
        self.args = list(args)
        self.tcp = tcp
        self.port = 0
        self.process = None
        self.start()

    def free_port(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    def start(self):
        for _ in range(5):
            if self.tcp and not self.port:
                self.port = self.free_port()
            self.process = subprocess.Popen(
                ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", self.socket,
                 "--dir", self.folder, "--save", "", "--appendonly", "yes", "--loglevel", "warning",
                 "--logfile", os.path.join(self.folder, "redis.log"), "--enable-debug-command", "yes", "--enable-protected-configs", "yes"] + self.args,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, env=self.env)
            if self.answers():
                return
            self.kill()
            self.port = 0  # someone was quicker
        with open(os.path.join(self.folder, "redis.log")) as text:
            raise AssertionError("redis-server does not start: " + text.read()[-500:])

    def answers(self):
        def ask():
            try:
                return self.client().execute_command("PING") or True
            except redis.exceptions.ResponseError:
                return False if "LOADING" in self.last_error else True
            except redis.exceptions.BusyLoadingError:
                return False
            except redis.exceptions.ConnectionError as error:
                return "uth" in str(error) or self.process.poll() is not None
        self.last_error = ""
        wait_until(ask, 10, "redis-server answers")
        return self.process.poll() is None

    def client(self, **more):
        return redis.Redis(unix_socket_path=self.socket, decode_responses=True, encoding_errors="surrogateescape", **more)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()

    def restart(self):
        self.kill()
        self.start()

    def freeze(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self.process.pid, signal.SIGCONT)

    @property
    def url(self):
        return "unix://" + self.socket

    @property
    def tcp_url(self):
        return "redis://127.0.0.1:%d/0" % self.port


# ---- the daemon ----

class Daemon:
    """One xackd in its own session, its stderr read as events."""

    def __init__(self, box, config, args=(), env=None, prefix=()):
        self.box = box
        self.config = config
        self.name = config["name"] if isinstance(config, dict) else "text"
        self.file = box.write_config(config, "%s-%d.yaml" % (self.name, len(box.daemons)))
        self.log = os.path.join(box.folder, "log-%d" % len(box.daemons))
        self.allow_errors = False
        self.killed = False
        self.seen = []
        self.bad_lines = []
        self.offset = 0
        environment = dict(os.environ, LC_ALL="C.UTF-8")
        environment.pop("NOTIFY_SOCKET", None)
        environment.update(env or {})
        with open(self.log, "wb") as stderr:
            self.process = subprocess.Popen(list(prefix) + [XACKD, "-c", self.file] + list(args), stdin=subprocess.DEVNULL,
                                            stdout=stderr, stderr=stderr, env=environment, start_new_session=True,
                                            cwd=box.folder)
        self.pid = self.process.pid

    # -- events --

    def read_log(self):
        with open(self.log, "rb") as text:
            text.seek(self.offset)
            data = text.read()
        end = data.rfind(b"\n") + 1
        self.offset += end
        for line in data[:end].split(b"\n")[:-1]:
            try:
                event = json.loads(line.decode("utf-8"))
                if not {"ts", "level", "event", "host"} <= event.keys():
                    raise ValueError("no event")
            except (ValueError, AttributeError):
                self.bad_lines.append(line[:300])
                continue
            self.seen.append(event)
        return self.seen

    def events(self, name=None, **match):
        return [event for event in self.read_log()
                if (name is None or event["event"] == name) and all(event.get(k) == v for k, v in match.items())]

    def wait_event(self, name, timeout=10, count=1, **match):
        """The count-th event of this name with these fields."""
        try:
            wait_until(lambda: len(self.events(name, **match)) >= count or self.ended_without(name, match, count), timeout)
        except AssertionError:
            raise AssertionError("no event %s %s (have %d of %d) in:\n%s" % (
                name, match, len(self.events(name, **match)), count, self.tail())) from None
        found = self.events(name, **match)
        assert len(found) >= count, "the daemon ended (%s) without %s %s:\n%s" % (
            self.process.poll(), name, match, self.tail())
        return found[count - 1]

    def ended_without(self, name, match, count):
        return self.process.poll() is not None and len(self.events(name, **match)) < count

    def tail(self, lines=40):
        self.read_log()
        with open(self.log, "rb") as text:
            return b"\n".join(text.read().split(b"\n")[-lines:]).decode("utf-8", "replace")[-6000:]

    def wait_ready(self, timeout=10):
        self.wait_event("daemon.ready", timeout)
        return self

    # -- processes --

    def workers(self):
        """Pids of the worker processes."""
        return sorted(p.pid for p in children(self.pid) if p.state not in "ZX" and executable(p.pid) == executable(self.pid))

    def wait_workers(self, count):
        return wait_until(lambda: len(self.workers()) == count and self.workers(), 10, "%d workers" % count)

    def own(self):
        return [self.pid] + self.workers()

    def zombies(self):
        return [p for p in descendants(self.pid) if p.state == "Z"]

    # -- ends --

    def wait(self, timeout=20):
        try:
            return self.process.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            raise AssertionError("the daemon does not end:\n" + self.tail()) from None

    def stop(self, timeout=15, number=signal.SIGTERM):
        send(self.pid, number)
        return self.wait(timeout)

    def kill9(self):
        """Kill the supervisor alone, without a chance to tidy up."""
        self.killed = True
        self.process.kill()
        self.process.wait()

    def kill9_all(self):
        """Kill everything of this daemon at once, handlers too: the machine loses power."""
        self.killed = True
        victims = [self.pid] + [p.pid for p in descendants(self.pid)]
        for pid in victims:
            send(pid, signal.SIGSTOP)
        victims = [self.pid] + [p.pid for p in descendants(self.pid)]
        for pid in victims:
            send(pid, signal.SIGKILL)
        self.process.wait()

    def freeze(self):
        """Stop all of its processes (handlers run on if they were meant to: they are frozen too)."""
        self.frozen = [self.pid] + [p.pid for p in descendants(self.pid)]
        for pid in self.frozen:
            send(pid, signal.SIGSTOP)

    def thaw(self):
        for pid in self.frozen:
            send(pid, signal.SIGCONT)


# ---- a test's world ----

class Gate:
    """Handlers wait at `: < PATH` until the test opens it."""

    def __init__(self, path):
        self.path = path
        self.fd = -1
        os.mkfifo(path)

    def open(self):
        if self.fd < 0:
            self.fd = os.open(self.path, os.O_RDWR)

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Box:
    """A folder, a Redis, daemons: all that one test needs; gone afterwards."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="xackd-")
        os.chmod(self.folder, 0o755)
        self.daemons = []
        self.gates = []
        self._servers = []
        self._redis = None
        self.others = []

    # -- Redis --

    def redis_server(self, **how):
        server = Redis(os.path.join(self.folder, "redis-%d" % len(self._servers)), **how)
        self._servers.append(server)
        if self._redis is None:
            self._redis = server
        return server

    @property
    def redis(self):
        return self._redis or self.redis_server()

    @property
    def r(self):
        """A client that gives text, bytes that are none of UTF-8 as surrogates."""
        if not hasattr(self, "_client") or self._client_of is not self.redis:
            self._client, self._client_of = self.redis.client(), self.redis
        return self._client

    def raw(self, *command):
        """A reply as it came: pairs in order, bytes untouched."""
        connection = redis.UnixDomainSocketConnection(path=self.redis.socket)
        try:
            connection.send_command(*command)
            return connection.read_response()
        finally:
            connection.disconnect()

    def add(self, stream="work", fields=None, id="*"):
        return self.raw("XADD", stream, id, *flat(fields or {"n": "1"})).decode()

    def add_many(self, stream, count, field="n"):
        pipe = self.r.pipeline(transaction=False)
        for number in range(count):
            pipe.execute_command("XADD", stream, "*", field, str(number))
        return pipe.execute()

    def later_key(self, last="later", stream="work"):
        return "xackd:{%s}:%s:%s" % (stream, stream, last)

    def add_later(self, in_ms, entries, stream="work"):
        """Delayed entries by the documented script, as a producer adds them; gives their IDs."""
        with open(os.path.join(TOP, "src", "lua", "enqueue.lua"), encoding="utf-8") as text:
            script = self.r.register_script(text.read())
        keys = [stream, self.later_key(stream=stream), self.later_key("later:data", stream)]
        pipe = self.r.pipeline(transaction=False)
        for fields in entries:
            script(keys=keys, args=["in", in_ms, ""] + flat(fields), client=pipe)
        return [answer[1] for answer in pipe.execute()]

    def pending(self, stream="work", group="xackd"):
        """{id: (consumer, delivery)} of the group."""
        rows = self.raw("XPENDING", stream, group, "-", "+", "100000")
        return {row[0].decode(): (row[1].decode(), row[3]) for row in rows}

    def pending_count(self, stream="work", group="xackd"):
        return self.raw("XPENDING", stream, group)[0]

    def wait_pending(self, count, stream="work", group="xackd", timeout=10):
        wait_until(lambda: self.pending_count(stream, group) == count, timeout,
                   "%d pending in %s" % (count, stream))

    def wait_done(self, stream="work", group="xackd", timeout=20):
        """Everything in the stream was delivered, and nothing is pending."""
        def done():
            info = [g for g in self.groups(stream) if g["name"] == group]
            return bool(info) and info[0]["pending"] == 0 and info[0]["last-delivered-id"] == self.last_id(stream)
        wait_until(done, timeout, "all of %s done: %s" % (stream, self.groups(stream)))

    def groups(self, stream="work"):
        try:
            return self.r.xinfo_groups(stream)
        except redis.exceptions.ResponseError:
            return []

    def last_id(self, stream):
        return self.r.xinfo_stream(stream)["last-generated-id"]

    def key(self, kind, stream="work", group="xackd"):
        found = re.search(r"\{([^{}]+)\}", stream)
        return "xackd:{%s}:%s:%s:%s" % (found.group(1) if found else stream, stream, group, kind)

    def dead(self, stream="work", group="xackd"):
        """The dead letters, decoded by their own rule: meta pairs by count, then the original pairs."""
        return [dead_letter(row) for row in self.raw("XRANGE", self.key("dead", stream, group), "-", "+")]

    def wait_dead(self, count=1, stream="work", group="xackd", timeout=15):
        wait_until(lambda: self.r.xlen(self.key("dead", stream, group)) >= count, timeout, "%d dead letters" % count)
        found = self.dead(stream, group)
        assert len(found) == count
        return found

    def note(self, entry, stream="work", group="xackd"):
        text = self.r.hget(self.key("note", stream, group), entry)
        return json.loads(text) if text else None

    def parked(self, entry, stream="work", group="xackd"):
        return self.pending(stream, group).get(entry, ("", 0))[0] == PARKED

    def wait_parked(self, entry, stream="work", group="xackd", timeout=10):
        wait_until(lambda: self.parked(entry, stream, group), timeout, "%s is parked" % entry)

    # -- files --

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def read(self, name):
        try:
            with open(self.path(name), encoding="utf-8", errors="surrogateescape") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def script(self, name, text):
        """A handler in sh."""
        return self.write(name, "#!/bin/sh\n" + text, 0o755)

    def lines(self, name="runs"):
        text = self.read(name)
        return text[:text.rfind("\n") + 1].split("\n")[:-1]

    def runs(self, name="runs"):
        """What handlers made by recording() noted: (id, attempt, delivery) each."""
        return [(a, int(b), int(c)) for a, b, c in (line.split()[:3] for line in self.lines(name))]

    def wait_runs(self, count, name="runs", timeout=10):
        wait_until(lambda: len(self.lines(name)) >= count, timeout, "%d runs noted" % count)
        return self.runs(name)

    def recording(self, then="", name="runs"):
        """exec: of a handler that notes its run, then does something more in sh."""
        return in_sh('echo "$XACKD_ID $XACKD_ATTEMPT $XACKD_DELIVERY $$" >> %s\n%s' % (self.path(name), then))

    def gate(self, name="gate"):
        gate = Gate(self.path(name))
        self.gates.append(gate)
        return gate

    # -- configuration and programs --

    def config(self, jobs=None, name="h1", **over):
        """A configuration as a mapping; `jobs` is {name: {…}} or one job's keys."""
        os.makedirs(self.path("run"), exist_ok=True)
        if jobs is None or "exec" in jobs or "shell" in jobs:
            jobs = {"work": jobs or {"exec": ["/bin/true"]}}
        config = {
            "name": name,
            "redis": {"url": self.redis.url} if "redis" not in over else over.pop("redis"),
            "workers": 1,
            "drain_timeout": "5s",
            "state_dir": self.path("state-" + name),
            "control_socket": self.path("run", name + ".sock"),
            "log": {"format": "json", "level": "debug"},
            "defaults": {"lease": "2s", "kill_grace": "1s", "timeout": "1m",
                         "retry": {"initial": "100ms", "jitter": 0}},
            "jobs": jobs,
        }
        for key, value in over.items():
            if value is None:
                config.pop(key, None)
            elif isinstance(value, dict) and isinstance(config.get(key), dict):
                config[key] = dict(config[key], **value)
            else:
                config[key] = value
        return config

    def write_config(self, config, name="xackd.yaml"):
        """JSON is YAML: nothing has to be quoted by hand."""
        text = config if isinstance(config, str) else json.dumps(config, ensure_ascii=False, indent=1)
        return self.write(name, text + "\n")

    def daemon(self, jobs=None, ready=True, args=(), env=None, prefix=(), text=None, **over):
        daemon = Daemon(self, text or self.config(jobs, **over), args, env, prefix)
        self.daemons.append(daemon)
        return daemon.wait_ready() if ready else daemon

    def again(self, daemon, ready=True, args=(), env=None):
        """Another life of the same configuration."""
        return self.daemon(ready=ready, args=args, env=env, text=daemon.config)

    def until_empty(self, jobs=None, timeout=30, **over):
        daemon = self.daemon(jobs, ready=False, args=["--until-empty"], **over)
        daemon.status = daemon.wait(timeout)
        return daemon

    def check(self, config, *args):
        """xackd --check."""
        file = self.write_config(config, "check.yaml")
        return subprocess.run([XACKD, "-c", file, "--check"] + list(args), capture_output=True, text=True, timeout=20 * SLOW,
                              stdin=subprocess.DEVNULL, errors="surrogateescape")

    def ctl(self, *args, config=None, stdin=None, status=0):
        """xackctl; gives the finished process, with .json where stdout is JSON."""
        file = config or self.daemons[-1].file
        done = subprocess.run([XACKCTL, "-c", file] + list(args), capture_output=True, timeout=30 * SLOW, input=stdin or b"")
        done.text = done.stdout.decode("utf-8", "replace")
        done.errors = done.stderr.decode("utf-8", "replace")
        if status is not None:
            assert done.returncode == status, "xackctl %s: %d\n%s%s" % (args, done.returncode, done.text, done.errors)
        if "--json" in args and done.returncode == 0:
            done.json = json.loads(done.text)
        return done

    # -- the end --

    def close(self):
        """Stop and remove everything; gives the list of what is wrong."""
        problems = []
        for gate in self.gates:
            gate.open()
        for server in self._servers:
            server.thaw() if server.process.poll() is None else None
        for daemon in self.daemons:
            problems += self.end_daemon(daemon)
        problems += self.end_strays()
        self.end_groups()
        for gate in self.gates:
            gate.close()
        for server in self._servers:
            server.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        return problems

    def end_groups(self):
        """Empty cgroups of daemons that were killed: the next life would have removed them."""
        for note in glob.glob(self.path("run", "*.cgroup")):
            with open(note) as text:
                top = text.read()
            for path, _, _ in os.walk(top, topdown=False):
                try:
                    os.rmdir(path)
                except OSError:
                    pass

    def end_daemon(self, daemon):
        problems = []
        if daemon.process.poll() is None:
            send(daemon.pid, signal.SIGCONT)
            send(daemon.pid, signal.SIGTERM)
            try:
                daemon.process.wait(20 * SLOW)
            except subprocess.TimeoutExpired:
                problems.append("daemon %s had to be killed: %s" % (daemon.name, daemon.tail()))
                daemon.kill9_all()
        daemon.read_log()
        if daemon.bad_lines:
            problems.append("lines of the log that are no events: %r" % daemon.bad_lines[:5])
        errors = [e for e in daemon.seen if e["level"] == "error"]
        if errors and not daemon.allow_errors:
            problems.append("events at level error: %s" % json.dumps(errors[:3]))
        return problems

    def end_strays(self):
        """Everything a daemon leaves becomes a child of this process."""
        known = {server.process.pid for server in self._servers} | {p.pid for p in self.others}
        killed = any(daemon.killed for daemon in self.daemons)

        def strays():
            left = []
            for p in children(os.getpid()):
                if p.pid in known or p.pid in BYSTANDERS:
                    continue
                if p.state == "Z" and killed:
                    os.waitpid(p.pid, os.WNOHANG)
                else:
                    left.append(p)
            return left
        try:
            if killed:
                wait_until(lambda: not strays(), 2)
        except AssertionError:
            pass
        left = strays()
        problems = ["left behind: %s %s" % (p, command_line(p.pid)) for p in left]
        for p in left:
            for q in [p] + descendants(p.pid):
                send(q.pid, signal.SIGKILL)
        for p in children(os.getpid()):
            if p.pid not in known and p.pid not in BYSTANDERS:
                try:
                    os.waitpid(p.pid, 0)
                except ChildProcessError:
                    pass
        return problems


# Children that this process had before any test: the test runner's own.
BYSTANDERS = {p.pid for p in children(os.getpid())}


# ---- small things ----

def in_sh(text):
    """exec: of a text for sh that is no template."""
    return ["/bin/sh", "-c", text.replace("{", "{{").replace("}", "}}")]


def flat(fields):
    """A mapping or a list of pairs as XADD wants it."""
    pairs = fields.items() if isinstance(fields, dict) else fields
    return [part for pair in pairs for part in pair]


def dead_letter(row):
    """{meta without the prefix}, plus dead_id and pairs (bytes)."""
    values = row[1]
    assert values[0] == b"xackd.meta", values[:2]
    count = int(values[1])
    meta = values[2:2 + 2 * count]
    letter = {"dead_id": row[0].decode()}
    for name, value in zip(meta[::2], meta[1::2]):
        assert name.startswith(b"xackd."), name
        assert name.decode()[6:] not in letter
        letter[name.decode()[6:]] = value.decode("utf-8", "surrogateescape")
    rest = values[2 + 2 * count:]
    letter["pairs"] = list(zip(rest[::2], rest[1::2]))
    return letter


def milliseconds(ts):
    """Unix ms of an event's ts."""
    from datetime import datetime, timezone
    return datetime.strptime(ts, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc).timestamp() * 1000
