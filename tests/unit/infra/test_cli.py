import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.local.cli import NOT_READY, app
from infra.local.folder import Folder
from infra.local.process import Identity
from tests.unit.infra.tiny import folder_in

run = CliRunner()


def running(folder: Folder, *, ready: bool = True) -> dict[str, Any]:
    """What a supervisor writes; this test plays the supervisor."""
    us = Identity.of(os.getpid())
    assert us is not None
    addresses = {
        "rest": "http://127.0.0.1:21000",
        "grpc": "127.0.0.1:21001",
        "temporal": "127.0.0.1:21003",
        "temporal_ui": None,
        "postgres": "postgresql://127.0.0.1:21002/gateway",
        "nats": "nats://127.0.0.1:21005",
    }
    component = {"name": "api", "state": "ready", "pid": 4711, "log": str(folder.log("api"))}
    state = {
        "supervisor": us.to_json(),
        "addresses": addresses,
        "worker_metrics": None,
        "components": {"api": component},
        "ready": ready,
    }
    folder.write_state(state)
    return state


def test_status_of_a_running_stack(tmp_path: Path):
    folder = folder_in(tmp_path)
    state = running(folder)
    result = run.invoke(app, ["status", "--json", "--data", str(folder.root)])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "ready": True,
        "addresses": state["addresses"],
        "admin_key_file": str(folder.root / "admin.key"),
        "components": [state["components"]["api"]],
    }


def test_status_of_a_stack_that_still_starts(tmp_path: Path):
    folder = folder_in(tmp_path)
    running(folder, ready=False)
    assert run.invoke(app, ["status", "--data", str(folder.root)]).exit_code == NOT_READY == 3


def test_status_of_a_stack_whose_supervisor_was_killed(tmp_path: Path):
    folder = folder_in(tmp_path)
    state = running(folder)
    folder.write_state({**state, "supervisor": {**state["supervisor"], "born": "long ago"}})
    result = run.invoke(app, ["status", "--json", "--data", str(folder.root)])
    said = json.loads(result.stdout)
    assert (result.exit_code, said["ready"]) == (NOT_READY, False)
    assert [(each["state"], each["pid"]) for each in said["components"]] == [("stopped", None)]


def test_status_of_what_never_ran_says_where_it_would_be(tmp_path: Path):
    result = run.invoke(app, ["status", "--json", "--data", str(tmp_path / "new"), "--ports", "21000"])
    said = json.loads(result.stdout)
    assert result.exit_code == NOT_READY
    assert said["addresses"]["rest"] == "http://127.0.0.1:21000"
    assert said["components"] == []
    assert not (tmp_path / "new").exists()


def test_up_of_a_running_stack_says_so_and_is_content(tmp_path: Path):
    folder = folder_in(tmp_path)
    running(folder)
    with folder.hold() or pytest.fail("the folder is free"):
        result = run.invoke(app, ["up", "--data", str(folder.root)])
    assert result.exit_code == 0
    assert "is running already" in result.output
    assert "http://127.0.0.1:21000" in result.output


def test_up_refuses_a_folder_of_others(tmp_path: Path):
    (tmp_path / "photo").touch()
    result = run.invoke(app, ["up", "--data", str(tmp_path)])
    assert result.exit_code == 1
    assert "holds something else" in result.output


def test_reset_refuses_while_the_stack_runs(tmp_path: Path):
    folder = folder_in(tmp_path)
    running(folder)
    result = run.invoke(app, ["reset", "--yes", "--data", str(folder.root)])
    assert result.exit_code == 1
    assert "runs" in result.output
    assert folder.is_ours()


def test_reset_asks_and_deletes(tmp_path: Path):
    folder = folder_in(tmp_path)
    assert run.invoke(app, ["reset", "--data", str(folder.root)], input="n\n").exit_code == 1
    assert folder.is_ours()
    assert run.invoke(app, ["reset", "--data", str(folder.root)], input="y\n").exit_code == 0
    assert not folder.root.exists()
    assert run.invoke(app, ["reset", "--data", str(folder.root)]).exit_code == 0


def test_reset_never_deletes_a_folder_of_others(tmp_path: Path):
    (tmp_path / "photo").touch()
    assert run.invoke(app, ["reset", "--yes", "--data", str(tmp_path)]).exit_code == 1
    assert (tmp_path / "photo").exists()


def test_stop_of_nothing_is_content(tmp_path: Path):
    result = run.invoke(app, ["stop", "--data", str(tmp_path / "new")])
    assert result.exit_code == 0
    assert "Nothing runs" in result.output


def test_logs_shows_the_end_of_a_log(tmp_path: Path):
    folder = folder_in(tmp_path)
    folder.log("api").write_text("one\ntwo\nthree\n")
    assert run.invoke(app, ["logs", "api", "-n", "2", "--data", str(folder.root)]).stdout == "two\nthree\n"


def test_logs_of_an_unknown_component_names_the_known_ones(tmp_path: Path):
    folder = folder_in(tmp_path)
    folder.log("api").write_text("one\n")
    result = run.invoke(app, ["logs", "apo", "--data", str(folder.root)])
    assert result.exit_code == 1
    assert "There is no log of apo" in result.output
    assert "api" in result.output


@pytest.mark.parametrize("command", ["up", "status", "stop", "reset", "logs"])
def test_every_command_takes_data_and_ports(command: str):
    output = run.invoke(app, [command, "--help"], env={"COLUMNS": "120", "NO_COLOR": "1"}).output
    assert "--data" in output
    assert "--ports" in output
