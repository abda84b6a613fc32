"""Invoices as services return them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from billing_app.domain.invoice import BilledCustomer, Issuer, PaymentStatus
from billing_app.domain.lines import Line
from billing_app.services.shared.ids import public_id


@dataclass(frozen=True, slots=True)
class InvoiceRow:
    """An invoice in a list, with copies of the customer's details from when it was created.

    `paid_minor` is the sum of its payments, without reversed ones.
    """

    customer_id: int
    customer: BilledCustomer
    number: str
    period_start: date
    currency: str
    total_minor: int
    paid_minor: int
    payment_status: PaymentStatus
    issued_at: datetime
    due_on: date
    content_sha256: str

    @property
    def balance_minor(self) -> int:
        """The amount that is left to pay, which is nothing for a credit."""
        return max(0, self.total_minor - self.paid_minor)

    @property
    def customer_public_id(self) -> str:
        """The customer's id in the API: `cus_12`."""
        return public_id("cus", self.customer_id)


@dataclass(frozen=True, slots=True)
class InvoiceDetail(InvoiceRow):
    """A whole invoice as it was created, with the payments since then.

    `chain_ok` is true if the stored hash is that of the content, and the content includes the hash of the
    customer's previous invoice. `gap_before` has the first and the last of the numbers that were skipped
    right before this one, whose hash is in the place of the previous invoice's. `paid_from_credit_minor` is
    the part of `paid_minor` that was taken from the customer's credit.
    """

    issuer: Issuer
    lines: tuple[Line, ...]
    previous_sha256: str | None
    chain_ok: bool
    gap_before: tuple[str, str] | None = None
    paid_from_credit_minor: int = 0


class Neighbours(NamedTuple):
    """The numbers of the customer's previous and next invoice, or None."""

    previous: str | None
    following: str | None
