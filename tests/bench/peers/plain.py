"""Peers that run a command without a line of code, and what people write in a shell. Their brokers are asked in their own protocols: no process for a question."""
import os
import re
import socket
import struct
import subprocess
import time

from common import Skip, fill, free_port, need, wait_port
from peer import Peer


class Server(Peer):
    """On a server of its own, on a port of the loopback, asked over one connection."""
    on_redis = False

    def serve(self, *command):
        self.servers.start(*command)
        wait_port(self.port)
        self.control = socket.create_connection(("127.0.0.1", self.port))
        self.control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.replies = self.control.makefile("rb")


class Gearman(Server):
    setting = "`gearman -w`, a process a worker; jobs in the background, in memory alone"
    packet, submit_background = struct.Struct(">4sII"), 18

    def prepare(self):
        need("gearmand", "gearman")
        self.port = free_port()
        self.serve("gearmand", "--port", str(self.port), "--listen", "127.0.0.1", "--log-file", "none")

    def waiting(self):
        self.control.sendall(b"status\n")
        rows = list(iter(self.replies.readline, b".\n"))
        found = re.search(rb"^work\t(\d+)", b"".join(rows), re.M)
        return int(found.group(1)) if found else 0

    def add(self, count):
        for number in range(count):
            data = b"work\0" + b"\0" + b"%d" % number
            self.control.sendall(self.packet.pack(b"\0REQ", self.submit_background, len(data)) + data)
            self.replies.read(self.packet.unpack(self.replies.read(self.packet.size))[2])

    def work(self):
        for _ in range(self.workers):
            self.start("gearman", "-h", "127.0.0.1", "-p", str(self.port), "-w", "-f", "work", *self.command)


BEANSTALK = r"""
exec 9<>/dev/tcp/127.0.0.1/$PORT
while :; do
	printf 'reserve\r\n' >&9
	read -r word id size <&9
	read -r body <&9
	"$@"
	printf 'delete %s\r\n' "$id" >&9
	read -r word <&9
done
"""


class Beanstalkd(Server):
    setting = "a loop in bash a worker, reserve and delete; jobs in memory alone"

    def prepare(self):
        need("beanstalkd", "bash")
        self.port = free_port()
        self.serve("beanstalkd", "-l", "127.0.0.1", "-p", str(self.port))

    def waiting(self):
        self.control.sendall(b"stats\r\n")
        size = int(self.replies.readline().split()[1])
        stats = self.replies.read(size + 2)
        return sum(int(re.search(rb"^current-jobs-%s: (\d+)" % kind, stats, re.M).group(1)) for kind in (b"ready", b"reserved"))

    def add(self, count):
        for number in range(count):
            self.control.sendall(b"put 1 0 60 %d\r\n%d\r\n" % (len(str(number)), number))
            self.replies.readline()

    def work(self):
        self.environment["PORT"] = str(self.port)
        for _ in range(self.workers):
            self.start("bash", "-c", BEANSTALK, "worker", *self.command)


class RabbitMq(Peer):
    """With amqp-consume, which gives the message to the command's stdin."""
    on_redis = False
    setting = "`amqp-consume -p 10`, a process a worker; durable queue and messages (empty ones: it dies where the command does not read them)"

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
        self.servers.start(self.server, env=self.environment)
        wait_port(self.port, 60)
        self.amqp = amqp
        self.connection = amqp.Connection("127.0.0.1:%d" % self.port, connect_timeout=10)
        self.connection.connect()
        self.channel = self.connection.channel()
        self.channel.queue_declare("work", durable=True, auto_delete=False)

    def waiting(self):
        return self.channel.queue_declare("work", passive=True).message_count

    def add(self, count):
        """Empty ones: amqp-consume dies of SIGPIPE where the command does not read its stdin."""
        for _ in range(count):
            self.channel.basic_publish(self.amqp.Message("", delivery_mode=2), routing_key="work")

    def work(self):
        for _ in range(self.workers):
            self.start("amqp-consume", "-u", "amqp://guest:guest@127.0.0.1:%d" % self.port, "-q", "work", "-p", "10", *self.command)

    def close(self):
        super().close()
        for _ in range(50):  # its daemon refuses while it has not seen that the node is gone
            done = subprocess.run(["epmd", "-port", self.environment.get("ERL_EPMD_PORT", "0"), "-kill"], capture_output=True, text=True)
            if "not allowed" not in done.stdout + done.stderr:
                break
            time.sleep(0.1)


class Blpop(Peer):
    few = 10
    setting = "a loop in sh a worker; a job is lost with its loop"
    loop = 'while :; do redis-cli -s "$S" BLPOP q 0; "$@"; done'

    def prepare(self):
        need("redis-cli")

    def waiting(self):
        return self.box.r.llen("q")

    def add(self, count):
        self.box.r.rpush("q", *range(count))

    def add_one(self):
        return self.wire().ask("RPUSH", "q", 1)

    def work(self):
        for number in range(self.workers):
            self.environment.update(S=self.box.redis.socket, ME=str(number))
            self.start("/bin/sh", "-c", self.loop, "loop", *self.command)


class Xreadgroup(Blpop):
    setting = "a loop in sh a worker; a job stays pending with its loop"
    loop = 'while :; do set -- "$(redis-cli -s "$S" XREADGROUP GROUP g "$ME" COUNT 1 BLOCK 0 STREAMS work ">")" "$@"; e=${1#*"\n"}; shift; "$@"; ' \
           'redis-cli -s "$S" XACK work g "${e%%"\n"*}"; done'.replace("\\n", "\n")

    def prepare(self):
        super().prepare()
        self.box.r.xgroup_create("work", "g", "0", mkstream=True)

    def waiting(self):
        group = self.box.groups("work")[0]
        return (group["lag"] or 0) + group["pending"]

    def add(self, count):
        fill(self.box, "work", count)

    def add_one(self):
        return self.wire().ask("XADD", "work", "*", "n", 1)


def xargs(count, workers, command):
    """No queue at all: the floor."""
    need("xargs")
    start = time.monotonic()
    text = "".join("%d\n" % n for n in range(count))
    subprocess.run(["xargs", "-P", str(workers), "-n", "1"] + command, input=text, text=True, check=True)
    return count / (time.monotonic() - start)
