"""What a model and its names must be like, whoever gives them: a file, a person at a door, another gateway's file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from math import isfinite
from typing import Final, cast

import msgspec

from gateway.domain.addresses import EXPECTED as AN_ADDRESS
from gateway.domain.addresses import parse_address, why_not
from gateway.domain.credentials import stored_id
from gateway.domain.errors import InvalidRequest
from gateway.domain.price_checks import doubts
from gateway.domain.registry import AUTO, BY_TAGS, Model, ModelLimits, Timeouts
from gateway.domain.secret import MASK
from gateway.domain.tags import is_tag
from gateway.providers.ports import Manual
from gateway.settings.values import format_duration, masked

Key = tuple[str, ...]
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")
A_NAME: Final = "a name of letters, digits and . _ : / @ + -, at most 128 of them"
A_COUNT: Final = "a whole number above 0"
A_SPAN: Final = "a duration such as 30s"
_SIZE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_HEADER: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}")
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e]{0,4096}")
_PRINTABLE: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,256}")
_STORABLE: Final = re.compile(r"[^\x00\ud800-\udfff]*")
# Set by what carries a request, or by the credential: from a model they would break it, or show a key to readers.
_NOT_A_MODELS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "expect"}
)
_CREDENTIALS: Final = frozenset(
    {"authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"}
)
_LARGEST: Final = 2**53 - 1  # what a number in JSON may be and stay itself
_MOST_TAGS = _MOST_HEADERS = _MOST_ALIASES = 64
_LONGEST_NOTES: Final = 10_000
_LONGEST_OPTIONS: Final = 16 * 1024
_LONGEST_SPAN: Final = timedelta(days=1)
_UNKNOWN: Final = Manual()


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing that is wrong with a model: the key in it, what was expected there, and what was got."""

    key: Key
    expected: str
    got: object = None
    nearest: str | None = None

    def __str__(self) -> str:
        """The same in a line."""
        said = f"`{'.'.join(self.key)}`: expected {self.expected}, got {self.got!r}"
        return f"{said}. Did you mean {self.nearest}?" if self.nearest else f"{said}."


def refused(wrong: Sequence[Wrong]) -> InvalidRequest:
    """The error that says all that is wrong to whoever asked."""
    return InvalidRequest(" ".join(str(each) for each in wrong), param=".".join(wrong[0].key))


def near(word: object, known: Collection[str]) -> str | None:
    """The known word that was probably meant."""
    return next(iter(difflib.get_close_matches(str(word), known, 1)), None)


class Checks:
    """Says what is wrong with a model."""

    def __init__(
        self,
        providers: Mapping[str, Manual],
        why_no_credential: Callable[[str], str | None],
        *,
        allow_private: bool = True,
    ) -> None:
        """`providers` by name; `why_no_credential` says why a reference is not read (`Credentials.why_not`)."""
        self._providers = providers
        self._why_no_credential = why_no_credential
        self._allow_private = allow_private

    def of(self, model: Model, aliases: Sequence[str] = ()) -> tuple[Wrong, ...]:
        """All that is wrong with a model and the names that it shall answer to; nothing, if all is well."""
        return tuple(
            wrong
            for check in (
                self._names(model, aliases),
                self._upstream(model),
                _tags(model.tags),
                _numbers(model),
                _words(model),
                _headers(model.headers),
                self._options(model),
            )
            for wrong in check
        )

    def filled(self, model: Model) -> Model:
        """The model with what its provider knows where it says nothing: the address of its API."""
        manual = self._providers.get(model.provider)
        if model.base_url or manual is None or not (usual := manual.base_url(model.options)):
            return model
        return replace(model, base_url=usual)

    def alias(self, name: str, key: Key = ("alias",)) -> tuple[Wrong, ...]:
        """What is wrong with an alias' name."""
        return tuple(_name(name, key))

    def _names(self, model: Model, aliases: Sequence[str]) -> Iterator[Wrong]:
        yield from _name(model.name, ("name",))
        if len(aliases) > _MOST_ALIASES:
            yield Wrong(("aliases",), f"at most {_MOST_ALIASES} names", len(aliases))
        for alias in aliases:
            yield from _name(alias, ("aliases",))
            if alias == model.name:
                yield Wrong(("aliases",), "names other than the model's own", alias)

    def _upstream(self, model: Model) -> Iterator[Wrong]:
        if model.provider not in self._providers:
            known = ", ".join(sorted(self._providers))
            yield Wrong(
                ("provider",), f"one of {known}", model.provider, near(model.provider, self._providers)
            )
        manual = self._providers.get(model.provider, _UNKNOWN)
        if model.base_url or manual.needs_address:
            yield from self._address(model.base_url)
        if not _PRINTABLE.fullmatch(model.upstream_model):
            yield Wrong(("upstream_model",), "what the server calls the model", model.upstream_model)
        if model.credential is not None and stored_id(model.credential) is None:
            why = self._why_no_credential(model.credential)
            if why is not None:
                # What stands where a reference belongs may be the secret itself.
                scheme = model.credential.partition(":")[0]
                got = model.credential if scheme in ("env", "file") else MASK
                yield Wrong(("credential",), f"env:NAME or file:/path ({why})", got)

    def _options(self, model: Model) -> Iterator[Wrong]:
        wrong = tuple(_options(model.options))
        yield from wrong
        for misfit in () if wrong else self._providers.get(model.provider, _UNKNOWN).misfits(model.options):
            yield Wrong(("options", misfit.option), misfit.expected, misfit.got, misfit.nearest)

    def _address(self, base_url: str) -> Iterator[Wrong]:
        shown = masked(base_url[:200])
        try:
            address = parse_address(base_url)
        except ValueError as error:
            yield Wrong(("base_url",), f"{AN_ADDRESS} ({error})", shown if "@" not in shown else MASK)
            return
        why = why_not(address.host, allow_private=self._allow_private)
        if why is not None:
            yield Wrong(("base_url",), f"a host that may be called ({address.host} is {why})", shown)


def _name(name: str, key: Key) -> Iterator[Wrong]:
    if not NAME.fullmatch(name):
        yield Wrong(key, A_NAME, name)
    elif name == AUTO or name.startswith(BY_TAGS):
        yield Wrong(key, f"another name than `{AUTO}` and `{BY_TAGS}…`, which mean any model that fits", name)


def _tags(tags: Mapping[str, str]) -> Iterator[Wrong]:
    if len(tags) > _MOST_TAGS:
        yield Wrong(("tags",), f"at most {_MOST_TAGS} tags", len(tags))
    for name, value in tags.items():
        if not is_tag(name, value):
            yield Wrong(
                ("tags", name),
                "a tag such as `location = on-prem`, of letters, digits and . _ : / @ + -",
                value,
            )


def _numbers(model: Model) -> Iterator[Wrong]:
    counts: list[tuple[Key, int | None]] = [
        (("context_window",), model.context_window),
        (("max_output",), model.max_output),
        *((("limits", f.name), getattr(model.limits, f.name)) for f in fields(ModelLimits)),
    ]
    for key, count in counts:
        if count is not None and not 0 < count <= _LARGEST:
            yield Wrong(key, A_COUNT, count)
    if model.quality is not None and not (isfinite(model.quality) and 0 <= model.quality <= 1):
        yield Wrong(("quality",), "a score from 0 to 1", model.quality)
    spans: dict[str, timedelta | None] = {f.name: getattr(model.timeouts, f.name) for f in fields(Timeouts)}
    for name, span in spans.items():
        if span is not None and not timedelta(0) < span <= _LONGEST_SPAN:
            yield Wrong(("timeouts", name), f"{A_SPAN}, up to a day", format_duration(span))
    for doubt in doubts(model.price) if model.price is not None else ():
        yield Wrong(("price", *doubt.part.split(".")), "a price that can be meant", doubt.why)


def _words(model: Model) -> Iterator[Wrong]:
    if model.size is not None and not _SIZE.fullmatch(model.size):
        yield Wrong(("size",), "a word such as small, medium or large", model.size)
    if len(model.notes) > _LONGEST_NOTES or not _STORABLE.fullmatch(model.notes):
        yield Wrong(("notes",), f"text of at most {_LONGEST_NOTES} characters", model.notes[:40])


def _headers(headers: Mapping[str, str]) -> Iterator[Wrong]:
    if len(headers) > _MOST_HEADERS:
        yield Wrong(("headers",), f"at most {_MOST_HEADERS} headers", len(headers))
    for name, value in headers.items():
        key = ("headers", name)
        if not _HEADER.fullmatch(name):
            yield Wrong(("headers",), "names of headers such as x-team", name)
        elif name.lower() in _CREDENTIALS:
            yield Wrong(key, "no credential: it belongs into `credential`, where it is encrypted", MASK)
        elif name.lower() in _NOT_A_MODELS:
            yield Wrong(key, "no header of the connection's own", value)
        elif not _HEADER_VALUE.fullmatch(value):
            yield Wrong(key, "printable ASCII, as headers carry it", MASK)


def _options(options: Mapping[str, object]) -> Iterator[Wrong]:
    try:
        encoded = msgspec.json.encode(options)
    except (TypeError, ValueError, RecursionError, UnicodeEncodeError):
        yield Wrong(("options",), "an object that JSON can say", MASK)
        return
    if len(encoded) > _LONGEST_OPTIONS or b"\\u0000" in encoded:
        yield Wrong(("options",), f"an object of at most {_LONGEST_OPTIONS} bytes as JSON", len(encoded))
    elif not _is_plain(options):
        yield Wrong(("options",), "an object of plain values: texts, numbers, true, false and null", MASK)


def _is_plain(value: object) -> bool:
    match value:
        case None | bool() | int() | str():
            return True
        case float():
            return isfinite(value)
        case Mapping():
            entries = cast("Mapping[object, object]", value)
            return all(isinstance(name, str) and _is_plain(each) for name, each in entries.items())
        case list() | tuple():
            return all(_is_plain(each) for each in cast("Sequence[object]", value))
        case _:
            return False
