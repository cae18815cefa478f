"""`python -m api webhooks …`: makes and rotates what a caller's webhooks are signed with. A secret is shown once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated, Final, NoReturn

import typer

from api.service.webhooks import Made, WebhooksService
from gateway.delivery.seals import Seals
from gateway.domain.errors import GatewayError
from gateway.domain.identity import ALL_RIGHTS, Caller
from gateway.domain.units import parse_duration
from gateway.keyrings import DELIVERY, ring_of
from gateway.settings import SettingsError, load
from gateway.storage.catalogue import open_store
from gateway.storage.ports import Keys

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
_ACTOR: Final = "cli"
_Caller = Annotated[str, typer.Option(help="The caller's name.")]


@app.command()
def secret(caller: _Caller) -> None:
    """Make a caller's first secret and print it, alone, on the standard output: it cannot be shown again."""

    async def make(service: WebhooksService, of: Caller) -> Made:
        return await service.create(of, actor=_ACTOR)

    _show(_run(caller, make), caller)


@app.command()
def rotate(
    caller: _Caller,
    keep: Annotated[
        str | None,
        typer.Option(help="How long the old secret signs too, such as 2h or 7d; a day, unless said."),
    ] = None,
) -> None:
    """Make another secret and print it; for a while the old one signs beside it, so that receivers can change over."""
    lasting = None if keep is None else _duration(keep).total_seconds()

    async def make(service: WebhooksService, of: Caller) -> Made:
        return await service.rotate(of, lasting, actor=_ACTOR)

    _show(_run(caller, make), caller)


def _show(made: Made, caller: str) -> None:
    sys.stderr.write(f"secret {made.kept.id} of {caller}; it ends in {made.kept.last_four}\n")
    sys.stdout.write(f"{made.secret.reveal()}\n")


def _run(name: str, work: Callable[[WebhooksService, Caller], Awaitable[Made]]) -> Made:
    async def with_store() -> Made:
        settings = load()
        store = await open_store(settings)
        try:
            caller = await _caller(store.keys, name)
            return await work(
                WebhooksService(store.webhook_secrets, Seals(ring_of(settings, DELIVERY))), caller
            )
        finally:
            await store.close()

    try:
        return asyncio.run(with_store())
    except GatewayError as error:
        _give_up(f"{error.message}\n{error.detail or ''}".strip())
    except (SettingsError, ValueError, OSError) as error:
        _give_up(str(error))


async def _caller(keys: Keys, name: str) -> Caller:
    """The caller of a name, for whom its operator acts. Raises ValueError."""
    for caller, _ in await keys.keys():
        if caller.name == name:
            return Caller(caller.id, caller.name, caller.kind, ALL_RIGHTS)
    raise ValueError(f"There is no caller {name} with a key.")


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError:
        raise typer.BadParameter("expected a duration such as 2h or 7d", param_hint="--keep") from None


def _give_up(why: str) -> NoReturn:
    sys.stderr.write(f"{why}\n")
    raise typer.Exit(1)
