"""Preview a customer's upcoming invoice: the same code computes the lines, but nothing is stored.

A preview can also show what the invoice would be under a change of plan that is not saved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg import Cursor
from sqlmodel import Session

from billing_app.database.session import driver_cursor, now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.days import Segment, segments_in
from billing_app.domain.lines import Line
from billing_app.domain.periods import period_of
from billing_app.errors import Conflict
from billing_app.models import Customer
from billing_app.services.adjustments.queries import read_credit
from billing_app.services.customers.plan_changes import rows_after
from billing_app.services.customers.queries import get_customer_id
from billing_app.services.customers.rows import PlanChange, SubscriptionRow
from billing_app.services.customers.selection import read_customer
from billing_app.services.invoices.charges import compute_lines
from billing_app.services.invoices.queries import find_invoice_number
from billing_app.services.plans.plan_in_effect import CustomerMonth, SegmentReader, read_segments
from billing_app.services.plans.terms import read_plans
from billing_app.services.shared.permissions import require


@dataclass(frozen=True, slots=True)
class InvoicePreview:
    """The upcoming invoice as it would be at `as_of`."""

    customer_public_id: str
    customer_key: str
    customer_name: str
    period_start: date
    currency: str
    lines: tuple[Line, ...]
    total_minor: int
    credit_available_minor: int
    """The customer's credit, of which up to the total will be applied to the invoice."""
    as_of: datetime

    @property
    def credit_applied_minor(self) -> int:
        """The part of the credit that will be applied to the invoice."""
        return max(0, min(self.credit_available_minor, self.total_minor))

    @property
    def due_minor(self) -> int:
        """What is left to pay, which is nothing for a total below zero."""
        return max(0, self.total_minor - self.credit_applied_minor)


def preview_invoice(
    session: Session,
    actor: Actor,
    customer: str,
    period_start: date | None = None,
    change: PlanChange | None = None,
) -> InvoicePreview:
    """Compute the lines of the customer's invoice for the period as of now, with the change as if it was saved.

    The default is the current period. Earlier periods need not be invoiced yet.

    Raises:
        NotFound: `customer_not_found`.
        Conflict: `invoice_exists`, naming the invoice.
        BillingError: whatever saving the change would raise.
    """
    require(actor, Permission.READ)
    if change:
        change.check()
    period_start = period_start or period_of(now(session))
    customer_id = get_customer_id(session, customer)
    read = _segments_under(session, customer_id, change) if change else read_segments
    if number := find_invoice_number(session, customer_id, period_start):
        raise Conflict("invoice_exists", period=period_start, number=number)
    row = read_customer(session, customer_id)
    with driver_cursor(session) as db:
        lines = compute_lines(db, period_start, [customer_id], read)[customer_id]
    return InvoicePreview(
        customer_public_id=row.public_id,
        customer_key=row.key,
        customer_name=row.name,
        period_start=period_start,
        currency=row.currency,
        lines=lines,
        total_minor=sum(line.amount_minor for line in lines),
        credit_available_minor=read_credit(session, customer_id).amount_minor,
        as_of=now(session),
    )


def _segments_under(session: Session, customer_id: int, change: PlanChange) -> SegmentReader:
    """Return what reads the customer's segments as they would be after the change."""
    rows = rows_after(session, session.get_one(Customer, customer_id), change)

    def read(db: Cursor[Any], months: Iterable[CustomerMonth]) -> Mapping[CustomerMonth, tuple[Segment, ...]]:
        segments = {month: _segments_in(db, month[1], rows) for month in months}
        return {month: found for month, found in segments.items() if found}

    return read


def _segments_in(db: Cursor[Any], month: date, rows: Sequence[SubscriptionRow]) -> tuple[Segment, ...]:
    plans = read_plans(db, {row.plan_id for row in rows if row.plan_id is not None})
    changes = [(row.effective_from, plans[row.plan_id] if row.plan_id else None) for row in rows]
    return segments_in(month, changes)
