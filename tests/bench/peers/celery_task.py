"""The job of Celery: a command, or nothing. Prefork, without results, acknowledged as by default (early)."""
import os
import subprocess

from celery import Celery

app = Celery("bench", broker="redis+socket://" + os.environ["BENCH_SOCKET"])
app.conf.task_ignore_result = True


@app.task(name="run")
def run(*command):
    if command:
        subprocess.run(command, check=True, close_fds=False)
