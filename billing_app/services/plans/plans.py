"""What is sold: named plans, each a row of versions whose terms never change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import func, text
from sqlmodel import Session, and_, col, or_, select

from billing_app.database import locks
from billing_app.database.session import now
from billing_app.domain import rating
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.currencies import exponent
from billing_app.domain.money import major_text, parse_amount_minor, parse_quantity, parse_unit_price, plain
from billing_app.domain.periods import period_of
from billing_app.errors import Conflict, NotFound
from billing_app.models import Plan
from billing_app.services.shared import audit, validation
from billing_app.services.shared.ids import public_id
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page, check_limit, decode_cursor, page_of
from billing_app.services.shared.permissions import require


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One version of a plan. `overage_unit_price` is in major units for one unit.

    `customers`, how many are on it this month, is counted for lists only.
    """

    plan_id: int
    name: str
    version: int
    currency: str
    monthly_price_minor: int
    included_units: Decimal
    overage_unit_price: Decimal
    created_at: datetime
    archived_at: datetime | None
    customers: int | None = None

    @property
    def public_id(self) -> str:
        """`plan_3`."""
        return public_id("plan", self.plan_id)


def create_plan(
    session: Session,
    actor: Actor,
    *,
    name: str,
    monthly_price: object,
    included_units: object,
    overage_unit_price: object,
    currency: str = "USD",
) -> PlanRow:
    """Saves terms for good. A name already taken, whatever its case, gets its next version.

    Prices come in major units as decimal strings, ints or Decimals, `monthly_price` with no more
    decimals than the currency. Raises Invalid naming the field.
    """
    require(actor, Permission.WRITE_CUSTOMERS)
    name = validation.line("name", name, at_most=validation.NAME_MAX)
    currency = validation.line("currency", currency, at_most=3)
    validation.parsed("currency", exponent, currency)
    plan = Plan(
        name=name,
        version=0,
        currency=currency,
        monthly_price_minor=Decimal(
            validation.parsed("monthly_price", parse_amount_minor, monthly_price, currency)
        ),
        included_units=validation.parsed("included_units", parse_quantity, included_units),
        overage_unit_price=validation.parsed("overage_unit_price", parse_unit_price, overage_unit_price),
        created_at=now(session),
    )
    plan.version = _next_version(session, name)
    session.add(plan)
    session.flush()
    made = as_row(plan)
    audit.record(
        session, actor, "plan.created", made.public_id,
        name=name, version=made.version, currency=currency,
        monthly_price=major_text(made.monthly_price_minor, currency),
        included_units=plain(made.included_units), overage_unit_price=plain(made.overage_unit_price),
    )  # fmt: skip
    return made


def _next_version(session: Session, name: str) -> int:
    """The version after the newest one of the name; until this ends nobody else numbers the name."""
    key = session.scalar(select(func.hashtext(func.lower(name))))
    session.execute(text("SELECT pg_advisory_xact_lock(:lock, :key)"), {"lock": locks.PLAN_NAME, "key": key})
    newest = session.scalar(select(func.max(Plan.version)).where(func.lower(Plan.name) == func.lower(name)))
    return (newest or 0) + 1


def archive_plan(session: Session, actor: Actor, plan_id: int) -> PlanRow:
    """Keeps everybody new off the plan; who is on it stays. Archiving again changes nothing."""
    require(actor, Permission.WRITE_CUSTOMERS)
    plan = session.exec(
        select(Plan).where(Plan.plan_id == validation.number("plan_id", plan_id)).with_for_update()
    ).one_or_none()
    if plan is None:
        raise _not_found(plan_id)
    if plan.archived_at is None:
        plan.archived_at = now(session)
        session.flush()
        audit.record(session, actor, "plan.archived", as_row(plan).public_id)
    return as_row(plan)


def get_plan(session: Session, actor: Actor, plan_id: int) -> PlanRow:
    """One version of a plan; raises NotFound (`plan_not_found`)."""
    require(actor, Permission.READ)
    return as_row(find_plan(session, plan_id))


def find_plan(session: Session, plan_id: object) -> Plan:
    """The row itself, for services that asked for their own permission; raises NotFound."""
    plan = session.get(Plan, validation.number("plan_id", plan_id))
    if plan is None:
        raise _not_found(plan_id)
    return plan


def refuse_archived(plan: Plan) -> None:
    """Raises Conflict (`plan_archived`) for a plan that nobody new can be put on."""
    if plan.archived_at is not None:
        raise Conflict("plan_archived", plan=f"{plan.name}, version {plan.version},")


def list_plans(
    session: Session,
    actor: Actor,
    *,
    archived: bool | None = None,
    currency: str | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
) -> Page[PlanRow]:
    """The plans by name, the newest version of each first; `archived` to see only those, or the others;
    `currency` to see what a customer of that currency can be on."""
    require(actor, Permission.READ)
    name = func.lower(Plan.name)
    query = _of_sale(_in_order(select(Plan, name)), archived, currency).limit(check_limit(limit) + 1)
    after = decode_cursor(cursor, str, int)
    if after:
        query = query.where(or_(name > after[0], and_(name == after[0], col(Plan.version) < after[1])))
    page = page_of(session.exec(query).all(), limit, lambda row: (row[1], row[0].version))
    plan_ids = [plan.plan_id or 0 for plan, _ in page.items]
    customers = _count_customers(session, plan_ids, period_of(now(session)))
    items = (as_row(plan, customers.get(plan.plan_id or 0, 0)) for plan, _ in page.items)
    return Page(tuple(items), page.next_cursor)


def find_plans(
    session: Session,
    actor: Actor,
    *,
    search: str | None = None,
    name: str | None = None,
    version: int | None = None,
    archived: bool | None = None,
    currency: str | None = None,
    limit: int = LIMIT_DEFAULT,
) -> tuple[PlanRow, ...]:
    """The first plans to choose from, in the order of `list_plans`, their customers not counted.

    `search` is looked for within the name, `name` is all of it, both whatever the case.
    """
    require(actor, Permission.READ)
    of_name = func.lower(Plan.name)
    query = _of_sale(_in_order(select(Plan)), archived, currency).limit(check_limit(limit))
    if search:
        wanted = validation.line("search", search, at_most=validation.NAME_MAX, required=False)
        query = query.where(of_name.like(func.lower(f"%{validation.like_pattern(wanted)}%")))
    if name is not None:
        query = query.where(of_name == func.lower(validation.line("name", name, at_most=validation.NAME_MAX)))
    if version is not None:
        query = query.where(Plan.version == validation.number("version", version))
    return tuple(as_row(plan) for plan in session.exec(query))


def list_currencies(session: Session, actor: Actor) -> tuple[str, ...]:
    """The currencies of all plans, which are those of customers and invoices."""
    require(actor, Permission.READ)
    return tuple(session.exec(select(Plan.currency).distinct().order_by(Plan.currency)))


def _in_order(query: Any) -> Any:
    return query.order_by(func.lower(Plan.name), col(Plan.version).desc())


def _of_sale(query: Any, archived: bool | None, currency: str | None) -> Any:
    if archived is not None:
        query = query.where(col(Plan.archived_at).is_not(None) == archived)
    if currency is not None:
        query = query.where(
            Plan.currency == validation.line("currency", currency, at_most=validation.NAME_MAX)
        )
    return query


# Backwards through the primary key, which has each customer's last row before its others: nothing
# is sorted, and no row is looked for a second time.
_CUSTOMERS = text("""
    SELECT plan_id, count(*) AS customers
      FROM (SELECT DISTINCT ON (customer_id) plan_id FROM subscription WHERE effective_from <= :month
             ORDER BY customer_id DESC, effective_from DESC) present
     WHERE plan_id = ANY(:plan_ids) GROUP BY plan_id
""")


def _count_customers(session: Session, plan_ids: list[int], month: date) -> dict[int, int]:
    found = session.execute(_CUSTOMERS, {"plan_ids": plan_ids, "month": month})
    return {row.plan_id: row.customers for row in found}


def as_terms(plan: Plan | PlanRow) -> rating.Plan:
    """What the plan charges, for rating."""
    assert plan.plan_id is not None
    return rating.Plan(
        plan_id=plan.plan_id,
        name=plan.name,
        version=plan.version,
        currency=plan.currency,
        monthly_price_minor=int(plan.monthly_price_minor),
        included_units=plan.included_units,
        overage_unit_price=plan.overage_unit_price,
    )


def as_row(plan: Plan, customers: int | None = None) -> PlanRow:
    """The plan as it is shown."""
    assert plan.plan_id is not None
    return PlanRow(
        plan_id=plan.plan_id,
        name=plan.name,
        version=plan.version,
        currency=plan.currency,
        monthly_price_minor=int(plan.monthly_price_minor),
        included_units=plan.included_units,
        overage_unit_price=plan.overage_unit_price,
        created_at=plan.created_at,
        archived_at=plan.archived_at,
        customers=customers,
    )


def _not_found(plan_id: object) -> NotFound:
    return NotFound("plan_not_found", named=plan_id)
