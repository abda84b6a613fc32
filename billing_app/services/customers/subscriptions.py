"""Use cases of subscriptions: which plan a customer is on from which day."""

from __future__ import annotations

from datetime import date

from sqlmodel import Session, col, delete

from billing_app.domain.actor import Actor, Permission
from billing_app.models import Customer, Subscription
from billing_app.services.customers.plan_changes import read_rows, rows_after
from billing_app.services.customers.queries import get_customer_id, lock_customer
from billing_app.services.customers.rows import PlanChange, SubscriptionRow
from billing_app.services.shared import audit, gate, validation
from billing_app.services.shared.ids import public_id
from billing_app.services.shared.permissions import require


def set_plan(
    session: Session,
    actor: Actor,
    ref: str,
    *,
    plan_id: int | None,
    effective_from: date,
    confirm_unpriced: bool = False,
    version: int | None = None,
) -> tuple[SubscriptionRow, ...]:
    """Set or cancel the customer's plan from a day on, and return all of its subscription rows.

    Replaces whatever was set for that day and later days. A change that changes nothing writes nothing.
    `confirm_unpriced` allows recorded usage to lose its price.

    Raises:
        Invalid: `effective_from` is not a day, or `plan_id` not a number.
        NotFound: `customer_not_found` or `plan_not_found`.
        Conflict: `stale` when `version` is not the newest, and what `plan_changes.rows_after` raises.
    """
    require(actor, Permission.WRITE_CUSTOMERS)
    change = PlanChange(plan_id, effective_from, confirm_unpriced)
    change.check()
    gate.hold_exclusively(session)
    customer = lock_customer(session, ref)
    assert customer.customer_id is not None
    validation.refuse_stale(version, customer.version)
    after = rows_after(session, customer, change)
    if after != read_rows(session, customer.customer_id):
        _replace(session, customer, change, after)
        audit.record(
            session, actor, "subscription.changed" if plan_id else "subscription.cancelled",
            public_id("cus", customer.customer_id),
            plan=public_id("plan", plan_id) if plan_id else None, effective_from=effective_from.isoformat(),
        )  # fmt: skip
    return after


def _replace(
    session: Session, customer: Customer, change: PlanChange, after: tuple[SubscriptionRow, ...]
) -> None:
    """Write the rows from the change's first day on, which are one or none."""
    assert customer.customer_id is not None
    session.execute(
        delete(Subscription).where(
            col(Subscription.customer_id) == customer.customer_id,
            col(Subscription.effective_from) >= change.effective_from,
        )
    )
    for row in after:
        if row.effective_from >= change.effective_from:
            session.add(
                Subscription(
                    customer_id=customer.customer_id,
                    effective_from=row.effective_from,
                    plan_id=row.plan_id,
                    currency=customer.currency,
                )
            )
    customer.version += 1
    session.flush()


def list_subscriptions(session: Session, actor: Actor, ref: str) -> tuple[SubscriptionRow, ...]:
    """Return all of the customer's subscription rows, oldest first, at most one per day."""
    require(actor, Permission.READ)
    return read_rows(session, get_customer_id(session, ref))
