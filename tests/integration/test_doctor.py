"""xackctl doctor: silent where all is well; each of the faults that are planted here, one by one, is found and said with what to
do; --fix puts right what it may."""
import json
import os
import re
import socket
import subprocess
import threading

import pytest

from harness import PARKED, SLOW, XACKCTL, wait_until

DEAD_CONSUMER = "gone/default/0/0123456789abcdef"


class Proxy:
    """In front of the box's Redis: INFO and TIME say what a test wants, all else passes."""

    def __init__(self, box, info=None, time_offset_s=0):
        self.box, self.info, self.offset = box, info or {}, time_offset_s
        self.path = box.path("proxy.sock")
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(self.path)
        self.server.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.pump, args=(client,), daemon=True).start()

    def pump(self, client):
        real = socket.socket(socket.AF_UNIX)
        real.connect(self.box.redis.socket)
        requests, replies = client.makefile("rb"), real.makefile("rb")
        with client, real:
            while True:
                raw, words = self.command(requests)
                if not raw:
                    return
                if words[0] == b"INFO" and self.info:
                    client.sendall(self.told())
                elif words[0] == b"TIME" and self.offset:
                    second = b"%d" % (self.box.r.time()[0] + self.offset)
                    client.sendall(b"*2\r\n$%d\r\n%s\r\n$1\r\n0\r\n" % (len(second), second))
                else:
                    real.sendall(raw)
                    client.sendall(self.reply(replies))

    def command(self, stream):
        raw = stream.readline()
        words = []
        for _ in range(int(raw[1:])) if raw else ():
            head = stream.readline()
            words.append(stream.read(int(head[1:]) + 2)[:-2])
            raw += head + words[-1] + b"\r\n"
        return raw, words

    def reply(self, stream):
        line = stream.readline()
        if line[:1] == b"$" and int(line[1:]) >= 0:
            return line + stream.read(int(line[1:]) + 2)
        if line[:1] == b"*":
            return line + b"".join(self.reply(stream) for _ in range(int(line[1:])))
        return line

    def told(self):
        text = self.box.raw("INFO").decode()
        for name, value in self.info.items():
            text, count = re.subn(r"(?m)^%s:[^\r]*" % name, "%s:%s" % (name, value), text)
            text += "" if count else "%s:%s\r\n" % (name, value)
        return b"$%d\r\n%s\r\n" % (len(text.encode()), text.encode())


class Patient:
    """A good installation: a daemon with a handler, a Redis that keeps what it accepts."""

    def __init__(self, box):
        self.box = box
        self.handler = box.script("handler", "exit 0\n")
        self.over = {}
        self.jobs = {"work": {"exec": [self.handler]}}
        self.daemon = box.daemon(self.jobs)
        self.file = self.daemon.file
        self.daemon.allow_errors = True
        box.add()
        box.wait_done()

    def config(self, jobs=None, **over):
        """Another file for the doctor to read; the daemon keeps its own."""
        self.file = self.box.write_config(self.box.config(jobs or self.jobs, **over), "patient.yaml")

    def proxy(self, **how):
        self.config(redis={"url": "unix://" + Proxy(self.box, **how).path})

    def user(self, *rules):
        self.box.r.execute_command("ACL", "SETUSER", "doc", "reset", "on", ">secret", *rules)
        password = self.box.write("password", "secret\n", 0o600)
        self.config(redis={"url": self.box.redis.url, "username": "doc", "password_file": password})

    def stop(self):
        assert self.daemon.stop() == 0

    def doctor(self, *args, prefix=()):
        done = subprocess.run(list(prefix) + [XACKCTL, "-c", self.file, "doctor", "--json"] + list(args), capture_output=True, text=True,
                              timeout=60 * SLOW, stdin=subprocess.DEVNULL)
        rows = json.loads(done.stdout)
        worst = max([{"warning": 1, "error": 2}.get(row["level"], 0) for row in rows] or [0])
        assert done.returncode == worst and done.stderr == "", (done, rows)
        assert all(row["todo"] for row in rows if row["level"] != "fixed")
        return rows


@pytest.fixture
def patient(box):
    patient = Patient(box)
    assert patient.doctor() == []
    return patient


FAULTS = {}


def fault(level, check, pattern, also=()):
    """The row that must be found; rows of the checks in `also` may come with it, no others."""
    def note(plant):
        FAULTS[plant.__name__] = (plant, level, check, pattern, also)
        return plant
    return note


# ---- this host ----

@fault("error", "configuration", "unknown key")
def wrong_configuration(p):
    p.file = p.box.write("wrong.yaml", "jbos: {}\njobs: { a: { exec: [ /bin/true ] } }\n")


@fault("warning", "configuration", "is not a folder")
def missing_folder(p):
    p.config({"work": {"exec": [p.handler], "cwd": "/nonexistent"}})


@fault("error", "handlers", "does not exist")
def missing_handler(p):
    os.unlink(p.handler)


@fault("error", "handlers", "is not executable")
def handler_not_executable(p):
    os.chmod(p.handler, 0o644)


@fault("error", "handlers", "everybody may change the handler")
def open_handler(p):
    os.chmod(p.handler, 0o777)


@fault("error", "files", "everybody may change the configuration")
def open_configuration(p):
    os.chmod(p.file, 0o666)


@fault("error", "files", "everybody may read the password")
def open_password(p):
    p.user("~*", "&*", "+@all")
    os.chmod(p.box.path("password"), 0o644)


@fault("error", "files", "everybody may replace the control socket")
def open_runtime_folder(p):
    os.chmod(p.box.path("run"), 0o777)


@fault("error", "files", "everybody may give orders")
def open_control_socket(p):
    os.chmod(p.box.path("run", "h1.sock"), 0o666)


@fault("warning", "daemon", "nobody answers at", ["group"])
def daemon_stopped(p):
    p.stop()


@fault("warning", "limits", "open files are few for 100 workers", ["daemon", "group"])
def few_descriptors(p):
    p.stop()
    p.config(workers=100)
    p.prefix = ["prlimit", "--nofile=256:256"]


# ---- Redis ----

@fault("error", "redis", "cannot be reached")
def redis_away(p):
    p.config(redis={"url": "unix:///nonexistent/redis.sock"})


@fault("error", "redis", "WRONGPASS")
def wrong_password(p):
    p.user("~*", "&*", "+@all")
    p.box.write("password", "other\n", 0o600)


@fault("error", "version", "6.0.16")
def old_version(p):
    p.proxy(info={"redis_version": "6.0.16"})


@fault("error", "rights", "XAUTOCLAIM on the stream is refused")
def forbidden_command(p):
    p.user("~*", "&*", "+@all", "-xautoclaim")


@fault("error", "rights", "ZADD on the due times is refused")
def forbidden_key(p):
    p.user("~work", "~xackd:{work}:work:xackd:[dghnp]*", "~xackd:{work}:work:result:*", "&*", "+@all", "-zadd")


@fault("error", "rights", "XADD on the dead letters is refused")
def forbidden_dead_letters(p):
    p.user("~work", "~xackd:*:due", "~xackd:*:given", "~xackd:*:note", "~xackd:*:hosts", "~xackd:*:paused", "~xackd:*:later", "~xackd:*:result:*", "&*", "+@all")


@fault("warning", "rights", "SET on the results is refused")
def forbidden_results(p):
    p.user("~work", "~xackd:{work}:work:xackd:*", "&*", "+@all")


@fault("warning", "rights", "CLIENT KILL is refused")
def forbidden_kill(p):
    p.user("~*", "&*", "+@all", "-client|kill")


@fault("warning", "redis", "INFO is refused", ["rights"])
def forbidden_info(p):
    p.user("~*", "&*", "+@all", "-info")


@fault("error", "role", "is a replica")
def replica(p):
    p.proxy(info={"role": "slave", "master_host": "elsewhere"})


@fault("warning", "role", "not in step")
def replica_behind(p):
    p.proxy(info={"connected_slaves": "1", "slave0": "ip=10.0.0.1,port=6379,state=wait_bgsave,offset=0,lag=9"})


@fault("error", "role", "refuses writes")
def replicas_missing(p):
    p.box.r.config_set("min-replicas-to-write", 1)


@fault("warning", "persistence", "appendonly is off")
def no_append_only_file(p):
    p.box.r.config_set("appendonly", "no")


@fault("warning", "persistence", "appendfsync is no")
def no_fsync(p):
    p.box.r.config_set("appendfsync", "no")


@fault("error", "persistence", "could not save a snapshot")
def failed_snapshot(p):
    p.proxy(info={"rdb_last_bgsave_status": "err"})


@fault("error", "persistence", "could not write its append-only file")
def failed_append(p):
    p.proxy(info={"aof_last_write_status": "err"})


@fault("error", "eviction", "allkeys-lru")
def eviction(p):
    p.box.r.config_set("maxmemory", "1gb")
    p.box.r.config_set("maxmemory-policy", "allkeys-lru")


@fault("warning", "eviction", "has evicted 3 keys")
def evicted(p):
    p.proxy(info={"evicted_keys": "3"})


@fault("warning", "memory", "producers will be refused")
def memory_short(p):
    p.proxy(info={"maxmemory": "1000000000", "used_memory": "950000000"})


@fault("warning", "clients", "clients are connected")
def clients_short(p):
    p.proxy(info={"maxclients": "100", "connected_clients": "95"})


@fault("warning", "clock", "ahead of this host's")
def clock_ahead(p):
    p.proxy(time_offset_s=90)


@fault("warning", "clock", "behind this host's")
def clock_behind(p):
    p.proxy(time_offset_s=-90)


# ---- queues ----

@fault("error", "keys", "is a list, not a hash")
def wrong_type(p):
    p.box.r.delete(p.box.key("note"))
    p.box.r.rpush(p.box.key("note"), "x")


@fault("warning", "group", "there is no such group", ["group", "daemon"])
def no_group(p):
    p.stop()
    p.box.r.delete("work")


@fault("warning", "group", "is paused")
def paused(p):
    p.box.ctl("pause", "work")


@fault("warning", "group", "the daemon elsewhere has not been seen")
def host_gone(p):
    p.box.r.hset(p.box.key("hosts"), "elsewhere", json.dumps({"seen_ms": 1, "lease_ms": 2000}))


def held_by(p, consumer, idle_ms):
    p.stop()
    entry = p.box.add()
    p.box.r.xreadgroup("xackd", consumer, {"work": ">"})
    p.box.r.execute_command("XCLAIM", "work", "xackd", consumer, 0, entry, "IDLE", idle_ms, "JUSTID")


@fault("error", "consumers", "1 dead consumers .* hold 1 entries", ["group", "daemon"])
def dead_consumer(p):
    held_by(p, DEAD_CONSUMER, 60000)
    wait_until(lambda: any(r["check"] == "consumers" for r in p.doctor()), 10)


@fault("warning", "consumers", "not xackd's .as somebody. hold 1 entries", ["group", "daemon"])
def foreign_consumer(p):
    held_by(p, "somebody", 0)


@fault("warning", "consumers", "1500 consumers of daemons that are gone hold nothing")
def empty_consumers(p):
    pipe = p.box.r.pipeline(transaction=False)
    for number in range(1500):
        pipe.execute_command("XGROUP", "CREATECONSUMER", "work", "xackd", "gone/default/0/%016x" % number)
    pipe.execute()


@fault("error", "parked", "1 parked entries have no due time", ["group", "daemon"])
def no_due_time(p):
    held_by(p, PARKED, 0)


@fault("warning", "parked", "2 due times are of entries that are not pending", ["group", "daemon"])
def vanished(p):
    p.stop()
    p.box.r.zadd(p.box.key("due"), {"1-1": 1e15, "1-2": 1e15})


def fill(box, key, count):
    box.r.eval("for i = 1, ARGV[1] do redis.call('XADD', KEYS[1], i .. '-1', 'n', '1') end", 1, key, count)


@fault("warning", "sizes", "100000 dead letters")
def many_dead_letters(p):
    fill(p.box, p.box.key("dead"), 100000)


@fault("warning", "sizes", "1000000 entries that are done", ["group", "daemon"])
def long_stream(p):
    p.stop()
    p.box.r.delete("work")
    fill(p.box, "work", 1000000)
    p.box.r.xgroup_create("work", "xackd", id="$")
    p.box.r.execute_command("XGROUP", "SETID", "work", "xackd", "$", "ENTRIESREAD", 1000000)


def test_enough_faults():
    assert len(FAULTS) >= 20


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_fault_is_found(patient, name):
    plant, level, check, pattern, also = FAULTS[name]
    patient.prefix = ()
    plant(patient)
    rows = patient.doctor(prefix=patient.prefix)
    found = [row for row in rows if row["check"] == check and row["level"] == level and re.search(pattern, row["what"])]
    assert len(found) == 1, rows
    assert {row["check"] for row in rows} <= {check} | set(also), rows


def test_in_words(patient):
    def say():
        return subprocess.run([XACKCTL, "-c", patient.file, "doctor"], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    done = say()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    patient.box.ctl("pause", "work")
    os.chmod(patient.handler, 0o600)
    done = say()
    assert done.returncode == 2 and done.stdout == (
        "error   handlers: job work: %s is not executable: chmod +x; the job goes on by itself\n"
        "warning group: work/xackd is paused: xackctl resume\n" % patient.handler)


@pytest.mark.parametrize("name", ["open_handler", "open_configuration", "open_password", "open_runtime_folder", "open_control_socket",
                                  "no_due_time", "empty_consumers"])
def test_fix(patient, name):
    plant, level, check, pattern, also = FAULTS[name]
    plant(patient)
    rows = patient.doctor("--fix")
    assert [row["level"] for row in rows if row["check"] == check] == ["fixed"], rows
    assert [row for row in patient.doctor() if row["check"] == check] == []


def test_nothing_is_changed_without_fix(patient):
    """Nor by looking: the probes of rights are calls that do nothing."""
    patient.stop()
    patient.box.add_many("work", 10)
    held = patient.box.raw("XREADGROUP", "GROUP", "xackd", "x", "COUNT", "5", "STREAMS", "work", ">")
    before = sorted(patient.box.r.keys())
    digest = patient.box.r.execute_command("DEBUG", "DIGEST")
    assert len(held[0][1]) == 5 and len(patient.doctor()) >= 2
    assert patient.box.r.execute_command("DEBUG", "DIGEST") == digest and sorted(patient.box.r.keys()) == before


def test_many_entries_do_not_block(patient):
    """Whatever lies there, no single call of the doctor keeps Redis busy."""
    fill(patient.box, patient.box.key("dead"), 200000)
    pipe = patient.box.r.pipeline(transaction=False)
    pipe.zadd(patient.box.key("due"), {"1-%d" % i: 1e15 for i in range(100000)})
    pipe.execute()
    patient.box.r.config_set("slowlog-log-slower-than", 20000 * SLOW)
    patient.box.r.slowlog_reset()
    patient.doctor()
    patient.box.ctl("check", config=patient.file)
    patient.box.ctl("dead", "ls", "--limit", "1000", config=patient.file)
    assert patient.box.r.slowlog_get() == []
