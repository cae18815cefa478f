"""The items of an input as the messages of a chat.

What a model said, thought and called stands in several items and is one message to chat: items are gathered until the
next one that is none of these. Pictures and files among the outputs of tools, which chat takes from users alone, follow
in a message of their own once all outputs are there.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from gateway.domain.errors import InvalidRequest, NotCarried
from gateway.providers.dialects.responses.tools import arguments_of

SEALED: Final = "gw1."
"""Before what a chat model's provider gave to be handed back with its thoughts: signatures, above all."""
SEALABLE: Final = ("thinking_blocks", "reasoning_details")
_ROLES: Final = {"user": "user", "system": "system", "developer": "system", "assistant": "assistant"}
_OF_TOOLS: Final = "What the tool call {call} gave, beside its text:"


class Messages:
    """Messages in the making; `dropped` names the items that no chat has a word for."""

    def __init__(self) -> None:
        """There are none yet."""
        self.messages: list[dict[str, Any]] = []
        self.dropped: list[str] = []
        self._said: dict[str, Any] | None = None
        self._thoughts: list[str] = []
        self._sealed: dict[str, Any] = {}
        self._beside: list[dict[str, Any]] = []
        self._last_word = 0  # how many messages there are up to a user's last one

    def add_text(self, role: str, text: str) -> None:
        """Add a message that is one text."""
        self._flush()
        self._tell(role, text)

    def add(self, item: object, where: str) -> None:
        """Add an item. Raises InvalidRequest naming the field that is wrong, NotCarried for content that chat lacks."""
        if not isinstance(item, dict):
            raise InvalidRequest(f"`{where}` must be an object.", param=where)
        item = cast("dict[str, Any]", item)
        match item.get("type", "message"):
            case "message":
                self._add_message(item, where)
            case "function_call":
                self._add_call(item, _text(item, "arguments", where), where)
            case "custom_tool_call":
                self._add_call(item, arguments_of(_text(item, "input", where)), where)
            case "function_call_output" | "custom_tool_call_output":
                self._add_output(item, where)
            case "reasoning":
                self._add_thoughts(item)
            case "item_reference":
                raise InvalidRequest(
                    f"`{where}.id` must be the id of an item that is kept here.", param=f"{where}.id"
                )
            case str():
                self.dropped.append(where)
            case _:
                raise InvalidRequest(f"`{where}.type` must be a text.", param=f"{where}.type")

    def end(self) -> list[dict[str, Any]]:
        """All messages."""
        self._flush()
        # Thoughts are worth something only while the tools that they led to are at work: after the user's next word
        # some servers refuse them. What is sealed stays: whose it is asks for it.
        for message in self.messages[: self._last_word]:
            message.pop("reasoning_content", None)
        return self.messages

    def _add_message(self, item: dict[str, Any], where: str) -> None:
        role = _ROLES.get(item.get("role", ""))
        if role is None:
            raise InvalidRequest(
                f"`{where}.role` must be user, assistant, system or developer.", param=f"{where}.role"
            )
        content = item.get("content")
        if role == "assistant":
            self._add_said(content, where)
            return
        self._flush()
        self._tell(role, _content(content, f"{where}.content"))

    def _tell(self, role: str, content: object) -> None:
        self.messages.append({"role": role, "content": content})
        if role == "user":
            self._last_word = len(self.messages)

    def _add_said(self, content: object, where: str) -> None:
        if self._said is not None and ("content" in self._said or "tool_calls" in self._said):
            self._flush()
        said = self._speaking()
        texts, refusals = list[str](), list[str]()
        for part, place in _parts(content, f"{where}.content"):
            match part.get("type"):
                case "output_text" | "input_text" | "text":
                    texts.append(_text(part, "text", place))
                case "refusal":
                    refusals.append(_text(part, "refusal", place))
                case _:
                    raise NotCarried(param=place)
        said["content"] = "".join(texts) if texts or not refusals else None
        if refusals:
            said["refusal"] = "".join(refusals)

    def _add_call(self, item: dict[str, Any], arguments: str, where: str) -> None:
        calls: list[dict[str, Any]] = self._speaking().setdefault("tool_calls", [])
        calls.append(
            {
                "id": _text(item, "call_id", where),
                "type": "function",
                "function": {"name": _text(item, "name", where), "arguments": arguments},
            }
        )

    def _add_output(self, item: dict[str, Any], where: str) -> None:
        self._end_speech()
        call, output = _text(item, "call_id", where), item.get("output")
        texts: list[str] = []
        beside: list[dict[str, Any]] = []
        for part, place in _parts(output, f"{where}.output"):
            carried = _part(part, place)
            if carried["type"] == "text":
                texts.append(carried["text"])
            else:
                beside.append(carried)
        self.messages.append({"role": "tool", "tool_call_id": call, "content": "\n".join(texts)})
        if beside:
            self._beside += [{"type": "text", "text": _OF_TOOLS.format(call=call)}, *beside]

    def _add_thoughts(self, item: dict[str, Any]) -> None:
        sealed = item.get("encrypted_content")
        if isinstance(sealed, str) and sealed.startswith(SEALED):
            self._sealed |= unseal(sealed)
        for name in ("content", "summary"):
            parts = cast("list[object]", item[name]) if isinstance(item.get(name), list) else []
            texts = [cast("dict[str, Any]", part).get("text") for part in parts if isinstance(part, dict)]
            found = [text for text in texts if isinstance(text, str) and text]
            if found:
                self._thoughts += found
                return

    def _speaking(self) -> dict[str, Any]:
        """The model's message that is being gathered."""
        if self._said is None:
            self._end_outputs()
            self._said = {"role": "assistant"}
            if self._thoughts:
                self._said["reasoning_content"] = "\n\n".join(self._thoughts)
            self._said |= self._sealed
            self._thoughts, self._sealed = [], {}
        return self._said

    def _end_speech(self) -> None:
        if self._said is not None:
            self._said.setdefault("content", None)
            self.messages.append(self._said)
            self._said = None
        self._thoughts, self._sealed = [], {}

    def _end_outputs(self) -> None:
        if self._beside:
            self.messages.append({"role": "user", "content": self._beside})
            self._beside = []

    def _flush(self) -> None:
        self._end_speech()
        self._end_outputs()


def seal(message: Mapping[str, Any]) -> str | None:
    """What a message's provider wants back with its thoughts, as one text; None if there is nothing."""
    found = {name: message[name] for name in SEALABLE if message.get(name)}
    if not found:
        return None
    return SEALED + base64.b64encode(msgspec.json.encode(found)).decode()


def unseal(text: str) -> dict[str, Any]:
    """What was sealed; nothing if somebody changed it."""
    try:
        found: object = msgspec.json.decode(base64.b64decode(text.removeprefix(SEALED), validate=True))
    except ValueError:
        return {}
    said = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    return {name: said[name] for name in SEALABLE if name in said}


def _content(content: object, where: str) -> object:
    """A user's content: a text where it is texts alone, since not every server takes parts."""
    if isinstance(content, str):
        return content
    parts = [_part(part, place) for part, place in _parts(content, where)]
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def _parts(content: object, where: str) -> list[tuple[dict[str, Any], str]]:
    """The parts of a content with their places; a text is one part."""
    if isinstance(content, str):
        return [({"type": "input_text", "text": content}, where)]
    if not isinstance(content, list):
        raise InvalidRequest(f"`{where}` must be a text or a list of parts.", param=where)
    found: list[tuple[dict[str, Any], str]] = []
    for place, part in enumerate(cast("list[object]", content)):
        if not isinstance(part, dict):
            raise InvalidRequest(f"`{where}[{place}]` must be an object.", param=f"{where}[{place}]")
        found.append((cast("dict[str, Any]", part), f"{where}[{place}]"))
    return found


def _part(part: dict[str, Any], where: str) -> dict[str, Any]:
    match part.get("type"):
        case "input_text" | "output_text" | "text":
            return {"type": "text", "text": _text(part, "text", where)}
        case "refusal":
            return {"type": "text", "text": _text(part, "refusal", where)}
        case "input_image":
            if part.get("image_url") is None:
                raise NotCarried(param=f"{where}.file_id")  # a file that only its provider has
            image = {"url": _text(part, "image_url", where)}
            if isinstance(part.get("detail"), str):
                image["detail"] = part["detail"]
            return {"type": "image_url", "image_url": image}
        case "input_file":
            return _file(part, where)
        case "input_audio":
            if not isinstance(part.get("input_audio"), dict):
                raise InvalidRequest(
                    f"`{where}.input_audio` must be an object.", param=f"{where}.input_audio"
                )
            return {"type": "input_audio", "input_audio": part["input_audio"]}
        case None:
            raise InvalidRequest(f"`{where}.type` is required.", param=f"{where}.type")
        case _:
            raise NotCarried(param=where)


def _file(part: dict[str, Any], where: str) -> dict[str, Any]:
    if part.get("file_data") is None:
        raise NotCarried(param=f"{where}.{'file_url' if part.get('file_url') else 'file_id'}")
    file = {"file_data": _text(part, "file_data", where)}
    if isinstance(part.get("filename"), str):
        file["filename"] = part["filename"]
    return {"type": "file", "file": file}


def _text(value: Mapping[str, Any], name: str, where: str) -> str:
    found = value.get(name)
    if not isinstance(found, str):
        raise InvalidRequest(f"`{where}.{name}` must be a text.", param=f"{where}.{name}")
    return found
