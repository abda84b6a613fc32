"""Serving the API, with or without the pages and their websocket, on one port."""

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
from typing import TYPE_CHECKING, Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server

from billing_app.project_files import IS_WHEEL, ROOT
from billing_app.server.addresses import ListenAddress, find_addresses, find_listen_address
from billing_app.server.page_build import (
    DEV_BACKEND,
    WORK,
    Build,
    ensure_built,
    packaged_build,
    reflex_environment,
)

if TYPE_CHECKING:
    from billing_app.settings import Settings

# For the requests in flight. Orchestrators should wait a little longer before they kill the server.
STOP_SECONDS_MAX = 30
# From the opening of a connection, or the last answer, to the end of a request's header.
HEADER_SECONDS_MAX = 5
# Including the request line. At most a hundred fields are accepted.
HEADER_BYTES_MAX = 64 * 1024
# Every open page has one for its websocket.
CONNECTIONS_MAX = 2048
FILES = 2 * CONNECTIONS_MAX
# Its lines go where all others go.
_NO_LOG_OF_ITS_OWN: dict[str, Any] = {"formatters": {}, "handlers": {}, "loggers": {}}
# These tell Reflex in the child process that the pages are compiled, and to serve them itself.
_COMPILED = {
    "REFLEX_ENV_MODE": "prod",
    "__REFLEX_SKIP_COMPILE": "true",
    "__REFLEX_MOUNT_FRONTEND_COMPILED_APP": "true",
}


def serve(settings: Settings, database_url: str, announce: Callable[[], None] = lambda: None) -> None:
    """Serve pages, API and websocket at the settings' host and port until SIGINT or SIGTERM.

    Builds the pages if needed, and calls `announce` when the port answers. A child process serves requests.

    Raises:
        AddressUnusable: The server can't listen there.
        BuildFailed: The pages could not be built.
        DataDirUnusable: The pages have to be built, and the data directory can't be written to.
    """
    address = find_addresses(settings)
    build = _find_pages(settings)
    os.environ.update(reflex_environment(build.path, build.work_dir))
    os.environ.update(_COMPILED)
    _pass_on(settings, database_url)
    # Reflex reads its configuration from the working directory.
    os.chdir(ROOT)
    _serve_application("billing_app.billing_app:create_asgi", address, announce)


def serve_api(settings: Settings, database_url: str, announce: Callable[[], None] = lambda: None) -> None:
    """Serve the API without the pages, like `serve`, and without loading Reflex.

    Raises:
        AddressUnusable: The server can't listen there.
    """
    address = find_addresses(settings)
    _pass_on(settings, database_url)
    _serve_application("billing_app.server.api_only:create_asgi", address, announce)


def _find_pages(settings: Settings) -> Build:
    if IS_WHEEL:
        return packaged_build(settings.data_dir.resolve())
    return ensure_built(print, own_dir=settings.create_data_dir())


def _serve_application(factory: str, address: ListenAddress, announce: Callable[[], None]) -> None:
    _allow_open_files()
    # Spawned rather than forked, because a fork would share this process's connections and locks.
    multiprocessing.set_start_method("spawn", force=True)
    server = Server(
        factory,
        factory=True,
        address=address.address,
        port=address.port,
        interface=Interfaces.ASGI,
        # Browsers speak HTTP/2 only over TLS, and these limits do not apply to it.
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(
            header_read_timeout=HEADER_SECONDS_MAX * 1000, max_buffer_size=HEADER_BYTES_MAX
        ),
        # Granian's documentation says requests, but it limits connections.
        backpressure=CONNECTIONS_MAX,
        workers=1,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS_MAX,
        log_level=LogLevels.warning,
        log_dictconfig=_NO_LOG_OF_ITS_OWN,
    )
    server.on_startup(lambda: _call_when_it_answers(address, announce))
    server.serve()


def _pass_on(settings: Settings, database_url: str) -> None:
    """Set what the child process reads as its settings; its working directory is another one."""
    os.environ["DATABASE_URL"] = database_url
    os.environ["BILLING_DATA_DIR"] = str(settings.data_dir.resolve())
    os.environ["BILLING_DEMO"] = str(int(settings.demo))


def _allow_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < FILES:
        wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _call_when_it_answers(address: ListenAddress, announce: Callable[[], None]) -> None:
    def wait() -> None:
        while True:
            try:
                socket.create_connection(address.reachable_from_here(), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                announce()
                return

    threading.Thread(target=wait, daemon=True).start()


def end_with_parent() -> None:
    """End this process when its parent ends, for whatever reason."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def serve_dev(settings: Settings, database_url: str, announce: Callable[[], None] = lambda: None) -> None:
    """Serve with hot reload until Ctrl-C: Vite at the settings' port, and Python at the next one.

    Vite passes the API and the websocket on to Python, so that the pages have one origin, as they do
    in production.

    Raises:
        AddressUnusable: One of the ports is taken.
    """
    backend = settings.port + 1
    for port in (settings.port, backend):
        find_listen_address("127.0.0.1", port)
    command = [
        *(sys.executable, "-m", "reflex", "run", "--env", "dev", "--backend-host", "127.0.0.1"),
        *("--frontend-port", str(settings.port), "--backend-port", str(backend)),
    ]
    _pass_on(settings, database_url)
    environment = {
        **os.environ,
        **reflex_environment(WORK, ROOT),
        DEV_BACKEND: f"http://127.0.0.1:{backend}",
    }
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
        try:
            announce()
            process.wait()
        except KeyboardInterrupt:
            # The terminal sends the interrupt to both processes.
            process.wait()
        finally:
            process.terminate()
