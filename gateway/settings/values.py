"""Kinds of values that a setting may have: each says, when it refuses, what it would have taken."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator
from pydantic_core import PydanticCustomError

from gateway.domain.secret import MASK, Secret
from gateway.domain.tags import parse_tags
from gateway.domain.units import format_duration, format_size, parse_duration, parse_size

_LOGIN: Final = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*)://(?P<user>[^\s/?#@:]*)(?P<password>:\S*)?@")
_PASSWORD_WORD: Final = re.compile(
    r"(?P<before>\b(?:password|token|secret|api_?key)\s*=\s*)[^\s&]+", re.IGNORECASE
)


def masked(text: str) -> str:
    """Return a text without the passwords in its URLs and connection strings."""

    def login(match: re.Match[str]) -> str:
        # A name alone is a token to NATS and to HTTP; PostgreSQL's is only a name.
        name_is_harmless = match["password"] is not None or match["scheme"].startswith("postgres")
        name = match["user"] if name_is_harmless else MASK
        return f"{match['scheme']}://{name}{':' + MASK if match['password'] else ''}@"

    return _PASSWORD_WORD.sub(rf"\g<before>{MASK}", _LOGIN.sub(login, text))


def expected(what: str) -> PydanticCustomError:
    """Return the error of a value that is not what it should be."""
    return PydanticCustomError("expected", "expected {expected}", {"expected": what})


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        if value < timedelta(0):
            raise expected("a duration that is not negative, such as 30s")
        return value
    try:
        return parse_duration(value if isinstance(value, str) else "")
    except ValueError:
        raise expected("a duration such as 200ms, 30s, 5m, 1h or 7d") from None


def _some_duration(value: Any) -> Any:
    duration = _duration(value)
    if not duration:
        raise expected("a duration above zero, such as 30s")
    return duration


def _size(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    try:
        return parse_size(value if isinstance(value, str) else "")
    except ValueError:
        raise expected("a size such as 512B, 128KiB or 32MiB") from None


def _whole(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,15}", value.strip()):
        return int(value)
    raise expected("a whole number such as 10")


def _number(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    try:
        return float(value if isinstance(value, str) else "")
    except ValueError:
        raise expected("a number such as 0.5") from None


def _truth(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    known = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
    if isinstance(value, str) and value.strip().lower() in known:
        return known[value.strip().lower()]
    raise expected("true or false")


def _text(value: Any) -> Any:
    if isinstance(value, str):
        return value
    raise expected('text, such as "text" (in quotes, when it looks like a number or a duration)')


def _tags(value: Any) -> Any:
    text = _text(value)
    try:
        parse_tags(text)
    except ValueError as error:
        raise expected(f"tags such as location=on-prem,!preview: {error}") from None
    return text


def _secret(value: Any) -> Secret:
    if isinstance(value, Secret):
        return value
    if isinstance(value, str):
        return Secret(value)
    raise expected("a secret, as text in quotes")


def _texts(value: Any) -> Any:
    """A list, or from a variable of the environment `a, b` or `["a", "b"]`."""
    if isinstance(value, str):
        if value.lstrip().startswith("["):
            try:
                value = json.loads(value)
            except ValueError:
                raise expected('a list such as ["a", "b"]') from None
        else:
            value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple):
        raise expected('a list such as ["a", "b"]')
    return tuple(value)


def _ring(value: Any) -> Mapping[str, Secret]:
    """Keys by their ids, or from a variable of the environment `id:base64,id:base64`."""
    if isinstance(value, str):
        pairs = [pair.partition(":") for pair in value.split(",") if pair.strip()]
        value = {name.strip(): text.strip() for name, _, text in pairs}
    if not isinstance(value, Mapping):
        raise expected('keys by id, such as { k1 = "base64 of 32 bytes" }, or "k1:base64,k2:base64"')
    ring: dict[str, Secret] = {}
    for name, text in value.items():
        secret = _secret(text)
        try:
            size = len(base64.b64decode(secret.reveal(), validate=True))
        except (binascii.Error, ValueError):
            size = -1
        if size != 32 or not name:
            raise PydanticCustomError(
                "expected",
                "expected {expected}",
                {"expected": "the base64 of 32 bytes (try: openssl rand -base64 32)", "key": name},
            )
        ring[str(name)] = secret
    return ring


def _reveal_nothing(secret: Secret) -> str:
    """Show that there is a secret, or that there is none; and of a URL everything but its password."""
    text = secret.reveal()
    if not text:
        return ""
    return masked(text) if "://" in text else MASK


Duration = Annotated[
    timedelta, BeforeValidator(_duration), PlainSerializer(format_duration, when_used="json")
]
Timeout = Annotated[
    timedelta, BeforeValidator(_some_duration), PlainSerializer(format_duration, when_used="json")
]
Size = Annotated[int, BeforeValidator(_size), PlainSerializer(format_size, when_used="json")]
Whole = Annotated[int, BeforeValidator(_whole), Field(ge=0)]
Count = Annotated[int, BeforeValidator(_whole), Field(ge=1)]
Port = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=65535)]
Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Truth = Annotated[bool, BeforeValidator(_truth)]
Text = Annotated[str, BeforeValidator(_text)]
TagText = Annotated[str, BeforeValidator(_tags)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_texts)]
SecretText = Annotated[Secret, PlainValidator(_secret), PlainSerializer(_reveal_nothing)]
KeyRing = Annotated[
    Mapping[str, Secret],
    PlainValidator(_ring),
    PlainSerializer(lambda ring: {name: _reveal_nothing(secret) for name, secret in ring.items()}),
]
