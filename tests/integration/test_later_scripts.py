"""The scripts of delayed and unique entries, each against a real Redis: what their heads say, and that nothing is lost or doubled."""
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from redis_private import Queue, parts_of_id
from test_scripts import explain, full, note_of

ODD = [b"", b"\0\r\n\xff", b"\xc3\x28", b"", b"twice", b"1", b"twice", b"2"]


def packed(*values, kind="str", about=None):
    """MessagePack as any producer may write it, without its library."""
    out = bytes([0xDC]) + (len(values) + (about is not None)).to_bytes(2, "big")
    if about is not None:
        out += bytes([0x80 + len(about)])
        for pair in about.items():
            out += b"".join(bytes([0xA0 + len(text)]) + text.encode() for text in pair)
    for value in values:
        if isinstance(value, int):
            out += bytes([0xD3]) + value.to_bytes(8, "big", signed=True)
        elif value is None:
            out += b"\xc0"
        else:
            value = value.encode() if isinstance(value, str) else value
            out += bytes([0xC5 if kind == "bin" else 0xDA]) + len(value).to_bytes(2, "big") + value
    return out


def enqueue(q, how, ms, *pairs, once=None, hold=""):
    names = ["stream", "later", "later:data"]
    with_key = {"once": q.stem + "once:" + once} if isinstance(once, str) else {"once": q.stem.encode() + b"once:" + once} if once else {}
    done, i, due, now = q.call("enqueue", names + list(with_key), how, ms, hold, *(pairs or ("f", "v")), special=with_key)
    return done, i.decode(), due.decode(), int(now)


def promote(q, most=100, size=1000000):
    now, following, count, refused, *buried = q.call("promote", ["stream", "later", "later:data", "promoted", "note", "dead"], q.g, "h1", most, size)
    assert int(now) > 0
    return following.decode(), count, refused.decode(), [[text.decode("utf-8", "replace") for text in row] for row in buried]


def make_due(q, *ids, at=1):
    q.r.zadd(q.later, {i: at + n for n, i in enumerate(ids)})


def rows(q):
    """[(id, flat pairs)] of the stream, as they lie there."""
    raw = redis.Redis(connection_pool=q.r.connection_pool)
    raw.response_callbacks.clear()
    return [(row[0].decode(), row[1]) for row in raw.execute_command("XRANGE", q.s, "-", "+")]


def nothing_delayed(q):
    return not q.r.exists(q.later, q.later + ":data")


# ---- enqueue ----

def test_in_and_at(q):
    done, i, due, now = enqueue(q, "in", 60000, *ODD)
    assert done == 0 and int(due) == now + 60000 and i.startswith(due + "-") and int(i.split("-")[1]) > 10 ** 15
    assert q.r.zscore(q.later, i) == int(due) and rows(q) == []
    assert q.r.eval("return cmsgpack.unpack(ARGV[1])", 0, q.r.hget(q.later + ":data", i)) == ODD
    done, j, due, now = enqueue(q, "at", now + 5000)
    assert done == 0 and int(due) == int(j.split("-")[0]) and q.gauges()["later"] == 2 and 4000 < int(q.gauges()["next_later"]) <= 5000
    done, k, due, _ = enqueue(q, "at", now - 5000, *ODD)
    assert (done, due) == (0, "") and rows(q) == [(k, ODD)], "its time has passed: at once"
    done, k, due, _ = enqueue(q, "in", 0)
    assert (done, due) == (0, "") and len(rows(q)) == 2 and q.gauges()["later"] == 2


def test_ids_of_the_same_time_differ(q):
    at = q.now() + 60000
    assert len({enqueue(q, "at", at)[1] for _ in range(300)}) == 300 == q.gauges()["later"] == q.gauges()["later_data"]


@pytest.mark.parametrize("arguments, why", [
    (("in", "x", ""), "no time"), (("in", "-1", ""), "no time"), (("at", "nan", ""), "no time"), (("at", "1e300", ""), "no time"),
    (("on", "5", ""), "in or at"), (("in", "5", "0"), "1 ms at least"), (("in", "5", "x"), "1 ms at least")])
def test_nonsense_is_refused(q, arguments, why):
    with pytest.raises(redis.exceptions.ResponseError, match=why):
        q.call("enqueue", ["stream", "later", "later:data"], *arguments, "f", "v")
    assert nothing_delayed(q) and rows(q) == []


@pytest.mark.parametrize("values, why", [([], "a name and a value"), (["f"], "as many of both"), (["x"] * 7002, "3500")])
def test_wrong_entries_are_refused(q, values, why):
    for when in (0, 60000):
        with pytest.raises(redis.exceptions.ResponseError, match=why):
            q.call("enqueue", ["stream", "later", "later:data"], "in", when, "", *values)
    assert nothing_delayed(q) and rows(q) == []


def test_as_many_fields_as_there_may_be(q):
    values = [b"%d" % n for n in range(7000)]
    _, i, _, _ = enqueue(q, "in", 60000, *values)
    make_due(q, i)
    assert promote(q) == ("", 1, "", []) and rows(q)[0][1] == values


@pytest.mark.parametrize("key", ["daily report", b"\0\xff{}:", "x" * 5000])
def test_once(q, key):
    _, first, _, _ = enqueue(q, "in", 0, once=key, hold=60000)
    assert enqueue(q, "in", 0, once=key)[:3] == (1, first, "") and enqueue(q, "in", 9000, once=key)[:3] == (1, first, "")
    assert len(rows(q)) == 1 and nothing_delayed(q)
    assert enqueue(q, "in", 0, once="another")[0] == 0 and enqueue(q, "in", 0)[0] == 0
    name = q.stem.encode() + b"once:" + (key if isinstance(key, bytes) else key.encode())
    assert 50000 < q.r.pttl(name) <= 60000
    q.r.pexpire(name, 0)
    assert enqueue(q, "in", 0, once=key)[0] == 0 and 3590000 < q.r.pttl(name) <= 3600000, "an hour, unless said otherwise"


def test_once_and_later(q):
    _, first, due, _ = enqueue(q, "in", 7200000, once="k")
    name = q.stem + "once:k"
    assert q.r.pttl(name) > 7100000, "until it is due at least"
    assert enqueue(q, "in", 0, once="k")[:3] == (1, first, due) and q.gauges()["later"] == 1 and rows(q) == []
    make_due(q, first)
    assert promote(q)[1] == 1
    entry, = [row[0] for row in rows(q)]
    assert enqueue(q, "in", 0, once="k")[:3] == (1, entry, ""), "the ID that it has now"
    assert q.r.pttl(name) > 7100000 and len(rows(q)) == 1
    _, second, _, _ = enqueue(q, "in", 60000, once="other", hold=50)
    q.r.set(q.stem + "once:other", "of another one", px=60000)
    make_due(q, second)
    assert promote(q)[1] == 1 and q.r.get(q.stem + "once:other") == b"of another one"


def test_memory_that_is_full(q):
    _, i, _, _ = enqueue(q, "in", 60000)
    make_due(q, i)
    full(q)
    for when in (0, 60000):
        with pytest.raises(redis.exceptions.ResponseError, match="OOM|maxmemory"):
            enqueue(q, "in", when, once="k")
    assert not q.r.exists(q.stem + "once:k") and q.r.hlen(q.later + ":data") == 1 == q.r.zcard(q.later)
    assert promote(q)[1] == 1, "what was accepted is run"
    q.r.config_set("maxmemory", 0)
    assert len(rows(q)) == 1 and nothing_delayed(q)


@pytest.mark.parametrize("broken", ["stream", "later", "later:data", "once"])
def test_keys_of_a_wrong_type_keep_all_as_it_is(q, broken):
    wrong = {"stream": q.s, "later": q.later, "later:data": q.later + ":data", "once": q.stem + "once:k"}[broken]
    q.r.delete(q.s)
    q.r.lpush(wrong, "x")
    with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
        enqueue(q, "in", 0 if broken == "stream" else 60000, once="k")
    assert [key for key in q.r.keys() if key.decode() != wrong] == []


# ---- promote ----

def test_promote(q):
    ids = [enqueue(q, "in", 60000 + n, "n", str(n), *ODD)[1] for n in range(5)]
    following, count, refused, buried = promote(q)
    assert 59000 < int(following) <= 60000 and (count, refused, buried) == (0, "", [])
    make_due(q, *ids[:4])
    following, count, _, _ = promote(q, most=3)
    assert count == 3 and int(following) < 0, "more are due"
    following, count, _, _ = promote(q, most=3)
    assert count == 1 and int(following) > 50000
    assert [row[1] for row in rows(q)] == [[b"n", b"%d" % n] + ODD for n in range(4)], "in the order in which they were due"
    assert q.r.hkeys(q.later + ":data") == [ids[4].encode()] and promote(q)[1] == 0
    assert explain(q, ids[1])["entry_id"].decode() == rows(q)[1][0] and explain(q, ids[4])["entry_id"] == b""
    assert 86000 < q.r.ttl(q.stem + "promoted") <= 86400


def test_promotion_is_bounded_in_bytes(q):
    ids = [enqueue(q, "in", 60000, "f", "x" * 1000)[1] for _ in range(10)]
    make_due(q, *ids)
    following, count, _, _ = promote(q, size=2500)
    assert count == 3 and int(following) <= 0 and promote(q)[1] == 7


def test_what_becomes_of_ids_is_kept_in_bounds(q):
    first = q.now() - 10 ** 9
    for n in range(0, 100100, 1100):
        q.r.zadd(q.stem + "promoted", {"%d-1000000000000000 1-1" % (first + n + i): 0 for i in range(1100)})
    for _ in range(60):
        make_due(q, enqueue(q, "in", 60000)[1])
        promote(q)
    left = q.r.zrange(q.stem + "promoted", 0, -1)
    assert len(left) == 100040 and left[0].startswith(b"%d-" % (first + 120)), "two go for each that comes"


def test_data_by_another_producer(q):
    """No script at all: HSET and ZADD, and an ID of its own."""
    for i in ("7-7", "any \xff thing", b"\0"):
        q.r.hset(q.later + ":data", i, packed(*ODD))
        q.r.zadd(q.later, {i: 5})
    q.r.hset(q.later + ":data", "8-8", packed("n", 5, "m", -(2 ** 40), about={"once": "k", "more": "x"}))
    q.r.zadd(q.later, {"8-8": 9})
    q.r.set(q.stem + "once:k", "8-8", px=60000)
    assert promote(q) == ("", 4, "", [])
    assert [row[1] for row in rows(q)] == [ODD] * 3 + [[b"n", b"5", b"m", b"-1099511627776"]]
    assert q.r.get(q.stem + "once:k").decode() == rows(q)[-1][0] and 0 < q.r.pttl(q.stem + "once:k") <= 60000
    assert [row.split()[0] for row in q.r.zrange(q.stem + "promoted", 0, -1)] == [b"7-7", b"8-8"]
    assert nothing_delayed(q)


@pytest.mark.parametrize("data, why", [
    (b"", "no MessagePack"), (b"\xff\xff\xff", "no MessagePack"), (b"\xdc\xff\xff", "no MessagePack"), (packed("n"), "as many names"),
    (packed(), "as many names"), (packed("n", None), "names and values|as many names"), (packed("n", "v", None, "x"), "names and values"),
    (b"\x81\xa1n\xa1v", "names and values"), (b"\xa1n", "no MessagePack"), (packed("n", "v") + b"\1", "no MessagePack"), (packed("n", "v", kind="bin"), "bin is not known")])
def test_data_that_nobody_can_run_is_a_dead_letter(q, data, why):
    q.r.hset(q.later + ":data", "7-7", data)
    q.r.zadd(q.later, {"7-7": 5})
    good = enqueue(q, "in", 60000, "f", "good")[1]
    make_due(q, good, at=6)
    following, count, refused, buried = promote(q)
    (i, dead_id, reason, detail), = buried
    assert (following, count, refused, i, reason) == ("", 1, "", "7-7", "malformed") and re.search(why, detail)
    (found, meta, left), = q.dead()
    assert found == dead_id and meta["xackd.id"] == b"7-7" and left == [b"xackd.later", data] and note_of(q, "7-7")["dead_id"] == dead_id
    assert nothing_delayed(q) and [row[1] for row in rows(q)] == [[b"f", b"good"]]


def test_too_many_fields_are_a_dead_letter_that_can_be_requeued(q):
    values = ["f%d" % n for n in range(8002)]
    q.r.hset(q.later + ":data", "7-7", packed(*values))
    q.r.zadd(q.later, {"7-7": 5})
    assert promote(q)[3][0][2:] == ["malformed", "it has more than 3500 fields"]
    name, value = q.dead()[0][2]
    assert name == b"xackd.packed" and q.r.eval("return #cmsgpack.unpack(ARGV[1])", 0, value) == 8002


def test_missing_data_is_told(q):
    i = enqueue(q, "in", 60000)[1]
    make_due(q, i)
    q.r.delete(q.later + ":data")
    assert promote(q)[3][0][2:] == ["payload_gone", "its data was deleted before it was due"]
    assert q.dead()[0][1]["xackd.reason"] == b"payload_gone" and q.dead()[0][2] == [] and nothing_delayed(q)
    assert explain(q, i)["dead_id"].decode() == q.dead()[0][0]


def test_dead_letters_that_cannot_be_written_stop_nobody_else(q):
    for n in range(3):
        q.r.zadd(q.later, {"%d-0" % n: n})
    good = [enqueue(q, "in", 60000, "f", str(n))[1] for n in range(3)]
    make_due(q, *good, at=100)
    last = enqueue(q, "in", 60000)[1]
    q.r.set(q.key["dead"], "x")
    following, count, refused, buried = promote(q)
    assert count == 3 and refused.startswith("WRONGTYPE") and buried == [] and int(following) > 50000
    assert [i.decode() for i in q.r.zrange(q.later, 0, -1)] == ["0-0", "1-0", "2-0", last]
    q.r.delete(q.key["dead"])
    assert len(promote(q)[3]) == 3 and len(q.dead()) == 3


@pytest.mark.parametrize("broken", ["stream", "later", "later:data"])
def test_promotion_with_a_key_of_a_wrong_type_changes_nothing(q, broken):
    ids = [enqueue(q, "in", 60000)[1] for _ in range(2)]
    make_due(q, *ids)
    name = {"stream": q.s, "later": q.later, "later:data": q.later + ":data"}[broken]
    q.r.exists(name) and q.r.rename(name, "kept")
    q.r.set(name, "x")
    with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
        promote(q)
    g = q.gauges() if broken != "stream" else None
    assert not g or (g["later"], g["later_data"]) == ((-1, 2) if broken == "later" else (2, -1))
    q.r.delete(name)
    q.r.exists("kept") and q.r.rename("kept", name)
    assert promote(q)[1] == 2 and len(rows(q)) == 2, "each once"


@pytest.mark.parametrize("hint", ["promoted", "note"])
def test_hints_of_a_wrong_type_are_done_without(q, hint):
    ids = [enqueue(q, "in", 60000, once="k")[1], "7-7"]
    make_due(q, *ids)
    q.r.lpush(q.keys(hint)[0], "x")
    assert promote(q)[1:3] == (1, "") and len(rows(q)) == 1 and len(q.dead()) == 1 and nothing_delayed(q)


def test_scores_that_are_no_times(q):
    for i, score in (("1-1", "-inf"), ("2-2", "+inf"), ("3-3", -5)):
        q.r.hset(q.later + ":data", i, packed("f", i))
        q.r.execute_command("ZADD", q.later, score, i)
    assert promote(q)[:2] == ("", 2) and [row[1][1] for row in rows(q)] == [b"1-1", b"3-3"] and q.gauges()["next_later"] == b""


def test_two_promote_at_once(q):
    ids = [enqueue(q, "in", 60000, "n", str(n))[1] for n in range(500)]
    make_due(q, *ids)
    clients = [redis.Redis(unix_socket_path=q.r.connection_pool.connection_kwargs["path"]) for _ in range(4)]

    def work(client):
        mine, total = Queue(client, q.s, q.g), 0
        while count := promote(mine, most=7)[1]:
            total += count
        return total
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, clients)) == 500
    assert sorted(int(row[1][1]) for row in rows(q)) == list(range(500))


# ---- due times that were deleted ----

def test_rebuild(q):
    ids = [enqueue(q, "in", 60000 + n)[1] for n in range(200)]
    q.r.hset(q.later + ":data", "no time", packed("f", "v"))
    before = dict(q.r.zrange(q.later, 0, -1, withscores=True))
    q.r.delete(q.later)
    q.r.zadd(q.later, {ids[3]: 5})
    assert (q.gauges()["later"], q.gauges()["later_data"]) == (1, 201)
    cursor, total = "0", 0
    while True:
        cursor, added = q.call("rebuild_later", ["later", "later:data"], cursor, 50)
        total += added
        if cursor == b"0":
            break
    after = dict(q.r.zrange(q.later, 0, -1, withscores=True))
    assert total == 200 and after.pop(b"no time") <= q.now() and after.pop(ids[3].encode()) == 5
    before.pop(ids[3].encode())
    assert after == before


# ---- the desk ----

def test_explain_later(q):
    _, i, due, _ = enqueue(q, "in", 60000, *ODD, once="k")
    e = explain(q, i)
    assert (e["later"], e["due"].decode(), e["pairs"], e["entry_id"], e["in_stream"]) == (1, due, ODD, b"", 0)
    assert q.r.zscore(q.later, i) == int(due), "asking changes nothing"
    for key in (q.later, q.later + ":data", q.stem + "promoted"):
        q.r.delete(key)
        q.r.lpush(key, "x")
    assert explain(q, i)["later"] == 0


def test_later_page(q):
    ids = [enqueue(q, "in", 60000 + 10 * n, "n", str(n))[1] for n in range(5)]
    q.r.zadd(q.later, {"no data": 1})
    page = lambda offset, most: q.call("later", ["later", "later:data"], offset, most)  # noqa: E731
    _, more, *found = page(0, 3)
    assert more == 1 and [row[0].decode() for row in found] == ["no data"] + ids[:2] and found[0][2] == [] and found[1][2] == [b"n", b"0"]
    _, more, *found = page(3, 9)
    assert more == 0 and [row[0].decode() for row in found] == ids[2:] and all(int(row[1]) > q.now() for row in found)
    for n in range(3):
        enqueue(q, "in", 1000 + n, "f", "x" * 40000)
    assert page(0, 9)[1] == 1 and len(page(0, 9)) == 2 + 3


def cancel(q, i, all_groups=0):
    keys = ["stream", "later", "later:data", "note", "dead"]
    return q.call("cancel_later", keys, q.g, i, all_groups, 2, "xackd.reason", "cancelled", "xackd.attempts", 0)


def test_cancel_later(q):
    i, other = enqueue(q, "in", 60000, *ODD, once="k")[1], enqueue(q, "in", 60000)[1]
    full(q)
    with pytest.raises(redis.exceptions.ResponseError, match="OOM|maxmemory"):
        cancel(q, i)
    q.r.config_set("maxmemory", 0)
    assert q.gauges()["later"] == 2 and q.dead() == []
    code, dead_id = cancel(q, i)
    (found, meta, left), = q.dead()
    assert code == 0 and found == dead_id.decode() and left == ODD and parts_of_id(found)[1] >= 1000000
    assert (meta["xackd.id"].decode(), meta["xackd.reason"], meta["xackd.group"].decode()) == (i, b"cancelled", q.g)
    assert note_of(q, i)["dead_id"] == found and explain(q, i)["dead_id"].decode() == found
    assert not q.r.exists(q.stem + "once:k"), "another may be added"
    assert cancel(q, i) == [1, b""] and q.gauges()["later"] == 1
    q.r.xgroup_create(q.s, "slow", id="0")
    assert cancel(q, other) == [2, b"slow"] and q.gauges()["later"] == 1
    assert cancel(q, other, 1)[0] == 0 and nothing_delayed(q)


def test_cancel_later_of_odd_data(q):
    for i, data, left in (("1-1", b"\xff", [b"xackd.later", b"\xff"]), ("2-2", packed("n"), [b"xackd.later", packed("n")])):
        q.r.hset(q.later + ":data", i, data)
        assert cancel(q, i)[0] == 0 and q.dead()[-1][2] == left
    q.r.hset(q.later + ":data", "3-3", packed(*["f%d" % n for n in range(8002)]))
    assert cancel(q, "3-3")[0] == 0 and q.dead()[-1][2][0] == b"xackd.packed" and json.loads(q.r.hget(q.key["note"], "3-3"))["reason"] == "cancelled"
    assert nothing_delayed(q)
