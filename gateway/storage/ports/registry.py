"""The registry as it is kept: models, the names they answer to, their sealed credentials, and who changed what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from gateway.domain.credentials import Sealed
from gateway.domain.inference import Kind
from gateway.domain.registry import Model, ModelState
from gateway.domain.tags import TagExpression
from gateway.storage.ports.page import Page


@dataclass(frozen=True, slots=True)
class Registered:
    """A model as it is kept. `model.version` is the registry's revision at its last change: it is never used again."""

    model: Model
    aliases: tuple[str, ...] = ()  # the names it answers to beside its own, sorted
    last_four: str | None = None  # of its credential, if that is kept here
    created_at: datetime | None = None
    changed_at: datetime | None = None
    changed_by: str = ""


@dataclass(frozen=True, slots=True)
class Inventory:
    """All of the registry at one moment; `revision` is 0 if it was never written. Aliases list models in order."""

    revision: int = 0
    models: tuple[Model, ...] = ()
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sealed: Mapping[str, Sealed] = field(default_factory=dict, repr=False)  # by id


@dataclass(frozen=True, slots=True)
class Save:
    """A model to be kept, on the terms of `Models.save`."""

    model: Model
    aliases: Sequence[str] | None = None
    expected: int | None = None
    sealed: Sealed | None = None


@dataclass(frozen=True, slots=True)
class ModelFilter:
    """Which models are looked for; what is left open admits every one. A model's size counts as its tag `size`."""

    tags: TagExpression = field(default_factory=TagExpression)
    kind: Kind | None = None
    state: ModelState | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the audit: who did what to which thing, and what it was before and after. Secrets never are in it."""

    id: str
    at: datetime
    actor: str
    noun: str
    name: str
    action: str  # create, update or delete; other nouns have words of their own
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


class Models(Protocol):
    """The models and their aliases. Each change is one transaction: it is audited, and grows the revision `registry`.

    Changes are made one after another over all replicas, so what they check still holds when they write. Nothing here
    looks at whether a model makes sense, or encrypts anything: `gateway.registry.editor` does, which services use.
    """

    async def load(self) -> Inventory:
        """All of it, as it was at one moment."""
        ...

    async def get(self, name: str) -> Registered | None:
        """One model."""
        ...

    async def find(self, wanted: ModelFilter, *, limit: int, after: str | None = None) -> Page[Registered]:
        """Models in the order of their names (by code point); `after` is the last name of the page before."""
        ...

    async def save(
        self,
        model: Model,
        *,
        aliases: Sequence[str] | None = None,
        expected: int | None = None,
        actor: str,
        sealed: Sealed | None = None,
    ) -> Registered:
        """Keep a model, whole, and return it as it is kept, with its new version. What is the same stays as it is.

        `expected` is the version that the change was made from: 0 if there must be no such model yet, None if it does
        not matter. `aliases` are all the names that it shall answer to, None leaves them: it joins the end of those
        that are new to it. `sealed` goes with a `model.credential` of `stored:<its id>`; a stored credential that the
        model no longer names is deleted.

        Raises ModelExists (`expected` is 0 and there is one; or the name is an alias, or an alias is a model's name),
        VersionConflict, which has the `current` version (0 if there is no such model), InvalidRequest for a credential
        `stored:…` that is not this model's, and ValueError for a `sealed` that the model does not name.
        """
        ...

    async def delete(self, name: str, *, expected: int | None = None, actor: str) -> None:
        """Delete a model; aliases lose it, and end with their last one. Raises ModelNotFound and VersionConflict."""
        ...

    async def arrange(self, alias: str, models: Sequence[str], *, actor: str) -> None:
        """Let an alias stand for these models in this order; for none, and it is gone.

        Raises ModelExists if a model has that name, InvalidRequest for a model that does not exist.
        """
        ...

    async def apply(
        self,
        saves: Sequence[Save] = (),
        *,
        aliases: Mapping[str, Sequence[str]] | None = None,
        delete: Sequence[str] = (),
        actor: str,
    ) -> None:
        """Make many changes, all or none, as one revision: aliases that go, deletions, models, then the other aliases.

        Raises what the single changes raise; a model that is not there is no reason not to delete it.
        """
        ...

    async def plant(
        self, models: Sequence[Model], aliases: Mapping[str, Sequence[str]], *, actor: str = "seed"
    ) -> bool:
        """Keep these if the registry was never written, whichever replica is first; returns whether it was this one."""
        ...

    async def reseal(self, sealed: Sealed) -> bool:
        """Keep a credential as another key has encrypted it; it is the same, so no change. False if it is gone."""
        ...


class Audit(Protocol):
    """Who changed what. Lines are written by the change itself, in its transaction."""

    async def find(
        self, *, noun: str | None = None, name: str | None = None, limit: int, after: str | None = None
    ) -> Page[Change]:
        """Changes newest first. Raises InvalidRequest when `after` is no change's id."""
        ...
