"""RegistryService: models and aliases."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration

from api.rpc.decisions import duration
from api.rpc.door import Call
from api.rpc.values import decimal, json_of, limit_of, numbers_of, seconds, struct_of, timestamp, word_of
from api.service.registry import Draft, RegistryService, Wanted
from gateway.domain.errors import InvalidRequest
from gateway.domain.inference import Kind
from gateway.domain.registry import Capability, Model, ModelLimits, ModelState, Timeouts
from gateway.domain.secret import Secret
from gateway.registry.editor import Credential
from gateway.storage.ports import Registered
from gateway.v1 import registry_pb2 as pb

_STATE = numbers_of(pb.ModelState, ModelState, "MODEL_STATE")


class RegistryServicer:
    """The twin of `/api/v1/models` and `/api/v1/aliases`."""

    def __init__(self, registry: RegistryService) -> None:
        """`registry` knows and changes."""
        self._registry = registry

    async def list(
        self, call: Call, request: pb.RegistryServiceListRequest
    ) -> pb.RegistryServiceListResponse:
        """Models by name."""
        wanted = Wanted(
            tags=request.tags,
            kind=_kind(request.kind, "kind") if request.kind else None,
            state=word_of(_STATE, request.state, "state"),
            limit=limit_of(request.limit),
            after=request.after or None,
        )
        page = await self._registry.find(call.caller, wanted)
        return pb.RegistryServiceListResponse(
            models=[model_message(kept) for kept in page.rows], next_after=page.next_after or ""
        )

    async def get(self, call: Call, request: pb.RegistryServiceGetRequest) -> pb.RegistryServiceGetResponse:
        """One model."""
        kept = await self._registry.get(call.caller, request.name)
        return pb.RegistryServiceGetResponse(model=model_message(kept))

    async def create(
        self, call: Call, request: pb.RegistryServiceCreateRequest
    ) -> pb.RegistryServiceCreateResponse:
        """Register a model."""
        kept = await self._registry.create(call.caller, _draft(request.model, request.secret))
        return pb.RegistryServiceCreateResponse(model=model_message(kept))

    async def replace(
        self, call: Call, request: pb.RegistryServiceReplaceRequest
    ) -> pb.RegistryServiceReplaceResponse:
        """Set all of a model."""
        expected = request.expected_version if request.HasField("expected_version") else None
        kept = await self._registry.replace(
            call.caller, request.model.name, _draft(request.model, request.secret), expected
        )
        return pb.RegistryServiceReplaceResponse(model=model_message(kept))

    async def update(
        self, call: Call, request: pb.RegistryServiceUpdateRequest
    ) -> pb.RegistryServiceUpdateResponse:
        """Set the fields of the mask."""
        expected = request.expected_version if request.HasField("expected_version") else None
        paths = _paths(request)

        async def changed(there: Registered) -> Draft:
            message = model_message(there)
            message.ClearField("credential")
            for path in paths:
                message.ClearField(path)  # type: ignore[arg-type]
            given = pb.RegisteredModel()
            given.CopyFrom(request.model)
            for name in (field.name for field, _ in request.model.ListFields()):
                if name not in paths:
                    given.ClearField(name)  # type: ignore[arg-type]
            message.MergeFrom(given)
            draft = _draft(message, request.secret)
            aliases = draft.aliases if "aliases" in paths else None
            removed = "credential" in paths and not request.model.credential.reference and not request.secret
            return Draft(draft.model, aliases, None if removed else draft.credential)

        kept = await self._registry.update(call.caller, request.model.name, changed, expected)
        return pb.RegistryServiceUpdateResponse(model=model_message(kept))

    async def delete(
        self, call: Call, request: pb.RegistryServiceDeleteRequest
    ) -> pb.RegistryServiceDeleteResponse:
        """Delete a model."""
        expected = request.expected_version if request.HasField("expected_version") else None
        await self._registry.delete(call.caller, request.name, expected)
        return pb.RegistryServiceDeleteResponse()

    async def enable(
        self, call: Call, request: pb.RegistryServiceEnableRequest
    ) -> pb.RegistryServiceEnableResponse:
        """Let a model take requests."""
        kept = await self._registry.set_state(call.caller, request.name, ModelState.ENABLED)
        return pb.RegistryServiceEnableResponse(model=model_message(kept))

    async def drain(
        self, call: Call, request: pb.RegistryServiceDrainRequest
    ) -> pb.RegistryServiceDrainResponse:
        """Let a model finish what was accepted for it."""
        kept = await self._registry.set_state(call.caller, request.name, ModelState.DRAINING)
        return pb.RegistryServiceDrainResponse(model=model_message(kept))

    async def disable(
        self, call: Call, request: pb.RegistryServiceDisableRequest
    ) -> pb.RegistryServiceDisableResponse:
        """Let a model be called no more."""
        kept = await self._registry.set_state(call.caller, request.name, ModelState.DISABLED)
        return pb.RegistryServiceDisableResponse(model=model_message(kept))

    async def test(
        self, call: Call, request: pb.RegistryServiceTestRequest
    ) -> pb.RegistryServiceTestResponse:
        """Make one tiny real call of a model."""
        tried = await self._registry.test(call.caller, request.name)
        attempt, failure = tried.attempt, tried.attempt.failure
        return pb.RegistryServiceTestResponse(
            ok=tried.ok,
            request_id=tried.request_id,
            code="" if failure is None else failure.code,
            detail="" if failure is None else failure.detail or failure.message,
            total_ms=attempt.total_ms,
            answer=tried.answer,
            input_tokens=0 if attempt.usage is None else attempt.usage.input,
            output_tokens=0 if attempt.usage is None else attempt.usage.output,
            cost_usd=decimal(attempt.cost_usd),
        )

    async def discover(
        self, call: Call, request: pb.RegistryServiceDiscoverRequest
    ) -> pb.RegistryServiceDiscoverResponse:
        """Ask a server which models it has."""
        discovered = await self._registry.discover(
            call.caller,
            request.base_url,
            reference=request.credential or None,
            secret=Secret(request.secret) if request.secret else None,
        )
        return pb.RegistryServiceDiscoverResponse(
            server=discovered.found.server,
            models=[model_message(Registered(model)) for model in discovered.found.models],
            known=discovered.known,
        )

    async def import_(
        self, call: Call, request: pb.RegistryServiceImportRequest
    ) -> pb.RegistryServiceImportResponse:
        """Register what a file says."""
        done = await self._registry.import_(
            call.caller,
            format_=request.format,
            content=request.content,
            dry_run=request.dry_run,
            prune=request.prune,
        )
        return pb.RegistryServiceImportResponse(
            created=[model.name for model in done.plan.create],
            changed=[model.name for model in done.plan.change],
            unchanged=done.plan.same,
            deleted=done.plan.delete,
            aliases=sorted(done.plan.aliases),
            left_out=[pb.ImportLeftOut(path=each.path, reason=each.reason) for each in done.left_out],
            diff=done.plan.diff,
            dry_run=done.dry_run,
        )

    async def export(
        self, call: Call, request: pb.RegistryServiceExportRequest
    ) -> pb.RegistryServiceExportResponse:
        """The registry as HOCON, without secrets."""
        return pb.RegistryServiceExportResponse(content=await self._registry.export(call.caller))

    async def list_changes(
        self, call: Call, request: pb.RegistryServiceListChangesRequest
    ) -> pb.RegistryServiceListChangesResponse:
        """Who changed what, newest first."""
        page = await self._registry.changes(
            call.caller,
            name=request.name or None,
            limit=limit_of(request.limit),
            after=request.after or None,
        )
        changes = [
            pb.RegistryChange(
                id=change.id,
                at=timestamp(change.at),
                actor=change.actor,
                noun=change.noun,
                name=change.name,
                action=change.action,
                before=None if change.before is None else struct_of(change.before),
                after=None if change.after is None else struct_of(change.after),
            )
            for change in page.rows
        ]
        return pb.RegistryServiceListChangesResponse(changes=changes, next_after=page.next_after or "")

    async def list_aliases(
        self, call: Call, request: pb.RegistryServiceListAliasesRequest
    ) -> pb.RegistryServiceListAliasesResponse:
        """All aliases, each with its models in their order."""
        found = await self._registry.aliases(call.caller)
        aliases = [pb.Alias(name=name, models=found[name]) for name in sorted(found)]
        return pb.RegistryServiceListAliasesResponse(aliases=aliases)

    async def put_alias(
        self, call: Call, request: pb.RegistryServicePutAliasRequest
    ) -> pb.RegistryServicePutAliasResponse:
        """Let a name stand for these models, in this order."""
        alias = request.alias
        models = await self._registry.arrange(call.caller, alias.name, tuple(alias.models))
        return pb.RegistryServicePutAliasResponse(alias=pb.Alias(name=alias.name, models=models))

    async def delete_alias(
        self, call: Call, request: pb.RegistryServiceDeleteAliasRequest
    ) -> pb.RegistryServiceDeleteAliasResponse:
        """Let a name stand for nothing any more."""
        await self._registry.disband(call.caller, request.name)
        return pb.RegistryServiceDeleteAliasResponse()


def model_message(kept: Registered) -> pb.RegisteredModel:
    """A model as it is kept."""
    model = kept.model
    credential = None
    if model.credential is not None:
        credential = pb.ModelCredential(reference=model.credential, last_four=kept.last_four or "")
    return pb.RegisteredModel(
        name=model.name,
        provider=model.provider,
        base_url=model.base_url,
        upstream_model=model.upstream_model,
        kind=model.kind.value,
        capabilities=None
        if model.capabilities is None
        else pb.ModelCapabilities(names=sorted(each.value for each in model.capabilities)),
        context_window=model.context_window,
        max_output=model.max_output,
        size=model.size,
        quality=model.quality,
        aliases=kept.aliases,
        tags=dict(model.tags),
        limits=pb.ModelLimits(
            concurrency=model.limits.concurrency,
            requests_per_minute=model.limits.requests_per_minute,
            tokens_per_minute=model.limits.tokens_per_minute,
        ),
        timeouts=pb.ModelTimeouts(
            connect=duration(model.timeouts.connect),
            first_byte=duration(model.timeouts.first_byte),
            total=duration(model.timeouts.total),
        ),
        headers=dict(model.headers),
        options=struct_of(model.options),
        state=_STATE[model.state],
        notes=model.notes,
        credential=credential,
        version=model.version,
        operations=sorted(model.operations or ()),
    )


def _draft(given: pb.RegisteredModel, secret: str) -> Draft:
    if secret and given.credential.reference:
        raise InvalidRequest("Give `credential` or `secret`, not both.", param="secret")
    credential: Secret | str | Credential = Credential.KEEP
    if secret:
        credential = Secret(secret)
    elif given.credential.reference:
        credential = given.credential.reference
    return Draft(_model(given), tuple(given.aliases), credential)


def _model(given: pb.RegisteredModel) -> Model:
    limits, spans = given.limits, given.timeouts
    options: Mapping[str, Any] = json_of(given.options)
    return Model(
        name=given.name,
        provider=given.provider,
        base_url=given.base_url.rstrip("/"),
        upstream_model=given.upstream_model or given.name,
        kind=_kind(given.kind, "model.kind") if given.kind else Kind.CHAT,
        tags=dict(given.tags),
        context_window=given.context_window if given.HasField("context_window") else None,
        max_output=given.max_output if given.HasField("max_output") else None,
        timeouts=Timeouts(
            _span(spans.connect) if spans.HasField("connect") else None,
            _span(spans.first_byte) if spans.HasField("first_byte") else None,
            _span(spans.total) if spans.HasField("total") else None,
        ),
        headers=dict(given.headers),
        options=options,
        capabilities=frozenset(_capability(name) for name in given.capabilities.names)
        if given.HasField("capabilities")
        else None,
        size=given.size if given.HasField("size") else None,
        quality=given.quality if given.HasField("quality") else None,
        limits=ModelLimits(
            limits.concurrency if limits.HasField("concurrency") else None,
            limits.requests_per_minute if limits.HasField("requests_per_minute") else None,
            limits.tokens_per_minute if limits.HasField("tokens_per_minute") else None,
        ),
        state=word_of(_STATE, given.state, "model.state") or ModelState.ENABLED,
        notes=given.notes,
    )


def _paths(request: pb.RegistryServiceUpdateRequest) -> frozenset[str]:
    known = {field.name for field in pb.RegisteredModel.DESCRIPTOR.fields} - {"name", "version", "operations"}
    paths = frozenset(request.update_mask.paths)
    for path in sorted(paths - known):
        raise InvalidRequest(
            f"`update_mask` may name {', '.join(sorted(known))}; not `{path}`.", param="update_mask"
        )
    if not paths and not request.secret:
        raise InvalidRequest("`update_mask` names no field, and there is no `secret`.", param="update_mask")
    return paths


def _kind(word: str, where: str) -> Kind:
    try:
        return Kind(word)
    except ValueError as e:
        known = ", ".join(kind.value for kind in Kind)
        raise InvalidRequest(f"`{where}` must be one of {known}.", param=where) from e


def _capability(word: str) -> Capability:
    try:
        return Capability(word)
    except ValueError as e:
        known = ", ".join(each.value for each in Capability)
        where = "model.capabilities"
        raise InvalidRequest(f"`{where}` must be of {known}.", param=where) from e


def _span(given: Duration) -> timedelta:
    return timedelta(seconds=seconds(given))
