"""Providers are opened when a model first needs them, and closed together."""

import pytest

from gateway.domain.errors import UpstreamNotFound
from gateway.providers.catalogue import PROVIDERS, OpenProviders
from gateway.settings import Providers


@pytest.fixture
async def opened():
    providers = OpenProviders(Providers())
    yield providers
    await providers.close()


async def test_a_provider_is_opened_once(opened):
    await opened.prepare({"scripted", "compatible"})
    first = opened["scripted"]
    await opened.prepare({"scripted"})
    assert opened["scripted"] is first
    assert opened["compatible"] is opened["compatible"]


async def test_a_provider_that_was_not_prepared_is_opened_when_it_is_needed(opened):
    assert opened["scripted"] is opened["scripted"]


async def test_a_provider_that_only_a_newer_version_knows_fails_its_own_models_alone(opened):
    await opened.prepare({"scripted", "from-the-future"})
    with pytest.raises(UpstreamNotFound) as raised:
        _ = opened["from-the-future"]
    assert "from-the-future" in raised.value.detail


def test_every_provider_that_there_is_can_be_named():
    assert set(OpenProviders(Providers())) == set(PROVIDERS)
