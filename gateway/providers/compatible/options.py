"""The options of a compatible model: which flavour its server is, and in which dialects it is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Final, cast

from gateway.domain.operations import Operation
from gateway.providers.chat import Chat
from gateway.providers.compatible.quirks import PLAIN, QUIRKS, SPOKEN, Quirks, spoken
from gateway.providers.compatible.wire import Adapted, Scores, judge
from gateway.providers.endpoints import WIRES
from gateway.providers.http import Judge
from gateway.providers.ports import Misfit
from gateway.providers.wire import Wire

_KNOWN: Final = ("flavour", "dialects", "api_version", "takes_reasoning")
_VERSION: Final = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?")


@dataclass(frozen=True, slots=True)
class Server:
    """What a model's options come to: its server's quirks, what it is asked for, and how."""

    quirks: Quirks
    operations: frozenset[Operation]
    wires: Mapping[Operation, Wire]
    judge: Judge
    api_version: str = ""

    def path(self, operation: Operation, upstream_model: str) -> str:
        """Where an operation is, below the model's base URL."""
        path = self.quirks.paths.get(operation, operation.path)
        if self.api_version and self.quirks.dated is not None:
            template = self.quirks.dated.path
            return template.format(path=path, deployment=upstream_model, version=self.api_version)
        return path

    def base(self, base_url: str) -> str:
        """The model's base URL as the paths want it: with the server's stem, or without it where they hold theirs."""
        stem = self.quirks.stem
        if not stem:
            return base_url
        base = base_url.rstrip("/")
        for tail in (stem, stem.partition("/")[0]):
            base = base.removesuffix(f"/{tail}")
        return base if self.api_version else f"{base}/{stem}"


def server_of(options: Mapping[str, object]) -> Server:
    """What the options of a model that was checked come to; what is wrong with them counts as not said."""
    if not options:
        return _server("", "", None)
    flavour, version = options.get("flavour"), options.get("api_version")
    dialects = options.get("dialects")
    words = (
        tuple(each for each in cast("Sequence[object]", dialects) if isinstance(each, str))
        if isinstance(dialects, list | tuple)
        else None
    )
    return _server(
        flavour if isinstance(flavour, str) else "", version if isinstance(version, str) else "", words
    )


@lru_cache(256)
def _server(flavour: str, version: str, dialects: tuple[str, ...] | None) -> Server:
    quirks = QUIRKS.get(flavour, PLAIN)
    if quirks.dated is None:
        version = ""
    operations = quirks.dated.operations if version and quirks.dated is not None else quirks.operations
    if dialects is not None:
        operations = spoken(*(word for word in dialects if word in SPOKEN))
    wires = dict(WIRES)
    if quirks.scores_in_list:
        wires[Operation.RERANK] = Scores()
    chat = Chat(asks_usage=quirks.takes_usage_option)
    wires[Operation.CHAT] = Adapted(chat, quirks) if quirks.usage_in or quirks.thinks_in_parts else chat
    return Server(
        quirks, operations & wires.keys(), wires, lambda complaint: judge(complaint, quirks), version
    )


# ---- what is wrong with options ----------------------------------------------------------------------------------
def base_url_of(options: Mapping[str, object]) -> str:
    """Where servers of this flavour are, if the model does not say; empty if nobody knows."""
    return server_of(options).quirks.base_url


def misfits(options: Mapping[str, object]) -> tuple[Misfit, ...]:
    """All that is wrong with the options of a model."""
    return tuple(_misfits(options))


def _misfits(options: Mapping[str, object]) -> Iterator[Misfit]:
    for name in options:
        if name not in _KNOWN:
            yield Misfit(name, f"one of {', '.join(_KNOWN)}", name, _near(name, _KNOWN))
    flavour = options.get("flavour")
    if flavour is not None and (not isinstance(flavour, str) or flavour not in QUIRKS):
        yield Misfit("flavour", f"one of {', '.join(QUIRKS)}", flavour, _near(flavour, QUIRKS))
    yield from _dialects(options.get("dialects"))
    takes = options.get("takes_reasoning")
    if takes is not None and not isinstance(takes, bool):
        yield Misfit("takes_reasoning", "true or false", takes)
    version = options.get("api_version")
    if version is None:
        return
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        yield Misfit("api_version", "a dated version such as 2024-10-21", version)
    elif server_of(options).quirks.dated is None:
        dated = ", ".join(name for name, row in QUIRKS.items() if row.dated is not None)
        yield Misfit("api_version", f"none, but for a model of flavour {dated}", version)


def _dialects(said: object) -> Iterator[Misfit]:
    if said is None:
        return
    if not isinstance(said, list | tuple) or not said:
        yield Misfit("dialects", "a list such as [chat, responses, messages]", said)
        return
    for word in cast("Sequence[object]", said):
        if not isinstance(word, str) or word not in SPOKEN:
            yield Misfit("dialects", f"words out of {', '.join(SPOKEN)}", word, _near(word, SPOKEN))


def _near(word: object, known: Sequence[str] | Mapping[str, object]) -> str | None:
    return next(iter(get_close_matches(str(word), list(known), 1)), None)
