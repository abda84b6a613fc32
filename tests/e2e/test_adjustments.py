"""Discounts, one-off items and credit on the pages of a customer and of an invoice."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

import pytest
from playwright.sync_api import Locator, Page, expect

from billing_app.domain.actor import SYSTEM
from billing_app.domain.periods import period_of, previous_period
from billing_app.jobs.invoicing import generate_invoice
from billing_app.services.adjustments.credit import get_credit
from billing_app.services.adjustments.one_off_items import record_item
from billing_app.services.customers import customers
from billing_app.state.kit import text
from tests.e2e.business import FINANCE, PASSWORD
from tests.e2e.conftest import Site
from tests.e2e.test_customers_page import growth

pytestmark = pytest.mark.usefixtures("today")
THIS = period_of(datetime.now(UTC))
LAST = previous_period(THIS)
BEFORE = previous_period(LAST)


def make(site: Site, name: str, first: date = THIS) -> str:
    with site.database.transaction(SYSTEM) as session:
        return customers.create_customer(
            session, SYSTEM, name=name, email=f"{name.replace(' ', '.')}@one.test", plan_id=growth(site),
            start=first,
        ).key  # fmt: skip


@pytest.fixture(scope="module")
def credited(site: Site) -> str:
    """The key of a customer with an unpaid invoice of 29.00, and a later one that gave 71.00 of credit."""
    new_world, site.database.clock = site.database.clock, lambda: datetime.now(UTC)
    key = make(site, "Orchid Outfitters", BEFORE)
    generate_invoice(site.database, SYSTEM, key, BEFORE)
    with site.database.transaction(SYSTEM) as session:
        record_item(
            session, SYSTEM, key, description="Goodwill", unit_price="-100.00", item_date=LAST,
            idempotency_key="goodwill",
        )  # fmt: skip
    generate_invoice(site.database, SYSTEM, key, LAST)
    site.database.clock = new_world
    return key


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog")


def send(page: Page, button: str) -> None:
    dialog(page).get_by_role("button", name=button, exact=True).click()


def test_discount_is_added_and_its_last_month_is_set(authenticated: Page, site: Site) -> None:
    page = authenticated
    page.goto(f"/customers/{make(site, 'Discount House')}")
    page.get_by_role("button", name="Add discount").click()
    dialog(page).get_by_label("Name").fill("Welcome")
    send(page, "Add discount")
    expect(dialog(page)).to_contain_text("This or the amount must be given, but not both.")
    dialog(page).get_by_label("Percent").fill("12.5")
    expect(dialog(page)).to_contain_text("= 12.5% off")
    send(page, "Add discount")
    row = page.get_by_role("table", name="Discounts").get_by_role("row", name="Welcome")
    expect(row).to_contain_text("12.5% off the monthly price and usage")
    expect(page.get_by_text("Welcome, on the monthly price")).to_be_visible()
    page.get_by_role("button", name="Set the last month of Welcome").click()
    dialog(page).get_by_label("Last month").select_option("Never apply it")
    send(page, "Set last month")
    expect(row).to_contain_text("Never applies")
    expect(row.get_by_role("button")).to_have_count(0)


def test_item_is_credited_once_and_reversed(authenticated: Page, site: Site) -> None:
    page = authenticated
    page.goto(f"/customers/{make(site, 'Item House')}")
    page.get_by_role("button", name="Credit once").click()
    dialog(page).get_by_label("Description").fill("Sorry")
    dialog(page).get_by_label("Unit price").fill("-5")
    send(page, "Credit")
    expect(dialog(page)).to_contain_text("Must be greater than zero.")
    dialog(page).get_by_label("Unit price").fill("5")
    send(page, "Credit")
    items = page.get_by_role("table", name="One-off items")
    expect(items.get_by_role("row", name="Sorry")).to_contain_text("−$5.00")
    items.get_by_role("button", name="Reverse Sorry").click()
    dialog(page).get_by_label("Reason").fill("A mistake")
    send(page, "Reverse item")
    expect(items).to_contain_text("Reversal: A mistake")
    expect(items.get_by_role("button")).to_have_count(0)
    expect(page.locator("main")).to_contain_text(re.compile(r"Total so far.*\$29\.00"))


def test_credit_is_refunded_and_the_refund_reversed(authenticated: Page, credited: str) -> None:
    page = authenticated
    page.goto(f"/customers/{credited}")
    page.get_by_role("button", name="Record refund").click()
    expect(dialog(page).get_by_label("Amount")).to_have_value("71.00")
    dialog(page).get_by_label("Amount").fill("71.01")
    send(page, "Record refund")
    expect(dialog(page)).to_contain_text("Must be at most the credit of $71.00.")
    dialog(page).get_by_label("Amount").fill("1")
    send(page, "Record refund")
    expect(page.get_by_text("Refund of $1.00 recorded")).to_be_visible()
    page.get_by_role("button", name="Reverse the refund").click()
    dialog(page).get_by_label("Reason").fill("Bounced")
    send(page, "Reverse refund")
    expect(page.get_by_role("table", name="Credit")).to_contain_text("Reversed: Bounced")
    expect(page.get_by_role("heading", name="Credit $71.00")).to_be_visible()


def test_credit_invoice_asks_for_no_money(authenticated: Page, credited: str) -> None:
    page = authenticated
    page.goto("/invoices/ORCHID-OUTFITTERS-0002")
    expect(page.get_by_text("Total", exact=True).locator("xpath=..")).to_contain_text("−$71.00")
    for unsaid in ("Amount due", "Due date", "How to pay"):
        expect(page.get_by_text(unsaid)).to_have_count(0)
    expect(page.get_by_role("button", name="Record payment")).to_have_count(0)
    page.goto("/invoices?status=credit&search=orchid")
    expect(page.get_by_role("row", name="ORCHID-OUTFITTERS-0002")).to_be_visible()


def test_credit_is_applied_to_an_older_invoice(authenticated: Page, site: Site, credited: str) -> None:
    page = authenticated
    page.goto("/invoices/ORCHID-OUTFITTERS-0001")
    page.get_by_role("button", name="Apply credit").click()
    expect(dialog(page)).to_contain_text("$29.00 of it will be applied")
    send(page, "Apply credit")
    today = text.day(datetime.now(UTC).date())
    expect(page.get_by_text(f"Credit applied on {today}")).to_be_visible()
    expect(page.get_by_role("button", name="Apply credit")).to_have_count(0)
    with site.database.transaction(SYSTEM) as session:
        assert get_credit(session, SYSTEM, credited).amount_minor == 4200


def test_finance_user_sees_credit_and_can_change_nothing(page: Page, site: Site, credited: str) -> None:
    page.request.post(f"{site.url}/api/v1/auth/session", data={"email": FINANCE, "password": PASSWORD})
    page.goto(f"/customers/{credited}")
    expect(page.get_by_role("table", name="Credit")).to_contain_text("Credit ORCHID-OUTFITTERS-0002")
    for button in ("Add discount", "Charge", "Credit once", "Record refund", "Reverse"):
        expect(page.get_by_role("button", name=button)).to_have_count(0)
