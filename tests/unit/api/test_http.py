"""HTTP as the door needs it: bodies with bounds, callers who leave, the headers of every answer."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from api.headers import hints_of, idempotency_key_of, told_of
from api.rest.http import (
    CallerLeft,
    cancelled_when_gone,
    headers_of,
    no_tick,
    preferences_of,
    read_body,
    served_headers,
)
from api.service.served import Served
from gateway.domain.errors import BodyTimeout, BodyTooLarge, InvalidRequest
from gateway.telemetry import DoorSpan

SOON = timedelta(milliseconds=50)


def receiving(*messages):
    """A client that sends these, and then nothing more."""
    waiting = list(messages)

    async def receive():
        if waiting:
            return waiting.pop(0)
        return await asyncio.get_running_loop().create_future()

    return receive


def part(body, *, more=True):
    return {"type": "http.request", "body": body, "more_body": more}


GONE = {"type": "http.disconnect"}


# ---- bodies ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "messages",
    [
        [part(b"abcdef", more=False)],
        [part(b"abc"), part(b"def", more=False)],
        [part(b""), part(b"abcdef"), {"type": "http.request"}],
        [{"type": "http.request", "body": b"abcdef"}],
    ],
)
async def test_a_body_is_read_whole_in_however_many_pieces(messages):
    assert await read_body(receiving(*messages), {}, 6, SOON) == b"abcdef"


@pytest.mark.parametrize(
    "messages",
    [[part(b"abcdefg", more=False)], [part(b"abcd"), part(b"efg", more=False)], [part(b"abcdefg")]],
)
async def test_a_body_over_the_limit_is_refused_as_soon_as_it_is_over(messages):
    with pytest.raises(BodyTooLarge, match="6 bytes"):
        await read_body(receiving(*messages), {}, 6, SOON)


async def test_a_body_that_says_it_is_too_long_is_not_read_at_all():
    async def receive():
        raise AssertionError("read")

    with pytest.raises(BodyTooLarge):
        await read_body(receive, {"content-length": "7"}, 6, SOON)


@pytest.mark.parametrize("length", ["-7", "seven", ""])
async def test_a_length_that_is_none_is_not_believed(length):
    assert await read_body(receiving(part(b"", more=False)), {"content-length": length}, 6, SOON) == b""


@pytest.mark.parametrize("messages", [[], [part(b"abc")]])
async def test_a_body_that_does_not_come_ends_in_time(messages):
    with pytest.raises(BodyTimeout):
        await asyncio.wait_for(read_body(receiving(*messages), {}, 6, SOON), 30)


@pytest.mark.parametrize("messages", [[GONE], [part(b"abc"), GONE]])
async def test_a_caller_who_leaves_meanwhile_is_noticed(messages):
    with pytest.raises(CallerLeft):
        await read_body(receiving(*messages), {}, 6, SOON)


# ---- callers who leave -------------------------------------------------------------------------------------------
async def test_work_is_cancelled_when_its_caller_leaves():
    cancelled = asyncio.Event()

    async def work():
        async with cancelled_when_gone(receiving(GONE), no_tick, 5):
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                cancelled.set()
                raise

    with pytest.raises(CallerLeft):
        await asyncio.wait_for(work(), 30)
    assert cancelled.is_set()


async def test_a_cancellation_by_somebody_else_stays_one():
    started = asyncio.Event()

    async def work():
        async with cancelled_when_gone(receiving(), no_tick, 5):
            started.set()
            await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(work())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_work_that_is_spared_goes_on_without_its_caller():
    async with cancelled_when_gone(receiving(GONE), no_tick, 5, spared=lambda: True):
        for _ in range(10):
            await asyncio.sleep(0)
        done = True
    assert done


async def test_while_the_caller_waits_the_clock_ticks():
    ticked = asyncio.Event()

    async def tick():
        ticked.set()

    async with cancelled_when_gone(receiving(), tick, 0.01):
        await asyncio.wait_for(ticked.wait(), 30)


async def test_a_tick_that_fails_leaves_the_work_alone():
    async def tick():
        raise OSError

    async with cancelled_when_gone(receiving(), tick, 0.01):
        await asyncio.sleep(0.05)


# ---- headers -----------------------------------------------------------------------------------------------------
def test_names_of_headers_are_in_lower_case_and_the_last_of_several_counts():
    scope = {"headers": [(b"X-One", b"1"), (b"x-one", b"2"), (b"x-two", b"\xe9")]}
    assert headers_of(scope) == {"x-one": "2", "x-two": "é"}


@pytest.mark.parametrize(
    ("prefer", "names"),
    [
        ("", {""}),
        ("respond-async", {"respond-async"}),
        ("Respond-Async , wait=10", {"respond-async", "wait"}),
        ('handling=lenient; foo="bar", respond-async; x', {"handling", "respond-async"}),
    ],
)
def test_preferences_are_read_by_name(prefer, names):
    assert preferences_of({"prefer": prefer}) == names


SERVED = Served(
    request_id="r-1",
    durability="overlapped",
    model="good",
    provider="scripted",
    attempts=2,
    rule="order of the name",
    rules_version="v1",
    cost_usd=Decimal("0.0000000001"),
    overhead_ms=1.234,
    workflow_id="r-1",
)


def test_the_headers_tell_all_that_is_known():
    assert dict(served_headers(SERVED)) == {
        b"x-gateway-model": b"good",
        b"x-gateway-provider": b"scripted",
        b"x-gateway-attempts": b"2",
        b"x-gateway-rule": b"order of the name",
        b"x-gateway-rules-version": b"v1",
        b"x-gateway-cost-usd": b"0.0000000001",
        b"x-gateway-overhead-ms": b"1.23",
        b"x-gateway-durability": b"overlapped",
        b"x-gateway-workflow-id": b"r-1",
        b"server-timing": b"gateway;dur=1.23",
    }


def test_what_is_not_known_is_left_out_and_nothing_is_something():
    headers = dict(served_headers(Served("r-1")))
    assert set(headers) == {b"x-gateway-attempts"}
    assert dict(served_headers(replace(SERVED, cost_usd=Decimal(0))))[b"x-gateway-cost-usd"] == b"0"


def test_a_name_that_no_header_can_carry_is_left_out():
    assert b"x-gateway-model" not in dict(served_headers(replace(SERVED, model="模型")))


@pytest.mark.parametrize(
    ("given", "key"), [("k", "k"), ('"k"', "k"), (' "k 1" ', "k 1"), ("k" * 256, "k" * 256)]
)
def test_an_idempotency_key_is_quoted_or_bare(given, key):
    assert idempotency_key_of({"idempotency-key": given}) == key


@pytest.mark.parametrize("given", ["", '""', " ", "k" * 257])
def test_an_idempotency_key_that_is_none_is_refused(given):
    with pytest.raises(InvalidRequest):
        idempotency_key_of({"idempotency-key": given})


def test_what_the_headers_say_is_heard():
    headers = {
        "x-gateway-durability": "start-first",
        "x-litellm-tags": "a=1",
        "x-client-request-id": "x" * 300,
        "idempotency-key": "k",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    hints = hints_of(headers, DoorSpan("GET /", headers, {}), "r-1")
    assert (hints.request_id, hints.durability, hints.tags, hints.idempotency_key) == (
        "r-1",
        "start-first",
        {"a": "1"},
        "k",
    )
    assert hints.client_request_id == "x" * 256
    assert hints.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert hints_of({**headers, "x-gateway-tags": "b=2"}, DoorSpan("GET /", {}, {}), "r").tags == {"b": "2"}


def test_wishes_in_headers_are_heard():
    headers = {
        "x-gateway-select": "location=on-prem",
        "x-gateway-prefer": "cost",
        "x-gateway-exclude": "a, b,",
        "x-gateway-max-cost-usd": " 0.50 ",
    }
    hints = hints_of(headers, DoorSpan("GET /", headers, {}), "r-1")
    assert (hints.select, hints.prefer, hints.exclude) == ("location=on-prem", "cost", ("a", "b"))
    assert hints.max_cost_usd == Decimal("0.50")


def test_a_wish_that_is_no_amount_is_refused_by_its_header():
    headers = {"x-gateway-max-cost-usd": "half a dollar"}
    with pytest.raises(InvalidRequest) as e:
        hints_of(headers, DoorSpan("GET /", headers, {}), "r-1")
    assert e.value.param == "x-gateway-max-cost-usd"


@pytest.mark.parametrize("name", ["a\r\nset-cookie: b", "a\nb", "ü", "a\x00"])
def test_a_name_that_a_caller_made_up_becomes_no_header_of_its_own(name):
    assert "x-gateway-dropped" not in told_of(Served("r-1", dropped=(name,)))
    assert told_of(Served("r-1", dropped=("a.b[0]", "c")))["x-gateway-dropped"] == "a.b[0],c"
