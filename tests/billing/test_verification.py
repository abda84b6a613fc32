"""Verification finds every discrepancy that tampering with the database causes, and no others."""

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
from billing_app.domain.invoice import line_field
from billing_app.domain.lines import Line
from billing_app.errors import Forbidden
from billing_app.jobs.invoice_runs import sole_execution
from billing_app.jobs.verification import resume_verification, verify
from billing_app.services.invoices.closing import close_period
from billing_app.services.invoices.runs import start_run
from billing_app.services.payments.payments import record_payment
from billing_app.services.usage.recording import UsageReport
from billing_app.services.verification import recomputation
from billing_app.services.verification.report import Discrepancy, Report, Subject
from billing_app.services.verification.verifications import (
    finish_verification,
    get_latest,
    get_verification,
    keep_progress,
    start_verification,
)
from billing_app.wording.discrepancies import discrepancy_sentence, subject_name
from tests.billing.shop import Shop
from tests.conftest import Clock
from tests.races import blocked_before_end

SEPTEMBER, OCTOBER = date(2026, 9, 1), date(2026, 10, 1)


@pytest.fixture
def billed(shop: Shop, clock: Clock) -> Shop:
    """Two customers with two invoices each, late usage on one, a payment, and usage in an open period."""
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
    """Execute a statement with triggers and keys disabled, as only the owner of the tables can."""
    owner.execute("ALTER TABLE invoice DROP CONSTRAINT IF EXISTS fk_invoice_last_line")
    tables = (
        "usage_event", "invoice", "invoice_line", "customer_billing", "subscription", "plan", "plan_charge",
        "payment",
    )  # fmt: skip
    for table in tables:
        owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    owner.execute(statement)
    for table in tables:
        owner.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def test_untouched_data_has_no_discrepancies(
    billed: Shop, database: Database, admin: Actor, finance: Actor
) -> None:
    report = verify(database, admin)
    assert report.discrepancies == []
    checked = report.checked
    assert (checked.customers, checked.invoices, checked.lines) == (2, 4, 9)
    assert (checked.events, checked.events_billed_once, checked.events_open) == (5, 3, 2)
    assert checked.paid_invoices == 1
    with database.transaction(finance) as session:
        latest = get_latest(session, finance)
    assert latest.ok
    assert latest.report.checked.invoices == 4


def test_finance_user_cannot_start_a_verification(billed: Shop, database: Database, finance: Actor) -> None:
    with pytest.raises(Forbidden):
        verify(database, finance)


def test_events_without_a_customer_are_the_only_discrepancy(
    billed: Shop, database: Database, admin: Actor, owner: psycopg.Connection
) -> None:
    # One of them precedes the first customer, the other follows the last.
    for customer_id in (0, 99):
        attack(
            owner,
            f"INSERT INTO usage_event SELECT {customer_id}, 'stray', occurred_at, recorded_at,"
            " billing_period, 5, 'x' FROM usage_event WHERE idempotency_key = 'late'",
        )
    report = verify(database, admin)
    assert [(each.code, each.facts) for each in report.discrepancies] == [
        ("rows_without_customer", {"rows": "usage events"})
    ]


TAMPERING = [
    (("UPDATE invoice_line SET description = 'x' WHERE period_start = '2026-09-01' AND customer_id = 1 AND"
     " line_number = 1"), "ACME-0001", "wrong_line"),
    ("UPDATE invoice SET total_minor = total_minor + 1 WHERE number = 'GLOBEX-0002'", "GLOBEX-0002",
     "wrong_total"),
    ("UPDATE invoice SET customer_name = 'Mallory' WHERE number = 'ACME-0001'", "ACME-0001",
     "content_changed"),
    ("UPDATE invoice SET content_sha256 = repeat('0', 64) WHERE number = 'ACME-0001'", "ACME-0002",
     "broken_chain"),
    ("UPDATE invoice SET due_on = due_on + 1 WHERE number = 'ACME-0001'", "ACME-0001", "wrong_due_date"),
    ("DELETE FROM invoice_line WHERE customer_id = 1 AND kind = 'late_usage'", "ACME-0002",
     "missing_or_extra_lines"),
    ("DELETE FROM invoice_line WHERE customer_id = 1 AND kind = 'late_usage'", "ACME-0002",
     "wrong_line_count"),
    ("DELETE FROM usage_event WHERE idempotency_key = 'late'", "ACME-0002", "missing_or_extra_lines"),
    ("UPDATE usage_event SET quantity = 1300 WHERE idempotency_key = 'sep' AND customer_id = 2",
     "GLOBEX-0001", "wrong_line"),
    ("UPDATE usage_event SET quantity = 1300 WHERE idempotency_key = 'sep' AND customer_id = 2",
     "globex", "wrong_charge"),
    (("INSERT INTO usage_event SELECT customer_id, 'slipped', occurred_at, recorded_at, billing_period, 5, 'x'"
     " FROM usage_event WHERE idempotency_key = 'late'"), "ACME-0002", "wrong_line"),
    (("UPDATE plan_charge SET unit_price = 1 FROM plan p WHERE p.plan_id = plan_charge.plan_id"
     " AND name = 'Plan of globex'"), "GLOBEX-0001", "wrong_line"),
    ("UPDATE plan SET monthly_price_minor = 1 WHERE name = 'Plan of globex'", "GLOBEX-0001", "wrong_line"),
    ("UPDATE customer_billing SET last_number = 7 WHERE customer_id = 1", "acme", "wrong_last_number"),
    ("UPDATE customer_billing SET last_sha256 = repeat('0', 64) WHERE customer_id = 1", "acme",
     "wrong_last_hash"),
    (("UPDATE customer_billing SET closed_through = '2026-09-01', settled_through = '2026-09-01'"
     " WHERE customer_id = 1"), "ACME-0002", "period_still_open"),
    (("UPDATE customer_billing SET closed_through = '2026-09-01', settled_through = '2026-09-01'"
     " WHERE customer_id = 1"), "ACME-0002", "invoice_of_unsettled_month"),
    ("UPDATE payment SET amount_minor = 99999", "acme", "overpaid"),
    ("DELETE FROM open_invoice WHERE customer_id = 2", "globex", "wrong_open_invoice"),
    ("UPDATE usage_event SET billing_period = '2027-01-01' WHERE idempotency_key = 'nov' AND customer_id = 1",
     "acme", "events_billed_too_late"),
    (("UPDATE customer_billing SET closed_through = '2026-11-01', settled_through = '2026-11-01'"
     " WHERE customer_id = 1"), "acme", "settled_without_invoice"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "subject", "code"), TAMPERING)
def test_every_discrepancy_is_found_with_its_subject(
    billed: Shop,
    database: Database,
    admin: Actor,
    owner: psycopg.Connection,
    statement: str,
    subject: str,
    code: str,
) -> None:
    attack(owner, statement)
    report = verify(database, admin)
    assert not report.ok
    assert (subject, code) in [(subject_name(each), each.code) for each in report.discrepancies]
    for each in report.discrepancies:
        sentence = discrepancy_sentence(each)
        assert sentence.endswith(".")
        assert "{" not in sentence
    # The stored report is the same.
    assert database.call(admin, get_latest).report == report


def test_every_value_of_a_line_has_words() -> None:
    for name in Line._fields:
        facts = {"line": 2, "value": line_field(name), "found": "1", "expected": "2"}
        sentence = discrepancy_sentence(Discrepancy(Subject(), "wrong_line", facts))
        assert sentence.startswith("Line 2: the "), name


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
    assert report.checked.events_missing == 1
    missing = next(each for each in report.discrepancies if each.code == "events_not_invoiced")
    assert subject_name(missing) == "acme"
    assert missing.facts == {"events": 1, "usage_period": SEPTEMBER, "period": OCTOBER}
    assert discrepancy_sentence(missing) == (
        "1 event from September 2026 with billing period October 2026 is on no invoice."
    )


def test_closed_month_without_invoice_is_a_discrepancy_unless_its_run_is_being_executed(
    shop: Shop, database: Database, admin: Actor
) -> None:
    customer_id = shop.customer("acme", "2026-10")
    with database.transaction(admin) as session:
        close_period(session, admin, period_start=date(2026, 10, 1), customer_ids=[customer_id])
        run = start_run(session, admin, date(2026, 10, 1))
    left = verify(database, admin)
    (discrepancy,) = left.discrepancies
    assert (subject_name(discrepancy), discrepancy.code) == ("acme", "closed_without_invoice")
    assert discrepancy.facts == {"period": OCTOBER}
    with sole_execution(database, admin, run):
        report = verify(database, admin)
    assert report.ok
    assert [(each.customer.key, each.period_start) for each in report.awaiting_invoice] == [("acme", OCTOBER)]
    shop.invoice("acme", "2026-10")
    assert verify(database, admin).ok


def test_invoices_being_generated_are_no_discrepancies(shop: Shop, database: Database, admin: Actor) -> None:
    plan = shop.plan()
    keys = [f"c{number}" for number in range(40)]
    for key in keys:
        shop.customer(key, "2026-10", plan)
    with ThreadPoolExecutor(4) as pool:
        making = [pool.submit(shop.invoice, key, "2026-10") for key in keys]
        while not all(each.done() for each in making):
            report = verify(database, admin)
            assert report.ok, report.discrepancies


def test_recording_usage_causes_no_discrepancies(billed: Shop, database: Database, admin: Actor) -> None:
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


def test_second_verification_waits_for_the_first_and_sees_later_data(
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
            # The background worker of another process doesn't execute it.
            resume_verification(database)

        resume_verification(database, in_the_middle)
        events = database.call(admin, get_verification, first.public_id).report.checked.events
        assert second[0].result(60).checked.events == events + 1
    assert database.call(admin, get_latest).report.checked.events == events + 1


def test_finished_verification_never_changes(billed: Shop, database: Database, admin: Actor) -> None:
    found = verify(database, admin)
    row = database.call(admin, get_latest)
    for write in (finish_verification, keep_progress):
        database.call(admin, write, row.public_id, Report())
    assert database.call(admin, get_latest) == row
    assert row.report == found
    for change in ("started_by = 'x'", "started_at = now()"):
        with (
            pytest.raises(ProgrammingError, match="permission denied"),
            database.transaction(admin) as session,
        ):
            session.execute(text(f"UPDATE verification SET {change}"))
    with pytest.raises(ProgrammingError, match="permission denied"), database.transaction(admin) as session:
        session.execute(text("DELETE FROM verification"))


def test_verification_is_either_running_or_ended(database: Database, admin: Actor) -> None:
    database.call(admin, start_verification)
    for change in (
        "finished_at = now()", "ok = true", "finished_at = now(), ok = true", "fault = '{}'",
        "finished_at = now(), ok = true, report = '{}', fault = '{}'",
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
