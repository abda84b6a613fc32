"""Which plan a customer is on from which month."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlmodel import Session, col, delete, select

from billing_app.domain import rating
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.periods import bounds, label
from billing_app.errors import Conflict
from billing_app.models import Customer, CustomerBilling, Plan, Subscription, UsageEvent
from billing_app.services.customers.customers import get_customer_id, lock_customer
from billing_app.services.plans.plans import as_terms, find_plan, refuse_archived
from billing_app.services.shared import audit, gate, validation
from billing_app.services.shared.ids import public_id
from billing_app.services.shared.permissions import require


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """From `effective_from`, the first day of a month, the customer is on this plan.

    Without a plan the subscription ends there.
    """

    effective_from: date
    plan_id: int | None
    plan_name: str | None
    plan_version: int | None


def set_plan(
    session: Session,
    actor: Actor,
    ref: str,
    *,
    plan_id: int | None,
    effective_from: date,
    version: int | None = None,
) -> tuple[SubscriptionRow, ...]:
    """From the month on the customer is on the plan, or on none, whatever was set for later.

    Closed months keep theirs (Conflict `period_closed`), recorded usage keeps a plan
    (`usage_recorded`), a customer keeps its currency (`currency_mismatch`). Raises also Conflict
    `plan_archived`, `stale`, NotFound `customer_not_found`, `plan_not_found`. Answers all rows.
    """
    require(actor, Permission.WRITE_CUSTOMERS)
    month = validation.period("effective_from", effective_from)
    gate.pass_alone(session)
    customer = lock_customer(session, ref)
    assert customer.customer_id is not None
    validation.refuse_stale(version, customer.version)
    _refuse_closed(session, customer.customer_id, month)
    if plan_id is None:
        _refuse_used(session, customer.customer_id, month)
    else:
        _refuse_unfit(session, customer, find_plan(session, plan_id), month)
    _replace(session, customer.customer_id, plan_id, month, customer.currency)
    customer.version += 1
    audit.record(
        session, actor, "subscription.changed" if plan_id else "subscription.cancelled",
        public_id("cus", customer.customer_id),
        plan=public_id("plan", plan_id) if plan_id else None, effective_from=label(month),
    )  # fmt: skip
    return _rows(session, customer.customer_id)


def _refuse_closed(session: Session, customer_id: int, month: date) -> None:
    closed_through = session.get_one(CustomerBilling, customer_id).closed_through
    if month <= closed_through:
        raise Conflict("period_closed", closed_through=closed_through)


def _refuse_used(session: Session, customer_id: int, month: date) -> None:
    used = session.exec(
        select(UsageEvent.customer_id)
        .where(
            UsageEvent.customer_id == customer_id,
            # Implied by the next line; it is what the index is ordered by.
            col(UsageEvent.billing_period) >= month,
            col(UsageEvent.occurred_at) >= bounds(month)[0],
        )
        .limit(1)
    )
    if used.first() is not None:
        raise Conflict("usage_recorded", period=month)


def _refuse_unfit(session: Session, customer: Customer, plan: Plan, month: date) -> None:
    if plan.currency != customer.currency:
        raise Conflict("currency_mismatch", plan_currency=plan.currency, customer_currency=customer.currency)
    present = plan_in(plan_history(session, customer.customer_id or 0), month)
    # Staying on an archived plan is no move onto it.
    if present is None or present.plan_id != plan.plan_id:
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
    """All of the customer's rows, oldest first: at most one a month."""
    require(actor, Permission.READ)
    return _rows(session, get_customer_id(session, ref))


def _rows(session: Session, customer_id: int) -> tuple[SubscriptionRow, ...]:
    return tuple(
        SubscriptionRow(
            effective_from=row.effective_from,
            plan_id=row.plan_id,
            plan_name=plan.name if plan else None,
            plan_version=plan.version if plan else None,
        )
        for row, plan in _rows_with_plans(session, customer_id)
    )


def _rows_with_plans(session: Session, customer_id: int) -> Sequence[tuple[Subscription, Plan | None]]:
    return session.exec(
        select(Subscription, Plan)
        .join(Plan, col(Plan.plan_id) == col(Subscription.plan_id), isouter=True)
        .where(Subscription.customer_id == customer_id)
        .order_by(col(Subscription.effective_from))
    ).all()


@dataclass(frozen=True, slots=True)
class PlanFrom:
    """The terms from a month on; None after a cancellation."""

    effective_from: date
    plan: rating.Plan | None


def plan_history(session: Session, customer_id: int) -> tuple[PlanFrom, ...]:
    """The customer's terms month by month, oldest first. For services that asked for permission."""
    return tuple(
        PlanFrom(row.effective_from, as_terms(plan) if plan else None)
        for row, plan in _rows_with_plans(session, customer_id)
    )


def plan_in(history: Sequence[PlanFrom], month: date) -> rating.Plan | None:
    """The terms of a month: the newest row's that is in effect; None without a plan."""
    in_effect = [each.plan for each in history if each.effective_from <= month]
    return in_effect[-1] if in_effect else None
