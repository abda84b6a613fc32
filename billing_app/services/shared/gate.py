"""The gate between recording and closing.

Recording reads a customer's closing mark and inserts; closing moves the mark and sums afterwards.
An event must not be inserted under a mark that was moved in between. So recording holds this gate
shared and closing holds it exclusive, each to the end of its transaction, and each in a statement
of its own before it reads the mark: at READ COMMITTED the next statement then sees all that was
committed while it waited.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlmodel import Session

from billing_app.database import locks


def pass_shared(session: Session) -> None:
    """For recording usage: many at once, none while a mark, a plan or a suspension moves."""
    session.execute(text("SELECT pg_advisory_xact_lock_shared(:gate)"), {"gate": locks.GATE})


def pass_alone(session: Session) -> None:
    """For moving a mark, a plan or a suspension: alone, and with no recording under way."""
    session.execute(text("SELECT pg_advisory_xact_lock(:gate)"), {"gate": locks.GATE})
