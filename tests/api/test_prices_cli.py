"""`python -m api prices`: what models cost, from the command line."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from api.__main__ import app
from gateway.domain.prices import DatedPrice, Price
from gateway.domain.registry import Model
from gateway.domain.secret import Secret
from gateway.ids import new_id
from gateway.settings import Postgres
from gateway.storage.postgres.store import open_store
from tests.builders import a_model

GPT = Model("gpt", "openai", "https://api.openai.com/v1", "gpt-4.1")


@pytest.fixture
def run(database_url, monkeypatch, tmp_path):
    config = tmp_path / "prices.conf"
    config.write_text(f'temporal.encryption.required = false\npostgres.url = "{database_url}"\n')
    monkeypatch.setenv("GATEWAY_CONFIG", str(config))

    def run(*words, code=0):
        result = CliRunner().invoke(app, ["prices", *words])
        assert result.exit_code == code, result.output
        return result

    return run


@pytest.fixture
def kept(database_url):
    """Do something with the store, and return the prices that are there then."""

    def kept(work=None):
        async def ask():
            store = await open_store(Postgres(url=Secret(database_url)))
            try:
                if work is not None:
                    await work(store)
                return await store.prices.load()
            finally:
                await store.close()

        return asyncio.run(ask())

    return kept


@pytest.fixture
def registered(kept):
    async def register(store):
        models = (GPT, a_model("own"), a_model("home", price=None))
        await store.models.plant(models, {})

    kept(register)


@pytest.mark.usefixtures("registered")
def test_each_model_gets_its_price_once(run, kept):
    said = run("seed")
    assert "kept 2 prices; 1 models have none" in said.stderr
    prices = {row.model: row for row in kept()}
    assert prices["gpt"].price == Price(Decimal(2), Decimal(8), Decimal("0.5"))
    assert prices["gpt"].source.endswith("(openai/gpt-4.1)")
    assert prices["own"].price == Price(Decimal("1.00"), Decimal("2.00"))
    assert "home" not in prices
    assert "kept 0 prices; 1 models have none" in run("seed").stderr


@pytest.mark.usefixtures("registered")
def test_a_dry_run_says_the_same_and_keeps_nothing(run, kept):
    said = run("seed", "--dry-run")
    assert "would keep 2 prices" in said.stderr
    [line] = [line for line in said.stdout.splitlines() if "gpt" in line]
    assert "input 2, output 8, cached_input 0.5" in line
    [line] = [line for line in said.stdout.splitlines() if "home" in line]
    assert "unknown" in line
    assert kept() == ()


@pytest.mark.usefixtures("registered")
def test_a_price_that_is_kept_stays_and_its_difference_is_said(run, kept):
    price = Price(Decimal("1.50"), Decimal(8))

    async def say(store):
        await store.prices.add(DatedPrice(new_id(), "gpt", price, "a contract", "ann", datetime.now(UTC)))

    kept(say)
    said = run("seed")
    assert "1 differ from what is published, and stay as they are" in said.stderr
    assert "input 1.50, output 8" in said.stdout
    assert [row.source for row in kept() if row.model == "gpt"] == ["a contract"]


def test_no_database_is_said_in_words(run, monkeypatch, tmp_path):
    config = tmp_path / "away.conf"
    config.write_text(
        'temporal.encryption.required = false\npostgres.url = "postgresql://nobody@127.0.0.1:1/none"\n'
    )
    monkeypatch.setenv("GATEWAY_CONFIG", str(config))
    assert "Traceback" not in run("seed", code=1).stderr
