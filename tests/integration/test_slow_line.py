"""A line to Redis on which a large entry takes longer than a command may."""
import os
import socket
import threading
import time


def slow_line(path, target, bytes_a_second):
    """A listener at path that passes everything on to target, at most so fast each way."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(16)

    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
                time.sleep(len(data) / bytes_a_second)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def accept():
        while True:
            try:
                client, _ = listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(target)
            except OSError:
                return
            for pair in ((client, server), (server, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    return listener


def test_a_large_entry_over_a_slow_line(box):
    """It takes far longer than a command may, both ways; as long as bytes come, the answer is on its way."""
    box.redis_server()
    path = box.path("line")
    with slow_line(path, box.redis.socket, 3 << 20):
        payload = os.urandom(1 << 20) * 9
        daemon = box.daemon({"exec": ["/bin/sh", "-c", "sha256sum >> %s; exit 65" % box.path("sum")], "stdin": "payload"},
                            redis={"url": "unix://" + path, "command_timeout": "1s"})
        entry = box.raw("XADD", "work", "*", "payload", payload).decode()
        daemon.wait_event("job.started", id=entry, timeout=40)
        box.r.xdel("work", entry)  # so its worker has to send the pairs
        daemon.wait_event("job.dead", id=entry, attempt=1, timeout=60)
        assert box.dead()[0]["pairs"] == [(b"payload", payload)] and len(box.lines("sum")) == 1
        assert not daemon.events("redis.lost") and not daemon.events("worker.exited")
        assert daemon.stop() == 0
