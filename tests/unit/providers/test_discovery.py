"""What servers say of their models, and what is made of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from gateway.domain import errors
from gateway.domain.inference import Kind
from gateway.domain.registry import Capability
from gateway.domain.secret import Secret
from gateway.providers.compatible.quirks import QUIRKS
from gateway.providers.discovery import _BY_HOST, Discovery, _where, from_listing, from_tags
from gateway.settings import Providers
from tests.contracts.upstreams import saying, sized

BASE = "http://gpu-1:8000/v1"


@pytest.fixture
async def discovery() -> AsyncGenerator[Discovery]:
    opened = Discovery(Providers())
    yield opened
    await opened.close()


def listing(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"object": "list", "data": list(entries)}


def test_a_hosted_server_is_known_by_where_it_is():
    (model,) = from_listing(
        listing({"id": "llama", "owned_by": "Meta"}), "https://api.groq.com/openai/v1"
    ).models
    assert model.options == {"flavour": "groq"}
    assert set(_BY_HOST.values()) <= QUIRKS.keys()


@pytest.mark.parametrize(
    ("entry", "server", "context"),
    [
        ({"id": "Qwen/Qwen3-8B", "owned_by": "vllm", "max_model_len": 32768}, "vllm", 32768),
        ({"id": "m", "owned_by": "llamacpp", "meta": {"n_ctx_train": 8192}}, "llama.cpp", 8192),
        (
            {"id": "llama-3.3-70b-versatile", "owned_by": "Meta", "context_window": 131072},
            "compatible",
            131072,
        ),
        ({"id": "vendor/model", "context_length": 200000}, "compatible", 200000),
        ({"id": "gpt-4.1", "owned_by": "system"}, "openai", None),
        ({"id": "m", "max_model_len": -5}, "compatible", None),
        ({"id": "m", "max_model_len": "many"}, "compatible", None),
    ],
)
def test_each_server_says_its_context_in_its_own_way(entry: dict[str, Any], server: str, context: int | None):
    found = from_listing(listing(entry), BASE)
    assert found.server == server
    (model,) = found.models
    assert model.options == ({"flavour": server} if server in QUIRKS else {})
    (model,) = found.models
    assert (model.upstream_model, model.base_url, model.context_window) == (entry["id"], BASE, context)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("text-embedding-3-small", Kind.EMBEDDING),
        ("BAAI/bge-m3", Kind.EMBEDDING),
        ("BAAI/bge-reranker-v2-m3", Kind.RERANK),
        ("whisper-1", Kind.TRANSCRIPTION),
        ("gpt-4o-mini-tts", Kind.SPEECH),
        ("dall-e-3", Kind.IMAGE),
        ("omni-moderation-latest", Kind.MODERATION),
        ("gpt-4.1-mini", Kind.CHAT),
    ],
)
def test_a_name_gives_away_what_a_model_is_for(name: str, kind: Kind):
    assert from_listing(listing({"id": name}), BASE).models[0].kind is kind


def test_what_a_server_says_of_abilities_is_taken():
    entry = {"id": "mistral-small", "capabilities": {"function_calling": True, "vision": False}}
    (model,) = from_listing(listing(entry), BASE).models
    assert model.capabilities is not None
    assert Capability.TOOLS in model.capabilities
    assert Capability.VISION not in model.capabilities


def test_a_name_is_made_one_of_ours_and_stands_once():
    found = from_listing(listing({"id": "a model:8b"}, {"id": "a model:8b"}, {"id": "  "}, {"id": 5}), BASE)
    assert [m.name for m in found.models] == ["5", "a-model:8b"]


def test_ollama_tells_of_its_models_in_tags():
    tree = {"models": [{"name": "llama3.2:3b", "details": {"family": "llama", "parameter_size": "3.2B"}}]}
    (model,) = from_tags(tree, "http://box:11434/v1").models
    assert model.tags == {"server": "ollama", "family": "llama", "parameters": "3.2B"}


GEMINIS = b"""{"models": [
  {"name": "models/gemini-2.5-flash", "inputTokenLimit": 1048576, "outputTokenLimit": 65536,
   "supportedGenerationMethods": ["generateContent", "countTokens"]},
  {"name": "models/gemini-embedding-001", "inputTokenLimit": 2048, "outputTokenLimit": 1,
   "supportedGenerationMethods": ["embedContent"]},
  {"name": "models/imagen-4", "supportedGenerationMethods": ["predict"]} ]}"""


async def test_gemini_tells_what_its_models_can_be_asked(discovery: Discovery):
    async with saying(sized(GEMINIS)) as server:
        found = await discovery.find(server.base_url, reference="env:GEMINI_API_KEY")
    assert found.server == "gemini"
    assert [(m.name, m.provider, m.kind, m.context_window, m.max_output) for m in found.models] == [
        ("gemini-2.5-flash", "gemini", Kind.CHAT, 1048576, 65536),
        ("gemini-embedding-001", "gemini", Kind.EMBEDDING, 2048, None),
    ]
    assert {(m.upstream_model, m.base_url, m.credential) for m in found.models} == {
        (name, server.base_url, "env:GEMINI_API_KEY") for name in ("gemini-2.5-flash", "gemini-embedding-001")
    }


@pytest.mark.parametrize("tree", [None, [], {}, {"data": {}}, {"models": "x"}, "models"])
def test_what_is_no_list_of_models_is_refused(tree: Any):
    with pytest.raises(errors.UpstreamMalformed):
        from_listing(tree, BASE)


async def test_a_real_server_is_asked(discovery: Discovery, local_model_url: str):
    found = await discovery.find(local_model_url)
    assert found.server == "llama.cpp"
    assert "smollm2-135m-instruct" in [m.name for m in found.models]


async def test_an_ollama_without_openai_s_path_is_found_too(discovery: Discovery):
    async with saying(sized(b'{"models": [{"name": "llama3"}]}')) as server:
        found = await discovery.find(server.base_url.removesuffix("/v1"))
        assert [line.split(b" ")[1] for line in server.requests] == [b"/models", b"/api/tags"]
    assert found.server == "ollama"
    assert found.models[0].base_url == server.base_url


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (sized(b"<html>"), errors.UpstreamMalformed),
        (sized(b'{"error":{"message":"bad key sk-abcdef"}}', "401 Unauthorized"), errors.UpstreamAuth),
        (sized(b"", "503 Service Unavailable"), errors.UpstreamUnavailable),
    ],
)
async def test_a_server_that_fails_says_how_and_no_key(
    discovery: Discovery, said: bytes, kind: type[errors.GatewayError]
):
    async with saying(said) as server:
        with pytest.raises(kind) as failed:
            await discovery.find(server.base_url, Secret("sk-abcdef"))
    assert "sk-abcdef" not in (failed.value.detail or "")


CLAUDES = b"""{"data": [
  {"type": "model", "id": "claude-opus-4-8", "display_name": "Claude Opus 4.8", "created_at": "2026-05-01T00:00:00Z",
   "max_input_tokens": 200000, "max_tokens": 64000, "capabilities": {"image_input": {"supported": true},
   "thinking": {"supported": true}, "structured_outputs": {"supported": false}}},
  {"type": "model", "id": "claude-3-haiku-20240307", "display_name": "Claude Haiku 3",
   "created_at": "2024-03-07T00:00:00Z"}
], "has_more": false, "first_id": "claude-opus-4-8", "last_id": "claude-3-haiku-20240307"}"""


@pytest.mark.parametrize("tail", ["/v1", ""])
async def test_anthropic_tells_how_long_its_models_speak_and_what_they_can(discovery: Discovery, tail: str):
    async with saying(sized(CLAUDES)) as server:
        base = server.base_url.removesuffix("/v1") + "/v1"
        found = await discovery.find(base, Secret("sk-canary"), reference="env:ANTHROPIC_API_KEY")
    assert found.server == "anthropic"
    haiku, opus = found.models
    assert {(each.provider, each.kind, each.credential) for each in found.models} == {
        ("anthropic", Kind.CHAT, "env:ANTHROPIC_API_KEY")
    }
    assert (opus.upstream_model, opus.context_window, opus.max_output) == ("claude-opus-4-8", 200000, 64000)
    assert opus.capabilities == {
        Capability.STREAMING,
        Capability.TOOLS,
        Capability.PARALLEL_TOOLS,
        Capability.VISION,
        Capability.REASONING,
    }
    assert (haiku.context_window, haiku.capabilities) == (None, None)
    # Anthropic itself is asked below `/v1`, wherever the address ends.
    assert _where(f"https://api.anthropic.com{tail}") == ("https://api.anthropic.com", "v1/models?limit=1000")
    assert _where("https://anthropic.com.example.org/v1")[1] == "models"
