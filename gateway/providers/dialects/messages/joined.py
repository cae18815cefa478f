"""The events of messages joined into the one answer that they stand for."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.providers.dialects.messages.values import Json, arguments_of, some, words

_PARTS = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
}


def assemble(events: Sequence[bytes]) -> bytes:
    """The message of a stream, for the log; `{}` if there is none. What is not an event is left out."""
    message: Json = {}
    blocks: dict[int, Json] = {}
    for data in events:
        try:
            event = some(msgspec.json.decode(data))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        index = event.get("index")
        match event.get("type"):
            case "message_start":
                message = some(event.get("message"))
            case "content_block_start" if isinstance(index, int):
                blocks[index] = some(event.get("content_block"))
            case "content_block_delta" if isinstance(index, int):
                _add(blocks.setdefault(index, {}), some(event.get("delta")))
            case "message_delta":
                message.update(some(event.get("delta")))
                usage = {name: v for name, v in some(event.get("usage")).items() if v is not None}
                message["usage"] = {**some(message.get("usage")), **usage}
            case _:
                pass
    if not message and not blocks:
        return b"{}"
    message["content"] = [_whole(blocks[index]) for index in sorted(blocks)]
    return msgspec.json.encode(message)


def _add(block: Json, delta: Json) -> None:
    kind = words(delta.get("type"))
    if kind == "citations_delta":
        block["citations"] = [*(block.get("citations") or []), delta.get("citation")]
        return
    name = _PARTS.get(kind)
    if name is not None:
        block[name] = words(block.get(name)) + words(delta.get(name))


def _whole(block: Json) -> Json:
    if "partial_json" not in block:
        return block
    whole = dict(block)
    whole["input"] = arguments_of(whole.pop("partial_json"))
    return whole
