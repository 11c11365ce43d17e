#!/usr/bin/python3
"""A TCP proxy before Redis that misbehaves on command.

    proxy.py SOCKET      prints its port; then reads commands from stdin, one a line:

    reset            every connection ends with RST, on both sides
    late SECONDS     what is sent on the connections of now waits that long and is delivered then, as a bad network does
    gone SECONDS     the server's side of each connection of now is closed, the client is told nothing: half-open; RST after SECONDS
    delay MS         from now on each chunk is forwarded MS later (0: at once)
    refuse SECONDS   new connections are reset for that long
"""
import os
import selectors
import socket
import struct
import sys
import time

CHUNK = 256 * 1024


class Side:
    """One socket of a pair, and what is still to be written to it: [(when, bytes)]."""

    def __init__(self, pair, sock):
        self.pair, self.sock, self.queue = pair, sock, []
        sock.setblocking(False)


class Pair:
    def __init__(self, client, server):
        self.client, self.server = Side(self, client), Side(self, server)
        self.held_until = 0
        self.doomed_at = 0
        self.gone = False

    def other(self, side):
        return self.server if side is self.client else self.client


class Proxy:
    def __init__(self, target):
        self.target = target
        self.delay = 0
        self.refuse_until = 0
        self.pairs = set()
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ, "listener")
        self.selector.register(sys.stdin.fileno(), selectors.EVENT_READ, "stdin")
        self.text = b""

    def accept(self):
        client, _ = self.listener.accept()
        server = socket.socket(socket.AF_UNIX)
        try:
            if time.monotonic() < self.refuse_until:
                raise OSError
            server.connect(self.target)
        except OSError:
            reset(client)
            server.close()
            return
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = Pair(client, server)
        self.pairs.add(pair)
        for side in (pair.client, pair.server):
            self.selector.register(side.sock, selectors.EVENT_READ, side)

    def drop(self, pair):
        if pair not in self.pairs:
            return
        self.pairs.discard(pair)
        for side in (pair.client, pair.server):
            if side.sock.fileno() >= 0:
                try:
                    self.selector.unregister(side.sock)
                except KeyError:
                    pass
                reset(side.sock)

    def watch(self, side):
        if side.sock.fileno() < 0 or side.pair not in self.pairs:
            return
        due = side.queue and side.queue[0][0] <= time.monotonic()
        self.selector.modify(side.sock, selectors.EVENT_READ | (selectors.EVENT_WRITE if due else 0), side)

    def handle(self, side, events):
        pair = side.pair
        if pair not in self.pairs:
            return
        try:
            if events & selectors.EVENT_READ:
                data = side.sock.recv(CHUNK)
                if not data:
                    self.drop(pair)
                    return
                if not pair.gone:
                    when = max(time.monotonic() + self.delay, pair.held_until)
                    to = pair.other(side)
                    to.queue.append((when, data))
                    self.flush(to)
            if events & selectors.EVENT_WRITE:
                self.flush(side)
        except BlockingIOError:
            pass
        except OSError:
            self.drop(pair)

    def flush(self, side):
        while side.queue and side.queue[0][0] <= time.monotonic():
            when, data = side.queue[0]
            try:
                sent = side.sock.send(data)
            except BlockingIOError:
                break
            if sent < len(data):
                side.queue[0] = (when, data[sent:])
                break
            side.queue.pop(0)
        self.watch(side)

    def hold(self, seconds):
        until = time.monotonic() + seconds
        for pair in self.pairs:
            pair.held_until = until
            for side in (pair.client, pair.server):
                side.queue = [(max(when, until), data) for when, data in side.queue]

    def half_open(self, seconds):
        for pair in list(self.pairs):
            if pair.gone:
                continue
            pair.gone = True
            pair.doomed_at = time.monotonic() + seconds
            self.selector.unregister(pair.server.sock)
            pair.server.sock.close()
            pair.client.queue = []

    def command(self, line):
        word, _, value = line.partition(" ")
        if word == "reset":
            for pair in list(self.pairs):
                self.drop(pair)
        elif word == "late":
            self.hold(float(value))
        elif word == "gone":
            self.half_open(float(value))
        elif word == "delay":
            self.delay = float(value) / 1000
        elif word == "refuse":
            self.refuse_until = time.monotonic() + float(value)

    def read_commands(self):
        data = os.read(sys.stdin.fileno(), 4096)
        if not data:
            raise SystemExit(0)
        *lines, self.text = (self.text + data).split(b"\n")
        for line in lines:
            self.command(line.decode())

    def tick(self):
        now = time.monotonic()
        for pair in list(self.pairs):
            if pair.doomed_at and pair.doomed_at < now:
                self.drop(pair)
                continue
            for side in (pair.client, pair.server):
                if side.queue and side.queue[0][0] <= now:
                    try:
                        self.flush(side)
                    except OSError:
                        self.drop(pair)
                        break

    def run(self):
        print(self.listener.getsockname()[1], flush=True)
        while True:
            waiting = self.delay or any(side.queue for pair in self.pairs for side in (pair.client, pair.server))
            for key, events in self.selector.select(0.002 if waiting else 0.1):
                if key.data == "listener":
                    self.accept()
                elif key.data == "stdin":
                    self.read_commands()
                else:
                    self.handle(key.data, events)
            self.tick()


def reset(sock):
    try:
        if sock.family == socket.AF_INET:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    except OSError:
        pass


if __name__ == "__main__":
    Proxy(sys.argv[1]).run()
