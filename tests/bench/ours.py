"""xackd and the limits of the machine: rates, what a job asks of Redis and of the kernel, latency."""
import os
import select
import shutil
import signal
import subprocess
import time

from common import CPUS, HERE, TRUE, Drain, Skip, Wire, compiled, fill, left, output, wait_for
import harness

WORKERS = 2 * CPUS
PLAIN = {"lease": "60s", "success": "summary"}


class Counted:
    """What Redis is asked by the daemon alone: all that Redis counted, without the questions of the measurement."""

    def __init__(self, box):
        self.box, self.asked = box, 0
        box.r.config_resetstat()

    def left(self):
        self.asked += 1
        return left(self.box)

    def result(self, jobs):
        """Commands a job: {"reads", "acks", "scripts", "all"}; in "all" a script counts, and again what it does."""
        stats = {name[len("cmdstat_"):]: row["calls"] for name, row in self.box.r.info("commandstats").items()}
        stats["xinfo|groups"] = stats.get("xinfo|groups", 0) - self.asked
        for own in ("info", "config|resetstat"):
            stats.pop(own, None)
        scripts = stats.get("evalsha", 0) + stats.get("eval", 0)
        return {"reads": stats.get("xreadgroup", 0) / jobs, "acks": stats.get("xack", 0) / jobs, "scripts": scripts / jobs, "all": sum(stats.values()) / jobs}


def rate(job, count, workers=WORKERS, warm=200, asked=None):
    """Jobs a second, once the daemon has done its first; `asked` gets the commands of Redis a job."""
    box = harness.Box()
    try:
        daemon = box.daemon(dict(PLAIN, **job), workers=workers, log={"level": "info"})
        box.add_many("work", warm)
        box.wait_done(timeout=60)
        box.ctl("pause", "work")
        fill(box, "work", count)
        box.ctl("resume", "work")
        counted = Counted(box)
        wait_for(lambda: counted.left() < count)
        jobs_per_s = Drain(counted.left).until(0)
        if asked is not None:
            asked.append(counted.result(count))
        daemon.stop()
        return jobs_per_s
    finally:
        box.close()


def redis_alone(folder, count, clients, at_once):
    box = harness.Box()
    try:
        box.r.xgroup_create("work", "g", "0", mkstream=True)
        fill(box, "work", count)
        return output(compiled(folder, os.path.join(HERE, "redis_limit.c"), "-lhiredis"), box.redis.socket, "work", "g", str(clients), str(at_once))
    finally:
        box.close()


def system_calls(count=500):
    """(count, name) a job, of a worker without its handler, or nothing without strace."""
    if not shutil.which("strace"):
        return []
    box = harness.Box()
    try:
        daemon = box.daemon(dict(PLAIN, exec=[TRUE]), workers=1, log={"level": "info"})
        box.add_many("work", 100)
        box.wait_done()
        file = box.path("strace")
        tracer = subprocess.Popen(["strace", "-c", "-o", file, "-p", str(daemon.workers()[0])], stderr=subprocess.PIPE, text=True)
        tracer.stderr.readline()  # attached
        fill(box, "work", count)
        box.wait_done(timeout=60)
        tracer.send_signal(signal.SIGINT)
        tracer.communicate()
        rows = []
        for line in open(file):
            part = line.split()
            if len(part) >= 5 and part[3].isdigit() and int(part[3]) >= count / 50:
                rows.append((int(part[3]) / count, part[-1]))
        return rows
    finally:
        box.close()


# ---- latency ----

class Stamps:
    """What the handlers write to the FIFO: the wall clock in ns, as the first thing they do."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "stamps")
        os.mkfifo(self.path)
        self.fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        self.text = b""

    def next(self, limit=10):
        end = time.monotonic() + limit
        while b"\n" not in self.text:
            if not select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]:
                raise Skip("the command was not started within %d s" % limit)
            self.text += os.read(self.fd, 4096)
        line, _, self.text = self.text.partition(b"\n")
        return int(line) / 1e9

    def after(self, start_s):
        took = self.next() - start_s
        time.sleep(0.02)  # until all of it is idle again
        return took

    def close(self):
        os.close(self.fd)
        os.unlink(self.path)


def add_and_wait(box, stamps, count):
    wire = Wire(box)
    try:
        return [stamps.after(wire.ask("XADD", "work", "*", "n", 1)) for _ in range(count + 3)][3:]
    finally:
        wire.close()


def bare_latency(rod, stamps, count):
    box = harness.Box()
    bare = None
    try:
        box.r.xgroup_create("work", "bare", "$", mkstream=True)
        bare = subprocess.Popen([rod, "bare", box.redis.socket, "work", stamps.path])
        wait_for(lambda: box.r.info("clients")["blocked_clients"] == 1)
        return add_and_wait(box, stamps, count)
    finally:
        if bare:
            bare.kill()
            bare.wait()
        box.close()


def latency(rod, stamps, count):
    box = harness.Box()
    try:
        box.daemon(dict(PLAIN, exec=[rod, "stamp", stamps.path]), workers=2, log={"level": "info"})
        wait_for(lambda: box.r.info("clients")["blocked_clients"] == 2)
        return add_and_wait(box, stamps, count)
    finally:
        box.close()


# ---- at rest ----

class Resting:
    """A daemon whose workers have all done their first jobs."""
    on_redis = True

    def __init__(self, workers):
        self.box = harness.Box()
        try:
            self.daemon = self.box.daemon(dict(PLAIN, exec=[TRUE]), workers=workers, log={"level": "info"})
            self.daemon.wait_workers(workers)
            self.box.add_many("work", workers * 20)
            self.box.wait_done(timeout=60)
            wait_for(lambda: self.box.r.info("clients")["blocked_clients"] == workers, 60, 0.05)
        except BaseException:
            self.close()
            raise

    def pids(self):
        return self.daemon.own()

    def close(self):
        self.box.close()
