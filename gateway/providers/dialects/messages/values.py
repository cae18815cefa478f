"""JSON values with their paths: what is wrong is refused by its path, what cannot be carried is remembered by it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, cast

import msgspec

from gateway.domain.errors import InvalidRequest, UpstreamMalformed
from gateway.providers.ports import Body

Json = dict[str, Any]
_MOST_NAMED: Final = 32  # names go into a header, which has its bounds, and no line ends
_LONGEST_NAME: Final = 120
_CUT: Final = 200


class Lost:
    """Names what could not be carried over, by paths such as `tools[0].cache_control`."""

    def __init__(self) -> None:
        """Nothing is lost yet."""
        self._paths: dict[str, None] = {}

    def say(self, path: str) -> None:
        """This one is lost."""
        if len(self._paths) < _MOST_NAMED:
            plain = path.isascii() and path.isprintable()
            self._paths[(path if plain else ascii(path)[1:-1])[:_LONGEST_NAME]] = None

    def rest(self, fields: Json, at: str = "") -> None:
        """What is left of an object has no place on the other side; null says nothing, and is no loss."""
        for name, value in fields.items():
            if value is not None:
                self.say(f"{at}.{name}" if at else name)

    @property
    def paths(self) -> tuple[str, ...]:
        """All of them, in the order in which they were met."""
        return tuple(self._paths)


def decoded(body: Body) -> Json:
    """A request's fields as values. Raises InvalidRequest for one that is no JSON."""
    fields: Json = {}
    for name, raw in body.items():
        try:
            fields[name] = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidRequest(f"`{name}` is not valid JSON.", param=name) from error
    return fields


def encoded(fields: Json) -> Body:
    """Values as a request's fields."""
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}


def an_object(value: object, path: str) -> Json:
    """A copy of an object, to be taken apart. Raises InvalidRequest."""
    if not isinstance(value, dict):
        raise InvalidRequest(f"`{path}` must be an object.", param=path)
    return dict(cast("Json", value))


def objects(value: object, path: str) -> Iterator[tuple[Json, str]]:
    """The objects of an array, each with its path. Raises InvalidRequest."""
    if not isinstance(value, list):
        raise InvalidRequest(f"`{path}` must be an array.", param=path)
    for index, each in enumerate(cast("list[object]", value)):
        at = f"{path}[{index}]"
        yield an_object(each, at), at


def a_text(value: object, path: str) -> str:
    """A string. Raises InvalidRequest."""
    if not isinstance(value, str):
        raise InvalidRequest(f"`{path}` must be a string.", param=path)
    return value


def a_count(value: object, path: str) -> int:
    """A whole number that is not negative. Raises InvalidRequest."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidRequest(f"`{path}` must be a whole number.", param=path)
    return value


def some(value: object) -> Json:
    """An answer's object, or an empty one for what is none: an upstream owes us nothing."""
    return cast("Json", value) if isinstance(value, dict) else {}


def each(value: object) -> Iterator[Json]:
    """The objects of an answer's array, if it is one."""
    if isinstance(value, list):
        for one in cast("list[object]", value):
            if isinstance(one, dict):
                yield cast("Json", one)


def words(value: object) -> str:
    """An answer's string, or an empty one."""
    return value if isinstance(value, str) else ""


def answer_of(body: bytes) -> Json:
    """An answer's object. Raises UpstreamMalformed."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamMalformed(detail=f"{error}: {body[:_CUT]!r}", status=200) from error
    if not isinstance(value, dict):
        raise UpstreamMalformed(detail=f"an answer that is no object: {body[:_CUT]!r}", status=200)
    return cast("Json", value)


def arguments_of(text: object) -> Json:
    """A tool's arguments as an object. A model that wrote something else has it kept under `arguments`."""
    if isinstance(text, dict):
        return cast("Json", text)
    if not isinstance(text, str) or not text.strip():
        return {}
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {"arguments": text}
    return cast("Json", value) if isinstance(value, dict) else {"arguments": text}


def written(value: object) -> str:
    """A value as JSON text."""
    return msgspec.json.encode(value).decode()
