"""Credentials by reference: `env:NAME` or `file:/path`, looked up at each call, so that a new key counts at once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.domain.errors import UpstreamAuth
from gateway.domain.secret import Secret

LONGEST: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Kept:
    """A file's content, and the state of the file when it was read."""

    stamp: tuple[int, int, int]
    secret: Secret


class Credentials:
    """Looks references up. A file is read again when it has changed."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._files: dict[str, _Kept] = {}

    def resolve(self, reference: str | None) -> Secret | None:
        """The secret a reference names, None for no reference. Raises UpstreamAuth, which names the reference only."""
        if reference is None:
            return None
        scheme, _, name = reference.partition(":")
        if scheme == "env" and name:
            return _usable(os.environ.get(name, ""), reference)
        if scheme == "file" and name:
            return self._read(name, reference)
        # The reference itself stays unsaid: whoever mistook the field for the key's own place wrote the key there.
        raise UpstreamAuth(detail="a credential must be given as env:NAME or file:/path")

    def _read(self, path: str, reference: str) -> Secret:
        try:
            state = Path(path).stat()
            stamp = (state.st_mtime_ns, state.st_size, state.st_ino)
            kept = self._files.get(path)
            if kept is not None and kept.stamp == stamp:
                return kept.secret
            if state.st_size > LONGEST:
                raise UpstreamAuth(detail=f"the credential {reference} is too long to be one")
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UpstreamAuth(
                detail=f"the credential {reference} cannot be read: {type(error).__name__}"
            ) from None
        secret = _usable(text, reference)
        self._files[path] = _Kept(stamp, secret)
        return secret


def _usable(text: str, reference: str) -> Secret:
    stripped = text.strip()
    if not stripped:
        raise UpstreamAuth(detail=f"the credential {reference} is missing or empty")
    if not (stripped.isascii() and stripped.isprintable()):
        raise UpstreamAuth(detail=f"the credential {reference} has characters that a header cannot carry")
    return Secret(stripped)
