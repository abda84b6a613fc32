"""Work that one process does, of all that look for some."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text

from billing_app.database.session import Database
from billing_app.domain.actor import Actor


@contextmanager
def only_one(database: Database, actor: Actor, kind: int, number: int) -> Iterator[bool]:
    """Whether this process is the one that does this work, for as long as the block lasts.

    `kind` is one of billing_app.database.locks. The transaction does nothing but hold the lock: it keeps no
    snapshot and no row, and is gone with the process.
    """
    key = {"kind": kind, "number": number}
    with database.transaction(actor) as session:
        yield bool(session.scalar(text("SELECT pg_try_advisory_xact_lock(:kind, :number)"), key))
