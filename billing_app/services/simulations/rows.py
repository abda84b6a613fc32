"""Price simulations as services return them, and what they are asked to simulate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Literal, NamedTuple

from billing_app.domain.terms import Plan
from billing_app.services.plans.charges import ChargeTerms
from billing_app.services.shared.ids import public_id
from billing_app.services.shared.reasons import Reason

SimulationStatus = Literal["running", "done", "failed"]
# The id of terms that no plan version has. Plan versions are numbered from 1.
UNSAVED = 0


class CustomersGiven(NamedTuple):
    """The customers to simulate as a caller gives them: exactly one of these.

    One customer by its id or key, the customers with this plan version on at least one day of the month, or
    all customers who are billed in a currency.
    """

    customer: object = None
    plan_id: object = None
    currency: object = None


@dataclass(frozen=True, slots=True)
class TermsGiven:
    """Terms that are not saved as a plan, as a caller gives them. Prices are in major units."""

    currency: object
    monthly_price: object
    charges: Sequence[ChargeTerms] = ()


class Selection(NamedTuple):
    """The customers to simulate, as the request stores them: exactly one of these is not None."""

    customer_id: int | None = None
    plan_id: int | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class SimulationRequest:
    """What to simulate: a month of some customers, on a plan. Its id is `UNSAVED` for terms without a plan."""

    period_start: date
    selection: Selection
    plan: Plan

    @property
    def is_saved(self) -> bool:
        """Whether the terms are those of a plan version."""
        return self.plan.plan_id != UNSAVED


@dataclass(frozen=True, slots=True)
class SimulationRow:
    """A simulation with its progress. While it is running, the amounts are the totals so far.

    `total` is the number of selected customers at its start. `fault` says why a failed one failed.
    """

    simulation_id: int
    request: SimulationRequest
    status: SimulationStatus
    started_by: str
    started_at: datetime
    finished_at: datetime | None
    total: int
    simulated: int
    other_currency: int
    no_plan: int
    before_minor: int
    after_minor: int
    fault: Reason | None

    @property
    def public_id(self) -> str:
        """The id as callers see it, `sim_3`."""
        return public_id("sim", self.simulation_id)

    @property
    def processed(self) -> int:
        """How many customers have been simulated or left out so far."""
        return self.simulated + self.other_currency + self.no_plan

    @property
    def difference_minor(self) -> int:
        """What the other terms change in total."""
        return self.after_minor - self.before_minor


class SimulatedSort(StrEnum):
    """The orders of the customers of a simulation. A leading minus means descending."""

    DIFFERENCE = "difference"
    DIFFERENCE_DESCENDING = "-difference"


class SimulatedRow(NamedTuple):
    """What one customer pays for the month, and what they would have paid."""

    customer_id: int
    customer_key: str
    customer_name: str
    before_minor: int
    after_minor: int
    difference_minor: int
