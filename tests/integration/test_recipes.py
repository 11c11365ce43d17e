"""What is shipped for other programs: alerts, dashboards, lnav's format, recipes. Each is tried with that program on a real run, and names only what there is."""
import glob
import json
import os
import re
import shutil
import subprocess
import threading
import urllib.parse

import pytest

from harness import TOP, in_sh, wait_until
from test_journal import Journald
from test_metrics import free_port, get, listening, scrape, value

CONTRIB = os.path.join(TOP, "contrib")
RULES = os.path.join(CONTRIB, "prometheus")
OURS = re.compile(r"\bxackd_[a-z_]+\b")

needs_prometheus = pytest.mark.skipif(not shutil.which("prometheus") or not shutil.which("promtool"), reason="prometheus is not installed")
needs_lnav = pytest.mark.skipif(not shutil.which("lnav"), reason="lnav is not installed")
needs_jq = pytest.mark.skipif(not shutil.which("jq"), reason="jq is not installed")


def read(*path):
    with open(os.path.join(TOP, *path), encoding="utf-8") as text:
        return text.read()


def run(*command, **how):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, **how)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def eventful(box, **over):
    """A daemon with something of everything behind it: successes, retries, dead letters, output, a worker that died."""
    handler = in_sh('echo "said $FIELD_N"; [ "$FIELD_N" -gt 2 ] || { echo no >&2; exit 3; }; [ "$FIELD_N" != 5 ] || [ $XACKD_ATTEMPT -gt 1 ] || kill -9 $PPID')
    daemon = listening(box, {"work": {"exec": handler, "retry": {"max_attempts": 2}}}, **over)
    box.add_many("work", 12)
    box.wait_done(timeout=60)
    box.wait_dead(3)
    return daemon


# ---- Prometheus ----

@needs_prometheus
def test_alerts():
    run("promtool", "check", "rules", "xackd.rules.yml", cwd=RULES)
    run("promtool", "test", "rules", "xackd.rules.test.yml", cwd=RULES)
    alerts = set(re.findall(r"- alert: (\w+)", read("contrib/prometheus/xackd.rules.yml")))
    tested = set(re.findall(r"- name: (\w+)", read("contrib/prometheus/xackd.rules.test.yml")))
    assert len(alerts) >= 10 and tested == alerts


class Prometheus:
    """A private one, with the shipped configuration but for the target."""

    def __init__(self, box, daemon):
        folder = box.path("prometheus")
        shutil.copytree(RULES, folder)
        with open(os.path.join(folder, "prometheus.yml")) as text:
            config = text.read()
        assert "127.0.0.1:9127" in config
        config = config.replace("127.0.0.1:9127", "127.0.0.1:%d" % daemon.port).replace("scrape_interval: 15s", "scrape_interval: 1s\n  evaluation_interval: 1s")
        with open(os.path.join(folder, "prometheus.yml"), "w") as text:
            text.write(config)
        run("promtool", "check", "config", "prometheus.yml", cwd=folder)
        self.port = free_port()
        self.log = os.path.join(folder, "log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
                                             "--web.listen-address=127.0.0.1:%d" % self.port], cwd=folder, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True)
        box.others.append(self.process)
        wait_until(self.ready, 60, "prometheus is ready")

    def ready(self):
        assert self.process.poll() is None, open(self.log).read()[-1000:]
        try:
            return get(self.port, "/-/ready")[0] == 200
        except OSError:
            return False

    def ask(self, path, **query):
        status, _, text = get(self.port, "/api/v1/%s?%s" % (path, urllib.parse.urlencode(query)))
        answer = json.loads(text)
        assert answer["status"] == "success", (query, answer)
        return answer["data"]

    def query(self, expression):
        return self.ask("query", query=expression)["result"]

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


def panels(name):
    with open(os.path.join(CONTRIB, "grafana", name)) as text:
        board = json.load(text)
    assert len({p["id"] for p in board["panels"]}) == len(board["panels"])
    known = {v["name"] for v in board["templating"]["list"]}
    expressions = [t["expr"] for p in board["panels"] for t in p["targets"]] + [a["expr"] for a in board["annotations"]["list"]]
    for expression in expressions:
        used = set(re.findall(r"\$\{?([a-z_]+)", expression)) - {"__rate_interval", "__interval", "__range"}
        assert used <= known, expression
    return board, expressions


def filled_in(expression):
    for name, text in (("$__rate_interval", "1m"), ("$instance", ".*"), ("$job_name", ".*"), ("$stream", ".*")):
        expression = expression.replace(name, text)
    assert "$" not in expression
    return expression


@needs_prometheus
def test_prometheus_scrapes_and_the_dashboard_asks_it(box):
    """Every panel's query is one that Prometheus takes, of metrics and labels that it has; the variables have values; the rules load."""
    daemon = eventful(box)
    prometheus = Prometheus(box, daemon)
    try:
        wait_until(lambda: prometheus.query('up{job="xackd"} == 1'), 60, "the daemon is scraped", step=0.2)
        wait_until(lambda: prometheus.query('xackd_jobs_total{job_name="work",outcome="succeeded"} == 9'), 60, "the counts are there", step=0.2)
        assert not prometheus.query('{__name__=~"xackd_.*", exported_job!=""}')
        assert {rule["health"] for rule in prometheus.ask("rules")["groups"][0]["rules"]} <= {"ok", "unknown"}
        wait_until(lambda: all(rule["health"] == "ok" for rule in prometheus.ask("rules")["groups"][0]["rules"]), 90, "the rules were evaluated", step=0.5)
        wait_until(lambda: prometheus.query("count_over_time(xackd_redis_connected[1m]) >= 3"), 60, "some scrapes", step=0.2)
        board, expressions = panels("xackd-prometheus.json")
        assert len(expressions) > 20
        silent = [e for e in expressions if not prometheus.query(filled_in(e))]
        # What there is nothing of: no reload, no other start.
        assert [e for e in silent if "== 0" not in e and "> 0" not in e] == []
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]).groups()
                assert prometheus.query('%s{%s!=""}' % (metric, label))
    finally:
        prometheus.stop()


def names_of(daemon):
    return {re.sub(r"_(bucket|count|sum)$", "", name) if name.endswith(("_bucket", "_count", "_sum")) else name for name, _ in scrape(daemon)}


def test_all_name_metrics_that_exist(box):
    """Rules, dashboards and the manual name only metrics and labels that a scrape has; the manual names all of them."""
    daemon = listening(box)
    box.add()
    box.wait_done()
    wait_until(lambda: value(scrape(daemon), "xackd_queue_length") is not None, 20)
    names = names_of(daemon)
    manual = set(re.findall(r"^\.It Ql (xackd_\w+)", read("src/man/xackd-metrics.7"), re.M))
    assert manual == names
    for file in ("contrib/prometheus/xackd.rules.yml", "contrib/prometheus/xackd.rules.test.yml", "contrib/grafana/xackd-prometheus.json"):
        used = {re.sub(r"_(bucket|count|sum)$", "", name) for name in OURS.findall(read(file))}
        assert used <= names, (file, used - names)
    labels = {label for _, pairs in scrape(daemon) for label, _ in pairs}
    told = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"^\.It Ql xackd_\w+ Brq (.*)$", read("src/man/xackd-metrics.7"), re.M)))) | {"stream", "group"}
    assert told == labels - {"le"}
    for expression in panels("xackd-prometheus.json")[1] + re.findall(r"expr: ?>?((?:.|\n)*?)\n        (?:for|labels):", read("contrib/prometheus/xackd.rules.yml")):
        used = set(re.findall(r"([a-z_]+)(?:=~|!=|=)\"", expression)) | {
            label for by in re.findall(r"\bby \(([^)]*)\)", expression) for label in re.findall(r"\w+", by)}
        assert used <= labels | {"instance", "job"}, expression


# ---- Loki ----

def fields_of_events():
    """Every field that some event has: from the source, and those of each event."""
    found = {"ts", "level", "event", "host", "job", "stream", "group", "id", "attempt", "worker", "pid"}
    for path in glob.glob(os.path.join(TOP, "src", "*", "*.c")):
        with open(path, encoding="utf-8") as text:
            found |= set(re.findall(r'\bF_[A-Z0-9_]+\("([a-z_0-9]+)"', text.read()))
    return found


def test_loki_dashboard_names_events_and_fields_that_exist():
    board, expressions = panels("xackd-loki.json")
    events = set(re.findall(r'^EVENT\(\w+, "([a-z._]+)"', read("src/log/events.def"), re.M))
    fields = fields_of_events()
    manual = read("src/man/xackd-events.7")
    assert len(expressions) >= 15
    for expression in expressions:
        assert re.search(r"\{\$\{selector:raw\}\} \| json ", expression), expression
        taken = dict(re.findall(r'([a-z_]+)="([a-z_]+)"', re.search(r"\| json ([^|]*)", expression).group(1)))
        assert set(taken.values()) <= fields, expression
        assert all(re.search(r"\b%s\b" % field, manual) for field in taken.values()), expression
        for pattern in re.search(r'event=~"([^"]*)"', expression).group(1).split("|"):
            assert any(re.fullmatch(pattern, name) for name in events), pattern
        used = set(re.findall(r"\{\{\.(\w+)\}\}", expression)) | set(re.findall(r"unwrap (\w+)", expression)) | {
            label for by in re.findall(r"\bby \(([^)]*)\)", expression) for label in re.findall(r"\w+", by)}
        assert used <= taken.keys(), expression
        assert expression.count("(") == expression.count(")") and expression.count("{") == expression.count("}")


# ---- lnav and jq ----

@needs_lnav
def test_lnav(box):
    daemon = eventful(box)
    daemon.stop()
    home = box.path("home")
    os.mkdir(home)
    environment = {"HOME": home, "PATH": os.environ["PATH"], "TERM": "dumb", "LC_ALL": "C.UTF-8"}
    run("lnav", "-i", os.path.join(CONTRIB, "lnav", "xackd.json"), env=environment, stdin=subprocess.DEVNULL)
    rows = json.loads(run("lnav", "-n", "-c", ";SELECT log_level, event, job, id, attempt, duration_ms FROM xackd_log", "-c", ":write-json-to -", daemon.log,
                          env=environment, stdin=subprocess.DEVNULL))
    seen = daemon.events()
    assert len(rows) == len(seen) > 20
    for row, event in zip(rows, seen):
        assert (row["log_level"], row["event"]) == (event["level"], event["event"])
        for name in ("job", "id", "attempt", "duration_ms"):
            assert str(row[name]) == str(event.get(name))
    text = run("lnav", "-n", daemon.log, env=environment, stdin=subprocess.DEVNULL)
    assert re.search(r"^\d\d-\d\d \d\d:\d\d:\d\d\.\d+ job\.dead +work \d+-0 exit 3", text, re.M)


def recipes(page):
    """The commands in the page's displays."""
    text = read("src", "man", page)
    return [block.replace("\\e", "\\") for block in re.findall(r"^\.Bd -literal -offset indent\n(.*?)^\.Ed", text, re.M | re.S)]


@needs_jq
def test_recipes_read_the_log(box):
    """Each recipe that reads a file of lines gives something, from a log in the journal's own fields, too."""
    journald = Journald(box)
    daemon = eventful(box)
    daemon.stop()
    box.r.flushall()
    done = threading.Event()

    def keep_reading():
        while not done.wait(0.002):
            journald.read()
    reader = threading.Thread(target=keep_reading)
    reader.start()
    try:
        eventful(box, name="native", ready=False, log={"format": "journal"}, env={"XACKD_JOURNAL_SOCKET": journald.path}).stop()
    finally:
        done.set()
        reader.join()
    entries = box.write("entries", "".join(
        json.dumps(dict(e, __REALTIME_TIMESTAMP="1795489978356123", _PID="7")) + "\n" for e in journald.read()) + '{"MESSAGE":"of somebody else","PRIORITY":"6"}\n')
    turned = [r for r in recipes("xackd-events.7") if r.startswith("journalctl -u xackd -o json ")]
    assert len(turned) == 1
    run("sh", "-c", turned[0].replace("journalctl -u xackd -o json", "cat " + entries).replace(">xackd.log", ">turned.log"), cwd=box.folder)
    turned_events = [json.loads(line) for line in box.lines("turned.log")]
    assert len(turned_events) == len(journald.events)
    dead = [e for e in turned_events if e["event"] == "job.dead"]
    assert len(dead) == 3 and dead[0]["level"] == "warning" and dead[0]["attempts"] == 2 and dead[0]["ts"].startswith("2026-11-24T")

    reading = [r for r in recipes("xackd-events.7") if r.startswith("jq ")]
    assert len(reading) >= 5
    for log in (daemon.log, box.path("turned.log")):
        for recipe in reading:
            assert run("sh", "-c", recipe.replace("xackd.log", log), cwd=box.folder).strip(), recipe
    by_reason = [r for r in reading if ".detail" in r][0]
    assert re.search(r"^ +6 work\texit 3$", run("sh", "-c", by_reason.replace("xackd.log", daemon.log)), re.M)
    fields = [r for r in recipes("xackd-events.7") if "XACKD_DETAIL" in r][0]
    failed = box.write("failed", "".join(json.dumps(e) + "\n" for e in journald.events if e["XACKD_EVENT"] == "job.failed"))
    given = run("sh", "-c", re.sub(r"journalctl .*?\|\n", "cat %s |\n" % failed, fields))
    assert re.search(r"^ +6 work\texit 3$", given, re.M)
