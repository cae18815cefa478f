"""Where a caller, its attempts and its workflow meet: begun once, joined by many, left at any moment."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.attempt import Stream
from gateway.domain.errors import Cancelled, UpstreamUnavailable
from gateway.domain.inference import Choice, Failure, Mode, Outcome, Usage
from gateway.exchange import Exchange, Exchanges
from gateway.providers.ports import Reply
from tests.builders import a_request, raw
from tests.waits import until

GOOD, DOWN, SLOW, DRIPPING = (Choice(name, "because") for name in ("good", "down", "slow", "dripping"))


# ---- begun once --------------------------------------------------------------------------------------------------
async def test_an_attempt_is_begun_once_and_joined_by_many(exchange, provider):
    waiting = exchange()
    joined = await asyncio.gather(*(waiting.attempt(1, GOOD) for _ in range(7)))
    assert provider.upstream.numbered == 1
    assert all(attempt is joined[0] for attempt in joined)
    assert joined[0].outcome is Outcome.SUCCEEDED


async def test_whoever_joins_with_another_choice_gets_the_attempt_that_was_begun(exchange, provider):
    waiting = exchange()
    first, second = await asyncio.gather(waiting.attempt(1, GOOD), waiting.attempt(1, DOWN))
    assert first is second
    assert first.model == "good"
    assert provider.upstream.numbered == 1


async def test_who_stops_waiting_leaves_the_attempt_alone(exchange):
    waiting = exchange()
    joined = asyncio.create_task(waiting.attempt(1, GOOD))
    await asyncio.sleep(0)
    joined.cancel()
    assert (await waiting.attempt(1, GOOD)).outcome is Outcome.SUCCEEDED


async def test_the_answer_is_handed_over_the_moment_there_is_one(exchange):
    waiting = exchange()
    waiting.begin(1, GOOD)
    reply = await waiting.opened
    assert isinstance(reply, Reply)
    assert waiting.answer() == reply.body.decode()
    assert (waiting.models, waiting.provider) == (("good",), "scripted")
    assert [a.number for a in waiting.finished] == [1]


async def test_a_failure_leaves_the_caller_waiting_for_the_next_attempt(exchange):
    waiting = exchange()
    assert (await waiting.attempt(1, DOWN)).outcome is Outcome.FAILED
    assert not waiting.opened.done()
    assert waiting.answer() is None
    await waiting.attempt(2, GOOD)
    assert waiting.opened.done()
    assert waiting.models == ("down", "good")


async def test_a_stream_is_handed_over_with_its_first_event_and_settled_with_its_last(exchange):
    waiting = exchange(mode=Mode.STREAM)
    task = waiting.begin(1, GOOD)
    stream = await waiting.opened
    assert isinstance(stream, Stream)
    assert not task.done()
    assert (waiting.models, waiting.provider, waiting.finished) == (("good",), "scripted", ())
    events = [event async for event in stream.events()]
    assert [a.outcome for a in waiting.finished] == [Outcome.SUCCEEDED], (
        "known before its task has come round"
    )
    assert (await task).usage == Usage(11, 8)
    assert len(events) == 11
    assert "café" in (waiting.answer() or "")


# ---- told that there will be none --------------------------------------------------------------------------------
async def test_giving_up_tells_the_caller_why_once(exchange):
    waiting = exchange()
    waiting.give_up(Failure.of(UpstreamUnavailable(detail="10.0.0.1 refused")))
    waiting.give_up(None)
    with pytest.raises(UpstreamUnavailable) as told:
        await waiting.opened
    assert "10.0.0.1" not in str(told.value)


async def test_an_answer_that_was_given_cannot_be_given_up(exchange):
    waiting = exchange()
    await waiting.attempt(1, GOOD)
    waiting.give_up(None)
    assert isinstance(await waiting.opened, Reply)


async def test_giving_up_without_a_reason_is_a_cancellation(exchange):
    waiting = exchange()
    waiting.give_up(None)
    with pytest.raises(Cancelled):
        await waiting.opened


# ---- left --------------------------------------------------------------------------------------------------------
async def test_after_leaving_no_attempt_is_made(exchange, provider):
    waiting = exchange()
    await waiting.leave()
    attempt = await waiting.attempt(1, GOOD)
    assert (attempt.outcome, attempt.usage, attempt.cost_usd) == (Outcome.CANCELLED, Usage(), 0)
    assert provider.upstream.numbered == 0
    with pytest.raises(Cancelled):
        await waiting.opened


async def test_leaving_at_the_moment_an_attempt_begins_settles_it_too(exchange, provider):
    waiting = exchange()
    joined = asyncio.create_task(waiting.attempt(1, GOOD))
    waiting.begin(1, GOOD)
    await waiting.leave()  # before the attempt has taken its first step
    assert (await joined).outcome is Outcome.CANCELLED
    assert provider.upstream.numbered == 0


@pytest.mark.parametrize("mode", [Mode.SYNC, Mode.STREAM])
async def test_leaving_during_the_call_closes_it(exchange, provider, mode):
    waiting = exchange(mode=mode)
    task = waiting.begin(1, SLOW)
    await until(lambda: provider.upstream.in_flight == 1)
    await waiting.leave()
    attempt = await task
    assert (provider.upstream.in_flight, provider.upstream.cancelled) == (0, 1)
    assert attempt.outcome is Outcome.CANCELLED
    assert attempt.usage.estimated
    assert waiting.opened.done()


async def test_leaving_a_stream_that_nobody_reads_yet_closes_it(exchange, provider):
    waiting = exchange(mode=Mode.STREAM)
    task = waiting.begin(1, DRIPPING)
    await waiting.opened
    await waiting.leave()
    assert (await task).outcome is Outcome.CANCELLED
    assert provider.upstream.in_flight == 0


async def test_leaving_a_stream_while_somebody_reads_it_settles_it(exchange):
    waiting = exchange(mode=Mode.STREAM)
    task = waiting.begin(1, DRIPPING)
    stream = await waiting.opened

    async def read():
        with pytest.raises(Cancelled):
            async for _ in stream.events():
                pass

    reading = asyncio.create_task(read())
    await until(lambda: len(stream.chunks) > 2)
    await waiting.leave()
    attempt = await task
    assert attempt.outcome is Outcome.CANCELLED
    assert attempt.usage.output > 0
    await asyncio.wait_for(reading, 30)  # it hears of it with the next event


async def test_leaving_between_two_attempts_skips_the_second(exchange, provider):
    waiting = exchange()
    await waiting.attempt(1, DOWN)
    await waiting.leave()
    assert (await waiting.attempt(2, GOOD)).outcome is Outcome.CANCELLED
    assert provider.upstream.numbered == 1


async def test_leaving_after_the_end_changes_nothing(exchange):
    waiting = exchange()
    attempt = await waiting.attempt(1, GOOD)
    await waiting.leave()
    await waiting.leave()
    assert waiting.finished == (attempt,)
    assert isinstance(waiting.opened.result(), Reply)


async def test_a_stream_that_opens_for_nobody_is_closed(exchange, provider):
    waiting = exchange(mode=Mode.STREAM)
    waiting.give_up(None)
    attempt = await waiting.attempt(1, DRIPPING)
    assert attempt.outcome is Outcome.CANCELLED
    assert provider.upstream.in_flight == 0


@pytest.mark.parametrize("mode", [Mode.SYNC, Mode.STREAM])
async def test_what_is_finished_unread_is_settled_as_answered(exchange, mode):
    waiting = exchange(mode=mode)
    task = waiting.begin(1, GOOD)
    await waiting.finish_unread()
    assert (await task).outcome is Outcome.SUCCEEDED
    assert waiting.answer()


async def test_finishing_what_fails_is_no_error(exchange):
    waiting = exchange(mode=Mode.STREAM)
    task = waiting.begin(1, Choice("breaks", "because"))
    await waiting.finish_unread()
    assert (await task).outcome is Outcome.BROKEN
    lost = exchange()
    lost.give_up(None)
    await lost.finish_unread()


# ---- forgotten ---------------------------------------------------------------------------------------------------
async def test_an_exchange_is_stale_once_all_has_ended_for_long_enough(exchange):
    at_once = timedelta(0)
    waiting = exchange()
    assert not waiting.stale(at_once), "nothing has ended yet"
    task = waiting.begin(1, SLOW)
    assert not waiting.stale(at_once)
    await waiting.leave()
    await task
    assert not waiting.stale(timedelta(seconds=30))
    assert waiting.stale(at_once)


async def test_an_exchange_whose_caller_waits_for_the_next_attempt_is_not_stale(exchange):
    waiting = exchange()
    await waiting.attempt(1, DOWN)
    assert not waiting.stale(timedelta(0)), "its workflow decides what comes next"


async def test_the_time_of_upstreams_is_not_ours(exchange, models):
    waiting = exchange()
    models["good"] = replace(models["good"], upstream_model="scripted-ok?latency_ms=1000")
    await waiting.attempt(1, GOOD)
    assert waiting.overhead_ms < 900


async def test_a_process_knows_its_exchanges_until_they_are_settled(attempts):
    exchanges = Exchanges("here")
    await asyncio.wait_for(exchanges.idle(), 30)
    first, second = (Exchange(a_request(), raw(), attempts) for _ in range(2))
    exchanges.open(first)
    exchanges.open(second)
    assert len(exchanges) == 2
    assert exchanges.get(first.request.id) is first
    idle = asyncio.create_task(exchanges.idle())
    for waiting in exchanges:
        assert not idle.done()
        exchanges.close(waiting.request.id)
        assert waiting.settled.is_set()
        await asyncio.sleep(0)
    await asyncio.wait_for(idle, 30)
    exchanges.close(first.request.id)
    assert exchanges.get(first.request.id) is None


# ---- no more than the books are kept with ------------------------------------------------------------------------
async def test_there_is_room_until_too_much_is_answered_and_not_settled(exchanges_of, answered):
    exchanges = exchanges_of(most_unsettled=2)
    first = await answered(exchanges)
    await exchanges.room(60)
    await answered(exchanges)
    waiting = asyncio.create_task(exchanges.room(60))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert len(exchanges) == 3
    exchanges.close(first)
    await waiting


async def test_who_waits_for_room_comes_in_order(exchanges_of, answered):
    exchanges = exchanges_of(most_unsettled=1)
    first, came = await answered(exchanges), list[int]()

    async def come(number: int) -> None:
        await exchanges.room(60)
        came.append(number)
        exchanges.close(await answered(exchanges))

    coming = [asyncio.create_task(come(number)) for number in range(5)]
    await asyncio.sleep(0)
    exchanges.close(first)
    await asyncio.gather(*coming)
    assert came == [0, 1, 2, 3, 4]


async def test_who_leaves_while_waiting_for_room_leaves_its_turn_to_the_next(exchanges_of, answered):
    exchanges = exchanges_of(most_unsettled=1)
    first = await answered(exchanges)
    leaving, staying = (asyncio.create_task(exchanges.room(60)) for _ in range(2))
    await asyncio.sleep(0)
    exchanges.close(first)
    leaving.cancel()
    await staying
    assert len(exchanges) == 0


async def test_nobody_waits_for_room_longer_than_its_patience(exchanges_of, answered):
    exchanges = exchanges_of(most_unsettled=1)
    await answered(exchanges)
    await exchanges.room(0.01)
    assert len(exchanges) == 1


async def test_a_call_that_still_runs_takes_no_room(exchanges_of, exchange):
    exchanges, running = exchanges_of(most_unsettled=1), exchange()
    exchanges.open(running)
    running.begin(1, SLOW)
    await asyncio.sleep(0)
    await exchanges.room(60)
    await running.leave()


@pytest.fixture
def exchanges_of():
    return lambda most_unsettled: Exchanges("here", most_unsettled=most_unsettled)


@pytest.fixture
def answered(exchange):
    """Have a request answered, and not settled; returns its id."""
    made = 0

    async def answer(exchanges: Exchanges) -> str:
        nonlocal made
        made += 1
        one = exchange()
        one.request = replace(one.request, id=f"request-{made}")
        exchanges.open(one)
        await one.attempt(1, GOOD)
        return one.request.id

    return answer
