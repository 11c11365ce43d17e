"""The scripts of `replay` against a real Redis: what is done is pending again once, and no number is seen twice."""
import time

import pytest
import redis

from redis_private import PARKED, Queue
from test_scripts import NOTE, add, full, mine

ME, OTHER = "h1/default/0/00112233445566aa", "h2/default/0/00112233445566bb"
LIFE = 1 << 50  # a delivery number above this is none of a first life


def done(q, n):
    ids = [mine(q, "n", str(k)) for k in range(n)]
    q.r.xack(q.s, q.g, *ids)
    return ids


def test_look_tells_what_is_what(q):
    acknowledged = done(q, 2)
    runs, parked, dead, purged = (mine(q) for _ in range(4))
    q.park(ME, parked, 1, 60000, NOTE)
    for i in (dead, purged):
        assert q.bury(ME, i, 1, note=NOTE, meta=["xackd.reason", "exit"])[0] == 0
    q.r.xdel(q.key["dead"], q.dead()[1][0])
    waits = add(q)
    last, states, _ = q.replay_look()
    assert last == waits
    assert states == {acknowledged[0]: 0, acknowledged[1]: 0, runs: 1, parked: 1, dead: 2, purged: 0, waits: 3}
    assert q.replay_look("(" + acknowledged[0], runs, 1)[1] == {acknowledged[1]: 0}
    assert q.replay_look(acknowledged[1], with_pairs=1)[2][acknowledged[1]] == [b"n", b"1"]
    assert q.replay_look("(" + waits) == ("", {}, {})


def test_look_reads_no_more_than_a_megabyte_or_so(q):
    for _ in range(40):
        mine(q, "f", "x" * 200000)
    assert len(q.replay_look()[1]) <= 10


def test_step_puts_back_what_is_done(q):
    a, b = done(q, 2)
    runs, parked = mine(q), mine(q)
    q.park(ME, parked, 1, 60000, NOTE)
    waits = add(q)
    before = q.now()
    assert q.replay_begin()[0] == 0
    assert q.replay_step("0-0", "(" + b, a, b, runs, parked, waits, "1-1") == [0, 2, 2, 3]
    pending = q.pending()
    assert {i: owner for i, (owner, _) in pending.items()} == {a: PARKED, b: PARKED, runs: ME, parked: PARKED}
    assert pending[runs][1] == 1 and pending[parked][1] == 1 and pending[a][1] > LIFE and pending[a][1] % 1024 == 0
    assert before <= q.due()[a] <= q.now(), "due now"
    taken = {}
    while row := q.take(OTHER)[5:]:
        taken[row[0][0].decode()] = row[0]
    assert set(taken) == {a, b}
    i, delivery, given, note, pairs = taken[a]
    assert (delivery - given, note, pairs) == (1, b"", [b"n", b"0"]), "the first attempt of another life"
    assert q.ack(OTHER, a, delivery)[0] == 0 and not q.r.hexists(q.key["given"], a) and a not in q.due()


def test_numbers_only_grow(q):
    """(ID, delivery) is never seen twice, over lives, failures and deliveries that were given back."""
    i, seen = done(q, 1)[0], [1]
    for life in range(5):
        q.replay_begin(token=str(life))
        assert q.replay_step("0-0", "0-0", i, token=str(life), end=1)[1] == 1
        for attempt in range(3):
            _, delivery, given, _, _ = q.take(ME)[5]
            assert delivery - given == (1, 2, 2)[attempt]
            seen.append(delivery)
            if attempt == 0:
                assert q.park(ME, i, delivery, 0, NOTE)[0] == 0
            elif attempt == 1:
                assert q.release(ME, (i, delivery)) == 1
            else:
                assert q.ack(ME, i, delivery)[0] == 0
        time.sleep(0.002)  # lives are that much apart: an entry has to run between them
    assert seen == sorted(set(seen))


def test_a_late_success_of_the_life_before_changes_nothing(q):
    """Its acknowledgement was sent again and comes when the entry is replayed already."""
    i = done(q, 1)[0]
    q.replay_begin()
    q.replay_step("0-0", "0-0", i, end=1)
    assert q.ack(ME, i, 1)[0] == 2 and q.pending()[i][0] == PARKED
    delivery = q.take(OTHER)[5][1]
    assert q.ack(ME, i, 1)[0] == 2
    assert q.ack(ME, i, delivery)[0] == 1, "of this life the first success wins, whoever's it is"


def test_how_far_it_got(q):
    a, b, c = done(q, 3)
    assert q.replay_begin("this", first=a)[:5] == [0, b"t1", a.encode(), c.encode(), 0]
    assert q.replay_step(a, "(" + a, a)[:3] == [0, 1, 1]
    assert q.replay_step(a, "(" + a, a) == [1], "sent again: it was done"
    assert q.replay_begin("this", first=a, token="t2")[:5] == [0, b"t1", b"(" + a.encode(), c.encode(), 1], "gone on with"
    assert q.replay_begin("that", token="t3")[:5] == [1, b"this", b"(" + a.encode(), c.encode(), 1]
    later = done(q, 1)[0]
    assert q.replay_step("(" + a, "(" + a, b, c, end=1)[:3] == [0, 2, 3]
    assert q.r.exists(q.key["replay"]) == 0, "finished, and nothing is left"
    assert q.replay_step("(" + a, "(" + b, b) == [1]
    assert q.replay_begin("that", first="0-0", last=later, token="t3")[3] == later.encode()
    assert q.replay_begin("other", last="99999999999999-0", token="t4", anew=1)[:4] == [0, b"t4", b"0-0", later.encode()], "no further than was delivered"
    assert q.replay_step("0-0", "0-0", a, token="t3") == [1]


def test_no_group(q):
    done(q, 1)
    q.r.xgroup_destroy(q.s, q.g)
    with pytest.raises(redis.exceptions.ResponseError, match="NOGROUP"):
        q.replay_begin()
    with pytest.raises(redis.exceptions.ResponseError, match="no such key|NOGROUP"):
        Queue(q.r, "{q}nothing").replay_begin()


def test_full_memory_changes_nothing(q):
    a, b = done(q, 2)
    q.replay_begin()
    full(q)
    with pytest.raises(redis.exceptions.ResponseError, match="OOM"):
        q.replay_step("0-0", "(" + a, a)
    q.r.config_set("maxmemory", 0)
    assert q.pending() == {} and q.due() == {} and q.replay_step("0-0", "(" + a, a)[1] == 1


@pytest.mark.parametrize("key", ["due", "given", "note"])
def test_a_key_of_another_type_changes_nothing(q, key):
    a = done(q, 1)[0]
    q.replay_begin()
    q.r.rpush(q.key[key], "x")
    with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
        q.replay_step("0-0", "(" + a, a)
    assert q.pending() == {} and q.r.hget(q.key["replay"], "cursor") == b"0-0"


def test_the_group_is_destroyed_meanwhile(q):
    """Made again, it has what was put back, with the number that it had."""
    a, b = done(q, 2)
    q.replay_begin()
    q.replay_step("0-0", "(" + b, a, b)
    before = q.pending()
    q.r.xgroup_destroy(q.s, q.g)
    assert q.group(delivered=b) == 1
    assert q.pending() == before


def test_trimming_leaves_it(q):
    ids = done(q, 3)
    q.replay_begin()
    q.replay_step("0-0", "(" + ids[1], ids[1])
    assert q.trim("acked")["n"] == 1
    assert [i.decode() for i, _ in q.r.xrange(q.s)] == ids[1:]
    assert q.replay_look()[1] == {ids[1]: 1, ids[2]: 0}
    assert q.replay_step("(" + ids[1], "(" + ids[2], ids[0], ids[2])[1] == 1, "what is gone is gone"
