"""Peers that are libraries of a language: the job is a function of it, which runs a command, or does nothing."""
import json
import os
import subprocess
import sys
import time
import uuid

from common import Skip, need
from peer import HERE, PYTHON, Peer


class Rq(Peer):
    few = 20
    worker_class = "rq.Worker"
    setting = "a process a worker, which forks one for each job"

    def prepare(self):
        if subprocess.run([PYTHON, "-c", "import rq"], capture_output=True).returncode:
            raise Skip("python3-rq is not installed")
        import redis
        import rq
        self.rq = rq.Queue(connection=redis.Redis(unix_socket_path=self.box.redis.socket))

    def waiting(self):
        return self.box.r.llen("rq:queue:default")

    def add(self, count):
        if count == 1:
            self.rq.enqueue("rq_task.run", *self.command, result_ttl=0)
        else:
            self.rq.enqueue_many([self.rq.prepare_data("rq_task.run", args=self.command, result_ttl=0) for _ in range(count)])

    def work(self):
        for _ in range(self.workers):
            self.start(PYTHON, "-m", "rq.cli", "worker", "--quiet", "--url", "unix://" + self.box.redis.socket, "--worker-class", self.worker_class)


class RqSimple(Rq):
    few, worker_class, native = 10, "rq.SimpleWorker", (2 * os.cpu_count(), 4000)
    setting = "a process a worker, which does the jobs itself"


class Celery(Peer):
    few, native = 4, (2 * os.cpu_count(), 6000)
    setting = "one master and a process a worker, no results, acknowledged early (its default: a job is lost with its worker), no gossip, mingle, heartbeat"

    def prepare(self):
        os.environ["BENCH_SOCKET"] = self.box.redis.socket
        sys.modules.pop("celery_task", None)
        try:
            import celery_task
        except ImportError as error:
            raise Skip("celery: %s" % error)
        self.run = celery_task.run

    def waiting(self):
        return self.box.r.llen("celery")

    def add(self, count):
        for _ in range(count):
            self.run.delay(*self.command)

    def work(self):
        self.start(PYTHON, "-m", "celery", "-A", "celery_task", "worker", "-c", str(self.workers), "-P", "prefork", "--without-gossip", "--without-mingle",
                   "--without-heartbeat", "-l", "ERROR")


class Sidekiq(Peer):
    few, native = 10, (5 * os.cpu_count(), 60000)
    setting = "a process a CPU (where memory is measured: one process), a thread a worker (jobs that do nothing: five a CPU); a job is lost with its process"

    def prepare(self):
        need("sidekiq")

    def waiting(self):
        return self.box.r.llen("queue:default")

    def add(self, count):
        self.box.r.sadd("queues", "default")
        pipe = self.box.r.pipeline(transaction=False)
        for _ in range(count):
            pipe.lpush("queue:default", self.job())
        pipe.execute()

    def add_one(self):
        return self.wire().ask("LPUSH", "queue:default", self.job())

    def job(self):
        return json.dumps({"class": "Run", "args": self.command, "retry": False, "queue": "default", "jid": uuid.uuid4().hex[:24], "created_at": time.time(),
                           "enqueued_at": time.time()})

    def work(self):
        processes, threads = self.spread()
        for _ in range(processes):
            self.start("sidekiq", "-r", os.path.join(HERE, "sidekiq_job.rb"), "-c", str(threads))


class BullMq(Peer):
    few, native = 8, (100, 60000)
    setting = "a process a CPU, `concurrency` for the workers; where memory is measured, and for jobs that do nothing (it is faster so), one process, for the latter with a concurrency of 100"

    def prepare(self):
        need("node", "npm")
        modules = os.path.join(self.folder, "node_modules")
        if not os.path.exists(modules):
            done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--prefix", self.folder, "bullmq", "ioredis"], capture_output=True, timeout=120)
            if done.returncode:
                raise Skip("npm could not install bullmq")
        self.environment["NODE_PATH"] = modules
        self.script = os.path.join(HERE, "bull.js")
        self.producer = None

    def waiting(self):
        return self.box.r.llen("bull:work:wait")

    def add(self, count):
        subprocess.run(["node", self.script, "add", str(count)] + self.command, env=self.environment, check=True)

    def add_one(self):
        """By a producer that stays: it tells when it began."""
        if not self.producer:
            self.producer = self.servers.start("node", self.script, "each", *self.command, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                               text=True, bufsize=1)
            self.producer.stdout.readline()
        self.producer.stdin.write("\n")
        return float(self.producer.stdout.readline()) / 1000

    def work(self):
        processes, concurrency = self.spread() if self.command else (1, self.workers)
        for _ in range(processes):
            self.start("node", self.script, "work", str(concurrency))
