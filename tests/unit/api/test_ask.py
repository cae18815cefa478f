"""Reading what is asked: what the gateway reads is checked and named, what it does not know stays byte for byte."""

import json
from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.service.ask import Hints, tags_of
from api.service.forms import read_chat
from api.service.forms.job import job_ask
from gateway.domain.errors import InvalidJson, InvalidRequest
from gateway.domain.inference import Durability, Kind

OURS = {"model", "messages", "stream", "stream_options", "metadata", "gateway"}
BODY = {"model": "good", "messages": [{"role": "user", "content": "Hello"}]}


def read(body=None, hints=None, **fields):
    asked = {**(BODY if body is None else body), **fields}
    return read_chat(json.dumps(asked).encode(), hints or Hints(), door="rest")


# ---- what is read ------------------------------------------------------------------------------------------------
def test_a_plain_request_is_read():
    ask = read()
    assert (ask.kind, ask.endpoint, ask.door, ask.model) == (
        Kind.CHAT,
        "/v1/chat/completions",
        "rest",
        "good",
    )
    assert (ask.stream, ask.wants_usage, ask.deadline, ask.durability) == (False, False, None, None)
    assert (ask.tags, ask.metadata) == ({}, {})
    assert json.loads(ask.text) == BODY


def test_a_body_without_our_field_is_kept_as_the_bytes_it_came_in():
    sent = b' {"model" : "good",\n"messages":[{"role":"user"}], "x": 1.0e0 } '
    assert read_chat(sent, Hints(), door="rest").text == sent.decode()


@given(
    st.dictionaries(
        st.text(min_size=1).filter(lambda name: name not in OURS),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=10,
        ),
        max_size=5,
    ),
    st.booleans(),
    st.sampled_from([None, 1]),
)
@settings(max_examples=40)
def test_whatever_we_do_not_know_stays_as_it_is(unknown, with_own, indent):
    own = {"gateway": {"tags": {"a": "1"}}} if with_own else {}
    sent = json.dumps({**unknown, **own, **BODY}, indent=indent, ensure_ascii=bool(indent)).encode(
        "utf-8", "surrogatepass"
    )
    try:
        ask = read_chat(sent, Hints(), door="rest")
    except InvalidJson:
        assert any(0xD800 <= ord(c) <= 0xDFFF for c in sent.decode("utf-8", "surrogatepass"))
        return
    raw = msgspec.json.decode(sent, type=dict[str, msgspec.Raw])
    assert {name: bytes(value) for name, value in ask.body.items()} == {
        name: bytes(value) for name, value in raw.items() if name != "gateway"
    }
    assert json.loads(ask.text) == {**unknown, **BODY}


@pytest.mark.parametrize("stream", [True, False, None])
@pytest.mark.parametrize("options", [None, {}, {"include_usage": None}, {"include_usage": True}])
def test_the_stream_and_its_usage_are_asked_for_separately(stream, options):
    ask = read(stream=stream, stream_options=options)
    assert (ask.stream, ask.wants_usage) == (bool(stream), bool(options and options.get("include_usage")))


def test_the_body_goes_before_the_headers():
    hints = Hints(deadline=timedelta(seconds=9), durability="overlapped", tags={"a": "h", "b": "h"})
    ask = read(
        hints=hints,
        metadata={"x": "body", "y": "body"},
        gateway={
            "deadline_s": 1.5,
            "durability": "start-first",
            "tags": {"a": "own"},
            "metadata": {"x": "own"},
        },
    )
    assert (ask.deadline, ask.durability) == (timedelta(seconds=1.5), Durability.START_FIRST)
    assert ask.tags == {"a": "own", "b": "h"}
    assert ask.metadata == {"x": "own", "y": "body"}
    assert read(hints=hints).deadline == timedelta(seconds=9)
    assert read(hints=hints).durability is Durability.OVERLAPPED


def test_our_field_is_taken_out_even_when_it_is_empty():
    for own in (None, {}):
        assert "gateway" not in json.loads(read(gateway=own).text)


def test_metadata_of_the_body_reaches_the_provider_too():
    assert json.loads(read(metadata={"a": "1"}).text)["metadata"] == {"a": "1"}


def refusal_of(read_it, sent):
    """Why it is refused, if it is."""
    try:
        read_it(sent, Hints(), door="rest")
    except (InvalidJson, InvalidRequest) as refused:
        return refused.message
    return None


# ---- what is refused ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"model": 5}, "model", "Expected `str`, got `int`"),
        ({"model": "m" * 257}, "model", "1 to 256 characters"),
        ({"messages": []}, "messages", "at least one"),
        ({"messages": {}}, "messages", "Expected `array`"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "is required"),
        ({"stream": 1}, "stream", "Expected `bool"),
        ({"stream_options": 1}, "stream_options", "Expected `object"),
        ({"gateway": {"deadline": 1}}, "gateway.deadline", "is not a field here"),
        ({"gateway": {"deadline_s": "1"}}, "gateway.deadline_s", "Expected `float"),
        ({"gateway": {"deadline_s": -1}}, "gateway.deadline_s", "more than 0"),
        ({"gateway": {"deadline_s": 1e9}}, "gateway.deadline_s", "at most a week"),
        ({"gateway": {"durability": "sometimes"}}, "durability", "overlapped"),
        ({"gateway": {"tags": {str(i): "" for i in range(33)}}}, "gateway.tags", "more than 32"),
        ({"gateway": {"tags": {"": "x"}}}, "gateway.tags", "empty or too long"),
        ({"gateway": {"metadata": {"a": "x" * 513}}}, "metadata", "empty or too long"),
        ({"metadata": {"x" * 257: ""}}, "metadata", "empty or too long"),
    ],
)
def test_what_is_wrong_is_named_and_what_would_be_right_is_said(fields, param, said):
    with pytest.raises(InvalidRequest) as refused:
        read(**fields)
    assert refused.value.param == param
    assert said in refused.value.message


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"a":}',
        b"\xff",
        b'{"model":"\xff","messages":[{"role":"u"}]}',
        json.dumps(BODY).encode() + b"{",
    ],
)
def test_what_is_no_json_is_said_to_be_none(sent):
    with pytest.raises(InvalidJson):
        read_chat(sent, Hints(), door="rest")


def test_what_is_no_utf8_is_found_in_a_field_that_we_do_not_read():
    sent = json.dumps(BODY).encode()[:-1] + b',"x":"\xc3("}'
    with pytest.raises(InvalidJson, match="UTF-8"):
        read_chat(sent, Hints(), door="rest")


@given(st.binary(max_size=300))
def test_no_bytes_are_a_reason_to_fail_otherwise(sent):
    for read_it in (read_chat, job_ask):
        assert refusal_of(read_it, sent) != ""


@pytest.mark.parametrize("depth", [500, 5_000, 200_000])
def test_nesting_is_bounded_and_never_a_crash(depth):
    nested = b"[" * depth + b"]" * depth
    for sent in (nested, json.dumps(BODY).encode()[:-1] + b',"x":' + nested + b"}"):
        assert len(refusal_of(read_chat, sent) or "") < 500


# ---- jobs --------------------------------------------------------------------------------------------------------
def job(**fields):
    asked = {"endpoint": "/v1/chat/completions", "body": BODY, **fields}
    return job_ask(json.dumps(asked).encode(), Hints(), door="rest")


def test_a_job_is_read_with_its_own_deadline_and_metadata():
    body = {**BODY, "metadata": {"a": "body", "b": "body"}, "gateway": {"deadline_s": 5}}
    assert job(body=body).deadline == timedelta(seconds=5)
    ask = job(body=body, deadline_s=60, metadata={"a": "job"})
    assert (ask.deadline, ask.metadata) == (timedelta(seconds=60), {"a": "job", "b": "body"})


def test_the_body_of_a_job_is_kept_as_the_bytes_it_came_in():
    sent = b'{"endpoint":"/v1/chat/completions","body": {"messages" : [{"role":"user"}],  "model":"good"} }'
    assert job_ask(sent, Hints(), door="rest").text == '{"messages" : [{"role":"user"}],  "model":"good"}'


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"endpoint": "/v1/nothing"}, "endpoint"),
        ({"deadline_s": 0}, "deadline_s"),
        ({"deliver": {"webhook": {}}}, "deliver.webhook.url"),
        ({"deliver": {"webhook": {"url": 7}}}, "deliver.webhook.url"),
        ({"deliver": {"nats": {"subject": "a.b", "trace": "x"}}}, "deliver.nats.trace"),
        ({"deliver": {"fax": {}}}, "deliver.fax"),
        ({"odd": 1}, "odd"),
        ({"body": {"model": "good"}}, "messages"),
        ({"metadata": {"": "x"}}, "metadata"),
    ],
)
def test_a_job_that_is_wrong_is_refused_by_what_is_wrong(fields, param):
    with pytest.raises(InvalidRequest) as refused:
        job(**fields)
    assert refused.value.param == param


def test_who_is_told_is_read_from_the_job_before_the_body():
    own = {"webhook": {"url": "https://a/", "secret": "hush"}}
    body = {**BODY, "gateway": {"deliver": {"nats": {"subject": "agents.a.b", "trace_id": "t"}}}}
    told = job(body=body).deliver
    assert told is not None
    assert (told.where, told.subject, told.trace_id) == (
        "gateway.deliver",
        "agents.a.b",
        "t",
    )
    told = job(body=body, deliver=own).deliver
    assert told is not None
    assert (told.where, told.url, told.subject) == ("deliver", "https://a/", None)


def test_a_secret_is_read_into_a_box_and_leaves_the_body():
    body = {**BODY, "gateway": {"deliver": {"webhook": {"url": "https://a/", "secret": "hush"}}}}
    ask = read(body)
    assert "hush" not in repr(ask)
    assert "hush" not in ask.text
    assert ask.deliver is not None
    assert ask.deliver.secret is not None
    assert ask.deliver.secret.reveal() == "hush"


@pytest.mark.parametrize("nothing", [None, {}, {"webhook": None}])
def test_nobody_is_told_where_no_channel_is_named(nothing):
    assert job(deliver=nothing).deliver is None


# ---- tags --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("header", "tags"),
    [
        ("", {}),
        (" , ,", {}),
        ("team=search", {"team": "search"}),
        (" team = search , env=prod,", {"team": "search", "env": "prod"}),
        ("flag", {"flag": ""}),
        ("a=b=c", {"a": "b=c"}),
        ("a=1,a=2", {"a": "2"}),
    ],
)
def test_tags_are_read_from_a_header(header, tags):
    assert tags_of(header) == tags


@pytest.mark.parametrize("header", ["=x", "a" * 257, f"a={'x' * 513}", ",".join(f"t{i}" for i in range(33))])
def test_tags_that_cannot_be_are_refused(header):
    with pytest.raises(InvalidRequest):
        tags_of(header)


# ---- wishes --------------------------------------------------------------------------------------------------------
def test_wishes_are_read_from_our_field_and_from_headers_and_our_field_goes_first():
    own = {"select": "gpu", "prefer": "cost", "exclude": ["a"], "max_cost_usd": 0.5}
    said = Hints(select="!gpu", prefer="latency", exclude=("b", "c"), max_cost_usd=Decimal(1))
    for hints in (Hints(), said):
        traits = read(hints=hints, gateway=own).traits
        assert (traits.select, traits.prefer, traits.exclude) == ("gpu", "cost", ("a",))
        assert traits.max_cost_usd == Decimal("0.5")
    traits = read(hints=said).traits
    assert (traits.select, traits.prefer, traits.exclude) == ("!gpu", "latency", ("b", "c"))
    assert traits.max_cost_usd == Decimal(1)


@pytest.mark.parametrize("amount", [0, 0.1, "0.10", "1e-3", 1_000_000])
def test_an_amount_is_a_number_or_a_decimal_in_quotes(amount):
    assert read(gateway={"max_cost_usd": amount}).traits.max_cost_usd == Decimal(str(amount))


@pytest.mark.parametrize(
    ("own", "param"),
    [
        ({"select": "a,,b"}, "gateway.select"),
        ({"select": "=b"}, "gateway.select"),
        ({"prefer": "speed"}, "gateway.prefer"),
        ({"exclude": [""]}, "gateway.exclude"),
        ({"exclude": ["a"] * 65}, "gateway.exclude"),
        ({"exclude": "a"}, "gateway.exclude"),
        ({"max_cost_usd": -0.1}, "gateway.max_cost_usd"),
        ({"max_cost_usd": "NaN"}, "gateway.max_cost_usd"),
        ({"max_cost_usd": "1e9"}, "gateway.max_cost_usd"),
        ({"max_cost_usd": "much"}, "gateway.max_cost_usd"),
    ],
)
def test_a_wish_that_cannot_be_is_refused_by_its_field(own, param):
    with pytest.raises(InvalidRequest) as e:
        read(gateway=own)
    assert e.value.param == param


@pytest.mark.parametrize(
    ("hints", "param"),
    [
        (Hints(select="!"), "x-gateway-select"),
        (Hints(prefer="speed"), "x-gateway-prefer"),
        (Hints(exclude=("x" * 300,)), "x-gateway-exclude"),
        (Hints(max_cost_usd=Decimal(-1)), "x-gateway-max-cost-usd"),
    ],
)
def test_a_wish_of_a_header_is_refused_by_the_headers_name(hints, param):
    with pytest.raises(InvalidRequest) as e:
        read(hints=hints)
    assert e.value.param == param


@pytest.mark.parametrize("tags", ["location=on-prem,", "!", "a=", "a=b|", "size = large | small,!"])
def test_tags_that_are_none_are_refused_by_the_field_model(tags):
    with pytest.raises(InvalidRequest) as e:
        read(model=f"tags:{tags}")
    assert e.value.param == "model"
    assert "expected" in e.value.message


def test_an_amount_of_endless_length_is_cut():
    assert len(str(read(gateway={"max_cost_usd": "0." + "1" * 5000}).traits.max_cost_usd)) == 30
