"""From a request's words to a decision: what the name, alias or tags admit, and what the rules then make of it.

It works on snapshots in memory (registry, rules, live facts, load) and never waits. The door uses it for each request,
the workflow's `route` activity for fallbacks and jobs, and `drive` while the engine is away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Protocol

from gateway import decisions
from gateway.domain.errors import (
    BY_CODE,
    GatewayError,
    ModelNotFound,
    NoModelAvailable,
    NoModelFits,
    RefusedByRule,
)
from gateway.domain.health import LiveFacts
from gateway.domain.identity import Caller, CallerKind
from gateway.domain.inference import Attempt, Failure, InferenceRequest, Kind, Mode, Traits
from gateway.domain.registry import AUTO, BY_TAGS, Capability, Model, Registry
from gateway.domain.retries import Route
from gateway.domain.rules import (
    Asked,
    Asking,
    Decision,
    Facts,
    Failed,
    GatewayLoad,
    Memory,
    Refused,
    Rule,
    RuleSet,
    Step,
    decide,
)
from gateway.domain.rules.predicates.price import estimate
from gateway.domain.tags import TagExpression, parse_tags
from gateway.offers import Offered, PricesAt

KEPT_CANDIDATES = 16
"""So many of a ranking go with a request: more than it may ever try, fewer than a registry holds."""
_KEPT_MEMORIES = 4  # of rule sets: the one in force, and those that a few requests were accepted under
_KEPT_VERSIONS = 8  # rule sets that a process remembers for requests that were accepted under them
_KEPT_SELECTIONS = 256
_SOON = timedelta(seconds=1)  # when whoever found no model at the moment should ask again


class Asks(Protocol):
    """Who says what is asked: a request that was accepted, or one that is to be."""

    @property
    def model(self) -> str:
        """A name, an alias, `auto` or `tags:…`."""
        ...

    @property
    def kind(self) -> Kind:
        """What is asked of a model."""
        ...

    @property
    def door(self) -> str:
        """Where it came in."""
        ...

    @property
    def endpoint(self) -> str:
        """The path it was sent to."""
        ...

    @property
    def tags(self) -> Mapping[str, str]:
        """Its tags."""
        ...

    @property
    def metadata(self) -> Mapping[str, str]:
        """Its metadata."""
        ...


class Router:
    """Decides which models a request may go to, in which order."""

    def __init__(
        self,
        registry: Callable[[], Registry],
        rules: Callable[[], RuleSet],
        live: Callable[[], LiveFacts],
        load: Callable[[], GatewayLoad],
    ) -> None:
        """Each gives the immutable state in force, from memory."""
        self._registry = registry
        self._rules = rules
        self._live = live
        self._load = load
        self._offered = Offered(Registry({}, {}, ""))
        self._prices = PricesAt(Registry({}, {}, ""), datetime.min.replace(tzinfo=UTC))
        self._memories: dict[int, tuple[tuple[Rule, ...], Memory]] = {}
        self._versions: dict[str, RuleSet] = {}
        self._jobs = (RuleSet(), RuleSet())

    def by(self, rules: RuleSet) -> Router:
        """The same, deciding by other rules: to try them out."""
        return Router(self._registry, lambda: rules, self._live, self._load)

    def decide(
        self,
        asked: Asked,
        caller: Caller,
        at: datetime,
        failed: tuple[Failed, ...] = (),
        *,
        roll: float,
        rules_version: str | None = None,
        accepted: tuple[str, ...] = (),
        brief: bool = False,
    ) -> Decision:
        """Decide as of now. `rules_version` is the version to decide by, if this process still has it.

        A `brief` decision, for the ledger, leaves out why a rule did not apply where the request alone says it.
        `accepted` are the models that the request was accepted for, if it was: of those that are being drained, they
        alone take it. Nothing is raised: what cannot be served is a decision that says so in `refused`.
        """
        registry = self._registry()
        rules = self._rules_of(rules_version)
        if asked.mode is Mode.JOB:
            rules = self._of_jobs(rules)
        models = self._admitted(registry, asked, caller, accepted)
        if isinstance(models, Refused):
            return Decision(
                (), {}, rules.version, rule="", roll=roll, refused=models, registry_version=registry.version
            )
        facts = Facts(
            asked=asked,
            candidates=models,
            observed_at=at,
            caller=Asking(caller.id, caller.name, caller.kind.value, caller.tags),
            failed=failed,
            prices=self._prices_at(registry, at),
            live=self._live(),
            gateway=self._load(),
            registry_version=registry.version,
            roll=roll,
        )
        decision = decide(rules, facts, brief=brief, memory=self._memory_of(rules))
        if rules_version not in (None, "", rules.version):
            said = f"decided by version {rules.version}: version {rules_version} is not held here any more"
            decision = replace(decision, steps=(Step("rules version", said), *decision.steps))
        return decision

    def route(self, request: InferenceRequest, attempts: tuple[Attempt, ...], at: datetime) -> Route:
        """Decide about a request that was accepted before, without what failed; with it, where nothing else is left."""
        asked, caller = asked_of(request, request.mode, request.traits), caller_of(request)
        failed = _failed(attempts)

        def decided(without: tuple[Failed, ...]) -> Decision:
            return self.decide(
                asked,
                caller,
                at,
                without,
                roll=request.traits.roll,
                rules_version=request.rules_version,
                accepted=request.candidates,
                brief=True,
            )

        decision = decided(failed)
        if failed and not decision.ranked:
            tried = {each.model for each in failed}
            decision = decided(())
            # Not those that were taken out because of how others failed: a window that is no larger, above all.
            decision = replace(decision, ranked=tuple(name for name in decision.ranked if name in tried))
            names = ", ".join(f"{each.model} ({each.code})" for each in failed)
            step = Step("what failed", f"may be called again: nothing is left without {names}")
            decision = replace(decision, steps=(*decision.steps, step))
        return Route(
            candidates=decision.ranked[:KEPT_CANDIDATES],
            estimates={} if request.limits.cost_usd is None else self.estimates(decision, asked, at),
            rules_version=decision.rules_version,
            rule=decision.rule,
            decision=decisions.tell(decision),
            refused=None if decision.ranked else Failure.of(error_of(decision)),
            throttles=decision.throttles,
        )

    def why_not(self, request: InferenceRequest, model: str, at: datetime) -> str | None:
        """Why a copy of a request may not go to a model that it need not have asked for; None if it may.

        The rules that take models out decide on it as on any candidate.
        """
        registry = self._registry()
        found = registry.models.get(model)
        if found is None or not found.enabled or not found.serves(request.kind):
            return f"{model} is no model of this kind that takes requests"
        caller = caller_of(request)
        facts = Facts(
            asked=asked_of(request, request.mode, request.traits),
            candidates=(found,),
            observed_at=at,
            caller=Asking(caller.id, caller.name, caller.kind.value, caller.tags),
            prices=self._prices_at(registry, at),
            live=self._live(),
            gateway=self._load(),
            registry_version=registry.version,
            roll=request.traits.roll,
        )
        decision = decide(self._rules_of(request.rules_version), facts)
        if decision.ranked and decision.refused is None:
            return None
        return decision.passed_over.get(model) or (
            decision.refused.message if decision.refused else "it is refused"
        )

    def estimates(self, decision: Decision, asked: Asked, at: datetime) -> Mapping[str, Decimal]:
        """What the request would cost at each of the best models, where their price is known."""
        registry = self._registry()
        prices = self._prices_at(registry, at)
        found: dict[str, Decimal] = {}
        for name in decision.ranked[:KEPT_CANDIDATES]:
            model = registry.models.get(name)
            cost = None if model is None else estimate(prices.get(name), asked, model)
            if cost is not None:
                found[name] = cost
        return found

    def names_for(self, caller: Caller, kind: Kind = Kind.CHAT) -> tuple[str, ...]:
        """Every name, alias and `auto` that this caller may ask for, sorted."""
        registry = self._registry()
        names = registry.names_for(caller)
        if AUTO not in names and self._all_of(registry, kind, caller):
            names = tuple(sorted((*names, AUTO)))
        return names

    # ---- what is admitted ----------------------------------------------------------------------------------------
    def _admitted(
        self, registry: Registry, asked: Asked, caller: Caller, accepted: tuple[str, ...]
    ) -> tuple[Model, ...] | Refused:
        name, kind = asked.model, asked.kind
        if name in registry.models or name in registry.aliases:
            found = self._named(registry, name, kind, caller, accepted)
        elif name == AUTO or name.startswith(BY_TAGS):
            found = self._all_of(registry, kind, caller)
            if accepted:
                found = _with(found, _drained(registry, accepted, kind))
            if not found:
                return Refused(NoModelFits.code, f"No {kind.value} model is yours to use.")
            if name != AUTO:
                found = self._selected(registry, name.removeprefix(BY_TAGS), kind, found)
        elif accepted:
            # Its name has gone since: what it stood for when the request was accepted may still be there.
            models = (registry.models.get(each) for each in accepted)
            found = tuple(m for m in models if m is not None and m.callable and m.serves(kind))
            found = found or _not_found(name)
        else:
            found = _not_found(name)
        if asked.select and not isinstance(found, Refused):
            found = self._selected(registry, asked.select, kind, found)
        return found

    def _all_of(self, registry: Registry, kind: Kind, caller: Caller) -> tuple[Model, ...]:
        """What `auto` stands for: all models for those who may use all, or `auto`; else those granted by name."""
        if caller.models is None or AUTO in caller.models:
            return self._offered_by(registry).of(kind)
        return self._offered_by(registry).granted(kind, caller.models)

    def _named(
        self, registry: Registry, name: str, kind: Kind, caller: Caller, accepted: tuple[str, ...]
    ) -> tuple[Model, ...] | Refused:
        """What a name or an alias stands for."""
        if not caller.may_use(name):
            return _not_found(name)
        found = self._offered_by(registry).named(kind, name)
        names = (name,) if name in registry.models else registry.aliases[name]
        if accepted:
            found = _with(found, _drained(registry, [each for each in names if each in accepted], kind))
        return found or _none_named(registry, name, names, kind)

    def _selected(
        self, registry: Registry, text: str, kind: Kind, models: tuple[Model, ...]
    ) -> tuple[Model, ...] | Refused:
        wanted = selection_of(text)
        found = self._offered_by(registry).tagged(models, wanted)
        return found or Refused(NoModelFits.code, _why_none(wanted, models))

    def _offered_by(self, registry: Registry) -> Offered:
        if self._offered.registry is not registry:
            self._offered = Offered(registry)
            self._memories.clear()  # they are of models that are not asked for any more
        return self._offered

    def _prices_at(self, registry: Registry, at: datetime) -> PricesAt:
        if not self._prices.hold(registry, at):
            self._prices = PricesAt(registry, at)
        return self._prices

    def _memory_of(self, rules: RuleSet) -> Memory:
        """What was found out by these rules so far."""
        known = self._memories.get(id(rules.rules))
        if known is None:
            known = self._memories[id(rules.rules)] = rules.rules, Memory(rules)
            while len(self._memories) > _KEPT_MEMORIES:
                del self._memories[next(iter(self._memories))]
        return known[1]

    def _rules_of(self, version: str | None) -> RuleSet:
        """The version asked for, of the last few that were in force here; else the one in force."""
        current = self._rules()
        if self._versions.get(current.version) is not current:
            self._versions[current.version] = current
            while len(self._versions) > _KEPT_VERSIONS:
                del self._versions[next(iter(self._versions))]
        if not version or version == current.version:
            return current
        return self._versions.get(version, current)

    def _of_jobs(self, rules: RuleSet) -> RuleSet:
        """The same rules for jobs: how often and how long those are tried is their settings', unless a rule says it."""
        if self._jobs[0] is not rules:
            terms = replace(
                rules.terms,
                attempts=None,
                deadline=None,
                backoff_initial=None,
                backoff_factor=None,
                backoff_max=None,
            )
            self._jobs = rules, replace(rules, terms=terms)
        return self._jobs[1]


# ---- between a request and the facts -----------------------------------------------------------------------------
def asked_of(asking: Asks, mode: Mode, traits: Traits) -> Asked:
    """The request as rules see it. Its metadata counts among its tags: SDKs have a field for that alone."""
    return Asked(
        model=asking.model,
        kind=asking.kind,
        mode=mode,
        door=asking.door,
        endpoint=asking.endpoint,
        tags={**asking.metadata, **asking.tags} if asking.metadata else asking.tags,
        metadata=asking.metadata,
        input_tokens=traits.input_tokens,
        max_output=traits.max_output,
        body_bytes=traits.body_bytes,
        needs=_needs_of(traits.needs),
        images=traits.images,
        conversation=traits.conversation,
        prefer=traits.prefer,
        exclude=traits.exclude,
        max_cost_usd=traits.max_cost_usd,
        select=traits.select,
    )


def caller_of(request: InferenceRequest) -> Caller:
    """The caller as it was when the request was accepted, as far as decisions go: it has no rights."""
    traits = request.traits
    return Caller(
        id=request.caller,
        name=traits.caller_name,
        kind=CallerKind(traits.caller_kind),
        rights=frozenset(),
        models=None if traits.caller_models is None else frozenset(traits.caller_models),
        tags=traits.caller_tags,
    )


@lru_cache(256)
def _needs_of(words: tuple[str, ...]) -> frozenset[Capability]:
    return frozenset(Capability(word) for word in words)


@lru_cache(_KEPT_SELECTIONS)
def selection_of(text: str) -> TagExpression:
    """The tag expression of a text that was checked before. Raises ValueError."""
    return parse_tags(text)


def error_of(decision: Decision) -> GatewayError:
    """The error of a decision that leaves nothing to call."""
    refused = decision.refused or Refused(NoModelFits.code, "")
    kind = BY_CODE.get(refused.code, RefusedByRule)
    return kind(
        refused.message or None,
        param=None if refused.rule else "model",
        retry_after=max(refused.retry_after or _SOON, _SOON) if kind.retryable else None,
    )


def _failed(attempts: tuple[Attempt, ...]) -> tuple[Failed, ...]:
    """The models that were tried and failed, each with its last failure."""
    last = {a.model: a.failure for a in attempts if a.failure is not None}
    return tuple(Failed(model, failure.code, failure.retryable) for model, failure in last.items())


def _none_named(registry: Registry, name: str, names: tuple[str, ...], kind: Kind) -> Refused:
    """Why a name or an alias stands for nothing that could be asked."""
    models = [registry.models[each] for each in names if each in registry.models]
    if models and not any(model.serves(kind) for model in models):
        kinds = " or ".join(sorted({model.kind.value for model in models}))
        return Refused(NoModelFits.code, f"`{name}` is for {kinds} and cannot be asked for {kind.value}.")
    return Refused(
        NoModelAvailable.code, f"`{name}` takes no requests at the moment: it is disabled or being drained."
    )


def _with(models: tuple[Model, ...], more: Iterable[Model]) -> tuple[Model, ...]:
    """The same tuple, unless there are more."""
    added = tuple(more)
    return (*models, *added) if added else models


def _drained(registry: Registry, names: Iterable[str], kind: Kind) -> Iterator[Model]:
    """Those of these models that take no new requests and finish what they were given."""
    models = (registry.models.get(name) for name in names)
    return (m for m in models if m is not None and m.callable and not m.enabled and m.serves(kind))


def _not_found(name: str) -> Refused:
    """Alike for what is unknown and what the caller may not use."""
    return Refused(ModelNotFound.code, f"The model `{name}` does not exist or you do not have access to it.")


def _why_none(wanted: TagExpression, models: tuple[Model, ...]) -> str:
    """Which term of a selection left none of these models, without naming any."""
    left = models
    for term in wanted.terms:
        kept = tuple(model for model in left if TagExpression((term,)).holds(model.all_tags))
        if not kept:
            before = ",".join(str(each) for each in wanted.terms[: wanted.terms.index(term)])
            which = f"with `{before}`" if before else "that this request may go to"
            return f"No model fits: of the {len(left)} {which}, none fulfils `{term}`."
        left = kept
    return "No model fits."
