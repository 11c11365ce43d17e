"""The job of RQ: a command, or nothing."""
import subprocess


def run(*command):
    if command:
        subprocess.run(command, check=True, close_fds=False)
