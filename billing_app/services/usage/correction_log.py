"""Listing corrections, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from sqlmodel import Session

from billing_app.database.session import driver_cursor
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.periods import bounds
from billing_app.errors import Invalid
from billing_app.services.customers.queries import get_customer_id
from billing_app.services.shared import validation
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page, check_limit, decode_cursor, page_of
from billing_app.services.shared.permissions import require
from billing_app.services.usage.correction_rows import CORRECTION_COLUMNS, CorrectionRow, read_corrections


@dataclass(frozen=True, slots=True)
class CorrectionFilter:
    """Which corrections to select. A field that is None selects all.

    `customer` is an id or a key, and `idempotency_key` that of an event of this customer. `period` is the
    usage month, and `billing_period` the period that bills the correction.
    """

    customer: str | None = None
    idempotency_key: str | None = None
    period: date | None = None
    billing_period: date | None = None


ALL_CORRECTIONS = CorrectionFilter()


def list_corrections(
    session: Session,
    actor: Actor,
    wanted: CorrectionFilter = ALL_CORRECTIONS,
    *,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
) -> Page[CorrectionRow]:
    """List corrections, the newest first; those of one event by their numbers.

    Raises:
        NotFound: `customer_not_found`.
        Invalid: A value breaks a rule, or `idempotency_key` is given without `customer`.
    """
    require(actor, Permission.READ)
    check_limit(limit)
    condition, parameters = _select(session, wanted)
    if after := decode_cursor(cursor, datetime, int, str, int):
        condition += (
            " AND (k.recorded_at, k.customer_id, k.idempotency_key, k.number) < (%(after_at)s, %(after_customer)s,"
            " %(after_event)s, %(after_number)s)"
        )
        names = ("after_at", "after_customer", "after_event", "after_number")
        parameters |= dict(zip(names, after, strict=True))
    with driver_cursor(session) as db:
        db.execute(
            f"SELECT {CORRECTION_COLUMNS} FROM {read_corrections(condition, f'{_ORDER} LIMIT %(limit)s')} {_ORDER}",
            {**parameters, "limit": limit + 1},
        )
        rows = [CorrectionRow(*row) for row in db]
    return page_of(
        rows, limit, lambda row: (row.recorded_at, row.customer_id, row.idempotency_key, row.number)
    )


_ORDER = "ORDER BY k.recorded_at DESC, k.customer_id DESC, k.idempotency_key DESC, k.number DESC"


def _select(session: Session, wanted: CorrectionFilter) -> tuple[str, dict[str, object]]:
    conditions, parameters = ["true"], dict[str, object]()
    if wanted.customer is not None:
        conditions.append("k.customer_id = %(customer_id)s")
        parameters["customer_id"] = get_customer_id(session, wanted.customer)
    if wanted.idempotency_key is not None:
        if wanted.customer is None:
            raise Invalid("customer", "missing")
        conditions.append("k.idempotency_key = %(idempotency_key)s")
        parameters["idempotency_key"] = validation.idempotency_key("idempotency_key", wanted.idempotency_key)
    if wanted.period is not None:
        conditions.append("k.occurred_at >= %(start)s AND k.occurred_at < %(end)s")
        parameters["start"], parameters["end"] = bounds(wanted.period)
    if wanted.billing_period is not None:
        conditions.append("k.billing_period = %(billing_period)s")
        parameters["billing_period"] = wanted.billing_period
    return " AND ".join(conditions), parameters
