"""The way to the schema and the schema itself agree, with our runner and with dbmate's."""

import asyncio
import re
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from gateway.storage.postgres.migrate import FOLDER, MigrationError, main, migrate, read

SCHEMA = FOLDER.parent / "schema.sql"

# Everything of ours that makes a schema. Monthly partitions depend on the day, and `schema_migrations` on the runner.
CATALOGUE = {
    "relations": """
        SELECT c.relname, c.relkind, c.relpersistence, p.partstrat, pg_get_expr(c.relpartbound, c.oid), parent.relname
          FROM pg_class c
          LEFT JOIN pg_partitioned_table p ON p.partrelid = c.oid
          LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class parent ON parent.oid = i.inhparent
         WHERE c.relnamespace = 'public'::regnamespace""",
    "columns": """
        SELECT c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attstorage,
               a.attcompression, a.attgenerated, pg_get_expr(d.adbin, d.adrelid)
          FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
          LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
         WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
         WHERE connamespace = 'public'::regnamespace""",
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "functions": """
        SELECT proname, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace""",
    "triggers": "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal",
}
DEPENDS = re.compile(r"_\d{4}_\d{2}(_|$)|^schema_migrations")


def catalogue(url):
    with psycopg.connect(url) as connection:
        return {
            what: sorted(
                str(row) for row in connection.execute(query.encode()) if not DEPENDS.search(str(row[0]))
            )
            for what, query in CATALOGUE.items()
        }


def tables(url):
    with psycopg.connect(url) as connection:
        return {
            name
            for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        }


def load_schema(url):
    with psycopg.connect(url) as connection:
        connection.execute(SCHEMA.read_bytes())


@pytest.fixture
def other_database_url(servers):
    with servers.database() as url:
        yield url


@pytest.fixture
def folder(tmp_path):
    """The migrations, to be changed."""
    return Path(shutil.copytree(FOLDER, tmp_path / "migrations"))


async def test_the_migrations_lead_to_the_schema(empty_database_url, other_database_url):
    assert await migrate(empty_database_url) == [step.name for step in read()]
    load_schema(other_database_url)
    assert catalogue(empty_database_url) == catalogue(other_database_url)


async def test_a_second_run_has_nothing_to_do(empty_database_url):
    await migrate(empty_database_url)
    assert await migrate(empty_database_url) == []


async def test_a_fresh_database_has_the_partitions_of_this_month_and_the_next(empty_database_url):
    await migrate(empty_database_url)
    monthly = {name for name in tables(empty_database_url) if re.fullmatch(r"requests_\d{4}_\d{2}", name)}
    assert len(monthly) == 3


async def test_a_dry_run_says_what_it_would_do_and_does_nothing(empty_database_url):
    assert await migrate(empty_database_url, dry_run=True) == [step.name for step in read()]
    assert tables(empty_database_url) == set()


async def test_several_replicas_may_migrate_at_once(empty_database_url):
    applied = await asyncio.gather(*(migrate(empty_database_url) for _ in range(4)))
    assert sorted(name for names in applied for name in names) == [step.name for step in read()]


async def test_a_migration_that_was_changed_after_it_was_applied_is_refused_by_name(
    empty_database_url, folder
):
    await migrate(empty_database_url, folder=folder)
    first = folder / "0001_spine.sql"
    first.write_text(first.read_text("utf-8").replace("fingerprint", "thumbprint"), "utf-8")
    with pytest.raises(MigrationError, match=r"0001_spine\.sql was changed"):
        await migrate(empty_database_url, folder=folder)


async def test_a_step_that_fails_leaves_nothing_of_itself(empty_database_url, folder):
    (folder / "9998_good.sql").write_text(
        "-- migrate:up\nCREATE TABLE good ();\n-- migrate:down\nDROP TABLE good;\n"
    )
    (folder / "9999_bad.sql").write_text(
        "-- migrate:up\nCREATE TABLE half ();\nSELECT 1/0;\n-- migrate:down\n"
    )
    with pytest.raises(psycopg.Error) as raised:
        await migrate(empty_database_url, folder=folder)
    assert raised.value.__notes__ == ["in the migration 9999_bad.sql"]
    assert {"good", "half"} & tables(empty_database_url) == {"good"}
    (folder / "9999_bad.sql").unlink()
    assert await migrate(empty_database_url, folder=folder) == []


async def test_a_newer_database_does_not_stop_an_older_gateway(empty_database_url, folder):
    (folder / "9999_newer.sql").write_text("-- migrate:up\nCREATE TABLE newer ();\n-- migrate:down\n")
    await migrate(empty_database_url, folder=folder)
    assert await migrate(empty_database_url) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("spine.sql", "-- migrate:up\n-- migrate:down\n"),
        ("0002_x.sql", "-- migrate:down\n-- migrate:up\n"),
        ("0002_x.sql", "SELECT 1;\n-- migrate:up\n-- migrate:down\n"),
        ("0002_x.sql", "-- migrate:up\nSELECT 1;\n"),
        ("0001_again.sql", "-- migrate:up\n-- migrate:down\n"),
    ],
)
def test_a_file_that_is_no_migration_is_refused_by_name(folder, name, text):
    (folder / name).write_text(text)
    with pytest.raises(MigrationError, match=r"\.sql"):
        read(folder)


async def test_the_way_back_leaves_nothing(empty_database_url):
    await migrate(empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        for step in reversed(read()):
            connection.execute(step.down.encode())
    assert tables(empty_database_url) == {"schema_migrations"}
    assert catalogue(empty_database_url)["functions"] == []


def dbmate(url, *words):
    program = shutil.which("dbmate") or str(Path(sys.executable).with_name("dbmate"))
    arguments = [
        program,
        "--url",
        f"{url}?sslmode=disable",
        "--migrations-dir",
        str(FOLDER),
        "--no-dump-schema",
        *words,
    ]
    return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout


async def test_dbmate_comes_to_the_same_schema_and_we_go_on_from_there(
    empty_database_url, other_database_url
):
    dbmate(empty_database_url, "up")
    load_schema(other_database_url)
    assert catalogue(empty_database_url) == catalogue(other_database_url)
    assert await migrate(empty_database_url, dry_run=True) == []
    assert await migrate(empty_database_url) == []


async def test_dbmate_goes_on_from_ours(empty_database_url):
    await migrate(empty_database_url)
    assert "Pending: 0" in dbmate(empty_database_url, "status")


def test_the_program_says_what_it_did(empty_database_url, capsys):
    assert main(["--url", empty_database_url, "--dry-run"]) == 0
    assert "would apply 0001_spine.sql" in capsys.readouterr().out
    assert main(["--url", empty_database_url]) == 0
    assert "applied 0001_spine.sql" in capsys.readouterr().out
    assert main(["--url", empty_database_url]) == 0
    assert capsys.readouterr().out == "nothing to apply\n"


def test_the_program_names_the_setting_that_is_missing(capsys, monkeypatch, tmp_path):
    bare = tmp_path / "bare.conf"
    bare.write_text("temporal.encryption.required = false\n")
    monkeypatch.setenv("GATEWAY_CONFIG", str(bare))
    monkeypatch.delenv("GATEWAY_POSTGRES_URL", raising=False)
    assert main([]) == 1
    assert "postgres.url" in capsys.readouterr().err


def test_the_program_says_that_no_database_answers(capsys):
    assert main(["--url", "postgresql://nobody:hush@127.0.0.1:1/none"]) == 1
    said = capsys.readouterr().err
    assert "127.0.0.1" in said
    assert "hush" not in said
    assert "Traceback" not in said
