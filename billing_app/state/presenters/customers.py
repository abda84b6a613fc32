"""Rows of customers, and what is shown of one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class CustomerItem:
    """A row of the list of customers.

    `within` and `beyond` are the parts of the usage bar, as CSS: of what is included, or of what
    was used when that is more.
    """

    href: str = ""
    name: str = ""
    email: str = ""
    plan: str = ""
    version: str = ""
    status: str = ""
    usage: str = ""
    included: str = ""
    within: str = ""
    beyond: str = ""
    outstanding: str = ""
    owes: bool = False
    created: str = ""


@dataclass(frozen=True)
class CustomerHeader:
    """Who a customer is."""

    name: str = ""
    key: str = ""
    email: str = ""
    address: str = ""
    plan: str = ""
    terms: str = ""
    status: str = ""
    currency: str = ""
    since: str = ""
    outstanding: str = ""
    owes: bool = False
    usage_href: str = ""
    audit_href: str = ""


@dataclass(frozen=True)
class UsageMonth:
    """What was used this month so far: `points` add up day by day, `included` is the line across."""

    period: str = ""
    used: str = ""
    caption: str = ""
    has_plan: bool = False
    included: float = 0
    included_text: str = ""
    points: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Preview:
    """The invoice that this month would have now."""

    period: str = ""
    total: str = ""
    as_of: str = ""
    as_of_utc: str = ""


@dataclass(frozen=True)
class UsedItem:
    """A usage event, and the invoice period that it is billed in."""

    occurred: str = ""
    occurred_utc: str = ""
    key: str = ""
    quantity: str = ""
    billed_in: str = ""
    is_late: bool = False


@dataclass(frozen=True)
class PlanFromItem:
    """The plan from a month on; without one the subscription ended there."""

    since: str = ""
    plan: str = ""
    when: str = ""


@dataclass(frozen=True)
class DeedItem:
    """Who did what to the customer, and when."""

    at: str = ""
    at_utc: str = ""
    who: str = ""
    what: str = ""
    details: str = ""
