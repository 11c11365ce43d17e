"""What a peer is, and what is measured of each: the rate, the latency, and what it costs while it has nothing to do."""
import os
import time

from common import TRUE, Drain, Group, Skip, Wire, wait_for
import harness

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = "/usr/bin/python3"


class Quarters(harness.Box):
    """Several peers may stand side by side: what this one does not know is another's, no stray."""

    def end_strays(self):
        return []


class Peer:
    """A server and workers, a way to enqueue (many, or one), and how many still wait. An empty command: its own function, which does nothing."""
    few = 1           # a part of the jobs, where it is slow
    native = None     # with how many workers it does functions of its own best, and how many are measured; or it only knows commands
    on_redis = True   # on a Redis of its own, as xackd's
    own_wire = None
    setting = ""      # how it is set up, for the reader

    def __init__(self, workers, command, folder, lean=False):
        """folder: of node's modules. lean: what needs the least memory, where that differs from the fastest."""
        self.workers, self.command, self.folder, self.lean = workers, list(command), folder, lean
        self.servers, self.group = Group(), Group()
        self.box = Quarters()
        self.environment = dict(os.environ, PYTHONPATH=HERE)
        try:
            if self.on_redis:
                self.environment["BENCH_SOCKET"] = self.box.redis.socket
            self.prepare()
        except (OSError, AssertionError) as error:
            self.close()
            raise Skip("does not start: %s" % error)
        except BaseException:
            self.close()
            raise

    def prepare(self):
        pass

    def start(self, *command, **more):
        """One of the workers, or their master."""
        return self.group.start(*command, env=self.environment, cwd=self.box.folder, **more)

    def spread(self):
        """The processes of a peer that has many workers in each, and how many in each: the fastest is one a CPU, the leanest is one."""
        processes = 1 if self.lean else min(os.cpu_count(), self.workers)
        return processes, -(-self.workers // processes)

    def waiting(self):
        raise NotImplementedError

    def add(self, count):
        raise NotImplementedError

    def add_one(self):
        """Enqueue; gives the wall clock in s just before."""
        now = time.time()
        self.add(1)
        return now

    def wire(self):
        if not self.own_wire:
            self.own_wire = Wire(self.box)
        return self.own_wire

    def work(self):
        """Start the workers."""
        raise NotImplementedError

    def close(self):
        if self.own_wire:
            self.own_wire.close()
        self.group.end()
        self.servers.end()
        self.box.close()


# ---- what is measured ----

def throughput(kind, workers, count, command, folder):
    """Jobs a second between the first and the last tenth: without their start-up, and without what is prefetched at the end."""
    peer = kind(workers, command, folder)
    try:
        peer.add(count)
        peer.work()
        wait_for(lambda: peer.waiting() <= count * 0.9, 60, 0.01)
        return Drain(peer.waiting).until(count * 0.1)
    finally:
        peer.close()


def latency(kind, command, stamps, count, folder, calls):
    """The seconds from enqueueing to the command's first instruction, on idle workers; `calls` gets what the enqueueing itself took."""
    peer = kind(2, command, folder)
    try:
        peer.work()
        for _ in range(3):
            peer.add_one()
            stamps.next(30)
        took = []
        for _ in range(count):
            began = peer.add_one()
            calls.append(time.time() - began)
            took.append(stamps.after(began))
        return took
    finally:
        peer.close()


class Resting:
    """A peer whose workers have all done their first jobs. Its processes are theirs and their master's, not the broker's."""

    def __init__(self, kind, workers, folder):
        self.peer = kind(workers, [TRUE], folder, lean=True)
        try:
            self.peer.add(20 * workers)
            self.peer.work()
            wait_for(lambda: self.peer.waiting() == 0, 60, 0.05)
        except BaseException:
            self.close()
            raise

    @property
    def on_redis(self):
        return self.peer.on_redis

    @property
    def box(self):
        return self.peer.box

    def pids(self):
        return self.peer.group.pids()

    def close(self):
        self.peer.close()
