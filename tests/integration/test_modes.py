"""Modes persistent and batch: windows, answers out of order, answers that never come, processes that die or talk nonsense, recycling, and a
graceful end; and the handlers of contrib/handlers."""
import json
import os
import shutil
import signal
import subprocess
from collections import Counter

import pytest

from harness import PARKED, TOP, alive, children, executable, in_sh, never, send, wait_until

EXAMPLES = os.path.join(TOP, "contrib", "handlers")

PERSISTENT = """#!/usr/bin/python3
import json, os, sys, time
out = os.fdopen(3, "w", buffering=1)
log = open(%r, "a", buffering=1)
def say(id, status="ok", **more):
    out.write(json.dumps(dict(id=id, status=status, **more)) + "\\n")
def lines():
    for line in sys.stdin:
        entry = json.loads(line)
        log.write("%%s %%d %%d %%d %%s\\n" %% (entry["id"], entry["attempt"], entry["delivery"], os.getpid(), entry["fields"].get("n", "-")))
        yield entry
%s
"""


def persistent(box, body, window=1, name="handler", **more):
    """A job whose handler is Python; runs are noted as recording() does, with the field n behind."""
    job = {"exec": [box.write(name, PERSISTENT % (box.path("runs"), body), 0o755)], "mode": "persistent", "lease": "60s"}
    job["persistent"] = dict({"window": window}, **more.pop("persistent", {}))
    job.update(more)
    return job


ANSWER = "for e in lines():\n    say(e['id'])\n"


def at_once(box, values, stream="work"):
    pipe = box.r.pipeline(transaction=True)
    for value in values:
        pipe.execute_command("XADD", stream, "*", "n", str(value))
    return pipe.execute()


def names(box):
    return [line.split()[4] for line in box.lines()]


def test_one_process_for_all(box):
    daemon = box.daemon(persistent(box, ANSWER))
    ids = at_once(box, range(50))
    box.wait_done()
    assert [run[0] for run in box.runs()] == ids
    assert len({line.split()[3] for line in box.lines()}) == 1
    assert daemon.stop() == 0
    assert not daemon.events("job.succeeded")  # summary is this mode's default
    assert sum(e["succeeded"] for e in daemon.events("job.summary")) == 50


def test_each_success_where_asked_for(box):
    daemon = box.daemon(persistent(box, ANSWER, window=5, success="each"))
    ids = at_once(box, range(20))
    box.wait_done()
    wait_until(lambda: {e["id"] for e in daemon.events("job.succeeded")} == set(ids))


def test_window_costs_few_commands(box):
    box.daemon(persistent(box, ANSWER, window=100))
    box.add()
    box.wait_done()
    box.r.config_resetstat()
    at_once(box, range(2000))
    box.wait_done()
    stats = box.r.info("commandstats")
    calls = sum(stats.get("cmdstat_" + name, {"calls": 0})["calls"] for name in ("xreadgroup", "xack", "evalsha"))
    assert calls <= 0.06 * 2000, calls
    assert len(box.lines()) == 2001


def test_window_is_the_bound(box):
    gate = box.gate()
    box.daemon(persistent(box, "for e in lines():\n    if e['fields']['n'] == '0':\n        open(%r)\n    say(e['id'])\n" % gate.path, window=4))
    at_once(box, range(10))
    wait_until(lambda: box.pending_count() == 4)
    never(lambda: box.pending_count() > 4, 0.3)
    gate.open()
    box.wait_done()


def test_answers_out_of_order(box):
    """Every tenth waits for nine others, and they are answered the other way round."""
    body = "held = []\nfor e in lines():\n    held.append(e['id'])\n    if len(held) == 10:\n        [say(i) for i in reversed(held)]\n        held = []\n"
    daemon = box.daemon(persistent(box, body, window=10, success="each"))
    ids = at_once(box, range(100))
    box.wait_done()
    wait_until(lambda: len(daemon.events("job.succeeded")) == 100)
    assert sorted(e["id"] for e in daemon.events("job.succeeded")) == sorted(ids)


def test_a_process_that_waits_for_a_full_window(box):
    """It answers four whenever it has ten: the six that it keeps are more than half of the window, which is filled up all the same."""
    body = ("held = []\nfor e in lines():\n    held.append(e['id'])\n    if len(held) == 10:\n        n = 10 if e['fields']['n'] == '33' else 4\n"
            "        [say(i) for i in held[:n]]\n        held = held[n:]\n")
    daemon = box.daemon(persistent(box, body, window=10, success="each"))
    at_once(box, range(34))
    box.wait_done()
    wait_until(lambda: len(daemon.events("job.succeeded")) == 34)
    assert {e["attempt"] for e in daemon.events("job.succeeded")} == {1}


def test_statuses(box):
    body = """for e in lines():
    n = e['fields']['n']
    if n == 'retry' and e['attempt'] == 1: say(e['id'], 'retry', after=0.3, reason='not yet')
    elif n == 'later' and e['delivery'] == 1: say(e['id'], 'later', after=0.2)
    elif n == 'dead': say(e['id'], 'dead', reason='of no use')
    else: say(e['id'])
"""
    daemon = box.daemon(persistent(box, body, success="each"))
    retry, later, dead, fine = at_once(box, ["retry", "later", "dead", "ok"])
    [letter] = box.wait_dead(1)
    assert (letter["id"], letter["reason"], letter["detail"], letter["attempts"]) == (dead, "requested", "of no use", "1")
    assert daemon.wait_event("job.succeeded", id=retry)["attempt"] == 2
    assert daemon.wait_event("job.succeeded", id=later)["attempt"] == 1
    daemon.wait_event("job.succeeded", id=fine)
    failed = daemon.wait_event("job.failed", id=retry)
    assert (failed["reason"], failed["detail"]) == ("reply", "not yet")
    assert daemon.wait_event("job.retry", id=retry)["delay_ms"] == 300
    assert daemon.wait_event("job.later", id=later)["delay_ms"] == 200


@pytest.mark.parametrize("window", [1, 5])
def test_an_answer_that_never_comes(box, window):
    """The oldest has timed out, the process is gone, the others have lost nothing."""
    body = "for e in lines():\n    if e['fields']['n'] == 'mute' and e['attempt'] == 1: time.sleep(600)\n    say(e['id'])\n"
    daemon = box.daemon(persistent(box, body, window=window, timeout="500ms", success="each"))
    ids = at_once(box, [0, "mute", 2, 3, 4, 5])
    box.wait_done()
    failed = daemon.wait_event("job.failed")
    assert (failed["id"], failed["reason"]) == (ids[1], "timeout")
    wait_until(lambda: len(daemon.events("job.succeeded")) == 6)
    assert {e["id"]: e["attempt"] for e in daemon.events("job.succeeded")} == {i: 2 if i == ids[1] else 1 for i in ids}


def test_the_answer_comes_while_the_process_is_ended(box):
    """It was the one that had timed out; the others are not to blame."""
    body = """import signal
held = []
def term(*_):
    say(held[0])
    os._exit(0)
signal.signal(signal.SIGTERM, term)
for e in lines():
    held.append(e['id'])
    if e['delivery'] > 1: say(e['id'])
"""
    daemon = box.daemon(persistent(box, body, window=3, timeout="1s", success="each"))
    ids = at_once(box, range(3))
    box.wait_done()
    wait_until(lambda: len(daemon.events("job.succeeded")) == 3)
    assert {e["id"]: e["attempt"] for e in daemon.events("job.succeeded")} == {i: 1 for i in ids}
    assert not daemon.events("job.failed")


def test_a_process_that_dies_with_one(box):
    daemon = box.daemon(persistent(box, "for e in lines():\n    if e['attempt'] == 1: sys.stderr.write('ouch\\n'); os._exit(9)\n    say(e['id'])\n",
                                   success="each"))
    entry = box.add()
    failed = daemon.wait_event("job.failed", id=entry)
    assert (failed["reason"], failed["exit"], failed["stderr"].strip()) == ("exit", 9, "ouch")
    assert daemon.wait_event("job.succeeded", id=entry)["attempt"] == 2


def test_a_process_that_ends_well_without_an_answer(box):
    daemon = box.daemon(persistent(box, "for e in lines():\n    if e['attempt'] == 1: sys.exit(0)\n    say(e['id'])\n", success="each"))
    entry = box.add()
    assert daemon.wait_event("job.failed", id=entry)["reason"] == "reply"
    assert daemon.wait_event("job.succeeded", id=entry)["attempt"] == 2


@pytest.mark.parametrize("end", ["say(e['id']); time.sleep(.2); os._exit(3)", "os.close(0); say(e['id']); time.sleep(600)",
                                 "say(e['id']); time.sleep(600)"])
def test_a_process_that_ends_between_two(box, end):
    """What lay in its stdin unread is nobody's failure: the next process gets it."""
    daemon = box.daemon(persistent(box, "for e in lines():\n    %s\n" % end, success="each", kill_grace="200ms",
                                   timeout="500ms" if end == "say(e['id']); time.sleep(600)" else "1m", retry={"max_attempts": 1}))
    ids = at_once(box, range(5))
    box.wait_done()
    wait_until(lambda: len(daemon.events("job.succeeded")) == 5)
    assert {e["id"]: e["attempt"] for e in daemon.events("job.succeeded")} == {i: 1 for i in ids}
    assert len({line.split()[3] for line in box.lines()}) == 5
    assert not daemon.events("job.failed")


def test_what_one_process_answered_is_not_given_to_the_next(box):
    """Also when more entries arrive between its end and the settling of what it had."""
    body = "n = 0\nfor e in lines():\n    say(e['id'])\n    n += 1\n    if n % 11 == 0: os._exit(0)\n"
    box.daemon(persistent(box, body, window=8, success="each"), workers=3)
    at_once(box, range(2000))
    box.wait_done(timeout=60)
    assert [run for run, times in Counter(box.runs()).items() if times > 1] == []


@pytest.mark.parametrize("window", [1, 3])
def test_a_process_that_closes_its_descriptor_3(box, window):
    """No answer can come any more, however long its timeout is."""
    body = "for e in lines():\n    if e['fields']['n'] == '0' and e['attempt'] == 1:\n        out.close()\n        time.sleep(600)\n    say(e['id'])\n"
    daemon = box.daemon(persistent(box, body, window=window, success="each", timeout="0", kill_grace="200ms"))
    ids = at_once(box, range(3))
    box.wait_done()
    wait_until(lambda: len(daemon.events("job.succeeded")) == 3)
    assert {e["id"]: e["attempt"] for e in daemon.events("job.succeeded")} == {i: 2 if i == ids[0] else 1 for i in ids}
    [failed] = daemon.events("job.failed")
    assert (failed["id"], failed["reason"], failed["detail"]) == (ids[0], "reply", "the process closed descriptor 3 without an answer")


@pytest.mark.parametrize("workers", [1, 3])
def test_a_process_that_dies_with_several(box, workers):
    """Only the one that kills it is blamed, however often; the innocent keep all their attempts."""
    body = "for e in lines():\n    if e['fields']['n'] == 'kill': os.kill(os.getpid(), 9)\n    say(e['id'])\n"
    daemon = box.daemon(persistent(box, body, window=8, success="each", retry={"max_attempts": 2, "initial": "100ms"}), workers=workers)
    ids = at_once(box, ["kill" if n == 20 else n for n in range(40)])
    [letter] = box.wait_dead(1)
    assert (letter["id"], letter["reason"], letter["attempts"], letter["signal"]) == (ids[20], "signal", "2", "9")
    wait_until(lambda: len(daemon.events("job.succeeded")) == 39, 20)
    assert {e["attempt"] for e in daemon.events("job.succeeded")} == {1}
    assert {e["id"] for e in daemon.events("job.failed")} == {ids[20]}
    box.wait_pending(0)


@pytest.mark.parametrize("line, window", [("nonsense", 1), ("[1]", 1), ("{", 1), ('{"id": %s}', 1), ('{"id": %s, "status": "perhaps"}', 5)])
def test_nonsense(box, line, window):
    """The entry that it was about has failed, the others go on."""
    body = "for e in lines():\n    if e['fields']['n'] == 'bad' and e['attempt'] == 1:\n        l = %r\n" % line
    body += "        out.write((l % json.dumps(e['id']) if '%s' in l else l) + '\\n')\n    else:\n        say(e['id'])\n"
    daemon = box.daemon(persistent(box, body, window=window, timeout="1s", success="each"))
    ids = at_once(box, [0, "bad", 2])
    box.wait_done()
    failed = daemon.wait_event("job.failed", id=ids[1])
    assert failed["reason"] == "reply"
    wait_until(lambda: len(daemon.events("job.succeeded")) == 3)
    assert {e["attempt"] for e in daemon.events("job.succeeded") if e["id"] != ids[1]} == {1}


def test_nonsense_that_names_nobody(box):
    """With several unanswered the process is not trusted any more: they run alone, and the one that it was about is found."""
    body = "for e in lines():\n    if e['fields']['n'] == 'bad' and e['attempt'] == 1: out.write('{oops\\n')\n    else:\n        time.sleep(.02)\n        say(e['id'])\n"
    daemon = box.daemon(persistent(box, body, window=6, success="each"))
    ids = at_once(box, [0, 1, 2, "bad", 4, 5, 6, 7])
    box.wait_done(timeout=30)
    wait_until(lambda: len(daemon.events("job.succeeded")) == 8)
    assert {e["id"]: e["attempt"] for e in daemon.events("job.succeeded")} == {i: 2 if i == ids[3] else 1 for i in ids}
    assert [(e["id"], e["reason"]) for e in daemon.events("job.failed")] == [(ids[3], "reply")]


def test_an_ok_that_names_nobody(box):
    """The second one might be taken for the next entry's: neither is a success."""
    body = ("for e in lines():\n    if e['fields']['n'] == '1': time.sleep(600)\n"
            "    if e['attempt'] == 1: out.write('{\"status\":\"ok\"}\\n' * 2)\n    else: say(e['id'])\n")
    daemon = box.daemon(persistent(box, body, timeout="500ms", success="each", retry={"max_attempts": 2, "initial": "100ms"}))
    ids = at_once(box, range(2))
    [letter] = box.wait_dead(1)
    assert (letter["id"], letter["reason"]) == (ids[1], "timeout")
    assert daemon.wait_event("job.failed", id=ids[0])["detail"] == "it names no entry"
    assert daemon.wait_event("job.succeeded", id=ids[0])["attempt"] == 2
    box.wait_pending(0)


def test_nonsense_ends_the_process_first(box):
    """It may still work on the entry, which must not run twice at a time."""
    body = "for e in lines():\n    if e['attempt'] == 1:\n        out.write('loading\\n')\n        time.sleep(600)\n    say(e['id'])\n"
    daemon = box.daemon(persistent(box, body, success="each"), workers=2)
    entry = box.add()
    assert daemon.wait_event("job.succeeded", id=entry)["attempt"] == 2
    first, second = [line.split()[3] for line in box.lines()]
    assert first != second
    assert not alive(int(first))
    [failed] = daemon.events("job.failed")
    assert (failed["reason"], failed["detail"]) == ("reply", "the line is no JSON object")


def test_nonsense_as_last_words(box):
    """Nothing is left to be ended: the next entry gets a process, also when it comes after the grace."""
    gate = box.gate()
    body = ("held = []\nfor e in lines():\n    held.append(e)\n    if e['delivery'] > 1: say(e['id'])\n"
            "    elif len(held) == 2:\n        open(%r)\n        out.write('{oops\\n')\n        os._exit(3)\n" % gate.path)
    daemon = box.daemon(persistent(box, body, window=5, kill_grace="200ms"))
    at_once(box, range(2))
    box.wait_runs(2)
    box.ctl("pause", "work")
    [worker] = daemon.workers()
    os.kill(worker, signal.SIGSTOP)  # its words and its end are found together
    gate.open()
    wait_until(lambda: not alive(int(box.lines()[0].split()[3])))
    os.kill(worker, signal.SIGCONT)
    daemon.wait_event("job.released", count=2)
    never(lambda: daemon.events("job.failed"), 0.5)  # the grace is over
    box.ctl("resume", "work")
    box.wait_done()


def test_answers_to_nobody_are_ignored(box):
    body = "for e in lines():\n    say('1-1')\n    say(e['id'])\n    say(e['id'], 'retry')\n"
    daemon = box.daemon(persistent(box, body, window=3, success="each"))
    at_once(box, range(10))
    box.wait_done()
    wait_until(lambda: len(daemon.events("job.succeeded")) == 10)
    assert not daemon.events("job.failed")


@pytest.mark.parametrize("how", [{"max_jobs": 5}, {"max_age": "50ms"}, {"max_rss": "1M"}])
def test_recycling(box, how):
    """Another process takes over; nothing is lost, nothing runs twice."""
    daemon = box.daemon(persistent(box, "for e in lines():\n    time.sleep(.02)\n    say(e['id'])\n", window=2, persistent=how))
    ids = at_once(box, range(20))
    box.wait_done(timeout=30)
    assert Counter(run[0] for run in box.runs()) == Counter(ids)
    pids = Counter(line.split()[3] for line in box.lines())
    assert len(pids) >= 2
    if "max_jobs" in how:
        assert max(pids.values()) <= 6
    assert not daemon.events("job.failed")


def test_end_is_graceful(box):
    """Its stdin ends, it finishes by itself."""
    daemon = box.daemon(persistent(box, "for e in lines():\n    say(e['id'])\nlog.write('- 0 0 0 bye\\n')\n"))
    box.add()
    box.wait_done()
    assert daemon.stop() == 0
    assert names(box) == ["1", "bye"]


def test_end_of_one_that_does_not_listen(box):
    """TERM, then KILL; the stop is clean all the same."""
    body = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nfor e in lines():\n    say(e['id'])\ntime.sleep(600)\n"
    daemon = box.daemon(persistent(box, body, kill_grace="300ms"))
    box.add()
    box.wait_done()
    assert daemon.stop() == 0


def test_stop_waits_for_answers(box):
    gate = box.gate()
    daemon = box.daemon(persistent(box, "for e in lines():\n    open(%r)\n    say(e['id'])\n" % gate.path, window=3))
    at_once(box, range(3))
    box.wait_runs(1)
    send(daemon.pid, signal.SIGTERM)
    daemon.wait_event("daemon.stopping")
    gate.open()
    assert daemon.wait() == 0
    assert box.pending_count() == 0 and len(box.lines()) == 3


def test_stop_gives_back_what_is_not_answered_in_time(box):
    daemon = box.daemon(persistent(box, "for e in lines():\n    time.sleep(600)\n", window=3), drain_timeout="300ms")
    ids = at_once(box, range(3))
    box.wait_runs(1)
    assert daemon.stop() == 0
    assert set(box.pending()) == set(ids) and {owner for owner, _ in box.pending().values()} == {PARKED}
    assert {box.r.hget(box.key("given"), i) for i in ids} == {"1"}


def test_worker_killed_with_several(box):
    """Its process dies with it; all run again."""
    body = "for e in lines():\n    if e['delivery'] == 1: time.sleep(600)\n    say(e['id'])\n"
    daemon = box.daemon(persistent(box, body, window=4, success="each"))
    ids = at_once(box, range(4))
    box.wait_runs(1)
    wait_until(lambda: box.pending_count() == 4)
    process = int(box.lines()[0].split()[3])
    send(daemon.workers()[0], signal.SIGKILL)
    wait_until(lambda: not alive(process), 5)
    box.wait_done()
    wait_until(lambda: len(daemon.events("job.succeeded")) == 4)
    assert {e["id"]: e["attempt"] for e in daemon.events("job.succeeded")} == {i: 2 if i == ids[0] else 1 for i in ids}
    assert {e["id"] for e in daemon.events("job.recovered")} == set(ids), "each that may run twice is told of"


def test_leases_are_kept(box):
    """Answers take longer than the lease: nobody takes over what is in a window."""
    gate = box.gate()
    job = persistent(box, "for e in lines():\n    open(%r)\n    say(e['id'])\n" % gate.path, window=3, success="each")
    job["lease"] = "1s"
    one = box.daemon(job, name="h1")
    at_once(box, range(3))
    wait_until(lambda: box.pending_count() == 3)
    two = box.daemon(job, name="h2")
    never(lambda: len(box.lines()) > 1, 2.5)
    gate.open()
    box.wait_done()
    assert len(one.events("job.succeeded")) == 3 and not two.events("job.recovered")


def test_redis_away_while_it_works(box):
    gate = box.gate()
    daemon = box.daemon(persistent(box, "for e in lines():\n    open(%r)\n    say(e['id'])\n" % gate.path, window=3, success="each"))
    at_once(box, range(5))
    wait_until(lambda: box.pending_count() == 3)
    box.redis.restart()
    gate.open()
    box.wait_done()
    wait_until(lambda: len(daemon.events("job.succeeded")) == 5)
    assert len(box.lines()) == 5


def test_a_missing_command_suspends(box):
    daemon = box.daemon({"exec": ["/nonexistent/handler"], "mode": "persistent"})
    box.add()
    assert daemon.wait_event("job.suspended")["reason"] == "spawn"
    assert not box.dead()


def test_beside_other_jobs(box):
    """One worker, jobs of every mode on streams of their own: all get their turn, and processes are kept apart."""
    jobs = {"one": persistent(box, ANSWER, window=5, name="h-one"), "two": persistent(box, ANSWER, name="h-two"),
            "three": {"exec": box.recording()}, "four": {"shell": "cat >/dev/null", "mode": "batch", "batch": {"size": 10}}}
    daemon = box.daemon(jobs)
    for stream in jobs:
        at_once(box, range(30), stream)
    for stream in jobs:
        box.wait_done(stream, timeout=60)
    assert len(box.runs()) == 90
    assert not daemon.events("job.failed")


def test_retries_are_not_starved(box):
    """A steady backlog does not keep a due retry from its turn."""
    body = "for e in lines():\n    if e['fields']['n'] == 'again' and e['attempt'] == 1: say(e['id'], 'retry', after=0.2)\n    else:\n        time.sleep(.003)\n        say(e['id'])\n"
    box.daemon(persistent(box, body, window=10))
    at_once(box, ["again"] + list(range(800)))
    wait_until(lambda: names(box).count("again") == 2, 10)
    assert len(box.lines()) < 700
    box.wait_done(timeout=30)


# ---- batch ----

def test_batch_exit_code_is_for_all(box):
    daemon = box.daemon({"shell": "cat >> %s; exit 0" % box.path("lines"), "mode": "batch", "batch": {"size": 10, "wait": "100ms"}})
    ids = at_once(box, range(25))
    box.wait_done()
    got = [json.loads(line) for line in box.lines("lines")]
    assert [e["id"] for e in got] == ids and got[3]["fields"] == {"n": "3"} and got[3]["attempt"] == 1
    wait_until(lambda: len(daemon.events("job.succeeded")) == 25)
    assert 3 <= len({e["pid"] for e in daemon.events("job.succeeded")}) <= 6


def test_batch_waits_for_others(box):
    daemon = box.daemon({"shell": "cat >> %s" % box.path("lines"), "mode": "batch", "batch": {"size": 3, "wait": "15s"}, "lease": "60s"})
    box.add()
    never(lambda: box.lines("lines"), 0.3)
    box.add()
    box.add()
    wait_until(lambda: len(box.lines("lines")) == 3, 8, "three are enough, without the rest of the wait")
    wait_until(lambda: len(daemon.events("job.succeeded")) == 3)
    assert len({e["pid"] for e in daemon.events("job.succeeded")}) == 1


def gathered(box, count=3):
    """A batch that waits for more, for longer than any test."""
    daemon = box.daemon({"work": {"exec": in_sh("cat > /dev/null"), "mode": "batch", "batch": {"size": 100, "wait": "10m"}, "lease": "1h"}})
    ids = at_once(box, range(count))
    box.wait_pending(count)
    return daemon, ids


@pytest.mark.parametrize("times", [1, 2])
def test_batch_that_is_gathered_does_not_hold_up_a_stop(box, times):
    """It is not begun any more, and loses nothing."""
    daemon, ids = gathered(box)
    for _ in range(times - 1):
        send(daemon.pid, signal.SIGTERM)
        daemon.wait_event("daemon.stopping")
    assert daemon.stop(timeout=5) == 0
    assert not daemon.events("job.started")
    assert box.pending() == {i: (PARKED, 1) for i in ids}
    assert box.r.hgetall(box.key("given")) == {i: "1" for i in ids}


def test_batch_that_is_gathered_when_its_queue_is_paused(box):
    daemon, ids = gathered(box)
    box.ctl("pause", "work")
    wait_until(lambda: {e["id"] for e in daemon.events("job.released")} == set(ids))
    assert not daemon.events("job.started")


def test_batch_that_is_gathered_and_one_is_cancelled(box):
    """Nobody waits for the others to come."""
    daemon, ids = gathered(box)
    box.ctl("cancel", ids[1])
    [letter] = box.wait_dead(1)
    assert (letter["id"], letter["reason"]) == (ids[1], "cancelled")
    assert not daemon.events("job.started")


def test_batch_failure_is_for_all_and_then_alone(box):
    """The bad one fails its batch; each of them runs alone next, and only the bad one ends as a dead letter."""
    text = 'x=$(cat); case $x in *bad*) exit 3;; esac'
    daemon = box.daemon({"shell": text, "mode": "batch", "batch": {"size": 10, "wait": "100ms"}, "retry": {"max_attempts": 3, "initial": "100ms"}})
    ids = at_once(box, [0, 1, "bad", 3, 4])
    [letter] = box.wait_dead(1)
    assert (letter["id"], letter["exit"], letter["attempts"]) == (ids[2], "3", "3")
    box.wait_pending(0)
    assert {e["id"] for e in daemon.events("job.succeeded")} == set(ids) - {ids[2]}


def test_batch_answers_of_single_entries(box):
    daemon = box.daemon({"exec": [os.path.join(EXAMPLES, "batch.sh")], "mode": "batch", "batch": {"size": 10, "wait": "100ms"}})
    pipe = box.r.pipeline(transaction=True)
    for n in range(6):
        pipe.xadd("work", {"broken" if n == 2 else "n": str(n)})
    ids = pipe.execute()
    [letter] = box.wait_dead(1)
    assert (letter["id"], letter["reason"], letter["detail"]) == (ids[2], "requested", "broken")
    wait_until(lambda: {e["id"] for e in daemon.events("job.succeeded")} == set(ids) - {ids[2]})


def test_batch_timeout_is_for_all(box):
    daemon = box.daemon({"shell": "sleep 600", "mode": "batch", "timeout": "300ms", "batch": {"size": 5, "wait": "100ms"},
                         "retry": {"max_attempts": 1}})
    ids = at_once(box, range(3))
    assert {(letter["id"], letter["reason"]) for letter in box.wait_dead(3)} == {(i, "timeout") for i in ids}
    assert daemon.stop() == 0


def test_batch_of_many(box):
    box.daemon({"shell": "cat >> %s" % box.path("lines"), "mode": "batch", "success": "summary"}, workers=2)
    ids = at_once(box, range(3000))
    box.wait_done(timeout=30)
    assert Counter(json.loads(line)["id"] for line in box.lines("lines")) == Counter(ids)


# ---- the examples ----

@pytest.mark.parametrize("example", ["persistent.sh", "persistent.py", "persistent.js", "persistent.c"])
@pytest.mark.parametrize("window", [1, 20])
def test_examples(box, example, window):
    path = os.path.join(EXAMPLES, example)
    if example.endswith(".js") and not shutil.which("node"):
        pytest.skip("node is not installed")
    if example.endswith(".c"):
        subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-o", box.path("example"), path], check=True)
        path = box.path("example")
    daemon = box.daemon({"exec": [path], "mode": "persistent", "persistent": {"window": window}, "success": "each"})
    ids = at_once(box, ['"quo\\ted"\n', "ü", "x" * 100000] + list(range(200)))
    box.wait_done(timeout=30)
    wait_until(lambda: len(daemon.events("job.succeeded")) == len(ids))
    assert Counter(e["id"] for e in daemon.events("job.succeeded")) == Counter(ids)
    assert not daemon.events("job.failed")
    assert daemon.stop() == 0
