"""verify finds what a hand in the database would change, names it, and stays quiet otherwise."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from billing_app.database.session import Database
from billing_app.domain.actor import Actor
from billing_app.errors import Forbidden
from billing_app.jobs.invoice_runs import sole_execution
from billing_app.jobs.verification import go_on_verifying, verify
from billing_app.services.invoices.closing import close_period
from billing_app.services.invoices.runs import start_run
from billing_app.services.payments.payments import record_payment
from billing_app.services.usage.recording import UsageReport
from billing_app.services.verification import recomputation
from billing_app.services.verification.verifications import (
    finish_verification,
    get_latest,
    get_verification,
    start_verification,
)
from tests.billing.shop import Shop
from tests.conftest import Clock
from tests.races import blocked_before_end


@pytest.fixture
def billed(shop: Shop, clock: Clock) -> Shop:
    """Two customers, two invoices each, late usage on one, a payment, and open usage."""
    for key in ("acme", "globex"):
        shop.customer(key, "2026-09")
        shop.use(key, "sep", 1200, "2026-09-10T00:00:00Z")
        shop.invoice(key, "2026-09")
    shop.use("acme", "late", 100, "2026-09-11T00:00:00Z")
    for key in ("acme", "globex"):
        shop.invoice(key, "2026-10")
        shop.use(key, "nov", 10)
    with shop.database.transaction(shop.actor) as session:
        record_payment(
            session,
            shop.actor,
            "ACME-0001",
            amount="31.50",
            received_on=date(2026, 11, 14),
            idempotency_key="p",
        )
    return shop


def attack(owner: psycopg.Connection, statement: str) -> None:
    """What somebody with the owner's access could do: triggers off, keys off, the deed, all on again."""
    owner.execute("ALTER TABLE invoice DROP CONSTRAINT IF EXISTS fk_invoice_last_line")
    tables = ("usage_event", "invoice", "invoice_line", "customer_billing", "subscription", "plan", "payment")
    for table in tables:
        owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    owner.execute(statement)
    for table in tables:
        owner.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def test_everything_agrees(billed: Shop, database: Database, admin: Actor, finance: Actor) -> None:
    report = verify(database, admin)
    assert report.differences == []
    assert (report.customers, report.invoices, report.lines) == (2, 4, 9)
    assert (report.events, report.events_billed_once, report.events_open) == (5, 3, 2)
    assert report.paid_invoices == 1
    with database.transaction(finance) as session:
        latest = get_latest(session, finance)
    assert latest.ok
    assert latest.report["invoices"] == 4


def test_finance_may_not_run_one(billed: Shop, database: Database, finance: Actor) -> None:
    with pytest.raises(Forbidden):
        verify(database, finance)


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        (("UPDATE invoice_line SET description = 'x' WHERE period_start = '2026-09-01' AND customer_id = 1 AND"
         " line_number = 1"), "ACME-0001: "),
        ("UPDATE invoice SET total_minor = total_minor + 1 WHERE number = 'GLOBEX-0002'", "GLOBEX-0002: "),
        ("UPDATE invoice SET customer_name = 'Mallory' WHERE number = 'ACME-0001'", "ACME-0001: has content"),
        ("UPDATE invoice SET content_sha256 = repeat('0', 64) WHERE number = 'ACME-0001'", "ACME-0002: does not"),
        ("DELETE FROM invoice_line WHERE customer_id = 1 AND kind = 'late_usage'", "ACME-0002: "),
        ("DELETE FROM usage_event WHERE idempotency_key = 'late'", "ACME-0002: "),
        ("UPDATE usage_event SET quantity = 1300 WHERE idempotency_key = 'sep' AND customer_id = 2",
         "GLOBEX-0001: "),
        (("INSERT INTO usage_event SELECT customer_id, 'slipped', occurred_at, recorded_at, billing_period, 5, 'x'"
         " FROM usage_event WHERE idempotency_key = 'late'"), "ACME-0002: "),
        ("UPDATE plan SET overage_unit_price = 1 WHERE name = 'Plan of globex'", "GLOBEX-0001: "),
        ("UPDATE customer_billing SET last_number = 7 WHERE customer_id = 1", "acme: the last number"),
        (("UPDATE customer_billing SET closed_through = '2026-09-01', settled_through = '2026-09-01'"
         " WHERE customer_id = 1"), "ACME-0002: is for a period that is still open"),
        ("UPDATE payment SET amount_minor = 99999", "acme: 2026-09 is paid beyond its total"),
        ("UPDATE usage_event SET billing_period = '2027-01-01' WHERE idempotency_key = 'nov' AND customer_id = 1",
         "acme, 2026-11 billed in 2027-01: 1 events billed later"),
        (("UPDATE customer_billing SET closed_through = '2026-11-01', settled_through = '2026-11-01'"
         " WHERE customer_id = 1"), "acme: 2026-11 is settled, has a plan and no invoice"),
    ],
)  # fmt: skip
def test_every_difference_is_found_and_named(
    billed: Shop, database: Database, admin: Actor, owner: psycopg.Connection, statement: str, named: str
) -> None:
    attack(owner, statement)
    report = verify(database, admin)
    assert not report.ok
    assert any(difference.startswith(named) for difference in report.differences), report.differences


def test_events_of_a_removed_invoice_are_missing(
    billed: Shop, database: Database, admin: Actor, owner: psycopg.Connection
) -> None:
    attack(
        owner,
        "DELETE FROM invoice_line WHERE customer_id = 2 AND period_start = '2026-10-01';"
        "DELETE FROM invoice WHERE number = 'GLOBEX-0002'",
    )
    attack(owner, "DELETE FROM invoice_line WHERE customer_id = 1 AND period_start = '2026-10-01';"
                  "DELETE FROM invoice WHERE number = 'ACME-0002'")  # fmt: skip
    report = verify(database, admin)
    assert report.events_missing == 1
    assert any(
        "acme, 2026-09 billed in 2026-10: 1 events on no invoice" in each for each in report.differences
    )


def test_a_closed_month_without_an_invoice_is_a_difference_unless_its_run_is_executed(
    shop: Shop, database: Database, admin: Actor
) -> None:
    customer_id = shop.customer("acme", "2026-10")
    with database.transaction(admin) as session:
        close_period(session, admin, period_start=date(2026, 10, 1), customer_ids=[customer_id])
        run = start_run(session, admin, date(2026, 10, 1))
    left = verify(database, admin)
    assert left.differences == ["acme 2026-10: closed, and not invoiced"]
    with sole_execution(database, admin, run):
        report = verify(database, admin)
    assert report.ok
    assert [(each.customer_key, each.period) for each in report.awaiting_invoice] == [("acme", "2026-10")]
    shop.invoice("acme", "2026-10")
    assert verify(database, admin).ok


def test_invoices_being_made_one_by_one_are_no_differences(
    shop: Shop, database: Database, admin: Actor
) -> None:
    plan = shop.plan()
    keys = [f"c{number}" for number in range(40)]
    for key in keys:
        shop.customer(key, "2026-10", plan)
    with ThreadPoolExecutor(4) as pool:
        making = [pool.submit(shop.invoice, key, "2026-10") for key in keys]
        while not all(each.done() for each in making):
            report = verify(database, admin)
            assert report.ok, report.differences


def test_it_works_while_usage_is_recorded(billed: Shop, database: Database, admin: Actor) -> None:
    stop = threading.Event()

    def record() -> None:
        sent = 0
        while not stop.is_set():
            billed.use_many([UsageReport("acme", f"{sent}-{number}", 1) for number in range(50)])
            sent += 1

    recorder = threading.Thread(target=record)
    recorder.start()
    try:
        reports = [verify(database, admin) for _ in range(5)]
    finally:
        stop.set()
        recorder.join()
    assert all(report.ok for report in reports)


def test_it_waits_for_one_that_is_executed_and_is_of_a_later_moment(
    billed: Shop, database: Database, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recomputation, "PROGRESS_EVERY", 2)
    first = database.call(admin, start_verification)
    with ThreadPoolExecutor(1) as pool:
        second = []

        def in_the_middle(_: object) -> None:
            billed.use("acme", "in between", 1)
            second.append(pool.submit(verify, database, admin))
            assert blocked_before_end(database, second[0])
            # Another process's background leaves it alone meanwhile.
            go_on_verifying(database)

        go_on_verifying(database, in_the_middle)
        events = database.call(admin, get_verification, first.public_id).report["events"]
        assert second[0].result(60).events == events + 1
    assert database.call(admin, get_latest).report["events"] == events + 1


def test_what_was_found_stays(billed: Shop, database: Database, admin: Actor) -> None:
    found = verify(database, admin)
    row = database.call(admin, get_latest)
    database.call(admin, finish_verification, row.public_id, ok=False, report={"customers": 0})
    assert database.call(admin, get_latest) == row
    assert row.report["customers"] == found.customers
    for change in ("started_by = 'x'", "started_at = now()"):
        with (
            pytest.raises(ProgrammingError, match="permission denied"),
            database.transaction(admin) as session,
        ):
            session.execute(text(f"UPDATE verification SET {change}"))
    with pytest.raises(ProgrammingError, match="permission denied"), database.transaction(admin) as session:
        session.execute(text("DELETE FROM verification"))


def test_it_is_under_way_or_ended_and_nothing_between(database: Database, admin: Actor) -> None:
    database.call(admin, start_verification)
    for change in (
        "finished_at = now()", "ok = true", "finished_at = now(), ok = true", "fault = 'x'",
        "finished_at = now(), ok = true, report = '{}', fault = 'x'",
    ):  # fmt: skip
        with pytest.raises(IntegrityError, match="check constraint"), database.transaction(admin) as session:
            session.execute(text(f"UPDATE verification SET {change}"))
    with (
        pytest.raises(IntegrityError, match="uq_verification_running"),
        database.transaction(admin) as session,
    ):
        session.execute(
            text("INSERT INTO verification (started_by, started_at, attempts) VALUES ('x', now(), 0)")
        )
