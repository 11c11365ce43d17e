"""What a privileged daemon refuses, who a job runs as, and that Redis' password is nowhere to be seen but in the processes that
log in with it, which nobody of the same user can look into."""
import os
import pwd
import shutil
import signal
import subprocess

import pytest

from harness import PARKED, XACKD, alive, children, descendants, in_sh, process, wait_until

ROOT = os.geteuid() == 0
PASSWORD = "tell-nobody-5309"
SOMEBODY = "nobody"
as_root = pytest.mark.skipif(not ROOT, reason="only root can be privileged")


def program(box, name="handler", mode=0o755, folder="bin", folder_mode=0o755):
    os.makedirs(box.path(folder), exist_ok=True)
    path = box.write(os.path.join(folder, name), "#!/bin/sh\nexit 0\n", mode)
    os.chmod(box.path(folder), folder_mode)
    return path


def run(file, *args, prefix=()):
    return subprocess.run([*prefix, XACKD, "-c", file, *args], capture_output=True, text=True, timeout=30)


def becoming(box, user):
    """What has to stand before the daemon's command, so that it runs as somebody else: from a copy, for a checkout may be closed to them."""
    copy = box.path("xackd")
    shutil.copy(XACKD, copy)
    return ("setpriv", "--reuid=%d" % user.pw_uid, "--regid=%d" % user.pw_gid, "--clear-groups",
            "sh", "-c", 'shift; exec %s "$@"' % copy, "sh")


# ---- what anybody may change ----

def refused(box, file, *words):
    """--check and a start say the same, and end with 78."""
    for args in (["--check"], []):
        done = run(file, *args)
        assert done.returncode == 78, (args, done.stderr)
        assert len(done.stderr.splitlines()) == 1, done.stderr
        for word in words + ("privileged", "chmod o-w"):
            assert word in done.stderr, done.stderr


@as_root
def test_a_configuration_that_anybody_may_write_is_refused(box):
    file = box.write_config(box.config())
    os.chmod(file, 0o666)
    refused(box, file, file, "writable by everybody")


@as_root
def test_an_included_file_that_anybody_may_write_is_refused(box):
    os.mkdir(box.path("jobs.d"))
    included = box.write("jobs.d/more.yaml", "jobs: { more: { exec: [ /bin/true ] } }\n", 0o666)
    file = box.write_config(box.config(include=["jobs.d/*.yaml"]))
    refused(box, file, os.path.basename(included), "writable by everybody")


@as_root
def test_a_configuration_in_a_folder_of_everybody_is_refused(box):
    os.mkdir(box.path("open"))
    file = box.write("open/xackd.yaml", "jobs: { a: { exec: [ /bin/true ] } }\n")
    os.chmod(box.path("open"), 0o777)
    refused(box, file, box.path("open"), "folder")


@as_root
def test_a_sticky_folder_is_as_good_as_a_closed_one(box):
    handler = program(box, folder="sticky", folder_mode=0o1777)
    assert box.check(box.config({"exec": [handler]})).returncode == 0


@as_root
@pytest.mark.parametrize("how", ["file", "folder", "through a link", "found in PATH"])
def test_a_handler_that_anybody_may_change_is_refused(box, how):
    handler = program(box, mode=0o777 if how == "file" else 0o755, folder_mode=0o755 if how == "file" else 0o777)
    job = {"exec": [handler]}
    if how == "through a link":
        os.mkdir(box.path("closed"))
        os.symlink(handler, box.path("closed/link"))
        job = {"exec": [box.path("closed/link")]}
    if how == "found in PATH":
        job = {"exec": ["handler"], "env": {"PATH": box.path("bin") + ":/bin"}}
    file = box.write_config(box.config(job))
    refused(box, file, "jobs.work.exec", handler if how == "file" else box.path("bin"))


@as_root
def test_all_that_is_wrong_is_said_at_once(box):
    one, two = program(box, "one", 0o777), program(box, "two", 0o777)
    file = box.write_config(box.config({"a": {"exec": [one]}, "b": {"exec": [two]}}))
    os.chmod(file, 0o666)
    done = run(file, "--check")
    assert done.returncode == 78 and len(done.stderr.splitlines()) == 3, done.stderr


@as_root
def test_a_missing_handler_is_no_matter_of_rights(box):
    done = box.check(box.config({"exec": [box.path("not/there")]}))
    assert done.returncode == 0 and "does not exist" in done.stderr


@as_root
def test_without_privileges_nothing_is_asked(box):
    handler = program(box, mode=0o777, folder_mode=0o777)
    file = box.write_config(box.config({"exec": [handler]}))
    os.chmod(file, 0o666)
    user = pwd.getpwnam(SOMEBODY)
    done = run(file, "--check", prefix=becoming(box, user))
    assert done.returncode == 0, done.stderr


@as_root
def test_a_reload_refuses_them_too(box):
    handler = program(box)
    daemon = box.daemon({"exec": [handler]})
    daemon.allow_errors = True
    os.chmod(handler, 0o777)
    os.kill(daemon.pid, signal.SIGHUP)
    refusal = daemon.wait_event("daemon.reload_refused")
    assert handler in refusal["errors"] and "writable by everybody" in refusal["errors"]
    assert daemon.stop() == 0


# ---- somebody else's jobs ----

@as_root
def test_the_user_of_a_job_its_groups_home_and_umask(box):
    user = pwd.getpwnam(SOMEBODY)
    os.mkdir(box.path("out"))
    os.chown(box.path("out"), user.pw_uid, user.pw_gid)
    daemon = box.daemon({"user": SOMEBODY, "umask": "027", "exec": in_sh(
        "cd %s; echo $(id -u) $(id -g) $(id -G) $HOME $USER $LOGNAME $(umask) > made; grep -E '^(NoNewPrivs|CapEff|CapPrm)' /proc/self/status >> made"
        % box.path("out"))})
    box.add()
    box.wait_done()
    lines = box.lines("out/made")
    groups = sorted(set([user.pw_gid] + os.getgrouplist(SOMEBODY, user.pw_gid)))
    assert lines[0].split() == [str(user.pw_uid), str(user.pw_gid), *map(str, groups), user.pw_dir, SOMEBODY, SOMEBODY, "0027"]
    assert all(int(line.split()[1], 16) == 0 for line in lines[1:] if line.startswith("Cap")), lines
    assert os.stat(box.path("out/made")).st_mode & 0o777 == 0o640
    assert daemon.stop() == 0


@as_root
def test_another_user_without_the_right_to_is_an_error(box):
    file = box.write_config(box.config({"user": "root", "exec": ["/bin/true"]}))
    user = pwd.getpwnam(SOMEBODY)
    done = run(file, "--check", prefix=becoming(box, user))
    assert done.returncode == 78 and "jobs.work.user" in done.stderr, done.stderr


# ---- the password ----

def secretive(box, how, user=None, **over):
    """A daemon that logs in with the password, and what keeps it running as somebody who is not root."""
    server = box.redis_server(args=["--requirepass", PASSWORD])
    box._client, box._client_of = server.client(password=PASSWORD), server
    where, env, prefix = {"url": server.url}, {}, ()
    if how == "file":
        where["password_file"] = box.write("password", PASSWORD + "\n", 0o600)
    else:
        where["password_env"], env = "REDIS_PW", {"REDIS_PW": PASSWORD}
    if user:
        for name in ("run", "state-h1"):
            os.makedirs(box.path(name), exist_ok=True)
            os.chown(box.path(name), user.pw_uid, user.pw_gid)
        if how == "file":
            os.chown(where["password_file"], user.pw_uid, user.pw_gid)
        os.chmod(server.socket, 0o777)
        prefix = becoming(box, user)
    return dict(redis=where, env=env, prefix=prefix, **over)


def own_and_others(daemon):
    """Its processes, and the handlers among them."""
    workers = daemon.workers()
    handlers = [p.pid for p in descendants(daemon.pid) if p.pid not in workers]
    return [daemon.pid] + workers, handlers


@pytest.mark.parametrize("how", ["file", "variable"])
def test_the_password_is_in_no_handler_command_line_or_log(box, how):
    gate = box.gate()
    job = {"exec": in_sh("env > %s; tr '\\0' '\\n' < /proc/$$/cmdline >> %s; ls -l /proc/$$/fd >> %s; : < %s" % (
        box.path("env"), box.path("env"), box.path("env"), gate.path)), "stdin": "none"}
    daemon = box.daemon(job, **secretive(box, how))
    box.r.xadd("work", {"n": "1"})
    wait_until(lambda: "pipe" in box.read("env"), 10, "the handler runs")
    own, handlers = own_and_others(daemon)
    assert handlers
    for pid in own + handlers:
        with open("/proc/%d/cmdline" % pid, "rb") as text:
            assert PASSWORD.encode() not in text.read()
    for pid in handlers:
        with open("/proc/%d/environ" % pid, "rb") as text:
            assert PASSWORD.encode() not in text.read()
    gate.open()
    assert PASSWORD not in box.read("env") and "REDIS_PW" not in box.read("env")
    assert daemon.stop() == 0
    assert PASSWORD not in daemon.tail(10000)
    assert PASSWORD not in run(daemon.file, "--print", "config").stdout


@as_root
@pytest.mark.parametrize("how", ["file", "variable"])
def test_a_handler_of_the_same_user_cannot_look_into_the_daemon(box, how):
    user = pwd.getpwnam(SOMEBODY)
    look = "for pid in $PPID $(cut -d' ' -f4 /proc/$PPID/stat); do head -c 9999 /proc/$pid/environ >> %s; head -c 1 /proc/$pid/mem >> %s; ls /proc/$pid/fd/ >> %s; done"
    out = box.path("out")
    os.mkdir(out)
    os.chown(out, user.pw_uid, user.pw_gid)
    seen = os.path.join(out, "seen")
    job = {"exec": in_sh(look % (seen, seen, seen) + "; id -u > %s; exit 0" % os.path.join(out, "done"))}
    daemon = box.daemon(job, **secretive(box, how, user))
    box.r.xadd("work", {"n": "1"})
    wait_until(lambda: box.read("out/done"), 10, "the handler looked")
    assert box.read("out/done").strip() == str(user.pw_uid)
    assert box.read("out/seen") == ""
    assert daemon.stop() == 0


@as_root
def test_no_core_of_who_knows_the_password_and_all_is_as_before_without_one(box):
    """The flag that the kernel looks at for a core: without it the files in /proc belong to root."""
    user = pwd.getpwnam(SOMEBODY)
    secret = box.daemon({"exec": ["/bin/true"]}, **secretive(box, "file", user))
    for pid in [secret.pid] + secret.wait_workers(1):
        assert os.stat("/proc/%d/environ" % pid).st_uid == 0
    assert secret.stop() == 0
    os.remove(box.path("xackd"))
    server = box.redis_server()
    os.chmod(server.socket, 0o777)
    plain = box.daemon({"exec": ["/bin/true"]}, redis={"url": server.url}, prefix=becoming(box, user))
    for pid in [plain.pid] + plain.wait_workers(1):
        assert os.stat("/proc/%d/environ" % pid).st_uid == user.pw_uid
    assert plain.stop() == 0


@as_root
def test_a_worker_is_replaced_and_its_handler_ended_though_nobody_may_look_into_them(box):
    """Whoever is not dumpable can still be told from others by those who have to end it."""
    user = pwd.getpwnam(SOMEBODY)
    out = box.path("out")
    os.mkdir(out)
    os.chown(out, user.pw_uid, user.pw_gid)
    job = {"exec": in_sh("echo $$ >> %s/started; sleep 60" % out), "retry": {"max_attempts": 2, "initial": "100ms"}}
    daemon = box.daemon(job, **secretive(box, "file", user))
    box.r.xadd("work", {"n": "1"})
    wait_until(lambda: len(box.lines("out/started")) == 1, 10, "the handler runs")
    first = int(box.lines("out/started")[0])
    worker = daemon.workers()[0]
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: len(box.lines("out/started")) == 2, 10, "it runs again")
    assert not os.path.exists("/proc/%d" % first) or open("/proc/%d/stat" % first).read().split()[2] == "Z"
    assert not [p for p in children(daemon.pid) if p.state == "Z"]
    daemon.stop(20)


def without_rights(box, user):
    """What makes a daemon one of this user; beside it a program that lets whoever runs it become root. Gives (its words, those of the daemon)."""
    if os.statvfs(box.folder).f_flag & os.ST_NOSUID:
        pytest.skip("programs in %s cannot change user" % box.folder)
    server = box.redis_server(args=["--unixsocketperm", "777"])
    for name in ("run", "state-h1"):
        os.makedirs(box.path(name), exist_ok=True)
        os.chown(box.path(name), user.pw_uid, user.pw_gid)
    become = box.path("become")
    shutil.copy("/usr/bin/setpriv", become)
    os.chmod(become, 0o4755)
    return [become, "--reuid=0", "--regid=0", "--clear-groups"], {"redis": {"url": server.url}, "prefix": becoming(box, user)}


@as_root
def test_what_became_root_is_left_and_not_waited_for(box):
    """A daemon without rights may not kill it: neither this run nor a later one is held up for that, however short the lease."""
    as_root, over = without_rights(box, pwd.getpwnam(SOMEBODY))
    left = box.write("left", "")
    leave = '%s sh -c "echo \\$\\$ > %s; exec sleep 600" & while ! test -s %s; do sleep 0.02; done' % (" ".join(as_root), left, left)
    daemon = box.daemon({"exec": in_sh('test "$FIELD_N" != leave || { %s; }' % leave), "lease": "1s"}, **over)
    ids = [box.add(fields={"n": n}) for n in ("leave", "1", "2")]
    box.wait_done()
    pid = int(box.read("left"))
    assert alive(pid)
    assert [e["id"] for e in daemon.events("job.started")] == ids, "each ran once"
    os.kill(pid, signal.SIGKILL)
    box.add(fields={"n": "3"})
    wait_until(lambda: process(pid) is None, 10, "it is reaped with the next run")


@as_root
@pytest.mark.parametrize("mode", ["exec", "persistent"])
def test_a_handler_that_became_root_and_cannot_be_ended_is_told_of(box, mode):
    as_root, over = without_rights(box, pwd.getpwnam(SOMEBODY))
    daemon = box.daemon({"exec": as_root + ["sleep", "600"], "mode": mode, "timeout": "100ms", "kill_grace": "100ms", "retry": {"initial": "1h"}}, **over)
    entry = box.add()
    told = daemon.wait_event("daemon.warning", id=entry)
    assert "does not die" in told["why"] and "another user" in told["detail"] and told["pid"]
    assert box.pending()[entry][0] != PARKED and not daemon.events("job.failed")
    os.kill(told["pid"], signal.SIGKILL)
    assert daemon.wait_event("job.failed", id=entry)["reason"] == "timeout"
    box.wait_parked(entry)
    assert len(daemon.events("daemon.warning")) == 1
