"""The statements that record usage: they copy rows in, check and insert them, and read events back."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, LiteralString, NamedTuple

from psycopg import Cursor

from billing_app.services.usage.judging import judged_usage
from billing_app.services.usage.rows import UsageEventRow
from billing_app.services.usage.selection import EVENT_COLUMNS


class IncomingRow(NamedTuple):
    """A well-formed report.

    The customer is identified by id or by key. Without `occurred_at`, the event occurs now.
    """

    position: int
    customer_id: int | None
    customer_key: str | None
    idempotency_key: str
    quantity: Decimal
    occurred_at: datetime | None


class CheckedRow(NamedTuple):
    """Whether a row can be recorded, and how it compares with the event that has its key, if any."""

    position: int
    customer_id: int | None
    idempotency_key: str
    rejection: str | None
    is_known: bool
    is_same: bool | None


EventKey = tuple[int | None, str]
"""The identity of an event: customer id and idempotency key. A row of an unknown customer has no id."""


def insert_events(db: Cursor[Any], rows: str, *, now: datetime, latest: datetime, recorded_by: str) -> int:
    """Insert the event of every acceptable row once and return their number. The gate must be held.

    `rows` is text from `copy_text`.
    `fetch_accepted` returns their keys until the cursor is used again.
    """
    # An earlier call in the same transaction may have left rows. There are few, so deleting them is cheap.
    _copy_in(db, rows, "DELETE FROM pg_temp.incoming_usage")
    db.execute(_INSERT, {"now": now, "latest": latest, "recorded_by": recorded_by})
    return db.rowcount


def dry_run(db: Cursor[Any], rows: str, *, now: datetime, latest: datetime) -> int:
    """Return what `insert_events` would return after all earlier dry runs of this transaction.

    Records nothing. `fetch_accepted` returns the keys until the cursor is used again.
    """
    # A file takes thousands of calls in one transaction, and each would read all previously deleted rows.
    _copy_in(db, rows, "TRUNCATE pg_temp.incoming_usage")
    db.execute(_DRY_RUN_TABLE)
    db.execute(_DRY_RUN, {"now": now, "latest": latest})
    return db.rowcount


def fetch_accepted(db: Cursor[Any]) -> set[EventKey]:
    """Return the keys that the preceding `insert_events` or `dry_run` accepted."""
    return set(db.fetchall())


def check_rows(
    db: Cursor[Any], *, now: datetime, latest: datetime, is_dry_run: bool = False
) -> list[CheckedRow]:
    """Check each row of the preceding `insert_events` or `dry_run` again, in their order."""
    db.execute(_CHECK_DRY_RUN if is_dry_run else _CHECK, {"now": now, "latest": latest})
    return [CheckedRow(*row) for row in db]


def find_events(db: Cursor[Any]) -> dict[int, UsageEventRow]:
    """Return the recorded event for each row of the preceding `insert_events` that has one, by position."""
    db.execute(_EVENTS)
    return {position: UsageEventRow(*columns) for position, *columns in db}


def _copy_in(db: Cursor[Any], rows: str, clear: LiteralString) -> None:
    # Two statements in one round trip can't be prepared.
    db.execute(_INCOMING_TABLE + clear, prepare=False)
    with db.copy("COPY pg_temp.incoming_usage FROM STDIN") as copy:
        copy.write(rows)


_INCOMING_TABLE = """
    CREATE TEMPORARY TABLE IF NOT EXISTS incoming_usage (
        position integer, customer text, idempotency_key text, quantity numeric, occurred_at timestamptz
    ) ON COMMIT DELETE ROWS;
"""

# The events that would have been recorded.
_DRY_RUN_TABLE = """
    CREATE TEMPORARY TABLE IF NOT EXISTS dry_run_usage (
        customer_id bigint, idempotency_key text, quantity numeric, occurred_at timestamptz,
        PRIMARY KEY (customer_id, idempotency_key)
    ) ON COMMIT DROP
"""

# The copied rows. A customer is an id such as `cus_12`, or a key, which can't start like that.
_INCOMING = """(
    SELECT position, idempotency_key, quantity, occurred_at,
           CASE WHEN starts_with(customer, 'cus_') THEN substr(customer, 5)::bigint END AS customer_id,
           CASE WHEN NOT starts_with(customer, 'cus_') THEN lower(customer) END AS customer_key
    FROM pg_temp.incoming_usage
)"""

# The customer of an incoming row i.
_CUSTOMER = """
    SELECT customer_id, key, name FROM customer WHERE customer_id = i.customer_id
    UNION ALL
    SELECT customer_id, key, name FROM customer WHERE lower(key) = i.customer_key
"""

_CHECKED = judged_usage(f"{_INCOMING} AS incoming")

# In key order, so that two batches with the same keys wait for each other instead of deadlocking.
_INSERT = f"""
    INSERT INTO usage_event (customer_id, idempotency_key, occurred_at, recorded_at,
                             billing_period, quantity, recorded_by)
    SELECT customer_id, idempotency_key, occurred_at, %(now)s,
           billing_period, quantity, %(recorded_by)s
    FROM {_CHECKED} checked
    WHERE rejection IS NULL
    ORDER BY customer_id, idempotency_key, position
    ON CONFLICT DO NOTHING
    RETURNING customer_id, idempotency_key
"""

_DRY_RUN = f"""
    INSERT INTO pg_temp.dry_run_usage
    SELECT customer_id, idempotency_key, quantity, occurred_at FROM {_CHECKED} checked
    WHERE rejection IS NULL AND NOT EXISTS (
        SELECT FROM usage_event e
        WHERE e.customer_id = checked.customer_id AND e.idempotency_key = checked.idempotency_key
    )
    ORDER BY customer_id, idempotency_key, position
    ON CONFLICT DO NOTHING
    RETURNING customer_id, idempotency_key
"""


def _check_against(events: str) -> str:
    """Return a query whose columns are those of a `CheckedRow`."""
    return f"""
    SELECT checked.position, checked.customer_id, checked.idempotency_key, checked.rejection,
           e.customer_id IS NOT NULL AS is_known,
           checked.quantity = e.quantity
               AND coalesce(checked.given_at = e.occurred_at, checked.given_at IS NULL) AS is_same
    FROM {_CHECKED} checked
    LEFT JOIN {events} e USING (customer_id, idempotency_key)
    ORDER BY checked.position
    """


_CHECK = _check_against("usage_event")
_CHECK_DRY_RUN = _check_against("""LATERAL (
        SELECT u.customer_id, u.idempotency_key, u.quantity, u.occurred_at FROM usage_event u
        WHERE u.customer_id = checked.customer_id AND u.idempotency_key = checked.idempotency_key
        UNION ALL
        SELECT d.* FROM pg_temp.dry_run_usage d
        WHERE d.customer_id = checked.customer_id AND d.idempotency_key = checked.idempotency_key
        -- An event that is in both was recorded after the dry run accepted it.
        LIMIT 1
    )""")

_EVENTS = f"""
    SELECT i.position, {EVENT_COLUMNS}
    FROM {_INCOMING} i
    CROSS JOIN LATERAL ({_CUSTOMER}) c
    JOIN usage_event e ON e.customer_id = c.customer_id AND e.idempotency_key = i.idempotency_key
"""
