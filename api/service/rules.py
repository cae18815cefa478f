"""The rules: shown, tried out, put in force, and taken back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from api.service.ask import Ask
from api.service.requests import RequestsService
from gateway.domain.errors import InvalidRequest, RulesInvalid, RuleVersionNotFound
from gateway.domain.health import LiveFacts
from gateway.domain.identity import Caller, CallerKind, Right
from gateway.domain.inference import Mode
from gateway.domain.rules import Decision, RuleSet
from gateway.router import Router, asked_of, caller_of
from gateway.rulebook import Reads
from gateway.rules.problems import RuleProblem
from gateway.rules.write import write_hocon
from gateway.settings import Problem, SettingsError
from gateway.storage.ports import Page, Rules, RuleVersion

_DRAFT: Final = "draft"
_LONGEST_NOTE: Final = 2000


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing that is wrong with a text: where, in which rule, at which key, and the nearest word that is known."""

    line: int | None
    rule: str
    key: str
    message: str
    nearest: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What a text says, or what is wrong with it. `canonical` is the same rules in the one canonical layout."""

    problems: tuple[Wrong, ...] = ()
    digest: str = ""
    canonical: str = ""
    rules: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether it could be published."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class By:
    """By which rules something is decided: a text, a version, or (neither) those in force."""

    text: str | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class As:
    """As whom a request is explained; `models` are the models and aliases that it may use, None means every one."""

    name: str = ""
    kind: CallerKind = CallerKind.AGENT
    tags: Mapping[str, str] = field(default_factory=dict)
    models: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Explained:
    """A decision that calls nothing, the age of the facts it was made by, and what a logged request really called."""

    decision: Decision
    facts_age: timedelta | None = None
    actual_model: str | None = None


class RulesService:
    """Shows the rules with `rules.read`, changes them with `rules.write`."""

    def __init__(
        self,
        rules: Rules,
        texts: Reads,
        router: Router,
        requests: RequestsService,
        live: Callable[[], LiveFacts],
    ) -> None:
        """`router` decides by what this process knows now."""
        self._rules = rules
        self._texts = texts
        self._router = router
        self._requests = requests
        self._live = live

    async def current(self, caller: Caller) -> RuleVersion:
        """The version in force. Raises RuleVersionNotFound if there never was one."""
        caller.require(Right.RULES_READ)
        return _found(await self._rules.current())

    async def get(self, caller: Caller, number: int) -> RuleVersion:
        """One version. Raises RuleVersionNotFound."""
        caller.require(Right.RULES_READ)
        return _found(await self._rules.get(number))

    async def find(self, caller: Caller, *, limit: int, after: str | None = None) -> Page[RuleVersion]:
        """Versions newest first."""
        caller.require(Right.RULES_READ)
        return await self._rules.find(limit=limit, after=after)

    async def check(self, caller: Caller, text: str) -> Checked:
        """What a text says, or all that is wrong with it."""
        caller.require(Right.RULES_READ)
        return await check(self._texts, text)

    async def explain(
        self, caller: Caller, ask: Ask, by: By, who: As | None = None, roll: float = 0.0
    ) -> Explained:
        """What rules make of a request as of now. Raises RulesInvalid, RuleVersionNotFound."""
        caller.require(Right.RULES_READ)
        router = await self._by(by)
        asking = caller if who is None else _caller(who)
        traits = replace(ask.traits, caller_name=asking.name, caller_tags=asking.tags, roll=_roll(roll))
        asked = asked_of(ask, Mode.STREAM if ask.stream else Mode.SYNC, traits)
        now = datetime.now(UTC)
        decision = router.decide(asked, asking, now, roll=traits.roll)
        return Explained(decision, self._live().age(now))

    async def explain_logged(self, caller: Caller, request_id: str, by: By) -> Explained:
        """What rules make of a logged request as of now. Raises RequestNotFound besides."""
        caller.require(Right.RULES_READ)
        record = await self._requests.get(caller, request_id)
        router = await self._by(by)
        request, now = record.request, datetime.now(UTC)
        decision = router.decide(
            asked_of(request, request.mode, request.traits),
            caller_of(request),
            now,
            roll=request.traits.roll,
        )
        attempts = record.settlement.attempts
        return Explained(decision, self._live().age(now), attempts[0].model if attempts else None)

    async def publish(
        self, caller: Caller, text: str, *, note: str = "", expected: int | None = None
    ) -> RuleVersion:
        """Keep a text as the next version and put it in force. Raises RulesInvalid and VersionConflict."""
        caller.require(Right.RULES_WRITE)
        _check_note(note)
        rules = await self._read(text)
        return await self._rules.publish(text, rules.version, actor=caller.id, note=note, expected=expected)

    async def rollback(
        self, caller: Caller, number: int, *, note: str = "", expected: int | None = None
    ) -> RuleVersion:
        """Put an earlier version in force again. Raises RuleVersionNotFound, RulesInvalid and VersionConflict."""
        caller.require(Right.RULES_WRITE)
        _check_note(note)
        # The gateway may have learnt better since then: what it can no longer read does not come back.
        await self._read(_found(await self._rules.get(number)).text)
        return _found(await self._rules.restore(number, actor=caller.id, note=note, expected=expected))

    async def read(self, by: By) -> tuple[str, RuleSet]:
        """The text and the rules that are meant. Raises RulesInvalid, RuleVersionNotFound, InvalidRequest."""
        if by.text is not None and by.version is not None:
            raise InvalidRequest("Give `text` or `version`, not both.", param="version")
        if by.text is not None:
            return by.text, await self._read(by.text)
        version = _found(await (self._rules.current() if by.version is None else self._rules.get(by.version)))
        return version.text, await self._read(version.text, str(version.number))

    async def _by(self, by: By) -> Router:
        if by.text is None and by.version is None:
            return self._router
        _, rules = await self.read(by)
        return self._router.by(rules)

    async def _read(self, text: str, version: str | None = None) -> RuleSet:
        try:
            return await self._texts.read(text, _DRAFT if version is None else f"version {version}", version)
        except SettingsError as e:
            raise RulesInvalid(str(e), param="text") from e


async def check(texts: Reads, text: str, name: str = _DRAFT) -> Checked:
    """What a text says, or all that is wrong with it."""
    try:
        rules = await texts.read(text, name)
    except SettingsError as e:
        return Checked(tuple(_wrong(problem) for problem in e.problems))
    return Checked((), rules.version, write_hocon(rules), tuple(rule.name for rule in rules.rules))


def _wrong(problem: Problem) -> Wrong:
    return Wrong(
        line=problem.place.line,
        rule=problem.rule if isinstance(problem, RuleProblem) else "",
        key=problem.key,
        message=problem.text,
        nearest=problem.nearest or "",
    )


def _caller(who: As) -> Caller:
    return Caller(id="", name=who.name, kind=who.kind, rights=frozenset(), models=who.models, tags=who.tags)


def _roll(roll: float) -> float:
    if not 0 <= roll < 1:
        raise InvalidRequest("`roll` must be at least 0 and less than 1.", param="roll")
    return roll


def _check_note(note: str) -> None:
    if len(note) > _LONGEST_NOTE:
        raise InvalidRequest(f"`note` must have at most {_LONGEST_NOTE} characters.", param="note")


def _found(version: RuleVersion | None) -> RuleVersion:
    if version is None:
        raise RuleVersionNotFound
    return version
