"""Price simulations: bill a month under other terms for many customers, batch by batch.

A simulation is a row in the database, and the process that executes it holds a lock. If that process is
killed, the simulation resumes after its last committed batches in the background of a server.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from billing_app.database import locks
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor, Permission, system
from billing_app.jobs.lanes import Lanes
from billing_app.jobs.leadership import try_lock
from billing_app.jobs.retries import giving_up_when_it_keeps_failing
from billing_app.services.shared.permissions import require
from billing_app.services.simulations.bills import simulate_bills
from billing_app.services.simulations.progress import (
    Batch,
    SimulationSuperseded,
    add_bills,
    count_failed_attempt,
    finish_simulation,
    next_batches,
    remove_expired,
)
from billing_app.services.simulations.requests import check_request
from billing_app.services.simulations.rows import CustomersGiven, SimulationRow, TermsGiven
from billing_app.services.simulations.simulations import find_running, get_simulation, start_simulation

# As for invoice runs: the customers of all lanes together, and from how many on lanes get processes.
CHUNK_CUSTOMERS = 10_000
LARGE_CHUNK_CUSTOMERS = 5_000

OnProgress = Callable[[SimulationRow], None]


def request_simulation(
    database: Database,
    actor: Actor,
    *,
    period_start: date,
    customers: CustomersGiven,
    plan_id: int | None = None,
    terms: TermsGiven | None = None,
) -> SimulationRow:
    """Start a simulation on behalf of an actor, whose own transactions may be READ ONLY.

    If the same simulation is running, returns that one.

    Raises:
        BillingError: what `check_request` raises, and Conflict (`simulation_running`).
    """
    require(actor, Permission.READ)
    request = database.call(
        actor, check_request, period_start=period_start, customers=customers, plan_id=plan_id, terms=terms
    )
    return database.call(system("simulations", on_behalf_of=actor.id), start_simulation, request)


def resume_simulation(database: Database, on_progress: OnProgress = lambda simulation: None) -> None:
    """Execute the running simulation, if there is one and no process is executing it. Remove expired ones."""
    database.call(SYSTEM, remove_expired)
    with try_lock(database, SYSTEM, locks.SIMULATING) as is_free:
        while is_free and (running := database.call(SYSTEM, find_running)):
            with giving_up_when_it_keeps_failing(database, running.public_id, count_failed_attempt):
                try:
                    _execute(database, running, on_progress)
                except SimulationSuperseded:
                    return


def _execute(database: Database, simulation: SimulationRow, on_progress: OnProgress) -> None:
    worker = system(simulation.public_id, on_behalf_of=simulation.started_by)
    with Lanes(database, f"simulation {simulation.public_id}", SimulationSuperseded) as lanes:
        while batches := database.call(worker, next_batches, simulation, CHUNK_CUSTOMERS):
            is_large = sum(len(each.customers) for each in batches) >= LARGE_CHUNK_CUSTOMERS
            lanes.process(batches, simulate_batch, worker, simulation, in_processes=is_large)
            on_progress(database.call(worker, get_simulation, simulation.public_id))
    database.call(worker, finish_simulation, simulation.public_id)


def simulate_batch(database: Database, worker: Actor, simulation: SimulationRow, batch: Batch) -> None:
    """Bill the customers of a batch from one snapshot, then store the bills and the progress."""

    def read_and_store() -> None:
        with database.transaction(worker, isolation="REPEATABLE READ", read_only=True) as snapshot:
            bills = simulate_bills(snapshot, worker, simulation.request, batch.customers)
        with database.transaction(worker) as session:
            add_bills(session, worker, simulation, batch, bills)

    database.retry(read_and_store)
