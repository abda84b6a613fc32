"""Plans as services return them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from billing_app.domain import terms
from billing_app.domain.terms import DEFAULT_METER_ID, Charge
from billing_app.models import Plan
from billing_app.services.shared.ids import public_id


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One version of a plan, with its charges in the order in which invoices show them.

    `customers` is the number of customers on it today (UTC), which only lists count. `is_new` is true only in
    the result of the call that created the version.
    """

    plan_id: int
    name: str
    version: int
    currency: str
    monthly_price_minor: int
    charges: tuple[Charge, ...]
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
    def simple_charge(self) -> Charge | None:
        """The one charge per unit of the default meter, if that and the monthly price are all of the terms."""
        if len(self.charges) == 1 and self.charges[0].model == "per_unit":
            charge = self.charges[0]
            return charge if charge.meter.meter_id == DEFAULT_METER_ID else None
        return None

    @property
    def terms(self) -> terms.Plan:
        """The terms, for pricing."""
        return terms.Plan(
            plan_id=self.plan_id,
            name=self.name,
            version=self.version,
            currency=self.currency,
            monthly_price_minor=self.monthly_price_minor,
            charges=self.charges,
        )


def as_row(plan: Plan, charges: tuple[Charge, ...], customers: int | None = None) -> PlanRow:
    """Build the row of a stored plan and its charges."""
    assert plan.plan_id is not None
    return PlanRow(
        plan_id=plan.plan_id,
        name=plan.name,
        version=plan.version,
        currency=plan.currency,
        monthly_price_minor=int(plan.monthly_price_minor),
        charges=charges,
        created_at=plan.created_at,
        archived_at=plan.archived_at,
        customers=customers,
    )
