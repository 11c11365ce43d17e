"""Peers that run a command for each job. Each has: a server and workers, a way to enqueue (many, or one: it tells when), and how many still wait."""
import json
import os
import subprocess
import sys
import time
import uuid

from common import Drain, Group, Skip, free_port, need, wait_for, wait_port
import harness

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = "/usr/bin/python3"


class Peer:
    """On a Redis of its own."""
    queue = ""       # the list that holds what waits
    few = 1          # a part of the jobs, where it is slow

    def __init__(self, workers, folder):
        self.workers, self.folder = workers, folder
        self.group = Group()
        self.box = harness.Box()
        self.environment = dict(os.environ, BENCH_SOCKET=self.box.redis.socket, PYTHONPATH=HERE)
        try:
            self.prepare()
        except BaseException:
            self.close()
            raise

    def prepare(self):
        pass

    def start(self, *command, **more):
        return self.group.start(*command, env=self.environment, cwd=self.folder, **more)

    def waiting(self):
        return self.box.r.llen(self.queue)

    def add(self, command, count):
        raise NotImplementedError

    def add_one(self, command):
        """Enqueue; gives the wall clock in s just before."""
        now = time.time()
        self.add(command, 1)
        return now

    def work(self):
        raise NotImplementedError

    def close(self):
        self.group.end()
        self.box.close()


class Rq(Peer):
    queue, few = "rq:queue:default", 20
    worker_class = "rq.Worker"

    def prepare(self):
        if subprocess.run([PYTHON, "-c", "import rq"], capture_output=True).returncode:
            raise Skip("python3-rq is not installed")
        import redis
        import rq
        self.rq = rq.Queue(connection=redis.Redis(unix_socket_path=self.box.redis.socket))
        self.data = rq.Queue.prepare_data

    def add(self, command, count):
        if count == 1:
            self.rq.enqueue("rq_task.run", *command, result_ttl=0)
        else:
            self.rq.enqueue_many([self.data("rq_task.run", args=command, result_ttl=0) for _ in range(count)])

    def work(self):
        for _ in range(self.workers):
            self.start(PYTHON, "-m", "rq.cli", "worker", "--quiet", "--url", "unix://" + self.box.redis.socket, "--worker-class", self.worker_class)


class RqSimple(Rq):
    few, worker_class = 10, "rq.SimpleWorker"


class Celery(Peer):
    queue, few = "celery", 4

    def prepare(self):
        os.environ["BENCH_SOCKET"] = self.box.redis.socket
        sys.path.insert(0, HERE)
        sys.modules.pop("celery_task", None)
        try:
            import celery_task
        except ImportError as error:
            raise Skip("celery: %s" % error)
        self.run = celery_task.run

    def add(self, command, count):
        for _ in range(count):
            self.run.delay(*command)

    def work(self):
        self.start(PYTHON, "-m", "celery", "-A", "celery_task", "worker", "-c", str(self.workers), "-P", "prefork", "--without-gossip", "--without-mingle", "-l", "ERROR")


class Sidekiq(Peer):
    queue, few = "queue:default", 10

    def prepare(self):
        need("sidekiq")

    def add(self, command, count):
        self.box.r.sadd("queues", "default")
        pipe = self.box.r.pipeline(transaction=False)
        for _ in range(count):
            pipe.lpush(self.queue, json.dumps({"class": "Run", "args": command, "retry": False, "queue": "default", "jid": uuid.uuid4().hex[:24],
                                               "created_at": time.time(), "enqueued_at": time.time()}))
        pipe.execute()

    def work(self):
        self.start("sidekiq", "-r", os.path.join(HERE, "sidekiq_job.rb"), "-c", str(self.workers))


class BullMq(Peer):
    queue, few = "bull:work:wait", 8

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

    def add(self, command, count):
        subprocess.run(["node", self.script, "add", str(count)] + command, env=self.environment, check=True)

    def add_one(self, command):
        if not self.producer:
            self.producer = self.start("node", self.script, "each", *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
            self.producer.stdout.readline()
        self.producer.stdin.write("\n")
        return float(self.producer.stdout.readline()) / 1000

    def work(self):
        self.start("node", self.script, "work", str(self.workers))


class RabbitMq(Peer):
    """With amqp-consume, which gives the message to the command's stdin."""

    def prepare(self):
        need("amqp-consume", "epmd")
        self.server = "/usr/lib/rabbitmq/bin/rabbitmq-server"
        if not os.access(self.server, os.X_OK):
            raise Skip("rabbitmq-server is not installed")
        try:
            import amqp
        except ImportError:
            raise Skip("python3-amqp is not installed")
        self.port, home = free_port(), self.box.path("rabbit")
        os.makedirs(home)
        self.environment.update(HOME=home, RABBITMQ_NODENAME="bench%d@localhost" % self.port, RABBITMQ_NODE_PORT=str(self.port), RABBITMQ_MNESIA_BASE=home,
                                RABBITMQ_DIST_PORT=str(free_port()), RABBITMQ_LOG_BASE=home, RABBITMQ_CONFIG_FILE=os.path.join(home, "none"),
                                RABBITMQ_ENABLED_PLUGINS_FILE=os.path.join(home, "plugins"), ERL_EPMD_PORT=str(free_port()),
                                RABBITMQ_PID_FILE=os.path.join(home, "pid"))
        self.start(self.server)
        wait_port(self.port, 60)
        self.amqp = amqp
        self.connection = amqp.Connection("127.0.0.1:%d" % self.port, connect_timeout=10)
        self.connection.connect()
        self.channel = self.connection.channel()
        self.channel.queue_declare("work", durable=True, auto_delete=False)

    def waiting(self):
        return self.channel.queue_declare("work", passive=True).message_count

    def add(self, command, count):
        self.command = command
        for _ in range(count):
            self.channel.basic_publish(self.amqp.Message("", delivery_mode=2), routing_key="work")

    def work(self):
        command = getattr(self, "command", None) or self.asked
        for _ in range(self.workers):
            self.start("amqp-consume", "-u", "amqp://guest:guest@127.0.0.1:%d" % self.port, "-q", "work", "-p", "1", *command)

    def close(self):
        subprocess.run(["epmd", "-port", self.environment.get("ERL_EPMD_PORT", "0"), "-kill"], capture_output=True)
        super().close()


PEERS = {
    "RabbitMQ, amqp-consume": RabbitMq,
    "Celery, prefork": Celery,
    "BullMQ": BullMq,
    "Sidekiq": Sidekiq,
    "RQ, SimpleWorker": RqSimple,
    "RQ": Rq,
}


def throughput(kind, workers, count, command, folder):
    """Jobs a second between the first and the last tenth: without their start-up, and without what is prefetched at the end."""
    count //= kind.few
    peer = opened(kind, workers, folder)
    try:
        peer.add(command, count)
        peer.work()
        wait_for(lambda: peer.waiting() <= count * 0.9, 60, 0.01)
        return Drain(peer.waiting).until(count * 0.1)
    finally:
        peer.close()


def latency(kind, command, stamps, count, folder):
    """The seconds from enqueueing to the command's first instruction, on idle workers."""
    peer = opened(kind, 2, folder)
    try:
        peer.asked = command
        peer.work()
        for warm in range(3):
            peer.add_one(command)
            stamps.next(30)
        return [stamps.after(peer.add_one(command)) for _ in range(count)]
    finally:
        peer.close()


def opened(kind, workers, folder):
    try:
        return kind(workers, folder)
    except Skip:
        raise
    except (OSError, AssertionError) as error:
        raise Skip("does not start: %s" % error)
