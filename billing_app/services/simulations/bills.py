"""Bill the simulated month of many customers, under their own terms and under the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlmodel import Session

from billing_app.database.session import driver_cursor, now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.bill import month_terms
from billing_app.domain.lines import MonthUsage
from billing_app.domain.periods import period_of
from billing_app.domain.simulation import SimulatedMonth, simulate
from billing_app.services.adjustments.queries import read_discounts
from billing_app.services.invoices.month_usage import read_aggregations, read_known_usage
from billing_app.services.plans.plan_in_effect import read_segments
from billing_app.services.shared.permissions import require
from billing_app.services.simulations.rows import SimulationRequest

_NO_USAGE = MonthUsage({})


class SimulatedBills(NamedTuple):
    """The month of each customer that can be simulated, and how many were left out, and why."""

    months: dict[int, SimulatedMonth]
    other_currency: int
    no_plan: int


def simulate_bills(
    session: Session, actor: Actor, request: SimulationRequest, customers: Sequence[tuple[int, str]]
) -> SimulatedBills:
    """Bill the month of each customer twice, from all usage that is recorded now.

    `customers` are ids with currencies. Customers of another currency than the terms are left out, and so
    are those without a plan in the month. The transaction must have one snapshot for all of its statements.
    """
    require(actor, Permission.READ)
    period_start, plan = request.period_start, request.plan
    customer_ids = [customer_id for customer_id, currency in customers if currency == plan.currency]
    with driver_cursor(session) as db:
        aggregations = read_aggregations(db)
        segments = read_segments(db, ((customer_id, period_start) for customer_id in customer_ids))
        through = max(period_of(now(session)), period_start)
        usage = read_known_usage(db, period_start, through, segments, aggregations)
        discounts = read_discounts(db, customer_ids)
    months = {}
    for (customer_id, _), parts in segments.items():
        terms = month_terms(period_start, parts, discounts.get(customer_id, ()))
        months[customer_id] = simulate(terms, usage.get(customer_id, _NO_USAGE).now, plan)
    return SimulatedBills(
        months,
        other_currency=len(customers) - len(customer_ids),
        no_plan=len(customer_ids) - len(months),
    )
