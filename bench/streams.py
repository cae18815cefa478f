"""`python -m bench.streams`: what the gateway adds to a first byte, and how many streams it carries at once."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

from bench import overhead
from bench.load import crowd, warm
from bench.options import Bench, main, parser, say
from bench.processes import cpu_between, look
from bench.report import Report, Table, ms
from bench.stack import BenchError
from bench.stats import Spread
from bench.subjects import MODELS
from bench.throughput import Run, cpu_table, memory_table

_FIRST, _LONG = "bench-first", "bench-stream"


@dataclass(frozen=True, slots=True)
class Shape:
    """One caller's streams in turns, then so many callers at once for so many seconds."""

    alone: overhead.Shape = field(default_factory=lambda: overhead.Shape(requests=400))
    concurrent: int = 200
    seconds: float = 15.0

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Shape:
        """From the command line."""
        return cls(overhead.Shape.of(arguments), arguments.concurrent, arguments.seconds)


def arguments_into(to: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The options of this program."""
    shape = Shape()
    overhead.arguments_into(to)
    to.set_defaults(requests=shape.alone.requests)
    to.add_argument("--concurrent", type=int, default=shape.concurrent, help="streams at once (%(default)s)")
    to.add_argument("--seconds", type=float, default=shape.seconds, help="of them, for each (%(default)s)")
    return to


async def measure(bench: Bench, shape: Shape) -> Report:
    """First bytes of one caller, then many streams at once, direct and through each gateway."""
    if bench.direct is None:
        raise BenchError("what a gateway adds needs its upstream too: give --upstream")
    say("streams: warming up")
    await warm((bench.direct, *bench.gateways), 1.0)
    report = Report()
    report.tables.append(await _alone(bench, shape, report.facts))
    report.tables += await _together(bench, shape, report.facts)
    return report


async def _alone(bench: Bench, shape: Shape, facts: dict[str, float]) -> Table:
    subjects = (*([bench.direct] if bench.direct else []), *bench.gateways)
    say(f"streams: {shape.alone.requests} one after the other, {', '.join(s.name for s in subjects)}")
    loads = await overhead.in_turns(subjects, shape.alone, _FIRST, stream=True)
    base = Spread.of(loads[subjects[0].name].firsts)
    rows: list[list[str]] = []
    for subject in subjects:
        load = loads[subject.name]
        first = Spread.of(load.firsts)
        added = [first.p50 - base.p50, first.p95 - base.p95, first.p99 - base.p99]
        rows.append(
            [
                subject.name,
                *(ms(each) for each in (first.p50, first.p95, first.p99)),
                *("" if subject is bench.direct else ms(each) for each in added),
                load.faults_told(),
            ]
        )
        if load.answered:
            facts[f"streams.{subject.name}.first_added_p50_ms"] = added[0] * 1000
        facts[f"streams.{subject.name}.errors"] = load.faults.total()
    return Table(
        f"First byte of a stream: one caller, {shape.alone.requests} streams each; milliseconds",
        ("", "p50", "p95", "p99", "added p50", "added p95", "added p99", "errors"),
        rows,
    )


async def _together(bench: Bench, shape: Shape, facts: dict[str, float]) -> list[Table]:
    runs: dict[tuple[int, str], Run] = {}
    rows: list[list[str]] = []
    for subject in (*([bench.direct] if bench.direct else []), *bench.gateways):
        say(f"streams: {shape.concurrent} at once, {subject.name}")
        run = runs[shape.concurrent, subject.name] = Run()
        run.began = look(bench.pids(subject))
        backlog = subject.site.backlog if subject.site is not None else None
        begun = await backlog.rows() if backlog is not None else 0
        with crowd(subject, shape.concurrent) as asking:
            # They begin spread over one stream's length, as streams do in life: not all with one bang.
            request = subject.chat(_LONG, stream=True)
            run.load = await asking.ask(request, seconds=shape.seconds, spread=_length(), stream=True)
        if backlog is not None:
            drained = await backlog.empty(begun + run.load.answered)
            run.drained, run.missing, run.open = drained.closed, drained.missing, drained.open
        run.ended = look(bench.pids(subject))
        run.cpu = cpu_between(run.began, run.ended)
        first, whole = Spread.of(run.load.firsts), Spread.of(run.load.totals)
        rows.append(
            [
                subject.name,
                str(run.load.answered),
                f"{run.offered:.1f}",
                *(ms(each) for each in (first.p50, first.p95, first.p99)),
                *(ms(each) for each in (whole.p50, whole.p99)),
                f"{run.drained:.1f}",
                run.load.faults_told(),
                str(run.missing + run.open),
            ]
        )
        if run.load.answered:
            facts[f"streams.{subject.name}.together_first_p50_ms"] = first.p50 * 1000
        facts[f"streams.{subject.name}.together_errors"] = run.load.faults.total()
        facts[f"streams.{subject.name}.together_missing"] = run.missing + run.open
    script = MODELS[_LONG]
    table = Table(
        f"{shape.concurrent} streams at once, {script['tokens']:g} tokens, one each "
        f"{script['chunk_interval_ms']:g} ms, for {shape.seconds:g} s; milliseconds",
        (
            *("", "streams", "a second", "first p50", "first p95", "first p99", "whole p50", "whole p99"),
            *("then s", "errors", "left over"),
        ),
        rows,
        (f"a stream takes {_length() * 1000:.0f} ms by itself; left over: not in the ledger, or not closed",),
    )
    return [
        table,
        cpu_table(runs, "CPU milliseconds for one of these streams"),
        memory_table(runs),
    ]


def _length() -> float:
    script = MODELS[_LONG]
    return script["tokens"] * script["chunk_interval_ms"] / 1000


def run() -> None:
    """Measure and print."""
    arguments = arguments_into(parser("bench.streams", __doc__)).parse_args()
    main(arguments, lambda bench: measure(bench, Shape.of(arguments)))


if __name__ == "__main__":
    run()
