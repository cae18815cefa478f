"""gateway/domain imports the standard library and itself only, and asks neither clock nor dice nor disk."""

import ast
import sys

import pytest

from tests.house.sources import python_files, shown

# Modules with a world behind them. ruff's TID251 says the same to an editor; this also sees the less usual doors.
WORLDLY = frozenset(
    [
        "asyncio",
        "concurrent",
        "ctypes",
        "glob",
        "http",
        "io",
        "logging",
        "multiprocessing",
        "os",
        "pathlib",
        "platform",
        "random",
        "sched",
        "secrets",
        "select",
        "shelve",
        "shutil",
        "signal",
        "socket",
        "sqlite3",
        "ssl",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "time",
        "urllib",
    ]
)
CALLS = frozenset({"now", "today", "utcnow", "uuid1", "uuid4", "getenv"})
BUILTINS = frozenset({"__import__", "eval", "exec", "input", "open", "print"})


def offences(text):
    tree = ast.parse(text)
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (f"imports {each.name}" for each in names if not allowed(each.name))
            case ast.ImportFrom(module=module, level=0) if not allowed(module):
                yield f"imports {module}"
            case ast.ImportFrom(names=names):
                yield from (f"imports {each.name}" for each in names if each.name in CALLS)
            case ast.Call(func=ast.Attribute(attr=name)) if name in CALLS:
                yield f"calls .{name}()"
            case ast.Call(func=ast.Name(id=name)) if name in BUILTINS:
                yield f"calls {name}()"
            case _:
                pass


def allowed(module):
    top = module.partition(".")[0]
    ours = module == "gateway.domain" or module.startswith("gateway.domain.")
    return ours or (top in sys.stdlib_module_names and top not in WORLDLY)


@pytest.mark.parametrize("path", list(python_files("gateway/domain")), ids=shown)
def test_the_domain_is_pure(path):
    assert list(offences(path.read_text("utf-8"))) == []


def test_there_is_a_domain():
    assert list(python_files("gateway/domain"))


@pytest.mark.parametrize(
    "text",
    [
        "import os",
        "import httpx",
        "from random import random",
        "import time as t",
        "from gateway.storage import ports",
        "from uuid import uuid4",
        "x = datetime.now(UTC)",
        "x = date.today()",
        "x = uuid.uuid4()",
        "open('x')",
    ],
)
def test_what_is_not_pure_is_seen(text):
    assert list(offences(text))


@pytest.mark.parametrize(
    "text",
    [
        "from uuid import UUID",
        "import re",
        "from gateway.domain.errors import GatewayError",
        "x = facts.roll",
    ],
)
def test_what_is_pure_is_let_be(text):
    assert list(offences(text)) == []
