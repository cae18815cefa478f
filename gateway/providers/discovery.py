"""Asking a server which models it has: `/v1/models` of OpenAI's API and Anthropic's, Gemini's, `/api/tags` of Ollama.

What servers say beside OpenAI's fields is taken where it is known, from their own pages: vLLM `max_model_len`,
llama.cpp `meta.n_ctx_train`, OpenRouter `context_length`, Groq `context_window`, Mistral `max_context_length` and
`capabilities`. What comes back are proposals for the registry: nothing is registered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, cast

import httpx2
import msgspec

from gateway.domain import errors
from gateway.domain.inference import Kind
from gateway.domain.registry import Capability, Model
from gateway.domain.secret import Secret
from gateway.providers.http import Deadlines, Pool, address, get, refusal
from gateway.providers.ports import CallTimeouts
from gateway.settings import Providers

_MOST = 5000  # models of one server
_LONGEST_ANSWER = 16 * 1024 * 1024
_BOUNDS = CallTimeouts(timedelta(seconds=5), timedelta(seconds=15), timedelta(seconds=30))
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._:/@+-]+")
_DETAILS: Final = (
    ("family", "family"),
    ("parameters", "parameter_size"),
    ("quantization", "quantization_level"),
)
_CONTEXT: Final = ("max_model_len", "context_length", "context_window", "max_context_length")
# What a name gives away of what a model is for; the first that is found counts.
_BY_NAME: Final[tuple[tuple[re.Pattern[str], Kind], ...]] = (
    (re.compile(r"rerank"), Kind.RERANK),
    (re.compile(r"embed|\bbge-|/bge-|\be5-|/e5-|minilm"), Kind.EMBEDDING),
    (re.compile(r"whisper|transcribe|parakeet"), Kind.TRANSCRIPTION),
    (re.compile(r"\btts\b|-tts|tts-|kokoro"), Kind.SPEECH),
    (re.compile(r"dall-e|gpt-image|stable-diffusion|flux|imagen"), Kind.IMAGE),
    (re.compile(r"moderation|guard"), Kind.MODERATION),
)
_BY_OWNER: Final[Mapping[str, str]] = {
    "vllm": "vllm",
    "llamacpp": "llama.cpp",
    "library": "ollama",
    "sglang": "sglang",
    "system": "openai",
    "openai": "openai",
    "mistralai": "mistral",
    "deepseek": "deepseek",
    "anthropic": "anthropic",
}
_FLAVOURS: Final = frozenset({"vllm", "llama.cpp", "ollama", "sglang", "mistral", "deepseek"})
"""Servers that the compatible provider knows the quirks of under this name."""
_BY_HOST: Final[Mapping[str, str]] = {
    "api.groq.com": "groq",
    "api.together.xyz": "together",
    "api.mistral.ai": "mistral",
    "api.deepseek.com": "deepseek",
    "openrouter.ai": "openrouter",
}
"""The same by where they are: what these list of their models does not tell whose they are."""


_METHODS: Final[Mapping[str, Kind]] = {"generateContent": Kind.CHAT, "embedContent": Kind.EMBEDDING}
_GOOGLES: Final = "models?pageSize=1000"
_ANTHROPICS: Final = "v1/models?limit=1000"
_CLAUDES: Final[Mapping[str, Capability]] = {
    "image_input": Capability.VISION,
    "structured_outputs": Capability.STRUCTURED_OUTPUT,
    "thinking": Capability.REASONING,
}
"""What Anthropic says of its models, in our words; all of them stream and call tools."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a server said: what it seems to be, and an entry for each of its models, by name."""

    server: str
    models: tuple[Model, ...]


class Discovery:
    """Asks servers, over connections of its own."""

    def __init__(self, settings: Providers) -> None:
        """Connect nowhere yet."""
        self._pool = Pool(settings)

    async def find(self, base_url: str, secret: Secret | None = None, reference: str | None = None) -> Found:
        """Ask the server at `base_url` (up to and including `/v1`); `reference` is what proposals get as credential.

        Raises what a provider's call raises: UpstreamUnavailable, UpstreamTimeout, UpstreamAuth, UpstreamNotFound,
        UpstreamMalformed, UpstreamRejected.
        """
        base = base_url.rstrip("/")
        root = base.removesuffix("/v1")
        try:
            tree = await self._ask(*_where(base), secret)
            if _tells_methods(tree):
                return from_gemini(tree, base, reference)
            if _is_anthropics(tree):
                return from_anthropic(tree, root, reference)
            found = from_listing(tree, base, reference)
        except (errors.UpstreamNotFound, errors.UpstreamRejected, errors.UpstreamMalformed):
            # An Ollama whose address was given without `/v1`, or one of before it spoke OpenAI's API.
            return from_tags(await self._ask(root, "api/tags", secret), f"{root}/v1", reference)
        if found.server == "ollama":
            with suppress(errors.GatewayError):
                return from_tags(await self._ask(root, "api/tags", secret), base, reference)
        return found

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    async def _ask(self, base: str, path: str, secret: Secret | None) -> Any:
        headers = {"accept": "application/json"}
        if secret and _is_google(base):
            headers["x-goog-api-key"] = secret.reveal()
        elif secret:
            headers["authorization"] = f"Bearer {secret.reveal()}"
            if _is_anthropic(base):
                headers |= {"x-api-key": secret.reveal(), "anthropic-version": "2023-06-01"}
        deadlines = Deadlines.of(_BOUNDS)
        async with await get(self._pool, address(base, path), headers, deadlines) as answer:
            body = await answer.read(_LONGEST_ANSWER)
            if answer.status != 200:
                raise refusal(answer.status, answer.headers, body, secret=secret)
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
            raise errors.UpstreamMalformed(detail="the list of models is no JSON") from e


def from_listing(tree: Any, base_url: str, reference: str | None = None) -> Found:
    """Proposals from OpenAI's `{"data": [{"id": …}]}`. Raises UpstreamMalformed for what is no such list."""
    entries = _entries(tree, "data")
    owners = {str(entry.get("owned_by", "")).lower() for entry in entries}
    server = next((name for owner, name in _BY_OWNER.items() if owner in owners), "compatible")
    flavour = _BY_HOST.get(httpx2.URL(base_url).host or "") or (server if server in _FLAVOURS else "")
    options = {"flavour": flavour} if flavour else {}
    return Found(
        server, _named(replace(_proposed(entry, base_url, reference), options=options) for entry in entries)
    )


def from_tags(tree: Any, base_url: str, reference: str | None = None) -> Found:
    """Proposals from Ollama's `{"models": [{"name": …, "details": {…}}]}`. Raises UpstreamMalformed."""
    found: list[Model] = []
    for entry in _entries(tree, "models"):
        details = _map(entry.get("details"))
        tags = {"server": "ollama"}
        for name, key in (
            ("family", "family"),
            ("parameters", "parameter_size"),
            ("quantization", "quantization_level"),
        ):
            if isinstance(details.get(key), str) and details[key]:
                tags[name] = str(details[key])[:128]
        model = _model(str(entry.get("name", "")), base_url, reference, tags=tags)
        found.append(replace(model, options={"flavour": "ollama"}))
    return Found("ollama", _named(found))


def from_gemini(tree: Any, base_url: str, reference: str | None = None) -> Found:
    """Proposals from Gemini's `{"models": [{"name": "models/…", "supportedGenerationMethods": […]}]}`.

    What can neither be talked to nor asked for vectors is left out. Page: ai.google.dev/api/models.
    """
    found: list[Model] = []
    for entry in _entries(tree, "models"):
        methods: Any = entry.get("supportedGenerationMethods")
        kind = next((kind for method, kind in _METHODS.items() if method in methods), None)
        if kind is None:
            continue
        model = _model(str(entry.get("name", "")).removeprefix("models/"), base_url, reference)
        asked, answered = entry.get("inputTokenLimit"), entry.get("outputTokenLimit")
        found.append(
            replace(
                model,
                provider="gemini",
                kind=kind,
                context_window=asked if _is_count(asked) else None,
                max_output=answered if _is_count(answered) and kind is Kind.CHAT else None,
            )
        )
    return Found("gemini", _named(found))


def from_anthropic(tree: Any, base_url: str, reference: str | None = None) -> Found:
    """Proposals from Anthropic's `{"data": [{"type": "model", "id": …, "max_input_tokens": …}]}`.

    Page: platform.claude.com/docs/en/api/models/list.
    """
    found: list[Model] = []
    for entry in _entries(tree, "data"):
        asked, answered = entry.get("max_input_tokens"), entry.get("max_tokens")
        said = _map(entry.get("capabilities"))
        able = {Capability.STREAMING, Capability.TOOLS, Capability.PARALLEL_TOOLS}
        able |= {
            able_to for name, able_to in _CLAUDES.items() if _map(said.get(name)).get("supported") is True
        }
        found.append(
            replace(
                _model(str(entry.get("id", "")), base_url, reference),
                provider="anthropic",
                kind=Kind.CHAT,
                context_window=asked if _is_count(asked) else None,
                max_output=answered if _is_count(answered) else None,
                capabilities=frozenset(able) if said else None,
            )
        )
    return Found("anthropic", _named(found))


def _where(base: str) -> tuple[str, str]:
    """Below which address a server lists its models, and at which path."""
    if _is_google(base):
        return base, _GOOGLES
    if _is_anthropic(base):
        return base.removesuffix("/v1"), _ANTHROPICS
    return base, "models"


def _is_anthropic(base: str) -> bool:
    host = httpx2.URL(base).host or ""
    return host == "anthropic.com" or host.endswith(".anthropic.com")


def _is_anthropics(tree: Any) -> bool:
    """Whether this is a list in Anthropic's shape."""
    entries = _map(tree).get("data")
    return (
        isinstance(entries, list)
        and bool(entries)
        and all(_map(each).get("type") == "model" for each in cast("list[object]", entries))
    )


def _is_google(base: str) -> bool:
    host = httpx2.URL(base).host or ""
    return host.endswith(".googleapis.com") and not base.endswith("/openai")


def _tells_methods(tree: Any) -> bool:
    """Whether this is Gemini's list: Ollama's has the same key, and says no methods."""
    entries = _map(tree).get("models")
    return (
        isinstance(entries, list)
        and bool(entries)
        and all(
            isinstance(_map(each).get("supportedGenerationMethods"), list)
            for each in cast("list[object]", entries)
        )
    )


def _proposed(entry: Mapping[str, Any], base_url: str, reference: str | None) -> Model:
    context = next((entry[key] for key in _CONTEXT if _is_count(entry.get(key))), None)
    meta = _map(entry.get("meta"))
    if context is None and _is_count(meta.get("n_ctx_train")):
        context = meta["n_ctx_train"]
    said = _map(entry.get("capabilities"))
    able: frozenset[Capability] | None = None
    if "function_calling" in said or "vision" in said:
        able = frozenset({Capability.STREAMING, Capability.STRUCTURED_OUTPUT})
        able |= {Capability.TOOLS, Capability.PARALLEL_TOOLS} if said.get("function_calling") else set()
        able |= {Capability.VISION} if said.get("vision") else set()
    return _model(
        str(entry.get("id", "")), base_url, reference, context=cast("int | None", context), able=able
    )


def _model(
    upstream: str,
    base_url: str,
    reference: str | None,
    *,
    context: int | None = None,
    able: frozenset[Capability] | None = None,
    tags: Mapping[str, str] | None = None,
) -> Model:
    return Model(
        name=_NOT_IN_NAMES.sub("-", upstream).strip("-._:/@+")[:128],
        provider="openai" if base_url == "https://api.openai.com/v1" else "compatible",
        base_url=base_url,
        upstream_model=upstream,
        kind=next((kind for known, kind in _BY_NAME if known.search(upstream.lower())), Kind.CHAT),
        credential=reference,
        context_window=context,
        capabilities=able,
        tags=tags or {},
    )


def _named(models: Any) -> tuple[Model, ...]:
    """Those that have a name, each name once, in their order."""
    found: dict[str, Model] = {}
    for model in models:
        if model.name:
            found.setdefault(model.name, model)
    return tuple(found[name] for name in sorted(found))


def _entries(tree: Any, key: str) -> list[Mapping[str, Any]]:
    listed = tree.get(key) if isinstance(tree, dict) else None
    if not isinstance(listed, list):
        raise errors.UpstreamMalformed(detail=f"the server's answer has no list `{key}`")
    return [cast("Mapping[str, Any]", entry) for entry in listed[:_MOST] if isinstance(entry, dict)]


def _map(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31
