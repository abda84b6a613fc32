"""Invoice runs: close a month and generate its invoices for all customers, batch by batch.

A run is a row in the database, and the process that executes it holds a lock. If that process is killed, the
run resumes after its last committed batches: in the background of a server, or when it is started again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import date
from typing import NamedTuple, TypeVar

from sqlalchemy import text
from sqlmodel import Session

from billing_app.database import locks
from billing_app.database.session import Database, planning_checks_once
from billing_app.domain.actor import SYSTEM, Actor, Permission, system
from billing_app.jobs.lanes import Lanes
from billing_app.jobs.leadership import try_lock
from billing_app.jobs.retries import giving_up_when_it_keeps_failing, is_caused_by_rows, reason_of
from billing_app.services.invoices.closing import BlockedCustomer, close_period
from billing_app.services.invoices.generation import PeriodOutcome, invoice_period
from billing_app.services.invoices.run_progress import (
    Batch,
    Failure,
    RunSuperseded,
    add_progress,
    count_failed_attempt,
    finish_run,
    hold_off_cancellation,
    next_batches,
)
from billing_app.services.invoices.runs import RunRow, RunSummary, find_running, get_run, start_run
from billing_app.services.shared.permissions import require
from billing_app.services.shared.reasons import Reason

logger = logging.getLogger(__name__)

# The customers of all lanes together. Large enough to make the fixed costs of statements negligible, small
# enough to hold the gate for tens of milliseconds and the lines in tens of megabytes.
CHUNK_CUSTOMERS = 10_000
# From this many customers in a chunk on, its lanes are worth a process each, which takes half a second to start.
LARGE_CHUNK_CUSTOMERS = 5_000

OnProgress = Callable[[RunRow], None]
Result = TypeVar("Result")


def run_invoices(
    database: Database, actor: Actor, period_start: date, on_progress: OnProgress = lambda run: None
) -> RunRow:
    """Start the period's run, or resume an interrupted one, and execute it to its end.

    If another process is executing it, return its progress instead. Raises Conflict (`period_open`).
    """
    run = database.call(actor, start_run, period_start)
    return execute_run(database, actor, run, on_progress)


def resume_invoice_runs(database: Database, on_progress: OnProgress = lambda run: None) -> None:
    """Execute the running runs that no process is executing, the oldest month first.

    Later months wait until another process has finished an earlier one, because invoices must be created in
    the order of their months.
    """
    while run := database.call(SYSTEM, find_running):
        with giving_up_when_it_keeps_failing(database, run.public_id, count_failed_attempt):
            if execute_run(database, SYSTEM, run, on_progress).status == "running":
                return


def execute_run(
    database: Database, actor: Actor, run: RunSummary, on_progress: OnProgress = lambda run: None
) -> RunRow:
    """Continue a run unless another process is executing it, and return its progress."""
    require(actor, Permission.INVOICE)
    worker = system(run.public_id, on_behalf_of=run.started_by)
    with sole_execution(database, actor, run) as is_sole:
        if is_sole:
            name = f"invoice run {run.public_id}"
            with suppress(RunSuperseded), Lanes(database, name, RunSuperseded) as lanes:
                while _process_chunk(database, worker, run, lanes):
                    on_progress(database.call(actor, get_run, run.public_id))
                database.call(worker, finish_run, run.public_id)
    return database.call(actor, get_run, run.public_id)


def sole_execution(database: Database, actor: Actor, run: RunSummary) -> AbstractContextManager[bool]:
    """Try to become the process that executes the run, until the block ends. Yield whether that succeeded."""
    return try_lock(database, actor, locks.RUN, run.run_id)


def _process_chunk(database: Database, worker: Actor, run: RunSummary, lanes: Lanes) -> bool:
    """Process the next batch of every lane. Return False if there are none."""
    batches = database.call(worker, next_batches, run.public_id, CHUNK_CUSTOMERS)
    is_large = sum(len(each.customer_ids) for each in batches) >= LARGE_CHUNK_CUSTOMERS
    lanes.process(batches, process_batch, worker, run, in_processes=is_large)
    return bool(batches)


class _RunEnds(Exception):
    """The run has ended, or a cancellation is waiting."""


class _Closed(NamedTuple):
    """The customers of a batch that can't be invoiced: an older month must be first, or closing failed."""

    blocked: list[BlockedCustomer]
    failures: list[Failure]


def process_batch(database: Database, worker: Actor, run: RunSummary, batch: Batch) -> None:
    """Close the period for the batch, then create its invoices. Do neither if the run has ended.

    A cancellation between the two would leave months closed without an invoice. So the invoicing transaction
    prevents it before the closing transaction commits.
    """

    def close_and_invoice() -> None:
        with database.transaction(worker) as invoicing:
            with database.transaction(worker) as closing:
                closed = _close(closing, worker, run, batch.customer_ids)
                if not hold_off_cancellation(invoicing, worker, run.public_id):
                    raise _RunEnds
            _invoice(invoicing, worker, run, batch, closed)

    with suppress(_RunEnds):
        database.retry(close_and_invoice)


def _close(session: Session, worker: Actor, run: RunSummary, customer_ids: Sequence[int]) -> _Closed:
    """Close the period for all customers that can be closed."""

    def close(ids: Sequence[int]) -> Sequence[BlockedCustomer]:
        return close_period(session, worker, period_start=run.period_start, customer_ids=ids)

    blocked, failures = _isolate_failures(session, customer_ids, close)
    return _Closed([each for part in blocked for each in part], failures)


def _invoice(session: Session, worker: Actor, run: RunSummary, batch: Batch, closed: _Closed) -> None:
    """Create the invoices of a closed batch and count the outcome of each customer."""

    def invoice(ids: Sequence[int]) -> PeriodOutcome:
        invoiced = invoice_period(session, worker, period_start=run.period_start, customer_ids=ids)
        # Deferred constraints are checked here, because a customer can't be left out any more at the commit.
        with planning_checks_once(session):
            session.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
        session.execute(text("SET CONSTRAINTS ALL DEFERRED"))
        return invoiced

    not_closed = {each.customer_id for each in closed.failures}
    customer_ids = [each for each in batch.customer_ids if each not in not_closed]
    parts, failures = _isolate_failures(session, customer_ids, invoice)
    # A user may have invoiced a blocked customer since.
    answered = {
        customer_id
        for part in parts
        for customer_id in (*part.existing, *part.skipped, *(each.customer_id for each in part.created))
    }
    failures += closed.failures
    failures += [
        Failure(each.customer_id, Reason.of(each.as_conflict()))
        for each in closed.blocked
        if each.customer_id not in answered
    ]
    add_progress(
        session,
        worker,
        run.public_id,
        batch,
        created=sum(len(part.created) for part in parts),
        existing=sum(len(part.existing) for part in parts),
        skipped=sum(len(part.skipped) for part in parts),
        failures=failures,
    )


def _isolate_failures(
    session: Session, customer_ids: Sequence[int], work: Callable[[Sequence[int]], Result]
) -> tuple[list[Result], list[Failure]]:
    """Do the work for all customers, except those whose rows make it fail.

    If it fails, it is rolled back and repeated for each half, until the customer that causes the failure is
    isolated. Errors that no customer's rows cause propagate.
    """
    if not customer_ids:
        return [], []
    try:
        with session.begin_nested():
            return [work(customer_ids)], []
    except Exception as error:
        if not is_caused_by_rows(error):
            raise
        if len(customer_ids) == 1:
            logger.error("customer %s can't be invoiced", customer_ids[0], exc_info=error)
            return [], [Failure(customer_ids[0], reason_of(error))]
    middle = len(customer_ids) // 2
    first_results, first_failures = _isolate_failures(session, customer_ids[:middle], work)
    results, failures = _isolate_failures(session, customer_ids[middle:], work)
    return first_results + results, first_failures + failures
