from pathlib import Path

import httpx2 as httpx
import nats
import psycopg
import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client

from infra.local.account import server_account
from infra.local.postgres import Postgres
from infra.local.temporal import SEARCH_ATTRIBUTES
from tests.servers import Servers
from tests.unit.infra.tiny import tiny


def test_a_migrated_database_is_there_for_all(postgres_url: str):
    with psycopg.connect(postgres_url) as connection:
        row = connection.execute("SELECT count(*) FROM schema_migrations").fetchone()
    assert row is not None
    assert row[0] > 0


def test_a_database_of_ones_own_is_another_one(postgres_url: str, database_url: str, empty_database_url: str):
    assert len({postgres_url, database_url, empty_database_url}) == 3
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT version FROM schema_migrations")
    with psycopg.connect(empty_database_url) as connection, pytest.raises(psycopg.errors.UndefinedTable):
        connection.execute("SELECT version FROM schema_migrations")


def test_a_database_of_ones_own_is_gone_afterwards_though_connected(servers: Servers):
    with servers.database() as url:
        left_open = psycopg.connect(url)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)
    left_open.close()


def test_the_database_refuses_who_has_no_password(servers: Servers):
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(servers.postgres.url.replace(servers.postgres.password, "wrong"))


async def test_temporal_has_our_search_attributes(temporal_address: str):
    client = await Client.connect(temporal_address)
    request = ListSearchAttributesRequest(namespace="default")
    known = (await client.operator_service.list_search_attributes(request)).custom_attributes
    keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    assert {name: known[name] for name in SEARCH_ATTRIBUTES} == dict.fromkeys(SEARCH_ATTRIBUTES, keyword)


async def test_nats_has_jetstream(nats_url: str):
    client = await nats.connect(nats_url)
    assert (await client.jetstream().account_info()).streams >= 0  # what other tests keep there is theirs
    await client.close()


async def test_the_local_model_answers(local_model_url: str):
    async with httpx.AsyncClient(timeout=60) as client:
        body = {
            "model": "smollm2-135m-instruct",
            "max_tokens": 8,
            "messages": [{"role": "user", "content": "Hi"}],
        }
        answer = await client.post(f"{local_model_url}/chat/completions", json=body)
    assert answer.json()["model"] == "smollm2-135m-instruct"
    assert answer.json()["choices"][0]["message"]["content"]


async def test_the_scripted_upstream_answers(scripted_upstream: str):
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{scripted_upstream}/models")).status_code == 200


def test_a_server_that_dies_at_once_is_told_with_its_words(servers: Servers):
    async def never() -> bool:
        return False

    with pytest.raises(RuntimeError, match=r"broken exited with 1:\nno port\n"):
        servers.start(tiny("broken", "print('no port'); raise SystemExit(1)", ready=never))


def test_the_lock_of_a_killed_server_is_dropped_though_its_number_lives_on(tmp_path: Path, servers: Servers):
    folder = servers.folder / "killed"
    folder.mkdir()
    server = Postgres(folder, 1, "secret")
    lock = folder / "postmaster.pid"
    lock.write_text(f"1\n{folder}\n")
    server._drop_stale_lock()
    assert not lock.exists()


@pytest.mark.skipif(server_account() is None, reason="only root must give PostgreSQL another user")
def test_postgres_does_not_run_as_root(servers: Servers):
    account = server_account()
    assert account is not None
    assert (servers.postgres.folder / "PG_VERSION").stat().st_uid == account.uid
