#!/usr/bin/python3
"""Calls that xackd never makes, because each has a way to go wrong that the one to use instead has not."""
import re

import tap

FORBIDDEN = {
    r"redisCommand|redisvCommand|redisAppendCommand|redisvAppendCommand": "stops at a NUL: redisCommandArgv with lengths",
    r"strcpy|strcat|sprintf|vsprintf|gets|stpcpy": "no bound: snprintf or struct buf",
    r"strncpy|strncat": "may leave no NUL: memcpy with a length, or struct buf",
    r"system|popen": "a shell: handler_start",
    r"atoi|atol|atoll": "guesses: num_i64 and its kin",
    r"mktemp|tmpnam|tempnam": "a race: mkstemp, memfd_create",
    r"strtok|localtime|gmtime|ctime|asctime|strerror_l": "one buffer for all threads",
    r"setlocale": "a decimal comma in JSON",
    r"alloca": "the stack has no error",
}

rules = []
sources = {path: tap.without_comments(tap.read(path)) for path in tap.files("src", endings=(".c", ".h"))}
for names, why in FORBIDDEN.items():
    call = re.compile(r"(?<![\w.>])(?:%s)\s*\(" % names)
    found = []
    for path, text in sources.items():
        for number, line in enumerate(text.split("\n"), 1):
            match = call.search(line)
            if match:
                found.append("%s:%d: %s" % (path, number, match.group(0) + "…)"))
    rules.append(("nobody calls %s (%s)" % (names.replace("|", ", "), why.split(":")[0]), found))
tap.report(rules)
