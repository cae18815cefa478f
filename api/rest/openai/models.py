"""`GET /v1/models`, `/v1/models/{id}`: what this caller may use."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from api.auth import authenticate
from api.service.models import ModelsService, Offer
from gateway.identity import Identify


def router(identity: Identify, service: ModelsService) -> APIRouter:
    """The routes of models in OpenAI's dialect."""
    routes = APIRouter(prefix="/v1/models", tags=["inference"])

    @routes.get("")
    async def find(request: Request) -> dict[str, Any]:
        """All names and aliases that this caller may use, and `auto`."""
        caller = await authenticate(identity, request.scope["gateway"]["headers"])
        return {"object": "list", "data": [_shape(offer) for offer in service.find(caller)]}

    # A name may have slashes in it, as those of Hugging Face do.
    @routes.get("/{name:path}")
    async def get(request: Request, name: str) -> dict[str, Any]:
        """One of them."""
        caller = await authenticate(identity, request.scope["gateway"]["headers"])
        return _shape(service.get(caller, name))

    return routes


def _shape(offer: Offer) -> dict[str, Any]:
    return {
        "id": offer.id,
        "object": "model",
        "created": int(offer.created.timestamp()),
        "owned_by": offer.owned_by,
    }
