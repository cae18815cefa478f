"""Foreign errors become ours in one table, and the pool goes only where it is told."""

from __future__ import annotations

import ssl

import anyio
import httpx2
import msgspec
import pytest

from gateway.domain import errors
from gateway.domain.secret import Secret
from gateway.providers.catalogue import open_provider
from gateway.providers.compatible.wire import judge as compatible
from gateway.providers.http import address, complaint_of, refusal, trouble
from gateway.providers.openai.wire import judge as openai
from gateway.settings import Providers
from tests.contracts.upstreams import call, saying, sized

U = errors.UpstreamUnavailable
B = errors.UpstreamBroken


@pytest.mark.parametrize(
    ("error", "before", "after"),
    [
        (httpx2.ConnectError("no"), U, B),
        (httpx2.ReadError("reset"), U, B),
        (httpx2.WriteError("reset"), U, B),
        (httpx2.RemoteProtocolError("no"), U, B),
        (httpx2.ProxyError("no"), U, B),
        (anyio.EndOfStream(), U, B),
        (ssl.SSLError("bad certificate"), U, B),
        (ConnectionResetError(), U, B),
        (httpx2.PoolTimeout("full"), U, U),
        (TimeoutError(), errors.UpstreamTimeout, errors.UpstreamTimeout),
        (httpx2.ConnectTimeout("slow"), errors.UpstreamTimeout, errors.UpstreamTimeout),
        (httpx2.UnsupportedProtocol("gopher"), errors.UpstreamNotFound, errors.UpstreamNotFound),
        (httpx2.LocalProtocolError("bad header"), errors.UpstreamRejected, errors.UpstreamRejected),
        (httpx2.DecodingError("not gzip"), errors.UpstreamMalformed, errors.UpstreamMalformed),
    ],
)
def test_trouble_below_http_is_told_by_its_class(error: Exception, before: type, after: type):
    assert type(trouble(error, begun=False)) is before
    assert type(trouble(error, begun=True)) is after


LONG = errors.ContextTooLong


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        # vLLM
        (
            {
                "object": "error",
                "message": "This model's maximum context length is 4096 tokens. However, …",
                "code": 400,
            },
            LONG,
        ),
        ({"error": {"message": "This model's maximum context length is 4096 tokens", "code": 400}}, LONG),
        # llama.cpp
        (
            {
                "error": {
                    "code": 400,
                    "type": "exceed_context_size_error",
                    "message": "too large",
                    "n_ctx": 512,
                }
            },
            LONG,
        ),
        # Ollama, LM Studio
        ({"error": {"message": "the input length exceeds the context length"}}, LONG),
        ({"error": "The number of tokens to keep is greater than the context length"}, LONG),
        # OpenAI's codes, which everybody copies
        ({"error": {"code": "context_length_exceeded"}}, LONG),
        ({"error": {"code": "content_filter"}}, errors.ContentFiltered),
        ({"error": {"type": "insufficient_quota"}}, errors.UpstreamAuth),
        ({"error": {"code": "model_not_found"}}, errors.UpstreamNotFound),
        # and what is none of these
        ({"error": {"message": "'messages' is a required property", "code": None}}, errors.UpstreamRejected),
        ({"detail": [{"loc": ["body"], "msg": "field required"}]}, errors.UpstreamRejected),
        ({"error": {"message": ["odd"], "code": {"odd": 1}}}, errors.UpstreamRejected),
        ([], errors.UpstreamRejected),
        ("no", errors.UpstreamRejected),
        (None, errors.UpstreamRejected),
    ],
)
def test_compatible_servers_complain_in_many_shapes(body: object, kind: type):
    assert type(refusal(400, {}, msgspec.json.encode(body), compatible)) is kind


def test_words_alone_decide_nothing_where_a_provider_has_codes():
    body = b'{"error":{"message":"maximum context length","code":"other"}}'
    assert type(refusal(400, {}, body, openai)) is errors.UpstreamRejected


def test_openai_refuses_reasoning_by_policy_under_a_code_of_its_own():
    assert type(refusal(400, {}, b'{"error":{"code":"invalid_prompt"}}', openai)) is errors.ContentFiltered


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe", b"[" * 200_000, b'{"error":' * 50_000])
def test_a_refusal_needs_no_sense_in_its_body(body: bytes):
    error = refusal(400, {}, body)
    assert type(error) is errors.UpstreamRejected
    assert len(error.detail or "") <= 2048


@pytest.mark.parametrize("status", [100, 201, 204, 206, 301, 302, 304, 307, 308])
def test_a_status_that_is_neither_answer_nor_refusal_is_not_understood(status: int):
    error = refusal(status, {}, b"")
    assert type(error) is errors.UpstreamMalformed
    assert error.status == status


def test_a_credential_is_masked_before_the_text_is_cut():
    secret = "sk-" + "0123456789" * 10
    body = b"x" * 2000 + secret.encode() + b"y" * 3000
    detail = refusal(500, {}, body, None, Secret(secret)).detail or ""
    assert "sk-0" not in detail
    assert "****" in detail


def test_a_complaint_nested_without_end_is_read_as_far_as_it_goes():
    assert complaint_of({"error": {"error": {"message": "deep"}}}).message == "deep"


@pytest.mark.parametrize(
    ("base", "whole"),
    [
        ("http://host:8000/v1", "http://host:8000/v1/chat/completions"),
        ("http://host/v1/", "http://host/v1/chat/completions"),
        ("https://host", "https://host/chat/completions"),
        ("https://host/a%2Fb?api-version=1&x=%20", "https://host/a%2Fb/chat/completions?api-version=1&x=%20"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1/chat/completions"),
    ],
)
def test_an_address_keeps_all_of_its_base(base: str, whole: str):
    assert str(address(base, "chat/completions")) == whole


@pytest.mark.parametrize(
    "base", ["", "host/v1", "file:///etc/passwd", "http://", "http://host:port/v1", "http://a\nb"]
)
def test_an_address_that_is_none_says_so(base: str):
    with pytest.raises(errors.UpstreamNotFound):
        address(base, "chat/completions")


GOOD = sized(b'{"choices":[]}')


@pytest.mark.parametrize("name", ["compatible", "openai"])
async def test_a_proxy_of_the_environment_is_used_only_if_the_settings_trust_it(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    async with saying(GOOD) as proxy, saying(GOOD) as upstream:
        monkeypatch.setenv("HTTP_PROXY", proxy.base_url.removesuffix("/v1"))
        monkeypatch.setenv("http_proxy", proxy.base_url.removesuffix("/v1"))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        for trusted, reached in ((False, upstream), (True, proxy)):
            provider = open_provider(name, Providers(trust_env=trusted))
            await provider.complete(call(base_url=upstream.base_url))
            await provider.close()
            assert len(reached.requests) == 1
        assert proxy.requests[0].startswith(b"POST http://127.0.0.1:")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        provider = open_provider(name, Providers(trust_env=True))
        await provider.complete(call(base_url=upstream.base_url))
        await provider.close()
        assert len(upstream.requests) == 2
