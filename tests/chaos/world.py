"""The world of a chaos run: a Redis that fsyncs always, a proxy before it, hosts that are restarted when they die, a producer
whose entries carry their number in their ID, so that adding one twice is impossible and asking what was accepted is easy."""
import glob
import os
import subprocess
import sys
import threading
import time

import redis

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))
import harness  # noqa: E402

STREAM, GROUP = "work", "xackd"
FIRST_MS = 1500000000000  # sequence number n has the ID (FIRST_MS + n)-0
USER = "--user worker on >secret ~* &* +@all".split()


def id_of(seq):
    return "%d-0" % (FIRST_MS + seq)


def seq_of(entry):
    return int(entry.partition("-")[0]) - FIRST_MS


class Host:
    """One name: its daemon of now, and the logs of all its lives."""

    def __init__(self, world, name):
        self.world, self.name = world, name
        self.logs, self.daemon = [], None
        self.start()

    def start(self):
        if self.daemon is None:
            self.daemon = self.world.box.daemon(self.world.job(), ready=False, env={"PW": "secret"}, **self.world.settings(self.name))
        else:
            self.daemon = self.world.box.again(self.daemon, ready=False, env={"PW": "secret"})
        self.logs.append(self.daemon.log)

    def workers(self):
        return self.daemon.workers() if self.daemon.process.poll() is None else []

    def handlers(self):
        workers = set(self.workers())
        return [p.pid for p in harness.processes() if p.ppid in workers and p.state not in "ZX"]


class World:
    def __init__(self, options):
        self.options = options
        self.box = harness.Box()
        self.ledger = self.box.path("ledger")
        self.handler = self.box.path("handler")
        subprocess.run(["cc", "-O2", "-o", self.handler, os.path.join(HERE, "ledger.c")], check=True, timeout=60)
        self.redis = self.box.redis_server(args=["--appendfsync", options.fsync, "--maxmemory-policy", "noeviction"] + USER)
        self.proxy = None
        if any(fault.startswith("net.") for fault in options.faults):
            self.start_proxy()
        self.client = self.redis.client(socket_timeout=15)
        self.deleted = set()      # entries that a fault removed while they were pending
        self.flushed_below = 0    # FLUSHALL: what was accepted before it is the operator's loss
        self.trouble = []
        self.written = []         # (monotonic, file, bytes) of the AOF, four times a second: what a disk has for certain is a second older
        self.unaccepted = 0       # entries that Redis had accepted and lost with its power
        self.produced = 0
        self.stop_producing = False
        self.hosts = [Host(self, "h%d" % (n + 1)) for n in range(options.hosts)]

    def start_proxy(self):
        self.proxy = subprocess.Popen([sys.executable, os.path.join(HERE, "proxy.py"), self.redis.socket], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, start_new_session=True, text=True)
        self.proxy_port = int(self.proxy.stdout.readline())
        self.box.others.append(self.proxy)

    def tell_proxy(self, text):
        if self.proxy:
            self.proxy.stdin.write(text + "\n")
            self.proxy.stdin.flush()

    def settings(self, name):
        url = "redis://127.0.0.1:%d/0" % self.proxy_port if self.proxy else self.redis.url
        return {"name": name, "workers": self.options.workers, "log": {"format": "json", "level": "debug"},
                "redis": {"url": url, "username": "worker", "password_env": "PW", "connect_timeout": "1s", "command_timeout": "3s"},
                "drain_timeout": "10s"}

    def job(self):
        return {STREAM: {"exec": [self.handler, self.ledger, "{@id}", "{@attempt}", "0", "{seq}", "-", "700"],
                         "stdin": "none", "lease": self.options.lease, "retain": self.options.retain, "timeout": "60s",
                         "retry": {"max_attempts": 0, "initial": "50ms", "max": "2s", "jitter": 0.5}}}

    # -- power --

    def watch_aof(self):
        while not self.stop_producing:
            for file in glob.glob(os.path.join(self.redis.folder, "appendonlydir", "*.incr.aof")):
                self.written.append((time.monotonic(), file, os.path.getsize(file)))
            self.written = self.written[-40:]
            time.sleep(0.25)

    def cut_aof(self):
        """The machine that Redis was on loses its power: with everysec, what was written in the last second is not on its disk."""
        now = time.monotonic()
        old = [(file, size) for when, file, size in self.written if now - 3 < when < now - 1 and os.path.exists(file)]
        self.written = []
        if old and self.options.fsync != "always":
            file, size = old[-1]
            os.truncate(file, min(size, os.path.getsize(file)))

    # -- the producer --

    def accepted(self):
        """How many Redis has taken: the ID says it, whatever answer was lost."""
        try:
            return seq_of(self.client.xinfo_stream(STREAM)["last-generated-id"]) + 1
        except redis.exceptions.ResponseError as error:
            if "no such key" in str(error):
                return self.flushed_below
            raise

    def waiting(self):
        """How many are not yet delivered, about."""
        for group in self.client.xinfo_groups(STREAM):
            if group["name"] == GROUP:
                return max(0, self.accepted() - 1 - seq_of(group["last-delivered-id"]))
        return 0

    def produce(self):
        number = 0
        while number < self.options.entries and not self.stop_producing:
            try:
                number = max(self.accepted(), self.flushed_below)
                self.produced = number
                if number >= self.options.entries:
                    return
                if number and self.waiting() > self.options.backlog:
                    time.sleep(0.05)
                    continue
                pipe = self.client.pipeline(transaction=False)
                for seq in range(number, min(number + 50, self.options.entries)):
                    pipe.xadd(STREAM, {"seq": seq}, id=id_of(seq))
                pipe.execute()
            except (redis.exceptions.RedisError, OSError):
                time.sleep(0.05)  # refused or away: asked again what it has

    def start_producer(self):
        threading.Thread(target=self.watch_aof, daemon=True).start()
        self.producer = threading.Thread(target=self.produce, daemon=True)
        self.producer.start()

    # -- how far it is --

    def progress(self):
        """Lines of ends in the ledger, about."""
        try:
            return os.path.getsize(self.ledger) // 110
        except OSError:
            return 0

    def drained(self):
        try:
            for group in self.client.xinfo_groups(STREAM):
                if group["name"] == GROUP:
                    return group["pending"] == 0 and group["last-delivered-id"] == self.client.xinfo_stream(STREAM)["last-generated-id"]
        except (redis.exceptions.RedisError, OSError):
            pass
        return False

    def restart_dead_hosts(self):
        """A supervisor that ended without having been killed is a finding, not only a restart."""
        for host in self.hosts:
            status = host.daemon.process.poll()
            if status is not None and not getattr(host.daemon, "stopping", False):
                if not host.daemon.killed:
                    self.trouble.append("the daemon of %s ended by itself with %s: %s" % (host.name, status, host.daemon.tail(3)))
                host.start()

    def stop(self):
        for host in self.hosts:
            if host.daemon.process.poll() is None:
                harness.send(host.daemon.pid, 15)
        for host in self.hosts:
            status = host.daemon.wait(40)
            if status != 0:
                self.trouble.append("the last stop of %s ended with %s" % (host.name, status))

    def close(self, keep=None):
        if self.proxy:
            self.proxy.kill()
            self.proxy.wait()
        for daemon in self.box.daemons:
            daemon.allow_errors = True
            daemon.read_log = lambda: []  # the checker has read them
        if keep:
            subprocess.run(["cp", "-r", self.box.folder, keep], check=False)
        return self.box.close()
