"""Suspensions: intervals in which a customer's usage is refused, and which stay once they are over."""

from __future__ import annotations

from sqlalchemy import func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, update

from billing_app.database.session import now
from billing_app.models import Suspension


def set_suspended(session: Session, customer_id: int, suspended: bool) -> bool:
    """Begins, or ends, a suspension at this moment; answers whether that changed anything.

    The caller has passed the gate alone and has locked the customer.
    """
    return _begin(session, customer_id) if suspended else _end(session, customer_id)


def _begin(session: Session, customer_id: int) -> bool:
    under_way = select(literal(1)).where(
        col(Suspension.customer_id) == customer_id, col(Suspension.ended_at).is_(None)
    )
    if session.scalar(under_way):
        return False
    # One that began at this very moment is over already, and empty: it goes on.
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
        # A clock that was set back makes it empty rather than impossible.
        .values(ended_at=func.greatest(col(Suspension.started_at), now(session)))
        .returning(col(Suspension.customer_id))
    )
    return ended is not None
