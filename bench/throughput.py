"""`python -m bench.throughput`: how many requests a second, counted until nothing is left to do."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.backlog import Drained, Starts
from bench.load import Load, crowd, warm
from bench.options import Bench, main, parser, say
from bench.processes import OURSELVES, Used, cpu_between, look
from bench.report import Report, Table, ms
from bench.stats import Spread
from bench.subjects import Subject

_GATEWAY = ("api", "worker")


@dataclass(frozen=True, slots=True)
class Shape:
    """How many callers, for how many seconds in all, and in how many turns these are divided."""

    callers: tuple[int, ...] = (1, 16, 64)
    seconds: float = 60.0
    turns: int = 1

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Shape:
        """From the command line."""
        return cls(
            tuple(int(each) for each in arguments.callers.split(",")), arguments.seconds, arguments.turns
        )


@dataclass(slots=True)
class Run:
    """What one subject did with one number of callers."""

    load: Load = field(default_factory=Load)
    written: float = 0.0
    drained: float = 0.0
    starts: Starts = field(default_factory=Starts)
    missing: int = 0
    open: int = 0
    cpu: dict[str, float] = field(default_factory=dict[str, float])
    began: Mapping[str, Used] = field(default_factory=dict[str, Used])
    ended: Mapping[str, Used] = field(default_factory=dict[str, Used])

    @property
    def per_second(self) -> float:
        """Good answers a second, until everything about them was done."""
        seconds = self.load.seconds + self.drained
        return self.load.answered / seconds if seconds else 0.0

    @property
    def durable(self) -> float:
        """Those of them a second that had a workflow: what an engine that is overrun or away leaves of them."""
        seconds = self.load.seconds + self.drained
        workflows = min(self.starts.here + self.starts.queued, self.load.answered - self.starts.degraded)
        return max(workflows, 0) / seconds if seconds else 0.0

    @property
    def offered(self) -> float:
        """Good answers a second while callers asked, whatever was left to do."""
        return self.load.answered / self.load.seconds if self.load.seconds else 0.0

    def cpu_ms(self, *names: str) -> float:
        """CPU milliseconds for one request, of some processes."""
        spent = sum(self.cpu.get(name, 0.0) for name in names)
        return spent * 1000 / self.load.answered if self.load.answered else 0.0


def arguments_into(to: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The options of this program."""
    shape = Shape()
    callers = ",".join(map(str, shape.callers))
    to.add_argument("--callers", default=callers, help="how many at once, one after the other (%(default)s)")
    to.add_argument("--seconds", type=float, default=shape.seconds, help="for each (%(default)s)")
    to.add_argument("--turns", type=int, default=1, help="divide the seconds into turns (%(default)s)")
    return to


async def measure(bench: Bench, shape: Shape) -> Report:
    """Every number of callers, on every gateway."""
    say("throughput: warming up")
    await warm(bench.gateways, 2.0)
    runs: dict[tuple[int, str], Run] = {}
    for callers in shape.callers:
        for turn in range(shape.turns):
            for subject in bench.gateways:
                say(f"throughput: {callers} callers, {subject.name}, turn {turn + 1} of {shape.turns}")
                run = runs.setdefault((callers, subject.name), Run())
                await one_turn(bench, subject, callers, shape.seconds / shape.turns, run)
    return _report(runs, shape)


async def one_turn(bench: Bench, subject: Subject, callers: int, seconds: float, run: Run) -> None:
    """Load one subject for some seconds, wait until it has nothing left to do, and add it up in `run`."""
    backlog = subject.site.backlog if subject.site is not None else None
    pids = bench.pids(subject)
    rows = await backlog.rows() if backlog is not None else 0
    starts = await backlog.starts() if backlog is not None else Starts()
    before = look(pids)
    with crowd(subject, callers) as asking:
        load = await asking.ask(subject.chat(), seconds=seconds)
    drained = Drained(0.0, 0.0, 0, 0)
    if backlog is not None:
        drained = await backlog.empty(rows + load.answered)
        run.starts = run.starts.plus((await backlog.starts()).since(starts))
    after = look(pids)
    run.load.add(load)
    run.written += drained.written
    run.drained += drained.closed
    run.missing += drained.missing
    run.open += drained.open
    for name, seconds_used in cpu_between(before, after).items():
        run.cpu[name] = run.cpu.get(name, 0.0) + seconds_used
    run.began = run.began or before
    run.ended = after


def _report(runs: Mapping[tuple[int, str], Run], shape: Shape) -> Report:
    report = Report()
    rows: list[list[str]] = []
    for (callers, name), run in runs.items():
        spread = Spread.of(run.load.totals)
        rows.append(
            [
                name,
                str(callers),
                str(run.load.answered),
                f"{run.per_second:.1f}",
                f"{run.durable:.1f}",
                f"{run.offered:.1f}",
                f"{run.written:.1f}",
                f"{run.drained:.1f}",
                *(ms(each) for each in (spread.p50, spread.p95, spread.p99)),
                run.load.faults_told(),
                str(run.missing),
                str(run.open),
                str(run.starts.queued),
                str(run.starts.degraded),
            ]
        )
        facts = f"throughput.{name}.{callers}"
        report.facts[f"{facts}.per_second"] = run.per_second
        report.facts[f"{facts}.durable_per_second"] = run.durable
        report.facts[f"{facts}.errors"] = run.load.faults.total()
        report.facts[f"{facts}.missing"] = run.missing + run.open
        report.facts[f"{facts}.gateway_cpu_ms"] = run.cpu_ms(*_GATEWAY)
        report.facts[f"{facts}.cpu_ms"] = run.cpu_ms(*(each for each in run.cpu if each not in _HELPERS))
    report.tables.append(
        Table(
            f"Throughput: {shape.seconds:g} s each",
            (
                *("", "callers", "answered", "req/s", "durable/s", "while asked", "written s", "closed s"),
                *(
                    "p50 ms",
                    "p95 ms",
                    "p99 ms",
                    "errors",
                    "not in ledger",
                    "not closed",
                    "queued",
                    "degraded",
                ),
            ),
            rows,
            (
                "req/s: good answers by the seconds until every ledger row was written and every workflow closed;",
                "durable/s: those of them that had a workflow; while asked: by the seconds in which callers asked",
                "written s, closed s: how long rows and workflows took after the last answer",
                "queued: workflows that began by way of the queue, not where the answer was; degraded: without one",
            ),
        )
    )
    report.tables += [cpu_table(runs), memory_table(runs)]
    return report


_HELPERS = ("upstream", OURSELVES)


def cpu_table(runs: Mapping[tuple[int, str], Run], title: str = "CPU milliseconds for one request") -> Table:
    """Who spends how much on one request."""
    names = list(dict.fromkeys(name for run in runs.values() for name in run.cpu))
    rows = [
        [
            name,
            str(callers),
            *(f"{run.cpu_ms(each):.2f}" if each in run.cpu else "–" for each in names),
            f"{run.cpu_ms(*run.cpu):.2f}",
        ]
        for (callers, name), run in runs.items()
    ]
    return Table(title, ("", "callers", *names, "all"), rows)


def memory_table(runs: Mapping[tuple[int, str], Run], title: str = "Memory in MiB, start → end") -> Table:
    """Who holds how much."""
    names = list(dict.fromkeys(name for run in runs.values() for name in run.ended))
    rows = [
        [
            name,
            str(callers),
            *(
                f"{run.began[each].memory:.0f} → {run.ended[each].memory:.0f}"
                if each in run.ended and each in run.began
                else "–"
                for each in names
            ),
        ]
        for (callers, name), run in runs.items()
    ]
    notes = ("RSS; where a server is several processes, what they share is counted once",)
    return Table(title, ("", "callers", *names), rows, notes)


def run() -> None:
    """Measure and print."""
    arguments = arguments_into(parser("bench.throughput", __doc__)).parse_args()
    main(arguments, lambda bench: measure(bench, Shape.of(arguments)))


if __name__ == "__main__":
    run()
