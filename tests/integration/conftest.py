"""A box for each test: see harness.py. What a test leaves running, or says wrongly in its log, fails it."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
import redis_private  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "big: thousands of entries; runs in tests/run, may be left out while working (-m 'not big')")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    box = item.funcargs.get("box") if hasattr(item, "funcargs") else None
    if report.when == "call" and report.failed and box:
        for daemon in box.daemons:
            report.sections.append(("log of %s" % daemon.name, daemon.tail(30)))


@pytest.fixture
def box():
    for program in (harness.XACKD, harness.XACKCTL):
        assert os.access(program, os.X_OK), "%s is missing: build first, or use tests/run" % program
    world = harness.Box()
    problems = []
    try:
        yield world
    finally:
        problems = world.close()
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


# ---- for tests of the scripts: a Redis for a module, an empty queue for each test ----

@pytest.fixture(scope="module")
def server():
    private = redis_private.PrivateRedis()
    yield private
    private.close()


@pytest.fixture
def q(server):
    server.client.flushall()
    server.client.config_set("maxmemory", 0)
    queue = redis_private.Queue(server.client)
    queue.group()
    yield queue
    server.client.config_set("maxmemory", 0)
