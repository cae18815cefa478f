from pathlib import Path

from infra import proto


def test_what_is_missing_too_much_or_different_is_found(tmp_path: Path):
    made, kept = tmp_path / "made", tmp_path / "kept"
    for folder, files in (
        (made, {"same": "1", "new": "1", "changed": "1"}),
        (kept, {"same": "1", "old": "1", "changed": "2"}),
    ):
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
    assert proto._differences(made, kept) == ["changed", "new", "old"]
    assert proto._differences(made, tmp_path / "nothing") == ["changed", "new", "same"]


def test_the_generated_files_are_up_to_date(tmp_path: Path):
    assert proto._generate(tmp_path) == 0
    assert proto._differences(tmp_path / proto.GENERATED, proto.ROOT / proto.GENERATED) == []
