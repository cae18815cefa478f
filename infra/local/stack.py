"""Settings and a data folder → the components of a stack and the addresses a person gets."""

import base64
import dataclasses
import os
import secrets
import shlex
from collections.abc import Callable, Collection
from dataclasses import dataclass

from gateway.settings import Settings
from infra.local.component import Component, free_port
from infra.local.folder import Folder
from infra.local.gateway import gateway
from infra.local.model import LocalModel
from infra.local.nats import Nats
from infra.local.ports import Ports
from infra.local.postgres import Postgres
from infra.local.temporal import Temporal
from infra.temporal.server import own_engine

_KEY_ID = "local"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where each part is reached; None for what the stack does not have."""

    rest: str
    grpc: str
    temporal: str
    temporal_ui: str | None
    postgres: str
    nats: str
    worker_metrics: str | None

    def public(self) -> dict[str, str | None]:
        """Return what `status --json` says."""
        said = dataclasses.asdict(self)
        del said["worker_metrics"]
        return said


@dataclass(frozen=True, slots=True)
class Stack:
    """What `up` starts, and what it tells the processes through the environment."""

    components: tuple[Component, ...]
    addresses: Addresses
    env: dict[str, str]

    def exports(self) -> str:
        """Return the environment as a file for a shell, so that commands by hand see the same stack."""
        return "".join(f"export {key}={shlex.quote(value)}\n" for key, value in sorted(self.env.items()))


def ports_of(settings: Settings, base: int | None) -> Ports:
    """Return the configured ports, or a block of eight from `base` on."""
    if base is not None:
        return Ports.from_base(base)
    local = settings.local.ports
    return Ports(
        rest=settings.api.port or free_port(),
        grpc=settings.api.grpc_port or free_port(),
        postgres=local.postgres,
        temporal=local.temporal,
        temporal_ui=local.temporal_ui,
        nats=local.nats,
        model=local.model,
        worker_metrics=settings.worker.metrics_port,
    )


def plan(
    settings: Settings,
    folder: Folder,
    ports: Ports,
    without: Collection[str] = (),
    say: Callable[[str], None] = print,
) -> Stack:
    """Return the stack: of PostgreSQL, Temporal and NATS only those that the configuration does not point elsewhere."""
    host = _reachable(settings.api.host)
    postgres = Postgres(folder.root / "postgres", ports.postgres, folder.secret("postgres.password"), say=say)
    addresses = addresses_of(settings, ports, postgres.url)
    temporal = Temporal(
        ports.temporal,
        file=folder.root / "temporal" / "temporal.db",
        ui_port=ports.temporal_ui,
        codec_url=f"{addresses.rest}/codec",
    )
    nats = Nats(folder.root / "nats", ports.nats)
    model = LocalModel(ports.model)

    servers: list[Component] = []
    if not settings.postgres.url:
        servers.append(postgres.component())
    if not settings.temporal.address:
        if settings.local.engine == "postgres":
            servers += own_engine(ports.temporal, folder)
        else:
            servers.append(temporal.component())
    if not settings.nats.url:
        servers.append(nats.component())
    if settings.local.model_enabled:
        servers.append(model.component())

    env = {
        "GATEWAY_CONFIG": os.environ.get("GATEWAY_CONFIG", "config/local.conf"),
        "GATEWAY__POSTGRES__URL": addresses.postgres,
        "GATEWAY__TEMPORAL__ADDRESS": addresses.temporal,
        "GATEWAY__TEMPORAL__UI_URL": addresses.temporal_ui or "",
        "GATEWAY__NATS__URL": addresses.nats,
        "GATEWAY__API__PORT": str(ports.rest),
        "GATEWAY__API__GRPC_PORT": str(ports.grpc),
        "GATEWAY__WORKER__METRICS_PORT": str(ports.worker_metrics),
        **_encryption(settings, folder),
    }
    if settings.local.model_enabled:
        env["GATEWAY_LOCAL_MODEL_URL"] = model.url
    components = [*servers, *gateway(folder, host, ports, env)]
    return Stack(tuple(each for each in components if each.name not in without), addresses, env)


def addresses_of(settings: Settings, ports: Ports, postgres_url: str = "") -> Addresses:
    """Return where everything is, or will be once it is started; the embedded database's URL holds a secret."""
    host = _reachable(settings.api.host)
    # Temporal's development server brings its UI along; other servers have theirs elsewhere, if at all.
    brought = not settings.temporal.address and settings.local.engine == "development"
    temporal_ui = f"http://127.0.0.1:{ports.temporal_ui}" if brought else settings.temporal.ui_url
    return Addresses(
        rest=f"http://{host}:{ports.rest}",
        grpc=f"{host}:{ports.grpc}",
        temporal=settings.temporal.address or f"127.0.0.1:{ports.temporal}",
        temporal_ui=temporal_ui or None,
        postgres=settings.postgres.url.reveal()
        or postgres_url
        or f"postgresql://127.0.0.1:{ports.postgres}/gateway",
        nats=settings.nats.url or f"nats://127.0.0.1:{ports.nats}",
        worker_metrics=f"http://{host}:{ports.worker_metrics}/metrics" if ports.worker_metrics else None,
    )


def _reachable(host: str) -> str:
    """Return where a server that listens on `host` is reached from this machine."""
    return "127.0.0.1" if host in {"0.0.0.0", "::", ""} else host  # noqa: S104 (compared, not listened on)


def _encryption(settings: Settings, folder: Folder) -> dict[str, str]:
    """Return keys for what workflows and the database keep, made once for this folder, where none are configured."""
    made: dict[str, str] = {}
    for section, ring, file in (
        ("TEMPORAL", settings.temporal.encryption, "payload.key"),
        ("CREDENTIALS", settings.credentials.encryption, "credentials.key"),
    ):
        if not ring.active:
            key = folder.secret(file, make=base64.b64encode(secrets.token_bytes(32)).decode())
            made[f"GATEWAY__{section}__ENCRYPTION__ACTIVE"] = _KEY_ID
            made[f"GATEWAY__{section}__ENCRYPTION__KEYS__{_KEY_ID.upper()}"] = key
    return made
