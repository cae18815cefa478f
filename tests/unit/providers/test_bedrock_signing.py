"""A request is signed by the recipe of AWS, with the model's own credential and nothing of the environment."""

from __future__ import annotations

import asyncio
import logging

import pytest

from gateway.domain.errors import UpstreamAuth
from gateway.domain.secret import Secret
from gateway.providers.bedrock.signing import keys_of, masked, signed
from tests.contracts.bedrock import Refused, verify

URL = "https://bedrock-runtime.eu-west-1.amazonaws.com/model/a.b-v1%3A0/converse"
TARGET = b"/model/a.b-v1%3A0/converse"
SENT = {
    "content-type": "application/json",
    "x-request-id": "id-1",
    "traceparent": "00-1",
    "authorization": "Bearer x",
}
KEYS = Secret("AKIAEXAMPLE:wJalr/bPx+Rfi=:with:colons")


async def made(
    secret: Secret | None = KEYS, body: bytes = b"{}", region: str = "eu-west-1"
) -> dict[str, str]:
    return await signed(URL, body, SENT, secret, region)


def holds(
    headers: dict[str, str], body: bytes = b"{}", url: bytes = TARGET, key: str = "wJalr/bPx+Rfi="
) -> str:
    seen = {name.encode(): value.encode() for name, value in headers.items()}
    return verify(url, seen | {b"host": b"bedrock-runtime.eu-west-1.amazonaws.com"}, body, key)


async def test_the_signature_is_that_of_the_recipe(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOFTHEENVIRONMENT")
    headers = await made()
    assert holds(headers) == "AKIAEXAMPLE"
    assert headers["x-amz-security-token"] == "with:colons"
    assert headers["x-request-id"] == "id-1"
    assert "/eu-west-1/bedrock/aws4_request" in headers["authorization"]
    assert "wJalr" not in str(headers)


@pytest.mark.parametrize(
    ("body", "url", "key"),
    [
        (b"{ }", TARGET, "wJalr/bPx+Rfi="),
        (b"{}", b"/model/other/converse", "wJalr/bPx+Rfi="),
        (b"{}", TARGET, "x"),
    ],
)
async def test_it_holds_for_this_request_alone(body: bytes, url: bytes, key: str):
    headers = await made()
    with pytest.raises(Refused):
        holds(headers, body, url, key)


async def test_a_large_body_is_signed_beside_the_loop():
    body = b"x" * 16_000_000
    longest, began = 0.0, asyncio.get_running_loop().time()

    async def watch() -> None:
        nonlocal longest, began
        while True:
            await asyncio.sleep(0.001)
            now = asyncio.get_running_loop().time()
            longest, began = max(longest, now - began), now

    watching = asyncio.create_task(watch())
    headers = await made(body=body)
    watching.cancel()
    assert holds(headers, body) == "AKIAEXAMPLE"
    assert longest < 0.5


async def test_a_key_without_a_colon_is_a_bearer():
    assert (await made(Secret("ABSKcanary")))["authorization"] == "Bearer ABSKcanary"


async def test_without_a_credential_nothing_is_signed():
    assert await made(None) == {name: value for name, value in SENT.items() if name != "authorization"}


@pytest.mark.parametrize("text", ["AKIA:", ":secret", "AKIA:secret:"])
async def test_a_credential_that_is_none_is_refused_without_its_words(text: str):
    with pytest.raises(UpstreamAuth) as raised:
        await made(Secret(text))
    assert "AKIA:" not in (raised.value.detail or "")
    assert "secret" not in (raised.value.detail or "")


async def test_without_a_region_nothing_can_be_signed():
    with pytest.raises(UpstreamAuth):
        await made(region="")


async def test_nothing_of_it_is_written_down(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG):
        await made()
    assert "with:colons" not in caplog.text
    assert "wJalr" not in caplog.text
    assert "wJalr" not in repr(keys_of(KEYS))


def test_each_part_is_masked():
    said = masked(b"AKIAEXAMPLE and wJalr/bPx+Rfi= and with:colons", KEYS)
    assert said == b"**** and **** and ****"
    assert masked(b"AKIAEXAMPLE", None) == b"AKIAEXAMPLE"
