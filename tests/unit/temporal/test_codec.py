"""Payloads of Temporal: nothing is readable without its key, and nothing that was changed is taken for whole."""

import base64
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload

from gateway.domain.secret import Secret
from gateway.ring import KeyRing
from gateway.settings import Encryption, Temporal
from gateway.storage.memory import MemoryBlobs
from gateway.temporal.client import data_converter
from gateway.temporal.codec import CLAIM, ENCODING, ClaimCheck, CodecError, GatewayCodec
from tests.builders import a_request


def key(letter):
    return Secret(base64.b64encode(letter.encode() * 32).decode())


def ring(active="a", *ids):
    return KeyRing(active, {name: key(name) for name in (active, *ids)})


def payload(data=b"a prompt"):
    return Payload(metadata={"encoding": b"json/plain", "kind": b"x"}, data=data)


async def sealed(codec, *payloads):
    return await codec.encode(list(payloads))


# ---- round trips -------------------------------------------------------------------------------------------------
@given(st.binary(max_size=6000))
async def test_what_is_sealed_opens_to_the_same_bytes(data):
    codec = GatewayCodec(ring())
    (closed,) = await sealed(codec, payload(data))
    assert closed.metadata["encoding"] == ENCODING
    assert await codec.decode([closed]) == [payload(data)]


async def test_nothing_is_readable_from_outside():
    (closed,) = await sealed(GatewayCodec(ring()), payload(b"a very secret prompt"))
    assert b"secret" not in closed.SerializeToString()
    assert b"json/plain" not in closed.SerializeToString()


async def test_the_same_payload_never_looks_the_same():
    codec = GatewayCodec(ring())
    closed = [(await sealed(codec, payload()))[0] for _ in range(600)]
    nonces = {c.data[:12] for c in closed}
    assert len(nonces) == 600, "a nonce that is used twice gives the plaintext away"


async def test_several_payloads_keep_their_order_and_what_is_not_ours_passes():
    codec = GatewayCodec(ring())
    both = await sealed(codec, payload(b"1"), payload(b"2"))
    assert await codec.decode([both[0], payload(b"plain"), both[1]]) == [
        payload(b"1"),
        payload(b"plain"),
        payload(b"2"),
    ]
    assert await codec.encode(both) == both, "what is sealed is not sealed again"


@pytest.mark.parametrize(("size", "form"), [(100, b"plain"), (4000, b"zstd")])
async def test_only_what_is_long_is_compressed(size, form):
    codec = GatewayCodec(ring())
    (closed,) = await sealed(codec, payload(b"x" * size))
    assert closed.metadata["form"] == form
    assert (len(closed.data) < size) is (form == b"zstd")
    (stored,) = await sealed(GatewayCodec(ring(), compress=False), payload(b"x" * size))
    assert stored.metadata["form"] == b"plain"
    assert await codec.decode([stored]) == [payload(b"x" * size)]


# ---- rotation and tampering --------------------------------------------------------------------------------------
async def test_after_a_change_of_keys_old_payloads_stay_readable_and_new_ones_use_the_new_key():
    (old,) = await sealed(GatewayCodec(ring("a")), payload(b"old"))
    rotated = GatewayCodec(ring("b", "a"))
    (new,) = await sealed(rotated, payload(b"new"))
    assert (old.metadata["key"], new.metadata["key"]) == (b"a", b"b")
    assert await rotated.decode([old, new]) == [payload(b"old"), payload(b"new")]


async def test_without_its_key_a_payload_stays_closed_and_the_error_names_the_key():
    (closed,) = await sealed(GatewayCodec(ring("a")), payload())
    with pytest.raises(CodecError, match="'a'"):
        await GatewayCodec(ring("b")).decode([closed])


async def test_another_key_of_the_same_name_does_not_open_it():
    (closed,) = await sealed(GatewayCodec(ring("a")), payload())
    other = GatewayCodec(KeyRing("a", {"a": key("z")}))
    with pytest.raises(CodecError):
        await other.decode([closed])


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
async def test_one_changed_byte_is_noticed(where, change):
    codec = GatewayCodec(ring())
    (closed,) = await sealed(codec, payload())
    data = bytearray(closed.data)
    data[where % len(data)] ^= change
    closed.data = bytes(data)
    with pytest.raises(CodecError):
        await codec.decode([closed])


@pytest.mark.parametrize("length", [0, 1, 7, 11, 12, 13, 27])
async def test_a_payload_that_was_cut_is_noticed(length):
    codec = GatewayCodec(ring())
    (closed,) = await sealed(codec, payload())
    closed.data = closed.data[:length]
    with pytest.raises(CodecError):
        await codec.decode([closed])


@pytest.mark.parametrize("name", ["form", "key"])
async def test_metadata_that_was_changed_is_noticed(name):
    codec = GatewayCodec(ring("a", "b"))
    (closed,) = await sealed(codec, payload(b"x" * 4000))
    closed.metadata[name] = {"form": b"plain", "key": b"b"}[name]
    with pytest.raises(CodecError):
        await codec.decode([closed])


# ---- large payloads by reference ---------------------------------------------------------------------------------
def settings(**changes):
    return Temporal(encryption=Encryption(active="a", keys={"a": key("a")}), **changes)


@pytest.mark.parametrize("inner", [None, GatewayCodec(ring())])
async def test_a_large_payload_is_kept_in_our_store_and_comes_back(inner):
    blobs = MemoryBlobs()
    codec = ClaimCheck(inner, blobs, 100)
    large = [payload(sha256(b"%d" % n).digest() * 200) for n in range(2)]
    sent = await codec.encode([large[0], payload(b"small"), large[1]])
    assert [p.metadata["encoding"] == CLAIM for p in sent] == [True, False, True]
    assert len(blobs._blobs) == 2
    assert await codec.encode(sent) == sent, "what is kept is not kept again"
    assert await codec.decode(sent) == [large[0], payload(b"small"), large[1]]


async def test_a_payload_that_is_no_longer_kept_says_so():
    sent = await ClaimCheck(None, MemoryBlobs(), 100).encode([payload(b"x" * 200)])
    with pytest.raises(CodecError, match="retention"):
        await ClaimCheck(None, MemoryBlobs(), 100).decode(sent)


async def test_a_request_over_the_threshold_travels_by_reference_and_is_unreadable_in_the_store():
    blobs = MemoryBlobs()
    converter = data_converter(settings(claim_check_over=10_000), blobs)
    # Text that cannot be compressed away.
    body = "".join(sha256(str(number).encode()).hexdigest() for number in range(1000))
    request = a_request(body=f"secret{body}")
    (sent,) = await converter.encode([request])
    assert len(sent.SerializeToString()) < 2_000
    (kept,) = blobs._blobs.values()
    assert b"secret" not in kept
    assert await converter.decode([sent], [type(request)]) == [request]


async def test_a_request_below_the_threshold_travels_itself():
    blobs = MemoryBlobs()
    converter = data_converter(settings(), blobs)
    request = a_request()
    (sent,) = await converter.encode([request])
    assert sent.metadata["encoding"] == ENCODING
    assert blobs._blobs == {}
    assert await converter.decode([sent], [type(request)]) == [request]


def test_without_a_key_an_installation_that_requires_one_does_not_start():
    with pytest.raises(ValueError, match=r"temporal\.encryption\.active"):
        data_converter(Temporal(encryption=Encryption(required=True)), None)
    assert data_converter(Temporal(encryption=Encryption(required=False)), None).payload_codec is None


async def test_the_words_of_failures_are_sealed_too():
    from temporalio.api.failure.v1 import Failure

    converter = data_converter(settings(), None)
    failure = Failure()
    await converter.encode_failure(RuntimeError("a secret in an exception"), failure)
    assert b"secret" not in failure.SerializeToString()
    assert "a secret in an exception" in str(await converter.decode_failure(failure))
