"""The clients that are not Python's: installed once into `.tools/`, from what is pinned here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import pytest
from anthropic import Anthropic

from infra.local.component import ROOT
from tests.e2e.stack import Stack

GRPCURL = "v1.9.3"
NODE = Path(__file__).parent / "node"
_OLDEST_NODE = 20


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of it takes long."""
    here = __name__.rpartition(".")[0].replace(".", "/")
    for item in items:
        if f"{here}/" in item.path.as_posix():
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(300))


def run(
    argv: Sequence[str], env: Mapping[str, str] | None = None, within: float = 180, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, and return what it said."""
    return subprocess.run(
        list(argv),
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=within,
    )


@pytest.fixture(scope="session")
def node() -> Path:
    """A folder outside git with the Node SDKs as the lock file pins them; programs are to be put there."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed: Node's SDKs cannot be tried")
    told = run(["node", "--version"]).stdout
    version = re.match(r"v(\d+)\.", told)
    if version is None or int(version[1]) < _OLDEST_NODE:
        pytest.skip(f"node is {told.strip()}, and its SDKs want {_OLDEST_NODE} or newer")
    lock = (NODE / "package-lock.json").read_bytes()
    folder = ROOT / ".tools" / f"node-clients-{sha256(lock).hexdigest()[:12]}"
    if not (folder / "node_modules" / "openai").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(NODE / name, folder)
        done = run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], within=240, cwd=folder)
        if done.returncode != 0:
            pytest.skip(f"npm could not install Node's SDKs: {done.stderr[-500:]}")
    return folder


@pytest.fixture(scope="session")
def grpcurl() -> str:
    """The program, built from its Go module."""
    found = shutil.which("grpcurl")
    if found is not None:
        return found
    folder = ROOT / ".tools" / f"grpcurl-{GRPCURL}"
    if not (folder / "grpcurl").is_file():
        go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
        if go is None:
            pytest.skip("grpcurl is not installed, nor go to build it with")
        module = f"github.com/fullstorydev/grpcurl/cmd/grpcurl@{GRPCURL}"
        done = run([go, "install", module], {"GOBIN": str(folder)}, within=280)
        if done.returncode != 0:
            pytest.skip(f"grpcurl could not be built: {done.stderr[-500:]}")
    return str(folder / "grpcurl")


@pytest.fixture(scope="session")
def claude(stack: Stack) -> Anthropic:
    """Anthropic's SDK as it comes: only its address and its key are ours."""
    return Anthropic(base_url=stack.rest, api_key=stack.admin_key)
