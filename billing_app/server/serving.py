"""Serving the pages, the API and the websocket on one port."""

from __future__ import annotations

import multiprocessing
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server

from billing_app.server.page_build import ROOT, WORK, ensure_built, reflex_environment
from billing_app.server.reflex_patches import DEV_BACKEND

if TYPE_CHECKING:
    from billing_app.settings import Settings

STOP_SECONDS_MAX = 3
# From opening a connection, or from the last answer, to the end of a request's header.
HEADER_SECONDS_MAX = 5
# The request line included. There may be a hundred fields.
HEADER_BYTES_MAX = 64 * 1024
# A page that is open holds one for its websocket.
CONNECTIONS_MAX = 2048
FILES = 2 * CONNECTIONS_MAX
# Tells Reflex in the child process that the pages are compiled, and to serve them itself.
_COMPILED = {
    "REFLEX_ENV_MODE": "prod",
    "__REFLEX_SKIP_COMPILE": "true",
    "__REFLEX_MOUNT_FRONTEND_COMPILED_APP": "true",
}


class PortTaken(RuntimeError):
    """Something else answers at the port."""


def serve(settings: Settings, database_url: str, ready: Callable[[], None] = lambda: None) -> None:
    """Serve pages, API and websocket at settings' host and port until SIGINT or SIGTERM.

    Builds the pages when they are not built. Calls `ready` when the port answers. The requests
    are answered in a child process, which ends with this one, however this one ends.
    Raises PortTaken, and BuildFailed.
    """
    build = ensure_built(print)
    _refuse_taken_port(settings.host, settings.port)
    os.environ.update(reflex_environment(build.path))
    os.environ.update(_COMPILED)
    # What the child reads as its settings; its working directory is another one.
    os.environ["DATABASE_URL"] = database_url
    os.environ["BILLING_DATA_DIR"] = str(settings.data_dir.resolve())
    os.chdir(ROOT)
    _allow_open_files()
    # The child starts afresh: a fork would share this one's connections and locks.
    multiprocessing.set_start_method("spawn", force=True)
    server = Server(
        "billing_app.billing_app:create_asgi",
        factory=True,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        # HTTP/2 without TLS is nothing that a browser speaks; its limits would be others.
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(
            header_read_timeout=HEADER_SECONDS_MAX * 1000, max_buffer_size=HEADER_BYTES_MAX
        ),
        # Named for requests, and counts connections.
        backpressure=CONNECTIONS_MAX,
        workers=1,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS_MAX,
        log_level=LogLevels.warning,
    )
    server.on_startup(lambda: _when_it_answers(settings, ready))
    server.serve()


def _allow_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < FILES:
        wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _refuse_taken_port(host: str, port: int) -> None:
    # Granian shares a port (SO_REUSEPORT), so a second server would start and get half of the requests.
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            message = f"{host}:{port} can't be used ({error.strerror}): set BILLING_PORT to a free port"
            raise PortTaken(message) from None


def _when_it_answers(settings: Settings, ready: Callable[[], None]) -> None:
    def wait() -> None:
        while True:
            try:
                socket.create_connection((settings.host, settings.port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                ready()
                return

    threading.Thread(target=wait, daemon=True).start()


def end_with_parent() -> None:
    """Have this process end when its parent does, by whatever signal that was."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def serve_dev(settings: Settings, database_url: str, ready: Callable[[], None] = lambda: None) -> None:
    """Serve with hot reload until Ctrl-C: Vite at settings' port, and behind it, at the next, Python.

    Vite passes the API and the websocket on, so that the pages have one origin as in production.
    """
    backend = settings.port + 1
    command = [
        *(sys.executable, "-m", "reflex", "run", "--env", "dev", "--backend-host", "127.0.0.1"),
        *("--frontend-port", str(settings.port), "--backend-port", str(backend)),
    ]
    environment = {
        **os.environ,
        **reflex_environment(Path(WORK.name)),
        "DATABASE_URL": database_url,
        DEV_BACKEND: f"http://127.0.0.1:{backend}",
    }
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
        try:
            ready()
            process.wait()
        except KeyboardInterrupt:
            # The terminal sent it to both.
            process.wait()
        finally:
            process.terminate()
