"""Options that every program has, and the world they describe."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import uvloop

from bench.backlog import Backlog
from bench.report import Report, Table, machine, shown
from bench.stack import BenchError, gateway, scratch, upstream
from bench.subjects import Site, Subject
from infra.temporal.build import VERSION
from infra.temporal.server import SHARDS

MODES = ("overlapped", "start-first", "engine-off")
_DEFAULT_MODES = "overlapped,start-first"
_ENGINE_TOLD = {
    "development": "engine: Temporal's development server, one file of SQLite, 1 history shard",
    "postgres": f"engine: Temporal's server {VERSION}, all services in one process, {SHARDS} history shards, "
    "on a PostgreSQL of its own (temporal-postgres)",
}
ENGINES = tuple(_ENGINE_TOLD)


@dataclass(frozen=True, slots=True)
class Bench:
    """Who is measured, and which other processes take part."""

    direct: Subject | None
    ours: tuple[Subject, ...]
    others: tuple[Subject, ...] = ()
    helpers: Mapping[str, int] | None = None
    engine: str = ""
    """In words, what our workflows run on; nothing for a gateway that runs elsewhere."""

    @property
    def gateways(self) -> tuple[Subject, ...]:
        """Everyone but the upstream itself."""
        return self.ours + self.others

    def pids(self, subject: Subject) -> dict[str, int]:
        """The processes that work when this subject is asked."""
        return {**(subject.site.pids if subject.site else {}), **(self.helpers or {})}

    async def close(self) -> None:
        """Close the connections to what was looked into."""
        for subject in self.gateways:
            if subject.site is not None and subject.site.backlog is not None:
                await subject.site.backlog.close()


def parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """A parser that knows the common options."""
    made = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    made.add_argument("--markdown", action="store_true", help="print tables as Markdown")
    made.add_argument("--keep", action="store_true", help="keep the stack's data folder, with its logs")
    made.add_argument(
        "--modes", default=_DEFAULT_MODES, help=f"of {', '.join(MODES)}; default {_DEFAULT_MODES}"
    )
    made.add_argument(
        "--engine",
        choices=ENGINES,
        default=ENGINES[0],
        help="what the stack's workflows run on: Temporal's development server, or its server on a PostgreSQL of "
        "its own (`python -m infra.temporal build` builds it once); default %(default)s",
    )
    running = made.add_argument_group("a gateway that runs already, instead of one started for this")
    running.add_argument("--url", help="its REST address")
    running.add_argument("--key", default="none", help="an API key of it")
    running.add_argument("--model", help="the model to ask it for")
    running.add_argument("--upstream", help="the address of that model, to be asked directly")
    running.add_argument("--upstream-key", default="none", help="what the upstream wants for a key")
    running.add_argument("--upstream-model", help="what the upstream calls the model")
    peer = made.add_argument_group("another gateway that gets the same load, turn by turn")
    peer.add_argument("--peer", help="its address")
    peer.add_argument("--peer-key", default="none", help="an API key of it")
    peer.add_argument("--peer-model", help="the model to ask it for")
    return made


@contextmanager
def opened(arguments: argparse.Namespace) -> Generator[Bench]:
    """Start what the options ask for; it ends with the block."""
    modes = _modes(arguments.modes)
    peers: tuple[Subject, ...] = ()
    if arguments.peer:
        peers = (Subject("peer", arguments.peer, arguments.peer_key, model=arguments.peer_model),)
    if arguments.url:
        yield _running(arguments, modes, peers)
        return
    with ExitStack() as stack:
        folder = stack.enter_context(scratch(keep=arguments.keep))
        served_by = stack.enter_context(upstream(folder))
        ours: list[Subject] = []
        say("starting a gateway …")
        durable = [mode for mode in modes if mode != "engine-off"]
        if durable:
            made = stack.enter_context(gateway(folder / "gateway", served_by, engine=arguments.engine))
            plain = Subject("", made.url, made.key, site=made.site)
            ours += [_in_mode(plain, mode) for mode in durable]
        if "engine-off" in modes:
            made = stack.enter_context(gateway(folder / "engine-off", served_by, engine=None))
            ours.append(Subject("engine-off", made.url, made.key, site=made.site))
        direct = Subject("direct", served_by.url)
        engine = _ENGINE_TOLD[arguments.engine] if durable else ""
        yield Bench(direct, tuple(ours), peers, {"upstream": served_by.pid}, engine)


def main(
    arguments: argparse.Namespace,
    measure: Callable[[Bench], Awaitable[Report]],
) -> None:
    """Open the world, measure in it, print the tables."""
    signal.signal(signal.SIGTERM, _end)
    before = machine()

    async def run(bench: Bench) -> Report:
        try:
            return await measure(bench)
        finally:
            await bench.close()

    try:
        with opened(arguments) as bench:
            report = uvloop.run(run(bench))
            engine = bench.engine
    except BenchError as error:
        sys.exit(str(error))
    except ConnectionError as error:
        sys.exit(f"a server that is to be measured cannot be reached: {error}")
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("stopped")
    show(report.tables, before, as_markdown=arguments.markdown, engine=engine)


def _end(number: int, _frame: object) -> None:
    """End a measurement as Ctrl-C does: what was started is stopped, and a second signal must not keep it from that."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def show(tables: list[Table], before: str, *, as_markdown: bool, engine: str = "") -> None:
    """Print the machine, the engine if it is ours, and the tables."""
    print(f"{before} before, {machine().rpartition('load average ')[2]} after")
    print(f"{engine}\n" if engine else "")
    print(shown(tables, as_markdown=as_markdown))


def say(what: str) -> None:
    """Tell how far a measurement is; results alone go to standard output."""
    print(what, file=sys.stderr, flush=True)


def _modes(said: str) -> list[str]:
    modes = [mode.strip() for mode in said.split(",") if mode.strip()]
    for mode in modes:
        if mode not in MODES:
            raise BenchError(f"--modes: expected some of {', '.join(MODES)}, got {mode!r}")
    return modes


def _in_mode(plain: Subject, mode: str) -> Subject:
    return replace(plain, name=mode, headers={"x-gateway-durability": mode})


def _running(arguments: argparse.Namespace, modes: list[str], peers: tuple[Subject, ...]) -> Bench:
    at = urlsplit(arguments.url)
    if at.scheme != "http" or at.hostname is None:
        raise BenchError(f"--url: expected http://host:port, got {arguments.url!r}")
    site = Site(backlog=Backlog(at.hostname, at.port or 80))
    plain = Subject("", arguments.url, arguments.key, model=arguments.model, site=site)
    direct = None
    if arguments.upstream:
        model = arguments.upstream_model or arguments.model
        direct = Subject("direct", arguments.upstream, arguments.upstream_key, model=model)
    ours = tuple(_in_mode(plain, mode) for mode in modes if mode != "engine-off")
    return Bench(direct, ours, peers)
