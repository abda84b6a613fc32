"""The statements that record usage: rows copied in, judged and inserted, and found again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, LiteralString, NamedTuple

from psycopg import Cursor

# The columns of a usage.UsageEventRow, of usage_event e and customer c.
EVENT_COLUMNS = (
    "c.key, e.idempotency_key, e.quantity, e.occurred_at, e.recorded_at, e.billing_period, e.recorded_by"
)


class Incoming(NamedTuple):
    """A well-formed row on its way into the temporary table, in its column order; the customer
    is named by id or by key."""

    position: int
    customer_id: int | None
    customer_key: str | None
    idempotency_key: str
    quantity: Decimal
    occurred_at: datetime | None


def insert(db: Cursor[Any], incoming: Sequence[Incoming], *, now: datetime, latest: datetime, by: str) -> int:
    """Records every row that may be, once, and tells how many it did; the gate must be held.

    What the cursor has to fetch afterwards is their customer_id and idempotency_key.
    """
    # What an earlier call of the same transaction left goes; mostly nothing.
    _copy_in(db, incoming, "DELETE FROM pg_temp.incoming_usage")
    db.execute(_INSERT, {"now": now, "latest": latest, "by": by})
    return db.rowcount  # how many rows RETURNING gave


def pretend(db: Cursor[Any], incoming: Sequence[Incoming], *, now: datetime, latest: datetime) -> int:
    """As `insert` after all that was pretended before in this transaction, and nothing is recorded."""
    # Thousands of calls in one transaction: rows that are only deleted would be read by each of them.
    _copy_in(db, incoming, "TRUNCATE pg_temp.incoming_usage")
    db.execute(_PRETENDED)
    db.execute(_PRETEND, {"now": now, "latest": latest})
    return db.rowcount


def judge(db: Cursor[Any], *, now: datetime, latest: datetime, pretended: bool = False) -> Iterable[Any]:
    """Why each row of this transaction's `insert`, or `pretend`, did or did not make an event, in
    their order: position, customer_id, idempotency_key, refusal or None, whether the event is there
    (by whomever), whether it is the same."""
    return db.execute(_JUDGE_PRETENDED if pretended else _JUDGE, {"now": now, "latest": latest})


def find_events(db: Cursor[Any]) -> Iterable[Any]:
    """The event that each row of this transaction's `insert` names, where there is one: its
    position, then EVENT_COLUMNS."""
    return db.execute(_EVENTS)


def _copy_in(db: Cursor[Any], incoming: Sequence[Incoming], emptied: LiteralString) -> None:
    # Two statements in one round trip, which can't be prepared.
    db.execute(_TEMPORARY + emptied, prepare=False)
    with db.copy("COPY pg_temp.incoming_usage FROM STDIN") as copy:
        for row in incoming:
            copy.write_row(row)


_TEMPORARY = """
    CREATE TEMPORARY TABLE IF NOT EXISTS incoming_usage (
        position integer, customer_id bigint, customer_key text, idempotency_key text,
        quantity numeric, occurred_at timestamptz
    ) ON COMMIT DELETE ROWS;
"""

# The events that would be there.
_PRETENDED = """
    CREATE TEMPORARY TABLE IF NOT EXISTS pretended_usage (
        customer_id bigint, idempotency_key text, quantity numeric, occurred_at timestamptz,
        PRIMARY KEY (customer_id, idempotency_key)
    ) ON COMMIT DROP
"""

# The customer of an incoming row i.
_CUSTOMER = """
    SELECT customer_id, key FROM customer WHERE customer_id = i.customer_id
    UNION ALL
    SELECT customer_id, key FROM customer WHERE lower(key) = i.customer_key
"""

# Each incoming row with its moment, its usage month, the customer's mark, and why it may not be
# recorded, or null.
_JUDGED = f"""
    SELECT i.position, c.customer_id, i.idempotency_key, i.quantity, i.occurred_at AS given_at,
           m.occurred_at, m.usage_month, b.closed_through,
           CASE WHEN c.customer_id IS NULL THEN 'customer_not_found'
                WHEN m.occurred_at > %(latest)s THEN 'occurred_in_future'
                WHEN plan.plan_id IS NULL THEN 'no_plan'
                WHEN EXISTS (
                    SELECT FROM suspension s
                    WHERE s.customer_id = c.customer_id AND m.occurred_at >= s.started_at
                      AND (s.ended_at IS NULL OR m.occurred_at < s.ended_at)
                ) THEN 'customer_suspended'
           END AS refusal
    FROM pg_temp.incoming_usage i
    CROSS JOIN LATERAL (
        SELECT coalesce(i.occurred_at, %(now)s) AS occurred_at,
               date_trunc('month', coalesce(i.occurred_at, %(now)s) AT TIME ZONE 'UTC')::date
                   AS usage_month
    ) m
    LEFT JOIN LATERAL ({_CUSTOMER}) c ON true
    LEFT JOIN customer_billing b ON b.customer_id = c.customer_id
    LEFT JOIN LATERAL (
        SELECT s.plan_id FROM subscription s
        WHERE s.customer_id = c.customer_id AND s.effective_from <= m.usage_month
        ORDER BY s.effective_from DESC LIMIT 1
    ) plan ON true
"""

# In key order, so that two batches with the same keys wait for each other instead of deadlocking.
_INSERT = f"""
    INSERT INTO usage_event (customer_id, idempotency_key, occurred_at, recorded_at,
                             billing_period, quantity, recorded_by)
    SELECT customer_id, idempotency_key, occurred_at, %(now)s,
           greatest(usage_month, (closed_through + interval '1 month')::date), quantity, %(by)s
    FROM ({_JUDGED}) judged
    WHERE refusal IS NULL
    ORDER BY customer_id, idempotency_key, position
    ON CONFLICT DO NOTHING
    RETURNING customer_id, idempotency_key
"""

_PRETEND = f"""
    INSERT INTO pg_temp.pretended_usage
    SELECT customer_id, idempotency_key, quantity, occurred_at FROM ({_JUDGED}) judged
    WHERE refusal IS NULL AND NOT EXISTS (
        SELECT FROM usage_event e
        WHERE e.customer_id = judged.customer_id AND e.idempotency_key = judged.idempotency_key
    )
    ORDER BY customer_id, idempotency_key, position
    ON CONFLICT DO NOTHING
    RETURNING customer_id, idempotency_key
"""


def _judging(events: str) -> str:
    """A known key is looked up before any refusal counts: what was recorded once stays answerable."""
    return f"""
    SELECT judged.position, judged.customer_id, judged.idempotency_key, judged.refusal,
           e.customer_id IS NOT NULL AS known,
           judged.quantity = e.quantity
               AND coalesce(judged.given_at = e.occurred_at, judged.given_at IS NULL) AS same
    FROM ({_JUDGED}) judged
    LEFT JOIN {events} e USING (customer_id, idempotency_key)
    ORDER BY judged.position
    """


_JUDGE = _judging("usage_event")
_JUDGE_PRETENDED = _judging("""LATERAL (
        SELECT u.customer_id, u.idempotency_key, u.quantity, u.occurred_at FROM usage_event u
        WHERE u.customer_id = judged.customer_id AND u.idempotency_key = judged.idempotency_key
        UNION ALL
        SELECT p.* FROM pg_temp.pretended_usage p
        WHERE p.customer_id = judged.customer_id AND p.idempotency_key = judged.idempotency_key
        -- What is in both was recorded in the meantime.
        LIMIT 1
    )""")

_EVENTS = f"""
    SELECT i.position, {EVENT_COLUMNS}
    FROM pg_temp.incoming_usage i
    CROSS JOIN LATERAL ({_CUSTOMER}) c
    JOIN usage_event e ON e.customer_id = c.customer_id AND e.idempotency_key = i.idempotency_key
"""
