"""How many tokens a messages request has, for models that nobody else counts for."""

from __future__ import annotations

from typing import Final

import msgspec

from gateway import tokens
from gateway.domain.inference import Usage
from gateway.providers.dialects.messages.asked import chat_request
from gateway.providers.dialects.messages.values import Json, Lost, decoded, each, encoded, some, words
from gateway.providers.ports import Body, Reply

_PER_TOOL: Final = 8
_PER_IMAGE: Final = 765
_FILE_BYTES_PER_TOKEN: Final = 64  # base64: a page of PDF is some 80 kB and a thousand tokens


def estimate(body: Body) -> Reply:
    """About as many as a model would be asked to read. Raises InvalidRequest naming a wrong field."""
    chat = chat_request(decoded(body), Lost())
    tools = [*each(chat.get("tools"))]
    count = tokens.count_prompt(encoded({"messages": chat["messages"]})) + _PER_TOOL * len(tools)
    if tools:
        count += tokens.count(msgspec.json.encode(tools).decode())
    for message in each(chat["messages"]):
        count += sum(map(_shown, each(message.get("content"))))
    return Reply(msgspec.json.encode({"input_tokens": count}), Usage(), estimated=True)


def _shown(part: Json) -> int:
    """What is no text."""
    if "image_url" in part:
        return _PER_IMAGE
    return len(words(some(part.get("file")).get("file_data"))) // _FILE_BYTES_PER_TOKEN
