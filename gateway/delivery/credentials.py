"""A file with NATS credentials (`.creds`): the JWT that says who we are, and the seed of the NKey that proves it.

It is read at every connect, so that a file that was replaced is used from the next one on. Our own reader, since that
of nats-py never ends where a file holds no JWT.
"""

from __future__ import annotations

import re
from base64 import b64encode, urlsafe_b64decode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import nats.errors
import nkeys

from gateway.domain.secret import Secret

_SETTING: Final = "nats.credentials_file"
_LARGEST: Final = 64 * 1024
_PART: Final = r"-{3,}BEGIN %s-{3,}\s+(\S+)\s+-{3,}END %s-{3,}"
_JWT: Final = re.compile(_PART % ("NATS USER JWT", "NATS USER JWT"))
_SEED: Final = re.compile(_PART % ("USER NKEY SEED", "USER NKEY SEED"))


class CredentialsUnusable(nats.errors.Error):
    """The file cannot be used; its text says why, and nothing of what stands in it.

    It is an error of NATS, so that its client tries again after it.
    """


class Credentials:
    """The file that the settings name."""

    def __init__(self, path: str) -> None:
        """Raises CredentialsUnusable where the file cannot be used."""
        self._path = path
        self.sign("a nonce of our own")
        self.jwt()

    def jwt(self) -> bytes:
        """The user's JWT. Raises CredentialsUnusable."""
        return self._find(_JWT, "JWT of a user").encode()

    def sign(self, nonce: str) -> bytes:
        """Prove to the server that the JWT is ours, in Base64. Raises CredentialsUnusable."""
        seed = Secret(self._find(_SEED, "seed of a user"))
        try:
            pair = cast("Any", nkeys.from_seed(bytearray(seed.reveal(), "ascii")))
            return b64encode(pair.sign(nonce.encode()))
        except Exception:  # noqa: BLE001  whatever it is: neither its text nor the error is told on, they may hold the seed
            raise CredentialsUnusable(f"{_SETTING}: the seed in {self._path} is none of NATS.") from None

    def expired(self) -> bool:
        """Whether the user's JWT says that it is over."""
        try:
            payload = self.jwt().split(b".")[1]
            claims = msgspec.json.decode(urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)), type=dict)
            ends = claims.get("exp")
            return bool(ends) and datetime.fromtimestamp(ends, UTC) <= datetime.now(UTC)
        except (CredentialsUnusable, IndexError, ValueError, TypeError, OverflowError):
            return False

    def _find(self, pattern: re.Pattern[str], what: str) -> str:
        try:
            with Path(self._path).open("rb") as file:
                text = file.read(_LARGEST).decode("ascii", "replace")
        except OSError as error:
            raise CredentialsUnusable(f"{_SETTING}: {self._path} cannot be read: {error.strerror}") from error
        found = pattern.search(text)
        if found is None:
            raise CredentialsUnusable(
                f"{_SETTING}: {self._path} holds no {what}: it must be a .creds file of NATS."
            )
        return found[1]
