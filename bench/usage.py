"""`python -m bench.usage`: a year of a million requests a day, asked by all sorts of keys; what counting it costs."""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from time import perf_counter
from urllib.parse import urlencode, urlsplit

import msgspec
import psycopg

from bench import year
from bench.options import say, show
from bench.processes import cpu_between, look
from bench.report import Report, Table, machine
from bench.stack import BenchError, Gateway, gateway, scratch, upstream
from bench.stats import Spread
from gateway.domain.inference import settle
from gateway.domain.secret import Secret
from gateway.settings import Postgres, UsageSettings
from gateway.storage.ports import Entry
from gateway.storage.postgres.store import PostgresStore, open_store
from gateway.storage.upkeep import STEP
from tests.builders import a_failed_attempt, a_request, an_attempt

TARGET_MS = 300
YEAR = timedelta(days=365)

# What people ask of a year, and of a week.
QUESTIONS: Sequence[tuple[timedelta, dict[str, str]]] = (
    (YEAR, {}),
    (YEAR, {"bucket": "month"}),
    (YEAR, {"bucket": "day", "limit": "500"}),
    *(
        (YEAR, {"group_by": key})
        for key in ("model", "provider", "caller", "kind", "status", "code", "tag:team")
    ),
    (YEAR, {"group_by": "model", "bucket": "month"}),
    (YEAR, {"group_by": "model", "bucket": "day"}),
    (YEAR, {"group_by": "caller", "bucket": "month"}),
    (YEAR, {"group_by": "tag:team,tag:env", "bucket": "month"}),
    (YEAR, {"group_by": "model,status"}),
    (YEAR, {"group_by": "model,tag:team"}),
    (YEAR, {"group_by": "provider,tag:team"}),
    (YEAR, {"group_by": "caller,model"}),
    (YEAR, {"group_by": "caller,model", "bucket": "month"}),
    (YEAR, {"group_by": "model", "caller": "caller-0042"}),
    (YEAR, {"group_by": "model", "caller": "caller-0042", "bucket": "month"}),
    (YEAR, {"group_by": "model", "tags": "team=team-03,!env=dev"}),
    (timedelta(days=20), {"group_by": "caller,model", "bucket": "day"}),
    (timedelta(days=7), {"group_by": "model"}),
    (timedelta(days=7), {"group_by": "model", "bucket": "hour"}),
)


def ask(made: Gateway, times: int) -> tuple[Table, dict[str, float]]:
    """Ask each question, first once in turn, then several times."""
    at = urlsplit(made.url)
    pids = {name: made.site.pids[name] for name in ("api", "postgres")}
    connection = HTTPConnection(at.hostname or "127.0.0.1", at.port, timeout=60)
    rows: list[list[str]] = []
    worst = 0.0
    for length, question in QUESTIONS:
        since = (datetime.now(UTC) - length).isoformat()
        path = f"/api/v1/usage?{urlencode({**question, 'since': since})}"
        took: list[float] = []
        found, before = 0, look(pids)
        for number in range(times + 1):
            if number == 1:
                before = look(pids)
            began = perf_counter()
            connection.request("GET", path, headers={"authorization": f"Bearer {made.key}"})
            response = connection.getresponse()
            answer = response.read()
            took.append((perf_counter() - began) * 1000)
            if response.status != 200:
                raise BenchError(f"{path}: {response.status} {answer.decode()[:500]}")
            found = len(msgspec.json.decode(answer)["data"])
        again = Spread.of(took[1:])
        used = {name: cpu / times * 1000 for name, cpu in cpu_between(before, look(pids)).items()}
        worst = max(worst, again.p50)
        words = " ".join(f"{name}={value}" for name, value in question.items()) or "everything"
        rows.append(
            [
                words,
                f"{length.days}",
                str(found),
                *(
                    f"{number:.1f}"
                    for number in (took[0], again.p50, again.worst, used["api"], used["postgres"])
                ),
            ]
        )
    columns = ("", "days", "rows", "first ms", "p50 ms", "worst ms", "API CPU", "PostgreSQL CPU")
    notes = (
        f"{year.MODELS} models × {year.CALLERS} callers, {year.PER_DAY:,} requests a day; over HTTP, one by one",
        "CPU: milliseconds a question, which a busy machine does not change",
        "rows: of one page (100 unless said otherwise), percentiles included",
    )
    return Table("Usage of a year: milliseconds to an answer", columns, rows, notes), {
        "usage.worst_p50_ms": worst
    }


def an_entry() -> Entry:
    """A request that has just ended, of a random caller and model; some had a fallback."""
    model = f"model-{random.randrange(year.MODELS):03}"
    tags = {"team": f"team-{random.randrange(20):02}", "env": "prod"}
    request = a_request(caller=f"caller-{random.randrange(year.CALLERS):04}", tags=tags)
    attempt = an_attempt(1, model, first_token_ms=random.lognormvariate(6, 0.6))
    tried = (attempt,)
    if random.random() < 0.1:
        tried = (a_failed_attempt(1, "model-007"), replace(attempt, number=2))
    ended = request.accepted_at + timedelta(seconds=random.lognormvariate(0.7, 0.7))
    return Entry(request, settle(request, tried, ended), prompt="x" * 2000, answer="y" * 2000)


async def settling(store: PostgresStore, url: str, pids: dict[str, int], turns: int) -> Table:
    """Settle with and without the note that usage needs, turn by turn: what it costs the request's path."""
    cpu: dict[str, list[float]] = {"with": [], "without": []}
    took: dict[str, list[float]] = {"with": [], "without": []}
    with psycopg.connect(url, autocommit=True) as connection:
        for turn in range(2 * turns + 2):
            how = ("with", "without")[turn % 2]
            connection.execute(
                "ALTER TABLE requests ENABLE TRIGGER note_usage"
                if how == "with"
                else "ALTER TABLE requests DISABLE TRIGGER note_usage"
            )
            entries = [an_entry() for _ in range(1000)]
            before, began = look(pids), perf_counter()
            for start in range(0, len(entries), 50):
                await asyncio.gather(*(store.requests.settle(entry) for entry in entries[start : start + 50]))
            if turn >= 2:  # the first turn of each warms up
                took[how].append((perf_counter() - began) * 1000)
                cpu[how].append(cpu_between(before, look(pids))["postgres"] * 1000)
        connection.execute("ALTER TABLE requests ENABLE TRIGGER note_usage")
    rows = [
        [
            f"{how} the note for usage",
            f"{Spread.of(took[how]).p50:.0f}",
            f"{sum(cpu[how]) / len(cpu[how]):.0f}",
        ]
        for how in ("with", "without")
    ]
    return Table(
        "Settling 1000 requests, 50 at once",
        ("", "wall ms (p50 of turns)", "PostgreSQL CPU ms"),
        rows,
        (f"{turns} turns each, by turns",),
    )


async def rolling(store: PostgresStore, pids: dict[str, int]) -> Table:
    """Roll up what waits, and see how quickly."""
    settings = UsageSettings()
    before, began, rolled, longest = look(pids), perf_counter(), 0, 0.0
    while True:
        step = perf_counter()
        count = await store.rollups.roll(settings.tags, values=settings.tag_values, most=STEP)
        longest = max(longest, perf_counter() - step)
        rolled += count
        if not count:
            break
    seconds = perf_counter() - began
    cpu = cpu_between(before, look(pids))["postgres"]
    per_day = cpu / max(1, rolled) * year.PER_DAY / 86_400 * 100
    return Table(
        "Rolling up",
        ("requests", "a second", "longest step ms", "PostgreSQL CPU ms a request", "CPU for a million a day"),
        [
            [
                str(rolled),
                f"{rolled / seconds:.0f}",
                f"{longest * 1000:.0f}",
                f"{cpu / max(1, rolled) * 1000:.2f}",
                f"{per_day:.2f} % of a core",
            ]
        ],
        (
            f"at most {STEP} requests a step; almost every request has a caller and model of its own within its hour",
        ),
    )


def sizes(loaded: year.Loaded, shape: year.Shape) -> Table:
    """What was loaded."""
    rows = [[name, f"{count:,}", f"{size:.0f}", _scale(name, shape)] for name, count, size in loaded.parts]
    return Table(
        "What is asked", ("", "rows", "MiB", "of a year"), rows, (f"loaded in {loaded.seconds:.0f} s",)
    )


def _scale(table: str, shape: year.Shape) -> str:
    days = {
        "usage_days_some": shape.days,
        "usage_days_many": shape.days,
        "usage_hours_few": shape.few_hours,
        "usage_hours_some": shape.hours,
        "usage_hours_many": shape.hours,
    }
    return f"{days[table]} days of 365" if table in days else "all"


async def counting(made: Gateway, turns: int) -> list[Table]:
    """What counting costs: in the request's path, and in the worker."""
    store = await open_store(Postgres(url=Secret(made.postgres)))
    pids = {"postgres": made.site.pids["postgres"]}
    try:
        return [await settling(store, made.postgres, pids, turns), await rolling(store, pids)]
    finally:
        await store.close()


def measure(arguments: argparse.Namespace) -> Report:
    """Start a gateway, load, ask, settle, roll up."""
    shape = year.Shape(arguments.days, arguments.hours, arguments.few_hours)
    with scratch(keep=arguments.keep) as folder, upstream(folder) as served_by:
        say("starting a gateway …")
        with gateway(folder / "gateway", served_by, engine=None) as made:
            say("loading a year …")
            loaded = year.load(made.postgres, shape)
            say("asking …")
            answers, facts = ask(made, arguments.times)
            say("settling and rolling up …")
            tables = [sizes(loaded, shape), answers, *asyncio.run(counting(made, arguments.turns))]
    met = "met" if facts["usage.worst_p50_ms"] <= TARGET_MS else "NOT MET"
    target = Table(
        "Target",
        ("", "target", "measured", ""),
        [["the slowest question, p50", f"≤ {TARGET_MS} ms", f"{facts['usage.worst_p50_ms']:.0f} ms", met]],
    )
    return Report([*tables, target], facts)


def run() -> None:
    """Measure and print."""
    shape = year.Shape()
    made = argparse.ArgumentParser(prog="python -m bench.usage", description=__doc__)
    made.add_argument("--markdown", action="store_true", help="print tables as Markdown")
    made.add_argument("--keep", action="store_true", help="keep the stack's data folder, with its logs")
    made.add_argument(
        "--days", type=int, default=shape.days, help="of every pair by the day (%(default)s of 365)"
    )
    made.add_argument(
        "--hours", type=int, default=shape.hours, help="days of every pair by the hour (%(default)s)"
    )
    made.add_argument(
        "--few-hours", type=int, default=shape.few_hours, help="days of the rest by the hour (%(default)s)"
    )
    made.add_argument("--times", type=int, default=7, help="how often each question is asked (%(default)s)")
    made.add_argument(
        "--turns", type=int, default=6, help="of settling, with and without usage (%(default)s)"
    )
    arguments = made.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    before = machine()
    try:
        report = measure(arguments)
    except BenchError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("stopped")
    show(report.tables, before, as_markdown=arguments.markdown)


if __name__ == "__main__":
    run()
