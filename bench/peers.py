"""`python -m bench.peers`: the same load on LiteLLM, on Portkey and on this gateway, turn by turn in one run."""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace

from bench import overhead, streams, throughput
from bench.neighbours import NEIGHBOURS
from bench.options import Bench, main, parser, say
from bench.report import Report, Table
from bench.stack import BenchError, Upstream, scratch
from bench.subjects import Subject


@dataclass(frozen=True, slots=True)
class Shape:
    """The three loads."""

    overhead: overhead.Shape
    throughput: throughput.Shape
    streams: streams.Shape


FULL = Shape(
    overhead.Shape(requests=600),
    throughput.Shape(callers=(1, 16, 64), seconds=30, turns=3),
    streams.Shape(overhead.Shape(requests=200), concurrent=200, seconds=10),
)
QUICK = Shape(
    overhead.Shape(requests=100),
    throughput.Shape(callers=(16,), seconds=6, turns=2),
    streams.Shape(overhead.Shape(requests=60), concurrent=50, seconds=4),
)


async def measure(bench: Bench, shape: Shape, absent: list[str]) -> Report:
    """All loads, then how we stand to each of the others."""
    report = Report()
    for found in (
        await overhead.measure(bench, shape.overhead),
        await throughput.measure(bench, shape.throughput),
        await streams.measure(bench, shape.streams),
    ):
        report.tables += found.tables
        report.facts |= found.facts
    report.tables.append(ratios(report.facts, bench, shape, absent))
    return report


def ratios(facts: dict[str, float], bench: Bench, shape: Shape, absent: list[str]) -> Table:
    """Our numbers over theirs: below 1 is better for time and CPU, above 1 for requests a second."""
    lines = [
        ("overhead p50, one caller", "ms", "overhead.{}.p50_ms"),
        ("overhead p99", "ms", "overhead.{}.p99_ms"),
    ]
    for callers in shape.throughput.callers:
        lines.append((f"requests/s, {callers} callers", "1/s", f"throughput.{{}}.{callers}.per_second"))
        lines.append((f"CPU a request, {callers} callers", "ms", f"throughput.{{}}.{callers}.cpu_ms"))
    lines.append(("first byte added p50", "ms", "streams.{}.first_added_p50_ms"))
    at_once = f"first byte p50, {shape.streams.concurrent} at once"
    lines.append((at_once, "ms", "streams.{}.together_first_p50_ms"))
    rows: list[list[str]] = []
    for what, unit, fact in lines:
        theirs = {other.name: facts.get(fact.format(other.name)) for other in bench.others}
        for ours in bench.ours:
            mine = facts.get(fact.format(ours.name))
            cells = [_compared(mine, value) for value in theirs.values()]
            rows.append([what, ours.name, unit, "–" if mine is None else f"{mine:.2f}", *cells])
    notes = (
        "each cell of another gateway: its number, and ours divided by it",
        "the others keep nothing: no row, no workflow; our CPU is that of all processes, database and engine included",
        *absent,
    )
    return Table("Ratios", ("", "mode", "unit", "ours", *(other.name for other in bench.others)), rows, notes)


def _compared(mine: float | None, theirs: float | None) -> str:
    if mine is None or theirs is None:
        return "–"
    return f"{theirs:.2f} ({mine / theirs:.2f}×)" if theirs > 0 else f"{theirs:.2f}"


def run() -> None:
    """Install, start, measure and print."""
    made = parser("bench.peers", __doc__)
    made.add_argument("--quick", action="store_true", help="a minute or two, to see that it works")
    made.add_argument("--only-install", action="store_true", help="install the others and stop")
    arguments = made.parse_args()
    shape = QUICK if arguments.quick else FULL
    absent: list[str] = []
    there = []
    for neighbour in NEIGHBOURS:
        try:
            say(f"{neighbour.about} {neighbour.installed()}")
            there.append(neighbour)
        except BenchError as error:
            absent.append(f"{neighbour.about} could not be installed here: {error}")
            say(absent[-1])
    if arguments.only_install:
        sys.exit(1 if absent else 0)

    async def with_others(bench: Bench) -> Report:
        if bench.direct is None or bench.helpers is None:
            raise BenchError("bench.peers starts its own gateway and upstream: leave --url out")
        served_by = Upstream(bench.direct.url, bench.helpers["upstream"])
        with ExitStack() as stack:
            folder = stack.enter_context(scratch(keep=arguments.keep))
            others: list[Subject] = []
            for neighbour in there:
                say(f"starting {neighbour.about} …")
                try:
                    starting = asyncio.to_thread(stack.enter_context, neighbour.started(folder, served_by))
                    others.append(await starting)
                except BenchError as error:
                    absent.append(f"{neighbour.about} could not be started here: {error}")
                    say(absent[-1])
            return await measure(replace(bench, others=(*bench.others, *others)), shape, absent)

    main(arguments, with_others)


if __name__ == "__main__":
    run()
