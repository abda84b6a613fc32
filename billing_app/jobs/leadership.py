"""Locks for work that only one process may do at a time.

A transaction that does nothing else holds the lock, so it holds no snapshot and no row. The lock is released
when the block ends or the process dies. `key` comes from billing_app.database.locks: either one number, or a
kind and a number of that kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import func, select

from billing_app.database.session import Database
from billing_app.domain.actor import Actor


@contextmanager
def lock(database: Database, actor: Actor, *key: int) -> Iterator[None]:
    """Hold the lock until the block ends. Waits until it is free."""
    with database.transaction(actor) as session:
        session.execute(select(func.pg_advisory_xact_lock(*key)))
        yield


@contextmanager
def try_lock(database: Database, actor: Actor, *key: int) -> Iterator[bool]:
    """Hold the lock until the block ends if it is free. Yield whether it was free."""
    with database.transaction(actor) as session:
        yield bool(session.scalar(select(func.pg_try_advisory_xact_lock(*key))))
