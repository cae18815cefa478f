"""Files beside a body, described in it, inside of it, and how long recordings last."""

from __future__ import annotations

import json
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import files
from gateway.domain.errors import InvalidRequest
from gateway.providers.ports import Attachment, Body
from gateway.providers.scripted.media import wav
from tests.builders import raw

ATTACHMENTS = st.lists(
    st.builds(
        Attachment,
        field=st.sampled_from(["file", "image[]", "mask"]),
        filename=st.text(max_size=12).filter(lambda text: text.isprintable()),
        media_type=st.just("image/png"),
        data=st.binary(max_size=64),
    ),
    max_size=5,
)


@given(ATTACHMENTS)
def test_what_was_put_into_a_body_comes_out_of_it_again(attached: list[Attachment]):
    body: Body = {"model": msgspec.Raw(b'"m"')}
    text = files.inlined({**body, **files.described(attached)}, attached)
    again, found = files.taken(raw(text))
    by_field = sorted(attached, key=lambda file: [a.field for a in attached].index(file.field))
    assert list(found) == by_field
    assert {name: bytes(value) for name, value in again.items()} == {
        name: bytes(value) for name, value in {**body, **files.described(attached)}.items()
    }


def test_what_is_told_of_a_body_has_no_data_in_it():
    text = '{"model":"m","file":{"filename":"a.wav","media_type":"audio/wav","data":"UklGRg=="}}'
    kept = json.loads(files.told(text))
    assert kept["model"] == "m"
    assert set(kept["file"]) == {"filename", "media_type", "bytes", "sha256"}
    assert files.told(json.dumps(kept)) == json.dumps(kept), "what is described already stays as it is"


@pytest.mark.parametrize(
    "text", ["no json", "[]", '{"file":{"data":"UklGRg=="}}', '{"file":[1]}', '{"a":"b"}']
)
def test_what_holds_no_file_is_left_as_it_is(text: str):
    assert files.told(text) == text


def test_data_that_is_no_base64_is_told_by_its_field():
    with pytest.raises(InvalidRequest) as refused:
        files.taken(raw('{"mask":[{"filename":"a","data":"%%"}]}'))
    assert refused.value.param == "mask.data"


def test_a_request_has_a_bounded_number_of_files():
    many = [Attachment("image[]", "a.png", "image/png", b"")] * (files.MOST + 1)
    with pytest.raises(InvalidRequest):
        files.bounded(many)


def test_a_recording_says_itself_how_long_it_lasts():
    sound = wav(bytes(8_000 * 3))
    unended = sound.replace(struct.pack("<I", 24_000), struct.pack("<I", 0xFFFFFFFF))
    for data, seconds in (
        (sound, 3.0),
        (unended, 3.0),
        (sound[:20], 0.0),
        (b"ID3" + bytes(100), 0.0),
        (b"", 0.0),
        (b"RIFF\0\0\0\0WAVE" + bytes(100), 0.0),
    ):
        assert files.seconds_of([Attachment("file", "a", "audio/wav", data)]) == seconds


@given(st.binary(max_size=200))
def test_no_recording_is_a_reason_to_fail(data: bytes):
    for each in (data, b"RIFF\0\0\0\0WAVE" + data, wav(b"x")[:20] + data):
        assert files.seconds_of([Attachment("file", "a", "audio/wav", each)]) >= 0
