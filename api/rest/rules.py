"""`/api/v1/rules`: the rules by which models are chosen."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.auth import authenticate
from api.headers import hints_of
from api.rest import bodies
from api.rest.decisions import DecisionShape, decision_shape
from api.rest.http import expected_version
from api.service.forms import read_chat
from api.service.rules import As, By, Checked, Explained, RulesService
from gateway.domain.errors import InvalidRequest
from gateway.domain.identity import Caller, CallerKind
from gateway.identity import Identify
from gateway.settings import Api
from gateway.storage.ports import RuleVersion

IfMatch = Annotated[
    str | None, Header(description="The version in force that the change was made from, as its `ETag`.")
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TextBody(_Body):
    """A rule text in HOCON."""

    text: str


class PublishBody(TextBody):
    """A rule text, and why it comes into force."""

    note: str = ""


class RollbackBody(_Body):
    """Which version comes back, and why."""

    version: int = Field(ge=1)
    note: str = ""


class AsBody(_Body):
    """As whom a request is explained; without `models` it may use all."""

    name: str = ""
    kind: CallerKind = CallerKind.AGENT
    tags: Mapping[str, str] = {}
    models: list[str] | None = None


class ExplainBody(_Body):
    """By which rules (a text, a version, or those in force), and about which request: a body, or a logged one's id."""

    text: str | None = None
    version: int | None = Field(default=None, ge=1)
    body: Mapping[str, Any] | None = None
    request_id: str | None = None
    caller: AsBody | None = None
    roll: float = Field(default=0.0, ge=0, lt=1)


class VersionShape(_Body):
    """One version of the rules; `text` is left out of lists."""

    object: Literal["rules.version"] = "rules.version"
    version: int
    text: str | None
    digest: str
    author: str
    note: str
    created_at: datetime
    in_force: bool
    since: datetime | None


class VersionsPage(_Body):
    """Versions newest first; ask again with `after=next_after` while it is there."""

    object: Literal["list"] = "list"
    data: list[VersionShape]
    next_after: str | None


class WrongShape(_Body):
    """One thing that is wrong with a text."""

    line: int | None
    rule: str
    key: str
    message: str
    nearest: str


class CheckedShape(_Body):
    """What a text says, or all that is wrong with it."""

    valid: bool
    problems: list[WrongShape]
    digest: str
    canonical: str
    rules: list[str]


class ExplainedShape(_Body):
    """A decision that called nothing; the age of the live facts in seconds; the model that a logged request called."""

    decision: DecisionShape
    facts_age_s: float | None
    actual_model: str | None


def router(identity: Identify, service: RulesService, settings: Api) -> APIRouter:
    """The routes of rules."""
    routes = APIRouter(prefix="/api/v1/rules", tags=["rules"])

    async def who(request: Request) -> Caller:
        return await authenticate(identity, request.scope["gateway"]["headers"])

    @routes.get("")
    async def current(request: Request, response: Response) -> VersionShape:
        """The rules in force."""
        return _tagged(response, await service.current(await who(request)))

    @routes.get("/versions")
    async def find(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        after: str | None = None,
    ) -> VersionsPage:
        """Versions newest first, without their texts."""
        page = await service.find(await who(request), limit=limit, after=after)
        return VersionsPage(
            data=[version_shape(version, text=False) for version in page.rows], next_after=page.next_after
        )

    @routes.get("/versions/{version}")
    async def get(request: Request, version: int) -> VersionShape:
        """One version with its text."""
        return version_shape(await service.get(await who(request), version))

    @routes.post("/validate", openapi_extra=bodies.described(TextBody))
    async def validate(request: Request) -> CheckedShape:
        """Read a text and say all that is wrong with it; changes nothing."""
        caller = await who(request)
        body = await bodies.read(request, TextBody, settings)
        return checked_shape(await service.check(caller, body.text))

    @routes.post("/explain", openapi_extra=bodies.described(ExplainBody))
    async def explain(request: Request) -> ExplainedShape:
        """What rules make of a request, step by step; calls no model."""
        caller = await who(request)
        body = await bodies.read(request, ExplainBody, settings)
        by = By(body.text, body.version)
        if (body.body is None) == (body.request_id is None):
            raise InvalidRequest("Give `body` or `request_id`, one of both.", param="body")
        if body.request_id is not None:
            return _explained(await service.explain_logged(caller, body.request_id, by))
        door = request.scope["gateway"]
        ask = read_chat(
            msgspec.json.encode(body.body),
            hints_of(door["headers"], door["span"], door["request_id"]),
            door="rest",
        )
        asking = None
        if body.caller is not None:
            models = None if body.caller.models is None else frozenset(body.caller.models)
            asking = As(body.caller.name, body.caller.kind, body.caller.tags, models)
        return _explained(await service.explain(caller, ask, by, asking, body.roll))

    @routes.post("/publish", status_code=201, openapi_extra=bodies.described(PublishBody))
    async def publish(request: Request, response: Response, if_match: IfMatch = None) -> VersionShape:
        """Keep a text as the next version and put it in force, everywhere within two seconds."""
        caller = await who(request)
        body = await bodies.read(request, PublishBody, settings)
        published = await service.publish(
            caller, body.text, note=body.note, expected=expected_version(if_match)
        )
        return _tagged(response, published)

    @routes.post("/rollback", openapi_extra=bodies.described(RollbackBody))
    async def rollback(request: Request, response: Response, if_match: IfMatch = None) -> VersionShape:
        """Put an earlier version in force again."""
        caller = await who(request)
        body = await bodies.read(request, RollbackBody, settings)
        restored = await service.rollback(
            caller, body.version, note=body.note, expected=expected_version(if_match)
        )
        return _tagged(response, restored)

    return routes


def version_shape(version: RuleVersion, *, text: bool = True) -> VersionShape:
    """A version as we show it."""
    return VersionShape(
        version=version.number,
        text=version.text if text else None,
        digest=version.digest,
        author=version.author,
        note=version.note,
        created_at=version.created_at,
        in_force=version.in_force,
        since=version.since,
    )


def checked_shape(checked: Checked) -> CheckedShape:
    """What was found in a text, as we show it."""
    problems = [
        WrongShape(line=each.line, rule=each.rule, key=each.key, message=each.message, nearest=each.nearest)
        for each in checked.problems
    ]
    return CheckedShape(
        valid=checked.valid,
        problems=problems,
        digest=checked.digest,
        canonical=checked.canonical,
        rules=list(checked.rules),
    )


def _tagged(response: Response, version: RuleVersion) -> VersionShape:
    response.headers["etag"] = f'"{version.number}"'
    return version_shape(version)


def _explained(explained: Explained) -> ExplainedShape:
    return ExplainedShape(
        decision=decision_shape(explained.decision),
        facts_age_s=None if explained.facts_age is None else explained.facts_age.total_seconds(),
        actual_model=explained.actual_model,
    )
