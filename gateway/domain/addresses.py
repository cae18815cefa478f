"""Where models are: base URLs read strictly, the origin that a credential is bound to, and addresses never called.

Base URLs come from people who may register models, and a gateway stands where they do not: beside metadata services
that hand out the machine's own credentials, and other services that trust their neighbours. So a URL has one reading
only: what a lenient reader would take for another host (`http://2130706433`, `http://0x7f.1`, `http://good@evil`) is
refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

_URL: Final = re.compile(
    r"(?P<scheme>[Hh][Tt][Tt][Pp][Ss]?)://"
    r"(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?",
)
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)")
_PORTS: Final = {"http": 80, "https": 443}
_LONGEST: Final = 2048
SETTING: Final = "providers.allow_private_networks"
EXPECTED: Final = "a plain http or https URL up to and including /v1, such as https://host:8000/v1"

# Names of services that give a machine its identity. They lead to addresses below, which some resolvers hide.
_NAMES: Final = frozenset(
    {
        "metadata",
        "metadata.google.internal",
        "metadata.goog",
        "metadata.azure.internal",
        "metadata.packet.net",
        "metadata.platformequinix.com",
        "metadata.tencentyun.com",
        "instance-data",
        "instance-data.ec2.internal",
    }
)

_Network = IPv4Network | IPv6Network
_NEVER: Final[tuple[tuple[_Network, str], ...]] = (
    (IPv4Network("0.0.0.0/8"), "an unspecified address"),
    (IPv4Network("169.254.0.0/16"), "a link-local address, where metadata services are"),
    (IPv4Network("100.100.100.200/32"), "a metadata service"),  # Alibaba Cloud
    (IPv4Network("168.63.129.16/32"), "a metadata service"),  # Azure
    (IPv4Network("192.0.0.0/24"), "a reserved address"),  # Oracle Cloud's metadata among them
    (IPv4Network("192.88.99.0/24"), "a 6to4 relay"),
    (IPv4Network("224.0.0.0/4"), "a multicast address"),
    (IPv4Network("240.0.0.0/4"), "a reserved address"),
    (IPv6Network("fd00:ec2::/32"), "a metadata service"),  # AWS
    (IPv6Network("fd20:ce::/32"), "a metadata service"),  # Google Cloud
    (IPv6Network("fe80::/10"), "a link-local address"),
    (IPv6Network("fec0::/10"), "a site-local address"),
    (IPv6Network("ff00::/8"), "a multicast address"),
    (IPv6Network("::ffff:0:0/96"), "an IPv4 address in the guise of IPv6"),
    (IPv6Network("::ffff:0:0:0/96"), "an IPv4 address in the guise of IPv6"),
    (IPv6Network("64:ff9b:1::/48"), "an IPv4 address in the guise of IPv6"),
    (IPv6Network("2001::/32"), "a Teredo address"),
    (IPv6Network("2002::/16"), "a 6to4 address"),
    (IPv6Network("100::/64"), "an address that discards"),
)
_LOOPBACK6: Final = IPv6Address("::1")
_LOW6: Final = IPv6Network("::/96")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_PRIVATE: Final[tuple[_Network, ...]] = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("100.64.0.0/10"),
    IPv4Network("127.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv4Network("198.18.0.0/15"),
    IPv4Network("192.0.2.0/24"),
    IPv4Network("198.51.100.0/24"),
    IPv4Network("203.0.113.0/24"),
    IPv6Network("::1/128"),
    IPv6Network("fc00::/7"),
    IPv6Network("2001:db8::/32"),
    IPv6Network("3fff::/20"),
)


@dataclass(frozen=True, slots=True)
class Address:
    """A base URL in its parts; `host` in lower case, an IPv6 address without its brackets."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> str:
        """Scheme, host and port: what a credential is given for."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@lru_cache(4096)
def parse_address(base_url: str) -> Address:
    """Read a base URL. Raises ValueError, which says what is wrong with it and not the URL: it may hold a password."""
    if len(base_url) > _LONGEST:
        raise ValueError(f"it is longer than {_LONGEST} characters")
    if "@" in base_url.partition("://")[2].partition("/")[0]:
        raise ValueError("a name or a password in an address belongs into the credential")
    if "?" in base_url or "#" in base_url:
        raise ValueError("a base URL has no query and no fragment")
    found = _URL.fullmatch(base_url)
    if found is None:
        raise ValueError("it is no plain http or https URL with an ASCII host name")
    scheme = found["scheme"].lower()
    port = int(found["port"]) if found["port"] else _PORTS[scheme]
    if not 0 < port < 65536:
        raise ValueError("there is no such port")
    return Address(scheme, _host(found["host"].lower()), port, found["path"] or "")


def origin_of(base_url: str) -> str:
    """The origin of a base URL; empty for an empty one. Raises ValueError."""
    return parse_address(base_url).origin if base_url else ""


def _host(written: str) -> str:
    if written.startswith("["):
        try:
            return str(IPv6Address(written[1:-1]))
        except ValueError:
            raise ValueError("what is in the brackets is no IPv6 address") from None
    host = written.removesuffix(".")
    labels = host.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("it has no valid host name")
    if _NUMBER.fullmatch(labels[-1]):
        # Resolvers read `127.1`, `2130706433`, `0x7f.1` and `0177.0.0.1` as addresses too: one spelling is enough.
        try:
            return str(IPv4Address(host))
        except ValueError:
            raise ValueError("an IPv4 address is written as four plain decimal numbers") from None
    return host


def why_not(host: str, *, allow_private: bool, setting: str = SETTING) -> str | None:
    """Why a host, a name or an address in numbers, is never called; None for one that may be called.

    `setting` is the one that forbids private addresses.
    """
    if host.removesuffix(".") in _NAMES:
        return "a metadata service"
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return _why_not(address, allow_private=allow_private, setting=setting)


def _why_not(
    address: IPv4Address | IPv6Address, *, allow_private: bool, setting: str = SETTING
) -> str | None:
    for network, why in _NEVER:
        if address in network:
            return why
    if isinstance(address, IPv6Address):
        if getattr(address, "scope_id", None):
            return "an address of one interface only"
        if address in _NAT64:
            # What DNS64 answers on a network without IPv4, for a host that has no other: RFC 6052 has public ones only.
            inside = _why_not(IPv4Address(int(address) & 0xFFFFFFFF), allow_private=False)
            return None if inside is None else "an IPv4 address in the guise of IPv6"
        if address in _LOW6 and address != _LOOPBACK6:
            return "an unspecified address" if int(address) == 0 else "an IPv4 address in the guise of IPv6"
    if not allow_private and any(address in network for network in _PRIVATE):
        return f"a private address, which {setting} = false forbids"
    return None
