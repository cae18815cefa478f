"""Credentials of models as they are kept and named: never their text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

STORED: Final = "stored:"
"""What the reference of a credential that is kept in the store begins with; its id follows."""
_TELLS_LITTLE: Final = 16


@dataclass(frozen=True, slots=True)
class Sealed:
    """A model's credential, encrypted: `key_id` names the key of the ring, `goes_to` the only origin it may be sent to.

    `last_four` are the last characters of the secret, the most that is ever shown of it.
    """

    id: str
    secret: bytes = field(repr=False)
    key_id: str
    last_four: str
    goes_to: str

    @property
    def reference(self) -> str:
        """How a model names it."""
        return STORED + self.id


def stored_id(reference: str | None) -> str | None:
    """The id of the credential that a reference names, if it is kept in the store."""
    return reference.removeprefix(STORED) if reference is not None and reference.startswith(STORED) else None


def last_four(secret: str) -> str:
    """The last four characters of a secret; of a short one nothing, since they would be too much of it."""
    return secret[-4:] if len(secret) >= _TELLS_LITTLE else ""
