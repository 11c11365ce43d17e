"""Each script of src/lua against a real Redis: every answer that its header names, and that nothing is lost where it says so."""
import json
import os
import re

import pytest
import redis

from harness import wait_until
from redis_private import LUA, PARKED, TAKEN, Queue, script_text

ME, OTHER = "h1/default/0/00112233445566aa", "h2/default/0/00112233445566bb"
NOTE = '{"reason":"exit","detail":"exit 3","exit":3,"attempt":1}'


def add(q, *pairs, id="*"):
    return q.r.execute_command("XADD", q.s, id, *(pairs or ("f", "v"))).decode()


def mine(q, *pairs, me=ME):
    """A new entry, delivered to me."""
    i = add(q, *pairs)
    got = q.r.execute_command("XREADGROUP", "GROUP", q.g, me, "COUNT", 1, "STREAMS", q.s, ">")
    assert got[0][1][0][0].decode() == i
    return i


def delete(q, i):
    assert q.r.xdel(q.s, i) == 1


def note_of(q, i):
    raw = q.r.hget(q.key["note"], i)
    return json.loads(raw) if raw else None


def full(q):
    """No memory for anything that would need more."""
    q.r.config_set("maxmemory", 1)
    with pytest.raises(redis.exceptions.ResponseError, match="OOM|maxmemory"):
        q.r.set("x", "y")


def idle(q, i, ms, me):
    q.r.xclaim(q.s, q.g, me, 0, [i], idle=ms, justid=True)


# ---- the texts themselves ----

def scripts():
    return sorted(name[:-4] for name in os.listdir(LUA) if name.endswith(".lua"))


@pytest.mark.parametrize("name", scripts())
def test_header(name):
    text = script_text(name)
    for word in ("-- %s: " % name, "-- KEYS: ", "-- ARGV: ", "-- Answers: ", "-- Crash: "):
        assert word in text
    assert not text.startswith("#!"), "a shebang is refused as a whole when memory is full"
    code = re.sub(r"--.*", "", text)
    assert not re.search(r"redis\.call\('[A-Z]+', '(?!CREATE|DELCONSUMER|CONSUMERS|GROUPS|STREAM|GROUP)xackd", code), "keys come in KEYS"


# ---- fetch ----

def test_fetch_takes_one_from_the_first_that_has_any(server, q):
    other = Queue(server.client, "{q}other", "g")
    other.group()
    add(q, "a", "1"), add(q, "a", "2")
    i = add(other, "b", "1")
    call = lambda: q.r.eval(script_text("fetch"), 4,
                            other.s, other.key["paused"], q.s, q.key["paused"], ME, "g", "g")
    assert call() == [[other.s.encode(), [[i.encode(), [b"b", b"1"]]]]]
    assert call()[0][1][0][1] == [b"a", b"1"]
    assert len(q.pending()) == 1
    q.r.set(q.key["paused"], 1)
    assert call() == [1], "the paused one is named, so that a blocking read leaves it out"
    q.r.delete(q.key["paused"])
    other.r.set(other.s, "no stream")
    assert call()[0][1][0][1] == [b"a", b"2"], "a broken queue keeps nobody from another"
    with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
        call()


def test_fetch_names_a_missing_group(q):
    q.r.xgroup_destroy(q.s, q.g)
    with pytest.raises(redis.exceptions.ResponseError, match="NOGROUP"):
        q.fetch(ME)


# ---- take ----

def test_take_in_order_of_due(q):
    ids = [mine(q, "n", str(n)) for n in range(3)]
    hour_ms = 3600 * 1000
    for i, hours in zip(ids, (3, 2, 1)):
        assert q.park(ME, i, 1, hours * hour_ms, NOTE)[0] == 0
    answer = q.take(OTHER, 3)
    assert answer[0] == 0 and 0 < answer[1] <= hour_ms and answer[5:] == []
    for i in ids:
        q.r.zincrby(q.key["due"], -4 * hour_ms, i)  # the due times pass
    answer = q.take(OTHER, 2)
    assert [row[0].decode() for row in answer[5:]] == [ids[2], ids[1]]
    i, delivery, given, note, pairs = answer[5]
    assert (delivery, given, pairs) == (2, 0, [b"n", b"2"])
    assert json.loads(note)["reason"] == "exit" and json.loads(note)["delivery"] == 1
    assert q.pending()[ids[2]] == (OTHER, 2)
    assert list(q.due()) == [ids[0], ids[2], ids[1]] or list(q.due()) == [ids[0], ids[1], ids[2]]
    assert [q.due()[i] for i in ids] == [q.due()[ids[0]], TAKEN, TAKEN] and answer[1] == 0, "still parked and due now"
    assert q.take(OTHER)[5][0].decode() == ids[0] and q.take(OTHER)[1] == -1 and q.gauges()["due_count"] == 0


def test_take_paused(q):
    i = mine(q)
    q.park(ME, i, 1)
    q.r.set(q.key["paused"], 1)
    assert q.take(ME)[0] == 1 and q.pending()[i][0] == PARKED and i in q.due()


def test_take_vanished(q):
    i, k = mine(q), mine(q)
    q.park(ME, i, 1), q.park(ME, k, 1)
    q.r.xack(q.s, q.g, i)
    answer = q.take(ME)
    assert answer[3] == [i.encode()] and answer[5][0].decode() == k
    assert q.due() == {k: TAKEN}
    q.ack(ME, k, 2)
    assert q.due() == {}


def test_take_leaves_what_another_owns(q):
    i = mine(q)
    q.r.zadd(q.key["due"], {i: 1})
    future = mine(q)
    q.r.zadd(q.key["due"], {future: 9e15})
    answer = q.take(OTHER)
    assert answer[3:] == [[], []] and q.pending()[i] == (ME, 1)
    assert list(q.due()) == [future], "only a row whose time has come is dropped"


NO_IDS = ["garbage", "", "5", "-", "+", "(1-1", "1-1-1", "99999999999999999999-1", "1-18446744073709551616", "xackd:parked", "\x00", "9" * 1000]


@pytest.mark.parametrize("score", [1, 9e15])
def test_what_is_no_id_among_the_due_holds_up_nobody(q, score):
    i = mine(q)
    q.park(ME, i, 1, 0, NOTE)
    q.r.zadd(q.key["due"], {name: score for name in NO_IDS})
    assert [row[0].decode() for row in q.call("parked", ["stream", "due", "given", "note"], q.g, 0, 100, 1)[2:]] == [i]
    answer = q.take(OTHER)
    assert [row[0].decode() for row in answer[5:]] == [i] and answer[3:5] == [[], []]
    q.r.hset(q.key["note"], mapping={name: NOTE for name in NO_IDS})
    q.r.hset(q.key["note"], "1-1", '{"dead_id":"99999999999999999999-1"}')
    cursor = "0"
    while q.r.hlen(q.key["note"]) > 1 or q.r.zcard(q.key["due"]) > 1:
        cursor = q.call("janitor", ["stream", "dead", "note", "due"], q.g, cursor, 100)[0]
    assert q.due() == {i: TAKEN} and list(q.r.hkeys(q.key["note"])) == [i.encode()]


def test_a_host_that_claims_a_lease_for_ever_keeps_nobody_from_a_new_group(q):
    i = mine(q)
    q.park(ME, i, 1, 0, NOTE)
    q.r.hset(q.key["hosts"], "h9", '{"lease_ms":%s,"delivered":"%s"}' % ("9" * 30, i))
    q.r.xgroup_destroy(q.s, q.g)
    assert q.group() == 1 and q.pending() == {i: (PARKED, 1)}
    assert q.sweep(2000)[4:] == []


@pytest.mark.parametrize("count", ["99999999999999999999", "2", "-1", "inf", "nan", "1.5", "0x1", "", "1e3"])
def test_who_says_that_a_dead_letter_has_more_than_it_has_keeps_redis_from_nothing(q, count):
    """As xackctl reads it: an entry without any pairs about it."""
    letter = q.r.execute_command("XADD", q.key["dead"], "*", "xackd.meta", count, "xackd.id", "1-1").decode()
    assert q.call("dead_find", ["dead", "note"], "1-1", "-", 10)[0] == b""
    new = q.call("requeue", ["stream", "dead", "note"], letter)[1]
    assert q.fetch(ME)[0][1][0] == [new, [b"xackd.meta", count.encode(), b"xackd.id", b"1-1", b"xackd.requeued-from", letter.encode()]]
    letter = q.r.execute_command("XADD", q.key["dead"], "*", "xackd.meta", count, "xackd.id", "1-1").decode()
    assert q.call("purge", ["dead", "note"], letter) == 1 and q.r.xlen(q.key["dead"]) == 0


def test_take_deleted_payload_is_one_dead_letter(q):
    i = mine(q)
    q.release(ME, (i, 1))
    q.take(ME)
    q.park(ME, i, 2, 0, NOTE)
    delete(q, i)
    answer = q.take(ME)
    (dead_id, meta, pairs), = q.dead()
    assert answer[4] == [i.encode(), dead_id.encode()] and answer[5:] == []
    assert meta["xackd.reason"] == b"payload_gone" and meta["xackd.attempts"] == b"1" and meta["xackd.id"].decode() == i and pairs == []
    assert meta["xackd.host"] == b"h1"
    assert q.pending() == {} and q.due() == {} and note_of(q, i)["dead_id"] == dead_id and not q.r.hexists(q.key["given"], i)
    assert q.take(ME)[4] == [] and len(q.dead()) == 1


def test_take_wrong_type_of_a_hint_loses_nothing(q):
    i = mine(q)
    q.park(ME, i, 1, 0, NOTE)
    for name in ("given", "note"):
        kept = q.r.dump(q.key[name])
        q.r.delete(q.key[name])
        q.r.set(q.key[name], "x")
        with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
            q.take(OTHER)
        assert q.pending()[i] == (PARKED, 1) and i in q.due()
        q.r.delete(q.key[name])
        if kept:
            q.r.restore(q.key[name], 0, kept)


# ---- ack ----

def test_ack(q):
    i = mine(q)
    for name in ("given", "note"):
        q.r.hset(q.key[name], i, "1")
    q.r.zadd(q.key["due"], {i: 9e15})
    assert q.ack(ME, i, 1)[0] == 0
    assert q.pending() == {} and q.due() == {} and not q.r.exists(q.key["given"], q.key["note"])
    assert q.ack(ME, i, 1)[0] == 2


def test_ack_of_what_another_has_by_now(q):
    i = mine(q)
    q.r.xclaim(q.s, q.g, OTHER, 0, [i])
    assert q.ack(ME, i, 1)[:3] == [1, OTHER.encode(), 2] and q.pending() == {}
    i = mine(q)
    q.park(ME, i, 1, 60000, NOTE)
    assert q.ack(ME, i, 1)[:2] == [1, PARKED.encode()] and q.due() == {} and note_of(q, i) is None


def test_ack_counts_whatever_the_hints_are(q):
    i = mine(q)
    for name in ("due", "given", "note"):
        q.r.set(q.key[name], "x")
    assert q.ack(ME, i, 1)[0] == 0 and q.pending() == {}


def test_ack_with_a_result(q):
    i = mine(q)
    assert len(q.ack_with(ME, i, 1, b"a\0\xff", 60000)) == 7
    assert q.r.get(q.result(i)) == b"a\0\xff" and 59000 < q.r.pttl(q.result(i)) <= 60000 and q.pending() == {}
    assert q.ack_with(ME, i, 1, "again", 60000)[0] == 2 and q.r.get(q.result(i)) == b"a\0\xff", "the first success wins"
    i = mine(q)
    q.r.xclaim(q.s, q.g, OTHER, 0, [i])
    assert q.ack_with(ME, i, 1, "mine", 60000)[0] == 1 and q.r.get(q.result(i)) == b"mine"


# ---- keep ----

def test_keep(q):
    one, two, three, gone = mine(q), mine(q), mine(q), mine(q)
    q.r.xack(q.s, q.g, gone)
    assert q.keep((one, b"\xff\0\n", 60000), (two, None, 0), (gone, "x", 60000), (three, "", 5000)) == [1, 1, 0, 1]
    assert q.pending() == {}
    assert [q.r.get(q.result(i)) for i in (one, two, gone, three)] == [b"\xff\0\n", None, None, b""]
    assert 59000 < q.r.pttl(q.result(one)) <= 60000 and 4000 < q.r.pttl(q.result(three)) <= 5000
    assert q.keep((one, "again", 60000), (two, "again", 60000)) == [0, 0]
    assert q.r.get(q.result(one)) == b"\xff\0\n" and not q.r.exists(q.result(two))


def test_keep_acknowledges_whatever_becomes_of_the_result(q):
    one, two = mine(q), mine(q)
    q.r.rpush(q.result(one), "a list")
    assert q.keep((one, "x", 60000)) == [1] and q.r.get(q.result(one)) == b"x", "of a wrong type: it gives way"
    code, = q.keep((two, "x", "never"))
    assert b"ERR" in code and q.pending() == {} and not q.r.exists(q.result(two))
    i = mine(q)
    assert b"ERR" in q.ack_with(ME, i, 1, "x", "never")[7] and q.pending() == {}


@pytest.mark.parametrize("script", ["keep", "ack"])
def test_a_full_redis_takes_no_result(q, script):
    i = mine(q)
    full(q)
    told = q.keep((i, "x", 60000))[0] if script == "keep" else q.ack_with(ME, i, 1, "x", 60000)[7]
    assert b"OOM" in told and q.pending() == {} and not q.r.exists(q.result(i))


@pytest.mark.parametrize("script", ["keep", "ack"])
def test_no_result_without_its_acknowledgement(server, q, script):
    """Redis lets nobody acknowledge: what was written already goes again."""
    i = mine(q)
    server.client.execute_command("ACL", "SETUSER", "poor", "on", "nopass", "~*", "+@all", "-xack")
    poor = redis.Redis(unix_socket_path=server.socket, username="poor", password="x")
    try:
        other = Queue(poor, q.s, q.g)
        with pytest.raises(redis.exceptions.ResponseError, match="permission|can't run"):
            other.keep((i, "x", 60000)) if script == "keep" else other.ack_with(ME, i, 1, "x", 60000)
        assert i in q.pending()
        assert q.r.pttl(q.result(i)) <= 1 and q.r.get(q.result(i)) in (b"", None)
    finally:
        poor.close()
        server.client.execute_command("ACL", "DELUSER", "poor")


def test_keep_without_a_group_changes_nothing(q):
    i = mine(q)
    q.r.xgroup_destroy(q.s, q.g)
    with pytest.raises(redis.exceptions.ResponseError, match="NOGROUP"):
        q.keep((i, "x", 60000))
    assert not q.r.exists(q.result(i))


# ---- park, and release of one ----

def test_park(q):
    i = mine(q)
    before = q.now()
    code, _, _, due, _, _, now = q.park(ME, i, 1, 5000, NOTE)
    assert code == 0 and before + 5000 <= int(due) <= q.now() + 5000 and int(now) + 5000 == int(due)
    assert q.pending() == {i: (PARKED, 1)} and q.due() == {i: float(due)}
    note = note_of(q, i)
    assert note["reason"] == "exit" and note["delivery"] == 1 and note["at_ms"] == int(now) and note["attempt"] == 1
    assert q.park(ME, i, 1, 0, NOTE)[:3] == [1, PARKED.encode(), 1], "sent again: it is not mine any more"
    assert q.due() == {i: float(due)}
    q.r.xack(q.s, q.g, i)
    assert q.park(ME, i, 1)[0] == 2


def test_park_gives_back(q):
    i = mine(q)
    q.park(ME, i, 1, 0, NOTE)
    q.take(ME)
    assert q.park(ME, i, 2, 0, "", 1)[0] == 0
    answer = q.take(ME)
    assert answer[5][1:3] == [3, 1], "delivery 3, one given back: attempt 2"
    assert json.loads(answer[5][3])["reason"] == "exit", "the last failure stays"


def test_park_is_fenced_by_delivery(q):
    i = mine(q)
    q.park(ME, i, 1), q.take(ME)
    assert q.park(ME, i, 1)[:3] == [1, ME.encode(), 2] and q.pending()[i] == (ME, 2)


def test_park_deleted_changes_nothing(q):
    i = mine(q)
    delete(q, i)
    assert q.park(ME, i, 1, 0, NOTE)[0] == 3
    assert q.pending() == {i: (ME, 1)} and q.due() == {}


@pytest.mark.parametrize("name", ["due", "given", "note"])
def test_park_wrong_type_loses_nothing(q, name):
    i = mine(q)
    q.r.set(q.key[name], "x")
    with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
        q.park(ME, i, 1, 0, NOTE)
    assert q.pending() == {i: (ME, 1)}


def test_an_empty_note_is_an_object(q):
    i = mine(q)
    q.park(ME, i, 1, 0, "{}")
    assert set(note_of(q, i)) == {"at_ms", "delivery", "given"}


# ---- bury ----

META = ("xackd.job", "j", "xackd.reason", "exit", "xackd.detail", "exit 3", "xackd.attempts", "3", "xackd.exit", "3", "xackd.stderr", b"\xff\0bad",
        "xackd.host", "h1")


def test_bury_keeps_pairs_as_they_were(q):
    pairs = [b"f", b"1", b"f", b"2", b"", b"", b"\0\r\n", b"\xff\xfe", b"xackd.meta", b"9"]
    i = mine(q, *pairs)
    code, _, _, _, dead_id, dropped, now = q.bury(ME, i, 1, note=NOTE, meta=META)
    (found, meta, kept), = q.dead()
    assert (code, dropped, found) == (0, 0, dead_id.decode()) and kept == pairs
    assert list(meta) == ["xackd.id", "xackd.stream", "xackd.group", "xackd.job", "xackd.reason", "xackd.detail", "xackd.attempts", "xackd.exit",
                          "xackd.stderr", "xackd.host", "xackd.at"]
    assert meta["xackd.at"] == now and meta["xackd.stream"] == q.s.encode() and meta["xackd.stderr"] == b"\xff\0bad"
    assert q.pending() == {} and note_of(q, i)["dead_id"] == found
    assert q.bury(ME, i, 1, meta=META)[0] == 2 and len(q.dead()) == 1


def parts(i):
    ms, number = i.split("-")
    return int(ms), int(number)


def test_a_dead_letters_id_is_never_an_entrys(q):
    """Neither one that XADD's * makes in the same millisecond, whoever writes the letter and however many at once."""
    gone = [mine(q) for _ in range(100)]
    for i in gone:
        delete(q, i)
    assert q.release(ME, *[(i, 1) for i in gone[:40]]) == 40
    assert len(q.reap(ME)[4:]) == 60
    buried = [mine(q) for _ in range(20)]
    for i in buried:
        assert q.bury(ME, i, 1, meta=META)[0] == 0
    parked = mine(q)
    idle(q, parked, 0, PARKED), delete(q, parked), q.r.zadd(q.key["due"], {parked: 1})
    assert q.take(ME)[4][0].decode() == parked
    left = mine(q, me="x")
    idle(q, left, 5000, "x"), delete(q, left)
    assert q.sweep(1000)[4][5] == 2
    letters = [row[0] for row in q.dead()]
    assert len(letters) == 122 and all(parts(i)[1] >= 1000000 for i in letters) and letters == sorted(letters, key=parts)


def test_a_dead_letters_id_when_the_clock_was_set_back(q):
    ahead = q.now() + 3600000
    q.r.execute_command("XADD", q.key["dead"], "%d-1234567" % ahead, "xackd.meta", 1, "xackd.id", "1-1")
    i = mine(q)
    assert q.bury(ME, i, 1, meta=META)[4].decode() == "%d-1234568" % ahead and q.pending() == {}


@pytest.mark.parametrize("what", ["bury", "reap", "release", "sweep", "take"])
def test_a_dead_letter_that_cannot_be_written(q, what):
    """What Redis refuses is said as it is, and the entry stays pending."""
    i = mine(q, me=PARKED if what == "take" else ME)
    if what == "sweep":
        idle(q, i, 5000, ME)
    if what != "bury":
        delete(q, i)
    q.r.zadd(q.key["due"], {i: 1})
    q.r.set(q.key["dead"], "a text")
    call = {"bury": lambda: q.bury(ME, i, 1, meta=META), "reap": lambda: q.reap(ME), "release": lambda: q.release(ME, (i, 1)),
            "sweep": lambda: q.sweep(1000), "take": lambda: q.take(OTHER)}[what]
    with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
        call()
    assert i in q.pending() and note_of(q, i) is None
    q.r.delete(q.key["dead"])
    assert call() is not None and len(q.dead()) == 1


def test_bury_is_fenced(q):
    i = mine(q)
    assert q.bury(OTHER, i, 1)[:3] == [1, ME.encode(), 1]
    assert q.bury(ME, i, 2)[:3] == [1, ME.encode(), 1]
    assert q.dead() == [] and q.pending() == {i: (ME, 1)}


def test_bury_of_a_deleted_entry(q):
    i = mine(q)
    delete(q, i)
    assert q.bury(ME, i, 1, meta=META)[0] == 3 and q.dead() == [] and i in q.pending()
    assert q.bury(ME, i, 1, where="sent", meta=META, pairs=(b"a", b"\0"))[0] == 0
    assert q.dead()[0][2] == [b"a", b"\0"] and q.pending() == {}
    i = mine(q)
    delete(q, i)
    assert q.bury(ME, i, 1, where="none", meta=("xackd.reason", "payload_gone"))[0] == 0
    assert q.dead()[1][2] == []


def test_bury_packs_very_many_pairs(q):
    pairs = [b"%d" % n for n in range(2 * 3501)]
    i = mine(q, *pairs)
    assert q.bury(ME, i, 1, meta=META)[0] == 0
    kept = q.dead()[0][2]
    assert kept[0] == b"xackd.packed" and len(kept) == 2
    assert q.r.eval("return cmsgpack.unpack(ARGV[1])", 0, kept[1]) == pairs
    i = mine(q, *pairs[:7000])
    assert q.bury(ME, i, 1, meta=META)[0] == 0 and q.dead()[1][2] == pairs[:7000], "3,500 are not packed"
    for where in ("requeue",):
        first, second = (letter[0] for letter in q.dead())
        assert q.call(where, ["stream", "dead", "note"], first) == [3]
        assert q.call(where, ["stream", "dead", "note"], second)[0] == 0


def test_bury_cap(q):
    ids = [mine(q) for _ in range(4)]
    for i in ids[:3]:
        assert q.bury(ME, i, 1, note=NOTE)[5] == 0
    assert q.bury(ME, ids[3], 1, cap=2, note=NOTE)[5] == 2
    assert [meta["xackd.id"].decode() for _, meta, _ in q.dead()] == ids[2:]
    assert [note_of(q, i) is None for i in ids] == [True, True, False, False]


@pytest.mark.parametrize("name", ["due", "given", "note", "dead"])
def test_bury_wrong_type_loses_nothing(q, name):
    i = mine(q)
    q.r.set(q.key[name], "x")
    with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
        q.bury(ME, i, 1, note=NOTE, meta=META)
    assert q.pending() == {i: (ME, 1)}
    assert name == "dead" or not q.r.exists(q.key["dead"])


# ---- release of many ----

def test_release(q):
    ids = [mine(q) for _ in range(3)]
    stolen = mine(q, me=OTHER)
    delete(q, ids[2])
    assert q.release(ME, (ids[0], 1), (ids[1], 7), (ids[2], 1), (stolen, 1)) == 2
    assert q.pending() == {ids[0]: (PARKED, 1), ids[1]: (ME, 1), stolen: (OTHER, 1)}
    (_, meta, _), = q.dead()
    assert meta["xackd.id"].decode() == ids[2] and meta["xackd.attempts"] == b"0"
    assert q.release(ME, (ids[0], 1)) == 0
    answer = q.take(ME)
    assert answer[5][1:3] == [2, 1], "delivery 2, attempt 1"


# ---- renew ----

def test_renew(q):
    i = mine(q)
    idle(q, i, 5000, ME)
    assert q.renew(ME, i, 1)[:2] == [0, 0]
    assert q.r.xpending_range(q.s, q.g, i, i, 1)[0]["time_since_delivered"] < 1000
    assert q.pending()[i] == (ME, 1)
    assert q.renew(OTHER, i, 1)[0] == 1 and q.renew(ME, i, 2)[0] == 1 and q.pending()[i] == (ME, 1)
    q.r.xack(q.s, q.g, i)
    assert q.renew(ME, i, 1)[0] == 2


def test_renew_keeps_the_row_of_a_deleted_entry(q):
    i = mine(q)
    delete(q, i)
    assert q.renew(ME, i, 1, 60000)[:2] == [0, 1]
    assert i in q.pending() and q.due()[i] > q.now() + 50000
    assert q.sweep(0)[4:] == [], "its owner lives"
    assert q.take(OTHER)[3:] == [[], []]
    q.r.zadd(q.key["due"], {i: 1})
    assert q.sweep(0)[4][5] == 2 and len(q.dead()) == 1 and q.pending() == {}


# ---- all of the steps when memory is full ----

def test_settling_goes_on_when_memory_is_full(q):
    ids = [mine(q) for _ in range(7)]
    full(q)
    assert q.park(ME, ids[0], 1, 0, NOTE)[0] == 0
    assert q.take(ME)[5][0].decode() == ids[0]
    assert q.bury(ME, ids[0], 2, note=NOTE, meta=META)[0] == 0
    assert q.ack(ME, ids[1], 1)[0] == 0
    assert q.release(ME, (ids[2], 1)) == 1
    assert q.renew(ME, ids[3], 1)[0] == 0
    delete(q, ids[4])
    assert q.renew(ME, ids[4], 1)[:2] == [0, 1]
    assert len(q.sweep(0)[4:]) == 3
    assert len(q.reap(ME, all_ran=1)[4:]) == 1
    assert q.group() == 0
    q.r.xgroup_destroy(q.s, q.g)
    assert q.group() == 1
    assert host_take(q, "h1")[0] == 0
    assert q.gauges()["dead"] == 2


# ---- group ----

def test_group_start(server, q):
    add(q)
    for start, waiting in (("0", 1), ("$", 0)):
        other = Queue(server.client, q.s, "g" + start)
        assert other.group(start) == 1 and other.group(start) == 0
        assert other.gauges()["has_waiting"] == waiting
    empty = Queue(server.client, "{q}none", "g")
    assert empty.group() == 1 and empty.r.xlen(empty.s) == 0


def test_group_is_made_again_where_it_had_got_to(q):
    done, parked, given, running = (mine(q) for _ in range(4))
    q.ack(ME, done, 1)
    q.park(ME, parked, 1, 60000, NOTE), q.r.zadd(q.key["due"], {parked: 1})
    q.take(ME), q.park(ME, parked, 2, 60000, NOTE)
    q.release(ME, (given, 1), delay=60000)
    renew(q, "h1")
    new = add(q)
    q.r.xgroup_destroy(q.s, q.g)
    assert q.group() == 1
    assert q.pending() == {parked: (PARKED, 2), given: (PARKED, 1)}
    assert q.gauges()["oldest_waiting"] == new.encode()
    assert q.put_back(ME, running, 1) == 1 and q.put_back(ME, running, 1) == 0
    assert q.put_back(ME, new, 1) == 0, "it will be delivered"
    assert q.pending()[running] == (ME, 1)
    q.r.zadd(q.key["due"], {parked: 1, given: 2})
    answer = q.take(ME, 2)
    assert [(row[0].decode(), row[1] - row[2]) for row in answer[5:]] == [(parked, 3), (given, 1)], "attempts are what they were"


def test_what_was_taken_outlives_a_destroyed_group(q):
    """The answer of take was lost: the row that take leaves is the only trace. Its worker has a lease to claim it."""
    lost, known, newer = mine(q), mine(q), mine(q)
    for i in (lost, known):
        q.park(ME, i, 1, 0, NOTE)
    q.take(ME, 2)
    renew(q, "h1")
    q.r.xgroup_destroy(q.s, q.g)
    before = q.now()
    assert q.group() == 1
    assert q.pending() == {lost: (PARKED, 1), known: (PARKED, 1)}
    assert min(q.due().values()) >= before + 1000 and max(q.due().values()) < TAKEN
    assert q.put_back(ME, known, 2, newer, 1) == 2, "the one is claimed, the other was never parked"
    assert q.pending() == {lost: (PARKED, 1), known: (ME, 2), newer: (ME, 1)} and q.due()[known] == q.due()[newer] == TAKEN
    q.r.zadd(q.key["due"], {lost: 1})
    assert [(row[0].decode(), row[1]) for row in q.take(OTHER, 9)[5:]] == [(lost, 2)]
    assert q.put_back(ME, lost, 2) == 0 and q.put_back("h1/p/9/0000000000000009", lost, 2) == 0, "another has it"
    for i, me in ((lost, OTHER), (known, ME)):
        q.ack(me, i, 2)
    q.ack(ME, newer, 1)
    assert q.due() == {} and q.pending() == {}


def test_put_back_where_the_name_is_known_already(q):
    """The reaper put one back, so the worker's name is there; the worker knows that, and brings the rest."""
    first, second, done = mine(q), mine(q), mine(q)
    renew(q, "h1")
    q.r.xgroup_destroy(q.s, q.g)
    q.group()
    assert q.put_back(ME, first, 1) == 1
    q.ack(ME, done, 1)
    assert q.put_back(ME, first, 1, second, 1) == 0, "not pending, and the name is there: acknowledged"
    assert q.put_back(ME, first, 1, second, 1, another_group=1) == 1
    assert q.pending() == {first: (ME, 1), second: (ME, 1)}


def test_group_attempts_after_given_back_notes(q):
    """delivery 1 failed (attempt 1), 2 and 3 given back, one of them with a note of its own."""
    i = mine(q)
    q.park(ME, i, 1, 0, NOTE), q.take(ME)
    q.park(ME, i, 2, 0, '{"reason":"spawn","attempt":2}', 1), q.take(ME)
    q.park(ME, i, 3, 0, "", 1)
    renew(q, "h1")
    q.r.xgroup_destroy(q.s, q.g)
    assert q.group() == 1
    _, delivery, given, _, _ = q.take(ME)[5]
    assert (delivery, given) == (4, 2), "attempt 2, and no delivery number twice"


def test_group_begins_where_its_maker_knows_better(q):
    first, second = mine(q), mine(q)
    renew(q, "h1")
    third, new = mine(q), add(q)
    for known in ("", first, third):
        q.r.xgroup_destroy(q.s, q.g)
        assert q.group("0", known) == 1
        assert q.gauges()["oldest_waiting"].decode() == (new if known == third else third), "the higher of both counts"
    assert second < third


def test_group_of_a_new_stream_begins_at_0(q):
    for _ in range(3):
        mine(q)
    renew(q, "h1")
    q.r.delete(q.s)
    i = add(q, id="5-1")
    assert q.group("$") == 1
    assert q.fetch(ME)[0][1][0][0].decode() == i


def test_group_forgets_given_beyond_its_start(q):
    i = mine(q)
    q.release(ME, (i, 1))
    q.r.delete(q.key["hosts"])
    q.r.xgroup_destroy(q.s, q.g)
    assert q.group("0") == 1 and q.due() == {} and not q.r.exists(q.key["given"])
    assert q.fetch(ME)[0][1][0][0].decode() == i


def test_group_says_wrong_type(q):
    q.r.delete(q.s)
    q.r.set(q.s, "x")
    with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
        q.group()


# ---- hosts ----

def row(lease=1000, **more):
    return {"boot": "b", "machine": "m", "pid_ns": 4026531836, "pid": 7, "started": 123456, "version": "1", "workers": 2, "lease_ms": lease, **more}


def identity(r):
    return [str(r[k]) for k in ("boot", "machine", "pid_ns", "pid", "started")]


def host_take(q, name, r=None, force=0):
    r = r or row()
    return q.call("host_take", ["hosts"], name, json.dumps(r, separators=(",", ":")), *identity(r), force)


def renew(q, name, r=None):
    r = r or row()
    return q.call("host_renew", ["hosts", "stream"], name, json.dumps(r, separators=(",", ":")), *identity(r), q.g, r["lease_ms"])


def leave(q, name, r=None):
    return q.call("host_leave", ["hosts"], name, *identity(r or row()))


def host_row(q, name):
    raw = q.r.hget(q.key["hosts"], name)
    return json.loads(raw) if raw else None


def set_seen(q, name, ms_ago):
    r = host_row(q, name)
    r["seen_ms"] = q.now() - ms_ago
    q.r.hset(q.key["hosts"], name, json.dumps(r, separators=(",", ":")))


def test_host_name(q):
    other = row(pid=8)
    assert host_take(q, "h1") == [0] and host_take(q, "h1") == [0], "mine stays mine"
    answer = host_take(q, "h1", other)
    assert answer[:8] == [1, b"b", b"m", b"4026531836", b"7", b"123456", b"1000", b"1"] and int(answer[8]) < 1000
    assert leave(q, "h1", other) == 0 and host_take(q, "h1", other, 1) == [0], "by force"
    assert host_row(q, "h1")["pid"] == 8
    assert renew(q, "h1")[0] == 1 and host_row(q, "h1")["pid"] == 8, "a lost name is left alone"
    set_seen(q, "h1", 1500)
    assert host_take(q, "h1") == [0], "expired"
    assert leave(q, "h1") == 1 and leave(q, "h1") == 0 and host_row(q, "h1") is None
    assert renew(q, "h1")[0] == 2 and host_row(q, "h1")["pid"] == 7
    q.r.hset(q.key["hosts"], "h1", "no json")
    assert host_take(q, "h1") == [0]


def test_host_renew_counts(q):
    host_take(q, "h1"), host_take(q, "h2", row(5000)), host_take(q, "h3", row(9000))
    i = mine(q)
    set_seen(q, "h3", 20000)
    code, longest, others, _ = renew(q, "h1")
    assert (code, longest, others) == (0, 5000, 1)
    assert host_row(q, "h1")["delivered"] == i and host_row(q, "h3") is None, "long gone and holds nothing"
    host_take(q, "h3", row(9000)), set_seen(q, "h3", 20000)
    mine(q, me="h3/default/0/00112233445566cc")
    assert renew(q, "h1")[1:3] == [9000, 1] and host_row(q, "h3") is not None, "its consumers still hold entries"
    q.r.xgroup_destroy(q.s, q.g)
    last = host_row(q, "h1")["delivered"]
    renew(q, "h1")
    assert host_row(q, "h1")["delivered"] == last, "kept while the group is gone"


# ---- reap ----

def test_reap(q):
    ran, held, deleted = mine(q), mine(q), mine(q)
    delete(q, deleted)
    late, more, cursor, _, *rows = q.reap(ME, [(ran, 1)])
    assert (late, more, cursor) == (0, 0, b"-")
    assert [(r[0].decode(), r[1].decode(), r[3], r[4], r[5]) for r in rows] == [(ran, ME, 1, 1, 0), (held, ME, 1, 1, 1), (deleted, ME, 1, 1, 2)]
    assert q.pending() == {ran: (PARKED, 1), held: (PARKED, 1)} and set(q.due()) == {ran, held}
    note = note_of(q, ran)
    assert (note["reason"], note["attempt"], note["host"], note["delivery"]) == ("worker_lost", 1, "h1", 1) and ME in note["detail"]
    assert note_of(q, held) is None
    (dead_id, meta, _), = q.dead()
    assert meta["xackd.attempts"] == b"0" and rows[2][6].decode() == dead_id, "the deleted one was not run"
    assert ME not in [c["name"].decode() for c in q.r.xinfo_consumers(q.s, q.g)]
    assert sorted((r[0].decode(), r[1] - r[2]) for r in q.take(OTHER, 9)[5:]) == sorted([(ran, 2), (held, 1)])


def test_reap_all_ran_in_steps(q):
    ids = [mine(q) for _ in range(3)]
    assert q.reap(ME, all_ran=1, rows=2)[1] == 1 and len(q.pending()) == 3
    assert ME in [c["name"].decode() for c in q.r.xinfo_consumers(q.s, q.g)]
    assert q.reap(ME, all_ran=1, rows=2)[1] == 0
    assert all(note_of(q, i)["reason"] == "worker_lost" for i in ids)
    assert q.reap("nobody")[4:] == []


def test_reap_other_delivery_did_not_run(q):
    i = mine(q)
    assert q.reap(ME, [(i, 3)])[4][5] == 1
    i = mine(q)
    assert q.reap(ME, [(i, 0)])[4][5] == 0, "0 stands for any"


# ---- sweep ----

def test_sweep_takes_what_is_silent(q):
    silent, fresh, parked, foreign = mine(q), mine(q), mine(q), mine(q, me="somebody")
    idle(q, silent, 5000, ME), idle(q, foreign, 5000, "somebody")
    q.park(ME, parked, 1, 60000, NOTE), idle(q, parked, 5000, PARKED)
    late, more, cursor, now, *rows = q.sweep(2000, foreign=0)
    assert (late, more, cursor) == (0, 0, b"-") and [r[0].decode() for r in rows] == [silent]
    assert rows[0][1].decode() == ME and rows[0][2] >= 5000 and rows[0][3:6] == [1, 1, 0]
    assert note_of(q, silent)["reason"] == "worker_lost" and note_of(q, silent)["attempt"] == 1
    assert q.due()[silent] <= q.now() and q.due()[parked] > q.now()
    assert q.pending() == {silent: (PARKED, 1), fresh: (ME, 1), parked: (PARKED, 1), foreign: ("somebody", 1)}
    assert [r[0].decode() for r in q.sweep(2000, foreign=1)[4:]] == [foreign]


def test_sweep_guard(q):
    i = mine(q)
    idle(q, i, 5000, ME)
    assert q.sweep(2000, expected=q.now() - 600)[0] == 1 and q.sweep(2000, expected=q.now() + 600)[0] == 1
    assert q.pending() == {i: (ME, 1)} and q.due() == {}
    assert q.sweep(2000, expected=q.now())[0] == 0 and q.pending()[i][0] == PARKED


def test_sweep_respects_the_longest_lease(q):
    i = mine(q)
    idle(q, i, 5000, ME)
    host_take(q, "h9", row(60000))
    assert q.sweep(2000)[4:] == [] and q.pending() == {i: (ME, 1)}


def test_sweep_goes_on_from_its_cursor(q):
    ids = [mine(q) for _ in range(5)]
    for i in ids:
        idle(q, i, 5000, ME)
    cursor, found = "-", []
    for _ in range(3):
        _, more, cursor, _, *rows = q.sweep(2000, cursor=cursor, rows=2)
        found += [r[0].decode() for r in rows]
    assert found == ids and cursor == b"-" and more == 0


def test_sweep_of_one_consumer(q):
    a, b = mine(q), mine(q, me=OTHER)
    idle(q, a, 5000, ME), idle(q, b, 5000, OTHER)
    assert [r[0].decode() for r in q.sweep(2000, consumer=OTHER)[4:]] == [b] and q.pending()[a] == (ME, 1)


def test_sweep_of_a_deleted_entry_is_one_dead_letter(q):
    i = mine(q)
    delete(q, i)
    hour_ms = 3600 * 1000
    assert q.sweep(hour_ms)[4:] == []
    wait_until(lambda: q.r.xpending_range(q.s, q.g, i, i, 1)[0]["time_since_delivered"] > 20)
    assert q.sweep(20)[4][5] == 2 and q.sweep(20)[4:] == []
    (_, meta, pairs), = q.dead()
    assert meta["xackd.reason"] == b"payload_gone" and meta["xackd.attempts"] == b"1" and pairs == [] and q.pending() == {}


def test_names_of_consumers_forge_no_note(q):
    bad = 'x","reason":"forged\n\xff'
    i = mine(q, me=bad)
    idle(q, i, 5000, bad)
    q.sweep(2000)
    assert note_of(q, i)["reason"] == "worker_lost"


# ---- figures and housekeeping ----

def test_gauges_of_what_does_not_move(q):
    q.group()
    a, b, c = add(q, "a", "1"), add(q, "a", "2"), add(q, "a", "3")
    assert q.r.xreadgroup(q.g, "python-1", {q.s: ">"}, count=1)
    assert q.r.xreadgroup(q.g, ME, {q.s: ">"}, count=2)
    assert q.gauges()["foreign"] == 1 and q.gauges()["suspended"] == 0
    q.r.hset(q.key["note"], b, '{"reason":"spawn"}')
    q.r.zadd(q.key["due"], {b: 1, c: 2})
    assert q.gauges()["suspended"] == 1 and q.gauges()["due_now"] == 2
    assert a


def test_gauges(q):
    g = q.gauges()
    assert (g["exists"], g["length"], g["waiting"], g["has_waiting"], g["pending"], g["next_due"]) == (1, 0, 0, 0, 0, -1)
    a, b, c = mine(q), mine(q), mine(q)
    d, e = add(q), add(q)
    q.park(ME, a, 1, 60000), q.bury(ME, b, 1)
    q.r.set(q.key["paused"], 1), q.r.zadd(q.later, {"x": 1})
    g = q.gauges()
    assert (g["length"], g["waiting"], g["has_waiting"], g["pending"], g["parked"], g["due_count"], g["later"], g["dead"], g["paused"]) == \
        (5, 2, 1, 2, 1, 1, 1, 1, 1)
    assert 50000 < g["next_due"] <= 60000
    assert (g["oldest_waiting"].decode(), g["oldest_pending"].decode(), g["last_delivered"].decode()) == (d, c, c)
    delete(q, d)
    assert q.gauges()["waiting"] in (1, 2, -1) and q.gauges()["oldest_waiting"].decode() == e
    q.r.xgroup_destroy(q.s, q.g)
    g = q.gauges()
    assert (g["exists"], g["length"], g["waiting"], g["due_count"]) == (0, 4, -1, 1)
    q.r.delete(q.s)
    assert q.gauges()["exists"] == 0


def test_rebuild_due(q):
    ids = [mine(q) for _ in range(3)]
    for i in ids:
        q.park(ME, i, 1, 60000)
    q.r.zrem(q.key["due"], *ids[:2])
    call = lambda cursor: q.call("rebuild_due", ["stream", "due"], q.g, cursor, 2, PARKED)
    cursor, added, _ = call("-")
    assert added == 2 and cursor.decode() == ids[1]
    cursor, added, _ = call(cursor)
    assert added == 0 and cursor == b"-"
    due = q.due()
    assert due[ids[0]] <= q.now() and due[ids[2]] > q.now()


def test_due_suspended(q):
    ids = [mine(q) for _ in range(4)]
    q.park(ME, ids[0], 1, 15000, '{"reason":"spawn"}', 1)
    q.park(ME, ids[1], 1, 15000, NOTE)
    q.park(ME, ids[2], 1, 15000)
    q.park(ME, ids[3], 1, 60000, '{"reason":"spawn"}', 1)
    call = lambda: q.call("due_suspended", ["due", "note"], 20000, 1000)[:2]
    assert call() == [1, 0] and call() == [0, 0]
    assert [i for i in ids if q.due()[i] <= q.now()] == [ids[0]]


@pytest.mark.parametrize("name", ["given", "note"])
def test_janitor(q, name):
    pending, dead, done = mine(q), mine(q), mine(q)
    q.park(ME, pending, 1, 60000, NOTE)
    q.bury(ME, dead, 1, note=NOTE)
    q.r.xack(q.s, q.g, done)
    for i in (pending, done, "rubbish"):
        q.r.hset(q.key[name], i, q.r.hget(q.key[name], i) or '{"dead_id":"1-1"}')
    call = lambda: q.call("janitor", ["stream", "dead", name, "due"], q.g, "0", 100)
    assert call() == [b"0", 2]
    q.r.zadd(q.key["due"], {done: TAKEN})
    assert call() == [b"0", 1] and list(q.due()) == [pending], "it was taken, and acknowledged by somebody else"
    assert sorted(k.decode() for k in q.r.hkeys(q.key[name])) == sorted([pending] + ([dead] if name == "note" else []))
    q.call("purge", ["dead", "note"], q.dead()[0][0])
    assert note_of(q, dead) is None, "purge takes the note along"
    q.r.xgroup_destroy(q.s, q.g)
    with pytest.raises(redis.exceptions.ResponseError, match="NOGROUP"):
        call()


def test_delete_consumer(q):
    i = mine(q)
    call = lambda name, ms: q.call("delete_consumer", ["stream"], q.g, name, ms)
    assert call(ME, 0) == -1 and call("nobody", 0) == 0
    q.ack(ME, i, 1)
    assert call(ME, 3600000) == -1 and call(ME, 0) == 1 and call(ME, 0) == 0


# ---- the desk ----

EXPLAIN = "pending consumer idle delivery given due note dead_id in_stream later paused last_delivered ever now pairs entry_id".split()


def explain(q, i):
    return dict(zip(EXPLAIN, q.call("explain", ["stream", "due", "given", "note", "dead", "paused", "later", "later:data", "promoted"], q.g, i)))


def test_explain(q):
    i = mine(q, "a", "1", "a", "2")
    e = explain(q, i)
    assert (e["pending"], e["consumer"], e["delivery"], e["in_stream"], e["pairs"], e["due"]) == (1, ME.encode(), 1, 1, [b"a", b"1", b"a", b"2"], b"")
    due = q.park(ME, i, 1, 60000, NOTE, 1)[3]
    e = explain(q, i)
    assert (e["consumer"], e["due"], e["given"], json.loads(e["note"])["reason"]) == (PARKED.encode(), due, 1, "exit")
    assert q.due() == {i: float(due)}, "asking changes nothing"
    assert q.call("retry", ["stream", "due"], q.g, i, PARKED) == 1
    q.take(ME), q.bury(ME, i, 2, note=NOTE)
    e = explain(q, i)
    assert e["pending"] == 0 and e["dead_id"].decode() == q.dead()[0][0] and e["in_stream"] == 1
    assert q.call("retry", ["stream", "due"], q.g, i, PARKED) == 0
    waiting = add(q)
    e = explain(q, waiting)
    assert (e["pending"], e["in_stream"], e["last_delivered"].decode()) == (0, 1, i)
    assert explain(q, "99999999999999-0")["ever"] == 0
    between = "%d-0" % (int(i.split("-")[0]) - 1)
    assert explain(q, between)["ever"] == 0, "before the first entry, and nothing was ever removed"
    ms = i.split("-")[0]
    assert explain(q, ms + "-77")["ever"] == 0, "among entries that were never deleted"
    delete(q, waiting)
    assert explain(q, waiting)["ever"] == 1


def test_requeue(q):
    pairs = [b"f", b"1", b"f", b"\xff\0", b"xackd.id", b"mine"]
    i = mine(q, *pairs)
    q.bury(ME, i, 1, note=NOTE, meta=META)
    dead_id = q.dead()[0][0]
    call = lambda d=dead_id: q.call("requeue", ["stream", "dead", "note"], d)
    full(q)
    with pytest.raises(redis.exceptions.ResponseError, match="OOM|maxmemory"):
        call()
    q.r.config_set("maxmemory", 0)
    assert len(q.dead()) == 1
    code, new = call()
    assert code == 0 and q.dead() == [] and note_of(q, i) is None
    assert q.fetch(ME) == [[q.s.encode(), [[new, pairs + [b"xackd.requeued-from", dead_id.encode()]]]]]
    assert call() == [1]
    i = mine(q)
    delete(q, i)
    q.bury(ME, i, 1, where="none")
    assert call(q.dead()[0][0]) == [2] and len(q.dead()) == 1


def test_purge(q):
    i = mine(q)
    q.bury(ME, i, 1, note=NOTE)
    call = lambda d: q.call("purge", ["dead", "note"], d)
    assert call("1-1") == 0 and call(q.dead()[0][0]) == 1 and q.dead() == [] and note_of(q, i) is None


def test_dead_find(q):
    ids = [mine(q) for _ in range(5)]
    for i in ids:
        q.bury(ME, i, 1, note=NOTE)
    call = lambda i, start="-", n=2: q.call("dead_find", ["dead", "note"], i, start, n)
    letters = [letter[0].encode() for letter in q.dead()]
    assert call(ids[3]) == [letters[3], b""]
    q.r.delete(q.key["note"])
    found, start = call(ids[3])
    assert found == b"" and start == b"(" + letters[1]
    assert call(ids[3], start) == [letters[3], b""]
    assert call("7-7", "", 2) == [b"", b""] and call("7-7", "-", 9) == [b"", b""]


def test_parked_page(q):
    ids = [mine(q) for _ in range(3)]
    for i, delay in zip(ids, (3000, 2000, 1000)):
        q.park(ME, i, 1, delay, NOTE, 1)
    call = lambda *a: q.call("parked", ["stream", "due", "given", "note"], q.g, *a)[1:]  # noqa: E731
    more, *rows = call(1, 2, 0)
    assert [(r[0].decode(), r[2], r[3], r[5]) for r in rows] == [(ids[1], 1, 1, []), (ids[0], 1, 1, [])]
    assert more == 1 and call(3, 2, 0) == [0] and call(2, 2, 0)[0] == 0 and call(0, 9, 1)[1][5] == [b"f", b"v"]
    taken, = [row[0].decode() for row in q.take(OTHER)[5:]] if q.r.zadd(q.key["due"], {ids[2]: 1}) == 0 else []
    assert taken == ids[2] and [r[0].decode() for r in call(0, 9, 0)[1:]] == [ids[1], ids[0]], "what was taken is not parked"
    large = mine(q, "f", "x" * 70000)
    q.park(ME, large, 1, 1500, NOTE, 1)
    more, row = call(0, 9, 1)
    assert more == 1 and row[0].decode() == large, "a page of large ones is short"
    assert [r[0].decode() for r in call(1, 9, 1)[1:]] == [ids[1], ids[0]]
    assert int(rows[0][1]) == q.due()[ids[1]] and json.loads(rows[0][4])["reason"] == "exit"


def test_pause(q):
    call = lambda on: q.call("pause", ["paused"], on)
    assert [call(1), call(1), q.r.exists(q.key["paused"]), call(0), call(0), q.r.exists(q.key["paused"])] == [1, 0, 1, 1, 0, 0]


# ---- cancel_waiting ----

def test_cancel_waiting(q):
    call = lambda i: q.call("cancel_waiting", ["stream", "note", "dead"], q.g, i, 2, "xackd.reason", "cancelled", "xackd.attempts", 0)  # noqa: E731
    i, other = add(q, "a", b"\xff", "a", "2"), add(q, "b", "1")
    full(q)
    with pytest.raises(redis.exceptions.ResponseError, match="OOM|maxmemory"):
        call(i)
    q.r.config_set("maxmemory", 0)
    assert q.r.xlen(q.s) == 2 and q.dead() == []
    code, dead_id = call(i)
    (found, meta, pairs), = q.dead()
    assert code == 0 and found == dead_id.decode() and pairs == [b"a", b"\xff", b"a", b"2"] and parts(found)[1] >= 1000000
    assert (meta["xackd.id"].decode(), meta["xackd.reason"], meta["xackd.group"].decode()) == (i, b"cancelled", q.g)
    assert note_of(q, i)["dead_id"] == found and q.fetch(ME)[0][1][0][0].decode() == other
    assert call(i) == [1, b""] and call(other) == [1, b""] and call("9-9") == [1, b""], "gone, delivered, never there"
    held = add(q)
    q.r.xgroup_create(q.s, "slow", id=other)
    assert call(held) == [2, b"slow"]
    q.r.xreadgroup("slow", "x", {q.s: ">"})
    assert call(held) == [2, b"slow"] and q.r.xlen(q.s) == 2 and len(q.dead()) == 1
    q.r.xack(q.s, "slow", held)
    assert call(held)[0] == 0


def test_cancel_waiting_of_many_pairs(q):
    flat = [x for n in range(4000) for x in ("f%d" % n, n)]
    i = add(q, *flat)
    assert q.call("cancel_waiting", ["stream", "note", "dead"], q.g, i, 1, "xackd.reason", "cancelled")[0] == 0
    assert q.dead()[0][2][0] == b"xackd.packed" and q.r.xlen(q.s) == 0


# ---- schedules ----

def cron_fire(q, last, slot, late=-1, name="tick"):
    answer = q.call("cron_fire", ["stream", "cron"], name, last, slot, late, "a", b"\xff", "xackd.slot", slot)
    return answer[0], int(answer[1]), answer[3].decode()


def cron_see(q, rule="r", name="tick"):
    last, now = (int(word) for word in q.call("cron_see", ["cron"], name, rule))
    return last, now


def test_cron_see(q):
    begin = q.now()
    last, now = cron_see(q)
    assert begin <= last == now <= q.now(), "what is new begins now"
    q.r.hset(q.cron, "tick", 1000)
    assert cron_see(q)[0] == 1000 and q.r.hget(q.cron, "tick/rule") == b"r"
    assert cron_see(q, "other")[0] >= now, "so does what was changed"
    assert cron_see(q, "r", "tock")[0] >= now and cron_see(q, "other")[0] < q.now() + 1
    ahead = q.now() + 1000000
    q.r.hset(q.cron, "tick", ahead)
    assert cron_see(q, "other")[0] == ahead, "slots ahead: a clock was set back a little, and they are not fired again"
    assert cron_see(q, "third")[0] == ahead
    q.r.hset(q.cron, "tick", q.now() + 90000000)
    assert cron_see(q, "third")[0] <= q.now(), "days ahead: that was no clock"
    for odd in ("", "x", "nan", "-1", "9" * 16, "1e3"):
        q.r.hset(q.cron, mapping={"tick": odd, "tick/rule": "third"})
        assert now <= cron_see(q, "third")[0] <= q.now()
    full(q)
    with pytest.raises(redis.exceptions.ResponseError, match="OOM|maxmemory"):
        cron_see(q, "fourth")
    q.r.config_set("maxmemory", 0)
    q.r.set(q.cron, "x")
    with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
        cron_see(q)


def test_cron_fire(q):
    last, _ = cron_see(q)
    slot = last - 5
    code, gone_to, i = cron_fire(q, last, slot)
    assert (code, gone_to) == (0, slot) and q.r.hget(q.cron, "tick") == str(slot).encode()
    assert q.r.xrange(q.s) == [(i.encode(), {b"a": b"\xff", b"xackd.slot": str(slot).encode()})]
    assert cron_fire(q, last, slot) == (1, slot, ""), "sent again, or by another host"
    assert cron_fire(q, last, slot + 1)[0] == 1, "only who knows the last one"
    assert cron_fire(q, slot, q.now() + 60000) == (2, slot, ""), "by Redis's clock"
    assert cron_fire(q, slot, slot + 2, 60000)[0] == 0 and q.r.xlen(q.s) == 2
    late = q.now() - 61000
    assert cron_fire(q, slot + 2, late, 60000) == (3, late, "") and q.r.xlen(q.s) == 2
    assert cron_fire(q, late, late + 1, 60000)[0] == 3 and cron_fire(q, late + 1, late + 2)[0] == 0
    assert cron_fire(q, 1, 2, name="tock")[0] == 0, "no row stands in nobody's way"
    for odd in ("nan", "9" * 16, "x"):
        q.r.hset(q.cron, "tock", odd)
        assert cron_fire(q, 1, 3, name="tock")[0] == 0
    assert cron_fire(q, 1, 4, name="tock") == (1, 3, "")
    assert q.r.xlen(q.s) == 7


def test_cron_fire_is_refused_whole(q):
    full(q)
    with pytest.raises(redis.exceptions.ResponseError, match="OOM|maxmemory"):
        cron_fire(q, 1, 2)
    q.r.config_set("maxmemory", 0)
    assert q.r.xlen(q.s) == 0 and not q.r.exists(q.cron)
    q.r.set(q.cron, "x")
    with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
        cron_fire(q, 1, 2)
    assert q.r.xlen(q.s) == 0
    q.r.delete(q.cron)
    q.r.delete(q.s)
    q.r.set(q.s, "x")
    with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
        cron_fire(q, 1, 2)
    assert not q.r.exists(q.cron)
