"""`python -m api rules …`, as somebody types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.rules import app

MODELS = """
models = [
  { name = cloud, provider = compatible, base_url = "https://cloud.test/v1", tags { location = cloud } }
  { name = home, provider = compatible, base_url = "http://home.test/v1", tags { location = on-prem } }
]
aliases { assistant = [cloud, home] }
"""
RULES = """
rules = [
  { name = "confidential data stays home"
    when { request.tags { data = confidential } }
    keep { tagged { location = on-prem } } }
]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "models.conf").write_text(MODELS)
    (tmp_path / "rules.conf").write_text(RULES)
    (tmp_path / "body.json").write_text(
        json.dumps({"model": "assistant", "messages": [{"role": "user", "content": "Hi"}]})
    )
    return tmp_path


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    said = CliRunner().invoke(app, [argument.replace("@", f"{folder}/") for argument in arguments])
    return said.exit_code, said.stdout, said.stderr


def test_a_good_file_is_counted(folder: Path):
    code, said, _ = run(folder, "check", "@rules.conf")
    assert code == 0
    assert "1 rule, digest " in said


def test_a_mistake_is_said_with_its_place(folder: Path):
    (folder / "rules.conf").write_text(RULES.replace("keep", "kepp"))
    code, _, said = run(folder, "check", "@rules.conf")
    assert code == 1
    assert 'rules.conf:5: rule "confidential data stays home"' in said
    assert "Did you mean keep?" in said


@pytest.mark.parametrize(
    ("tags", "first"), [("", "1. cloud"), ("data=confidential", "1. home"), ("data=public", "1. cloud")]
)
def test_a_request_is_explained_rule_by_rule(folder: Path, tags: str, first: str):
    code, said, _ = run(
        folder, "explain", "@rules.conf", "--body", "@body.json", "--models", "@models.conf", "--tags", tags
    )
    assert code == 0
    assert "confidential data stays home: " in said
    assert first in said


def test_a_refusal_is_said_and_is_the_exit_code(folder: Path):
    (folder / "rules.conf").write_text('rules = [ { name = no, refuse { message = "Not today." } } ]')
    code, said, _ = run(folder, "explain", "@rules.conf", "--body", "@body.json", "--models", "@models.conf")
    assert code == 3
    assert "Not today." in said


@pytest.mark.parametrize(
    ("body", "said"),
    [("{", "not valid JSON"), ('{"model": "assistant"}', "`messages` is required"), (None, "No such file")],
)
def test_a_body_that_is_none_is_refused(folder: Path, body: str | None, said: str):
    (folder / "body.json").unlink()
    if body is not None:
        (folder / "body.json").write_text(body)
    code, _, error = run(folder, "explain", "@rules.conf", "--body", "@body.json", "--models", "@models.conf")
    assert code == 1
    assert said in error
