"""How to make a real redis-server give each error of the table of reactions, and what makes it go away again.

PROVOKE: code of the row → function(scene). A scene's function starts the daemon, lets the error happen, ends its cause; test_reactions.py then
proves that work goes on. What only other versions of the server say, or no server says to a call that xackd makes, comes through a relay that
answers one call with that text (RELAYED)."""
import contextlib
import os
import re
import select
import signal
import socket
import threading

import redis

from harness import TOP, never, wait_until

USER = "--user worker on >pw ~* &* +@all".split()
RELAYED = {
    "ERR Script killed by user": ("EVALSHA", "ERR Script killed by user with SCRIPT KILL. script: 7c4b, on @user_script:1."),
    "ERR invalid password": ("AUTH", "ERR invalid password"),
    "ERR Client sent AUTH, but no password is set": ("AUTH", "ERR Client sent AUTH, but no password is set"),
    "ERR no such key": ("EVALSHA", "ERR no such key script: 7c4b, on @user_script:1."),
    "ERR The XGROUP subcommand requires the key to exist": (
        "EVALSHA", "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option"),
    "ERR invalid DB index": ("SELECT", "ERR invalid DB index"),
    "ERR Script attempted to access a non local key in a cluster node": (
        "EVALSHA", "ERR Script attempted to access a non local key in a cluster node script: 7c4b, on @user_script:1."),
}


def table():
    """[(code, reaction)] as the C file has them."""
    with open(os.path.join(TOP, "src", "redis", "reaction.c")) as text:
        rows = re.findall(r'^\t\{ "([^"]*)",\s*(REACT_\w+),', text.read(), re.M)
    assert len(rows) > 20 and rows[-1][0] == ""
    return rows


class Relay:
    """Between the daemon and Redis; while armed it answers calls of one command with an error instead of forwarding them."""

    def __init__(self, path, target):
        self.path, self.target = path, target
        self.command = self.error = None
        self.said = 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        server = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(OSError), client, server:
            server.connect(self.target)
            while True:
                ready, _, _ = select.select([client, server], [], [])
                for side in ready:
                    data = side.recv(1 << 20)
                    if not data:
                        return
                    if side is server:
                        client.sendall(data)
                    elif self.command and b"\r\n" + self.command.encode() + b"\r\n" in data:
                        # What stands in one write is answered whole, so that answers and calls still match.
                        calls = len(re.findall(rb"(?:^|\r\n)\*\d+\r\n", data))
                        client.sendall(b"-%s\r\n" % self.error.encode() * calls)
                        self.said += 1
                    else:
                        server.sendall(data)

    def close(self):
        self.listener.close()


class Scene:
    def __init__(self, box, code):
        self.box, self.code = box, code
        self.daemon = self.entry = None
        self.bare = False      # the provocation did not start with a running entry
        self.relay = None

    # -- the server --

    def server(self, *args, **more):
        server = self.box.redis_server(args=USER + list(args), **more)
        self.box._client, self.box._client_of = server.client(), server
        return server

    def saw(self, word=None):
        """How often the server has said it, by its own statistics."""
        word = word or self.code.split()[0]
        found = self.box.r.info("errorstats").get("errorstat_" + word, "count=0")
        return int(found.partition("=")[2]) if isinstance(found, str) else found["count"]

    # -- the daemon, with an entry that runs while the error stands --

    def start(self, url=None, script="", user="worker", **over):
        self.gate = self.box.gate()
        job = {"exec": self.box.recording('test "$FIELD_N" != wait || : < %s\n%s' % (self.gate.path, script)), "lease": "4s"}
        where = {"url": url or self.box.redis.url, "connect_timeout": "1s", "command_timeout": "2s"}
        if user:
            where.update(username=user, password_env="PW")
        self.daemon = self.box.daemon(job, redis=dict(where, **over.pop("redis", {})), env={"PW": "pw"}, workers=2, ready=False,
                                      **over)
        self.daemon.allow_errors = True
        return self.daemon

    def hold(self):
        """An entry that runs until the gate is opened."""
        self.daemon.wait_ready()
        self.entry = self.box.r.xadd("work", {"n": "wait"})
        self.box.wait_runs(1)

    def kill_clients(self):
        self.box.r.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def complaints(self):
        return [e for e in self.daemon.read_log() if e["event"] in ("redis.error", "redis.lost") and e["level"] != "debug"]

    def wait_complaint(self, part, timeout=15):
        wait_until(lambda: [e for e in self.complaints() if part in str(e.get("why"))], timeout, "it says: " + part)

    def wait_said(self, more=1, word=None, timeout=15):
        before = self.saw(word)
        wait_until(lambda: self.saw(word) >= before + more, timeout, "the server says " + self.code)

    def outage(self, harm, heal, word=None, count=2):
        """The usual course: an entry runs, harm; its handler ends while the error stands; heal."""
        self.start()
        self.hold()
        before = self.saw(word)
        harm()
        self.gate.open()
        wait_until(lambda: self.saw(word) >= before + count, 20, "the server says " + self.code)
        heal()


def config(scene, *pairs):
    for name, value in zip(pairs[::2], pairs[1::2]):
        scene.box.r.config_set(name, value)


# ---- it passes by itself ----

def loading(scene):
    server = scene.server()
    scene.box.add_many("ballast", 2000)
    scene.start()
    scene.hold()
    server.kill()
    scene.gate.open()
    server.args += ["--key-load-delay", "500", "--loading-process-events-interval-bytes", "1024"]
    server.start()
    assert scene.saw() > 0


def busy(scene):
    scene.server()

    def spin(client):
        with contextlib.suppress(redis.exceptions.RedisError):
            client.eval("while true do end", 0)

    def said():
        try:
            scene.box.r.ping()
        except redis.exceptions.ResponseError as error:
            return "BUSY" in str(error)
    scene.start()
    scene.hold()
    before = scene.saw()
    config(scene, "busy-reply-threshold", 50)
    spinner = threading.Thread(target=spin, args=(scene.box.redis.client(),))
    spinner.start()
    wait_until(said, 10)
    scene.gate.open()
    never(lambda: scene.daemon.events("job.succeeded"), 2)
    scene.box.r.script_kill()
    spinner.join()
    assert scene.saw() > before


def out_of_memory(scene):
    """Only the producers are refused: reading, acknowledging and parking go on, so nothing is to be backed off from."""
    scene.server()
    scene.start()
    scene.hold()
    config(scene, "maxmemory", 1)
    try:
        scene.box.add()
        raise AssertionError("not refused")
    except redis.exceptions.ResponseError as error:
        assert "OOM" in str(error) or "used memory" in str(error)
    scene.gate.open()
    scene.daemon.wait_event("job.succeeded", id=scene.entry)
    scene.box.wait_pending(0)
    config(scene, "maxmemory", 0)


def disk_error(scene):
    server = scene.server()

    def harm():
        folder = scene.box.path("gone")
        os.mkdir(folder)
        config(scene, "dir", folder, "save", "3600 1000000")
        os.rmdir(folder)
        scene.box.r.bgsave()
        wait_until(lambda: scene.box.r.info("persistence")["rdb_last_bgsave_status"] == "err", 10)
    scene.outage(harm, lambda: config(scene, "stop-writes-on-bgsave-error", "no", "dir", server.folder))


def no_replicas(scene):
    scene.server()
    scene.outage(lambda: config(scene, "min-replicas-to-write", 1), lambda: config(scene, "min-replicas-to-write", 0))


def cluster(scene, nodes=1):
    servers = []
    for _ in range(nodes):
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            two.bind(("127.0.0.1", 0))
            ports = one.getsockname()[1], two.getsockname()[1]
        args = ["--cluster-enabled", "yes", "--cluster-port", str(ports[1]), "--port", str(ports[0])]
        servers.append((scene.box.redis_server(args=USER + args), ports))
    scene.box._client, scene.box._client_of = servers[0][0].client(), servers[0][0]
    r = scene.box.r
    r.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    for server, ports in servers[1:]:
        r.execute_command("CLUSTER", "MEET", "127.0.0.1", ports[0], ports[1])
        wait_until(lambda: "cluster_known_nodes:%d" % nodes in r.execute_command("CLUSTER", "INFO"), 15)
    wait_until(lambda: "cluster_state:ok" in r.execute_command("CLUSTER", "INFO"), 20, "the cluster stands")
    slot = r.execute_command("CLUSTER", "KEYSLOT", "work")
    others = [server.client().execute_command("CLUSTER", "MYID") for server, _ in servers[1:]]
    return slot, r.execute_command("CLUSTER", "MYID"), others[0] if others else None


def cluster_down(scene):
    slot, _, _ = cluster(scene)
    scene.outage(lambda: scene.box.r.execute_command("CLUSTER", "DELSLOTS", slot),
                 lambda: scene.box.r.execute_command("CLUSTER", "ADDSLOTS", slot))


def try_again(scene):
    """A slot that is being moved, and a script some of whose keys are there."""
    slot, _, other = cluster(scene, 2)
    scene.outage(lambda: scene.box.r.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", other),
                 lambda: scene.box.r.execute_command("CLUSTER", "SETSLOT", slot, "STABLE"), count=1)


def only_reported(scene, harm, heal):
    """xackd does not follow to another node: it says so, waits, and goes on when the slot is here again."""
    scene.start()
    scene.daemon.wait_ready()
    scene.bare = True
    before = scene.saw()
    scene.box.r.delete("work", scene.box.key("hosts"))  # only a node without the slot's keys gives it away
    harm()
    scene.kill_clients()
    wait_until(lambda: scene.saw() > before, 20, "the server says " + scene.code)
    scene.wait_complaint(scene.code)
    heal()


def moved(scene):
    slot, me, other = cluster(scene, 2)

    def harm():
        keys = scene.box.r.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100)
        if keys:
            scene.box.r.delete(*keys)
        pipe = scene.box.r.pipeline(transaction=False)  # quicker than whoever makes the group again
        for key in ("work", scene.box.key("hosts")):
            pipe.execute_command("DEL", key)
        pipe.execute_command("CLUSTER", "SETSLOT", slot, "NODE", other)
        pipe.execute()
    only_reported(scene, harm, lambda: scene.box.r.execute_command("CLUSTER", "SETSLOT", slot, "NODE", me))


def ask(scene):
    """The slot is being moved and none of a call's keys is here any more."""
    slot, _, other = cluster(scene, 2)

    def harm():
        pipe = scene.box.r.pipeline(transaction=False)
        pipe.execute_command("DEL", "work", scene.box.key("hosts"))
        pipe.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", other)
        pipe.execute()
    only_reported(scene, harm, lambda: scene.box.r.execute_command("CLUSTER", "SETSLOT", slot, "STABLE"))


def cross_slot(scene):
    """Two streams of one pool in two slots: said, no crash loop; what mends it is another configuration."""
    cluster(scene)
    box = scene.box
    scene.daemon = box.daemon({"a": {"exec": box.recording()}, "work": {"exec": box.recording()}}, ready=False, workers=2)
    scene.daemon.allow_errors = True
    scene.wait_complaint("CROSSSLOT", 20)
    assert scene.saw() > 0 and not scene.daemon.events("worker.exited")
    assert scene.daemon.stop() in (0, 1)
    scene.start()
    scene.bare = True


# ---- another connection is needed ----

def read_only(scene):
    scene.server()
    scene.outage(lambda: scene.box.r.execute_command("REPLICAOF", "127.0.0.1", "1"),
                 lambda: scene.box.r.execute_command("REPLICAOF", "NO", "ONE"), count=1)


def master_down(scene):
    scene.server()

    def harm():
        config(scene, "replica-serve-stale-data", "no")
        scene.box.r.execute_command("REPLICAOF", "127.0.0.1", "1")

    def heal():
        scene.box.r.execute_command("REPLICAOF", "NO", "ONE")
    scene.outage(harm, heal, count=1)


def max_clients(scene):
    scene.server()
    scene.start()
    scene.hold()
    here = scene.box.r
    here.ping()
    config(scene, "maxclients", 1)
    scene.kill_clients()
    scene.gate.open()
    wait_until(lambda: here.info("stats")["rejected_connections"] > 2, 15)
    config(scene, "maxclients", 1000)


# ---- the same call again ----

def no_script(scene):
    scene.server()
    scene.start()
    scene.hold()
    before = scene.saw()
    scene.box.r.script_flush()
    wait_until(lambda: scene.saw() > before, 15, "a renewal by hash")
    scene.box.r.script_flush()
    scene.gate.open()


def unblocked(scene):
    scene.server()
    scene.start()
    scene.hold()
    before = scene.saw()

    def blocked():
        return [c["id"] for c in scene.box.r.client_list() if "b" in c["flags"]]
    for _ in range(3):
        one = wait_until(blocked, 10)[0]
        scene.box.r.execute_command("CLIENT", "UNBLOCK", one, "ERROR")
    wait_until(lambda: scene.saw() >= before + 3, 5)
    scene.gate.open()


def no_group(scene):
    scene.server()
    scene.start()
    scene.hold()
    before = scene.saw()
    scene.box.r.xgroup_destroy("work", "xackd")
    wait_until(lambda: scene.saw() > before, 15)
    wait_until(lambda: scene.entry in scene.box.pending() if scene.box.groups() else False, 15, "what runs is put back")
    scene.gate.open()


# ---- an operator has to do something ----

def no_auth(scene):
    scene.server()
    scene.start(user=None)
    scene.hold()

    before = scene.saw()
    config(scene, "requirepass", "secret")
    scene.kill_clients()
    scene.gate.open()
    wait_until(lambda: scene.saw() >= before + 2, 15)
    scene.wait_complaint("NOAUTH")
    config(scene, "requirepass", "")


def wrong_password(scene):
    scene.server()
    scene.start()
    scene.hold()
    scene.box.r.execute_command("ACL", "SETUSER", "worker", "resetpass", ">other")
    scene.kill_clients()
    scene.gate.open()
    scene.wait_complaint("WRONGPASS")
    assert scene.saw() > 0
    scene.box.r.execute_command("ACL", "SETUSER", "worker", "resetpass", ">pw")


def password_too_much(scene):
    scene.server()
    config(scene, "requirepass", "pw")
    scene.box._client = scene.box.redis.client(password="pw")
    scene.start(user=None, redis={"password_env": "PW"})
    scene.hold()
    config(scene, "requirepass", "")
    scene.kill_clients()
    scene.gate.open()
    scene.wait_complaint("without any password configured")
    config(scene, "requirepass", "pw")


def acl(*rights):
    def provoke(scene):
        scene.server()

        def harm():
            scene.box.r.execute_command("ACL", "SETUSER", "worker", *("-" + right for right in rights))
        scene.outage(harm, lambda: scene.box.r.execute_command("ACL", "SETUSER", "worker", "+@all"),
                     word="NOPERM" if scene.code == "NOPERM" else "ERR", count=1)
        scene.wait_complaint("" if scene.code == "NOPERM" else "can't run this command")
    return provoke


def script_forbidden(scene):
    """A script may be called, but not what is in it: a failure cannot be parked."""
    scene.server()
    scene.start(script="test $XACKD_ATTEMPT -gt 1")
    scene.hold()
    scene.box.r.execute_command("ACL", "SETUSER", "worker", "-xclaim")
    scene.gate.open()
    scene.wait_complaint("can't run this command", 20)
    scene.box.r.execute_command("ACL", "SETUSER", "worker", "+xclaim")


def denied(scene):
    """Protected mode, and a connection that does not come from the loopback."""
    import pytest
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            address = probe.getsockname()[0]
        except OSError:
            address = "127.0.0.1"
    if address.startswith("127."):
        pytest.skip("protected mode needs an address that is not the loopback's")
    with socket.socket() as one:
        one.bind((address, 0))
        port = one.getsockname()[1]
    scene.server("--port", str(port), "--bind", "* -::*", "--protected-mode", "yes")
    config(scene, "protected-mode", "yes")
    scene.start(url="redis://%s:%d/0" % (address, port), user=None)
    scene.wait_complaint("DENIED")
    config(scene, "protected-mode", "no")
    scene.bare = True


def wrong_type(scene):
    """One of xackd's own keys holds something else."""
    scene.server()
    scene.start(script="test $XACKD_ATTEMPT -gt 1")
    scene.hold()
    scene.box.r.set(scene.box.key("due"), "a string")
    scene.gate.open()
    scene.wait_complaint("WRONGTYPE")
    assert scene.saw() > 0
    scene.box.r.delete(scene.box.key("due"))


def renamed(command):
    """rename-command, and a restart without it."""
    def provoke(scene):
        server = scene.server("--rename-command", command, "")
        scene.start()
        scene.bare = True
        scene.box.add(fields={"n": "early"})
        part = scene.code[4:]
        if command == "XPENDING":
            scene.wait_complaint(part, 20)
        else:
            wait_until(lambda: [e for e in scene.daemon.read_log() if part in str(e.get("why"))], 20, "it says: " + part)
        del server.args[-3:]
        server.restart()
    return provoke


def no_such_database(scene):
    server = scene.server()
    scene.start(url=server.url + "?db=20")
    scene.wait_complaint("DB index is out of range")
    server.args += ["--databases", "32"]
    server.restart()
    scene.box._client = server.client(db=20)
    scene.bare = True


def select_in_cluster(scene):
    cluster(scene)
    server = scene.box.redis
    scene.start(url=server.url + "?db=1")
    scene.wait_complaint("SELECT is not allowed in cluster mode")
    at = server.args.index("--cluster-enabled")
    server.args[at + 1] = "no"
    server.restart()
    scene.box._client = server.client(db=1)
    scene.bare = True


def unknown(scene):
    """An answer that nobody foresaw: a hint that holds no number."""
    scene.server()
    scene.start(script='test "$XACKD_ATTEMPT$XACKD_DELIVERY" != 11 || { echo LATER=0 >&3; exit 9; }')
    scene.hold()
    scene.box.r.hset(scene.box.key("given"), scene.entry, "no number")
    scene.gate.open()
    scene.wait_complaint("hash value is not an integer")
    scene.box.r.hdel(scene.box.key("given"), scene.entry)


def relayed(scene):
    command, text = RELAYED[scene.code]
    if command == "SELECT":
        scene.server()
        scene.box._client = scene.box.redis.client(db=1)
    else:
        scene.server()
    relay = scene.relay = Relay(scene.box.path("relay.sock"), scene.box.redis.socket)
    url = "unix://" + relay.path + ("?db=1" if command == "SELECT" else "")
    if command in ("AUTH", "SELECT"):
        relay.command, relay.error = command, text
        scene.start(url=url)
        scene.wait_complaint(text[4:30])
        relay.command = None
        scene.bare = True
        return
    scene.start(url=url)
    scene.hold()
    relay.command, relay.error = command, text
    wait_until(lambda: relay.said > 0, 15)
    if "killed" in text:
        relay.command = None
    scene.gate.open()
    never(lambda: scene.daemon.events("worker.exited"), 1)
    relay.command = None


# ---- what is no answer at all ----

def refused(scene):
    server = scene.server(tcp=True)
    scene.start(url=server.tcp_url)
    scene.hold()
    server.kill()
    scene.gate.open()
    wait_until(lambda: [e for e in scene.daemon.read_log() if "refused" in str(e.get("why")).lower()], 15, "connection refused")
    server.start()


def timed_out(scene):
    server = scene.server()
    scene.start()
    scene.hold()
    server.freeze()
    scene.gate.open()
    wait_until(lambda: scene.daemon.events("redis.lost"), 20, "no answer in time")
    server.thaw()


def ended(scene):
    scene.server()
    scene.start()
    scene.hold()
    scene.kill_clients()
    scene.gate.open()
    wait_until(lambda: scene.daemon.events("redis.lost"), 20)


NO_ANSWER = {"connection refused": refused, "no answer in time": timed_out, "end of file": ended}
PROVOKE = {
    "LOADING": loading, "BUSY": busy, "OOM": out_of_memory, "MISCONF": disk_error, "NOREPLICAS": no_replicas,
    "CLUSTERDOWN": cluster_down, "TRYAGAIN": try_again, "READONLY": read_only, "MASTERDOWN": master_down,
    "ERR max number of clients reached": max_clients, "NOSCRIPT": no_script, "UNBLOCKED": unblocked, "NOGROUP": no_group,
    "NOAUTH": no_auth, "WRONGPASS": wrong_password, "ERR AUTH <password> called without any password configured": password_too_much,
    "NOPERM": acl("xack", "evalsha"), "ERR The user executing the script can't run this command or subcommand": script_forbidden,
    "DENIED": denied, "WRONGTYPE": wrong_type, "CROSSSLOT": cross_slot, "ERR unknown command": renamed("XREADGROUP"),
    "ERR Unknown Redis command called from": renamed("XPENDING"), "ERR DB index is out of range": no_such_database,
    "ERR SELECT is not allowed in cluster mode": select_in_cluster, "MOVED": moved, "ASK": ask, "": unknown,
}
PROVOKE.update(dict.fromkeys(RELAYED, relayed))
