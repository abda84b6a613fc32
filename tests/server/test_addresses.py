"""The address that the server listens on, and the errors if it can't."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from billing_app.server.addresses import AddressUnusable, find_listen_address
from billing_app.settings import Settings


@contextmanager
def listening(family: socket.AddressFamily, address: str) -> Iterator[int]:
    """Listen on a free port with SO_REUSEPORT, as the server does, and yield the port."""
    with socket.socket(family) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind((address, 0))
        taken.listen()
        yield int(taken.getsockname()[1])


@pytest.fixture
def free_port() -> int:
    with listening(socket.AF_INET, "127.0.0.1") as port:
        pass
    return port


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "0.0.0.0"),
        ("::1", "::1"),
        ("::", "::"),
        ("0:0:0:0:0:0:0:1", "::1"),
    ],
)
def test_address_of_this_machine_is_used(host: str, address: str, free_port: int) -> None:
    found = find_listen_address(host, free_port)
    assert found.address == address
    with socket.socket(found.family) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((found.address, free_port))
        server.listen()
        socket.create_connection(found.reachable_from_here(), timeout=5).close()


def test_name_is_resolved(free_port: int) -> None:
    assert find_listen_address("localhost", free_port).address in ("127.0.0.1", "::1")


@pytest.mark.parametrize(
    ("family", "taken", "host"),
    [
        (socket.AF_INET, "127.0.0.1", "localhost"),
        (socket.AF_INET, "127.0.0.1", "0.0.0.0"),
        (socket.AF_INET, "0.0.0.0", "127.0.0.1"),
        (socket.AF_INET6, "::1", "::1"),
        (socket.AF_INET6, "::1", "::"),
    ],
)
def test_taken_port_is_named(family: socket.AddressFamily, taken: str, host: str) -> None:
    with (
        listening(family, taken) as port,
        pytest.raises(
            AddressUnusable, match=rf"^Port {port} of \S+ is in use\. Set BILLING_PORT to a free port"
        ),
    ):
        find_listen_address(host, port)


@pytest.mark.parametrize("host", ["nowhere.invalid", "not a name", "300.1.1.1", "a" * 70 + ".invalid"])
def test_unresolvable_name_is_reported(host: str, free_port: int) -> None:
    with pytest.raises(
        AddressUnusable, match=f"^BILLING_HOST is {host}, which is not an IP address and does not"
    ):
        find_listen_address(host, free_port)


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_address_of_another_machine_is_refused(host: str, free_port: int) -> None:
    with pytest.raises(AddressUnusable, match=f"^This machine does not have the address {host}"):
        find_listen_address(host, free_port)


@pytest.mark.parametrize("host", ["fe80::1", "fe80::1%1"])
def test_address_of_one_interface_is_refused_with_one_that_includes_it(host: str, free_port: int) -> None:
    with pytest.raises(AddressUnusable, match=r"listen on fe80::1, .* or to :: for all of them\.$"):
        find_listen_address(host, free_port)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://localhost:3000"),
        ("0.0.0.0", "http://localhost:3000"),
        ("::", "http://localhost:3000"),
        ("::1", "http://[::1]:3000"),
        ("[::1]", "http://[::1]:3000"),
        ("127.0.0.2", "http://127.0.0.2:3000"),
        ("billing.example", "http://billing.example:3000"),
    ],
)
def test_printed_address_is_the_true_one(host: str, url: str) -> None:
    assert Settings(host=host).url() == url


def test_port_reserved_for_root_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(AddressUnusable, match=r"must not use port 80\. Set BILLING_PORT to 1024 or higher"):
        find_listen_address("127.0.0.1", 80)
