"""The verification page: start one, follow it, and read its result."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime

import pytest
from playwright.sync_api import Page, expect

from billing_app.database import locks
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.jobs.leadership import lock
from billing_app.services.shared.reasons import Reason
from billing_app.services.verification import verifications
from billing_app.services.verification.report import (
    AwaitingInvoice,
    Counts,
    CustomerRef,
    Report,
    StatedGap,
    Subject,
)
from tests.e2e.business import BILLING, FINANCE
from tests.e2e.conftest import Site
from tests.e2e.test_look import found_by_axe

MANY = 60


@pytest.fixture
def own(site: Site) -> Iterator[Database]:
    """The site's database with the same clock as the server."""
    database = Database(site.urls.application)
    yield database
    database.close()


def store_result(database: Database, report: Report) -> None:
    """Store a finished verification with this report."""
    with lock(database, SYSTEM, locks.VERIFYING):
        row = database.call(SYSTEM, verifications.start_verification)
        database.call(SYSTEM, verifications.finish_verification, row.public_id, report)


def counted(customers: int) -> Report:
    """Return a report with this number of checked customers."""
    return Report(checked=Counts(customers=customers))


def test_admin_verifies(signed_in: Page) -> None:
    page = signed_in
    page.get_by_role("link", name="Verification").click()
    page.get_by_role("button", name="Start verification").click()
    expect(page.get_by_text("Verification found no discrepancies")).to_be_visible()
    verdict = page.get_by_role("region", name="Last verification")
    expect(verdict).to_contain_text("No discrepancies")
    expect(verdict).to_contain_text("started by Ada Lovelace")
    expect(verdict.locator("time")).to_have_attribute("title", re.compile(r"UTC$"))
    expect(page.get_by_role("listitem").filter(has_text="Usage events")).to_contain_text(
        re.compile(r"[\d,]+ on one invoice, [\d,]+ in open periods")
    )
    expect(page.get_by_role("button", name="Start verification")).to_be_enabled()


def test_failed_verification_says_why_and_another_is_started(authenticated: Page, own: Database) -> None:
    reason = Reason("database_refused", facts={"sqlstate": "42P01"})
    with lock(own, SYSTEM, locks.VERIFYING), own.transaction(SYSTEM) as session:
        row = verifications.start_verification(session, SYSTEM)
        verifications.count_failed_attempt(session, SYSTEM, row.public_id, reason, attempts_max=1)
    page = authenticated
    page.goto("/verify")
    failed = page.get_by_role("region", name="Failed verification")
    expect(failed).to_contain_text("Verification failed: The database reported error 42P01.")
    assert found_by_axe(page) == []
    page.get_by_role("button", name="Start verification").click()
    expect(page.get_by_text("Verification found no discrepancies")).to_be_visible()
    expect(failed).to_have_count(0)


def test_running_verification_is_shown_again_after_leaving_the_page(
    authenticated: Page, own: Database
) -> None:
    page = authenticated
    page.goto("/verify")
    with lock(own, SYSTEM, locks.VERIFYING):
        page.get_by_role("button", name="Start verification").click()
        expect(page.get_by_text("Started by Ada Lovelace")).to_be_visible()
        expect(page.get_by_role("button", name="Start verification")).to_be_disabled()
        row = own.call(SYSTEM, verifications.find_running)
        assert row
        own.call(SYSTEM, verifications.keep_progress, row.public_id, counted(7))
        expect(page.get_by_text(re.compile(r"^7 of \d+ customers$"))).to_be_visible()
        assert found_by_axe(page) == []
        page.get_by_role("link", name="Plans").click()
        page.wait_for_url("**/plans")
        page.get_by_role("link", name="Verification").click()
        expect(page.get_by_text(re.compile(r"^7 of \d+ customers$"))).to_be_visible()
        own.call(SYSTEM, verifications.keep_progress, row.public_id, counted(9))
        expect(page.get_by_text(re.compile(r"^9 of \d+ customers$"))).to_be_visible()
        expect(page.get_by_role("progressbar")).to_have_attribute("value", "9")
    # The server resumes it once the lock is released, within seconds.
    expect(page.get_by_text("Verification found no discrepancies")).to_be_visible()
    expect(page.get_by_role("progressbar")).to_have_count(0)


def test_discrepancies_are_listed_with_links(authenticated: Page, own: Database) -> None:
    page = authenticated
    acme, quiet = CustomerRef(1, "acme", "Acme"), CustomerRef(2, "quiet", "Quiet")
    august = date(2026, 8, 1)
    report = Report(Counts(customers=32, events=53, events_missing=2, invoices=3))
    report.awaiting_invoice = [AwaitingInvoice(quiet, august)]
    report.add(Subject(acme, "ACME-0003"), "wrong_total")
    report.add(Subject(quiet), "closed_without_invoice", period=august)
    report.add(Subject(), "rows_without_customer", rows="payments")
    while report.discrepancy_count < MANY:
        report.add(Subject(acme), "overpaid", period=august)
    store_result(own, report)
    page.goto("/verify")
    expect(page.get_by_role("heading", name=f"{MANY} discrepancies found")).to_be_visible()
    discrepancies = page.get_by_role("table", name="Discrepancies")
    expect(discrepancies.locator("tbody tr")).to_have_count(50)
    first = discrepancies.locator("tbody tr").first
    expect(first).to_contain_text("The total is not the sum of the lines.")
    expect(first.get_by_role("link")).to_have_attribute("href", "/invoices/ACME-0003")
    second = discrepancies.locator("tbody tr").nth(1)
    expect(second.get_by_role("cell")).to_have_text(["quiet", "August 2026 is closed, but has no invoice."])
    expect(second.get_by_role("link")).to_have_attribute("href", "/customers/quiet")
    third = discrepancies.locator("tbody tr").nth(2)
    expect(third.get_by_role("cell")).to_have_text(["No customer", "Some payments belong to no customer."])
    expect(third.get_by_role("link")).to_have_count(0)
    expect(page.get_by_text("2 on no invoice, 0 on more than one")).to_be_visible()
    awaiting = page.get_by_role("table", name="Closed months without an invoice")
    expect(awaiting).to_contain_text("August 2026")
    assert found_by_axe(page) == []
    page.get_by_role("link", name="Next").click()
    expect(discrepancies.locator("tbody tr")).to_have_count(10)
    expect(page.get_by_text("51–60 of 60")).to_be_visible()
    page.get_by_role("button", name="Start verification").click()
    expect(page.get_by_role("heading", name="No discrepancies")).to_be_visible()
    expect(discrepancies).to_have_count(0)


def test_skipped_invoice_numbers_are_listed_and_are_no_discrepancy(
    page: Page, sign_in: Callable[..., None], own: Database
) -> None:
    restored_at = datetime(2026, 11, 29, 9, tzinfo=UTC)
    report = Report(Counts(customers=32))
    report.number_gaps = [
        StatedGap(CustomerRef(1, "acme", "Acme"), "ACME-0010", "ACME-0012", restored_at, restored_at)
    ]
    store_result(own, report)
    sign_in(FINANCE, at="/login?next=/verify")
    expect(page.get_by_role("heading", name="No discrepancies")).to_be_visible()
    skipped = page.get_by_role("table", name="Skipped invoice numbers")
    expect(skipped.get_by_role("cell")).to_have_text(
        [
            "acme",
            "ACME-0010 to ACME-0012 were issued before the restore of Nov 29, 2026, and not used again.",
        ]
    )
    expect(skipped.get_by_role("link")).to_have_attribute("href", "/customers/acme")
    assert found_by_axe(page) == []


def test_billing_user_verifies_and_finance_user_reads_the_result(
    page: Page, sign_in: Callable[..., None], own: Database
) -> None:
    store_result(own, Report())
    sign_in(FINANCE, at="/login?next=/verify")
    expect(page.get_by_role("heading", name="No discrepancies")).to_be_visible()
    expect(page.get_by_role("button", name="Start verification")).to_have_count(0)
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login")
    sign_in(BILLING, at="/login?next=/verify")
    expect(page.get_by_role("button", name="Start verification")).to_be_visible()
