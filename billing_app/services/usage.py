"""Recording usage: every accepted event once, in the period that it will be billed in.

The way of a batch: each row is checked on its own; what is well formed is copied into a temporary
table; one statement judges all of it against customers, plans, suspensions and closing marks and
inserts what may be; only when something was not plainly recorded a second one says why.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from psycopg import Cursor
from sqlmodel import Session

from billing_app.db import driver_cursor, now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.money import parse_quantity
from billing_app.domain.periods import parse_moment
from billing_app.errors import BillingError, Conflict, Invalid, NotFound
from billing_app.models.usage import IDEMPOTENCY_KEY_MAX
from billing_app.services import audit, gate
from billing_app.services.access import require
from billing_app.services.ids import find_number

BATCH_MAX = 10_000
# How far a sender's clock may be ahead of ours.
AHEAD_MAX = timedelta(minutes=5)

_SURROGATES = re.compile("[\ud800-\udfff]")

Status = Literal["recorded", "duplicate", "conflict", "rejected"]


class UsageReport(NamedTuple):
    """What a sender reports, as it came: `customer` an id or a key, `quantity` exact text or
    number, `occurred_at` an RFC 3339 text or aware datetime, None for now."""

    customer: object
    idempotency_key: object
    quantity: object
    occurred_at: object = None


class UsageEventRow(NamedTuple):
    """A recorded event. `customer` is the customer's key."""

    customer: str
    idempotency_key: str
    quantity: Decimal
    occurred_at: datetime
    recorded_at: datetime
    billing_period: date
    recorded_by: str


# The columns of a UsageEventRow, of usage_event e and customer c.
EVENT_COLUMNS = (
    "c.key, e.idempotency_key, e.quantity, e.occurred_at, e.recorded_at, e.billing_period, e.recorded_by"
)


@dataclass(frozen=True, slots=True)
class RowResult:
    """What became of one row of a batch; `code`, `detail` and `field` say why it was not recorded."""

    index: int
    status: Status
    code: str | None = None
    detail: str | None = None
    field: str | None = None


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The counts of a batch, and a result for each row that was not plainly recorded."""

    recorded: int
    duplicates: int
    conflicts: int
    rejected: int
    results: tuple[RowResult, ...]


@dataclass(frozen=True, slots=True)
class RecordedUsage:
    """The event, and whether it was recorded now or was there before."""

    status: Literal["recorded", "duplicate"]
    event: UsageEventRow


class _Incoming(NamedTuple):
    """A well-formed row on its way into the temporary table, in its column order; the customer
    is named by id or by key."""

    position: int
    customer_id: int | None
    customer_key: str | None
    idempotency_key: str
    quantity: Decimal
    occurred_at: datetime | None


_REFUSALS = {
    "customer_not_found": ("customer", "there is no such customer"),
    "occurred_in_future": ("occurred_at", "must not be more than 5 minutes ahead"),
    "no_plan": ("occurred_at", "must be in a month in which the customer has a plan"),
    "customer_suspended": ("occurred_at", "must not be within a suspension of the customer"),
}


def record_usage(session: Session, actor: Actor, report: UsageReport) -> RecordedUsage:
    """Records one event once: the same report again answers the first's event as a duplicate.

    Raises NotFound (`customer_not_found`), Conflict (`idempotency_conflict`,
    `customer_suspended`) and Invalid; then nothing was written.
    """
    outcome = _record(session, actor, [report])
    result = outcome.results[0] if outcome.results else RowResult(0, "recorded")
    if result.status == "rejected":
        raise _as_error(result)
    if result.status == "conflict":
        raise Conflict(result.detail or "", code="idempotency_conflict")
    event = get_event(session, str(report.customer), str(report.idempotency_key))
    return RecordedUsage("duplicate" if result.status == "duplicate" else "recorded", event)


def record_usage_batch(session: Session, actor: Actor, reports: Sequence[UsageReport]) -> BatchResult:
    """Records each good row once, whatever the others are; rows are answered one by one.

    At most 10,000 rows (Invalid beyond). Within the batch the first row of a key stands.
    """
    require(actor, Permission.RECORD_USAGE)
    if len(reports) > BATCH_MAX:
        raise Invalid("events", f"must be at most {BATCH_MAX:,} in one batch", code="batch_too_large")
    outcome = _record(session, actor, reports)
    if outcome.recorded:
        audit.record(
            session, actor, "usage.batch_recorded", "usage",
            recorded=outcome.recorded, duplicates=outcome.duplicates,
            conflicts=outcome.conflicts, rejected=outcome.rejected,
        )  # fmt: skip
    return outcome


def _record(session: Session, actor: Actor, reports: Sequence[UsageReport]) -> BatchResult:
    require(actor, Permission.RECORD_USAGE)
    gate.pass_shared(session)
    incoming, results = _check_rows(reports)
    recorded = 0
    if incoming:
        with driver_cursor(session) as db:
            _copy_in(db, incoming)
            parameters = {"now": now(session), "latest": now(session) + AHEAD_MAX, "by": actor.id}
            db.execute(_INSERT, parameters)
            recorded = db.rowcount  # how many rows RETURNING gave
            if recorded < len(incoming):
                fresh = set(db.fetchall())
                results += _explain(db.execute(_JUDGE, parameters), fresh)
    results.sort(key=lambda result: result.index)
    return BatchResult(
        recorded,
        sum(result.status == "duplicate" for result in results),
        sum(result.status == "conflict" for result in results),
        sum(result.status == "rejected" for result in results),
        tuple(results),
    )


def _check_rows(reports: Sequence[UsageReport]) -> tuple[list[_Incoming], list[RowResult]]:
    incoming: list[_Incoming] = []
    refused: list[RowResult] = []
    for index, (customer, key, quantity, occurred_at) in enumerate(reports):
        field = "customer"
        try:
            if not isinstance(customer, str) or not customer or not _storable(customer):
                raise ValueError("must be the id or the key of a customer")
            field = "idempotency_key"
            if not isinstance(key, str) or not 1 <= len(key) <= IDEMPOTENCY_KEY_MAX:
                raise ValueError(f"must be text of 1 to {IDEMPOTENCY_KEY_MAX} characters")
            if not _storable(key):
                raise ValueError("must be well-formed Unicode without NUL")
            field = "quantity"
            amount = parse_quantity(quantity)
            field = "occurred_at"
            moment = None if occurred_at is None else parse_moment(occurred_at)
        except ValueError as error:
            refused.append(RowResult(index, "rejected", "invalid", f"{field}: {error}", field))
            continue
        customer_id = find_number("cus", customer) if customer.startswith("cus_") else None
        # Keys are ASCII; in Unicode other letters have the same lower case, the Kelvin sign that of K.
        customer_key = customer.lower() if customer_id is None and customer.isascii() else None
        incoming.append(_Incoming(index, customer_id, customer_key, key, amount, moment))
    return incoming, refused


def _storable(text: str) -> bool:
    """Whether PostgreSQL can hold the text: no NUL, no half of a surrogate pair."""
    return "\0" not in text and (text.isascii() or not _SURROGATES.search(text))


def _refusal(index: int, code: str) -> RowResult:
    field, rule = _REFUSALS[code]
    return RowResult(index, "rejected", code, f"{field}: {rule}", field)


def _copy_in(db: Cursor[Any], incoming: Sequence[_Incoming]) -> None:
    db.execute(_TEMPORARY)
    with db.copy("COPY pg_temp.incoming_usage FROM STDIN") as copy:
        for row in incoming:
            copy.write_row(row)


_TEMPORARY = """
    CREATE TEMPORARY TABLE IF NOT EXISTS incoming_usage (
        position integer, customer_id bigint, customer_key text, idempotency_key text,
        quantity numeric, occurred_at timestamptz
    ) ON COMMIT DELETE ROWS
"""

# Each incoming row with its moment, its usage month, the customer's mark, and why it may not be
# recorded, or null.
_JUDGED = """
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
    LEFT JOIN LATERAL (
        SELECT customer_id FROM customer WHERE customer_id = i.customer_id
        UNION ALL
        SELECT customer_id FROM customer WHERE lower(key) = i.customer_key
    ) c ON true
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

# A known key is looked up before any refusal counts: what was recorded once stays answerable.
_JUDGE = f"""
    SELECT judged.position, judged.customer_id, judged.idempotency_key, judged.refusal,
           e.customer_id IS NOT NULL AS known,
           judged.quantity = e.quantity
               AND coalesce(judged.given_at = e.occurred_at, judged.given_at IS NULL) AS same
    FROM ({_JUDGED}) judged
    LEFT JOIN usage_event e USING (customer_id, idempotency_key)
    ORDER BY judged.position
"""


def _explain(judged: Iterable[Any], fresh: set[tuple[int, str]]) -> list[RowResult]:
    """A result for each row but those that inserted their event: the first row of each fresh key
    that was not refused."""
    results = []
    for index, customer_id, key, refusal, known, same in judged:
        inserted = (customer_id, key) in fresh
        if inserted and not refusal:
            fresh.discard((customer_id, key))
        elif inserted or not known:
            # A customer that was made between the two statements came too late for the first.
            results.append(_refusal(index, refusal or "customer_not_found"))
        elif same:
            results.append(RowResult(index, "duplicate"))
        else:
            detail = "idempotency_key: was used before with another quantity or moment"
            results.append(RowResult(index, "conflict", "idempotency_conflict", detail, "idempotency_key"))
    return results


def _as_error(result: RowResult) -> BillingError:
    field, detail = result.field or "", result.detail or ""
    if result.code == "customer_not_found":
        return NotFound("there is no such customer", code="customer_not_found")
    if result.code == "customer_suspended":
        return Conflict(detail, code="customer_suspended")
    return Invalid(field, detail.removeprefix(f"{field}: "), code=result.code)


def get_event(session: Session, customer: str, idempotency_key: str) -> UsageEventRow:
    """One event by its identity; raises NotFound. For services that have checked the actor."""
    with driver_cursor(session) as db:
        db.execute(
            f"SELECT {EVENT_COLUMNS} FROM usage_event e JOIN customer c USING (customer_id)"
            " WHERE (c.customer_id = %s OR lower(c.key) = %s) AND e.idempotency_key = %s",
            [find_number("cus", customer), customer.lower(), idempotency_key],
        )
        row = db.fetchone()
    if row is None:
        raise NotFound("there is no such event", code="event_not_found")
    return UsageEventRow(*row)
