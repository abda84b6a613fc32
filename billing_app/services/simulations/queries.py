"""Queries of price simulations. Unguarded: callers have checked their permission."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import ColumnElement, select
from sqlmodel import Session, col

from billing_app.domain.terms import Plan
from billing_app.models import Simulation
from billing_app.services.plans.meter_queries import read_all_meters
from billing_app.services.plans.plan_in_effect import plan_in_effect
from billing_app.services.plans.queries import read_terms
from billing_app.services.shared.reasons import Reason
from billing_app.services.simulations.requests import terms_from_json
from billing_app.services.simulations.rows import (
    Selection,
    SimulationRequest,
    SimulationRow,
    SimulationStatus,
)

# Conditions on the customers `c` of a simulation of the month `:period`.
_CONDITIONS = {
    "customer_id": "c.customer_id = :customer_id",
    "plan_id": f"""(
        {plan_in_effect("c.customer_id", "CAST(:period AS date)")} = :plan_id OR EXISTS (
            SELECT FROM subscription
            WHERE subscription.customer_id = c.customer_id AND subscription.plan_id = :plan_id
              AND subscription.effective_from > CAST(:period AS date)
              AND subscription.effective_from < CAST(:period AS date) + interval '1 month'
        )
    )""",
    "currency": "c.currency = :currency",
}


def select_customers(request: SimulationRequest) -> tuple[str, dict[str, object]]:
    """Return a condition on the customers `c` of a simulation, and its values."""
    ((name, value),) = [pair for pair in request.selection._asdict().items() if pair[1] is not None]
    return _CONDITIONS[name], {name: value, "period": request.period_start}


def find_simulation(session: Session, condition: ColumnElement[bool]) -> SimulationRow | None:
    """Return the newest simulation that meets the condition."""
    found = session.scalar(
        select(Simulation)
        .where(condition)
        .order_by(col(Simulation.simulation_id).desc())
        .limit(1)
        .execution_options(populate_existing=True)
    )
    return _as_row(session, found) if found else None


def _as_row(session: Session, found: Simulation) -> SimulationRow:
    assert found.simulation_id is not None
    selection = Selection(**found.request["customers"])
    return SimulationRow(
        simulation_id=found.simulation_id,
        request=SimulationRequest(found.period_start, selection, _read_plan(session, found.request)),
        status=cast(SimulationStatus, found.status),
        started_by=found.started_by,
        started_at=found.started_at,
        finished_at=found.finished_at,
        total=found.total,
        simulated=found.simulated,
        other_currency=found.other_currency,
        no_plan=found.no_plan,
        before_minor=int(found.before_minor),
        after_minor=int(found.after_minor),
        fault=Reason.from_json(found.fault) if found.fault else None,
    )


def _read_plan(session: Session, request: dict[str, Any]) -> Plan:
    if "plan_id" in request:
        return read_terms(session, [request["plan_id"]])[request["plan_id"]]
    return terms_from_json(request["terms"], read_all_meters(session))
