"""What became of each entry: the ledger (what handlers did), the events (what was told), the dead letters.

Done means: a handler wrote its end with 0. Doubled means: it began again after such an end. Each beginning but the first must have been told
of, for that ID, between the two beginnings. A worker starts an entry as soon as it is parked, the event that tells of it is written after
that: so an event may be a little later than the second beginning (SLACK). Who recovers an entry may be killed between the script and the event:
then the second beginning itself says what it comes after (job.started, after: worker_lost).

A group that was destroyed is made again where the host that notices knows it had got to: what another host was given in the last second before may
run again, and is told of by the one warning that says so."""
import collections
import json

from world import id_of

SLACK_NS = 2000 * 1000 * 1000
REMADE = "the group was gone"
TELLS_DOUBLED = {"job.recovered", "job.stale_ack", "job.lease_lost", REMADE}
TELLS_AGAIN = TELLS_DOUBLED | {"job.failed", "job.retry", "job.later", "job.released"}
OF_INTEREST = TELLS_AGAIN | {"job.dead", "job.vanished", "job.succeeded"}

Run = collections.namedtuple("Run", "start delivery pid end code")


def read_ledger(path):
    """{id: [Run]} by beginning; a run without an end was killed."""
    begun, runs = {}, collections.defaultdict(list)
    with open(path) as text:
        for line in text:
            kind, entry, attempt, _, _, _, ns, pid, code = line.split()
            if kind == "S":
                begun[entry, pid] = len(runs[entry])
                runs[entry].append(Run(int(ns), int(attempt), int(pid), None, None))
            else:
                at = begun[entry, pid]
                runs[entry][at] = runs[entry][at]._replace(end=int(ns), code=int(code))
    for entry in runs:
        runs[entry].sort()
    return runs


def nanoseconds(ts, cache={}):
    import calendar
    import time
    second = ts[:19]
    if second not in cache:
        cache[second] = calendar.timegm(time.strptime(second, "%Y-%m-%dT%H:%M:%S"))
    return cache[second] * 10**9 + int(ts[20:26]) * 1000


def read_events(logs):
    """({id: [(ns, event, fields)]}, Counter of all, lines that are no event, errors)"""
    told, counts, bad, errors = collections.defaultdict(list), collections.Counter(), [], collections.Counter()
    for log in logs:
        with open(log, "rb") as lines:
            for line in lines:
                try:
                    event = json.loads(line)
                    name = event["event"]
                except (ValueError, KeyError, TypeError):
                    bad.append((log, line[:200]))
                    continue
                counts[name] += 1
                if event["level"] == "error":
                    errors["%s %s" % (name, str(event.get("why", ""))[:60])] += 1
                if name == "job.started" and event.get("after") == "worker_lost":
                    name = "job.recovered"
                if name in OF_INTEREST and "id" in event:
                    told[event["id"]].append((nanoseconds(event["ts"]), name, event))
                if name == "daemon.warning" and str(event.get("why", "")).startswith(REMADE):
                    told[REMADE].append((nanoseconds(event["ts"]), REMADE, event))
                for entry in event.get("ids", []) if name == "job.vanished" else []:
                    told[entry].append((nanoseconds(event["ts"]), name, event))
    return told, counts, bad, errors


class Report:
    def __init__(self):
        self.lost, self.doubled, self.untold, self.dead_wrong, self.side_by_side, self.gone_wrong = [], [], [], [], [], []
        self.again = collections.Counter()
        self.done = self.dead = self.starts = 0
        self.how_often = collections.Counter()

    def failures(self, bound):
        found = [(name, getattr(self, name)) for name in ("lost", "untold", "dead_wrong", "side_by_side", "gone_wrong") if getattr(self, name)]
        if len(self.doubled) > bound:
            found.append(("more doubled than faults x in flight = %d" % bound, self.doubled))
        return found


def told_between(told, first, second, names):
    return {name for ns, name, _ in told if name in names and first.start <= ns <= second.start + SLACK_NS}


def check_runs(report, entry, runs, told):
    for first, second in zip(runs, runs[1:]):
        again = told_between(told, first, second, TELLS_AGAIN)
        after_success = first.code == 0
        # A handler killed between its line and its exit was done and failed: the injector's doing, told as the failure it was.
        strict = told_between(told, first, second, TELLS_DOUBLED) or \
            any(name == "job.failed" and event.get("reason") in ("signal", "timeout") and first.start <= ns <= second.start + SLACK_NS
                for ns, name, event in told)
        report.again["after a success" if after_success else "after a failure" if first.code else "after a kill"] += 1
        if after_success:
            report.doubled.append(entry)
        if not (strict if after_success else again):
            report.untold.append((entry, first, second, [name for _, name, _ in told]))
        if first.end and first.end > second.start:
            report.side_by_side.append((entry, first, second))


def check(entries, runs, told, letters, deleted=(), flushed_below=0, allow_side_by_side=False):
    """letters: {id: reason} of the dead letters."""
    report = Report()
    for seq in range(flushed_below, entries):
        entry = id_of(seq)
        mine = runs.get(entry, [])
        done = sum(1 for run in mine if run.code == 0)
        report.starts += len(mine)
        report.how_often[done] += 1
        report.done += done > 0
        report.dead += entry in letters
        expected_dead = seq % 211 == 5
        if done == 0 and entry not in letters:
            report.lost.append(entry)
        if entry in letters and not (expected_dead and letters[entry] == "exit"):
            # Deleted while its handler ran: a failure cannot be retried, and is a dead letter with its own reason.
            if entry not in deleted or letters[entry] not in ("payload_gone", "exit"):
                report.dead_wrong.append((entry, letters[entry]))
        check_runs(report, entry, mine, told.get(entry, []) + told.get(REMADE, []))
    if allow_side_by_side:
        report.side_by_side = []
    return report
