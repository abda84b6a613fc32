"""Meters for other services, which have already checked the caller's permission."""

from __future__ import annotations

from typing import cast

from sqlmodel import Session, col, select

from billing_app.domain import terms
from billing_app.domain.terms import DEFAULT_METER_ID
from billing_app.errors import NotFound
from billing_app.models import Meter


def read_default_meter(session: Session) -> terms.Meter:
    """Return the meter of usage that names none."""
    return _as_terms(session.get_one(Meter, DEFAULT_METER_ID))


def read_usable_meters(session: Session) -> dict[str, terms.Meter]:
    """Return the meters that a new plan version can charge for, by code: those that are not archived."""
    found = session.exec(select(Meter).where(col(Meter.archived_at).is_(None)))
    return {meter.code: _as_terms(meter) for meter in found}


def read_all_meters(session: Session) -> dict[int, terms.Meter]:
    """Return all meters by id, archived ones included, the default meter first."""
    found = [_as_terms(meter) for meter in session.exec(select(Meter).order_by(col(Meter.meter_id)))]
    return {meter.meter_id: meter for meter in found}


def find_meter(session: Session, code: str) -> Meter:
    """Return the meter with this code. Raises NotFound (`meter_not_found`)."""
    return _one(session, code)


def lock_meter(session: Session, code: str) -> Meter:
    """Return the meter with this code, locked until the transaction ends. Raises NotFound (`meter_not_found`)."""
    return _one(session, code, is_locked=True)


def _one(session: Session, code: str, *, is_locked: bool = False) -> Meter:
    query = select(Meter).where(Meter.code == code)
    # PostgreSQL can't store every text, so some can't even be looked up.
    is_possible = isinstance(code, str) and code.isascii() and code.isprintable()
    meter = (
        session.exec(query.with_for_update() if is_locked else query).one_or_none() if is_possible else None
    )
    if meter is None:
        raise NotFound("meter_not_found", named=code)
    return meter


def _as_terms(meter: Meter) -> terms.Meter:
    assert meter.meter_id is not None
    return terms.Meter(
        meter.meter_id, meter.code, meter.name, meter.unit, cast(terms.Aggregation, meter.aggregation)
    )
