"""Plans for other services, which have already checked the caller's permission."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from sqlalchemy import func, text
from sqlmodel import Session, col, select

from billing_app.database.session import driver_cursor
from billing_app.domain import terms
from billing_app.errors import Conflict, NotFound
from billing_app.models import Plan
from billing_app.services.plans.plan_in_effect import plans_in_effect
from billing_app.services.plans.rows import PlanRow, as_row
from billing_app.services.plans.terms import read_plans
from billing_app.services.shared import validation


def find_plan(session: Session, plan_id: object) -> Plan:
    """Return one version of a plan. Raises NotFound (`plan_not_found`)."""
    plan = session.get(Plan, validation.number("plan_id", plan_id))
    if plan is None:
        raise NotFound("plan_not_found", named=plan_id)
    return plan


def lock_plan(session: Session, plan_id: object) -> Plan:
    """Return one version of a plan, locked until the transaction ends. Raises NotFound (`plan_not_found`)."""
    query = select(Plan).where(Plan.plan_id == validation.number("plan_id", plan_id)).with_for_update()
    plan = session.exec(query).one_or_none()
    if plan is None:
        raise NotFound("plan_not_found", named=plan_id)
    return plan


def find_newest_version(session: Session, name: str) -> Plan | None:
    """Return the newest version of the name, ignoring case; None for a new name."""
    query = select(Plan).where(func.lower(Plan.name) == func.lower(name)).order_by(col(Plan.version).desc())
    return session.exec(query.limit(1)).first()


def read_terms(session: Session, plan_ids: Iterable[int]) -> dict[int, terms.Plan]:
    """Return the terms of these plan versions by id."""
    with driver_cursor(session) as db:
        return read_plans(db, plan_ids)


def with_charges(session: Session, plan: Plan) -> PlanRow:
    """Return the row of a plan version with its charges."""
    assert plan.plan_id is not None
    return as_row(plan, read_terms(session, [plan.plan_id])[plan.plan_id].charges)


def refuse_archived(plan: Plan) -> None:
    """Raise Conflict (`plan_archived`) when new customers can't be assigned to the plan."""
    if plan.archived_at is not None:
        raise Conflict("plan_archived", plan=plan.name, plan_version=plan.version)


_CUSTOMERS = text(f"""
    SELECT plan_id, count(*) AS customers FROM {plans_in_effect(":day")} present
     WHERE plan_id = ANY(:plan_ids) GROUP BY plan_id
""")


def count_customers(session: Session, plan_ids: list[int], day: date) -> dict[int, int]:
    """Return how many customers are on each of these versions on a day, without versions that have none."""
    found = session.execute(_CUSTOMERS, {"plan_ids": plan_ids, "day": day})
    return {row.plan_id: row.customers for row in found}
