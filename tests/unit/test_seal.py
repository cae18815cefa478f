"""What is kept of callers' words: readable with the keys alone, and by keys that were rotated out."""

import base64

import pytest

from gateway.domain.secret import Secret
from gateway.ring import KeyRing, Unreadable
from gateway.seal import Seal

KEYS = {name: Secret(base64.b64encode(bytes([number] * 32)).decode()) for number, name in enumerate("ab")}
TEXT = b"what was said " * 1000


@pytest.mark.parametrize("ring", [None, KeyRing("a", KEYS)])
@pytest.mark.parametrize("text", [TEXT, b"", b"\x00\xff"])
def test_what_is_sealed_opens_as_it_was(ring, text):
    seal = Seal(ring)
    sealed = seal.seal(text)
    assert seal.open(sealed) == text
    assert len(sealed) < max(len(text), 100)


def test_without_the_keys_it_cannot_be_read():
    sealed = Seal(KeyRing("a", KEYS)).seal(TEXT)
    assert b"what was said" not in sealed
    for other in (None, KeyRing("b", {"b": KEYS["b"]}), KeyRing("a", {"a": KEYS["b"]})):
        with pytest.raises(Unreadable):
            Seal(other).open(sealed)


def test_a_key_that_was_rotated_out_still_opens_what_it_sealed():
    assert Seal(KeyRing("b", KEYS)).open(Seal(KeyRing("a", KEYS)).seal(TEXT)) == TEXT


def test_what_was_changed_is_not_opened():
    for ring in (None, KeyRing("a", KEYS)):
        seal = Seal(ring)
        sealed = bytearray(seal.seal(TEXT))
        sealed[5] ^= 1
        with pytest.raises(Unreadable):
            seal.open(bytes(sealed))
