"""Closing: moving a customer's mark, so that a period takes no more usage.

A transaction that closes does nothing else and is short: it holds the gate alone. The sums are
taken in a later transaction, when no event can reach the period any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from psycopg import Cursor
from sqlmodel import Session

from billing_app.database.session import driver_cursor, now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.periods import has_ended, period_of
from billing_app.errors import Conflict
from billing_app.services.customers.plan_in_effect import plans_of
from billing_app.services.customers.queries import get_customer_id
from billing_app.services.shared import gate
from billing_app.services.shared.permissions import require


@dataclass(frozen=True, slots=True)
class Blocked:
    """A customer whose older month must be invoiced first."""

    customer_id: int
    customer_key: str
    period_start: date

    def as_conflict(self) -> Conflict:
        """The refusal in the domain's words."""
        return Conflict("earlier_period_open", period=self.period_start, customer=self.customer_key)


def require_ended(session: Session, period_start: date) -> None:
    """Raises Conflict (`period_open`) for the current month and later ones."""
    if not has_ended(period_start, now(session)):
        raise Conflict("period_open", period=period_start)


def close_period(
    session: Session, actor: Actor, *, period_start: date, customer_ids: Sequence[int]
) -> tuple[Blocked, ...]:
    """Closes the period for each customer that has no older month to be invoiced first.

    Waits for the recordings under way and keeps new ones out until the caller's transaction ends,
    which must do nothing more. Closing what is closed changes nothing. Answers the customers that
    were left as they are, with their oldest month that must come first. Raises Conflict
    (`period_open`).
    """
    require(actor, Permission.INVOICE)
    require_ended(session, period_start)
    _lock_marks(session, customer_ids)
    gate.pass_alone(session)
    with driver_cursor(session) as db:
        blocked = _blocked(db, period_start, customer_ids)
        blocked_ids = {each.customer_id for each in blocked}
        db.execute(
            "UPDATE customer_billing SET closed_through = %s"
            " WHERE customer_id = ANY(%s) AND closed_through < %s",
            [period_start, [each for each in customer_ids if each not in blocked_ids], period_start],
        )
    return blocked


def _lock_marks(session: Session, customer_ids: Sequence[int]) -> None:
    """Waits for payments and invoices under way before the gate, so that recording does not wait for
    them too; in one order, so that nobody who locks these rows deadlocks with another."""
    with driver_cursor(session) as db:
        db.execute(
            "SELECT FROM customer_billing WHERE customer_id = ANY(%s) ORDER BY customer_id FOR NO KEY UPDATE",
            [list(customer_ids)],
        )


def _blocked(db: Cursor[Any], period_start: date, customer_ids: Sequence[int]) -> tuple[Blocked, ...]:
    """The customers with an unsettled older month that has a plan or usage billed in it.

    A month with neither is passed over. For nearly everyone the month before is settled, and the
    series of months to look at is empty.
    """
    db.execute(
        """
        SELECT b.customer_id, c.key, min(m.month)::date
        FROM customer_billing b
        JOIN customer c USING (customer_id)
        CROSS JOIN LATERAL generate_series(
            b.settled_through + interval '1 month', %(period)s::date - interval '1 month',
            interval '1 month'
        ) AS m(month)
        LEFT JOIN LATERAL (
            SELECT plan_id FROM subscription s
            WHERE s.customer_id = b.customer_id AND s.effective_from <= m.month
            ORDER BY s.effective_from DESC LIMIT 1
        ) s ON true
        WHERE b.customer_id = ANY(%(ids)s)
          AND b.settled_through < %(period)s::date - interval '1 month'
          AND (s.plan_id IS NOT NULL OR EXISTS (
                SELECT FROM usage_event e
                WHERE e.customer_id = b.customer_id AND e.billing_period = m.month::date
          ))
        GROUP BY b.customer_id, c.key
        """,
        {"period": period_start, "ids": list(customer_ids)},
    )
    return tuple(Blocked(*row) for row in db)


def find_due_period(session: Session, actor: Actor, ref: str) -> date | None:
    """The customer's oldest ended month that has no invoice and something to invoice, if there is one.

    Raises NotFound (`customer_not_found`).
    """
    require(actor, Permission.READ)
    customer_id = get_customer_id(session, ref)
    with driver_cursor(session) as db:
        found = _blocked(db, period_of(now(session)), [customer_id])
    return found[0].period_start if found else None


def is_due(session: Session, customer_id: int, period_start: date) -> bool:
    """Whether there is something to invoice: a plan in the month, or usage billed in it."""
    with driver_cursor(session) as db:
        db.execute(
            "SELECT EXISTS (SELECT FROM usage_event WHERE customer_id = %s AND billing_period = %s)",
            [customer_id, period_start],
        )
        (billed,) = db.fetchone() or (False,)
        return billed or bool(plans_of(db, [(customer_id, period_start)]))
