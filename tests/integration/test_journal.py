"""log.format: journal: native fields by journald's own protocol, and a journald that is frozen or dead."""
import array
import os
import re
import socket

import pytest

from harness import in_sh, wait_until


class Journald:
    """What xackd takes for journald."""

    def __init__(self, box):
        self.path = box.path("journal")
        self.events = []
        self.bind()

    def bind(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.setblocking(False)

    def die(self):
        self.socket.close()
        os.unlink(self.path)

    def read(self):
        while True:
            try:
                data, control, _, _ = self.socket.recvmsg(1 << 20, socket.CMSG_SPACE(4))
            except BlockingIOError:
                return self.events
            for _, _, fds in control:
                fd = array.array("i", fds)[0]
                data = os.pread(fd, 1 << 24, 0)
                os.close(fd)
            self.events.append(fields(data))

    def find(self, name, **match):
        return [e for e in self.read() if e["XACKD_EVENT"] == name and all(e.get("XACKD_" + k.upper()) == v for k, v in match.items())]

    def wait(self, name, timeout=15, **match):
        return wait_until(lambda: self.find(name, **match), timeout, "%s %s among %s" % (name, match, self.events[-5:]))[0]


def fields(data):
    found = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(data[:8], "little")
            value, data = data[8:8 + size], data[8 + size + 1:]
        assert re.fullmatch(rb"[A-Z][A-Z0-9_]*", name), name
        found[name.decode()] = value.decode("utf-8", "replace")
    return found


@pytest.fixture
def journald(box):
    return Journald(box)


def start(box, journald, jobs, **over):
    daemon = box.daemon(jobs, ready=False, env={"XACKD_JOURNAL_SOCKET": journald.path}, log={"format": "journal", "level": "debug"}, **over)
    journald.wait("daemon.ready")
    return daemon


def test_fields_of_every_process(box, journald):
    daemon = start(box, journald, {"work": {"exec": in_sh("echo one; echo two >&2; exit 3"), "retry": {"max_attempts": 1}}})
    entry = box.add()
    dead = journald.wait("job.dead", id=entry)
    assert dead["XACKD_JOB"] == dead["XACKD_STREAM"] == "work" and dead["XACKD_GROUP"] == "xackd" and dead["XACKD_HOST"] == "h1"
    assert dead["XACKD_ATTEMPT"] == "1" and dead["XACKD_WORKER"] == "default/0" and dead["XACKD_REASON"] == "exit"
    assert dead["PRIORITY"] == "4" and dead["SYSLOG_IDENTIFIER"] == "xackd" and re.fullmatch("[0-9a-f]{32}", dead["MESSAGE_ID"])
    lines = {e["XACKD_LINE"]: e for e in journald.find("job.output", id=entry)}
    assert set(lines) == {"one", "two"} and lines["two"]["XACKD_FD"] == "2" and lines["one"]["MESSAGE"].endswith(": one")
    assert daemon.stop() == 0
    journald.wait("daemon.stopped")
    assert open(daemon.log).read() == "", "nothing on stderr"


@pytest.mark.parametrize("how", ["frozen", "dead"])
def test_journald_that_does_not_read_stops_nothing(box, journald, how):
    daemon = start(box, journald, {"work": {"exec": in_sh("echo a line"), "stdin": "none"}}, workers=2)
    if how == "dead":
        journald.die()
    entries = box.add_many("work", 1000)
    box.wait_done(timeout=30)
    if how == "dead":
        journald.bind()
    else:
        journald.read()
    last = box.add()
    journald.wait("job.succeeded", id=last)
    assert sum(int(e["XACKD_COUNT"]) for e in [journald.wait("log.dropped")]) > 0
    assert len(journald.find("job.succeeded")) < len(entries)
    assert daemon.stop() == 0


def test_auto_finds_the_journal_by_its_stream(box, journald):
    """$JOURNAL_STREAM names the file behind stderr: here that is the log's."""
    box.write("wrap", '#!/bin/sh\nexport JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2)\nexec "$@"\n', 0o755)
    daemon = box.daemon({"exec": ["/bin/true"]}, ready=False, prefix=[box.path("wrap")], env={"XACKD_JOURNAL_SOCKET": journald.path},
                        log={"format": "auto"})
    journald.wait("daemon.ready")
    entry = box.add()
    journald.wait("job.succeeded", id=entry)
    assert daemon.stop() == 0
    assert open(daemon.log).read() == ""


def test_without_a_journal_it_is_json(box):
    daemon = box.daemon({"exec": ["/bin/true"]}, env={"XACKD_JOURNAL_SOCKET": "/nonexistent"}, log={"format": "journal"})
    daemon.wait_event("job.succeeded", id=box.add())
