"""The scripts of limits over all hosts (admit, leave, limits, and what renew does for a slot) against a real Redis: each answer, and that nothing
is lost, leaked, or given twice."""
import pytest
import redis

from redis_private import PARKED, TAKEN

ME, OTHER, THIRD = ("h%d/default/0/00112233445566%s" % (n, x) for n, x in ((1, "aa"), (2, "bb"), (3, "cc")))
BAND = 8 * 10**15 + 42 * 2
MAY, FULL, EARLY, STALE, GONE, DELETED, PAUSED = range(7)


@pytest.fixture
def q(q):
    for what in ("running", "starts"):
        q.key[what] = "xackd:{q}:{q}jobs:g:%s:job" % what
    return q


def admit(q, me, i="", delivery=1, most=0, starts=0, period=1000, lease=60000, alone=0):
    answer = q.call("admit", ["stream", "due", "given", "paused", "running", "starts"], q.g, me, PARKED, i, delivery, most, starts, period, lease,
                    BAND, alone)
    return answer[:3] + [part for part in answer[4:] if part]


def leave(q, me, make_due=1):
    return q.call("leave", ["due", "running"], me, BAND, make_due)


def tend(q, dead="", most=0, starts=0, period=1000, make_due=100, band=BAND):
    answer = q.call("limits", ["stream", "due", "running", "starts"], q.g, dead, make_due, band, most, starts, period)
    return answer[:2] + answer[3:]


def mine(q, me=ME):
    q.r.xadd(q.s, {"f": "v"})
    return q.r.xreadgroup(q.g, me, {q.s: ">"}, 1)[0][1][0][0].decode()


def running(q):
    return {name.decode() for name in q.r.zrange(q.key["running"], 0, -1)}


def test_as_many_as_may_and_no_more(q):
    one, two, three = mine(q), mine(q, OTHER), mine(q, THIRD)
    assert admit(q, ME, one, most=2) == [MAY, 1, 0]
    assert admit(q, OTHER, two, most=2) == [MAY, 0, 0]
    assert admit(q, OTHER, two, most=2) == [MAY, 0, 0], "asked again: it has its slot"
    assert admit(q, THIRD, three, most=2) == [FULL, 0, 0]
    assert running(q) == {ME, OTHER} and q.due() == {three: BAND} and q.pending()[three] == (PARKED, 1)
    assert q.r.hget(q.key["given"], three) == b"1", "no attempt"
    assert admit(q, THIRD, three, most=2)[0] == STALE, "sent again"
    assert q.take(THIRD)[5:] == [] and q.take(THIRD)[1] == -1, "it has no due time"
    assert leave(q, OTHER) == 1 and q.due()[three] <= q.now() and running(q) == {ME}
    assert leave(q, OTHER) == 0, "sent again"
    assert q.take(THIRD)[5][1:3] == [2, 1] and admit(q, THIRD, three, 2, most=2) == [MAY, 0, 0]
    q.r.xack(q.s, q.g, one)
    assert admit(q, ME, one, most=2)[0] == GONE


def test_a_slot_is_its_workers_until_it_is_recovered(q):
    """However late it is: its entry says so. Then at once."""
    one, two = mine(q), mine(q, OTHER)
    assert admit(q, ME, one, most=1, lease=-1000)[0] == MAY, "its lease is over"
    assert admit(q, OTHER, two, most=1)[0] == FULL
    q.reap(ME, [(one, 1)])
    assert q.take(OTHER)[5][0].decode() == one and admit(q, OTHER, one, 2, most=1)[0] == MAY
    assert running(q) == {OTHER}
    q.r.xack(q.s, q.g, one)
    three = mine(q, THIRD)
    assert admit(q, THIRD, three, most=1)[0] == FULL, "acknowledged by somebody: its handler may run on for its lease"
    assert tend(q, OTHER, most=1)[0] == 1 and running(q) == set(), "known to be dead: free at once, and the next is due"
    assert leave(q, THIRD) == 1


def test_renewed_with_the_lease(q):
    one = mine(q)
    assert admit(q, ME, one, most=1, lease=1)[0] == MAY
    q.r.delete(q.key["running"])
    assert q.call("renew", ["stream", "due", "running"], q.g, ME, one, 1, 60000)[0] == 0
    assert running(q) == {ME} and q.r.zscore(q.key["running"], ME) > q.now() + 50000 and q.r.ttl(q.key["running"]) > 0
    assert q.call("renew", ["stream", "due", "running"], q.g, OTHER, one, 1, 60000)[0] == 1 and running(q) == {ME}


def test_the_key_is_deleted(q):
    """On a queue of the job's own whoever has an entry counts, until it asks itself or has none any more."""
    one, two, three = mine(q), mine(q, OTHER), mine(q, THIRD)
    assert admit(q, ME, one, most=2, alone=1) == [FULL, 0, 0]
    assert running(q) == {OTHER, THIRD}
    assert admit(q, OTHER, two, most=2, alone=1)[0] == MAY and admit(q, THIRD, three, most=2, alone=1)[0] == MAY
    q.r.xack(q.s, q.g, two, three)
    assert leave(q, OTHER) == 1 and leave(q, THIRD) == 0
    q.r.xreadgroup(q.g, "somebody", {q.s: ">"})
    four = mine(q, "somebody")
    assert q.take(ME)[5][0].decode() == one and admit(q, ME, one, 2, most=1, alone=1)[0] == MAY, "one who is not of xackd does not count"
    assert four in q.pending()


def test_reads_only_what_may_start(q):
    for _ in range(5):
        q.r.xadd(q.s, {"f": "v"})
    read = admit(q, ME, "", 3, most=1, alone=1)
    assert read[:3] == [MAY, 0, 0] and len(read[3][0][1]) == 3
    assert admit(q, OTHER, "", 3, most=1, alone=1) == [FULL, 0, 0] and len(q.pending()) == 3
    q.r.set(q.key["paused"], "1")
    assert admit(q, ME, "", 3, most=1, alone=1)[0] == PAUSED
    q.r.delete(q.key["paused"])
    q.r.xack(q.s, q.g, *q.pending())
    leave(q, ME)
    assert len(admit(q, ME, "", 3, starts=4)[3][0][1]) == 2
    assert admit(q, ME, "", 3, starts=4)[:2] == [MAY, -1], "there is nothing"
    assert running(q) == set()


def test_never_more_starts_in_a_period(q):
    entries = [mine(q) for _ in range(4)]
    for i in entries[:2]:
        assert admit(q, ME, i, starts=2, period=60000)[0] == MAY
    assert admit(q, ME, entries[1], starts=2, period=60000)[0] == MAY, "asked again: it was counted"
    code, free, wait = admit(q, ME, entries[2], starts=2, period=60000)
    assert (code, free) == (EARLY, -1) and 50000 < wait <= 60001 and q.due() == {entries[2]: BAND + 1}
    q.r.zadd(q.key["starts"], {entries[0] + "/1": q.now() - 60001})
    assert admit(q, ME, entries[3], starts=2, period=60000)[0] == MAY
    assert q.r.zcard(q.key["starts"]) == 2
    assert admit(q, ME, mine(q), most=5, starts=2, period=60000)[:2] == [EARLY, 5], "of two limits the one that counts"


def test_what_waits_is_made_due_as_far_as_it_may_start(q):
    entries = [mine(q, ME) for _ in range(6)]
    holder = mine(q, OTHER)
    assert admit(q, OTHER, holder, most=1)[0] == MAY
    assert [admit(q, ME, i, most=1)[0] for i in entries] == [FULL] * 6
    assert tend(q, most=1) == [0, -1, [1, 0, 0]]
    assert tend(q, most=4) == [3, -1, [1, 3, 0]]
    assert sorted(i for i, score in q.due().items() if score < BAND) == entries[:3], "in the order of their IDs"
    assert tend(q, most=4)[0] == 0, "those that are due come first"
    assert tend(q, most=4, make_due=0)[0] == 0
    assert tend(q, band=BAND + 1000, make_due=2)[0] == 2, "of a job that has no limit here"
    assert tend(q, "h2/", most=1)[2] == [0, 1, 0], "all of a host"
    q.r.delete(q.key["due"])
    assert q.call("rebuild_due", ["stream", "due"], q.g, "-", 100, PARKED)[1] == 6, "nothing is lost without `due`"


def test_a_rate_says_when(q):
    entries = [mine(q) for _ in range(3)]
    assert [admit(q, ME, i, starts=1, period=60000)[0] for i in entries] == [MAY, EARLY, EARLY]
    made, wait, (_, free, started) = tend(q, starts=1, period=60000)
    assert (made, free, started) == (0, -1, 1) and 50000 < wait <= 60001
    q.r.zadd(q.key["starts"], {entries[0] + "/1": q.now() - 60001})
    made, wait, _ = tend(q, starts=1, period=60000)
    assert made == 1 and wait > 0


@pytest.mark.parametrize("name", ["due", "given", "running", "starts"])
def test_a_key_of_another_type_changes_nothing(q, name):
    one = mine(q)
    two = mine(q, OTHER)
    assert admit(q, OTHER, two, most=1)[0] == MAY
    q.r.set(q.key[name], "x")
    with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
        admit(q, ME, one, most=1, starts=5)
    assert q.pending()[one] == (ME, 1)


def test_deleted_full_and_not_mine(q):
    one, two = mine(q), mine(q, OTHER)
    assert admit(q, OTHER, one, most=1)[0] == STALE and admit(q, ME, one, 2, most=1)[0] == STALE
    assert admit(q, OTHER, two, most=1)[0] == MAY
    q.r.xdel(q.s, one)
    assert admit(q, ME, one, most=1)[0] == DELETED and q.pending()[one] == (ME, 1)
    three = mine(q)
    q.r.config_set("maxmemory", 1)
    assert admit(q, ME, three, most=1)[0] == FULL and q.pending()[three][0] == PARKED, "memory is full"
    assert leave(q, OTHER) == 1 and q.take(ME)[5][0].decode() == three and admit(q, ME, three, 2, most=1, starts=1)[0] == MAY
    assert q.due() == {three: TAKEN}
