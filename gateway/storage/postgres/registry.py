"""The registry and the audit in PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from gateway.domain.credentials import Sealed, stored_id
from gateway.domain.errors import InvalidRequest, ModelExists, ModelNotFound, VersionConflict
from gateway.domain.registry import Model
from gateway.storage.audit import shown
from gateway.storage.paging import line_after, page_of
from gateway.storage.ports import Change, Inventory, ModelFilter, Page, Registered, Save
from gateway.storage.postgres.database import Database, Transaction
from gateway.storage.postgres.model_rows import (
    as_json,
    change_of,
    known,
    model_of,
    model_row,
    registered_of,
    sealed_of,
    sealed_row,
)
from gateway.storage.postgres.named import Q
from gateway.storage.text import storable

NOUN: Final = "registry"
ALIAS: Final = "alias"
_BREATH: Final = 100  # rows between two looks at the event loop


class PostgresAudit:
    """The port `Audit`."""

    def __init__(self, database: Database) -> None:
        """`database` is the store's."""
        self._database = database

    async def find(
        self, *, noun: str | None = None, name: str | None = None, limit: int, after: str | None = None
    ) -> Page[Change]:
        """Changes newest first. Raises InvalidRequest when `after` is no change's id."""
        last = line_after(after)
        rows = await self._database.rows(
            Q.audit.find,
            {
                "noun": noun,
                "name": None if name is None else storable(name),
                "after": last,
                "limit": limit + 1,
            },
            prepare=False,
        )
        return page_of([change_of(row) for row in rows], limit, lambda line: line.id)


async def audited(
    work: Transaction,
    actor: str,
    noun: str,
    name: str,
    action: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> None:
    """Write a line of the audit in the transaction of the change that it is about."""
    await work.rows(
        Q.audit.add,
        {
            "actor": actor,
            "noun": noun,
            "name": name,
            "action": action,
            "before": None if before is None else as_json(before),
            "after": None if after is None else as_json(after),
        },
    )


async def bumped(work: Transaction, noun: str) -> int:
    """Grow a noun's revision in the transaction of its change; returns the new one."""
    row = await work.row(Q.changes.bump, {"noun": noun})
    if row is None:
        raise AssertionError("a SELECT of a function has a row")
    return row["version"]


class PostgresModels:
    """The port `Models`."""

    def __init__(self, database: Database) -> None:
        """`database` is the store's."""
        self._database = database

    async def load(self) -> Inventory:
        """All of it, as it was at one moment."""
        async with self._database.transaction() as work:
            await work.rows(Q.registry.snapshot)
            revision = await work.row(Q.registry.revision)
            models = await work.rows(Q.registry.models)
            aliases = await work.rows(Q.registry.aliases)
            sealed = await work.rows(Q.registry.sealed)
        made: list[Model] = []
        for row in known(models):
            made.append(model_of(row))
            if len(made) % _BREATH == 0:
                await asyncio.sleep(0)  # requests under way go on meanwhile
        return Inventory(
            0 if revision is None else revision["version"],
            tuple(made),
            {row["alias"]: tuple(row["models"]) for row in aliases},
            {row["id"]: sealed_of(row) for row in sealed},
        )

    async def get(self, name: str) -> Registered | None:
        """One model."""
        row = await self._database.row(Q.registry.get, {"name": storable(name)})
        return None if row is None else registered_of(row)

    async def find(self, wanted: ModelFilter, *, limit: int, after: str | None = None) -> Page[Registered]:
        """Models by name."""
        rows = await self._database.rows(
            Q.registry.find,
            {
                "after": None if after is None else storable(after),
                "kind": wanted.kind,
                "state": wanted.state,
                "terms": as_json(wanted.tags.terms),
                "limit": limit + 1,
            },
            prepare=False,
        )
        return page_of([registered_of(row) for row in known(rows)], limit, lambda kept: kept.model.name)

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
        async with self._change(actor) as change:
            return await change.save(Save(model, aliases, expected, sealed))

    async def delete(self, name: str, *, expected: int | None = None, actor: str) -> None:
        """Delete a model."""
        async with self._change(actor) as change:
            if not await change.delete(name, expected):
                raise ModelNotFound

    async def arrange(self, alias: str, models: Sequence[str], *, actor: str) -> None:
        """Let an alias stand for models in this order."""
        async with self._change(actor) as change:
            await change.arrange(alias, models)

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
        async with self._change(actor) as change:
            for alias in [alias for alias, models in arranged.items() if not models]:
                await change.arrange(alias, arranged.pop(alias))
            for name in delete:
                await change.delete(name, None)
            for save in saves:
                await change.save(save)
            for alias, models in arranged.items():
                await change.arrange(alias, models)

    async def plant(
        self, models: Sequence[Model], aliases: Mapping[str, Sequence[str]], *, actor: str = "seed"
    ) -> bool:
        """Keep these if nothing was ever written."""
        async with self._change(actor) as change:
            if await change.begun():
                return False
            await change.version()  # though there be nothing to plant: once is once
            for model in models:
                await change.save(Save(model))
            for alias, names in aliases.items():
                await change.arrange(alias, names)
        return True

    async def reseal(self, sealed: Sealed) -> bool:
        """Keep a credential as another key has encrypted it."""
        params = {
            "id": sealed.id,
            "goes_to": sealed.goes_to,
            "secret": sealed.secret,
            "key_id": sealed.key_id,
        }
        return await self._database.row(Q.registry.reseal, params) is not None

    @asynccontextmanager
    async def _change(self, actor: str) -> AsyncGenerator[_Change]:
        """A transaction that changes the registry; no other one does at the same time."""
        async with self._database.transaction() as work:
            await work.rows(Q.registry.lock)
            yield _Change(work, actor)


class _Change:
    """What one transaction changes: one revision, however much it is."""

    def __init__(self, work: Transaction, actor: str) -> None:
        """`work` has the lock."""
        self._work = work
        self._actor = actor
        self._version: int | None = None

    async def begun(self) -> bool:
        """Whether the registry was ever written."""
        return await self._work.row(Q.registry.revision) is not None

    async def version(self) -> int:
        """The revision that this transaction makes: from the first call on, it is one."""
        if self._version is None:
            self._version = await bumped(self._work, NOUN)
        return self._version

    async def save(self, wanted: Save) -> Registered:
        """Keep a model."""
        model, work = wanted.model, self._work
        aliases = None if wanted.aliases is None else tuple(sorted(set(wanted.aliases)))
        before = await _read(work, model.name)
        current = 0 if before is None else before.model.version
        if wanted.expected == 0 and before is not None:
            raise ModelExists(param="name")
        if wanted.expected is not None and wanted.expected != current:
            raise VersionConflict(current=current)
        await _check_names(work, model.name, aliases or ())
        await _check_credential(work, model, wanted.sealed)
        if (
            before is not None
            and wanted.sealed is None
            and aliases in (None, before.aliases)
            and replace(model, version=current) == before.model
        ):
            return before
        await work.rows(Q.registry.save, model_row(model, await self.version(), self._actor))
        if aliases is not None:
            names = {"name": model.name, "aliases": list(aliases)}
            await work.rows(Q.registry.leave, names)
            await work.rows(Q.registry.join, names)
        stored = stored_id(model.credential)
        await work.rows(Q.registry.forget_credentials, {"model": model.name, "id": stored})
        if wanted.sealed is not None:
            await work.rows(Q.registry.keep_credential, sealed_row(wanted.sealed, model.name))
        after = await _read(work, model.name)
        if after is None:
            raise AssertionError("what was written in a transaction is read in it")
        action = "create" if before is None else "update"
        told = None if before is None else shown(before)
        await audited(work, self._actor, NOUN, model.name, action, told, shown(after))
        return after

    async def delete(self, name: str, expected: int | None) -> bool:
        """Delete a model; False if there is none."""
        before = await _read(self._work, name)
        if before is None:
            return False
        if expected is not None and expected != before.model.version:
            raise VersionConflict(current=before.model.version)
        await self.version()
        await self._work.rows(Q.registry.delete, {"name": name})
        await audited(self._work, self._actor, NOUN, name, "delete", shown(before), None)
        return True

    async def arrange(self, alias: str, models: Sequence[str]) -> None:
        """Let an alias stand for models in this order."""
        work, alias, wanted = self._work, storable(alias), tuple(dict.fromkeys(models))
        if await work.row(Q.registry.taken, {"names": [alias]}) is not None:
            raise ModelExists(f"`{alias}` is a model already.", param="alias")
        there = {row["name"] for row in await work.rows(Q.registry.taken, {"names": list(wanted)})}
        for name in wanted:
            if name not in there:
                raise InvalidRequest(f"There is no model `{name}`.", param="models")
        before = tuple(row["model"] for row in await work.rows(Q.registry.alias, {"alias": alias}))
        if wanted == before:
            return
        version = await self.version()
        await work.rows(Q.registry.disband, {"alias": alias})
        await work.rows(Q.registry.arrange, {"alias": alias, "models": list(wanted)})
        changed = sorted(set(before) ^ set(wanted))
        await work.rows(Q.registry.touch, {"version": version, "actor": self._actor, "names": changed})
        await audited(
            work,
            self._actor,
            ALIAS,
            alias,
            "create" if not before else "update" if wanted else "delete",
            {"models": list(before)} if before else None,
            {"models": list(wanted)} if wanted else None,
        )


async def _read(work: Transaction, name: str) -> Registered | None:
    row = await work.row(Q.registry.get, {"name": storable(name)})
    return None if row is None else registered_of(row)


async def _check_names(work: Transaction, name: str, aliases: Sequence[str]) -> None:
    if await work.row(Q.registry.alias, {"alias": name}) is not None:
        raise ModelExists(f"`{name}` is an alias already.", param="name")
    taken = [row["name"] for row in await work.rows(Q.registry.taken, {"names": list(aliases)})]
    for alias in (*taken, *(each for each in aliases if each == name)):
        raise ModelExists(f"`{alias}` is a model already.", param="aliases")


async def _check_credential(work: Transaction, model: Model, sealed: Sealed | None) -> None:
    stored = stored_id(model.credential)
    if sealed is not None and sealed.id != stored:
        raise ValueError("the model must name the credential that comes with it")
    if stored is None or (sealed is not None and sealed.id == stored):
        return
    if await work.row(Q.registry.credential, {"model": model.name, "id": stored}) is None:
        raise InvalidRequest("This credential is not kept for this model.", param="credential")
