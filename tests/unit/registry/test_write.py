"""The registry as a file: what is written is read back as it was."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from gateway.domain.inference import Kind
from gateway.domain.prices import Price, Tier
from gateway.domain.registry import Capability, Model, ModelLimits, ModelState, Timeouts
from gateway.providers.catalogue import MANUALS
from gateway.registry.checks import Checks
from gateway.registry.entries import Entries, read_entries
from gateway.registry.write import write_registry
from gateway.settings import Place, read_text

CHECKS = Checks(MANUALS, lambda _: None)
BARE = Model(name="m", provider="openai", base_url="https://host/v1", upstream_model="m")
FULL = Model(
    name="org/model:1",
    provider="openai",
    base_url="https://host/v1",
    upstream_model="Qwen/Qwen3-8B",
    kind=Kind.EMBEDDING,
    credential="env:HOST_API_KEY",
    credential_for="https://host:443",
    tags={"location": "on-prem", "gpu": "", "true": "yes"},
    price=Price(
        Decimal("0.40"),
        Decimal("1.6"),
        Decimal("0.1"),
        request_usd=Decimal("0.0000005"),
        tiers=(Tier(128_000, Decimal("0.8")), Tier(200_000, Decimal("1.2"), output_usd=Decimal(2))),
    ),
    context_window=8192,
    max_output=2048,
    timeouts=Timeouts(timedelta(seconds=1.5), None, timedelta(minutes=2)),
    headers={"x-team": "search & find"},
    options={"a": [1, {"b": None}], "c": 0.5, "d e": True},
    capabilities=frozenset({Capability.TOOLS, Capability.VISION}),
    size="small",
    quality=0.75,
    limits=ModelLimits(2, 60, None),
    state=ModelState.DRAINING,
    notes='two\nlines, "quoted" and \\ slashed',
)


def read(text: str) -> Entries:
    document = read_text(text, "export")
    return read_entries(document.tree, CHECKS, lambda _: Place(Path("export")))


@pytest.mark.parametrize("model", [BARE, FULL, replace(FULL, capabilities=frozenset(), price=None)])
def test_a_model_is_read_back_as_it_was(model: Model):
    assert read(write_registry([model], {})).models == {model.name: model}


def test_aliases_keep_their_order():
    models = [replace(BARE, name=name) for name in ("a", "b", "c")]
    aliases = {"assistant": ("c", "a"), "on": ("b",), "with space": ("a",)}
    del aliases["with space"]
    assert read(write_registry(models, aliases)).aliases == aliases


def test_the_flavour_of_a_compatible_server_is_read_back_and_its_address_filled_in():
    options = {"flavour": "groq", "dialects": ["chat", "responses"]}
    model = replace(BARE, provider="compatible", base_url="", options=options)
    assert read(write_registry([model], {})).models["m"] == replace(
        model, base_url="https://api.groq.com/openai/v1"
    )


def test_a_credential_that_is_kept_is_not_written():
    stored = replace(FULL, credential="stored:0198", credential_for="https://host:443")
    text = write_registry([stored], {})
    assert "stored" not in text
    assert read(text).models[FULL.name] == replace(FULL, credential=None, credential_for="")


def test_what_looks_like_a_secret_by_its_name_is_not_written():
    model = replace(
        BARE, headers={"x-auth-token": "canary"}, options={"nested": {"api_key": "canary"}, "n": 1}
    )
    text = write_registry([model], {})
    assert "canary" not in text
    assert read(text).models["m"].options == {"n": 1}


_TEXTS = some.text(some.characters(blacklist_categories=("Cs", "Cc")), max_size=30)


@given(
    notes=some.lists(_TEXTS, max_size=3).map("\n".join),
    options=some.dictionaries(
        some.text("abcdefgh -", min_size=1, max_size=8),
        some.none() | some.booleans() | some.integers(-(2**40), 2**40) | _TEXTS,
        max_size=4,
    ),
    quality=some.none() | some.floats(0, 1).map(lambda value: round(value, 4)),
    seconds=some.none() | some.integers(1, 86_400_000),
)
def test_whatever_a_model_says_is_read_back(
    notes: str, options: dict[str, object], quality: float | None, seconds: int | None
):
    spans = Timeouts(total=None if seconds is None else timedelta(milliseconds=seconds))
    model = replace(BARE, notes=notes, options=options, quality=quality, timeouts=spans)
    found = read(write_registry([model], {})).models["m"]
    assert found == replace(model, notes=notes)


def test_a_date_of_a_price_is_not_needed():
    dated = replace(BARE, price=Price(Decimal(1), Decimal(2), since=datetime(2026, 1, 1, tzinfo=UTC)))
    price = read(write_registry([dated], {})).models["m"].price
    assert price is not None
    assert (price.input_usd, price.since) == (Decimal(1), None)
