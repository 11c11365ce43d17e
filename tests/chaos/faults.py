"""All faults by name. Each is a function (world, dice) that does its harm at once and gives None, or (seconds, heal): after so long heal()
ends it, or gives the seconds until it can be tried again. The dice are the seed's: the same seed plans the same faults with the same numbers."""
import os
import random
import signal
import threading

import redis

from world import FIRST_MS, GROUP, STREAM, harness, seq_of

FAULTS = {}


def fault(name):
    def register(function):
        FAULTS[name] = function
        return function
    return register


def pick(dice, things):
    things = sorted(things)
    return things[int(dice.random() * len(things))] if things else None


def pick_host(world, dice):
    return world.hosts[int(dice.random() * len(world.hosts))]


# ---- processes ----

def stop_and_go(pid, seconds):
    if pid is None:
        return None
    harness.send(pid, signal.SIGSTOP)
    return seconds, lambda: harness.send(pid, signal.SIGCONT)


@fault("handler.kill")
def _(world, dice):
    pid = pick(dice, pick_host(world, dice).handlers())
    if pid:
        harness.send(pid, signal.SIGKILL)


@fault("handler.stop")
def _(world, dice):
    return stop_and_go(pick(dice, pick_host(world, dice).handlers()), dice.uniform(0.2, 2 * world.options.lease_s))


@fault("worker.kill")
def _(world, dice):
    pid = pick(dice, pick_host(world, dice).workers())
    if pid:
        harness.send(pid, signal.SIGKILL)


@fault("worker.stop")
def _(world, dice):
    return stop_and_go(pick(dice, pick_host(world, dice).workers()), dice.uniform(0.2, 2 * world.options.lease_s))


@fault("supervisor.kill")
def _(world, dice):
    host, away = pick_host(world, dice), dice.uniform(0, 1.5)
    if host.daemon.process.poll() is None:
        host.daemon.kill9()
    return away, world.restart_dead_hosts


@fault("supervisor.stop")
def _(world, dice):
    return stop_and_go(pick_host(world, dice).daemon.pid, dice.uniform(0.2, 2 * world.options.lease_s))


@fault("host.kill")
def _(world, dice):
    host, away = pick_host(world, dice), dice.uniform(0, 2 * world.options.lease_s)
    if host.daemon.process.poll() is None:
        host.daemon.kill9_all()
    return away, world.restart_dead_hosts


@fault("host.stop")
def _(world, dice):
    """The whole machine freezes and wakes."""
    host, away = pick_host(world, dice), dice.uniform(0.5, 2 * world.options.lease_s)
    host.daemon.freeze()
    return away, host.daemon.thaw


@fault("daemon.term")
def _(world, dice):
    """A clean stop and start under load: no attempt is used."""
    host = pick_host(world, dice)

    def again():
        """Not yet ended: looked at again later, for another fault may have to heal first."""
        status = stopping.process.poll()
        if status is None:
            return 0.2
        # 1: Redis was away, an outcome could not be settled; -15: it had not even begun.
        if status not in (0, 1, -signal.SIGTERM) and not stopping.killed:
            world.trouble.append("a stop of %s ended with %s: %s" % (host.name, status, stopping.tail(3)))
        if host.daemon is stopping:
            host.start()
    stopping = host.daemon
    if host.daemon.process.poll() is None:
        host.daemon.stopping = True
        harness.send(host.daemon.pid, signal.SIGTERM)
        return 0.5, again


# ---- Redis as a process ----

@fault("redis.kill")
def _(world, dice):
    world.redis.kill()
    return dice.uniform(0, 2), lambda: world.redis.start() if world.redis.process.poll() is not None else None


@fault("redis.power")
def _(world, dice):
    """Not a fault that nothing survives: what Redis had not on its disk is gone, accepted entries among it (none with appendfsync always)."""
    had = world.accepted()
    world.redis.kill()
    world.cut_aof()

    def again():
        if world.redis.process.poll() is not None:
            world.redis.start()
            world.unaccepted += max(0, had - world.accepted())
    return dice.uniform(0, 1), again


@fault("redis.stop")
def _(world, dice):
    frozen = world.redis.process
    harness.send(frozen.pid, signal.SIGSTOP)
    return dice.uniform(0.2, 2 * world.options.lease_s), lambda: harness.send(frozen.pid, signal.SIGCONT)


# ---- the network ----

@fault("net.reset")
def _(world, dice):
    world.tell_proxy("reset")


@fault("net.late")
def _(world, dice):
    world.tell_proxy("late %.3f" % dice.uniform(0.2, 2 * world.options.lease_s))


@fault("net.gone")
def _(world, dice):
    world.tell_proxy("gone %.3f" % dice.uniform(1, 3 * world.options.lease_s))


@fault("net.refuse")
def _(world, dice):
    world.tell_proxy("refuse %.3f" % dice.uniform(0.1, 2))
    world.tell_proxy("reset")


@fault("net.delay")
def _(world, dice):
    world.tell_proxy("delay %.1f" % dice.uniform(5, 100))
    return dice.uniform(0.5, 2), lambda: world.tell_proxy("delay 0")


# ---- Redis's own ways ----

def admin(world):
    """A client that does not wait long: a fault that cannot be done now is left out."""
    return world.redis.client(socket_timeout=3, socket_connect_timeout=1)


@fault("client.kill")
def _(world, dice):
    """All connections of the daemons at once, or one of them."""
    client = admin(world)
    if dice.random() < 0.5:
        client.execute_command("CLIENT", "KILL", "USER", "worker")
        return
    ids = [c["id"] for c in client.client_list() if c.get("user") == "worker"]
    if ids:
        client.execute_command("CLIENT", "KILL", "ID", pick(dice, ids))


@fault("client.pause")
def _(world, dice):
    mode = "ALL" if dice.random() < 0.5 else "WRITE"
    admin(world).execute_command("CLIENT", "PAUSE", int(1000 * dice.uniform(0.2, 1.5 * world.options.lease_s)), mode)


@fault("script.flush")
def _(world, dice):
    admin(world).script_flush()


def undo(world, *command):
    def heal():
        try:
            admin(world).execute_command(*command)
        except (redis.exceptions.RedisError, OSError):
            pass  # killed meanwhile: a new one begins without the fault
    return heal


@fault("busy")
def _(world, dice):
    def spin():
        try:
            world.redis.client().eval("while true do end", 0)
        except redis.exceptions.RedisError:
            pass
    admin(world).config_set("busy-reply-threshold", 50)
    threading.Thread(target=spin, daemon=True).start()
    return dice.uniform(0.2, world.options.lease_s), undo(world, "SCRIPT", "KILL")


@fault("oom")
def _(world, dice):
    admin(world).config_set("maxmemory", 1)
    return dice.uniform(0.2, 3), undo(world, "CONFIG", "SET", "maxmemory", "0")


@fault("misconf")
def _(world, dice):
    """The folder for its snapshot is gone: the disk is full, or broken."""
    client = admin(world)
    folder = world.box.path("gone-%d" % dice.getrandbits(32))
    home = world.redis.folder
    os.mkdir(folder)
    client.config_set("stop-writes-on-bgsave-error", "yes")
    client.config_set("save", "3600 1000000")
    client.config_set("dir", folder)
    os.rmdir(folder)
    try:
        client.bgsave()
    except redis.exceptions.ResponseError:
        pass

    def heal():
        undo(world, "CONFIG", "SET", "stop-writes-on-bgsave-error", "no")()
        undo(world, "CONFIG", "SET", "dir", home)()
        undo(world, "CONFIG", "SET", "save", "")()
    return dice.uniform(0.5, 3), heal


@fault("readonly")
def _(world, dice):
    client = admin(world)
    client.config_set("masteruser", "nobody")
    client.execute_command("REPLICAOF", "127.0.0.1", "1")
    return dice.uniform(0.2, world.options.lease_s), undo(world, "REPLICAOF", "NO", "ONE")


@fault("acl")
def _(world, dice):
    what = ["+xack", "+evalsha", "+xreadgroup", "+xclaim", "+xpending"][int(dice.random() * 5)]
    admin(world).execute_command("ACL", "SETUSER", "worker", "-" + what[1:])
    return dice.uniform(0.2, 3), undo(world, "ACL", "SETUSER", "worker", "+@all")


# ---- data ----

@fault("hint.delete")
def _(world, dice):
    kind = ["due", "given", "note", "hosts", "paused"][int(dice.random() * 5)]
    admin(world).delete(world.box.key(kind, STREAM, GROUP))


@fault("group.destroy")
def _(world, dice):
    admin(world).xgroup_destroy(STREAM, GROUP)


def pending_ids(client, count):
    return [row["message_id"] for row in client.xpending_range(STREAM, GROUP, "-", "+", count)]


@fault("entry.delete")
def _(world, dice):
    """XDEL of something pending: done by who holds it, or a dead letter payload_gone."""
    client = admin(world)
    entry = pick(dice, pending_ids(client, 20))
    if entry:
        world.deleted.add(entry)
        client.xdel(STREAM, entry)


@fault("trim")
def _(world, dice):
    """XTRIM over the oldest pending ones."""
    client = admin(world)
    ids = pending_ids(client, 3)
    if ids:
        world.deleted.update(ids)
        client.execute_command("XTRIM", STREAM, "MINID", "%d" % (FIRST_MS + seq_of(ids[-1]) + 1))


@fault("flushall")
def _(world, dice):
    """Its own scenario: what was accepted until then is the operator's loss; what comes after must be done."""
    client = admin(world)
    below = world.accepted() + 100
    world.flushed_below = below
    client.flushall()


PROCESS = ["handler.kill", "handler.stop", "worker.kill", "worker.stop", "supervisor.kill", "supervisor.stop", "host.kill", "host.stop"]
REDIS = ["redis.kill", "redis.stop"]
NET = ["net.reset", "net.late", "net.gone", "net.refuse", "net.delay"]
SERVER = ["client.kill", "client.pause", "script.flush", "busy", "oom", "misconf", "readonly", "acl"]
DATA = ["hint.delete", "entry.delete", "trim"]
GROUPS = {"process": PROCESS + REDIS, "net": NET, "server": SERVER, "data": DATA, "stop": ["daemon.term"],
          "all": PROCESS + REDIS + NET + SERVER + DATA + ["daemon.term"]}


def expand(text):
    names = []
    for word in text.split(","):
        names += GROUPS.get(word, [word])
    unknown = [name for name in names if name not in FAULTS]
    if unknown:
        raise SystemExit("no such fault: %s; there are %s and the groups %s" % (
            ", ".join(unknown), " ".join(sorted(FAULTS)), " ".join(sorted(GROUPS))))
    return names


def plan(seed, names, every):
    """Endless: (seconds until it, name, dice of its own)."""
    dice = random.Random(seed)
    while True:
        yield dice.uniform(0.3, 1.7) * every, names[int(dice.random() * len(names))], random.Random(dice.getrandbits(64))
