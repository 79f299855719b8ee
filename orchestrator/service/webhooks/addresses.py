"""Which addresses a webhook may go to: the public internet, and what the host allows by name.

A receiver's address is chosen by a tenant, so it is hostile until proven otherwise: it must not make this process talk
to its own machine, its network or its cloud's metadata. Names are judged by what they resolve to, never by themselves.
"""

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from orchestrator.errors import WebhookRefused

URL_CHARS_MAX: Final = 2_048
PORTS: Final = frozenset({443, 8443})  #: of https; the host may allow others
_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))+")
_NUMBER: Final = re.compile(r"(0[xX][0-9a-fA-F]*|[0-9]+)\.?$")  #: a host whose last label is a number is an address
NAME_CHARS_MAX: Final = 253

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Inside of blocks that the registries call global, and still nobody's public receiver.
_NOT_PUBLIC_4: Final = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",
            "100.64.0.0/10",  # behind a carrier's address translation; one cloud's metadata
            "127.0.0.0/8",
            "168.63.129.16/32",  # a cloud's host agent, at a public address
            "169.254.0.0/16",  # link-local, and metadata of most clouds
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",  # relays of 6to4
            "192.168.0.0/16",
            "192.175.48.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
_GLOBAL_6: Final = ipaddress.IPv6Network("2000::/3")  #: all of global unicast that was ever handed out
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  #: RFC 6052: the last 32 bits are an IPv4 address
_NOT_PUBLIC_6: Final = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "2001::/23",  # protocol assignments; among them Teredo, which carries an IPv4 address
            "2001:db8::/32",
            "2002::/16",  # 6to4, which carries an IPv4 address
            "2620:4f:8000::/48",
            "3ffe::/16",
            "3fff::/20",
        ),
    )
)
_ISATAP: Final = frozenset({0x00005EFE, 0x02005EFE})  #: RFC 5214: the 32 bits before an IPv4 address


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What the host allows beside the public internet."""

    loopback: frozenset[str] = frozenset()  #: receivers on this machine as `127.0.0.1:9000`, for tests and demos
    ports: frozenset[int] = PORTS

    @classmethod
    def of(cls, loopback: Collection[str], ports: Collection[int] = ()) -> "Allowed":
        """What settings say.

        Raises:
            WebhookRefused: a receiver is no loopback address with a port.
        """
        for one in loopback:
            host, _, port = one.rpartition(":")
            try:
                sound = ipaddress.ip_address(host.strip("[]")).is_loopback and 0 < int(port) < 65_536
            except ValueError:
                sound = False
            if not sound:
                raise WebhookRefused(f"{one!r} is no receiver on this machine", "write 127.0.0.1:9000 or [::1]:9000")
        return cls(loopback=frozenset(loopback), ports=PORTS | frozenset(ports))


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An address that was read, and is fit to be resolved."""

    scheme: str
    host: str  #: a name, or an IP address without brackets
    port: int
    path: str  #: with the query
    local: bool = False  #: named by the host itself

    @property
    def authority(self) -> str:
        """Host and port as they are written in a request, the port only where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"https": 443, "http": 80}[self.scheme]
        return host if self.port == usual else f"{host}:{self.port}"

    @property
    def shown(self) -> str:
        """For logs: no path, which may carry a secret."""
        return f"{self.scheme}://{self.authority}"


def read_url(url: str, allowed: Allowed) -> Target:
    """Read a receiver's address. Nothing is resolved yet.

    Raises:
        WebhookRefused: it is none that a webhook may go to, or one that two readers may read differently.
    """
    if not 0 < len(url) <= URL_CHARS_MAX:
        raise WebhookRefused(f"the address has {len(url)} characters", f"use 1 to {URL_CHARS_MAX}")
    if not url.isascii() or any(char <= " " or char in '\x7f\\"<>^`{|}' for char in url):
        raise WebhookRefused(
            "the address holds a character that readers of addresses disagree about",
            "write plain ASCII; names of other scripts as xn--…, everything else percent-encoded",
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise WebhookRefused(f"the address cannot be read: {error}", "write https://host/path") from None
    if "@" in parts.netloc:
        raise WebhookRefused("the address names a user", "signatures prove who sends; leave user and password out")
    if parts.fragment or url.endswith("#"):
        raise WebhookRefused("the address has a fragment", "leave out what follows #")
    scheme, host = parts.scheme, parts.hostname or ""
    if not url.startswith((f"{scheme}://", f"{scheme.upper()}://")) or not host:
        raise WebhookRefused("the address names no host", "write https://host/path")
    port_given = port if port is not None else {"https": 443, "http": 80}.get(scheme, 0)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    written = f"[{host}]:{port_given}" if ":" in host else f"{host}:{port_given}"
    if (
        scheme in {"http", "https"}
        and written in allowed.loopback
        and parts.netloc in {written, _without_port(written)}
    ):
        return Target(scheme=scheme, host=host, port=port_given, path=path, local=True)
    if scheme != "https":
        raise WebhookRefused(f"the address is {scheme or 'of no scheme'}", "use https, so that nobody on the way reads")
    if port_given not in allowed.ports:
        raise WebhookRefused(f"port {port_given} is not allowed", f"use one of {sorted(allowed.ports)}")
    _must_be_host(host, parts.netloc)
    return Target(scheme=scheme, host=host, port=port_given, path=path)


def _without_port(written: str) -> str:
    return written.rpartition(":")[0]


def _must_be_host(host: str, netloc: str) -> None:
    """A name of at least two labels, or an address in its one usual form that is public."""
    if netloc.startswith("["):
        if "%" in host:
            raise WebhookRefused("the address names a network interface", "leave out what follows %")
        try:
            address: Address = ipaddress.IPv6Address(host)
        except ValueError:
            raise WebhookRefused(f"{host!r:.80} is no IPv6 address", "name a public host") from None
        _must_be_public(address)
        return
    if _NUMBER.search(host.rpartition(".")[2] if not host.endswith(".") else host.split(".")[-2]):
        try:
            address = ipaddress.IPv4Address(host)
        except ValueError:
            raise WebhookRefused(
                f"{host!r:.80} is an address in a form that readers disagree about", "write four numbers from 0 to 255"
            ) from None
        _must_be_public(address)
        return
    if len(host) > NAME_CHARS_MAX or not _NAME.fullmatch(host):
        raise WebhookRefused(f"{host!r:.80} is no name of a public host", "write a name such as hooks.example.org")


def _must_be_public(address: Address) -> None:
    if not is_public(address):
        raise WebhookRefused(f"{address} is not on the public internet", "name a receiver that is")


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet, whatever form it comes in.

    Source: IANA's special-purpose address registries, RFC 6890 and what was added since.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in block for block in _NOT_PUBLIC_4)
    if address.scope_id is not None:
        return False
    number = int(address)
    if address in _NAT64:  # what a resolver makes of a public name in a network without IPv4
        return is_public(ipaddress.IPv4Address(number & 0xFFFFFFFF))
    if (number >> 32) & 0xFFFFFFFF in _ISATAP:
        return False
    return address in _GLOBAL_6 and not any(address in block for block in _NOT_PUBLIC_6)
