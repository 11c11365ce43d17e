"""What a job costs in counts that do not depend on the machine: system calls of its worker, commands of Redis, wake-ups while something waits."""
import os
import shutil
import signal
import subprocess
import time

import pytest

from harness import SANITIZED, TOP, switches, wait_until


def burst(box, count):
    pipe = box.r.pipeline(transaction=True)
    for number in range(count):
        pipe.execute_command("XADD", "work", "*", "n", str(number))
    pipe.execute()


@pytest.mark.skipif(SANITIZED, reason="a sanitizer makes system calls of its own")
@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_system_calls_a_job(box):
    daemon = box.daemon({"exec": ["/bin/true"], "lease": "60s", "success": "summary"}, log={"level": "info"})
    box.add_many("work", 50)
    box.wait_done()
    file = box.path("strace")
    tracer = subprocess.Popen(["strace", "-c", "-o", file, "-p", str(daemon.workers()[0])], stderr=subprocess.PIPE, text=True)
    if "attached" not in tracer.stderr.readline():
        tracer.communicate()
        pytest.skip("strace may not attach here")
    burst(box, 300)
    box.wait_done(timeout=60)
    tracer.send_signal(signal.SIGINT)
    tracer.communicate()
    with open(file) as text:
        total = int(text.read().split("\n")[-2].split()[2 + 1])
    assert total / 300 <= 45, total / 300


def test_commands_a_job(box):
    """At most a read and an acknowledgement; nothing per job from the reaper."""
    box.daemon({"exec": ["/bin/true"], "lease": "60s"}, workers=2)
    box.add_many("work", 20)
    box.wait_done()
    box.r.config_resetstat()
    burst(box, 500)
    box.wait_done(timeout=60)
    stats = box.r.info("commandstats")
    calls = {name[8:]: row["calls"] for name, row in stats.items()}
    assert calls.get("xack", 0) + calls["xreadgroup"] <= 2.05 * 500
    assert calls.get("evalsha", 0) <= 0.1 * 500


def test_commands_a_job_of_a_process_that_stays(box):
    box.daemon({"exec": [os.path.join(TOP, "contrib", "handlers", "persistent.py")], "mode": "persistent", "persistent": {"window": 100}, "lease": "60s"})
    box.add_many("work", 20)
    box.wait_done()
    box.r.config_resetstat()
    burst(box, 3000)
    box.wait_done(timeout=60)
    stats = box.r.info("commandstats")
    assert sum(stats.get("cmdstat_" + name, {"calls": 0})["calls"] for name in ("xack", "xreadgroup", "evalsha")) <= 0.05 * 3000


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's own threads are counted too")
@pytest.mark.parametrize("what", ["parked", "running"])
def test_waiting_costs_no_wake_ups(box, what):
    """Neither while all that is pending is parked, nor in the quiet time after a connect, does any thread turn without a rest."""
    gate = box.gate()
    text = "exit 1" if what == "parked" else ": < " + gate.path
    daemon = box.daemon({"exec": ["/bin/sh", "-c", text], "lease": "60s", "retry": {"initial": "1h", "jitter": 0}}, workers=2)
    box.add()
    wait_until(lambda: box.pending_count() == 1)
    if what == "parked":
        daemon.wait_event("job.retry")
    start = time.monotonic()
    wait_until(lambda: time.monotonic() - start > 1.5, 5)
    clock = os.sysconf("SC_CLK_TCK")

    def cpu():
        with open("/proc/%d/stat" % daemon.pid) as stat:
            part = stat.read().rpartition(")")[2].split()
        return (int(part[11]) + int(part[12])) / clock
    before, woken, start = cpu(), sum(switches(pid) for pid in daemon.own()), time.monotonic()
    wait_until(lambda: time.monotonic() - start > 3, 6, step=0.5)
    assert cpu() - before < 0.3, "the supervisor or its reaper turns without a rest"
    assert sum(switches(pid) for pid in daemon.own()) - woken < 60
