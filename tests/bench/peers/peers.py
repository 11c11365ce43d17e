"""The peers that are measured, and which versions they are."""
import json
import os
import subprocess

from library import BullMq, Celery, Rq, RqSimple, Sidekiq
from plain import Beanstalkd, Blpop, Gearman, RabbitMq, Xreadgroup

PEERS = {
    "RabbitMQ, amqp-consume": RabbitMq,
    "gearman -w": Gearman,
    "beanstalkd, bash worker": Beanstalkd,
    "Celery, prefork": Celery,
    "BullMQ": BullMq,
    "Sidekiq": Sidekiq,
    "RQ, SimpleWorker": RqSimple,
    "RQ": Rq,
    "sh loop, redis-cli BLPOP": Blpop,
    "sh loop, redis-cli XREADGROUP": Xreadgroup,
}

PACKAGES = {RabbitMq: "rabbitmq-server", Gearman: "gearman-job-server", Beanstalkd: "beanstalkd", Celery: "python3-celery", Sidekiq: "ruby-sidekiq",
            RqSimple: "python3-rq", Rq: "python3-rq", Blpop: "redis-tools", Xreadgroup: "redis-tools"}


def version(kind, folder):
    try:
        if kind is BullMq:
            with open(os.path.join(folder, "node_modules", "bullmq", "package.json")) as file:
                return json.load(file)["version"]
        return subprocess.run(["dpkg-query", "-W", "-f", "${Version}", PACKAGES[kind]], capture_output=True, text=True).stdout
    except OSError:
        return ""


def described(folder):
    """A section for the reader: how each is set up."""
    rows = ["| %s | %s | %s |" % (name, version(kind, folder) or "not installed", kind.setting) for name, kind in PEERS.items()]
    return "\n".join(["## The peers", "", "Those that use Redis have one of their own as xackd has: Unix socket, AOF.", "", "| | version | set up |", "| --- | --- | --- |"] + rows)
