"""`python -m bench.batches`: how many lines of a batch end in a second, and what a line costs."""

from __future__ import annotations

import argparse
import asyncio
import json
import time

from openai import AsyncOpenAI

from bench.options import Bench, main, parser, say
from bench.processes import cpu_between, look
from bench.report import Report, Table
from bench.stack import BenchError
from bench.subjects import MESSAGES

_CHAT = "/v1/chat/completions"


async def measure(bench: Bench, arguments: argparse.Namespace) -> Report:
    """One batch of so many lines, from its making to its end."""
    if not bench.ours:
        raise BenchError("this needs a gateway")
    ours = bench.ours[0]
    lines = (
        {
            "custom_id": f"line-{number}",
            "method": "POST",
            "url": _CHAT,
            "body": {"model": ours.model or "bench", "messages": MESSAGES},
        }
        for number in range(arguments.lines)
    )
    text = "\n".join(map(json.dumps, lines)).encode()
    at = f"http://{ours.host}:{ours.port}/v1"
    async with AsyncOpenAI(api_key=ours.key, base_url=at, max_retries=5) as client:
        file = await client.files.create(file=("in.jsonl", text), purpose="batch")
        say(f"batches: {arguments.lines} lines")
        before, began = look(bench.pids(ours)), time.perf_counter()
        batch = await client.batches.create(input_file_id=file.id, endpoint=_CHAT, completion_window="24h")
        told = began
        while batch.status not in ("completed", "failed", "expired", "cancelled"):
            await asyncio.sleep(0.1)
            batch = await client.batches.retrieve(batch.id)
            if time.perf_counter() - told > 5:
                told = time.perf_counter()
                say(f"batches: {batch.request_counts}")
    took = time.perf_counter() - began
    cpu = cpu_between(before, look(bench.pids(ours)))
    counts = batch.request_counts
    done = counts.completed if counts is not None else 0
    each = {name: seconds * 1000 / max(arguments.lines, 1) for name, seconds in cpu.items()}
    rows = [
        [
            batch.status,
            str(done),
            str(counts.failed if counts is not None else 0),
            f"{took:.1f}",
            f"{done / took:.1f}",
            f"{sum(each.values()):.1f}",
            ", ".join(f"{name} {value:.1f}" for name, value in each.items()),
        ]
    ]
    report = Report()
    report.tables.append(
        Table(
            "A batch, from its making to its end",
            ("status", "lines", "failed", "s", "lines/s", "CPU ms a line", "by process"),
            rows,
        )
    )
    report.facts["batches.lines_per_s"] = done / took
    return report


def run() -> None:
    """Measure and print."""
    made = parser("bench.batches", __doc__)
    made.set_defaults(modes="overlapped")
    made.add_argument("--lines", type=int, default=2000, help="lines of the batch (%(default)s)")
    arguments = made.parse_args()
    main(arguments, lambda bench: measure(bench, arguments))


if __name__ == "__main__":
    run()
