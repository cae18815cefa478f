"""`python -m api keys`: keys from the command line, each shown once."""

import asyncio
import re
import stat
from datetime import UTC, datetime
from decimal import Decimal

import psycopg
import pytest
from typer.testing import CliRunner

from api.keys import app
from gateway.domain.identity import ALL_RIGHTS, Budget, CallerKind, Period, Right
from gateway.domain.secret import Secret
from gateway.identity import digest_of
from gateway.settings import Postgres
from gateway.storage.postgres.store import open_store

KEY = re.compile(r"gw_[A-Za-z0-9_-]{43}")


@pytest.fixture
def run(database_url, monkeypatch, tmp_path):
    config = tmp_path / "keys.conf"
    config.write_text(f'temporal.encryption.required = false\npostgres.url = "{database_url}"\n')
    monkeypatch.setenv("GATEWAY_CONFIG", str(config))
    runner = CliRunner()

    def run(*words, code=0):
        result = runner.invoke(app, words)
        assert result.exit_code == code, result.output
        return result

    return run


@pytest.fixture
def holder(database_url):
    async def ask(token):
        store = await open_store(Postgres(url=Secret(database_url)))
        try:
            return await store.keys.caller(digest_of(token) or b"", datetime.now(UTC))
        finally:
            await store.close()

    return lambda token: asyncio.run(ask(token))


@pytest.fixture
def made(run):
    """A key of the agent `search`."""
    return run("create", "--caller", "search", "--model", "assistant", "--note", "nightly")


def id_of(result):
    return re.findall(r"key (\S+) of", result.stderr)[0]


def test_a_new_key_is_all_that_stands_on_the_standard_output(made):
    assert KEY.fullmatch(made.stdout.strip())
    assert made.stdout.strip() not in made.stderr
    assert (
        "agent search; rights: infer; models: assistant; tags: none; budget: none; "
        "subjects: agents.search.>; expires: never" in made.stderr
    )


def test_the_key_opens_what_it_was_made_for(run, holder):
    token = run(
        "create",
        "--caller",
        "ops",
        "--kind",
        "service",
        "--right",
        "infer",
        "--right",
        "jobs.all",
        "--expires",
        "90d",
    ).stdout.strip()
    caller = holder(token)
    assert (caller.name, caller.kind, caller.models) == ("ops", CallerKind.SERVICE, None)
    assert caller.rights == {Right.INFER, Right.JOBS_ALL}


def test_a_caller_may_have_several_keys(run, made):
    other = run("create", "--caller", "search")
    assert other.stdout != made.stdout
    assert "models: assistant" in other.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--right", "jobs.all"), "rights are infer"),
        (("--kind", "person"), "kind is agent"),
        (("--model", "x"), "models are assistant"),
    ],
)
def test_a_key_does_not_change_its_caller(run, made, words, said):
    assert said in run("create", "--caller", "search", *words, code=1).stderr


def test_a_new_caller_may_have_tags_and_a_budget(run, holder):
    made = run("create", "--caller", "ads", "--tag", "team=ads", "--tag", "beta", "--budget", "12.50/day")
    assert "tags: beta,team=ads; budget: 12.50/day" in made.stderr
    caller = holder(made.stdout.strip())
    assert caller.tags == {"team": "ads", "beta": ""}
    assert caller.budget == Budget(Decimal("12.50"), Period.DAY)
    assert "12.50/day" in run("list").stdout
    run("create", "--caller", "ads", "--budget", "12.5/day")
    refused = run("create", "--caller", "ads", "--budget", "13/day", code=1).stderr
    assert "its budget is 12.50/day" in refused
    assert "keys set" in refused


def test_its_tags_and_its_budget_can_be_set_and_taken_away(run, made, holder):
    def caller():
        return holder(made.stdout.strip())

    said = run("set", "search", "--tag", "team=search", "--budget", "250/month").stderr
    assert "caller search; tags: team=search; budget: 250/month" in said
    assert (caller().tags, caller().budget) == ({"team": "search"}, Budget(Decimal(250), Period.MONTH))
    run("set", "search", "--budget", "none")
    assert (caller().tags, caller().budget) == ({"team": "search"}, None)
    run("set", "search", "--tag", "none")
    assert caller().tags == {}
    said = run("set", "search", "--subject", "results.search.>", "--subject", "shared.*.done").stderr
    assert "subjects: results.search.>, shared.*.done" in said
    assert caller().subjects == ("results.search.>", "shared.*.done")
    run("set", "search", "--subject", "none")
    assert caller().subjects == ()
    run("set", "search", "--subject", "a.>.b", code=2)
    assert "no caller nobody" in run("set", "nobody", "--budget", "1/day", code=1).stderr
    run("set", "search", code=2)


def test_a_list_shows_a_key_by_its_last_four_characters(run, made):
    token = made.stdout.strip()
    listed = run("list").stdout
    (line,) = [line for line in listed.splitlines() if id_of(made) in line]
    assert token[-4:] in line
    assert token not in listed
    assert "search" in line
    assert "nightly" in line
    assert "valid" in line


def test_a_revoked_key_opens_nothing(run, made, holder):
    run("revoke", id_of(made))
    assert holder(made.stdout.strip()) is None
    assert "revoked" in run("list").stdout
    assert "no valid key" in run("revoke", id_of(made), code=1).stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--expires", "soon"),
        ("--expires", "0s"),
        ("--right", "everything"),
        ("--kind", "robot"),
        ("--budget", "10"),
        ("--budget", "-1/day"),
        ("--budget", "10/week"),
        ("--tag", "!beta"),
        ("--tag", "a=b|c"),
        ("--tag", "two words=x"),
    ],
)
def test_what_cannot_be_is_refused(run, words):
    run("create", "--caller", "x", *words, code=2)


def test_bootstrap_writes_an_admins_key_for_its_owners_eyes(run, tmp_path, holder):
    file = tmp_path / "deep" / "admin.key"
    result = run("bootstrap", "--file", str(file))
    token = file.read_text().strip()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir()] == ["admin.key"]
    assert not KEY.search(result.output)
    caller = holder(token)
    assert (caller.name, caller.kind, caller.rights, caller.models) == (
        "admin",
        CallerKind.PERSON,
        ALL_RIGHTS,
        None,
    )


def test_bootstrap_leaves_a_valid_key_alone(run, tmp_path):
    file = tmp_path / "admin.key"
    run("bootstrap", "--file", str(file))
    before = file.read_text()
    run("bootstrap", "--file", str(file))
    assert file.read_text() == before


def test_bootstrap_gives_an_older_admin_the_rights_that_came_since(run, tmp_path, holder, database_url):
    file = tmp_path / "admin.key"
    run("bootstrap", "--file", str(file))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE callers SET rights = '{infer,models.read}' WHERE name = 'admin'")
    run("bootstrap", "--file", str(file))
    assert holder(file.read_text().strip()).rights == ALL_RIGHTS


@pytest.mark.parametrize("spoil", ["revoked", "nonsense", "a stranger's", "another caller's"])
def test_bootstrap_replaces_what_is_no_valid_key_of_an_admin(run, made, tmp_path, holder, spoil):
    file = tmp_path / "admin.key"
    run("bootstrap", "--file", str(file))
    first = file.read_text()
    if spoil == "revoked":
        run("revoke", holder(first.strip()).key_id)
    else:
        file.write_text(
            {"nonsense": "x", "a stranger's": "gw_" + "a" * 43, "another caller's": made.stdout}[spoil]
        )
    before = file.read_text()
    run("bootstrap", "--file", str(file))
    assert file.read_text() != before
    assert holder(file.read_text().strip()).name == "admin"


def test_a_database_that_is_away_is_said_in_words(run, monkeypatch):
    monkeypatch.setenv("GATEWAY__POSTGRES__URL", "postgresql://gateway:hush@127.0.0.1:1/none")
    monkeypatch.setenv("GATEWAY__POSTGRES__CONNECT_TIMEOUT", "1s")
    result = run("list", code=1)
    assert "cannot be reached" in result.stderr
    assert "hush" not in result.output
    assert "Traceback" not in result.output
