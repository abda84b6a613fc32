"""Close periods: advance a customer's mark, after which the period accepts no more usage.

The transaction that closes does nothing else and is short, because it holds the gate exclusively. Usage is
summed in a later transaction, when no event can be added to the period any more.
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
from billing_app.domain.periods import period_of
from billing_app.errors import Conflict
from billing_app.services.adjustments.queries import has_items_in
from billing_app.services.customers.queries import get_customer_id
from billing_app.services.invoices.month_usage import find_periods_with_late_usage
from billing_app.services.invoices.preconditions import require_ended
from billing_app.services.plans.plan_in_effect import has_plan_in
from billing_app.services.shared import gate
from billing_app.services.shared.permissions import require


@dataclass(frozen=True, slots=True)
class BlockedCustomer:
    """A customer with an older period that must be invoiced first."""

    customer_id: int
    customer_key: str
    period_start: date
    """The older period that must be invoiced first."""

    def as_conflict(self) -> Conflict:
        """Return the refusal that names the older period."""
        return Conflict("earlier_period_open", period=self.period_start, customer=self.customer_key)


def close_period(
    session: Session, actor: Actor, *, period_start: date, customer_ids: Sequence[int]
) -> tuple[BlockedCustomer, ...]:
    """Close the period for each customer without an older period to invoice first. Return the others.

    Waits for recordings in progress and blocks new ones until the caller's transaction ends, so that
    transaction must do nothing more. Closing a closed period changes nothing.

    Raises:
        Conflict: `period_open`.
    """
    require(actor, Permission.INVOICE)
    require_ended(session, period_start)
    _lock_billing_rows(session, customer_ids)
    gate.hold_exclusively(session)
    with driver_cursor(session) as db:
        blocked = _find_blocked(db, period_start, customer_ids)
        blocked_ids = {customer.customer_id for customer in blocked}
        db.execute(
            "UPDATE customer_billing SET closed_through = %s"
            " WHERE customer_id = ANY(%s) AND closed_through < %s",
            [period_start, [each for each in customer_ids if each not in blocked_ids], period_start],
        )
    return blocked


def _lock_billing_rows(session: Session, customer_ids: Sequence[int]) -> None:
    """Lock the billing rows before taking the gate.

    Payments and invoices lock them too. Waiting for those while holding the gate would block recording. The
    rows are always locked in the same order, so that two transactions can't deadlock.
    """
    with driver_cursor(session) as db:
        db.execute(
            "SELECT FROM customer_billing WHERE customer_id = ANY(%s) ORDER BY customer_id FOR NO KEY UPDATE",
            [list(customer_ids)],
        )


def _find_blocked(
    db: Cursor[Any], period_start: date, customer_ids: Sequence[int]
) -> tuple[BlockedCustomer, ...]:
    """Find the customers with an older unsettled period that has a plan, or bills late usage or an item.

    An older period with neither doesn't block. For most customers the previous period is settled, so there
    are no months to check.
    """
    db.execute(
        f"""
        SELECT b.customer_id, c.key, m.month::date,
               {has_plan_in("b.customer_id", "m.month::date")}
               OR {has_items_in("b.customer_id", "m.month::date")}
        FROM customer_billing b
        JOIN customer c USING (customer_id)
        CROSS JOIN LATERAL generate_series(
            b.settled_through + interval '1 month', %(period)s::date - interval '1 month',
            interval '1 month'
        ) AS m(month)
        WHERE b.customer_id = ANY(%(ids)s)
          AND b.settled_through < %(period)s::date - interval '1 month'
        ORDER BY 1, 3
        """,
        {"period": period_start, "ids": list(customer_ids)},
    )
    rows = db.fetchall()
    unsure = [(customer_id, month) for customer_id, _, month, has_charges in rows if not has_charges]
    late = find_periods_with_late_usage(db, unsure)
    # The first of each customer.
    blocked: dict[int, BlockedCustomer] = {}
    for customer_id, key, month, has_charges in rows:
        if has_charges or (customer_id, month) in late:
            blocked.setdefault(customer_id, BlockedCustomer(customer_id, key, month))
    return tuple(blocked.values())


def find_due_period(session: Session, actor: Actor, customer: str) -> date | None:
    """Return the customer's oldest ended period that still has to be invoiced, or None.

    Raises:
        NotFound: `customer_not_found`.
    """
    require(actor, Permission.READ)
    customer_id = get_customer_id(session, customer)
    with driver_cursor(session) as db:
        blocked = _find_blocked(db, period_of(now(session)), [customer_id])
    return blocked[0].period_start if blocked else None
