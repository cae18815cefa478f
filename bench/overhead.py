"""`python -m bench.overhead`: what the gateway adds to one caller's requests."""

from __future__ import annotations

import argparse
import asyncio
from contextlib import ExitStack
from dataclasses import dataclass

from bench.load import Crowd, Load, crowd, warm
from bench.options import Bench, main, parser, say
from bench.report import Report, Table, ms
from bench.stack import BenchError
from bench.stats import Spread
from bench.subjects import Subject


@dataclass(frozen=True, slots=True)
class Shape:
    """How many requests each subject gets, how many of them in one turn, and the pauses in seconds."""

    requests: int = 1000
    turn: int = 20
    pause: float = 0.05
    gap: float = 0.0

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Shape:
        """From the command line."""
        return cls(arguments.requests, arguments.turn, arguments.pause_ms / 1000, arguments.gap_ms / 1000)


def arguments_into(to: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The options of this program."""
    shape = Shape()
    to.add_argument("--requests", type=int, default=shape.requests, help="to each (%(default)s)")
    to.add_argument(
        "--turn", type=int, default=shape.turn, help="requests to one before the next (%(default)s)"
    )
    to.add_argument(
        "--pause-ms", type=float, default=shape.pause * 1000, help="between two turns (%(default)s)"
    )
    to.add_argument(
        "--gap-ms", type=float, default=0.0, help="between two requests; 0 is back to back (%(default)s)"
    )
    return to


async def in_turns(
    subjects: tuple[Subject, ...], shape: Shape, model: str = "bench", *, stream: bool = False
) -> dict[str, Load]:
    """Give each subject its turn, again and again, so that a noisy minute hits all of them alike."""
    loads = {subject.name: Load() for subject in subjects}
    with ExitStack() as stack:
        crowds = [stack.enter_context(crowd(subject, 1)) for subject in subjects]
        requests = [each.subject.chat(model, stream=stream) for each in crowds]
        for turn in range(-(-shape.requests // shape.turn)):
            # Each begins in turn, so that nobody always comes after the same neighbour.
            first = turn % len(crowds)
            order = [*range(first, len(crowds)), *range(first)]
            for n in order:
                await _one_turn(crowds[n], requests[n], shape, loads[crowds[n].subject.name], stream=stream)
                await asyncio.sleep(shape.pause)
    return loads


async def _one_turn(callers: Crowd, request: bytes, shape: Shape, load: Load, *, stream: bool) -> None:
    if not shape.gap:
        await callers.ask(request, count=shape.turn, stream=stream, load=load)
        return
    for _ in range(shape.turn):
        await callers.ask(request, count=1, stream=stream, load=load)
        await asyncio.sleep(shape.gap)


async def measure(bench: Bench, shape: Shape) -> Report:
    """One caller, direct and through each gateway."""
    if bench.direct is None:
        raise BenchError("what a gateway adds needs its upstream too: give --upstream")
    subjects = (bench.direct, *bench.gateways)
    say("overhead: warming up")
    await warm(subjects, 1.0)
    say(f"overhead: {shape.requests} requests to each of {', '.join(s.name for s in subjects)}")
    loads = await in_turns(subjects, shape)
    base = Spread.of(loads[bench.direct.name].totals)
    report = Report()
    rows: list[list[str]] = []
    for subject in subjects:
        load = loads[subject.name]
        whole, told = Spread.of(load.totals), Spread.of(load.told_ms)
        added = [whole.p50 - base.p50, whole.p95 - base.p95, whole.p99 - base.p99]
        direct = subject is bench.direct
        rows.append(
            [
                subject.name,
                *(ms(each) for each in (whole.p50, whole.p95, whole.p99)),
                *("" if direct else ms(each) for each in added),
                f"{told.p50:.2f}" if told.count else "",
                f"{told.p99:.2f}" if told.count else "",
                load.faults_told(),
            ]
        )
        if load.answered:
            report.facts[f"overhead.{subject.name}.p50_ms"] = added[0] * 1000
            report.facts[f"overhead.{subject.name}.p99_ms"] = added[2] * 1000
        report.facts[f"overhead.{subject.name}.errors"] = load.faults.total()
    spaced = f"{shape.gap * 1000:g} ms between two requests" if shape.gap else "back to back"
    report.tables.append(
        Table(
            f"Overhead: one caller, {spaced}, {shape.requests} requests each in turns of {shape.turn}; milliseconds",
            (
                *("", "p50", "p95", "p99", "added p50", "added p95", "added p99"),
                *("told p50", "told p99", "errors"),
            ),
            rows,
            ("told: the gateway's own header x-gateway-overhead-ms",),
        )
    )
    return report


def run() -> None:
    """Measure and print."""
    arguments = arguments_into(parser("bench.overhead", __doc__)).parse_args()
    main(arguments, lambda bench: measure(bench, Shape.of(arguments)))


if __name__ == "__main__":
    run()
