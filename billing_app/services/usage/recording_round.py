"""Recording single events together: one message to the database for a whole round.

The message is BEGIN, the gate, the recording statement and COMMIT, in the simple protocol, which
takes several statements at once. The statements are prepared once per connection. Each has a snapshot
of its own, so the recording statement sees all that was committed while the gate waited. If the gate
were taken inside it, it would judge by the closing marks as they were before.

Permissions were checked for each event before it came here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import psycopg
from psycopg.pq import Escaping

from billing_app.database import locks
from billing_app.domain.terms import DEFAULT_METER_CODE
from billing_app.errors import BillingError
from billing_app.services.shared.reasons import Reason
from billing_app.services.usage.judging import judged_usage
from billing_app.services.usage.recording import AHEAD_MAX, RecordedUsage, RowResult, as_error, rejection
from billing_app.services.usage.recording_sql import EventKey, IncomingRow
from billing_app.services.usage.rows import UsageEventRow
from billing_app.services.usage.selection import EVENT_COLUMNS, read_events

_ONE = Decimal(1)

Connection = psycopg.AsyncConnection[tuple[Any, ...]]


class Report(NamedTuple):
    """A well-formed report of an event, and the ID of the actor that records it."""

    row: IncomingRow
    recorded_by: str


class _Judged(NamedTuple):
    """What the recording statement returns for each report. Only an id of no customer is null."""

    position: int
    customer_id: int
    customer_key: str
    customer_name: str
    billing_period: date
    rejection: str | None
    is_inserted: bool
    meter: str


async def prepare(connection: Connection) -> None:
    """Prepare the statements of a round on a new connection."""
    await connection.execute(_PREPARE_RECORD)
    await connection.execute(_PREPARE_RECORD_METERED)
    await connection.execute(_PREPARE_FIND)


async def record_round(
    connection: Connection, reports: Sequence[Report], now: datetime, *, patience_ms: int
) -> list[RecordedUsage | BillingError]:
    """Record the events in one transaction, and answer each on its own, in their order.

    Reports don't affect each other, except that the first with a key is recorded. Raises psycopg.Error
    if the database refuses the round, or if another transaction locks a row for longer than
    `patience_ms`. Then nothing was recorded, unless the connection broke.
    """
    judged = await _record(connection, reports, now, patience_ms)
    answers: dict[int, RecordedUsage | BillingError] = {}
    # The position of the report for which an event was inserted.
    recorded: dict[EventKey, int] = {}
    others: list[_Judged] = []
    for row in judged:
        report = reports[row.position]
        key = (row.customer_id, report.row.idempotency_key)
        if row.is_inserted and not row.rejection and key not in recorded:
            recorded[key] = row.position
            answers[row.position] = RecordedUsage("recorded", _event(report, row, now))
        else:
            others.append(row)
    if others:
        known = await _find(connection, [(row.customer_id, reports[row.position]) for row in others])
        for row in others:
            answers[row.position] = _answer(row, reports[row.position].row, recorded, known)
    return [answers[position] for position in range(len(reports))]


def _answer(
    row: _Judged,
    report: IncomingRow,
    recorded: dict[EventKey, int],
    known: dict[EventKey, UsageEventRow],
) -> RecordedUsage | BillingError:
    """Answer a report whose event was not inserted for it."""
    key = (row.customer_id, report.idempotency_key)
    event = known.get(key)
    # An event that was recorded before decides, even if the report would be rejected today. So the
    # answer to a report never changes.
    if event is None or (row.rejection and recorded.get(key, row.position) > row.position):
        return as_error(RowResult(row.position, "rejected", rejection(row.rejection)))
    rule = _difference(report, event)
    if rule is None:
        return RecordedUsage("duplicate", event)
    reason = Reason("idempotency_conflict", "idempotency_key", rule)
    return as_error(RowResult(row.position, "conflict", reason))


def _difference(report: IncomingRow, event: UsageEventRow) -> str | None:
    """Return the rule that a report breaks if it differs from the event with its key, as for batches."""
    quantity = _ONE if report.quantity is None and event.item is not None else report.quantity
    if event.quantity != quantity or report.occurred_at not in (None, event.occurred_at):
        return "used_before"
    if report.item != event.item or report.meter not in (None, event.meter):
        return "used_elsewhere"
    return None


def _event(report: Report, judged: _Judged, now: datetime) -> UsageEventRow:
    """Return the event that was just inserted, as reading it would."""
    quantity = _ONE if report.row.quantity is None else report.row.quantity
    return UsageEventRow(
        customer_id=judged.customer_id,
        customer_key=judged.customer_key,
        customer_name=judged.customer_name,
        idempotency_key=report.row.idempotency_key,
        quantity=quantity,
        occurred_at=report.row.occurred_at or now,
        recorded_at=now,
        billing_period=judged.billing_period,
        recorded_by=report.recorded_by,
        meter=judged.meter,
        item=report.row.item,
        current_quantity=quantity,
        correction_count=0,
    )


class _Row(msgspec.Struct, omit_defaults=True):
    """A report as the recording statement reads it from JSON."""

    position: int
    customer_id: int | None
    customer_key: str | None
    idempotency_key: str
    quantity: Decimal | None
    occurred_at: datetime | None
    recorded_by: str
    meter: str | None = None
    item: str | None = None
    event_type: str | None = None


class _Key(msgspec.Struct):
    customer_id: int
    idempotency_key: str


async def _record(
    connection: Connection, reports: Sequence[Report], now: datetime, patience_ms: int
) -> list[_Judged]:
    rows = [
        _Row(
            position,
            report.row.customer_id,
            report.row.customer_key,
            report.row.idempotency_key,
            report.row.quantity,
            report.row.occurred_at,
            report.recorded_by,
            report.row.meter,
            report.row.item,
            report.row.event_type,
        )
        for position, report in enumerate(reports)
    ]
    statement = b"record_metered_usage" if any(map(_has_meter, rows)) else b"record_usage"
    arguments = b", ".join((_literal(connection, rows), _time(now), _time(now + AHEAD_MAX)))
    cursor = await connection.execute(_ROUND % (patience_ms, statement, arguments), prepare=False)
    # The results of BEGIN, the gate and the time limit.
    for _ in range(_BEFORE_RECORDING):
        cursor.nextset()
    return [_Judged(*row) for row in await cursor.fetchall()]


def _has_meter(row: _Row) -> bool:
    """Return whether anything but the default meter may be meant."""
    return row.quantity is None or (row.meter, row.item, row.event_type) != (None, None, None)


async def _find(
    connection: Connection, wanted: Iterable[tuple[int | None, Report]]
) -> dict[EventKey, UsageEventRow]:
    """Return the recorded events with these customers and keys."""
    keys = [
        _Key(customer_id, report.row.idempotency_key)
        for customer_id, report in wanted
        if customer_id is not None
    ]
    cursor = await connection.execute(b"EXECUTE find_usage (%b)" % _literal(connection, keys), prepare=False)
    found = [UsageEventRow(*row) for row in await cursor.fetchall()]
    return {(event.customer_id, event.idempotency_key): event for event in found}


def _literal(connection: Connection, rows: Sequence[msgspec.Struct]) -> bytes:
    """Return the rows as a literal of SQL with JSON in it."""
    return bytes(Escaping(connection.pgconn).escape_literal(msgspec.json.encode(rows)))


def _time(moment: datetime) -> bytes:
    return f"'{moment.isoformat()}'".encode()


# Waiting for the gate has no limit here, because nothing can be recorded without it, and whoever closes
# holds it briefly.
_ROUND = (
    b"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock_shared(%d);"
    b" SET LOCAL lock_timeout = %%d; EXECUTE %%b (%%b); COMMIT" % locks.GATE
)
_BEFORE_RECORDING = 3

_REPORTED = """json_to_recordset($1) AS incoming (
    position integer, customer_id bigint, customer_key text, idempotency_key text,
    quantity numeric, occurred_at timestamptz, recorded_by text
)"""
_REPORTED_METERED = _REPORTED.replace("\n)", ", meter text, item text, event_type text\n)")


def _prepare_record(name: str, judged: str, event: str, columns: str, meter: str) -> str:
    # Inserted in key order, so that two transactions with the same keys wait for each other instead of
    # deadlocking.
    return f"""
    PREPARE {name} (json, timestamptz, timestamptz) AS
    WITH judged AS MATERIALIZED (
        SELECT * FROM {judged} judged
    ), inserted AS (
        INSERT INTO usage_event (customer_id, idempotency_key, occurred_at, recorded_at,
                                 billing_period, recorded_by, {columns})
        SELECT customer_id, idempotency_key, occurred_at, $2, billing_period, recorded_by, {event}
        FROM judged WHERE rejection IS NULL
        ORDER BY customer_id, idempotency_key, position
        ON CONFLICT DO NOTHING
        RETURNING customer_id, idempotency_key
    )
    SELECT judged.position, judged.customer_id, customer.key, customer.name, judged.billing_period,
           judged.rejection,
           (judged.customer_id, judged.idempotency_key) IN (
               SELECT inserted.customer_id, inserted.idempotency_key FROM inserted
           ),
           {meter}
    FROM judged
    LEFT JOIN customer ON customer.customer_id = judged.customer_id
    ORDER BY judged.position
    """


_PREPARE_RECORD = _prepare_record(
    "record_usage",
    judged_usage(_REPORTED, now="$2", latest="$3", also=["recorded_by"]),
    "quantity",
    "quantity",
    f"'{DEFAULT_METER_CODE}'",
)
_PREPARE_RECORD_METERED = _prepare_record(
    "record_metered_usage",
    judged_usage(_REPORTED_METERED, now="$2", latest="$3", also=["recorded_by"], has_meters=True),
    "recorded_quantity, meter_id, item",
    "quantity, meter_id, item",
    "judged.meter_code",
)

_WANTED = """(e.customer_id, e.idempotency_key) IN (
    SELECT customer_id, idempotency_key
    FROM json_to_recordset($1) AS wanted(customer_id bigint, idempotency_key text)
)"""
_PREPARE_FIND = f"""
    PREPARE find_usage (json) AS
    SELECT {EVENT_COLUMNS} FROM {read_events(_WANTED)}
"""
