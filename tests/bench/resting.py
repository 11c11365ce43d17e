"""What workers cost that have nothing to do: memory, wake-ups, questions to Redis. Brokers are not counted, for peers as for xackd."""
import os
import time

SETTLE_S = 15  # xackd tells its summary ten seconds after the first jobs, peers have their own first timers


def settle(seconds):
    """The last of the first jobs are done, and nothing more comes."""
    time.sleep(seconds)


def pss_kb(pid):
    try:
        with open("/proc/%d/smaps_rollup" % pid) as text:
            return next(int(line.split()[1]) for line in text if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0  # it has just ended


def switches(pids):
    """{(pid, thread): voluntary context switches}."""
    found = {}
    for pid in pids:
        try:
            for task in os.listdir("/proc/%d/task" % pid):
                with open("/proc/%d/task/%s/status" % (pid, task)) as text:
                    found[pid, task] = next(int(line.split()[1]) for line in text if line.startswith("voluntary_ctxt_switches:"))
        except OSError:
            pass  # it has just ended
    return found


def commands(it):
    return it.box.r.info("stats")["total_commands_processed"] if it.on_redis else None


def watch(resting, seconds):
    """All of {name: Resting} side by side over the same time: {name: (wake-ups a second, commands of Redis a second or None)}."""
    settle(SETTLE_S)
    before = {name: (switches(it.pids()), commands(it)) for name, it in resting.items()}
    time.sleep(seconds)
    found = {}
    for name, it in resting.items():
        (old, asked), new = before[name], switches(it.pids())
        wakes = sum(count - old.get(task, 0) for task, count in new.items())
        found[name] = (wakes / seconds, None if asked is None else (commands(it) - asked - 1) / seconds)
    return found
