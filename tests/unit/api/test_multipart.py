"""A form with files: the same however it is cut, and bounded in all that it may hold."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.rest.http import CallerLeft
from api.rest.multipart import boundary_of, read_form
from api.service.ask import Incoming
from gateway.domain.errors import BodyTimeout, BodyTooLarge, InvalidRequest
from gateway.providers.multipart import form
from gateway.providers.ports import Attachment
from gateway.providers.wire import Outgoing
from tests.contracts.upstreams import call

PATIENCE = timedelta(seconds=5)
SOUND = Attachment("file", "ü.wav", "audio/wav", b"\r\n--x\r\n\0\xff" * 50)


def written(*files: Attachment, **fields: Any) -> Outgoing:
    """A form as we send it ourselves."""
    made = call(body=json.dumps(fields).encode())
    return form(replace(made, model=replace(made.model, upstream_model="m"), files=files))


async def read(
    pieces: Sequence[bytes], boundary: bytes, limit: int = 1_000_000, *, leaves: bool = False
) -> Incoming:
    """Read a form that comes in these pieces."""
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.disconnect"} if leaves else {"type": "http.request", "body": b""})

    async def receive() -> Any:
        return messages.pop(0)

    return await read_form(receive, {}, boundary, limit, PATIENCE)


def boundary(sent: Outgoing) -> bytes:
    found = boundary_of({"content-type": sent.media_type})
    assert found is not None
    return found


@given(st.lists(st.integers(min_value=1, max_value=60), min_size=1, max_size=30))
async def test_however_a_form_is_cut_it_is_the_same_form(sizes: list[int]):
    sent = written(SOUND, language="en", **{"include[]": ["a", "b"]})
    whole, pieces = sent.joined, list[bytes]()
    while whole:
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(whole[:size])
        whole = whole[size:]
    incoming = await read(pieces, boundary(sent))
    assert incoming.files == (SOUND,)
    said = json.loads(incoming.raw)
    assert (said["model"], said["language"], said["include[]"]) == ("m", "en", ["a", "b"])
    assert said["file"]["bytes"] == len(SOUND.data)


async def test_a_form_over_the_limit_is_refused_while_it_comes():
    sent = written(SOUND)
    with pytest.raises(BodyTooLarge):
        await read([sent.joined], boundary(sent), limit=100)


async def test_a_caller_who_leaves_is_no_mistake_of_the_form():
    sent = written(SOUND)
    with pytest.raises(CallerLeft):
        await read([sent.joined[:100]], boundary(sent), leaves=True)


async def test_a_form_that_does_not_come_ends_in_time():
    async def receive() -> Any:
        await asyncio.sleep(5)

    with pytest.raises(BodyTimeout):
        await read_form(receive, {}, b"x", 100, timedelta(milliseconds=20))


async def test_parts_and_fields_are_bounded():
    part = b'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n%s\r\n'
    with pytest.raises(InvalidRequest, match="parts"):
        await read([part % b"1" * 600, b"--x--\r\n"], b"x")
    with pytest.raises(InvalidRequest, match="longer"):
        await read([part % (b"1" * 5_000_000), b"--x--\r\n"], b"x", limit=10_000_000)
    with pytest.raises(InvalidRequest, match="UTF-8"):
        await read([part % b"\xff", b"--x--\r\n"], b"x")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("application/json", None),
        ("", None),
        ("multipart/form-data; boundary=abc", b"abc"),
        ('multipart/form-data; boundary="a b"', b"a b"),
        ("Multipart/Form-Data; Boundary=abc", b"abc"),
    ],
)
def test_the_boundary_is_read_out_of_the_content_type(kind: str, expected: bytes | None):
    assert boundary_of({"content-type": kind}) == expected


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=" + "x" * 71])
def test_a_form_without_a_boundary_is_none(kind: str):
    with pytest.raises(InvalidRequest):
        boundary_of({"content-type": kind})


def test_what_callers_say_cannot_break_out_of_a_form_that_goes_out():
    evil = Attachment('a"\r\nx: y', 'b"\r\n\r\nz', "audio/wav\r\nx-evil: 1", b"data")
    sent = written(evil, **{'n"\r\nx': "v"}).joined
    assert b"\r\nx: y" not in sent
    assert b"\r\nx-evil" not in sent
    assert sent.count(b"content-disposition") == 3
