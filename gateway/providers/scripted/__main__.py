"""`python -m gateway.providers.scripted --port 9100`: the scripted upstream, until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import msgspec

from gateway.providers.scripted.script import Script
from gateway.providers.scripted.server import serve
from gateway.providers.scripted.upstream import Upstream


async def run(arguments: argparse.Namespace, models: dict[str, Script]) -> None:
    """Serve until told to stop."""
    stopped = asyncio.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(sign, stopped.set)
    server = await serve(Upstream(models, arguments.key), arguments.host, arguments.port, arguments.uds)
    if arguments.uds is None:
        port = server.sockets[0].getsockname()[1]
        print(f"listening on http://{arguments.host}:{port}/v1", flush=True)
    else:
        print(f"listening on unix:{arguments.uds}", flush=True)
    await stopped.wait()
    server.close()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m gateway.providers.scripted", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9100, help="0 takes a free one and prints it")
    parser.add_argument("--uds", help="serve on this unix socket instead")
    parser.add_argument("--key", help="refuse every other credential with 401")
    parser.add_argument(
        "--models", type=Path, help='JSON file {"name": {script}}: models under names of their own'
    )
    arguments = parser.parse_args()
    try:
        models = (
            {}
            if arguments.models is None
            else msgspec.json.decode(arguments.models.read_bytes(), type=dict[str, Script])
        )
    except (OSError, msgspec.DecodeError) as error:
        parser.error(f"--models: {error}")
    if sys.platform == "win32":
        asyncio.run(run(arguments, models))
    else:
        import uvloop  # noqa: PLC0415 - not made for Windows

        uvloop.run(run(arguments, models))


if __name__ == "__main__":
    main()
