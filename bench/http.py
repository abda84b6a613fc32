"""Usage over HTTP, with `billing serve` in a separate process."""

from __future__ import annotations

import asyncio
import functools
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

from bench.databases import Bench, settle
from bench.fill import FIRST_MONTH
from bench.ingest import ACTOR, CONNECTIONS, Batch, empty_usage, make_batches
from bench.measures import seconds
from billing_app.database.provision import urls_of
from billing_app.database.session import Database
from billing_app.domain.periods import bounds
from billing_app.services.identity.api_tokens import create_token

# The server uses the real time, so usage recorded through it is in a month that has ended.
LATEST = bounds(FIRST_MONTH)[1]
SENDERS = 64
_START_SECONDS_MAX = 180
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Served:
    """A running server, and a token that can record and read usage."""

    port: int
    token: str

    def request(self, path: str, body: object) -> bytes:
        """Return the bytes of a complete POST request."""
        content = json.dumps(body).encode()
        head = (
            f"POST /api/v1{path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            f"Authorization: Bearer {self.token}\r\nContent-Type: {_JSON}\r\n"
            f"Content-Length: {len(content)}\r\n\r\n"
        )
        return head.encode() + content


@contextmanager
def served(bench: Bench) -> Iterator[Served]:
    """Serve this database on a free port until the block ends."""
    database = Database(bench.application_url)
    with database.transaction(ACTOR) as session:
        token = create_token(session, ACTOR, name="bench", scopes=["usage:write", "read"]).token
    database.close()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    urls = urls_of(bench.server, bench.name)
    with tempfile.TemporaryDirectory(prefix="tallybook-bench-data-") as directory:
        settings = {
            "DATABASE_URL": urls.application,
            "DATABASE_OWNER_URL": urls.owner,
            "BILLING_DATA_DIR": directory,
            "BILLING_PORT": str(port),
            "BILLING_DEMO": "0",
        }
        command = [sys.executable, "-c", "from billing_app.cli.app import main; main()", "serve"]
        with (
            (Path(directory) / "serve.log").open("wb") as log,
            subprocess.Popen(
                command, env={**os.environ, **settings}, stdout=log, stderr=subprocess.STDOUT
            ) as process,
        ):
            try:
                _wait_for(port, process)
                yield Served(port, token)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(20)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START_SECONDS_MAX
    while time.monotonic() < until and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/api/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
        finally:
            connection.close()
    raise RuntimeError("the server did not start")


def batch_rate(bench: Bench, server: Served, customers: int, batches: int) -> float:
    """Measure the rows per second of `POST /usage/batch`: two connections, 10,000 rows per request."""
    bodies = [_body(batch) for batch in make_batches(customers, batches, LATEST)]
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": _JSON}

    def work(share: Sequence[bytes]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        for body in share:
            connection.request("POST", "/api/v1/usage/batch", body, headers)
            answer = json.loads(connection.getresponse().read())
            assert answer["results"] == [], answer
        connection.close()

    empty_usage(bench)
    settle(bench)
    shares = [bodies[number::CONNECTIONS] for number in range(CONNECTIONS)]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        taken = seconds(lambda: list(pool.map(work, shares)))
    return batches * 10_000 / taken


def _body(batch: Batch) -> bytes:
    return json.dumps({"events": [_event(row) for row in batch]}).encode()


def _event(row: tuple[int, str, str, str]) -> dict[str, str]:
    customer, key, quantity, moment = row
    return {
        "customer": f"customer-{customer}",
        "quantity": quantity,
        "occurred_at": moment,
        "idempotency_key": key,
    }


@dataclass(frozen=True, slots=True)
class Load:
    """The results of 64 connections: requests per second, and the 99th percentile of the response time."""

    rate: float
    p50_ms: float
    p99_ms: float


def no_op_load(server: Served, requests: int) -> Load:
    """Measure POSTs that are authenticated and then rejected for missing fields, before a table is read."""
    return _load(server, [server.request("/usage", {})] * requests, b"422")


def single_load(server: Served, customers: int, requests: int) -> Load:
    """Measure `POST /usage` with one event each. The response follows the commit."""
    rows = [row for batch in make_batches(customers, -(-requests // 10_000), LATEST) for row in batch]
    return _load(server, [server.request("/usage", _event(row)) for row in rows[:requests]], b"201")


def _load(server: Served, requests: list[bytes], status: bytes) -> Load:
    waiting = iter(requests)
    times: list[float] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        ends = []
        for _ in range(SENDERS):
            end = loop.create_future()
            ends.append(end)
            sender = functools.partial(_Sender, waiting, times, status, end)
            await loop.create_connection(sender, "127.0.0.1", server.port)
        await asyncio.gather(*ends)

    taken = seconds(lambda: asyncio.run(run()))
    cuts = quantiles(times, n=100)
    return Load(len(times) / taken, cuts[49] * 1000, cuts[98] * 1000)


class _Sender(asyncio.Protocol):
    """One connection, which sends the next request when it has received the previous response.

    It does as little as possible, because it shares the cores with the server.
    """

    def __init__(
        self, requests: Iterator[bytes], times: list[float], status: bytes, end: asyncio.Future[None]
    ) -> None:
        self._requests, self._times, self._end = requests, times, end
        self._expected = b"HTTP/1.1 " + status
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def _send(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not found:
            return
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if len(body) < int(length):
            return
        if not self._answer.startswith(self._expected):
            self._end.set_exception(RuntimeError(f"refused: {self._answer!r}"))
            self._transport.close()
            return
        self._times.append(time.perf_counter() - self._sent)
        self._answer = b""
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._end.done():
            self._end.set_exception(error) if error else self._end.set_result(None)
