"""The filter that lists, totals and exports of invoices share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from billing_app.domain.invoice import AGES, Age, PaymentStatus
from billing_app.errors import Invalid

OUTSTANDING = "outstanding"
"""Selects the statuses with something left to pay. It is not a status itself."""
STATUSES = ("unpaid", "partially_paid", "paid", "overdue", "credit", OUTSTANDING)
NOTHING_LEFT_TO_PAY: tuple[PaymentStatus, ...] = ("paid", "credit")


@dataclass(frozen=True, slots=True)
class InvoiceFilter:
    """A selection of invoices. A field that is None selects everything.

    `customer` is an id or a key, `status` one of STATUSES, and `age` the name of one of AGES.
    `search` finds the beginning of a number, and any part of a customer's current name or key.
    """

    customer: str | None = None
    period: date | None = None
    status: str | None = None
    age: str | None = None
    currency: str | None = None
    search: str | None = None

    def check_status(self) -> None:
        """Raise Invalid unless the status is one of STATUSES."""
        if self.status is not None and self.status not in STATUSES:
            raise Invalid("status", "not_a_choice", choices=STATUSES)

    def find_age(self) -> Age | None:
        """Return the age that the filter names. Raises Invalid."""
        if self.age is None:
            return None
        for age in AGES:
            if age.name == self.age:
                return age
        raise Invalid("age", "not_a_choice", choices=[age.name for age in AGES])

    def includes_status(self, status: PaymentStatus) -> bool:
        """Return whether invoices with this status are selected."""
        if self.status == OUTSTANDING:
            return status not in NOTHING_LEFT_TO_PAY
        return self.status in (None, status)


ALL_INVOICES = InvoiceFilter()
