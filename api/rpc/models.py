"""ModelsService: what a caller may use."""

from __future__ import annotations

from api.rpc.door import Call
from api.rpc.values import timestamp
from api.service.models import ModelsService, Offer
from gateway.v1 import models_pb2 as pb


class ModelsServicer:
    """The twin of `/v1/models`."""

    def __init__(self, models: ModelsService) -> None:
        """`models` knows."""
        self._models = models

    async def get(self, call: Call, request: pb.ModelsServiceGetRequest) -> pb.ModelsServiceGetResponse:
        """One name or alias."""
        return pb.ModelsServiceGetResponse(model=_offer(self._models.get(call.caller, request.id)))

    async def list(self, call: Call, request: pb.ModelsServiceListRequest) -> pb.ModelsServiceListResponse:
        """All names and aliases that this caller may use."""
        return pb.ModelsServiceListResponse(
            models=[_offer(offer) for offer in self._models.find(call.caller)]
        )


def _offer(offer: Offer) -> pb.Offer:
    return pb.Offer(id=offer.id, owned_by=offer.owned_by, created=timestamp(offer.created))
