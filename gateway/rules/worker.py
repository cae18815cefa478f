"""A process of its own that reads rule texts which people or programs have sent: `python -m gateway.rules.worker`.

The HOCON parser is slow, and goes round in some texts for ever; a thread of Python cannot be stopped, a process can. It
gets one text a line as JSON and answers in one line; it has no environment, little memory, and ends when it is idle.
"""

from __future__ import annotations

import json
import resource
import select
import sys
from typing import Any

from gateway.rules.load import plain, rules_of
from gateway.rules.problems import RuleProblem
from gateway.settings import Problem, SettingsError, read_text

IDLE_SECONDS = 60
READY = "ready"
"""The first line: from now on a text is read in the time that it takes."""
_MEMORY = 1024 * 1024 * 1024
_LONGEST_ANSWER = 4 * 1024 * 1024
"""Characters: far beyond what a text of the allowed length says, unless its substitutions blow it up."""


def answer(asked: dict[str, str]) -> dict[str, Any]:
    """The plain values of a text with their lines, or what is wrong with it."""
    name = asked["name"]
    try:
        document = read_text(asked["text"], name)
        tree = plain(document.tree)
        if asked.get("what", "rules") == "rules":
            # All of it is tried here, so that what kills a process kills this one.
            rules_of(tree, document.place)
    except SettingsError as error:
        return {"problems": [_told(each) for each in error.problems]}
    except (MemoryError, RecursionError):
        return {
            "problems": [{"text": "expected rules that can be read, got a text that takes too much memory"}]
        }
    lines = [[list(key), place.line] for key, place in document.places.items()]
    return {"tree": tree, "lines": lines}


def _told(problem: Problem) -> dict[str, Any]:
    return {
        "line": problem.place.line,
        "key": problem.key,
        "text": problem.text,
        "nearest": problem.nearest,
        "rule": problem.rule if isinstance(problem, RuleProblem) else "",
    }


def main() -> None:
    """Answer until nobody asks any more."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    sys.stdout.write(READY + "\n")
    sys.stdout.flush()
    while select.select([sys.stdin], [], [], IDLE_SECONDS)[0]:
        line = sys.stdin.readline()
        if not line:
            return
        told = json.dumps(answer(json.loads(line)))
        if len(told) > _LONGEST_ANSWER:
            told = json.dumps({"problems": [{"text": "expected rules, got substitutions that blow them up"}]})
        sys.stdout.write(told + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
