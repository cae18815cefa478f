"""The programs of Temporal's server: those on the PATH, or built from its Go modules once and kept."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from infra.local.component import ROOT, StackError

VERSION: Final = "v1.32.1"
SERVER: Final = "temporal-server"
SQL_TOOL: Final = "temporal-sql-tool"
_MODULE: Final = "go.temporal.io/server"
_PACKAGES: Final = {SERVER: "cmd/server", SQL_TOOL: "cmd/tools/sql"}
_KEPT: Final = ROOT / ".tools" / "temporal-server"


def kept(version: str = VERSION) -> Path:
    """Return the folder that a build of this version is kept in."""
    return _KEPT / version


def program(name: str) -> str:
    """Return the path of a program: of our own build, or else on the PATH. Raises `StackError` where there is none."""
    ours = kept() / name
    found = str(ours) if ours.is_file() else shutil.which(name)
    if found is None:
        raise StackError(
            f"{name} is not there. `python -m infra.temporal build` builds Temporal {VERSION} from its Go modules, "
            f"which takes some minutes once; or put {SERVER} and {SQL_TOOL} on the PATH"
        )
    return found


def build(version: str = VERSION, say: Callable[[str], None] = print) -> Path:
    """Build what is not there yet, and return the folder. Raises `StackError` naming what is missing or went wrong."""
    folder = kept(version)
    missing = {name: package for name, package in _PACKAGES.items() if not (folder / name).is_file()}
    if not missing:
        say(f"Temporal {version} is there: {folder}")
        return folder
    go = shutil.which("go")
    if go is None:
        raise StackError(
            "go is not on the PATH: Temporal's server is built from its Go modules, by Go 1.26 or newer. "
            f"Or put {SERVER} and {SQL_TOOL} of a release on the PATH, which need no building"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, package in missing.items():
        say(f"building {name} {version} from its Go modules: minutes the first time, with two cores six …")
        _install(go, f"{_MODULE}/{package}@{version}", folder / name)
    say(f"Temporal {version} is there: {folder}")
    return folder


def _install(go: str, package: str, to: Path) -> None:
    """Build one program beside its place and move it there whole: a build that was ended leaves no half of one."""
    with tempfile.TemporaryDirectory(dir=to.parent, prefix="building-") as made:
        # The last words of the command are all it says that matters: before them it tells what it downloads.
        done = subprocess.run(
            [*_gently(), go, "install", "-trimpath", "-ldflags=-s -w", package],
            cwd=made,
            env={**os.environ, "GOBIN": made, "CGO_ENABLED": "0", "GO111MODULE": "on"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise StackError(f"go install {package} failed:\n{done.stderr.strip()[-2000:]}")
        (built,) = Path(made).iterdir()
        built.replace(to)


def _gently() -> list[str]:
    nice = shutil.which("nice")
    return [] if nice is None else [nice, "-n", "10"]
