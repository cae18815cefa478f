"""Credentials of models: looked up at each call by their reference, and given for one origin alone.

`env:NAME` and `file:/path` are read when they are needed, so that a new key counts at once; only names that the
settings allow are read, since whoever may register a model chooses the host that its credential is sent to. `stored:ID`
is kept in the store, encrypted together with its id and the origin that it was given for: a row that was moved to
another id or another origin cannot be decrypted. Secrets in clear are in this process's memory only.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from gateway import telemetry
from gateway.domain.addresses import origin_of
from gateway.domain.credentials import Sealed, last_four, stored_id
from gateway.domain.errors import UpstreamAuth
from gateway.domain.registry import Model
from gateway.domain.secret import Secret
from gateway.ring import KeyRing, Unreadable
from gateway.settings import Credentials as Settings

LONGEST: Final = 64 * 1024
_MOST_ALLOWED: Final = 4096
EXPECTED: Final = "env:NAME or file:/path"
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OWN: Final = "GATEWAY_"


@dataclass(frozen=True, slots=True)
class _Kept:
    """A file's content, and the state of the file when it was read."""

    stamp: tuple[int, int, int]
    secret: Secret


class Credentials:
    """Looks credentials up. A file is read again when it has changed."""

    def __init__(self, settings: Settings | None = None, ring: KeyRing | None = None) -> None:
        """Without a ring, none can be kept in the store or read from there."""
        settings = Settings() if settings is None else settings
        self._variables = settings.variables
        self._files = settings.files
        self._ring = ring
        self._read: dict[str, _Kept] = {}
        self._sealed: Mapping[str, Sealed] = {}
        self._opened: dict[str, Secret] = {}
        self._allowed: set[str] = set()

    def secret_of(self, model: Model, usual_url: str = "") -> Secret | None:
        """A model's credential, or None if it has none. `usual_url` is its provider's, for a model that says none.

        Raises UpstreamAuth, which names the reference only, also if the model's address is not the one that the
        credential was given for.
        """
        if model.credential is None:
            return None
        goes_to = _origin(model.base_url or usual_url)
        if model.credential_for and model.credential_for != goes_to:
            raise UpstreamAuth(detail=f"the credential of {model.name} was given for another address")
        stored = stored_id(model.credential)
        return self.resolve(model.credential) if stored is None else self._open(stored, goes_to)

    def resolve(self, reference: str | None) -> Secret | None:
        """The secret that a reference to the environment or a file names; None for none. Raises UpstreamAuth."""
        if reference is None:
            return None
        scheme, _, name = reference.partition(":")
        if scheme not in ("env", "file") or not name:
            # The reference itself stays unsaid: whoever mistook the field for the key's own place wrote the key there.
            raise UpstreamAuth(detail=f"a credential must be given as {EXPECTED}")
        why = self.why_not(reference)
        if why is not None:
            raise UpstreamAuth(detail=f"the credential {reference} is not read: {why}")
        if scheme == "env":
            return usable(os.environ.get(name, ""), reference)
        return self._content(name, reference)

    def why_not(self, reference: str) -> str | None:
        """Why a reference is not read, by its form or by the settings; None if it may be."""
        if reference in self._allowed:
            return None
        why = self._judge(reference)
        if why is None:  # of others nothing is remembered: they may be secrets, given in the wrong place
            if len(self._allowed) >= _MOST_ALLOWED:
                self._allowed.clear()
            self._allowed.add(reference)
        return why

    def _judge(self, reference: str) -> str | None:
        scheme, _, name = reference.partition(":")
        if scheme == "env" and _VARIABLE.fullmatch(name):
            allowed = not name.startswith(_OWN) and any(fnmatchcase(name, each) for each in self._variables)
            setting, patterns = "credentials.variables", self._variables
        elif scheme == "file" and name.startswith("/") and "\0" not in name:
            allowed = posixpath.normpath(name) == name and any(_matches(name, each) for each in self._files)
            setting, patterns = "credentials.files", self._files
        else:
            return f"a reference is {EXPECTED}"
        return None if allowed else f"{setting} allows {', '.join(patterns) or 'none'}"

    # ---- those that are kept in the store ------------------------------------------------------------------------
    @property
    def can_seal(self) -> bool:
        """Whether there is a key to encrypt credentials with."""
        return self._ring is not None

    def seal(self, secret: Secret, credential_id: str, goes_to: str) -> Sealed:
        """Encrypt a secret for the store. Raises UpstreamAuth for what cannot be one, ValueError without a ring."""
        if self._ring is None:
            raise ValueError("there is no key to encrypt credentials with")
        text = usable(secret.reveal(), "that was given").reveal()
        closed = self._ring.encrypt(text.encode(), _bound(credential_id, goes_to))
        return Sealed(credential_id, closed, self._ring.active, last_four(text), goes_to)

    def keep(self, sealed: Mapping[str, Sealed]) -> None:
        """Put the credentials of the store in force, all of them."""
        self._opened = {
            each: self._opened[each]
            for each in self._opened.keys() & sealed.keys()
            if sealed[each].goes_to == self._sealed[each].goes_to
        }
        self._sealed = sealed

    def renewed(self) -> Sequence[Sealed]:
        """Those in force that another key than the active one encrypted, encrypted anew."""
        if self._ring is None:
            return ()
        found: list[Sealed] = []
        for sealed in self._sealed.values():
            if sealed.key_id != self._ring.active:
                try:
                    text = self._ring.decrypt(sealed.key_id, sealed.secret, _bound(sealed.id, sealed.goes_to))
                except Unreadable as error:
                    telemetry.log.error("credential_unreadable", credential=sealed.id, why=str(error))
                else:
                    closed = self._ring.encrypt(text, _bound(sealed.id, sealed.goes_to))
                    found.append(replace(sealed, secret=closed, key_id=self._ring.active))
        return tuple(found)

    def _open(self, credential_id: str, goes_to: str) -> Secret:
        sealed = self._sealed.get(credential_id)
        reference = f"stored:{credential_id}"
        if sealed is None or sealed.goes_to != goes_to:
            why = "is not kept here" if sealed is None else "was given for another address"
            raise UpstreamAuth(detail=f"the credential {reference} {why}")
        opened = self._opened.get(credential_id)
        if opened is None:
            if self._ring is None:
                raise UpstreamAuth(detail=f"the credential {reference} cannot be read: there is no key")
            try:
                text = self._ring.decrypt(sealed.key_id, sealed.secret, _bound(sealed.id, goes_to))
            except Unreadable as error:
                raise UpstreamAuth(detail=f"the credential {reference} cannot be read: {error}") from None
            opened = self._opened[credential_id] = Secret(text.decode())
        return opened

    def _content(self, path: str, reference: str) -> Secret:
        try:
            state = Path(path).stat()
            stamp = (state.st_mtime_ns, state.st_size, state.st_ino)
            kept = self._read.get(path)
            if kept is not None and kept.stamp == stamp:
                return kept.secret
            if state.st_size > LONGEST:
                raise UpstreamAuth(detail=f"the credential {reference} is too long to be one")
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UpstreamAuth(
                detail=f"the credential {reference} cannot be read: {type(error).__name__}"
            ) from None
        secret = usable(text, reference)
        self._read[path] = _Kept(stamp, secret)
        return secret


def usable(text: str, reference: str) -> Secret:
    """What a reference led to, as a secret. Raises UpstreamAuth for what no header could carry."""
    stripped = text.strip()
    if not stripped:
        raise UpstreamAuth(detail=f"the credential {reference} is missing or empty")
    if not (stripped.isascii() and stripped.isprintable()):
        raise UpstreamAuth(detail=f"the credential {reference} has characters that a header cannot carry")
    if len(stripped) > LONGEST:
        raise UpstreamAuth(detail=f"the credential {reference} is too long to be one")
    return Secret(stripped)


def _origin(base_url: str) -> str:
    try:
        return origin_of(base_url)
    except ValueError:
        return base_url  # made by hand: a credential that was given for an origin does not go there


def _matches(path: str, pattern: str) -> bool:
    """Whether a path is what a pattern means: `*` stands for anything but a slash."""
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(
        fnmatchcase(part, each) for part, each in zip(parts, wanted, strict=True)
    )


def _bound(credential_id: str, goes_to: str) -> bytes:
    """What a sealed credential is bound to, beside its key."""
    return f"{credential_id}\n{goes_to}".encode()
