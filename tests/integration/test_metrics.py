"""Metrics: what a scrape says after real runs, that it never goes back, and that nobody who asks can hold the daemon up."""
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

from harness import SLOW, alive, in_sh, send, wait_until

OPENMETRICS = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (-?[0-9.]+)')


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listening(box, jobs=None, **over):
    """A daemon that serves its metrics; the port may be taken meanwhile, which it would say."""
    over.setdefault("metrics", {"listen": "127.0.0.1:%d" % free_port()})
    daemon = box.daemon(jobs, **over)
    daemon.port = int(over["metrics"]["listen"].rpartition(":")[2])
    return daemon


def get(port, path="/metrics", method="GET", headers=None, host="127.0.0.1"):
    connection = http.client.HTTPConnection(host, port, timeout=20 * SLOW)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()
    finally:
        connection.close()


def labels_of(text):
    return tuple(sorted(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', text or "")))


def parse(text):
    """{(name, labels): value}; fails at anything that is neither a comment nor a sample, or that comes twice."""
    assert text.endswith("# EOF\n")
    found = {}
    for line in text.split("\n")[:-1]:
        if line.startswith("# "):
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        key = (match.group(1), labels_of(match.group(2)))
        assert key not in found, line
        found[key] = float(match.group(3))
    return found


def scrape(daemon):
    status, headers, text = get(daemon.port, headers={"Accept": OPENMETRICS})
    assert status == 200, text
    return parse(text)


def value(samples, name, **labels):
    """The sum of all samples of that name that have these labels; None: there is none."""
    found = [v for (n, pairs), v in samples.items() if n == name and labels.items() <= dict(pairs).items()]
    return sum(found) if found else None


def wait_value(daemon, wanted, name, timeout=20, **labels):
    wait_until(lambda: value(scrape(daemon), name, **labels) == wanted, timeout,
               "%s %s is %s (now %s)" % (name, labels, wanted, value(scrape(daemon), name, **labels)), step=0.1)


def counters(samples):
    return {key: v for key, v in samples.items() if key[0].endswith(("_total", "_bucket", "_count", "_sum"))}


def assert_never_back(before, after):
    before, after = counters(before), counters(after)
    assert before.keys() <= after.keys()
    back = {key: (before[key], after[key]) for key in before if after[key] < before[key]}
    assert not back, back


# ---- the two forms, and what they say ----

def test_counts_of_a_run(box):
    """Every outcome once or more, each counted where it belongs; both forms say the same."""
    handler = in_sh('case $FIELD_DO in ok) exit 0 ;; fail) exit 3 ;; dead) exit 65 ;; later) [ $XACKD_DELIVERY -gt 1 ] || { echo LATER=0.1 >&3; exit 1; } ;; '
                    'kill) kill -9 $$ ;; esac')
    daemon = listening(box, {"work": {"exec": handler, "match": {"kind": "a"}, "retry": {"max_attempts": 2}}, "idle": {"exec": ["/bin/true"]}})
    for do, count in (("ok", 5), ("fail", 2), ("dead", 1), ("later", 1), ("kill", 1)):
        for _ in range(count):
            box.add(fields={"kind": "a", "do": do})
    box.add(fields={"kind": "nobody's"})
    box.wait_done(timeout=40)
    wait_value(daemon, 6, "xackd_jobs_total", job_name="work", outcome="succeeded")
    wait_value(daemon, 5, "xackd_queue_dead_letters", stream="work")
    seen = scrape(daemon)

    def outcomes(job):
        return {dict(pairs)["outcome"]: v for (name, pairs), v in seen.items() if name == "xackd_jobs_total" and dict(pairs)["job_name"] == job}
    assert outcomes("work") == {"succeeded": 6, "retried": 3, "later": 1, "dead": 4, "released": 0, "stale": 0}
    assert not any(outcomes("idle").values())
    assert value(seen, "xackd_job_failures_total", job_name="work", reason="exit") == 2 * 2 + 1 + 1
    assert value(seen, "xackd_job_failures_total", job_name="work", reason="signal") == 2
    assert value(seen, "xackd_dead_letters_total", stream="work", reason="exit") == 3
    assert value(seen, "xackd_dead_letters_total", stream="work", reason="signal") == 1
    assert value(seen, "xackd_dead_letters_total", stream="work", reason="no_job") == 1
    assert value(seen, "xackd_job_run_seconds_count", job_name="work") == 6 + 8
    assert value(seen, "xackd_job_run_seconds_bucket", job_name="work", le="+Inf") == 6 + 8
    assert value(seen, "xackd_job_wait_seconds_count", job_name="work") == 10 + 1  # each first attempt, and that of `later` once more
    assert value(seen, "xackd_workers", pool="default") == 1
    assert value(seen, "xackd_redis_connected") == 1
    assert value(seen, "xackd_build_info") == 1
    assert abs(value(seen, "xackd_start_time_seconds") - time.time()) < 600
    assert value(seen, "xackd_job_info", job_name="idle", stream="idle", group="xackd", pool="default") == 1

    status, headers, text = get(daemon.port)
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
    classic = parse(text)
    assert {key: v for key, v in classic.items() if key in counters(classic)} == counters(seen)
    status, headers, text = get(daemon.port, headers={"Accept": OPENMETRICS})
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert "# TYPE xackd_jobs counter\n" in text and "# TYPE xackd_jobs_total counter\n" not in text


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (Debian's package prometheus)")
def test_promtool_has_nothing_to_say(box):
    daemon = listening(box)
    box.add_many("work", 3)
    box.wait_done()
    wait_value(daemon, 3, "xackd_queue_length", stream="work")
    text = get(daemon.port)[2]
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_the_reference_parser_reads_both_forms(box):
    """prometheus_client is stricter than Prometheus: order, types, bounds, what a name may be."""
    reader = pytest.importorskip("prometheus_client")
    assert reader
    from prometheus_client import parser
    from prometheus_client.openmetrics import parser as open_parser
    daemon = listening(box, {"exec": ["/bin/false"]})
    box.add_many("work", 3)
    daemon.wait_event("job.failed", count=3)
    wait_value(daemon, 3, "xackd_queue_length", stream="work")
    families = {f.name: f for f in open_parser.text_string_to_metric_families(get(daemon.port, headers={"Accept": OPENMETRICS})[2])}
    assert families["xackd_jobs"].type == "counter" and families["xackd_build"].type == "info" and families["xackd_job_run_seconds"].type == "histogram"
    older = {f.name: f for f in parser.text_string_to_metric_families(get(daemon.port)[2])}
    assert {s.name for f in older.values() for s in f.samples} == {s.name for f in families.values() for s in f.samples}
    assert all(f.documentation for f in families.values())


def test_queue_figures(box):
    gate = box.gate()
    daemon = listening(box, {"work": {"exec": in_sh("read x < %s" % gate.path), "timeout": "10m"}, "bad": {"exec": ["/bin/false"], "retry": {"initial": "1h"}, "pool": "bad"}},
                       pools={"bad": {"workers": 1}})
    box.add_many("work", 4)
    box.add("bad")
    for name, wanted in (("length", 4), ("running", 1), ("waiting", 3), ("parked", 0), ("later", 0), ("dead_letters", 0), ("paused", 0)):
        wait_value(daemon, wanted, "xackd_queue_" + name, stream="work", group="xackd")
    wait_value(daemon, 1, "xackd_queue_parked", stream="bad")
    wait_value(daemon, 0, "xackd_queue_due", stream="bad")
    wait_value(daemon, 1, "xackd_workers", pool="default", state="busy")
    wait_until(lambda: value(scrape(daemon), "xackd_queue_oldest_waiting_seconds", stream="work") > 0, 20, "the waiting ones grow older", step=0.1)
    wait_until(lambda: value(scrape(daemon), "xackd_queue_oldest_running_seconds", stream="work") > 0, 20, "the running one, too", step=0.1)
    box.ctl("pause", "bad")
    wait_value(daemon, 1, "xackd_queue_paused", stream="bad")
    gate.open()
    os.write(gate.fd, b"x\n" * 4)
    wait_value(daemon, 0, "xackd_queue_waiting", stream="work", timeout=30)
    assert value(scrape(daemon), "xackd_queue_oldest_waiting_seconds", stream="work") == 0


def test_suspended(box):
    daemon = listening(box, {"exec": [box.path("not-there")]})
    box.add()
    wait_value(daemon, 1, "xackd_job_suspended", job_name="work")
    wait_until(lambda: value(scrape(daemon), "xackd_jobs_total", job_name="work", outcome="released") >= 1)  # said a moment later
    assert value(scrape(daemon), "xackd_job_failures_total", job_name="work") == 0


def test_outage(box):
    """While Redis is away it says so, and no figure that may be wrong by now."""
    daemon = listening(box)
    daemon.allow_errors = True
    box.add()
    box.wait_done()
    wait_value(daemon, 1, "xackd_queue_length", stream="work")
    box.redis.kill()
    wait_value(daemon, 0, "xackd_redis_connected")
    seen = scrape(daemon)
    assert value(seen, "xackd_queue_length") is None
    assert value(seen, "xackd_jobs_total", job_name="work", outcome="succeeded") == 1
    box.redis.start()
    wait_value(daemon, 1, "xackd_redis_connected", timeout=40)
    wait_until(lambda: value(scrape(daemon), "xackd_redis_reconnects_total") >= 2, 40, "the worker and the daemon are back", step=0.1)
    wait_value(daemon, 1, "xackd_queue_length", stream="work")


# ---- counters only go forward ----

def test_killed_worker_and_reload(box):
    gate = box.gate()
    once = in_sh('[ $XACKD_ATTEMPT -gt 1 ] || read x < %s' % gate.path)
    daemon = listening(box, {"work": {"exec": ["/bin/true"]}, "held": {"exec": once, "pool": "held", "timeout": "10m"}}, pools={"held": {"workers": 1}})
    box.add_many("work", 20)
    box.wait_done()
    box.add("held")
    daemon.wait_event("job.started", stream="held")
    wait_value(daemon, 20, "xackd_jobs_total", job_name="work", outcome="succeeded")
    before = scrape(daemon)
    for pid in daemon.workers():
        send(pid, signal.SIGKILL)
    wait_value(daemon, 1, "xackd_recovered_total", stream="held", why="worker_died")
    wait_value(daemon, 2, "xackd_worker_restarts_total")
    wait_value(daemon, 1, "xackd_jobs_total", job_name="held", outcome="succeeded")
    after = scrape(daemon)
    assert_never_back(before, after)

    config = dict(daemon.config, jobs=dict(daemon.config["jobs"], more={"exec": ["/bin/true"]}))
    config["jobs"]["work"] = {"exec": ["/bin/echo", "other"]}  # all workers of the pool are replaced
    box.write_config(config, os.path.basename(daemon.file))
    send(daemon.pid, signal.SIGHUP)
    daemon.wait_event("daemon.reloaded")
    wait_value(daemon, 1, "xackd_config_reloads_total", result="accepted")
    box.add_many("work", 5)
    box.wait_done()
    wait_value(daemon, 25, "xackd_jobs_total", job_name="work", outcome="succeeded")
    assert_never_back(after, scrape(daemon))
    assert value(scrape(daemon), "xackd_jobs_total", job_name="more", outcome="succeeded") == 0

    box.write_config("jobs: wrong\n", os.path.basename(daemon.file))
    daemon.allow_errors = True
    send(daemon.pid, signal.SIGHUP)
    wait_value(daemon, 1, "xackd_config_reloads_total", result="refused")
    assert value(scrape(daemon), "xackd_config_last_reload_successful") == 0


# ---- where they go ----

def test_check_says_what_is_wrong(box):
    for wrong in ("127.0.0.1", "9127", "localhost:9127", "[::1]", "127.0.0.1:0", "127.0.0.1:99999", "::1:9127"):
        checked = box.check(box.config(metrics={"listen": wrong}))
        assert checked.returncode == 78
        assert re.search(r"check\.yaml:\d+:\d+: metrics\.listen: .*such as 127\.0\.0\.1:9127", checked.stderr), (wrong, checked.stderr)
    for right in ("127.0.0.1:9127", "[::1]:9127", "0.0.0.0:1"):
        assert box.check(box.config(metrics={"listen": right, "textfile": box.path("x.prom")})).returncode == 0
    assert "unknown key" in box.check(box.config(metrics={"port": 1})).stderr


def test_reload_moves_the_page(box):
    """Another address, none, and one that is taken: the daemon goes on in each case, its workers are not touched."""
    daemon = listening(box)
    workers = daemon.workers()
    first = daemon.port

    def reload(metrics, count):
        config = dict(daemon.config)
        config["metrics"] = metrics
        box.write_config(config, os.path.basename(daemon.file))
        send(daemon.pid, signal.SIGHUP)
        daemon.wait_event("daemon.reloaded", count=count)

    def refused(port):
        try:
            get(port)
        except ConnectionRefusedError:
            return True
        return False

    daemon.port = free_port()
    reload({"listen": "127.0.0.1:%d" % daemon.port, "textfile": box.path("x.prom")}, 1)
    wait_until(lambda: not refused(daemon.port), 10, "it listens at the new address")
    assert scrape(daemon) and refused(first)
    wait_until(lambda: os.path.exists(box.path("x.prom")), 10, "the file is there")
    reload({}, 2)
    wait_until(lambda: refused(daemon.port), 10, "nobody listens any more")
    wait_until(lambda: not os.path.exists(box.path("x.prom")), 10, "the file is gone")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        reload({"listen": "127.0.0.1:%d" % taken.getsockname()[1]}, 3)
        warning = daemon.wait_event("daemon.warning")
        assert "cannot listen on 127.0.0.1:%d" % taken.getsockname()[1] in warning["why"]
        daemon.port = taken.getsockname()[1]
    reload({"listen": "127.0.0.1:%d" % daemon.port}, 4)
    wait_until(lambda: not refused(daemon.port), 10, "a reload tries again")
    assert daemon.workers() == workers


def test_ipv6(box):
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
            port = probe.getsockname()[1]
    except OSError:
        pytest.skip("there is no IPv6 here")
    daemon = listening(box, metrics={"listen": "[::1]:%d" % port})
    assert get(daemon.port, host="::1")[0] == 200
    with pytest.raises(ConnectionRefusedError):
        get(daemon.port)


def test_textfile(box):
    """There from the start, written again and again, whole whenever it is read, and gone at the end."""
    os.mkdir(box.path("collector"))
    file = box.path("collector", "xackd.prom")
    daemon = box.daemon(metrics={"textfile": file})
    with open(file) as text:
        seen = parse(text.read())
    assert value(seen, "xackd_jobs_total", job_name="work", outcome="succeeded") == 0
    assert os.stat(file).st_mode & 0o777 == 0o644
    assert os.listdir(box.path("collector")) == ["xackd.prom"]
    box.add()

    def written_again():
        with open(file) as text:
            return value(parse(text.read()), "xackd_jobs_total", job_name="work", outcome="succeeded") == 1
    wait_until(written_again, 40, "it is written again", step=0.05)
    daemon.stop()
    assert os.listdir(box.path("collector")) == []


def test_textfile_that_cannot_be_written(box):
    daemon = box.daemon(metrics={"textfile": box.path("missing", "xackd.prom")})
    warning = daemon.wait_event("daemon.warning")
    assert box.path("missing", "xackd.prom") in warning["why"] and "metrics.textfile" in warning["advice"]
    box.add()
    box.wait_done()


# ---- who asks ----

def test_only_one_page(box):
    daemon = listening(box)
    assert get(daemon.port, "/")[0] == 200
    assert get(daemon.port, "/../etc/passwd")[0] == 404
    assert get(daemon.port, "/metrics/")[0] == 404
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
        status, headers, _ = get(daemon.port, method=method)
        assert (status, headers["Allow"]) == (405, "GET, HEAD")
    status, headers, text = get(daemon.port, method="HEAD")
    assert (status, text) == (200, "") and int(headers["Content-Length"]) > 1000
    status, headers, _ = get(daemon.port)
    assert (headers["Connection"], headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("close", "nosniff", "no-store")


def test_names_that_would_be_something_else(box):
    """A stream's name is the only text that the configuration leaves free."""
    hostile = 'q"{t} 1\nxackd_redis_connected 0\n\\\t\u00e4\u2028'
    daemon = listening(box, {"work": {"exec": ["/bin/true"], "stream": hostile}})
    box.add(hostile, {"job": 'x"} 1', "n\"": "v\n# EOF"})
    box.wait_done(hostile)
    wait_value(daemon, 1, "xackd_queue_length")
    seen = scrape(daemon)
    streams = {dict(pairs)["stream"] for _, pairs in seen if "stream" in dict(pairs)}
    assert streams == {hostile.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")}
    assert value(seen, "xackd_redis_connected") == 1
    if shutil.which("promtool"):
        checked = subprocess.run(["promtool", "check", "metrics"], input=get(daemon.port)[2], capture_output=True, text=True, timeout=60)
        assert (checked.returncode, checked.stderr) == (0, "")


def test_clients_that_take_their_time(box):
    """More connections than there are places, each silent, half-said, or a byte at a time: jobs run and the control socket answers meanwhile, and when
    their time is over the page is served again."""
    daemon = listening(box)
    slow = [socket.create_connection(("127.0.0.1", daemon.port)) for _ in range(24)]
    for number, client in enumerate(slow):
        client.setblocking(False)
        if number % 2:
            client.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: ")
    box.add_many("work", 20)
    box.wait_done(timeout=30)
    assert box.ctl("--json", "status").json["daemon"]["pid"] == daemon.pid
    answered = []

    def trickle():
        for client in slow[1::2]:
            try:
                client.send(b"a")
            except OSError:
                pass
        if not answered:
            try:
                answered.append(get(daemon.port)[0])
            except OSError:
                pass
        return answered
    wait_until(trickle, 60, "the page is served", step=1)
    assert answered == [200]
    for client in slow:
        client.close()


def test_requests_that_are_none(box):
    daemon = listening(box)
    for request in (b"\0\1\2\r\n\r\n", b"GET\r\n\r\n", b"GET /metrics HTTP/9.9\r\n\r\n", b"A" * 100000,
                    b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
                    b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 200000,
                    b"GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n"):
        with socket.create_connection(("127.0.0.1", daemon.port), timeout=20) as client:
            try:
                client.sendall(request)
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):
                    pass
            except OSError:
                pass
    assert alive(daemon.pid)
    assert scrape(daemon)
    box.add()
    box.wait_done()


# ---- what it costs ----

def own_switches(daemon):
    """Of the supervisor's own thread: the reaper's has its clock."""
    with open("/proc/%d/task/%d/status" % (daemon.pid, daemon.pid)) as text:
        return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", text.read(), re.M).group(1))


def test_nobody_asks(box):
    """A page that nobody fetches wakes nobody, and a worker does not carry the library that serves it."""
    plain = box.daemon(name="plain", jobs={"work": {"exec": ["/bin/true"]}})
    serving = listening(box, {"work": {"exec": ["/bin/true"], "stream": "other"}}, name="serving")
    for pid, wanted in ((plain.pid, False), (plain.workers()[0], False), (serving.pid, True), (serving.workers()[0], False)):
        with open("/proc/%d/maps" % pid) as text:
            assert ("libmicrohttpd" in text.read()) == wanted
    assert scrape(serving)
    time.sleep(1)  # what the start and the scrape still bring
    begin = own_switches(serving)
    time.sleep(5)
    assert own_switches(serving) - begin <= 1


def test_many_ask(box):
    """However often the page is fetched: Redis is asked once in five seconds."""
    daemon = listening(box, {"exec": ["/bin/true"], "lease": "5m"})
    wait_until(lambda: value(scrape(daemon), "xackd_queue_length") is not None, 10)
    box.r.config_resetstat()
    begin, count = time.monotonic(), 0
    while time.monotonic() - begin < 4 or count < 30:
        assert scrape(daemon)
        count += 1
    assert box.r.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"] <= 3 + (time.monotonic() - begin) / 5
