"""Providers are opened when a model first needs them, and closed together."""

from dataclasses import replace

import pytest

from gateway.domain.errors import UpstreamNotFound
from gateway.domain.inference import Kind
from gateway.domain.operations import Operation
from gateway.providers.catalogue import PROVIDERS, OpenProviders
from gateway.settings import Providers
from tests.builders import a_model


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


async def test_what_can_be_asked_of_a_model_is_of_its_kind_and_known_once_its_provider_is_open(opened):
    model = a_model("m", provider="compatible", base_url="http://host/v1", options={"flavour": "sglang"})
    assert opened.operations(model) is None
    await opened.prepare({"compatible"})
    asked = opened.operations(model)
    assert Operation.CHAT in asked
    assert Operation.EMBEDDINGS not in asked
    vectors = replace(model, kind=Kind.EMBEDDING)
    assert opened.operations(vectors) == {Operation.EMBEDDINGS}
    assert opened.operations(replace(vectors, options={"flavour": "deepseek"})) == frozenset()


def test_every_provider_that_there_is_can_be_named():
    assert set(OpenProviders(Providers())) == set(PROVIDERS)
