"""Temporal's server as one process, its two databases on a PostgreSQL server."""

import asyncio
import json
import os
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from infra.local.component import Component, Launch, Port, StackError
from infra.local.folder import Folder
from infra.local.postgres import Postgres
from infra.local.probes import http_ok
from infra.temporal.build import SERVER, program
from infra.temporal.dynamic import as_yaml
from infra.temporal.schema import MAIN, VISIBILITY, bring_up_to_date

SHARDS: Final = 4
_SERVICES: Final = ("frontend", "history", "matching", "worker")
RETENTION: Final = timedelta(days=1)
POSTGRES: Final = "temporal-postgres"


@dataclass(frozen=True, slots=True)
class Database:
    """A PostgreSQL server, and the role that owns Temporal's databases there."""

    host: str
    port: int
    user: str
    password: str

    @classmethod
    def of(cls, url: str) -> "Database":
        """Read `postgresql://user:password@host:port`. Raises `StackError` on anything else."""
        parts = urlsplit(url)
        if parts.scheme not in {"postgresql", "postgres"} or not parts.hostname or not parts.username:
            raise StackError("--postgres: expected postgresql://user:password@host:port, got something else")
        if parts.query or parts.path.strip("/"):
            raise StackError(
                f"--postgres: expected nothing behind host:port, since the databases are {MAIN} and {VISIBILITY}; "
                "a server that is reached by TLS needs a configuration file of its own"
            )
        return cls(parts.hostname, parts.port or 5432, unquote(parts.username), unquote(parts.password or ""))


@dataclass(frozen=True, slots=True)
class TemporalServer:
    """All four services in one process. The number of history shards holds for the life of the database."""

    port: int
    folder: Path
    database: Database
    shards: int = SHARDS
    after: tuple[str, ...] = ()
    namespace: str = "default"
    retention: timedelta = RETENTION

    @property
    def address(self) -> str:
        """The address of its gRPC service."""
        return f"127.0.0.1:{self.port}"

    def components(self) -> list[Component]:
        """Return the server, and the step that makes our namespace in it."""
        inner = self._ports()
        config = self.folder / "server.json"

        async def prepare() -> None:
            await asyncio.to_thread(self._prepare, config, inner)

        server = Component(
            name="temporal",
            launch=Launch(
                (program(SERVER), "--config-file", str(config), "--allow-no-auth", "start"),
                {"GOGC": "400", "GOMEMLIMIT": "512MiB"},
            ),
            prepare=prepare,
            ready=lambda: http_ok(inner["http"], "/api/v1/cluster-info"),
            after=self.after,
            ports=(Port(self.port, "local.ports.temporal"),),
            address=self.address,
        )
        step = Component(
            name="namespace",
            launch=Launch(
                (
                    *(sys.executable, "-m", "infra.temporal", "namespace"),
                    *("--address", self.address, "--name", self.namespace),
                    *("--retention-hours", str(self.retention // timedelta(hours=1))),
                )
            ),
            after=("temporal",),
        )
        return [server, step]

    def config(self, ports: dict[str, int], dynamic: Path) -> dict[str, Any]:
        """Return the server's configuration, of the ports that its services talk to each other by."""
        stores = {
            name: {"sql": self._store(database, most)}
            for name, database, most in (("default", MAIN, 15), ("visibility", VISIBILITY, 5))
        }
        services: dict[str, Any] = {
            name: {
                "rpc": {
                    "grpcPort": self.port if name == "frontend" else ports[name],
                    "membershipPort": ports[f"{name} membership"],
                    "bindOnIP": "127.0.0.1",
                }
            }
            for name in _SERVICES
        }
        services["frontend"]["rpc"]["httpPort"] = ports["http"]
        here = {
            "enabled": True,
            "initialFailoverVersion": 1,
            "rpcName": "frontend",
            "rpcAddress": self.address,
        }
        off = {"state": "disabled"}
        return {
            "log": {"stdout": True, "level": "warn"},
            "persistence": {
                "defaultStore": "default",
                "visibilityStore": "visibility",
                "numHistoryShards": self.shards,
                "datastores": stores,
            },
            "global": {"membership": {"maxJoinDuration": "30s", "broadcastAddress": "127.0.0.1"}},
            "services": services,
            "clusterMetadata": {
                "enableGlobalNamespace": False,
                "failoverVersionIncrement": 10,
                "masterClusterName": "active",
                "currentClusterName": "active",
                "clusterInformation": {"active": here},
            },
            "dcRedirectionPolicy": {"policy": "noop"},
            "archival": {"history": off, "visibility": off},
            "namespaceDefaults": {"archival": {"history": off, "visibility": off}},
            "dynamicConfigClient": {"filepath": str(dynamic), "pollInterval": "10s"},
        }

    def _store(self, database: str, most: int) -> dict[str, Any]:
        # Each of the four services has a pool of its own: four times both stay below PostgreSQL's 100 connections.
        return {
            "pluginName": "postgres12_pgx",
            "databaseName": database,
            "connectAddr": f"{self.database.host}:{self.database.port}",
            "connectProtocol": "tcp",
            "user": self.database.user,
            "password": self.database.password,
            "maxConns": most,
            "maxIdleConns": most,
            "maxConnLifetime": "1h",
        }

    def _prepare(self, config: Path, ports: dict[str, int]) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        dynamic = self.folder / "dynamic.yaml"
        dynamic.write_text(as_yaml())
        config.unlink(missing_ok=True)  # it holds a password: made anew, closed to others from its first byte
        with os.fdopen(os.open(config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(self.config(ports, dynamic), file, indent=2)
        bring_up_to_date(self.database.host, self.database.port, self.database.user, self.database.password)

    def _ports(self) -> dict[str, int]:
        names = ["http", *(name for name in _SERVICES if name != "frontend")]
        names += [f"{name} membership" for name in _SERVICES]
        return kept_ports(self.folder / "ports.json", names)


def own_engine(
    port: int, folder: Folder, shards: int = SHARDS, retention: timedelta = RETENTION
) -> list[Component]:
    """Return the server with a PostgreSQL of its own, all in `folder`."""
    password = folder.secret("temporal-postgres.password")
    postgres_port = kept_ports(folder.root / "temporal" / "postgres.json", ["postgres"])["postgres"]
    postgres = Postgres(folder.root / POSTGRES, postgres_port, password, name=POSTGRES)
    database = Database("127.0.0.1", postgres_port, postgres.user, password)
    server = TemporalServer(
        port, folder.root / "temporal", database, shards, after=(POSTGRES,), retention=retention
    )
    return [postgres.component(), *server.components()]


def kept_ports(path: Path, names: Sequence[str]) -> dict[str, int]:
    """The same free ports at every start, unless others have taken them: members are found again by their address."""
    try:
        known: dict[str, int] = json.loads(path.read_text())
    except (OSError, ValueError):
        known = {}
    if set(known) == set(names) and all(Port(port, "").is_free() for port in known.values()):
        return known
    # Below those that the kernel gives to clients; and Temporal's schema keeps members' ports in 16 bits with a sign.
    free = (port for port in random.sample(range(20_000, 32_000), 2_000) if Port(port, "").is_free())
    ports = dict(zip(names, free, strict=False))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text(json.dumps(ports))
    return ports
