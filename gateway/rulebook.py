"""The rules in force: one immutable set in memory, put in place of the last one when another version comes into force.

A version was read before it was published. One that this process cannot read all the same (it is older than the one
that published it) changes nothing here: the last set stays in force, and the feed says so until it can be read.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol

from gateway import telemetry
from gateway.domain.errors import StorageUnavailable
from gateway.domain.rules import RuleSet
from gateway.storage.ports import Rules

_RETRY_AFTER: Final = timedelta(seconds=2)


class Reads(Protocol):
    """Reads rule texts that nobody is to trust."""

    async def read(self, text: str, name: str, version: str | None = None) -> RuleSet:
        """The rules of a text; `name` stands for a file in what is said of its mistakes. Raises SettingsError."""
        ...


class Rulebook:
    """Gives the rules in force, when it is called; `reload` is for the feed."""

    def __init__(self, rules: Rules, texts: Reads, seed: Path | None) -> None:
        """`seed` is the text that a store without any version is given, once for all replicas."""
        self._rules = rules
        self._texts = texts
        self._seed = seed
        self._now: RuleSet | None = None

    def __call__(self) -> RuleSet:
        """The set in force. Raises StorageUnavailable as long as there was none yet."""
        if self._now is None:
            raise StorageUnavailable(detail="the rules were never loaded", retry_after=_RETRY_AFTER)
        return self._now

    @property
    def version(self) -> str:
        """The version in force; empty before there is one."""
        return "" if self._now is None else self._now.version

    async def reload(self) -> None:
        """Put the store's version in force. Raises StorageUnavailable and SettingsError; then the last set stays."""
        current = await self._rules.current()
        if current is None and self._seed is not None:
            text = self._seed.read_text(encoding="utf-8")
            read = await self._texts.read(text, self._seed.name)
            if await self._rules.plant(text, read.version):
                telemetry.log.info("rules_seeded", digest=read.version)
            current = await self._rules.current()
        if current is None:
            self._now = RuleSet()
            return
        number = str(current.number)
        self._now = await self._texts.read(current.text, f"version {number}", number)
        telemetry.log.info("rules_in_force", version=number, digest=current.digest)
