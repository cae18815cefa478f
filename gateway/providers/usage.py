"""What servers say of tokens in OpenAI's dialect, brought to one meaning: ours, which is OpenAI's own.

They differ in where they say it, and in what counts as what: xAI leaves reasoning out of `completion_tokens`, Gemini's
server of this dialect leaves its thoughts out of everything but `total_tokens`, some leave cached input out of
`prompt_tokens`. Only the total tells; what it holds beyond its two parts is put where it belongs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeVar

import msgspec

from gateway.domain.inference import Usage

_MOST: Final = 10**9
"""No request has so many tokens: who says so has miscounted, and is not billed by."""

T = TypeVar("T", bound=msgspec.Struct)


class Asked(msgspec.Struct):
    """Kinds of tokens in what was asked."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None  # OpenAI, OpenRouter
    cache_creation_tokens: int | None = None  # LiteLLM
    audio_tokens: int | None = None
    image_tokens: int | None = None


class Answered(msgspec.Struct):
    """Kinds of tokens in what was answered."""

    reasoning_tokens: int | None = None
    thinking_tokens: int | None = None  # Anthropic
    audio_tokens: int | None = None
    image_tokens: int | None = None


class CacheCreation(msgspec.Struct):
    """For how long Anthropic keeps what was written."""

    ephemeral_1h_input_tokens: int | None = None


class Told(msgspec.Struct):
    """The `usage` of an answer, with the spellings of chat completions and of OpenAI's newer endpoints."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    prompt_tokens_details: Asked | None = None
    completion_tokens_details: Answered | None = None
    input_tokens_details: Asked | None = None
    input_token_details: Asked | None = None  # transcriptions
    output_tokens_details: Answered | None = None
    cached_tokens: int | None = None  # Moonshot, Cohere
    prompt_cache_hit_tokens: int | None = None  # DeepSeek
    cache_read_input_tokens: int | None = None  # proxies of Anthropic
    cache_creation_input_tokens: int | None = None
    cache_creation: CacheCreation | None = None
    reasoning_tokens: int | None = None  # Perplexity, Databricks
    seconds: float | None = None


def read_told(raw: msgspec.Raw) -> Told | None:
    """What can be read of a usage in which some field is of a kind that nobody expects."""
    return _lenient(raw, Told)


def _lenient(raw: msgspec.Raw, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError:
        pass
    try:
        said = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        return None
    found = kind()
    for field in msgspec.structs.fields(kind):
        if field.name not in said:
            continue
        of_struct = _STRUCTS.get(field.name)
        try:
            value = (
                _lenient(said[field.name], of_struct)
                if of_struct is not None
                else msgspec.json.decode(said[field.name], type=field.type)
            )
        except msgspec.ValidationError:
            continue
        setattr(found, field.name, value)
    return found


_STRUCTS: Final[dict[str, type[msgspec.Struct]]] = {
    "prompt_tokens_details": Asked,
    "input_tokens_details": Asked,
    "input_token_details": Asked,
    "completion_tokens_details": Answered,
    "output_tokens_details": Answered,
    "cache_creation": CacheCreation,
}


def usage_of(told: Told | None) -> Usage | None:
    """The usage that was told; None if neither tokens nor seconds were, or more than can be."""
    if told is None:
        return None
    asked = told.input_tokens if told.prompt_tokens is None else told.prompt_tokens
    answered = told.output_tokens if told.completion_tokens is None else told.completion_tokens
    if asked is None and answered is None and not told.seconds:
        return None
    asked, answered = asked or 0, answered or 0
    heard = told.prompt_tokens_details or told.input_tokens_details or told.input_token_details or _NO_ASKED
    said = told.completion_tokens_details or told.output_tokens_details or _NO_ANSWERED
    cached = (
        heard.cached_tokens
        or told.cached_tokens
        or told.prompt_cache_hit_tokens
        or told.cache_read_input_tokens
        or 0
    )
    written = heard.cache_write_tokens or heard.cache_creation_tokens or told.cache_creation_input_tokens or 0
    reasoning = said.reasoning_tokens or said.thinking_tokens or told.reasoning_tokens or 0
    if told.prompt_tokens is None and (told.cache_read_input_tokens or told.cache_creation_input_tokens):
        asked += cached + written  # Anthropic's spelling is Anthropic's count, which leaves both out
    beyond = (told.total_tokens or 0) - asked - answered
    if beyond > 0:
        if reasoning == beyond:
            answered += beyond  # xAI
        elif beyond in (cached, cached + written):
            asked += beyond
        elif not reasoning:
            answered += beyond  # Gemini
            reasoning = beyond
    if asked > _MOST or answered > _MOST:
        return None
    usage = Usage(max(asked, 0), max(answered, 0), _part(cached, asked), _part(reasoning, answered))
    if (
        written
        or told.seconds
        or heard.audio_tokens
        or heard.image_tokens
        or said.audio_tokens
        or said.image_tokens
    ):
        return _with_seldom(usage, told, heard, said, written)
    return usage


def _with_seldom(usage: Usage, told: Told, heard: Asked, said: Answered, written: int) -> Usage:
    written = _part(written, usage.input)
    long = told.cache_creation.ephemeral_1h_input_tokens if told.cache_creation is not None else None
    return replace(
        usage,
        cache_write=written,
        cache_write_1h=_part(long or 0, written),
        audio_input=_part(heard.audio_tokens or 0, usage.input),
        image_input=_part(heard.image_tokens or 0, usage.input),
        audio_output=_part(said.audio_tokens or 0, usage.output),
        image_output=_part(said.image_tokens or 0, usage.output),
        seconds=told.seconds if told.seconds is not None and 0 < told.seconds < _MOST else 0.0,
    )


_NO_ASKED: Final = Asked()
_NO_ANSWERED: Final = Answered()


def _part(count: int, whole: int) -> int:
    """A part of a whole, whatever was said of it."""
    return 0 if count <= 0 else min(count, max(whole, 0))
