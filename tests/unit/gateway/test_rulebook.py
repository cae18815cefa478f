"""Which rules are in force in a process."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.domain.errors import StorageUnavailable
from gateway.rulebook import Rulebook
from gateway.settings import SettingsError
from gateway.storage.memory import MemoryStore
from tests.builders import RuleReader

KEEPS = 'rules = [ { name = "at home", keep { tagged { location = on-prem } } } ]'
DROPS = 'rules = [ { name = "not at home", drop { tagged { location = on-prem } } } ]'


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def a_rulebook(store: MemoryStore, seed: Path | None = None) -> Rulebook:
    return Rulebook(store.rules, RuleReader(), seed)


async def publish(store: MemoryStore, text: str) -> None:
    await store.rules.publish(text, "digest", actor="ann")


async def test_nothing_is_decided_before_the_rules_were_read_once(store: MemoryStore):
    rulebook = a_rulebook(store)
    with pytest.raises(StorageUnavailable) as away:
        rulebook()
    assert away.value.retry_after is not None
    assert rulebook.version == ""


async def test_the_seed_is_the_first_version_of_an_empty_store(store: MemoryStore, tmp_path: Path):
    seed = tmp_path / "rules.conf"
    seed.write_text(KEEPS)
    rulebook = a_rulebook(store, seed)
    await rulebook.reload()
    assert (rulebook.version, [rule.name for rule in rulebook().rules]) == ("1", ["at home"])
    seed.write_text(DROPS)
    await a_rulebook(store, seed).reload()
    current = await store.rules.current()
    assert current is not None
    assert current.text == KEEPS


async def test_without_a_seed_an_empty_store_has_no_rules(store: MemoryStore):
    rulebook = a_rulebook(store)
    await rulebook.reload()
    assert rulebook().rules == ()


async def test_a_newer_version_takes_the_place_of_the_last_one(store: MemoryStore):
    rulebook = a_rulebook(store)
    await publish(store, KEEPS)
    await rulebook.reload()
    before = rulebook()
    await publish(store, DROPS)
    await rulebook.reload()
    assert (before.version, rulebook.version) == ("1", "2")
    assert [rule.name for rule in rulebook().rules] == ["not at home"]


async def test_a_version_that_cannot_be_read_never_replaces_a_good_one(store: MemoryStore):
    rulebook = a_rulebook(store)
    await publish(store, KEEPS)
    await rulebook.reload()
    await publish(store, "rules = [ { name = x, of_tomorrow { a = 1 } } ]")
    with pytest.raises(SettingsError, match="version 2"):
        await rulebook.reload()
    assert [rule.name for rule in rulebook().rules] == ["at home"]
