"""A redis-server of one's own on a socket in a temporary folder, and the scripts of src/lua called as the daemon calls them:
the whole text by EVAL, all keys through KEYS."""
import os
import re
import shutil
import subprocess
import tempfile
import time

import redis

HERE = os.path.dirname(os.path.abspath(__file__))
LUA = os.path.join(HERE, "..", "..", "src", "lua")
PARKED = "xackd:parked"
TAKEN = 9e15  # the score of an entry that was taken, in due


def script_text(name):
    """As it is embedded, but for its comments."""
    def read(path):
        with open(os.path.join(LUA, path + ".lua"), encoding="utf-8") as text:
            return text.read()
    return re.sub(r"^-- part: ([a-z_]+)$", lambda part: read("part/" + part.group(1)), read(name), flags=re.M)


def parts_of_id(i):
    return tuple(int(part) for part in i.split("-"))


class PrivateRedis:
    def __init__(self, *options):
        self.folder = tempfile.mkdtemp(prefix="xackd-lua-")
        self.socket = os.path.join(self.folder, "redis.sock")
        self.log = os.path.join(self.folder, "log")
        self.process = subprocess.Popen(
            [os.environ.get("XACKD_TEST_REDIS", "redis-server"), "--port", "0", "--unixsocket", self.socket, "--save", "", "--appendonly", "no",
             "--dir", self.folder, "--logfile", self.log, *options], stdin=subprocess.DEVNULL)
        self.client = redis.Redis(unix_socket_path=self.socket)
        deadline = time.monotonic() + 10
        while True:
            try:
                self.client.ping()
                return
            except redis.exceptions.ConnectionError:
                assert self.process.poll() is None and time.monotonic() < deadline, "redis-server does not start: %s" % self.log
                time.sleep(0.01)  # no synchronisation: the next try asks again

    def close(self):
        self.client.close()
        self.process.terminate()
        self.process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)


class Queue:
    """The keys of a queue, and its scripts as methods. Answers come as Redis gives them, with text decoded where it is ours."""

    def __init__(self, client, stream="{q}jobs", group="g"):
        self.r, self.s, self.g = client, stream, group
        tag = stream[stream.index("{") + 1:stream.index("}")] if "{" in stream else stream
        self.key = {name: "xackd:{%s}:%s:%s:%s" % (tag, stream, group, name) for name in ("due", "given", "note", "dead", "hosts", "paused", "remade", "replay")}
        self.stem = "xackd:{%s}:%s:" % (tag, stream)
        self.later, self.cron = self.stem + "later", self.stem + "cron"

    def keys(self, *names, special=None):
        special = {**(special or {}), "stream": self.s, "cron": self.cron, "later": self.later, "later:data": self.later + ":data",
                   "promoted": self.stem + "promoted"}
        return [special.get(name) or self.key[name] for name in names]

    def call(self, script, names, *argv, special=None):
        keys = self.keys(*names, special=special)
        return self.r.eval(script_text(script), len(keys), *keys, *argv)

    # ---- the steps, with the keys in the order of their headers ----
    def fetch(self, me):
        return self.call("fetch", ["stream", "paused"], me, self.g)

    def take(self, me, n=1):
        return self.call("take", ["stream", "due", "given", "note", "dead", "paused"], self.g, me, n, PARKED)

    def ack(self, me, i, delivery):
        return self.call("ack", ["stream", "due", "given", "note"], self.g, me, i, delivery)

    def result(self, i):
        return self.later[:-len("later")] + "result:" + i

    def ack_with(self, me, i, delivery, result, ttl_ms):
        self.key["result"] = self.result(i)
        return self.call("ack", ["stream", "due", "given", "note", "result"], self.g, me, i, delivery, result, ttl_ms)

    def keep(self, *rows):
        """rows: (id, result or None, ttl_ms)"""
        names, argv = ["stream"], []
        for i, result, ttl_ms in rows:
            argv += [i, 0] if result is None else [i, ttl_ms, result]
            if result is not None:
                self.key[i] = self.result(i)
                names.append(i)
        return self.call("keep", names, self.g, *argv)

    def park(self, me, i, delivery, delay=0, note="", give_back=0):
        return self.call("park", ["stream", "due", "given", "note"], self.g, me, i, delivery, delay, note, give_back, PARKED)

    def bury(self, me, i, delivery, cap=0, note="", where="stream", meta=(), pairs=()):
        return self.call("bury", ["stream", "due", "given", "note", "dead"], self.g, me, i, delivery, cap, note, where, len(meta) // 2, *meta, *pairs)

    def release(self, me, *ids, delay=0):
        flat = [x for pair in ids for x in pair]
        return self.call("release", ["stream", "due", "given", "note", "dead"], self.g, me, "h1", delay, PARKED, *flat)

    def renew(self, me, i, delivery, lease=1000):
        return self.call("renew", ["stream", "due"], self.g, me, i, delivery, lease)

    def group(self, start="0", delivered=""):
        return self.call("group", ["stream", "due", "given", "note", "hosts", "remade"], self.g, start, PARKED, delivered)

    def trim(self, rule, value=0, most=10000, count="", others=()):
        """{"state": 0 ...}, or {"state": 1 or 2, "n": the group}."""
        names = "state n more length floor now held holder why consumer idle cursor".split()
        return dict(zip(names, self.call("trim", ["stream", "remade"], rule, value, most, count, self.g, *others)))

    def replay_begin(self, asked="x", first="0-0", last="+", token="t1", anew=0):
        return self.call("replay_begin", ["stream", "replay"], self.g, token, asked, first, last, anew)

    def replay_look(self, first="-", last="+", most=100, with_pairs=0):
        """(last ID, {id: state}, {id: pairs})"""
        answer = self.call("replay_look", ["stream", "note", "dead"], self.g, first, last, most, with_pairs)
        return answer[0].decode(), {i.decode(): state for i, state, _ in answer[1:]}, {i.decode(): pairs for i, _, pairs in answer[1:]}

    def replay_step(self, cursor, following, *ids, token="t1", end=0):
        return self.call("replay_step", ["stream", "due", "given", "note", "dead", "replay"], self.g, PARKED, token, cursor, following, end, *ids)

    def put_back(self, me, *held, another_group=0):
        """held: id, delivery, id, delivery ..."""
        return self.call("put_back", ["stream", "due"], self.g, me, PARKED, another_group, *held)

    def reap(self, consumer, ran=(), all_ran=0, rows=100):
        flat = [x for pair in ran for x in pair]
        return self.call("reap", ["stream", "due", "given", "note", "dead"], self.g, consumer, "h1", all_ran, rows, PARKED, *flat)

    def sweep(self, lease, foreign=1, cursor="-", expected=0, rows=200, consumer=""):
        return self.call("sweep", ["stream", "due", "given", "note", "dead", "hosts"], self.g, "h1", lease, foreign, cursor, expected, rows, consumer,
                         PARKED)

    def gauges(self):
        names = ("exists length waiting has_waiting pending parked due_count next_due later dead oldest_waiting oldest_pending paused "
                 "last_delivered now due_now foreign suspended next_later later_data").split()
        return dict(zip(names, self.call("gauges", ["stream", "due", "dead", "paused", "later", "note", "later:data"], self.g, PARKED, 1)))

    # ---- looking ----
    def pending(self):
        return {row["message_id"].decode(): (row["consumer"].decode(), row["times_delivered"])
                for row in self.r.xpending_range(self.s, self.g, "-", "+", 100000)}

    def due(self):
        return {i.decode(): score for i, score in self.r.zrange(self.key["due"], 0, -1, withscores=True)}

    def dead(self):
        """[(dead id, meta, pairs)], pairs flat as they lie there."""
        letters = []
        raw = redis.Redis(connection_pool=self.r.connection_pool)
        raw.response_callbacks.clear()  # the client's own makes a map of the pairs and loses doubles
        for row in raw.execute_command("XRANGE", self.key["dead"], "-", "+"):
            flat = row[1]
            n = int(flat[1])
            assert flat[0] == b"xackd.meta"
            meta = {flat[2 + 2 * k].decode(): flat[3 + 2 * k] for k in range(n)}
            letters.append((row[0].decode(), meta, flat[2 + 2 * n:]))
        return letters

    def now(self):
        seconds, micros = self.r.time()
        return seconds * 1000 + micros // 1000
