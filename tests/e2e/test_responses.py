"""`/v1/responses` on the running stack: durable, kept in PostgreSQL, and told by any replica."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import openai as sdk
import pytest
from openai import OpenAI
from pydantic import BaseModel

from tests.e2e.conftest import MadeKey
from tests.e2e.person import Person, Upstream, canary
from tests.e2e.stack import Stack, until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def replica(stack: Stack) -> Iterator[OpenAI]:
    """The SDK before a second API process of the same stack."""
    with stack.replica() as started:
        yield OpenAI(base_url=f"{started.rest}/v1", api_key=stack.admin_key, max_retries=0)


def ended(client: OpenAI, made: Any, within: float = 30.0) -> Any:
    return until(lambda: _unless_under_way(client.responses.retrieve(made.id)), within)


def _unless_under_way(made: Any) -> Any:
    return made if made.status not in ("queued", "in_progress") else None


# ---- the real model ----------------------------------------------------------------------------------------------
def test_the_real_model_answers_and_goes_on(openai: OpenAI, admin: Person):
    first = openai.responses.create(
        model="assistant", input="Say hello.", max_output_tokens=16, temperature=0, instructions="Be brief."
    )
    assert first.output_text
    assert first.status in ("completed", "incomplete")
    second = openai.responses.create(
        model="assistant", input="Again.", max_output_tokens=8, previous_response_id=first.id
    )
    assert second.usage is not None
    assert first.usage is not None
    assert second.usage.input_tokens > first.usage.input_tokens
    row = admin.request(first.id.removeprefix("resp_"))
    assert (row["endpoint"], row["served_model"]) == ("/v1/responses", "smollm2-135m-instruct")
    assert row["usage"]["output_tokens"] == first.usage.output_tokens


def test_the_real_model_streams_typed_events(openai: OpenAI):
    with openai.responses.stream(model="assistant", input="Count to three.", max_output_tokens=16) as stream:
        events = list(stream)
    assert events[0].type == "response.created"
    assert events[-1].type in ("response.completed", "response.incomplete")
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert len(deltas) > 1
    assert "".join(deltas) == events[-1].response.output_text


def test_the_real_model_writes_what_is_parsed(openai: OpenAI):
    class Answer(BaseModel):
        yes: bool

    made = openai.responses.parse(
        model="assistant", input="Is water wet?", text_format=Answer, max_output_tokens=32, temperature=0
    )
    assert isinstance(made.output_parsed, Answer)


# ---- state -------------------------------------------------------------------------------------------------------
def test_what_one_replica_keeps_another_goes_on_with(openai: OpenAI, replica: OpenAI):
    conversation = openai.conversations.create(items=[{"role": "user", "content": "I am Ada."}])
    made = openai.responses.create(model="ok", input="Who am I?", conversation=conversation.id)
    later = replica.responses.create(model="other", input="Sure?", previous_response_id=made.id)
    assert later.previous_response_id == made.id
    assert replica.responses.retrieve(made.id).output_text == made.output_text
    kept = [item.type for item in replica.conversations.items.list(conversation.id, order="asc")]
    assert kept == ["message", "message", "message"]
    replica.responses.delete(made.id)
    with pytest.raises(sdk.NotFoundError):
        openai.responses.retrieve(made.id)


def sent_to(upstream: Upstream) -> Any:
    return json.loads(upstream.last()["body"])


def test_the_next_turn_goes_to_any_model_whichever_dialect_it_speaks(openai: OpenAI, upstream: Upstream):
    one = openai.responses.create(model="native", input="I am Ada.")
    assert one.output_text == "Said natively."
    assert sent_to(upstream)["store"] is False
    two = openai.responses.create(model="other", input="Who?", previous_response_id=one.id)
    said = [message["content"] for message in sent_to(upstream)["messages"]]
    assert said == ["I am Ada.", "Said natively.", "Who?"]
    three = openai.responses.create(model="native", input="Sure?", previous_response_id=two.id)
    sent = sent_to(upstream)
    assert [item["role"] for item in sent["input"]] == ["user", "assistant", "user", "assistant", "user"]
    assert "previous_response_id" not in sent
    assert {one.id[:5], two.id[:5], three.id[:5]} == {"resp_"}
    with openai.responses.stream(model="native", input="Stream.", previous_response_id=three.id) as stream:
        events = list(stream)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert openai.responses.retrieve(events[0].response.id).output_text == "Said natively."


def test_nobody_else_finds_it(openai: OpenAI, stack: Stack, keys: dict[str, MadeKey]):
    made = openai.responses.create(model="ok", input="Hi")
    other = OpenAI(base_url=f"{stack.rest}/v1", api_key=keys["neighbour"].secret, max_retries=0)
    with pytest.raises(sdk.NotFoundError):
        other.responses.retrieve(made.id)
    with pytest.raises(sdk.BadRequestError):
        other.responses.create(model="ok", input="Hi", previous_response_id=made.id)


def test_what_is_kept_of_a_conversation_cannot_be_read_in_the_database(openai: OpenAI, stack: Stack):
    word = canary()
    made = openai.responses.create(model="ok", input=f"Remember {word}.")
    for query in (
        "SELECT count(*) FROM responses WHERE position(%s::bytea IN body) > 0",
        "SELECT count(*) FROM response_items WHERE position(%s::bytea IN data) > 0",
    ):
        assert stack.rows(query, word.encode()) == [(0,)]
    items = openai.responses.input_items.list(made.id).data
    assert word in str(items[0])


# ---- in the background --------------------------------------------------------------------------------------------
def test_a_response_in_the_background_is_a_job(openai: OpenAI, replica: OpenAI, admin: Person):
    made = openai.responses.create(model="slow", input="Hi", background=True)
    assert made.status == "queued"
    done = ended(replica, made)
    assert (done.status, bool(done.output_text)) == ("completed", True)
    assert admin.job(made.id.removeprefix("resp_"))["status"] == "completed"
    assert admin.request(made.id.removeprefix("resp_"))["mode"] == "job"


def test_a_response_in_the_background_is_cancelled_elsewhere(openai: OpenAI, replica: OpenAI):
    made = openai.responses.create(model="hang", input="Hi", background=True)
    until(lambda: openai.responses.retrieve(made.id).status == "in_progress")
    assert replica.responses.cancel(made.id).status in ("in_progress", "cancelled")
    assert ended(openai, made).status == "cancelled"


# ---- streams that break off ----------------------------------------------------------------------------------------
def read_some(stream: Any, most: int) -> list[Any]:
    seen: list[Any] = []
    for event in stream:
        seen.append(event)
        if event.type == "response.output_text.delta" and len(seen) >= most:
            break
    stream.close()
    return seen


def checked(events: list[Any]) -> None:
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.completed"
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == events[-1].response.output_text


def test_a_stream_in_the_background_is_read_on_at_another_replica(openai: OpenAI, replica: OpenAI):
    stream = openai.responses.create(model="dripping", input="Hi", background=True, stream=True)
    seen = read_some(stream, 20)
    after = seen[-1].sequence_number
    made = seen[0].response.id
    began = time.monotonic()
    rest = replica.responses.retrieve(made, stream=True, starting_after=after)
    first = next(iter(rest))
    assert first.sequence_number == after + 1
    assert time.monotonic() - began < 15
    checked([*seen, first, *rest])


def test_a_callers_own_stream_is_read_on_at_another_replica(
    openai: OpenAI, replica: OpenAI, upstream: Upstream
):
    seen = read_some(openai.responses.create(model="dripping", input="Hi", stream=True), 20)
    made = seen[0].response.id
    rest = replica.responses.retrieve(made, stream=True, starting_after=seen[-1].sequence_number)
    checked([*seen, *rest])
    assert replica.responses.retrieve(made).status == "completed"
    assert upstream.calls(made.removeprefix("resp_")) == 1


def test_a_stream_that_is_not_kept_ends_with_its_caller(openai: OpenAI, admin: Person):
    stream = openai.responses.create(model="dripping", input="Hi", stream=True, store=False)
    seen = read_some(stream, 5)
    made = seen[0].response.id
    row = admin.request(made.removeprefix("resp_"))
    assert row["status"] == "cancelled"


def test_a_worker_that_dies_in_the_middle_of_a_stream_costs_no_caller_its_answer(
    stack: Stack, openai: OpenAI
):
    stream = openai.responses.create(model="dripping", input="Hi", background=True, stream=True)
    events: list[Any] = []
    for event in stream:
        events.append(event)
        if len(events) == 20:
            stack.kill("worker")
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.completed"
    assert len(events[-1].response.output_text.split()) == 80
    stack.wait_ready()
    assert openai.responses.retrieve(events[0].response.id).status == "completed"
