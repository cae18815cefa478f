"""Which addresses are called: looked up once, checked, and called as they were checked.

A name that is checked and then looked up again may lead elsewhere the second time (DNS rebinding): connections are made
to the very addresses that were checked, while TLS and the Host header keep the name.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from gateway.domain.addresses import SETTING, Address, why_not
from gateway.domain.errors import UpstreamForbidden

Found = tuple[
    socket.AddressFamily,
    socket.SocketKind,
    int,
    str,
    tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes],
]
"""An address as `getaddrinfo` gives it."""
LookUp = Callable[[str, int], Awaitable[Sequence[Found]]]
"""Gives the addresses of a host and a port. Raises OSError if there are none."""
_KEPT: Final = 5.0  # seconds: pools connect anew in bursts, and a change of DNS is to be seen soon
_MOST: Final = 1024
_PATIENCE: Final = 2.0
_SILENT: Final = 30.0


async def by_the_system(host: str, port: int) -> Sequence[Found]:
    """The addresses that the system knows; it is asked in a thread."""
    return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)


class Guard:
    """Looks hosts up and lets through what may be called."""

    def __init__(
        self, *, allow_private: bool, look_up: LookUp = by_the_system, setting: str = SETTING
    ) -> None:
        """`allow_private`: whether what is called may be on private networks and on this machine, as `setting` says."""
        self._allow_private = allow_private
        self._setting = setting
        self._ask = look_up
        self._known: dict[tuple[str, int], tuple[float, Sequence[Found]]] = {}
        self._silent: dict[str, float] = {}
        self._asking: dict[tuple[str, int], asyncio.Task[Sequence[Found]]] = {}

    async def look_up(self, host: str, port: int) -> Sequence[Found]:
        """The addresses of a host that may be called, in the order to try them.

        Raises UpstreamForbidden if there are addresses and none may be called, OSError if there are none. What was
        found is good for some seconds, and many who ask at once ask once.
        """
        key = host, port
        kept = self._known.get(key)
        if kept is not None and kept[0] > asyncio.get_running_loop().time():
            return kept[1]
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.create_task(self._find(host, port), name=f"look up {host}")
            asking.add_done_callback(_heard)
        return await asyncio.shield(asking)

    def check_name(self, host: str) -> None:
        """Raises UpstreamForbidden for a host whose name, or address in numbers, already says that it is not called."""
        why = why_not(host, allow_private=self._allow_private, setting=self._setting)
        if why is not None:
            raise UpstreamForbidden(detail=f"{host} is {why}")

    async def why_not(self, address: Address) -> str | None:
        """Why nothing at an address would be called, as far as it can be told now; None for what would be.

        A host that cannot be found may come to be: it is checked again whenever it is called.
        """
        loop = asyncio.get_running_loop()
        if self._silent.get(address.host, 0.0) > loop.time():
            return None
        try:
            async with asyncio.timeout(_PATIENCE):
                await self.look_up(address.host, address.port)
        except UpstreamForbidden as error:
            return error.detail
        except OSError:  # a TimeoutError is one
            if len(self._silent) >= _MOST:
                self._silent.clear()
            # Many models at one host that nobody knows are asked for once, and not each for the whole patience.
            self._silent[address.host] = loop.time() + _SILENT
        return None

    async def _find(self, host: str, port: int) -> Sequence[Found]:
        try:
            self.check_name(host)
            allowed = self._checked(host, await self._ask(host, port))
        finally:
            del self._asking[host, port]
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[host, port] = asyncio.get_running_loop().time() + _KEPT, allowed
        return allowed

    def _checked(self, host: str, found: Sequence[Found]) -> Sequence[Found]:
        allowed: list[Found] = []
        why = ""
        for each in found:
            address = str(each[4][0])
            reason = why_not(address, allow_private=self._allow_private, setting=self._setting)
            if reason is None:
                allowed.append(each)
            else:
                why = f"{host} leads to {address}, {reason}"
        if why and not allowed:
            raise UpstreamForbidden(detail=why)
        return tuple(allowed)


def _heard(asking: asyncio.Task[Sequence[Found]]) -> None:
    if not asking.cancelled():
        asking.exception()  # whoever asked may have left: an error that nobody hears is no mistake
