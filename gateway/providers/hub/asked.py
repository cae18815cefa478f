"""A chat request on its way to another wire: fields are taken from it, and what nobody takes is named.

Shapes: OpenAI's API reference, "Create chat completion" (platform.openai.com/docs/api-reference/chat/create).
"""

from __future__ import annotations

import base64
import mimetypes
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import unquote_to_bytes, urlsplit

import msgspec

from gateway.domain.errors import InvalidRequest, NotCarried
from gateway.providers.ports import Body, Call

Fields = Mapping[str, Any]

# Said of the request and not to the model: the gateway itself has used them, or they have no say in what is answered.
_NOT_THE_MODELS: Final = frozenset({"model", "stream", "stream_options", "metadata"})
_NOTHING: Final[Mapping[str, object]] = {
    "n": 1,
    "store": False,
    "logprobs": False,
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "modalities": ["text"],
    "response_format": {"type": "text"},
    "service_tier": "auto",
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logit_bias": {},
    "stop": [],
}
"""Values that ask for no more than leaving the field out does."""
_MOST_DROPPED: Final = 32
_LONGEST_PATH: Final = 128
_NOT_IN_PATHS: Final = re.compile(r"[^A-Za-z0-9_.$\[\]-]")
_DATA_URL: Final = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[\w.+-]+=[^;,]*)*)(;base64)?,", re.IGNORECASE)


def wrong(path: str, right: str) -> InvalidRequest:
    """The error for a field that is of the wrong kind."""
    return InvalidRequest(f"`{path}` must be {right}.", param=path)


class Asked:
    """The fields of a request. Each is taken at most once; `dropped` names what was not, and what was told so."""

    def __init__(self, body: Body) -> None:
        """Nothing is taken yet."""
        self._body = body
        self._taken: set[str] = set()
        self._said: list[str] = []

    def take(self, name: str) -> Any:
        """A field's value; None where it is null or not there. Raises InvalidRequest for what is no JSON."""
        self._taken.add(name)
        raw = self._body.get(name)
        if raw is None:
            return None
        try:
            return msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise wrong(name, "valid JSON") from error

    def number(self, name: str) -> float | None:
        """A number."""
        value = self.take(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise wrong(name, "a number")
        return value

    def count(self, *names: str) -> int | None:
        """A whole number, under the first of these names that has one."""
        found: int | None = None
        for name in names:
            value = self.take(name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
                raise wrong(name, "a whole number")
            found = value if found is None else found
        return found

    def text(self, name: str) -> str | None:
        """A string."""
        value = self.take(name)
        if value is not None and not isinstance(value, str):
            raise wrong(name, "a string")
        return value

    def flag(self, name: str) -> bool | None:
        """True or false."""
        value = self.take(name)
        if value is not None and not isinstance(value, bool):
            raise wrong(name, "`true` or `false`")
        return value

    def words(self, name: str) -> list[str]:
        """A string, or several."""
        value = self.take(name)
        if value is None:
            return []
        listed = cast("list[object]", value if isinstance(value, list) else [value])
        if not all(isinstance(each, str) for each in listed):
            raise wrong(name, "a string, or an array of strings")
        return cast("list[str]", listed)

    def object(self, name: str) -> Fields:
        """An object; empty where there is none."""
        value = self.take(name)
        return {} if value is None else object_at(value, name)

    def objects(self, name: str) -> list[Fields]:
        """An array of objects; empty where there is none."""
        value = self.take(name)
        return [] if value is None else objects_at(value, name)

    def drop(self, path: str) -> None:
        """Say that something in a field that was taken could not be carried over."""
        self._said.append(path)

    def dropped(self, call: Call) -> tuple[str, ...]:
        """What could not be carried over, by its paths. Raises NotCarried for a strict call, where there is any."""
        left = (
            name
            for name, raw in self._body.items()
            if name not in self._taken and name not in _NOT_THE_MODELS and not _says_nothing(name, raw)
        )
        found = tuple(dict.fromkeys(_named(path) for path in (*self._said, *left)))
        if call.strict and found:
            raise NotCarried(param=found[0])
        return found[:_MOST_DROPPED]


def _named(path: str) -> str:
    """A path as a header can carry it: names are the caller's own, and may hold anything."""
    return _NOT_IN_PATHS.sub("?", path[:_LONGEST_PATH])


def _says_nothing(name: str, raw: msgspec.Raw) -> bool:
    if bytes(raw) == b"null":
        return True
    return name in _NOTHING and msgspec.json.decode(raw) == _NOTHING[name]


def object_at(value: object, path: str) -> Fields:
    """An object. Raises InvalidRequest for anything else."""
    if not isinstance(value, dict):
        raise wrong(path, "an object")
    return cast("Fields", value)


def objects_at(value: object, path: str) -> list[Fields]:
    """An array of objects. Raises InvalidRequest for anything else."""
    if not isinstance(value, list):
        raise wrong(path, "an array")
    return [object_at(each, f"{path}[{n}]") for n, each in enumerate(cast("list[object]", value))]


def text_at(value: object, path: str) -> str:
    """A string. Raises InvalidRequest for anything else."""
    if not isinstance(value, str):
        raise wrong(path, "a string")
    return value


# ---- messages ----------------------------------------------------------------------------------------------------
def unknown_role(role: object, at: str) -> InvalidRequest:
    """The error for a message of nobody that there is."""
    roles = listed(("system", "developer", "user", "assistant", "tool"))
    return InvalidRequest(f"`{at}.role` must be one of {roles}, not {role!r}.", param=f"{at}.role")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a message's content: its type, its fields, and where it stands."""

    type: str
    fields: Fields
    path: str

    def text(self, name: str = "text") -> str:
        """One of its fields, which must be a string."""
        return text_at(self.fields.get(name), f"{self.path}.{name}")

    def inner(self, name: str) -> Fields:
        """One of its fields, which must be an object."""
        return object_at(self.fields.get(name), f"{self.path}.{name}")

    def not_carried(self) -> NotCarried:
        """The refusal of a part that a model would have to see and cannot."""
        return NotCarried(
            f"A content part of type `{self.type}` cannot be carried over to this model.", param=self.path
        )


def parts_of(content: object, path: str) -> list[Part]:
    """The parts of a message's content; a string is one part of text, nothing none. Raises InvalidRequest."""
    if content is None:
        return []
    if isinstance(content, str):
        return [Part("text", {"text": content}, path)] if content else []
    if not isinstance(content, list):
        raise wrong(path, "a string or an array of content parts")
    found: list[Part] = []
    for n, each in enumerate(cast("list[object]", content)):
        at = f"{path}[{n}]"
        if isinstance(each, str):
            found.append(Part("text", {"text": each}, at))
            continue
        fields = object_at(each, at)
        found.append(Part(text_at(fields.get("type"), f"{at}.type"), fields, at))
    return found


def all_text(content: object, path: str) -> str:
    """The texts of a content joined; parts that are no text raise NotCarried."""
    texts: list[str] = []
    for part in parts_of(content, path):
        if part.type not in ("text", "refusal", "input_text", "output_text"):
            raise part.not_carried()
        texts.append(part.text("refusal" if part.type == "refusal" else "text"))
    return "".join(texts)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call of an assistant's message: `arguments` is the decoded object."""

    id: str
    name: str
    arguments: Fields
    fields: Fields


def tool_calls_of(message: Fields, path: str) -> Iterator[ToolCall]:
    """The tool calls in a message. Raises InvalidRequest, and NotCarried for kinds that only OpenAI has."""
    calls = message.get("tool_calls")
    for n, call in enumerate([] if calls is None else objects_at(calls, f"{path}.tool_calls")):
        at = f"{path}.tool_calls[{n}]"
        if call.get("type", "function") != "function":
            raise NotCarried(param=at)
        function = object_at(call.get("function"), f"{at}.function")
        text = function.get("arguments")
        yield ToolCall(
            text_at(call.get("id"), f"{at}.id"),
            text_at(function.get("name"), f"{at}.function.name"),
            arguments_of(text, f"{at}.function.arguments"),
            call,
        )


def arguments_of(text: object, path: str) -> Fields:
    """The arguments of a tool call, which are an object in a string; models also write nothing for an empty one."""
    if text is None or text == "":
        return {}
    try:
        value = msgspec.json.decode(text_at(text, path))
    except (msgspec.DecodeError, RecursionError) as error:
        raise wrong(path, "a JSON object in a string") from error
    if not isinstance(value, dict):
        raise wrong(path, "a JSON object in a string")
    return cast("Fields", value)


# ---- media -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Media:
    """Something that is no text: its bytes in base64, or the address where it is to be had."""

    media_type: str
    data: str = ""
    url: str = ""


def media_at(url: str, path: str, usual: str) -> Media:
    """What a URL stands for: a `data:` URL holds it, others name it. `usual` is its type where nothing says it."""
    if url[:5].lower() != "data:":
        guessed = mimetypes.guess_type(urlsplit(url).path)[0]
        return Media(guessed or usual, url=url)
    head = _DATA_URL.match(url)
    if head is None:
        raise wrong(path, "an http, https or data URL")
    media_type = (head[1] or usual).lower()
    if head[3]:
        return Media(media_type, url[head.end() :])
    return Media(media_type, base64.b64encode(unquote_to_bytes(url[head.end() :])).decode())


def media_of(part: Part) -> Media | None:
    """What a part of chat's content holds besides text; None for a part that holds none. Raises InvalidRequest."""
    match part.type:
        case "image_url" | "video_url" | "audio_url":
            kind = part.type.removesuffix("_url")
            value = part.fields.get(part.type)
            url = value if isinstance(value, str) else part.inner(part.type).get("url")
            path = f"{part.path}.{part.type}.url"
            usual = {"image": "image/jpeg", "video": "video/mp4", "audio": "audio/wav"}[kind]
            return media_at(text_at(url, path), path, usual)
        case "input_audio":
            audio = part.inner("input_audio")
            form = text_at(audio.get("format"), f"{part.path}.input_audio.format")
            return Media(f"audio/{form}", text_at(audio.get("data"), f"{part.path}.input_audio.data"))
        case "file":
            file = part.inner("file")
            name = file.get("filename")
            usual = (mimetypes.guess_type(name)[0] if isinstance(name, str) else None) or "application/pdf"
            data = file.get("file_data")
            if data is None:
                where = text_at(file.get("file_id"), f"{part.path}.file.file_data")
                if "://" not in where:
                    raise NotCarried(
                        "A file of another server's cannot be carried over to this model.",
                        param=f"{part.path}.file.file_id",
                    )
                return Media(usual, url=where)
            text = text_at(data, f"{part.path}.file.file_data")
            # OpenAI's own page shows a data URL here; some clients send the bare base64.
            return media_at(text, f"{part.path}.file.file_data", usual) if ":" in text else Media(usual, text)
        case _:
            return None


def listed(values: Sequence[str]) -> str:
    """Words for an error's text."""
    return ", ".join(f"`{each}`" for each in values)
