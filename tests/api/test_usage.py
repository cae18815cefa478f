"""Usage at both doors: the same answer, one's own unless one may see more, and mistakes named."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import grpc
import pytest

from gateway.domain.inference import Kind, Settlement, Status, Usage
from gateway.storage.ports import Entry
from gateway.v1 import common_pb2, usage_pb2
from gateway.v1.usage_pb2_grpc import UsageServiceStub
from tests.api import rpc
from tests.api.rest import a_quick_world, bearer, serving
from tests.api.world import ADMIN, KEY, POWERLESS, rpc_channel
from tests.builders import a_failed_attempt, a_request, an_attempt, minted_at

NOW = datetime.now(UTC)


def an_entry(caller, *attempts, ago=timedelta(minutes=1), **request):
    at = NOW - ago
    asked = a_request(id=minted_at(at), accepted_at=at, caller=caller, **request)
    done = Settlement(asked.id, Status.COMPLETED, at + timedelta(seconds=1), attempts or (an_attempt(),))
    return Entry(asked, done)


@pytest.fixture
async def world():
    world = a_quick_world()
    entries = [
        an_entry("agent-1", tags={"team": "search"}),
        an_entry("agent-1", an_attempt(1, "dear", first_token_ms=80.0, usage=Usage(7, 3), cost_usd=None)),
        an_entry("agent-2", a_failed_attempt(), an_attempt(2, "dear", cost_usd=Decimal("0.00000001"))),
        an_entry("agent-2", kind=Kind.EMBEDDING, ago=timedelta(days=2)),
    ]
    for entry in entries:
        await world.store.requests.settle(entry)
    await world.store.rollups.roll(("team", "project", "env"), values=10, most=100)
    return world


@pytest.fixture
async def rest(world):
    async with serving(world) as rest:
        yield rest


async def ask(rest, key=ADMIN, **params):
    response = await rest.client.get("/api/v1/usage", params=params, headers=bearer(key))
    return response.status_code, response.json()


async def rows(rest, key=ADMIN, **params):
    status, answer = await ask(rest, key, **params)
    assert status == 200, answer
    return answer["data"]


# ---- answers -----------------------------------------------------------------------------------------------------
async def test_usage_is_one_sum_unless_it_is_grouped(rest):
    (row,) = await rows(rest)
    assert (row["keys"], row["start"], row["requests"], row["attempts"], row["errors"]) == ({}, None, 3, 4, 0)
    assert row["usage"]["input_tokens"] == 10 + 7 + 0 + 10
    assert row["error_codes"] == {"upstream_unavailable": 1}
    assert (row["cost_usd"], row["cost_unknown"]) == ("0.00002001", 1)
    assert row["latency_ms"]["p50"] == pytest.approx(1000, rel=0.02)
    assert row["first_token_ms"]["p99"] == pytest.approx(80, rel=0.02)


async def test_an_answer_says_what_it_counted(rest):
    _, answer = await ask(
        rest, since=(NOW - timedelta(hours=3)).isoformat(), group_by="model, tag:team", bucket="hour"
    )
    assert (answer["object"], answer["group_by"], answer["bucket"], answer["zone"]) == (
        "list",
        ["model", "tag:team"],
        "hour",
        "UTC",
    )
    since, until = datetime.fromisoformat(answer["since"]), datetime.fromisoformat(answer["until"])
    assert since <= NOW - timedelta(hours=3) < since + timedelta(hours=1)
    assert (since.minute, until.minute) == (0, 0)
    assert NOW <= datetime.fromisoformat(answer["as_of"]) <= datetime.now(UTC)
    assert {row["start"] for row in answer["data"]} == {NOW.strftime("%Y-%m-%dT%H:00:00Z")} or NOW.minute == 0


async def test_a_cost_that_nobody_knows_is_null_and_a_tag_that_is_not_there_too(rest):
    by = {tuple(row["keys"].values()): row for row in await rows(rest, group_by="caller,model,tag:team")}
    assert by["agent-1", "dear", None]["cost_usd"] is None
    assert by["agent-1", "good", "search"]["cost_usd"] == "0.00002"
    assert by["agent-2", "dear", None]["cost_usd"] == "0.00000001"


async def test_filters_take_several_values(rest):
    assert sum(row["requests"] for row in await rows(rest, caller=["agent-1", "agent-2"], model="good")) == 1
    assert (
        sum(
            row["requests"]
            for row in await rows(rest, kind="embedding", since=(NOW - timedelta(days=3)).isoformat())
        )
        == 1
    )
    assert (
        sum(row["requests"] for row in await rows(rest, status=["completed", "failed"], tags="team=search"))
        == 1
    )


async def test_pages_lead_to_the_end(rest):
    seen, after = [], {}
    while True:
        _, answer = await ask(rest, group_by="caller,model", limit=1, **after)
        seen += [tuple(row["keys"].values()) for row in answer["data"]]
        if answer["next_after"] is None:
            break
        after = {"after": answer["next_after"]}
    assert seen == [("agent-1", "dear"), ("agent-1", "good"), ("agent-2", "dear"), ("agent-2", "good")]


# ---- who sees what -----------------------------------------------------------------------------------------------
async def test_one_sees_ones_own_usage_without_any_right(rest):
    found = await rows(rest, KEY, group_by="caller")
    assert [(row["keys"]["caller"], row["requests"]) for row in found] == [("agent-1", 2)]
    assert await rows(rest, POWERLESS) == []
    assert (await rows(rest, KEY, caller="agent-1"))[0]["requests"] == 2


async def test_to_ask_for_anothers_usage_is_forbidden_and_names_the_right(rest):
    status, problem = await ask(rest, KEY, caller="agent-2")
    assert (status, problem["code"]) == (403, "permission_denied")
    assert "usage.read" in problem["detail"]


async def test_a_stranger_sees_nothing(rest):
    assert (await ask(rest, "sk-stranger"))[0] == 401


# ---- mistakes ----------------------------------------------------------------------------------------------------
MISTAKES = [
    ({"group_by": "mdoel"}, "group_by", "did you mean `model`"),
    ({"group_by": "model,model"}, "group_by", "twice"),
    ({"group_by": "tag:run"}, "group_by", "usage.tags"),
    ({"group_by": "tag:"}, "group_by", "usage.tags"),
    ({"bucket": "week"}, "bucket", "hour, day or month"),
    ({"zone": "Mars/Olympus", "bucket": "day"}, "zone", "Europe/Bratislava"),
    ({"zone": "../../etc/passwd"}, "zone", "Europe/Bratislava"),
    ({"zone": "Asia/Kolkata", "bucket": "day"}, "zone", "whole hours"),
    ({"since": "2026-01-01T00:00:00"}, "since", "zone"),
    ({"since": "1999-01-01T00:00:00Z"}, "since", "2000"),
    ({"until": "9999-12-31T00:00:00Z"}, "until", "2200"),
    ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-02T00:00:00Z"}, "since", "before"),
    ({"since": "2010-01-01T00:00:00Z", "bucket": "hour"}, "since", "kept from"),
    ({"since": "2010-01-01T00:00:00Z", "bucket": "month", "zone": "Europe/Bratislava"}, "since", "in UTC"),
    ({"kind": "chta"}, "kind", "did you mean `chat`"),
    ({"status": "done"}, "status", "completed"),
    ({"status": "queued"}, "status", "completed"),
    ({"tags": "team=a=b,,"}, "tags", "expected"),
    ({"tags": "run=1"}, "tags", "usage.tags"),
    ({"limit": "0"}, "limit", "500"),
    ({"limit": "501"}, "limit", "500"),
    ({"after": "nonsense"}, "after", "next_after"),
    ({"after": "W1tdLG51bGxd", "group_by": "model"}, "after", "next_after"),
    ({"limit": "x"}, "limit", "integer"),
    ({"since": "yesterday"}, "since", ""),
    ({"gruop_by": "model"}, "gruop_by", ""),
]


@pytest.mark.parametrize(("params", "param", "words"), MISTAKES)
async def test_a_mistake_is_named_with_what_would_be_right(rest, params, param, words):
    status, problem = await ask(rest, **params)
    assert (status, problem["code"], problem["param"]) == (400, "invalid_request", param), problem
    assert words in problem["detail"]


async def test_too_many_keys_are_refused_with_the_bound(rest):
    """The known keys are nine with three tags: eight are the most."""
    keys = "model,provider,caller,kind,status,code,tag:team,tag:project,tag:env"
    status, problem = await ask(rest, group_by=keys)
    assert (status, problem["param"]) == (400, "group_by")
    assert "8" in problem["detail"]


# ---- the other door ----------------------------------------------------------------------------------------------
def at_rpc(**question):
    return usage_pb2.UsageServiceQueryRequest(**question)


async def test_both_doors_give_the_same_answer(rest, world):
    since = NOW - timedelta(days=3)
    async with rpc_channel(world) as channel:
        asked = at_rpc(
            group_by=["caller", "model", "tag:team"], bucket=usage_pb2.BUCKET_DAY, tags="!env", limit=2
        )
        asked.since.FromDatetime(since)
        spoken = await UsageServiceStub(channel).Query(asked, metadata=rpc.bearer(ADMIN))
    _, shown = await ask(
        rest, group_by="caller,model,tag:team", bucket="day", tags="!env", limit=2, since=since.isoformat()
    )
    assert spoken.next_after == shown["next_after"]
    assert spoken.since.ToDatetime(UTC) == datetime.fromisoformat(shown["since"])
    assert len(spoken.rows) == len(shown["data"]) == 2
    for said, row in zip(spoken.rows, shown["data"], strict=True):
        assert {key: value or None for key, value in said.keys.items()} == row["keys"]
        assert said.start.ToDatetime(UTC) == datetime.fromisoformat(row["start"])
        assert (said.requests, said.errors, said.attempts, dict(said.error_codes)) == (
            row["requests"],
            row["errors"],
            row["attempts"],
            row["error_codes"],
        )
        assert (said.cost_usd if said.HasField("cost_usd") else None) == row["cost_usd"]
        assert said.usage.input == row["usage"]["input_tokens"]
        assert said.latency_ms.p95 == pytest.approx(row["latency_ms"]["p95"], abs=0.001)
        assert said.first_token_ms.HasField("p50") == (row["first_token_ms"]["p50"] is not None)


@pytest.mark.parametrize(
    ("question", "param"),
    [
        ({"group_by": ["mdoel"]}, "group_by"),
        ({"bucket": 9}, "bucket"),
        ({"statuses": [common_pb2.STATUS_QUEUED]}, "status"),
        ({"statuses": [0]}, "status"),
        ({"limit": 501}, "limit"),
        ({"after": "x"}, "after"),
    ],
)
async def test_a_mistake_at_the_other_door_is_the_same_error(world, question, param):
    async with rpc_channel(world) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await UsageServiceStub(channel).Query(at_rpc(**question), metadata=rpc.bearer(ADMIN))
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert param in (raised.value.details() or "")
