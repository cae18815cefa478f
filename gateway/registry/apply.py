"""Bringing the registry to what a file says: what would change, told line by line, and carried out as one change."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gateway.domain.credentials import stored_id
from gateway.domain.registry import Model
from gateway.domain.secret import Secret
from gateway.registry.editor import Credential, Draft, Editor
from gateway.registry.entries import Entries
from gateway.registry.write import write_registry
from gateway.storage.ports import Inventory


@dataclass(frozen=True, slots=True)
class Plan:
    """What has to change, by names. `aliases` holds the models that an alias shall stand for, none where it goes.

    `secrets` are keys that came in clear with the file, by model: they are to be kept encrypted.
    """

    create: tuple[Model, ...] = ()
    change: tuple[Model, ...] = ()
    same: tuple[str, ...] = ()
    delete: tuple[str, ...] = ()
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    diff: str = ""
    secrets: Mapping[str, Secret] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether all is as it shall be."""
        return not (self.create or self.change or self.delete or self.aliases)


def plan_of(
    there: Inventory, wanted: Entries, *, prune: bool = False, secrets: Mapping[str, Secret] | None = None
) -> Plan:
    """What brings `there` to `wanted`; with `prune` the models and aliases that the file does not name go."""
    secrets = secrets or {}
    known = {model.name: model for model in there.models}
    create: list[Model] = []
    change: list[Model] = []
    same: list[str] = []
    for name, model in wanted.models.items():
        if name not in known:
            create.append(model)
        elif name in secrets or _as_kept(model, known[name]) != known[name]:
            change.append(model)
        else:
            same.append(name)
    delete = tuple(name for name in sorted(known) if prune and name not in wanted.models)
    aliases = {
        alias: models for alias, models in wanted.aliases.items() if there.aliases.get(alias) != models
    }
    gone = [alias for alias in sorted(there.aliases) if prune and alias not in wanted.aliases]
    aliases.update(dict.fromkeys(gone, ()))
    after = {**known, **wanted.models}
    for name in delete:
        del after[name]
    named = {alias: models for alias, models in {**there.aliases, **aliases}.items() if models}
    return Plan(
        create=tuple(create),
        change=tuple(change),
        same=tuple(same),
        delete=delete,
        aliases=aliases,
        diff=_diff(
            write_registry(known.values(), there.aliases),
            write_registry([after[name] for name in sorted(after)], {a: named[a] for a in sorted(named)}),
        ),
        secrets=secrets,
    )


async def carry_out(plan: Plan, editor: Editor, *, actor: str) -> None:
    """Make the changes, all or none, as one. Raises what the editor raises."""
    drafts = [
        Draft(model, credential=plan.secrets.get(model.name) or model.credential or Credential.KEEP)
        for model in (*plan.create, *plan.change)
    ]
    await editor.apply(drafts, aliases=plan.aliases, delete=plan.delete, actor=actor)


def _as_kept(model: Model, kept: Model) -> Model:
    """The model as it would be kept: a credential that the gateway keeps stays, unless the file names another one."""
    same = replace(model, version=kept.version)
    if model.credential is None and kept.credential is not None and stored_id(kept.credential) is not None:
        return replace(same, credential=kept.credential, credential_for=kept.credential_for)
    return same


def _diff(before: str, after: str) -> str:
    return "".join(
        difflib.unified_diff(
            before.splitlines(keepends=True), after.splitlines(keepends=True), "registry", "file", n=2
        )
    )
