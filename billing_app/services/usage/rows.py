"""Usage events as services return them."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from billing_app.domain.terms import DEFAULT_METER_CODE
from billing_app.services.shared.ids import public_id


class UsageEventRow(NamedTuple):
    """A recorded event with its customer, in the order of `selection.EVENT_COLUMNS`.

    `meter` is the meter's code. Only events of a meter that counts different items have an `item`. `quantity`
    is what was first recorded, and `current_quantity` what the newest of the corrections states.
    """

    customer_id: int
    customer_key: str
    customer_name: str
    idempotency_key: str
    quantity: Decimal
    occurred_at: datetime
    recorded_at: datetime
    billing_period: date
    recorded_by: str
    meter: str
    item: str | None
    current_quantity: Decimal
    correction_count: int

    @property
    def is_on_default_meter(self) -> bool:
        """Whether the event is on the meter of usage that names none."""
        return self.meter == DEFAULT_METER_CODE

    @property
    def customer_public_id(self) -> str:
        """`cus_12`."""
        return public_id("cus", self.customer_id)
