"""Deciding logged requests again: by a draft, with today's registry and prices, and the live facts of their moments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from gateway.domain.breaker import BreakerPolicy
from gateway.domain.registry import Registry
from gateway.domain.rules import GatewayLoad, RuleSet, parse
from gateway.domain.simulation import Logged
from gateway.router import Router, asked_of, caller_of
from gateway.rules.cel import compile_cel
from gateway.simulation.past import Past
from gateway.simulation.tally import Tally

_UNKNOWN = GatewayLoad()


class Setting(msgspec.Struct):
    """All that a replay goes by: rules as plain values, and what else decides, as it is when the simulation begins."""

    rules: Mapping[str, Any]
    registry: Registry
    breaker: BreakerPolicy = msgspec.field(default_factory=BreakerPolicy)
    serve_all_open: bool = False
    most_models: int = 2_000
    most_callers: int = 20_000


def setting_of(rules: RuleSet, registry: Registry, **more: Any) -> Setting:
    """The setting of some rules; of models only what decisions may know: no headers, no credentials."""
    models = {
        name: replace(model, credential=None, credential_for="", headers={}, options={}, notes="")
        for name, model in registry.models.items()
    }
    return Setting(rules.said, replace(registry, models=models), **more)


class Replay:
    """Takes requests in the order of their acceptance, and tallies what would become of them."""

    def __init__(self, setting: Setting) -> None:
        """Nothing has happened yet."""
        self.tally = Tally()
        self._registry = setting.registry
        rules = parse(setting.rules, compile_=compile_cel)
        self._past = Past(
            setting.breaker,
            serve_all_open=setting.serve_all_open,
            most_models=setting.most_models,
            most_callers=setting.most_callers,
        )
        self._router = Router(lambda: setting.registry, lambda: rules, self._past.facts, lambda: _UNKNOWN)

    def take(self, page: Iterable[Logged], *, decide: bool) -> None:
        """The next requests; without `decide` they only count among what happened, and so do copies."""
        for logged in page:
            self._past.advance(logged.request.accepted_at, look=decide)
            if decide and not logged.is_copy:
                self._decide(logged)
            self._past.add(logged)

    def _decide(self, logged: Logged) -> None:
        request = logged.request
        at = request.accepted_at
        decision = self._router.decide(
            asked_of(request, request.mode, request.traits),
            caller_of(request),
            at,
            roll=request.traits.roll,
        )
        model = None if decision.model is None else self._registry.models.get(decision.model)
        price = None
        if model is not None and model.name != logged.first_model:
            price = self._registry.price(model, at)
        self.tally.count(logged, decision, price)
