"""`/v1/responses` as an unchanged `openai` SDK sees it, served from models that know chat alone."""

import asyncio
import json
from itertools import pairwise
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from tests.api.rest import bearer, serving, told
from tests.api.world import KEY, OTHER, a_world
from tests.unit.providers.responses.sdk import a_response
from tests.waits import until

TOOL: Any = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}, "strict": False}


@pytest.fixture
async def rest():
    async with serving(a_world()) as rest:
        yield rest


@pytest.fixture
async def sdk(rest):
    async with client(rest) as opened:
        yield opened


def client(rest, key=KEY, **more) -> Any:
    return AsyncOpenAI(api_key=key, base_url=f"http://127.0.0.1:{rest.port}/v1", max_retries=0, **more)


@pytest.fixture
def says(rest):
    """Has the scripted model say something from now on."""

    def play(text, **more):
        rest.world.upstream.play(json.dumps({"scripted-ok": {"text": text, **more}}).encode())
        return {}

    return play


def asked(rest):
    """The messages of the last call."""
    return json.loads(rest.world.upstream.last[1])["messages"]


# ---- answers -----------------------------------------------------------------------------------------------------
async def test_a_chat_model_answers_and_the_response_is_named_after_the_request(rest, sdk, says):
    raw = await sdk.responses.with_raw_response.create(model="good", input="Hi", **says("Hello there."))
    made = raw.parse()
    assert made.output_text == "Hello there."
    assert made.id == f"resp_{raw.headers['x-request-id']}"
    assert raw.headers["x-gateway-workflow-id"] == raw.headers["x-request-id"]
    assert raw.headers["x-gateway-model"] == "good"
    record = await rest.settled(raw)
    assert record.request.endpoint == "/v1/responses"
    assert json.loads(record.answer)["id"] == made.id
    assert record.settlement.usage.input == made.usage.input_tokens == 11


async def test_a_failing_model_is_followed_by_another(sdk):
    assert (await sdk.responses.create(model="assistant", input="Hi")).status == "completed"


async def test_what_is_dropped_is_told_and_refused_where_the_request_is_strict(sdk):
    tools: Any = [{"type": "web_search"}]
    raw = await sdk.responses.with_raw_response.create(model="good", input="Hi", tools=tools)
    assert raw.headers["x-gateway-dropped"] == "tools[0]"
    with pytest.raises(openai.BadRequestError) as caught:
        await sdk.responses.create(
            model="good", input="Hi", tools=tools, extra_body={"gateway": {"strict": True}}
        )
    assert (caught.value.code, caught.value.param) == ("field_not_supported", "tools[0]")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": 7}, "input"),
        ({"input": [7]}, "input[0]"),
        ({"previous_response_id": "resp_x", "conversation": "conv_x"}, "previous_response_id"),
        ({"background": True, "store": False}, "store"),
        ({"input": [{"type": "item_reference", "id": "msg_x"}]}, "input[0].id"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"instructions": 3}, "instructions"),
    ],
)
async def test_what_is_wrong_is_named(rest, fields, param):
    answer = await rest.post("/v1/responses", {"model": "good", "input": "Hi", **fields})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


# ---- streams -----------------------------------------------------------------------------------------------------
async def test_the_streaming_helper_sees_all_events_and_the_final_response(sdk, says):
    async with sdk.responses.stream(model="good", input="Hi", **says("One two three.")) as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    assert (
        "".join(event.delta for event in events if event.type == "response.output_text.delta")
        == "One two three."
    )
    assert final.output_text == "One two three."


async def test_events_go_by_their_names_and_end_with_done(rest):
    answer = await rest.post("/v1/responses", {"model": "good", "input": "Hi", "stream": True})
    lines = answer.text.splitlines()
    for name, data in pairwise(lines):
        if name.startswith("event: "):
            assert json.loads(data.removeprefix("data: "))["type"] == name.removeprefix("event: ")
    assert told(answer.text).done


async def test_a_stream_that_breaks_ends_as_failed_and_is_kept_so(rest, sdk):
    stream = await sdk.responses.create(model="breaks", input="Hi", stream=True)
    events = [event async for event in stream]
    assert [event.type for event in events[-2:]] == ["error", "response.failed"]
    assert events[-2].code == "upstream_broken"
    assert events[-1].response.error.code == "server_error"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    again = await sdk.responses.retrieve(events[0].response.id)
    assert (again.status, again.error.code) == ("failed", "server_error")


# ---- tools, structured output -------------------------------------------------------------------------------------
async def test_a_loop_of_tools_goes_on_by_the_previous_response(rest, sdk, says):
    first = await sdk.responses.create(model="tools", input="Weather?", tools=[TOOL])
    call = first.output[0]
    assert (call.type, call.name) == ("function_call", "get_weather")
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    second = await sdk.responses.create(
        model="good", input=[output], previous_response_id=first.id, tools=[TOOL], **says("It is sunny.")
    )
    assert second.output_text == "It is sunny."
    assert second.previous_response_id == first.id
    assert [message["role"] for message in asked(rest)] == ["user", "assistant", "tool"]
    assert asked(rest)[1]["tool_calls"][0]["id"] == asked(rest)[2]["tool_call_id"] == call.call_id


async def test_structured_output_is_parsed(rest, sdk, says):
    class City(BaseModel):
        name: str
        people: int

    made = await sdk.responses.parse(
        model="good", input="Zürich?", text_format=City, **says('{"name": "Zürich", "people": 447082}')
    )
    assert made.output_parsed == City(name="Zürich", people=447082)
    sent = json.loads(rest.world.upstream.last[1])
    assert sent["response_format"]["json_schema"]["name"] == "City"


# ---- state -------------------------------------------------------------------------------------------------------
async def test_a_conversation_goes_on_at_any_model_by_the_previous_response(rest, sdk, says):
    says("Hello Ada.")
    one = await sdk.responses.create(model="good", input="My name is Ada.", instructions="Be kind.")
    two = await sdk.responses.create(
        model="assistant", input="And mine?", previous_response_id=one.id, **says("Ada.")
    )
    await sdk.responses.create(model="good", input="Sure?", previous_response_id=two.id)
    assert asked(rest) == [
        {"role": "user", "content": "My name is Ada."},
        {"role": "assistant", "content": "Hello Ada."},
        {"role": "user", "content": "And mine?"},
        {"role": "assistant", "content": "Ada."},
        {"role": "user", "content": "Sure?"},
    ]


async def test_what_is_not_stored_is_not_kept(sdk):
    made = await sdk.responses.create(model="good", input="Hi", store=False)
    assert made.model_extra["store"] is False
    with pytest.raises(openai.NotFoundError) as caught:
        await sdk.responses.retrieve(made.id)
    assert caught.value.code == "response_not_found"
    with pytest.raises(openai.BadRequestError) as refused:
        await sdk.responses.create(model="good", input="Hi", previous_response_id=made.id)
    assert (refused.value.code, refused.value.param) == (
        "previous_response_not_found",
        "previous_response_id",
    )


async def test_a_response_is_told_again_with_its_input_and_forgotten(sdk):
    items: Any = [{"role": "user", "content": word} for word in ("one", "two", "three")]
    made = await sdk.responses.create(model="good", input=items)
    again = await sdk.responses.retrieve(made.id)
    assert again.to_dict() == made.to_dict()
    page = await sdk.responses.input_items.list(made.id, limit=2, order="asc")
    assert [item.content[0].text for item in page.data] == ["one", "two"]
    assert page.has_more
    rest = await sdk.responses.input_items.list(made.id, limit=2, order="asc", after=page.last_id)
    assert [item.content[0].text for item in rest.data] == ["three"]
    assert [item.content[0].text async for item in sdk.responses.input_items.list(made.id, limit=1)] == [
        "three",
        "two",
        "one",
    ]
    await sdk.responses.delete(made.id)
    for gone in (sdk.responses.retrieve, sdk.responses.delete, sdk.responses.input_items.list):
        with pytest.raises(openai.NotFoundError):
            await gone(made.id)


async def test_an_item_can_be_referred_to(rest, sdk, says):
    made = await sdk.responses.create(model="good", input="Hi", **says("Hello."))
    reference: Any = {"type": "item_reference", "id": made.output[0].id}
    await sdk.responses.create(model="good", input=[reference, {"role": "user", "content": "Again."}])
    assert asked(rest) == [{"role": "assistant", "content": "Hello."}, {"role": "user", "content": "Again."}]


async def test_another_callers_response_is_none(rest, sdk):
    made = await sdk.responses.create(model="good", input="Hi", background=True)
    conversation = await sdk.conversations.create()
    async with client(rest, OTHER) as other:
        for call in (
            other.responses.retrieve,
            other.responses.delete,
            other.responses.cancel,
            other.responses.input_items.list,
        ):
            with pytest.raises(openai.NotFoundError):
                await call(made.id)
        for refers in ({"previous_response_id": made.id}, {"conversation": conversation.id}):
            with pytest.raises(openai.APIStatusError):
                await other.responses.create(model="good", input="Hi", **refers)
        reference: Any = {"type": "item_reference", "id": f"{made.id}"}
        with pytest.raises(openai.BadRequestError):
            await other.responses.create(model="good", input=[reference])
        with pytest.raises(openai.NotFoundError):
            await other.conversations.retrieve(conversation.id)
        with pytest.raises(openai.NotFoundError):
            await other.conversations.items.create(conversation.id, items=[{"role": "user", "content": "x"}])


async def test_a_response_with_a_key_is_made_and_kept_once(rest, sdk):
    headers = {"idempotency-key": "k-1"}
    one = await sdk.responses.create(model="good", input="Hi", extra_headers=headers)
    two = await sdk.responses.create(model="good", input="Hi", extra_headers=headers)
    assert one.id == two.id
    assert rest.world.upstream.calls.total() == 1
    assert (await sdk.responses.retrieve(one.id)).output_text == one.output_text


# ---- conversations -----------------------------------------------------------------------------------------------
async def test_what_is_answered_becomes_part_of_its_conversation(rest, sdk, says):
    conversation = await sdk.conversations.create(
        metadata={"topic": "names"}, items=[{"type": "message", "role": "user", "content": "I am Ada."}]
    )
    assert conversation.id.startswith("conv_")
    made = await sdk.responses.create(
        model="good", input="Who am I?", conversation=conversation.id, **says("Ada.")
    )
    assert made.conversation.id == conversation.id
    await sdk.responses.create(
        model="good", input="Sure?", conversation={"id": conversation.id}, **says("Yes.")
    )
    assert [message["content"] for message in asked(rest)] == ["I am Ada.", "Who am I?", "Ada.", "Sure?"]
    items = [item async for item in sdk.conversations.items.list(conversation.id, order="asc", limit=2)]
    assert [item.content[0].text for item in items] == ["I am Ada.", "Who am I?", "Ada.", "Sure?", "Yes."]


async def test_a_conversation_is_changed_item_by_item_and_forgotten(sdk):
    conversation = await sdk.conversations.create()
    added = await sdk.conversations.items.create(
        conversation.id, items=[{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    )
    one, two = added.data
    assert (await sdk.conversations.items.retrieve(one.id, conversation_id=conversation.id)).id == one.id
    await sdk.conversations.items.delete(one.id, conversation_id=conversation.id)
    assert [item.id for item in (await sdk.conversations.items.list(conversation.id)).data] == [two.id]
    with pytest.raises(openai.NotFoundError) as caught:
        await sdk.conversations.items.retrieve(one.id, conversation_id=conversation.id)
    assert caught.value.code == "item_not_found"
    changed = await sdk.conversations.update(conversation.id, metadata={"a": "b"})
    assert changed.metadata == {"a": "b"}
    assert (await sdk.conversations.retrieve(conversation.id)).metadata == {"a": "b"}
    assert (await sdk.conversations.delete(conversation.id)).deleted
    with pytest.raises(openai.NotFoundError) as gone:
        await sdk.conversations.retrieve(conversation.id)
    assert gone.value.code == "conversation_not_found"


# ---- in the background --------------------------------------------------------------------------------------------
async def ended(sdk, made):
    async with asyncio.timeout(30):
        while made.status in ("queued", "in_progress"):
            await asyncio.sleep(0.02)
            made = await sdk.responses.retrieve(made.id)
    return made


async def test_a_response_is_made_in_the_background(rest, sdk, says):
    raw = await sdk.responses.with_raw_response.create(
        model="good", input="Hi", background=True, **says("Done.")
    )
    made = raw.parse()
    assert (made.status, made.background, made.output) == ("queued", True, [])
    done = await ended(sdk, made)
    assert (done.id, done.status, done.output_text, done.background) == (made.id, "completed", "Done.", True)
    job = (await rest.get(f"/api/v1/jobs/{made.id.removeprefix('resp_')}")).json()
    assert job["status"] == "completed"
    later = await sdk.responses.create(model="good", input="And?", previous_response_id=made.id)
    assert later.status == "completed"
    assert [message["content"] for message in asked(rest)] == ["Hi", "Done.", "And?"]


async def test_what_is_not_done_cannot_be_gone_on_with(sdk):
    made = await sdk.responses.create(model="slow", input="Hi", background=True)
    with pytest.raises(openai.BadRequestError):
        await sdk.responses.create(model="good", input="Hi", previous_response_id=made.id)


async def test_a_response_in_the_background_is_cancelled_once_and_for_all(sdk):
    made = await sdk.responses.create(model="slow", input="Hi", background=True)

    async def begun():
        return (await sdk.responses.retrieve(made.id)).status == "in_progress"

    await until(begun)
    for _ in range(2):
        assert (await sdk.responses.cancel(made.id)).status == "cancelled"
    assert (await sdk.responses.retrieve(made.id)).status == "cancelled"
    waited = await sdk.responses.create(model="good", input="Hi")
    with pytest.raises(openai.BadRequestError):
        await sdk.responses.cancel(waited.id)


async def test_a_response_in_the_background_that_fails_says_so(sdk):
    made = await ended(sdk, await sdk.responses.create(model="rejects", input="Hi", background=True))
    assert made.status == "failed"
    assert made.error.message


async def test_deleting_what_is_being_made_ends_it(rest, sdk):
    made = await sdk.responses.create(model="slow", input="Hi", background=True)
    await until(lambda: rest.world.upstream.in_flight == 1)
    await sdk.responses.delete(made.id)
    job = await rest.ended(made.id.removeprefix("resp_"))
    assert job["status"] == "cancelled"
    with pytest.raises(openai.NotFoundError):
        await sdk.responses.retrieve(made.id)


async def test_what_becomes_no_job_leaves_nothing_behind(rest, sdk):
    with pytest.raises(openai.NotFoundError):
        await sdk.responses.create(model="nobody", input="Hi", background=True, stream=True)
    assert not rest.world.store.responses.shelf.responses
    assert not rest.world.store.responses.shelf.rows


async def test_a_response_in_the_background_with_a_key_is_made_once(rest, sdk):
    headers = {"idempotency-key": "k-3"}
    made = [
        await sdk.responses.create(model="good", input="Hi", background=True, extra_headers=headers)
        for _ in range(2)
    ]
    assert made[0].id == made[1].id
    done = await ended(sdk, made[0])
    assert done.status == "completed"
    again = await sdk.responses.create(model="good", input="Hi", background=True, extra_headers=headers)
    assert (again.id, again.output_text) == (done.id, done.output_text)
    assert rest.world.upstream.calls.total() == 1
    with pytest.raises(openai.UnprocessableEntityError):
        await sdk.responses.create(model="good", input="Other", background=True, extra_headers=headers)


async def test_what_is_deleted_while_it_streams_stays_deleted(sdk, says):
    stream = await sdk.responses.create(
        model="good", input="Hi", stream=True, **says("One two.", chunk_interval_ms=60)
    )
    made = ""
    async for event in stream:
        if event.type == "response.created":
            made = event.response.id
            await sdk.responses.delete(made)
    with pytest.raises(openai.NotFoundError):
        await sdk.responses.retrieve(made)


async def test_a_conversation_with_a_key_is_begun_once(sdk):
    begun = [await sdk.conversations.create(extra_headers={"idempotency-key": "k-2"}) for _ in range(2)]
    assert begun[0].id == begun[1].id


async def test_a_stream_in_the_background_is_told_from_its_queue_to_its_end(sdk, says):
    stream = await sdk.responses.create(
        model="good", input="Hi", background=True, stream=True, **says("One two three.", chunk_interval_ms=40)
    )
    events = [event async for event in stream]
    assert [event.type for event in events[:3]] == [
        "response.created",
        "response.queued",
        "response.in_progress",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == "One two three."
    assert events[0].response.status == "queued"
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == "One two three."


async def test_a_dropped_stream_is_read_on_where_it_broke_off(rest, sdk, says):
    stream = await sdk.responses.create(
        model="good",
        input="Hi",
        background=True,
        stream=True,
        **says("One two three four.", chunk_interval_ms=60),
    )
    seen = []
    async for event in stream:
        seen.append(event)
        if event.type == "response.output_text.delta":
            break
    await stream.close()
    made = seen[0].response.id
    after = seen[-1].sequence_number
    seen += [event async for event in await sdk.responses.retrieve(made, stream=True, starting_after=after)]
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    assert seen[-1].response.output_text == "One two three four."
    whole = [event async for event in await sdk.responses.retrieve(made, stream=True)]
    assert [event.to_dict() for event in whole] == [event.to_dict() for event in seen]


async def test_a_callers_own_stream_outlives_its_connection(rest, sdk, says):
    stream = await sdk.responses.create(
        model="good", input="Hi", stream=True, **says("One two three four.", chunk_interval_ms=60)
    )
    seen = []
    async for event in stream:
        seen.append(event)
        if event.type == "response.output_text.delta":
            break
    await stream.close()
    after = seen[-1].sequence_number
    made = seen[0].response.id
    seen += [event async for event in await sdk.responses.retrieve(made, stream=True, starting_after=after)]
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    assert seen[-1].response.output_text == "One two three four."
    assert (await sdk.responses.retrieve(made)).status == "completed"


async def test_only_what_streamed_can_be_streamed_again(sdk):
    made = await sdk.responses.create(model="good", input="Hi")
    with pytest.raises(openai.BadRequestError) as caught:
        await sdk.responses.retrieve(made.id, stream=True)
    assert caught.value.param == "stream"


async def test_a_stream_in_the_background_that_is_cancelled_ends(sdk):
    stream = await sdk.responses.create(model="dripping", input="Hi", background=True, stream=True)
    events = []
    async for event in stream:
        events.append(event)
        if event.type == "response.output_text.delta" and event.sequence_number < 8:
            await sdk.responses.cancel(events[0].response.id)
    assert events[-1].type == "response.incomplete"
    assert events[-1].response.status == "cancelled"
    assert [event.sequence_number for event in events] == list(range(len(events)))


async def test_a_stream_in_the_background_that_breaks_is_made_again_and_only_its_end_told(rest, sdk):
    stream = await sdk.responses.create(model="breaks", input="Hi", background=True, stream=True)
    events = [event async for event in stream]
    assert events[-1].type == "response.failed"
    assert [event.sequence_number for event in events] == list(range(len(events)))


async def test_jobs_make_responses_too(rest, sdk):
    one = await sdk.responses.create(model="good", input="I am Ada.")
    body = {"model": "good", "input": "Who?", "previous_response_id": one.id}
    accepted = await rest.post("/api/v1/jobs", {"endpoint": "/v1/responses", "body": body})
    assert accepted.status_code == 202
    job = await rest.ended(accepted.json()["id"])
    made = a_response(job["result"])
    assert made.id == f"resp_{job['id']}"
    assert len(asked(rest)) == 3
    assert (await sdk.responses.retrieve(made.id)).output_text == made.output_text
    later = await rest.client.post(
        "/v1/responses",
        json={"model": "good", "input": "Hi"},
        headers=bearer(prefer="respond-async"),
    )
    assert later.status_code == 202
