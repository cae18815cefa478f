"""Estimates of token counts: about right, never slow, never wrong enough to fail."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import tokens
from tests.builders import raw
from tests.waits import until


@pytest.fixture
async def vocabulary():
    """The vocabulary, loaded."""
    tokens.count("begin to load")
    await until(lambda: tokens._vocabulary._encoding is not None, within=30)


def test_before_the_vocabulary_is_there_four_characters_are_a_token(monkeypatch):
    fresh = tokens._Vocabulary()
    monkeypatch.setattr(fresh, "_begin", lambda: None)
    monkeypatch.setattr(tokens, "_vocabulary", fresh)
    assert [tokens.count(text) for text in ("", "a", "abcd", "abcde")] == [0, 1, 1, 2]


async def test_plain_words_count_as_the_vocabulary_has_them(vocabulary):
    assert tokens.count("The quick brown fox jumps over the lazy dog.") == 10
    assert tokens.count("") == 0


async def test_a_very_long_text_is_not_all_tokenised(vocabulary, monkeypatch):
    seen: list[int] = []
    encode = tokens._vocabulary._encoding

    class Noting:
        def encode_ordinary(self, text):
            seen.append(len(text))
            return encode.encode_ordinary(text)

    monkeypatch.setattr(tokens._vocabulary, "_encoding", Noting())
    assert tokens.count("x" * 10_000_000) > 2_000_000
    assert seen == [100_000]


async def test_special_tokens_in_a_text_are_text(vocabulary):
    assert tokens.count("<|endoftext|>") > 1


def test_each_message_counts_and_so_does_what_stands_round_it():
    one = tokens.count_prompt(raw('{"messages":[{"role":"user","content":"hello"}]}'))
    two = tokens.count_prompt(
        raw('{"messages":[{"role":"user","content":"hello"},{"role":"user","content":"hello"}]}')
    )
    assert one > 3
    assert two == 2 * one


def test_parts_of_text_count_and_pictures_do_not():
    text = '{"messages":[{"role":"user","content":[{"type":"text","text":"hello"}%s]}]}'
    image = ',{"type":"image_url","image_url":{"url":"data:image/png;base64,%s"}}' % ("A" * 9000)
    assert tokens.count_prompt(raw(text % image)) == tokens.count_prompt(raw(text % ""))


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        '{"messages":5}',
        '{"messages":[5,null,"x",[]]}',
        '{"messages":[{"content":null}]}',
        '{"messages":[{"content":[{"text":7},"x"]}]}',
        '{"messages":{"a":1}}',
    ],
)
def test_an_odd_body_is_counted_somehow(body):
    assert tokens.count_prompt(raw(body)) >= 0


def test_a_body_that_is_no_json_counts_nothing():
    assert tokens.count_prompt({"messages": msgspec.Raw(b"[")}) == 0


@given(st.text(max_size=200))
def test_no_text_is_a_reason_to_fail_and_none_counts_less_than_nothing(text):
    assert (tokens.count(text) > 0) == bool(text)


_WORDS = "four" * 10
_PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10_000}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"messages": [{"role": "user", "content": _WORDS}]}, 13),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": _WORDS}, _PICTURE]}]}, 13),
        ({"system": _WORDS, "messages": [{"role": "user", "content": "four"}]}, 14),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result", "content": _WORDS}]}]}, 13),
        ({"instructions": _WORDS, "input": "four"}, 11),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": _WORDS}]}]}, 13),
        ({"input": [{"type": "function_call_output", "output": _WORDS}]}, 10),
        ({"input": [_WORDS, _WORDS]}, 20),
        ({"input": [1, 2, 3]}, 3),
        ({"input": [[1, 2], [3]]}, 3),
        ({"prompt": _WORDS, "suffix": "four"}, 11),
        ({"query": "four", "documents": ["four", {"text": _WORDS}]}, 12),
        ({"model": _WORDS, "voice": _WORDS}, 0),
        ({"input": "data:audio/wav;base64," + "A" * 10_000}, 0),
    ],
)
def test_the_words_of_every_dialect_are_counted(monkeypatch, body, expected):
    monkeypatch.setattr(tokens, "count", lambda text: -(-len(text) // 4))
    assert tokens.count_prompt(raw(msgspec.json.encode(body).decode())) == expected


def test_of_a_huge_request_a_bounded_part_is_looked_at(monkeypatch):
    seen: list[int] = []
    monkeypatch.setattr(tokens, "count", lambda text: seen.append(len(text)) or 1)
    many = raw(msgspec.json.encode({"input": [[i] for i in range(100_000)]}).decode())
    assert tokens.count_prompt(many) == 49_999
    long = raw(msgspec.json.encode({"messages": [{"content": "word " * 15_000}] * 100}).decode())
    assert tokens.count_prompt(long) > 1_000_000
    assert sum(seen) <= 2 * 75_000, "the others are counted by their length alone"
