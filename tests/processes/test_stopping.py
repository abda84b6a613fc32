"""A server that is told to stop takes no new requests, answers those it has, and ends."""

from __future__ import annotations

import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from billing_app.database import locks
from billing_app.server import serving
from tests.processes.conftest import Business
from tests.processes.servers import ApiServer, serving_api, until, usage

REQUESTS = 40
# Far less than the half minute after which a server is killed.
PROMPTLY_SECONDS_MAX = 15


def refuses_connections(server: ApiServer) -> bool:
    host, _, port = server.url.removeprefix("http://").partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


def wait_for_connections(server: ApiServer, count: int) -> None:
    """Wait until the server has accepted this many connections."""
    process = server.answering_process()
    until(
        lambda: (
            sum(each.status == psutil.CONN_ESTABLISHED for each in process.net_connections("tcp")) >= count
        )
    )


def test_requests_in_flight_are_answered_and_the_queue_is_written(business: Business, tmp_path: Path) -> None:
    def report(client: httpx.Client, number: int) -> int:
        return client.post("/usage", json=usage(business.customer, f"key-{number}")).status_code

    with (
        serving_api(business.urls, tmp_path) as server,
        server.client(business.token) as client,
        psycopg.connect(business.urls.owner.replace("+psycopg", "")) as gate,
        ThreadPoolExecutor(REQUESTS) as pool,
    ):
        # Nothing is recorded until the gate opens.
        gate.execute("SELECT pg_advisory_xact_lock(%s)", [locks.GATE])
        answers = [pool.submit(report, client, number) for number in range(REQUESTS)]
        wait_for_connections(server, REQUESTS)
        # All requests were sent; this one is answered after the server has read them.
        assert httpx.get(f"{server.url}/api/docs").status_code == 200
        server.process.send_signal(signal.SIGTERM)
        until(lambda: refuses_connections(server))
        # Longer than the server took to stop before it waited for its requests.
        assert not wait(answers, timeout=4).done
        assert server.process.poll() is None
        gate.rollback()
        assert {each.result() for each in answers} == {201}
        assert server.process.wait(PROMPTLY_SECONDS_MAX) == 0
    assert business.count("usage_event") == REQUESTS


def test_idle_connections_and_unfinished_requests_do_not_hold_up_the_stop(
    business: Business, tmp_path: Path
) -> None:
    with serving_api(business.urls, tmp_path) as server, server.client(business.token) as idle:
        assert idle.get("/nothing").status_code == 404
        host, _, port = server.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as half:
            half.sendall(b"POST /api/v1/auth/token HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n")
            half.sendall(b"Content-Length: 100\r\n\r\n{")
            wait_for_connections(server, 1)
            started = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(serving.STOP_SECONDS_MAX) == 0
            assert time.monotonic() - started < PROMPTLY_SECONDS_MAX
            assert half.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_server_is_killed_when_a_request_takes_too_long(business: Business, tmp_path: Path) -> None:
    with (
        serving_api(business.urls, tmp_path) as server,
        server.client(business.token) as client,
        psycopg.connect(business.urls.owner.replace("+psycopg", "")) as gate,
        ThreadPoolExecutor(1) as pool,
    ):
        gate.execute("SELECT pg_advisory_xact_lock(%s)", [locks.GATE])
        answer = pool.submit(client.post, "/usage", json=usage(business.customer, "key"))
        wait_for_connections(server, 1)
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(serving.STOP_SECONDS_MAX + PROMPTLY_SECONDS_MAX)
        assert time.monotonic() - started > serving.STOP_SECONDS_MAX - 1
        with pytest.raises(httpx.TransportError):
            answer.result()
    assert business.count("usage_event") == 0
