"""One suite for the registry of every store: models, aliases, sealed credentials, the audit, and revisions."""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from gateway.domain.credentials import Sealed
from gateway.domain.errors import InvalidRequest, ModelExists, ModelNotFound, VersionConflict
from gateway.domain.inference import Kind
from gateway.domain.prices import Price, Tier
from gateway.domain.registry import Capability, Model, ModelLimits, ModelState, Timeouts
from gateway.domain.secret import Secret
from gateway.domain.tags import parse_tags
from gateway.settings import Postgres
from gateway.storage.memory import MemoryStore
from gateway.storage.ports import ModelFilter, Save
from gateway.storage.postgres.store import open_store
from tests.builders import a_model

ANN = "ann"


@pytest.fixture
def models(store):
    return store.models


def a_full_model(name="org/model:1", **changes):
    return replace(
        Model(
            name=name,
            provider="compatible",
            base_url="https://host/v1",
            upstream_model="up",
            kind=Kind.EMBEDDING,
            credential="env:HOST_API_KEY",
            credential_for="https://host:443",
            tags={"location": "on-prem", "gpu": ""},
            price=Price(Decimal("0.40"), Decimal("1.6"), Decimal("1E-7"), datetime(2026, 1, 1, tzinfo=UTC)),
            context_window=8192,
            max_output=2048,
            timeouts=Timeouts(timedelta(seconds=1.5), None, timedelta(minutes=2)),
            headers={"x-team": "ž"},
            options={"a": [1, {"b": None}], "c": 0.5},
            capabilities=frozenset({Capability.TOOLS, Capability.VISION}),
            size="small",
            quality=0.75,
            limits=ModelLimits(2, 60, None),
            state=ModelState.DRAINING,
            notes="two\nlines",
        ),
        **changes,
    )


def a_sealed(**changes):
    return replace(Sealed("c1", b"\0\x01sealed", "2026", "wxyz", "https://host:443"), **changes)


async def names(models, expression="", *, limit=100, after=None, **wanted):
    page = await models.find(ModelFilter(parse_tags(expression), **wanted), limit=limit, after=after)
    return [kept.model.name for kept in page.rows]


async def lines(store, **wanted):
    page = await store.audit.find(limit=100, **wanted)
    return [(line.noun, line.name, line.action, line.actor) for line in page.rows]


# ---- models ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("model", [a_model(), a_full_model(), a_full_model(capabilities=frozenset())])
async def test_what_was_saved_is_read_back_whole(models, model):
    kept = await models.save(model, aliases=("b", "a"), actor=ANN)
    assert kept.model == replace(model, version=kept.model.version)
    assert (kept.aliases, kept.changed_by) == (("a", "b"), ANN)
    assert kept.created_at == kept.changed_at
    assert await models.get(model.name) == kept
    assert (await models.find(ModelFilter(), limit=9)).rows == (kept,)
    inventory = await models.load()
    assert inventory.models == (kept.model,)
    assert inventory.aliases == {"a": (model.name,), "b": (model.name,)}
    assert inventory.revision == kept.model.version


async def test_a_store_that_was_never_written_is_empty(models):
    inventory = await models.load()
    assert (inventory.revision, inventory.models, inventory.aliases, inventory.sealed) == (0, (), {}, {})
    assert await models.get("a") is None


async def test_a_version_is_never_used_again(models):
    first = await models.save(a_model(), actor=ANN)
    second = await models.save(a_model(notes="other"), actor=ANN)
    await models.delete("good", actor=ANN)
    third = await models.save(a_model(), actor=ANN)
    assert first.model.version < second.model.version < third.model.version
    assert second.created_at == first.created_at


async def test_what_is_the_same_already_stays_as_it_is(store):
    kept = await store.models.save(a_model(), aliases=["a"], expected=0, actor=ANN)
    assert await store.models.save(a_model(), aliases=["a"], actor="ben") == kept
    assert await store.models.save(a_model(), expected=kept.model.version, actor="ben") == kept
    assert len(await lines(store)) == 1


async def test_a_change_from_an_old_version_is_refused_with_the_current_one(models):
    old = (await models.save(a_model(), actor=ANN)).model.version
    new = (await models.save(a_model(notes="b"), expected=old, actor=ANN)).model.version
    for refused in (
        models.save(a_model(), expected=old, actor=ANN),
        models.delete("good", expected=old, actor=ANN),
    ):
        with pytest.raises(VersionConflict) as raised:
            await refused
        assert raised.value.current == new
    assert (await models.get("good")).model.notes == "b"


async def test_a_change_of_a_model_that_is_gone_is_a_conflict(models):
    with pytest.raises(VersionConflict) as raised:
        await models.save(a_model(), expected=7, actor=ANN)
    assert raised.value.current == 0


async def test_a_model_is_created_once(models):
    tries = [models.save(a_model(notes=str(n)), expected=0, actor=ANN) for n in range(5)]
    told = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(each, ModelExists) for each in told) == 4


async def test_of_changes_at_once_from_the_same_version_one_is_made(models):
    version = (await models.save(a_model(), actor=ANN)).model.version
    tries = [models.save(a_model(notes=str(n)), expected=version, actor=ANN) for n in range(5)]
    told = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(each, VersionConflict) for each in told) == 4


async def test_a_deleted_model_is_gone_with_its_names_and_its_credential(models):
    await models.save(a_model("other"), aliases=["shared"], actor=ANN)
    await models.save(
        a_model(credential="stored:c1"), aliases=["own", "shared"], sealed=a_sealed(), actor=ANN
    )
    await models.delete("good", actor=ANN)
    inventory = await models.load()
    assert [model.name for model in inventory.models] == ["other"]
    assert (inventory.aliases, inventory.sealed) == ({"shared": ("other",)}, {})
    with pytest.raises(ModelNotFound):
        await models.delete("good", actor=ANN)


# ---- lists -------------------------------------------------------------------------------------------------------
async def test_models_are_listed_by_their_names_page_by_page(models):
    for name in ("b", "a", "B", "ä", "a-1"):
        await models.save(a_model(name), actor=ANN)
    first = await models.find(ModelFilter(), limit=2)
    second = await models.find(ModelFilter(), limit=2, after=first.next_after)
    third = await models.find(ModelFilter(), limit=2, after=second.next_after)
    pages = [[kept.model.name for kept in page.rows] for page in (first, second, third)]
    assert pages == [["B", "a"], ["a-1", "b"], ["ä"]]
    assert third.next_after is None
    assert await names(models, after="a-0") == ["a-1", "b", "ä"]


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("", ["cloud", "home", "plain"]),
        ("location=on-prem", ["home"]),
        ("location=on-prem|cloud", ["cloud", "home"]),
        ("location", ["cloud", "home"]),
        ("!location", ["plain"]),
        ("!location=cloud", ["home", "plain"]),
        ("size=small", ["cloud", "home"]),
        ("size=large", []),
        ("location=cloud,size=small|medium,!preview", ["cloud"]),
        ("preview", ["home"]),
    ],
)
async def test_models_are_found_by_their_tags_and_their_size_among_them(models, expression, found):
    await models.save(a_model("home", tags={"location": "on-prem", "preview": ""}, size="small"), actor=ANN)
    # A tag of that name stands above the size.
    await models.save(a_model("cloud", tags={"location": "cloud", "size": "small"}, size="large"), actor=ANN)
    await models.save(a_model("plain"), actor=ANN)
    assert await names(models, expression) == found


async def test_models_are_found_by_kind_and_state(models):
    await models.save(a_model("a", kind=Kind.RERANK), actor=ANN)
    await models.save(a_model("b", state=ModelState.DISABLED), actor=ANN)
    assert await names(models, kind=Kind.RERANK) == ["a"]
    assert await names(models, state=ModelState.DISABLED) == ["b"]
    assert await names(models, kind=Kind.RERANK, state=ModelState.DISABLED) == []


# ---- names -------------------------------------------------------------------------------------------------------
async def test_a_model_joins_the_end_of_an_alias(models):
    for name in ("z", "a", "m"):
        await models.save(a_model(name), aliases=["assistant"], actor=ANN)
    assert (await models.load()).aliases == {"assistant": ("z", "a", "m")}
    await models.save(a_model("a", notes="x"), aliases=["assistant", "other"], actor=ANN)
    await models.save(a_model("z"), aliases=[], actor=ANN)
    assert (await models.load()).aliases == {"assistant": ("a", "m"), "other": ("a",)}


async def test_aliases_that_are_not_said_stay(models):
    await models.save(a_model(), aliases=["a"], actor=ANN)
    kept = await models.save(a_model(notes="x"), actor=ANN)
    assert kept.aliases == ("a",)


async def test_an_alias_is_arranged_and_ends_with_its_last_model(models):
    for name in ("a", "b", "c"):
        await models.save(a_model(name), actor=ANN)
    await models.arrange("x", ["c", "a", "c"], actor=ANN)
    assert (await models.load()).aliases == {"x": ("c", "a")}
    await models.arrange("x", ["a", "b", "c"], actor=ANN)
    assert (await models.load()).aliases == {"x": ("a", "b", "c")}
    await models.arrange("x", [], actor=ANN)
    assert (await models.load()).aliases == {}


async def test_a_model_that_an_alias_gains_or_loses_has_a_new_version(models):
    before = {name: (await models.save(a_model(name), actor=ANN)).model.version for name in ("a", "b")}
    await models.arrange("x", ["a"], actor="ben")
    assert (await models.get("a")).model.version > before["a"]
    assert (await models.get("a")).changed_by == "ben"
    assert (await models.get("b")).model.version == before["b"]


async def test_a_name_is_a_model_or_an_alias_never_both(models):
    await models.save(a_model("a"), aliases=["x"], actor=ANN)
    for refused, param in (
        (models.save(a_model("x"), actor=ANN), "name"),
        (models.save(a_model("b"), aliases=["a"], actor=ANN), "aliases"),
        (models.save(a_model("b"), aliases=["b"], actor=ANN), "aliases"),
        (models.arrange("a", ["a"], actor=ANN), "alias"),
    ):
        with pytest.raises(ModelExists) as raised:
            await refused
        assert raised.value.param == param
    assert await names(models) == ["a"]


async def test_an_alias_stands_for_models_that_there_are(models):
    with pytest.raises(InvalidRequest, match="There is no model `b`") as raised:
        await models.arrange("x", ["b"], actor=ANN)
    assert raised.value.param == "models"


# ---- credentials -------------------------------------------------------------------------------------------------
async def test_a_sealed_credential_is_kept_with_its_model(models):
    kept = await models.save(a_model(credential="stored:c1"), sealed=a_sealed(), actor=ANN)
    assert kept.last_four == "wxyz"
    assert (await models.load()).sealed == {"c1": a_sealed()}
    kept = await models.save(a_model(credential="stored:c1", notes="x"), actor=ANN)
    assert kept.last_four == "wxyz"


async def test_a_new_credential_takes_the_place_of_the_old_one(models):
    await models.save(a_model(credential="stored:c1"), sealed=a_sealed(), actor=ANN)
    kept = await models.save(
        a_model(credential="stored:c2"), sealed=a_sealed(id="c2", last_four=""), actor=ANN
    )
    assert kept.last_four == ""
    assert list((await models.load()).sealed) == ["c2"]


@pytest.mark.parametrize("credential", [None, "env:HOST_API_KEY"])
async def test_a_credential_that_its_model_no_longer_names_is_deleted(models, credential):
    await models.save(a_model(credential="stored:c1"), sealed=a_sealed(), actor=ANN)
    kept = await models.save(a_model(credential=credential), actor=ANN)
    assert kept.last_four is None
    assert (await models.load()).sealed == {}


async def test_a_model_cannot_take_the_credential_of_another(models):
    await models.save(a_model("a", credential="stored:c1"), sealed=a_sealed(), actor=ANN)
    with pytest.raises(InvalidRequest) as raised:
        await models.save(a_model("b", credential="stored:c1"), actor=ANN)
    assert raised.value.param == "credential"
    with pytest.raises(ValueError, match="must name"):
        await models.save(a_model("b"), sealed=a_sealed(id="c2"), actor=ANN)
    assert await names(models) == ["a"]


async def test_a_credential_that_another_key_encrypted_takes_its_own_place_and_is_no_change(store):
    await store.models.save(a_model(credential="stored:c1"), sealed=a_sealed(), actor=ANN)
    before = await store.changes.revisions()
    renewed = a_sealed(secret=b"other", key_id="2027")
    assert await store.models.reseal(renewed)
    assert (await store.models.load()).sealed == {"c1": renewed}
    assert await store.changes.revisions() == before
    assert not await store.models.reseal(a_sealed(id="c2"))
    assert not await store.models.reseal(a_sealed(goes_to="https://evil:443"))
    assert (await store.models.load()).sealed == {"c1": renewed}


# ---- seeds -------------------------------------------------------------------------------------------------------
async def test_of_several_replicas_one_plants_the_seed(store):
    seed = ([a_full_model("a"), a_model("b")], {"x": ("b", "a")})
    told = await asyncio.gather(*(store.models.plant(*seed) for _ in range(4)))
    assert sorted(told) == [False, False, False, True]
    inventory = await store.models.load()
    assert [model.name for model in inventory.models] == ["a", "b"]
    assert inventory.aliases == {"x": ("b", "a")}
    assert sorted(await lines(store)) == [
        ("alias", "x", "create", "seed"),
        ("registry", "a", "create", "seed"),
        ("registry", "b", "create", "seed"),
    ]


async def test_what_was_deleted_is_not_planted_again(models):
    await models.plant([a_model()], {})
    await models.delete("good", actor=ANN)
    assert not await models.plant([a_model()], {})
    assert await names(models) == []


async def test_an_empty_seed_is_planted_too(models):
    assert await models.plant([], {})
    assert not await models.plant([a_model()], {})


# ---- many at once --------------------------------------------------------------------------------------------------
async def test_many_changes_are_one_revision_and_each_has_its_line(store):
    await store.models.save(a_model("old"), aliases=["x", "gone"], actor=ANN)
    before = await store.changes.revisions()
    await store.models.apply(
        [Save(a_model("a")), Save(a_model("b", credential="stored:c1"), aliases=["y"], sealed=a_sealed())],
        aliases={"x": ("b", "a"), "gone": ()},
        delete=("old", "never-was"),
        actor="ben",
    )
    inventory = await store.models.load()
    assert [model.name for model in inventory.models] == ["a", "b"]
    assert inventory.aliases == {"x": ("b", "a"), "y": ("b",)}
    assert list(inventory.sealed) == ["c1"]
    assert inventory.revision == before["registry"] + 1
    assert {model.version for model in inventory.models} == {inventory.revision}
    assert {(noun, name, action) for noun, name, action, actor in await lines(store) if actor == "ben"} == {
        ("alias", "gone", "delete"),
        ("registry", "old", "delete"),
        ("registry", "a", "create"),
        ("registry", "b", "create"),
        ("alias", "x", "create"),
    }


async def test_a_name_may_pass_from_an_alias_to_a_model_and_back(models):
    await models.save(a_model("a"), aliases=["x"], actor=ANN)
    await models.apply([Save(a_model("x"))], aliases={"x": ()}, actor=ANN)
    assert await names(models) == ["a", "x"]
    await models.apply(aliases={"x": ("a",)}, delete=["x"], actor=ANN)
    assert (await models.load()).aliases == {"x": ("a",)}


@pytest.mark.parametrize(
    "wrong",
    [
        {"saves": [Save(a_model("b")), Save(a_model("old"), expected=0)]},
        {"saves": [Save(a_model("b")), Save(a_model("old"), expected=77)]},
        {"saves": [Save(a_model("b"), aliases=["old"])]},
        {"saves": [Save(a_model("b"))], "aliases": {"y": ("never-was",)}},
        {"saves": [Save(a_model("b"))], "aliases": {"x": ("old",)}, "delete": ["old"]},
    ],
)
async def test_if_one_of_many_changes_cannot_be_made_none_is(store, wrong):
    await store.models.save(a_model("old"), aliases=["x"], actor=ANN)
    before = await store.models.load(), await store.changes.revisions(), await lines(store)
    with pytest.raises((ModelExists, VersionConflict, InvalidRequest)):
        await store.models.apply(actor=ANN, **wrong)
    assert (await store.models.load(), await store.changes.revisions(), await lines(store)) == before
    await store.models.save(a_model("b"), actor=ANN)
    assert (await store.models.load()).revision == before[0].revision + 1


async def test_changes_that_change_nothing_are_no_revision(store):
    await store.models.save(a_model("a"), aliases=["x"], actor=ANN)
    before = await store.changes.revisions()
    await store.models.apply([Save(a_model("a"))], aliases={"x": ("a",)}, delete=["b"], actor=ANN)
    assert await store.changes.revisions() == before


# ---- the audit ---------------------------------------------------------------------------------------------------
async def test_every_change_is_audited_with_what_was_and_what_is(store):
    await store.models.save(a_model(credential="stored:c1"), aliases=["x"], sealed=a_sealed(), actor=ANN)
    await store.models.save(a_model(notes="n"), actor="ben")
    await store.models.arrange("x", [], actor=ANN)
    await store.models.delete("good", actor=ANN)
    assert await lines(store) == [
        ("registry", "good", "delete", ANN),
        ("alias", "x", "delete", ANN),
        ("registry", "good", "update", "ben"),
        ("registry", "good", "create", ANN),
    ]
    assert len(await lines(store, noun="registry", name="good")) == 3
    deleted, _, changed, created = (await store.audit.find(limit=9)).rows
    assert created.before is None
    assert (created.after["credential"], created.after["credential_last_four"]) == ("stored:c1", "wxyz")
    assert created.after["aliases"] == ["x"]
    assert (changed.before["notes"], changed.after["notes"]) == ("", "n")
    assert (deleted.before["notes"], deleted.after) == ("n", None)
    assert created.at <= changed.at <= deleted.at


async def test_what_looks_like_a_secret_by_its_name_is_not_in_the_audit(store):
    wrong = {"X-Api-Key": "canary", "Authorization": "canary", "x-team": "search"}
    options = {"deep": [{"client_secret": "canary", "max_tokens": 5}]}
    await store.models.save(a_model(headers=wrong, options=options), actor=ANN)
    (line,) = (await store.audit.find(limit=9)).rows
    assert "canary" not in repr(line)
    assert line.after["headers"]["x-team"] == "search"
    assert line.after["options"]["deep"][0]["max_tokens"] == 5


async def test_a_change_that_is_refused_leaves_no_line_and_no_revision(store):
    await store.models.save(a_model(), actor=ANN)
    before = await store.changes.revisions()
    for refused in (
        store.models.save(a_model(), expected=0, actor=ANN),
        store.models.save(a_model("b"), aliases=["good"], actor=ANN),
        store.models.delete("b", actor=ANN),
        store.models.arrange("x", ["b"], actor=ANN),
    ):
        with pytest.raises((ModelExists, ModelNotFound, InvalidRequest)):
            await refused
    assert await store.changes.revisions() == before
    assert len(await lines(store)) == 1


async def test_the_audit_is_read_page_by_page(store):
    for number in range(5):
        await store.models.save(a_model(notes=str(number)), actor=ANN)
    first = await store.audit.find(limit=2)
    second = await store.audit.find(limit=2, after=first.next_after)
    third = await store.audit.find(limit=2, after=second.next_after)
    assert [line.after["notes"] for page in (first, second, third) for line in page.rows] == list("43210")
    assert third.next_after is None


@pytest.mark.parametrize("after", ["x", "-1", "٣", "9" * 30])
async def test_a_page_of_the_audit_that_is_none_is_refused(store, after):
    with pytest.raises(InvalidRequest) as raised:
        await store.audit.find(limit=1, after=after)
    assert raised.value.param == "after"


# ---- revisions ---------------------------------------------------------------------------------------------------
async def test_each_change_grows_the_revision_and_is_heard_of(store):
    assert await store.changes.revisions() == {}
    async with aclosing(store.changes.listen()) as heard, asyncio.timeout(30):
        assert await anext(heard) == ""
        await store.models.save(a_model(), actor=ANN)
        assert await anext(heard) == "registry"
        first = (await store.changes.revisions())["registry"]
        await store.models.delete("good", actor=ANN)
        assert await anext(heard) == "registry"
    assert (await store.changes.revisions())["registry"] > first


# ---- any model at all --------------------------------------------------------------------------------------------
text = some.text(some.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)
word = some.text("abz09-_./:", min_size=1, max_size=12)
count = some.none() | some.integers(1, 2**40)
span = some.none() | some.timedeltas(timedelta(microseconds=1), timedelta(days=400))
usd = some.decimals(0, 10_000, allow_nan=False, allow_infinity=False)
moment = some.none() | some.datetimes(timezones=some.just(UTC))
plain = some.none() | some.booleans() | some.integers(-(2**53), 2**53) | text | some.floats(-1e9, 1e9)
anything = some.recursive(
    plain, lambda deeper: some.lists(deeper, max_size=3) | some.dictionaries(text, deeper, max_size=3)
)
any_model = some.builds(
    Model,
    name=word,
    provider=word,
    base_url=text,
    upstream_model=text,
    kind=some.sampled_from(Kind),
    credential=some.none() | word.map(lambda name: f"env:{name}"),
    credential_for=text,
    tags=some.dictionaries(text, text, max_size=4),
    price=some.none()
    | some.builds(
        Price,
        usd,
        usd,
        some.none() | usd,
        moment,
        tiers=some.tuples(some.builds(Tier, some.integers(1, 2**40), usd)),
    ),
    context_window=count,
    max_output=count,
    timeouts=some.builds(Timeouts, span, span, span),
    headers=some.dictionaries(text, text, max_size=4),
    options=some.dictionaries(text, anything, max_size=4),
    capabilities=some.none() | some.frozensets(some.sampled_from(Capability)),
    size=some.none() | word,
    quality=some.none() | some.floats(0, 1),
    limits=some.builds(ModelLimits, count, count, count),
    state=some.sampled_from(ModelState),
    notes=text,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(model=any_model)
def test_any_model_that_is_saved_loads_equal(servers, model):
    async def saved_and_loaded():
        for store in (MemoryStore(), await open_store(Postgres(url=Secret(servers.postgres_url)))):
            kept = await store.models.save(model, actor=ANN)
            loaded = {each.name: each for each in (await store.models.load()).models}[model.name]
            assert kept.model == loaded == replace(model, version=loaded.version)
            await store.models.delete(model.name, actor=ANN)
            await store.close()

    asyncio.run(saved_and_loaded())
