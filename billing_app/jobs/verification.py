"""Verification: recompute everything in one snapshot, and store the report.

A verification is a row in the database, and the process that executes it holds a lock. If that process is
killed, the verification starts over: in the background of a server, or with the next `billing verify`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Lock

from sqlalchemy import text

from billing_app.database import locks
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor, Permission, system
from billing_app.jobs.leadership import keeping_alive, lock, try_lock
from billing_app.jobs.retries import giving_up_when_it_keeps_failing
from billing_app.jobs.worker_process import WorkerProcess, report_progress, worker_processes
from billing_app.services.shared.permissions import require
from billing_app.services.verification.accounts import CustomerRange, split_customers
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

PROCESSES = 2
# A process takes a moment to start, so each must have some work.
PART_CUSTOMERS_MIN = 3_000

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

    report = _recompute(database, worker, keep)
    if awaiting_is_discrepancy:
        _judge_awaiting_invoices(database, worker, report)
    database.call(worker, finish_verification, row.public_id, report)
    return report


def _recompute(database: Database, worker: Actor, on_progress: OnProgress) -> Report:
    """Recompute everything in one snapshot: in this process, or parts of it in processes of their own.

    Most of the time goes into rating and hashing in Python, for which the threads of one process share a core.
    """
    with database.transaction(worker, isolation="REPEATABLE READ", read_only=True) as session:
        parts = split_customers(session, PROCESSES, at_least=PART_CUSTOMERS_MIN)
        if len(parts) == 1:
            return recompute(session, worker, on_progress)
        snapshot = session.scalar(text("SELECT pg_export_snapshot()"))
        with keeping_alive(session):
            return _recompute_parts(database, worker, snapshot, parts, on_progress)


def _recompute_parts(
    database: Database, worker: Actor, snapshot: str, parts: Sequence[CustomerRange], on_progress: OnProgress
) -> Report:
    reports = [Report() for _ in parts]
    one_at_a_time = Lock()

    def recompute_part(number: int, process: WorkerProcess) -> None:
        def note(report: Report) -> None:
            with one_at_a_time:
                reports[number] = report
                on_progress(Report.merged(reports))

        reports[number] = process.call_with_progress(
            note, recompute_in_snapshot, worker, snapshot, parts[number]
        )

    # If a part fails, the processes of the others are ended, and their threads with them.
    with ThreadPoolExecutor(len(parts)) as pool, worker_processes(database, len(parts)) as processes:
        running = [pool.submit(recompute_part, *each) for each in enumerate(processes)]
        for ended in as_completed(running):
            ended.result()
    return Report.merged(reports)


def recompute_in_snapshot(
    database: Database, worker: Actor, snapshot: str, customers: CustomerRange
) -> Report:
    """Recompute a part of the customers in another transaction's snapshot. Called in a worker process."""
    with database.transaction(worker, isolation="REPEATABLE READ", read_only=True) as session:
        # The statement takes no parameters. The name consists of digits, letters and hyphens.
        session.execute(text(f"SET TRANSACTION SNAPSHOT '{snapshot}'"))
        return recompute(session, worker, report_progress, customers)


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
