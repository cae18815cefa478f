"""Between our values and protobuf's own: structs, times, decimals, enums."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar, cast

import msgspec
from google.protobuf.duration_pb2 import Duration
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.struct_pb2 import ListValue, NullValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.domain.errors import InvalidRequest

E = TypeVar("E", bound=StrEnum)

EXACT = 2**53  # up to here a double holds every integer
# Each level of JSON is three of protobuf's, whose parsers stop at a hundred: clients could not read deeper ones.
_DEEPEST = 24


# ---- JSON and Struct ---------------------------------------------------------------------------------------------
def struct_of(fields: Mapping[str, Any], depth: int = 1) -> Struct:
    """JSON's object as a Struct: integers that no double holds become strings, and so does what nests too deeply."""
    return Struct(fields={name: _value(value, depth) for name, value in fields.items()})


def _value(value: Any, depth: int) -> Value:
    if isinstance(value, str):
        return Value(string_value=value)
    if isinstance(value, bool):
        return Value(bool_value=value)
    if isinstance(value, int):
        return Value(number_value=value) if -EXACT <= value <= EXACT else Value(string_value=str(value))
    if isinstance(value, float):
        return Value(number_value=value)
    if value is None:
        return Value(null_value=NullValue.NULL_VALUE)
    if depth >= _DEEPEST:
        return Value(string_value=msgspec.json.encode(value).decode())
    if isinstance(value, Mapping):
        return Value(struct_value=struct_of(cast("Mapping[str, Any]", value), depth + 1))
    return Value(list_value=ListValue(values=[_value(item, depth + 1) for item in value]))


def json_of(struct: Struct) -> dict[str, Any]:
    """A Struct as JSON's object, its keys sorted, since a map has no order of its own. Raises InvalidRequest."""
    fields = struct.fields
    return {name: _json(fields[name]) for name in sorted(fields)}


def _json(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            return number(value.number_value)
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return json_of(value.struct_value)
        case "list_value":
            return [_json(item) for item in value.list_value.values]
        case _:
            return None


def number(value: float) -> float | int:
    """A double as JSON's number, an integer where it is one: schemas and token ids want `5`, not `5.0`."""
    if not math.isfinite(value):
        raise InvalidRequest("A number is infinite or not a number at all.")
    return int(value) if value.is_integer() and -EXACT <= value <= EXACT else value


# ---- times and decimals ------------------------------------------------------------------------------------------
def timestamp(moment: datetime | None) -> Timestamp | None:
    """A moment; None stays unset."""
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def moment(stamp: Timestamp, name: str) -> datetime:
    """The moment of a request's field `name`. Raises InvalidRequest for one outside the calendar."""
    try:
        return stamp.ToDatetime(UTC)
    except (ValueError, OverflowError) as e:
        raise InvalidRequest(f"`{name}` is no moment between the years 1 and 9999.", param=name) from e


def seconds(duration: Duration) -> float:
    """A duration in seconds."""
    return duration.seconds + duration.nanos / 1e9


def decimal(amount: Decimal | None) -> str | None:
    """A decimal without an exponent; None stays unset."""
    return None if amount is None else f"{amount:f}"


# ---- enums -------------------------------------------------------------------------------------------------------
def numbers_of(wrapper: EnumTypeWrapper, ours: type[E], prefix: str) -> dict[E, Any]:
    """Our words and the proto's numbers. Raises ValueError, at import, for a word that the proto lacks."""
    return {word: wrapper.Value(f"{prefix}_{word.name}") for word in ours}


def word_of(numbers: Mapping[E, Any], given: int, name: str) -> E | None:
    """Our word for an enum of a request; None for unspecified. Raises InvalidRequest for a number without meaning."""
    if given == 0:
        return None
    for word, known in numbers.items():
        if known == given:
            return word
    raise InvalidRequest(f"`{name}` has a value that is not known here.", param=name)


def limit_of(given: int) -> int:
    """Rows of a page. Raises InvalidRequest."""
    if given == 0:
        return 50
    if not 1 <= given <= 200:
        raise InvalidRequest("`limit` must be from 1 to 200.", param="limit")
    return given
