"""The part of JSON Schema that Gemini takes; what is left out of a schema is named.

Page: ai.google.dev/gemini-api/docs/structured-output, "JSON Schema support".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

_TAKEN: Final = frozenset(
    {
        "$id",
        "$defs",
        "$ref",
        "$anchor",
        "type",
        "format",
        "title",
        "description",
        "enum",
        "items",
        "prefixItems",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "anyOf",
        "oneOf",
        "properties",
        "additionalProperties",
        "required",
        "propertyOrdering",
    }
)
_MEAN_NOTHING: Final = frozenset({"$schema", "$comment", "strict", "deprecated", "readOnly", "writeOnly"})
_MAPS: Final = frozenset({"properties", "$defs"})
_LISTS: Final = frozenset({"anyOf", "oneOf", "prefixItems"})
_DEEPEST: Final = 64


Drop = Callable[[str], None]


def narrowed(schema: Mapping[str, Any], path: str, drop: Drop, depth: int = 0) -> dict[str, Any]:
    """A schema without what Gemini refuses. `drop` is told the path of each thing that was left out."""
    if depth > _DEEPEST:
        drop(path)
        return {}
    kept: dict[str, Any] = {}
    for name, value in schema.items():
        known, said = _respelt(name, value)
        at = f"{path}.{name}"
        if known in _MEAN_NOTHING:
            continue
        if known in _TAKEN:
            kept[known] = _inner(known, said, at, drop, depth + 1)
        else:
            drop(at)
    return kept


def _respelt(name: str, value: object) -> tuple[str, object]:
    """The same said in words that Gemini knows, where there are such."""
    match name, value:
        case "const", str() | int() | float() if not isinstance(value, bool):
            return "enum", [value]
        case "definitions", dict():
            return "$defs", value  # pyright: ignore[reportUnknownVariableType]
        case "$ref", str():
            return "$ref", value.replace("#/definitions/", "#/$defs/")
        case "allOf", [dict()]:
            # What all of one have to be is what any of one has to be.
            return "anyOf", value  # pyright: ignore[reportUnknownVariableType]
        case _:
            return name, value


def _inner(name: str, value: object, at: str, drop: Drop, depth: int) -> object:
    """What stands below a keyword: a schema, schemas by name, a list of schemas, or no schema at all."""
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        if name in _MAPS:
            return {each: _inner("", schema, f"{at}.{each}", drop, depth) for each, schema in fields.items()}
        return narrowed(fields, at, drop, depth)
    if isinstance(value, list) and name in _LISTS:
        schemas = cast("list[object]", value)
        return [_inner("", schema, f"{at}[{n}]", drop, depth) for n, schema in enumerate(schemas)]
    return value
