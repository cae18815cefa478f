import stat
from pathlib import Path

import pytest

from infra.local import folder as module
from infra.local.component import StackError
from infra.local.folder import Folder
from tests.unit.infra.tiny import folder_in


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_folder_and_its_secrets_are_closed_to_others(tmp_path: Path):
    folder = folder_in(tmp_path)
    folder.secret("payload.key")
    assert mode(folder.root) == mode(folder.root / "secrets") == mode(folder.logs) == 0o700
    assert mode(folder.root / "secrets" / "payload.key") == 0o600


def test_a_secret_is_made_once(tmp_path: Path):
    folder = folder_in(tmp_path)
    assert folder.secret("key", make="first") == "first"
    assert folder.secret("key", make="second") == "first"
    assert len(folder.secret("other")) >= 43


def test_a_folder_with_other_things_in_it_is_neither_taken_nor_removed(tmp_path: Path):
    (tmp_path / "photos").mkdir()
    before = mode(tmp_path)
    with pytest.raises(StackError, match="holds something else"):
        Folder(tmp_path).make()
    with pytest.raises(StackError, match="not the data folder of a stack"):
        Folder(tmp_path).remove()
    assert (tmp_path / "photos").exists()
    assert mode(tmp_path) == before


def test_only_one_can_hold_the_folder(tmp_path: Path):
    folder = folder_in(tmp_path)
    held = folder.hold()
    assert held is not None
    assert folder.hold() is None
    held.close()
    assert folder.hold() is not None


def test_logs_of_the_run_before_are_kept_once(tmp_path: Path):
    folder = folder_in(tmp_path)
    for text in ("first", "second"):
        folder.log("api").write_text(text)
        folder.turn_logs()
    assert not folder.log("api").exists()
    assert (folder.logs / "api.log.1").read_text() == "second"


def test_a_log_that_grew_too_large_is_cut_and_its_old_part_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "_LOG_LIMIT", 10)
    folder = folder_in(tmp_path)
    folder.log("api").write_text("x" * 11)
    folder.log("nats").write_text("x" * 10)
    folder.cut_logs()
    assert folder.log("api").read_text() == ""
    assert (folder.logs / "api.log.1").read_text() == "x" * 11
    assert folder.log("nats").read_text() == "x" * 10


def test_last_lines_are_the_last_and_may_be_none(tmp_path: Path):
    folder = folder_in(tmp_path)
    folder.log("api").write_text("\n".join(str(number) for number in range(50_000)))
    assert folder.last_lines("api", 3) == ["49997", "49998", "49999"]
    assert folder.last_lines("nobody") == []


def test_a_state_that_was_never_written_or_is_broken_is_none(tmp_path: Path):
    folder = folder_in(tmp_path)
    assert folder.read_state() is None
    folder.state.write_text("{")
    assert folder.read_state() is None
    folder.write_state({"ready": True})
    assert folder.read_state() == {"ready": True}
