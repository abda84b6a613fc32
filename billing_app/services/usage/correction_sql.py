"""The statements that record corrections: they find what concerns a batch, write it, and read it back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from psycopg import Cursor

from billing_app.database.copying import copy_rows
from billing_app.database.returning import count_returned
from billing_app.services.plans.plan_in_effect import plan_in_effect
from billing_app.services.usage.correction_judging import (
    Content,
    EventState,
    Found,
    IncomingCorrection,
    NewCorrection,
)
from billing_app.services.usage.correction_rows import CORRECTION_COLUMNS, CorrectionRow, read_corrections

# A correction is billed like an event that is recorded now: in the usage month while that is open, and
# otherwise in the oldest open month. That is never before the event's own billing period.
#
# What is recorded can be on other servers, so it is found by its keys before anything is joined.
_FIND = f"""
    WITH wanted AS MATERIALIZED (
        SELECT w.position, w.idempotency_key, w.correction_key, c.customer_id, b.closed_through
        FROM unnest(%s::int[], %s::bigint[], %s::text[], %s::text[], %s::text[])
             AS w(position, customer_id, customer_key, idempotency_key, correction_key)
        LEFT JOIN LATERAL (
            SELECT customer_id FROM customer WHERE customer_id = w.customer_id
            UNION ALL
            SELECT customer_id FROM customer WHERE lower(key) = w.customer_key
        ) c ON true
        LEFT JOIN customer_billing b ON b.customer_id = c.customer_id
    ), event AS MATERIALIZED (
        SELECT e.customer_id, e.idempotency_key, e.occurred_at, e.meter_id, e.billing_period, e.quantity
        FROM usage_event e
        WHERE (e.customer_id, e.idempotency_key) IN (SELECT customer_id, idempotency_key FROM wanted)
    ), with_key AS MATERIALIZED (
        SELECT {{columns}} FROM usage_correction
        WHERE (customer_id, correction_key) IN (SELECT customer_id, correction_key FROM wanted)
    ), of_event AS MATERIALIZED (
        SELECT {{columns}} FROM usage_correction
        WHERE (customer_id, idempotency_key) IN (SELECT customer_id, idempotency_key FROM wanted)
    )
    SELECT w.position, w.customer_id,
           known.idempotency_key, known.quantity, known.reason,
           e.occurred_at, e.meter_id, m.aggregation,
           greatest(
               date_trunc('month', e.occurred_at AT TIME ZONE 'UTC')::date, e.billing_period,
               (w.closed_through + interval '1 month')::date
           ),
           {plan_in_effect("e.customer_id", "(e.occurred_at AT TIME ZONE 'UTC')::date")} IS NOT NULL,
           coalesce(newest.number, 0), coalesce(newest.quantity, e.quantity)
    FROM wanted w
    LEFT JOIN (SELECT * FROM with_key {{accepted}}) known
      ON known.customer_id = w.customer_id AND known.correction_key = w.correction_key
    LEFT JOIN event e ON e.customer_id = w.customer_id AND e.idempotency_key = w.idempotency_key
    LEFT JOIN meter m ON m.meter_id = e.meter_id
    LEFT JOIN LATERAL (
        SELECT k.number, k.quantity FROM (SELECT * FROM of_event {{accepted}}) k
        WHERE k.customer_id = e.customer_id AND k.idempotency_key = e.idempotency_key
        ORDER BY k.number DESC LIMIT 1
    ) newest ON true
"""


_COLUMNS = "customer_id, correction_key, idempotency_key, number, quantity, reason"
_FIND_RECORDED = _FIND.format(columns=_COLUMNS, accepted="")
_FIND_RECORDED_OR_ACCEPTED = _FIND.format(
    columns=_COLUMNS, accepted=f"UNION ALL SELECT {_COLUMNS} FROM pg_temp.accepted_correction"
)
# The corrections that would have been recorded.
_DRY_RUN_TABLE = """
    CREATE TEMPORARY TABLE IF NOT EXISTS accepted_correction (
        customer_id bigint, correction_key text, idempotency_key text, number integer, quantity numeric,
        reason text,
        PRIMARY KEY (customer_id, correction_key), UNIQUE (customer_id, idempotency_key, number)
    ) ON COMMIT DROP
"""


_WRITE = f"""
    INSERT INTO usage_correction ({", ".join(NewCorrection._fields)}, recorded_at, recorded_by)
    SELECT w.*, %s::timestamptz, %s::text
    FROM unnest(%s::bigint[], %s::text[], %s::int[], %s::text[], %s::timestamptz[], %s::smallint[],
                %s::numeric[], %s::numeric[], %s::numeric[], %s::date[], %s::text[]) AS w
    ON CONFLICT DO NOTHING RETURNING number
"""


class Overtaken(Exception):
    """Another transaction has just corrected one of the events, or used one of the keys."""


def start_dry_run(db: Cursor[Any]) -> None:
    """Create the table of what dry runs accept, unless an earlier one of this transaction did."""
    db.execute(_DRY_RUN_TABLE)


def keep_accepted(db: Cursor[Any], corrections: Iterable[NewCorrection]) -> None:
    """Keep what a dry run accepts, so that later ones of this transaction build on it."""
    copy_rows(
        db,
        f"COPY pg_temp.accepted_correction ({_COLUMNS}) FROM STDIN",
        (
            (row.customer_id, row.correction_key, row.idempotency_key, row.number, row.quantity, row.reason)
            for row in corrections
        ),
    )


def find(
    db: Cursor[Any], rows: Sequence[IncomingCorrection], *, is_dry_run: bool = False
) -> dict[int, Found]:
    """Return what is recorded that concerns each row, by its position.

    The gate must be held, except for a dry run, which also finds what earlier ones accepted.
    """
    db.execute(
        _FIND_RECORDED_OR_ACCEPTED if is_dry_run else _FIND_RECORDED,
        [
            [row.position for row in rows],
            [row.customer_id for row in rows],
            [row.customer_key for row in rows],
            [row.idempotency_key for row in rows],
            [row.correction_key for row in rows],
        ],
    )
    return {
        position: Found(
            customer_id,
            None if known[0] is None else Content(*known),
            None if event[0] is None else EventState(*event),
        )
        for position, customer_id, *columns in db
        for known, event in ((columns[:3], columns[3:]),)
    }


def write(
    db: Cursor[Any], corrections: Iterable[NewCorrection], *, recorded_at: datetime, recorded_by: str
) -> None:
    """Write corrections in key order, so that two batches of the same events wait instead of deadlocking.

    Raises Overtaken if another transaction has just corrected one of the events, or used one of the keys.
    """
    rows = sorted(corrections)
    columns = [[getattr(row, field) for row in rows] for field in NewCorrection._fields]
    # Without rows as well: the database refuses it to an actor who may only read, whatever was checked before.
    db.execute(_WRITE, [recorded_at, recorded_by, *columns])
    if count_returned(db) < len(rows):
        raise Overtaken


def read(db: Cursor[Any], customer_id: int, correction_key: str) -> CorrectionRow:
    """Return one recorded correction."""
    db.execute(
        f"SELECT {CORRECTION_COLUMNS}"
        f" FROM {read_corrections('k.customer_id = %s AND k.correction_key = %s')}",
        [customer_id, correction_key],
    )
    row = db.fetchone()
    assert row is not None
    return CorrectionRow(*row)


def read_meter_codes(db: Cursor[Any]) -> dict[int, str]:
    """Return the code of each meter."""
    db.execute("SELECT meter_id, code FROM meter")
    return dict(db.fetchall())
