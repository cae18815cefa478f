"""A credential is named by reference, looked up at each call, sent to its own host alone, and never said."""

from __future__ import annotations

import base64
import os
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.domain.errors import UpstreamAuth
from gateway.domain.secret import Secret
from gateway.providers.credentials import Credentials
from gateway.ring import KeyRing
from gateway.settings import Credentials as Settings
from tests.builders import a_model

CANARY = "sk-canary-4711-abcdefgh-wxyz"
HOST = "https://host:443"


@pytest.fixture
def anywhere(tmp_path: Path):
    """Credentials that may lie in the test's own folder."""
    return Credentials(Settings(files=(f"{tmp_path}/*",)))


def ring(*names: str, active: str = "") -> KeyRing:
    keys = {name: Secret(base64.b64encode(name.encode().ljust(32)).decode()) for name in names}
    return KeyRing(active or names[0], keys)


def stored(credentials: Credentials, goes_to: str = HOST, secret: str = CANARY):
    sealed = credentials.seal(Secret(secret), "c1", goes_to)
    credentials.keep({"c1": sealed})
    return sealed


def at(base_url: str, **changes: str):
    return a_model(base_url=base_url, credential="stored:c1", **changes)


# ---- references --------------------------------------------------------------------------------------------------
def test_no_reference_is_no_credential():
    assert Credentials().resolve(None) is None
    assert Credentials().secret_of(a_model()) is None


def test_the_environment_is_asked_each_time(monkeypatch: pytest.MonkeyPatch):
    known = Credentials()
    for value in ("sk-one", "sk-two"):
        monkeypatch.setenv("OF_TEST_API_KEY", f" {value}\n")
        secret = known.resolve("env:OF_TEST_API_KEY")
        assert secret is not None
        assert secret.reveal() == value


def test_a_file_is_read_again_when_it_changes(tmp_path: Path, anywhere: Credentials):
    file = tmp_path / "key"
    for i, value in enumerate(("sk-one", "sk-two")):
        file.write_text(f"{value}\n")
        os.utime(file, ns=(i, i))
        first, second = anywhere.resolve(f"file:{file}"), anywhere.resolve(f"file:{file}")
        assert first is second
        assert first is not None
        assert first.reveal() == value


def test_a_file_that_is_gone_counts_at_once(tmp_path: Path, anywhere: Credentials):
    file = tmp_path / "key"
    file.write_text("sk-one")
    anywhere.resolve(f"file:{file}")
    file.unlink()
    with pytest.raises(UpstreamAuth) as raised:
        anywhere.resolve(f"file:{file}")
    assert str(file) in (raised.value.detail or "")


@pytest.mark.parametrize("content", [b"", b" \n", b"sk-\xff", "sk-é".encode(), b"sk\nx: y", b"x" * 70_000])
def test_what_cannot_be_a_credential_is_refused_and_not_said(
    tmp_path: Path, anywhere: Credentials, content: bytes
):
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(UpstreamAuth) as raised:
        anywhere.resolve(f"file:{file}")
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


# ---- what may be named -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "reference",
    [
        "env:GATEWAY_POSTGRES_URL",
        "env:GATEWAY_ENCRYPTION_KEYS",
        "env:GATEWAY__API_KEY",  # one of ours, though it looks like one of theirs
        "env:AWS_SECRET_ACCESS_KEY",
        "env:PATH",
        "env:openai_api_key",
        "env:A-B_API_KEY",
        "file:/etc/shadow",
        "file:/proc/self/environ",
        "file:/run/secrets/../../etc/shadow",
        "file:/run/secrets/kubernetes.io/serviceaccount/token",
        "file:/run/secrets//key",
        "file:/run/secrets/",
        "file:run/secrets/key",
        "file:/run/secrets/a\0b",
    ],
)
def test_what_the_settings_do_not_allow_is_not_read(monkeypatch: pytest.MonkeyPatch, reference: str):
    if "\0" not in reference:
        monkeypatch.setenv(reference.partition(":")[2].replace("/", "_"), CANARY)
    known = Credentials()
    assert known.why_not(reference)
    with pytest.raises(UpstreamAuth) as raised:
        known.resolve(reference)
    assert CANARY not in (raised.value.detail or "")


@pytest.mark.parametrize(
    "reference", ["env:OPENAI_API_KEY", "env:X_API_TOKEN", "env:HF_TOKEN", "file:/run/secrets/openai"]
)
def test_what_models_need_is_allowed(reference: str):
    assert Credentials().why_not(reference) is None


def test_nothing_may_be_named_where_the_settings_name_nothing():
    known = Credentials(Settings(variables=(), files=()))
    assert known.why_not("env:OPENAI_API_KEY") == "credentials.variables allows none"


def test_our_own_variables_stay_our_own_whatever_the_settings_say():
    assert Credentials(Settings(variables=("*",))).why_not("env:GATEWAY_POSTGRES_URL")


# ---- one host alone ----------------------------------------------------------------------------------------------
def test_a_stored_credential_is_for_its_own_origin_whatever_its_spelling():
    known = Credentials(ring=ring("a"))
    stored(known)
    for url in ("https://host/v1", "HTTPS://HOST:443/other", "https://host./"):
        secret = known.secret_of(at(url))
        assert secret is not None
        assert secret.reveal() == CANARY


@pytest.mark.parametrize(
    "url",
    ["https://evil/v1", "http://host/v1", "https://host:444/v1", "https://host.evil/v1", "", "nonsense"],
)
def test_a_stored_credential_goes_to_no_other_origin(url: str):
    known = Credentials(ring=ring("a"))
    stored(known)
    with pytest.raises(UpstreamAuth) as raised:
        known.secret_of(at(url))
    assert "another address" in (raised.value.detail or "")


def test_a_row_that_was_moved_to_another_origin_cannot_be_read():
    known = Credentials(ring=ring("a"))
    sealed = stored(known)
    known.keep({"c1": replace(sealed, goes_to="https://evil:443")})
    with pytest.raises(UpstreamAuth) as raised:
        known.secret_of(at("https://evil/v1"))
    assert "changed" in (raised.value.detail or "")


def test_a_row_that_was_moved_to_another_id_cannot_be_read():
    known = Credentials(ring=ring("a"))
    sealed = stored(known)
    known.keep({"c2": replace(sealed, id="c2")})
    with pytest.raises(UpstreamAuth):
        known.secret_of(a_model(base_url="https://host/v1", credential="stored:c2"))


def test_a_reference_goes_to_the_origin_it_was_given_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OF_TEST_API_KEY", CANARY)
    bound = a_model(base_url="https://host/v1", credential="env:OF_TEST_API_KEY", credential_for=HOST)
    known = Credentials()
    secret = known.secret_of(bound)
    assert secret is not None
    assert secret.reveal() == CANARY
    with pytest.raises(UpstreamAuth):
        known.secret_of(replace(bound, base_url="https://evil/v1"))


def test_a_model_that_says_no_address_is_where_its_provider_is():
    known = Credentials(ring=ring("a"))
    stored(known)
    assert known.secret_of(at(""), "https://host/v1") is not None
    with pytest.raises(UpstreamAuth):
        known.secret_of(at(""), "https://other/v1")


# ---- kept in the store -------------------------------------------------------------------------------------------
def test_a_sealed_credential_shows_its_last_four_characters_and_no_more():
    known = Credentials(ring=ring("a"))
    sealed = stored(known)
    assert sealed.last_four == "wxyz"
    assert CANARY.encode() not in sealed.secret
    assert "canary" not in f"{sealed!r} {known!r} {vars(known)!r} {known.secret_of(at('https://host/v1'))!r}"
    assert stored(known, secret="sk-short").last_four == ""


def test_a_credential_that_left_the_store_is_forgotten():
    known = Credentials(ring=ring("a"))
    stored(known)
    known.secret_of(at("https://host/v1"))
    known.keep({})
    with pytest.raises(UpstreamAuth) as raised:
        known.secret_of(at("https://host/v1"))
    assert "is not kept here" in (raised.value.detail or "")


def test_an_old_key_reads_and_the_active_one_encrypts_anew():
    old = Credentials(ring=ring("old"))
    sealed = stored(old)
    new = Credentials(ring=ring("new", "old"))
    new.keep({"c1": sealed})
    (renewed,) = new.renewed()
    assert renewed.key_id == "new"
    alone = Credentials(ring=ring("new"))
    alone.keep({"c1": renewed})
    assert alone.renewed() == ()
    secret = alone.secret_of(at("https://host/v1"))
    assert secret is not None
    assert secret.reveal() == CANARY


@pytest.mark.parametrize("without", [Credentials(), Credentials(ring=ring("other"))])
def test_without_its_key_a_credential_is_not_read_and_the_others_are(without: Credentials):
    sealed = stored(Credentials(ring=ring("a")))
    without.keep({"c1": sealed})
    assert without.renewed() == ()
    with pytest.raises(UpstreamAuth) as raised:
        without.secret_of(at("https://host/v1"))
    assert "cannot be read" in (raised.value.detail or "")
    assert without.secret_of(a_model()) is None


def test_without_a_key_nothing_is_sealed():
    assert not Credentials().can_seal
    with pytest.raises(ValueError, match="no key"):
        Credentials().seal(Secret(CANARY), "c1", HOST)


@pytest.mark.parametrize("secret", ["", " ", "sk-\n2", "sk-é", "x" * 70_000])
def test_what_no_header_can_carry_is_not_sealed(secret: str):
    with pytest.raises(UpstreamAuth):
        Credentials(ring=ring("a")).seal(Secret(secret), "c1", HOST)
