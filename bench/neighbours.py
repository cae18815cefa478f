"""Other gateways, installed into folders of their own and started in front of the same upstream."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from bench.options import say
from bench.stack import ROOT, BenchError, Upstream, running
from bench.subjects import MODELS, Site, Subject
from infra.local.ports import Ports

PEERS = ROOT / "bench" / ".peers"
_KEY = "sk-bench"
_READY_WITHIN = 120.0


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another gateway: how it is installed, and how it is started in front of an upstream."""

    name: str
    about: str
    install: Callable[[Path], None]
    version: Callable[[Path], str]
    command: Callable[[Path, Path, Upstream, int], tuple[list[str], dict[str, str]]]
    headers: Callable[[Upstream], dict[str, str]]

    @property
    def folder(self) -> Path:
        """Where it is installed."""
        return PEERS / self.name

    def installed(self) -> str:
        """Install it unless it is there; its version. Raises BenchError with what the installer said."""
        ready = self.folder / ".ready"
        if not ready.exists():
            say(f"installing {self.about} into {self.folder.relative_to(ROOT)} …")
            self.folder.mkdir(parents=True, exist_ok=True)
            self.install(self.folder)
            ready.touch()
        return self.version(self.folder)

    @contextmanager
    def started(self, scratch: Path, served_by: Upstream) -> Generator[Subject]:
        """It runs, and answers as it should. Raises BenchError with its last words if it does not."""
        port, log = Ports.free_base(), scratch / f"{self.name}.log"
        argv, env = self.command(self.folder, scratch, served_by, port)
        with running(argv, log, env=env, folder=scratch) as process:
            headers = self.headers(served_by)
            site = Site({self.name: process.pid})
            subject = Subject(self.name, f"http://127.0.0.1:{port}", _KEY, headers, site=site)
            _wait(subject, process, log)
            yield subject


def _wait(subject: Subject, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _READY_WITHIN
    why = "it said nothing"
    while time.monotonic() < until and process.poll() is None:
        try:
            answer = _ask(subject)
        except (URLError, OSError) as error:
            why = str(error)
            time.sleep(0.3)
            continue
        if b"choices" in answer:
            return
        why = answer[:300].decode("utf-8", "replace")
        break
    raise BenchError(f"{subject.name} does not answer: {why}\n{log.read_text(errors='replace')[-2000:]}")


def _ask(subject: Subject) -> bytes:
    body = json.dumps({"model": "bench", "messages": [{"role": "user", "content": "hello"}]}).encode()
    headers = {"authorization": f"Bearer {_KEY}", "content-type": "application/json", **subject.headers}
    request = Request(f"{subject.url}/v1/chat/completions", body, headers)  # noqa: S310 (our own address)
    with urlopen(request, timeout=30) as answer:  # noqa: S310
        whole: bytes = answer.read()
        return whole


def _run(argv: list[str], folder: Path) -> str:
    try:
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise BenchError(f"{argv[0]}: {error}") from error
    if done.returncode:
        raise BenchError(f"{' '.join(argv[:3])} …:\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


# ---- LiteLLM -----------------------------------------------------------------------------------------------------
def _install_litellm(folder: Path) -> None:
    python = folder / "bin" / "python"
    uv = shutil.which("uv") or str(ROOT / ".tools" / "uv" / "bin" / "uv")
    if Path(uv).exists():
        _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], ROOT)
        install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python)]
    else:
        _run([sys.executable, "-m", "venv", "--clear", str(folder)], ROOT)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*install, "litellm[proxy]"], ROOT)


def _version_of_litellm(folder: Path) -> str:
    code = "import importlib.metadata as m; print(m.version('litellm'))"
    return _run([str(folder / "bin" / "python"), "-c", code], ROOT).strip()


def _litellm(folder: Path, scratch: Path, served_by: Upstream, port: int) -> tuple[list[str], dict[str, str]]:
    """One worker; its production settings and those of its own benchmark; a price for each model, as ours have one."""
    config = {
        "model_list": [
            {
                "model_name": name,
                "litellm_params": {
                    "model": f"openai/{name}",
                    "api_base": f"{served_by.url}/v1",
                    "api_key": "none",
                    "input_cost_per_token": 4e-7,
                    "output_cost_per_token": 1.6e-6,
                },
            }
            for name in MODELS
        ],
        "litellm_settings": {
            "callbacks": [],
            "num_retries": 0,
            "request_timeout": 600,
            "set_verbose": False,
            "json_logs": True,
            "telemetry": False,
        },
        "general_settings": {"master_key": _KEY, "disable_error_logs": True},
    }
    path = scratch / "litellm.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    argv = [str(folder / "bin" / "litellm"), "--config", str(path), "--num_workers", "1"]
    argv += ["--host", "127.0.0.1", "--port", str(port)]
    # The list of prices that it carries, not one from elsewhere: a benchmark asks nobody.
    env = {"LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    return argv, env


# ---- Portkey -----------------------------------------------------------------------------------------------------
def _install_portkey(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise BenchError("npm is not installed")
    # The one of its own lock file: with newer ones a stream ends in "TypeError: immutable" (Portkey-AI/gateway#1389).
    package = {"name": "bench-peer", "private": True, "overrides": {"@hono/node-server": "1.13.5"}}
    (folder / "package.json").write_text(json.dumps(package))
    _run([npm, "install", "--no-audit", "--no-fund", "--omit=dev", "@portkey-ai/gateway"], folder)


def _package(folder: Path) -> Path:
    return folder / "node_modules" / "@portkey-ai" / "gateway"


def _version_of_portkey(folder: Path) -> str:
    described: dict[str, str] = json.loads((_package(folder) / "package.json").read_text())
    return described["version"]


def _portkey(folder: Path, scratch: Path, served_by: Upstream, port: int) -> tuple[list[str], dict[str, str]]:
    """Its Node server as its package starts it, without the console; where to go is told with each request."""
    del scratch, served_by
    start = _package(folder) / "build" / "start-server.js"
    return ["node", str(start), f"--port={port}", "--headless"], {"NODE_ENV": "production"}


def _portkey_headers(served_by: Upstream) -> dict[str, str]:
    return {"x-portkey-provider": "openai", "x-portkey-custom-host": f"{served_by.url}/v1"}


NEIGHBOURS = (
    Neighbour("litellm", "LiteLLM's proxy", _install_litellm, _version_of_litellm, _litellm, lambda _: {}),
    Neighbour(
        "portkey", "Portkey's gateway", _install_portkey, _version_of_portkey, _portkey, _portkey_headers
    ),
)
