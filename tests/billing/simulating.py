"""Short ways to simulate prices, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from billing_app.domain.actor import Actor
from billing_app.jobs.simulations import request_simulation, resume_simulation
from billing_app.services.plans.charges import ChargeTerms
from billing_app.services.simulations.rows import CustomersGiven, SimulatedRow, SimulationRow, TermsGiven
from billing_app.services.simulations.simulations import get_simulation, list_simulated
from tests.billing.shop import Shop

OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)
USD = CustomersGiven(currency="USD")
DEAR = TermsGiven("USD", "99.00", [ChargeTerms("per_unit", included_units=5000, unit_price="0.01")])


def simulate(shop: Shop, **request: Any) -> SimulationRow:
    """Request a simulation of October, execute it, and return its result."""
    started = start(shop, **request)
    resume_simulation(shop.database)
    return shop.database.call(shop.actor, get_simulation, started.public_id)


def rows(shop: Shop, simulation: SimulationRow, **options: Any) -> Sequence[SimulatedRow]:
    return shop.database.call(shop.actor, list_simulated, simulation.public_id, **options).items


def amounts(shop: Shop, simulation: SimulationRow) -> dict[str, tuple[int, int]]:
    return {each.customer_key: (each.before_minor, each.after_minor) for each in rows(shop, simulation)}


def start(shop: Shop, actor: Actor | None = None, **request: Any) -> SimulationRow:
    """Request a simulation of October for all customers in USD, by default as the shop's actor."""
    given: dict[str, Any] = {"period_start": OCTOBER, "customers": USD, **request}
    return request_simulation(shop.database, actor or shop.actor, **given)
