"""The seed of a fresh install: models and aliases read from a file in HOCON, checked key by key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import fields
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from pathlib import Path
from typing import Any

from gateway.domain.inference import Kind
from gateway.domain.price_checks import doubts, unit_of
from gateway.domain.prices import OTHER_PARTS, TOKEN_PARTS, Price, Tier
from gateway.domain.registry import Model, ModelState, Registry, Timeouts
from gateway.settings import Place, Problem, SettingsError, place_of, read_hocon

Key = tuple[str, ...]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")
_URL = re.compile(r"https?://[^\s/?#]+[^\s?#]*")
_CREDENTIAL = re.compile(r"(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)")
_TOKEN_KEYS = {f"{part}_per_mtok": part for part in TOKEN_PARTS}
_PRICE_KEYS = _TOKEN_KEYS | {part: part for part in OTHER_PARTS}
_ANSWERS = frozenset(
    {Kind.CHAT, Kind.COMPLETION}
)  # a price of these without one for what they answer is half a price
_MODEL_KEYS = (
    "name",
    "provider",
    "base_url",
    "upstream_model",
    "kind",
    "credential",
    "tags",
    "price",
    "context_window",
    "max_output",
    "timeouts",
    "headers",
    "options",
    "enabled",
)


def load_seed(path: Path, providers: frozenset[str]) -> Registry:
    """Read models and aliases. Raises SettingsError with file, line, key and what was expected."""
    tree = read_hocon(path)
    reader = _Reader(path, providers)
    reader.known(tree, {"models", "aliases"}, ())
    models: dict[str, Model] = {}
    for number, entry in enumerate(reader.list_(tree.get("models", []), ("models",))):
        key = ("models", str(number))
        model = reader.model(reader.map_(entry, key), key)
        if model.name in models:
            raise reader.wrong((*key, "name"), "a name of its own", model.name)
        models[model.name] = model
    aliases: dict[str, tuple[str, ...]] = {}
    for name, names in reader.map_(tree.get("aliases", {}), ("aliases",)).items():
        if name in models:
            raise reader.wrong(("aliases", name), "a name that no model has", name)
        aliases[name] = reader.alias(names, ("aliases", name), models)
    version = sha256(repr((models, aliases)).encode()).hexdigest()[:12]
    return Registry(models, aliases, f"seed-{version}")


class _Reader:
    """Takes values out of a parsed file; what is wrong with one is said with its place."""

    def __init__(self, path: Path, providers: frozenset[str]) -> None:
        self._path = path
        self._providers = providers

    def wrong(self, key: Key, expected: str, got: Any, nearest: str | None = None) -> SettingsError:
        place = place_of(self._path, key) or Place(self._path)
        return SettingsError([Problem(place, ".".join(key), f"expected {expected}, got {got!r}", nearest)])

    def known(self, entry: Mapping[str, Any], names: Collection[str], where: Key) -> None:
        for name in entry:
            if name not in names:
                raise self.wrong(
                    (*where, name), f"one of {', '.join(sorted(names))}", name, _near(name, names)
                )

    def map_(self, value: Any, key: Key) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise self.wrong(key, "an object { … }", value)
        return value

    def list_(self, value: Any, key: Key) -> list[Any]:
        if not isinstance(value, list):
            raise self.wrong(key, "a list [ … ]", value)
        return value

    def text(self, entry: Mapping[str, Any], key: Key, form: re.Pattern[str], what: str) -> str:
        value = entry.get(key[-1])
        if not isinstance(value, str) or not form.fullmatch(value):
            # What stands where a reference belongs may be the secret itself.
            raise self.wrong(key, what, "****" if form is _CREDENTIAL else value)
        return value

    def model(self, entry: Mapping[str, Any], where: Key) -> Model:
        self.known(entry, _MODEL_KEYS, where)
        name = self.text(entry, (*where, "name"), _NAME, "a name of letters, digits and . _ : / @ + -")
        provider = self.text(entry, (*where, "provider"), _NAME, "a provider's name")
        if provider not in self._providers:
            known = ", ".join(sorted(self._providers))
            raise self.wrong(
                (*where, "provider"), f"one of {known}", provider, _near(provider, self._providers)
            )
        kind = self._kind(entry.get("kind", "chat"), (*where, "kind"))
        credential = None
        if entry.get("credential") is not None:
            credential = self.text(entry, (*where, "credential"), _CREDENTIAL, "env:NAME or file:/path")
        base_url = ""
        if provider != "scripted" or "base_url" in entry:
            base_url = self.text(entry, (*where, "base_url"), _URL, "an http(s) URL").rstrip("/")
        return Model(
            name=name,
            provider=provider,
            base_url=base_url,
            upstream_model=str(entry.get("upstream_model", name)),
            kind=kind,
            credential=credential,
            tags=self._texts(entry.get("tags", {}), (*where, "tags")),
            price=self._price(entry.get("price"), (*where, "price"), kind),
            context_window=self._count(entry.get("context_window"), (*where, "context_window")),
            max_output=self._count(entry.get("max_output"), (*where, "max_output")),
            timeouts=self._timeouts(entry.get("timeouts", {}), (*where, "timeouts")),
            headers=self._texts(entry.get("headers", {}), (*where, "headers")),
            options=dict(self.map_(entry.get("options", {}), (*where, "options"))),
            state=self._state(entry.get("enabled", True), (*where, "enabled")),
        )

    def alias(self, names: Any, key: Key, models: Mapping[str, Model]) -> tuple[str, ...]:
        listed = tuple(self.list_(names, key))
        for name in listed:
            if name not in models:
                raise self.wrong(key, "names of models in this file", name, _near(str(name), models))
        if not listed:
            raise self.wrong(key, "at least one model", listed)
        return listed

    def _kind(self, value: Any, key: Key) -> Kind:
        if value not in [kind.value for kind in Kind]:
            raise self.wrong(key, f"one of {', '.join(kind.value for kind in Kind)}", value)
        return Kind(value)

    def _texts(self, value: Any, key: Key) -> dict[str, str]:
        return {name: str(text) for name, text in self.map_(value, key).items()}

    def _count(self, value: Any, key: Key) -> int | None:
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise self.wrong(key, "a whole number above 0", value)
        return value

    def _state(self, value: Any, key: Key) -> ModelState:
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false", value)
        return ModelState.ENABLED if value else ModelState.DISABLED

    def _timeouts(self, value: Any, key: Key) -> Timeouts:
        entry = self.map_(value, key)
        self.known(entry, {f.name for f in fields(Timeouts)}, key)
        for name, span in entry.items():
            if not isinstance(span, timedelta) or span <= timedelta(0):
                raise self.wrong((*key, name), "a duration such as 30s", span)
        return Timeouts(**entry)

    def _price(self, value: Any, key: Key, kind: Kind) -> Price | None:
        if value is None:
            return None
        entry = self.map_(value, key)
        self.known(entry, (*_PRICE_KEYS, "tiers"), key)
        if kind in _ANSWERS and any(name in entry for name in _TOKEN_KEYS):
            for name in ("input_usd_per_mtok", "output_usd_per_mtok"):
                if name not in entry:
                    raise self.wrong((*key, name), 'USD per million tokens, such as "0.15"', None)
        parts: dict[str, Any] = {
            part: self._usd(entry[name], (*key, name), part)
            for name, part in _PRICE_KEYS.items()
            if name in entry
        }
        if not parts:
            raise self.wrong(key, f"at least one of {', '.join(_PRICE_KEYS)}", dict(entry))
        tiers = tuple(
            self._tier(self.map_(tier, (*key, "tiers", str(number))), (*key, "tiers", str(number)))
            for number, tier in enumerate(self.list_(entry.get("tiers", []), (*key, "tiers")))
        )
        price = Price(**parts, tiers=tiers)
        for doubt in doubts(price):
            where = [*key, *doubt.part.split(".")]
            where[-1] = next(name for name, part in _PRICE_KEYS.items() if part == where[-1])
            raise self.wrong(tuple(where), "a price that can be meant", doubt.why)
        return price

    def _tier(self, entry: Mapping[str, Any], key: Key) -> Tier:
        self.known(entry, (*_TOKEN_KEYS, "over"), key)
        over = self._count(entry.get("over"), (*key, "over"))
        if over is None:
            raise self.wrong((*key, "over"), "from how many tokens of input on, such as 200000", None)
        return Tier(
            over,
            **{
                part: self._usd(entry[name], (*key, name), part)
                for name, part in _TOKEN_KEYS.items()
                if name in entry
            },
        )

    def _usd(self, value: Any, key: Key, part: str) -> Decimal:
        try:
            amount = Decimal(value) if isinstance(value, str) else Decimal("NaN")
        except InvalidOperation:
            amount = Decimal("NaN")
        if not amount.is_finite() or amount < 0:
            raise self.wrong(key, f'USD {unit_of(part)} as a decimal in quotes, such as "0.15"', value)
        return amount


def _near(word: str, known: Collection[str]) -> str | None:
    return next(iter(difflib.get_close_matches(word, known, 1)), None)
