"""A registry over memory, with everything that changes pass through."""

import base64

import pytest

from gateway.domain.secret import Secret
from gateway.providers.catalogue import MANUALS
from gateway.providers.credentials import Credentials
from gateway.registry.checks import Checks
from gateway.ring import KeyRing


@pytest.fixture
def ring():
    """A ring of one key."""
    return KeyRing("2026", {"2026": Secret(base64.b64encode(bytes(range(32))).decode())})


@pytest.fixture
def credentials(ring):
    """Credentials that can be kept."""
    return Credentials(ring=ring)


@pytest.fixture
def checks(credentials):
    """The checks of a gateway with all providers."""
    return Checks(MANUALS, credentials.why_not)
