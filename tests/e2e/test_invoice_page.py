"""The page of one invoice: recording and reversing payments, usage, printing and integrity."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from billing_app.domain.actor import SYSTEM
from billing_app.services.payments import payments
from tests.e2e.business import ACME_OCTOBER, FINANCE
from tests.e2e.conftest import Site
from tests.e2e.test_look import found_by_axe
from tests.factories import make_customer, make_invoice

OCTOBER = date(2026, 10, 1)


@pytest.fixture
def number(site: Site, request: pytest.FixtureRequest) -> str:
    """Return the number of an invoice over $29.00, of a customer that only this test uses."""
    key = request.node.name.replace("_", "-")[5:55].rstrip("-")
    made = make_customer(site.database, key=key, email=f"{key}@paid.test", start=OCTOBER)
    return make_invoice(site.database, made, OCTOBER).number


def received(site: Site, number: str) -> list[int]:
    with site.database.transaction(SYSTEM) as session:
        return [each.amount_minor for each in payments.list_payments(session, SYSTEM, number).items]


def sheet(page: Page) -> Locator:
    return page.get_by_role("article")


def status(page: Page) -> Locator:
    """Return the line above the invoice."""
    return (
        page.locator("main")
        .get_by_text("Invoice")
        .first.locator("xpath=ancestor::article/preceding-sibling::div")
    )


def open_payment(page: Page, number: str) -> None:
    page.goto(f"/invoices/{number}")
    page.get_by_role("button", name="Record payment").click()
    expect(page.get_by_label("Amount in USD")).to_be_focused()


def send(page: Page) -> None:
    page.get_by_role("dialog").get_by_role("button", name="Record payment").click()


def test_payment_is_recorded_by_keyboard_alone(signed_in: Page, site: Site, number: str) -> None:
    page, press = signed_in, signed_in.keyboard.press
    page.goto(f"/invoices/{number}")
    opener = page.get_by_role("button", name="Record payment")
    expect(opener).to_be_visible()
    for _ in range(60):
        press("Tab")
        if opener.evaluate("it => it === document.activeElement"):
            break
    press("Enter")
    amount = page.get_by_label("Amount in USD")
    expect(amount).to_be_focused()
    expect(amount).to_have_value("29.00")
    method = page.get_by_label("Method")
    for _ in range(8):
        press("Tab")
        if method.evaluate("it => it === document.activeElement"):
            break
    page.keyboard.type("Wire")
    press("Tab")
    page.keyboard.type("R-77")
    press("Enter")
    expect(page.get_by_text(f"Payment of $29.00 recorded on {number}")).to_be_visible()
    expect(page.get_by_text("Nothing due")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("#content")).to_be_focused()
    row = page.get_by_role("table", name="Payments").locator("tbody tr")
    for words in ("$29.00", "Wire", "R-77", "by Ada Lovelace"):
        expect(row).to_contain_text(words)
    assert received(site, number) == [2900]


def test_invoice_is_paid_in_two_payments(authenticated: Page, site: Site, number: str) -> None:
    page = authenticated
    page.goto(f"/invoices/{number}")
    expect(status(page)).to_contain_text("Unpaid")
    open_payment(page, number)
    page.get_by_label("Amount in USD").fill("10")
    send(page)
    expect(status(page)).to_contain_text("Partially paid")
    expect(status(page)).to_contain_text("$19.00 due by Dec 1, 2026")
    page.get_by_role("button", name="Record payment").click()
    expect(page.get_by_label("Amount in USD")).to_have_value("19.00")
    send(page)
    expect(status(page)).to_contain_text("Paid")
    expect(status(page)).to_contain_text("Nothing due")
    expect(page.get_by_role("button", name="Record payment")).to_have_count(0)
    expect(sheet(page)).to_contain_text("−$10.00")
    assert received(site, number) == [1900, 1000]


def test_invalid_payment_is_explained_next_to_its_field(signed_in: Page, site: Site, number: str) -> None:
    page = signed_in
    open_payment(page, number)
    amount = page.get_by_label("Amount in USD")
    for typed, said in (
        ("2900", "Must be at most the outstanding $29.00."),
        ("0", "Must be greater than zero."),
        ("1.005", "Must have at most 2 decimals."),
    ):
        amount.fill(typed)
        send(page)
        expect(amount).to_have_accessible_description(said)
        expect(amount).to_have_value(typed)
    assert found_by_axe(page) == []
    page.get_by_label("Received on").fill("2099-01-01")
    amount.fill("1")
    send(page)
    expect(page.get_by_label("Received on")).to_have_accessible_description("Must not be after today.")
    assert received(site, number) == []


def test_second_tab_is_told_about_the_changed_balance(
    signed_in: Page, context: BrowserContext, site: Site, number: str
) -> None:
    other = context.new_page()
    for page in (signed_in, other):
        open_payment(page, number)
        page.get_by_label("Amount in USD").fill("12")
    send(signed_in)
    expect(signed_in.get_by_text(f"Payment of $12.00 recorded on {number}")).to_be_visible()
    send(other)
    alert = other.get_by_role("dialog").get_by_role("alert")
    expect(alert).to_contain_text(
        "Someone else recorded or reversed a payment since you opened this. $17.00 is outstanding now."
    )
    expect(other.get_by_role("dialog")).to_contain_text("Now: 17.00")
    expect(other.get_by_label("Amount in USD")).to_have_value("12")
    assert received(site, number) == [1200]
    send(other)
    expect(other.get_by_text(f"Payment of $12.00 recorded on {number}")).to_be_visible()
    assert received(site, number) == [1200, 1200]


def test_repeated_clicks_record_one_payment(signed_in: Page, site: Site, number: str) -> None:
    open_payment(signed_in, number)
    signed_in.get_by_label("Amount in USD").fill("5")
    signed_in.get_by_role("dialog").get_by_role("button", name="Record payment").evaluate(
        "it => { it.click(); it.click(); it.click() }"
    )
    expect(sheet(signed_in)).to_contain_text("$24.00")
    assert received(site, number) == [500]


def test_payment_is_reversed_with_a_reason(signed_in: Page, site: Site, number: str) -> None:
    page = signed_in
    open_payment(page, number)
    send(page)
    expect(status(page)).to_contain_text("Paid")
    page.get_by_role("button", name="Reverse the payment of $29.00").click()
    reason = page.get_by_label("Reason")
    expect(reason).to_be_focused()
    undo = page.get_by_role("button", name="Reverse payment", exact=True)
    undo.click()
    expect(reason).to_have_accessible_description("Must not be empty.")
    reason.fill("It bounced")
    undo.click()
    expect(page.get_by_text(f"Payment of $29.00 on {number} reversed")).to_be_visible()
    expect(status(page)).to_contain_text("Unpaid")
    row = page.get_by_role("table", name="Payments").locator("tbody tr")
    expect(row).to_contain_text("by Ada Lovelace: It bounced")
    expect(page.get_by_role("button", name="Reverse the payment")).to_have_count(0)
    expect(page.get_by_role("button", name="Record payment")).to_be_visible()


def test_finance_user_sees_an_invoice_without_actions(page: Page, sign_in: Callable[..., None]) -> None:
    sign_in(FINANCE, at=f"/login?next=/invoices/{ACME_OCTOBER}")
    expect(page.get_by_role("table", name="Payments")).to_contain_text("$15.00")
    expect(page.get_by_role("link", name="PDF")).to_be_visible()
    for name in ("Record payment", "Reverse"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)


def test_links_lead_to_the_customers_other_invoices(authenticated: Page) -> None:
    page = authenticated
    page.goto("/invoices/ACME-0001")
    page.get_by_role("link", name="Next invoice of this customer, ACME-0002").click()
    expect(sheet(page)).to_contain_text("September 2026")
    page.get_by_role("link", name=f"Next invoice of this customer, {ACME_OCTOBER}").click()
    expect(sheet(page)).to_contain_text("October 2026")
    expect(page.get_by_role("link", name="Next invoice")).to_have_count(0)
    page.get_by_role("link", name="Previous invoice of this customer, ACME-0002").click()
    expect(sheet(page)).to_contain_text("September 2026")
    sheet(page).get_by_role("link", name="Acme Industrial Supply").click()
    page.wait_for_url("**/customers/acme")


def test_daily_usage_can_be_shown_as_a_table(authenticated: Page) -> None:
    page = authenticated
    page.goto(f"/invoices/{ACME_OCTOBER}?line=2")
    figure = page.get_by_role("figure")
    expect(figure.locator(".recharts-bar-rectangle").first).to_be_visible()
    figure.get_by_role("button", name="Show as a table").click()
    expect(figure.get_by_role("row")).to_have_count(1 + 31)
    expect(figure.get_by_role("row", name="Oct 2 60")).to_be_visible()
    expect(figure.get_by_role("row", name="Oct 1 0")).to_be_visible()


def test_pdf_link_and_print_layout(authenticated: Page) -> None:
    page = authenticated
    page.goto(f"/invoices/{ACME_OCTOBER}")
    pdf = page.get_by_role("link", name="PDF")
    assert page.request.get(pdf.get_attribute("href") or "").body().startswith(b"%PDF")
    with page.context.expect_event("request", lambda sent: sent.url.endswith(f"/{ACME_OCTOBER}.pdf")):
        pdf.click()
    page.bring_to_front()
    page.emulate_media(media="print")
    expect(sheet(page)).to_be_visible()
    expect(page.get_by_text("Content SHA-256")).to_be_visible()
    for hidden in (
        page.get_by_role("navigation", name="Main"),
        page.get_by_role("button", name="Print"),
        page.get_by_role("table", name="Payments"),
        page.get_by_role("button", name="Show usage"),
    ):
        expect(hidden).to_have_count(0)


def test_integrity_is_explained(authenticated: Page) -> None:
    authenticated.goto("/invoices/ACME-0001")
    seal = authenticated.get_by_role("region", name="Integrity")
    expect(seal).to_contain_text("Unchanged since it was issued. This is the customer’s first invoice.")
    expect(seal).to_contain_text("including every line and the previous invoice’s hash")
