"""`python -m bench.jobs`: how fast jobs are accepted, how long they take to their result, and to tell their callers."""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter

import msgspec

from bench.backlog import until_none
from bench.hook import SECRET, Hook, listening
from bench.load import Load, crowd
from bench.options import Bench, main, parser, say
from bench.processes import cpu_between, look
from bench.report import Report, Table, ms
from bench.stack import BenchError
from bench.stats import Spread
from bench.subjects import MESSAGES, Subject
from bench.throughput import Run, cpu_table, memory_table
from bench.wire import Caller

_JOBS = "/api/v1/jobs"
_WITHIN = 300.0
_ENDED = frozenset({"completed", "failed", "cancelled", "expired"})


@dataclass(frozen=True, slots=True)
class Shape:
    """So many jobs at once by so many callers, and some one after the other."""

    jobs: int = 1000
    callers: int = 16
    alone: int = 30

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Shape:
        """From the command line."""
        return cls(arguments.jobs, arguments.callers, arguments.alone)


class Job(msgspec.Struct):
    """What a job tells of itself, as far as it matters here."""

    id: str
    status: str
    created_at: datetime
    completed_at: datetime | None = None

    @property
    def seconds(self) -> float | None:
        """From acceptance to result; None while there is none."""
        if self.status != "completed" or self.completed_at is None:
            return None
        return (self.completed_at - self.created_at).total_seconds()


class Page(msgspec.Struct):
    """A page of a list of jobs."""

    data: list[Job]
    next_after: str | None = None


def arguments_into(to: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The options of this program."""
    shape = Shape()
    to.add_argument("--jobs", type=int, default=shape.jobs, help="handed over at once (%(default)s)")
    to.add_argument("--callers", type=int, default=shape.callers, help="who hand them over (%(default)s)")
    to.add_argument("--alone", type=int, default=shape.alone, help="one after the other (%(default)s)")
    return to


async def measure(bench: Bench, shape: Shape) -> Report:
    """Jobs one after the other, then many at once."""
    subject = next((each for each in bench.ours if each.name != "engine-off"), None)
    if subject is None:
        raise BenchError("jobs need a gateway of ours with an engine")
    asked = {"endpoint": "/v1/chat/completions", "body": {"model": "bench", "messages": MESSAGES}}
    hand_over = subject.post(_JOBS, asked)
    told: tuple[Run, float] | None = None
    asking = Caller(subject.host, subject.port)
    try:
        say(f"jobs: {shape.alone} one after the other")
        alone = await _alone(asking, subject, hand_over, shape.alone)
        say(f"jobs: {shape.jobs} handed over by {shape.callers} callers")
        run, jobs, seconds = await _together(bench, asking, subject, hand_over, shape)
        if subject.site is not None:  # elsewhere, nobody would find the receiver here
            say(f"jobs: {shape.jobs} that tell a webhook")
            async with listening() as hook:
                deliver = {"webhook": {"url": hook.url, "secret": SECRET}}
                telling = subject.post(_JOBS, {**asked, "deliver": deliver})
                run_told, _, took = await _together(bench, asking, subject, telling, shape, hook)
                told = run_told, len(hook) / took
    finally:
        asking.close()
    return _report(shape, alone, (run, jobs, seconds), told)


async def _alone(asking: Caller, subject: Subject, hand_over: bytes, count: int) -> list[float]:
    """Seconds from handing a job over to seeing its result, nothing else going on."""
    seen: list[float] = []
    for _ in range(count + 3):
        begun = perf_counter()
        job = msgspec.json.decode((await asking.ask(hand_over)).body, type=Job)
        look_again = subject.get(f"{_JOBS}/{job.id}")
        while job.status not in _ENDED and perf_counter() - begun < _WITHIN:
            await asyncio.sleep(0.01)
            job = msgspec.json.decode((await asking.ask(look_again)).body, type=Job)
        seen.append(perf_counter() - begun)
    return seen[3:]  # the first ones find workers that have not worked yet


async def _together(
    bench: Bench,
    asking: Caller,
    subject: Subject,
    hand_over: bytes,
    shape: Shape,
    hook: Hook | None = None,
) -> tuple[Run, dict[str, Job], float]:
    """Hand over, wait until all have ended, all are told and nothing is left to do; how long that took in all."""
    backlog = subject.site.backlog if subject.site is not None else None
    rows = await backlog.rows() if backlog is not None else 0
    run = Run(began=look(bench.pids(subject)))
    begun = perf_counter()
    with crowd(subject, shape.callers) as callers:
        run.load = await callers.ask(hand_over, count=shape.jobs, keep=True)
    ids = accepted(run.load)

    async def running() -> int:
        return sum([await _some(asking, subject, status) for status in ("queued", "in_progress")])

    await until_none(running, begun + _WITHIN)
    if hook is not None:
        await hook.until(len(ids), begun + _WITHIN)
    seconds = perf_counter() - begun
    if backlog is not None:
        drained = await backlog.empty(rows + len(ids))
        run.drained, run.missing, run.open = drained.closed, drained.missing, drained.open
    run.ended = look(bench.pids(subject))
    run.cpu = cpu_between(run.began, run.ended)
    jobs = {job.id: job for job in await _listed(asking, subject, len(ids) + 50) if job.id in ids}
    return run, jobs, seconds


def accepted(load: Load) -> set[str]:
    """The ids of the jobs that were accepted."""
    return {msgspec.json.decode(body, type=Job).id for body in load.bodies}


async def _some(asking: Caller, subject: Subject, status: str) -> int:
    answer = await asking.ask(subject.get(f"{_JOBS}?status={status}&limit=1"))
    return len(msgspec.json.decode(answer.body, type=Page).data)


async def _listed(asking: Caller, subject: Subject, most: int) -> list[Job]:
    """The newest jobs."""
    found: list[Job] = []
    after = ""
    while len(found) < most:
        answer = await asking.ask(subject.get(f"{_JOBS}?limit=200{after}"))
        page = msgspec.json.decode(answer.body, type=Page)
        found += page.data
        if page.next_after is None:
            break
        after = f"&after={page.next_after}"
    return found


def _report(
    shape: Shape,
    alone: list[float],
    many: tuple[Run, dict[str, Job], float],
    told: tuple[Run, float] | None,
) -> Report:
    report = Report()
    run, jobs, seconds = many
    took = [job.seconds for job in jobs.values() if job.seconds is not None]
    one, accept, whole = Spread.of(alone), Spread.of(run.load.totals), Spread.of(took)
    done = len(took)
    not_done = run.load.answered - done
    left = f"{run.missing} not in the ledger, {run.open} not closed"
    report.tables.append(
        Table(
            f"Jobs: {shape.alone} one after the other, then {shape.jobs} by {shape.callers} callers",
            ("", "jobs", "a second", "p50 ms", "p95 ms", "p99 ms", "worst ms", "errors"),
            [
                ["one after the other, to the result", *_line(one, "–", "0")],
                ["many: accepted", *_line(accept, f"{run.offered:.1f}", run.load.faults_told())],
                ["many: to the result", *_line(whole, f"{done / seconds:.1f}", str(not_done))],
                *([] if told is None else [_told_line(*told)]),
            ],
            (f"always start-first; then {run.drained:.1f} s until all workflows were closed; {left}",),
        )
    )
    runs = {(shape.callers, "jobs"): run}
    if told is not None:
        runs[shape.callers, "jobs that tell a webhook"] = told[0]
        report.facts |= {
            "jobs.told_per_second": told[1],
            "jobs.told_cpu_ms": told[0].cpu_ms(*told[0].cpu),
        }
    report.tables += [cpu_table(runs, "CPU milliseconds for one job"), memory_table(runs)]
    report.facts |= {
        "jobs.accepted_per_second": run.offered,
        "jobs.done_per_second": done / seconds if seconds else 0.0,
        "jobs.alone_p50_ms": one.p50 * 1000,
        "jobs.errors": run.load.faults.total() + not_done,
        "jobs.missing": run.missing + run.open,
    }
    return report


def _told_line(run: Run, rate: float) -> list[str]:
    return [
        "many: told by webhook",
        str(run.load.answered),
        f"{rate:.1f}",
        *["–"] * 4,
        run.load.faults_told(),
    ]


def _line(spread: Spread, rate: str, errors: str) -> list[str]:
    times = (spread.p50, spread.p95, spread.p99, spread.worst)
    return [str(spread.count), rate, *(ms(each) for each in times), errors]


def run() -> None:
    """Measure and print."""
    arguments = arguments_into(parser("bench.jobs", __doc__)).parse_args()
    main(arguments, lambda bench: measure(bench, Shape.of(arguments)))


if __name__ == "__main__":
    run()
