"""The entry point to the embedded PostgreSQL: a server that runs while any process uses it.

`use_server(data_dir)` starts the server or joins the one that another process started. If the server crashes
while it is in use, it is restarted. The last process to leave stops it.

Every process that uses the server holds a shared kernel lock on `users.lock`. A process that gets the lock
exclusively is the last one. It keeps the lock while it stops the server, so that new users wait. The kernel
also releases the lock of a process that is killed.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

from billing_app.database.embedded.accounts import server_account
from billing_app.database.embedded.places import find_home
from billing_app.database.embedded.postgres import SUPERUSER, Postgres, lock_exclusively
from billing_app.database.embedded.server_settings import PORT
from billing_app.database.embedded.watcher import Watcher


@dataclass(frozen=True)
class Server:
    """A running server: where to reach it, and its superuser."""

    socket_dir: Path
    port: int
    superuser: str

    def url(self, database: str, user: str) -> str:
        """Return the SQLAlchemy URL of a database on this server."""
        where = f"host={quote(str(self.socket_dir))}&port={self.port}"
        return f"postgresql+psycopg://{quote(user, safe='')}@/{quote(database, safe='')}?{where}"


@contextmanager
def use_server(data_dir: Path) -> Iterator[Server]:
    """Start or join the server of this directory; stop it on leaving if no other process uses it.

    Creates the server if it does not exist, and waits until it accepts connections, also while it recovers or
    while another process starts it. If it crashes within the block, it is restarted, as often as necessary. A
    killed process no longer counts as a user, but leaves the server running until the next user leaves. A
    child created by `fork` counts together with its parent.

    Raises:
        EmbeddedPostgresError: The server can't be used. The message says why.
    """
    account = server_account()
    postgres = Postgres(find_home(data_dir), account)
    process_id = os.getpid()
    with postgres.open("users.lock") as users:
        try:
            fcntl.flock(users, fcntl.LOCK_SH)
            postgres.ensure_running()
            with Watcher(postgres):
                yield Server(postgres.socket_dir, PORT, SUPERUSER)
        finally:
            if os.getpid() == process_id:
                _leave(postgres, users)


@contextmanager
def use_temporary_server() -> Iterator[Server]:
    """Start a server for tests or benchmarks, with its own data, which is deleted when the block ends."""
    with tempfile.TemporaryDirectory(prefix="tallybook-") as directory:
        # Its mode is 0700, but under root the server's account must be able to enter it.
        Path(directory).chmod(0o711)
        with use_server(Path(directory) / "postgres") as server:
            yield server


def _leave(postgres: Postgres, users: IO[str]) -> None:
    """Release this process's share of the server, and stop the server if no other process uses it."""
    # Released first: if two processes leave at once, one of them can still get the exclusive lock.
    fcntl.flock(users, fcntl.LOCK_UN)
    try:
        if lock_exclusively(users):
            postgres.ensure_stopped()
    finally:
        # Unlocked explicitly, because closing the file keeps the lock while a forked child has it open.
        fcntl.flock(users, fcntl.LOCK_UN)
