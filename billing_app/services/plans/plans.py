"""Use cases of plans: named plans, each a series of versions whose terms never change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from sqlalchemy import ColumnElement, func, insert, text
from sqlmodel import Session, and_, col, or_, select

from billing_app.database import locks
from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.money import major_text, parse_quantity, parse_unit_price, plain
from billing_app.domain.terms import Charge, Meter
from billing_app.errors import Invalid
from billing_app.models import Plan, PlanCharge, PlanTier
from billing_app.services.plans.charges import ChargeTerms, parse_charges, parse_monthly_price
from billing_app.services.plans.meter_queries import read_default_meter, read_usable_meters
from billing_app.services.plans.queries import (
    count_customers,
    find_newest_version,
    find_plan,
    lock_plan,
    read_terms,
    with_charges,
)
from billing_app.services.plans.rows import PlanRow, as_row
from billing_app.services.shared import audit, validation
from billing_app.services.shared.ids import public_id
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
    included_units: object = None,
    overage_unit_price: object = None,
    charges: Sequence[ChargeTerms] | None = None,
    currency: str = "USD",
) -> PlanRow:
    """Create a plan, or the next version of the plan with that name. The terms can't be changed later.

    The simple form is `included_units` and `overage_unit_price`, which are one charge for each unit of the
    default meter. Otherwise `charges` are given, which may be none.

    Names are compared ignoring case. If the newest version has exactly these terms and is not archived,
    returns it and creates nothing, so a retry is safe. `is_new` says whether a version was created.

    Prices are in major units as decimal strings, ints or Decimals. `monthly_price` has at most as many
    decimals as the currency.

    Raises:
        Invalid: naming the field that breaks a rule.
        NotFound: `meter_not_found`.
    """
    require(actor, Permission.WRITE_CUSTOMERS)
    plan = _parse_plan(now(session), name, monthly_price, currency)
    parsed = _parse_charges(session, charges, included_units, overage_unit_price, currency)
    _lock_name(session, plan.name)
    newest = find_newest_version(session, plan.name)
    if newest is not None and newest.archived_at is None:
        existing = with_charges(session, newest)
        if _terms_of(existing) == (plan.currency, int(plan.monthly_price_minor), parsed):
            return existing
    plan.version = newest.version + 1 if newest else 1
    return _add_version(session, actor, plan, parsed)


def _add_version(session: Session, actor: Actor, plan: Plan, charges: tuple[Charge, ...]) -> PlanRow:
    """Insert a plan version with its charges, and say so in the audit log."""
    _insert(session, plan, charges)
    created = as_row(plan, charges)
    audit.record(
        session, actor, "plan.created", created.public_id,
        name=created.name, version=created.version, currency=created.currency,
        monthly_price=major_text(created.monthly_price_minor, created.currency),
        **_describe_charges(created),
    )  # fmt: skip
    return replace(created, is_new=True)


def _terms_of(plan: PlanRow) -> tuple[str, int, tuple[Charge, ...]]:
    return plan.currency, plan.monthly_price_minor, plan.charges


def _parse_plan(created_at: datetime, name: str, monthly_price: object, currency: str) -> Plan:
    """Build an unsaved plan without charges. Raises Invalid naming the field that breaks a rule."""
    name = validation.line("name", name, at_most=validation.NAME_MAX)
    currency, price_minor = parse_monthly_price(currency, monthly_price)
    return Plan(
        name=name,
        version=0,
        created_at=created_at,
        currency=currency,
        monthly_price_minor=Decimal(price_minor),
        charge_count=0,
        tier_count=0,
    )


def _parse_charges(
    session: Session,
    charges: Sequence[ChargeTerms] | None,
    included_units: object,
    overage_unit_price: object,
    currency: str,
) -> tuple[Charge, ...]:
    """Return the charges of either form. Raises Invalid or NotFound like `create_plan`."""
    if charges is None:
        return (_simple_charge(session, included_units, overage_unit_price),)
    _refuse_both_forms(included_units, overage_unit_price)
    return parse_charges(charges, currency, read_usable_meters(session))


def _simple_charge(session: Session, included_units: object, overage_unit_price: object) -> Charge:
    """Return the charge of the simple form."""
    return Charge(
        read_default_meter(session),
        "per_unit",
        included_units=validation.parsed("included_units", parse_quantity, included_units),
        unit_price=validation.parsed("overage_unit_price", parse_unit_price, overage_unit_price),
    )


def _describe_charges(plan: PlanRow) -> dict[str, str]:
    """Return what the audit log says of the charges. All of their terms are in the plan, for ever."""
    if simple := plan.simple_charge:
        assert simple.included_units is not None
        assert simple.unit_price is not None
        return {
            "included_units": plain(simple.included_units),
            "overage_unit_price": plain(simple.unit_price),
        }
    return {"charges": ", ".join(f"{charge.meter.code} {charge.model}" for charge in plan.charges)}


def _refuse_both_forms(included_units: object, overage_unit_price: object) -> None:
    for name, value in (("included_units", included_units), ("overage_unit_price", overage_unit_price)):
        if value is not None:
            raise Invalid(name, "not_with_charges")


def _insert(session: Session, plan: Plan, charges: Sequence[Charge]) -> None:
    """Insert a plan version, its charges and its tiers, each kind with one statement."""
    plan.charge_count = len(charges)
    plan.tier_count = sum(len(charge.tiers) for charge in charges)
    session.add(plan)
    session.flush()
    if not charges:
        return
    session.execute(
        insert(PlanCharge).values(
            [
                {
                    "plan_id": plan.plan_id,
                    "position": position,
                    "meter_id": charge.meter.meter_id,
                    "model": charge.model,
                    "included_units": charge.included_units,
                    "unit_price": charge.unit_price,
                    "package_size": charge.package_size,
                    "package_price_minor": charge.package_price_minor,
                    "tier_count": len(charge.tiers),
                }
                for position, charge in enumerate(charges, 1)
            ]
        )
    )
    tiers = [
        {
            "plan_id": plan.plan_id,
            "position": position,
            "tier_number": number,
            "up_to": tier.up_to,
            "unit_price": tier.unit_price,
            "flat_price_minor": tier.flat_price_minor,
        }
        for position, charge in enumerate(charges, 1)
        for number, tier in enumerate(charge.tiers, 1)
    ]
    if tiers:
        session.execute(insert(PlanTier).values(tiers))


def _lock_name(session: Session, name: str) -> None:
    """Lock the name until the transaction ends, so that concurrent versions get different numbers."""
    key = session.scalar(select(func.hashtext(func.lower(name))))
    session.execute(text("SELECT pg_advisory_xact_lock(:lock, :key)"), {"lock": locks.PLAN_NAME, "key": key})


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
        audit.record(session, actor, "plan.archived", public_id("plan", plan.plan_id or 0))
    return with_charges(session, plan)


def get_plan(session: Session, actor: Actor, plan_id: int) -> PlanRow:
    """Return one version of a plan. Raises NotFound (`plan_not_found`)."""
    require(actor, Permission.READ)
    return with_charges(session, find_plan(session, plan_id))


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
    customers = count_customers(session, plan_ids, now(session).date())
    terms = read_terms(session, plan_ids)
    items = (
        as_row(plan, terms[plan.plan_id or 0].charges, customers.get(plan.plan_id or 0, 0))
        for plan, _ in page.items
    )
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
    found = list(session.exec(query))
    terms = read_terms(session, [plan.plan_id or 0 for plan in found])
    return tuple(as_row(plan, terms[plan.plan_id or 0].charges) for plan in found)


def list_charge_meters(session: Session, actor: Actor) -> dict[str, Meter]:
    """Return the meters that a new plan version can charge, by code, the default meter first."""
    require(actor, Permission.READ)
    meters = read_usable_meters(session)
    return dict(sorted(meters.items(), key=lambda item: item[1].meter_id))


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
