"""`python -m api prices …`: looks up what models cost, and says where that differs from what is kept."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from gateway.domain.errors import StorageUnavailable
from gateway.domain.prices import Price
from gateway.domain.registry import Model
from gateway.prices import Rows, Seed, by_model, in_force, seed_of
from gateway.published import Published, published
from gateway.settings import SettingsError, load
from gateway.storage.catalogue import open_store
from gateway.storage.ports import Store

UNKNOWN = "unknown"

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@app.callback()
def of_prices() -> None:
    """What models cost."""


@app.command()
def seed(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be kept, and keep nothing.")
    ] = False,
) -> None:
    """Give a price to each model that has none: of its entry, or the published one; no price that is kept changes."""
    said, differing = asyncio.run(_with_store(dry_run=dry_run))
    verb = "would keep" if dry_run else "kept"
    _print("model", "price", "since", "source", rows=said)
    unknown = [line for line in said if line[1] == UNKNOWN]
    sys.stderr.write(f"{verb} {len(said) - len(unknown)} prices; {len(unknown)} models have none\n")
    if differing:
        _print("model", "kept", "published", "source", rows=differing)
        sys.stderr.write(f"{len(differing)} differ from what is published, and stay as they are\n")


async def _with_store(*, dry_run: bool) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    try:
        store = await open_store(load())
        try:
            return await _seed(store, dry_run=dry_run)
        finally:
            await store.close()
    except StorageUnavailable as error:
        _give_up(f"{error.message}\n{error.detail or ''}".strip())
    except (SettingsError, ValueError) as error:
        _give_up(str(error))


async def _seed(store: Store, *, dry_run: bool) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    models = (await store.models.load()).models
    rows = by_model(await store.prices.load())
    now = datetime.now(UTC)
    said: list[tuple[str, ...]] = []
    for model in models:
        found = seed_of(model, rows.get(model.name, ()), now, published)
        if found is None:
            if model.name not in rows:
                said.append((model.name, UNKNOWN, "", _why(model)))
        elif dry_run or await store.prices.plant(model.name, found.rows, last=found.last):
            said.extend(_lines(found))
    return said, list(_differing(models, rows, now))


def _lines(found: Seed) -> Iterator[tuple[str, ...]]:
    for row in found.rows:
        since = row.price.since
        yield found.model, _shown(row.price), "always" if since is None else f"{since:%Y-%m-%d}", row.source


def _differing(models: Iterable[Model], rows: Rows, now: datetime) -> Iterator[tuple[str, ...]]:
    for model in models:
        kept = in_force(rows.get(model.name, ()), now)
        found = published(model)
        known = found.at(now) if isinstance(found, Published) else None
        if kept is None or known is None or not isinstance(found, Published):
            continue
        if (kept.price.parts(), kept.price.tiers) != (known.parts(), known.tiers):
            yield model.name, _shown(kept.price), _shown(known), found.source


def _why(model: Model) -> str:
    found = published(model)
    return found.source if isinstance(found, Published) else found.why


def _shown(price: Price) -> str:
    parts = [f"{part.removesuffix('_usd')} {usd:f}" for part, usd in price.parts().items()]
    return ", ".join([*parts, *(f"from {tier.over} on more" for tier in price.tiers)]) or UNKNOWN


def _print(*columns: str, rows: list[tuple[str, ...]]) -> None:
    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*row)
    # In a pipe a line is a price, however long it is.
    Console(width=None if sys.stdout.isatty() else 1000, soft_wrap=False).print(table)


def _give_up(why: str) -> NoReturn:
    sys.stderr.write(f"{why}\n")
    raise typer.Exit(1)
