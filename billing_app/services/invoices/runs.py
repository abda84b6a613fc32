"""The records of invoice runs: one under way for a period, its progress, its failures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import insert, select, text, tuple_, update
from sqlmodel import Session, col

from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.periods import label
from billing_app.errors import Conflict, NotFound
from billing_app.models import Customer, InvoiceRun, InvoiceRunFailure
from billing_app.services.invoices.preconditions import require_ended, require_issuer
from billing_app.services.shared import audit, faults
from billing_app.services.shared.ids import get_number, public_id
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page, check_limit, decode_cursor, page_of
from billing_app.services.shared.permissions import require
from billing_app.services.shared.reasons import Reason

FAILURES_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Failure:
    """A customer that could not be invoiced, and why."""

    customer_id: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class RunFailure:
    """A customer that the run could not invoice, and why."""

    customer_key: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class RunSummary:
    """How far a run is. `total` customers were there when it began; `fault`: why it was given up."""

    run_id: int
    public_id: str
    period_start: date
    status: str
    started_by: str
    started_at: datetime
    finished_at: datetime | None
    total: int
    made: int
    existing: int
    passed: int
    failed: int
    fault: Reason | None


@dataclass(frozen=True, slots=True)
class RunRow(RunSummary):
    """A run with its failures, the first 200 by the customers' keys."""

    failures: tuple[RunFailure, ...]


_START = text("""
    INSERT INTO invoice_run (period_start, status, started_by, started_at, total, made, existing,
                             passed, failed, done_through_customer_id, attempts)
    SELECT :period, 'running', :by, :at, count(*), 0, 0, 0, 0, 0, 0 FROM customer_billing
    ON CONFLICT (period_start) WHERE status = 'running' DO NOTHING
    RETURNING run_id
""")
_RUNNING = text("SELECT run_id FROM invoice_run WHERE period_start = :period AND status = 'running'")


def start_run(session: Session, actor: Actor, period_start: date) -> RunRow:
    """The period's one run under way: a new one, or the one that is there.

    Two starts at once get the same run (a partial unique index). Raises Conflict
    (`period_open`, `issuer_incomplete`).
    """
    require(actor, Permission.INVOICE)
    require_ended(session, period_start)
    require_issuer(session)
    period = {"period": period_start}
    started = session.scalar(_START, {**period, "by": actor.id, "at": now(session)})
    if started is not None:
        run = public_id("run", started)
        audit.record(session, actor, "invoice_run.started", run, period=label(period_start))
    running = started or session.scalar(_RUNNING, period)
    if running is None:
        # The one that was in the way has just ended.
        raise Conflict("run_ended")
    return get_run(session, actor, public_id("run", running))


def get_run(session: Session, actor: Actor, run: str) -> RunRow:
    """A run by its id, `run_5`, with its first failures. Raises NotFound (`run_not_found`)."""
    require(actor, Permission.READ)
    run_id = get_number("run", run, "run")
    found = session.get(InvoiceRun, run_id, populate_existing=True)
    if found is None:
        raise NotFound("run_not_found", named=run)
    failures = session.execute(
        select(col(Customer.key), col(InvoiceRunFailure.reason))
        .join(Customer, col(Customer.customer_id) == InvoiceRunFailure.customer_id)
        .where(col(InvoiceRunFailure.run_id) == run_id)
        .order_by(Customer.key)
        .limit(FAILURES_SHOWN)
    )
    return RunRow(
        **_fields(found),
        failures=tuple(RunFailure(key, Reason.from_json(reason)) for key, reason in failures),
    )


def list_runs(
    session: Session, actor: Actor, *, limit: int = LIMIT_DEFAULT, cursor: str | None = None
) -> Page[RunSummary]:
    """All runs, the last started first, without their failures."""
    require(actor, Permission.READ)
    query = select(InvoiceRun).order_by(col(InvoiceRun.started_at).desc(), col(InvoiceRun.run_id).desc())
    if after := decode_cursor(cursor, datetime, int):
        query = query.where(tuple_(col(InvoiceRun.started_at), col(InvoiceRun.run_id)) < tuple_(*after))
    found = session.scalars(query.limit(check_limit(limit) + 1))
    rows = [RunSummary(**_fields(run)) for run in found]
    return page_of(rows, limit, lambda row: (row.started_at, row.run_id))


def find_running(session: Session, actor: Actor) -> RunSummary | None:
    """The run under way for the oldest month, whoever executes it or left it."""
    require(actor, Permission.READ)
    found = session.scalar(
        select(InvoiceRun)
        .where(col(InvoiceRun.status) == "running")
        .order_by(col(InvoiceRun.period_start))
        .limit(1)
    )
    return RunSummary(**_fields(found)) if found else None


def _fields(run: InvoiceRun) -> dict[str, Any]:
    assert run.run_id is not None
    return {
        "run_id": run.run_id,
        "public_id": public_id("run", run.run_id),
        "period_start": run.period_start,
        "status": run.status,
        "started_by": run.started_by,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "total": run.total,
        "made": run.made,
        "existing": run.existing,
        "passed": run.passed,
        "failed": run.failed,
        "fault": Reason.from_json(run.fault) if run.fault else None,
    }


def next_customers(session: Session, actor: Actor, run: str, limit: int) -> list[int]:
    """The next customers that the run has not dealt with; empty at the end or when cancelled."""
    require(actor, Permission.INVOICE)
    rows = session.execute(
        text(
            "SELECT customer_id FROM customer_billing WHERE customer_id > ("
            " SELECT done_through_customer_id FROM invoice_run"
            " WHERE run_id = :run_id AND status = 'running')"
            " ORDER BY customer_id LIMIT :limit"
        ),
        {"run_id": get_number("run", run, "run"), "limit": limit},
    )
    return [row.customer_id for row in rows]


def lock_progress(session: Session, actor: Actor, run: str) -> int:
    """The last customer that the run is done with; nobody else's to count until this ends."""
    require(actor, Permission.INVOICE)
    through: int = session.execute(
        select(col(InvoiceRun.done_through_customer_id))
        .where(col(InvoiceRun.run_id) == get_number("run", run, "run"))
        .with_for_update(key_share=True)
    ).scalar_one()
    return through


def add_progress(
    session: Session,
    actor: Actor,
    run: str,
    *,
    through_customer_id: int,
    made: int,
    existing: int,
    passed: int,
    failed: Sequence[Failure],
) -> None:
    """Counts a chunk, in the transaction that made its invoices: both happen or neither does."""
    require(actor, Permission.INVOICE)
    run_id = get_number("run", run, "run")
    session.execute(
        update(InvoiceRun)
        .where(col(InvoiceRun.run_id) == run_id)
        .values(
            done_through_customer_id=through_customer_id,
            made=InvoiceRun.made + made,
            existing=InvoiceRun.existing + existing,
            passed=InvoiceRun.passed + passed,
            failed=InvoiceRun.failed + len(failed),
            attempts=0,
        )
    )
    rows: list[dict[str, Any]] = [
        {"run_id": run_id, "customer_id": each.customer_id, "reason": each.reason.as_json()}
        for each in failed
    ]
    if rows:
        session.execute(insert(InvoiceRunFailure), rows)
    audit.record(
        session, actor, "invoice_run.chunk_invoiced", run,
        made=made, existing=existing, passed=passed, failed=len(failed),
    )  # fmt: skip


def cancel_run(session: Session, actor: Actor, run: str) -> RunRow:
    """Stops a run before its next chunk; what was made stays, and an ended run is as it was.

    Raises NotFound (`run_not_found`).
    """
    finish_run(session, actor, run, "cancelled")
    return get_run(session, actor, run)


def note_failed_attempt(session: Session, actor: Actor, run: str, reason: Reason) -> bool:
    """Counts that the run failed without getting any further; too often, and it is given up for the reason.

    What was made stays, and the month can be run again. Answers whether it is given up.
    """
    require(actor, Permission.INVOICE)
    attempts = session.scalar(
        update(InvoiceRun)
        .where(col(InvoiceRun.run_id) == get_number("run", run, "run"), col(InvoiceRun.status) == "running")
        .values(attempts=InvoiceRun.attempts + 1)
        .returning(col(InvoiceRun.attempts))
    )
    if attempts is None or attempts < faults.ATTEMPTS_MAX:
        return False
    finish_run(session, actor, run, "failed", reason)
    return True


def finish_run(
    session: Session, actor: Actor, run: str, status: str = "done", fault: Reason | None = None
) -> None:
    """Ends a run that is under way as `done`, `cancelled` or `failed`; an ended one stays as it is."""
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
