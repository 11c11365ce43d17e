"""Small storms of the chaos harness (tests/chaos/run has the large ones), and two hosts of which one is cut off by the network: nothing is lost, and
what runs twice is told of."""
import os
import subprocess
import sys

import pytest

from harness import SLOW, TOP, Daemon, wait_until

STORMS = {
    "processes": ["--faults", "process", "--entries", "2500", "--every", "0.5", "--retain", "acked"],
    "network": ["--faults", "net", "--entries", "1500", "--every", "0.6", "--lease", "3"],
    "server": ["--faults", "server,hint.delete", "--entries", "1500", "--every", "0.6", "--lease", "3"],
    "data": ["--faults", "data,script.flush,worker.kill", "--entries", "1500", "--every", "0.4"],
    "stops": ["--faults", "stop", "--entries", "2500", "--every", "0.3"],
    "group": ["--faults", "group.destroy,worker.kill", "--entries", "1500", "--every", "0.8"],
    "emptied": ["--faults", "flushall", "--entries", "1500", "--every", "2"],
}


@pytest.mark.big
@pytest.mark.parametrize("name", STORMS)
def test_storm(name):
    """The seed is in the output; the same one plans the same faults."""
    command = [sys.executable, os.path.join(TOP, "tests", "chaos", "run"), "--seed", "7"] + STORMS[name]
    storm = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        print(storm.communicate(timeout=120 * SLOW)[0])
    finally:
        if storm.poll() is None:
            storm.terminate()
            print(storm.communicate(timeout=60)[0])
    assert storm.returncode == 0


# ---- two hosts, two networks ----

def ip(*words):
    return subprocess.run(["ip"] + " ".join(words).split(), capture_output=True, text=True)


class Network:
    """A namespace of its own for one host, joined to ours by a pair of veth whose link can be taken away."""

    def __init__(self, number):
        self.name = "xackd%d-%d" % (number, os.getpid())
        self.outside, inside = "xv%do%d" % (number, os.getpid() % 10000), "xv%di%d" % (number, os.getpid() % 10000)
        net = "10.%d.%d" % (200 + number, os.getpid() % 250)
        self.server = net + ".1"
        steps = ["netns add " + self.name, "link add %s type veth peer name %s netns %s" % (self.outside, inside, self.name),
                 "addr add %s.1/24 dev %s" % (net, self.outside), "link set %s up" % self.outside,
                 "-n %s addr add %s.2/24 dev %s" % (self.name, net, inside), "-n %s link set %s up" % (self.name, inside),
                 "-n %s link set lo up" % self.name]
        for step in steps:
            done = ip(step)
            if done.returncode != 0:
                self.close()
                pytest.skip("no right to make network namespaces: ip %s: %s" % (step, done.stderr.strip()))

    def cut(self):
        ip("link set %s down" % self.outside)

    def join(self):
        ip("link set %s up" % self.outside)

    def close(self):
        ip("link del " + self.outside)
        ip("netns del " + self.name)


@pytest.fixture
def networks():
    made = []
    try:
        for number in (1, 2):
            made.append(Network(number))
        yield made
    finally:
        for network in made:
            network.close()


def test_a_host_that_is_cut_off(box, networks):
    """Longer than the lease and back: the other host takes over what it ran; both finish, nothing is lost, each doubled entry is told of."""
    server = box.redis_server(tcp=True, args=["--appendfsync", "always", "--protected-mode", "no"])
    box.r.config_set("bind", "* -::*")
    gates = [box.gate("gate-1"), box.gate("gate-2")]
    gates[1].open()
    daemons = []
    for number, network in enumerate(networks, 1):
        url = "redis://%s:%d/0" % (network.server, server.port)
        config = box.config({"exec": box.recording("test $XACKD_DELIVERY -gt 1 || : < " + gates[number - 1].path), "lease": "3s"}, name="h%d" % number, workers=2,
                            redis={"url": url, "connect_timeout": "1s", "command_timeout": "2s"})
        daemon = Daemon(box, config, prefix=["ip", "netns", "exec", network.name])
        box.daemons.append(daemon)
        daemon.allow_errors = True
        daemons.append(daemon.wait_ready())
    one, two = daemons
    held = []

    def first_is_full():
        held.append(box.add())
        return len(one.events("job.started")) == 2
    wait_until(first_is_full, 20, "the first host runs two", step=0.05)
    ran = {e["id"] for e in one.events("job.started")}
    networks[0].cut()
    more = box.add_many("work", 50)
    for entry in sorted(ran):
        told = two.wait_event("job.recovered", id=entry, timeout=30)
        assert told["why"] == "host_lost" and told["from"].startswith("h1/")
    wait_until(lambda: not ran & set(box.pending()), 20, "the other host has done them")
    networks[0].join()
    gates[0].open()
    box.wait_done(timeout=40)
    one.wait_event("redis.connected", count=2, level="notice", timeout=30)
    after = [box.add(fields={"n": "after"}) for _ in range(20)]
    box.wait_done(timeout=30)
    runs = box.runs()
    assert {r[0] for r in runs} == set(held + more + after), "nothing is lost"
    doubled = {r[0] for r in runs if [s[0] for s in runs].count(r[0]) > 1}
    assert doubled == ran
    assert len({(r[0], r[2]) for r in runs}) == len(runs)

    def told(entry):
        return [e for e in one.events(id=entry) if e["event"] in ("job.stale_ack", "job.lease_lost")]
    for entry in sorted(doubled):
        wait_until(lambda: told(entry), 20, "the cut-off host says that it was too late with " + entry)
    assert not box.r.exists(box.key("dead"))
