"""Real servers without pages, several on one database."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from billing_app.database.provision import Urls
from tests.factories import PASSWORD

SECRET = "the secret that all servers of these tests share"
SECONDS_MAX = 120
Found = TypeVar("Found")


@dataclass(frozen=True)
class ApiServer:
    """One `billing serve --api-only`: its address, its process, and what it printed."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def answering_process(self) -> psutil.Process:
        """Return the child process that answers requests."""
        children = psutil.Process(self.process.pid).children()
        return max(children, key=lambda each: each.memory_info().rss)

    def kill(self) -> None:
        """Kill both of its processes at once, as a machine that loses its power does."""
        for each in [*psutil.Process(self.process.pid).children(recursive=True), self.process]:
            with suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGKILL)

    def client(self, token: str) -> httpx.Client:
        """Return a client of the API with this token."""
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=SECONDS_MAX)

    def sign_in(self, email: str, password: str = PASSWORD) -> str:
        """Return a session's access token."""
        body = {"email": email, "password": password}
        answer = httpx.post(f"{self.url}/api/v1/auth/token", json=body, timeout=SECONDS_MAX)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], Found]) -> Found:
    """Wait until the condition holds, and return what it returned."""
    deadline = time.monotonic() + SECONDS_MAX
    while not (found := condition()):
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.02)
    return found


def environment_of(urls: Urls, data_dir: Path, **settings: str) -> dict[str, str]:
    """Return the environment of a server on this database."""
    return {
        **os.environ,
        "DATABASE_URL": urls.application,
        "DATABASE_OWNER_URL": "",
        "BILLING_DATA_DIR": str(data_dir),
        "BILLING_JWT_SECRET": SECRET,
        "BILLING_DEMO": "0",
        **settings,
    }


def command(*arguments: str) -> list[str]:
    """Return a command of the command line, as this environment has it."""
    return [sys.executable, "-c", "from billing_app.cli.app import main; main()", *arguments]


@contextmanager
def serving_api(urls: Urls, directory: Path, **settings: str) -> Iterator[ApiServer]:
    """Run a server until the block ends, then kill what is left of it."""
    port = free_port()
    log = directory / f"api-{port}.log"
    environment = environment_of(urls, directory / f"data-{port}", BILLING_PORT=str(port), **settings)
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command("serve", "--api-only"), env=environment, stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        server = ApiServer(f"http://127.0.0.1:{port}", process, log)
        try:
            until(lambda: _answers(server))
            yield server
        finally:
            if process.poll() is None:
                server.kill()


def _answers(server: ApiServer) -> bool:
    assert server.process.poll() is None, server.log.read_text()
    try:
        return httpx.get(f"{server.url}/api/health").status_code == 200
    except httpx.TransportError:
        return False


def usage(customer: str, key: str, quantity: str = "5") -> dict[str, Any]:
    """Return the body of a report."""
    return {"customer": customer, "quantity": quantity, "idempotency_key": key}
