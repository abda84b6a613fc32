"""The filter that lists, counts and exports of usage events share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class UsageFilter:
    """Which usage events to select. A field that is None selects all.

    `customer` is an id or a key, `period` the usage month, `billing_period` the period that bills
    the event. `late_only` selects only events that are billed in a later period than their usage month.
    `meter` is a code. `unpriced_only` selects only events with a quantity that the plan of their day does not
    price.
    """

    customer: str | None = None
    period: date | None = None
    billing_period: date | None = None
    late_only: bool = False
    meter: str | None = None
    idempotency_key: str | None = None
    unpriced_only: bool = False

    @property
    def selects_late_usage(self) -> bool:
        """Whether only late events are selected: no other is billed in another month than its usage month."""
        is_billed_elsewhere = (
            None not in (self.period, self.billing_period) and self.period != self.billing_period
        )
        return self.late_only or is_billed_elsewhere


ALL_USAGE = UsageFilter()
