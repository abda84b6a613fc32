"""Use cases of invoice runs: start, read and cancel them. `run_progress` is for their workers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, NamedTuple, cast

from sqlalchemy import select, text, tuple_
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, col

from billing_app.database import locks
from billing_app.database.session import now, sqlstate_of
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.periods import label
from billing_app.errors import Conflict, NotFound
from billing_app.models import Customer, InvoiceRun, InvoiceRunFailure
from billing_app.services.invoices.preconditions import require_ended, require_issuer
from billing_app.services.invoices.run_progress import LANES, finish_run
from billing_app.services.shared import audit
from billing_app.services.shared.ids import get_number, public_id
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page, check_limit, decode_cursor, page_of
from billing_app.services.shared.permissions import require
from billing_app.services.shared.reasons import Reason

FAILURES_MAX = 200
RunStatus = Literal["running", "done", "cancelled", "failed"]

_LOCK_NOT_AVAILABLE = "55P03"
CANCEL_TIMEOUT = "10s"


class RunFailure(NamedTuple):
    """A customer that the run could not invoice, and why."""

    customer_id: int
    customer_key: str
    customer_name: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class RunSummary:
    """The progress of a run. `total` is the number of customers at its start.

    `fault` says why a failed run failed.
    """

    run_id: int
    public_id: str
    period_start: date
    status: RunStatus
    started_by: str
    started_at: datetime
    finished_at: datetime | None
    total: int
    created: int
    existing: int
    skipped: int
    failed: int
    fault: Reason | None

    @property
    def processed(self) -> int:
        """How many customers the run has processed so far."""
        return self.created + self.existing + self.skipped + self.failed


@dataclass(frozen=True, slots=True)
class RunRow(RunSummary):
    """A run with its first 200 failures, ordered by customer key."""

    failures: tuple[RunFailure, ...]


_START = text("""
    INSERT INTO invoice_run (period_start, status, started_by, started_at, total, created, existing,
                             skipped, failed, done_through_customer_ids, attempts)
    SELECT :period, 'running', :by, :at, count(*), 0, 0, 0, 0, CAST(:marks AS bigint[]), 0
    FROM customer_billing
    ON CONFLICT (period_start) WHERE status = 'running' DO NOTHING
    RETURNING run_id
""")
_RUNNING = text("SELECT run_id FROM invoice_run WHERE period_start = :period AND status = 'running'")


def start_run(session: Session, actor: Actor, period_start: date) -> RunRow:
    """Start a run for the period, or return the one that is already running.

    A partial unique index ensures that concurrent calls return the same run. Raises Conflict
    (`period_open`, `issuer_incomplete`, `run_ended`).
    """
    require(actor, Permission.INVOICE)
    require_ended(session, period_start)
    require_issuer(session)
    period = {"period": period_start}
    started = session.scalar(_START, {**period, "by": actor.id, "at": now(session), "marks": [0] * LANES})
    if started is not None:
        run = public_id("run", started)
        audit.record(session, actor, "invoice_run.started", run, period=label(period_start))
    running = started or session.scalar(_RUNNING, period)
    if running is None:
        # The running run ended after the insert conflicted with it and before it was read.
        raise Conflict("run_ended")
    return get_run(session, actor, public_id("run", running))


def get_run(session: Session, actor: Actor, run: str) -> RunRow:
    """Return the run with this id, `run_5`, and its first failures. Raises NotFound (`run_not_found`)."""
    require(actor, Permission.READ)
    run_id = get_number("run", run, "run")
    found = session.get(InvoiceRun, run_id, populate_existing=True)
    if found is None:
        raise NotFound("run_not_found", named=run)
    failures = session.execute(
        select(
            col(Customer.customer_id), col(Customer.key), col(Customer.name), col(InvoiceRunFailure.reason)
        )
        .join(Customer, col(Customer.customer_id) == InvoiceRunFailure.customer_id)
        .where(col(InvoiceRunFailure.run_id) == run_id)
        .order_by(Customer.key)
        .limit(FAILURES_MAX)
    )
    return RunRow(
        **_fields(found),
        failures=tuple(
            RunFailure(customer_id, key, name, Reason.from_json(reason))
            for customer_id, key, name, reason in failures
        ),
    )


def list_runs(
    session: Session, actor: Actor, *, limit: int = LIMIT_DEFAULT, cursor: str | None = None
) -> Page[RunSummary]:
    """List all runs without their failures, the most recently started first."""
    require(actor, Permission.READ)
    query = select(InvoiceRun).order_by(col(InvoiceRun.started_at).desc(), col(InvoiceRun.run_id).desc())
    if after := decode_cursor(cursor, datetime, int):
        query = query.where(tuple_(col(InvoiceRun.started_at), col(InvoiceRun.run_id)) < tuple_(*after))
    found = session.scalars(query.limit(check_limit(limit) + 1))
    rows = [RunSummary(**_fields(run)) for run in found]
    return page_of(rows, limit, lambda row: (row.started_at, row.run_id))


def find_running(session: Session, actor: Actor) -> RunSummary | None:
    """Return the running run of the oldest month, even if no process is executing it."""
    require(actor, Permission.READ)
    found = session.scalar(
        select(InvoiceRun)
        .where(col(InvoiceRun.status) == "running")
        .order_by(col(InvoiceRun.period_start))
        .limit(1)
    )
    return RunSummary(**_fields(found)) if found else None


def cancel_run(session: Session, actor: Actor, run: str) -> RunRow:
    """Cancel a running run: no invoice is created after this transaction, and the counts are final.

    Waits for invoices that are being created, so that no month stays closed without its invoice. Existing
    invoices are kept. Does nothing if the run has ended. Raises NotFound (`run_not_found`), and Conflict
    (`run_busy`) if the wait takes too long.
    """
    require(actor, Permission.INVOICE)
    run_id = get_number("run", run, "run")
    try:
        session.execute(text(f"SET LOCAL lock_timeout = '{CANCEL_TIMEOUT}'"))
        session.execute(
            text("SELECT pg_advisory_xact_lock(:kind, :run_id)"),
            {"kind": locks.RUN_CANCELLATION, "run_id": run_id},
        )
    except OperationalError as error:
        if sqlstate_of(error) == _LOCK_NOT_AVAILABLE:
            raise Conflict("run_busy") from None
        raise
    finish_run(session, actor, run, "cancelled")
    return get_run(session, actor, run)


def _fields(run: InvoiceRun) -> dict[str, Any]:
    assert run.run_id is not None
    return {
        "run_id": run.run_id,
        "public_id": public_id("run", run.run_id),
        "period_start": run.period_start,
        "status": cast(RunStatus, run.status),
        "started_by": run.started_by,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "total": run.total,
        "created": run.created,
        "existing": run.existing,
        "skipped": run.skipped,
        "failed": run.failed,
        "fault": Reason.from_json(run.fault) if run.fault else None,
    }
