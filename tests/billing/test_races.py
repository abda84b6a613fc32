"""Recording and invoicing at the same time, with real threads and connections."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal

import psycopg
import pytest

from billing_app.database.session import Database
from billing_app.domain.actor import Actor
from billing_app.errors import BillingError
from billing_app.jobs.invoice_runs import run_invoices
from billing_app.services.invoices.closing import close_period
from billing_app.services.invoices.invoices import get_invoice, list_invoices
from billing_app.services.usage.recording import UsageReport, record_usage_batch
from tests.billing.shop import Shop, total
from tests.conftest import Clock
from tests.domain.months import lines_of, per_unit, plan


def at_once(count: int, work: Callable[[int], str]) -> Counter[str]:
    """Run `work(number)` in threads that start together and count their answers."""
    barrier = threading.Barrier(count)

    def one(number: int) -> str:
        barrier.wait()
        try:
            return work(number)
        except BillingError as error:
            return error.code

    with ThreadPoolExecutor(count) as pool:
        return Counter(pool.map(one, range(count)))


def test_fifty_threads_with_the_same_key_record_one_event(shop: Shop, owner: psycopg.Connection) -> None:
    shop.customer("acme", "2026-10")
    answers = at_once(50, lambda _: shop.use("acme", "same", 10, "2026-11-01T00:00:00Z").status)
    assert answers == {"recorded": 1, "duplicate": 49}
    assert owner.execute("SELECT count(*), sum(quantity) FROM usage_event").fetchone() == (1, 10)


def test_batches_with_the_same_keys_in_different_orders_do_not_deadlock(
    shop: Shop, owner: psycopg.Connection
) -> None:
    shop.customer("acme", "2026-10")
    reports = [UsageReport("acme", f"k{number}", number, "2026-11-01T00:00:00Z") for number in range(500)]

    def send(number: int) -> str:
        ordered = reports if number % 2 else reports[::-1]
        return str(shop.use_many(ordered).recorded)

    answers = at_once(8, send)
    assert sum(int(recorded) * times for recorded, times in answers.items()) == 500
    assert owner.execute("SELECT count(*) FROM usage_event").fetchone() == (500,)


def test_sixteen_threads_generate_one_invoice(shop: Shop, owner: psycopg.Connection) -> None:
    shop.customer("acme", "2026-10")
    answers = at_once(16, lambda _: shop.invoice("acme", "2026-10").number)
    assert answers == {"ACME-0001": 1, "invoice_exists": 15}
    assert owner.execute("SELECT count(*) FROM invoice").fetchone() == (1,)


def test_concurrent_runs_of_a_month_create_each_invoice_once(
    shop: Shop, database: Database, admin: Actor, owner: psycopg.Connection
) -> None:
    plan_id = shop.plan()
    for number in range(30):
        shop.customer(f"c{number}", "2026-10", plan_id)
    answers = at_once(4, lambda _: run_invoices(database, admin, date(2026, 10, 1)).public_id)
    assert sum(answers.values()) == 4
    assert owner.execute("SELECT count(*), count(DISTINCT customer_id) FROM invoice").fetchone() == (30, 30)


PLAN = plan(2900, per_unit("1000", "0.0125"))
CUSTOMERS = [f"c{number}" for number in range(6)]


def record_while_invoicing(shop: Shop, clock: Clock, database: Database, admin: Actor) -> dict[str, int]:
    """Record October's usage with eight threads while October is invoiced, and return the charges by customer.

    Events that arrive after October was closed are billed in November, so both invoices together must
    charge the price of October's total.
    """
    plan_id = shop.plan()
    for key in CUSTOMERS:
        shop.customer(key, "2026-10", plan_id)
    go, stop = threading.Barrier(9), threading.Event()

    def record(worker: int) -> None:
        go.wait()
        sent = 0
        while not stop.is_set():
            shop.use_many(
                [
                    UsageReport(key, f"{worker}-{sent}-{number}", "7", "2026-10-15T00:00:00Z")
                    for number, key in enumerate(CUSTOMERS * 5)
                ]
            )
            sent += 1

    with ThreadPoolExecutor(8) as pool:
        recorders = [pool.submit(record, worker) for worker in range(8)]
        go.wait()
        for key in CUSTOMERS:
            shop.invoice(key, "2026-10")
        stop.set()
        for recorder in recorders:
            recorder.result()
    clock.set(2026, 12)
    run_invoices(database, admin, date(2026, 11, 1))
    return october_charges(database, admin)


def october_charges(database: Database, admin: Actor) -> dict[str, int]:
    """Return what all invoices charge for usage in October, in minor units by customer key."""
    with database.transaction(admin) as session:
        rows = list_invoices(session, admin, limit=200).items
        invoices = [get_invoice(session, admin, row.number) for row in rows]
    charged: Counter[str] = Counter()
    for invoice in invoices:
        for line in invoice.lines:
            if line.usage_period == date(2026, 10, 1) and line.kind != "base":
                charged[invoice.customer.key] += line.amount_minor
    return dict(charged)


def october_totals(owner: psycopg.Connection) -> dict[str, Decimal]:
    return dict(
        owner.execute(
            "SELECT key, sum(quantity) FROM usage_event JOIN customer USING (customer_id)"
            " WHERE occurred_at < '2026-11-01Z' GROUP BY key"
        ).fetchall()
    )


def test_usage_recorded_while_its_month_is_invoiced_is_charged_once(
    shop: Shop, clock: Clock, database: Database, admin: Actor, owner: psycopg.Connection
) -> None:
    charged = record_while_invoicing(shop, clock, database, admin)
    totals = october_totals(owner)
    assert charged == {key: lines_of(PLAN, str(quantity))[1].amount_minor for key, quantity in totals.items()}


def wait_for_the_gate(owner: psycopg.Connection) -> None:
    """Return once a transaction waits for an advisory lock, and fail after 20 seconds."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        waiting = owner.execute(
            "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database"
            " WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()"
        ).fetchone()
        if waiting and waiting[0]:
            return
    pytest.fail("no transaction waits for the gate")


def test_closing_waits_for_a_recording_in_progress(
    shop: Shop, database: Database, admin: Actor, owner: psycopg.Connection
) -> None:
    shop.customer("acme", "2026-10")
    with ThreadPoolExecutor(1) as pool:
        with database.transaction(admin) as session:
            report = UsageReport("acme", "a", 1100, "2026-10-31T00:00:00Z")
            record_usage_batch(session, admin, [report])
            closing = pool.submit(shop.invoice, "acme", "2026-10")
            wait_for_the_gate(owner)
        assert total(closing.result()) == "30.25"


def test_recording_waits_for_a_closing_in_progress(
    shop: Shop, database: Database, admin: Actor, owner: psycopg.Connection
) -> None:
    customer_id = shop.customer("acme", "2026-10")
    with ThreadPoolExecutor(1) as pool:
        with database.transaction(admin) as session:
            close_period(session, admin, period_start=date(2026, 10, 1), customer_ids=[customer_id])
            recording = pool.submit(shop.use, "acme", "a", 1100, "2026-10-31T00:00:00Z")
            wait_for_the_gate(owner)
        assert recording.result().event.billing_period == date(2026, 11, 1)


def test_closed_period_is_invoiced_after_an_interruption(
    shop: Shop, database: Database, admin: Actor, clock: Clock
) -> None:
    customer_id = shop.customer("acme", "2026-10")
    shop.use("acme", "a", 1100, "2026-10-10T00:00:00Z")
    with database.transaction(admin) as session:
        close_period(session, admin, period_start=date(2026, 10, 1), customer_ids=[customer_id])
    late = shop.use("acme", "b", 100, "2026-10-11T00:00:00Z")
    assert late.event.billing_period == date(2026, 11, 1)
    assert total(shop.invoice("acme", "2026-10")) == "30.25"


@pytest.mark.parametrize("is_interrupted", [True, False])
def test_run_finishes_a_period_that_was_closed_but_not_invoiced(
    shop: Shop, database: Database, admin: Actor, is_interrupted: bool
) -> None:
    customer_id = shop.customer("acme", "2026-10")
    if is_interrupted:
        with database.transaction(admin) as session:
            close_period(session, admin, period_start=date(2026, 10, 1), customer_ids=[customer_id])
    assert run_invoices(database, admin, date(2026, 10, 1)).created == 1
    again = run_invoices(database, admin, date(2026, 10, 1))
    assert (again.created, again.existing) == (0, 1)
