"""Verification: recompute everything in one snapshot, and store the report.

A verification is a row in the database, and the process that executes it holds a lock. If that process is
killed, the verification starts over: in the background of a server, or with the next `billing verify`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from billing_app.database import locks
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor, Permission, system
from billing_app.jobs.leadership import lock, try_lock
from billing_app.jobs.retries import giving_up_when_it_keeps_failing
from billing_app.services.shared.permissions import require
from billing_app.services.verification.awaiting import select_still_awaiting
from billing_app.services.verification.recomputation import recompute
from billing_app.services.verification.report import Report, Subject
from billing_app.services.verification.verifications import (
    VerificationRow,
    count_failed_attempt,
    find_running,
    finish_verification,
    keep_progress,
    start_verification,
)

# Closing a month and creating its invoice are two transactions, some milliseconds apart.
AWAIT_INVOICES_SECONDS = 2.0
_LOOK_EVERY_SECONDS = 0.05

OnProgress = Callable[[Report], None]


def verify(
    database: Database,
    actor: Actor,
    on_progress: OnProgress = lambda report: None,
    *,
    awaiting_is_discrepancy: bool = True,
) -> Report:
    """Recompute everything as of a time after this call, and store the report.

    A closed month without an invoice is a discrepancy unless its invoice is about to be created. After a
    restore that can't be known, because the backup may have been made between the two.

    Waits for a verification that another process is executing. If a verification is running that no process
    executes, executes that one.
    """
    require(actor, Permission.VERIFY)
    with lock(database, actor, locks.VERIFYING):
        row = database.call(actor, start_verification)
        return _execute(database, row, on_progress, awaiting_is_discrepancy=awaiting_is_discrepancy)


def resume_verification(database: Database, on_progress: OnProgress = lambda report: None) -> None:
    """Execute the running verification, if there is one and no process is executing it."""
    with try_lock(database, SYSTEM, locks.VERIFYING) as is_free:
        running = database.call(SYSTEM, find_running) if is_free else None
        if running:
            with giving_up_when_it_keeps_failing(database, running.public_id, count_failed_attempt):
                _execute(database, running, on_progress)


def _execute(
    database: Database, row: VerificationRow, on_progress: OnProgress, *, awaiting_is_discrepancy: bool = True
) -> Report:
    """Recompute in a READ ONLY transaction. Other transactions write the progress and the report."""
    worker = system(row.public_id, on_behalf_of=row.started_by)

    def keep(report: Report) -> None:
        database.call(worker, keep_progress, row.public_id, report)
        on_progress(report)

    with database.transaction(worker, isolation="REPEATABLE READ", read_only=True) as session:
        report = recompute(session, worker, keep)
    if awaiting_is_discrepancy:
        _judge_awaiting_invoices(database, worker, report)
    database.call(worker, finish_verification, row.public_id, report)
    return report


def _judge_awaiting_invoices(database: Database, worker: Actor, report: Report) -> None:
    """Report a discrepancy for each closed month without an invoice, unless it is about to be created.

    Waits a moment for the invoice of a month that was closed right before the snapshot.
    """
    missing = report.awaiting_invoice
    deadline = time.monotonic() + AWAIT_INVOICES_SECONDS
    while missing:
        with database.transaction(worker, read_only=True) as session:
            missing = select_still_awaiting(session, worker, missing)
        if time.monotonic() > deadline:
            break
        time.sleep(_LOOK_EVERY_SECONDS)
    for each in missing:
        report.add(Subject(each.customer), "closed_without_invoice", period=each.period_start)
