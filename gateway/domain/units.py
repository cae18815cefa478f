"""Units as people write them: durations, sizes, shares, rates and counts have one meaning everywhere."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

_AMOUNT: Final = r"(\d{1,15}(?:\.\d{1,15})?)"
_DURATION: Final = re.compile(rf"{_AMOUNT}\s*([a-z]+)")
_SIZE: Final = re.compile(rf"{_AMOUNT}\s*([A-Za-z]*)")
_SHARE: Final = re.compile(rf"{_AMOUNT}\s*%")
_COUNT: Final = re.compile(rf"{_AMOUNT}\s*([kM]?)")
_RATE: Final = re.compile(rf"{_AMOUNT}\s*([kM]?)\s*/\s*([a-z]+)")
_SECONDS: Final[dict[str, float]] = {
    **dict.fromkeys(("ns", "nano", "nanos", "nanosecond", "nanoseconds"), 1e-9),
    **dict.fromkeys(("us", "micro", "micros", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("ms", "milli", "millis", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("s", "second", "seconds"), 1),
    **dict.fromkeys(("m", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
    **dict.fromkeys(("w", "week", "weeks"), 604800),
}
_BYTES: Final[dict[str, int]] = {
    **dict.fromkeys(("", "B", "b", "byte", "bytes"), 1),
    **{unit: 1000**power for power, unit in enumerate(("kB", "MB", "GB", "TB"), 1)},
    **{
        unit: 1024**power
        for power, units in enumerate(("K k Ki KiB", "M Mi MiB", "G Gi GiB", "T Ti TiB"), 1)
        for unit in units.split()
    },
}
_THOUSANDS: Final[dict[str, int]] = {"": 1, "k": 1000, "M": 1_000_000}
_PER: Final[dict[str, str]] = {
    **dict.fromkeys(("s", "second"), "s"),
    **dict.fromkeys(("m", "min", "minute"), "m"),
    **dict.fromkeys(("h", "hour"), "h"),
    **dict.fromkeys(("d", "day"), "d"),
}
_LONGEST_SECONDS: Final = 100 * 366 * 86400


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in each `per`: s, m, h or d."""

    amount: float
    per: str

    @property
    def per_second(self) -> float:
        """How many in a second."""
        return self.amount / _SECONDS[self.per]

    def __str__(self) -> str:
        """The rate as it is written."""
        return f"{format_number(self.amount)}/{self.per}"


def parse_duration(text: str) -> timedelta:
    """Return what `30s`, `1.5 h` or `200ms` means. Raises `ValueError`."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or match[2] not in _SECONDS:
        raise ValueError(f"not a duration: {text}")
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds > _LONGEST_SECONDS:
        raise ValueError(f"longer than a century: {text}")
    return timedelta(seconds=seconds)


def parse_size(text: str) -> int:
    """Return the bytes of `32MiB`, `64 kB` or `1024`. Raises `ValueError`."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or match[2] not in _BYTES:
        raise ValueError(f"not a size: {text}")
    return int(float(match[1]) * _BYTES[match[2]])


def parse_share(text: str) -> float:
    """Return what `25%` means, 0.25. Raises `ValueError`."""
    match = _SHARE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a share: {text}")
    return float(Decimal(match[1]) / 100)


def parse_count(text: str) -> int:
    """Return what `32k`, `1.5M` or `1024` means: thousands and millions. Raises `ValueError`."""
    match = _COUNT.fullmatch(text.strip())
    amount = Decimal(match[1]) * _THOUSANDS[match[2]] if match else Decimal("0.5")
    if amount != int(amount):
        raise ValueError(f"not a whole number: {text}")
    return int(amount)


def parse_rate(text: str) -> Rate:
    """Return what `10/s`, `600/m` or `100k/h` means. Raises `ValueError`."""
    match = _RATE.fullmatch(text.strip())
    if match is None or match[3] not in _PER:
        raise ValueError(f"not a rate: {text}")
    return Rate(float(Decimal(match[1]) * _THOUSANDS[match[2]]), _PER[match[3]])


def parse_usd(text: str) -> Decimal:
    """Return what `1.00` or `$1.00` means, exactly. Raises `ValueError`."""
    try:
        amount = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        raise ValueError(f"not an amount: {text}") from None
    if not amount.is_finite():
        raise ValueError(f"not an amount: {text}")
    return amount


def format_duration(value: timedelta) -> str:
    """Return a duration in the largest unit that divides it, as the configuration would write it."""
    microseconds = value // timedelta(microseconds=1)
    for unit, size in (
        ("d", 86_400_000_000),
        ("h", 3_600_000_000),
        ("m", 60_000_000),
        ("s", 1_000_000),
        ("ms", 1000),
    ):
        if microseconds % size == 0 and (microseconds or unit == "s"):
            return f"{microseconds // size}{unit}"
    return f"{microseconds}us"


def format_size(value: int) -> str:
    """Return a size in the largest binary unit that divides it."""
    for unit, size in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if value and value % size == 0:
            return f"{value // size}{unit}"
    return f"{value}B"


def format_share(value: float) -> str:
    """Return a share as `25%`; read again it is the same number."""
    return f"{format_number(Decimal(repr(value)) * 100)}%"


def format_usd(value: Decimal) -> str:
    """Return an amount with its cents, and with more only where it has them: `1.00`, `0.0025`."""
    whole, _, cents = format_number(value).partition(".")
    return f"{whole}.{cents:0<2}"


def format_number(value: float | Decimal) -> str:
    """Return a number without an exponent and without zeros at its end: `10`, `0.05`."""
    exact = value if isinstance(value, Decimal) else Decimal(repr(value))
    text = f"{exact:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
