"""Work that only one process may do at a time.

The lock is held by a transaction that does nothing else, so it keeps no snapshot and no row. It is
released when the block ends or the process dies. `key` is one of billing_app.database.locks: one
number, or one of the kinds and a number of that kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import func, select

from billing_app.database.session import Database
from billing_app.domain.actor import Actor


@contextmanager
def lock(database: Database, actor: Actor, *key: int) -> Iterator[None]:
    """Hold the lock for as long as the block lasts. Waits until it is free."""
    with database.transaction(actor) as session:
        session.execute(select(func.pg_advisory_xact_lock(*key)))
        yield


@contextmanager
def try_lock(database: Database, actor: Actor, *key: int) -> Iterator[bool]:
    """Yield whether the lock was free; if so, hold it for as long as the block lasts."""
    with database.transaction(actor) as session:
        yield bool(session.scalar(select(func.pg_try_advisory_xact_lock(*key))))
