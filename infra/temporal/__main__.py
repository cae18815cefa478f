"""`python -m infra.temporal build | dynamic | schema | namespace | up`: Temporal's server on PostgreSQL."""

import asyncio
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from infra.local.component import Component, StackError
from infra.local.folder import Folder
from infra.local.ports import taken
from infra.local.supervisor import Event, State, Supervisor
from infra.temporal import build as building
from infra.temporal.dynamic import as_yaml
from infra.temporal.namespace import make_namespace
from infra.temporal.schema import bring_up_to_date
from infra.temporal.server import SHARDS, Database, TemporalServer, own_engine

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
Url = Annotated[
    str,
    typer.Option(
        "--postgres",
        envvar="TEMPORAL_POSTGRES",
        help="postgresql://user:password@host:port of a role that may create databases.",
    ),
]
Hours = Annotated[int, typer.Option(min=1, help="How long closed workflows are kept.")]


@app.command()
def build(
    version: Annotated[str, typer.Option(help="A release, such as v1.32.1.")] = building.VERSION,
) -> None:
    """Build the server and its SQL tool from Go modules, once; they are kept in `.tools`."""
    building.build(version)


@app.command()
def dynamic() -> None:
    """Print the dynamic configuration that the gateway wants, as the file that a server reads."""
    print(as_yaml(), end="")


@app.command()
def schema(postgres: Url) -> None:
    """Make Temporal's two databases on a PostgreSQL server, or bring them up to date."""
    where = Database.of(postgres)
    bring_up_to_date(where.host, where.port, where.user, where.password)
    print("Temporal's schemas are up to date.")


@app.command()
def namespace(
    address: Annotated[str, typer.Option(help="host:port of Temporal's frontend.")],
    *,
    name: Annotated[str, typer.Option(help="What temporal.namespace says.")] = "default",
    retention_hours: Hours = 24,
    within: Annotated[int, typer.Option(min=1, help="How many seconds to try.")] = 60,
) -> None:
    """Make the gateway's namespace and search attributes in a running server, where they are missing."""
    kept, patience = timedelta(hours=retention_hours), timedelta(seconds=within)
    make_namespace(address, name, kept, patience)
    print(f"{address} has the namespace {name} with our search attributes.")


@app.command()
def up(
    data: Annotated[Path, typer.Option(help="A folder of its own, for its data and logs.")],
    *,
    port: Annotated[int, typer.Option(help="Of its gRPC service, at 127.0.0.1.")] = 7233,
    postgres: Annotated[
        str,
        typer.Option(
            envvar="TEMPORAL_POSTGRES",
            help="postgresql://user:password@host:port; one of its own where nothing is said.",
        ),
    ] = "",
    shards: Annotated[
        int, typer.Option(min=1, help="History shards, for the life of the database.")
    ] = SHARDS,
    retention_hours: Hours = 24,
) -> None:
    """Run a server on this machine until Ctrl-C, its schemas up to date and our namespace in it."""
    folder = Folder(data.expanduser().resolve())
    folder.make()
    held = folder.hold()
    if held is None:
        raise StackError(f"{folder.root}: a server runs there already")
    with held:
        folder.turn_logs()
        kept = timedelta(hours=retention_hours)
        if postgres:
            where = folder.root / "temporal"
            components = TemporalServer(
                port, where, Database.of(postgres), shards, retention=kept
            ).components()
        else:
            components = own_engine(port, folder, shards, kept)
        if problems := taken(components):
            raise StackError("\n".join(problems))
        asyncio.run(_keep(components, folder))


async def _keep(components: list[Component], folder: Folder) -> None:
    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)

    async def ready() -> None:
        print(f"Ready; logs are in {folder.logs}. Ctrl-C stops it.", flush=True)

    def tell(event: Event) -> None:
        if event.state is not State.WAITING:
            said = f"  {event.name:<18} {event.state:<10} {event.detail}"
            print(said.rstrip(), flush=True)

    await Supervisor(components, folder, tell).run(asked, ready)


if __name__ == "__main__":
    try:
        app()
    except (StackError, OSError) as problem:
        sys.exit(str(problem))
