"""Active probes: only where they are asked for, by one process, within their budget, and never in usage."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest

from gateway.domain import errors
from gateway.domain.breaker import BreakerPolicy
from gateway.domain.health import Breaker, ModelHealth, Window
from gateway.domain.inference import Failure, Kind, Usage
from gateway.domain.operations import Operation
from gateway.domain.prices import Price
from gateway.domain.registry import ModelState
from gateway.domain.secret import Secret
from gateway.live.delta import Report
from gateway.live.prober import Means, Prober
from gateway.live.vitals import Vitals
from gateway.providers.discovery import Found
from gateway.providers.ports import Reply
from gateway.settings import ProbeSettings
from gateway.storage.memory.probes import MemoryProbes
from tests.builders import a_failed_attempt, a_model, a_registry, a_request

URL = "http://127.0.0.1:1/v1"
POLICY = BreakerPolicy(failures=2, cool_down=timedelta(seconds=1))
PRICE = Price(Decimal(10), Decimal(20))


class Upstream:
    """A provider and a list of models that do as they are told, and note what they are asked."""

    def __init__(self):
        self.calls = []
        self.asked = []
        self.error = None
        self.usage = Usage(10, 1)
        self.listed = ["scripted-ok"]

    def speaks(self, operation, model):
        return operation is Operation.CHAT

    async def complete(self, call):
        self.calls.append(call)
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        return Reply(b"{}", self.usage)

    async def find(self, base_url, secret=None, reference=None):
        self.asked.append((base_url, secret))
        if self.error:
            raise self.error
        return Found("x", tuple(a_model(name, upstream_model=name) for name in self.listed))

    def secret_of(self, model, usual_url=""):
        return Secret("sk-1") if model.credential else None


@pytest.fixture
def upstream():
    return Upstream()


@pytest.fixture
def probes():
    return MemoryProbes()


@pytest.fixture
def make(upstream, probes):
    def make(*models, replica="a", **settings):
        registry = a_registry(*models)
        means = Means(lambda: registry, {"scripted": upstream}, upstream, upstream, probes)
        vitals = Vitals(replica, POLICY)
        return Prober(vitals, means, ProbeSettings(**settings))

    return make


async def look(prober):
    await prober.look()
    await asyncio.gather(*prober._running)


def health(prober, model="good"):
    return prober._vitals.facts().models.get(model, ModelHealth())


def good(**changes):
    return a_model("good", tags={"probe": ""}, price=PRICE, base_url=URL, **changes)


# ---- which ones --------------------------------------------------------------------------------------------------
async def test_without_settings_nothing_is_probed(make, upstream):
    prober = make(good())
    prober.start()
    await look(prober)
    await prober.close()
    assert (upstream.calls, upstream.asked, health(prober).probe_ok) == ([], [], None)


@pytest.mark.parametrize(
    ("changes", "probed"),
    [
        ({}, True),
        ({"tags": {}}, False),
        ({"tags": {"probe": "", "preview": ""}}, False),
        ({"state": ModelState.DRAINING}, False),
        ({"state": ModelState.DISABLED}, False),
        ({"kind": Kind.EMBEDDING}, False),
    ],
)
async def test_a_call_goes_to_enabled_chat_models_with_the_tags(make, upstream, changes, probed):
    model = good(**{key: value for key, value in changes.items() if key != "tags"})
    if "tags" in changes:
        model = a_model("good", tags=changes["tags"], price=PRICE, base_url=URL)
    await look(make(model, call="probe,!preview"))
    assert bool(upstream.calls) is probed


async def test_a_server_is_asked_for_its_list_with_the_models_own_credential(make, upstream):
    prober = make(good(credential="env:X", kind=Kind.EMBEDDING), list="probe")
    await look(prober)
    assert upstream.asked == [(URL, Secret("sk-1"))]
    assert upstream.calls == []
    assert health(prober).probe_ok is True


async def test_of_two_processes_one_probes_and_both_know(make, upstream):
    one, other = make(good(), call="probe"), make(good(), call="probe", replica="b")
    await look(one)
    await look(other)
    assert len(upstream.calls) == 1
    told = one._vitals.tick()
    for _ in other._vitals.hear([Report("a", one._vitals.clock.now(), told)]):
        pass
    assert health(other).probe_ok is health(one).probe_ok is True
    assert health(other).probe_at == health(one).probe_at
    assert one._vitals.tick().probes == {}


# ---- what is asked, and what it costs ----------------------------------------------------------------------------
async def test_a_call_asks_for_one_token_and_is_in_no_window_and_no_usage(make, upstream):
    prober = make(good(), call="probe", timeout=timedelta(seconds=3))
    await look(prober)
    (call,) = upstream.calls
    body = {name: msgspec.json.decode(value) for name, value in call.body.items()}
    assert body["max_tokens"] == 1
    assert call.timeouts.total == timedelta(seconds=3)
    prober._vitals.tick()
    for _ in prober._vitals.rebuild(as_of=None):
        pass
    known = health(prober)
    assert (known.probe_ok, known.windows, known.in_flight) == (True, {}, 0)
    assert prober._vitals.facts().callers == {}


async def test_a_day_has_a_budget_and_what_was_not_spent_goes_back(make, upstream, probes):
    # 32 and 1 tokens are reserved: 0.00034 USD; 10 and 1 are used: 0.00012.
    prober = make(good(), call="probe", max_usd_per_day=0.0006, interval=timedelta(microseconds=1))
    for _ in range(5):
        await look(prober)
    assert len(upstream.calls) == 3
    assert sum(probes._spent.values()) == Decimal("0.00036")


async def test_a_model_without_a_price_is_not_called(make, upstream):
    prober = make(a_model("good", tags={"probe": ""}, price=None), call="probe")
    await look(prober)
    assert (upstream.calls, health(prober).probe_ok) == ([], None)


async def test_a_model_that_costs_nothing_needs_no_budget(make, upstream):
    free = a_model("good", tags={"probe": ""}, price=Price(Decimal(0), Decimal(0)))
    await look(make(free, call="probe", max_usd_per_day=0))
    assert len(upstream.calls) == 1


async def test_a_call_that_fails_counts_as_it_was_reserved(make, upstream, probes):
    upstream.error = errors.UpstreamTimeout()
    await look(make(good(), call="probe"))
    assert sum(probes._spent.values()) == Decimal("0.00034")


# ---- what it says ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (None, True),
        (errors.UpstreamUnavailable(), False),
        (errors.UpstreamAuth(), False),
        (errors.UpstreamRateLimited(), None),
        (errors.UpstreamRejected(), None),
        (RuntimeError("sk-secret"), False),
    ],
)
@pytest.mark.parametrize("way", ["call", "list"])
async def test_what_a_probe_says(make, upstream, probes, way, error, said):
    upstream.error = error
    prober = make(good(), **{way: "probe"})
    await look(prober)
    assert health(prober).probe_ok is said
    assert (probes.said.get("good") or (None,))[0] is said


async def test_a_model_that_its_server_does_not_list_is_not_there(make, upstream, probes):
    upstream.listed = ["other"]
    await look(make(good(), list="probe"))
    assert probes.said == {"good": (False, "upstream_not_found")}


async def test_after_some_intervals_without_a_probe_the_last_one_says_nothing(make):
    prober = make(good(), call="probe", interval=timedelta(seconds=60))
    await look(prober)
    prober._vitals.clock._ahead += 301
    await look(prober)
    assert health(prober).probe_ok is None


async def test_failing_probes_open_the_breaker_and_a_call_that_works_closes_it(make, upstream):
    prober = make(good(), call="probe", interval=timedelta(microseconds=1))
    upstream.error = errors.UpstreamUnavailable()
    await look(prober)
    await look(prober)
    assert health(prober).breaker is Breaker.OPEN
    await look(prober)
    assert prober._vitals.breakers.state("good").trips == 1, "within its cool-down nothing changes"
    await asyncio.sleep(1.01)
    upstream.error = None
    await look(prober)
    assert health(prober).breaker is Breaker.CLOSED


async def test_a_list_neither_closes_a_breaker_nor_forgives_a_model_its_failures(make, upstream):
    prober = make(good(), list="probe", interval=timedelta(microseconds=1))
    vitals = prober._vitals
    failing = a_failed_attempt(failure=Failure.of(errors.UpstreamUnavailable()))
    vitals.settle(failing, a_request(), probe=vitals.begin("good"))
    await look(prober)
    vitals.settle(failing, a_request(), probe=vitals.begin("good"))
    assert health(prober).breaker is Breaker.OPEN
    await asyncio.sleep(1.01)
    await look(prober)
    assert health(prober).breaker is Breaker.HALF_OPEN
    assert Window.MINUTE not in health(prober).windows


async def test_ending_gives_up_what_is_under_way(make, upstream):
    started = asyncio.Event()

    async def forever(call):
        started.set()
        await asyncio.Event().wait()

    upstream.complete = forever
    prober = make(good(), call="probe")
    prober.start()
    await started.wait()
    await prober.close()
    assert not prober._running
