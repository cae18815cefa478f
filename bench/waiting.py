"""`python -m bench.waiting`: what jobs cost that wait for their time: CPU and memory of each process meanwhile."""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bench.jobs import accepted
from bench.load import crowd
from bench.options import Bench, main, parser, say
from bench.processes import OURSELVES, Used, cpu_between, look
from bench.report import Report, Table
from bench.stack import BenchError
from bench.subjects import MESSAGES, Subject

_JOBS = "/api/v1/jobs"
_LATER = timedelta(hours=6)
_SETTLE = 5.0  # seconds that a stack has after its start
_QUIET_WITHIN = 600.0  # seconds after the last was accepted, until all of them have come to their timers


@dataclass(frozen=True, slots=True)
class Shape:
    """So many jobs, handed over by so many callers, then looked at for so many seconds."""

    jobs: int = 10_000
    callers: int = 16
    seconds: float = 20.0

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Shape:
        """From the command line."""
        if arguments.quick:
            return cls(1_000, arguments.callers, 10.0)
        return cls(arguments.jobs, arguments.callers, arguments.seconds)


def arguments_into(to: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The options of this program."""
    shape = Shape()
    to.add_argument("--jobs", type=int, default=shape.jobs, help="that wait (%(default)s)")
    to.add_argument("--callers", type=int, default=shape.callers, help="who hand them over (%(default)s)")
    to.add_argument("--seconds", type=float, default=shape.seconds, help="looked at (%(default)s)")
    to.add_argument("--quick", action="store_true", help="1,000 jobs, looked at for ten seconds")
    return to


async def measure(bench: Bench, shape: Shape) -> Report:
    """A while without jobs, then the same while with all of them waiting."""
    subject = next((each for each in bench.ours if each.site is not None and each.name != "engine-off"), None)
    if subject is None:
        raise BenchError("jobs that wait need a gateway of ours, with an engine, started for it")
    say(f"waiting: {shape.seconds:g} s without jobs")
    await asyncio.sleep(_SETTLE)
    idle, before = await _while(bench, subject, shape.seconds)
    say(f"waiting: {shape.jobs} jobs handed over by {shape.callers} callers")
    asked = {
        "endpoint": "/v1/chat/completions",
        "body": {"model": "bench", "messages": MESSAGES},
        "not_before": (datetime.now(UTC) + _LATER).isoformat(),
    }
    with crowd(subject, shape.callers) as callers:
        load = await callers.ask(subject.post(_JOBS, asked), count=shape.jobs, keep=True)
    taken = len(accepted(load))
    quiet = await _quiet(bench, subject, idle)
    say(f"waiting: {shape.seconds:g} s with {taken} of them")
    busy, after = await _while(bench, subject, shape.seconds)
    return _report(shape, taken, (idle, busy), (before, after), (load.faults.total(), quiet))


async def _quiet(bench: Bench, subject: Subject, idle: dict[str, float]) -> float:
    """Wait until the stack works little more than it did without jobs; how many seconds that took."""
    waited = 0.0
    while waited < _QUIET_WITHIN:
        now, _ = await _while(bench, subject, 2.0)
        waited += 2.0
        if all(now[name] < idle[name] + 25 for name in now if name != OURSELVES):
            break
    return waited


async def _while(bench: Bench, subject: Subject, seconds: float) -> tuple[dict[str, float], dict[str, Used]]:
    """CPU milliseconds a second of each process, and what it holds at the end."""
    began = look(bench.pids(subject))
    await asyncio.sleep(seconds)
    ended = look(bench.pids(subject))
    used = cpu_between(began, ended)
    return {name: cpu * 1000 / seconds for name, cpu in used.items()}, ended


def _report(
    shape: Shape,
    taken: int,
    cpu: tuple[dict[str, float], dict[str, float]],
    memory: tuple[dict[str, Used], dict[str, Used]],
    ended: tuple[int, float],
) -> Report:
    errors, quiet = ended
    (idle, busy), (before, after) = cpu, memory
    names = [name for name in after if name != OURSELVES]
    rows = [
        [
            name,
            f"{idle[name]:.1f}",
            f"{busy[name]:.1f}",
            f"{before[name].memory:.0f}",
            f"{after[name].memory:.0f}",
            f"{(after[name].memory - before[name].memory) * 1024 / max(taken, 1):.1f}",
        ]
        for name in names
    ]
    heads = ("", "CPU ms/s without", "CPU ms/s waiting", "MiB without", "MiB waiting", "KiB a job")
    note = (
        f"{shape.seconds:g} s each, quiet {quiet:.0f} s after the last was accepted; a second of one core is 1000 ms; "
        f"{errors} errors"
    )
    report = Report()
    report.tables.append(Table(f"{taken} jobs that wait for their time", heads, rows, (note,)))
    report.facts |= {
        "waiting.cpu_ms_a_second": sum(busy[name] - idle[name] for name in names),
        "waiting.mib": sum(after[name].memory - before[name].memory for name in names),
        "waiting.errors": float(errors + shape.jobs - taken),
    }
    return report


def run() -> None:
    """Measure and print."""
    arguments = arguments_into(parser("bench.waiting", __doc__)).parse_args()
    main(arguments, lambda bench: measure(bench, Shape.of(arguments)))


if __name__ == "__main__":
    run()
