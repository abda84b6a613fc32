"""Background workers: they find pending work, retry failures and survive lost connections."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import psycopg
import pytest

from billing_app import jobs
from billing_app.database import locks
from billing_app.database.embedded import cluster
from billing_app.database.session import Database
from billing_app.domain.actor import Actor
from billing_app.jobs import invoice_runs, retries
from billing_app.jobs.background import Background, Worker
from billing_app.jobs.invoice_runs import execute_run, resume_invoice_runs
from billing_app.services.dashboard.dashboard import get_dashboard
from billing_app.services.invoices.run_progress import count_failed_attempt
from billing_app.services.invoices.runs import RunRow, get_run, start_run
from billing_app.services.shared.reasons import Reason
from billing_app.services.verification import recomputation
from billing_app.services.verification.verifications import (
    VerificationRow,
    find_failed,
    get_verification,
    start_verification,
)
from tests.billing.shop import Shop
from tests.conftest import Clock

OCTOBER = date(2026, 10, 1)
NEVER_BY_ITSELF = 3600.0
CUSTOMERS = 6


@pytest.fixture
def shop(database: Database, admin: Actor) -> Shop:
    """Six customers to invoice for October, two per chunk."""
    shop = Shop(database, admin)
    plan = shop.plan()
    for number in range(CUSTOMERS):
        shop.customer(f"c{number}", "2026-10", plan)
    return shop


@pytest.fixture
def background(database: Database) -> Iterator[Background]:
    background = Background(database)
    yield background
    background.stop()


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invoice_runs, "CHUNK_CUSTOMERS", 2)
    monkeypatch.setattr(recomputation, "PROGRESS_EVERY", 1)
    monkeypatch.setattr(jobs.background, "LOOK_EVERY_SECONDS", 0.05)
    monkeypatch.setattr(jobs.background, "PAUSE_SECONDS_MAX", 0.1)


def until(condition: Callable[[], Any]) -> None:
    """Wait until the condition holds, and fail after a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def started_run(database: Database, actor: Actor) -> RunRow:
    return database.call(actor, start_run, OCTOBER)


def run_now(database: Database, actor: Actor, run: RunRow) -> RunRow:
    return database.call(actor, get_run, run.public_id)


def verification_now(database: Database, actor: Actor, row: VerificationRow) -> VerificationRow:
    return database.call(actor, get_verification, row.public_id)


def invoices(owner: psycopg.Connection) -> tuple[int, int]:
    found = owner.execute("SELECT count(*), count(DISTINCT customer_id) FROM invoice").fetchone()
    assert found
    return found


def waiting(owner: psycopg.Connection) -> int:
    """Return the number of waiting lock requests. Unlike pg_stat_activity, pg_locks is always current."""
    found = owner.execute(
        "SELECT count(*) FROM pg_locks WHERE NOT granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    ).fetchone()
    assert found
    return int(found[0])


def test_interrupted_work_is_resumed_at_the_start(
    shop: Shop,
    database: Database,
    admin: Actor,
    owner: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    background: Background,
) -> None:
    monkeypatch.setattr(jobs.background, "LOOK_EVERY_SECONDS", NEVER_BY_ITSELF)
    run = started_run(database, admin)
    verification = database.call(admin, start_verification)
    background.start()
    until(lambda: run_now(database, admin, run).status == "done")
    until(lambda: verification_now(database, admin, verification).status == "done")
    assert invoices(owner) == (CUSTOMERS, CUSTOMERS)
    actors = owner.execute(
        "SELECT DISTINCT actor_id, on_behalf_of FROM audit_entry WHERE action = 'invoice_run.chunk_invoiced'"
    )
    assert actors.fetchall() == [(run.public_id, admin.id)]


def test_waking_starts_new_work_at_once(
    shop: Shop, database: Database, admin: Actor, monkeypatch: pytest.MonkeyPatch, background: Background
) -> None:
    monkeypatch.setattr(jobs.background, "LOOK_EVERY_SECONDS", NEVER_BY_ITSELF)
    background.start()
    verification = database.call(admin, start_verification)
    run = started_run(database, admin)
    background.wake()
    until(lambda: run_now(database, admin, run).status == "done")
    until(lambda: verification_now(database, admin, verification).status == "done")


def test_work_started_by_another_process_is_found_without_waking(
    shop: Shop, database: Database, admin: Actor, background: Background
) -> None:
    background.start()
    run = started_run(database, admin)
    until(lambda: run_now(database, admin, run).status == "done")


def test_one_of_several_workers_executes_a_run(
    shop: Shop, database: Database, admin: Actor, owner: psycopg.Connection
) -> None:
    run = started_run(database, admin)
    workers = [Worker("invoicing", database, resume_invoice_runs) for _ in range(4)]
    for worker in workers:
        worker.start()
    until(lambda: run_now(database, admin, run).status == "done")
    for worker in workers:
        worker.stop()
        worker.join()
    done = run_now(database, admin, run)
    assert (done.created, done.existing, invoices(owner)) == (CUSTOMERS, 0, (CUSTOMERS, CUSTOMERS))
    chunks = owner.execute(
        "SELECT count(*) FROM audit_entry WHERE action = 'invoice_run.chunk_invoiced'"
    ).fetchone()
    assert chunks == (CUSTOMERS,)


def test_failed_chunk_is_retried(
    shop: Shop,
    database: Database,
    admin: Actor,
    owner: psycopg.Connection,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    background: Background,
) -> None:
    monkeypatch.setattr(retries, "ATTEMPTS_MAX", 1_000_000)
    refuse(owner, "invoice", "NEW.customer_key = 'c3'", "undefined_table")
    run = started_run(database, admin)
    background.start()
    until(lambda: "failed and will be retried" in caplog.text)
    assert run_now(database, admin, run).status == "running"
    owner.execute("DROP TRIGGER refuse ON invoice")
    until(lambda: run_now(database, admin, run).status == "done")
    done = run_now(database, admin, run)
    assert (done.created, done.existing, invoices(owner)) == (CUSTOMERS, 0, (CUSTOMERS, CUSTOMERS))


def refuse(owner: psycopg.Connection, table: str, when: str, errcode: str = "raise_exception") -> None:
    """Make some inserts fail with this error."""
    owner.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{errcode}'; END $$"  # type: ignore[arg-type]
    )
    owner.execute(
        f"CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW WHEN ({when})"  # type: ignore[arg-type]
        " EXECUTE FUNCTION refuse()"
    )


# Errors that are not caused by rows.
MISSING_TABLE = Reason("database_refused", facts={"sqlstate": "42P01"})


def test_run_that_keeps_failing_is_given_up_and_can_be_run_again(
    shop: Shop, database: Database, admin: Actor, owner: psycopg.Connection, background: Background
) -> None:
    refuse(owner, "invoice", "NEW.customer_key = 'c5'", "undefined_table")
    run = started_run(database, admin)
    later = database.call(admin, start_run, OCTOBER)
    assert later.public_id == run.public_id
    background.start()
    until(lambda: run_now(database, admin, run).status == "failed")
    failed = run_now(database, admin, run)
    # The other lane is finished, and so are all customers of this one except the last.
    assert (failed.fault, failed.created, invoices(owner)) == (MISSING_TABLE, 5, (5, 5))
    assert failed.finished_at
    recorded = owner.execute(
        "SELECT details->>'fault' FROM audit_entry WHERE action = 'invoice_run.failed' AND subject = %s",
        [run.public_id],
    ).fetchall()
    assert recorded == [(MISSING_TABLE.code,)]
    owner.execute("DROP TRIGGER refuse ON invoice")
    again = started_run(database, admin)
    background.wake()
    until(lambda: run_now(database, admin, again).status == "done")
    done = run_now(database, admin, again)
    assert (done.created, done.existing, done.fault) == (CUSTOMERS - 5, 5, None)
    assert invoices(owner) == (CUSTOMERS, CUSTOMERS)


def test_given_up_run_does_not_hold_up_a_later_month(
    shop: Shop,
    database: Database,
    admin: Actor,
    owner: psycopg.Connection,
    clock: Clock,
    background: Background,
) -> None:
    clock.set(2026, 12, 2)
    refuse(owner, "invoice", "NEW.period_start = '2026-10-01'", "undefined_table")
    run = started_run(database, admin)
    later = database.call(admin, start_run, date(2026, 11, 1))
    background.start()
    until(lambda: run_now(database, admin, later).status == "done")
    assert run_now(database, admin, run).status == "failed"
    assert run_now(database, admin, later).failed == CUSTOMERS


def test_progress_resets_the_failed_attempts(
    shop: Shop, database: Database, admin: Actor, owner: psycopg.Connection
) -> None:
    run = started_run(database, admin)
    attempts = "SELECT attempts FROM invoice_run"
    for _ in range(2):
        assert not database.call(admin, count_failed_attempt, run.public_id, MISSING_TABLE, attempts_max=3)
    assert owner.execute(attempts).fetchone() == (2,)
    assert execute_run(database, admin, run).status == "done"
    assert owner.execute(attempts).fetchone() == (0,)
    assert not database.call(admin, count_failed_attempt, run.public_id, MISSING_TABLE, attempts_max=1)
    assert run_now(database, admin, run).status == "done"


def test_verification_that_keeps_failing_is_given_up_and_can_be_started_again(
    shop: Shop, database: Database, admin: Actor, owner: psycopg.Connection, background: Background
) -> None:
    owner.execute("ALTER TABLE payment RENAME TO payment_away")
    row = database.call(admin, start_verification)
    background.start()
    until(lambda: verification_now(database, admin, row).status == "failed")
    failed = verification_now(database, admin, row)
    assert (failed.ok, failed.fault) == (
        None,
        Reason("database_refused", facts={"sqlstate": "42P01"}),
    )
    owner.execute("ALTER TABLE payment_away RENAME TO payment")
    last_failed = database.call(admin, find_failed)
    assert last_failed
    assert last_failed.public_id == row.public_id
    again = database.call(admin, start_verification)
    background.wake()
    until(lambda: verification_now(database, admin, again).status == "done")
    assert database.call(admin, find_failed) is None


def test_lost_connections_are_survived(
    shop: Shop,
    database: Database,
    admin: Actor,
    owner: psycopg.Connection,
    server: cluster.Server,
    background: Background,
) -> None:
    run = started_run(database, admin)
    verification = database.call(admin, start_verification)
    # The run waits before its first closing, and the verification before it reads payments.
    with owner.transaction():
        owner.execute("SELECT pg_advisory_xact_lock(%s)", [locks.GATE])
        owner.execute("LOCK TABLE payment IN ACCESS EXCLUSIVE MODE")
        background.start()
        until(lambda: waiting(owner) >= 2)
        superuser = server.url(owner.info.dbname, server.superuser).replace("+psycopg", "")
        with psycopg.connect(superuser) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'tallybook'"
            )
    until(lambda: run_now(database, admin, run).status == "done")
    until(lambda: verification_now(database, admin, verification).status == "done")
    assert invoices(owner) == (CUSTOMERS, CUSTOMERS)
    assert verification_now(database, admin, verification).ok


def test_stopped_worker_ends_after_its_chunk_and_leaves_the_rest(
    shop: Shop, database: Database, admin: Actor, owner: psycopg.Connection
) -> None:
    run = started_run(database, admin)
    worker = Worker("invoicing", database, resume_invoice_runs)
    with owner.transaction():
        owner.execute("SELECT pg_advisory_xact_lock(%s)", [locks.GATE])
        worker.start()
        until(lambda: waiting(owner))
        worker.stop()
    worker.join(60)
    assert not worker.is_alive()
    left = run_now(database, admin, run)
    assert (left.status, left.created) == ("running", 2)
    resume_invoice_runs(database)
    assert (run_now(database, admin, run).created, invoices(owner)) == (CUSTOMERS, (CUSTOMERS, CUSTOMERS))


def test_figures_are_counted_at_the_start(shop: Shop, background: Background) -> None:
    background.start()
    until(lambda: shop.database.call(shop.actor, get_dashboard))
    dashboard = shop.database.call(shop.actor, get_dashboard)
    assert dashboard
    assert dashboard.active == CUSTOMERS


def test_waking_starts_no_workers(background: Background) -> None:
    background.wake()
    assert background._workers == []
