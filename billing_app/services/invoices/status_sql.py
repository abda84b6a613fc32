"""Payment status and age in SQL, with the same rules as `payment_status` and `AGES` in `domain.invoice`.

Every query gets them from here. Their only parameter is `today`, the current UTC date.
"""

from __future__ import annotations

from billing_app.domain.invoice import AGES, Age, PaymentStatus


def status_case(*, total: str, paid: str, due_on: str) -> str:
    """Return a CASE expression for the payment status, given SQL expressions for its inputs."""
    conditions = _conditions(total=total, is_paid=f"{paid} >= {total}", paid=paid, due_on=due_on)
    branches = " ".join(f"WHEN {condition} THEN '{status}'" for status, condition in conditions.items())
    return f"CASE {branches} END"


def has_status(status: PaymentStatus) -> str:
    """Return a condition on `invoice i` LEFT JOIN `open_invoice o` that can use the indexes."""
    conditions = _conditions(
        total="i.total_minor", is_paid="o.customer_id IS NULL", paid="o.paid_minor", due_on="o.due_on"
    )
    statuses = list(conditions)
    earlier = statuses[: statuses.index(status)]
    return " AND ".join([*(f"NOT {conditions[each]}" for each in earlier), conditions[status]])


IS_OUTSTANDING = "o.customer_id IS NOT NULL"
"""A condition on `open_invoice o`: an amount is outstanding, whether or not it is due."""


def _conditions(*, total: str, is_paid: str, paid: str, due_on: str) -> dict[PaymentStatus, str]:
    """Return the condition of each status. An invoice has the first status whose condition is true."""
    return {
        "credit": f"({total} < 0)",
        "paid": f"({is_paid})",
        "overdue": f"({due_on} < %(today)s)",
        "partially_paid": f"({paid} > 0)",
        "unpaid": "true",
    }


def age_case(due_on: str) -> str:
    """Return a CASE expression for the `days_from` of an outstanding invoice's age."""
    branches = " ".join(f"WHEN {has_age(age, due_on)} THEN {age.days_from}" for age in AGES)
    return f"CASE {branches} END"


def has_age(age: Age, due_on: str) -> str:
    """Return a condition for outstanding invoices of this age."""
    if not age.days_from:
        return f"{due_on} >= %(today)s"
    at_least = f"{due_on} <= %(today)s - {age.days_from}"
    return f"{at_least} AND {due_on} >= %(today)s - {age.days_to}" if age.days_to else at_least
