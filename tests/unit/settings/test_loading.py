"""What files and environment say comes out typed, and each mistake is refused by name and line."""

import base64
import json
import os
import subprocess
import sys
from datetime import timedelta

import pytest
from pydantic import ValidationError

from gateway.settings import CONFIG, ROOT, Api, Settings, load

KEY = base64.b64encode(b"k" * 32).decode()
OTHER_KEY = base64.b64encode(b"o" * 32).decode()


# What comes out


@pytest.mark.parametrize("name", ["local.conf", "test.conf"])
def test_our_own_files_load_without_any_variable(name):
    assert load(CONFIG / name, {}).api.body_limit == 32 * 1024 * 1024


def test_production_starts_with_a_key_and_refuses_without_one(refusal):
    environ = {"GATEWAY_ENCRYPTION_ACTIVE": "new", "GATEWAY_ENCRYPTION_KEYS": f"new:{KEY}, old:{OTHER_KEY}"}
    ring = load(CONFIG / "production.conf", environ).temporal.encryption
    assert ring.active == "new"
    assert {name: key.reveal() for name, key in ring.keys.items()} == {"new": KEY, "old": OTHER_KEY}
    assert "temporal.encryption.active: expected the id of a key" in refusal(CONFIG / "production.conf")


def test_a_file_changes_what_it_includes(write_own):
    settings = load(write_own("api { port = 9000 }\njobs.retention = 2 days\nproviders.trust_env = true"), {})
    assert (settings.api.port, settings.jobs.retention, settings.providers.trust_env) == (
        9000,
        timedelta(2),
        True,
    )
    assert settings.jobs.heartbeat_timeout == timedelta(seconds=3)


def test_a_variable_in_a_file_is_used_when_it_is_set_and_leaves_what_was_there_when_it_is_not(write_own):
    path = write_own("api.port = 1\napi.port = ${?A}\napi.port = ${?B}\napi { grpc_port = ${?A} }\n")
    assert (load(path, {}).api.port, load(path, {}).api.grpc_port) == (1, 0)
    assert load(path, {"A": "2"}).api.port == 2
    assert load(path, {"A": "2", "B": "3"}).api.port == 3


def test_a_variable_keeps_every_character(write_own):
    odd = 'a"b\\c\nd\te${x}#f//g{h}€'
    assert load(write_own("telemetry.service_name = ${NAME}"), {"NAME": odd}).telemetry.service_name == odd


def test_a_value_may_name_another_one(write_own):
    settings = load(
        write_own('telemetry.service_name = "gateway at "${api.host}" on "${?PLACE}'), {"PLACE": "x"}
    )
    assert settings.telemetry.service_name == "gateway at 127.0.0.1 on x"


@pytest.mark.parametrize("name", ["GATEWAY__API__PORT", "gateway__api__port", "Gateway__Api__Port"])
def test_the_environment_has_the_last_word_on_any_key(write_own, name):
    assert load(write_own("api.port = 1"), {name: "2"}).api.port == 2


def test_lists_and_keys_can_be_given_by_the_environment():
    environ = {
        "GATEWAY__API__ALLOWED_HOSTS": "a.example, b.example",
        "GATEWAY__TEMPORAL__ENCRYPTION__ACTIVE": "k1",
        "GATEWAY__TEMPORAL__ENCRYPTION__KEYS__K1": KEY,
    }
    settings = load(CONFIG / "test.conf", environ)
    assert settings.api.allowed_hosts == ("a.example", "b.example")
    assert settings.temporal.encryption.keys["k1"].reveal() == KEY
    as_json = load(CONFIG / "test.conf", {"GATEWAY__API__ALLOWED_HOSTS": '["c"]'})
    assert as_json.api.allowed_hosts == ("c",)


def test_the_file_is_the_named_one_or_the_local_one(write_own):
    assert load(environ={"GATEWAY_CONFIG": str(write_own("api.port = 77"))}).api.port == 77
    assert load(environ={}).telemetry.log_format == "console"


def test_the_default_file_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load(environ={}).registry.seed == ROOT / "config" / "seed" / "models.conf"


def test_the_seed_counts_from_the_file_that_names_it(write_own, tmp_path):
    assert load(write_own(""), {}).registry.seed == CONFIG / "seed" / "models.conf"
    assert load(write_own('registry.seed = "mine.conf"'), {}).registry.seed == tmp_path / "mine.conf"


def test_settings_are_frozen():
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.api.port = 1
    with pytest.raises(ValidationError):
        settings.api = Api()


def test_settings_by_hand_look_neither_at_files_nor_at_the_environment(monkeypatch):
    monkeypatch.setenv("API", '{"port": 1}')
    monkeypatch.setenv("GATEWAY__API__PORT", "1")
    assert Settings() == Settings.model_construct()
    assert Settings(api=Api(port=5)).api.port == 5


# Refusals


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("api { prot = 1 }", "own.conf:2: api.prot: unknown key. Did you mean api.port?"),
        ("regsitry.seed = a", "own.conf:2: regsitry: unknown key. Did you mean registry?"),
        (
            "\n\ntask_timeout = 5s",
            "own.conf:4: task_timeout: unknown key. Did you mean temporal.task_timeout?",
        ),
        ("api.port = 30s", "own.conf:2: api.port: expected a whole number such as 10, got 30s"),
        ("api.port = true", "own.conf:2: api.port: expected a whole number such as 10, got true"),
        ("api.port = 70000", "own.conf:2: api.port: expected at most 65535, got 70000"),
        (
            "api.body_limit = 10m",
            "own.conf:2: api.body_limit: expected a size such as 512B, 128KiB or 32MiB, got 10m",
        ),
        (
            "jobs.deadline = 5 parsecs",
            'own.conf:2: jobs.deadline: expected a duration such as 200ms, 30s, 5m, 1h or 7d, got "5 parsecs"',
        ),
        (
            "jobs.deadline = 30",
            "own.conf:2: jobs.deadline: expected a duration such as 200ms, 30s, 5m, 1h or 7d, got 30",
        ),
        (
            "jobs.deadline = 0s",
            "own.conf:2: jobs.deadline: expected a duration above zero, such as 30s, got 0s",
        ),
        ("jobs.deadline = 25h", "own.conf:2: jobs.deadline: expected at most max_deadline, got 25h"),
        (
            "inference.durability = overlaped",
            (
                'own.conf:2: inference.durability: expected one of "overlapped" or "start-first", got "overlaped". '
                'Did you mean "overlapped"?'
            ),
        ),
        ("api.docs = 1", "own.conf:2: api.docs: expected true or false, got 1"),
        ("api = 5", "own.conf:2: api: expected a section { … }, got 5"),
        ("telemetry.sample_ratio = 1.5", "own.conf:2: telemetry.sample_ratio: expected at most 1, got 1.5"),
        (
            "telemetry.sample_ratio = null",
            "own.conf:2: telemetry.sample_ratio: expected a number such as 0.5, got null",
        ),
        (
            "temporal.jobs_queue = gateway-requests",
            'own.conf:2: temporal.jobs_queue: expected another name than sync_queue, got "gateway-requests"',
        ),
    ],
)
def test_a_wrong_key_or_value_is_refused_with_its_line_and_what_was_expected(write_own, text, said, refusal):
    assert refusal(write_own(text)) == said


def test_a_mistake_in_an_included_file_names_that_file(write, refusal):
    write("\n\napi { port = x }", "inner.conf")
    path = write(f'include "{CONFIG / "test.conf"}"\ninclude "inner.conf"\n')
    assert refusal(path) == 'inner.conf:3: api.port: expected a whole number such as 10, got "x"'


def test_all_mistakes_are_named_at_once(write_own, refusal):
    said = refusal(write_own("api.port = x\njobs.atempts = 1\n"), {"GATEWAY__NATS__URI": "x"})
    assert len(said.splitlines()) == 3


def test_a_wrong_variable_is_named(write_own, refusal):
    said = refusal(write_own("api.port = ${?OWN_PORT}"), {"OWN_PORT": "x"})
    assert (
        said
        == 'own.conf:2: api.port: expected a whole number such as 10, got "x" (from the variable OWN_PORT)'
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("GATEWAY__API__PROT", "names no known key. Did you mean GATEWAY__API__PORT?"),
        ("gateway__api__prot", "names no known key. Did you mean GATEWAY__API__PORT?"),
        ("GATEWAY__API", "expected one of its keys, such as GATEWAY__API__HOST, got the section"),
        ("GATEWAY__API__PORT", 'api.port: expected a whole number such as 10, got "x"'),
    ],
)
def test_a_variable_that_names_no_key_is_refused(name, said, refusal):
    assert refusal(CONFIG / "test.conf", {name: "x"}) == f"environment variable {name}: {said}"


def test_other_variables_are_left_alone():
    assert load(CONFIG / "test.conf", {"GATEWAY_ANYTHING": "x", "PATH": "x"}).api.port == 0


def test_the_active_key_must_be_on_the_ring(write_own, refusal):
    said = refusal(write_own(f'temporal.encryption {{ active = k2, keys {{ k1 = "{KEY}" }} }}'))
    assert said == (
        'own.conf:2: temporal.encryption.active: expected the id of one of temporal.encryption.keys (k1), got "k2"'
    )


@pytest.mark.parametrize(
    "text",
    [
        "postgres.url = { a = sesame }",
        'postgres.ulr = "sesame"',
        "temporal.api_key = [sesame]",
        'temporal.encryption { active = k, keys { k = "sesame" } }',
        'temporal.encryption { active = k, keys = "k:sesame" }',
        'api.port = "http://user:sesame@host"',
        "postgres.url = sesame@host",
        'postgres.url = "sesame',
        "postgres.url = sesame { a = 1 }",
        "postgres.url = sesame = sesame",
        "postgres { url = sesame, url { a = [sesame] }, pool_min = ${api.prt} }",
    ],
)
def test_no_refusal_shows_a_secret(write_own, text, refusal):
    assert "sesame" not in refusal(write_own(text))


# The program


def run(*arguments, **environ):
    return subprocess.run(
        [sys.executable, "-m", "gateway.settings", *map(str, arguments)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_check_says_ok_or_what_is_wrong(write_own):
    assert (run("check", CONFIG / "test.conf").returncode, run("check", CONFIG / "test.conf").stdout) == (
        0,
        "ok\n",
    )
    wrong = run("check", write_own("api.prot = 1"))
    assert wrong.returncode == 1
    assert wrong.stdout == ""
    assert wrong.stderr.endswith("own.conf:2: api.prot: unknown key. Did you mean api.port?\n")


def test_show_prints_what_can_be_read_back_without_secrets():
    shown = run(
        "show",
        CONFIG / "test.conf",
        GATEWAY__POSTGRES__URL="postgresql://u:sesame@h/db",
        GATEWAY__NATS__URL="nats://u:sesame@h",
        GATEWAY__TEMPORAL__API_KEY="sesame",
        GATEWAY__TEMPORAL__ENCRYPTION__KEYS=f"k:{KEY}",
        GATEWAY__TEMPORAL__ENCRYPTION__ACTIVE="k",
    )
    assert shown.returncode == 0, shown.stderr
    assert "sesame" not in shown.stdout
    assert KEY not in shown.stdout
    values = json.loads(shown.stdout)
    assert values["postgres"]["url"] == "postgresql://u:****@h/db"
    assert values["temporal"]["encryption"]["keys"] == {"k": "****"}
    del values["temporal"]["encryption"]
    assert Settings.model_validate(values).jobs == load(CONFIG / "test.conf", {}).jobs
