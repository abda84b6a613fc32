"""Use cases of subscriptions: which plan a customer is on from which month."""

from __future__ import annotations

from datetime import date

from sqlmodel import Session, col, delete, select

from billing_app.domain.actor import Actor, Permission
from billing_app.domain.periods import bounds, label
from billing_app.domain.subscription import in_effect
from billing_app.errors import Conflict
from billing_app.models import Customer, CustomerBilling, Plan, Subscription, UsageEvent
from billing_app.services.customers.queries import get_customer_id, lock_customer
from billing_app.services.customers.rows import SubscriptionRow
from billing_app.services.plans.queries import find_plan, refuse_archived
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
    version: int | None = None,
) -> tuple[SubscriptionRow, ...]:
    """Set or cancel the customer's plan from a month on, and return all of its subscription rows.

    Replaces whatever was set for that month and later months.

    Raises:
        Invalid: `effective_from` is not a period.
        NotFound: `customer_not_found` or `plan_not_found`.
        Conflict: `period_closed`; `usage_recorded` when a month with usage would lose its plan;
            `currency_mismatch`; `plan_archived`; `stale` when `version` is not the newest.
    """
    require(actor, Permission.WRITE_CUSTOMERS)
    month = validation.period("effective_from", effective_from)
    gate.hold_exclusively(session)
    customer = lock_customer(session, ref)
    assert customer.customer_id is not None
    validation.refuse_stale(version, customer.version)
    _refuse_closed(session, customer.customer_id, month)
    if plan_id is None:
        _refuse_if_used(session, customer.customer_id, month)
    else:
        _refuse_unsuitable(session, customer, find_plan(session, plan_id), month)
    _replace(session, customer.customer_id, plan_id, month, customer.currency)
    customer.version += 1
    audit.record(
        session, actor, "subscription.changed" if plan_id else "subscription.cancelled",
        public_id("cus", customer.customer_id),
        plan=public_id("plan", plan_id) if plan_id else None, effective_from=label(month),
    )  # fmt: skip
    return _read_rows(session, customer.customer_id)


def _refuse_closed(session: Session, customer_id: int, month: date) -> None:
    closed_through = session.get_one(CustomerBilling, customer_id).closed_through
    if month <= closed_through:
        raise Conflict("period_closed", closed_through=closed_through)


def _refuse_if_used(session: Session, customer_id: int, month: date) -> None:
    used = session.exec(
        select(UsageEvent.customer_id)
        .where(
            UsageEvent.customer_id == customer_id,
            # Redundant with the next condition, but it lets the query use the index.
            col(UsageEvent.billing_period) >= month,
            col(UsageEvent.occurred_at) >= bounds(month)[0],
        )
        .limit(1)
    )
    if used.first() is not None:
        raise Conflict("usage_recorded", period=month)


def _refuse_unsuitable(session: Session, customer: Customer, plan: Plan, month: date) -> None:
    if plan.currency != customer.currency:
        raise Conflict("currency_mismatch", plan_currency=plan.currency, customer_currency=customer.currency)
    current = in_effect(_read_rows(session, customer.customer_id or 0), month)
    # A customer who is on an archived plan may stay on it.
    if current is None or current.plan_id != plan.plan_id:
        refuse_archived(plan)


def _replace(session: Session, customer_id: int, plan_id: int | None, month: date, currency: str) -> None:
    later = (
        col(Subscription.customer_id) == customer_id,
        col(Subscription.effective_from) >= month,
    )
    session.execute(delete(Subscription).where(*later))
    session.add(
        Subscription(customer_id=customer_id, effective_from=month, plan_id=plan_id, currency=currency)
    )
    session.flush()


def list_subscriptions(session: Session, actor: Actor, ref: str) -> tuple[SubscriptionRow, ...]:
    """Return all of the customer's subscription rows, oldest first, at most one per month."""
    require(actor, Permission.READ)
    return _read_rows(session, get_customer_id(session, ref))


def _read_rows(session: Session, customer_id: int) -> tuple[SubscriptionRow, ...]:
    found = session.exec(
        select(Subscription, Plan)
        .join(Plan, col(Plan.plan_id) == col(Subscription.plan_id), isouter=True)
        .where(Subscription.customer_id == customer_id)
        .order_by(col(Subscription.effective_from))
    )
    return tuple(
        SubscriptionRow(
            effective_from=row.effective_from,
            plan_id=row.plan_id,
            plan_name=plan.name if plan else None,
            plan_version=plan.version if plan else None,
        )
        for row, plan in found
    )
