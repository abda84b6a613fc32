"""Customers and subscriptions as services return them, and what lists are filtered and sorted by."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from billing_app.services.shared import validation
from billing_app.services.shared.ids import public_id


class CustomerStatus(StrEnum):
    """Whether usage of the customer is recorded. A suspended customer keeps its subscription."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class CustomerSort(StrEnum):
    """The orders of a list of customers. A leading minus means descending."""

    NAME = "name"
    NAME_DESCENDING = "-name"
    USAGE = "usage"
    USAGE_DESCENDING = "-usage"
    OUTSTANDING = "outstanding"
    OUTSTANDING_DESCENDING = "-outstanding"
    CREATED = "created"
    CREATED_DESCENDING = "-created"


@dataclass(frozen=True, slots=True)
class CustomerFilter:
    """Which customers to list. A field that is None or empty selects everything.

    `search` matches any part of the name, email or key, ignoring case. `plan` selects the customers that are
    on it today (UTC): a name means all versions of the plan, an id (`plan_3`) one version. `subscribed` says
    whether the customer is on any plan today, and `has_credit` whether credit is left.
    """

    search: str | None = None
    status: str | None = None
    plan: str | None = None
    subscribed: bool | None = None
    has_credit: bool | None = None


ALL_CUSTOMERS = CustomerFilter()


@dataclass(frozen=True, slots=True)
class CustomerRow:
    """A customer with its plan of today (UTC).

    The plan is None before the customer's first day and after a cancellation. A change of the subscription
    changes `version` too. `usage_quantity` is this month's usage of the meter that the plan charges first, as
    of the last background count (`dashboard.figures_as_of`). It is None if the plan charges for no usage, or if
    that count was in another month or of another plan, or before the customer was created. `outstanding_minor`
    is current.
    """

    customer_id: int
    key: str
    name: str
    email: str
    billing_address: str
    currency: str
    status: CustomerStatus
    plan_id: int | None
    plan_name: str | None
    plan_version: int | None
    usage_quantity: Decimal | None
    outstanding_minor: int
    created_at: datetime
    version: int

    @property
    def public_id(self) -> str:
        """The id as callers see it, `cus_12`."""
        return public_id("cus", self.customer_id)


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """The plan of a customer from the day `effective_from` on.

    Without a plan, the subscription is cancelled from that day on.
    """

    effective_from: date
    plan_id: int | None
    plan_name: str | None
    plan_version: int | None


@dataclass(frozen=True, slots=True)
class PlanChange:
    """A plan version, or None to cancel, that replaces everything from a day on.

    `confirm_unpriced` allows recorded usage to lose its price.
    """

    plan_id: int | None
    effective_from: date
    confirm_unpriced: bool = False

    def check(self) -> None:
        """Raise Invalid if a value is impossible."""
        validation.day("effective_from", self.effective_from)
        if self.plan_id is not None:
            validation.number("plan_id", self.plan_id)
