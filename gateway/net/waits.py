"""How long a server asks to be left alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from math import isnan
from typing import Final

LONGEST_WAIT: Final = timedelta(days=1)


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """The wait that is asked for: `retry-after-ms`, or `retry-after` in seconds or as an HTTP date: a day at most."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        if not text:
            continue
        try:
            seconds = float(text) * unit
        except ValueError:
            try:
                moment = parsedate_to_datetime(text)
            except ValueError:
                continue
            zoned = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
            seconds = (zoned - datetime.now(UTC)).total_seconds()
        if not isnan(seconds):
            return timedelta(seconds=min(max(seconds, 0.0), LONGEST_WAIT.total_seconds()))
    return None
