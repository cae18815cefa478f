"""What it takes to change the registry, put together once for a process."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.net.guard import Guard
from gateway.providers.credentials import Credentials
from gateway.providers.discovery import Discovery
from gateway.registry.checks import Checks
from gateway.registry.editor import Editor
from gateway.registry.live import Offers


@dataclass(frozen=True, slots=True)
class Desk:
    """`checks` say what a model must be like, `guard` which hosts may be called, `discovery` asks servers.

    `operations` are those that can be asked of a model.
    """

    credentials: Credentials
    checks: Checks
    guard: Guard
    editor: Editor
    discovery: Discovery
    operations: Offers
