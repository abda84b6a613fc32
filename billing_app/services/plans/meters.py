"""Meters for other services, which have already checked the caller's permission."""

from __future__ import annotations

from typing import cast

from sqlmodel import Session, col, select

from billing_app.domain import terms
from billing_app.models import Meter
from billing_app.models.plan import DEFAULT_METER_ID


def read_default_meter(session: Session) -> terms.Meter:
    """Return the meter of usage that names none."""
    return _as_terms(session.get_one(Meter, DEFAULT_METER_ID))


def read_usable_meters(session: Session) -> dict[str, terms.Meter]:
    """Return the meters that a new plan version can charge for, by code: those that are not archived."""
    found = session.exec(select(Meter).where(col(Meter.archived_at).is_(None)))
    return {meter.code: _as_terms(meter) for meter in found}


def _as_terms(meter: Meter) -> terms.Meter:
    assert meter.meter_id is not None
    return terms.Meter(
        meter.meter_id, meter.code, meter.name, meter.unit, cast(terms.Aggregation, meter.aggregation)
    )
