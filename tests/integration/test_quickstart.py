"""contrib/quickstart keeps its word: five stories, exit 0, nothing left running."""
import os
import subprocess

import pytest

from harness import BUILD, SLOW, TOP, XACKD, command_line, processes


@pytest.mark.big
def test_quickstart(box):
    """With the build at hand; building is tests/run's own part."""
    done = subprocess.run([os.path.join(TOP, "contrib", "quickstart")], env=dict(os.environ, XACKD_BUILD=BUILD), capture_output=True,
                          text=True, timeout=120 * SLOW, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("succeeded after", "is parked", "is a dead letter now", "timeout after 1s", "kill -9", "What you just saw", "What to type next"):
        assert words in done.stdout, words
    assert "\x1b" not in done.stdout, "no colours into a pipe"
    home = os.path.join(BUILD, "quickstart")
    left = [p for p in processes() if home in command_line(p.pid) and p.pid != os.getpid()]
    assert not left and os.access(XACKD, os.X_OK)


def test_quickstart_usage(box):
    script = os.path.join(TOP, "contrib", "quickstart")
    assert subprocess.run([script, "--nonsense"], capture_output=True).returncode == 64
    done = subprocess.run([script, "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "--keep" in done.stdout and "set -eu" not in done.stdout
