"""Invoice runs: outcomes are counted, failures don't affect other customers, and interrupted runs resume."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from threading import Event
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlmodel import Session

from billing_app.database.embedded import cluster
from billing_app.database.provision import Urls
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor
from billing_app.errors import Conflict, Forbidden
from billing_app.jobs import invoice_runs
from billing_app.jobs.invoice_runs import run_invoices
from billing_app.services.invoices.run_progress import finish_run
from billing_app.services.invoices.runs import cancel_run, get_run, start_run
from billing_app.services.usage.recording import UsageReport
from tests.billing.shop import Shop
from tests.conftest import Clock
from tests.races import blocked_before_end

OCTOBER = date(2026, 10, 1)


def test_every_outcome_is_counted(shop: Shop, database: Database, admin: Actor, clock: Clock) -> None:
    shop.customer("due", "2026-10")
    shop.customer("invoiced", "2026-10")
    shop.invoice("invoiced", "2026-10")
    shop.customer("behind", "2026-08")
    shop.customer("future", "2026-11")
    shop.customer("left", "2026-09")
    shop.invoice("left", "2026-09")
    shop.set_plan("left", None, "2026-10")
    run = run_invoices(database, admin, OCTOBER)
    assert (run.total, run.created, run.existing, run.skipped, run.failed) == (5, 1, 1, 2, 1)
    assert [(each.customer_key, each.reason.code) for each in run.failures] == [
        ("behind", "earlier_period_open")
    ]
    assert run.status == "done"
    for month in (8, 9):
        run_invoices(database, admin, date(2026, month, 1))
    again = run_invoices(database, admin, OCTOBER)
    assert (again.created, again.existing, again.skipped, again.failed) == (1, 2, 2, 0)
    assert again.run_id != run.run_id


def test_skipping_a_customer_closes_the_month(
    shop: Shop, database: Database, admin: Actor, owner: psycopg.Connection
) -> None:
    shop.customer("left", "2026-08")
    shop.invoice("left", "2026-08")
    shop.set_plan("left", None, "2026-09")
    run_invoices(database, admin, OCTOBER)
    marks = owner.execute("SELECT closed_through, settled_through FROM customer_billing").fetchone()
    assert marks == (OCTOBER, OCTOBER)
    assert shop.use("left", "late", 1, "2026-08-31T00:00:00Z").event.billing_period == date(2026, 11, 1)


def test_current_month_cannot_be_run(shop: Shop, database: Database, admin: Actor) -> None:
    with pytest.raises(Conflict) as refused:
        run_invoices(database, admin, date(2026, 11, 1))
    assert refused.value.code == "period_open"


def test_finance_user_cannot_start_a_run_but_can_read_it(
    shop: Shop, database: Database, admin: Actor, finance: Actor
) -> None:
    with pytest.raises(Forbidden):
        run_invoices(database, finance, OCTOBER)
    run = run_invoices(database, admin, OCTOBER)
    with database.transaction(finance) as session:
        assert get_run(session, finance, run.public_id).status == "done"


def test_finance_user_cannot_execute_a_run(
    shop: Shop, database: Database, admin: Actor, finance: Actor, owner: psycopg.Connection
) -> None:
    shop.customer("acme", "2026-10")
    with database.transaction(admin) as session:
        run = start_run(session, admin, OCTOBER)
    with pytest.raises(Forbidden):
        invoice_runs.execute_run(database, finance, run)
    assert owner.execute("SELECT count(*) FROM invoice").fetchone() == (0,)


def test_blocked_customer_that_is_invoiced_during_the_run_is_counted_once(
    shop: Shop, database: Database, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.customer("acme", "2026-09")
    invoice_all = invoice_runs.invoice_period

    def later(*arguments: Any, **options: Any) -> Any:
        shop.invoice("acme", "2026-09")
        shop.invoice("acme", "2026-10")
        return invoice_all(*arguments, **options)

    monkeypatch.setattr(invoice_runs, "invoice_period", later)
    run = run_invoices(database, admin, OCTOBER)
    assert (run.total, run.created, run.existing, run.skipped, run.failed) == (1, 0, 1, 0, 0)


def test_starting_a_running_run_again_returns_it(shop: Shop, database: Database, admin: Actor) -> None:
    with database.transaction(admin) as session:
        first = start_run(session, admin, OCTOBER)
    with database.transaction(admin) as session:
        assert start_run(session, admin, OCTOBER).run_id == first.run_id


def test_cancelled_run_stops_before_the_next_chunk(
    shop: Shop, database: Database, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = shop.plan()
    for number in range(6):
        shop.customer(f"c{number}", "2026-10", plan)
    monkeypatch.setattr(invoice_runs, "CHUNK_CUSTOMERS", 2)

    def cancel(run: invoice_runs.RunRow) -> None:
        with database.transaction(admin) as session:
            finish_run(session, admin, run.public_id, "cancelled")

    run = run_invoices(database, admin, OCTOBER, cancel)
    assert (run.status, run.created) == ("cancelled", 2)
    rest = run_invoices(database, admin, OCTOBER)
    assert (rest.status, rest.created, rest.existing) == ("done", 4, 2)


def test_run_survives_locks_on_customers_of_both_lanes(
    shop: Shop, database: Database, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = shop.plan()
    ids = [shop.customer(f"c{number}", "2026-10", plan) for number in range(4)]
    invoice, locked, second_done = invoice_runs.invoice_period, Event(), Event()

    def lock_both(session: Session) -> None:
        lock = text("SELECT FROM customer_billing WHERE customer_id = :id FOR NO KEY UPDATE")
        session.execute(lock, {"id": ids[0]})
        locked.set()
        second_done.wait(20)
        session.execute(lock, {"id": ids[-1]})

    def slowly(session: Session, actor: Actor, **options: Any) -> Any:
        locked.wait(20)
        done = invoice(session, actor, **options)
        if ids[-1] in options["customer_ids"]:
            second_done.set()
        return done

    monkeypatch.setattr(invoice_runs, "invoice_period", slowly)
    with ThreadPoolExecutor(2) as pool:
        run = pool.submit(run_invoices, database, admin, OCTOBER)
        # When the month is closed for all customers, the run is creating invoices.
        while not is_closed_for_all(database):
            assert not run.done()
        other = pool.submit(database.run, admin, lock_both)
        assert (run.result(30).created, run.result().status) == (4, "done")
        other.result(30)


def is_closed_for_all(database: Database) -> bool:
    with database.transaction(SYSTEM) as session:
        earliest = session.scalar(text("SELECT min(closed_through) FROM customer_billing"))
    return bool(earliest == OCTOBER)


def test_interrupted_lane_is_finished_by_the_next_run(
    shop: Shop, database: Database, admin: Actor, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = shop.plan()
    ids = [shop.customer(f"c{number}", "2026-10", plan) for number in range(4)]
    invoice = invoice_runs.invoice_period

    def lose_the_connection(session: Session, actor: Actor, **options: Any) -> Any:
        if ids[0] in options["customer_ids"]:
            raise psycopg.OperationalError("the connection is lost")
        return invoice(session, actor, **options)

    with monkeypatch.context() as patched:
        patched.setattr(invoice_runs, "invoice_period", lose_the_connection)
        with pytest.raises(psycopg.OperationalError, match="the connection is lost"):
            run_invoices(database, admin, OCTOBER)
    assert owner.execute("SELECT count(*) FROM invoice").fetchone() == (2,)
    run = run_invoices(database, admin, OCTOBER)
    assert (run.total, run.created, run.existing, run.status) == (4, 4, 0, "done")


SABOTAGE = {
    "a broken CHECK": "ALTER TABLE invoice ADD CONSTRAINT ck_broken CHECK (customer_key <> 'c2')",
    "a number that overflows": (
        "UPDATE customer_billing SET last_number = 2147483647, last_sha256 = repeat('0', 64)"
        " WHERE customer_id = {c2}"
    ),
    "an event in a month without a plan": (
        "ALTER TABLE usage_event DISABLE TRIGGER USER;"
        "INSERT INTO usage_event (customer_id, idempotency_key, occurred_at, recorded_at, billing_period,"
        " quantity, recorded_by) VALUES ({c2}, 'k', '2025-01-05Z', now(), '2026-10-01', 1, 'x')"
    ),
    "a trigger on closing": (
        "CREATE FUNCTION sabotage() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'sabotaged'; END $$;"
        "CREATE TRIGGER sabotage BEFORE UPDATE OF closed_through ON customer_billing FOR EACH ROW"
        " WHEN (NEW.customer_id = {c2}) EXECUTE FUNCTION sabotage()"
    ),
    "a constraint checked at the commit": (
        "CREATE FUNCTION sabotage() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'sabotaged'; END $$;"
        "CREATE CONSTRAINT TRIGGER sabotage AFTER INSERT ON invoice DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
        " WHEN (NEW.customer_key = 'c2') EXECUTE FUNCTION sabotage()"
    ),
}


@pytest.mark.parametrize("sabotage", SABOTAGE)
def test_customer_that_cannot_be_invoiced_does_not_fail_the_others(
    shop: Shop, database: Database, admin: Actor, owner: psycopg.Connection, sabotage: str
) -> None:
    plan = shop.plan()
    ids = {f"c{number}": shop.customer(f"c{number}", "2026-10", plan) for number in range(9)}
    owner.execute(SABOTAGE[sabotage].format(**ids))  # type: ignore[arg-type]
    run = run_invoices(database, admin, OCTOBER)
    assert (run.status, run.created, run.existing, run.skipped, run.failed) == ("done", 8, 0, 0, 1)
    (failure,) = run.failures
    assert failure.customer_key == "c2"
    assert failure.reason.code in ("database_refused", "unexpected_error")
    assert count_rows(owner, "invoice WHERE customer_key = 'c2'") == 0


CANCELLATIONS = 20


def test_nothing_is_created_after_a_cancellation_is_answered(
    shop: Shop, database: Database, admin: Actor, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancel in the middle of chunks, many times, each time a little later."""
    monkeypatch.setattr(invoice_runs, "CHUNK_CUSTOMERS", 40)
    insert_customers(shop, owner, 200)
    answers = []
    with ThreadPoolExecutor(1) as pool:
        for attempt in range(CANCELLATIONS):
            created_before = count_rows(owner, "invoice")
            run = database.call(admin, start_run, OCTOBER)
            running = pool.submit(invoice_runs.execute_run, database, admin, run)
            time.sleep(attempt * 0.004)
            answer = database.call(admin, cancel_run, run.public_id)
            invoices = count_rows(owner, "invoice")
            closed = count_rows(owner, "customer_billing WHERE closed_through > settled_through")
            final = running.result(60)
            answers.append(answer)
            assert count_rows(owner, "invoice") == invoices
            assert created_before + answer.created == invoices
            assert closed == 0
            assert final == answer
    assert any(each.created > 0 and each.status == "cancelled" for each in answers)


def test_cancellation_waits_for_invoices_that_are_being_created(
    shop: Shop, database: Database, admin: Actor, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = shop.plan()
    ids = [shop.customer(f"c{number}", "2026-10", plan) for number in range(4)]
    run = database.call(admin, start_run, OCTOBER)
    invoice, cancellations = invoice_runs.invoice_period, []

    with ThreadPoolExecutor(1) as pool:

        def cancel_and_invoice(session: Session, actor: Actor, **options: Any) -> Any:
            if ids[0] in options["customer_ids"]:
                cancellations.append(pool.submit(database.call, admin, cancel_run, run.public_id))
                assert blocked_before_end(database, cancellations[0])
            return invoice(session, actor, **options)

        monkeypatch.setattr(invoice_runs, "invoice_period", cancel_and_invoice)
        final = invoice_runs.execute_run(database, admin, run)
        answer = cancellations[0].result(30)
    assert final == answer
    assert answer.status == "cancelled"
    assert count_rows(owner, "invoice") == answer.created >= 2
    assert count_rows(owner, "customer_billing WHERE closed_through > settled_through") == 0


def test_cancellation_of_a_run_that_waits_to_close_is_answered_at_once(
    shop: Shop, database: Database, admin: Actor, owner: psycopg.Connection
) -> None:
    shop.customer("acme", "2026-10")
    run = database.call(admin, start_run, OCTOBER)
    with ThreadPoolExecutor(1) as pool:
        with owner.transaction():
            owner.execute("SELECT FROM customer_billing FOR UPDATE")
            running = pool.submit(invoice_runs.execute_run, database, admin, run)
            assert blocked_before_end(database, running)
            answer = database.call(admin, cancel_run, run.public_id)
        assert (answer.status, answer.created) == ("cancelled", 0)
        assert running.result(30) == answer
    assert count_rows(owner, "customer_billing WHERE closed_through > settled_through") == 0


def count_rows(owner: psycopg.Connection, of: str) -> int:
    found = owner.execute(f"SELECT count(*) FROM {of}").fetchone()  # type: ignore[arg-type]
    assert found
    return int(found[0])


CUSTOMERS = 5_000


def insert_customers(shop: Shop, owner: psycopg.Connection, count: int) -> None:
    """Insert customers with usage straight into the tables, since only the run is under test."""
    plan = shop.plan()
    owner.execute(
        "INSERT INTO customer (key, name, email, email_key, billing_address, currency, created_at, version)"
        " SELECT 'c' || n, 'Customer ' || n, n || '@example.com', n || '@example.com', '', 'USD', now(), 1"
        " FROM generate_series(1, %s) n", [count],
    )  # fmt: skip
    owner.execute(
        "INSERT INTO customer_billing SELECT customer_id, '2026-09-01', '2026-09-01', 0, NULL FROM customer;"
    )
    owner.execute(
        "INSERT INTO subscription SELECT customer_id, '2026-10-01', %s, 'USD' FROM customer", [plan]
    )
    shop.use_many([UsageReport(f"c{n}", "k", n, "2026-10-05T00:00:00Z") for n in range(1, count + 1)])


def start_cli(urls: Urls) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", SLOW_RUN, "invoice-run", "2026-10"],
        env={**os.environ, "DATABASE_URL": urls.application, "DATABASE_OWNER_URL": urls.owner},
        stdout=subprocess.DEVNULL,
    )


# Runs the command with chunks small enough to be killed between or within them.
SLOW_RUN = """
from billing_app.jobs import invoice_runs
invoice_runs.CHUNK_CUSTOMERS = 100
from billing_app.cli.app import main
main()
"""


def test_killed_run_is_resumed_when_started_again(
    shop: Shop, urls: Urls, owner: psycopg.Connection, server: cluster.Server
) -> None:
    insert_customers(shop, owner, CUSTOMERS)
    process = start_cli(urls)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if count_rows(owner, "invoice") >= CUSTOMERS / 3:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 0 < count_rows(owner, "invoice") < CUSTOMERS
    assert start_cli(urls).wait() == 0
    assert owner.execute(
        "SELECT count(*), count(DISTINCT customer_id), min(sequence), max(sequence) FROM invoice"
    ).fetchone() == (CUSTOMERS, CUSTOMERS, 1, 1)
    assert owner.execute("SELECT status, total, created, existing, failed FROM invoice_run").fetchall() == [
        ("done", CUSTOMERS, CUSTOMERS, 0, 0)
    ]
