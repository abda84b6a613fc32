"""The embedded PostgreSQL as its users see it: a server that runs while any process uses it.

`use_server(data_dir)` starts the server or joins the one that another process started. While it is
in use, a crash of the server is noticed and it is started again. The last process to leave stops it.

A lock of the kernel on `users.lock` counts the users: each holds it shared, and a process that can
take it exclusively is the last one. That process keeps it while stopping the server, so that new
users wait. A process that is killed releases its lock like any other.
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

    The server is created if it does not exist, and accepts connections when the block starts: one
    that is recovering, or that another process is starting, is waited for. If it crashes while the
    block lasts, it is started again, over and over until it can. A process that ends without
    leaving, by `kill -9` for instance, no longer counts as a user; the next one to leave stops the
    server. A child created by `fork` shares its parent's use.

    Raises:
        EmbeddedPostgresError: The server can't be used; the message says why.
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
    """Start a server with data of its own, deleted on leaving: for tests and measurements."""
    with tempfile.TemporaryDirectory(prefix="tallybook-") as directory:
        # Its mode is 0700, and under root the server's account must pass through.
        Path(directory).chmod(0o711)
        with use_server(Path(directory) / "postgres") as server:
            yield server


def _leave(postgres: Postgres, users: IO[str]) -> None:
    """Stop being a user, and stop the server if there is no other."""
    # Released before it is taken exclusively: of two processes that leave at once, one succeeds.
    fcntl.flock(users, fcntl.LOCK_UN)
    try:
        if lock_exclusively(users):
            postgres.ensure_stopped()
    finally:
        # Explicitly, because a forked child may have the file open, which would keep the lock.
        fcntl.flock(users, fcntl.LOCK_UN)
