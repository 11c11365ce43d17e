#!/usr/bin/python3
"""Makes the generated manual pages and the bash completion from what the programs themselves print: the table of keys
(xackd --print reference) and the table of verbs (xackctl --print verbs).

Usage: src/man/generate.py BUILD FOLDER    (BUILD has src/xackd and src/xackctl; FOLDER is the top of the tree to write into)
A lint makes them again and compares, so that they never drift.
"""
import json
import os
import re
import subprocess
import sys
import textwrap

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def say(build, program, *args):
    return subprocess.run([os.path.join(build, "src", program)] + list(args), check=True, stdout=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, timeout=30).stdout.decode()


def template(name):
    with open(os.path.join(TOP, "src", "man", name), encoding="utf-8") as text:
        return text.read()


def plain(text):
    """One line's text for roff: no escapes, no control line."""
    text = re.sub(r"`([^`]*)`", r"\\(oq\1\\(cq", text.replace("\\", "\\e").replace("…", "..."))
    return "\\&" + text if text[:1] in ".'" else text


def prose(text):
    """Sentences, each begun on a line of its own, none wider than a terminal."""
    lines = []
    for sentence in re.split(r"(?<=[A-Za-z0-9)'`][.!?]) +(?=[A-Z(])", " ".join(text.split())):
        lines += [plain(line) for line in textwrap.wrap(sentence, 74, break_long_words=False, break_on_hyphens=False)]
    return lines


# ---- xackd.yaml(5) ----

def keys(reference):
    out = []
    inside = False
    for line in reference.split("\n")[2:]:
        if not line.strip():
            continue
        if not line.startswith(" "):
            out += [".El"] if inside else []
            title = line.rstrip(":)") + (")" if line.endswith(")") else "")
            out += [".Sh KEYS OF THE FILE"] if not inside else [".Ss %s" % plain(title)]
            out += [".Bl -tag -width Ds"]
            inside = True
        elif not line.startswith("   "):
            name, _, about = line.strip().partition(": ")
            out += [".It Cm %s" % name] + prose(about + ".") + [".br"]
        elif line.strip().startswith("Example: "):
            out += [".Bd -literal -compact", plain(line.strip()[9:]), ".Ed"]
        else:
            out += prose(line)
    return "\n".join(out + [".El"])


# ---- xackctl(1) ----

def option_names(option):
    argument = " Ar " + option["argument"].lower().replace("[/group]", " Ns Oo Ns / Ns Ar group Oc").replace("=", " Ns = Ns Ar ") \
        if option["argument"] else ""
    names = ["Fl %s%s" % (option["letter"], argument)] if option["letter"] else []
    return ".It " + " , ".join(names + ["Fl -%s%s" % (option["name"], argument)])


def verbs(table):
    out = []
    for verb in table["verbs"]:
        out.append((".It Cm %s" % verb["name"]) + (" Ar %s" % verb["arguments"] if verb["arguments"] else ""))
        out += prose(verb["summary"] + ".")
        if verb["text"]:
            out += prose(verb["text"])
        if verb["options"]:
            out += [".br", "Options:"]
            out += [".Fl -%s%s" % (name, " ," if name != verb["options"][-1] else " .") for name in verb["options"]]
    return "\n".join(out)


def options(table):
    out = []
    for option in table["options"]:
        out.append(option_names(option))
        text = option["help"]
        literal = re.match(r"\w+[,:]", text)  # a value of the option
        out += prose((text if literal else text[:1].upper() + text[1:]) + ".")
    return "\n".join(out)


# ---- completion ----

def quoted(words):
    return "'" + " ".join(words) + "'"


def completion(table):
    everywhere = table["everywhere"]
    first, second, per_verb = [], {}, []
    for verb in table["verbs"]:
        words = verb["name"].split()
        if words[0] not in first:
            first.append(words[0])
        if len(words) > 1:
            second.setdefault(words[0], []).append(words[1])
        per_verb.append("\t%s) options=%s ;;" % (quoted(words) if len(words) > 1 else words[0],
                                                 quoted("--" + name for name in verb["options"] + everywhere)))
    flags = {o["name"]: o for o in table["options"]}
    valued = ["--" + name for name, o in flags.items() if o["argument"]] + ["-" + o["letter"] for o in flags.values()
                                                                          if o["argument"] and o["letter"]]
    return template("completion.in").replace("@VERBS@", quoted(first)) \
        .replace("@FAMILIES@", "\n".join("\t%s) second=%s ;;" % (name, quoted(words)) for name, words in second.items())) \
        .replace("@OPTIONS@", "\n".join(per_verb)).replace("@EVERYWHERE@", quoted("--" + name for name in everywhere)) \
        .replace("@VALUED@", " | ".join(valued))


def pages(build):
    """{path below the top: text}"""
    table = json.loads(say(build, "xackctl", "--print", "verbs"))
    note = '.\\" Made by src/man/generate.py (make man): change %s, or the table in the code.\n'
    return {
        "src/man/xackd.yaml.5": note % "xackd.yaml.5.in" +
        template("xackd.yaml.5.in").replace("@KEYS@", keys(say(build, "xackd", "--print", "reference"))),
        "src/man/xackctl.1": note % "xackctl.1.in" +
        template("xackctl.1.in").replace("@VERBS@", verbs(table)).replace("@OPTIONS@", options(table)),
        "contrib/completion/xackctl": completion(table),
    }


if __name__ == "__main__":
    for path, text in pages(sys.argv[1]).items():
        with open(os.path.join(sys.argv[2], path), "w", encoding="utf-8") as out:
            out.write(text)
