"""NATS with accounts: an operator signs accounts, an account signs its users, and the server knows the operator alone.

Made with NKeys and no tool of NATS's, as its own `nsc` makes them.
"""

from __future__ import annotations

import json
import os
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nkeys

_ACCOUNT = nkeys.PREFIX_BYTE_ACCOUNT
_OPERATOR = nkeys.PREFIX_BYTE_OPERATOR
_USER = nkeys.PREFIX_BYTE_USER
_STREAMS = ("mem_storage", "disk_storage", "streams", "consumer")
_UNBOUNDED = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf", *_STREAMS), -1)


class Key:
    """An NKey of an operator, an account or a user."""

    def __init__(self, prefix: int) -> None:
        self.seed: str = nkeys.encode_seed(os.urandom(32), prefix).decode()
        self._pair: Any = nkeys.from_seed(bytearray(self.seed, "ascii"))
        self.public: str = self._pair.public_key.decode()

    def signed(self, subject: Key, name: str, what: dict[str, Any], ends: datetime | None = None) -> str:
        """A JWT about a key, signed by this one."""
        now = int(datetime.now(UTC).timestamp())
        claims: dict[str, Any] = {"jti": os.urandom(8).hex(), "iat": now, "name": name}
        claims |= {"iss": self.public, "sub": subject.public}
        claims["nats"] = {**what, "version": 2}
        if ends is not None:
            claims["exp"] = int(ends.timestamp())
        text = f"{_part({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{_part(claims)}"
        return f"{text}.{_encoded(self._pair.sign(text.encode()))}"


@dataclass(frozen=True)
class User:
    """Who connects."""

    jwt: str
    seed: str

    def write(self, path: Path) -> Path:
        """Its credentials file, as `nsc generate creds` writes it."""
        path.write_text(
            f"-----BEGIN NATS USER JWT-----\n{self.jwt}\n------END NATS USER JWT------\n\n"
            "************************* IMPORTANT *************************\n"
            "NKEY Seed printed below can be used to sign and prove identity.\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{self.seed}\n------END USER NKEY SEED------\n"
        )
        return path


class Accounts:
    """An operator with an account for the gateway, which has JetStream."""

    def __init__(self) -> None:
        self._operator, self._system, self._account = Key(_OPERATOR), Key(_ACCOUNT), Key(_ACCOUNT)

    def config(self) -> str:
        """What the server is to know: the operator, and its accounts."""
        operator = self._operator.signed(self._operator, "operator", {"type": "operator"})
        limits: dict[str, Any] = {**_UNBOUNDED, "wildcards": True}
        account = {"limits": limits, "type": "account"}
        # The system's account may not have JetStream.
        system = {"limits": {**limits, **dict.fromkeys(_STREAMS, 0)}, "type": "account"}
        return f"""
            operator: {operator}
            system_account: {self._system.public}
            resolver: MEMORY
            resolver_preload: {{
                {self._system.public}: {self._operator.signed(self._system, "SYS", system)}
                {self._account.public}: {self._operator.signed(self._account, "gateway", account)}
            }}
        """

    def user(self, lasts: timedelta | None = None, **permissions: Any) -> User:
        """A user of the account, for ever or for as long as is said; less than nothing has expired."""
        key, ends = Key(_USER), None if lasts is None else datetime.now(UTC) + lasts
        what = {**permissions, "subs": -1, "data": -1, "payload": -1, "type": "user"}
        return User(self._account.signed(key, "gateway", what, ends), key.seed)

    def stranger(self) -> User:
        """A user that an account of nobody's has signed."""
        key = Key(_USER)
        what = {"subs": -1, "data": -1, "payload": -1, "type": "user"}
        return User(Key(_ACCOUNT).signed(key, "stranger", what), key.seed)


def _part(value: dict[str, Any]) -> str:
    return _encoded(json.dumps(value, separators=(",", ":")).encode())


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
