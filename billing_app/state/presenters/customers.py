"""Customers as lists show them, and the parts of one customer's page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from billing_app.state.kit.lists import Option


@dataclass(frozen=True)
class CustomerItem:
    """A row of the list of customers. `unit` is empty if usage has only one.

    `within` and `overage` are the widths of the two parts of the usage bar, as CSS. The whole bar is the
    included units, or the usage if that is more.
    """

    href: str = ""
    name: str = ""
    email: str = ""
    plan: str = ""
    version: str = ""
    status: str = ""
    usage: str = ""
    unit: str = ""
    included: str = ""
    within: str = ""
    overage: str = ""
    outstanding: str = ""
    owes: bool = False
    created: str = ""


@dataclass(frozen=True)
class CustomerHeader:
    """The details of a customer."""

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
    """Usage of one meter in this month. `points` are daily running totals.

    `included` is the horizontal line. In a divided month, the points have the included units of their days
    instead. `meters` and the name of the `meter` are empty if there is only one to show.
    """

    period: str = ""
    meters: list[Option] = field(default_factory=list)
    meter: str = ""
    used: str = ""
    caption: str = ""
    total_name: str = ""
    used_name: str = ""
    is_divided: bool = False
    has_included: bool = False
    included: float = 0
    included_text: str = ""
    points: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Preview:
    """The upcoming invoice as of now. `credit` is what will be applied to it, and empty if there is none."""

    period: str = ""
    total: str = ""
    credit: str = ""
    due: str = ""
    as_of: str = ""
    as_of_utc: str = ""


@dataclass(frozen=True)
class EffectLine:
    """A line of an upcoming invoice after a change."""

    title: str = ""
    amount: str = ""


@dataclass(frozen=True)
class EffectMonth:
    """An upcoming invoice before and after a change. `lines` are those after it."""

    period: str = ""
    before: str = ""
    after: str = ""
    is_changed: bool = False
    lines: list[EffectLine] = field(default_factory=list)


@dataclass(frozen=True)
class Effect:
    """What a change of plan, or a correction of usage, would do to upcoming invoices.

    `problem` says why it can't be saved. `unpriced` says that recorded usage would lose its price, which has to
    be confirmed.
    """

    months: list[EffectMonth] = field(default_factory=list)
    problem: str = ""
    unpriced: str = ""


@dataclass(frozen=True)
class PlanFromItem:
    """The plan from a day on. `when` is `now`, `planned` or empty."""

    since: str = ""
    plan: str = ""
    when: str = ""


@dataclass(frozen=True)
class AuditItem:
    """An audit entry about the customer."""

    at: str = ""
    at_utc: str = ""
    who: str = ""
    what: str = ""
    details: str = ""
