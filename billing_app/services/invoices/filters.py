"""Which invoices a list, a file or a sum is of: by customer, month, status, age, currency and search."""

from __future__ import annotations

from datetime import date
from typing import Any, NamedTuple

from sqlmodel import Session

from billing_app.database.session import now
from billing_app.errors import Invalid
from billing_app.services.customers.queries import get_customer_id
from billing_app.services.invoices.search import found_by
from billing_app.services.shared import validation

STATUSES = ("unpaid", "partially_paid", "paid", "overdue", "outstanding")
# The rule of `domain.invoice.payment_status`, for finding invoices by their JOIN_OPEN.
_OF_STATUS = {
    "paid": "o.customer_id IS NULL",
    "overdue": "o.due_on < %(today)s",
    "partially_paid": "o.due_on >= %(today)s AND o.paid_minor > 0",
    "unpaid": "o.due_on >= %(today)s AND o.paid_minor = 0",
    # No status of an invoice: whatever is left to pay, due or not.
    "outstanding": "o.customer_id IS NOT NULL",
}


class Age(NamedTuple):
    """What is not paid in full and past due by so many days (`days_to` None: and more); 0: not due."""

    name: str
    days_from: int
    days_to: int | None


AGES = (
    Age("current", 0, 0),
    Age("1-30", 1, 30),
    Age("31-60", 31, 60),
    Age("61-90", 61, 90),
    Age("over-90", 91, None),
)


def chosen(
    session: Session,
    *,
    customer: str | None,
    period: date | None,
    status: str | None,
    age: str | None,
    currency: str | None,
    search: str | None,
) -> tuple[list[str], dict[str, Any]]:
    """The conditions on `invoice i` and its JOIN_OPEN, and their parameters."""
    conditions = [_of_status(status)]
    parameters: dict[str, Any] = {"today": now(session).date()}
    if customer is not None:
        conditions.append("i.customer_id = %(customer_id)s")
        parameters["customer_id"] = get_customer_id(session, customer)
    if period is not None:
        conditions.append("i.period_start = %(period)s")
        parameters["period"] = period
    if age is not None:
        conditions.append(_of_age(find_age(age)))
    if currency is not None:
        conditions.append("i.currency = %(currency)s")
        parameters["currency"] = validation.line("currency", currency, at_most=validation.NAME_MAX)
    if search:
        condition, values = found_by(session, search)
        conditions.append(condition)
        parameters |= values
    return conditions, parameters


def _of_status(status: str | None) -> str:
    if status is not None and status not in STATUSES:
        raise Invalid("status", "not_a_choice", choices=STATUSES)
    return _OF_STATUS[status] if status else "true"


def find_age(name: str) -> Age:
    """The age of this name; raises Invalid."""
    for age in AGES:
        if age.name == name:
            return age
    raise Invalid("age", "not_a_choice", choices=[age.name for age in AGES])


def _of_age(age: Age) -> str:
    """By the rule that `services.figures` counts ages by."""
    if not age.days_from:
        return "o.due_on >= %(today)s"
    first = f"o.due_on <= %(today)s - {age.days_from}"
    return f"{first} AND o.due_on >= %(today)s - {age.days_to}" if age.days_to else first
