"""In what the servers that speak OpenAI's dialect differ from OpenAI, and from each other: one row each, and no code.

A row is chosen by a model's option `flavour`; what no row says is as with OpenAI. Each fact is from the pages that the
row names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from gateway.domain.errors import (
    ContentFiltered,
    ContextTooLong,
    GatewayError,
    UpstreamAuth,
    UpstreamNotFound,
    UpstreamRateLimited,
    UpstreamUnavailable,
)
from gateway.domain.operations import Operation as Op

SPOKEN: Final[Mapping[str, frozenset[Op]]] = MappingProxyType(
    {
        "chat": frozenset({Op.CHAT}),
        "responses": frozenset({Op.RESPONSES}),
        "messages": frozenset({Op.MESSAGES}),
        "count_tokens": frozenset({Op.COUNT_TOKENS}),
        "completions": frozenset({Op.COMPLETIONS}),
        "embeddings": frozenset({Op.EMBEDDINGS}),
        "rerank": frozenset({Op.RERANK}),
        "moderations": frozenset({Op.MODERATIONS}),
        "images": frozenset({Op.IMAGE_GENERATIONS, Op.IMAGE_EDITS, Op.IMAGE_VARIATIONS}),
        "image_generations": frozenset({Op.IMAGE_GENERATIONS}),
        "image_edits": frozenset({Op.IMAGE_EDITS}),
        "image_variations": frozenset({Op.IMAGE_VARIATIONS}),
        "audio": frozenset({Op.SPEECH, Op.TRANSCRIPTIONS, Op.TRANSLATIONS}),
        "speech": frozenset({Op.SPEECH}),
        "transcriptions": frozenset({Op.TRANSCRIPTIONS}),
        "translations": frozenset({Op.TRANSLATIONS}),
    }
)
"""The words of the option `dialects`, with the operations that each stands for."""


def spoken(*words: str) -> frozenset[Op]:
    """The operations that these words of `dialects` stand for."""
    return frozenset(operation for word in words for operation in SPOKEN[word])


USUAL: Final = spoken("chat", "completions", "embeddings", "rerank", "moderations", "images", "audio")
"""What a server that nobody has described is asked in its own dialect; Responses and messages are carried over chat."""


class Told(StrEnum):
    """How a header says when a limit is over."""

    SECONDS = "seconds"
    DURATION = "6m0s"
    EPOCH_MS = "milliseconds since 1970"


@dataclass(frozen=True, slots=True)
class Limit:
    """The headers of one limit: how much is left of it, and when there is more."""

    remaining: str
    reset: str
    told: Told = Told.DURATION


@dataclass(frozen=True, slots=True)
class Dated:
    """How the same server is asked when the model has an `api_version`: below which path, and for what.

    In `path`, `{path}` is the operation's own, `{deployment}` the upstream's model, `{version}` the `api_version`.
    """

    path: str
    operations: frozenset[Op]


@dataclass(frozen=True, slots=True)
class Quirks:
    """One kind of server. `pages` are where its facts stand."""

    pages: tuple[str, ...] = ()
    base_url: str = ""  # where it is when the model does not say
    operations: frozenset[Op] = USUAL  # what it is asked in the operation's own dialect
    header: str = "authorization"  # which header carries the credential
    scheme: str = "Bearer "  # what stands before it there
    stem: str = ""  # what stands between base_url and an operation's path, unless base_url ends in it
    dated: Dated | None = None
    paths: Mapping[Op, str] = field(default_factory=dict)  # operations that are elsewhere than with OpenAI
    renamed: Mapping[str, str] = field(default_factory=dict)  # fields of a chat that it knows by another name
    refused: frozenset[str] = frozenset()  # fields of a chat for which it would refuse the whole request
    refused_in_messages: frozenset[str] = frozenset()  # the same within messages
    roles: Mapping[str, str] = field(default_factory=dict)  # roles of messages that it knows by another name
    takes_usage_option: bool = True  # `stream_options.include_usage`; if not, it tells usage unasked
    usage_in: tuple[str, ...] = ()  # where usage stands in a chunk of a stream, beside `usage`
    reasoning: str = "reasoning_content"  # the field in which a model's thoughts come
    thinks_in_parts: bool = (
        False  # thoughts come as parts of `content`: they are put into `reasoning`'s field
    )
    scores_in_list: bool = False  # a rerank's answer is a bare list of scores
    too_long: tuple[str, ...] = ()  # words of a complaint about a prompt that is too long, in lower case
    filtered: tuple[str, ...] = ()  # words of a refusal by content policy, in lower case
    codes: Mapping[str, type[GatewayError]] = field(default_factory=dict)  # its own codes and types of errors
    statuses: Mapping[int, type[GatewayError]] = field(default_factory=dict)  # statuses that nobody else uses
    request_ids: tuple[str, ...] = ("x-request-id", "request-id")  # headers with its own id of a request
    limits: tuple[Limit, ...] = ()  # read where a 429 has no `retry-after`
    does_not: str = ""  # what of OpenAI's it takes and ignores, or has not: for people


_MAX_TOKENS: Final = {"max_completion_tokens": "max_tokens"}
_NO_DEVELOPER: Final = {"developer": "system"}
_OPENAIS_LIMITS: Final = (
    Limit("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    Limit("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
)

QUIRKS: Final[Mapping[str, Quirks]] = MappingProxyType(
    {
        "vllm": Quirks(
            pages=("https://docs.vllm.ai/en/latest/serving/online_serving/",),
            operations=spoken(
                "chat",
                "completions",
                "responses",
                "messages",
                "embeddings",
                "rerank",
                "transcriptions",
                "translations",
            ),
            reasoning="reasoning",
            too_long=("maximum context length", "longer than the maximum model length"),
            does_not="`user` is ignored, `suffix` of completions refused; no moderations, images or speech",
        ),
        "sglang": Quirks(
            pages=(
                "https://docs.sglang.io/docs/basic_usage/openai_api_completions",
                "https://docs.sglang.io/docs/supported-models/rerank_models",
                "https://docs.sglang.io/docs/advanced_features/separate_reasoning",
            ),
            operations=spoken("chat", "completions", "embeddings", "rerank"),
            scores_in_list=True,
            too_long=("longer than the model's context length", "maximum context length"),
            does_not="no moderations, images or audio",
        ),
        "tgi": Quirks(
            pages=(
                "https://huggingface.co/docs/text-generation-inference/messages_api",
                "https://github.com/huggingface/text-generation-inference/issues/2844",
            ),
            operations=spoken("chat", "completions"),
            renamed=_MAX_TOKENS,
            roles=_NO_DEVELOPER,
            too_long=("`inputs` tokens + `max_new_tokens` must be", "`inputs` must have less than"),
            does_not="`n`, `parallel_tool_calls` and `logit_bias` are ignored; no embeddings or audio",
        ),
        "llama.cpp": Quirks(
            pages=("https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",),
            operations=spoken(
                "chat", "completions", "responses", "messages", "count_tokens", "embeddings", "rerank"
            ),
            too_long=("exceeds the available context size", "exceed context window"),
            codes={"exceed_context_size_error": ContextTooLong, "unavailable_error": UpstreamUnavailable},
            does_not="`model` is what the server was started with; no moderations, images or speech",
        ),
        "ollama": Quirks(
            pages=(
                "https://docs.ollama.com/api/openai-compatibility",
                "https://docs.ollama.com/api/anthropic-compatibility",
            ),
            base_url="http://localhost:11434/v1",
            operations=spoken("chat", "completions", "responses", "messages", "embeddings"),
            renamed=_MAX_TOKENS,
            roles=_NO_DEVELOPER,
            reasoning="reasoning",
            too_long=("input length exceeds the context length",),
            does_not="`n`, `logit_bias` and `user` are ignored; a prompt longer than the context may be cut in silence",
        ),
        "lm-studio": Quirks(
            pages=("https://lmstudio.ai/docs/developer/openai-compat",),
            base_url="http://localhost:1234/v1",
            operations=spoken("chat", "completions", "responses", "messages", "embeddings"),
            renamed=_MAX_TOKENS,
            roles=_NO_DEVELOPER,
            too_long=("greater than the context length",),
            does_not="no rerank, moderations, images or audio",
        ),
        "litellm": Quirks(
            pages=(
                "https://docs.litellm.ai/docs/proxy/user_keys",
                "https://docs.litellm.ai/docs/exception_mapping",
                "https://docs.litellm.ai/docs/proxy/response_headers",
            ),
            operations=USUAL | spoken("responses", "messages"),
            too_long=("contextwindowexceedederror",),
            filtered=("contentpolicyviolationerror",),
            codes={"budget_exceeded": UpstreamAuth},
            request_ids=("x-litellm-call-id", "x-request-id"),
            limits=_OPENAIS_LIMITS,
            does_not="what the model behind it does not",
        ),
        "openrouter": Quirks(
            pages=(
                "https://openrouter.ai/docs/api/reference/overview",
                "https://openrouter.ai/docs/api/reference/errors-and-debugging",
                "https://openrouter.ai/docs/api/reference/limits",
            ),
            base_url="https://openrouter.ai/api/v1",
            operations=spoken("chat", "completions", "responses", "messages", "embeddings"),
            reasoning="reasoning",
            filtered=("your input was flagged",),
            limits=(Limit("x-ratelimit-remaining", "x-ratelimit-reset", Told.EPOCH_MS),),
            does_not="fields that the model behind it does not know are ignored; no moderations or audio endpoints",
        ),
        "groq": Quirks(
            pages=(
                "https://console.groq.com/docs/openai",
                "https://console.groq.com/docs/rate-limits",
                "https://console.groq.com/docs/errors",
            ),
            base_url="https://api.groq.com/openai/v1",
            operations=spoken("chat", "responses", "audio"),
            refused=frozenset({"logprobs", "top_logprobs", "logit_bias"}),
            refused_in_messages=frozenset({"name"}),
            usage_in=("x_groq", "usage"),
            reasoning="reasoning",
            # A request larger than the tokens of a minute comes back as 413.
            codes={"rate_limit_exceeded": UpstreamRateLimited, "capacity_exceeded": UpstreamRateLimited},
            statuses={498: UpstreamRateLimited},
            limits=_OPENAIS_LIMITS,
            does_not="`n` must be 1; transcriptions as `vtt` or `srt` are refused; no embeddings or images",
        ),
        "together": Quirks(
            pages=(
                "https://docs.together.ai/docs/openai-api-compatibility",
                "https://docs.together.ai/reference/rerank",
                "https://docs.together.ai/docs/rate-limits",
            ),
            base_url="https://api.together.xyz/v1",
            operations=spoken("chat", "completions", "embeddings", "rerank", "image_generations", "audio"),
            renamed=_MAX_TOKENS,
            roles=_NO_DEVELOPER,
            reasoning="reasoning",
            limits=(Limit("x-ratelimit-remaining", "x-ratelimit-reset", Told.SECONDS),),
            does_not="no moderations, image edits or variations",
        ),
        "mistral": Quirks(
            pages=(
                "https://docs.mistral.ai/api/",
                "https://docs.mistral.ai/capabilities/reasoning/",
                "https://github.com/mistralai/platform-docs-public/issues/7",
            ),
            base_url="https://api.mistral.ai/v1",
            operations=spoken("chat", "embeddings", "moderations", "transcriptions"),
            renamed={**_MAX_TOKENS, "seed": "random_seed"},
            # It refuses every field that it does not know (422, extra_forbidden).
            refused=frozenset(
                {
                    "audio",
                    "logit_bias",
                    "logprobs",
                    "modalities",
                    "prompt_cache_key",
                    "safety_identifier",
                    "service_tier",
                    "store",
                    "top_logprobs",
                    "user",
                    "verbosity",
                    "web_search_options",
                }
            ),
            refused_in_messages=frozenset({"name", "reasoning_content", "refusal", "audio", "annotations"}),
            roles=_NO_DEVELOPER,
            takes_usage_option=False,
            thinks_in_parts=True,
            too_long=("too large for model with",),
            request_ids=("mistral-correlation-id", "x-request-id"),
            does_not="no rerank, images, speech or translations",
        ),
        "deepseek": Quirks(
            pages=(
                "https://api-docs.deepseek.com/api/create-chat-completion",
                "https://api-docs.deepseek.com/quick_start/error_codes",
                "https://api-docs.deepseek.com/quick_start/rate_limit",
            ),
            base_url="https://api.deepseek.com/v1",
            operations=spoken("chat"),
            renamed=_MAX_TOKENS,
            roles=_NO_DEVELOPER,
            request_ids=("x-ds-trace-id", "x-request-id"),
            does_not="`response_format` is `text` or `json_object`; one operation only",
        ),
        "azure": Quirks(
            pages=(
                "https://learn.microsoft.com/azure/ai-services/openai/reference",
                "https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle",
                "https://learn.microsoft.com/azure/ai-services/openai/concepts/content-filter",
            ),
            operations=spoken(
                "chat",
                "completions",
                "responses",
                "embeddings",
                "image_generations",
                "image_edits",
                "audio",
            ),
            header="api-key",
            scheme="",
            stem="openai/v1",
            dated=Dated(
                "openai/deployments/{deployment}/{path}?api-version={version}",
                spoken("chat", "completions", "embeddings", "image_generations", "image_edits", "audio"),
            ),
            codes={
                "ResponsibleAIPolicyViolation": ContentFiltered,
                "DeploymentNotFound": UpstreamNotFound,
                "PermissionDenied": UpstreamAuth,
            },
            request_ids=("apim-request-id", "x-request-id", "x-ms-request-id"),
            limits=_OPENAIS_LIMITS,
            does_not="`model` is the name of a deployment; no rerank, moderations or image variations",
        ),
    }
)
PLAIN: Final = Quirks(limits=_OPENAIS_LIMITS)
"""A server of no flavour."""

# One server's words are looked for in the complaints of all: proxies pass them on.
TOO_LONG: Final = tuple(sorted({words for row in QUIRKS.values() for words in row.too_long}))
FILTERED: Final = tuple(sorted({words for row in QUIRKS.values() for words in row.filtered}))
