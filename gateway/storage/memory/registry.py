"""The registry and the audit in memory."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from gateway.domain.credentials import Sealed, stored_id
from gateway.domain.errors import InvalidRequest, ModelExists, ModelNotFound, VersionConflict
from gateway.domain.registry import Model
from gateway.storage.audit import shown
from gateway.storage.memory.changes import MemoryChanges
from gateway.storage.paging import line_after, page_of
from gateway.storage.ports import Change, Inventory, ModelFilter, Page, Registered, Save

NOUN = "registry"


class MemoryAudit:
    """The port `Audit`."""

    def __init__(self) -> None:
        """Nothing was ever changed."""
        self._lines: list[Change] = []

    def add(
        self,
        actor: str,
        noun: str,
        name: str,
        action: str,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
    ) -> None:
        """Write a line."""
        line = Change(str(len(self._lines) + 1), datetime.now(UTC), actor, noun, name, action, before, after)
        self._lines.append(line)

    def __len__(self) -> int:
        """How many lines there are."""
        return len(self._lines)

    def forget_from(self, lines: int) -> None:
        """Forget what was written after so many lines: the change did not come about."""
        del self._lines[lines:]

    async def find(
        self, *, noun: str | None = None, name: str | None = None, limit: int, after: str | None = None
    ) -> Page[Change]:
        """Changes newest first. Raises InvalidRequest when `after` is no change's id."""
        last = line_after(after)
        found = [
            line
            for line in reversed(self._lines)
            if noun in (None, line.noun)
            and name in (None, line.name)
            and (last is None or int(line.id) < last)
        ]
        return page_of(found, limit, lambda line: line.id)


class MemoryModels:
    """The port `Models`."""

    def __init__(self, changes: MemoryChanges, audit: MemoryAudit) -> None:
        """There are none yet."""
        self._changes = changes
        self._audit = audit
        self._models: dict[str, Registered] = {}
        self._aliases: dict[str, tuple[str, ...]] = {}
        self._sealed: dict[str, Sealed] = {}  # by model
        self._revision = 0
        self._batch: int | None = None  # the revision that many changes make together

    async def load(self) -> Inventory:
        """All of it."""
        return Inventory(
            self._revision,
            tuple(self._models[name].model for name in sorted(self._models)),
            dict(self._aliases),
            {sealed.id: sealed for sealed in self._sealed.values()},
        )

    async def get(self, name: str) -> Registered | None:
        """One model."""
        kept = self._models.get(name)
        return None if kept is None else self._whole(kept)

    async def find(self, wanted: ModelFilter, *, limit: int, after: str | None = None) -> Page[Registered]:
        """Models by name."""
        found = [
            self._whole(kept)
            for name, kept in sorted(self._models.items())
            if (after is None or name > after)
            and wanted.kind in (None, kept.model.kind)
            and wanted.state in (None, kept.model.state)
            and wanted.tags.holds(kept.model.all_tags)
        ]
        return page_of(found, limit, lambda kept: kept.model.name)

    async def save(
        self,
        model: Model,
        *,
        aliases: Sequence[str] | None = None,
        expected: int | None = None,
        actor: str,
        sealed: Sealed | None = None,
    ) -> Registered:
        """Keep a model."""
        before = await self.get(model.name)
        current = 0 if before is None else before.model.version
        if expected == 0 and before is not None:
            raise ModelExists(param="name")
        if expected is not None and expected != current:
            raise VersionConflict(current=current)
        wanted = None if aliases is None else tuple(sorted(set(aliases)))
        self._check_names(model.name, wanted or ())
        kept_secret = self._checked_credential(model, sealed)
        if (
            before is not None
            and sealed is None
            and wanted in (None, before.aliases)
            and replace(model, version=current) == before.model
        ):
            return before
        now = datetime.now(UTC)
        version = self._changed()
        created = now if before is None else before.created_at
        self._models[model.name] = Registered(
            replace(model, version=version), created_at=created, changed_at=now, changed_by=actor
        )
        if wanted is not None:
            self._answer_to(model.name, wanted)
        self._sealed.pop(model.name, None)
        if kept_secret is not None:
            self._sealed[model.name] = kept_secret
        after = self._whole(self._models[model.name])
        self._audit.add(
            actor,
            NOUN,
            model.name,
            "create" if before is None else "update",
            None if before is None else shown(before),
            shown(after),
        )
        return after

    async def apply(
        self,
        saves: Sequence[Save] = (),
        *,
        aliases: Mapping[str, Sequence[str]] | None = None,
        delete: Sequence[str] = (),
        actor: str,
    ) -> None:
        """Make many changes, all or none."""
        arranged = dict(aliases or {})
        with self._together():
            for alias in [alias for alias, models in arranged.items() if not models]:
                await self.arrange(alias, arranged.pop(alias), actor=actor)
            for name in delete:
                if name in self._models:
                    await self.delete(name, actor=actor)
            for save in saves:
                await self.save(
                    save.model,
                    aliases=save.aliases,
                    expected=save.expected,
                    sealed=save.sealed,
                    actor=actor,
                )
            for alias, models in arranged.items():
                await self.arrange(alias, models, actor=actor)

    async def delete(self, name: str, *, expected: int | None = None, actor: str) -> None:
        """Delete a model."""
        before = await self.get(name)
        if before is None:
            raise ModelNotFound
        if expected is not None and expected != before.model.version:
            raise VersionConflict(current=before.model.version)
        self._changed()
        self._answer_to(name, ())
        self._sealed.pop(name, None)
        del self._models[name]
        self._audit.add(actor, NOUN, name, "delete", shown(before), None)

    async def arrange(self, alias: str, models: Sequence[str], *, actor: str) -> None:
        """Let an alias stand for models in this order."""
        if alias in self._models:
            raise ModelExists(f"`{alias}` is a model already.", param="alias")
        wanted = tuple(dict.fromkeys(models))
        for name in wanted:
            if name not in self._models:
                raise InvalidRequest(f"There is no model `{name}`.", param="models")
        before = self._aliases.get(alias, ())
        if wanted == before:
            return
        version = self._changed()
        for name in set(before) ^ set(wanted):
            kept = self._models[name]
            self._models[name] = replace(
                kept,
                model=replace(kept.model, version=version),
                changed_at=datetime.now(UTC),
                changed_by=actor,
            )
        self._aliases[alias] = wanted
        if not wanted:
            del self._aliases[alias]
        self._audit.add(
            actor,
            "alias",
            alias,
            "create" if not before else "update" if wanted else "delete",
            {"models": list(before)} if before else None,
            {"models": list(wanted)} if wanted else None,
        )

    async def plant(
        self, models: Sequence[Model], aliases: Mapping[str, Sequence[str]], *, actor: str = "seed"
    ) -> bool:
        """Keep these if nothing was ever written."""
        if self._revision:
            return False
        with self._together():
            self._changed()
            for model in models:
                await self.save(model, actor=actor)
            for alias, names in aliases.items():
                await self.arrange(alias, names, actor=actor)
        return True

    async def reseal(self, sealed: Sealed) -> bool:
        """Keep a credential as another key has encrypted it."""
        for name, kept in self._sealed.items():
            if kept.id == sealed.id and kept.goes_to == sealed.goes_to:
                self._sealed[name] = sealed
                return True
        return False

    def _check_names(self, name: str, aliases: Sequence[str]) -> None:
        if name in self._aliases:
            raise ModelExists(f"`{name}` is an alias already.", param="name")
        for alias in aliases:
            if alias in self._models or alias == name:
                raise ModelExists(f"`{alias}` is a model already.", param="aliases")

    def _checked_credential(self, model: Model, sealed: Sealed | None) -> Sealed | None:
        """What is kept for the model from now on."""
        if sealed is not None and model.credential != sealed.reference:
            raise ValueError("the model must name the credential that comes with it")
        if stored_id(model.credential) is None:
            return None
        kept = sealed or self._sealed.get(model.name)
        if kept is None or model.credential != kept.reference:
            raise InvalidRequest("This credential is not kept for this model.", param="credential")
        return kept

    @contextmanager
    def _together(self) -> Generator[None]:
        """Make the changes of the block one, or none if it raises. Nothing in it waits, so nobody comes between."""
        before = dict(self._models), dict(self._aliases), dict(self._sealed)
        lines = len(self._audit)
        self._batch = self._revision
        try:
            yield
        except BaseException:
            self._models, self._aliases, self._sealed = before
            self._audit.forget_from(lines)
            self._batch = self._revision
            raise
        finally:
            changed, self._batch = self._batch != self._revision, None
            if changed:
                self._changed()

    def _changed(self) -> int:
        if self._batch is not None:
            self._batch = self._revision + 1
            return self._batch
        self._revision = self._changes.bump(NOUN)
        return self._revision

    def _whole(self, kept: Registered) -> Registered:
        name = kept.model.name
        aliases = tuple(sorted(alias for alias, names in self._aliases.items() if name in names))
        sealed = self._sealed.get(name)
        return replace(kept, aliases=aliases, last_four=None if sealed is None else sealed.last_four)

    def _answer_to(self, name: str, wanted: Sequence[str]) -> None:
        for alias, names in list(self._aliases.items()):
            left = tuple(each for each in names if each != name or alias in wanted)
            self._aliases[alias] = left
            if not left:
                del self._aliases[alias]
        for alias in wanted:
            names = self._aliases.get(alias, ())
            if name not in names:
                self._aliases[alias] = (*names, name)
