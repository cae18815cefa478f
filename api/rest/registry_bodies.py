"""Models as REST takes and shows them, and the bodies beside them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from api.rest import bodies
from api.service.registry import Discovered, Draft, Imported, Tried
from gateway.domain.errors import InvalidRequest
from gateway.domain.inference import Kind
from gateway.domain.registry import Capability, Model, ModelLimits, ModelState, Timeouts
from gateway.domain.secret import Secret
from gateway.registry.editor import Credential
from gateway.storage.ports import Change, Registered


class _Body(BaseModel):
    # What is refused may be a secret in a wrong place: errors do not repeat it.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class LimitsBody(_Body):
    """How much the model may be asked over all replicas; null is no limit."""

    concurrency: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


class TimeoutsBody(_Body):
    """Seconds; null leaves it to the gateway's defaults."""

    connect_s: float | None = None
    first_byte_s: float | None = None
    total_s: float | None = None


class ModelFields(_Body):
    """What a model says of itself."""

    name: str
    provider: str
    base_url: str = ""
    upstream_model: str | None = None
    kind: Kind = Kind.CHAT
    capabilities: list[Capability] | None = None
    context_window: int | None = None
    max_output: int | None = None
    size: str | None = None
    quality: float | None = None
    aliases: list[str] | None = None
    tags: Mapping[str, str] = {}
    limits: LimitsBody = LimitsBody()
    timeouts: TimeoutsBody = TimeoutsBody()
    headers: Mapping[str, str] = {}
    options: Mapping[str, Any] = {}
    state: ModelState = ModelState.ENABLED
    notes: str = ""


class ModelBody(ModelFields):
    """A model. `credential` is a reference (`env:NAME`, `file:/path`) or null for none; `secret` is the key itself.

    A secret is encrypted, and never shown again. Without either, a model keeps the credential that it has.
    """

    credential: str | None = None
    secret: str | None = Field(default=None, repr=False)

    def draft(self, *, whole: bool) -> Draft:
        """What it asks for; `whole` lets a list of aliases that is not said be none."""
        if self.secret is not None and self.credential is not None:
            raise InvalidRequest("Give `credential` or `secret`, not both.", param="secret")
        given: Secret | str | Credential | None = Credential.KEEP
        if self.secret is not None:
            given = Secret(self.secret)
        elif "credential" in self.model_fields_set:
            given = self.credential
        aliases = self.aliases if self.aliases is not None or not whole else []
        return Draft(self._model(), None if aliases is None else tuple(aliases), given)

    def _model(self) -> Model:
        spans = self.timeouts
        return Model(
            name=self.name,
            provider=self.provider,
            base_url=self.base_url.rstrip("/"),
            upstream_model=self.name if self.upstream_model is None else self.upstream_model,
            kind=self.kind,
            tags=dict(self.tags),
            context_window=self.context_window,
            max_output=self.max_output,
            timeouts=Timeouts(
                _span(spans.connect_s, "connect_s"),
                _span(spans.first_byte_s, "first_byte_s"),
                _span(spans.total_s, "total_s"),
            ),
            headers=dict(self.headers),
            options=dict(self.options),
            capabilities=None if self.capabilities is None else frozenset(self.capabilities),
            size=self.size,
            quality=self.quality,
            limits=ModelLimits(**self.limits.model_dump()),
            state=self.state,
            notes=self.notes,
        )


class PatchBody(RootModel[dict[str, Any]]):
    """A JSON Merge Patch of a model: the fields to set, null for those that go back to their default."""


class CredentialShape(_Body):
    """Where the model's credential is found; of a stored one the last four characters are all that is shown."""

    reference: str
    last_four: str | None


class ModelShape(ModelFields):
    """A model as it is kept. `version` is its `ETag`; `operations` are the endpoints that it can be asked at."""

    object: Literal["gateway.model"] = "gateway.model"
    credential: CredentialShape | None
    operations: list[str] | None
    version: int
    created_at: datetime | None
    changed_at: datetime | None
    changed_by: str


class ModelsPage(_Body):
    """Models by name; ask again with `after=next_after` while it is there."""

    object: Literal["list"] = "list"
    data: list[ModelShape]
    next_after: str | None


class DiscoverBody(_Body):
    """A server, up to and including `/v1`, and its key: by reference, or itself (then used for this question alone)."""

    base_url: str
    credential: str | None = None
    secret: str | None = Field(default=None, repr=False)


class DiscoveredShape(_Body):
    """What the server seems to be, entries for its models, and the names of those that are registered already."""

    server: str
    data: list[dict[str, Any]]
    known: list[str]


class ImportBody(_Body):
    """A file's content. `prune` deletes what it does not name; `dry_run` only says what would change."""

    format: Literal["hocon", "litellm"]
    content: str
    dry_run: bool = False
    prune: bool = False


class LeftOutShape(_Body):
    """What was not carried over, where it stands in the file, and why."""

    path: str
    reason: str


class ImportedShape(_Body):
    """What an import did, or would do: names, what was left out, and what changes line by line."""

    created: list[str]
    changed: list[str]
    unchanged: list[str]
    deleted: list[str]
    aliases: list[str]
    left_out: list[LeftOutShape]
    diff: str
    dry_run: bool


class TriedShape(_Body):
    """What one tiny real call came to; it stands in the ledger as `request_id`."""

    ok: bool
    request_id: str
    code: str | None
    detail: str | None
    total_ms: float
    answer: str
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: Decimal | None


class ChangeShape(_Body):
    """One change: who made it, when, and what was there before and after. Secrets are never in it."""

    id: str
    at: datetime
    actor: str
    noun: str
    name: str
    action: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


class ChangesPage(_Body):
    """Changes, newest first; ask again with `after=next_after` while it is there."""

    object: Literal["list"] = "list"
    data: list[ChangeShape]
    next_after: str | None


class AliasBody(_Body):
    """The models that a name stands for, in their order."""

    models: list[str]


class AliasShape(_Body):
    """A name, and the models that it stands for, in their order."""

    name: str
    models: list[str]


class AliasesShape(_Body):
    """All aliases."""

    object: Literal["list"] = "list"
    data: list[AliasShape]


def fields_of(model: Model) -> dict[str, Any]:
    """What a model says of itself, in JSON's words."""
    spans = model.timeouts
    return {
        "name": model.name,
        "provider": model.provider,
        "base_url": model.base_url,
        "upstream_model": model.upstream_model,
        "kind": model.kind.value,
        "capabilities": None if model.capabilities is None else sorted(c.value for c in model.capabilities),
        "context_window": model.context_window,
        "max_output": model.max_output,
        "size": model.size,
        "quality": model.quality,
        "tags": dict(model.tags),
        "limits": {
            "concurrency": model.limits.concurrency,
            "requests_per_minute": model.limits.requests_per_minute,
            "tokens_per_minute": model.limits.tokens_per_minute,
        },
        "timeouts": {
            "connect_s": _seconds(spans.connect),
            "first_byte_s": _seconds(spans.first_byte),
            "total_s": _seconds(spans.total),
        },
        "headers": dict(model.headers),
        "options": dict(model.options),
        "state": model.state.value,
        "notes": model.notes,
    }


def model_shape(kept: Registered) -> ModelShape:
    """A model as we show it."""
    credential = None
    if kept.model.credential is not None:
        credential = CredentialShape(reference=kept.model.credential, last_four=kept.last_four)
    return ModelShape(
        **fields_of(kept.model),
        aliases=list(kept.aliases),
        credential=credential,
        operations=None if kept.model.operations is None else sorted(kept.model.operations),
        version=kept.model.version,
        created_at=kept.created_at,
        changed_at=kept.changed_at,
        changed_by=kept.changed_by,
    )


def merged(there: Registered, patch: Mapping[str, Any]) -> Draft:
    """The model as it is, with a JSON Merge Patch (RFC 7396). Raises InvalidRequest naming the field."""
    whole = {**fields_of(there.model), "aliases": list(there.aliases)}
    try:
        body = ModelBody.model_validate(_patched(whole, patch))
    except ValidationError as e:
        raise bodies.refused(e) from e
    return body.draft(whole=False)


def _patched(there: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(there)
    for name, value in patch.items():
        inner = found.get(name)
        if isinstance(value, Mapping) and isinstance(inner, Mapping):
            found[name] = _patched(cast("Mapping[str, Any]", inner), cast("Mapping[str, Any]", value))
        elif value is None and name != "credential":
            found.pop(name, None)  # back to its default
        else:
            found[name] = value
    return found


def discovered_shape(discovered: Discovered) -> DiscoveredShape:
    """Proposals as they would be posted."""
    usual = ModelBody(name="", provider="").model_dump(mode="json")
    proposals: list[dict[str, Any]] = []
    for model in discovered.found.models:
        said = {name: value for name, value in fields_of(model).items() if value != usual.get(name)}
        if model.credential is not None:
            said["credential"] = model.credential
        proposals.append(said)
    return DiscoveredShape(server=discovered.found.server, data=proposals, known=list(discovered.known))


def imported_shape(done: Imported) -> ImportedShape:
    """What an import did."""
    return ImportedShape(
        created=[model.name for model in done.plan.create],
        changed=[model.name for model in done.plan.change],
        unchanged=list(done.plan.same),
        deleted=list(done.plan.delete),
        aliases=sorted(done.plan.aliases),
        left_out=[LeftOutShape(path=each.path, reason=each.reason) for each in done.left_out],
        diff=done.plan.diff,
        dry_run=done.dry_run,
    )


def tried_shape(tried: Tried) -> TriedShape:
    """What a call came to; the upstream's own words too, since it is an administrator who asks."""
    attempt, failure = tried.attempt, tried.attempt.failure
    return TriedShape(
        ok=tried.ok,
        request_id=tried.request_id,
        code=None if failure is None else failure.code,
        detail=None if failure is None else failure.detail or failure.message,
        total_ms=attempt.total_ms,
        answer=tried.answer,
        input_tokens=None if attempt.usage is None else attempt.usage.input,
        output_tokens=None if attempt.usage is None else attempt.usage.output,
        cost_usd=attempt.cost_usd,
    )


def change_shape(change: Change) -> ChangeShape:
    """A line of the audit."""
    return ChangeShape(
        id=change.id,
        at=change.at,
        actor=change.actor,
        noun=change.noun,
        name=change.name,
        action=change.action,
        before=change.before,
        after=change.after,
    )


def _span(seconds: float | None, name: str) -> timedelta | None:
    if seconds is None:
        return None
    if not 0 < seconds <= 86_400:
        raise InvalidRequest(
            f"`timeouts.{name}` must be more than 0 and at most 86400 seconds.", param=f"timeouts.{name}"
        )
    return timedelta(seconds=seconds)


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()
