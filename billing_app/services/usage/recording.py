"""Recording usage: every accepted event once, in the period that it will be billed in.

The way of a batch: each row is checked on its own; what is well formed is copied into a temporary
table; one statement judges all of it against customers, plans, suspensions and closing marks and
inserts what may be; only when something was not plainly recorded a second one says why. The
statements are in usage_rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from sqlmodel import Session

from billing_app.database.session import driver_cursor, now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.money import parse_quantity
from billing_app.domain.periods import parse_moment
from billing_app.domain.rules import BrokenRule
from billing_app.errors import BillingError, Conflict, FieldError, Invalid, NotFound
from billing_app.services.shared import audit, gate
from billing_app.services.shared.ids import find_number
from billing_app.services.shared.permissions import require
from billing_app.services.shared.reasons import Reason
from billing_app.services.shared.validation import parse_idempotency_key
from billing_app.services.usage import recording_sql
from billing_app.services.usage.recording_sql import Incoming

BATCH_MAX = 10_000
# How far a sender's clock may be ahead of ours.
AHEAD_MAX = timedelta(minutes=5)
# The columns of a UsageEventRow, of usage_event e and customer c.
EVENT_COLUMNS = recording_sql.EVENT_COLUMNS

_SURROGATES = re.compile("[\ud800-\udfff]")

Status = Literal["recorded", "duplicate", "conflict", "rejected"]


class UsageReport(NamedTuple):
    """What a sender reports, as it came: `customer` an id or a key, `quantity` exact text or
    number, `occurred_at` an RFC 3339 text or aware datetime, None for now."""

    customer: object
    idempotency_key: object
    quantity: object
    occurred_at: object = None


class Unreadable(NamedTuple):
    """A row of a batch that is no report: rejected like a wrong one, `field` empty for all of it."""

    field: str
    rule: str
    facts: Mapping[str, object] = {}


class UsageEventRow(NamedTuple):
    """A recorded event. `customer` is the customer's key."""

    customer: str
    idempotency_key: str
    quantity: Decimal
    occurred_at: datetime
    recorded_at: datetime
    billing_period: date
    recorded_by: str


@dataclass(frozen=True, slots=True)
class RowResult:
    """The outcome of one row of a batch. `reason` says why the row is a conflict or rejected."""

    index: int
    status: Status
    reason: Reason | None = None


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


# The field that each refusal of the judging statement is about.
_REFUSED_FIELDS = {
    "customer_not_found": "customer",
    "occurred_in_future": "occurred_at",
    "no_plan": "occurred_at",
    "customer_suspended": "occurred_at",
}


def record_usage(session: Session, actor: Actor, report: UsageReport) -> RecordedUsage:
    """Records one event once: the same report again answers the first's event as a duplicate.

    Raises NotFound (`customer_not_found`), Conflict (`idempotency_conflict`,
    `customer_suspended`) and Invalid; then nothing was written.
    """
    [answer] = record_usage_group(session, actor, [report])
    if isinstance(answer, BillingError):
        raise answer
    return answer


def record_usage_group(
    session: Session, actor: Actor, reports: Sequence[UsageReport]
) -> list[RecordedUsage | BillingError]:
    """Records each good report once, and answers each as `record_usage` would have, in their order.

    One sender's report never changes another's answer, except that the first of a key stands. No
    entry in the audit log: the events say who recorded them.
    """
    outcome, events = _record(session, actor, reports, answer_events=True)
    results = {result.index: result for result in outcome.results}
    answers: list[RecordedUsage | BillingError] = []
    for index in range(len(reports)):
        result = results.get(index)
        if result is None or result.status == "duplicate":
            answers.append(RecordedUsage("duplicate" if result else "recorded", events[index]))
        else:
            answers.append(_as_error(result))
    return answers


def record_usage_batch(
    session: Session, actor: Actor, reports: Sequence[UsageReport | Unreadable]
) -> BatchResult:
    """Records each good row once, whatever the others are; rows are answered one by one.

    At most 10,000 rows (Invalid beyond). Within the batch the first row of a key stands.
    """
    outcome = record_usage_of_file(session, actor, reports)
    if outcome.recorded:
        audit.record(
            session, actor, "usage.batch_recorded", "usage",
            recorded=outcome.recorded, duplicates=outcome.duplicates,
            conflicts=outcome.conflicts, rejected=outcome.rejected,
        )  # fmt: skip
    return outcome


def record_usage_of_file(
    session: Session, actor: Actor, reports: Sequence[UsageReport | Unreadable]
) -> BatchResult:
    """As `record_usage_batch`, for one of a file's batches: the audit log has one entry for all of them."""
    require(actor, Permission.RECORD_USAGE)
    if len(reports) > BATCH_MAX:
        raise _too_large()
    return _record(session, actor, reports)[0]


def judge_usage_batch(
    session: Session, actor: Actor, reports: Sequence[UsageReport | Unreadable]
) -> BatchResult:
    """Records nothing, and answers as `record_usage_batch` would after all that was judged before in
    this transaction: a key counts once, however many batches it is in."""
    require(actor, Permission.RECORD_USAGE)
    if len(reports) > BATCH_MAX:
        raise _too_large()
    incoming, results = _check_rows(reports)
    judged = 0
    if incoming:
        with driver_cursor(session) as db:
            moment, latest = now(session), now(session) + AHEAD_MAX
            judged = recording_sql.pretend(db, incoming, now=moment, latest=latest)
            if judged < len(incoming):
                fresh = set(db.fetchall())
                results += _explain(recording_sql.judge(db, now=moment, latest=latest, pretended=True), fresh)
    return _counted(judged, results)


def _record(
    session: Session,
    actor: Actor,
    reports: Sequence[UsageReport | Unreadable],
    *,
    answer_events: bool = False,
) -> tuple[BatchResult, dict[int, UsageEventRow]]:
    """What became of the rows, and by position the events that those name that are well formed."""
    require(actor, Permission.RECORD_USAGE)
    gate.pass_shared(session)
    incoming, results = _check_rows(reports)
    recorded = 0
    events: dict[int, UsageEventRow] = {}
    if incoming:
        with driver_cursor(session) as db:
            moment, latest = now(session), now(session) + AHEAD_MAX
            recorded = recording_sql.insert(db, incoming, now=moment, latest=latest, by=actor.id)
            if recorded < len(incoming):
                fresh = set(db.fetchall())
                results += _explain(recording_sql.judge(db, now=moment, latest=latest), fresh)
            if answer_events:
                events = {row[0]: UsageEventRow(*row[1:]) for row in recording_sql.find_events(db)}
    return _counted(recorded, results), events


def _counted(recorded: int, results: list[RowResult]) -> BatchResult:
    results.sort(key=lambda result: result.index)
    return BatchResult(
        recorded,
        sum(result.status == "duplicate" for result in results),
        sum(result.status == "conflict" for result in results),
        sum(result.status == "rejected" for result in results),
        tuple(results),
    )


def _too_large() -> Invalid:
    return Invalid("events", "too_many_events", code="batch_too_large", at_most=BATCH_MAX)


def _check_rows(reports: Sequence[UsageReport | Unreadable]) -> tuple[list[Incoming], list[RowResult]]:
    incoming: list[Incoming] = []
    refused: list[RowResult] = []
    for index, report in enumerate(reports):
        field = "customer"
        try:
            if isinstance(report, Unreadable):
                field = report.field
                raise BrokenRule(report.rule, **report.facts)
            customer, key, quantity, occurred_at = report
            if not isinstance(customer, str) or not customer or not _storable(customer):
                raise BrokenRule("not_a_customer")
            field = "idempotency_key"
            key = parse_idempotency_key(key)
            field = "quantity"
            amount = parse_quantity(quantity)
            field = "occurred_at"
            moment = None if occurred_at is None else parse_moment(occurred_at)
        except BrokenRule as broken:
            reason = Reason("invalid", field, broken.rule, broken.facts)
            refused.append(RowResult(index, "rejected", reason))
            continue
        customer_id = find_number("cus", customer) if customer.startswith("cus_") else None
        # Keys are ASCII; in Unicode other letters have the same lower case, the Kelvin sign that of K.
        customer_key = customer.lower() if customer_id is None and customer.isascii() else None
        incoming.append(Incoming(index, customer_id, customer_key, key, amount, moment))
    return incoming, refused


def _storable(text: str) -> bool:
    """Whether PostgreSQL can hold the text: no NUL, no half of a surrogate pair."""
    return "\0" not in text and (text.isascii() or not _SURROGATES.search(text))


def _refusal(index: int, code: str) -> RowResult:
    return RowResult(index, "rejected", Reason(code, _REFUSED_FIELDS[code], code))


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
            reason = Reason("idempotency_conflict", "idempotency_key", "used_before")
            results.append(RowResult(index, "conflict", reason))
    return results


def _as_error(result: RowResult) -> BillingError:
    """Return the refusal of a single event. It names the field, as that of a row does."""
    assert result.reason is not None
    reason = result.reason
    errors = [FieldError(reason.field, reason.rule, dict(reason.facts))]
    if reason.code == "customer_not_found":
        return NotFound(reason.code, errors=errors)
    if reason.code in ("customer_suspended", "idempotency_conflict"):
        return Conflict(reason.code, errors=errors)
    refusal = Invalid(reason.field, reason.rule, code=reason.code)
    refusal.errors = tuple(errors)
    return refusal
