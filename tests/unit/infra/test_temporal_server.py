import asyncio
import json
import secrets
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
import yaml
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client

from infra.local.component import StackError
from infra.local.temporal import SEARCH_ATTRIBUTES, Temporal
from infra.temporal import build as building
from infra.temporal.dynamic import DYNAMIC, as_yaml
from infra.temporal.namespace import make_namespace
from infra.temporal.schema import MAIN, VISIBILITY
from infra.temporal.server import Database, TemporalServer, kept_ports
from tests.servers import Servers

DATABASE = Database("127.0.0.1", 5432, "temporal", "p:w")


def test_a_server_that_reads_our_dynamic_configuration_gets_every_value_of_it():
    read = yaml.safe_load(as_yaml())
    assert {key: value["value"] for key, (value,) in read.items()} == DYNAMIC


def test_the_development_server_has_the_same_dynamic_configuration():
    argv = Temporal(7233).component().launch.argv
    given = {
        word.split("=", 1)[0]: json.loads(word.split("=", 1)[1])
        for word in argv
        if word.split("=")[0] in DYNAMIC
    }
    assert given == DYNAMIC


def test_the_database_of_a_url_is_a_server_and_a_role():
    assert Database.of("postgresql://temporal:p%3Aw@127.0.0.1:5432/") == DATABASE


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://temporal:secret@db:3306", "expected postgresql://"),
        ("postgresql://db:5432", "expected postgresql://user"),
        ("postgresql://temporal:secret@db/other", "the databases are temporal and temporal_visibility"),
        ("postgresql://temporal:secret@db/?sslmode=require", "TLS"),
    ],
)
def test_another_url_is_refused_without_its_password(url: str, says: str):
    with pytest.raises(StackError, match=says) as refused:
        Database.of(url)
    assert "secret" not in str(refused.value)


def test_ports_stay_the_same_and_fit_into_the_servers_own_table(tmp_path: Path):
    first = kept_ports(tmp_path / "ports.json", ["http", "history"])
    assert kept_ports(tmp_path / "ports.json", ["http", "history"]) == first
    assert len(set(first.values())) == 2
    assert max(first.values()) < 2**15


def test_ports_are_chosen_anew_where_the_file_is_of_another_server(tmp_path: Path):
    (tmp_path / "ports.json").write_text('{"http": 1}')
    assert set(kept_ports(tmp_path / "ports.json", ["http", "history"])) == {"http", "history"}


def test_the_number_of_shards_and_both_databases_stand_in_the_configuration(tmp_path: Path):
    server = TemporalServer(7233, tmp_path, DATABASE, shards=16)
    ports = dict.fromkeys(("http", "history", "matching", "worker"), 1)
    ports |= {f"{name} membership": 2 for name in ("frontend", "history", "matching", "worker")}
    said = server.config(ports, tmp_path / "dynamic.yaml")["persistence"]
    assert said["numHistoryShards"] == 16
    stores = [each["sql"] for each in said["datastores"].values()]
    assert [each["databaseName"] for each in stores] == [MAIN, VISIBILITY]
    assert 4 * sum(each["maxConns"] for each in stores) < 100


def test_without_go_it_says_what_is_missing_and_what_else_would_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(StackError, match=r"go is not on the PATH.*temporal-server and temporal-sql-tool"):
        building.build("v0.0.0", say=lambda _: None)


def test_a_program_that_nobody_built_is_missed_by_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(StackError, match=r"temporal-nothing is not there.*python -m infra.temporal build"):
        building.program("temporal-nothing")


def _built() -> bool:
    try:
        building.program(building.SERVER)
    except StackError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.skipif(not _built(), reason="python -m infra.temporal build has not been run")
def test_a_server_comes_up_on_postgresql_with_our_namespace_and_again_on_the_same_database(servers: Servers):
    role, password = f"temporal_{secrets.token_hex(4)}", secrets.token_hex()
    with psycopg.connect(servers.postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN CREATEDB PASSWORD '{password}'".encode())
    database = Database("127.0.0.1", servers.postgres.port, role, password)
    port = kept_ports(servers.folder / f"{role}.json", ["frontend"])["frontend"]
    server = TemporalServer(port, servers.folder / role, database, shards=1)
    for _ in range(2):
        with closing(Servers()) as running:
            running.start(server.components()[0])
            make_namespace(server.address, "gateway", timedelta(days=1), timedelta(seconds=60))
            assert asyncio.run(_attributes(server.address)) >= set(SEARCH_ATTRIBUTES)


async def _attributes(address: str) -> set[str]:
    client = await Client.connect(address, namespace="gateway")
    assert (await client.count_workflows("Caller = 'nobody'")).count == 0
    asked = ListSearchAttributesRequest(namespace="gateway")
    return set((await client.operator_service.list_search_attributes(asked)).custom_attributes)
