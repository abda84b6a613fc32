"""Single events over HTTP: `wrk` drives the product and the hand-written app of `handwritten`."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from bench import handwritten
from bench.databases import Bench
from bench.http import Served, free_port, wait_for
from bench.ingest import ACTOR
from billing_app.database.provision import APPLICATION_ROLE
from billing_app.services.invoices.runs import get_run, start_run
from billing_app.services.usage_imports import imports

CONNECTIONS = 64
_SCRIPT = Path(__file__).with_name("load.lua")
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}

Kind = Literal["usage", "event"]


class NoWrk(Exception):
    """The load generator is missing. The message says how to get it."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the connections reached: requests per second, and percentiles of their time."""

    rate: float
    p50_ms: float
    p99_ms: float


def find_wrk() -> str:
    """Return the path of `wrk`. Raises NoWrk."""
    found = shutil.which("wrk")
    if found is None:
        raise NoWrk("The benchmark needs wrk, an HTTP load generator (Debian: apt-get install wrk).")
    return found


def load(
    server: Served, customers: int, seconds: int, kind: Kind = "usage", connections: int = CONNECTIONS
) -> Load:
    """Send single events for some seconds, each on its connection after the answer to the last one.

    Raises RuntimeError if any request failed.
    """
    path = "/api/v1/usage" if kind == "usage" else "/api/v1/events"
    command = [
        *(find_wrk(), "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"),
        *("--timeout", "30s", "--latency", "--script", str(_SCRIPT), f"http://127.0.0.1:{server.port}", "--"),
        *(str(customers), path, server.token, kind),
    ]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(f"requests failed:\n{output}")
    return Load(
        float(_find(r"Requests/sec:\s+([\d.]+)", output)),
        _milliseconds(_find(r"50%\s+([\d.]+\w+)", output)),
        _milliseconds(_find(r"99%\s+([\d.]+\w+)", output)),
    )


def _find(pattern: str, output: str) -> str:
    found = re.search(pattern, output)
    if found is None:
        raise RuntimeError(f"wrk printed something unexpected:\n{output}")
    return found[1]


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()  # type: ignore[union-attr]
    return float(number) * _MILLISECONDS[unit]


@contextmanager
def handwritten_app(bench: Bench) -> Iterator[Served]:
    """Serve the hand-written app over this database, on one granian worker with uvloop."""
    with bench.connect() as db:
        db.execute(handwritten.SCHEMA)
        db.execute(f"GRANT ALL ON handwritten_event TO {APPLICATION_ROLE}")
    port = free_port()
    command = [
        *(sys.executable, "-m", "granian", "--interface", "asgi", "--workers", "1", "--loop", "uvloop"),
        *("--port", str(port), "--factory", "--no-ws", "bench.handwritten:create"),
    ]
    url = bench.application_url.replace("+psycopg", "")
    with subprocess.Popen(
        command,
        env={**os.environ, "HANDWRITTEN_URL": url},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            wait_for(port, process)
            yield Served(port, "none")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


@contextmanager
def other_work(bench: Bench, server: Served, file: Path, period_start: date) -> Iterator[None]:
    """Have the server import a usage file and invoice a month while the block lasts.

    Raises RuntimeError if both had ended before the block did.
    """
    database = bench.database()
    imported = json.loads(_post(server, "/usage/imports", file.read_bytes(), "text/csv"))["id"]
    try:
        _wait_until(lambda: database.call(ACTOR, imports.get_import, imported).status == "checked")
        with database.transaction(ACTOR) as session:
            run = start_run(session, ACTOR, period_start).public_id
        _post(server, f"/usage/imports/{imported}/start", b"", "application/json")
        yield
        statuses = {
            database.call(ACTOR, imports.get_import, imported).status,
            database.call(ACTOR, get_run, run).status,
        }
        if not statuses & {"running", "importing"}:
            raise RuntimeError(f"the other work ended too early: {statuses}")
        _wait_until(lambda: database.call(ACTOR, get_run, run).status == "done")
        _wait_until(lambda: database.call(ACTOR, imports.get_import, imported).status == "done")
    finally:
        database.close()


def _post(server: Served, path: str, body: bytes, media_type: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": media_type}
    connection.request("POST", f"/api/v1{path}", body, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.status >= 300:
        raise RuntimeError(f"POST {path}: {answer.status} {content!r}")
    return content


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 600
    while not is_so():
        if time.monotonic() > deadline:
            raise RuntimeError("the server's work did not end in 10 minutes")
        time.sleep(0.2)
