"""Settings: `config/*.conf` and the environment → one frozen `Settings`; a mistake is refused by name and line.

`problems` says what is wrong · `scan` and `hocon` read files · `values` are the kinds of values ·
`model` has the sections · `sources` and `loading` put them together.
"""

from gateway.settings.hocon import Document, line_of, place_of, read_document, read_hocon, read_text
from gateway.settings.loading import CONFIG, ROOT, load
from gateway.settings.model import (
    Api,
    BreakerSettings,
    Encryption,
    Fallback,
    Health,
    Identity,
    Inference,
    Jobs,
    LimitSettings,
    Local,
    LocalPorts,
    Nats,
    Postgres,
    Providers,
    RegistrySettings,
    RulesSettings,
    Section,
    Settings,
    Storage,
    Telemetry,
    Temporal,
    UsageSettings,
    Worker,
)
from gateway.settings.problems import Place, Problem, SettingsError

__all__ = [
    "CONFIG",
    "ROOT",
    "Api",
    "BreakerSettings",
    "Document",
    "Encryption",
    "Fallback",
    "Health",
    "Identity",
    "Inference",
    "Jobs",
    "LimitSettings",
    "Local",
    "LocalPorts",
    "Nats",
    "Place",
    "Postgres",
    "Problem",
    "Providers",
    "RegistrySettings",
    "RulesSettings",
    "Section",
    "Settings",
    "SettingsError",
    "Storage",
    "Telemetry",
    "Temporal",
    "UsageSettings",
    "Worker",
    "line_of",
    "load",
    "place_of",
    "read_document",
    "read_hocon",
    "read_text",
]
