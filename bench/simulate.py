"""`python -m bench.simulate`: rules are tried on a day of 100,000 logged requests, while jobs run beside.

The ledger is filled by SQL with requests of 200 callers to 20 models; the draft has 50 rules, live windows among them.
The simulation is asked for at the door and run by the stack's worker, as in life.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any, Final

import msgspec
import psycopg

from bench import decide
from bench.options import Bench, main, parser, say
from bench.processes import cpu_between, look
from bench.report import Report, Table
from bench.stack import BenchError
from bench.stats import percentile
from bench.subjects import Subject
from bench.wire import Caller
from gateway.domain.registry import Model
from gateway.rules.write import write_hocon

_LOOK_EVERY: Final = 0.5
_DAY: Final = timedelta(days=1)
_ENDED: Final = frozenset({"completed", "failed"})

_REQUESTS: Final = """
INSERT INTO requests (
    id, accepted_at, finished_at, deadline, status, kind, mode, durability, endpoint, door, origin, caller, model,
    served_model, served_provider, attempts, candidates, decision, rules_version, limits, tags, metadata, deliver,
    trace_id, traceparent, fingerprint, queue_ms, input_tokens, output_tokens, cached_tokens, reasoning_tokens,
    usage_estimated, cost_usd, registry_version, facts)
SELECT gen_random_uuid(), at, at + interval '1 s', at + interval '60 s', 'completed', 'chat', 'sync', 'overlapped',
       '/v1/chat/completions', 'rest', '', 'agent-' || n %% 200, 'auto', model, 'compatible', 1, ARRAY[model], '{}',
       '1', '{}', '{"env": "prod"}', '{}', '{}', '', '', '', 0, 1500, 300, 0, 0, false, 0.001, '1',
       jsonb_build_object('input_tokens', 1500, 'max_output', 500, 'body_bytes', 6000, 'caller_name', 'a',
                          'caller_tags', jsonb_build_object('tier', 'batch'), 'roll', random() * 0.999)
  FROM (SELECT n, now() - interval '1 h' - n * (interval '1 day' / %(requests)s) AS at,
               'model-' || lpad((n %% %(models)s)::text, 3, '0') AS model
          FROM generate_series(1, %(requests)s) AS n) AS made
"""
_ATTEMPTS: Final = """
INSERT INTO attempts (
    accepted_at, request_id, number, model, provider, upstream_model, reason, outcome, started_at, total_ms,
    first_token_ms, finish_reason, input_tokens, output_tokens, cached_tokens, reasoning_tokens, usage_estimated,
    cost_usd)
SELECT accepted_at, id, 1, served_model, 'compatible', served_model, 'first choice', 'succeeded',
       accepted_at + interval '1 ms', 300 + 1500 * random() * random(), 120, 'stop', 1500, 300, 0, 0, false, 0.001
  FROM requests WHERE origin = ''
"""


@dataclass(frozen=True, slots=True)
class Shape:
    """How many requests are decided again, among how many models, by how many rules."""

    requests: int = 100_000
    models: int = 20
    rules: int = 50

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Shape:
        """From the command line."""
        return cls(arguments.requests, arguments.models, arguments.rules)


def arguments_into(to: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The options of this program."""
    shape = Shape()
    to.add_argument("--requests", type=int, default=shape.requests, help="in the ledger (%(default)s)")
    to.add_argument("--models", type=int, default=shape.models, help="that may serve each (%(default)s)")
    to.add_argument("--rules", type=int, default=shape.rules, help="of the draft (%(default)s)")
    to.set_defaults(modes="overlapped")
    return to


async def measure(bench: Bench, shape: Shape) -> Report:
    """Fill the ledger, ask, and look until it is done."""
    subject = bench.ours[0]
    if subject.site is None or not subject.site.pids:
        raise BenchError("a ledger is filled on this machine only: leave --url out")
    caller = Caller(subject.host, subject.port)
    try:
        return await _measured(bench, subject, caller, shape)
    finally:
        caller.close()


async def _measured(bench: Bench, subject: Subject, caller: Caller, shape: Shape) -> Report:
    say(f"simulate: {shape.requests} requests are written to the ledger")
    await _fill(subject, shape)
    content = registry_text(decide.models(shape.models))
    await _post(caller, subject, "/api/v1/models/import", {"format": "hocon", "content": content})
    await asyncio.sleep(3)  # until every process has them
    before, began = look(bench.pids(subject)), perf_counter()
    rules = write_hocon(decide.rules(shape.rules, idle=True))
    until = datetime.now(UTC)
    wanted = {"text": rules, "limit": shape.requests, "since": (until - 2 * _DAY).isoformat()}
    simulation = await _post(caller, subject, "/api/v1/rules/simulate", wanted)
    delays: list[float] = []
    path = f"/api/v1/rules/simulations/{simulation['id']}"
    while simulation["status"] not in _ENDED:
        await asyncio.sleep(_LOOK_EVERY)
        answer = await caller.ask(subject.get(path))
        delays.append(answer.total)
        simulation = msgspec.json.decode(answer.body)
        say(f"simulate: {simulation['done']} of {simulation['total']}")
    seconds = perf_counter() - began
    if simulation["report"] is None:
        raise BenchError(f"the simulation failed: {simulation['error']}")
    spent = cpu_between(before, look(bench.pids(subject)))
    return _report(shape, simulation["report"], seconds, spent, delays)


def _report(
    shape: Shape, found: dict[str, Any], seconds: float, spent: dict[str, float], delays: list[float]
) -> Report:
    report = Report()
    requests = found["requests"]
    report.facts |= {
        "simulate.seconds_per_100000": seconds * 100_000 / max(requests, 1),
        "simulate.missing": shape.requests - requests,
    }
    row = [
        str(requests),
        f"{seconds:.1f}",
        f"{requests / seconds:.0f}",
        *(f"{spent.get(name, 0.0):.1f}" for name in ("worker", "postgres")),
        str(found["moved"]),
        f"{percentile(sorted(delays), 0.5) * 1000:.1f}",
    ]
    columns = (
        "requests",
        "s",
        "a second",
        "worker CPU s",
        "postgres CPU s",
        "moved",
        "door p50 ms meanwhile",
    )
    title = f"Simulation: {shape.models} models, {shape.rules} rules"
    report.tables.append(Table(title, columns, [row], ("the worker with the processes that decide for it",)))
    return report


async def _fill(subject: Subject, shape: Shape) -> None:
    backlog = None if subject.site is None else subject.site.backlog
    if backlog is None or backlog.postgres is None:
        raise BenchError("there is no database to fill")
    async with await psycopg.AsyncConnection.connect(backlog.postgres) as connection:
        # Usage is counted from a trigger: a day of it at once would be counted while we measure.
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(_REQUESTS, {"requests": shape.requests, "models": shape.models})
        await connection.execute(_ATTEMPTS)
    async with await psycopg.AsyncConnection.connect(backlog.postgres, autocommit=True) as connection:
        await connection.execute("ANALYZE requests, attempts")


async def _post(caller: Caller, subject: Subject, path: str, told: dict[str, Any]) -> Any:
    answer = await caller.ask(subject.post(path, told))
    if answer.status >= 300:
        raise BenchError(f"{path}: {answer.status} {answer.body[:500].decode()}")
    return msgspec.json.decode(answer.body)


def registry_text(models: tuple[Model, ...]) -> str:
    """Models as a file has them."""
    entries = [
        {
            "name": model.name,
            "provider": "compatible",
            "base_url": "http://127.0.0.1:1/v1",
            "upstream_model": model.upstream_model,
            "kind": "chat",
            "tags": dict(model.tags),
            "size": model.size,
            "quality": model.quality,
            "context_window": model.context_window,
            "capabilities": sorted(model.capabilities or ()),
            "price": {"input_usd_per_mtok": f"0.{n + 10}", "output_usd_per_mtok": f"1.{n + 10}"},
        }
        for n, model in enumerate(models)
    ]
    return json.dumps({"models": entries})


def run() -> None:
    """Measure and print."""
    arguments = arguments_into(parser("bench.simulate", __doc__)).parse_args()
    main(arguments, lambda bench: measure(bench, Shape.of(arguments)))


if __name__ == "__main__":
    run()
