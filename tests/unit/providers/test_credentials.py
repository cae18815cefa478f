"""A credential is named by reference, looked up at each call, and never said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.domain.errors import UpstreamAuth
from gateway.providers.credentials import Credentials


def test_no_reference_is_no_credential():
    assert Credentials().resolve(None) is None


def test_the_environment_is_asked_each_time(monkeypatch: pytest.MonkeyPatch):
    known = Credentials()
    for value in ("sk-one", "sk-two"):
        monkeypatch.setenv("KEY_OF_TEST", f" {value}\n")
        secret = known.resolve("env:KEY_OF_TEST")
        assert secret is not None
        assert secret.reveal() == value


def test_a_file_is_read_again_when_it_changes(tmp_path: Path):
    known, file = Credentials(), tmp_path / "key"
    for i, value in enumerate(("sk-one", "sk-two")):
        file.write_text(f"{value}\n")
        os.utime(file, ns=(i, i))
        first, second = known.resolve(f"file:{file}"), known.resolve(f"file:{file}")
        assert first is second
        assert first is not None
        assert first.reveal() == value


def test_a_file_that_is_gone_counts_at_once(tmp_path: Path):
    known, file = Credentials(), tmp_path / "key"
    file.write_text("sk-one")
    known.resolve(f"file:{file}")
    file.unlink()
    with pytest.raises(UpstreamAuth) as raised:
        known.resolve(f"file:{file}")
    assert str(file) in (raised.value.detail or "")


@pytest.mark.parametrize("content", [b"", b" \n", b"sk-\xff", "sk-é".encode(), b"sk\nx: y", b"x" * 70_000])
def test_what_cannot_be_a_credential_is_refused_and_not_said(tmp_path: Path, content: bytes):
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(UpstreamAuth) as raised:
        Credentials().resolve(f"file:{file}")
    assert f"file:{file}" in (raised.value.detail or "")
    assert "sk" not in (raised.value.detail or "").replace(str(file), "")


@pytest.mark.parametrize(
    "reference", ["sk-live-4711", "", "env:", "file:", "vault:secret/key", "sk:live:4711"]
)
def test_a_key_where_its_reference_belongs_is_not_said(reference: str):
    with pytest.raises(UpstreamAuth) as raised:
        Credentials().resolve(reference)
    assert "4711" not in (raised.value.detail or "")
    assert "4711" not in str(raised.value)
