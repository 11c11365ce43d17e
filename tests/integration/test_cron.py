"""Schedules: one entry a slot over all hosts, by Redis's clock; what is missed; reloads; and the times, compared with another reckoning of them."""
import os
import random
import subprocess
import time
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from harness import HERE, SANITIZED, TOP, never, wait_until
from test_clocks import LIBRARY, Clock, clock  # noqa: F401

MINUTE, HOUR, DAY = 60 * 1000, 3600 * 1000, 24 * 3600 * 1000
EVERY = "* * * * *"
HOST_CRON = "xackd:{work}:work:cron"


def tick(when=EVERY, job="work", **more):
    return {"tick": dict({"schedule": when, "job": job, "timezone": "UTC"}, **more)}


def slots(box, stream="work"):
    """Of the entries, in their order."""
    return [int(fields["xackd.slot"]) for _, fields in box.r.xrange(stream)]


def now_ms(box):
    seconds, us = box.r.time()
    return seconds * 1000 + us // 1000


def went_to(box, ms, when=EVERY):
    """As if the slot of that time had been the last one."""
    box.r.hset(HOST_CRON, mapping={"tick": ms, "tick/rule": when + " UTC"})


def last(box):
    value = box.r.hget(HOST_CRON, "tick")
    return value and int(value)


def minute_of(ms):
    return ms // MINUTE * MINUTE


def seen(box, than=0):
    return wait_until(lambda: (last(box) or 0) > than and last(box), 10, "the schedule is seen")


# ---- what is missed ----

def test_a_new_schedule_makes_up_for_nothing(box):
    before = now_ms(box)
    daemon = box.daemon(cron=tick("0 0 1 1 *"))
    assert before <= seen(box) <= now_ms(box)
    rows = box.ctl("cron", "--json").json
    assert [(row["name"], row["job"], row["schedule"], row["timezone"], row["missed"]) for row in rows] == [("tick", "work", "0 0 1 1 *", "UTC", "once")]
    assert rows[0]["last_ms"] == last(box)
    year = datetime.now(timezone.utc).year + 1
    assert rows[0]["next_ms"] == datetime(year, 1, 1, tzinfo=timezone.utc).timestamp() * 1000
    assert "NEXT IN" in box.ctl("cron").text
    daemon.stop()
    assert box.r.xlen("work") == 0 and daemon.events("job.scheduled") == []
    assert box.ctl("cron", "--json").json[0]["next_ms"] is None


def test_after_an_outage_once(box):
    """All that was missed is one entry, with the last slot; its fields, and how the handler sees them."""
    began = now_ms(box)
    went_to(box, began - 90 * MINUTE)
    daemon = box.daemon({"exec": box.recording('echo "$FIELD_XACKD_SCHEDULE $FIELD_XACKD_SLOT $FIELD_PATH $FIELD_TYPE" >> ' + box.path("seen")),
                         "match": {"type": "x"}}, cron=tick(fields={"path": "/ä b", "n": 3}))
    first = daemon.wait_event("job.scheduled")
    slot = first["slot_ms"]
    assert minute_of(began) <= slot <= minute_of(now_ms(box)) and first["schedule"] == "tick" and first["missed"] in (88, 89)
    assert 0 <= first["late_ms"] <= now_ms(box) - slot
    fields = [part.decode() for part in box.raw("XRANGE", "work", first["id"], first["id"])[0][1]]
    assert fields == ["path", "/ä b", "n", "3", "type", "x", "xackd.schedule", "tick", "xackd.slot", str(slot)]
    wait_until(lambda: box.lines("seen"), 10)
    assert box.lines("seen")[0] == "tick %d /ä b x" % slot
    assert last(box) >= slot


def test_after_an_outage_skip(box):
    """Nothing that is more than a minute late; all the same it is dealt with, and told."""
    slot = now_ms(box) // MINUTE * MINUTE - 10 * MINUTE
    when = "%d * * * *" % (slot // MINUTE % 60)
    went_to(box, slot - 3 * HOUR, when)
    daemon = box.daemon(cron=tick(when, missed="skip"))
    told = daemon.wait_event("job.missed")
    assert (told["schedule"], told["slot_ms"], told["count"]) == ("tick", slot, 3)
    assert last(box) == slot and box.r.xlen("work") == 0


def test_skip_is_not_for_what_is_on_time(box):
    """The last slot of each minute is at most a minute late."""
    went_to(box, now_ms(box) - 10 * MINUTE)
    daemon = box.daemon(cron=tick(missed="skip"))
    assert daemon.wait_event("job.scheduled")["missed"] >= 8


def test_after_an_outage_all(box):
    """One entry each for the last hundred, the oldest first."""
    went_to(box, now_ms(box) - 150 * MINUTE)
    daemon = box.daemon(cron=tick(missed="all"))
    daemon.wait_event("job.scheduled", count=100)
    got = slots(box)
    assert got[:100] == list(range(got[0], got[0] + 100 * MINUTE, MINUTE))
    assert 45 <= daemon.events("job.missed")[0]["count"] <= 51


def test_a_changed_schedule_makes_up_for_nothing(box):
    """Also where a daemon did not run meanwhile; and where Redis's clock was set back by days."""
    went_to(box, now_ms(box) - 90 * MINUTE, "*/2 * * * *")
    before = now_ms(box)
    daemon = box.daemon(cron=tick("0 0 1 1 *"))
    assert seen(box, before - 1)
    daemon.stop()
    went_to(box, now_ms(box) + 3 * DAY, "0 0 1 1 *")
    box.again(daemon)
    wait_until(lambda: last(box) <= now_ms(box), 10, "a slot of the future is not believed")
    assert box.r.xlen("work") == 0


# ---- several hosts ----

NEEDS_CLOCK = pytest.mark.skipif(LIBRARY is None or SANITIZED,
                                 reason="libfaketime is not installed (package faketime), or a sanitizer wants to be the first library that is loaded")


def fake(box, seconds):
    made = Clock(box.path("offset-%d" % seconds))
    made.set(seconds)
    return made.env


def each_slot_once(box, envs):
    """Three hosts with one schedule and a hundred slots to make up for; one is killed meanwhile."""
    went_to(box, now_ms(box) - 100 * MINUTE)
    daemons = [box.daemon(name="h%d" % i, cron=tick(missed="all"), ready=False, env=env) for i, env in enumerate(envs)]
    wait_until(lambda: box.r.xlen("work") >= 30, 20)
    daemons[0].kill9()
    wait_until(lambda: last(box) and last(box) >= minute_of(now_ms(box)) - MINUTE, 20, "all slots are dealt with")
    for daemon in daemons[1:]:
        daemon.wait_ready()
    got = slots(box)
    assert got == list(range(got[0], got[0] + len(got) * MINUTE, MINUTE)) and len(got) >= 99
    told = [e["slot_ms"] for daemon in daemons for e in daemon.events("job.scheduled")]
    assert len(told) == len(set(told))


def test_each_slot_once_over_all_hosts(box):
    each_slot_once(box, [None] * 3)


@NEEDS_CLOCK
def test_each_slot_once_whatever_the_hosts_clocks(clock, box):  # noqa: F811
    """Those of two hosts are hours away from Redis's."""
    each_slot_once(box, [None, fake(box, 5 * 3600), fake(box, -5 * 3600)])


@NEEDS_CLOCK
def test_at_its_time(clock, box):  # noqa: F811
    """By Redis's clock, which is four seconds before a minute; the daemons' are elsewhere. Nobody looks each second meanwhile."""
    clock.set(7200 + 56 - int(time.time()) % 60)
    box.redis_server(env=clock.env)
    daemons = [box.daemon(name=name, cron=tick()) for name in ("h1", "h2")]
    wait_until(lambda: box.r.xlen("work") > 0, 75, "the minute")
    fired = wait_until(lambda: [e for d in daemons for e in d.events("job.scheduled")], 5)
    assert slots(box) == [fired[0]["slot_ms"]] and fired[0]["slot_ms"] % MINUTE == 0
    wait_until(lambda: any(d.events("job.succeeded") for d in daemons), 10)
    never(lambda: box.r.xlen("work") > 1, 1)
    assert 0 <= fired[0]["late_ms"] < 5000
    daemons[0].stop()
    daemons[1].kill9_all()


# ---- what stands in the way ----

def test_a_paused_queue_gets_its_entries(box):
    daemon = box.daemon(cron={})
    box.ctl("pause", "work")
    daemon.stop()
    went_to(box, now_ms(box) - 10 * MINUTE)
    other = box.daemon(cron=tick())
    entry = other.wait_event("job.scheduled")["id"]
    never(lambda: other.events("job.started"), 0.5)
    box.ctl("resume", "work")
    other.wait_event("job.succeeded", id=entry)


@NEEDS_CLOCK
def test_redis_is_away_at_the_slot(clock, box):  # noqa: F811
    """What came meanwhile is fired after the reconnect, once."""
    box.redis_server(env=clock.env)
    daemon = box.daemon(cron=tick("0 * * * *"))
    began = seen(box)
    box.redis.kill()
    daemon.wait_event("redis.lost")
    clock.set(3 * 3600)
    box.redis.start()
    fired = daemon.wait_event("job.scheduled")
    assert fired["slot_ms"] == began // HOUR * HOUR + 3 * HOUR and fired["missed"] == 2
    assert slots(box) == [fired["slot_ms"]]


def test_a_full_redis(box):
    """Nothing is lost: refused as long as memory is full, then fired."""
    went_to(box, now_ms(box) - 10 * MINUTE)
    box.r.config_set("maxmemory", "1")
    daemon = box.daemon(cron=tick(), ready=False)
    daemon.wait_event("redis.error")
    assert box.r.xlen("work") == 0
    box.r.config_set("maxmemory", "0")
    daemon.wait_event("job.scheduled")
    assert len(slots(box)) == 1


def test_a_key_of_the_wrong_type(box):
    """Said once, with the key; other work goes on, and what was due is fired when it is mended."""
    box.r.set(HOST_CRON, "x")
    daemon = box.daemon({"work": {"exec": ["/bin/true"]}, "other": {"exec": ["/bin/true"]}}, cron=tick(missed="all"))
    daemon.allow_errors = True
    daemon.wait_event("redis.error")
    box.add("other")
    daemon.wait_event("job.succeeded", job="other")
    box.r.delete(HOST_CRON)
    seen(box)


# ---- reloads ----

def reload(daemon, config):
    count = len(daemon.events("daemon.reloaded"))
    daemon.box.write_config(config, os.path.basename(daemon.file))
    os.kill(daemon.pid, 1)
    daemon.wait_event("daemon.reloaded", count=count + 1)


def test_reload(box):
    """Added, changed, taken away and put back: each begins at that moment; what stays goes on from where it was."""
    never_comes = "0 0 1 1 *"
    daemon = box.daemon(cron={})
    with_it = box.config(cron=tick(never_comes))
    reload(daemon, with_it)
    first = seen(box)
    reload(daemon, box.config(cron=tick(never_comes, fields={"a": "b"})))
    assert last(box) == first
    reload(daemon, box.config(cron=tick("0 0 2 1 *")))
    second = seen(box, first)
    reload(daemon, box.config(cron={}))
    wait_until(lambda: not box.r.hexists(HOST_CRON, "tick/rule"), 10, "it is forgotten")
    assert last(box) == second
    box.r.hset(HOST_CRON, "tick", now_ms(box) - 900 * DAY)
    reload(daemon, box.config(cron=tick("0 0 2 1 *")))
    seen(box, second)
    assert box.r.xlen("work") == 0 and daemon.events("job.scheduled") == []


def test_reload_refused(box):
    daemon = box.daemon(cron={})
    daemon.allow_errors = True
    box.write_config(box.config(cron=tick("61 * * * *")), os.path.basename(daemon.file))
    os.kill(daemon.pid, 1)
    told = daemon.wait_event("daemon.reload_refused")
    assert "minute: must be 0 to 59, not 61" in str(told["errors"])


# ---- the calendar ----

SOURCES = ["domain/cron.c", "domain/cron_parse.c", "domain/zone.c", "domain/zone_rule.c", "base/civil.c", "base/fault.c", "base/bytes.c", "base/fd.c", "base/num.c"]


@pytest.fixture(scope="module")
def times(tmp_path_factory):
    """Asks xackd's calendar: {(zone, expression): slots in (from, until]}."""
    program = str(tmp_path_factory.mktemp("cron") / "slots")
    src = os.path.join(TOP, "src")
    subprocess.run(["cc", "-O1", "-D_GNU_SOURCE", "-I", src, "-o", program, os.path.join(HERE, "slots.c")] + [os.path.join(src, s) for s in SOURCES],
                   check=True, timeout=120)

    def ask(questions):
        text = "".join("%s %d %d %s\n" % question for question in questions)
        done = subprocess.run([program], input=text, capture_output=True, text=True, check=True, timeout=60)
        return [[int(word) for word in line.split()] for line in done.stdout.splitlines()]
    return ask


def spread(text, least, most):
    values = set()
    for part in text.split(","):
        piece, _, step = part.partition("/")
        low, _, high = ("%d-%d" % (least, most) if piece == "*" else piece).partition("-")
        values |= set(range(int(low), int(high or low) + 1, int(step or 1)))
    return values


def reckon(walk, expression):
    """Minute by minute: each that fits by the local clock; with an hour that is named, none that comes a second time, and what is skipped at the jump."""
    minute, hour, day, month, week = expression.split()
    minutes, hours, days, months = spread(minute, 0, 59), spread(hour, 0, 23), spread(day, 1, 31), spread(month, 1, 12)
    weeks = {n % 7 for n in spread(week, 0, 6 if week[0] == "*" else 7)}
    both, each = day[0] == "*" or week[0] == "*", hour[0] == "*"

    def fits(at):
        if at.minute not in minutes or at.hour not in hours or at.month not in months:
            return False
        of_month, of_week = at.day in days, at.isoweekday() % 7 in weeks
        return of_month and of_week if both else of_month or of_week
    found = []
    for moment, local, again, skipped in walk:
        if fits(local) and (each or not again) or not each and any(fits(one) for one in skipped):
            found.append(moment)
    return found


def walk_through(zone, begin, end):
    """(moment, local time, whether it comes a second time, local times that were skipped before it) for each minute in (begin, end]."""
    steps, before = [], datetime.fromtimestamp(begin, zone).replace(tzinfo=None, fold=0)
    one = timedelta(minutes=1)
    for moment in range(begin + 60, end + 1, 60):
        at = datetime.fromtimestamp(moment, zone)
        local, skipped = at.replace(tzinfo=None, fold=0), ()
        if local - before > one:
            skipped = [before + one * n for n in range(1, (local - before) // one)]
        steps.append((moment, local, at.fold == 1, skipped))
        before = local
    return steps


ZONES = ["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "UTC", "Europe/Dublin", "America/Santiago", "Africa/Casablanca", "Pacific/Chatham"]
EXPRESSIONS = ["30 2 * * *", "0 3 * * *", "*/15 * * * *", "*/10 2 * * *", "0 */2 * * *", "15,45 1-3 * * *", "0 2 1,15 * 0", "*/7 0-4/2 */3 3,10 *", "59 23 * * 6",
               "0 0 29 2 *", "* 1 * 4,10,11 6,7", "5 4 * * 1-5", "0 12 13 * 5"]
FIRST_YEAR, YEARS = 2025, 10


def unix(year, month=1, day=1):
    return int(datetime(year, month, day, tzinfo=timezone.utc).timestamp())


def windows(zone):
    """The days around each change of the clocks in ten years, and some others. XACKD_CRON_YEARS=1: all of them (minutes of work)."""
    if os.environ.get("XACKD_CRON_YEARS"):
        return [(unix(year), unix(year + 1)) for year in range(FIRST_YEAR, FIRST_YEAR + YEARS)]
    day = 24 * 3600
    first, after = unix(FIRST_YEAR), unix(FIRST_YEAR + YEARS)
    offsets = [(at, datetime.fromtimestamp(at, zone).utcoffset()) for at in range(first, after, day)]
    changes = [at for (at, offset), (_, then) in zip(offsets, offsets[1:]) if offset != then]
    changes = random.Random(str(zone)).sample(changes, min(len(changes), 6))
    return [(at, at + day) for at in changes + random.Random(1).sample(range(first, after - day, day), 2) + [unix(2028, 2, 28) + day // 2]]


@pytest.mark.parametrize("name", ZONES)
def test_times(times, name):
    """By two reckonings: the system's zoneinfo read by Python, minute by minute, and xackd's own."""
    zone = ZoneInfo(name)
    for begin, end in windows(zone):
        walk = walk_through(zone, begin, end)
        questions = [("/usr/share/zoneinfo/" + name, begin, end, expression) for expression in EXPRESSIONS]
        for question, got in zip(questions, times(questions)):
            wanted = reckon(walk, question[3])
            assert got == wanted, (question, [str(datetime.fromtimestamp(at, zone)) for at in sorted(set(got) ^ set(wanted))][:5])


RULES = {"CET-1CEST,M3.5.0,M10.5.0/3": "Europe/Paris", "EST5EDT,M3.2.0,M11.1.0": "America/New_York", "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0": "Australia/Lord_Howe",
         "IST-1GMT0,M10.5.0,M3.5.0/1": "Europe/Dublin"}


def test_rules(times):
    """A rule, as in TZ, gives the same times as the zone's file; and years beyond the file's own changes go on by the rule in it."""
    for rule, name in RULES.items():
        for year in (2026, 2037, 2038, 2090):
            got = times([(source, unix(year), unix(year + 1), "30 1-3 * * *") for source in (rule, "/usr/share/zoneinfo/" + name)])
            assert got[0] == got[1] and len(got[0]) > 1000


def test_the_days_the_clocks_change(times):
    """What a person is told of it, spelled out."""
    def local(name, day, expression):
        zone = ZoneInfo(name)
        begin = int(datetime.fromisoformat(day).replace(tzinfo=zone).timestamp()) - 1
        end = int((datetime.fromisoformat(day) + timedelta(days=1)).replace(tzinfo=zone).timestamp()) - 1
        found = times([("/usr/share/zoneinfo/" + name, begin, end, expression)])[0]
        return [datetime.fromtimestamp(at, zone).strftime("%H:%M%z") for at in found]
    # Paris, 2026-03-29: 02:00 to 03:00 is skipped. 2026-10-25: 02:00 to 03:00 comes twice.
    assert local("Europe/Paris", "2026-03-29", "30 2 * * *") == ["03:00+0200"]
    assert local("Europe/Paris", "2026-03-29", "0,30 2,3 * * *") == ["03:00+0200", "03:30+0200"]
    assert local("Europe/Paris", "2026-03-29", "30 * * * *")[1:4] == ["01:30+0100", "03:30+0200", "04:30+0200"]
    assert local("Europe/Paris", "2026-10-25", "30 2 * * *") == ["02:30+0200"]
    assert local("Europe/Paris", "2026-10-25", "30 * * * *")[2:4] == ["02:30+0200", "02:30+0100"]
    # New York, 2026-03-08 and 2026-11-01.
    assert local("America/New_York", "2026-03-08", "15 2 * * *") == ["03:00-0400"]
    assert local("America/New_York", "2026-11-01", "15 1 * * *") == ["01:15-0400"]
    # Lord Howe changes by half an hour: 2026-10-04 02:00 to 02:30 is skipped, 2026-04-05 01:30 to 02:00 comes twice.
    assert local("Australia/Lord_Howe", "2026-10-04", "15 2 * * *") == ["02:30+1100"]
    assert local("Australia/Lord_Howe", "2026-10-04", "45 2 * * *") == ["02:45+1100"]
    assert local("Australia/Lord_Howe", "2026-04-05", "45 1 * * *") == ["01:45+1100"]
    assert local("Australia/Lord_Howe", "2026-04-05", "45 * * * *")[1:3] == ["01:45+1100", "01:45+1030"]
    assert local("UTC", "2026-03-29", "30 2 * * *") == ["02:30+0000"]
