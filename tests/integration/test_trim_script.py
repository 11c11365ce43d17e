"""trim.lua against a real Redis, beside a model that keeps its own books: whatever groups do, nothing that one of them has not
acknowledged is ever trimmed, and all that the rule lets go is. Mutations of the script must be found out by the same test."""
import random
import time

import pytest

from redis_private import PARKED, Queue, script_text

ME = "h1/default/0/00112233445566aa"
TEXT = script_text("trim")
NAMES = "state n more length floor now held holder why consumer idle cursor".split()


@pytest.fixture
def q(q):
    q.r.config_set("stream-node-max-entries", 100)
    return q


def key(i):
    return tuple(int(n) for n in i.split("-"))


def fill(q, n, at=None, group="g", read=True):
    ids = [q.r.execute_command("XADD", q.s, "*" if at is None else "%d-%d" % (at, k + 1), "n", k).decode() for k in range(n)]
    if read:
        q.r.xreadgroup(group, ME, {q.s: ">"}, count=n)
    return ids


def ids(q):
    return [i.decode() for i, _ in q.r.xrange(q.s)]


# ---- the random test ----

class World:
    """Groups that do anything, and who has acknowledged what by our own books."""
    GROUPS = ("g", "foreign", "third")

    def __init__(self, q, seed, text):
        self.q, self.dice, self.text = q, random.Random(seed), text
        self.here, self.last = [], (0, 0)            # IDs that must be there unless a rule let them go; the last one made
        self.waiting = {g: [] for g in self.GROUPS}  # not delivered yet
        self.held = {g: set() for g in self.GROUPS}
        self.now = 1_700_000_000_000
        q.r.flushall()
        q.r.config_set("stream-node-max-entries", self.dice.choice((2, 7, 100)))
        for g in self.GROUPS:
            q.r.xgroup_create(q.s, g, 0, mkstream=True)

    def add(self):
        for _ in range(self.dice.randrange(1, 30)):
            # In the same millisecond, in another, or with numbers that are more than a double holds.
            ms, n = self.last
            step = self.dice.random()
            at = (ms, n + 1) if step < 0.8 else (ms + self.dice.randrange(1, 500), 0) if step < 0.95 else (ms + 1, 2**63 + self.dice.randrange(1000))
            at = (self.now, 1) if self.last == (0, 0) else at
            i = self.q.r.execute_command("XADD", self.q.s, "%d-%d" % at, "f", "x" * self.dice.choice((1, 1, 1, 3000))).decode()
            self.last = at
            self.here.append(i)
            for g in self.GROUPS:
                self.waiting[g].append(i)

    def read(self):
        g, n = self.dice.choice(self.GROUPS), self.dice.randrange(1, 25)
        got = self.q.r.xreadgroup(g, "%s-%d" % (ME, self.dice.randrange(3)), {self.q.s: ">"}, count=n)
        took, self.waiting[g] = self.waiting[g][:n], self.waiting[g][n:]
        assert [i.decode() for _, rows in got for i, _ in rows] == took, "a group was not given what waits for it"
        self.held[g].update(took)

    def settle(self):
        g = self.dice.choice(self.GROUPS)
        for i in self.dice.sample(sorted(self.held[g]), min(len(self.held[g]), self.dice.randrange(1, 25))):
            self.q.r.xack(self.q.s, g, i)
            self.held[g].discard(i)

    def claim(self):
        g = self.dice.choice(self.GROUPS)
        for i in self.dice.sample(sorted(self.held[g]), min(len(self.held[g]), 3)):
            self.q.r.xclaim(self.q.s, g, PARKED, 0, [i], justid=True)

    def replay(self):
        """What is done is not, any more."""
        acknowledged = [i for i in self.here if i not in self.waiting["g"] and i not in self.held["g"]]
        again = self.dice.sample(acknowledged, min(len(acknowledged), 5))
        self.q.replay_begin(anew=1)
        assert self.q.replay_step("0-0", "0-0", *again, end=1)[1] == len(again)
        self.held["g"].update(again)

    def delete(self):
        """Somebody removes what is done, or what is not: from then on it is not ours to keep."""
        for i in self.dice.sample(self.here, min(len(self.here), self.dice.randrange(3))):
            self.q.r.xdel(self.q.s, i)
            self.here.remove(i)
            for g in self.GROUPS:
                self.waiting[g] = [w for w in self.waiting[g] if w != i]

    def open(self):
        return set().union(*self.waiting.values(), *self.held.values())

    def trim(self):
        rule = self.dice.choice(("acked", "age", "maxlen"))
        value = {"acked": 0, "maxlen": self.dice.randrange(1, 150), "age": int(time.time() * 1000) - self.now - self.dice.randrange(20000)}[rule]
        most, more = self.dice.choice((1, 7, 100, 10000)), 1
        while more:
            answer = dict(zip(NAMES, self.q.call_text(self.text, rule, value, most, "", self.q.g, *self.GROUPS[1:])))
            assert answer["state"] == 0 and answer["n"] <= most
            more = answer["more"]
        left = ids(self.q)
        lost = sorted((self.open() & set(self.here)) - set(left), key=key)
        assert not lost, "trimmed (%s) and not acknowledged: %s" % (rule, lost[:3])
        assert answer["length"] == len(left)
        assert left == self.here[len(self.here) - len(left):], "only the oldest go"
        self.check_rule(rule, value, answer, left)
        self.here = left

    def check_rule(self, rule, value, answer, left):
        oldest = min((key(i) for i in self.open()), default=(1 << 70, 0))
        went = self.here[:len(self.here) - len(left)]
        free = [i for i in self.here if key(i) < oldest]
        if rule == "acked":
            assert went == free, "all that is done goes"
        elif rule == "maxlen":
            assert len(went) == min(len(free), max(0, len(self.here) - value))
            assert answer["held"] == (len(left) > value)
        else:
            limit = int(answer["now"]) - value
            assert went == [i for i in free if key(i)[0] < limit]
            own = (answer["holder"], answer["why"]) == (b"g", b"pending")  # not looked at: it may have been deleted
            assert answer["held"] == any(key(i)[0] < limit for i in left) or own

    def run(self, steps):
        for _ in range(steps):
            getattr(self, self.dice.choice(("add", "add", "read", "read", "settle", "settle", "claim", "replay", "delete", "trim")))()
        self.trim()


class Raw(Queue):
    def call_text(self, text, *argv):
        return self.r.eval(text, 2, self.s, self.key["remade"], *argv)


@pytest.mark.parametrize("seed", range(12))
def test_random(server, seed):
    World(Raw(server.client), seed, TEXT).run(120)


MUTATIONS = {
    "pending is not looked at": ("if first and less(first[1], ahead)", "if false"),
    "only the own group": ("less(floor[1], lowest[1]) or (", "g.name == group or ("),
    "the highest floor": ("less(floor[1], lowest[1])", "less(lowest[1], floor[1])"),
    "one too many": ("local last = wanted and less(wanted, floor) and wanted or floor", "local last = next_id(floor)"),
    "the rule alone": ("less(wanted, floor) and wanted or floor", "wanted or floor"),
    "by length alone": ("'MINID', '~', last, 'LIMIT', limit)", "'MAXLEN', '~', 0, 'LIMIT', limit)"),
    "as numbers": ("local function less_number(x, y)", "local function less_number(x, y)\n  do return tonumber(x) < tonumber(y) end"),
    "nothing in a node": ("local rows = redis.call('XRANGE', KEYS[1], '-',", "do return 0 end\n  local rows = redis.call('XRANGE', KEYS[1], '-',"),
    "one more in a node": ("rows[left + 1][1] or last)", "rows[left + 1][1] or next_id(last))"),
    "what is kept is not counted": ("most = math.min(most, math.max(0, length - value))", "most = most"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutation_is_found(server, name):
    text = TEXT.replace(*MUTATIONS[name])
    assert text != TEXT, "the mutation fits nowhere"
    for seed in range(40):
        try:
            World(Raw(server.client), seed, text).run(120)
        except AssertionError:
            return
    pytest.fail("nobody noticed: %s" % name)


# ---- single answers ----

def test_nothing_without_a_group_that_must_be_there(q):
    all_ids = fill(q, 5)
    q.r.xack(q.s, q.g, *all_ids)
    assert q.trim("acked", others=["sister"]) == {"state": 1, "n": b"sister"}
    q.r.xgroup_destroy(q.s, q.g)
    q.r.xgroup_create(q.s, "somebody", "$")
    assert q.trim("acked") == {"state": 1, "n": b"g"}, "the others being done says nothing of what this one needs"
    q.r.delete(q.s)
    assert q.trim("acked") == {"state": 1, "n": b"g"}


def test_nothing_while_a_group_is_being_put_back(q):
    """What a worker runs is not pending between XGROUP DESTROY and its put_back."""
    a, b = fill(q, 2)
    q.r.xack(q.s, q.g, a)
    q.r.xgroup_destroy(q.s, q.g)
    assert q.group(delivered=b) == 1
    assert q.trim("acked") == {"state": 2, "n": b"g"} and ids(q) == [a, b]
    assert 0 < q.r.pttl(q.key["remade"]) <= 1000, "a lease"
    assert q.put_back(ME, b, 1) == 1
    q.r.delete(q.key["remade"])  # the lease has passed
    assert q.trim("acked")["n"] == 1 and ids(q) == [b]
    assert q.pending() == {b: (ME, 1)}


def test_the_mark_of_another_group_counts_too(q):
    other = Queue(q.r, q.s, "h")
    other.group()
    fill(q, 3)
    q.r.xack(q.s, q.g, *ids(q))
    q.r.xreadgroup("h", ME, {q.s: ">"})
    q.r.xgroup_destroy(q.s, "h")
    assert other.group(delivered=ids(q)[-1]) == 1
    assert q.trim("acked") == {"state": 2, "n": b"h"}


def test_a_new_group_at_the_beginning_needs_no_mark(q):
    assert q.r.exists(q.key["remade"]) == 0


def test_made_again_after_trimming(q):
    """Where a group had got to is above all that was trimmed: nothing that is left runs twice, nothing is skipped."""
    first = fill(q, 250)
    q.r.xack(q.s, q.g, *first[:249])
    assert q.trim("acked")["n"] == 249
    waits = fill(q, 3, read=False)
    assert q.gauges()["waiting"] == 3
    q.r.xgroup_destroy(q.s, q.g)
    q.group(delivered=first[249])
    assert q.put_back(ME, first[249], 1) == 1
    got = q.r.xreadgroup(q.g, ME, {q.s: ">"}, count=10)
    assert [i.decode() for i, _ in got[0][1]] == waits


@pytest.mark.parametrize("most", [1, 99, 100, 101, 10000])
def test_waiting_stays_right(q, most):
    read = fill(q, 450)
    q.r.xack(q.s, q.g, *read)
    fill(q, 205, read=False)
    more = 1
    while more:
        more = q.trim("acked", most=most)["more"]
        g = q.gauges()
        assert (g["waiting"], g["length"] >= 205) == (205, True)
    assert g["length"] == 205
    for left in range(204, 100, -1):
        q.r.xreadgroup(q.g, ME, {q.s: ">"}, count=1)
        assert q.gauges()["waiting"] == left
    q.r.xack(q.s, q.g, *ids(q)[:105])
    q.trim("acked")
    assert q.gauges()["waiting"] == 101


def test_empty_is_a_stream_still(q):
    i = fill(q, 3)[-1]
    q.r.xack(q.s, q.g, *ids(q))
    answer = q.trim("acked")
    assert (answer["n"], answer["length"], answer["held"]) == (3, 0, 0)
    assert q.trim("acked")["n"] == 0
    assert q.r.xinfo_stream(q.s)["last-generated-id"].decode() == i
    assert q.gauges()["waiting"] == 0 and q.gauges()["exists"] == 1
    explained = q.call("explain", ["stream", "due", "given", "note", "dead", "paused", "later"], q.g, i)
    assert (explained[8], explained[12]) == (0, 1), "not in the stream, and was here"


def test_whose_fault_it_is(q):
    done = fill(q, 5)
    q.r.xack(q.s, q.g, *done)
    q.r.xgroup_create(q.s, "slow", 0)
    a = q.trim("acked")
    assert (a["n"], a["held"], a["holder"], a["why"]) == (0, 1, b"slow", b"waiting")
    q.r.xreadgroup("slow", "c1", {q.s: ">"}, count=2)
    a = q.trim("maxlen", 2)
    assert (a["held"], a["holder"], a["why"], a["consumer"], a["floor"].decode()) == (1, b"slow", b"pending", b"c1", done[0])
    assert q.trim("maxlen", 5)["held"] == 0
    assert q.trim("age", 60000)["held"] == 0
    q.r.xack(q.s, "slow", done[0])
    a = q.trim("acked")
    assert (a["n"], a["floor"].decode()) == (1, done[1])


def test_count_changes_nothing(q):
    fill(q, 1234)
    q.r.xack(q.s, q.g, *ids(q))
    n, cursor, more = 0, "-", 1
    while more:
        a = q.trim("maxlen", 234 + n, most=300, count=cursor)
        n, cursor, more = n + a["n"], a["cursor"].decode(), a["more"]
    assert n == 1000 and q.r.xlen(q.s) == 1234


def test_full_memory_is_no_hindrance(q):
    fill(q, 300)
    q.r.xack(q.s, q.g, *ids(q))
    q.r.config_set("maxmemory", 1)
    assert q.trim("acked")["n"] == 300


@pytest.mark.parametrize("nodes", [1000, 0])
def test_large_nodes(q, nodes):
    q.r.config_set("stream-node-max-entries", nodes)
    fill(q, 2500)
    q.r.xack(q.s, q.g, *ids(q)[:2345])
    calls, more = 0, 1
    while more:
        a = q.trim("acked")
        calls, more = calls + 1, a["more"]
    assert a["length"] == 155 and calls < 60


def test_steps_are_short(q):
    """The work of a call is bounded, however much there is to do; what Redis does for nothing to do is a few commands."""
    q.r.config_resetstat()
    fill(q, 30000, at=1)
    q.r.execute_command("XACK", q.s, q.g, *ids(q))
    while True:
        a = q.trim("acked")
        assert a["n"] <= 10000
        if not a["more"]:
            break
    assert a["length"] == 0
    q.r.config_resetstat()
    for _ in range(10):
        q.trim("acked")
    calls = {name: stat["calls"] for name, stat in q.r.info("commandstats").items() if name not in ("cmdstat_eval", "cmdstat_config|resetstat", "cmdstat_info")}
    assert sum(calls.values()) <= 10 * 6 and "cmdstat_xtrim" not in calls and "cmdstat_xrange" not in calls, calls
