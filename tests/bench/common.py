"""What the measurements share: a private Redis and daemons (the harness of the integration tests), tables, and the sections of RESULTS.md."""
import json
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, "tests", "integration"))
import harness  # noqa: E402

CPUS = os.cpu_count()
EXAMPLES = os.path.join(TOP, "contrib", "handlers")
RESULTS = os.path.join(HERE, "RESULTS.md")
TRUE = "/bin/true"


if not os.access(harness.XACKD, os.X_OK):
    sys.exit("%s is missing: make, or XACKD_BUILD=FOLDER" % harness.XACKD)


class Skip(Exception):
    pass


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Skip("%s is not installed" % program)


def compiled(folder, source, *libraries):
    path = os.path.join(folder, os.path.basename(source)[:-2])
    if not os.path.exists(path):
        subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-o", path, source] + list(libraries), check=True)
    return path


def output(*command):
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def wait_for(done, limit=120, step=0.005):
    end = time.monotonic() + limit
    while not done():
        if time.monotonic() > end:
            raise Skip("did not end within %d s" % limit)
        time.sleep(step)


class Group:
    """Processes that are ended together, with all that came of them."""

    def __init__(self):
        self.processes = []

    def start(self, *command, **more):
        for stream in ("stdin", "stdout", "stderr"):
            more.setdefault(stream, subprocess.DEVNULL)
        process = subprocess.Popen(command, start_new_session=True, **more)
        self.processes.append(process)
        return process

    def pids(self):
        """Theirs, and their descendants'."""
        roots = [process.pid for process in self.processes if process.poll() is None]
        return roots + [below.pid for pid in roots for below in harness.descendants(pid) if below.state not in "ZX"]

    def end(self):
        for pid in self.pids():
            harness.send(pid, signal.SIGKILL)
        for process in self.processes:
            process.wait()
        self.processes = []


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_port(port, limit=10):
    def listens():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0
    wait_for(listens, limit, 0.05)


def fill(box, stream, count, batch=5000):
    """As XADD of a producer would, but quickly."""
    step = box.r.register_script("for n = ARGV[1], ARGV[2] do redis.call('XADD', KEYS[1], '*', 'n', string.format('%d', n)) end")
    for start in range(0, count, batch):
        step(keys=[stream], args=[start, min(start + batch, count) - 1])


class Wire:
    """A connection to Redis without a library, whose time would be in the latency that is measured."""

    def __init__(self, box):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(box.redis.socket)
        self.replies = self.socket.makefile("rb")

    def ask(self, *words):
        """Gives the wall clock in s just before it was sent. For commands that answer with a number or a string."""
        raw = [str(word).encode() for word in words]
        text = b"*%d\r\n" % len(raw) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in raw)
        now = time.time()
        self.socket.sendall(text)
        line = self.replies.readline()
        if line[:1] == b"$":
            self.replies.read(int(line[1:]) + 2)
        assert line[:1] in (b"$", b":"), line
        return now

    def close(self):
        self.replies.close()
        self.socket.close()


def left(box):
    """How many entries still wait or run."""
    group = box.groups()[0]
    return (group["lag"] or 0) + group["pending"]


class Drain:
    """How fast something becomes less. It is asked rarely: each question is work for the machine that is measured."""

    def __init__(self, left):
        self.left, self.first = left, left()
        self.start = time.monotonic()

    def until(self, end, limit=170):
        """Jobs a second until at most `end` are left."""
        while True:
            left = self.left()
            took = time.monotonic() - self.start
            if left <= end:
                return (self.first - left) / took
            if took > limit:
                raise Skip("did not end within %d s" % limit)
            done = self.first - left
            time.sleep(min(0.25, max(0.002, took * (left - end) / done / 3 if done else 0.01)))


# ---- tables ----

def number(value):
    return "{:,.0f}".format(value) if value >= 100 else "%.3g" % value


class Table:
    """Rows of figures, one for each round, None where it failed. With a limit each row is measured beside it, and has a ratio for each round."""

    def __init__(self, title, limit=None, unit="jobs/s", of="of the limit", inverse=False, about=""):
        """limit: the row that the ratios refer to. inverse: how many times the row the limit is, not which part of the limit the row is. about: said below."""
        self.title, self.limit, self.unit, self.of, self.inverse, self.about = title, limit, unit, of, inverse, about
        self.rows, self.ratios, self.skipped, self.notes = {}, {}, {}, []

    def rounds(self):
        return max((len(values) for values in self.rows.values()), default=0)

    def put(self, done, name, value):
        values = self.rows.setdefault(name, [])
        values += [None] * (done - len(values)) + [value]

    def one(self, name, function):
        """A figure, or None."""
        try:
            value = function()
        except (Skip, AssertionError) as why:
            value, self.skipped[name] = None, str(why).split("\n")[0]
        print("%s: %s: %s" % (self.title, name, self.skipped[name] if value is None else number(value)), flush=True)
        return value

    def measure(self, rows):
        """One round: (name, function) each. The limit is measured once beside each of the others, since a shared machine is never the same for a minute;
        every other round goes the other way round, so that nothing always comes after the same."""
        done, limits = self.rounds(), []
        limit = dict(rows).get(self.limit)
        if limit:
            self.rows.setdefault(self.limit, [])
        for name, function in rows if done % 2 == 0 else rows[::-1]:
            if limit and name == self.limit:
                continue
            if not limit:
                self.put(done, name, self.one(name, function))
                continue
            pair = [self.one(*which) for which in ([(self.limit, limit), (name, function)] if done % 2 == 0 else [(name, function), (self.limit, limit)])]
            of, value = pair if done % 2 == 0 else pair[::-1]
            limits.append(of)
            self.put(done, name, value)
            if of and value:
                self.ratios.setdefault(name, []).append(of / value if self.inverse else value / of)
        if limit:
            self.put(done, self.limit, statistics.median(limits) if limits and None not in limits else None)

    def figures(self, name):
        return [value for value in self.rows.get(name, []) if value is not None]

    def ratio(self, name):
        if not self.ratios.get(name):
            return ""
        values = self.ratios[name]
        return "%s (%s – %s)" % tuple("%.2f" % ratio if ratio < 20 else "%.0f" % ratio for ratio in (statistics.median(values), min(values), max(values)))

    def text(self):
        lines = ["## " + self.title, "", "| | %s |" % self.unit + (" %s |" % self.of if self.limit else ""), "| --- | --- |" + (" --- |" if self.limit else "")]
        for name, values in ((name, self.figures(name)) for name in self.rows):
            if values:
                spread = "%s (%s – %s)" % tuple(number(v) for v in (statistics.median(values), min(values), max(values)))
                lines.append("| %s | %s |" % (name, spread) + (" %s |" % self.ratio(name) if self.limit else ""))
        many = self.rounds()
        lines += ["", ("%d round%s. %s" % (many, "" if many == 1 else "s", self.about)).rstrip()] + self.notes
        lines += ["Skipped: %s: %s." % item for item in self.skipped.items() if not self.figures(item[0])]
        return "\n".join(lines).rstrip() + "\n"


class Kept:
    """Tables in a file, so that many short runs make one long one. Without a file they begin anew."""

    def __init__(self, path, tables):
        self.path, self.tables, self.others = path, tables, {}
        if path and os.path.exists(path):
            with open(path) as file:
                self.others = json.load(file)
        for name, table in tables.items():
            kept = self.others.pop(name, {})
            table.rows, table.ratios, table.notes = (kept.get(part, empty) for part, empty in (("rows", {}), ("ratios", {}), ("notes", [])))

    def save(self):
        if self.path:
            kept = {name: {"rows": table.rows, "ratios": table.ratios, "notes": table.notes} for name, table in self.tables.items() if table.rows}
            with open(self.path, "w") as file:
                json.dump(dict(self.others, **kept), file, ensure_ascii=False, indent=1)


# ---- RESULTS.md ----

def processor():
    with open("/proc/cpuinfo") as text:
        found = re.search(r"^model name\s*: (.*)", text.read(), re.M)
    return found.group(1) if found else platform.machine()


def said(*command):
    """What a program says of itself, or nothing."""
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=TOP).stdout.strip()
    except OSError:
        return ""


def head():
    redis = re.search(r"v=(\S+)", said("redis-server", "--version")).group(1)
    revision = said("git", "log", "-1", "--format=%h", "--", "src")
    return ("# Results\n\nWritten by `tests/bench/run` and `tests/bench/scale` on %s: %s%s on %s, %d CPUs, Linux %s, redis-server %s with AOF on a Unix socket. "
            "Medians of interleaved rounds, with the smallest and the largest in brackets. In each round the limit is measured beside each row, and a ratio is the "
            "median of these pairs' ratios: read them, the figures are the machine's.\n" % (time.strftime("%Y-%m-%d"), said(harness.XACKD, "--version").split("\n")[0], revision and " (%s)" % revision, processor(), CPUS,
                                  platform.release(), redis))


def store(path, sections):
    """Replace these sections (a title, and the text below), keep the others, in their order."""
    try:
        with open(path) as file:
            old = file.read()
    except FileNotFoundError:
        old = ""
    parts = re.split(r"^(?=## )", old, flags=re.M)[1:]
    known = {part.split("\n", 1)[0]: part.rstrip() + "\n" for part in parts}
    for section in sections:
        known[section.split("\n", 1)[0]] = section.rstrip() + "\n"
    with open(path, "w") as file:
        file.write("\n".join([head()] + list(known.values())))
