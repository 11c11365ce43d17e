"""Starting, stopping, refusing: SIGTERM, --until-empty, a second daemon, exit codes, sd_notify."""
import os
import signal
import socket
import subprocess
import time

import pytest

from harness import SLOW, XACKCTL, XACKD, alive, send, wait_until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_idle_daemon_stops_at_once(box, number):
    daemon = box.daemon(workers=3)
    before = time.monotonic()
    assert daemon.stop(number=number) == 0
    assert time.monotonic() - before < 3 * SLOW
    assert daemon.events("daemon.stopping") and daemon.events("daemon.stopped")
    assert not os.path.exists(box.path("run", "h1.sock"))
    assert {c["name"] for c in box.r.xinfo_consumers("work", "xackd")} <= {"xackd:parked"}


def test_signals_that_reopen_logs_elsewhere_end_nothing(box):
    daemon = box.daemon({"exec": box.recording()})
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        send(daemon.pid, number)
    daemon.wait_event("job.succeeded", id=box.add())
    assert daemon.stop() == 0


def test_drain(box):
    """Those that end within drain_timeout are acknowledged, the others come back as the same attempt."""
    gate = box.gate()
    daemon = box.daemon({"quick": {"exec": box.recording(": < " + gate.path)},
                         "slow": {"exec": box.recording("test -e %s || exec sleep 600" % box.path("good"))}},
                        workers=2, drain_timeout="2s")
    quick, slow = box.add("quick"), box.add("slow")
    box.wait_runs(2)
    waiting = box.add("quick")
    before = time.monotonic()
    send(daemon.pid, signal.SIGTERM)
    daemon.wait_event("daemon.stopping")
    gate.open()
    daemon.wait_event("job.succeeded", id=quick)
    assert daemon.wait(20) == 0
    assert 1.9 <= time.monotonic() - before < 8 * SLOW
    assert daemon.events("job.released", id=slow)
    assert not daemon.events("job.started", id=waiting), "nothing more is fetched"
    assert box.pending("quick") == {}
    box.write("good", "")
    again = box.again(daemon)
    done = again.wait_event("job.succeeded", id=slow)
    assert done["attempt"] == 1 and (slow, 1, 2) in box.runs()
    again.wait_event("job.succeeded", id=waiting)


def test_drain_terms_before_it_kills(box):
    daemon = box.daemon({"exec": box.recording("trap 'echo $XACKD_ID >> %s; exit 0' TERM; while :; do sleep 0.05; done" % box.path("termed"))},
                        drain_timeout="500ms")
    entry = box.add()
    box.wait_runs(1)
    assert daemon.stop() == 0
    assert box.lines("termed") == [entry]
    assert daemon.events("job.succeeded", id=entry), "exit 0 means that the work is done"
    box.wait_pending(0)


def test_second_sigterm_is_a_fast_stop(box):
    daemon = box.daemon({"exec": box.recording("trap '' TERM; while :; do sleep 0.05; done")}, drain_timeout="10m")
    entry = box.add()

    box.wait_runs(1)
    handler = int(box.lines()[0].split()[3])
    send(daemon.pid, signal.SIGTERM)
    daemon.wait_event("daemon.stopping")
    before = time.monotonic()
    send(daemon.pid, signal.SIGTERM)
    assert daemon.wait(15) == 0
    assert time.monotonic() - before < 6 * SLOW and not alive(handler)
    assert box.pending()[entry][0] == "xackd:parked"


def test_parked_entries_survive_a_restart(box):
    daemon = box.daemon({"exec": box.recording("test $XACKD_ATTEMPT -gt 1"), "retry": {"initial": "1500ms"}})
    entry = box.add()
    due = daemon.wait_event("job.retry", id=entry)["due_ms"]
    assert daemon.stop() == 0
    again = box.again(daemon)
    assert again.wait_event("job.succeeded", id=entry)["attempt"] == 2
    assert box.r.time()[0] * 1000 + 1000 >= due


# ---- --until-empty ----

def test_until_empty_of_nothing(box):
    assert box.until_empty().status == 0


def test_until_empty_with_a_suspended_job_on_a_shared_queue(box):
    """What its sibling can do is done; what is parked for the job that cannot run does not keep it."""
    good = [box.add("s", {"t": "1"}) for _ in range(5)]
    for _ in range(5):
        box.add("s", {"t": "2"})
    jobs = {"one": {"stream": "s", "match": {"t": "1"}, "exec": ["/bin/true"]},
            "two": {"stream": "s", "match": {"t": "2"}, "exec": [box.path("missing")]}}
    daemon = box.until_empty(jobs)
    assert daemon.status == 1
    assert {e["id"] for e in daemon.events("job.succeeded")} == set(good)
    assert not daemon.events("job.dead")


def test_until_empty_with_entries_that_are_left_to_others(box):
    box.r.xgroup_create("work", "xackd", "0", mkstream=True)
    held = box.add()
    assert box.r.xreadgroup("xackd", "python-1", {"work": ">"})
    daemon = box.until_empty({"work": {"exec": ["/bin/true"], "foreign": "leave"}})
    assert daemon.status == 1
    assert [row["consumer"] for row in box.r.xpending_range("work", "xackd", held, held, 1)] in (["python-1"], [b"python-1"])


def test_until_empty_waits_for_waiting_running_and_parked(box):
    ids = box.add_many("work", 10)
    daemon = box.until_empty({"exec": box.recording("test $XACKD_ATTEMPT -gt 2"), "retry": {"initial": "300ms"}}, workers=2)
    assert daemon.status == 0
    assert len(box.runs()) == 30 and {r[0] for r in box.runs()} == set(ids)
    assert box.pending_count() == 0


def test_until_empty_tells_of_dead_letters(box):
    box.add_many("work", 3)
    daemon = box.until_empty({"exec": ["/bin/sh", "-c", "test $FIELD_N != 1"], "retry": {"max_attempts": 1}})
    assert daemon.status == 1 and len(box.dead()) == 1
    assert box.until_empty({"exec": ["/bin/true"]}, name="h1").status == 0, "only what this run wrote counts"


def test_until_empty_with_what_cannot_run(box):
    box.add()
    assert box.until_empty({"exec": [box.path("missing")]}).status == 1
    assert not box.r.exists(box.key("dead"))


def test_until_empty_with_a_paused_queue(box):
    box.r.set(box.key("paused"), "1")
    box.add()
    assert box.until_empty().status == 1
    assert box.r.xlen("work") == 1 and not box.r.exists(box.key("dead"))


def test_until_empty_with_a_queue_that_redis_refuses(box):
    """Its key is no stream: the others are emptied, and it is said that something is left that cannot run."""
    box.r.set("b", "no stream")
    ids = box.add_many("a", 4)
    daemon = box.daemon({s: {"exec": box.recording()} for s in ("a", "b")}, ready=False, args=["--until-empty"])
    daemon.allow_errors = True
    assert daemon.wait(30) == 1
    assert sorted(r[0] for r in box.runs()) == sorted(ids) and daemon.events("redis.error", stream="b")


def test_until_empty_of_several_queues(box):
    for stream in ("a", "b", "c"):
        box.add_many(stream, 4)
    daemon = box.until_empty({s: {"exec": box.recording()} for s in ("a", "b", "c")})
    assert daemon.status == 0 and len(box.runs()) == 12


# ---- the name ----

def test_second_daemon_of_the_same_name_and_folder_is_refused(box):
    daemon = box.daemon()
    second = box.again(daemon, ready=False)
    second.allow_errors = True
    assert second.wait(10) == 1
    assert second.events("daemon.refused") and "h1" in second.tail()
    assert not second.events("daemon.ready")
    daemon.wait_event("job.succeeded", id=box.add())


def test_second_daemon_of_the_same_name_elsewhere_is_refused(box):
    """Another runtime folder (another container, another machine) but the same Redis and name."""
    daemon = box.daemon()
    os.makedirs(box.path("elsewhere"))
    second = box.daemon(control_socket=box.path("elsewhere", "c.sock"), ready=False)
    second.allow_errors = True
    assert second.wait(15) == 1
    assert second.events("daemon.refused")
    daemon.wait_event("job.succeeded", id=box.add())
    assert box.r.hexists(box.key("hosts"), "h1"), "the row is still the first one's"


def test_another_name_is_welcome(box):
    box.daemon(name="h1")
    box.daemon(name="h2")
    assert set(box.r.hkeys(box.key("hosts"))) == {"h1", "h2"}


def test_name_is_free_again_at_once_after_kill_9(box):
    daemon = box.daemon({"exec": ["/bin/true"], "lease": "60s"})
    daemon.kill9_all()
    before = time.monotonic()
    box.again(daemon)
    assert time.monotonic() - before < 8 * SLOW


# ---- words and codes ----

@pytest.mark.parametrize("program", [XACKD, XACKCTL])
def test_help_and_version(box, program):
    for option in ("--help", "--version"):
        done = subprocess.run([program, option], capture_output=True, text=True, timeout=10)
        assert done.returncode == 0 and done.stdout and not done.stderr
    assert "xack" in done.stdout


@pytest.mark.parametrize("args", [["--no-such-option"], ["surplus"], ["-c"], ["--print", "nonsense"]])
def test_usage(box, args):
    done = subprocess.run([XACKD] + args, capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL)
    assert done.returncode == 64 and done.stderr and not done.stdout


def test_wrong_configuration_ends_with_78(box):
    daemon = box.daemon(text='{"nonsense": 1}', ready=False)
    assert daemon.wait(10) == 78
    daemon.bad_lines.clear()
    daemon.read_log()
    assert any(b"nonsense" in line for line in daemon.bad_lines)
    daemon.bad_lines.clear()


def test_sd_notify(box):
    """READY=1 once connected, STATUS=, STOPPING=1; and no handler sees the socket."""
    path = box.path("notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        server.setblocking(False)
        said = []

        def heard(word):
            while True:
                try:
                    said.extend(server.recv(4096).decode().split("\n"))
                except BlockingIOError:
                    break
            return [line for line in said if line.startswith(word)]
        daemon = box.daemon({"exec": ["/bin/sh", "-c", "env > %s" % box.path("env")]}, env={"NOTIFY_SOCKET": path}, ready=False)
        wait_until(lambda: heard("READY=1"), 10)
        daemon.wait_event("daemon.ready")
        daemon.wait_event("job.succeeded", id=box.add())
        assert "NOTIFY_SOCKET" not in box.read("env")
        wait_until(lambda: heard("STATUS="), 15)
        assert daemon.stop() == 0
        assert heard("STOPPING=1")


def test_not_ready_before_redis_is_there(box):
    server = box.redis
    server.kill()
    daemon = box.daemon(ready=False)
    daemon.allow_errors = True
    wait_until(lambda: [e for e in daemon.read_log() if e["event"].startswith("redis.")], 10)
    assert not daemon.events("daemon.ready")
    server.start()
    daemon.wait_event("daemon.ready", timeout=20)
    daemon.wait_event("job.succeeded", id=box.add())


def test_stop_before_redis_was_ever_there(box):
    box.redis.kill()
    daemon = box.daemon(ready=False)
    daemon.allow_errors = True
    wait_until(lambda: [e for e in daemon.read_log() if e["event"].startswith("redis.")], 10)
    assert daemon.stop(12) in (0, 1)


def test_descriptor_limit_and_closed_stdio(box):
    """Started with 0, 1 and 2 closed, nothing of the daemon's lands there."""
    file = box.write_config(box.config({"exec": box.recording()}))
    entry = box.add()
    done = subprocess.run(["/bin/sh", "-c", 'exec "$0" -c "$1" --until-empty <&- >&- 2>&-', XACKD, file], timeout=30 * SLOW)
    assert done.returncode == 0 and box.runs() == [(entry, 1, 1)]
