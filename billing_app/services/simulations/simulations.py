"""Use cases of price simulations: start, read and list them. `progress` is for their workers."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text, true
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import bindparam
from sqlmodel import Session, col

from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.periods import label
from billing_app.errors import Conflict, NotFound
from billing_app.models import Simulation
from billing_app.services.shared import audit, validation
from billing_app.services.shared.ids import get_number, public_id
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page, check_limit, decode_sorted, page_of
from billing_app.services.shared.permissions import require
from billing_app.services.simulations.progress import LANES
from billing_app.services.simulations.queries import find_simulation, select_customers
from billing_app.services.simulations.requests import request_as_json
from billing_app.services.simulations.rows import (
    SimulatedRow,
    SimulatedSort,
    SimulationRequest,
    SimulationRow,
)

_START = """
    INSERT INTO simulation (period_start, currency, request, status, started_by, started_at,
                            done_through_customer_ids, total, simulated, other_currency, no_plan,
                            before_minor, after_minor, attempts)
    SELECT CAST(:period AS date), :of_currency, :request, 'running', :by, :at, CAST(:marks AS bigint[]),
           count(*), 0, 0, 0, 0, 0, 0
    FROM customer c WHERE {condition}
    ON CONFLICT (status) WHERE status = 'running' DO NOTHING
    RETURNING simulation_id
"""
_ROWS = """
    SELECT s.customer_id, c.key, c.name, s.before_minor, s.after_minor, s.difference_minor
    FROM simulated_customer s JOIN customer c USING (customer_id)
    WHERE s.simulation_id = :simulation_id {after}
    ORDER BY s.difference_minor {direction}, s.customer_id {direction}
"""


def start_simulation(session: Session, actor: Actor, request: SimulationRequest) -> SimulationRow:
    """Start a simulation of a checked request, or return the one that is running if it is the same.

    Nothing but the simulation's own rows is written. Anyone who can read may ask for one, so the system
    starts it on their behalf: their own transactions can't write. A partial unique index ensures that only
    one is running. Raises Conflict (`simulation_running`, naming it) while another one is.
    """
    require(actor, Permission.READ)
    while True:
        started = _insert(session, actor, request)
        if started is not None:
            audit.record(
                session, actor, "simulation.started", public_id("sim", started),
                period=label(request.period_start),
            )  # fmt: skip
        running = find_running(session, actor)
        if running is None:
            # The running simulation ended after the insert conflicted with it and before it was read.
            continue
        if started is None and not _is_same(running.request, request):
            raise Conflict("simulation_running", simulation=running.public_id)
        return running


def _insert(session: Session, actor: Actor, request: SimulationRequest) -> int | None:
    """Insert the simulation unless one is running. Return its id."""
    condition, values = select_customers(request)
    statement = text(_START.format(condition=condition)).bindparams(bindparam("request", type_=JSONB))
    started: int | None = session.scalar(
        statement,
        {
            **values,
            "of_currency": request.plan.currency,
            "request": request_as_json(request),
            "by": actor.on_behalf_of or actor.id,
            "at": now(session),
            "marks": [0] * LANES,
        },
    )
    return started


def _is_same(one: SimulationRequest, other: SimulationRequest) -> bool:
    return one.period_start == other.period_start and request_as_json(one) == request_as_json(other)


def find_running(session: Session, actor: Actor) -> SimulationRow | None:
    """Return the running simulation, even if no process is executing it."""
    require(actor, Permission.READ)
    return find_simulation(session, col(Simulation.status) == "running")


def find_newest(session: Session, actor: Actor) -> SimulationRow | None:
    """Return the simulation that was started last, which may be running, or None if there is none."""
    require(actor, Permission.READ)
    return find_simulation(session, true())


def get_simulation(session: Session, actor: Actor, simulation: str) -> SimulationRow:
    """Return the simulation with this id, `sim_3`. Raises NotFound (`simulation_not_found`)."""
    require(actor, Permission.READ)
    number = get_number("sim", simulation, "simulation")
    found = find_simulation(session, col(Simulation.simulation_id) == number)
    if found is None:
        raise NotFound("simulation_not_found", named=simulation)
    return found


def list_simulated(
    session: Session,
    actor: Actor,
    simulation: str,
    *,
    sort: str = SimulatedSort.DIFFERENCE_DESCENDING,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
) -> Page[SimulatedRow]:
    """Return a page of the simulated customers by difference: by default the largest increase first.

    While the simulation is running, these are the customers so far. A cursor is only valid for the order
    that it came from. Raises NotFound (`simulation_not_found`), and Invalid for an unknown order.
    """
    row = get_simulation(session, actor, simulation)
    sorting = validation.choice("sort", sort, SimulatedSort)
    is_descending = sorting is SimulatedSort.DIFFERENCE_DESCENDING
    values: dict[str, Any] = {"simulation_id": row.simulation_id, "limit": check_limit(limit) + 1}
    after = ""
    if key := decode_sorted(cursor, sorting, int, int):
        after = f"AND (s.difference_minor, s.customer_id) {'<' if is_descending else '>'} (:difference, :id)"
        values |= {"difference": key[0], "id": key[1]}
    query = _ROWS.format(after=after, direction="DESC" if is_descending else "ASC")
    found = [_simulated(each) for each in session.execute(text(f"{query} LIMIT :limit"), values)]
    return page_of(found, limit, lambda each: (sorting, each.difference_minor, each.customer_id))


def _simulated(row: Any) -> SimulatedRow:
    customer_id, key, name, *amounts = row
    return SimulatedRow(customer_id, key, name, *map(int, amounts))
