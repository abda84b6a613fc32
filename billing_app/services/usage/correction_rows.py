"""Corrections of usage, as callers report them and as services return them."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Literal, NamedTuple

from billing_app.services.shared.ids import public_id


class CorrectionReport(NamedTuple):
    """The quantity that an event should have had, not yet parsed.

    `customer` is an id or a key, and `quantity` a decimal string or an exact number.
    """

    customer: object
    idempotency_key: object
    quantity: object
    reason: object
    correction_key: object


class CorrectionRow(NamedTuple):
    """A recorded correction with its customer, in the order of CORRECTION_COLUMNS.

    `idempotency_key` is that of the event, and `meter_code` and `occurred_at` are those of the event. The
    corrections of an event are numbered.
    """

    customer_id: int
    customer_key: str
    customer_name: str
    correction_key: str
    idempotency_key: str
    number: int
    meter_code: str
    occurred_at: datetime
    quantity_before: Decimal
    quantity: Decimal
    difference: Decimal
    reason: str
    billing_period: date
    recorded_at: datetime
    recorded_by: str

    @property
    def customer_public_id(self) -> str:
        """`cus_12`."""
        return public_id("cus", self.customer_id)


CORRECTION_COLUMNS = (
    "c.customer_id, c.key, c.name, k.correction_key, k.idempotency_key, k.number, m.code, k.occurred_at,"
    " k.quantity_before, k.quantity, k.difference, k.reason, k.billing_period, k.recorded_at, k.recorded_by"
)
"""The columns of a `CorrectionRow`, from `read_corrections`."""


def read_corrections(condition: str, last: str = "") -> str:
    """Return the FROM clause for the corrections `usage_correction k` that meet a condition.

    `last` is their ORDER BY, with a LIMIT. As with events, they are found before anything is joined.
    """
    return f"""(
        SELECT k.* FROM usage_correction k WHERE {condition} {last}
    ) k JOIN customer c USING (customer_id) JOIN meter m USING (meter_id)"""


class RecordedCorrection(NamedTuple):
    """The recorded correction. It is a duplicate if it was already recorded before this report."""

    status: Literal["recorded", "duplicate"]
    correction: CorrectionRow
