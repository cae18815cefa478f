"""How many tokens a messages request has, for models that nobody else counts for."""

from __future__ import annotations

from typing import Final

import msgspec

from gateway import tokens
from gateway.domain.inference import Usage
from gateway.providers.dialects.messages.asked import chat_request
from gateway.providers.dialects.messages.values import Json, Lost, decoded, each, some, words
from gateway.providers.ports import Body, Reply

_PER_MESSAGE: Final = 3  # tokens that a chat template adds round each message
_PER_TOOL: Final = 8
_PER_IMAGE: Final = 765
_FILE_BYTES_PER_TOKEN: Final = 64  # base64: a page of PDF is some 80 kB and a thousand tokens


def estimate(body: Body) -> Reply:
    """About as many as a model would be asked to read. Raises InvalidRequest naming a wrong field."""
    chat = chat_request(decoded(body), Lost())
    count = sum(_PER_MESSAGE + _of_message(message) for message in each(chat["messages"]))
    for tool in each(chat.get("tools")):
        count += _PER_TOOL + tokens.count(msgspec.json.encode(tool).decode())
    return Reply(msgspec.json.encode({"input_tokens": count}), Usage(), estimated=True)


def _of_message(message: Json) -> int:
    content = message.get("content")
    count = tokens.count(content) if isinstance(content, str) else sum(map(_of_part, each(content)))
    count += tokens.count(words(message.get("reasoning_content")))
    for call in each(message.get("tool_calls")):
        function = some(call.get("function"))
        count += tokens.count(f"{words(function.get('name'))} {words(function.get('arguments'))}")
    return count


def _of_part(part: Json) -> int:
    if "image_url" in part:
        return _PER_IMAGE
    if "file" in part:
        return len(words(some(part["file"]).get("file_data"))) // _FILE_BYTES_PER_TOKEN
    return tokens.count(words(part.get("text")))
