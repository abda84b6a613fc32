"""Recording usage: every accepted event exactly once, with the period that it will be billed in.

Well-formed reports are copied into a temporary table: plain ones as they are, the others after they
were parsed (`copy_text`). One statement checks the rows against customers, plans, suspensions and closed
periods (`judging`) and inserts the acceptable ones. Only if not all of them were inserted, a second
statement finds out why. The statements are in `recording_sql`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, NamedTuple

from sqlmodel import Session

from billing_app.database.counts import count
from billing_app.database.session import driver_cursor, now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.money import parse_quantity
from billing_app.domain.periods import parse_timestamp
from billing_app.domain.rules import BrokenRule
from billing_app.errors import BillingError, Conflict, FieldError, Invalid, NotFound
from billing_app.services.plans.meters import EVENT_TYPE_MAX, METER_CODE
from billing_app.services.shared import audit, gate
from billing_app.services.shared.ids import find_number
from billing_app.services.shared.permissions import require
from billing_app.services.shared.reasons import Reason
from billing_app.services.shared.validation import parse_idempotency_key
from billing_app.services.usage import recording_sql
from billing_app.services.usage.copy_text import CopyText, to_copy_text
from billing_app.services.usage.judging import MALFORMED, REJECTED_FIELDS
from billing_app.services.usage.recording_sql import CheckedRow, EventKey, IncomingRow
from billing_app.services.usage.rows import UsageEventRow

BATCH_MAX = 10_000
# How far a sender's clock may be ahead of ours.
AHEAD_MAX = timedelta(minutes=5)

_SURROGATES = re.compile("[\ud800-\udfff]")

Status = Literal["recorded", "duplicate", "conflict", "rejected"]


class UsageReport(NamedTuple):
    """What a sender reports, not yet parsed.

    `customer` is an id or a key, `quantity` a decimal string or an exact number, `occurred_at` an
    RFC 3339 string or an aware datetime. Without `occurred_at`, the event occurs now.

    `meter` is a code. Without it, the meter that takes `event_type` records the event, and without both the
    default meter. On a meter that counts different items, `item` is required, and `quantity` is 1.

    Rows that are read in bulk may be shorter: the last fields are missing.
    """

    customer: object
    idempotency_key: object
    quantity: object = None
    occurred_at: object = None
    meter: object = None
    item: object = None
    event_type: object = None


class UnreadableReport(NamedTuple):
    """A report that is rejected before its values are parsed. `field` is empty if it is not an object."""

    field: str
    rule: str
    facts: Mapping[str, object] = {}


@dataclass(frozen=True, slots=True)
class RowResult:
    """The outcome of one row of a batch. `reason` says why the row is a conflict or rejected."""

    index: int
    status: Status
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The counts of a batch, and a result for each row that is not simply recorded, in their order."""

    recorded: int
    duplicates: int
    conflicts: int
    rejected: int
    results: tuple[RowResult, ...]


class RecordedUsage(NamedTuple):
    """The recorded event. It is a duplicate if it was already recorded before this report."""

    status: Literal["recorded", "duplicate"]
    event: UsageEventRow


def record_usage(session: Session, actor: Actor, report: UsageReport | UnreadableReport) -> RecordedUsage:
    """Record one event exactly once. The same report again returns the first event as a duplicate.

    The audit log has no entry for single events, because each event says who recorded it.

    Raises NotFound (`customer_not_found`, `meter_not_found`), Conflict (`idempotency_conflict`,
    `customer_suspended`) and Invalid, without recording anything.
    """
    outcome, events = _record(session, actor, [report], return_events=True)
    [result] = outcome.results or [None]
    if result is None or result.status == "duplicate":
        return RecordedUsage("duplicate" if result else "recorded", events[0])
    raise as_error(result)


def record_usage_batch(
    session: Session, actor: Actor, reports: Sequence[UsageReport | UnreadableReport]
) -> BatchResult:
    """Record each acceptable row exactly once, independently of the other rows.

    If several rows have the same key, the first of them is recorded. Raises Invalid
    (`batch_too_large`) for more than 10,000 rows.
    """
    outcome = record_usage_file_batch(session, actor, reports)
    if outcome.recorded:
        audit.record(
            session, actor, "usage.batch_recorded", "usage",
            recorded=outcome.recorded, duplicates=outcome.duplicates,
            conflicts=outcome.conflicts, rejected=outcome.rejected,
        )  # fmt: skip
    return outcome


def record_usage_file_batch(
    session: Session, actor: Actor, reports: Sequence[UsageReport | UnreadableReport]
) -> BatchResult:
    """Record a batch of a file like `record_usage_batch`, but leave the audit entry to the import."""
    require(actor, Permission.RECORD_USAGE)
    _check_size(reports)
    outcome = _record(session, actor, reports)[0]
    count(session, "bulk_events", "recorded", outcome.recorded)
    count(session, "bulk_events", "duplicate", outcome.duplicates)
    count(session, "bulk_events", "conflict", outcome.conflicts)
    count(session, "bulk_events", "rejected", outcome.rejected)
    return outcome


def dry_run_usage_batch(
    session: Session, actor: Actor, reports: Sequence[UsageReport | UnreadableReport]
) -> BatchResult:
    """Return what `record_usage_batch` would, but record nothing.

    Dry runs in one transaction build on each other: later ones report repeated keys as duplicates.
    """
    require(actor, Permission.RECORD_USAGE)
    _check_size(reports)
    (text, rows, has_meters, _), results = _read_reports(reports)
    accepted = 0
    if rows:
        with driver_cursor(session) as db:
            moment, latest = now(session), now(session) + AHEAD_MAX
            accepted = recording_sql.dry_run(db, text, now=moment, latest=latest, has_meters=has_meters)
            if accepted < rows:
                keys = recording_sql.fetch_accepted(db)
                checked = recording_sql.check_rows(
                    db, now=moment, latest=latest, has_meters=has_meters, is_dry_run=True
                )
                results += _row_results(checked, keys)
    return batch_result(accepted, results)


def _record(
    session: Session,
    actor: Actor,
    reports: Sequence[UsageReport | UnreadableReport],
    *,
    return_events: bool = False,
) -> tuple[BatchResult, dict[int, UsageEventRow]]:
    """Record the reports and return the outcome. If asked to, return the events by position as well."""
    require(actor, Permission.RECORD_USAGE)
    gate.hold_shared(session)
    (text, rows, has_meters, _), results = _read_reports(reports)
    recorded = 0
    events: dict[int, UsageEventRow] = {}
    if rows:
        with driver_cursor(session) as db:
            moment, latest = now(session), now(session) + AHEAD_MAX
            recorded = recording_sql.insert_events(
                db, text, now=moment, latest=latest, recorded_by=actor.id, has_meters=has_meters
            )
            if recorded < rows:
                keys = recording_sql.fetch_accepted(db)
                checked = recording_sql.check_rows(db, now=moment, latest=latest, has_meters=has_meters)
                results += _row_results(checked, keys)
            if return_events:
                events = recording_sql.find_events(db)
    return batch_result(recorded, results), events


def batch_result(recorded: int, results: list[RowResult]) -> BatchResult:
    results.sort(key=lambda result: result.index)
    return BatchResult(
        recorded=recorded,
        duplicates=sum(result.status == "duplicate" for result in results),
        conflicts=sum(result.status == "conflict" for result in results),
        rejected=sum(result.status == "rejected" for result in results),
        results=tuple(results),
    )


def _check_size(reports: Sequence[object]) -> None:
    if len(reports) > BATCH_MAX:
        raise Invalid("events", "too_many_events", code="batch_too_large", at_most=BATCH_MAX)


def _read_reports(
    reports: Sequence[UsageReport | UnreadableReport],
) -> tuple[CopyText, list[RowResult]]:
    """Return the well-formed rows as text for COPY, and a result for each of the others."""
    copied = to_copy_text(reports, parse_report)
    return copied, [RowResult(index, "rejected", Reason.of(refusal)) for index, refusal in copied.refusals]


def parse_report(position: int, report: UsageReport | UnreadableReport) -> IncomingRow:
    """Parse every value of a report. Raises Invalid, naming the first field that breaks a rule."""
    if isinstance(report, UnreadableReport):
        raise Invalid.from_errors([FieldError(report.field, report.rule, dict(report.facts))])
    customer, given_key, given_quantity, given_at, given_meter, given_item, event_type = UsageReport(*report)
    meter: str | None = None
    field = "customer"
    try:
        if not isinstance(customer, str) or not customer or not is_storable(customer):
            raise BrokenRule("not_a_customer")
        field = "idempotency_key"
        key = parse_idempotency_key(given_key)
        field = "meter"
        meter = _parse_meter(given_meter)
        field = "quantity"
        quantity = None if given_quantity is None else parse_quantity(given_quantity)
        field = "item"
        item = None if given_item is None else parse_idempotency_key(given_item)
        field = "occurred_at"
        occurred_at = None if given_at is None else parse_timestamp(given_at)
    except BrokenRule as broken:
        raise Invalid.from_rule(field, broken) from None
    customer_id = find_number("cus", customer) if customer.startswith("cus_") else None
    # Customer keys are ASCII. Some other letters have an ASCII lower case, such as the Kelvin sign.
    customer_key = customer.lower() if customer_id is None and customer.isascii() else None
    typed = event_type if isinstance(event_type, str) else None
    return IncomingRow(
        position,
        customer_id,
        customer_key,
        key,
        quantity,
        occurred_at,
        meter,
        item,
        # No meter takes a type that can't be stored.
        typed if typed is None or (is_storable(typed) and len(typed) <= EVENT_TYPE_MAX) else "",
    )


def _parse_meter(code: object) -> str | None:
    """Return the code, or nothing if no meter can have it. Raises BrokenRule unless it is text."""
    if code is None:
        return None
    if not isinstance(code, str) or not code:
        raise BrokenRule("not_a_meter")
    return code if METER_CODE.fullmatch(code) else ""


def is_storable(text: str) -> bool:
    """Return whether PostgreSQL can hold the text: it has no NUL and no unpaired surrogate."""
    return "\0" not in text and (text.isascii() or not _SURROGATES.search(text))


def _row_results(checked: Iterable[CheckedRow], accepted: set[EventKey]) -> list[RowResult]:
    """Return a result for each row, except those whose event was accepted.

    If several rows have an accepted key, the accepted one is the first that isn't rejected.
    """
    results = []
    for row in checked:
        key = (row.customer_id, row.idempotency_key)
        if key in accepted and not row.rejection:
            accepted.discard(key)
        elif key in accepted or not row.is_known:
            results.append(RowResult(row.position, "rejected", rejection(row.rejection)))
        # The key is already recorded, which takes precedence even if the row would be rejected today, so that
        # the outcome of a report never changes.
        elif row.difference is None:
            results.append(RowResult(row.position, "duplicate"))
        else:
            reason = Reason("idempotency_conflict", "idempotency_key", row.difference)
            results.append(RowResult(row.position, "conflict", reason))
    return results


def rejection(code: str | None) -> Reason:
    """Return the reason for which a statement rejected a row."""
    # If nothing is wrong, the customer was created between the two statements.
    rule = code or "customer_not_found"
    return Reason("invalid" if rule in MALFORMED else rule, REJECTED_FIELDS[rule], rule)


def as_error(result: RowResult) -> BillingError:
    """Return the error for a single event whose report is a conflict or rejected."""
    assert result.reason is not None
    reason = result.reason
    errors = [FieldError(reason.field, reason.rule, dict(reason.facts))]
    if reason.code in ("customer_not_found", "meter_not_found"):
        return NotFound(reason.code, errors=errors)
    if reason.code in ("customer_suspended", "idempotency_conflict"):
        return Conflict(reason.code, errors=errors)
    refusal = Invalid(reason.field, reason.rule, code=reason.code)
    refusal.errors = tuple(errors)
    return refusal
