"""Where a URL that somebody else wrote may lead: to the public internet, by https, and nowhere else.

A target's URL comes from the operator and may point anywhere. A portal's callback URL comes from outside: without this
rule it would make the gateway knock on the doors of its own network (SSRF). Names are resolved once and the connection
goes to the checked address, so that a name cannot change its mind in between (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

PORTS = frozenset({443, 8443})

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_SHARED = ipaddress.ip_network("100.64.0.0/10")  # carriers' own networks (RFC 6598)
_HOST_NAME = re.compile(r"(?=.{4,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_LOCAL = ("localhost", "localdomain", "local", "internal", "intranet", "lan", "home.arpa", "test", "invalid")


def objection(url: str, *, ports: Collection[int] = PORTS) -> str | None:
    """Why this URL may not be called, in one sentence; ``None`` if it may, as far as it can be told without asking the DNS."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, (parts.hostname or "").rstrip(".")
    except ValueError:
        return "not a URL"
    if any(ord(sign) <= 32 or ord(sign) == 127 or sign == "\\" for sign in url):
        return "holds a blank, a backslash or a control character"
    if parts.scheme != "https":
        return "only https is called"
    if parts.username is not None or parts.password is not None:
        return "a URL must not carry a user name or password"
    if (port or 443) not in ports:
        return f"port {port} is not one of {', '.join(map(str, sorted(ports)))}"
    return _objection_to_host(host)


def is_public(address: str) -> bool:
    """Is this IP address one that the whole internet shares? Looks through IPv4 in IPv6."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is not None:
            return is_public(str(inner))
        if ip.teredo is not None:
            return False
    elif ip in _SHARED:
        return False
    return ip.is_global and not ip.is_multicast


class PublicOnly(AbstractResolver):
    """A resolver that knows only public addresses. One private address among several refuses the name altogether."""

    def __init__(self, inner: AbstractResolver | None = None) -> None:
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self._inner = self._inner or ThreadedResolver()
        found = await self._inner.resolve(host, port, family)
        if not all(is_public(each["host"]) for each in found):
            raise OSError(None, "the name leads to an address that is not public")
        return found

    async def close(self) -> None:
        if self._inner is not None:
            await self._inner.close()


def _objection_to_host(host: str) -> str | None:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if any(host == suffix or host.endswith("." + suffix) for suffix in _LOCAL):
            return "the name belongs to a local network"
        if _HOST_NAME.fullmatch(host.encode("idna").decode() if host.isascii() is False else host) is None:
            return "not a full host name"  # also 127.1, 0x7f000001 and 2130706433, which the system reads as addresses
        return None
    return None if is_public(host) else "the address is not public"
