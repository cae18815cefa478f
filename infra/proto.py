"""Generates `gateway/v1` from `proto/gateway/v1`: `python -m infra.proto`, or `--check` to say what is out of date."""

import argparse
import filecmp
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROTO = ROOT / "proto"
GENERATED = Path("gateway/v1")
_HEADER = '"""Generated from `proto/gateway/v1` by `make proto`; committed, and never edited."""\n'


def main() -> int:
    """Generate, or compare; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m infra.proto", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if something would change")
    check: bool = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        if code := _generate(made):
            return code
        stale = _differences(made / GENERATED, ROOT / GENERATED)
        if check:
            for name in stale:
                print(f"{GENERATED / name} is not what proto/ says: make proto", file=sys.stderr)
            return 1 if stale else 0
        (ROOT / GENERATED).mkdir(exist_ok=True)
        for name in stale:
            _update(made / GENERATED / name, ROOT / GENERATED / name)
        print(f"{len(stale)} files changed in {GENERATED}/")
    return 0


def _generate(into: Path) -> int:
    """Run protoc. The path of a proto equals that of its import, so nothing needs repair afterwards."""
    protos = sorted(str(path.relative_to(PROTO)) for path in (PROTO / GENERATED).glob("*.proto"))
    outs = [f"--{kind}_out={into}" for kind in ("python", "pyi", "grpc_python")]
    argv = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}", f"-I{_googleapis()}", *outs, *protos]
    if code := subprocess.run(argv, cwd=PROTO, check=False).returncode:
        return code
    (into / GENERATED / "__init__.py").write_text(_HEADER)
    return 0


def _googleapis() -> Path:
    """Return where googleapis-common-protos keeps `google/rpc/*.proto`."""
    spec = importlib.util.find_spec("google.rpc")
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (Path(place) / "status.proto").is_file():
            return Path(place).parents[1]
    raise SystemExit("googleapis-common-protos is not installed")


def _differences(made: Path, kept: Path) -> list[str]:
    """Return the names of files that are missing, too many, or different."""
    new = {path.name for path in made.iterdir() if path.is_file()}
    old = {path.name for path in kept.iterdir() if path.is_file()} if kept.is_dir() else set[str]()
    _, differ, unreadable = filecmp.cmpfiles(made, kept, sorted(new & old), shallow=False)
    return sorted({*(new ^ old), *differ, *unreadable})


def _update(made: Path, kept: Path) -> None:
    if made.exists():
        kept.write_bytes(made.read_bytes())
    else:
        kept.unlink()


if __name__ == "__main__":
    raise SystemExit(main())
