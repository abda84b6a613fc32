"""Use cases of plans: named plans, each a series of versions whose terms never change."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from sqlalchemy import ColumnElement, func, text
from sqlmodel import Session, and_, col, or_, select

from billing_app.database import locks
from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.currencies import exponent
from billing_app.domain.money import major_text, parse_amount_minor, parse_quantity, parse_unit_price, plain
from billing_app.domain.periods import period_of
from billing_app.models import Plan
from billing_app.services.plans.queries import count_customers, find_newest_version, find_plan, lock_plan
from billing_app.services.plans.rows import PlanRow, as_row
from billing_app.services.shared import audit, validation
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page, check_limit, decode_cursor, page_of
from billing_app.services.shared.permissions import require

# By name, and the newest version of each name first.
_BY_NAME = (func.lower(Plan.name), col(Plan.version).desc())


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
    """Create a plan, or the next version of the plan with that name. The terms can't be changed later.

    Names are compared ignoring case. If the newest version has exactly these terms and is not archived,
    returns it and creates nothing, so a retry is safe. `is_new` says whether a version was created.

    Prices are in major units as decimal strings, ints or Decimals. `monthly_price` has at most as many
    decimals as the currency.

    Raises:
        Invalid: naming the field that breaks a rule.
    """
    require(actor, Permission.WRITE_CUSTOMERS)
    plan = _parse_terms(now(session), name, monthly_price, included_units, overage_unit_price, currency)
    _lock_name(session, plan.name)
    newest = find_newest_version(session, plan.name)
    if newest is not None and newest.archived_at is None and _have_same_terms(newest, plan):
        return as_row(newest)
    plan.version = newest.version + 1 if newest else 1
    session.add(plan)
    session.flush()
    created = as_row(plan)
    audit.record(
        session, actor, "plan.created", created.public_id,
        name=created.name, version=created.version, currency=created.currency,
        monthly_price=major_text(created.monthly_price_minor, created.currency),
        included_units=plain(created.included_units), overage_unit_price=plain(created.overage_unit_price),
    )  # fmt: skip
    return replace(created, is_new=True)


def _parse_terms(
    created_at: datetime,
    name: str,
    monthly_price: object,
    included_units: object,
    overage_unit_price: object,
    currency: str,
) -> Plan:
    """Build an unsaved plan. Raises Invalid naming the field that breaks a rule."""
    name = validation.line("name", name, at_most=validation.NAME_MAX)
    currency = validation.line("currency", currency, at_most=3)
    validation.parsed("currency", exponent, currency)
    price_minor = validation.parsed("monthly_price", parse_amount_minor, monthly_price, currency)
    return Plan(
        name=name,
        version=0,
        created_at=created_at,
        currency=currency,
        monthly_price_minor=Decimal(price_minor),
        included_units=validation.parsed("included_units", parse_quantity, included_units),
        overage_unit_price=validation.parsed("overage_unit_price", parse_unit_price, overage_unit_price),
    )


def _lock_name(session: Session, name: str) -> None:
    """Lock the name until the transaction ends, so that concurrent versions get different numbers."""
    key = session.scalar(select(func.hashtext(func.lower(name))))
    session.execute(text("SELECT pg_advisory_xact_lock(:lock, :key)"), {"lock": locks.PLAN_NAME, "key": key})


def _have_same_terms(saved: Plan, wanted: Plan) -> bool:
    return (saved.currency, saved.monthly_price_minor, saved.included_units, saved.overage_unit_price) == (
        wanted.currency, wanted.monthly_price_minor, wanted.included_units, wanted.overage_unit_price,
    )  # fmt: skip


def archive_plan(session: Session, actor: Actor, plan_id: int) -> PlanRow:
    """Stop new customers from being assigned to the plan version.

    Customers who are on it stay on it. Archiving an archived version changes nothing. Raises NotFound
    (`plan_not_found`).
    """
    require(actor, Permission.WRITE_CUSTOMERS)
    plan = lock_plan(session, plan_id)
    if plan.archived_at is None:
        plan.archived_at = now(session)
        session.flush()
        audit.record(session, actor, "plan.archived", as_row(plan).public_id)
    return as_row(plan)


def get_plan(session: Session, actor: Actor, plan_id: int) -> PlanRow:
    """Return one version of a plan. Raises NotFound (`plan_not_found`)."""
    require(actor, Permission.READ)
    return as_row(find_plan(session, plan_id))


def list_plans(
    session: Session,
    actor: Actor,
    *,
    archived: bool | None = None,
    currency: str | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
) -> Page[PlanRow]:
    """Return a page of plan versions by name, the newest version of each name first.

    `archived` selects archived versions or all others; `currency` selects plans in that currency.
    """
    require(actor, Permission.READ)
    name = func.lower(Plan.name)
    query = select(Plan, name).where(*_conditions(archived, currency)).order_by(*_BY_NAME)
    query = query.limit(check_limit(limit) + 1)
    after = decode_cursor(cursor, str, int)
    if after:
        query = query.where(or_(name > after[0], and_(name == after[0], col(Plan.version) < after[1])))
    page = page_of(session.exec(query).all(), limit, lambda row: (row[1], row[0].version))
    plan_ids = [plan.plan_id or 0 for plan, _ in page.items]
    customers = count_customers(session, plan_ids, period_of(now(session)))
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
    """Return the first plan versions that match, in the order of `list_plans`, without customer counts.

    `search` matches part of the name, `name` the whole name. Both ignore case.
    """
    require(actor, Permission.READ)
    lower_name = func.lower(Plan.name)
    query = select(Plan).where(*_conditions(archived, currency)).order_by(*_BY_NAME).limit(check_limit(limit))
    if search:
        wanted = validation.line("search", search, at_most=validation.NAME_MAX, required=False)
        query = query.where(lower_name.like(func.lower(f"%{validation.like_pattern(wanted)}%")))
    if name is not None:
        wanted = validation.line("name", name, at_most=validation.NAME_MAX)
        query = query.where(lower_name == func.lower(wanted))
    if version is not None:
        query = query.where(Plan.version == validation.number("version", version))
    return tuple(as_row(plan) for plan in session.exec(query))


def list_currencies(session: Session, actor: Actor) -> tuple[str, ...]:
    """Return the currencies of all plans. Customers and invoices have no others."""
    require(actor, Permission.READ)
    return tuple(session.exec(select(Plan.currency).distinct().order_by(Plan.currency)))


def _conditions(archived: bool | None, currency: str | None) -> list[ColumnElement[bool]]:
    conditions = []
    if archived is not None:
        conditions.append(col(Plan.archived_at).is_not(None) == archived)
    if currency is not None:
        wanted = validation.line("currency", currency, at_most=validation.NAME_MAX)
        conditions.append(col(Plan.currency) == wanted)
    return conditions
