"""Plans as services return them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from billing_app.domain import rating
from billing_app.models import Plan
from billing_app.services.shared.ids import public_id


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One version of a plan. `overage_unit_price` is in major units for one unit.

    `customers` is the number of customers on it this month, which only lists count. `is_new` is true only in
    the result of the call that created the version.
    """

    plan_id: int
    name: str
    version: int
    currency: str
    monthly_price_minor: int
    included_units: Decimal
    overage_unit_price: Decimal
    created_at: datetime
    archived_at: datetime | None
    customers: int | None = None
    is_new: bool = field(default=False, compare=False)

    @property
    def public_id(self) -> str:
        """The id as callers see it, `plan_3`."""
        return public_id("plan", self.plan_id)

    @property
    def is_archived(self) -> bool:
        """Whether new customers can't be assigned to this version."""
        return self.archived_at is not None

    @property
    def terms(self) -> rating.Plan:
        """The prices and included units, for rating."""
        return rating.Plan(
            plan_id=self.plan_id,
            name=self.name,
            version=self.version,
            currency=self.currency,
            monthly_price_minor=self.monthly_price_minor,
            included_units=self.included_units,
            overage_unit_price=self.overage_unit_price,
        )


def as_row(plan: Plan, customers: int | None = None) -> PlanRow:
    """Build the row of a stored plan."""
    assert plan.plan_id is not None
    return PlanRow(
        plan_id=plan.plan_id,
        name=plan.name,
        version=plan.version,
        currency=plan.currency,
        monthly_price_minor=int(plan.monthly_price_minor),
        included_units=plan.included_units,
        overage_unit_price=plan.overage_unit_price,
        created_at=plan.created_at,
        archived_at=plan.archived_at,
        customers=customers,
    )
