"""Temporal's development server from a wheel, with its UI, its data in one SQLite file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.local.component import Component, Launch, Port, free_port, tool
from infra.local.probes import http_get
from infra.temporal.dynamic import DYNAMIC

SEARCH_ATTRIBUTES: Final = ("Caller", "Model", "Status", "Kind")


@dataclass(frozen=True, slots=True)
class Temporal:
    """A Temporal server; without `file` it forgets everything when it stops, without `ui_port` it has no UI."""

    port: int
    file: Path | None = None
    ui_port: int | None = None
    codec_url: str | None = None
    """Where the UI has payloads decoded."""

    @property
    def address(self) -> str:
        """The address of its gRPC service."""
        return f"127.0.0.1:{self.port}"

    def component(self) -> Component:
        """Return the server as a component, ready when the default namespace has our search attributes."""
        http_port = free_port()
        argv = [tool("temporal"), "server", "start-dev", "--ip", "127.0.0.1", "--port", str(self.port)]
        argv += ["--http-port", str(http_port), "--log-level", "warn", "--log-format", "json"]
        ports = [Port(self.port, "local.ports.temporal")]
        if self.file is not None:
            # As it comes every commit waits for the disk: 19–38 workflows a second instead of 103.
            argv += ["--db-filename", str(self.file)]
            argv += ["--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL"]
        if self.ui_port is None:
            argv += ["--headless"]
        else:
            argv += ["--ui-port", str(self.ui_port), "--ui-disable-news-fetch"]
            ports += [Port(self.ui_port, "local.ports.temporal_ui")]
        if self.codec_url is not None:
            argv += ["--ui-codec-endpoint", self.codec_url]
        for key, value in DYNAMIC.items():
            argv += ["--dynamic-config-value", f"{key}={json.dumps(value)}"]
        for name in SEARCH_ATTRIBUTES:
            argv += ["--search-attribute", f"{name}=Keyword"]

        async def prepare() -> None:
            if self.file is not None:
                self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

        async def answers() -> bool:
            status, body = await http_get(http_port, "/api/v1/namespaces/default/search-attributes")
            return status == 200 and set(SEARCH_ATTRIBUTES) <= set(json.loads(body)["customAttributes"])

        return Component(
            name="temporal",
            # Collect garbage less often as long as it stays small: a little less CPU, an upper bound on memory.
            launch=Launch(tuple(argv), {"GOGC": "400", "GOMEMLIMIT": "320MiB"}),
            prepare=prepare,
            ready=answers,
            ports=tuple(ports),
            address=self.address,
        )
