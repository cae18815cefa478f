"""What is measured, started for it: the scripted upstream, and a gateway stack of its own on free ports."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bench.backlog import Backlog
from bench.subjects import MODELS, Site
from infra.local.ports import Ports

ROOT = Path(__file__).resolve().parents[1]


class BenchError(Exception):
    """A measurement cannot be made; the message says why."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """The scripted upstream: its address, and its process."""

    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway stack of ours."""

    url: str
    key: str
    site: Site
    logs: Path
    postgres: str


@contextmanager
def scratch(*, keep: bool = False) -> Generator[Path]:
    """A folder that is gone afterwards, unless it is to be kept."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-bench-"))
    try:
        yield folder
    finally:
        if keep:
            print(f"Kept: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def upstream(folder: Path) -> Generator[Upstream]:
    """The scripted upstream on a free port."""
    scripts = folder / "scripts.json"
    scripts.write_text(json.dumps(MODELS))
    argv = [sys.executable, "-m", "gateway.providers.scripted", "--port", "0", "--models", str(scripts)]
    with running(argv, folder / "upstream.log", output=subprocess.PIPE) as process:
        line = process.stdout.readline().decode() if process.stdout is not None else ""
        if "http://" not in line:
            raise BenchError(
                f"the scripted upstream did not start:\n{(folder / 'upstream.log').read_text()[-2000:]}"
            )
        yield Upstream(line.split()[-1].strip().removesuffix("/v1"), process.pid)


@contextmanager
def running(
    argv: list[str],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    output: int | None = None,
    folder: Path = ROOT,
) -> Generator[subprocess.Popen[bytes]]:
    """A process of ours, ended with the block; what it says goes to `log`, or to a pipe if `output` is PIPE."""
    said: IO[bytes]
    with log.open("ab") as said:
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=said if output is None else output,
            stderr=said,
            # Ctrl-C is for the load program, which then ends what it started in its own order.
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def gateway(folder: Path, served_by: Upstream, *, engine: str | None = "development") -> Generator[Gateway]:
    """A stack whose models are the upstream's, on that engine (`local.engine`); with None nothing is durable."""
    folder.mkdir(parents=True, exist_ok=True)
    seed = folder / "models.conf"
    seed.write_text(_seed(served_by.url))
    data = folder / "data"
    env = {
        "GATEWAY__LOCAL__MODEL_ENABLED": "false",
        "GATEWAY__REGISTRY__SEED": str(seed),
        "GATEWAY__TELEMETRY__LOG_FORMAT": "json",
        "GATEWAY__TELEMETRY__LOG_LEVEL": "warning",
        "GATEWAY__INFERENCE__LOG_CONTENT": "true",
    }
    up = ["up", "--detach", "--ports", str(Ports.free_base())]
    if engine is not None:
        env["GATEWAY__LOCAL__ENGINE"] = engine
    else:
        up += ["--without", "temporal", "--without", "worker"]
    try:
        started = _infra(data, *up, env=env)
        if started.returncode:
            raise BenchError(f"the stack did not start:\n{(started.stdout + started.stderr)[-4000:]}")
        state = json.loads(_infra(data, "status", "--json", env=env).stdout)
        addresses: dict[str, str] = state["addresses"]
        host, _, port = addresses["rest"].removeprefix("http://").partition(":")
        backlog = Backlog(host, int(port), addresses["postgres"], engine and addresses["temporal"])
        pids = {each["name"]: each["pid"] for each in state["components"] if each["pid"]}
        order = ("api", "worker", "temporal", "temporal-postgres", "postgres", "nats")
        yield Gateway(
            addresses["rest"],
            Path(state["admin_key_file"]).read_text().strip(),
            Site({name: pids[name] for name in order if name in pids}, backlog),
            data / "logs",
            addresses["postgres"],
        )
    finally:
        _infra(data, "stop", env=env)


def _infra(data: Path, command: str, *more: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "infra.local", command, "--data", str(data), *more]
    return subprocess.run(
        argv, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )


def _seed(upstream_url: str) -> str:
    """The models as the gateway's seed file has them, each with a price, so that costs are computed as in real life."""
    entry = (
        '  {{ name = "{name}", provider = "compatible", base_url = "{url}/v1", upstream_model = "{name}", kind = chat\n'
        '    price {{ input_usd_per_mtok = "0.40", output_usd_per_mtok = "1.60" }} }}\n'
    )
    models = "".join(entry.format(name=name, url=upstream_url) for name in MODELS)
    return f"models = [\n{models}]\naliases {{}}\n"
