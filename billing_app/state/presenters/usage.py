"""Rows of usage pages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UsageItem:
    """A usage event and where it is billed. `invoice` is empty until the invoice exists."""

    occurred: str = ""
    occurred_utc: str = ""
    customer: str = ""
    customer_key: str = ""
    customer_href: str = ""
    key: str = ""
    quantity: str = ""
    billed_in: str = ""
    invoice: str = ""
    invoice_href: str = ""
    is_late: bool = False
    late_reason: str = ""
    details: str = ""
