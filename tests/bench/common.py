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
import harness  # noqa: E402,F401

CPUS = os.cpu_count()
EXAMPLES = os.path.join(TOP, "contrib", "handlers")
RESULTS = os.path.join(HERE, "RESULTS.md")
TRUE = "/bin/true"


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
    """Processes that are ended together."""

    def __init__(self):
        self.processes = []

    def start(self, *command, **more):
        for stream in ("stdin", "stdout", "stderr"):
            more.setdefault(stream, subprocess.DEVNULL)
        process = subprocess.Popen(command, start_new_session=True, **more)
        self.processes.append(process)
        return process

    def end(self):
        for process in self.processes:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_port(port, limit=10):
    def listens():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0
    wait_for(listens, limit, 0.05)


def fill(box, stream, count, batch=10000):
    for start in range(0, count, batch):
        pipe = box.r.pipeline(transaction=False)
        for number in range(start, min(start + batch, count)):
            pipe.execute_command("XADD", stream, "*", "n", str(number))
        pipe.execute()


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
    """Rows of figures, one for each round. A ratio is the median of the rounds' ratios."""

    def __init__(self, title, limit, unit="jobs/s", of="of the limit"):
        self.title, self.limit, self.unit, self.of = title, limit, unit, of
        self.rows, self.skipped, self.notes = {}, {}, []

    def measure(self, name, function):
        if name in self.skipped:
            return
        try:
            self.rows.setdefault(name, []).append(function())
        except Skip as why:
            self.skipped[name] = str(why)
            self.rows.pop(name, None)
        print("%s: %s: %s" % (self.title, name, self.skipped.get(name) or number(self.rows[name][-1])), flush=True)

    def ratio(self, name, to):
        pairs = list(zip(self.rows[name], self.rows[to]))
        return statistics.median(a / b for a, b in pairs)

    def text(self):
        lines = ["## " + self.title, "", "| | %s (smallest – largest) | %s |" % (self.unit, self.of), "| --- | --- | --- |"]
        for name, values in self.rows.items():
            spread = "%s (%s – %s)" % tuple(number(v) for v in (statistics.median(values), min(values), max(values)))
            lines.append("| %s | %s | %s |" % (name, spread, "%.2f" % self.ratio(name, self.limit) if self.limit in self.rows else ""))
        lines += [""] + self.notes + ["Skipped: %s: %s." % item for item in self.skipped.items()]
        return "\n".join(lines).rstrip() + "\n"


# ---- RESULTS.md ----

def processor():
    with open("/proc/cpuinfo") as text:
        found = re.search(r"^model name\s*: (.*)", text.read(), re.M)
    return found.group(1) if found else platform.machine()


def head():
    version = re.search(r"v=(\S+)", subprocess.run(["redis-server", "--version"], capture_output=True, text=True).stdout).group(1)
    return ("# Results\n\nWritten by `tests/bench/run` and `tests/bench/scale` on %s: %s, %d CPUs, Linux %s, redis-server %s with AOF on a Unix socket. Medians of "
            "interleaved rounds; ratios are medians of the rounds' ratios. Read the ratios: the figures are the machine's.\n" % (
                time.strftime("%Y-%m-%d"), processor(), CPUS, platform.release(), version))


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


def dump(value):
    return json.dumps(value, ensure_ascii=False)
