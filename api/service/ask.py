"""Reading what is asked: what all operations have alike; unknown fields are left as the bytes they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TypeVar

import msgspec

from api.service.destinations import DeliverBody, Wanted, wanted_of
from gateway.domain.errors import InvalidJson, InvalidRequest
from gateway.domain.inference import PRIORITIES, Durability, Kind, Traits
from gateway.domain.operations import Operation
from gateway.domain.registry import BY_TAGS
from gateway.domain.tags import parse_tags
from gateway.providers.ports import Attachment, Body

T = TypeVar("T")
_LONGEST = 256  # characters of a model name, a tag, a client's own request id
_MOST_TAGS = 32
_MOST_EXCLUDED = 64
_LONGEST_DEADLINE = 7 * 86_400.0
_DEAREST = Decimal(1_000_000)
_PREFERENCES = ("cost", "latency", "quality")
_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")


class Own(msgspec.Struct, forbid_unknown_fields=True):
    """Our field `gateway` in the body; it never reaches a provider."""

    deadline_s: float | None = None
    durability: str | None = None
    tags: dict[str, str] = {}
    metadata: dict[str, str] = {}
    select: str | None = None
    prefer: str | None = None
    exclude: list[str] = []
    max_cost_usd: Decimal | None = None
    strict: bool | None = None
    deliver: DeliverBody | None = None
    priority: int | None = None


_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Hints:
    """What a caller says beside the body: in headers or gRPC metadata."""

    request_id: str | None = None
    deadline: timedelta | None = None
    durability: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    select: str | None = None
    prefer: str | None = None
    exclude: tuple[str, ...] = ()
    max_cost_usd: Decimal | None = None
    strict: bool = False
    dialect: Mapping[str, str] = field(default_factory=dict)
    idempotency_key: str | None = None
    client_request_id: str | None = None
    traceparent: str = ""
    tracestate: str = ""
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """One inference request as its caller put it. `body` has our own field taken out.

    `files` came with it, if it was a form. `strict` wants a refusal rather than a field that is dropped. `said` is what
    its caller wrote, where `text` has more in it by now: by that it is known again. `priority` and `not_before` are for
    jobs. What is passed on `as_it_comes` is streamed though no events were asked for, and can be had whole as
    well.
    """

    operation: Operation
    door: str
    model: str
    body: Body
    text: str
    stream: bool
    wants_usage: bool
    deadline: timedelta | None
    durability: Durability | None
    tags: Mapping[str, str]
    metadata: Mapping[str, str]
    traits: Traits
    hints: Hints
    files: tuple[Attachment, ...] = ()
    strict: bool = False
    deliver: Wanted | None = None
    said: str = ""
    priority: int | None = None
    not_before: datetime | None = None
    as_it_comes: bool = False

    @property
    def kind(self) -> Kind:
        """The kind of model that is asked."""
        return self.operation.kind

    @property
    def endpoint(self) -> str:
        """The path of the operation."""
        return self.operation.value


@dataclass(frozen=True, slots=True)
class Read:
    """What the form of an operation found in a body: the fields that every operation has, and what was measured."""

    model: str
    stream: bool
    wants_usage: bool
    metadata: Mapping[str, str]
    own: Own
    traits: Callable[[Body, int, Mapping[str, str]], Traits]
    as_it_comes: bool = False


@dataclass(frozen=True, slots=True)
class Incoming:
    """What came in: the JSON text, or a form's fields as JSON with its files apart."""

    raw: bytes
    files: tuple[Attachment, ...] = ()


Form = Callable[[bytes], Read]
"""Reads the fields of one operation. Raises msgspec's errors for what is no JSON or of a wrong type, InvalidRequest."""


def ask_of(operation: Operation, form: Form, incoming: Incoming, hints: Hints, *, door: str) -> Ask:
    """Read a request. Raises InvalidJson, or InvalidRequest naming the field and what it should be."""
    raw = incoming.raw
    try:
        read = form(raw)
        body = _object.decode(raw)
    except msgspec.ValidationError as e:
        raise wrong_field(e) from e
    except msgspec.DecodeError as e:
        raise InvalidJson(f"The request body is not valid JSON: {reason_of(e)}") from e
    except UnicodeDecodeError as e:
        raise InvalidJson("The request body is not valid UTF-8.") from e
    except RecursionError as e:
        raise InvalidRequest("The request body is nested too deeply.") from e
    if not read.model or len(read.model) > _LONGEST:
        raise InvalidRequest(f"`model` must be a name of 1 to {_LONGEST} characters.", param="model")
    if read.model.startswith(BY_TAGS):
        _check_selection(read.model.removeprefix(BY_TAGS), "model")
    own = read.own
    if "gateway" in body:
        del body["gateway"]
        raw = msgspec.json.encode(body)
    try:
        text = raw.decode()
    except UnicodeDecodeError as e:
        raise InvalidJson(f"The request body is not valid UTF-8 at byte {e.start}.") from e
    metadata = checked({**read.metadata, **own.metadata}, "metadata")
    return Ask(
        operation=operation,
        door=door,
        model=read.model,
        body=body,
        text=text,
        stream=read.stream,
        wants_usage=read.wants_usage,
        deadline=deadline_of(own.deadline_s) or hints.deadline,
        durability=_durability(own.durability or hints.durability),
        tags=checked({**hints.tags, **own.tags}, "gateway.tags"),
        metadata=metadata,
        traits=_wishes(read.traits(body, len(raw), metadata), own, hints),
        hints=hints,
        files=incoming.files,
        as_it_comes=read.as_it_comes,
        strict=hints.strict if own.strict is None else own.strict,
        deliver=wanted_of(own.deliver, "gateway.deliver"),
        priority=priority_of(own.priority, "gateway.priority"),
    )


def _wishes(traits: Traits, own: Own, hints: Hints) -> Traits:
    """The traits with what the caller would rather have; the body's word goes before a header's."""
    select, where_select = _said(own.select, hints.select, "select")
    prefer, where_prefer = _said(own.prefer, hints.prefer, "prefer")
    exclude, where_exclude = _said(tuple(own.exclude) or None, hints.exclude or None, "exclude")
    most, where_most = _said(own.max_cost_usd, hints.max_cost_usd, "max_cost_usd")
    if select is None and prefer is None and exclude is None and most is None:
        return traits
    if select is not None:
        _check_selection(select, where_select)
    if prefer is not None and prefer not in _PREFERENCES:
        known = ", ".join(_PREFERENCES)
        raise InvalidRequest(
            f"`{where_prefer}` must be one of {known}, not `{prefer[:_LONGEST]}`.", param=where_prefer
        )
    if exclude and not (
        len(exclude) <= _MOST_EXCLUDED and all(0 < len(name) <= _LONGEST for name in exclude)
    ):
        raise InvalidRequest(
            f"`{where_exclude}` must be at most {_MOST_EXCLUDED} names of models.", param=where_exclude
        )
    if most is not None and not (most.is_finite() and 0 <= most <= _DEAREST):
        raise InvalidRequest(
            f"`{where_most}` must be USD from 0 to {_DEAREST}, such as 0.50.", param=where_most
        )
    return replace(
        traits,
        select=select or "",
        prefer=prefer or "",
        exclude=exclude or (),
        max_cost_usd=None
        if most is None
        else +most,  # to 28 digits: a caller may have written any number of them
    )


def _said(own: T | None, hinted: T | None, name: str) -> tuple[T | None, str]:
    """What was said, and where: errors name the field or the header."""
    if own is None and hinted is not None:
        return hinted, f"x-gateway-{name.replace('_', '-')}"
    return own, f"gateway.{name}"


def _check_selection(text: str, where: str) -> None:
    try:
        parse_tags(text)
    except ValueError as e:
        raise InvalidRequest(f"`{where}`: {e}.", param=where) from e


def wrong_field(error: msgspec.ValidationError) -> InvalidRequest:
    """Our error for a field of a wrong type: msgspec's own words, with the path as the parameter."""
    words = str(error)
    found = _PATH.search(words)
    path = found["path"].removeprefix("[...].") if found else ""
    said = _PATH.sub("", words)
    missing = re.search(r"required field `(?P<name>[^`]+)`", words)
    if missing:
        path = f"{path}.{missing['name']}" if path else missing["name"]
        return InvalidRequest(f"`{path}` is required.", param=path)
    unknown = re.search(r"unknown field `(?P<name>[^`]+)`", words)
    if unknown:
        path = f"{path}.{unknown['name']}" if path else unknown["name"]
        return InvalidRequest(f"`{path}` is not a field here.", param=path)
    return InvalidRequest(f"{said} at `{path}`." if path else f"{said}.", param=path or None)


def reason_of(error: msgspec.DecodeError) -> str:
    """What is wrong with a JSON text, and where."""
    return str(error).removeprefix("JSON is malformed: ")


def deadline_of(seconds: float | None, where: str = "gateway.deadline_s") -> timedelta | None:
    """A deadline in seconds, if one is said. Raises InvalidRequest naming `where` it stands."""
    if seconds is None:
        return None
    if not 0 < seconds <= _LONGEST_DEADLINE:
        raise InvalidRequest(f"`{where}` must be more than 0 seconds and at most a week.", param=where)
    return timedelta(seconds=seconds)


def priority_of(given: int | None, where: str) -> int | None:
    """A priority, if one is said. Raises InvalidRequest naming `where` it stands."""
    if given is not None and given not in PRIORITIES:
        raise InvalidRequest(f"`{where}` must be from 1, which goes first, to 5.", param=where)
    return given


def _durability(word: str | None) -> Durability | None:
    if word is None:
        return None
    if word not in (Durability.OVERLAPPED, Durability.START_FIRST):
        raise InvalidRequest("The durability must be `overlapped` or `start-first`.", param="durability")
    return Durability(word)


def checked(pairs: Mapping[str, str], where: str) -> Mapping[str, str]:
    """Tags or metadata within their bounds. Raises InvalidRequest naming `where` they stand."""
    if len(pairs) > _MOST_TAGS:
        raise InvalidRequest(f"`{where}` has more than {_MOST_TAGS} entries.", param=where)
    for name, value in pairs.items():
        if not name or len(name) > _LONGEST or len(value) > 2 * _LONGEST:
            raise InvalidRequest(f"`{where}` has a name or value that is empty or too long.", param=where)
    return pairs


def tags_of(header: str, where: str = "x-gateway-tags") -> Mapping[str, str]:
    """The tags of a header such as `team=search,env=prod`; a word alone has no value. Raises InvalidRequest."""
    pairs: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in header.split(","))):
        name, _, value = part.partition("=")
        pairs[name.strip()] = value.strip()
    return checked(pairs, where)


def usd_of(header: str | None, where: str) -> Decimal | None:
    """The amount of a header such as `0.50`. Raises InvalidRequest naming the header."""
    if header is None:
        return None
    try:
        return Decimal(header.strip())
    except InvalidOperation as e:
        raise InvalidRequest(f"`{where}` must be USD such as 0.50.", param=where) from e
