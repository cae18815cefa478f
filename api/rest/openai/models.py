"""`GET /v1/models`, `/v1/models/{id}`: what this caller may use, in Anthropic's shape if it speaks that dialect."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from api.auth import authenticate
from api.rest.anthropic import models as anthropics
from api.service.models import ModelsService, Offer
from gateway.identity import Identify


def router(identity: Identify, service: ModelsService) -> APIRouter:
    """The routes of models in both dialects."""
    routes = APIRouter(prefix="/v1/models", tags=["inference"])

    @routes.get("")
    async def find(request: Request) -> dict[str, Any]:
        """All names and aliases that this caller may use, and `auto`; pages where `anthropic-version` is said."""
        headers = request.scope["gateway"]["headers"]
        caller = await authenticate(identity, headers)
        offers = service.find(caller)
        if anthropics.is_asked(headers):
            return anthropics.page(offers, request.query_params)
        return {"object": "list", "data": [_shape(offer) for offer in offers]}

    # A name may have slashes in it, as those of Hugging Face do.
    @routes.get("/{name:path}")
    async def get(request: Request, name: str) -> dict[str, Any]:
        """One of them."""
        headers = request.scope["gateway"]["headers"]
        caller = await authenticate(identity, headers)
        offer = service.get(caller, name)
        return anthropics.shape(offer) if anthropics.is_asked(headers) else _shape(offer)

    return routes


def _shape(offer: Offer) -> dict[str, Any]:
    return {
        "id": offer.id,
        "object": "model",
        "created": int(offer.created.timestamp()),
        "owned_by": offer.owned_by,
    }
