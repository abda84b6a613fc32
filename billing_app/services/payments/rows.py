"""Payments as services return them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from billing_app.services.shared.ids import public_id


@dataclass(frozen=True, slots=True)
class PaymentRow:
    """A payment, with its reversal if it was reversed. It was received, or taken from the customer's credit."""

    payment_id: int
    invoice_number: str
    amount_minor: int
    currency: str
    received_on: date
    method: str
    reference: str
    recorded_at: datetime
    recorded_by: str
    reversed_at: datetime | None
    reversed_by: str | None
    reversal_reason: str | None
    is_credit: bool = False

    @property
    def public_id(self) -> str:
        """The payment's id in the API: `pay_7`."""
        return public_id("pay", self.payment_id)
