"""The pair of keys that S3 is asked with: said by the settings, or by a reference that is read when it is needed."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.domain.secret import Secret
from gateway.settings import S3Settings

if TYPE_CHECKING:
    from obstore.store import S3Credential

_READ_AGAIN: Final = timedelta(seconds=5)
_LONGEST: Final = 4096


def keys_of(settings: S3Settings) -> Callable[[], S3Credential] | None:
    """Who tells the pair, read anew every few seconds; None leaves it to the machine's own role.

    Raises ValueError, naming the key, where there is but one of the two or a reference names nothing.
    """
    pair = {"access_key": settings.access_key, "secret_key": settings.secret_key}
    if not any(pair.values()):
        return None
    for name, given in pair.items():
        if not given:
            raise ValueError(f"batches.files.s3.{name}: expected the other half of the pair, got nothing")
        try:
            read(given)
        except (OSError, UnicodeError, ValueError) as error:
            why = error if type(error) is ValueError else type(error).__name__
            raise ValueError(f"batches.files.s3.{name}: the reference cannot be read ({why})") from None

    def tell() -> S3Credential:
        return {
            "access_key_id": read(settings.access_key),
            "secret_access_key": read(settings.secret_key),
            "token": None,
            "expires_at": datetime.now(UTC) + _READ_AGAIN,
        }

    return tell


def read(given: Secret) -> str:
    """What a setting says, or what it refers to: `env:NAME` or `file:/path`. Raises OSError, ValueError."""
    text = given.reveal()
    scheme, _, name = text.partition(":")
    if scheme == "env":
        found = os.environ.get(name, "")
    elif scheme == "file":
        with Path(name).open("rb") as file:
            found = file.read(_LONGEST).decode()
    else:
        return text
    if not found.strip():
        raise ValueError("there is nothing")
    return found.strip()
