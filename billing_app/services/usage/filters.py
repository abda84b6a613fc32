"""Which usage events a list, a count or a file is of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class UsageFilter:
    """A selection of usage events. A field that is None selects everything.

    `customer` is an id or a key, `period` the usage month, `billing_period` the period that bills
    the event. With `late_only`, only events billed in a later period than their usage month.
    """

    customer: str | None = None
    period: date | None = None
    billing_period: date | None = None
    late_only: bool = False


ALL_USAGE = UsageFilter()
