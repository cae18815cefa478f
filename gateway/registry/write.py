"""The registry → HOCON, as a person would lay it out: reading it again gives the same, less secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final, cast

from gateway.domain.credentials import stored_id
from gateway.domain.prices import TOKEN_PARTS, Price
from gateway.domain.registry import Model, ModelLimits, ModelState, Timeouts
from gateway.domain.secret import MASK
from gateway.settings.values import format_duration
from gateway.storage.audit import masked

_BARE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
# What HOCON would read as something else than a text.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # which no file of settings may hold
_WORDS: Final = frozenset(["true", "false", "null", "yes", "no", "on", "off", "include"])


def write_registry(models: Iterable[Model], aliases: Mapping[str, Iterable[str]]) -> str:
    """A whole registry. A credential that the gateway keeps is left out, and so is what looks like a secret."""
    parts = [write_model(model) for model in models]
    text = "models = [\n" + "\n".join(parts) + "]\n"
    if aliases:
        lines = [f"  {_key(name)} = [{', '.join(_text(each) for each in aliases[name])}]" for name in aliases]
        text += "\naliases {\n" + "\n".join(lines) + "\n}\n"
    return text


def write_model(model: Model) -> str:
    """One model, as an entry of `models`."""
    lines = list(_lines(model))
    return "  { " + "\n    ".join(lines) + " }\n"


def _lines(model: Model) -> Iterator[str]:
    """What the model says, one line a key; what is as it usually is stays unsaid."""
    reference = model.credential
    stored = reference is not None and stored_id(reference) is not None
    said: dict[str, Any] = {
        "name": model.name,
        "provider": model.provider,
        "base_url": model.base_url or None,
        "upstream_model": None if model.upstream_model == model.name else model.upstream_model,
        "kind": model.kind.value,
        "credential": None if stored else reference,
        "capabilities": None if model.capabilities is None else sorted(model.capabilities),
        "tags": model.tags or None,
        "price": None if model.price is None else _price(model.price),
        "context_window": model.context_window,
        "max_output": model.max_output,
        "size": model.size,
        "quality": model.quality,
        "limits": _said(model.limits),
        "timeouts": _said(model.timeouts),
        "headers": _without_secrets(model.headers) or None,
        "options": _without_secrets(model.options) or None,
        "state": None if model.state is ModelState.ENABLED else model.state.value,
        "notes": model.notes or None,
    }
    for name, value in said.items():
        if value is not None:
            yield f"{name} {_object(value)}" if isinstance(value, Mapping) else f"{name} = {_value(value)}"


def _said(section: ModelLimits | Timeouts) -> dict[str, Any] | None:
    values = {f.name: getattr(section, f.name) for f in fields(section)}
    return {name: value for name, value in values.items() if value is not None} or None


def _price(price: Price) -> dict[str, Any]:
    """The parts that are said, as exact decimals in quotes, and the tiers."""
    said: dict[str, Any] = _parts(price.parts())
    if price.tiers:
        said["tiers"] = [{"over": tier.over, **_parts(tier.parts())} for tier in price.tiers]
    return said


def _parts(parts: Mapping[str, Decimal]) -> dict[str, str]:
    return {f"{part}_per_mtok" if part in TOKEN_PARTS else part: f"{usd:f}" for part, usd in parts.items()}


def _without_secrets(value: Mapping[str, Any]) -> dict[str, Any]:
    shown = cast("Mapping[str, Any]", masked(value))
    return {name: value[name] for name in value if MASK not in json.dumps(shown[name], default=str)}


def _object(value: Mapping[str, Any]) -> str:
    return (
        "{ " + ", ".join(f"{_key(name)} = {_value(each)}" for name, each in value.items()) + " }"
        if value
        else "{}"
    )


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case timedelta():
            return format_duration(value)
        case Mapping():
            return _object(cast("Mapping[str, Any]", value))
        case list() | tuple():
            return "[" + ", ".join(_value(each) for each in cast("list[Any]", value)) + "]"
        case None:
            return "null"
        case str():
            return _text(value)
        case _:
            return str(value)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) and name not in _WORDS else _text(name)


def _text(value: str) -> str:
    value = _CONTROL.sub("\ufffd", value)
    quoted = json.dumps(value, ensure_ascii=False)
    if quoted[1:-1] != value and '"""' not in value and value[-1:] not in ('"', "\\"):
        # As it was typed, since the parser would leave escapes as they are.
        return f'"""{value}"""'
    return quoted
