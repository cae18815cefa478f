"""`python -m bench` (`make bench`): all load programs but the long ones, and how the results stand to the targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench import decide, jobs, overhead, simulate, soak, streams, throughput, translate
from bench.options import Bench, main, parser
from bench.report import Report, Table


@dataclass(frozen=True, slots=True)
class Shape:
    """What of each program is run."""

    overhead: overhead.Shape
    throughput: throughput.Shape
    streams: streams.Shape
    jobs: jobs.Shape
    simulate: simulate.Shape
    soak: soak.Shape | None = None


NORMAL = Shape(
    overhead.Shape(),
    throughput.Shape(seconds=30),
    streams.Shape(),
    jobs.Shape(),
    simulate.Shape(),
)
QUICK = Shape(
    overhead.Shape(requests=200),
    throughput.Shape(callers=(1, 16), seconds=8),
    streams.Shape(overhead.Shape(requests=100), concurrent=200, seconds=6),
    jobs.Shape(jobs=200, alone=10),
    simulate.Shape(requests=5_000),
)
FULL = Shape(
    overhead.Shape(), throughput.Shape(), streams.Shape(), jobs.Shape(), simulate.Shape(), soak.Shape()
)


@dataclass(frozen=True, slots=True)
class Target:
    """What a number must not exceed, or (`floor`) must reach."""

    what: str
    fact: str
    bound: float
    unit: str
    floor: bool = False

    def judge(self, facts: dict[str, float]) -> list[str]:
        """A row of the summary."""
        found = facts.get(self.fact)
        sign = "≥" if self.floor else "≤"
        if found is None:
            return [self.what, f"{sign} {self.bound:g} {self.unit}", "not measured", "–"]
        met = found >= self.bound if self.floor else found <= self.bound
        return [
            self.what,
            f"{sign} {self.bound:g} {self.unit}".rstrip(),
            f"{found:.2f} {self.unit}".rstrip(),
            "yes" if met else "NO",
        ]


TARGETS = (
    Target("overhead p50, one caller, overlapped", "overhead.overlapped.p50_ms", 3, "ms"),
    Target("overhead p50, one caller, start-first", "overhead.start-first.p50_ms", 15, "ms"),
    Target("first byte added p50, overlapped", "streams.overlapped.first_added_p50_ms", 3, "ms"),
    Target(
        "durable requests/s, 16 callers, overlapped",
        "throughput.overlapped.16.durable_per_second",
        70,
        "/s",
        floor=True,
    ),
    Target("gateway CPU a request, 16 callers", "throughput.overlapped.16.gateway_cpu_ms", 8, "ms"),
    Target("a decision, 100 models under 50 rules", "decide.all_apply.p50_ms", 1, "ms"),
    Target(
        "a request of messages, 4 KB, carried to chat", "translate.messages_over_chat.request_ms", 1, "ms"
    ),
    Target("a chunk of chat, carried to messages", "translate.messages_over_chat.chunk_us", 40, "µs"),
    Target("a chat, 4 KB, carried to Gemini", "translate.chat_over_Gemini.request_ms", 1, "ms"),
    Target("an event of Gemini's, carried to chat", "translate.chat_over_Gemini.chunk_us", 40, "µs"),
    Target(
        "a chat, 4 KB, carried to Converse and signed", "translate.chat_over_Converse.request_ms", 1, "ms"
    ),
    Target("an event of Converse's, carried to chat", "translate.chat_over_Converse.chunk_us", 40, "µs"),
    Target("rules tried on 100,000 requests", "simulate.seconds_per_100000", 60, "s"),
    Target("errors, all programs", "all.errors", 0, ""),
    Target("answered, but not in the ledger or not closed", "all.missing", 0, ""),
    Target("growth of the API in 100,000 requests", "soak.overlapped.api_mib", 10, "MiB"),
)


async def measure(bench: Bench, shape: Shape) -> Report:
    """One program after the other, and the summary."""
    report = Report()
    for found in (
        decide.measure(decide.Shape()),
        translate.measure(),
        await overhead.measure(bench, shape.overhead),
        await streams.measure(bench, shape.streams),
        await jobs.measure(bench, shape.jobs),
        await throughput.measure(bench, shape.throughput),
        await simulate.measure(bench, shape.simulate),
        Report() if shape.soak is None else await soak.measure(bench, shape.soak),
    ):
        report.tables += found.tables
        report.facts |= found.facts
    report.tables.append(summary(report.facts, TARGETS))
    return report


def summary(facts: dict[str, float], targets: Sequence[Target]) -> Table:
    """Each target, what was measured, and whether it is met."""
    for sort in ("errors", "missing"):
        facts[f"all.{sort}"] = sum(count for name, count in facts.items() if name.endswith(sort))
    rows = [target.judge(facts) for target in targets]
    notes = (
        "against LiteLLM: make bench-peers; growth is measured by --full or python -m bench.soak",
        "gateway CPU: API and worker, without database and engine",
    )
    return Table("Targets", ("", "target", "measured", "met"), rows, notes)


def run() -> None:
    """Measure and print."""
    made = parser("bench", __doc__)
    sizes = made.add_mutually_exclusive_group()
    sizes.add_argument("--quick", action="store_true", help="two minutes, to see that all of it works")
    sizes.add_argument("--full", action="store_true", help="a minute for each load, and the soak of 100,000")
    arguments = made.parse_args()
    shape = QUICK if arguments.quick else FULL if arguments.full else NORMAL
    main(arguments, lambda bench: measure(bench, shape))


if __name__ == "__main__":
    run()
