"""Find the address to listen on from BILLING_HOST, or explain why the server can't listen there."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass

from billing_app.settings import Settings


class AddressUnusable(RuntimeError):
    """The server can't listen where the settings say. The message says why and what to set."""


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A numeric address of this machine, or the wildcard address, and a port."""

    family: socket.AddressFamily
    address: str
    port: int

    def reachable_from_here(self) -> tuple[str, int]:
        """Return where a client on this machine connects to."""
        everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}
        return everywhere.get(self.address, self.address), self.port


def find_listen_address(host: str, port: int, settings: str = "BILLING") -> ListenAddress:
    """Return the first address of this host that the server can listen on.

    `settings` is what the names of the two settings start with in messages.

    Raises:
        AddressUnusable: The name does not resolve, the address is not this machine's, or the port is
            taken or reserved.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise AddressUnusable(
            f"{settings}_HOST is {host}, which is not an IP address and does not resolve to one. Set it to an "
            "address of this machine, or to 0.0.0.0 for all of them."
        ) from None
    failures: list[str] = []
    for family, _, _, _, where in found:
        address = ListenAddress(family, str(where[0]), port)
        failure = _try_to_bind(address, settings)
        if failure is None:
            return address
        failures.append(failure)
    raise AddressUnusable(failures[0])


def find_metrics_address(settings: Settings) -> ListenAddress | None:
    """Return where the metrics are served, or None if they are not. Raises as `find_listen_address` does."""
    if settings.metrics_port is None:
        return None
    return find_listen_address(settings.metrics_host, settings.metrics_port, "BILLING_METRICS")


def find_addresses(settings: Settings) -> ListenAddress:
    """Return where the server listens, after checking that its metrics can be served too. Raises likewise."""
    find_metrics_address(settings)
    return find_listen_address(settings.host, settings.port)


def _try_to_bind(address: ListenAddress, settings: str) -> str | None:
    """Return why the server can't listen there, or None when it can.

    The server itself shares its port (SO_REUSEPORT), so a second one would start and get half of the
    requests.
    """
    try:
        with socket.socket(address.family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address.address, address.port))
    except OSError as error:
        return _explain(error, address, settings)
    return None


def _explain(error: OSError, address: ListenAddress, settings: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {address.port} of {address.address} is in use. Set {settings}_PORT to a free port."
    if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return (
            f"This machine does not have the address {address.address}. Set {settings}_HOST to one that it "
            "has, or to 0.0.0.0 for all of them."
        )
    if error.errno == errno.EINVAL:  # It needs the interface's name, which the server does not take.
        return (
            f"The server can't listen on {address.address}, which is an address of one network interface only. "
            f"Set {settings}_HOST to another address of this machine, or to :: for all of them."
        )
    if error.errno == errno.EACCES:
        return (
            f"User ID {os.getuid()} must not use port {address.port}. Set {settings}_PORT to 1024 or higher."
        )
    return f"The server can't listen on port {address.port} of {address.address}: {error.strerror}."
