"""xackd --check and --print: all errors at once, with place and advice."""
import json
import os
import subprocess

import pytest

from harness import SLOW, TOP, XACKD

GOOD = """\
name: web1
redis:
  url: redis://127.0.0.1:6399/2
jobs:
  thumbnail:
    exec: [ /bin/true, "{path}" ]
"""


def check(box, text, name="xackd.yaml"):
    file = box.write(name, text)
    done = subprocess.run([XACKD, "-c", file, "--check"], capture_output=True, text=True, timeout=20 * SLOW, stdin=subprocess.DEVNULL,
                          errors="surrogateescape")
    done.lines = [line for line in done.stderr.split("\n") if line]
    done.file = file
    return done


def wrong(box, text, *expected):
    """Exit 78, and for each (line, word…) an error line that names place and words."""
    done = check(box, text)
    assert done.returncode == 78, done.stderr
    for line, *words in expected:
        place = "%s:%d:" % (done.file, line)
        hits = [l for l in done.lines if l.startswith(place) and all(w in l for w in words)]
        assert hits, "no error at line %d with %s in:\n%s" % (line, words, done.stderr)
        column = hits[0][len(place):].split(":", 1)[0]
        assert column.isdigit() and int(column) >= 1
    return done


def test_good(box):
    done = check(box, GOOD)
    assert done.returncode == 0, done.stderr


def test_all_errors_at_once_with_suggestion(box):
    text = """\
name: web1
wrokers: 4
jobs:
  thumbnail:
    exec: [ /bin/true ]
    timout: 5m
    lease: 10
    retry: { max_attempts: many, backof: linear }
  other:
    stdin: jsn
"""
    done = wrong(box, text, (2, "wrokers", "workers"), (6, "timout", "timeout"), (7, "lease"), (8, "max_attempts"), (8, "backof", "backoff"),
                 (10, "stdin", "json"), (9, "other"))
    assert len(done.lines) >= 7


@pytest.mark.parametrize("text, line, words", [
    ("", 1, []),
    ("jobs: {}\n", 1, ["jobs"]),
    ("name: x\n", 1, ["jobs"]),
    ("jobs:\n  a:\n    exec: [ /bin/true ]\n    shell: x\n", 4, ["exec", "shell"]),
    ("jobs:\n  a: { stream: s }\n", 2, ["exec"]),
    ("jobs:\n  a:\n    exec: /bin/true\n", 3, ["exec"]),
    ("jobs:\n  a:\n    exec: []\n", 3, ["exec"]),
    ("jobs:\n  a:\n    exec: [ /bin/true ]\n    exec: [ /bin/false ]\n", 4, ["exec"]),
    ("jobs:\n  'a b': { exec: [ /bin/true ] }\n", 2, ["a b"]),
    ("name: 'a/b'\njobs: { a: { exec: [ /bin/true ] } }\n", 1, ["name"]),
    ("jobs: { a: { exec: [ /bin/true, '{}' ] } }\n", 1, ["exec"]),
    ("jobs: { a: { exec: [ /bin/true, '{@nonsense}' ] } }\n", 1, ["nonsense"]),
    ("jobs: { a: { exec: [ /bin/true, 'a}b' ] } }\n", 1, ["exec"]),
    ("jobs: { a: { exec: [ /bin/true, 'a{b' ] } }\n", 1, ["exec"]),
    ("jobs: { a: { exec: [ /bin/true ], timeout: 5 } }\n", 1, ["timeout"]),
    ("jobs: { a: { exec: [ /bin/true ], timeout: -5s } }\n", 1, ["timeout"]),
    ("jobs: { a: { exec: [ /bin/true ], timeout: 5 m } }\n", 1, ["timeout"]),
    ("jobs: { a: { exec: [ /bin/true ], timeout: 99999999999999999999d } }\n", 1, ["timeout"]),
    ("jobs: { a: { exec: [ /bin/true ], lease: 500ms } }\n", 1, ["lease"]),
    ("jobs: { a: { exec: [ /bin/true ], limits: { memory: 12Q } } }\n", 1, ["memory"]),
    ("jobs: { a: { exec: [ /bin/true ], umask: '999' } }\n", 1, ["umask"]),
    ("jobs: { a: { exec: [ /bin/true ], env: { XACKD_ID: x } } }\n", 1, ["XACKD_ID"]),
    ("jobs: { a: { exec: [ /bin/true ], env: { FIELD_A: x } } }\n", 1, ["FIELD_A"]),
    ("jobs: { a: { exec: [ /bin/true ], env: { 'A=B': x } } }\n", 1, ["A=B"]),
    ("jobs: { a: { exec: [ /bin/true ], retry: { jitter: 2 } } }\n", 1, ["jitter"]),
    ("jobs: { a: { exec: [ /bin/true ], exit_codes: { dead: [300] } } }\n", 1, ["300"]),
    ("jobs: { a: { exec: [ /bin/true ], exit_codes: { dead: [NOSIG] } } }\n", 1, ["NOSIG"]),
    ("jobs: { a: { exec: [ /bin/true ], exit_codes: { dead: [3], ack: [3] } } }\n", 1, ["3"]),
    ("jobs: { a: { exec: [ /bin/true ], stream: 'a{b' } }\n", 1, ["stream"]),
    ("jobs: { a: { exec: [ /bin/true ], stream: 'a{}b' } }\n", 1, ["stream"]),
    ("jobs: { a: { exec: [ /bin/true ], pool: video } }\n", 1, ["video"]),
    ("workers: 0\njobs: { a: { exec: [ /bin/true ] } }\n", 1, ["workers"]),
    ("workers: 2\npools: { default: { workers: 1 } }\njobs: { a: { exec: [ /bin/true ] } }\n", 2, ["workers"]),
    ("redis: { url: 'http://x' }\njobs: { a: { exec: [ /bin/true ] } }\n", 1, ["url"]),
    ("redis: { url: 'redis://u:secret@h' }\njobs: { a: { exec: [ /bin/true ] } }\n", 1, ["password"]),
    ("jobs: { a: { exec: [ /bin/true ] } }\n---\njobs: {}\n", 2, []),
    ("jobs: { a: !!str { exec: [ /bin/true ] } }\n", 1, []),
    ("jobs: { a: &x { exec: [ /bin/true ], env: *x } }\n", 1, []),
    ("jobs: { a: { exec: [ /bin/true ] }\n", 2, []),
    ("jobs:\n\ta: 1\n", 2, []),
    ("jobs: { a: { exec: [ '/bin/true\\0x' ], cwd: \"/a\\0b\" } }\n", 1, ["NUL"]),
    ("unmatched: maybe\njobs: { a: { exec: [ /bin/true ] } }\n", 1, ["unmatched", "dead"]),
    ("jobs: { a: { exec: [ /bin/true ], stream: s, pool: p }, b: { exec: [ /bin/true ], stream: s } }\npools: { p: { workers: 1 } }\n", 1, ["pool"]),
    ("jobs: { a: { exec: [ /bin/true ], stream: s, start: $ }, b: { exec: [ /bin/true ], stream: s } }\n", 1, ["start"]),
    ("jobs: { a: { exec: [ /bin/true ], group: g }, b: { exec: [ /bin/true ] } }\n", 1, ["group"]),
])
def test_wrong(box, text, line, words):
    done = check(box, text)
    assert done.returncode == 78, done.stderr
    assert done.lines and all(l.startswith(done.file) for l in done.lines), done.stderr
    assert any(all(w in l for w in words) for l in done.lines), done.stderr
    if text and words:
        assert any(l.startswith("%s:%d:" % (done.file, line)) for l in done.lines), done.stderr


def test_too_many_errors_are_counted(box):
    text = "jobs: { a: { exec: [ /bin/true ] } }\n" + "".join("wrong%d: x\n" % i for i in range(80))
    done = check(box, text)
    assert done.returncode == 78 and 50 <= len(done.lines) <= 52
    assert "30" in done.lines[-1]


def test_no_key_of_later_issues_is_silently_accepted(box):
    """What is in the table works; what does not work yet is refused."""
    for key, value in (("mode", "nonsense"), ("read_ahead", "nonsense"), ("concurrency", "nonsense"), ("retain", "nonsense")):
        assert check(box, "jobs: { a: { exec: [ /bin/true ], %s: %s } }\n" % (key, value)).returncode == 78


def test_a_process_for_many_takes_nothing_from_one_entry(box):
    for mode in ("batch", "persistent"):
        fine = "jobs: { a: { exec: [ /bin/true, \"{@job}\", \"{{\" ], mode: %s } }\n" % mode
        assert check(box, fine).returncode == 0
        for wrong in ("exec: [ /bin/true, \"{path}\" ]", "exec: [ /bin/true, \"x{@id}\" ]", "shell: cat, stdin: none"):
            done = check(box, "jobs: { a: { %s, mode: %s } }\n" % (wrong, mode))
            assert done.returncode == 78 and "mode: " + mode in done.stderr + "".join(done.lines)


def test_defaults_are_merged_key_by_key(box):
    text = """\
defaults: { timeout: 5m, retry: { max_attempts: 9, initial: 2s }, env: { A: one, B: two } }
jobs:
  a: { exec: [ /bin/true ], retry: { initial: 3s }, env: { B: three } }
"""
    file = box.write("xackd.yaml", text)
    done = subprocess.run([XACKD, "-c", file, "--print", "config"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    printed = done.stdout
    for part in ("max_attempts: 9", "initial: 3s", "timeout: 5m", "A: one", "B: three"):
        assert part in printed.replace('"', ""), printed
    again = check(box, printed, "again.yaml")
    assert again.returncode == 0, again.stderr


def test_anchors_and_aliases(box):
    assert check(box, "jobs:\n  a: &base { exec: [ /bin/true ], timeout: 3s }\n  b: *base\n").returncode == 0
    bomb = "x0: &x0 [a,a,a,a,a,a,a,a,a,a]\n" + "".join(
        "x%d: &x%d [%s]\n" % (i, i, ",".join(["*x%d" % (i - 1)] * 10)) for i in range(1, 9)) + "jobs: { a: { exec: [ /bin/true ] } }\n"
    assert check(box, bomb).returncode == 78


def test_include(box):
    os.mkdir(box.path("jobs.d"))
    box.write("jobs.d/a.yaml", "jobs:\n  a: { exec: [ /bin/true ] }\n")
    box.write("jobs.d/b.yaml", "jobs:\n  b: { exec: [ /bin/true ] }\n")
    assert check(box, "include: [ jobs.d/*.yaml ]\n").returncode == 0
    box.write("jobs.d/b.yaml", "jobs:\n  b: { exec: [ /bin/true ], tiemout: 3s }\nworkers: 3\n")
    done = check(box, "include: [ jobs.d/*.yaml ]\n")
    assert done.returncode == 78
    assert any(l.startswith(box.path("jobs.d", "b.yaml") + ":2:") and "tiemout" in l and "timeout" in l for l in done.lines), done.stderr
    assert any(l.startswith(box.path("jobs.d", "b.yaml") + ":3:") and "workers" in l for l in done.lines), done.stderr
    box.write("jobs.d/b.yaml", "jobs:\n  a: { exec: [ /bin/true ] }\n")
    done = check(box, "include: [ jobs.d/*.yaml ]\n")
    assert done.returncode == 78 and "a" in done.stderr


def test_file_that_cannot_be_read(box):
    for name in ("nowhere.yaml", ""):
        done = subprocess.run([XACKD, "-c", box.path(name), "--check"], capture_output=True, text=True, timeout=10)
        assert done.returncode == 78 and box.path(name).rstrip("/") in done.stderr


@pytest.mark.parametrize("key, value, what", [("password_file", "nowhere", "cannot be found"), ("password_env", "XACKD_NOT_SET", "is not set here")])
def test_missing_password_is_a_warning(box, key, value, what):
    checked = box.check({"redis": {"url": "redis://127.0.0.1:1/0", key: value}, "jobs": {"a": {"exec": ["/bin/true"]}}})
    assert checked.returncode == 0 and "redis.%s: warning: " % key in checked.stderr and what in checked.stderr


def test_missing_handler_is_a_warning(box):
    done = check(box, "jobs: { a: { exec: [ /no/such/handler ] } }\n")
    assert done.returncode == 0 and "/no/such/handler" in done.stderr + done.stdout


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_limit_of_processes_warns_root(box):
    done = check(box, "jobs: { a: { exec: [ /bin/true ], limits: { processes: 5 } } }\n")
    assert done.returncode == 0 and "processes" in done.stderr + done.stdout


def test_huge_and_binary_files(box):
    for data in (b"\0" * 4096, b"\xff\xfe" + os.urandom(4096), b"[" * 200000, b"a: " * 50000, b"- " * 200000):
        with open(box.path("x.yaml"), "wb") as file:
            file.write(data)
        done = subprocess.run([XACKD, "-c", box.path("x.yaml"), "--check"], capture_output=True, timeout=20 * SLOW)
        assert done.returncode == 78, (data[:10], done.returncode)


@pytest.mark.parametrize("what", ["schema", "reference", "sample"])
def test_print(box, what):
    done = subprocess.run([XACKD, "--print", what], capture_output=True, text=True, timeout=10)
    assert done.returncode == 0 and "max_attempts" in done.stdout
    if what == "schema":
        schema = json.loads(done.stdout)
        assert "jobs" in json.dumps(schema)
    if what == "sample":
        done = check(box, done.stdout)
        assert done.returncode == 0, done.stderr


def test_shipped_configuration(box):
    file = os.path.join(TOP, "etc", "xackd.yaml")
    done = subprocess.run([XACKD, "-c", file, "--check"], capture_output=True, text=True, timeout=10)
    assert done.returncode == 0, done.stderr
