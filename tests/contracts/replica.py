"""`python -m tests.contracts.replica URL NAME`: one replica that takes what it can get, and tells when it got it.

It reads lines of orders: `rate RATE BURST SECONDS` takes tokens of one bucket, `hold LIMIT` enters a model as often as
it is let in and stays, `leave` leaves it. Answers are lines too.
"""

from __future__ import annotations

import asyncio
import sys
import time

from gateway.domain.limits import Throttle
from gateway.domain.secret import Secret
from gateway.limiter import Concurrency, Limiter, Taken, Wait
from gateway.settings import LimitSettings, Postgres
from gateway.storage.postgres.store import open_store


async def take(limiter: Limiter, rate: float, burst: float, seconds: float) -> None:
    """Take tokens for so long, as fast as they come; tell the moment of each."""
    limit, ends = Throttle("shared", rate, burst), time.time() + seconds
    while time.time() < ends:
        answer = await limiter.take([limit])
        if isinstance(answer, Taken):
            sys.stdout.write(f"{time.time():.6f}\n")
            sys.stdout.flush()
            await asyncio.sleep(0)
        else:
            assert isinstance(answer, Wait)
            await asyncio.sleep(min(answer.after.total_seconds(), 0.05))
    sys.stdout.write("end\n")
    sys.stdout.flush()


async def obey(url: str, name: str) -> None:
    """Do what the lines say."""
    store = await open_store(Postgres(url=Secret(url)))
    settings = LimitSettings(slot_expiry=LimitSettings().lease_expiry)
    concurrency = Concurrency(store.slots, name, settings)
    limiter = Limiter(store.buckets, settings, lambda: concurrency.replicas)
    concurrency.start()
    limiter.start()
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := (await lines.readline()).decode().split():
        if line[0] == "rate":
            await take(limiter, *(float(word) for word in line[1:]))
            continue
        if line[0] == "hold":
            count = 0
            while await concurrency.enter("model", int(line[1])):
                count += 1
            sys.stdout.write(f"{count}\n")
        else:
            for _ in range(concurrency.in_use("model")):
                concurrency.leave("model")
            sys.stdout.write("left\n")
        sys.stdout.flush()
    await limiter.close()
    await concurrency.close()
    await store.close()


if __name__ == "__main__":
    asyncio.run(obey(*sys.argv[1:]))
