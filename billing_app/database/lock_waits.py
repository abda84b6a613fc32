"""Naming the lock that a migration waits for, and the session that holds it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import NamedTuple

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from billing_app.database.errors import DatabaseUnusable
from billing_app.database.session import sqlstate_of
from billing_app.database.urls import plain_url

_LOOK_EVERY_SECONDS = 0.2
_LOCK_NOT_AVAILABLE = "55P03"
_WAIT = """
    SELECT l.locktype, l.relation::regclass::text, holder.pid, a.usename, a.application_name
    FROM pg_locks l
    CROSS JOIN LATERAL unnest(pg_blocking_pids(l.pid)) AS holder(pid)
    LEFT JOIN pg_stat_activity a ON a.pid = holder.pid
    WHERE l.pid = %s AND NOT l.granted
    LIMIT 1
"""


class LockWait(NamedTuple):
    """A lock that a session waits for, and a session that holds it."""

    kind: str
    relation: str | None
    process_id: int
    role: str | None
    application: str | None

    def __str__(self) -> str:
        what = {"relation": f"the table {self.relation}", "advisory": "another migration or a restore"}
        details = [f"process {self.process_id} of the database server"]
        details += [f"role {self.role}"] if self.role else []
        details += [f"application {self.application}"] if self.application else []
        return f"{what.get(self.kind, 'another transaction')} ({', '.join(details)})"


class _Watch(Thread):
    """Looks every now and then what a session is waiting for, because it can't be known afterwards."""

    def __init__(self, url: str, process_id: int) -> None:
        super().__init__(name="lock-watch", daemon=True)
        self._url, self._process_id = url, process_id
        self._is_over = Event()
        self.found: LockWait | None = None

    def run(self) -> None:
        """Look until stopped. Without a connection to look with, nothing is found."""
        with suppress(psycopg.Error), psycopg.connect(plain_url(self._url), autocommit=True) as connection:
            while not self._is_over.wait(_LOOK_EVERY_SECONDS):
                row = connection.execute(_WAIT, [self._process_id]).fetchone()
                self.found = LockWait(*row) if row else self.found

    def stop(self) -> None:
        """Stop looking."""
        self._is_over.set()
        self.join()


@contextmanager
def naming_lock_waits(connection: Connection, url: str, seconds_max: int) -> Iterator[None]:
    """Refuse by a sentence when the connection waited too long for a lock within the block.

    Raises:
        DatabaseUnusable: Its `lock_timeout`, which is `seconds_max`, has passed.
    """
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    watch = _Watch(url, driver.info.backend_pid)
    watch.start()
    try:
        yield
    except (DBAPIError, psycopg.Error) as error:
        if sqlstate_of(error) != _LOCK_NOT_AVAILABLE:
            raise
        raise DatabaseUnusable(
            f"The migration waited {seconds_max} seconds for {watch.found or 'a lock'}. Nothing was changed. "
            "Run `billing migrate` again when that has ended."
        ) from error
    finally:
        watch.stop()
