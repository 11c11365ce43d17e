"""xackctl with a great deal behind it: exactly what was meant, in bounded memory, and never holding Redis up."""
import os
import signal
import subprocess

import pytest

from harness import SANITIZED, SLOW, XACKCTL, wait_until
from test_xackctl import desk, on_terminal, shared  # noqa: F401  (fixtures)

# Dead letters n = first … last, in one go.
BURY_MANY = """
local now = redis.call('TIME')[1] * 1000
for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  local dead_id = redis.call('XADD', KEYS[1], now .. '-' .. 1000000 + i, 'xackd.meta', 9, 'xackd.id', i + 1 .. '-1', 'xackd.stream', KEYS[3],
    'xackd.group', 'xackd', 'xackd.job', 'work', 'xackd.reason', 'exit', 'xackd.detail', 'exit 3', 'xackd.attempts', 5, 'xackd.host', 'h1',
    'xackd.at', now, 'n', i)
  redis.call('HSET', KEYS[2], i + 1 .. '-1', '{"reason":"exit","dead_id":"' .. dead_id .. '"}')
end"""


# The IDs of a stream and each one's last value, flat: what else is in it needs not to be carried about.
LAST_VALUES = """
local out, rows = {}, redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])
for i = 1, #rows do
  out[2 * i - 1] = rows[i][1]
  out[2 * i] = rows[i][2][#rows[i][2]]
end
return out"""


def bury_many(box, count):
    script = box.r.register_script(BURY_MANY)
    for i in range(0, count, 10000):
        script([box.key("dead"), box.key("note"), "work"], [i, min(i + 10000, count) - 1])


def last_values(box, key, size=20000):
    """{ID: last value} of a stream."""
    found, last, script = {}, "-", box.r.register_script(LAST_VALUES)
    while True:
        flat = script([key], [last, size])
        found.update(zip(flat[::2], flat[1::2]))
        if len(flat) < 2 * size:
            return found
        last = "(" + flat[-2]


def start(desk, *args):
    process = subprocess.Popen([XACKCTL, "-c", desk.file, *args], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    desk.box.others.append(process)
    return process


def end_it(process):
    process.send_signal(signal.SIGKILL)
    process.wait()
    return process.returncode == -signal.SIGKILL


# ---- dead letters ----

@pytest.mark.big
def test_requeue_by_filter_is_exact_also_when_it_is_killed(desk, box):
    """100,000 dead letters, 20,000 that fit; kill -9 at several points, once with a request on its way, then to the end."""
    count = 100000
    bury_many(box, count)
    dead = {dead_id: int(n) for dead_id, n in last_values(box, box.key("dead")).items()}
    assert len(dead) == count
    again = ("dead", "requeue", "--match", "n=[05]$", "--yes")
    killed = 0
    for moved in (0, 1, 4000, 11000):
        process = start(desk, *again)
        wait_until(lambda: box.r.xlen("work") > moved or process.poll() is not None, 60, step=0.002)
        killed += end_it(process)
    assert killed == 4, "each was in the middle of it"
    process = start(desk, *again)
    before = box.r.xlen("work")
    wait_until(lambda: box.r.xlen("work") > before or process.poll() is not None, 60, step=0.002)
    box.redis.freeze()
    assert end_it(process)
    box.redis.thaw()
    part = box.r.xlen("work")
    assert before < part < count // 5
    done = desk.ctl(*again)
    assert len(done.text.split()) == box.r.xlen("work") - part
    moved = list(last_values(box, "work").values())  # xackd.requeued-from
    assert len(moved) == count // 5 and set(moved) == {dead_id for dead_id, n in dead.items() if n % 5 == 0}
    assert last_values(box, box.key("dead")).keys() == {dead_id for dead_id, n in dead.items() if n % 5}
    for _, fields in box.r.xrange("work", count=100):
        assert list(fields) == ["n", "xackd.requeued-from"] and int(fields["n"]) == dead[fields["xackd.requeued-from"]]
    assert box.r.hlen(box.key("note")) == count * 4 // 5
    assert desk.ctl(*again).text == "" and box.r.xlen("work") == count // 5


@pytest.mark.big
def test_purge_by_filter_is_exact_also_when_it_is_killed(desk, box):
    count = 20000
    bury_many(box, count)
    again = ("dead", "purge", "--match", "n=[05]$", "--yes")
    for left in (count, count - 500, count - 2500):
        process = start(desk, *again)
        wait_until(lambda: box.r.xlen(box.key("dead")) < left or process.poll() is not None, 60, step=0.002)
        assert end_it(process)
    desk.ctl(*again)
    assert [int(n) for n in last_values(box, box.key("dead")).values()] == [n for n in range(count) if n % 5]
    assert box.r.hlen(box.key("note")) == count * 4 // 5 and box.r.xlen("work") == 0


# ---- lists ----

PARK_MANY = """
local now = redis.call('TIME')[1] * 1000
for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do redis.call('XADD', KEYS[1], '*', 'type', i % 100 == 0 and 'video' or 'thumb', 'n', i) end
local rows = redis.call('XREADGROUP', 'GROUP', 'xackd', 'xackd:parked', 'COUNT', 100000, 'STREAMS', KEYS[1], '>')[1][2]
for i = 1, #rows do
  redis.call('ZADD', KEYS[2], now + 3600000 + (i * 7919) % 100000, rows[i][1])
  redis.call('HSET', KEYS[3], rows[i][1], '{"reason":"exit","detail":"exit 3","attempt":1,"delivery":1,"given":0}')
end"""


def park_many(box, count, stream="work"):
    script = box.r.register_script(PARK_MANY)
    for i in range(0, count, 10000):
        script([stream, box.key("due", stream), box.key("note", stream)], [i, min(i + 10000, count) - 1])


def most_memory_kb(pid):
    """Of this program alone: what getrusage tells begins with the process that it was forked from."""
    with open("/proc/%d/status" % pid) as status:
        return next((int(line.split()[1]) for line in status if line.startswith("VmHWM:")), 0)


def measured(desk, *args):
    """Rows, the most memory that xackctl had (KB), the calls that it made, and how long Redis took for the mean one (µs)."""
    desk.box.r.config_resetstat()
    process = subprocess.Popen([XACKCTL, "-c", desk.file, *args], stdout=subprocess.PIPE)
    memory, rows = 0, 0
    while True:
        memory = max(memory, most_memory_kb(process.pid))
        chunk = os.read(process.stdout.fileno(), 1 << 20)
        if not chunk:
            break
        rows += chunk.count(b"\n")
    process.stdout.close()
    assert process.wait() == 0
    stats = desk.box.r.info("commandstats")
    names = ("xrange",) if "dead" in args else ("evalsha", "eval")  # what scripts call is counted, too
    calls = [stats["cmdstat_" + name] for name in names if "cmdstat_" + name in stats]
    return rows, memory, sum(row["calls"] for row in calls), max(row["usec_per_call"] for row in calls)


@pytest.mark.big
@pytest.mark.parametrize("what", ["retries", "filtered", "dead ls"])
def test_lists_need_no_more_for_more(shared, box, what):
    """Memory and the time that Redis is kept from others do not grow with what is listed."""
    few, many = 2000, 40000
    if what == "dead ls":
        fill, args, part = (lambda count: bury_many(box, count)), ["dead", "ls"], 1
    else:
        fill = lambda count: park_many(box, count, "media")  # noqa: E731
        args, part = ["retries", "--queue", "media"], 1
        if what == "filtered":
            args, part = args + ["--job", "video", "--match", "n=(^|0)0$"], 100
    fill(few)
    small = measured(shared, *args, "-o", "jsonl")
    box.r.flushall()
    for stream in ("work", "media"):
        box.r.xgroup_create(stream, "xackd", id="0", mkstream=True)
    fill(many)
    large = measured(shared, *args, "-o", "jsonl")
    assert (small[0], large[0]) == (few // part, many // part)
    assert SANITIZED or large[1] < small[1] + 2048, "KB"  # a sanitizer keeps what was freed
    assert large[2] < 1.2 * many / 50 + 50 and large[3] < 5000 * SLOW, large
    assert measured(shared, *args, "--limit", "5")[2] < 30


def test_a_person_gets_the_first_thousand(desk, box):
    park_many(box, 1500)
    text, status = on_terminal("-c", desk.file, "retries")
    assert status == 0 and "the first 1000" in text and text.count(" exit 3") == 1000
    assert on_terminal("-c", desk.file, "retries", "--limit", "1200")[0].count(" exit 3") == 1200
    assert desk.ctl("retries").text.count("\n") == 1501 and len(desk.json("retries")) == 1500
