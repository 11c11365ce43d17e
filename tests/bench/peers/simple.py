"""Peers without a client to speak of: xargs, the loops that people write in a shell, gearman, beanstalkd."""
import os
import re
import socket
import subprocess
import time

from common import TRUE, Drain, Group, fill, free_port, need, wait_port
import harness

WORKERS = 2 * os.cpu_count()


def xargs(count):
    need("xargs")
    start = time.monotonic()
    text = "".join("%d\n" % n for n in range(count))
    subprocess.run(["xargs", "-P", str(WORKERS), "-n", "1", TRUE], input=text, text=True, check=True)
    return count / (time.monotonic() - start)


def shell_loop(prepare, loop, left, count):
    box = harness.Box()
    group = Group()
    try:
        need("redis-cli")
        prepare(box, count)
        drain = Drain(lambda: left(box))
        for number in range(WORKERS):
            group.start("/bin/sh", "-c", loop, env=dict(os.environ, S=box.redis.socket, ME=str(number)))
        return drain.until(0)
    finally:
        group.end()
        box.close()


def blpop(count):
    loop = 'while :; do x=$(redis-cli -s "$S" BLPOP q 0); /bin/true "$x"; redis-cli -s "$S" INCR done; done'

    def prepare(box, n):
        box.r.rpush("q", *range(n))
    return shell_loop(prepare, loop, lambda box: count - int(box.r.get("done") or 0), count)


def xreadgroup(count):
    loop = 'while :; do x=$(redis-cli -s "$S" XREADGROUP GROUP g "$ME" COUNT 1 BLOCK 0 STREAMS work ">" | sed -n 2p); /bin/true; ' \
           'redis-cli -s "$S" XACK work g "$x"; done'

    def prepare(box, n):
        box.r.xgroup_create("work", "g", "0", mkstream=True)
        fill(box, "work", n)

    def left(box):
        group = box.groups("work")[0]
        return group["lag"] + group["pending"]
    return shell_loop(prepare, loop, left, count)


def gearman(count):
    need("gearmand", "gearman", "gearadmin")
    group, port = Group(), str(free_port())
    try:
        group.start("gearmand", "--port", port, "--listen", "127.0.0.1", "--log-file", "none")
        wait_port(int(port))
        text = "".join("%d\n" % n for n in range(count))
        subprocess.run(["gearman", "-h", "127.0.0.1", "-p", port, "-n", "-b", "-f", "work"], input=text, text=True, check=True, stdout=subprocess.DEVNULL)

        def left():
            status = subprocess.run(["gearadmin", "-h", "127.0.0.1", "-p", port, "--status"], capture_output=True, text=True).stdout
            found = re.search(r"^work\t(\d+)", status, re.M)
            return int(found.group(1)) if found else 0
        drain = Drain(left)
        for _ in range(WORKERS):
            group.start("gearman", "-h", "127.0.0.1", "-p", port, "-w", "-f", "work", TRUE)
        return drain.until(0)
    finally:
        group.end()


BEANSTALK = r"""
exec 9<>/dev/tcp/127.0.0.1/$PORT
while :; do
	printf 'reserve\r\n' >&9
	read -r word id size <&9
	read -r body <&9
	/bin/true
	printf 'delete %s\r\n' "$id" >&9
	read -r word <&9
done
"""


def beanstalkd(count):
    need("beanstalkd", "bash")
    group, port = Group(), free_port()
    try:
        group.start("beanstalkd", "-l", "127.0.0.1", "-p", str(port))
        wait_port(port)
        control = socket.create_connection(("127.0.0.1", port))
        replies = control.makefile("rb")
        for number in range(count):
            control.sendall(b"put 1 0 60 %d\r\n%d\r\n" % (len(str(number)), number))
            replies.readline()

        def left():
            control.sendall(b"stats\r\n")
            size = int(replies.readline().split()[1])
            stats = replies.read(size + 2).decode()
            return sum(int(re.search(r"^current-jobs-%s: (\d+)" % kind, stats, re.M).group(1)) for kind in ("ready", "reserved"))
        drain = Drain(left)
        for _ in range(WORKERS):
            group.start("bash", "-c", BEANSTALK, env=dict(os.environ, PORT=str(port)))
        rate = drain.until(0)
        control.close()
        return rate
    finally:
        group.end()
