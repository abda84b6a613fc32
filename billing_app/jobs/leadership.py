"""Locks for work that only one process may do at a time.

A transaction that does nothing else holds the lock, so it holds no snapshot and no row. The lock is released
when the block ends or the process dies. `key` comes from billing_app.database.locks: either one number, or a
kind and a number of that kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

import psycopg
from sqlalchemy import func, select
from sqlmodel import Session

from billing_app.database.session import Database, driver_cursor
from billing_app.domain.actor import Actor

# Well within session.IDLE_SECONDS_MAX, after which the database ends the transaction of a frozen process. So
# another one can do its work.
_HEARTBEAT_SECONDS = 5.0


@contextmanager
def lock(database: Database, actor: Actor, *key: int) -> Iterator[None]:
    """Hold the lock for as long as the block lasts. Waits until it is free."""
    with database.transaction(actor) as session:
        session.execute(select(func.pg_advisory_xact_lock(*key)))
        with keeping_alive(session):
            yield


@contextmanager
def try_lock(database: Database, actor: Actor, *key: int) -> Iterator[bool]:
    """Yield whether the lock was free; if so, hold it for as long as the block lasts."""
    with database.transaction(actor) as session:
        if not session.scalar(select(func.pg_try_advisory_xact_lock(*key))):
            yield False
            return
        with keeping_alive(session):
            yield True


@contextmanager
def keeping_alive(session: Session) -> Iterator[None]:
    """Use a transaction now and then while the block lasts, so that the database sees its process is alive."""
    cursor = driver_cursor(session)
    is_over = Event()

    def beat() -> None:
        # If the connection is lost, so is the lock, and leaving the transaction says so.
        with suppress(psycopg.Error):
            while not is_over.wait(_HEARTBEAT_SECONDS):
                cursor.execute("SELECT 1")

    thread = Thread(target=beat, name="leadership", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
