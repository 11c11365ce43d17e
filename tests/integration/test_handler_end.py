"""What a handler's end means: each row of its table, and what it said on fd 3."""
import os
import subprocess

import pytest

from harness import PARKED, SLOW, alive, milliseconds, never, process, wait_until


def end_of(box, script, fields=None, retry=None, **job):
    """Run one entry with this script; gives (daemon, id)."""
    retry = dict({"initial": "1h"}, **(retry or {}))
    daemon = box.daemon(dict({"exec": box.recording(script), "retry": retry}, **job))
    return daemon, box.add(fields=fields)


# ---- exit codes ----

@pytest.mark.parametrize("code, event", [(0, "job.succeeded"), (75, "job.retry"), (1, "job.retry"), (3, "job.retry"), (126, "job.retry"),
                                         (127, "job.retry"), (255, "job.retry"), (65, "job.dead"), (64, "job.dead")])
def test_exit_code(box, code, event):
    daemon, entry = end_of(box, "exit %d" % code)
    daemon.wait_event(event, id=entry)
    if event == "job.retry":
        assert box.pending()[entry] == (PARKED, 1) and box.note(entry)["exit"] == code
    else:
        box.wait_pending(0)
    if event == "job.dead":
        letter = box.wait_dead()[0]
        assert (letter["reason"], letter["exit"], letter["attempts"]) == ("exit", str(code), "1")
        assert daemon.events("job.failed", id=entry)[0]["exit"] == code


@pytest.mark.parametrize("code, event", [(0, "job.succeeded"), (10, "job.succeeded"), (11, "job.retry"), (65, "job.retry"), (12, "job.dead"),
                                         (13, "job.later"), (64, "job.retry")])
def test_exit_codes_of_the_configuration(box, code, event):
    rules = {"ack": [0, 10], "retry": [11, 65], "dead": [12], "later": [13]}
    daemon, entry = end_of(box, "exit %d" % code, exit_codes=rules)
    daemon.wait_event(event, id=entry)
    assert bool(daemon.events("job.failed", id=entry)) == (event in ("job.retry", "job.dead", "job.later")) or event == "job.later"


@pytest.mark.parametrize("name, number", [("KILL", 9), ("SIGTERM", 15), ("USR1", 10)])
def test_signal_in_exit_codes(box, name, number):
    daemon, entry = end_of(box, "kill -%d $$" % number, exit_codes={"dead": [name]})
    event = daemon.wait_event("job.dead", id=entry)
    assert event["reason"] == "signal" and ("signal %d" % number) in event["detail"]
    assert box.wait_dead()[0]["signal"] == str(number)


def test_signal_is_retried(box):
    daemon, entry = end_of(box, "kill -SEGV $$")
    event = daemon.wait_event("job.failed", id=entry)
    assert (event["reason"], event["signal"], event["detail"]) == ("signal", 11, "signal 11 (SEGV)")
    daemon.wait_event("job.retry", id=entry)


def test_later_gives_the_attempt_back(box):
    daemon, entry = end_of(box, "test $XACKD_DELIVERY -gt 2 || exit 20", exit_codes={"later": [20]},
                           retry={"initial": "50ms", "max_attempts": 1})
    done = daemon.wait_event("job.succeeded", id=entry)
    assert done["attempt"] == 1
    assert box.runs() == [(entry, 1, 1), (entry, 1, 2), (entry, 1, 3)]
    assert [e["delay_ms"] for e in daemon.events("job.later")] == [50, 50]


# ---- fd 3 ----

def test_later_on_fd_3(box):
    daemon, entry = end_of(box, "test $XACKD_DELIVERY -gt 1 || { echo LATER=0.3 >&3; exit 1; }", retry={"max_attempts": 1})
    later = daemon.wait_event("job.later", id=entry)
    assert later["delay_ms"] == 300
    assert daemon.wait_event("job.succeeded", id=entry)["attempt"] == 1


def test_retry_after_replaces_the_backoff_without_jitter(box):
    daemon, entry = end_of(box, "echo RETRY_AFTER=1 >&3; echo RETRY_AFTER=0.25 >&3; exit 1", retry={"jitter": 0.9, "max_attempts": 3})
    assert daemon.wait_event("job.retry", id=entry)["delay_ms"] == 250, "the last of equal keys wins"
    assert daemon.wait_event("job.retry", id=entry, count=2)["delay_ms"] == 250
    assert daemon.wait_event("job.dead", id=entry)["attempts"] == 3, "the attempts count all the same"


@pytest.mark.parametrize("said", ["DEAD=the customer is gone", "LATER=1\nDEAD=the customer is gone\nRETRY_AFTER=1"])
def test_dead_on_fd_3_wins(box, said):
    daemon, entry = end_of(box, "printf '%s\\n' >&3; exit 75" % said.replace("\n", "\\n"))
    event = daemon.wait_event("job.dead", id=entry)
    assert event["reason"] == "requested" and "the customer is gone" in event["detail"]
    assert box.wait_dead()[0]["reason"] == "requested"


def test_dead_exit_code_wins_over_later(box):
    daemon, entry = end_of(box, "echo LATER=1 >&3; exit 65")
    assert daemon.wait_event("job.dead", id=entry)["reason"] == "exit"


def test_exit_0_always_acknowledges(box):
    daemon, entry = end_of(box, "printf 'DEAD=x\\nLATER=5\\nRETRY_AFTER=5\\n' >&3; exit 0")
    daemon.wait_event("job.succeeded", id=entry)
    box.wait_pending(0)
    assert not box.r.exists(box.key("dead"), box.key("due"))


def test_progress_and_status(box):
    gate = box.gate()
    daemon, entry = end_of(box, "printf 'PROGRESS=40\\nSTATUS=half way\\n' >&$XACKD_NOTIFY_FD; : < %s" % gate.path)
    event = daemon.wait_event("job.progress", id=entry)
    wait_until(lambda: any(e.get("progress") == 40 for e in daemon.events("job.progress"))
               and any(e.get("status") == "half way" for e in daemon.events("job.progress")))
    assert event["job"] == "work" and event["attempt"] == 1
    gate.open()
    daemon.wait_event("job.succeeded", id=entry)


def test_progress_at_most_once_a_second(box):
    daemon, entry = end_of(box, "i=0; while [ $i -lt 3000 ]; do echo PROGRESS=$((i / 30)) >&3; i=$((i+1)); done")
    daemon.wait_event("job.succeeded", id=entry)
    events = daemon.events("job.progress")
    seconds = (milliseconds(daemon.events("job.succeeded")[0]["ts"]) - milliseconds(daemon.events("job.started")[0]["ts"])) / 1000
    assert 1 <= len(events) <= seconds + 2
    assert events[-1]["progress"] == 99, "the last one is always told"


def test_nonsense_on_fd_3_is_ignored(box):
    daemon, entry = end_of(box, "printf 'LATER=abc\\nRETRY_AFTER=-5\\nPROGRESS=nan\\nFOO=1\\n=\\n\\n\\0\\377\\nRETRY_AFTER=1e99\\nEXTEND_TIMEOUT=x\\nunfinished' >&3; head -c 300000 /dev/zero >&3; exit 1")
    retry = daemon.wait_event("job.retry", id=entry)
    assert retry["delay_ms"] == 900000 or retry["delay_ms"] > 0


def test_fd_3_closed_or_never_used(box):
    daemon, entry = end_of(box, "exec 3>&-; exit 0")
    daemon.wait_event("job.succeeded", id=entry)


# ---- timeout ----

def test_timeout_terms_the_whole_group_then_kills(box):
    script = "(trap '' TERM; echo $$ > /dev/null; exec sleep 600) & echo $! >> %s; trap 'echo got TERM >&2' TERM; wait; wait; wait" % box.path("kid")
    daemon, entry = end_of(box, script, timeout="700ms", kill_grace="500ms", retry={"max_attempts": 1})
    event = daemon.wait_event("job.failed", id=entry)
    assert event["reason"] == "timeout" and event["detail"] == "timeout after 700ms"
    assert 650 <= event["duration_ms"] < 5000 * SLOW
    assert "got TERM" in event["stderr"]
    assert box.wait_dead()[0]["reason"] == "timeout"
    wait_until(lambda: not alive(int(box.lines("kid")[0])), 10, "what ignored TERM was killed")


def test_timeout_kill_after_the_grace(box):
    daemon, entry = end_of(box, "trap '' TERM; echo begun >&2; while :; do sleep 0.05; done", timeout="400ms", kill_grace="400ms")
    event = daemon.wait_event("job.failed", id=entry)
    assert event["reason"] == "timeout" and 750 <= event["duration_ms"] < 6000 * SLOW
    daemon.wait_event("job.retry", id=entry)


def test_timeout_answered_with_exit_0_is_done(box):
    daemon, entry = end_of(box, "trap 'exit 0' TERM; while :; do sleep 0.05; done", timeout="400ms")
    daemon.wait_event("job.succeeded", id=entry)
    box.wait_pending(0)


def test_timeout_answered_with_another_code_is_a_timeout(box):
    daemon, entry = end_of(box, "trap 'exit 65' TERM; while :; do sleep 0.05; done", timeout="400ms")
    assert daemon.wait_event("job.failed", id=entry)["reason"] == "timeout"


def test_timeout_can_be_extended(box):
    daemon, entry = end_of(box, "echo EXTEND_TIMEOUT=60 >&3; sleep 1.2", timeout="600ms")
    assert daemon.wait_event("job.succeeded", id=entry)["duration_ms"] >= 1100


def test_extended_timeout_ends_too(box):
    daemon, entry = end_of(box, "echo EXTEND_TIMEOUT=0.3 >&3; sleep 60", timeout="1m")
    event = daemon.wait_event("job.failed", id=entry)
    assert event["reason"] == "timeout" and event["duration_ms"] < 5000 * SLOW


def test_a_stopped_handler_is_ended_by_its_timeout(box):
    daemon, entry = end_of(box, "kill -STOP $$", timeout="300ms", kill_grace="300ms")
    assert daemon.wait_event("job.failed", id=entry)["reason"] == "timeout"


# ---- what it leaves behind ----

@pytest.mark.parametrize("code", [0, 1])
def test_what_a_handler_leaves_in_its_group_is_killed(box, code):
    daemon, entry = end_of(box, "sleep 600 & echo $! > %s; exit %d" % (box.path("kid"), code))
    daemon.wait_event("job.succeeded" if code == 0 else "job.retry", id=entry, timeout=5)
    kid = int(box.read("kid"))
    wait_until(lambda: process(kid) is None, 10, "the background child is gone and reaped")


def test_what_escaped_the_group_is_killed(box):
    """setsid and a double fork: it falls to the worker, which knows whose it was."""
    box.script("escape", "exec setsid sh -c 'sh -c \"echo \\$\\$ > %s; exec sleep 600\" & exit 0'" % box.path("kid"))
    daemon, entry = end_of(box, "%s; while [ ! -s %s ]; do sleep 0.02; done; exit 0" % (box.path("escape"), box.path("kid")))
    daemon.wait_event("job.succeeded", id=entry)
    kid = int(box.read("kid"))
    wait_until(lambda: process(kid) is None, 10, "the escaped one is gone and reaped")
    assert not daemon.zombies()


def test_background_child_that_holds_stdout_does_not_hold_the_job(box):
    daemon, entry = end_of(box, "setsid sleep 600 & echo hello; exit 0")
    done = daemon.wait_event("job.succeeded", id=entry, timeout=5)
    assert done["duration_ms"] < 3000 * SLOW
    assert [e["line"] for e in daemon.events("job.output", id=entry)] == ["hello"]


def test_no_zombies_and_no_descriptors_left(box):
    from harness import descriptors
    daemon = box.daemon({"exec": ["/bin/sh", "-c", "sleep 0.01 & echo x; echo PROGRESS=1 >&3; (exec setsid true &); exit $((FIELD_N % 2))"],
                         "retry": {"initial": "10ms", "max_attempts": 2}}, workers=2)
    box.add_many("work", 10)
    box.wait_done()
    before = {pid: descriptors(pid) for pid in daemon.own()}
    box.add_many("work", 60)
    box.wait_done()
    wait_until(lambda: not daemon.zombies())
    assert {pid: descriptors(pid) for pid in daemon.own()} == before


# ---- deployment errors ----

def cannot_exec(box, kind):
    """A job that cannot run, and what makes it run."""
    tool = box.path("tool")

    def repair():
        box.script("tool.new", "echo $XACKD_ID >> %s" % box.path("out"))
        os.rename(box.path("tool.new"), tool)
    job = {"exec": [tool]}
    if kind == "not executable":
        box.write("tool", "#!/bin/sh\n", 0o644)
    elif kind == "wrong interpreter":
        box.write("tool", "#!/no/such/interpreter\n", 0o755)
    elif kind == "a folder":
        os.mkdir(tool)
        mend = repair

        def repair():
            os.rmdir(tool)
            mend()
    elif kind == "no cwd":
        box.script("tool", "echo $XACKD_ID >> %s" % box.path("out"))
        job["cwd"] = box.path("folder")

        def repair():
            os.mkdir(box.path("folder"))
    elif kind == "not in PATH":
        job = {"exec": ["tool"], "env": {"PATH": box.folder}}
    return job, repair


@pytest.mark.parametrize("kind", ["not found", "not executable", "wrong interpreter", "a folder", "no cwd", "not in PATH"])
def test_command_that_cannot_be_executed_suspends_the_job(box, kind):
    job, repair = cannot_exec(box, kind)
    daemon = box.daemon({"broken": dict(job, retry={"max_attempts": 1}), "fine": {"exec": ["/bin/true"]}}, workers=2)
    ids = box.add_many("broken", 6)
    event = daemon.wait_event("job.suspended", job="broken")
    assert event["level"] == "warning"
    daemon.wait_event("job.succeeded", job="fine", id=box.add("fine"))
    never(lambda: box.r.exists(box.key("dead", "broken")), 1.5, "a backlog becomes dead letters")
    repair()
    daemon.wait_event("job.resumed", job="broken", timeout=20)
    box.wait_done("broken", timeout=30)
    assert sorted(box.lines("out")) == sorted(ids)
    assert {e["attempt"] for e in daemon.events("job.succeeded", job="broken")} == {1}, "no attempt was used"
    assert not box.r.exists(box.key("dead", "broken"))


def test_missing_user_suspends_the_job(box):
    job = {"exec": ["/bin/true"], "user": "no-such-user-here"}
    if os.getuid() != 0:
        assert box.check(box.config(job)).returncode == 78, "without the right to change user it is an error"
        return
    daemon = box.daemon(job)
    box.add()
    daemon.wait_event("job.suspended", job="work")
    assert not box.r.exists(box.key("dead"))


def test_probes_use_another_entry_each_time(box):
    daemon = box.daemon({"exec": [box.path("missing")]})
    ids = box.add_many("work", 5)
    daemon.wait_event("job.suspended")
    wait_until(lambda: len({e["id"] for e in daemon.events("job.released")}) >= 3, 20, "three probes, three entries")
    released = [e["id"] for e in daemon.events("job.released")]
    assert released[0] != released[1] and set(released) <= set(ids)
    times = [milliseconds(e["ts"]) for e in daemon.events("job.released")]
    assert all(b - a > 700 for a, b in zip(times[:3], times[1:3])), "with backoff from 1 s: %s" % times


def test_suspended_job_on_a_shared_queue_lets_the_others_go_on(box):
    daemon = box.daemon({"broken": {"stream": "work", "match": {"t": "b"}, "exec": [box.path("tool")]},
                         "fine": {"stream": "work", "match": {"t": "f"}, "exec": ["/bin/true"]}})
    bad = [box.add(fields={"t": "b"}) for _ in range(3)]
    daemon.wait_event("job.suspended", job="broken")
    good = [box.add(fields={"t": "f"}) for _ in range(5)]
    more = box.add(fields={"t": "b"})
    for entry in good:
        daemon.wait_event("job.succeeded", id=entry)
    wait_until(lambda: all(box.parked(entry) for entry in bad + [more]), 10, "its entries are parked")
    box.script("tool", "exit 0")
    for entry in bad + [more]:
        assert daemon.wait_event("job.succeeded", id=entry, timeout=30)["attempt"] == 1


def test_three_different_entries_with_127_suspend(box):
    """A shell script whose tool is missing."""
    daemon = box.daemon({"exec": ["/bin/sh", "-c", "no-such-tool-%s" % os.getpid()], "retry": {"initial": "1h"}})
    ids = [box.add(), box.add()]
    daemon.wait_event("job.retry", count=2)
    never(lambda: daemon.events("job.suspended"), 0.5, "suspended after two")
    ids += box.add_many("work", 4)
    daemon.wait_event("job.suspended")
    assert {e["exit"] for e in daemon.events("job.failed")} == {127}
    assert not box.r.exists(box.key("dead"))


def test_the_same_entry_three_times_with_127_does_not_suspend(box):
    daemon = box.daemon({"exec": ["/bin/sh", "-c", "exit 127"], "retry": {"initial": "20ms", "max_attempts": 4, "backoff": "fixed"}})
    entry = box.add()
    assert daemon.wait_event("job.dead", id=entry)["attempts"] == 4
    assert not daemon.events("job.suspended")


def test_a_success_between_resets_the_count_of_127(box):
    daemon = box.daemon({"exec": ["/bin/sh", "-c", "exit $FIELD_N"], "retry": {"initial": "1h"}})
    for code in (127, 126, 0, 127, 126, 0, 126):
        box.add(fields={"n": str(code)})
    wait_until(lambda: len(daemon.events("job.retry")) == 5)
    assert not daemon.events("job.suspended")


def test_a_named_code_never_suspends(box):
    daemon = box.daemon({"exec": ["/bin/sh", "-c", "exit 127"], "exit_codes": {"dead": [127]}})
    box.add_many("work", 5)
    daemon.wait_event("job.dead", count=5)
    assert not daemon.events("job.suspended")


def test_no_descriptors_gives_the_attempt_back(box):
    daemon = box.daemon({"exec": box.recording(), "retry": {"max_attempts": 1}})
    worker = daemon.workers()[0]
    daemon.wait_event("job.succeeded", id=box.add())
    limit = len(os.listdir("/proc/%d/fd" % worker)) + 1
    subprocess.run(["prlimit", "--pid", str(worker), "--nofile=%d:4096" % limit], check=True)
    entry = box.add()
    daemon.wait_event("job.released", id=entry)
    assert not box.r.exists(box.key("dead")) and not daemon.events("job.suspended")
    subprocess.run(["prlimit", "--pid", str(worker), "--nofile=1024:4096"], check=True)
    done = daemon.wait_event("job.succeeded", id=entry, timeout=30)
    assert done["attempt"] == 1
