#!/usr/bin/python3
"""A handler for `mode: persistent` in Python: one line of JSON on stdin for each entry, one line of JSON back on fd 3.

What a job does goes into work(). What it raises is a retry; `ValueError` says that the entry is wrong for good. stdout and
stderr are free for output: each line becomes an event in xackd's log.
"""
import json
import os
import sys


def work(entry):
    """entry: id, stream, job, attempt, fields … (see "What a handler gets" in the manual). What this gives back is kept for
    `result_ttl` as the entry's result (xackctl wait ID): text as it is, anything else as JSON; of None nothing is kept."""
    return None


def main():
    replies = os.fdopen(3, "w", buffering=1)
    for line in sys.stdin:
        entry = json.loads(line)
        reply = {"id": entry["id"], "status": "ok"}
        try:
            result = work(entry)
            if result is not None:
                reply["result"] = result
        except ValueError as error:
            reply.update(status="dead", reason=str(error))
        except Exception as error:  # whatever it is, the next entry may fare better
            reply.update(status="retry", reason="%s: %s" % (type(error).__name__, error))
        replies.write(json.dumps(reply) + "\n")


if __name__ == "__main__":
    main()
