"""Suspensions: intervals during which a customer's usage is rejected. Past ones are kept."""

from __future__ import annotations

from sqlalchemy import func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, update

from billing_app.database.session import now
from billing_app.models import Suspension


def set_suspended(session: Session, customer_id: int, suspended: bool) -> bool:
    """Start or end a suspension now, and return whether that changed anything.

    The caller must hold the gate exclusively and have locked the customer.
    """
    return _start(session, customer_id) if suspended else _end(session, customer_id)


def _start(session: Session, customer_id: int) -> bool:
    open_suspension = select(literal(1)).where(
        col(Suspension.customer_id) == customer_id, col(Suspension.ended_at).is_(None)
    )
    if session.scalar(open_suspension):
        return False
    # A suspension that started and ended at this very moment has the same key, so it is reopened.
    session.execute(
        insert(Suspension)
        .values(customer_id=customer_id, started_at=now(session))
        .on_conflict_do_update(index_elements=["customer_id", "started_at"], set_={"ended_at": None})
    )
    return True


def _end(session: Session, customer_id: int) -> bool:
    ended = session.scalar(
        update(Suspension)
        .where(col(Suspension.customer_id) == customer_id, col(Suspension.ended_at).is_(None))
        # If the clock was set back, the suspension becomes empty instead of ending before it started.
        .values(ended_at=func.greatest(col(Suspension.started_at), now(session)))
        .returning(col(Suspension.customer_id))
    )
    return ended is not None
