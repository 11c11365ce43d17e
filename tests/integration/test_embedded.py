"""redis.url: embedded: a redis-server of the daemon's own."""
import os
import signal

import pytest
import redis

from harness import alive, children, command_line, executable, send, wait_until


@pytest.fixture
def embedded(box):
    """Gives a starter of daemons; the box's client then talks to the embedded server."""
    def start(jobs=None, **over):
        over.setdefault("redis", {"url": "embedded"})
        over.setdefault("state_dir", box.path("state"))
        box._redis = Server(box)
        return box.daemon(jobs, **over)
    return start


class Server:
    """Where the daemon's own Redis listens."""

    def __init__(self, box):
        self.socket = box.path("state", "redis.sock")
        self.url = "unix://" + self.socket

    def client(self, **more):
        return redis.Redis(unix_socket_path=self.socket, decode_responses=True, encoding_errors="surrogateescape", **more)


def server_pid(daemon):
    found = [p.pid for p in children(daemon.pid) if os.path.basename(executable(p.pid)).startswith("redis-")]
    assert len(found) == 1, found
    return found[0]


def test_works_and_ends_with_its_supervisor(box, embedded):
    daemon = embedded({"exec": box.recording()})
    entry = box.add()
    daemon.wait_event("job.succeeded", id=entry)
    pid = server_pid(daemon)
    assert box.r.config_get("appendonly")["appendonly"] == "yes"
    assert box.r.config_get("port")["port"] == "0", "a unix socket and nothing else"
    assert os.stat(box.path("state", "redis.sock")).st_mode & 0o007 == 0
    assert "redis" in command_line(pid)
    assert daemon.stop() == 0
    assert not alive(pid)
    assert not os.path.exists(box.path("state", "redis.sock"))


def test_data_survive_a_restart(box, embedded):
    daemon = embedded({"exec": box.recording("test $XACKD_ATTEMPT -gt 1"), "retry": {"initial": "3s"}})
    entry = box.add()
    daemon.wait_event("job.retry", id=entry)
    assert daemon.stop() == 0
    again = box.again(daemon)
    assert again.wait_event("job.succeeded", id=entry)["attempt"] == 2
    assert box.r.xlen("work") == 1


def test_killed_server_is_restarted(box, embedded):
    gate = box.gate()
    daemon = embedded({"exec": box.recording(": < " + gate.path)})
    daemon.allow_errors = True
    entry = box.add()
    box.wait_runs(1)
    old = server_pid(daemon)
    send(old, signal.SIGKILL)
    gate.open()
    daemon.wait_event("job.succeeded", id=entry, timeout=20)
    wait_until(lambda: server_pid(daemon) != old, 10)
    fresh = box.add()
    daemon.wait_event("job.succeeded", id=fresh, timeout=20)
    box.wait_done()
    assert [r[0] for r in box.runs()] == [entry, fresh]
    assert not daemon.events("worker.exited")


def test_ends_when_its_supervisor_is_killed(box, embedded):
    daemon = embedded({"exec": box.recording("test $XACKD_ATTEMPT -gt 1 || sleep 600")})
    entry = box.add()
    box.wait_runs(1)
    old = server_pid(daemon)
    daemon.kill9()
    wait_until(lambda: not alive(old), 10, "the server goes with its supervisor")
    again = box.again(daemon)
    assert again.wait_event("job.succeeded", id=entry, timeout=20)["attempt"] == 2
    assert server_pid(again) != old


def test_left_over_server_is_dealt_with(box, embedded):
    """One that still runs on the socket (its supervisor died, it did not) is not a second writer to the files."""
    import subprocess
    daemon = embedded({"exec": box.recording()})
    daemon.wait_event("job.succeeded", id=box.add())
    assert daemon.stop() == 0
    stray = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", box.path("state", "redis.sock"), "--dir", box.path("state"),
                              "--appendonly", "yes", "--save", ""], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    box.others.append(stray)
    try:
        wait_until(lambda: os.path.exists(box.path("state", "redis.sock")), 10)
        again = box.again(daemon, ready=False)
        again.allow_errors = True
        wait_until(lambda: again.events("daemon.ready") or again.process.poll() is not None, 25)
        if again.events("daemon.ready"):
            again.wait_event("job.succeeded", id=box.add(), timeout=20)
        else:
            assert again.process.returncode == 1 and again.tail()
    finally:
        stray.kill()
        stray.wait()


def test_until_empty_with_embedded(box, embedded):
    daemon = embedded({"exec": box.recording()})
    assert daemon.stop() == 0
    assert box.until_empty(redis={"url": "embedded"}, state_dir=box.path("state")).status == 0


def test_ctl_finds_the_embedded_server(box, embedded):
    daemon = embedded({"exec": box.recording()})
    entry = box.ctl("add", "work", "a=b").text.strip()
    daemon.wait_event("job.succeeded", id=entry)
    assert daemon.stop() == 0
    assert box.ctl("queues", status=69).errors


def test_signals_of_the_terminal_do_not_reach_it(box, embedded):
    """Ctrl-C goes to the whole foreground group: Redis must outlive the workers' last acknowledgement."""
    daemon = embedded({"exec": box.recording("sleep 0.5")})
    entry = box.add()
    box.wait_runs(1)
    os.killpg(daemon.pid, signal.SIGINT)
    assert daemon.wait(15) == 0
    assert daemon.events("job.succeeded", id=entry)
    box.again(daemon)
    box.wait_pending(0)
    assert len(box.runs()) == 1
