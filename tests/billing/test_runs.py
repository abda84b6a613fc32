"""A month's invoices for everyone: what is made, there, passed over, failed; killed and resumed."""

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
from billing_app.services.invoices.runs import finish_run, get_run, start_run
from billing_app.services.usage.recording import UsageReport
from tests.billing.shop import Shop
from tests.conftest import Clock

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
    assert (run.total, run.made, run.existing, run.passed, run.failed) == (5, 1, 1, 2, 1)
    assert [(each.customer_key, each.code) for each in run.failures] == [("behind", "earlier_period_open")]
    assert run.status == "done"
    for month in (8, 9):
        run_invoices(database, admin, date(2026, month, 1))
    again = run_invoices(database, admin, OCTOBER)
    assert (again.made, again.existing, again.passed, again.failed) == (1, 2, 2, 0)
    assert again.run_id != run.run_id


def test_passing_over_closes_the_month_too(
    shop: Shop, database: Database, admin: Actor, owner: psycopg.Connection
) -> None:
    shop.customer("left", "2026-08")
    shop.invoice("left", "2026-08")
    shop.set_plan("left", None, "2026-09")
    run_invoices(database, admin, OCTOBER)
    marks = owner.execute("SELECT closed_through, settled_through FROM customer_billing").fetchone()
    assert marks == (OCTOBER, OCTOBER)
    assert shop.use("left", "late", 1, "2026-08-31T00:00:00Z").event.billing_period == date(2026, 11, 1)


def test_the_current_month_is_refused(shop: Shop, database: Database, admin: Actor) -> None:
    with pytest.raises(Conflict) as refused:
        run_invoices(database, admin, date(2026, 11, 1))
    assert refused.value.code == "period_open"


def test_finance_may_not_run_one_and_may_look(
    shop: Shop, database: Database, admin: Actor, finance: Actor
) -> None:
    with pytest.raises(Forbidden):
        run_invoices(database, finance, OCTOBER)
    run = run_invoices(database, admin, OCTOBER)
    with database.transaction(finance) as session:
        assert get_run(session, finance, run.public_id).status == "done"


def test_who_may_not_start_a_run_may_not_go_on_with_one_either(
    shop: Shop, database: Database, admin: Actor, finance: Actor, owner: psycopg.Connection
) -> None:
    shop.customer("acme", "2026-10")
    with database.transaction(admin) as session:
        run = start_run(session, admin, OCTOBER)
    with pytest.raises(Forbidden):
        invoice_runs.execute_run(database, finance, run)
    assert owner.execute("SELECT count(*) FROM invoice").fetchone() == (0,)


def test_a_customer_that_was_in_the_way_and_is_invoiced_meanwhile_counts_once(
    shop: Shop, database: Database, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.customer("acme", "2026-09")
    for_all = invoice_runs.invoice_period

    def later(*arguments: Any, **options: Any) -> Any:
        shop.invoice("acme", "2026-09")
        shop.invoice("acme", "2026-10")
        return for_all(*arguments, **options)

    monkeypatch.setattr(invoice_runs, "invoice_period", later)
    run = run_invoices(database, admin, OCTOBER)
    assert (run.total, run.made, run.existing, run.passed, run.failed) == (1, 0, 1, 0, 0)


def test_starting_again_while_one_is_under_way_answers_with_the_first(
    shop: Shop, database: Database, admin: Actor
) -> None:
    with database.transaction(admin) as session:
        first = start_run(session, admin, OCTOBER)
    with database.transaction(admin) as session:
        assert start_run(session, admin, OCTOBER).run_id == first.run_id


def test_a_cancelled_run_stops_before_the_next_chunk(
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
    assert (run.status, run.made) == ("cancelled", 2)
    rest = run_invoices(database, admin, OCTOBER)
    assert (rest.status, rest.made, rest.existing) == ("done", 4, 2)


def test_somebody_who_locks_customers_of_both_halves_does_not_stop_a_run(
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
        # The run has closed the month: what follows are the invoices.
        while not closed_for_all(database):
            assert not run.done()
        other = pool.submit(database.run, admin, lock_both)
        assert (run.result(30).made, run.result().status) == (4, "done")
        other.result(30)


def closed_for_all(database: Database) -> bool:
    with database.transaction(SYSTEM) as session:
        earliest = session.scalar(text("SELECT min(closed_through) FROM customer_billing"))
    return bool(earliest == OCTOBER)


def test_of_a_chunk_whose_first_half_fails_the_second_is_undone_too(
    shop: Shop, database: Database, admin: Actor, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = shop.plan()
    ids = [shop.customer(f"c{number}", "2026-10", plan) for number in range(4)]
    invoice = invoice_runs.invoice_period

    def fail_for_the_first(session: Session, actor: Actor, **options: Any) -> Any:
        if ids[0] in options["customer_ids"]:
            raise RuntimeError("the first half")
        return invoice(session, actor, **options)

    with monkeypatch.context() as patched:
        patched.setattr(invoice_runs, "invoice_period", fail_for_the_first)
        with pytest.raises(RuntimeError, match="the first half"):
            run_invoices(database, admin, OCTOBER)
    assert owner.execute("SELECT count(*) FROM invoice").fetchone() == (0,)
    run = run_invoices(database, admin, OCTOBER)
    assert (run.total, run.made, run.existing, run.status) == (4, 4, 0, "done")


CUSTOMERS = 5_000


def many_customers(shop: Shop, owner: psycopg.Connection) -> None:
    """5,000 customers with usage, straight into the tables: only the run is under test."""
    plan = shop.plan()
    owner.execute(
        "INSERT INTO customer (key, name, email, email_key, billing_address, currency, created_at, version)"
        " SELECT 'c' || n, 'Customer ' || n, n || '@example.com', n || '@example.com', '', 'USD', now(), 1"
        " FROM generate_series(1, %s) n", [CUSTOMERS],
    )  # fmt: skip
    owner.execute(
        "INSERT INTO customer_billing SELECT customer_id, '2026-09-01', '2026-09-01', 0, NULL FROM customer;"
    )
    owner.execute(
        "INSERT INTO subscription SELECT customer_id, '2026-10-01', %s, 'USD' FROM customer", [plan]
    )
    shop.use_many([UsageReport(f"c{n}", "k", n, "2026-10-05T00:00:00Z") for n in range(1, CUSTOMERS + 1)])


def start_cli(urls: Urls) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", SLOW_RUN, "invoice-run", "2026-10"],
        env={**os.environ, "DATABASE_URL": urls.application, "DATABASE_OWNER_URL": urls.owner},
        stdout=subprocess.DEVNULL,
    )


# The command itself, with chunks small enough to be killed between and within them.
SLOW_RUN = """
from billing_app.jobs import invoice_run
invoice_run.CHUNK_CUSTOMERS = 100
from billing_app.cli.app import main
main()
"""


def test_killed_halfway_and_started_again(
    shop: Shop, urls: Urls, owner: psycopg.Connection, server: cluster.Server
) -> None:
    many_customers(shop, owner)
    process = start_cli(urls)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        made = owner.execute("SELECT count(*) FROM invoice").fetchone()
        if made and made[0] >= CUSTOMERS / 3:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    halfway = owner.execute("SELECT count(*) FROM invoice").fetchone()
    assert halfway
    assert 0 < halfway[0] < CUSTOMERS
    assert start_cli(urls).wait() == 0
    assert owner.execute(
        "SELECT count(*), count(DISTINCT customer_id), min(sequence), max(sequence) FROM invoice"
    ).fetchone() == (CUSTOMERS, CUSTOMERS, 1, 1)
    assert owner.execute("SELECT status, total, made, existing, failed FROM invoice_run").fetchall() == [
        ("done", CUSTOMERS, CUSTOMERS, 0, 0)
    ]
