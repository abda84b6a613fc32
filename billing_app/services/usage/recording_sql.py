"""The statements that record usage: they copy rows in, check and insert them, and read events back."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, LiteralString, NamedTuple

from psycopg import Cursor

from billing_app.database.returning import count_returned
from billing_app.domain.terms import DEFAULT_METER_ID
from billing_app.services.usage.judging import judged_usage
from billing_app.services.usage.rows import UsageEventRow
from billing_app.services.usage.selection import EVENT_COLUMNS, read_events


class IncomingRow(NamedTuple):
    """A well-formed report.

    The customer is identified by id or by key. Without `occurred_at`, the event occurs now. `meter` is a
    code, or empty if no meter can have the code that was given. Without a quantity, the meter decides.
    """

    position: int
    customer_id: int | None
    customer_key: str | None
    idempotency_key: str
    quantity: Decimal | None
    occurred_at: datetime | None
    meter: str | None = None
    item: str | None = None
    event_type: str | None = None


class CheckedRow(NamedTuple):
    """Whether a row can be recorded, and how it compares with the event that has its key, if any.

    `difference` is the rule that the row breaks if it differs from that event.
    """

    position: int
    customer_id: int | None
    idempotency_key: str
    rejection: str | None
    is_known: bool
    difference: str | None


EventKey = tuple[int | None, str]
"""The identity of an event: customer id and idempotency key. A row of an unknown customer has no id."""


def insert_events(
    db: Cursor[Any], rows: str, *, now: datetime, latest: datetime, recorded_by: str, has_meters: bool = False
) -> int:
    """Insert the event of every acceptable row once and return their number. The gate must be held.

    `rows` is text from `copy_text`, with the columns about meters if `has_meters`.
    `fetch_accepted` returns their keys until the cursor is used again.
    """
    # An earlier call in the same transaction may have left rows. There are few, so deleting them is cheap.
    _copy_in(db, rows, "DELETE FROM pg_temp.incoming_usage", has_meters=has_meters)
    db.execute(
        _INSERT_METERED if has_meters else _INSERT, {"now": now, "latest": latest, "recorded_by": recorded_by}
    )
    return count_returned(db)


def dry_run(db: Cursor[Any], rows: str, *, now: datetime, latest: datetime, has_meters: bool = False) -> int:
    """Return what `insert_events` would return after all earlier dry runs of this transaction.

    Records nothing. `fetch_accepted` returns the keys until the cursor is used again.
    """
    # A file takes thousands of calls in one transaction, and each would read all previously deleted rows.
    _copy_in(db, rows, "TRUNCATE pg_temp.incoming_usage", has_meters=has_meters)
    db.execute(_DRY_RUN_TABLE)
    db.execute(_DRY_RUN_METERED if has_meters else _DRY_RUN, {"now": now, "latest": latest})
    return count_returned(db)


def fetch_accepted(db: Cursor[Any]) -> set[EventKey]:
    """Return the keys that the preceding `insert_events` or `dry_run` accepted."""
    return set(db.fetchall())


def check_rows(
    db: Cursor[Any],
    *,
    now: datetime,
    latest: datetime,
    has_meters: bool = False,
    is_dry_run: bool = False,
) -> list[CheckedRow]:
    """Check each row of the preceding `insert_events` or `dry_run` again, in their order."""
    db.execute(_CHECKS[is_dry_run, has_meters], {"now": now, "latest": latest})
    return [CheckedRow(*row) for row in db]


def find_events(db: Cursor[Any]) -> dict[int, UsageEventRow]:
    """Return the recorded event for each row of the preceding `insert_events` that has one, by position."""
    db.execute(_EVENTS)
    return {position: UsageEventRow(*columns) for position, *columns in db}


def _copy_in(db: Cursor[Any], rows: str, clear: LiteralString, *, has_meters: bool) -> None:
    # Two statements in one round trip can't be prepared.
    db.execute(_INCOMING_TABLE + clear, prepare=False)
    with db.copy(_COPY_METERED if has_meters else _COPY) as copy:
        copy.write(rows)


_INCOMING_TABLE = """
    CREATE TEMPORARY TABLE IF NOT EXISTS incoming_usage (
        position integer, customer text, idempotency_key text, quantity numeric, occurred_at timestamptz,
        meter text, item text, event_type text
    ) ON COMMIT DELETE ROWS;
"""
_COPY = """
    COPY pg_temp.incoming_usage (position, customer, idempotency_key, quantity, occurred_at) FROM STDIN
"""
_COPY_METERED = "COPY pg_temp.incoming_usage FROM STDIN"

# The events that would have been recorded.
_DRY_RUN_TABLE = """
    CREATE TEMPORARY TABLE IF NOT EXISTS dry_run_usage (
        customer_id bigint, idempotency_key text, quantity numeric, occurred_at timestamptz,
        meter_id smallint, item text,
        PRIMARY KEY (customer_id, idempotency_key)
    ) ON COMMIT DROP
"""

# The copied rows. A customer is an id such as `cus_12`, or a key, which can't start like that.
_INCOMING = """(
    SELECT position, idempotency_key, quantity, occurred_at, meter, item, event_type,
           CASE WHEN starts_with(customer, 'cus_') THEN substr(customer, 5)::bigint END AS customer_id,
           CASE WHEN NOT starts_with(customer, 'cus_') THEN lower(customer) END AS customer_key
    FROM pg_temp.incoming_usage
)"""

# The customer of an incoming row i.
_CUSTOMER = """
    SELECT customer_id FROM customer WHERE customer_id = i.customer_id
    UNION ALL
    SELECT customer_id FROM customer WHERE lower(key) = i.customer_key
"""

# The events can be on other servers, so they are found by their keys before anything is joined.
_WITH_KEYS = "(e.customer_id, e.idempotency_key) IN (SELECT customer_id, idempotency_key FROM {keys})"
_RECORDED = f"""
    SELECT e.customer_id, e.idempotency_key, e.quantity, e.occurred_at, e.meter_id, e.item
    FROM usage_event e WHERE {_WITH_KEYS.format(keys="checked")}
"""

_CHECKED = judged_usage(f"{_INCOMING} AS incoming")
_CHECKED_METERED = judged_usage(f"{_INCOMING} AS incoming", has_meters=True)


def _insert(checked: str, event: str, columns: str) -> str:
    # In key order, so that two batches with the same keys wait for each other instead of deadlocking.
    return f"""
    INSERT INTO usage_event (customer_id, idempotency_key, occurred_at, recorded_at,
                             billing_period, recorded_by, {columns})
    SELECT customer_id, idempotency_key, occurred_at, %(now)s,
           billing_period, %(recorded_by)s, {event}
    FROM {checked} checked
    WHERE rejection IS NULL
    ORDER BY customer_id, idempotency_key, position
    ON CONFLICT DO NOTHING
    RETURNING customer_id, idempotency_key
    """


def _dry_run(checked: str, event: str) -> str:
    return f"""
    WITH checked AS MATERIALIZED (SELECT * FROM {checked} judged), recorded AS MATERIALIZED ({_RECORDED})
    INSERT INTO pg_temp.dry_run_usage (customer_id, idempotency_key, occurred_at, quantity, meter_id, item)
    SELECT customer_id, idempotency_key, occurred_at, {event} FROM checked
    WHERE rejection IS NULL AND NOT EXISTS (
        SELECT FROM recorded e
        WHERE e.customer_id = checked.customer_id AND e.idempotency_key = checked.idempotency_key
    )
    ORDER BY customer_id, idempotency_key, position
    ON CONFLICT DO NOTHING
    RETURNING customer_id, idempotency_key
    """


def _check(checked: str, events: str, is_elsewhere: str) -> str:
    """Return a query whose columns are those of a `CheckedRow`.

    A report without a time or a quantity is the same as one with the event's time, or the quantity 1 of an
    event with an item.
    """
    return f"""
    WITH checked AS MATERIALIZED (SELECT * FROM {checked} judged), recorded AS MATERIALIZED ({_RECORDED})
    SELECT checked.position, checked.customer_id, checked.idempotency_key, checked.rejection,
           e.customer_id IS NOT NULL AS is_known,
           CASE WHEN checked.given_at <> e.occurred_at
                     OR coalesce(checked.quantity, CASE WHEN e.item IS NOT NULL THEN 1 END)
                        IS DISTINCT FROM e.quantity
                THEN 'used_before'
                WHEN {is_elsewhere} THEN 'used_elsewhere'
           END AS difference
    FROM checked
    LEFT JOIN {events} e USING (customer_id, idempotency_key)
    ORDER BY checked.position
    """


_INSERT = _insert(_CHECKED, "quantity", "quantity")
_INSERT_METERED = _insert(_CHECKED_METERED, "recorded_quantity, meter_id, item", "quantity, meter_id, item")
_DRY_RUN = _dry_run(_CHECKED, f"quantity, {DEFAULT_METER_ID}, NULL")
_DRY_RUN_METERED = _dry_run(_CHECKED_METERED, "recorded_quantity, meter_id, item")

_RECORDED_OR_CHECKED = """LATERAL (
        SELECT * FROM recorded r
        WHERE r.customer_id = checked.customer_id AND r.idempotency_key = checked.idempotency_key
        UNION ALL
        SELECT d.* FROM pg_temp.dry_run_usage d
        WHERE d.customer_id = checked.customer_id AND d.idempotency_key = checked.idempotency_key
        -- An event that is in both was recorded after the dry run accepted it.
        LIMIT 1
    )"""
_NAMES_OTHER = """
    checked.item IS DISTINCT FROM e.item
    OR checked.names_meter AND checked.given_meter_id IS DISTINCT FROM e.meter_id
"""
_CHECKS = {
    (False, False): _check(_CHECKED, "recorded", "e.item IS NOT NULL"),
    (False, True): _check(_CHECKED_METERED, "recorded", _NAMES_OTHER),
    (True, False): _check(_CHECKED, _RECORDED_OR_CHECKED, "e.item IS NOT NULL"),
    (True, True): _check(_CHECKED_METERED, _RECORDED_OR_CHECKED, _NAMES_OTHER),
}

_EVENTS = f"""
    WITH wanted AS MATERIALIZED (
        SELECT i.position, i.idempotency_key, found.customer_id
        FROM {_INCOMING} i CROSS JOIN LATERAL ({_CUSTOMER}) found
    )
    SELECT wanted.position, {EVENT_COLUMNS} FROM {read_events(_WITH_KEYS.format(keys="wanted"))}
    JOIN wanted USING (customer_id, idempotency_key)
"""
