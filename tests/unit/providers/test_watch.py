"""One timer bounds many waits."""

from __future__ import annotations

import asyncio

import pytest

from gateway.providers.watch import Watch


def soon(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_what_comes_in_time_is_given():
    watch = Watch()
    for number in range(3):
        assert await watch.wait(asyncio.sleep(0.01, number), soon(30)) == number
    watch.stop()


async def test_what_does_not_come_is_a_time_out():
    watch = Watch()
    with pytest.raises(TimeoutError):
        await watch.wait(asyncio.sleep(5), soon(0.02))
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0, "the time-out leaves no cancellation behind"
    await asyncio.sleep(0)


async def test_a_timer_set_for_an_earlier_wait_does_not_end_a_later_one():
    watch = Watch()
    await watch.wait(asyncio.sleep(0), soon(0.02))
    assert await watch.wait(asyncio.sleep(0.08, "late"), soon(30)) == "late"
    watch.stop()


async def test_a_later_wait_may_end_sooner():
    watch = Watch()
    await watch.wait(asyncio.sleep(0), soon(60))
    with pytest.raises(TimeoutError):
        await watch.wait(asyncio.sleep(5), soon(0.02))


async def test_time_between_waits_is_nobodys():
    watch = Watch()
    await watch.wait(asyncio.sleep(0), soon(0.01))
    await asyncio.sleep(0.03)
    assert await watch.wait(asyncio.sleep(0, "fine"), soon(30)) == "fine"
    watch.stop()


async def test_who_cancels_from_outside_cancels():
    watch = Watch()
    waiting = asyncio.ensure_future(watch.wait(asyncio.sleep(5), soon(5)))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    watch.stop()


async def test_an_error_goes_through():
    async def fail() -> None:
        raise LookupError

    watch = Watch()
    with pytest.raises(LookupError):
        await watch.wait(fail(), soon(30))
    watch.stop()


async def test_asyncios_own_time_out_round_it_still_works():
    watch = Watch()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await watch.wait(asyncio.sleep(5), soon(5))
    watch.stop()
