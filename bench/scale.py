"""`python -m bench.scale`: what a full registry costs a request. Two gateways, one bare, one full, asked in turns."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import uvloop

from bench import fill, overhead
from bench.options import Bench, parser, say, show
from bench.report import Report, Table, machine
from bench.stack import BenchError, gateway, scratch, upstream
from bench.subjects import Subject

_SETTLE = 10.0


@dataclass(frozen=True, slots=True)
class Shape:
    """How much the full one holds, and how the two are asked."""

    models: int = 1000
    rules: int = 50
    callers: int = 10_000
    asked: overhead.Shape = field(default_factory=overhead.Shape)


async def measure(bench: Bench, shape: Shape) -> Report:
    """One caller, of the bare gateway and of the full one, in turns."""
    report = await overhead.measure(bench, shape.asked)
    bare, full = (report.facts.get(f"overhead.{name}.p50_ms") for name in ("bare", "full"))
    if bare is None or full is None:
        raise BenchError("a gateway did not answer")
    report.facts["scale.grown_ms"] = full - bare
    report.tables.append(
        Table(
            f"A gateway with {shape.models} models, {shape.rules} rules and {shape.callers} callers beside a bare one",
            ("", "added p50 ms"),
            [
                ["bare", f"{bare:.2f}"],
                ["full", f"{full:.2f}"],
                ["grown by", f"{full - bare:.2f}"],
            ],
            ("the target is 0.5 ms at most",),
        )
    )
    return report


def run() -> None:
    """Start both, fill one, measure and print."""
    shape = Shape()
    made = overhead.arguments_into(parser("bench.scale", __doc__))
    made.add_argument("--models", type=int, default=shape.models)
    made.add_argument("--rules", type=int, default=shape.rules)
    made.add_argument("--callers", type=int, default=shape.callers)
    arguments = made.parse_args()
    shape = Shape(arguments.models, arguments.rules, arguments.callers, overhead.Shape.of(arguments))
    before = machine()
    try:
        with ExitStack() as stack:
            folder = stack.enter_context(scratch(keep=arguments.keep))
            served_by = stack.enter_context(upstream(folder))
            say("starting two gateways …")
            bare = stack.enter_context(gateway(folder / "bare", served_by))
            full = stack.enter_context(gateway(folder / "full", served_by))
            say(f"registering {shape.models} models, {shape.rules} rules, {shape.callers} callers …")
            admin = fill.Admin(full.url, full.key)
            fill.models(admin, shape.models)
            fill.publish(admin, shape.rules)
            fill.callers(full, shape.callers)
            admin.close()
            time.sleep(_SETTLE)  # prices of new models are looked up behind their registration
            subjects = tuple(
                Subject(name, each.url, each.key, site=each.site)
                for name, each in (("bare", bare), ("full", full))
            )
            bench = Bench(Subject("direct", served_by.url), subjects, (), {"upstream": served_by.pid})

            async def asked() -> Report:
                try:
                    return await measure(bench, replace(shape))
                finally:
                    await bench.close()

            report = uvloop.run(asked())
    except BenchError as error:
        sys.exit(str(error))
    show(report.tables, before, as_markdown=arguments.markdown)


if __name__ == "__main__":
    run()
