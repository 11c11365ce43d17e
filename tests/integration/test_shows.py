"""The promises in figures: 20,000 entries, 2,000 with failures, hostile megabytes, an idle daemon."""
import base64
import json
import os
import subprocess
import time

import pytest

from harness import HERE, SANITIZED, descriptors, descendants, switches, wait_until

big = pytest.mark.big


@big
@pytest.mark.timeout(600)
def test_20000_entries(box):
    """Each succeeds once; nothing pending, no error, no zombie, no descriptor more than before."""
    count = 4000 if SANITIZED else 20000
    daemon = box.daemon({"exec": ["/bin/true"]}, workers=4, log={"level": "info"})
    daemon.wait_event("job.succeeded", id=box.add())
    box.add_many("work", 50)
    box.wait_done()
    before = {pid: descriptors(pid) for pid in daemon.own()}
    ids = set()
    for _ in range(count // 1000):
        ids.update(box.add_many("work", 1000))
    box.wait_done(timeout=240)
    wait_until(lambda: len(daemon.events("job.succeeded")) == count + 51, 30)
    done = [e["id"] for e in daemon.events("job.succeeded")]
    assert len(done) == len(set(done)) and ids <= set(done)
    assert box.raw("XPENDING", "work", "xackd")[0] == 0
    assert {e["attempt"] for e in daemon.events("job.succeeded")} == {1}
    assert not [e for e in daemon.seen if e["level"] in ("error", "warning")]
    wait_until(lambda: not [p for p in descendants(daemon.pid) if p.state == "Z"])
    assert {pid: descriptors(pid) for pid in daemon.own()} == before
    assert daemon.stop() == 0


@big
@pytest.mark.timeout(600)
def test_2000_entries_with_failures(box):
    """Every 10th fails twice, every 100th always: 1,980 acknowledged, 20 dead letters; every entry keeps its ID."""
    script = 'n=$FIELD_N; if [ $((n % 100)) -eq 0 ]; then echo "never: $n" >&2; exit 7; fi; ' \
             'if [ $((n % 10)) -eq 0 ] && [ $XACKD_ATTEMPT -le 2 ]; then exit 9; fi; exit 0'
    daemon = box.daemon({"exec": ["/bin/sh", "-c", script], "retry": {"max_attempts": 4, "initial": "200ms"}}, workers=4)
    ids = []
    for start in range(0, 2000, 500):
        pipe = box.r.pipeline(transaction=False)
        for n in range(start, start + 500):
            pipe.xadd("work", {"n": str(n)})
        ids += pipe.execute()
    box.wait_done(timeout=120)
    wait_until(lambda: len(daemon.events("job.succeeded")) + len(daemon.events("job.dead")) == 2000, 20)
    done = {e["id"]: e["attempt"] for e in daemon.events("job.succeeded")}
    letters = box.dead()
    assert len(done) == 1980 and len(letters) == 20
    assert set(done) | {letter["id"] for letter in letters} == set(ids)
    for n, entry in enumerate(ids):
        if n % 100:
            assert done[entry] == (1 if n % 10 else 3)
    for letter in letters:
        n = ids.index(letter["id"])
        assert n % 100 == 0 and letter["attempts"] == "4" and letter["exit"] == "7" and letter["stderr"].strip() == "never: %d" % n
        assert letter["pairs"] == [(b"n", str(n).encode())]
    assert not box.r.exists(box.key("due")) and not box.r.exists(box.key("given"))


@big
def test_a_megabyte_of_everything(box):
    """Newlines, quotes, $(…), NUL, invalid UTF-8, 1 MB, PATH and LD_PRELOAD: given as promised, nothing executed, nothing forged."""
    value = (b'$(touch %s)`id`\n"\'\\\0\xff{"event":"job.forged"}\n' % box.path("PWNED").encode()) * 20000
    value = value[:1 << 20]
    script = "#!/usr/bin/python3 -SE\nimport base64, json, os, sys\nv = json.load(sys.stdin)\n" \
             "json.dump({'raw': v['fields_b64']['big'], 'env': dict(os.environ)}, open(%r, 'w'))\n" % box.path("out")
    daemon = box.daemon({"exec": [box.write("handler", script, 0o755)]})
    entry = box.add(fields=[(b"big", value), (b"PATH", b"/evil"), (b"LD_PRELOAD", b"/evil.so"), (b"$(touch x)", b"`id`")])
    daemon.wait_event("job.succeeded", id=entry, timeout=30)
    got = json.loads(box.read("out"))
    assert base64.b64decode(got["raw"]) == value
    assert "big" in got["env"]["XACKD_OMITTED"] and got["env"]["FIELD_PATH"] == "/evil" and "evil" not in got["env"]["PATH"]
    assert "LD_PRELOAD" not in got["env"]
    assert not os.path.exists(box.path("PWNED")) and not daemon.events("job.forged") and not daemon.bad_lines


@big
@pytest.mark.skipif(SANITIZED, reason="a sanitizer's own threads are counted too")
def test_idle_daemon_sleeps(box):
    """Fewer than 2 wake-ups a second with 4 workers: voluntary switches of all threads of its own processes."""
    daemon = box.daemon({"exec": ["/bin/true"], "lease": "60s"}, workers=4)  # the default: the host's row is renewed every third of it
    daemon.wait_event("job.succeeded", id=box.add())
    daemon.wait_workers(4)
    # The pace of a daemon that has just worked is quicker; it is let calm down first.
    calm = time.monotonic()
    wait_until(lambda: time.monotonic() - calm > 3, 5)
    pids = daemon.own()
    before, start = sum(switches(pid) for pid in pids), time.monotonic()
    wait_until(lambda: time.monotonic() - start > 20, 25, step=0.5)
    rate = (sum(switches(pid) for pid in pids) - before) / (time.monotonic() - start)
    assert daemon.own() == pids
    assert rate < 2, "%.2f a second" % rate


@big
@pytest.mark.skipif(SANITIZED, reason="a figure of the plain build")
def test_start_beside_the_bare_minimum(box):
    """XADD to the handler's first instruction: at most 1.5 times a blocked XREADGROUP and posix_spawn, interleaved in one run."""
    rod = box.path("latency")
    subprocess.run(["cc", "-O2", "-o", rod, os.path.join(HERE, "latency.c")], check=True, timeout=60)
    os.mkfifo(box.path("stamps"))
    stamps = os.fdopen(os.open(box.path("stamps"), os.O_RDWR), "r", buffering=1)
    daemon = box.daemon({"exec": [rod, "stamp", box.path("stamps")]}, workers=1, log={"level": "info"})
    box.r.xgroup_create("bare", "bare", "0", mkstream=True)
    bare = subprocess.Popen([rod, "bare", box.redis.socket, "bare", box.path("stamps")], stdin=subprocess.DEVNULL)
    box.others.append(bare)
    took = {"bare": [], "work": []}
    try:
        for round_ in range(110):
            for stream in ("bare", "work"):
                before = time.time_ns()
                box.r.xadd(stream, {"n": "1"})
                took[stream].append((int(stamps.readline()) - before) / 1e6)
                wait_until(lambda: box.groups(stream)[0]["pending"] == 0, 10, step=0.002)
    finally:
        bare.kill()
        bare.wait()
        stamps.close()
    median = {stream: sorted(times[10:])[50] for stream, times in took.items()}
    print("median ms from XADD to start: bare %.2f, xackd %.2f" % (median["bare"], median["work"]))
    assert daemon.process.poll() is None
    assert median["work"] <= 1.5 * median["bare"], median
