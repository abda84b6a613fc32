"""Invoice pages at every width, with the longest numbers, names and sums."""

from __future__ import annotations

import re
from datetime import date, datetime
from zoneinfo import ZoneInfo

import psycopg
import pytest
from playwright.sync_api import Browser, Page, expect

from billing_app.domain.actor import SYSTEM
from billing_app.services.invoices import issuer
from tests.e2e.business import ADMIN, PASSWORD
from tests.e2e.conftest import Site
from tests.factories import make_customer, make_invoice, make_plan, record

WIDTHS = (320, 360, 390, 640, 768, 820, 875, 1024, 1280, 1440)
LONG_KEY = "a" * 44
APRIL = date(2026, 4, 1)

# Amounts that overflow the invoice or are cut off.
_CUT_AMOUNTS = """() => [...document.querySelectorAll("main dd, main article td")]
  .filter((cell) => cell.offsetParent && /[0-9]/.test(cell.textContent))
  .filter((cell) => {
    const frame = (cell.closest("article") || cell.closest("main")).getBoundingClientRect()
    const text = document.createRange()
    text.selectNodeContents(cell)
    return text.getBoundingClientRect().right > frame.right + 0.5
  })
  .map((cell) => cell.textContent)"""


def sideways(page: Page) -> int:
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


@pytest.fixture
def long_number(site: Site, today: None) -> str:
    """An invoice with a number of 44 letters and a total of over 20 digits."""
    plan = make_plan(
        site.database,
        currency="JPY",
        monthly_price="999999999999999999",
        included_units="0",
        overage_unit_price="99999999",
    )
    customer = make_customer(
        site.database,
        plan,
        key=LONG_KEY,
        name="Donaudampfschifffahrtsgesellschaftskapitaenswitwenverein",
        email="accounts.payable.department.of.europe@subsidiary-of-acme.example",
        start=APRIL,
    )
    record(site.database, customer, "99999999999999", "2026-04-05T00:00:00Z")
    return make_invoice(site.database, customer, APRIL).number


def test_invoice_pages_fit_every_width(signed_in: Page, long_number: str) -> None:
    page = signed_in
    for address, landmark in (
        (f"/invoices/{long_number}", page.get_by_text("How to pay")),
        (f"/invoices?customer={LONG_KEY}", page.get_by_role("table", name="Invoices")),
        ("/invoices", page.get_by_role("table", name="Invoices")),
        ("/settings", page.get_by_label("Payment instructions")),
    ):
        page.goto(address)
        expect(landmark).to_be_visible()
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            assert (address, width, sideways(page)) == (address, width, 0)
            assert (address, width, page.evaluate(_CUT_AMOUNTS)) == (address, width, [])


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_payment_form_proposes_the_viewers_date(browser: Browser, site: Site, today: None, zone: str) -> None:
    """The two zones are 25 hours apart, so one of their dates always differs from the UTC date."""
    number = make_invoice(site.database, make_customer(site.database, start=APRIL), APRIL).number
    context = browser.new_context(base_url=site.url, timezone_id=zone)
    page = context.new_page()
    page.goto(f"/login?next=/invoices/{number}")
    page.get_by_label("Email").fill(ADMIN)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    before = datetime.now(ZoneInfo(zone)).date()
    page.get_by_role("button", name="Record payment").click()
    expect(page.get_by_label("Received on")).to_have_value(re.compile("^[0-9]{4}-"))
    proposed = page.get_by_label("Received on").input_value()
    assert date.fromisoformat(proposed) in (before, datetime.now(ZoneInfo(zone)).date())
    page.get_by_role("dialog").get_by_role("button", name="Record payment").click()
    expect(page.get_by_text(f"Payment of $29.00 recorded on {number}")).to_be_visible()
    context.close()


def test_company_details_are_required_before_the_first_invoice(authenticated: Page, site: Site) -> None:
    make_customer(site.database, key="firstborn", start=date(2026, 10, 1))
    with site.database.transaction(SYSTEM) as session:
        saved = issuer.get_issuer(session, SYSTEM)
    page = authenticated
    clear_issuer(site)
    try:
        page.goto("/invoices")
        expect(page.get_by_text("Add them before you generate the first invoice.")).to_be_visible()
        page.get_by_role("button", name="Generate invoice").first.click()
        page.get_by_label("Customer", exact=True).fill("firstborn")
        page.get_by_role("dialog").get_by_label("Month", exact=True).select_option("2026-10")
        page.get_by_role("dialog").get_by_role("button", name="Generate invoice").click()
        expect(page.get_by_role("alert")).to_contain_text("Invoices need your company's name and address.")
        page.get_by_role("link", name="Open company details").click()
        page.wait_for_url("**/settings")
        expect(page.get_by_text("Add your company’s name and address")).to_be_visible()
        page.get_by_label("Name").fill(saved.name)
        page.get_by_label("Email").fill(saved.email)
        page.get_by_role("button", name="Save company details").click()
        expect(page.get_by_label("Address")).to_have_accessible_description("Must not be empty.")
        page.get_by_label("Address").fill(saved.address)
        page.get_by_role("button", name="Save company details").click()
        expect(page.get_by_text("Company details saved")).to_be_visible()
        page.goto("/invoices")
        expect(page.get_by_role("table", name="Invoices")).to_be_visible()
        expect(page.get_by_text("Add them before you generate")).to_have_count(0)
    finally:
        with site.database.transaction(SYSTEM) as session:
            issuer.update_issuer(
                session, SYSTEM,
                name=saved.name, address=saved.address, email=saved.email,
                payment_instructions=saved.payment_instructions,
            )  # fmt: skip


def clear_issuer(site: Site) -> None:
    """Clear the issuer, as in a new installation."""
    url = site.urls.owner.replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("UPDATE issuer SET name = '', address = '', email = '', payment_instructions = ''")
