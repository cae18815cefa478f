"""Models and aliases as a file in HOCON says them: each value typed, each mistake with its place and a way out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Final, TypeVar

from gateway.domain.addresses import origin_of
from gateway.domain.inference import Kind
from gateway.domain.price_checks import unit_of
from gateway.domain.prices import OTHER_PARTS, TOKEN_PARTS, Price, Tier
from gateway.domain.registry import Capability, Model, ModelLimits, ModelState, Timeouts
from gateway.domain.secret import MASK
from gateway.registry.checks import A_COUNT, A_NAME, A_SPAN, NAME, Checks, Key, near
from gateway.settings import Place, Problem, SettingsError

Word = TypeVar("Word", bound=StrEnum)
_TOKEN_KEYS: Final = {f"{part}_per_mtok": part for part in TOKEN_PARTS}
_PRICE_KEYS: Final = _TOKEN_KEYS | {part: part for part in OTHER_PARTS}
_ANSWERS: Final = frozenset({Kind.CHAT, Kind.COMPLETION})
"""Kinds of which a price without one for what they answer is half a price."""
_KEYS: Final = (
    "name",
    "provider",
    "base_url",
    "upstream_model",
    "kind",
    "credential",
    "capabilities",
    "tags",
    "price",
    "context_window",
    "max_output",
    "size",
    "quality",
    "limits",
    "timeouts",
    "headers",
    "options",
    "aliases",
    "state",
    "enabled",
    "notes",
)


@dataclass(frozen=True, slots=True)
class Entries:
    """What a file says: models by name, and aliases with their models in order, those included that models name."""

    models: Mapping[str, Model]
    aliases: Mapping[str, tuple[str, ...]]


def read_entries(tree: Mapping[str, Any], checks: Checks, place: Callable[[Key], Place]) -> Entries:
    """Read `models` and `aliases`. Raises SettingsError, which tells all mistakes; `place` says where a key is."""
    reader = _Reader(checks, place)
    entries = reader.all_of(tree)
    if reader.problems:
        raise SettingsError(reader.problems)
    return entries


class _Mistake(Exception):
    """What a key holds cannot be read; it is among the problems already."""


class _Reader:
    """Takes values out of a parsed file, and notes what is wrong with them."""

    def __init__(self, checks: Checks, place: Callable[[Key], Place]) -> None:
        self._checks = checks
        self._place = place
        self.problems: list[Problem] = []

    def all_of(self, tree: Mapping[str, Any]) -> Entries:
        """Everything, as far as it can be read."""
        models: dict[str, Model] = {}
        named: dict[str, list[str]] = {}
        try:
            self._known(tree, ("models", "aliases"), ())
            listed = self._list(tree.get("models", []), ("models",))
            said = self._map(tree.get("aliases", {}), ("aliases",))
        except _Mistake:
            return Entries({}, {})
        for number, entry in enumerate(listed):
            key = ("models", str(number))
            try:
                model, aliases = self._model(self._map(entry, key), key)
                if model.name in models:
                    raise self._wrong((*key, "name"), "a name of its own", model.name)
            except _Mistake:
                continue
            models[model.name] = model
            for alias in aliases:
                named.setdefault(alias, []).append(model.name)
        return Entries(models, self._aliases(said, named, models))

    def _aliases(
        self, said: Mapping[str, Any], named: Mapping[str, list[str]], models: Mapping[str, Model]
    ) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for alias, names in said.items():
            key = ("aliases", alias)
            try:
                for wrong in self._checks.alias(alias):
                    raise self._wrong(key, wrong.expected, wrong.got)
                if alias in models:
                    raise self._wrong(key, "a name that no model has", alias)
                found[alias] = self._members(names, key, models)
            except _Mistake:
                continue
        for alias, names in named.items():
            if alias in models:
                self._wrong(("aliases",), "names that no model has", alias)
            # Where the file gives an alias its order, the models that name it themselves come after.
            found[alias] = tuple(dict.fromkeys((*found.get(alias, ()), *names)))
        return found

    def _members(self, names: Any, key: Key, models: Mapping[str, Model]) -> tuple[str, ...]:
        listed = tuple(self._list(names, key))
        for name in listed:
            if name not in models:
                raise self._wrong(key, "names of models in this file", name, near(name, models))
        if not listed:
            raise self._wrong(key, "at least one model", listed)
        return listed

    def _model(self, entry: Mapping[str, Any], where: Key) -> tuple[Model, tuple[str, ...]]:
        self._known(entry, _KEYS, where)
        name = self._text(entry, (*where, "name"))
        if name is None or not NAME.fullmatch(name):
            raise self._wrong((*where, "name"), A_NAME, name)
        aliases = tuple(self._words(entry.get("aliases", []), (*where, "aliases")))
        capabilities = entry.get("capabilities")
        kind = self._word(Kind, entry.get("kind", "chat"), (*where, "kind"))
        model = Model(
            name=name,
            provider=self._text(entry, (*where, "provider")) or "",
            base_url=(self._text(entry, (*where, "base_url")) or "").rstrip("/"),
            upstream_model=str(entry.get("upstream_model", name)),
            kind=kind,
            credential=self._text(entry, (*where, "credential"), shown=False),
            capabilities=None if capabilities is None else self._capabilities(capabilities, where),
            tags=self._texts(entry.get("tags", {}), (*where, "tags")),
            price=self._price(entry.get("price"), (*where, "price"), kind),
            context_window=self._count(entry.get("context_window"), (*where, "context_window")),
            max_output=self._count(entry.get("max_output"), (*where, "max_output")),
            size=self._text(entry, (*where, "size")),
            quality=self._number(entry.get("quality"), (*where, "quality")),
            limits=self._limits(entry.get("limits", {}), (*where, "limits")),
            timeouts=self._timeouts(entry.get("timeouts", {}), (*where, "timeouts")),
            headers=self._texts(entry.get("headers", {}), (*where, "headers")),
            options=dict(self._map(entry.get("options", {}), (*where, "options"))),
            state=self._state(entry, where),
            notes=self._text(entry, (*where, "notes")) or "",
        )
        model = self._checks.filled(model)
        wrong = self._checks.of(model, aliases)
        for each in wrong:
            key = each.key
            if key[0] == "price" and key[-1] in TOKEN_PARTS:
                key = (*key[:-1], f"{key[-1]}_per_mtok")
            self._wrong((*where, *key), each.expected, each.got, each.nearest)
        if wrong:
            raise _Mistake
        if model.credential is not None:
            model = replace(model, credential_for=origin_of(model.base_url))
        return model, aliases

    # ---- kinds of values -----------------------------------------------------------------------------------------
    def _wrong(self, key: Key, expected: str, got: Any, nearest: str | None = None) -> _Mistake:
        place = self._place(key)
        self.problems.append(Problem(place, ".".join(key), f"expected {expected}, got {got!r}", nearest))
        return _Mistake()

    def _known(self, entry: Mapping[str, Any], names: Collection[str], where: Key) -> None:
        unknown = [name for name in entry if name not in names]
        for name in unknown:
            self._wrong((*where, name), f"one of {', '.join(sorted(names))}", name, near(name, names))
        if unknown:
            raise _Mistake

    def _map(self, value: Any, key: Key) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise self._wrong(key, "an object { … }", value)
        return value

    def _list(self, value: Any, key: Key) -> list[Any]:
        if not isinstance(value, list):
            raise self._wrong(key, "a list [ … ]", value)
        return value

    def _text(self, entry: Mapping[str, Any], key: Key, *, shown: bool = True) -> str | None:
        value = entry.get(key[-1])
        if value is not None and not isinstance(value, str):
            raise self._wrong(key, "text, in quotes where it looks like a number", value if shown else MASK)
        return value

    def _texts(self, value: Any, key: Key) -> dict[str, str]:
        return {name: str(text) for name, text in self._map(value, key).items()}

    def _words(self, value: Any, key: Key) -> list[str]:
        words = self._list(value, key)
        for word in words:
            if not isinstance(word, str):
                raise self._wrong(key, "a list of texts", word)
        return words

    def _word(self, words: type[Word], value: Any, key: Key) -> Word:
        known = [word.value for word in words]
        if value not in known:
            raise self._wrong(key, f"one of {', '.join(known)}", value, near(value, known))
        return words(value)

    def _capabilities(self, value: Any, where: Key) -> frozenset[Capability]:
        key = (*where, "capabilities")
        return frozenset(self._word(Capability, each, key) for each in self._list(value, key))

    def _count(self, value: Any, key: Key) -> int | None:
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise self._wrong(key, A_COUNT, value)
        return value

    def _number(self, value: Any, key: Key) -> float | None:
        if value is not None and (not isinstance(value, int | float) or isinstance(value, bool)):
            raise self._wrong(key, "a number such as 0.7", value)
        return None if value is None else float(value)

    def _state(self, entry: Mapping[str, Any], where: Key) -> ModelState:
        if "state" in entry and "enabled" in entry:
            raise self._wrong((*where, "enabled"), "either state or enabled", entry["enabled"])
        if "enabled" in entry:
            if not isinstance(entry["enabled"], bool):
                raise self._wrong((*where, "enabled"), "true or false", entry["enabled"])
            return ModelState.ENABLED if entry["enabled"] else ModelState.DISABLED
        return self._word(ModelState, entry.get("state", ModelState.ENABLED), (*where, "state"))

    def _limits(self, value: Any, key: Key) -> ModelLimits:
        entry = self._map(value, key)
        self._known(entry, [f.name for f in fields(ModelLimits)], key)
        return ModelLimits(**{name: self._count(count, (*key, name)) for name, count in entry.items()})

    def _timeouts(self, value: Any, key: Key) -> Timeouts:
        entry = self._map(value, key)
        self._known(entry, [f.name for f in fields(Timeouts)], key)
        for name, span in entry.items():
            if not isinstance(span, timedelta) or span <= timedelta(0):
                raise self._wrong((*key, name), A_SPAN, span)
        return Timeouts(**entry)

    def _price(self, value: Any, key: Key, kind: Kind) -> Price | None:
        if value is None:
            return None
        entry = self._map(value, key)
        self._known(entry, (*_PRICE_KEYS, "tiers"), key)
        if kind in _ANSWERS and any(name in entry for name in _TOKEN_KEYS):
            for name in ("input_usd_per_mtok", "output_usd_per_mtok"):
                if name not in entry:
                    raise self._wrong((*key, name), 'USD per million tokens, such as "0.15"', None)
        parts: dict[str, Any] = {
            part: self._usd(entry[name], (*key, name), part)
            for name, part in _PRICE_KEYS.items()
            if name in entry
        }
        if not parts:
            raise self._wrong(key, f"at least one of {', '.join(_PRICE_KEYS)}", dict(entry))
        tiers = tuple(
            self._tier(self._map(tier, (*key, "tiers", str(number))), (*key, "tiers", str(number)))
            for number, tier in enumerate(self._list(entry.get("tiers", []), (*key, "tiers")))
        )
        return Price(**parts, tiers=tiers)

    def _tier(self, entry: Mapping[str, Any], key: Key) -> Tier:
        self._known(entry, (*_TOKEN_KEYS, "over"), key)
        over = self._count(entry.get("over"), (*key, "over"))
        if over is None:
            raise self._wrong((*key, "over"), "from how many tokens of input on, such as 200000", None)
        parts = {
            part: self._usd(entry[name], (*key, name), part)
            for name, part in _TOKEN_KEYS.items()
            if name in entry
        }
        return Tier(over, **parts)

    def _usd(self, value: Any, key: Key, part: str) -> Decimal:
        try:
            amount = Decimal(value) if isinstance(value, str) else Decimal("NaN")
        except InvalidOperation:
            amount = Decimal("NaN")
        if not amount.is_finite() or amount < 0:
            raise self._wrong(key, f'USD {unit_of(part)} as a decimal in quotes, such as "0.15"', value)
        return amount
