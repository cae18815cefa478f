"""docs/clients.md: what it shows is run as it stands; only the address and the key are the stack's."""

from __future__ import annotations

import os
import re
import shutil
import sys
import wave
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path

import pytest

from infra.local.component import ROOT
from tests.e2e.clients.conftest import run
from tests.e2e.clients.test_openai_python import DOT
from tests.e2e.stack import Stack

PAGE = (ROOT / "docs" / "clients.md").read_text("utf-8")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def programs() -> Mapping[tuple[str, str], str]:
    """By section and language, its blocks one after the other: later ones use what the first one made."""
    found: dict[tuple[str, str], str] = {}
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        title = section.partition("\n")[0]
        for language, text in _BLOCK.findall(section):
            found[title, language] = found.get((title, language), "") + text
    return found


PROGRAMS = programs()


@pytest.fixture
def here(stack: Stack):
    """Let a text of the page be about this stack."""

    def changed(text: str) -> str:
        assert "gw_YOUR_KEY" in text
        text = text.replace("http://127.0.0.1:8080", stack.rest).replace("127.0.0.1:50051", stack.grpc)
        return text.replace("gw_YOUR_KEY", stack.admin_key)

    return changed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the files are that the page speaks of."""
    (tmp_path / "apple.png").write_bytes(b64decode(DOT.partition(",")[2]))
    with wave.open(str(tmp_path / "talk.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(1600))
    return tmp_path


def test_every_client_has_its_lines():
    assert set(PROGRAMS) == {
        ("OpenAI's SDK for Python", "python"),
        ("Anthropic's SDK for Python", "python"),
        ("OpenAI's SDK for Node", "js"),
        ("Anthropic's SDK for Node", "js"),
        ("curl", "sh"),
        ("grpcurl", "sh"),
    }


@pytest.mark.parametrize("section", [title for title, language in PROGRAMS if language == "python"])
def test_what_it_shows_in_python_works(here, section: str, folder: Path):
    program = folder / "shown.py"
    program.write_text(here(PROGRAMS[section, "python"]))
    done = run([sys.executable, str(program)], cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("section", [title for title, language in PROGRAMS if language == "js"])
def test_what_it_shows_in_node_works(here, node: Path, section: str):
    program = node / "shown.mjs"
    program.write_text(here(PROGRAMS[section, "js"]))
    done = run(["node", program.name], cwd=node)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("section", [title for title, language in PROGRAMS if language == "sh"])
def test_what_it_shows_in_a_shell_works(here, section: str, folder: Path, request: pytest.FixtureRequest):
    path = os.environ["PATH"]
    if section == "grpcurl":
        path = f"{Path(request.getfixturevalue('grpcurl')).parent}{os.pathsep}{path}"
    elif shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    done = run(["sh", "-e", "-c", here(PROGRAMS[section, "sh"])], {"PATH": path}, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()
