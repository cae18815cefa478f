import base64
from pathlib import Path

import pytest

from gateway.domain.secret import Secret
from gateway.settings import (
    CredentialKeys,
    Credentials,
    Encryption,
    Local,
    Nats,
    Postgres,
    Settings,
    Temporal,
)
from infra.local.ports import Ports
from infra.local.stack import Stack, plan, ports_of
from tests.unit.infra.tiny import folder_in

KEY = base64.b64encode(bytes(32)).decode()


def stack(
    tmp_path: Path, settings: Settings | None = None, base: int | None = None, without: tuple[str, ...] = ()
) -> Stack:
    settings = settings or Settings()
    return plan(settings, folder_in(tmp_path), ports_of(settings, base), without)


def names(made: Stack) -> list[str]:
    return [component.name for component in made.components]


def test_by_default_the_stack_has_all_of_its_own(tmp_path: Path):
    made = stack(tmp_path)
    assert names(made) == ["postgres", "temporal", "nats", "model", "migrate", "keys", "api", "worker"]
    assert made.addresses.public() == {
        "rest": "http://127.0.0.1:8080",
        "grpc": "127.0.0.1:50051",
        "temporal": "127.0.0.1:7233",
        "temporal_ui": "http://127.0.0.1:8233",
        "postgres": made.env["GATEWAY__POSTGRES__URL"],
        "nats": "nats://127.0.0.1:4222",
    }


def test_servers_wait_for_nobody_and_the_api_for_what_it_needs(tmp_path: Path):
    after = {component.name: component.after for component in stack(tmp_path).components}
    assert [after[name] for name in ("postgres", "temporal", "nats", "model")] == [()] * 4
    assert set(after["api"]) == set(after["worker"])
    assert set(after["api"]) == {"postgres", "temporal", "namespace", "nats", "migrate"}
    assert "postgres" in after["migrate"]
    assert "migrate" in after["keys"]


def test_what_the_configuration_has_elsewhere_is_not_started(tmp_path: Path):
    settings = Settings(
        postgres=Postgres(url=Secret("postgresql://db.internal/gateway")),
        temporal=Temporal(address="temporal.internal:7233", ui_url="https://temporal.internal"),
        nats=Nats(url="nats://nats.internal:4222"),
        local=Local(model_enabled=False),
    )
    made = stack(tmp_path, settings)
    assert names(made) == ["migrate", "keys", "api", "worker"]
    assert made.env["GATEWAY__POSTGRES__URL"] == "postgresql://db.internal/gateway"
    assert made.env["GATEWAY__TEMPORAL__ADDRESS"] == "temporal.internal:7233"
    assert made.env["GATEWAY__NATS__URL"] == "nats://nats.internal:4222"
    assert made.addresses.temporal_ui == "https://temporal.internal"
    assert "GATEWAY_LOCAL_MODEL_URL" not in made.env


def test_a_base_moves_every_port(tmp_path: Path):
    made = stack(tmp_path, base=21000)
    ports = sorted(port.number for component in made.components for port in component.ports)
    assert ports == list(range(21000, 21008))
    assert made.env["GATEWAY__API__PORT"] == "21000"
    assert made.env["GATEWAY__API__GRPC_PORT"] == "21001"
    assert made.env["GATEWAY__WORKER__METRICS_PORT"] == "21007"
    assert made.env["GATEWAY_LOCAL_MODEL_URL"] == "http://127.0.0.1:21006/v1"


@pytest.mark.parametrize("section", ["TEMPORAL", "CREDENTIALS"])
def test_keys_are_random_and_stay(tmp_path: Path, section: str):
    variable = f"GATEWAY__{section}__ENCRYPTION__KEYS__LOCAL"
    key = stack(tmp_path).env[variable]
    assert len(base64.b64decode(key)) == 32
    assert stack(tmp_path).env[variable] == key
    assert stack(tmp_path / "other").env[variable] != key


def test_a_key_of_the_configuration_is_not_replaced(tmp_path: Path):
    keys = {"mine": Secret(KEY)}
    settings = Settings(
        temporal=Temporal(encryption=Encryption(active="mine", keys=keys)),
        credentials=Credentials(encryption=CredentialKeys(active="mine", keys=keys)),
    )
    assert not [name for name in stack(tmp_path, settings).env if "ENCRYPTION" in name]


def test_a_configuration_that_the_user_chose_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("GATEWAY_CONFIG", raising=False)
    assert stack(tmp_path).env["GATEWAY_CONFIG"] == "config/local.conf"
    monkeypatch.setenv("GATEWAY_CONFIG", "config/production.conf")
    assert stack(tmp_path).env["GATEWAY_CONFIG"] == "config/production.conf"


def test_a_component_can_be_left_out(tmp_path: Path):
    made = stack(tmp_path, without=("model", "keys", "worker"))
    assert names(made) == ["postgres", "temporal", "nats", "migrate", "api"]


def test_ports_are_those_of_the_settings():
    assert ports_of(Settings(), None) == Ports(8080, 50051, 15432, 7233, 8233, 4222, 8081, 9091)


def test_the_environment_can_be_read_by_a_shell(tmp_path: Path):
    made = stack(tmp_path)
    assert "export GATEWAY__API__PORT=8080\n" in made.exports()
    assert "'" in Stack((), made.addresses, {"A": "two words"}).exports()


def test_the_engine_on_postgresql_has_a_database_server_of_its_own_and_a_step_that_makes_our_namespace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("shutil.which", lambda _: "/bin/true")  # the server itself is built by hand, not here
    made = stack(tmp_path, Settings(local=Local(engine="postgres")))
    assert names(made)[:4] == ["postgres", "temporal-postgres", "temporal", "namespace"]
    after = {component.name: component.after for component in made.components}
    assert after["temporal"] == ("temporal-postgres",)
    assert after["namespace"] == ("temporal",)
    assert made.addresses.temporal == "127.0.0.1:7233"
    assert made.addresses.temporal_ui is None
