"""`python -m api registry …`, as somebody types it, over a real database."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.registry import app

MODELS = """
models = [
  { name = one, provider = compatible, base_url = "http://127.0.0.1:9/v1", tags { size = small } }
  { name = two, provider = compatible, base_url = "http://127.0.0.1:9/v1" }
]
aliases { assistant = [two, one] }
"""


@pytest.fixture
def typed(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "models.conf"
    file.write_text(MODELS)
    monkeypatch.setenv("GATEWAY__POSTGRES__URL", database_url)
    monkeypatch.setenv("GATEWAY__TEMPORAL__ENCRYPTION__REQUIRED", "false")

    def run(*arguments: str, text: str | None = None) -> tuple[int, str, str]:
        if text is not None:
            file.write_text(text)
        said = CliRunner().invoke(app, [each.replace("@", str(file)) for each in arguments])
        return said.exit_code, said.stdout, said.stderr

    return run


def test_a_file_is_applied_and_applying_it_again_changes_nothing(typed):
    code, said, _ = typed("apply", "@")
    assert code == 0, said
    assert "2 created, 1 aliases set" in said
    assert '+  { name = "one"' in said
    code, said, _ = typed("apply", "@")
    assert (code, said) == (0, "Nothing to change: 2 models are as they shall be.\n")


def test_a_dry_run_shows_the_diff_and_changes_nothing(typed):
    _, said, _ = typed("apply", "@", "--dry-run")
    assert "Would be: 2 created" in said
    _, said, _ = typed("export")
    assert "one" not in said


def test_what_the_file_does_not_name_goes_only_with_prune(typed):
    typed("apply", "@")
    fewer = MODELS.replace("  { name = two", "  # { name = two").replace("[two, one]", "[one]")
    _, said, _ = typed("apply", "@", text=fewer)
    assert "deleted" not in said
    _, said, _ = typed("apply", "@", "--prune")
    assert "1 deleted" in said
    assert '-  { name = "two"' in said
    _, said, _ = typed("export")
    assert "two" not in said


def test_what_was_exported_can_be_applied(typed):
    typed("apply", "@")
    _, said, _ = typed("export")
    code, told, _ = typed("apply", "@", text=said)
    assert (code, told) == (0, "Nothing to change: 2 models are as they shall be.\n")


def test_a_mistake_is_said_with_its_line_and_nothing_is_applied(typed):
    code, _, said = typed("apply", "@", text=MODELS.replace("tags", "tgs"))
    assert code == 1
    assert "models.conf:3: models.0.tgs" in said
    assert "Did you mean tags?" in said
