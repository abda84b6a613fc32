"""Usage over HTTP, with `billing serve` in a separate process."""

from __future__ import annotations

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
_START_SECONDS_MAX = 180
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Served:
    """A running server, and a token that can record and read usage."""

    port: int
    token: str


@contextmanager
def served(bench: Bench) -> Iterator[Served]:
    """Serve this database on a free port until the block ends."""
    database = Database(bench.application_url)
    with database.transaction(ACTOR) as session:
        token = create_token(session, ACTOR, name="bench", scopes=["usage:write", "read"]).token
    database.close()
    port = free_port()
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
                wait_for(port, process)
                yield Served(port, token)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(20)


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers. Raises RuntimeError."""
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
