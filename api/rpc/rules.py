"""RulesService: the rules by which models are chosen."""

from __future__ import annotations

from api.rpc.asked import chat_body
from api.rpc.decisions import decision_message, duration
from api.rpc.door import Call
from api.rpc.simulations import simulation_message, wanted_of
from api.rpc.values import limit_of, timestamp
from api.service.forms import read_chat
from api.service.rules import As, By, Explained, RulesService
from api.service.simulations import SimulationsService
from gateway.domain.errors import InvalidRequest
from gateway.domain.identity import CallerKind
from gateway.storage.ports import RuleVersion
from gateway.v1 import rules_pb2 as pb


class RulesServicer:
    """The twin of `/api/v1/rules`."""

    def __init__(self, rules: RulesService, simulations: SimulationsService) -> None:
        """`rules` knows and decides, `simulations` tries."""
        self._rules = rules
        self._simulations = simulations

    async def get(self, call: Call, request: pb.RulesServiceGetRequest) -> pb.RulesServiceGetResponse:
        """The version in force."""
        return pb.RulesServiceGetResponse(version=_version(await self._rules.current(call.caller)))

    async def get_version(
        self, call: Call, request: pb.RulesServiceGetVersionRequest
    ) -> pb.RulesServiceGetVersionResponse:
        """One version with its text."""
        version = await self._rules.get(call.caller, request.number)
        return pb.RulesServiceGetVersionResponse(version=_version(version))

    async def list_versions(
        self, call: Call, request: pb.RulesServiceListVersionsRequest
    ) -> pb.RulesServiceListVersionsResponse:
        """Versions newest first, without their texts."""
        page = await self._rules.find(call.caller, limit=limit_of(request.limit), after=request.after or None)
        return pb.RulesServiceListVersionsResponse(
            versions=[_version(version, text=False) for version in page.rows],
            next_after=page.next_after or "",
        )

    async def validate(
        self, call: Call, request: pb.RulesServiceValidateRequest
    ) -> pb.RulesServiceValidateResponse:
        """Read a text and say all that is wrong with it."""
        checked = await self._rules.check(call.caller, request.text)
        problems = [
            pb.RuleProblem(
                line=each.line, rule=each.rule, key=each.key, message=each.message, nearest=each.nearest
            )
            for each in checked.problems
        ]
        return pb.RulesServiceValidateResponse(
            valid=checked.valid,
            problems=problems,
            digest=checked.digest,
            canonical=checked.canonical,
            rules=checked.rules,
        )

    async def explain(
        self, call: Call, request: pb.RulesServiceExplainRequest
    ) -> pb.RulesServiceExplainResponse:
        """What rules make of a request, step by step."""
        by = By(request.text or None, request.version or None)
        if request.HasField("chat") == bool(request.request_id):
            raise InvalidRequest("Give `chat` or `request_id`, one of both.", param="chat")
        if request.request_id:
            return _explained(await self._rules.explain_logged(call.caller, request.request_id, by))
        ask = read_chat(chat_body(request.chat), call.hints, door="rpc")
        asking = _asking(request.asking) if request.HasField("asking") else None
        return _explained(await self._rules.explain(call.caller, ask, by, asking, request.roll))

    async def publish(
        self, call: Call, request: pb.RulesServicePublishRequest
    ) -> pb.RulesServicePublishResponse:
        """Keep a text as the next version and put it in force."""
        expected = request.expected_version if request.HasField("expected_version") else None
        published = await self._rules.publish(call.caller, request.text, note=request.note, expected=expected)
        return pb.RulesServicePublishResponse(version=_version(published))

    async def rollback(
        self, call: Call, request: pb.RulesServiceRollbackRequest
    ) -> pb.RulesServiceRollbackResponse:
        """Put an earlier version in force again."""
        expected = request.expected_version if request.HasField("expected_version") else None
        restored = await self._rules.rollback(
            call.caller, request.number, note=request.note, expected=expected
        )
        return pb.RulesServiceRollbackResponse(version=_version(restored))

    async def simulate(
        self, call: Call, request: pb.RulesServiceSimulateRequest
    ) -> pb.RulesServiceSimulateResponse:
        """Try rules on logged requests, in the background."""
        by, wanted = wanted_of(request)
        begun = await self._simulations.simulate(call.caller, by, wanted)
        return pb.RulesServiceSimulateResponse(simulation=simulation_message(begun))

    async def get_simulation(
        self, call: Call, request: pb.RulesServiceGetSimulationRequest
    ) -> pb.RulesServiceGetSimulationResponse:
        """How far a simulation is, and what it found."""
        found = await self._simulations.get(call.caller, request.id)
        return pb.RulesServiceGetSimulationResponse(simulation=simulation_message(found))


def _version(version: RuleVersion, *, text: bool = True) -> pb.RuleVersion:
    return pb.RuleVersion(
        number=version.number,
        text=version.text if text else "",
        digest=version.digest,
        author=version.author,
        note=version.note,
        created_at=timestamp(version.created_at),
        in_force=version.in_force,
        since=timestamp(version.since),
    )


def _asking(given: pb.ExplainAs) -> As:
    try:
        kind = CallerKind(given.kind or "agent")
    except ValueError as e:
        known = ", ".join(kind.value for kind in CallerKind)
        raise InvalidRequest(f"`asking.kind` must be one of {known}.", param="asking.kind") from e
    return As(given.name, kind, dict(given.tags), frozenset(given.models) or None)


def _explained(explained: Explained) -> pb.RulesServiceExplainResponse:
    return pb.RulesServiceExplainResponse(
        decision=decision_message(explained.decision),
        facts_age=duration(explained.facts_age),
        actual_model=explained.actual_model or "",
    )
