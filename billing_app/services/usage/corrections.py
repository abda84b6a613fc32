"""Correcting usage: what an event should have been, recorded exactly once. Events themselves never change.

A correction is billed like an event, so recording it holds the gate. It never locks the billing row. The
corrections of an event are numbered, and a unique constraint decides between two that are recorded at the
same time: the later one is judged again.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from sqlmodel import Session

from billing_app.database.session import driver_cursor, now, planning_checks_once
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.money import EXACT, parse_quantity, plain
from billing_app.domain.periods import label
from billing_app.errors import BillingError, Conflict, FieldError, GaveWay, Invalid, NotFound
from billing_app.services.shared import audit, gate, validation
from billing_app.services.shared.ids import find_number, public_id
from billing_app.services.shared.permissions import require
from billing_app.services.shared.reasons import Reason
from billing_app.services.usage import correction_sql
from billing_app.services.usage.correction_judging import IncomingCorrection, NewCorrection, judge
from billing_app.services.usage.correction_rows import CorrectionReport, RecordedCorrection
from billing_app.services.usage.recording import (
    BATCH_MAX,
    BatchResult,
    RowResult,
    UnreadableReport,
    batch_result,
    is_storable,
)

# A try fails only if another correction of the same event was committed first. So this many can be recorded
# before ours.
_TRIES_MAX = 200


def correct_usage(session: Session, actor: Actor, report: CorrectionReport) -> RecordedCorrection:
    """Record one correction exactly once. The same report again returns the first correction as a duplicate.

    Raises:
        Invalid: naming the field that breaks a rule; `no_plan`.
        NotFound: `customer_not_found`, `event_not_found`.
        Conflict: `idempotency_conflict`, `nothing_to_correct`.
    """
    outcome = _record(session, actor, [report])
    result = outcome.results[0] if outcome.results else None
    if result is not None and result.status != "duplicate":
        raise _as_error(result)
    [(customer_id, correction_key)] = outcome.keys
    with driver_cursor(session) as db:
        correction = correction_sql.read(db, customer_id, correction_key)
    if result is not None:
        return RecordedCorrection("duplicate", correction)
    audit.record(
        session, actor, "usage.corrected", public_id("cus", customer_id),
        event=correction.idempotency_key, correction_key=correction.correction_key,
        meter=correction.meter_code, quantity_before=plain(correction.quantity_before),
        quantity=plain(correction.quantity), reason=correction.reason,
        period=label(correction.billing_period),
    )  # fmt: skip
    return RecordedCorrection("recorded", correction)


def correct_usage_batch(
    session: Session, actor: Actor, reports: Sequence[CorrectionReport | UnreadableReport]
) -> BatchResult:
    """Record each acceptable correction exactly once, independently of the other rows.

    Several corrections of one event apply in the order of the rows.

    Raises:
        Invalid: `batch_too_large` for more than 10,000 rows.
    """
    require(actor, Permission.CORRECT_USAGE)
    if len(reports) > BATCH_MAX:
        raise Invalid("corrections", "too_many_corrections", code="batch_too_large", at_most=BATCH_MAX)
    outcome = _record(session, actor, reports)
    counts = batch_result(len(outcome.written), outcome.results)
    if outcome.written:
        audit.record(
            session, actor, "usage.corrections_recorded", "usage",
            recorded=counts.recorded, duplicates=counts.duplicates, conflicts=counts.conflicts,
            rejected=counts.rejected, differences=_sum_differences(session, outcome.written),
        )  # fmt: skip
    return counts


def dry_run_correction_batch(
    session: Session, actor: Actor, reports: Sequence[CorrectionReport | UnreadableReport]
) -> BatchResult:
    """Return what `correct_usage_batch` would, but record nothing, and don't hold the gate.

    Dry runs in one transaction build on each other: later ones start from what earlier ones accepted.
    """
    require(actor, Permission.CORRECT_USAGE)
    rows, refused = _parse(reports)
    with driver_cursor(session) as db:
        correction_sql.start_dry_run(db)
        accepted, results = judge(rows, correction_sql.find(db, rows, is_dry_run=True))
        correction_sql.keep_accepted(db, accepted)
    return batch_result(len(accepted), [*results, *refused])


class _Outcome(NamedTuple):
    """The corrections that were written, a result for each other row, and the identities of all rows.

    Rows of an unknown customer have no identity.
    """

    written: list[NewCorrection]
    results: list[RowResult]
    keys: list[tuple[int, str]]


def _record(
    session: Session, actor: Actor, reports: Sequence[CorrectionReport | UnreadableReport]
) -> _Outcome:
    require(actor, Permission.CORRECT_USAGE)
    gate.hold_shared(session)
    rows, refused = _parse(reports)
    if not rows:
        return _Outcome([], refused, [])
    for _ in range(_TRIES_MAX):
        try:
            with session.begin_nested():
                outcome = _try_to_record(session, actor, rows)
        except correction_sql.Overtaken:
            continue
        return outcome._replace(results=[*outcome.results, *refused])
    raise GaveWay


def _try_to_record(session: Session, actor: Actor, rows: Sequence[IncomingCorrection]) -> _Outcome:
    """Judge the rows by what is committed now, and write the acceptable ones. Raises Overtaken."""
    with driver_cursor(session) as db:
        found = correction_sql.find(db, rows)
        accepted, results = judge(rows, found)
        with planning_checks_once(session):
            correction_sql.write(db, accepted, recorded_at=now(session), recorded_by=actor.id)
    keys = [
        (customer_id, row.correction_key)
        for row in rows
        if (customer_id := found[row.position].customer_id) is not None
    ]
    return _Outcome(accepted, results, keys)


def _parse(
    reports: Sequence[CorrectionReport | UnreadableReport],
) -> tuple[list[IncomingCorrection], list[RowResult]]:
    """Return the well-formed rows, and a result for each of the others."""
    rows, refused = [], []
    for position, report in enumerate(reports):
        try:
            rows.append(_parse_report(position, report))
        except Invalid as refusal:
            refused.append(RowResult(position, "rejected", Reason.of(refusal)))
    return rows, refused


def _parse_report(position: int, report: CorrectionReport | UnreadableReport) -> IncomingCorrection:
    """Parse every value of a report. Raises Invalid, naming the first field that breaks a rule."""
    if isinstance(report, UnreadableReport):
        raise Invalid.from_errors([FieldError(report.field, report.rule, dict(report.facts))])
    customer = report.customer
    if not isinstance(customer, str) or not customer or not is_storable(customer):
        raise Invalid("customer", "not_a_customer")
    customer_id = find_number("cus", customer) if customer.startswith("cus_") else None
    return IncomingCorrection(
        position=position,
        customer_id=customer_id,
        # Customer keys are ASCII. Some other letters have an ASCII lower case, such as the Kelvin sign.
        customer_key=customer.lower() if customer_id is None and customer.isascii() else None,
        idempotency_key=validation.idempotency_key("idempotency_key", report.idempotency_key),
        quantity=validation.parsed("quantity", parse_quantity, report.quantity),
        reason=validation.line("reason", report.reason, at_most=validation.TEXT_MAX),
        correction_key=validation.idempotency_key("correction_key", report.correction_key),
    )


def _sum_differences(session: Session, written: Sequence[NewCorrection]) -> str:
    """Write the sum of the differences of each meter: `api_calls -500, usage 12.5`."""
    sums: dict[int, Decimal] = {}
    for each in written:
        sums[each.meter_id] = EXACT.add(sums.get(each.meter_id, Decimal(0)), each.difference)
    with driver_cursor(session) as db:
        codes = correction_sql.read_meter_codes(db)
    return ", ".join(sorted(f"{codes[meter_id]} {plain(total)}" for meter_id, total in sums.items()))


def _as_error(result: RowResult) -> BillingError:
    """Return the error for a single correction that is a conflict or rejected."""
    assert result.reason is not None
    reason = result.reason
    errors = [FieldError(reason.field, reason.rule, dict(reason.facts))]
    if reason.code in ("customer_not_found", "event_not_found"):
        return NotFound(reason.code, errors=errors)
    if reason.code == "idempotency_conflict":
        return Conflict(reason.code, errors=errors, correction=True)
    if reason.code == "nothing_to_correct":
        return Conflict(reason.code, errors=errors)
    refusal = Invalid(reason.field, reason.rule, code=None if reason.code == "invalid" else reason.code)
    refusal.errors = tuple(errors)
    return refusal
