"""Attempts against scripted models in this process, and requests that wait for them."""

from datetime import timedelta

import pytest

from gateway.attempt import Attempts, Try
from gateway.domain.inference import Choice
from gateway.exchange import Exchange
from gateway.providers.catalogue import open_provider
from gateway.providers.ports import CallTimeouts
from gateway.settings import Providers
from tests.builders import a_model, a_registry, a_request, a_router, raw

FIVE = timedelta(seconds=5)
CHOICE = Choice("good", "first choice")


@pytest.fixture
def provider():
    """The scripted provider: `provider.upstream` has counted the calls."""
    return open_provider("scripted", Providers())


@pytest.fixture
def models():
    """The models of the registry, by name; a test may change them."""
    names = {
        "good": "scripted-ok",
        "down": "scripted-503",
        "rejects": "scripted-400",
        "html": "scripted-html",
        "slow": "scripted-ok?latency_ms=20000",
        "dripping": "scripted-ok?chunk_interval_ms=20&tokens=400",
        "breaks": "scripted-close-mid-stream?after=4",
        "empty": "scripted-empty",
        "silent": "scripted-ok?usage=none",
    }
    return {name: a_model(name, upstream_model=upstream) for name, upstream in names.items()}


@pytest.fixture
def attempts(provider, models):
    """Attempts at those models."""
    return Attempts(
        lambda: a_registry(*models.values()), {"scripted": provider}, CallTimeouts(FIVE, FIVE, FIVE)
    )


@pytest.fixture
def router(models):
    """Decisions about those models, without rules."""
    return a_router(a_registry(*models.values()))


@pytest.fixture
def exchange(attempts):
    """Make a request whose caller waits here."""

    def exchange(**changes):
        request = a_request(**changes)
        return Exchange(request, raw(request.body), attempts)

    return exchange


@pytest.fixture
def a_try():
    """Make a try at a model."""

    def a_try(model="good", number=1, body=None, **changes):
        request = a_request(**({} if body is None else {"body": body}), **changes)
        return Try(request, raw(request.body), number, Choice(model, "first choice"))

    return a_try
