"""The gate between recording and closing.

Recording reads a customer's closing mark and then inserts events. Closing advances the mark and later sums
the events. If the mark could advance between the two steps of recording, an event would be added to a closed
period. So recording holds this gate shared and closing holds it exclusively, each until its transaction ends.
Each takes it in a separate statement before it reads the mark. At READ COMMITTED, the next statement then
sees everything that was committed while it waited.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlmodel import Session

from billing_app.database import locks


def hold_shared(session: Session) -> None:
    """Hold the gate shared, to record usage. Waits while a mark, a plan or a suspension changes."""
    session.execute(text("SELECT pg_advisory_xact_lock_shared(:gate)"), {"gate": locks.GATE})


def hold_exclusively(session: Session) -> None:
    """Hold the gate exclusively, to change a mark, a plan or a suspension. Waits for recordings."""
    session.execute(text("SELECT pg_advisory_xact_lock(:gate)"), {"gate": locks.GATE})
