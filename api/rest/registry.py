"""`/api/v1/models` and `/api/v1/aliases`: the registry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from api.auth import authenticate
from api.rest import bodies
from api.rest.http import expected_version
from api.rest.registry_bodies import (
    AliasBody,
    AliasesShape,
    AliasShape,
    ChangesPage,
    DiscoverBody,
    DiscoveredShape,
    ImportBody,
    ImportedShape,
    ModelBody,
    ModelShape,
    ModelsPage,
    PatchBody,
    TriedShape,
    change_shape,
    discovered_shape,
    imported_shape,
    merged,
    model_shape,
    tried_shape,
)
from api.service.registry import Draft, RegistryService, Wanted
from gateway.domain.errors import InvalidRequest
from gateway.domain.identity import Caller
from gateway.domain.inference import Kind
from gateway.domain.registry import ModelState
from gateway.domain.secret import Secret
from gateway.identity import Identify
from gateway.settings import Api
from gateway.storage.ports import Registered

IfMatch = Annotated[str | None, Header(description="The version that the change was made from: its `ETag`.")]
Limit = Annotated[int, Query(ge=1, le=200)]
Who = Callable[[Request], Awaitable[Caller]]


def router(identity: Identify, service: RegistryService, settings: Api) -> APIRouter:
    """The routes of models and aliases. A name may have slashes in it, as those of Hugging Face do."""
    routes = APIRouter(prefix="/api/v1", tags=["registry"])

    async def who(request: Request) -> Caller:
        return await authenticate(identity, request.scope["gateway"]["headers"])

    _all_models(routes, who, service, settings)
    _files(routes, who, service, settings)
    _switches(routes, who, service)
    _one_model(routes, who, service, settings)
    _aliases(routes, who, service, settings)
    return routes


def _tagged(response: Response, kept: Registered) -> ModelShape:
    response.headers["etag"] = f'"{kept.model.version}"'
    return model_shape(kept)


def _all_models(routes: APIRouter, who: Who, service: RegistryService, settings: Api) -> None:
    @routes.get("/models")
    async def find(
        request: Request,
        tags: str = "",
        kind: Kind | None = None,
        state: ModelState | None = None,
        enabled: Annotated[bool | None, Query()] = None,
        limit: Limit = 50,
        after: str | None = None,
    ) -> ModelsPage:
        """Models by name. `tags` is an expression such as `location=on-prem,size=small|medium,!preview`."""
        if enabled is not None and state is not None:
            raise InvalidRequest("Give `state` or `enabled`, not both.", param="enabled")
        if enabled is False:
            raise InvalidRequest(
                "`enabled` may only be true: ask for `state=draining` or `state=disabled`.", param="enabled"
            )
        wanted = Wanted(tags, kind, ModelState.ENABLED if enabled else state, limit, after)
        page = await service.find(await who(request), wanted)
        return ModelsPage(data=[model_shape(kept) for kept in page.rows], next_after=page.next_after)

    @routes.post("/models", status_code=201, openapi_extra=bodies.described(ModelBody))
    async def create(request: Request, response: Response) -> ModelShape:
        """Register a model; it is in force everywhere within two seconds."""
        caller = await who(request)
        body = await bodies.read(request, ModelBody, settings)
        kept = await service.create(caller, body.draft(whole=True))
        response.headers["location"] = f"/api/v1/models/{kept.model.name}"
        return _tagged(response, kept)


def _files(routes: APIRouter, who: Who, service: RegistryService, settings: Api) -> None:
    @routes.get("/models/export")
    async def export(request: Request) -> Response:
        """The registry as HOCON, without secrets."""
        return Response(await service.export(await who(request)), media_type="application/hocon")

    @routes.get("/models/changes")
    async def changes(
        request: Request, name: str | None = None, limit: Limit = 50, after: str | None = None
    ) -> ChangesPage:
        """Who changed what, newest first; of one model with `name`. Secrets are never in it."""
        page = await service.changes(await who(request), name=name, limit=limit, after=after)
        return ChangesPage(data=[change_shape(change) for change in page.rows], next_after=page.next_after)

    @routes.post("/models/discover", openapi_extra=bodies.described(DiscoverBody))
    async def discover(request: Request) -> DiscoveredShape:
        """Ask a server which models it has, and propose entries; registers nothing."""
        caller = await who(request)
        body = await bodies.read(request, DiscoverBody, settings)
        secret = None if body.secret is None else Secret(body.secret)
        found = await service.discover(caller, body.base_url, reference=body.credential, secret=secret)
        return discovered_shape(found)

    @routes.post("/models/import", openapi_extra=bodies.described(ImportBody))
    async def import_(request: Request) -> ImportedShape:
        """Register what a file says: our own HOCON, or LiteLLM's `config.yaml`. Nothing is dropped in silence."""
        caller = await who(request)
        body = await bodies.read(request, ImportBody, settings)
        done = await service.import_(
            caller, format_=body.format, content=body.content, dry_run=body.dry_run, prune=body.prune
        )
        return imported_shape(done)


def _switches(routes: APIRouter, who: Who, service: RegistryService) -> None:
    @routes.post("/models/{name:path}/test")
    async def test(request: Request, name: str) -> TriedShape:
        """Make one tiny real call of a model, and say what it took and cost."""
        return tried_shape(await service.test(await who(request), name))

    def stating(word: str, state: ModelState, what: str) -> None:
        async def set_state(request: Request, response: Response, name: str) -> ModelShape:
            return _tagged(response, await service.set_state(await who(request), name, state))

        set_state.__doc__ = what
        routes.add_api_route(
            f"/models/{{name:path}}/{word}", set_state, methods=["POST"], name=word, response_model=ModelShape
        )

    stating("enable", ModelState.ENABLED, "Let a model take requests.")
    stating(
        "drain", ModelState.DRAINING, "Let a model finish what was accepted for it, and take nothing new."
    )
    stating("disable", ModelState.DISABLED, "Let a model be called no more.")


def _one_model(routes: APIRouter, who: Who, service: RegistryService, settings: Api) -> None:
    @routes.get("/models/{name:path}")
    async def get(request: Request, response: Response, name: str) -> ModelShape:
        """One model."""
        return _tagged(response, await service.get(await who(request), name))

    @routes.put("/models/{name:path}", openapi_extra=bodies.described(ModelBody))
    async def put(request: Request, response: Response, name: str, if_match: IfMatch = None) -> ModelShape:
        """Set all of a model: what is not said gets its default, but a credential that is not said stays."""
        caller = await who(request)
        body = await bodies.read(request, ModelBody, settings)
        kept = await service.replace(caller, name, body.draft(whole=True), expected_version(if_match))
        return _tagged(response, kept)

    @routes.patch("/models/{name:path}", openapi_extra=bodies.described(PatchBody))
    async def patch(request: Request, response: Response, name: str, if_match: IfMatch = None) -> ModelShape:
        """Set some fields of a model by a JSON Merge Patch (RFC 7396): null takes a field back to its default."""
        caller = await who(request)
        body = await bodies.read(request, PatchBody, settings)

        async def changed(there: Registered) -> Draft:
            return merged(there, body.root)

        kept = await service.update(caller, name, changed, expected_version(if_match))
        return _tagged(response, kept)

    @routes.delete("/models/{name:path}", status_code=204)
    async def delete(request: Request, name: str, if_match: IfMatch = None) -> None:
        """Delete a model; the log keeps what it did."""
        await service.delete(await who(request), name, expected_version(if_match))


def _aliases(routes: APIRouter, who: Who, service: RegistryService, settings: Api) -> None:
    @routes.get("/aliases")
    async def aliases(request: Request) -> AliasesShape:
        """All aliases, each with its models in their order."""
        found = await service.aliases(await who(request))
        return AliasesShape(data=[AliasShape(name=name, models=list(found[name])) for name in sorted(found)])

    @routes.put("/aliases/{name:path}", openapi_extra=bodies.described(AliasBody))
    async def put_alias(request: Request, name: str) -> AliasShape:
        """Let a name stand for these models, in this order."""
        caller = await who(request)
        body = await bodies.read(request, AliasBody, settings)
        models = await service.arrange(caller, name, body.models)
        return AliasShape(name=name, models=list(models))

    @routes.delete("/aliases/{name:path}", status_code=204)
    async def delete_alias(request: Request, name: str) -> None:
        """Let a name stand for nothing any more."""
        await service.disband(await who(request), name)
