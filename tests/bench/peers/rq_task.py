"""The job of RQ: a command."""
import subprocess


def run(*command):
    subprocess.run(command, check=True)
