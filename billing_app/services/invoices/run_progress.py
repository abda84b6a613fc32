"""The progress of an invoice run, as its workers read and update it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import insert, select, text, update
from sqlmodel import Session, col

from billing_app.database import locks
from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.models import InvoiceRun, InvoiceRunFailure
from billing_app.services.shared import audit
from billing_app.services.shared.ids import get_number
from billing_app.services.shared.permissions import require
from billing_app.services.shared.reasons import Reason

# The customers of a run are split into lanes by their id. Lanes advance independently of each other, so
# that the database can store the invoices of one lane while those of another are being computed.
LANES = 2


class RunSuperseded(Exception):
    """Another process is executing the run."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The next customers of one lane."""

    lane: int
    customer_ids: list[int]


@dataclass(frozen=True, slots=True)
class Failure:
    """A customer that could not be invoiced, and why."""

    customer_id: int
    reason: Reason


_NEXT_IN_LANE = text("""
    SELECT customer_id FROM customer_billing
    WHERE customer_id % :lanes = :lane AND customer_id > (
        SELECT done_through_customer_ids[:lane + 1] FROM invoice_run
        WHERE run_id = :run_id AND status = 'running')
    ORDER BY customer_id LIMIT :limit
""")
_ADD_PROGRESS = text("""
    UPDATE invoice_run
    SET done_through_customer_ids[:lane + 1] = :through, created = created + :created,
        existing = existing + :existing, skipped = skipped + :skipped, failed = failed + :failed,
        attempts = 0
    WHERE run_id = :run_id AND done_through_customer_ids[:lane + 1] < :first
    RETURNING run_id
""")


def next_batches(session: Session, actor: Actor, run: str, customers: int) -> list[Batch]:
    """Return the next customers of each lane, about `customers` in all, and none if the run has ended.

    Waits for a cancellation that is being committed.
    """
    require(actor, Permission.INVOICE)
    run_id = get_number("run", run, "run")
    session.execute(
        text("SELECT pg_advisory_xact_lock_shared(:kind, :run_id)"),
        {"kind": locks.RUN_CANCELLATION, "run_id": run_id},
    )
    batches = []
    for lane in range(LANES):
        found = session.execute(
            _NEXT_IN_LANE,
            {"run_id": run_id, "lane": lane, "lanes": LANES, "limit": -(-customers // LANES)},
        )
        batches.append(Batch(lane, [row.customer_id for row in found]))
    return [batch for batch in batches if batch.customer_ids]


def hold_off_cancellation(session: Session, actor: Actor, run: str) -> bool:
    """Prevent the run from being cancelled until this transaction ends.

    Returns False, without waiting, if the run has ended or a cancellation is waiting.
    """
    require(actor, Permission.INVOICE)
    run_id = get_number("run", run, "run")
    is_held = session.scalar(
        text("SELECT pg_try_advisory_xact_lock_shared(:kind, :run_id)"),
        {"kind": locks.RUN_CANCELLATION, "run_id": run_id},
    )
    # A separate statement, so that it sees a cancellation that was committed before the lock was taken.
    status = session.scalar(select(col(InvoiceRun.status)).where(col(InvoiceRun.run_id) == run_id))
    return bool(is_held) and status == "running"


def add_progress(
    session: Session,
    actor: Actor,
    run: str,
    batch: Batch,
    *,
    created: int,
    existing: int,
    skipped: int,
    failures: Sequence[Failure],
) -> None:
    """Add a batch's outcome to the run, in the transaction that creates the invoices.

    Raises:
        RunSuperseded: Another process has done the batch, while this one was frozen and had lost its lock.
    """
    require(actor, Permission.INVOICE)
    run_id = get_number("run", run, "run")
    counts = {"created": created, "existing": existing, "skipped": skipped, "failed": len(failures)}
    first, through = batch.customer_ids[0], batch.customer_ids[-1]
    marks = {"run_id": run_id, "lane": batch.lane, "first": first, "through": through}
    if session.scalar(_ADD_PROGRESS, marks | counts) is None:
        raise RunSuperseded
    rows: list[dict[str, Any]] = [
        {"run_id": run_id, "customer_id": each.customer_id, "reason": each.reason.as_json()}
        for each in failures
    ]
    if rows:
        session.execute(insert(InvoiceRunFailure), rows)
    audit.record(session, actor, "invoice_run.chunk_invoiced", run, **counts)


def count_failed_attempt(
    session: Session, actor: Actor, run: str, reason: Reason, *, attempts_max: int
) -> bool:
    """Count a failure without progress, and mark the run as failed after `attempts_max` of them.

    Returns whether it is marked as failed. Its invoices are kept, and the month can be run again.
    """
    require(actor, Permission.INVOICE)
    attempts = session.scalar(
        update(InvoiceRun)
        .where(col(InvoiceRun.run_id) == get_number("run", run, "run"), col(InvoiceRun.status) == "running")
        .values(attempts=InvoiceRun.attempts + 1)
        .returning(col(InvoiceRun.attempts))
    )
    if attempts is None or attempts < attempts_max:
        return False
    finish_run(session, actor, run, "failed", reason)
    return True


def finish_run(
    session: Session,
    actor: Actor,
    run: str,
    status: Literal["done", "cancelled", "failed"] = "done",
    fault: Reason | None = None,
) -> None:
    """End a running run. Does nothing if it has ended."""
    require(actor, Permission.INVOICE)
    ended = session.scalar(
        update(InvoiceRun)
        .where(
            col(InvoiceRun.run_id) == get_number("run", run, "run"),
            col(InvoiceRun.status) == "running",
        )
        .values(status=status, finished_at=now(session), fault=fault.as_json() if fault else None)
        .returning(col(InvoiceRun.run_id))
    )
    if ended is not None:
        audit.record(session, actor, f"invoice_run.{status}", run, fault=fault.code if fault else None)
