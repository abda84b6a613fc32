"""Network addresses, networks and origins, normalized so that different spellings are equal."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

import idna

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOPBACK: tuple[IPNetwork, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1"))
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", re.ASCII)
# An IPv4 address within IPv6 is written `::ffff:192.0.2.1`, and its network has 96 more bits.
_MAPPED_BITS = 96


def parse_address(text: str) -> IPAddress | None:
    """Return an IP address, written with or without a port, or None for anything else.

    An IPv4 address within IPv6 is returned as IPv4. A zone (`%eth0`) is dropped.
    """
    bare = text.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        ip = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    return ip if isinstance(ip, ipaddress.IPv4Address) else ip.ipv4_mapped or ip


def parse_network(text: str) -> IPNetwork:
    """Return a network, or the network of a single address. Raises ValueError."""
    network = ipaddress.ip_network(text, strict=False)
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped:
            return ipaddress.ip_network(f"{mapped}/{network.prefixlen - _MAPPED_BITS}")
    return network


class Origin(NamedTuple):
    """An origin in the form in which browsers send it. The scheme is `http` or `https`."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"


def parse_origin(text: str) -> Origin:
    """Return the origin of a URL such as `https://Billing.Example:443/`.

    Raises ValueError. Its message continues a sentence about the URL: `has no scheme (...)`.
    """
    bare = text.strip()
    try:
        parts = urlsplit(bare)
        port = parts.port
    except ValueError:
        raise ValueError("is not a web address") from None
    fault = _find_fault(bare, parts)
    if fault:
        raise ValueError(fault)
    host = _normalize_host(parts.hostname or "")
    return Origin(parts.scheme, host, _DEFAULT_PORTS[parts.scheme] if port is None else port)


def _find_fault(text: str, parts: SplitResult) -> str:
    if "://" not in text:
        return "has no scheme (https:// or http://)"
    if parts.scheme not in _DEFAULT_PORTS:
        return f"has the scheme {parts.scheme!r} instead of https or http"
    if "@" in parts.netloc:
        return "must not contain a user name or password"
    if not parts.hostname:
        return "has no host"
    if parts.path.strip("/"):
        return "must not have a path"
    if "?" in text or "#" in text:
        return "must not have a query or fragment"
    if parts.port == 0:
        return "has the port 0"
    return ""


def _normalize_host(host: str) -> str:
    """Return a host in lower case, with names in other scripts as ASCII (IDNA) and IPv6 in brackets."""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return f"[{ip}]" if ip.version == 6 else str(ip)
    try:
        name = host if host.isascii() else idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        raise ValueError("has a host name that is not valid") from None
    name = name.lower().removesuffix(".")
    if not _HOST.fullmatch(name):
        raise ValueError("has a host name that is not valid")
    return name
