"""`python -m api registry …`: for models that are kept in a file. Brings the registry to what it says, with a diff."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from gateway.domain.errors import GatewayError, StorageUnavailable
from gateway.net.guard import Guard
from gateway.providers.catalogue import MANUALS
from gateway.providers.credentials import Credentials
from gateway.registry.apply import Plan, carry_out, plan_of
from gateway.registry.checks import Checks
from gateway.registry.editor import Editor
from gateway.registry.seed import load_seed
from gateway.registry.write import write_registry
from gateway.settings import Settings, SettingsError, load
from gateway.storage.catalogue import open_store

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@app.command()
def apply(
    file: Annotated[Path, typer.Argument(help="A file of models and aliases.", dir_okay=False)],
    *,
    prune: Annotated[bool, typer.Option("--prune", help="Delete what the file does not name.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the diff, and change nothing.")] = False,
    actor: Annotated[str, typer.Option(help="Who makes the change, for the audit.")] = "cli",
) -> None:
    """Bring the registry to what a file says, and show what changes; every replica has it within two seconds.

    A credential that the gateway keeps stays where the file says none. Exit code 0 also where nothing changes.
    """
    try:
        settings = load()
        plan = asyncio.run(_apply(settings, file, prune=prune, dry_run=dry_run, actor=actor))
    except (SettingsError, ValueError) as e:
        _give_up(str(e))
    except StorageUnavailable:
        _give_up("The database cannot be reached: see postgres.url.")
    except GatewayError as e:
        _give_up(e.message)
    sys.stdout.write(plan.diff)
    sys.stdout.write(_told(plan, dry_run=dry_run) + "\n")


@app.command()
def export() -> None:
    """Print the registry as a file, without secrets."""

    async def read(settings: Settings) -> str:
        store = await open_store(settings)
        try:
            inventory = await store.models.load()
        finally:
            await store.close()
        return write_registry(inventory.models, inventory.aliases)

    try:
        sys.stdout.write(asyncio.run(read(load())))
    except (SettingsError, ValueError) as e:
        _give_up(str(e))
    except StorageUnavailable:
        _give_up("The database cannot be reached: see postgres.url.")


async def _apply(settings: Settings, file: Path, *, prune: bool, dry_run: bool, actor: str) -> Plan:
    private = settings.providers.allow_private_networks
    credentials = Credentials(settings.credentials)
    checks = Checks(MANUALS, credentials.why_not, allow_private=private)
    wanted = load_seed(file, checks)
    store = await open_store(settings)
    try:
        plan = plan_of(await store.models.load(), wanted, prune=prune)
        editor = Editor(store.models, checks, credentials, Guard(allow_private=private), _at_once)
        for model in (*plan.create, *plan.change):
            await editor.check(model)
        if not dry_run:
            await carry_out(plan, editor, actor=actor)
    finally:
        await store.close()
    return plan


async def _at_once() -> None:
    """There is no copy of the registry here that would have to follow."""


def _told(plan: Plan, *, dry_run: bool) -> str:
    if plan.empty:
        return f"Nothing to change: {len(plan.same)} models are as they shall be."
    counts = {
        "created": len(plan.create),
        "changed": len(plan.change),
        "deleted": len(plan.delete),
        "aliases set": len(plan.aliases),
    }
    said = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return f"{'Would be: ' if dry_run else ''}{said}; {len(plan.same)} unchanged."


def _give_up(why: str) -> NoReturn:
    sys.stderr.write(f"{why}\n")
    raise typer.Exit(1)
