"""Real servers, and what restarts them when they are killed, as a process manager does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import httpx
import psutil

# What a process manager waits before it starts a process again.
RESTART_SECONDS = 0.5
ROOT = Path(__file__).parents[1]


def billing(*arguments: str) -> list[str]:
    """Return a command of the command line, as this environment has it."""
    return [sys.executable, "-c", "from billing_app.cli.app import main; main()", *arguments]


class Server:
    """One `billing serve --api-only` on a port of its own, started again whenever it ends."""

    def __init__(self, name: str, port: int, environment: dict[str, str], log: Path) -> None:
        self.name, self.port, self.log = name, port, log
        self.starts = 0
        self._environment = {**environment, "BILLING_PORT": str(port)}
        self._process: subprocess.Popen[bytes] | None = None
        self._ending = Event()
        self._manager = Thread(target=self._manage, name=f"manager of {name}", daemon=True)

    @property
    def url(self) -> str:
        """The server's own address, around the proxy."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server, and watch it."""
        self._manager.start()

    def stop(self) -> None:
        """Stop the server and its manager."""
        self._ending.set()
        if self._process is not None and self._process.poll() is None:
            self.send(signal.SIGCONT)
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(40)
            except subprocess.TimeoutExpired:
                self.send(signal.SIGKILL)
        self._manager.join(45)

    def processes(self) -> list[psutil.Process]:
        """Return the server's own process and the one that answers requests, which is last."""
        if self._process is None or self._process.poll() is not None:
            return []
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self._process.pid)
            children = [each for each in parent.children() if "spawn_main" in " ".join(each.cmdline())]
            return [parent, *children]
        return []

    def send(self, number: signal.Signals, *, to: slice = slice(None)) -> None:
        """Send a signal to the server's processes, by default to all of them."""
        for process in self.processes()[to]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def is_ready(self) -> bool:
        """Return whether the server says that it can take requests."""
        try:
            return httpx.get(f"{self.url}/api/health/ready", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def memory_mb(self) -> tuple[int, float] | None:
        """Return the ID and the memory of the process that answers requests."""
        with suppress(psutil.NoSuchProcess, IndexError):
            process = self.processes()[1]
            return process.pid, process.memory_info().rss / 1e6
        return None

    def _manage(self) -> None:
        with self.log.open("ab") as log:
            while not self._ending.is_set():
                self.starts += 1
                self._process = subprocess.Popen(
                    billing("serve", "--api-only"),
                    env=self._environment,
                    cwd=ROOT,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
                self._process.wait()
                self._ending.wait(RESTART_SECONDS)


def wait_until(condition: Callable[[], object], seconds: float) -> bool:
    """Wait until the condition holds, for so long at most. Return whether it does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def environment_of(url: str, data_dir: Path) -> dict[str, str]:
    """Return the environment of a server."""
    return {
        **os.environ,
        "DATABASE_URL": url,
        "DATABASE_OWNER_URL": "",
        "BILLING_DATA_DIR": str(data_dir),
        "BILLING_JWT_SECRET": "the secret that all servers of the soak share",
        "BILLING_DEMO": "0",
        "BILLING_LOG_LEVEL": "warning",
    }
