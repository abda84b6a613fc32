"""The proof as people ask for it, wait for it and read what it found."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.jobs import verification as job
from billing_app.services.shared import faults
from billing_app.services.verification import verifications
from tests.e2e.business import BILLING, FINANCE
from tests.e2e.conftest import Site
from tests.e2e.test_look import found_by_axe

ALONE = "SELECT pg_advisory_xact_lock(:verifying)"
MANY = 60


@pytest.fixture
def own(site: Site) -> Iterator[Database]:
    """Our view of the database, at the moment that it is for the server."""
    made = Database(site.urls.application)
    yield made
    made.close()


def found(database: Database, **report: Any) -> None:
    """A verification that found this."""
    with job._alone(database, SYSTEM, ALONE):
        row = database.call(SYSTEM, verifications.start_verification)
        count = len(report["differences"])
        database.call(
            SYSTEM, verifications.finish_verification, row.public_id, ok=not count,
            report={"customers": 32, "events": 53, "invoices": 3, "difference_count": count, **report},
        )  # fmt: skip


def test_somebody_verifies(signed_in: Page) -> None:
    page = signed_in
    page.get_by_role("link", name="Verify").click()
    page.get_by_role("button", name="Verify now").click()
    expect(page.get_by_text("Verified: everything agrees")).to_be_visible()
    verdict = page.get_by_role("region", name="Last verification")
    expect(verdict).to_contain_text("Everything agrees")
    expect(verdict).to_contain_text("by Ada Lovelace")
    expect(verdict.locator("time")).to_have_attribute("title", re.compile(r"UTC$"))
    expect(page.get_by_role("listitem").filter(has_text="Usage events")).to_contain_text(
        re.compile(r"[\d,]+ on exactly one invoice, [\d,]+ still open")
    )
    expect(page.get_by_role("button", name="Verify now")).to_be_enabled()


def test_one_that_was_given_up_says_why_and_another_is_started(signed_in: Page, own: Database) -> None:
    with job._alone(own, SYSTEM, ALONE), own.transaction(SYSTEM) as session:
        row = verifications.start_verification(session, SYSTEM)
        for _ in range(faults.ATTEMPTS_MAX):
            verifications.count_failed_attempt(session, SYSTEM, row.public_id, "the paper is out")
    page = signed_in
    page.goto("/verify")
    given_up = page.get_by_role("region", name="A verification that was given up")
    expect(given_up).to_contain_text("The last verification was given up: the paper is out.")
    assert found_by_axe(page) == []
    page.get_by_role("button", name="Verify now").click()
    expect(page.get_by_text("Verified: everything agrees")).to_be_visible()
    expect(given_up).to_have_count(0)


def test_one_under_way_is_found_again(signed_in: Page, own: Database) -> None:
    page = signed_in
    page.goto("/verify")
    with job._alone(own, SYSTEM, ALONE):
        page.get_by_role("button", name="Verify now").click()
        expect(page.get_by_text("Started by Ada Lovelace")).to_be_visible()
        expect(page.get_by_role("button", name="Verify now")).to_be_disabled()
        row = own.call(SYSTEM, verifications.find_running)
        assert row
        own.call(SYSTEM, verifications.note_progress, row.public_id, {"customers": 7})
        expect(page.get_by_text(re.compile(r"^7 of \d+ customers$"))).to_be_visible()
        assert found_by_axe(page) == []
        page.get_by_role("link", name="Plans").click()
        page.wait_for_url("**/plans")
        page.get_by_role("link", name="Verify").click()
        expect(page.get_by_text(re.compile(r"^7 of \d+ customers$"))).to_be_visible()
        own.call(SYSTEM, verifications.note_progress, row.public_id, {"customers": 9})
        expect(page.get_by_text(re.compile(r"^9 of \d+ customers$"))).to_be_visible()
        expect(page.get_by_role("progressbar")).to_have_attribute("value", "9")
    # Whose lock is gone is gone on with by the server, which looks every some seconds.
    expect(page.get_by_text("Verified: everything agrees")).to_be_visible()
    expect(page.get_by_role("progressbar")).to_have_count(0)


def test_what_differs_is_named_and_leads_there(signed_in: Page, own: Database) -> None:
    page = signed_in
    words = ["ACME-0003: has a total that is not the sum of its lines",
             "quiet 2026-08: closed, and not invoiced",
             "payment: there are rows of no customer"]  # fmt: skip
    found(
        own,
        differences=words + [f"acme: charged {number} minor units" for number in range(MANY - len(words))],
        awaiting_invoice=[{"customer_id": 2, "customer_key": "quiet", "period": "2026-08"}],
        events_missing=2,
    )
    page.goto("/verify")
    expect(page.get_by_role("heading", name=f"{MANY} differences were found")).to_be_visible()
    differences = page.get_by_role("table", name="Differences")
    expect(differences.locator("tbody tr")).to_have_count(50)
    first = differences.locator("tbody tr").first
    expect(first).to_contain_text("Has a total that is not the sum of its lines")
    expect(first.get_by_role("link")).to_have_attribute("href", "/invoices/ACME-0003")
    second = differences.locator("tbody tr").nth(1)
    expect(second.get_by_role("cell")).to_have_text(["quiet", "August 2026: closed, and not invoiced"])
    expect(second.get_by_role("link")).to_have_attribute("href", "/customers/quiet")
    expect(differences.locator("tbody tr").nth(2).get_by_role("link")).to_have_count(0)
    expect(page.get_by_text("2 on no invoice, 0 on more than one")).to_be_visible()
    awaiting = page.get_by_role("table", name="Closed months without an invoice")
    expect(awaiting).to_contain_text("August 2026")
    assert found_by_axe(page) == []
    page.get_by_role("link", name="Next").click()
    expect(differences.locator("tbody tr")).to_have_count(10)
    expect(page.get_by_text("51–60 of 60")).to_be_visible()
    page.get_by_role("button", name="Verify now").click()
    expect(page.get_by_role("heading", name="Everything agrees")).to_be_visible()
    expect(differences).to_have_count(0)


def test_billing_verifies_and_finance_sees_what_was_found(
    page: Page, sign_in: Callable[..., None], own: Database
) -> None:
    found(own, differences=[])
    sign_in(FINANCE, at="/login?next=/verify")
    expect(page.get_by_role("heading", name="Everything agrees")).to_be_visible()
    expect(page.get_by_role("button", name="Verify now")).to_have_count(0)
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login")
    sign_in(BILLING, at="/login?next=/verify")
    expect(page.get_by_role("button", name="Verify now")).to_be_visible()
