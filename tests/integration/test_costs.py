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
    assert total / 300 <= 34, total / 300


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
    assert calls.get("xack", 0) + calls["xreadgroup"] <= 2.01 * 500
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


def persistent_c(box):
    path = box.path("persistent")
    subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-o", path, os.path.join(TOP, "contrib", "handlers", "persistent.c")], check=True, timeout=60)
    return {"exec": [path], "mode": "persistent", "persistent": {"window": 100}, "lease": "60s"}


@pytest.mark.parametrize("mode, most_in, most_out", [("exec", 180, 130), ("persistent", 40, 90)])
def test_bytes_a_job(box, mode, most_in, most_out):
    """What goes to Redis and comes from it: an entry is read once, whole, and nothing else of its size is sent."""
    box.daemon({"exec": ["/bin/true"], "lease": "60s"} if mode == "exec" else persistent_c(box))
    count = 300 if mode == "exec" else 3000
    box.add_many("work", 20)
    box.wait_done()
    box.ctl("pause", "work")
    burst(box, count)
    before = box.r.info("stats")
    box.ctl("resume", "work")
    wait_until(lambda: box.r.xinfo_groups("work")[0]["lag"] == 0, 30, step=0.2)
    box.wait_done(timeout=60)
    after = box.r.info("stats")
    sent, got = [(after[name] - before[name]) / count for name in ("total_net_input_bytes", "total_net_output_bytes")]
    assert sent <= most_in and got <= most_out, (sent, got)


COUNTER = r"""
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
static atomic_long calls;
void *malloc(size_t n) { calls++; return __libc_malloc(n); }
void *calloc(size_t n, size_t size) { calls++; return __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { calls++; return __libc_realloc(p, n); }

__attribute__((destructor)) static void tell(void)
{
	char path[256];
	const char *folder = getenv("COUNTED");
	if (!folder)
		return;
	snprintf(path, sizeof(path), "%s/%d", folder, (int)getpid());
	FILE *f = fopen(path, "w");
	if (f) {
		fprintf(f, "%ld\n", (long)calls);
		fclose(f);
	}
}
"""


@pytest.mark.skipif(SANITIZED, reason="a sanitizer has its own malloc")
@pytest.mark.parametrize("mode, most", [("exec", 18), ("persistent", 13)])
def test_allocations_a_job(box, mode, most):
    """Of a worker, by two lives that differ in their number of jobs. On a machine that is busy with others no handler is short, and nothing is
    read ahead: several tries."""
    library, folder = box.path("counter.so"), box.path("counted")
    box.write("counter.c", COUNTER)
    os.mkdir(folder)
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, box.path("counter.c")], check=True, timeout=60)
    job = dict({"exec": ["/bin/true"], "lease": "60s"} if mode == "exec" else persistent_c(box), success="summary")
    more = 200 if mode == "exec" else 2000

    def life(count):
        daemon = box.daemon(job, env={"LD_PRELOAD": library, "COUNTED": folder}, log={"level": "info"})
        [worker] = daemon.wait_workers(1)
        burst(box, count)
        box.wait_done(timeout=60)
        assert daemon.stop() == 0
        with open(os.path.join(folder, str(worker))) as text:
            return int(text.read())
    tries = []

    def cheap():
        few = life(100)
        tries.append((life(100 + more) - few) / more)
        return tries[-1] <= most
    assert any(cheap() for _ in range(5)), tries


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
