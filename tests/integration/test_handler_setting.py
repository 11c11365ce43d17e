"""cwd, umask, nice, limits, user, and the output of handlers."""
import os
import pwd

import pytest

from harness import SLOW, milliseconds, wait_until

ROOT = os.getuid() == 0


def run(box, script, **job):
    daemon = box.daemon(dict({"exec": ["/bin/sh", "-c", script], "retry": {"max_attempts": 1}}, **job))
    entry = box.add()
    wait_until(lambda: daemon.events("job.succeeded", id=entry) or daemon.events("job.dead", id=entry), 15)
    return daemon, entry


def test_cwd_umask_nice(box):
    os.mkdir(box.path("there"))
    daemon, entry = run(box, "pwd > out; umask >> out; nice >> out; : > made", cwd=box.path("there"), umask="027", nice=5)
    daemon.wait_event("job.succeeded", id=entry)
    assert box.lines("there/out") == [box.path("there"), "0027", "5"]
    assert os.stat(box.path("there/made")).st_mode & 0o777 == 0o640


def test_defaults_of_cwd_umask_nice(box):
    run(box, "(pwd; umask; nice) > %s" % box.path("out"))
    assert box.lines("out") == ["/", "0022", str(os.getpriority(os.PRIO_PROCESS, 0))]


def test_limit_of_files(box):
    run(box, "ulimit -n > %s" % box.path("out"), limits={"files": 64})
    assert box.lines("out") == ["64"]


def test_limit_of_cpu(box):
    daemon, entry = run(box, "while :; do :; done", limits={"cpu": "1s"}, timeout="30s")
    event = daemon.wait_event("job.failed", id=entry)
    assert event["reason"] == "signal" and event["signal"] in (9, 24) and event["duration_ms"] < 20000


def test_limit_of_memory(box):
    grow = "exec /usr/bin/python3 -c 'x = bytearray(300 << 20); print(len(x))'"
    daemon, entry = run(box, grow, limits={"memory": "100M"})
    event = daemon.wait_event("job.failed", id=entry)
    assert event["reason"] in ("exit", "signal", "oom")
    assert not daemon.events("job.output", id=entry, fd=1)


def test_limit_of_memory_that_suffices(box):
    daemon, entry = run(box, "exec /usr/bin/python3 -c 'x = bytearray(30 << 20)'", limits={"memory": "512M"})
    daemon.wait_event("job.succeeded", id=entry)


@pytest.mark.skipif(not ROOT, reason="needs root")
def test_user(box):
    nobody = pwd.getpwnam("nobody")
    daemon, entry = run(box, "(id -u; id -g; id -G; echo $HOME; echo $USER; echo $LOGNAME; echo $SHELL)", user="nobody")
    daemon.wait_event("job.succeeded", id=entry)
    assert [e["line"] for e in daemon.events("job.output", id=entry)] == [
        str(nobody.pw_uid), str(nobody.pw_gid), str(nobody.pw_gid), nobody.pw_dir, "nobody", "nobody", nobody.pw_shell]


@pytest.mark.skipif(not ROOT, reason="needs root")
def test_user_and_its_handler_can_be_killed(box):
    daemon, entry = run(box, "trap '' TERM; sleep 600 & wait; sleep 600", user="nobody", timeout="300ms", kill_grace="300ms")
    assert daemon.wait_event("job.failed", id=entry)["reason"] == "timeout"


def test_user_without_the_right_is_an_error(box):
    if ROOT:
        import subprocess

        from harness import XACKD
        file = box.write_config(box.config({"exec": ["/bin/true"], "user": "root"}))
        done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", XACKD, "-c", file, "--check"],
                              capture_output=True, text=True, timeout=20)
        if done.returncode in (126, 127):  # the build is where another user cannot look
            return
        status, text = done.returncode, done.stderr
    else:
        done = box.check(box.config({"exec": ["/bin/true"], "user": "root"}))
        status, text = done.returncode, done.stderr
    assert status == 78 and "user" in text


# ---- output ----

def test_output_becomes_events(box):
    daemon, entry = run(box, "echo to stdout; echo to stderr >&2; printf 'no newline'")
    daemon.wait_event("job.succeeded", id=entry)
    lines = {(e["fd"], e["line"]) for e in daemon.events("job.output", id=entry)}
    assert lines == {(1, "to stdout"), (2, "to stderr"), (1, "no newline")}
    event = daemon.events("job.output", id=entry)[0]
    assert event["job"] == "work" and event["attempt"] == 1 and event["worker"] == "default/0" and not event.get("cut")
    names = [e["event"] for e in daemon.read_log() if e.get("id") == entry]
    assert names.index("job.output") > names.index("job.started") and names[-1] == "job.succeeded"


def test_order_of_lines(box):
    daemon, entry = run(box, "i=0; while [ $i -lt 300 ]; do echo $i; i=$((i+1)); done")
    daemon.wait_event("job.succeeded", id=entry)
    assert [e["line"] for e in daemon.events("job.output", id=entry)] == [str(i) for i in range(300)]


def test_long_line_is_cut(box):
    daemon, entry = run(box, "head -c 100000 /dev/zero | tr '\\0' x; echo; echo next")
    daemon.wait_event("job.succeeded", id=entry)
    lines = daemon.events("job.output", id=entry)
    assert lines[0]["cut"] is True and lines[0]["line"].startswith("xxx") and len(lines[0]["line"]) == 16384
    assert lines[-1]["line"] == "next" and not lines[-1].get("cut")


def test_output_that_is_no_text(box):
    daemon, entry = run(box, "printf 'a\\377\\376b\\0c\\033[31m\\303\\050\\n'")
    daemon.wait_event("job.succeeded", id=entry)
    assert daemon.events("job.output", id=entry)[0]["line"] == "a\ufffd\ufffdb\0c\033[31m\ufffd("


def test_output_discarded(box):
    daemon, entry = run(box, "echo a; echo the reason >&2; exit 65", output="discard")
    daemon.wait_event("job.dead", id=entry)
    assert not daemon.events("job.output")
    assert box.wait_dead()[0]["stderr"].strip() == "the reason"


def test_flood_is_dropped_and_counted(box):
    """A million lines neither stop the handler nor fill the disk; what was dropped is said."""
    daemon, entry = run(box, "yes 0123456789012345678901234567890123456789 | head -n 1000000", timeout="2m")
    done = daemon.wait_event("job.succeeded", id=entry, timeout=60)
    assert done["duration_ms"] < 30000 * SLOW
    kept = len(daemon.events("job.output", id=entry))
    dropped = sum(e["count"] for e in daemon.events("log.dropped"))
    assert dropped > 0 and kept + dropped >= 1000000 - 1
    assert kept < 500000


def test_lines_of_many_writers_stay_whole(box):
    script = "i=0; while [ $i -lt 40 ]; do head -c 9000 /dev/zero | tr '\\0' $FIELD_N; echo; i=$((i+1)); done"
    daemon = box.daemon({"exec": ["/bin/sh", "-c", script]}, workers=4)
    for n in range(8):
        box.add(fields={"n": str(n)})
    box.wait_done(timeout=40)
    for event in daemon.events("job.output"):
        assert len(event["line"]) == 9000 and len(set(event["line"])) == 1
    assert not daemon.bad_lines


def test_reader_that_stops_reading_stops_nothing(box):
    """stderr is a pipe that nobody empties: work goes on, and the loss is told when reading goes on."""
    import fcntl
    import json
    import subprocess

    from harness import XACKD
    file = box.write_config(box.config({"exec": ["/bin/sh", "-c", "head -c 3000 /dev/zero | tr '\\0' x; echo; echo $XACKD_ID >> %s" % box.path("runs")]}))
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    daemon = subprocess.Popen([XACKD, "-c", file], stdin=subprocess.DEVNULL, stdout=writer, stderr=writer, start_new_session=True)
    os.close(writer)
    box.others.append(daemon)
    try:
        box.add_many("work", 150)
        wait_until(lambda: len(box.lines()) == 150, 40, "all run although nobody reads the log")
        box.wait_done()
        os.set_blocking(reader, False)
        text = b""

        def told():
            nonlocal text
            try:
                text += os.read(reader, 1 << 20)
            except BlockingIOError:
                pass
            return b"log.dropped" in text
        wait_until(told, 10, "log.dropped")
        daemon.terminate()

        def ended():
            told()
            return daemon.poll() is not None
        wait_until(ended, 15, "the daemon ends")
        assert daemon.returncode == 0
        while True:
            try:
                more = os.read(reader, 1 << 20)
            except BlockingIOError:
                break
            if not more:
                break
            text += more
        events = [json.loads(line) for line in text.split(b"\n")[:-1]]
        assert sum(e.get("count", 0) for e in events if e["event"] == "log.dropped") > 0
    finally:
        if daemon.poll() is None:
            daemon.kill()
            daemon.wait()
        os.close(reader)


def test_text_format(box):
    """Readable, one event a line, control characters escaped."""
    import subprocess

    from harness import XACKD
    file = box.write_config(box.config({"exec": ["/bin/sh", "-c", "printf 'x\\033[31my\\n'; exit 65"]}, log={"format": "text", "level": "info"}))
    entry = box.add()
    done = subprocess.run([XACKD, "-c", file, "--until-empty"], capture_output=True, timeout=30 * SLOW)
    assert done.returncode == 1
    lines = done.stderr.decode().split("\n")
    assert any(entry in line and "dead" in line for line in lines)
    assert b"\x1b" not in done.stderr


def test_level_filters(box):
    daemon = box.daemon(log={"format": "json", "level": "warning"}, ready=False)
    entry = box.add()
    box_done = lambda: box.groups() and box.pending_count() == 0 and box.groups()[0]["last-delivered-id"] == entry
    wait_until(box_done)
    assert daemon.stop() == 0
    assert not [e for e in daemon.read_log() if e["level"] not in ("warning", "error")]


def test_success_summary(box):
    daemon = box.daemon({"exec": ["/bin/sh", "-c", "exit $FIELD_N"], "retry": {"max_attempts": 1}}, log={"success": "summary"})
    for n in (0, 0, 0, 1):
        box.add(fields={"n": str(n)})
    box.wait_done()
    daemon.wait_event("job.dead")
    assert daemon.stop() == 0
    assert not daemon.events("job.succeeded") and len(daemon.events("job.failed")) == 1
    summaries = daemon.events("job.summary", job="work")
    assert summaries, "at the end at the latest"
    for kind in ("wait_ms", "duration_ms"):
        assert {"p50", "p95", "p99", "max"} <= summaries[-1][kind].keys()
    assert "succeeded" in str(summaries[-1]) or "3" in str(summaries[-1])


def test_times_fit_together(box):
    daemon = box.daemon({"exec": ["/bin/sh", "-c", "sleep 0.3"]})
    done = daemon.wait_event("job.succeeded", id=box.add())
    assert 300 <= done["duration_ms"] < 3000 * SLOW
    assert done["total_ms"] >= done["duration_ms"]
    started = daemon.events("job.started")[0]
    assert milliseconds(done["ts"]) - milliseconds(started["ts"]) >= 295
