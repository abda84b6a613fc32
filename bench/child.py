"""Work on all customers in a separate process: `python -m bench.child DATABASE_URL 2026-10 WORK`.

The work is `invoice` or `simulate`. Prints a line of JSON: how long it took, and how many customers were done.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import date

from bench.databases import NOW
from bench.measures import seconds
from billing_app.database.session import Database
from billing_app.domain.actor import system
from billing_app.domain.periods import parse_period
from billing_app.jobs.invoice_runs import run_invoices
from billing_app.jobs.simulations import request_simulation, resume_simulation
from billing_app.server.garbage import freeze_loaded_objects
from billing_app.services.simulations.rows import CustomersGiven
from billing_app.services.simulations.simulations import get_simulation

ACTOR = system("bench")


def main() -> None:
    """Do the work and print the result. Fails if a customer could not be done."""
    url, period, work = sys.argv[1:]
    database = Database(url, clock=lambda: NOW)
    freeze_loaded_objects()
    done: list[int] = []
    taken = seconds(lambda: done.append(WORK[work](database, parse_period(period))))
    database.close()
    print(json.dumps({"seconds": taken, "customers": done[0]}))


def invoice(database: Database, period_start: date) -> int:
    """Run the month's invoices. Return how many were created."""
    run = run_invoices(database, ACTOR, period_start)
    if run.status != "done" or run.failed:
        raise RuntimeError(f"the run did not make every invoice: {run}")
    return run.created


def simulate(database: Database, period_start: date) -> int:
    """Simulate the month with every customer on the first plan. Return how many were simulated."""
    asked = request_simulation(
        database, ACTOR, period_start=period_start, customers=CustomersGiven(currency="USD"), plan_id=1
    )
    resume_simulation(database)
    simulation = database.call(ACTOR, get_simulation, asked.public_id)
    if simulation.status != "done" or simulation.simulated != simulation.total:
        raise RuntimeError(f"the simulation did not simulate every customer: {simulation}")
    return simulation.simulated


WORK: dict[str, Callable[[Database, date], int]] = {"invoice": invoice, "simulate": simulate}


if __name__ == "__main__":
    main()
