"""Use cases of discounts: percentages or amounts that are taken off a customer's bills, month by month."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import func
from sqlmodel import Session, col, select

from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.money import major_text, parse_amount_minor, parse_percent, plain
from billing_app.domain.periods import label, next_period
from billing_app.errors import Conflict, Invalid, NotFound
from billing_app.models import Customer, CustomerBilling, Discount
from billing_app.services.adjustments.queries import lock_billing
from billing_app.services.adjustments.rows import DiscountRow
from billing_app.services.customers.queries import get_customer_id
from billing_app.services.shared import audit, validation
from billing_app.services.shared.ids import public_id
from billing_app.services.shared.permissions import require


class AppliesTo(StrEnum):
    """The part of a bill that a discount takes from."""

    ALL = "all"
    BASE = "base"
    USAGE = "usage"


def create_discount(
    session: Session,
    actor: Actor,
    customer: str,
    *,
    name: str,
    percent: object = None,
    amount: object = None,
    applies_to: str = AppliesTo.ALL,
    first_period: date,
    last_period: date | None = None,
) -> DiscountRow:
    """Give a customer a discount: `percent`, or `amount` in major units. Discounts apply in order of creation.

    Raises:
        Invalid: naming the field that breaks a rule.
        NotFound: `customer_not_found`.
        Conflict: `period_closed` if the first month is closed.
    """
    require(actor, Permission.WRITE_CUSTOMERS)
    owner, customer_id, closed_through = _lock_owner(session, customer)
    discount = Discount(
        customer_id=customer_id,
        number=_next_number(session, customer_id),
        name=validation.line("name", name, at_most=validation.NAME_MAX),
        percent=None if percent is None else validation.parsed("percent", parse_percent, percent),
        amount_minor=_parse_amount(amount, owner.currency),
        applies_to=validation.choice("applies_to", applies_to, AppliesTo),
        first_period=validation.period("first_period", first_period),
        last_period=None if last_period is None else validation.period("last_period", last_period),
        recorded_at=now(session),
        recorded_by=actor.id,
    )
    _check_discount(discount, closed_through)
    session.add(discount)
    session.flush()
    created = _as_row(discount, owner.currency)
    _record_created(session, actor, created)
    return created


def _lock_owner(session: Session, customer: str) -> tuple[Customer, int, date]:
    """Lock the customer's billing row. Return the customer, its id, and the last closed month."""
    customer_id = get_customer_id(session, customer)
    closed_through = lock_billing(session, customer_id).closed_through
    return session.get_one(Customer, customer_id), customer_id, closed_through


def _record_created(session: Session, actor: Actor, created: DiscountRow) -> None:
    amount = None if created.amount_minor is None else major_text(created.amount_minor, created.currency)
    audit.record(
        session, actor, "discount.created", public_id("cus", created.customer_id),
        discount=created.public_id, name=created.name, applies_to=created.applies_to,
        percent=None if created.percent is None else plain(created.percent),
        amount=amount, currency=created.currency if amount else None,
        first_period=label(created.first_period),
        last_period=label(created.last_period) if created.last_period else None,
    )  # fmt: skip


def _parse_amount(value: object, currency: str) -> Decimal | None:
    if value is None:
        return None
    amount_minor = validation.parsed("amount", parse_amount_minor, value, currency)
    if amount_minor <= 0:
        raise Invalid("amount", "not_positive")
    return Decimal(amount_minor)


def _next_number(session: Session, customer_id: int) -> int:
    newest = session.scalar(select(func.max(Discount.number)).where(Discount.customer_id == customer_id))
    return (newest or 0) + 1


def _check_discount(discount: Discount, closed_through: date) -> None:
    if (discount.percent is None) == (discount.amount_minor is None):
        raise Invalid("percent", "percent_or_amount")
    if discount.last_period is not None and discount.last_period < discount.first_period:
        raise Invalid("last_period", "before_first_period")
    if discount.first_period <= closed_through:
        raise Conflict("period_closed", closed_through=closed_through)


def end_discount(
    session: Session, actor: Actor, customer: str, number: int, *, last_period: date
) -> DiscountRow:
    """Set the last month of a discount that has none. Before its first month, it never applies.

    Setting the same month again changes nothing.

    Raises:
        Invalid: `last_period` is not a period.
        NotFound: `customer_not_found`, `discount_not_found`.
        Conflict: `period_closed`; `discount_ended` if it has another last month.
    """
    require(actor, Permission.WRITE_CUSTOMERS)
    last = validation.period("last_period", last_period)
    owner, customer_id, closed_through = _lock_owner(session, customer)
    discount = session.get(
        Discount, (customer_id, validation.number("discount", number)), populate_existing=True
    )
    if discount is None:
        raise NotFound("discount_not_found", named=public_id("disc", number))
    if discount.last_period == last:
        return _as_row(discount, owner.currency)
    if discount.last_period is not None:
        raise Conflict("discount_ended", name=discount.name, last_period=discount.last_period)
    never_applies = last < discount.first_period and discount.first_period > closed_through
    if last <= closed_through and not never_applies:
        raise Conflict("period_closed", closed_through=closed_through)
    discount.last_period = last
    session.flush()
    audit.record(
        session, actor, "discount.ended", public_id("cus", customer_id),
        discount=public_id("disc", discount.number), name=discount.name, last_period=label(last),
    )  # fmt: skip
    return _as_row(discount, owner.currency)


def get_open_period(session: Session, actor: Actor, customer: str) -> date:
    """Return the oldest month that is not closed for the customer, which is the first that can change."""
    require(actor, Permission.READ)
    billing = session.get_one(CustomerBilling, get_customer_id(session, customer))
    return next_period(billing.closed_through)


def list_discounts(session: Session, actor: Actor, customer: str) -> tuple[DiscountRow, ...]:
    """Return all of a customer's discounts in the order in which they apply. Raises NotFound."""
    require(actor, Permission.READ)
    owner = session.get_one(Customer, get_customer_id(session, customer))
    found = session.exec(
        select(Discount).where(Discount.customer_id == owner.customer_id).order_by(col(Discount.number))
    )
    return tuple(_as_row(discount, owner.currency) for discount in found)


def _as_row(discount: Discount, currency: str) -> DiscountRow:
    return DiscountRow(
        customer_id=discount.customer_id,
        number=discount.number,
        name=discount.name,
        percent=discount.percent,
        amount_minor=None if discount.amount_minor is None else int(discount.amount_minor),
        currency=currency,
        applies_to=AppliesTo(discount.applies_to).value,
        first_period=discount.first_period,
        last_period=discount.last_period,
        recorded_at=discount.recorded_at,
        recorded_by=discount.recorded_by,
    )
