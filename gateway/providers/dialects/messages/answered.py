"""A chat completion as an answer of messages."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

from gateway.domain.errors import UpstreamMalformed
from gateway.providers.dialects.messages.tables import STOPS, messages_usage
from gateway.providers.dialects.messages.values import Json, answer_of, arguments_of, each, some, words
from gateway.providers.usage import read_told, usage_of

THOUGHTS: Final = ("reasoning_content", "reasoning")
"""Where servers of OpenAI's dialect put what a model thought."""


def message(body: bytes, request_id: str, stops: Collection[str] = ()) -> bytes:
    """The answer, named after the request; `stops` are the words at which it was to end. Raises UpstreamMalformed."""
    completion = answer_of(body)
    choice = next(each(completion.get("choices")), None)
    if choice is None:
        raise UpstreamMalformed(detail="an answer without choices", status=200)
    said = some(choice.get("message"))
    content = [*thoughts(said), *_texts(said), *_calls(said, request_id)]
    told = read_told(msgspec.Raw(msgspec.json.encode(completion.get("usage"))))
    return msgspec.json.encode(
        {
            "id": message_id(request_id),
            "type": "message",
            "role": "assistant",
            "model": words(completion.get("model")),
            "content": content,
            **stopped(
                choice,
                stops,
                called=any(block["type"] == "tool_use" for block in content),
                refused=bool(words(said.get("refusal"))),
            ),
            "usage": messages_usage(usage_of(told)),
        }
    )


def message_id(request_id: str) -> str:
    """The id of the answer to a request."""
    return f"msg_{request_id.replace('-', '')}"


def call_id(request_id: str, number: int) -> str:
    """The id of a tool's call, where the model's server gives none."""
    return f"toolu_{request_id.replace('-', '')}{number:02d}"


def thoughts(said: Json) -> list[Json]:
    """What was thought, as blocks: as they were signed, or without a signature."""
    signed = [block for block in each(said.get("thinking_blocks")) if "type" in block]
    if signed:
        return signed
    thought = next(filter(None, (words(said.get(name)) for name in THOUGHTS)), "")
    return [{"type": "thinking", "thinking": thought, "signature": ""}] if thought else []


def stopped(choice: Json, stops: Collection[str], *, called: bool, refused: bool) -> Json:
    """Why the answer ended. vLLM and SGLang say which word stopped it; some say `stop` also where a tool is called."""
    reason = STOPS.get(words(choice.get("finish_reason")), "end_turn")
    matched = words(choice.get("stop_reason")) or words(choice.get("matched_stop"))
    if refused:
        reason = "refusal"
    elif reason == "end_turn" and called:
        reason = "tool_use"
    elif reason == "end_turn" and matched in stops:
        return {"stop_reason": "stop_sequence", "stop_sequence": matched}
    ended: Json = {"stop_reason": reason, "stop_sequence": None}
    if reason == "refusal":
        ended["stop_details"] = {"type": "refusal", "category": None, "explanation": None}
    return ended


def _texts(said: Json) -> list[Json]:
    content = said.get("content")
    texts = [content] if isinstance(content, str) else [words(part.get("text")) for part in each(content)]
    texts.append(words(said.get("refusal")))
    return [{"type": "text", "text": text} for text in texts if text]


def _calls(said: Json, request_id: str) -> list[Json]:
    calls = [*each(said.get("tool_calls"))]
    legacy = some(said.get("function_call"))
    if legacy:
        calls.append({"function": legacy})
    blocks: list[Json] = []
    for number, call in enumerate(calls):
        function = some(call.get("function"))
        blocks.append(
            {
                "type": "tool_use",
                "id": words(call.get("id")) or call_id(request_id, number),
                "name": words(function.get("name")),
                "input": arguments_of(function.get("arguments")),
            }
        )
    return blocks
