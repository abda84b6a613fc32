"""Price simulations: what a month would have cost under other prices, computed in the background."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict, Field

from billing_app.api.plans import Charge, NewCharge, charge_of, charge_terms
from billing_app.api.wire.calls import Caller
from billing_app.api.wire.csv_files import DESCRIBED, CsvFile, csv_file
from billing_app.api.wire.openapi import refusals
from billing_app.api.wire.pagination import Page, Paged, page_of
from billing_app.api.wire.routing import resource
from billing_app.api.wire.values import Body, Currency, CustomerRef, ExactNumber, Money, Period, Timestamp
from billing_app.documents.csv_rows import Cell
from billing_app.domain.money import major_text, to_major
from billing_app.domain.periods import label
from billing_app.domain.terms import CHARGES_MAX, Plan
from billing_app.jobs.simulations import request_simulation
from billing_app.runtime import current
from billing_app.services.shared.ids import get_number, public_id
from billing_app.services.simulations import export, simulations
from billing_app.services.simulations.rows import (
    CustomersGiven,
    Selection,
    SimulatedRow,
    SimulatedSort,
    SimulationRow,
    TermsGiven,
)
from billing_app.wording.refusals import reason_sentence

router = resource("/simulations", "Price simulations")


class SimulatedTerms(BaseModel):
    """The terms of a simulation."""

    currency: Currency
    monthly_price: Money
    charges: list[Charge]


class SelectedCustomers(BaseModel):
    """The customers that the simulation was started for. Two of the fields are null."""

    customer: str | None = Field(examples=["cus_12"])
    plan_id: str | None = Field(examples=["plan_1"])
    currency: Currency | None


class LeftOut(BaseModel):
    """The selected customers that are not simulated."""

    currency: int = Field(description="Customers who are billed in another currency than the terms.")
    no_plan: int = Field(description="Customers without a plan on any day of the month.")


class Simulation(BaseModel):
    """A price simulation. While it is running, the counts and amounts are those so far.

    It is removed 7 days after it ends. One that fails repeatedly ends with the status `failed`.
    """

    id: str = Field(examples=["sim_3"])
    status: Literal["running", "done", "failed"]
    period: Period
    selection: SelectedCustomers
    plan_id: str | None = Field(
        description="Null for terms that are not saved as a plan.", examples=["plan_2"]
    )
    terms: SimulatedTerms
    total: int = Field(examples=[1200], description="How many customers were selected when it started.")
    customers: int = Field(examples=[1180], description="How many customers are simulated.")
    left_out: LeftOut
    before: Money = Field(description="What the simulated customers' month costs.")
    after: Money = Field(description="What it would have cost.")
    difference: Money
    started_by: str = Field(examples=["usr_2"])
    started_at: Timestamp
    finished_at: Timestamp | None
    fault: str | None = Field(description="Why the simulation failed, if its status is `failed`.")


class SimulatedCustomer(BaseModel):
    """What one customer's month costs, and what it would have cost."""

    customer: CustomerRef
    before: Money
    after: Money
    difference: Money


class Customers(Body):
    """The customers to simulate: exactly one of the fields."""

    customer: str | None = Field(None, description="One customer, by ID or key.")
    plan_id: str | None = Field(
        None, description="The customers with this plan version on at least one day of the month."
    )
    currency: str | None = Field(None, description="All customers who are billed in this currency.")


class NewTerms(Body):
    """Terms that are not saved as a plan. They follow the rules of a new plan version."""

    currency: str = Field(examples=["USD"])
    monthly_price: ExactNumber = Field(examples=["29.00"])
    charges: list[NewCharge] = Field(default_factory=list, max_length=CHARGES_MAX)


class NewSimulation(Body):
    """What to simulate. Give either `plan_id` or `terms`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"period": "2026-10", "customers": {"currency": "USD"}, "plan_id": "plan_1"}]
        }
    )

    period: Period = Field(description="A month that has ended, or the current one, so far.")
    customers: Customers
    plan_id: str | None = Field(None, description="A plan version, which may be archived.")
    terms: NewTerms | None = Field(None, description="Terms that are not saved as a plan.")


@router.post(
    "",
    status_code=202,
    responses=refusals("customer_not_found", "plan_not_found", "meter_not_found", "simulation_running"),
)
def start_simulation(call: Caller, response: Response, body: NewSimulation) -> Simulation:
    """Start a price simulation, which bills a month as if the customers had been on other prices.

    It runs in the background and resumes after a restart of the server. Nothing else is changed. Usage
    counts as it is recorded now, including late usage and corrections, and discounts stay the same. One
    simulation runs at a time: the same request returns it, and another one is refused.
    """
    started = request_simulation(
        current().database,
        call.actor,
        period_start=body.period,
        customers=CustomersGiven(
            body.customers.customer,
            None if body.customers.plan_id is None else get_number("plan", body.customers.plan_id, "plan"),
            body.customers.currency,
        ),
        plan_id=None if body.plan_id is None else get_number("plan", body.plan_id, "plan"),
        terms=_terms_given(body.terms) if body.terms else None,
    )
    current().background.wake()
    response.headers["Location"] = f"/api/v1/simulations/{started.public_id}"
    return simulation_of(started)


def _terms_given(terms: NewTerms) -> TermsGiven:
    return TermsGiven(terms.currency, terms.monthly_price, [charge_terms(each) for each in terms.charges])


_COLUMNS = (
    "customer_id",
    "customer_key",
    "customer_name",
    "period",
    "currency",
    "before",
    "after",
    "difference",
)


# Registered before `/simulations/{simulation}`, which would match it too.
@router.get(
    "/{simulation}.csv",
    response_class=CsvFile,
    responses=DESCRIBED | refusals("simulation_not_found", "simulation_unfinished"),
)
def export_simulated(call: Caller, simulation: str) -> CsvFile:
    """Export the customers of a finished simulation as CSV, the largest increase first.

    The file is UTF-8 with a byte order mark.
    """
    request = call.do(simulations.get_simulation, simulation).request
    period, currency = label(request.period_start), request.plan.currency

    def cells(row: SimulatedRow) -> tuple[Cell, ...]:
        amounts = (row.before_minor, row.after_minor, row.difference_minor)
        return (
            public_id("cus", row.customer_id), row.customer_key, row.customer_name, period, currency,
            *(to_major(each, currency) for each in amounts),
        )  # fmt: skip

    name = f"simulation-{period}-{simulation}.csv"
    return csv_file(call, name, _COLUMNS, cells, export.read_simulated, simulation)


@router.get("/{simulation}", responses=refusals("simulation_not_found"))
def get_simulation(call: Caller, simulation: str) -> Simulation:
    """Get a price simulation with its totals."""
    return simulation_of(call.do(simulations.get_simulation, simulation))


@router.get("/{simulation}/customers", responses=refusals("simulation_not_found"))
def list_simulated(
    call: Caller,
    paged: Paged,
    simulation: str,
    sort: Annotated[
        SimulatedSort,
        Query(
            description="A leading minus sorts in descending order. A cursor is only valid for the order it"
            " came from."
        ),
    ] = SimulatedSort.DIFFERENCE_DESCENDING,
) -> Page[SimulatedCustomer]:
    """List the simulated customers by difference, the largest increase first unless sorted otherwise."""
    currency = call.do(simulations.get_simulation, simulation).request.plan.currency
    page = call.do(simulations.list_simulated, simulation, sort=sort, **paged)
    return page_of(page, lambda row: _customer_of(row, currency))


def simulation_of(row: SimulationRow) -> Simulation:
    """Build the response for a simulation."""
    request, currency = row.request, row.request.plan.currency
    return Simulation(
        id=row.public_id,
        status=row.status,
        period=request.period_start,
        selection=_selection_of(request.selection),
        plan_id=public_id("plan", request.plan.plan_id) if request.is_saved else None,
        terms=_terms_of(request.plan),
        total=row.total,
        customers=row.simulated,
        left_out=LeftOut(currency=row.other_currency, no_plan=row.no_plan),
        before=major_text(row.before_minor, currency),
        after=major_text(row.after_minor, currency),
        difference=major_text(row.difference_minor, currency),
        started_by=row.started_by,
        started_at=row.started_at,
        finished_at=row.finished_at,
        fault=reason_sentence(row.fault) if row.fault else None,
    )


def _selection_of(selection: Selection) -> SelectedCustomers:
    return SelectedCustomers(
        customer=None if selection.customer_id is None else public_id("cus", selection.customer_id),
        plan_id=None if selection.plan_id is None else public_id("plan", selection.plan_id),
        currency=selection.currency,
    )


def _terms_of(plan: Plan) -> SimulatedTerms:
    return SimulatedTerms(
        currency=plan.currency,
        monthly_price=major_text(plan.monthly_price_minor, plan.currency),
        charges=[charge_of(charge, plan.currency) for charge in plan.charges],
    )


def _customer_of(row: SimulatedRow, currency: str) -> SimulatedCustomer:
    return SimulatedCustomer(
        customer=CustomerRef(
            id=public_id("cus", row.customer_id), key=row.customer_key, name=row.customer_name
        ),
        before=major_text(row.before_minor, currency),
        after=major_text(row.after_minor, currency),
        difference=major_text(row.difference_minor, currency),
    )
