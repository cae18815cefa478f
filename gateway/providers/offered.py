"""What can be asked of a model: what its provider speaks, what is carried over chat, and what is answered here."""

from __future__ import annotations

from gateway.domain.operations import Operation
from gateway.domain.registry import Model
from gateway.providers.dialects.bridges import BRIDGES, HERE
from gateway.providers.ports import Provider


def operations_of(model: Model, provider: Provider) -> frozenset[Operation]:
    """The operations of the model's kind that an attempt could make; attempts find their way by the same questions."""
    chats = provider.speaks(Operation.CHAT, model)
    return frozenset(
        operation
        for operation in Operation
        if model.serves(operation.kind)
        and (provider.speaks(operation, model) or (chats and (operation in BRIDGES or operation in HERE)))
    )
