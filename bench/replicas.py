"""`python -m bench.replicas`: how soon a change of models or rules is in force in three API processes."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter

import httpx2

from bench.fill import Admin
from bench.options import parser, say, show
from bench.report import Report, Table, machine
from bench.stack import BenchError, Gateway, gateway, running, scratch, upstream
from bench.stats import Spread
from infra.local.component import free_port

_LOOK_EVERY = 0.005
_PATIENCE = 20.0
_RULES = 'rules = [ {{ name = "change {0}", when {{ request.tags {{ bench = n{0} }} }}, prefer {{ name = bench }} }} ]'


@contextmanager
def replica(made: Gateway, folder: Path, number: int) -> Generator[str]:
    """Another API process of a stack, with an address of its own."""
    port = free_port()
    env = dict(
        line.removeprefix("export ").split("=", 1)
        for line in (made.logs.parent / "stack.env").read_text().splitlines()
        if "=" in line and not line.startswith("#")
    )
    env = {name: shlex.split(value)[0] if value else "" for name, value in env.items()}
    env |= {"GATEWAY__API__PORT": str(port), "GATEWAY__API__GRPC_PORT": str(free_port())}
    argv = [sys.executable, "-m", "api"]
    with running(argv, folder / f"api-{number}.log", env={**os.environ, **env}):
        yield f"http://127.0.0.1:{port}"


async def ready(client: httpx2.AsyncClient, url: str) -> None:
    """Wait until a process answers. Raises BenchError."""
    until = perf_counter() + _PATIENCE
    while perf_counter() < until:
        try:
            if (await client.get(f"{url}/readyz")).status_code == 200:
                return
        except httpx2.HTTPError:
            pass
        await asyncio.sleep(0.1)
    raise BenchError(f"{url} was not ready in {_PATIENCE:.0f} s")


async def seen(
    client: httpx2.AsyncClient, urls: list[str], what: str, version: Callable[[str], bool]
) -> list[float]:
    """Seconds until each process says in `/info` that it has what was changed. Raises BenchError."""
    began = perf_counter()

    async def one(url: str) -> float:
        while (waited := perf_counter() - began) < _PATIENCE:
            if version(str((await client.get(f"{url}/info")).json().get(what, ""))):
                return waited
            await asyncio.sleep(_LOOK_EVERY)
        raise BenchError(f"{url} did not take a change of {what} over in {_PATIENCE:.0f} s")

    return list(await asyncio.gather(*(one(url) for url in urls)))


async def measure(admin: Admin, urls: list[str], changes: int) -> Report:
    """Change a model and the rules in turn at the first process, and look at all of them."""
    waits: dict[str, list[float]] = {"a model": [], "the rules": []}
    async with httpx2.AsyncClient(trust_env=False, timeout=10) as client:
        for url in urls:
            await ready(client, url)
        for number in range(changes):
            say(f"change {number + 1} of {changes}")
            kept = await asyncio.to_thread(
                admin.ask, "PATCH", "/api/v1/models/bench", {"notes": f"change {number}"}
            )
            revision = f"{kept['version']}-"
            waits["a model"] += await seen(
                client, urls, "registry_version", lambda told, r=revision: told.startswith(r)
            )
            published = await asyncio.to_thread(
                admin.ask, "POST", "/api/v1/rules/publish", {"text": _RULES.format(number)}
            )
            wanted = str(published["version"])
            waits["the rules"] += await seen(client, urls, "rules_version", lambda told, w=wanted: told == w)
            await asyncio.sleep(0.3)
    report = Report()
    rows: list[list[str]] = []
    for what, found in waits.items():
        spread = Spread.of(found)
        report.facts[f"replicas.{what.split()[-1]}.max_ms"] = max(found) * 1000
        rows.append(
            [what, str(len(found)), *(f"{each * 1000:.0f}" for each in (spread.p50, spread.p95, max(found)))]
        )
    report.tables.append(
        Table(
            f"A change, from its answer until {len(urls)} API processes have it; milliseconds",
            ("a change of", "seen", "p50", "p95", "max"),
            rows,
            ("the target is 2000 ms at most",),
        )
    )
    return report


def run() -> None:
    """Start a stack and two more processes, change, look and print."""
    made = parser("bench.replicas", __doc__)
    made.add_argument("--processes", type=int, default=3)
    made.add_argument("--changes", type=int, default=10)
    arguments = made.parse_args()
    before = machine()
    try:
        with ExitStack() as stack:
            folder = stack.enter_context(scratch(keep=arguments.keep))
            served_by = stack.enter_context(upstream(folder))
            say("starting a gateway …")
            first = stack.enter_context(gateway(folder / "gateway", served_by))
            urls = [first.url] + [
                stack.enter_context(replica(first, folder, number))
                for number in range(2, arguments.processes + 1)
            ]
            admin = Admin(first.url, first.key)
            report = asyncio.run(measure(admin, urls, arguments.changes))
            admin.close()
    except BenchError as error:
        sys.exit(str(error))
    show(report.tables, before, as_markdown=arguments.markdown)


if __name__ == "__main__":
    run()
