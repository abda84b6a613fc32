"""The progress of a price simulation, as its workers read and update it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import delete, select, text, update
from sqlmodel import Session, col

from billing_app.database.copying import copy_rows
from billing_app.database.session import driver_cursor, now, planning_checks_once
from billing_app.domain.actor import Actor, Permission
from billing_app.models import SimulatedCustomer, Simulation
from billing_app.services.shared import audit
from billing_app.services.shared.ids import get_number
from billing_app.services.shared.permissions import require
from billing_app.services.shared.reasons import Reason
from billing_app.services.simulations.bills import SimulatedBills
from billing_app.services.simulations.queries import select_customers
from billing_app.services.simulations.rows import SimulationRow, SimulationStatus

# The customers of a simulation are split into lanes by their id, as those of an invoice run are.
LANES = 2
KEPT_FOR = timedelta(days=7)


class SimulationSuperseded(Exception):
    """Another process is executing the simulation."""


class SelectedCustomer(NamedTuple):
    """A customer to simulate."""

    customer_id: int
    currency: str


@dataclass(frozen=True, slots=True)
class Batch:
    """The next customers of one lane."""

    lane: int
    customers: list[SelectedCustomer]


_NEXT_IN_LANE = """
    SELECT c.customer_id, c.currency FROM customer c
    WHERE c.customer_id % :lanes = :lane AND c.customer_id > (
        SELECT done_through_customer_ids[:lane + 1] FROM simulation
        WHERE simulation_id = :simulation_id AND status = 'running')
      AND {condition}
    ORDER BY c.customer_id LIMIT :limit
"""
_ADD_PROGRESS = text("""
    UPDATE simulation
    SET done_through_customer_ids[:lane + 1] = :through, simulated = simulated + :simulated,
        other_currency = other_currency + :other_currency, no_plan = no_plan + :no_plan,
        before_minor = before_minor + :before_minor, after_minor = after_minor + :after_minor, attempts = 0
    WHERE simulation_id = :simulation_id AND status = 'running'
      AND done_through_customer_ids[:lane + 1] < :first
    RETURNING simulation_id
""")


def next_batches(session: Session, actor: Actor, simulation: SimulationRow, customers: int) -> list[Batch]:
    """Return the next customers of each lane, about `customers` in all, and none if the simulation has ended."""
    require(actor, Permission.INVOICE)
    condition, values = select_customers(simulation.request)
    query = text(_NEXT_IN_LANE.format(condition=condition))
    batches = []
    for lane in range(LANES):
        place = {"simulation_id": simulation.simulation_id, "lane": lane, "lanes": LANES}
        found = session.execute(query, {**values, **place, "limit": -(-customers // LANES)})
        batches.append(Batch(lane, [SelectedCustomer(*row) for row in found]))
    return [batch for batch in batches if batch.customers]


def add_bills(
    session: Session, actor: Actor, simulation: SimulationRow, batch: Batch, bills: SimulatedBills
) -> None:
    """Store the bills of a batch and add them to the totals.

    Raises:
        SimulationSuperseded: Another process has done the batch, while this one was frozen and had lost its
            lock, or the simulation has ended.
    """
    require(actor, Permission.INVOICE)
    counts = {
        "simulation_id": simulation.simulation_id,
        "lane": batch.lane,
        "first": batch.customers[0].customer_id,
        "through": batch.customers[-1].customer_id,
        "simulated": len(bills.months),
        "other_currency": bills.other_currency,
        "no_plan": bills.no_plan,
        "before_minor": sum(month.before_minor for month in bills.months.values()),
        "after_minor": sum(month.after_minor for month in bills.months.values()),
    }
    if session.scalar(_ADD_PROGRESS, counts) is None:
        raise SimulationSuperseded
    with planning_checks_once(session):
        copy_rows(
            driver_cursor(session),
            "COPY simulated_customer (customer_id, simulation_id, before_minor, after_minor,"
            " difference_minor) FROM STDIN",
            (
                (customer_id, simulation.simulation_id, *month, month.difference_minor)
                for customer_id, month in bills.months.items()
            ),
        )


def count_failed_attempt(
    session: Session, actor: Actor, simulation: str, reason: Reason, *, attempts_max: int
) -> bool:
    """Count a failure without progress, and mark the simulation as failed after `attempts_max` of them.

    Returns whether it is marked as failed.
    """
    require(actor, Permission.INVOICE)
    number = get_number("sim", simulation, "simulation")
    attempts = session.scalar(
        update(Simulation)
        .where(col(Simulation.simulation_id) == number, col(Simulation.status) == "running")
        .values(attempts=Simulation.attempts + 1)
        .returning(col(Simulation.attempts))
    )
    if attempts is None or attempts < attempts_max:
        return False
    finish_simulation(session, actor, simulation, "failed", reason)
    return True


def finish_simulation(
    session: Session,
    actor: Actor,
    simulation: str,
    status: SimulationStatus = "done",
    fault: Reason | None = None,
) -> None:
    """End a running simulation. Does nothing if it has ended."""
    require(actor, Permission.INVOICE)
    number = get_number("sim", simulation, "simulation")
    ended = session.scalar(
        update(Simulation)
        .where(col(Simulation.simulation_id) == number, col(Simulation.status) == "running")
        .values(status=status, finished_at=now(session), fault=fault.as_json() if fault else None)
        .returning(col(Simulation.simulation_id))
    )
    if ended is not None:
        audit.record(session, actor, f"simulation.{status}", simulation, fault=fault.code if fault else None)


def remove_expired(session: Session, actor: Actor) -> int:
    """Remove the simulations that ended more than `KEPT_FOR` ago. Return how many."""
    require(actor, Permission.INVOICE)
    expired = session.scalars(
        select(col(Simulation.simulation_id)).where(col(Simulation.finished_at) < now(session) - KEPT_FOR)
    ).all()
    if expired:
        session.execute(delete(SimulatedCustomer).where(col(SimulatedCustomer.simulation_id).in_(expired)))
        session.execute(delete(Simulation).where(col(Simulation.simulation_id).in_(expired)))
    return len(expired)
