"""xackctl report: a real run's log as a page, looked at in a real browser; as JSON, against what Redis knows; served; hostile logs."""
import http.client
import json
import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest

import browser as browsers
from harness import SLOW, TOP, XACKCTL, in_sh, wait_until

if "report" not in subprocess.run([XACKCTL, "--print", "verbs"], capture_output=True, text=True, timeout=20).stdout:
    pytest.skip("xackctl was built without the report", allow_module_level=True)

needs_chromium = pytest.mark.skipif(not browsers.CHROMIUM, reason="chromium is missing: contrib/install-deps test")
HOSTILE = "</script><script>document.title='hacked'</script><!-- \u202egnp.exe\u2066 <img src=http://203.0.113.1/x onerror=alert(1)> {{data}} \x1b[31m"


def report(*args, status=0, stdin=b"", **how):
    done = subprocess.run([XACKCTL, "report"] + [str(a) for a in args], input=stdin, capture_output=True, timeout=60 * SLOW, **how)
    assert done.returncode == status, "%s: %d %s" % (args, done.returncode, done.stderr.decode())
    done.errors = done.stderr.decode()
    done.json = json.loads(done.stdout) if status == 0 and "--json" in args else None
    return done


def line(event, second=0, **fields):
    """A line as the daemon writes it."""
    second %= 86400
    stamp = "2026-01-01T%02d:%02d:%02d.000000Z" % (second // 3600, second // 60 % 60, second % 60)
    fields = dict({"ts": stamp, "level": "info", "event": event, "host": "h1"}, **fields)
    if event.startswith("job."):
        fields = dict({"job": "work", "stream": "work", "group": "xackd", "id": "%d-0" % second, "attempt": 1}, **fields)
    return json.dumps(fields, separators=(",", ":"))


def some_log(box, *more, count=40):
    lines = [line("daemon.ready", 0, version="0.1.0")]
    for n in range(count):
        lines.append(line("job.succeeded", n, id="%d-0" % n, duration_ms=n * 10, wait_ms=n, job="work" if n % 4 else "mail"))
    return box.write("some.log", "\n".join(lines + list(more)) + "\n")


@pytest.fixture(scope="module")
def one_browser():
    browser = browsers.Browser()
    yield browser
    browser.close()


@pytest.fixture
def chromium(box, one_browser):
    yield one_browser
    one_browser.adopt()


# ---- a real run ----

QUICK, ODD, FATAL = 20000, 60, 7


def real_run(box):
    """20,000 quick jobs, some that fail once, some that never succeed, one with hostile words, an outage, a reload, a restart."""
    odd = in_sh('[ "$XACKD_ATTEMPT" -gt 1 ] || { echo "not yet: $FIELD_N" >&2; exit 3; }')
    fatal = in_sh('printf "%s\\n" "$FIELD_WORDS" >&2; kill -9 $$')
    jobs = {"quick": {"shell": "cat >/dev/null", "mode": "batch", "batch": {"size": 200, "wait": "20ms"}},
            "odd": {"exec": odd, "retry": {"initial": "1ms"}},
            "fatal": {"exec": fatal, "retry": {"max_attempts": 2, "initial": "1ms"}}}
    box.add_many("quick", QUICK // 2)
    box.add_many("odd", ODD)
    for _ in range(FATAL):
        box.add("fatal", {"words": HOSTILE.encode()})
    daemon = box.daemon(jobs, workers=2, log={"level": "info"})
    box.wait_done("odd")
    box.wait_dead(FATAL, "fatal")
    box.redis.kill()
    daemon.wait_event("redis.lost")
    box.redis.start()
    daemon.wait_event("redis.connected", count=2)
    send_reload(daemon)
    box.add_many("quick", QUICK - QUICK // 2)
    box.wait_done("quick", timeout=60)
    assert daemon.stop() == 0
    return daemon


def send_reload(daemon):
    os.kill(daemon.pid, signal.SIGHUP)
    daemon.wait_event("daemon.reloaded")


@pytest.mark.big
@needs_chromium
def test_real_run_in_a_browser(box, chromium):
    daemon = real_run(box)
    figures = report(daemon.log, "--json").json
    counts = figures["counts"]
    succeeded = len(daemon.events("job.succeeded"))
    assert succeeded >= QUICK + ODD, "an outage may let a job run twice, never less than once"
    for event, count in (("job.succeeded", "succeeded"), ("job.failed", "failed"), ("job.retry", "retried"), ("job.dead", "dead"),
                         ("job.recovered", "recovered"), ("job.released", "released"), ("daemon.reloaded", "reloads")):
        assert counts[count] == len(daemon.events(event)), event
    assert counts["dead"] == FATAL and counts["starts"] == 1 and counts["redis_lost"] >= 1
    assert sum(figures["series"]["succeeded"]) == succeeded and figures["run_ms"]["count"] == succeeded + counts["failed"]
    assert figures["malformed"] == figures["foreign"] == 0 and figures["events"] + figures["unused"] == figures["lines"]
    assert {j["job"]: j["dead"] for j in figures["jobs"]} == {"quick": 0, "odd": 0, "fatal": FATAL}
    assert "signal 9" in figures["reasons"][0]["detail"] + figures["reasons"][-1]["detail"]
    assert all("document.title" in letter["stderr"] for letter in figures["dead"])
    assert all(outage["to_ms"] > outage["from_ms"] for outage in figures["outages"])

    file = box.path("report.html")
    report(daemon.log, "--output", file)
    page = chromium.page("file://" + file)
    look_at_figures(page, figures)
    look_at_charts(page)
    look_at_tables(page)
    page.media(dark=True)
    look_at_charts(page)
    page.media(media="print")
    look_at_charts(page)
    browsers.settle()
    assert page.complaints() == [] and page.requests() == []
    phone = chromium.page("file://" + file, width=390, height=800)
    look_at_charts(phone)
    assert phone.eval("document.documentElement.scrollWidth") == 390, "nothing sticks out"
    assert phone.complaints() == [] and phone.requests() == []


def look_at_figures(page, figures):
    assert page.eval("document.title") == "xackd report"
    shown = page.eval("[...document.querySelectorAll('.figure')].map(f => [f.querySelector('dt').textContent, f.querySelector('b').textContent])")
    assert shown == [[f["label"], f["value"]] for f in figures["figures"]]
    assert ["Dead letters", str(FATAL)] in shown


def look_at_charts(page):
    """Each canvas has more than one colour in it, and what was drawn has points."""
    drawn = page.eval("""[...document.querySelectorAll('canvas')].map(c => {
        const copy = document.createElement('canvas');
        [copy.width, copy.height] = [c.width, c.height];
        const context = copy.getContext('2d', { willReadFrequently: true });
        context.drawImage(c, 0, 0);
        const pixels = new Uint32Array(context.getImageData(0, 0, c.width, c.height).data.buffer);
        return [c.id, new Set(pixels).size, c.width > 100 && c.height > 100]; })""")
    assert len(drawn) == 7
    for name, colours, big in drawn:
        assert colours > 20 and big, (name, colours)
    assert page.eval("Object.values(charts).every(c => c.data.datasets.some(d => d.data.length > 0))")


def cells(page, table, column):
    return page.eval("[...document.querySelectorAll('[data-table=%s] tbody tr')].map(r => r.cells[%d].textContent)" % (table, column))


def look_at_tables(page):
    """By mouse and by key."""
    head = "document.querySelectorAll('[data-table=jobs] th button')[%d]"
    assert page.eval("document.querySelector('[data-table=jobs] th[aria-sort=descending]').textContent").startswith("Failed")
    page.eval((head % 0) + ".click()")
    assert cells(page, "jobs", 0) == ["fatal", "odd", "quick"]
    page.eval((head % 0) + ".focus()")
    page.key("Enter", 13, "\r")
    assert cells(page, "jobs", 0) == ["quick", "odd", "fatal"]
    page.eval((head % 1) + ".click()")
    assert cells(page, "jobs", 0)[0] == "quick", "numbers begin with the largest"
    page.eval("document.querySelector('[data-table=jobs] input').focus()")
    for letter in "FAT":
        page.key(letter, ord(letter), letter)
    assert cells(page, "jobs", 0) == ["fatal"]
    assert page.eval("document.querySelector('[data-table=jobs] .count').textContent") == "1 of 3"
    assert len(cells(page, "dead", 0)) == FATAL
    assert page.eval("document.querySelectorAll('[data-table=slowest] tbody tr').length") == 25
    page.eval("document.querySelector('[data-table=slowest] .more').click()")
    assert page.eval("document.querySelectorAll('[data-table=slowest] tbody tr').length") == 100


# ---- what stands in a log is text ----

@needs_chromium
def test_hostile_log(box, chromium):
    names = {"job": HOSTILE[:60], "host": HOSTILE, "id": HOSTILE, "stream": HOSTILE}
    log = some_log(box, line("job.failed", 50, reason="exit", detail=HOSTILE, stderr=HOSTILE * 20, duration_ms=5, **names),
                   line("job.dead", 50, reason=HOSTILE, detail=HOSTILE, attempts=1, dead_id=HOSTILE, **names),
                   line("job.recovered", 51, why=HOSTILE, **dict(names, **{"from": HOSTILE})),
                   line("redis.lost", 52, why=HOSTILE, host=HOSTILE),
                   line("daemon.warning", 53, why=HOSTILE, advice=HOSTILE, host=HOSTILE))
    file = box.path("report.html")
    report(log, "-o", file)
    page = chromium.page("file://" + file)
    browsers.settle()
    assert page.complaints() == [] and page.requests() == []
    assert page.eval("document.title") == "xackd report"
    assert page.eval("document.scripts.length") == 3 and page.eval("document.images.length") == 0
    text = page.eval("document.querySelector('[data-table=dead] pre').textContent")
    assert "</script><script>document.title='hacked'" in text and "\\u{202e}" in text and "\\u{1b}" in text
    whole = page.eval("document.body.innerText")
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u001b]", whole), "nothing turns the direction of writing"
    # Even what gets into the page as HTML does not run: the policy knows only the page's own scripts.
    page.eval("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hacked = 1\">');"
              "const s = document.createElement('script'); s.textContent = 'window.hacked = 1'; document.body.append(s)")
    browsers.settle()
    assert page.eval("window.hacked === undefined") and page.complaints(), "refused, and said so"


@needs_chromium
def test_without_script_the_key_figures_are_there(box, chromium):
    file = box.path("report.html")
    report(some_log(box), "-o", file)
    page = chromium.page("file://" + file, script=False)
    document = page.call("DOM.getDocument")
    root = page.call("DOM.querySelector", nodeId=document["root"]["nodeId"], selector="#figure-list")
    html = page.call("DOM.getOuterHTML", nodeId=root["nodeId"])["outerHTML"]
    assert "<dt>Succeeded</dt><dd><b>40</b>" in html
    assert page.complaints() == [] and page.requests() == []


# ---- the command line ----

def test_range_and_job(box):
    log = some_log(box)
    assert report(log, "--json").json["counts"]["succeeded"] == 40
    part = report(log, "--json", "--since", "2026-01-01T00:00:10Z", "--until", "2026-01-01 00:00:20").json
    assert part["counts"]["succeeded"] == 10 and part["out_of_range"] == 31 and part["series"]["buckets"] == 10
    assert report(log, "--json", "--job", "mail").json["counts"]["succeeded"] == 10
    assert report(log, "--json", "--since", "2026-01-01T01:00:30+01:00").json["counts"]["succeeded"] == 10
    nothing = report(log, "--json", "--since", "1h", status=1)
    assert "within what was asked for" in nothing.errors and nothing.stdout == b""


def test_standard_input_and_output(box):
    with open(some_log(box), "rb") as log:
        text = log.read()
    for args in ([], ["-"]):
        page = report(*args, stdin=text).stdout
        assert page.startswith(b"<!doctype html>") and page.count(b"<script") == 3
    assert report("--json", stdin=text).json["source"] == "standard input"


def test_output_file_is_whole_and_replaced(box):
    out = box.write("report.html", "old")
    os.chmod(out, 0o600)
    report(some_log(box), "--output", out)
    assert box.read("report.html").startswith("<!doctype html>")
    assert [n for n in os.listdir(box.folder) if n.startswith("report.html")] == ["report.html"]
    assert os.stat(out).st_mode & 0o777 == 0o666 & ~current_umask()
    failed = report(some_log(box), "--output", box.path("nowhere", "report.html"), status=1)
    assert "nowhere" in failed.errors


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_what_is_no_event_is_counted_and_said(box):
    log = some_log(box, "-- Boot 1 --", '{"ts":', '{"message": "of another program"}', "x" * (2 << 20), line("job.output", 5, fd=1, line="x"))
    done = report(log, "--json")
    assert (done.json["malformed"], done.json["foreign"], done.json["unused"], done.json["counts"]["succeeded"]) == (3, 1, 1, 40)
    assert "3 of 46 lines were no JSON" in done.errors and "1 of 46 lines were no events" in done.errors
    nothing = report("--json", stdin=b"no\nlog\n", status=1)
    assert "no event of xackd's in standard input" in nothing.errors


@pytest.mark.parametrize("args", [["--serve", "nonsense", "x"], ["--public", "x"], ["-o", "jsonl", "x"], ["--journal", "x"], ["x", "y"], ["--since", "yesterday", "x"],
                                  ["--since", "1h", "--until", "2h", "x"], ["--serve", "127.0.0.1:0", "--json", "x"], ["--serve", "0.0.0.0:0", "x"]], ids=" ".join)
def test_usage(box, args):
    file = box.write("x", "")
    assert report(*[file if a == "x" else a for a in args], status=64).errors


def test_a_file_name_is_for_verbs_that_write(box):
    done = subprocess.run([XACKCTL, "events", "-o", "out.json"], capture_output=True, timeout=20, stdin=subprocess.DEVNULL)
    assert done.returncode == 64 and b"table, json or jsonl" in done.stderr
    assert "cannot be" not in report(box.path("missing"), status=1).errors


def test_progress_is_for_terminals(box):
    """A bar on stderr while it reads, gone at the end; the page goes its own way."""
    log = some_log(box, count=150000)
    master, slave = pty.openpty()
    process = subprocess.Popen([XACKCTL, "report", log, "-o", box.path("report.html")], stderr=slave, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    os.close(slave)
    said = b""
    while select.select([master], [], [], 30 * SLOW)[0]:
        try:
            part = os.read(master, 4096)
        except OSError:
            break
        said += part
    os.close(master)
    assert process.wait(30) == 0
    assert re.search(rb"\r\x1b\[K *\d+ % \[=*>? *\] [\d.]+ MB, \d+ events, \d+ s left", said), said[-300:]
    assert said.endswith(b"\r\x1b[K")
    assert not report(log, "--json").errors


def test_memory_does_not_grow(box):
    """The peak is the same for a log ten times as long."""
    def peak(count):
        log = some_log(box, *(line("job.failed", n % 80000, id="%d-0" % n, reason="exit", detail="exit 1", stderr="x" * 50, job="j%d" % (n % 500)) for n in range(count)), count=count)
        out = subprocess.run(["/usr/bin/python3", "-c", "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
                              "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)", XACKCTL, "report", log, "--json"], capture_output=True, text=True, timeout=60 * SLOW)
        return int(out.stdout)
    small, large = peak(5000), peak(50000)
    assert large < small + 1500 or SLOW > 1, (small, large)
    assert large < 16000 or SLOW > 1


# ---- the journal ----

JOURNAL_REMOTE = "/lib/systemd/systemd-journal-remote"


def journal_entry(second, **fields):
    at = 1767225600000000 + second * 1000000
    head = "__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=0123456789abcdef0123456789abcdef\n" % (at, second)
    return head + "".join("%s=%s\n" % pair for pair in fields.items()) + "\n"


def native(second, event, **fields):
    with open(os.path.join(TOP, "src", "log", "events.def")) as table:
        identity = re.search(r'"%s".*"([0-9a-f]{32})"' % re.escape(event), table.read()).group(1)
    return journal_entry(second, MESSAGE="words", MESSAGE_ID=identity, SYSLOG_IDENTIFIER="xackd", _TRANSPORT="journal", XACKD_EVENT=event, XACKD_HOST="h1",
                         XACKD_JOB="work", XACKD_STREAM="work", XACKD_ID="1-0", **{"XACKD_" + k.upper(): v for k, v in fields.items()})


@pytest.mark.skipif(not os.access(JOURNAL_REMOTE, os.X_OK), reason="systemd-journal-remote is missing: contrib/install-deps systemd")
def test_journal_files(box):
    """Native fields, and JSON lines of a service; what others say is not looked at."""
    entries = [native(1, "job.output", line="x"), native(2, "job.succeeded", attempt=1, duration_ms=5, wait_ms=""),
               native(3, "job.failed", attempt=2, reason="exit", detail="exit 3", duration_ms=7, stderr="the end"),
               native(4, "job.dead", attempt=2, reason="exit", detail="exit 3", attempts=2, dead_id="9-9"),
               native(5, "job.summary", succeeded=11, duration_ms='{"p50":1,"p95":2,"p99":3,"max":900}'),
               journal_entry(6, SYSLOG_IDENTIFIER="xackd", _TRANSPORT="stdout", MESSAGE=line("job.succeeded", 6, job="json", duration_ms=4)),
               journal_entry(7, SYSLOG_IDENTIFIER="other", _TRANSPORT="stdout", MESSAGE=line("job.succeeded", 7, duration_ms=4))]
    os.mkdir(box.path("journal"))
    done = subprocess.run([JOURNAL_REMOTE, "-o", box.path("journal", "x.journal"), box.write("export", "".join(entries))], capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr
    figures = report(box.path("journal"), "--json").json
    assert figures["counts"]["succeeded"] == 12 and figures["counts"]["dead"] == 1
    assert figures["dead"][0]["stderr"] == "the end" and figures["dead"][0]["at_ms"] == 1767225604000
    assert figures["run_ms"]["max"] == 900 and figures["lines"] == 5 and figures["unused"] == 0
    assert report(box.path("journal"), "--json", "--since", "2026-01-01T00:00:04").json["counts"]["failed"] == 0


# ---- served ----

class Served:
    def __init__(self, *args, **how):
        self.process = subprocess.Popen([XACKCTL, "report", "--serve", "127.0.0.1:0"] + list(args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how)
        self.url = self.process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", self.url), self.process.stderr.read()
        self.port = int(self.url.rstrip("/").rsplit(":", 1)[1])

    def ask(self, path="/", method="GET", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        answer.text = answer.read().decode()
        connection.close()
        return answer

    def counts(self):
        return json.loads(self.ask("/data.json").text)["counts"]

    def stop(self):
        self.process.terminate()
        assert self.process.wait(20) == 0
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture
def served(box):
    server = Served(some_log(box), stdin=subprocess.DEVNULL)
    wait_until(lambda: server.counts()["succeeded"] == 40, 10, "the log is read")
    yield server
    server.stop()


def test_served_headers(served):
    answer = served.ask()
    assert answer.status == 200 and answer.text.startswith("<!doctype html>")
    assert answer.headers["X-Content-Type-Options"] == "nosniff" and answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "no-referrer" and answer.headers["Cache-Control"] == "no-store"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "connect-src 'self'" in policy and "unsafe" not in policy
    nonce = re.search("script-src 'nonce-([0-9a-f]{32})'", policy).group(1)
    assert answer.text.count('nonce="%s"' % nonce) == 3
    assert nonce not in served.ask().text, "a new one for each page"
    head = served.ask(method="HEAD")
    assert head.status == 200 and head.text == "" and int(head.headers["Content-Length"]) > 100000
    data = served.ask("/data.json")
    assert data.headers["Content-Type"] == "application/json" and data.headers["X-Content-Type-Options"] == "nosniff"
    assert served.ask("/data.json", If_None_Match=data.headers["ETag"]).status == 304


def test_served_is_read_only_and_ours_alone(served):
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "NONSENSE"):
        answer = served.ask(method=method)
        assert answer.status == 405 and answer.headers["Allow"] == "GET, HEAD", method
    for path in ("/data", "/../etc/passwd", "/%2e%2e/etc/passwd", "//", "/?x"):
        assert served.ask(path).status == (200 if path == "/?x" else 404), path
    for host in ("evil.example", "evil.example:%d" % served.port, "127.0.0.1.evil.example", "", "[::1", "localhost.evil.example", "x" * 3000):
        assert served.ask(Host=host).status in (400, 403), host
    for host in ("localhost", "localhost:%d" % served.port, "127.0.0.1", "[::1]:%d" % served.port, "LOCALHOST"):
        assert served.ask(Host=host).status == 200, host
    assert served.ask(method="POST").status == 405 and served.ask().status == 200


def test_served_survives_silent_and_greedy_clients(served):
    """More connections than it takes, none of which says anything: it still answers when they go."""
    silent = []
    for _ in range(60):
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=5)
        try:
            connection.connect()
            silent.append(connection)
        except OSError:
            break
    for connection in silent:
        connection.close()

    def answers():
        try:
            return served.ask().status == 200
        except OSError:
            return False
    wait_until(answers, 10, "it answers again")
    assert len(os.listdir("/proc/%d/fd" % served.process.pid)) < 60


def test_served_goes_on_with_the_file(box):
    """What is added is there; a file that takes its place is read, too."""
    log = some_log(box)
    server = Served(log, stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: server.counts()["succeeded"] == 40, 10, "the log is read")
        before = server.ask("/data.json").headers["ETag"]
        with open(log, "a") as file:
            file.write(line("job.succeeded", 60, duration_ms=1)[:50])
        with open(log, "a") as file:
            file.write(line("job.succeeded", 60, duration_ms=1)[50:] + "\n")
        wait_until(lambda: server.counts()["succeeded"] == 41, 10, "the line that was added")
        assert server.ask("/data.json", If_None_Match=before).status == 200
        os.rename(log, log + ".1")
        box.write("some.log", line("job.succeeded", 61, duration_ms=1) + "\n")
        wait_until(lambda: server.counts()["succeeded"] == 42, 10, "the new file")
    finally:
        server.stop()


def test_served_from_a_pipe(box):
    read, write = os.pipe()
    server = Served("-", stdin=read)
    os.close(read)
    try:
        os.write(write, (line("job.succeeded", 1, duration_ms=1) + "\n").encode())
        wait_until(lambda: server.counts()["succeeded"] == 1, 10, "a line through the pipe")
        os.write(write, line("job.succeeded", 2, duration_ms=1).encode())
        os.close(write)
        wait_until(lambda: server.counts()["succeeded"] == 2, 10, "the last line, without a newline")
        time.sleep(0.1)
        assert server.ask().status == 200, "it stays when the pipe has ended"
    finally:
        server.stop()


@needs_chromium
def test_served_page_is_live(box, chromium):
    log = some_log(box)
    server = Served(log, stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: server.counts()["succeeded"] == 40, 10, "the log is read")
        page = chromium.page(server.url)
        figure = "document.querySelector('.figure b').textContent"
        assert page.eval(figure) == "40"
        page.eval("document.querySelector('[data-table=slowest] input').value = 'mail'; document.querySelector('[data-table=slowest] input').dispatchEvent(new Event('input'))")
        shown = cells(page, "slowest", 0)
        with open(log, "a") as file:
            file.write(line("job.succeeded", 60, duration_ms=99999, job="mail", id="new-0") + "\n")
        page.wait(figure + " === '41'")
        assert len(cells(page, "slowest", 0)) == len(shown) + 1, "what was typed still filters"
        assert page.complaints() == [] and set(page.requests()) == {server.url + "data.json"}
    finally:
        server.stop()
