"""Keys that encrypt and keys that only decrypt; what is wrong with one is said by its name."""

import base64
from hashlib import sha256

import pytest

from gateway.domain.secret import Secret
from gateway.ring import KeyRing, Unreadable


def key(name):
    return Secret(base64.b64encode(sha256(name.encode()).digest()).decode())


def ring(active="a", *others, **more):
    return KeyRing(active, {name: key(name) for name in (active, *others)}, **more)


def test_what_an_old_key_encrypted_is_read_as_long_as_the_key_is_there():
    closed = ring("a").encrypt(b"text")
    assert ring("b", "a").decrypt("a", closed) == b"text"
    with pytest.raises(Unreadable, match="'a', which is not in the ring"):
        ring("b").decrypt("a", closed)


def test_keys_of_one_purpose_do_not_open_what_is_for_another():
    closed = ring(purpose=b"credentials").encrypt(b"text")
    assert ring(purpose=b"credentials").decrypt("a", closed) == b"text"
    for other in (ring(), ring(purpose=b"payloads")):
        with pytest.raises(Unreadable):
            other.decrypt("a", closed)


def test_a_wrong_key_is_named_by_its_own_setting():
    with pytest.raises(ValueError, match=r"credentials\.encryption\.active: 'x' is not"):
        KeyRing("x", {}, section="credentials.encryption")


def test_what_was_bound_must_be_given_again():
    keys = ring()
    closed = keys.encrypt(b"text", bound=b"one")
    assert keys.decrypt("a", closed, bound=b"one") == b"text"
    with pytest.raises(Unreadable):
        keys.decrypt("a", closed, bound=b"other")


# ---- rings that are wrong ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("text", ["", "short", base64.b64encode(b"x" * 31).decode(), "!" * 44])
def test_a_key_that_is_none_is_refused_by_its_name_and_never_shown(text):
    with pytest.raises(
        ValueError, match=r"temporal\.encryption\.keys\.new: expected base64 of 32 bytes"
    ) as refused:
        KeyRing("new", {"new": Secret(text)})
    assert not text or text not in str(refused.value)


def test_an_active_key_that_is_not_there_is_refused():
    with pytest.raises(
        ValueError, match=r"temporal\.encryption\.active: 'odd' is not among the keys \(a, b\)"
    ):
        KeyRing("odd", {"b": key("b"), "a": key("a")})
