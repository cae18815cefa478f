"""`python -m bench.soak`: whether a process grows over very many requests."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter

from bench.load import Load, crowd
from bench.options import Bench, main, parser, say
from bench.processes import OURSELVES, look
from bench.report import Report, Table
from bench.stack import BenchError
from bench.stats import Line
from bench.subjects import Subject

_ROWS = 10


@dataclass(frozen=True, slots=True)
class Shape:
    """How many requests by how many callers; samples are taken each `every` seconds."""

    requests: int = 100_000
    callers: int = 16
    every: float = 2.0
    warm_up: float = 0.2
    """The share of requests after which growth counts: caches and pools have filled by then."""

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Shape:
        """From the command line."""
        return cls(arguments.requests, arguments.callers, arguments.every, arguments.warm_up)


@dataclass(frozen=True, slots=True)
class Sample:
    """A moment: how many requests had been answered, and what each process held, in MiB."""

    seconds: float
    answered: int
    memory: Mapping[str, float]


def arguments_into(to: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The options of this program."""
    shape = Shape()
    to.add_argument("--requests", type=int, default=shape.requests, help="to each mode (%(default)s)")
    to.add_argument("--callers", type=int, default=shape.callers, help="at once (%(default)s)")
    to.add_argument("--every", type=float, default=shape.every, help="seconds between samples (%(default)s)")
    to.add_argument(
        "--warm-up", type=float, default=shape.warm_up, help="share left out of the fit (%(default)s)"
    )
    to.set_defaults(modes="overlapped")
    return to


async def measure(bench: Bench, shape: Shape) -> Report:
    """Load each mode of ours, and watch."""
    report = Report()
    for subject in bench.ours:
        if not bench.pids(subject):
            raise BenchError("memory is watched on this machine only: leave --url out")
        load, samples = await _watched(bench, subject, shape)
        report.tables += _tables(subject, shape, load, samples, report.facts)
    return report


async def _watched(bench: Bench, subject: Subject, shape: Shape) -> tuple[Load, list[Sample]]:
    pids, load = bench.pids(subject), Load()
    samples: list[Sample] = []
    begun = perf_counter()

    def sample() -> None:
        held = {name: used.memory for name, used in look(pids).items() if name != OURSELVES}
        samples.append(Sample(perf_counter() - begun, load.answered, held))

    async def watch() -> None:
        said = 0
        while True:
            sample()
            if (tenth := load.answered * 10 // shape.requests) > said:
                said = tenth
                api = samples[-1].memory.get("api", 0.0)
                say(f"soak: {load.answered} of {shape.requests}, {subject.name}, api {api:.0f} MiB")
            await asyncio.sleep(shape.every)

    watching = asyncio.create_task(watch())
    with crowd(subject, shape.callers) as asking:
        await asking.ask(subject.chat(), count=shape.requests, load=load)
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    if subject.site is not None and subject.site.backlog is not None:
        await subject.site.backlog.empty()
    sample()
    return load, samples


def growth(samples: Sequence[Sample], name: str, from_: float) -> float:
    """MiB a process grows in 100,000 requests, by a straight line through the samples after `from_` requests."""
    points = [
        (s.answered / 100_000, s.memory[name]) for s in samples if s.answered >= from_ and name in s.memory
    ]
    return Line.through(points).slope


def _tables(
    subject: Subject, shape: Shape, load: Load, samples: list[Sample], facts: dict[str, float]
) -> list[Table]:
    names = list(samples[-1].memory)
    fitted_from = shape.requests * shape.warm_up
    marks = [shape.requests * n / _ROWS for n in range(_ROWS + 1)]
    rows = [
        [str(each.answered), f"{each.seconds:.0f}", *(f"{each.memory[name]:.0f}" for name in names)]
        for each in _nearest(samples, marks)
    ]
    grown = {name: growth(samples, name, fitted_from) for name in names}
    rows.append(["MiB in 100,000", "", *(f"{grown[name]:+.1f}" for name in names)])
    facts[f"soak.{subject.name}.api_mib"] = grown.get("api", 0.0)
    facts[f"soak.{subject.name}.requests"] = load.answered
    facts[f"soak.{subject.name}.errors"] = load.faults.total()
    notes = (
        f"last row: growth by a straight line, without the first {shape.warm_up:.0%}",
        f"{load.answered / load.seconds:.1f} requests/s, errors: {load.faults_told()}",
    )
    title = f"Soak: {shape.requests} requests, {shape.callers} callers, {subject.name}; memory in MiB"
    return [Table(title, ("requests", "seconds", *names), rows, notes)]


def _nearest(samples: Sequence[Sample], marks: Sequence[float]) -> list[Sample]:
    """For each mark the sample nearest to it, none twice."""
    found = [min(range(len(samples)), key=lambda n: abs(samples[n].answered - mark)) for mark in marks]
    return [samples[n] for n in dict.fromkeys(found)]


def run() -> None:
    """Measure and print."""
    arguments = arguments_into(parser("bench.soak", __doc__)).parse_args()
    main(arguments, lambda bench: measure(bench, Shape.of(arguments)))


if __name__ == "__main__":
    run()
