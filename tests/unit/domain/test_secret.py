"""A secret is a value that nobody prints."""

import copy
import json
import pickle

import pytest

from gateway.domain.secret import Secret
from gateway.settings import Settings


def test_a_secret_cannot_be_printed():
    secret = Secret("sesame")
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret:>10}",
        "%s %r" % (secret, secret),  # noqa: UP031 - it is one of the ways to print
        repr([secret]),
        repr({"a": (secret,)}),
        json.dumps({"a": secret}, default=str),
        pickle.loads(pickle.dumps(secret)).reveal(),  # noqa: S301 - our own pickle
        str(Settings.model_validate({"postgres": {"url": "sesame"}}).model_dump()),
        Settings.model_validate({"postgres": {"url": "sesame"}}).model_dump_json(),
        repr(Settings.model_validate({"postgres": {"url": "sesame"}, "nats": {"url": "nats://u:sesame@h"}})),
    ]
    assert not [text for text in shown if "sesame" in text]
    assert not hasattr(secret, "__dict__")


def test_a_secret_is_a_value():
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
    assert bool(Secret("a"))
    assert not Secret()
    assert copy.deepcopy(Secret("a")).reveal() == copy.copy(Secret("a")).reveal() == "a"
    with pytest.raises(AttributeError, match="frozen"):
        Secret("a").text = "b"
