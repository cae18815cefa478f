"""Bringing the registry to what a file says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from gateway.domain.registry import Model
from gateway.domain.secret import Secret
from gateway.registry.apply import plan_of
from gateway.registry.entries import Entries
from gateway.storage.ports import Inventory
from tests.builders import a_model

A, B, C = a_model("a"), a_model("b"), a_model("c")


def there(*models: Model, **aliases: tuple[str, ...]) -> Inventory:
    return Inventory(1, tuple(replace(model, version=7) for model in models), aliases)


def wanted(*models: Model, **aliases: tuple[str, ...]) -> Entries:
    return Entries({model.name: model for model in models}, aliases)


def names(models: tuple[Model, ...]) -> list[str]:
    return [model.name for model in models]


def test_what_is_as_it_shall_be_stays():
    plan = plan_of(there(A, B, x=("a",)), wanted(A, B, x=("a",)))
    assert plan.empty
    assert (plan.same, plan.diff) == (("a", "b"), "")


def test_what_is_new_and_what_is_other_is_told_apart():
    plan = plan_of(there(A, B), wanted(A, replace(B, notes="other"), C))
    assert (names(plan.create), names(plan.change), plan.same) == (["c"], ["b"], ("a",))
    assert '+    notes = "other" }' in plan.diff
    assert '+  { name = "c"' in plan.diff


@pytest.mark.parametrize(("prune", "gone"), [(False, ()), (True, ("b",))])
def test_what_the_file_does_not_name_goes_only_when_asked(prune: bool, gone: tuple[str, ...]):
    plan = plan_of(there(A, B, x=("b",), y=("a",)), wanted(A, y=("a",)), prune=prune)
    assert plan.delete == gone
    assert plan.aliases == ({"x": ()} if prune else {})
    assert plan.empty is not prune


def test_an_alias_in_another_order_is_another_alias():
    assert plan_of(there(A, B, x=("a", "b")), wanted(A, B, x=("b", "a"))).aliases == {"x": ("b", "a")}


def test_a_credential_that_is_kept_stays_where_the_file_says_none():
    kept = replace(A, credential="stored:1", credential_for="https://host:443")
    assert plan_of(there(kept), wanted(A)).empty
    assert names(plan_of(there(kept), wanted(replace(A, credential="env:A_KEY"))).change) == ["a"]


def test_a_key_that_comes_with_the_file_is_a_change_and_shows_nowhere():
    secrets: Mapping[str, Secret] = {"a": Secret("sk-canary")}
    plan = plan_of(there(A), wanted(A), secrets=secrets)
    assert names(plan.change) == ["a"]
    assert "canary" not in repr(plan) + plan.diff
