import stat
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from infra.local.account import Account, as_user, let_pass, let_run, server_account

account = server_account()
pytestmark = pytest.mark.skipif(account is None, reason="only root gives PostgreSQL another user")


@pytest.fixture
def us() -> Account:
    assert account is not None
    return account


@pytest.fixture
def folder() -> Generator[Path]:
    """A folder that everybody can reach, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


def test_a_closed_way_is_opened_by_as_much_as_is_needed(us: Account, folder: Path):
    inner = folder / "closed" / "inner"
    inner.mkdir(parents=True)
    for each in (inner, inner.parent):
        each.chmod(0o700)
    said: list[str] = []
    let_pass(us, inner, said.append)
    assert [line.split(":")[0] for line in said] == [str(inner.parent), str(inner)]
    assert us.run("test", "-x", str(inner)).returncode == 0
    assert us.run("ls", str(inner)).returncode != 0, "to pass is not to look"
    assert not stat.S_IMODE(inner.stat().st_mode) & stat.S_IRWXO, "and nobody else may"
    let_pass(us, inner, said.append)
    assert len(said) == 2


def test_an_open_way_is_left_as_it_is(us: Account, folder: Path):
    said: list[str] = []
    let_pass(us, folder, said.append)
    assert (said, stat.S_IMODE(folder.stat().st_mode)) == ([], 0o755)


def test_a_program_unpacked_under_a_strict_umask_can_be_run(us: Account, folder: Path):
    package = folder / "package"
    package.mkdir(mode=0o700)
    program, data = package / "program", package / "data"
    program.write_text('#!/bin/sh\ncat "${0%program}data"\n')
    data.write_text("1.0")
    program.chmod(0o700)
    data.chmod(0o600)
    let_run(us, program, [package])
    assert us.run(str(program), "--version").stdout == "1.0"


def test_without_an_account_nothing_changes():
    assert as_user(None) == {}
