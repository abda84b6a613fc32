"""A month's invoices for everyone: chunk by chunk, each closed and then invoiced.

Two halves of a chunk are dealt with at once: while one is being computed here, the database takes
in the other.

A run is a row; whoever executes it holds a lock of its own connection, which is gone with the
process. Killed at any point and started again, it goes on after its last committed chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date

from sqlalchemy import text
from sqlmodel import Session

from billing_app import locks
from billing_app.db import Database
from billing_app.domain.actor import Actor, system
from billing_app.services.closing import close_period
from billing_app.services.invoicing import Failure, invoice_period
from billing_app.services.runs import (
    RunRow,
    add_progress,
    finish_run,
    get_run,
    next_customers,
    start_run,
)

# Large enough that the statements' fixed costs vanish, small enough to hold the gate for some tens
# of milliseconds and a chunk's lines in some tens of megabytes.
CHUNK_CUSTOMERS = 10_000

Progress = Callable[[RunRow], None]


def run_invoices(
    database: Database, actor: Actor, period_start: date, on_progress: Progress = lambda run: None
) -> RunRow:
    """Starts the period's run or goes on with the one that was left, to its end.

    While another process executes it, answers with that one's progress as it is. Raises Conflict
    (`period_open`).
    """
    run = database.run(actor, lambda session: start_run(session, actor, period_start))
    return execute_run(database, actor, run, on_progress)


def execute_run(
    database: Database, actor: Actor, run: RunRow, on_progress: Progress = lambda run: None
) -> RunRow:
    """Executes a run from where it is, unless somebody else does; answers how it stands then."""
    worker = system(f"{run.public_id} by {run.started_by}")
    with _sole_execution(database, actor, run) as alone:
        while alone and _do_chunk(database, worker, run):
            on_progress(_reload(database, actor, run))
        if alone:
            database.run(worker, lambda session: finish_run(session, worker, run.public_id))
    return _reload(database, actor, run)


def _do_chunk(database: Database, worker: Actor, run: RunRow) -> bool:
    """Deals with the next customers; False when there are none left, or the run was cancelled."""
    with database.transaction(worker) as session:
        customer_ids = next_customers(session, worker, run.public_id, CHUNK_CUSTOMERS)
    if not customer_ids:
        return False
    middle = (len(customer_ids) + 1) // 2
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(_do_half, database, worker, run, customer_ids[:middle])
        if middle < len(customer_ids):
            pool.submit(_do_half, database, worker, run, customer_ids[middle:], after=first).result()
    first.result()
    return True


def _do_half(
    database: Database,
    worker: Actor,
    run: RunRow,
    customer_ids: list[int],
    after: Future[None] | None = None,
) -> None:
    """Closes and invoices these customers; commits when the half before has, or is undone with it.

    So the run's mark never passes over customers that were not dealt with.
    """
    blocked = database.run(
        worker,
        lambda session: close_period(
            session, worker, period_start=run.period_start, customer_ids=customer_ids
        ),
    )

    def invoice(session: Session) -> None:
        done = invoice_period(session, worker, period_start=run.period_start, customer_ids=customer_ids)
        refused = [
            Failure(each.customer_id, "earlier_period_open", each.as_conflict().detail) for each in blocked
        ]
        if after:
            after.result()
        add_progress(
            session,
            worker,
            run.public_id,
            through_customer_id=customer_ids[-1],
            made=len(done.made),
            existing=len(done.existing),
            passed=len(done.passed),
            failed=[*refused, *done.failed],
        )

    database.run(worker, invoice)


def _reload(database: Database, actor: Actor, run: RunRow) -> RunRow:
    with database.transaction(actor) as session:
        return get_run(session, actor, run.public_id)


@contextmanager
def _sole_execution(database: Database, actor: Actor, run: RunRow) -> Iterator[bool]:
    """Whether this process is the one that executes the run, for as long as the block lasts.

    The transaction does nothing but hold the lock: it keeps no snapshot and no row.
    """
    key = {"kind": locks.RUN, "run": run.run_id}
    with database.transaction(actor) as session:
        yield bool(session.scalar(text("SELECT pg_try_advisory_xact_lock(:kind, :run)"), key))
