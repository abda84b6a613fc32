"""Plans for other services, which have already checked the caller's permission."""

from __future__ import annotations

from datetime import date

from sqlalchemy import func, text
from sqlmodel import Session, col, select

from billing_app.errors import Conflict, NotFound
from billing_app.models import Plan
from billing_app.services.plans.plan_in_effect import plans_in_effect
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


def refuse_archived(plan: Plan) -> None:
    """Raise Conflict (`plan_archived`) when new customers can't be assigned to the plan."""
    if plan.archived_at is not None:
        raise Conflict("plan_archived", plan=plan.name, plan_version=plan.version)


_CUSTOMERS = text(f"""
    SELECT plan_id, count(*) AS customers FROM {plans_in_effect(":month")} present
     WHERE plan_id = ANY(:plan_ids) GROUP BY plan_id
""")


def count_customers(session: Session, plan_ids: list[int], month: date) -> dict[int, int]:
    """Return how many customers are on each of these versions in a month, without versions that have none."""
    found = session.execute(_CUSTOMERS, {"plan_ids": plan_ids, "month": month})
    return {row.plan_id: row.customers for row in found}
