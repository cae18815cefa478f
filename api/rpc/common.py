"""What several nouns share, as messages."""

from __future__ import annotations

from api.rpc.values import numbers_of
from gateway.domain.errors import InvalidRequest
from gateway.domain.inference import Durability, Failure, Status, Usage
from gateway.v1 import common_pb2 as pb

DURABILITY = numbers_of(pb.Durability, Durability, "DURABILITY")
MOST = 10**9  # tokens, images, seconds or characters of one usage
STATUS = numbers_of(pb.Status, Status, "STATUS")


def tokens(usage: Usage | None) -> pb.TokenUsage | None:
    """Tokens as the ledger counts them."""
    if usage is None:
        return None
    return pb.TokenUsage(
        input=usage.input,
        output=usage.output,
        cached=usage.cached,
        reasoning=usage.reasoning,
        estimated=usage.estimated,
        cache_write=usage.cache_write,
        cache_write_1h=usage.cache_write_1h,
        audio_input=usage.audio_input,
        audio_output=usage.audio_output,
        image_input=usage.image_input,
        image_output=usage.image_output,
        images=usage.images,
        audio_seconds=usage.seconds,
        characters=usage.characters,
        search_units=usage.search_units,
    )


def usage_of(tokens: pb.TokenUsage) -> Usage:
    """What was, or would be, used. Raises InvalidRequest, naming the part, for more or less than can be."""
    usage = Usage(
        input=tokens.input,
        output=tokens.output,
        cached=tokens.cached,
        reasoning=tokens.reasoning,
        cache_write=tokens.cache_write,
        cache_write_1h=tokens.cache_write_1h,
        audio_input=tokens.audio_input,
        audio_output=tokens.audio_output,
        image_input=tokens.image_input,
        image_output=tokens.image_output,
        images=tokens.images,
        seconds=tokens.audio_seconds,
        characters=tokens.characters,
        search_units=tokens.search_units,
    )
    for field in tokens.DESCRIPTOR.fields:
        if not 0 <= getattr(tokens, field.name) <= MOST:
            raise InvalidRequest(
                f"`usage.{field.name}` must be from 0 to {MOST}.", param=f"usage.{field.name}"
            )
    return usage


def failure_message(failure: Failure | None, *, operator: bool) -> pb.Failure | None:
    """A failure; the upstream's own words only to operators."""
    if failure is None:
        return None
    return pb.Failure(
        code=failure.code,
        message=failure.message,
        param=failure.param or "",
        status=failure.status if operator else None,
        detail=failure.detail if operator else None,
    )
