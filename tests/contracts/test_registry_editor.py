"""Changes are checked, and in force when they return; credentials stay with their host, and are never said."""

import asyncio
import base64
import logging
from dataclasses import replace

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from gateway import telemetry
from gateway.domain.errors import (
    InvalidRequest,
    ModelExists,
    ModelNotFound,
    StorageUnavailable,
    UpstreamAuth,
    VersionConflict,
)
from gateway.domain.secret import Secret
from gateway.feed import Feed
from gateway.net.guard import Guard
from gateway.providers.catalogue import MANUALS
from gateway.providers.credentials import Credentials
from gateway.registry.checks import Checks
from gateway.registry.editor import Credential, Draft, Editor
from gateway.registry.entries import Entries
from gateway.registry.live import LiveRegistry
from gateway.ring import KeyRing
from tests.builders import a_model

pytestmark = pytest.mark.slow

CANARY = "sk-canary-1f0e9d8c7b6a-wxyz"
URL = "https://127.0.0.1:1/v1"
ELSEWHERE = "https://127.0.0.1:2/v1"


def a_ring(*names):
    names = names or ("2026",)
    keys = {name: Secret(base64.b64encode(name.encode().ljust(32)).decode()) for name in names}
    return KeyRing(names[0], keys)


class Replica:
    """One process's registry over a store."""

    def __init__(self, store, ring=None, *, allow_private=True):
        self.credentials = Credentials(ring=ring)
        checks = Checks(MANUALS, self.credentials.why_not, allow_private=allow_private)
        self.registry = LiveRegistry(store.models, Entries({}, {}), self.prepare, self.credentials)
        self.feed = Feed(store.changes)
        self.feed.follow("registry", self.registry.reload)
        guard = Guard(allow_private=allow_private)
        self.editor = Editor(store.models, checks, self.credentials, guard, self.caught_up)

    async def prepare(self, names):
        """There is nothing to make ready."""

    async def caught_up(self):
        await self.feed.catch_up("registry")

    def secret_of(self, name):
        secret = self.credentials.secret_of(self.registry().models[name])
        return None if secret is None else secret.reveal()


@pytest.fixture
def replica(store):
    return Replica(store, a_ring())


@pytest.fixture
def editor(replica):
    return replica.editor


def remote(**changes):
    return a_model(**{"provider": "compatible", "base_url": URL, **changes})


# ---- what is saved is in force -----------------------------------------------------------------------------------
async def test_a_change_is_in_force_here_when_it_returns(replica, editor):
    kept = await editor.save(remote(), aliases=["x"], actor="ann")
    assert replica.registry().models == {"good": kept.model}
    assert replica.registry().aliases == {"x": ("good",)}
    await editor.arrange("x", [], actor="ann")
    assert replica.registry().aliases == {}
    await editor.delete("good", actor="ann")
    assert replica.registry().models == {}
    with pytest.raises(ModelNotFound):
        await editor.delete("good", actor="ann")


async def test_a_change_that_is_committed_is_made_though_it_cannot_be_read_again(store):
    replica = Replica(store)

    async def away():
        raise StorageUnavailable

    checks = Checks(MANUALS, replica.credentials.why_not)
    editor = Editor(store.models, checks, replica.credentials, Guard(allow_private=True), away)
    kept = await editor.save(remote(), actor="ann")
    assert await store.models.get("good") == kept


async def test_a_version_that_is_expected_is_held_to(editor):
    first = await editor.save(remote(), expected=0, actor="ann")
    with pytest.raises(ModelExists):
        await editor.save(remote(), expected=0, actor="ann")
    second = await editor.save(remote(notes="x"), expected=first.model.version, actor="ann")
    with pytest.raises(VersionConflict) as raised:
        await editor.save(remote(notes="y"), expected=first.model.version, actor="ann")
    assert raised.value.current == second.model.version


async def test_many_who_expect_nothing_all_have_their_way(editor, store):
    await asyncio.gather(*(editor.save(remote(notes=str(n)), actor="ann") for n in range(4)))
    assert (await store.models.get("good")).model.notes in set("0123")


async def test_a_name_that_is_an_alias_is_refused_whatever_is_expected(editor):
    await editor.save(remote(), aliases=["x"], actor="ann")
    with pytest.raises(ModelExists):
        await editor.save(remote(name="x"), actor="ann")


# ---- what is checked ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "param", "said"),
    [
        ({"name": "a b"}, "name", "a name of letters"),
        ({"name": "auto"}, "name", "another name"),
        ({"provider": "opnai"}, "provider", "Did you mean openai?"),
        ({"options": {"flavor": "vllm"}}, "options.flavor", "Did you mean flavour?"),
        ({"options": {"flavour": "lmstudio"}}, "options.flavour", "Did you mean lm-studio?"),
        ({"options": {"dialects": "chat"}}, "options.dialects", "a list such as [chat, responses, messages]"),
        ({"options": {"dialects": ["embedings"]}}, "options.dialects", "Did you mean embeddings?"),
        ({"options": {"api_version": "2024-10-21"}}, "options.api_version", "of flavour azure"),
        ({"base_url": ""}, "base_url", "a plain http or https URL"),
        ({"base_url": "http://169.254.169.254/v1"}, "base_url", "link-local"),
        ({"base_url": "http://metadata.google.internal/v1"}, "base_url", "a metadata service"),
        ({"base_url": "http://2130706433/v1"}, "base_url", "four plain decimal numbers"),
        ({"upstream_model": ""}, "upstream_model", "what the server calls"),
        ({"upstream_model": "a\nb"}, "upstream_model", "what the server calls"),
        ({"tags": {"a,b": "c"}}, "tags.a,b", "a tag such as"),
        ({"tags": {"a": "b|c"}}, "tags.a", "a tag such as"),
        ({"tags": {f"t{n}": "" for n in range(65)}}, "tags", "at most 64"),
        ({"context_window": 0}, "context_window", "above 0"),
        ({"context_window": 2**60}, "context_window", "above 0"),
        ({"quality": float("nan")}, "quality", "from 0 to 1"),
        ({"size": "x" * 40}, "size", "a word"),
        ({"notes": "\0"}, "notes", "text"),
        ({"notes": "x" * 10_001}, "notes", "10000"),
        ({"headers": {"x y": "1"}}, "headers", "names of headers"),
        ({"headers": {"Authorization": CANARY}}, "headers.Authorization", "it belongs into `credential`"),
        ({"headers": {"Transfer-Encoding": "chunked"}}, "headers.Transfer-Encoding", "the connection's own"),
        ({"headers": {"x-a": "b\r\nx-c: d"}}, "headers.x-a", "printable"),
        ({"options": {"a": "x" * 20_000}}, "options", "at most 16384 bytes"),
        ({"options": {"a": float("inf")}}, "options", "plain values"),
        ({"options": {"a": object()}}, "options", "JSON"),
    ],
)
async def test_what_is_wrong_is_refused_by_its_field_with_what_would_be_right(
    editor, store, changes, param, said
):
    with pytest.raises(InvalidRequest) as raised:
        await editor.save(remote(**changes), actor="ann")
    assert raised.value.param == param
    assert said in raised.value.message
    assert CANARY not in raised.value.message
    assert (await store.models.load()).revision == 0


async def test_all_that_is_wrong_is_said_at_once(editor):
    with pytest.raises(InvalidRequest, match=r"`base_url`.*`quality`.*`size`"):
        await editor.save(remote(base_url="x", quality=7.0, size=" "), actor="ann")


@pytest.mark.parametrize("alias", ["a b", "auto", "tags:x", ""])
async def test_an_alias_has_a_name_that_can_be_asked_for(editor, alias):
    await editor.save(remote(), actor="ann")
    for refused in (
        editor.save(remote(), aliases=[alias], actor="ann"),
        editor.arrange(alias, ["good"], actor="ann"),
    ):
        with pytest.raises(InvalidRequest):
            await refused


async def test_private_hosts_are_refused_where_the_settings_do(store):
    editor = Replica(store, allow_private=False).editor
    for url in (URL, "http://localhost:8000/v1"):  # the second only says so when it is looked up
        with pytest.raises(InvalidRequest, match="allow_private_networks") as raised:
            await editor.save(remote(base_url=url), actor="ann")
        assert raised.value.param == "base_url"


async def test_a_host_that_cannot_be_found_yet_may_be_registered(editor):
    await editor.save(remote(base_url="https://not-yet.invalid/v1"), actor="ann")


# ---- credentials -------------------------------------------------------------------------------------------------
async def test_a_secret_is_kept_and_shown_by_its_last_four_characters(replica, editor):
    kept = await editor.save(remote(), credential=Secret(CANARY), actor="ann")
    assert kept.last_four == "wxyz"
    assert kept.model.credential.startswith("stored:")
    assert replica.secret_of("good") == CANARY


async def test_every_replica_can_use_it_and_one_with_another_key_cannot(store, editor):
    await editor.save(remote(), credential=Secret(CANARY), actor="ann")
    other, stranger = Replica(store, a_ring()), Replica(store, a_ring("other"))
    await other.caught_up()
    await stranger.caught_up()
    assert other.secret_of("good") == CANARY
    with pytest.raises(UpstreamAuth):
        stranger.secret_of("good")


async def test_it_stays_through_changes_that_do_not_name_it(replica, editor):
    kept = await editor.save(remote(), credential=Secret(CANARY), actor="ann")
    again = await editor.save(remote(notes="x", base_url=f"{URL}/more"), actor="ann")
    assert again.last_four == "wxyz"
    assert replica.secret_of("good") == CANARY
    # As somebody would do who sends back what was shown.
    await editor.save(remote(), credential=kept.model.credential, actor="ann")
    assert replica.secret_of("good") == CANARY


@pytest.mark.parametrize("credential", [Secret(CANARY), "env:OF_TEST_API_KEY"])
async def test_another_host_asks_for_the_credential_again(replica, editor, monkeypatch, credential):
    monkeypatch.setenv("OF_TEST_API_KEY", CANARY)
    await editor.save(remote(), credential=credential, actor="ann")
    for url in (ELSEWHERE, URL.replace("https", "http"), "https://evil.invalid/v1"):
        with pytest.raises(InvalidRequest, match=r"was given for https://127\.0\.0\.1:1") as raised:
            await editor.save(remote(base_url=url), actor="ann")
        assert raised.value.param == "credential"
    assert replica.secret_of("good") == CANARY
    await editor.save(remote(base_url=ELSEWHERE), credential=credential, actor="ann")
    assert replica.secret_of("good") == CANARY
    await editor.save(remote(base_url=URL), credential=None, actor="ann")
    assert replica.secret_of("good") is None


async def test_a_stored_credential_cannot_be_named_for_another_host_or_model(editor):
    kept = await editor.save(remote(), credential=Secret(CANARY), actor="ann")
    for model in (remote(base_url=ELSEWHERE), remote(name="other")):
        with pytest.raises(InvalidRequest) as raised:
            await editor.save(model, credential=kept.model.credential, actor="ann")
        assert raised.value.param == "credential"


async def test_what_the_model_itself_says_of_its_credential_does_not_matter(replica, editor):
    forged = remote(credential="env:OF_TEST_API_KEY", credential_for="https://evil:443")
    kept = await editor.save(forged, actor="ann")
    assert (kept.model.credential, kept.model.credential_for) == (None, "")
    await editor.save(remote(), credential=Secret(CANARY), actor="ann")
    await editor.save(replace(forged, credential="stored:other"), credential=Credential.KEEP, actor="ann")
    assert replica.secret_of("good") == CANARY


@pytest.mark.parametrize(
    "reference", ["sk-canary", "env:PATH", "env:GATEWAY_POSTGRES_URL", "file:/etc/shadow"]
)
async def test_a_reference_that_is_not_allowed_is_refused(editor, reference):
    with pytest.raises(InvalidRequest, match="env:NAME or file:/path") as raised:
        await editor.save(remote(), credential=reference, actor="ann")
    assert raised.value.param == "credential"
    assert "canary" not in raised.value.message


@pytest.mark.parametrize("secret", ["", "a\nb", "é", "x" * 70_000])
async def test_a_secret_that_no_header_carries_is_refused(editor, secret):
    with pytest.raises(InvalidRequest) as raised:
        await editor.save(remote(), credential=Secret(secret), actor="ann")
    assert raised.value.param == "secret"


async def test_without_a_key_secrets_are_not_taken_and_references_are(store):
    editor = Replica(store).editor
    with pytest.raises(InvalidRequest, match=r"credentials\.encryption"):
        await editor.save(remote(), credential=Secret(CANARY), actor="ann")
    await editor.save(remote(), credential="env:OF_TEST_API_KEY", actor="ann")


async def test_a_new_key_takes_over_what_an_old_one_encrypted(store, editor):
    await editor.save(remote(), credential=Secret(CANARY), actor="ann")
    await Replica(store, a_ring("new", "2026")).caught_up()
    alone = Replica(store, a_ring("new"))
    await alone.caught_up()
    assert alone.secret_of("good") == CANARY


# ---- many at once --------------------------------------------------------------------------------------------------
async def test_many_changes_come_into_force_together(replica, editor):
    await editor.save(remote(name="old"), actor="ann")
    await editor.save(remote(), credential=Secret(CANARY), actor="ann")
    drafts = [Draft(remote(notes="x")), Draft(remote(name="new"), credential=Secret(CANARY), aliases=["y"])]
    await editor.apply(drafts, aliases={"x": ("new", "good")}, delete=["old"], actor="ben")
    registry = replica.registry()
    assert sorted(registry.models) == ["good", "new"]
    assert registry.aliases == {"x": ("new", "good"), "y": ("new",)}
    assert replica.secret_of("good") == replica.secret_of("new") == CANARY


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"drafts": [Draft(remote(name="b", quality=7.0))]}, "b: `quality`"),
        ({"drafts": [Draft(remote(base_url=ELSEWHERE))]}, "good: The credential of this model"),
        ({"aliases": {"auto": ("good",)}}, "another name than"),
        ({"aliases": {"x": ("never-was",)}}, "There is no model `never-was`"),
    ],
)
async def test_if_one_of_many_is_wrong_none_is_made_and_it_is_named(store, editor, changes, said):
    await editor.save(remote(), credential=Secret(CANARY), actor="ann")
    before = await store.models.load()
    drafts = [Draft(remote(name="a")), *changes.get("drafts", [])]
    with pytest.raises(InvalidRequest) as raised:
        await editor.apply(drafts, aliases=changes.get("aliases"), actor="ann")
    assert said in raised.value.message
    assert await store.models.load() == before


async def test_many_at_once_from_several_sides_are_all_made(store, editor):
    sides = [[Draft(remote(name=name, notes=str(side))) for name in ("a", "b")] for side in range(3)]
    await asyncio.gather(*(editor.apply(side, actor="ann") for side in sides))
    inventory = await store.models.load()
    assert len({model.notes for model in inventory.models}) == 1, "each is whole"


# ---- the canary --------------------------------------------------------------------------------------------------
def everything_in(url):
    """Every row of every table, as text; bytes too as they would read."""
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        rows = [
            row
            for (table,) in tables
            for row in connection.execute(SQL("SELECT t::text FROM {} AS t").format(Identifier(table)))
        ]
        sealed = connection.execute("SELECT secret FROM credentials").fetchall()
    return repr(rows) + repr([bytes(each[0]) for each in sealed])


async def test_a_secret_is_found_nowhere_in_clear(store, url, replica, editor, capsys, caplog):
    caplog.set_level(logging.DEBUG)
    telemetry.set_up_logs(telemetry.Telemetry(log_level="debug"))
    said = []
    await editor.save(remote(), credential=Secret(CANARY), actor="ann")
    for refused in (
        editor.save(remote(base_url=ELSEWHERE), actor="ann"),
        editor.save(remote(), credential=Secret(CANARY), expected=1_000_000, actor="ann"),
        editor.save(remote(quality=7.0), credential=Secret(CANARY), actor="ann"),
        editor.save(remote(), credential=CANARY, actor="ann"),
    ):
        with pytest.raises((InvalidRequest, VersionConflict)) as raised:
            await refused
        said += [repr(raised.value), str(raised.value), raised.value.detail, repr(vars(raised.value))]
    assert replica.secret_of("good") == CANARY
    said += [
        repr(await store.models.load()),
        repr(await store.models.get("good")),
        repr((await store.audit.find(limit=100)).rows),
        repr(replica.registry()),
        repr(vars(replica.credentials)),
        "".join(capsys.readouterr()),
        caplog.text,
        everything_in(url) if url else repr(vars(store.models)),
    ]
    inside = CANARY[3:-4]
    assert inside not in "".join(map(str, said))
    assert base64.b64encode(CANARY.encode()).decode()[:16] not in "".join(map(str, said))
    assert CANARY.encode().hex()[:24] not in "".join(map(str, said))
