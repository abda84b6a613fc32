"""Numbers typed in browsers with different locales are saved with the right value."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from billing_app.domain.actor import SYSTEM
from billing_app.domain.periods import period_of, previous_period
from billing_app.jobs.invoicing import generate_invoice
from billing_app.services.customers import customers
from billing_app.services.plans import plans
from billing_app.services.plans.rows import PlanRow
from billing_app.services.usage import log as usage_log
from billing_app.services.usage.filters import UsageFilter
from tests.e2e.business import ADMIN, PASSWORD
from tests.e2e.conftest import Site
from tests.e2e.test_customers_page import growth, make

pytestmark = pytest.mark.usefixtures("today")
OpenIn = Callable[[str], Page]


@pytest.fixture
def open_in(browser: Browser, site: Site) -> Iterator[OpenIn]:
    """Sign in as an admin, in a browser of the given locale."""
    with ExitStack() as stack:
        yield lambda locale: stack.enter_context(_signed_in(browser, site, locale))


@contextmanager
def _signed_in(browser: Browser, site: Site, locale: str) -> Iterator[Page]:
    context = browser.new_context(base_url=site.url, locale=locale)
    context.set_default_timeout(10_000)
    page = context.new_page()
    page.goto("/login?next=/plans")
    page.get_by_label("Email").fill(ADMIN)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="New plan")).to_be_visible()
    yield page
    context.close()


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog")


def type_into(page: Page, label: str, value: str) -> None:
    dialog(page).get_by_label(label, exact=True).fill(value)


def find_plan(site: Site, name: str) -> PlanRow:
    with site.database.transaction(SYSTEM) as session:
        return plans.find_plans(session, SYSTEM, name=name)[0]


@pytest.mark.parametrize(
    ("locale", "price", "included", "overage"),
    [
        ("de-DE", "1.029,5", "1.000", "0,0125"),
        ("en-US", "1,029.5", "1,000", "0.0125"),
        ("fr-FR", "1 029,5", "1 000", "0,0125"),
        ("de-CH", "1'029.5", "1’000", "0.0125"),
        ("en-IN", "1,029.5", "1,000", "0.0125"),
    ],
)
def test_plan_is_saved_as_it_is_written_in_the_locale(
    open_in: OpenIn, site: Site, locale: str, price: str, included: str, overage: str
) -> None:
    page = open_in(locale)
    page.get_by_role("button", name="New plan").click()
    type_into(page, "Name", f"Typed in {locale}")
    type_into(page, "Monthly price", price)
    type_into(page, "Included units", included)
    type_into(page, "Overage price", overage)
    for understood in ("= $1,029.50 a month", "= 1,000 included units a month", "= $0.0125 per unit"):
        expect(dialog(page).get_by_text(understood)).to_be_visible()
    page.get_by_role("button", name="Create plan").click()
    expect(dialog(page)).to_have_count(0)
    plan = find_plan(site, f"Typed in {locale}")
    assert plan.simple_charge is not None
    assert (plan.monthly_price_minor, plan.simple_charge.included_units) == (102950, 1000)
    assert plan.simple_charge.unit_price == Decimal("0.0125")


def test_number_that_means_something_else_here_is_refused_with_an_example(
    open_in: OpenIn, site: Site
) -> None:
    page = open_in("de-DE")
    page.get_by_role("button", name="New plan").click()
    type_into(page, "Name", "Misread")
    type_into(page, "Included units", "1")
    type_into(page, "Overage price", "0,01")
    type_into(page, "Monthly price", "29.00")
    hint = "Must be a number written like 1.234,56."
    expect(dialog(page).get_by_text(hint)).to_be_visible()
    expect(dialog(page).get_by_text("= 1 included unit a month")).to_be_visible()
    page.get_by_role("button", name="Create plan").click()
    price = dialog(page).get_by_label("Monthly price")
    expect(price).to_have_accessible_description(hint)
    expect(price).to_have_value("29.00")
    price.fill("29,50")
    type_into(page, "Currency", "JPY")
    expect(dialog(page).get_by_text("Must be a whole number.")).to_be_visible()
    type_into(page, "Currency", "EUR")
    expect(dialog(page).get_by_text("= €29.50 a month")).to_be_visible()
    page.get_by_role("button", name="Create plan").click()
    expect(dialog(page)).to_have_count(0)
    assert find_plan(site, "Misread").monthly_price_minor == 2950


def test_terms_of_a_new_version_start_in_the_locales_notation(open_in: OpenIn, site: Site) -> None:
    with site.database.transaction(SYSTEM) as session:
        plans.create_plan(
            session, SYSTEM, name="Komma", monthly_price="29.50", included_units="1000.5",
            overage_unit_price="0.0125",
        )  # fmt: skip
    page = open_in("de-DE")
    page.get_by_role("button", name="Actions for Komma").click()
    page.get_by_role("menuitem", name="New version").click()
    for label, value in (
        ("Monthly price", "29,50"),
        ("Included units", "1000,5"),
        ("Overage price", "0,0125"),
    ):
        expect(dialog(page).get_by_label(label)).to_have_value(value)
    type_into(page, "Monthly price", "31,50")
    page.get_by_role("button", name="Create version").click()
    expect(dialog(page)).to_have_count(0)
    newest = find_plan(site, "Komma")
    assert (newest.version, newest.monthly_price_minor) == (2, 3150)
    assert newest.simple_charge is not None
    assert newest.simple_charge.included_units == Decimal("1000.5")


@pytest.mark.parametrize(("page_of", "submit"), [("customer", "Record usage"), ("log", "Record")])
def test_usage_is_recorded_as_it_is_written_in_the_locale(
    open_in: OpenIn, site: Site, page_of: str, submit: str
) -> None:
    key = make(site, f"Zahlen {page_of}")
    page = open_in("de-DE")
    page.goto(f"/customers/{key}" if page_of == "customer" else f"/usage?customer={key}")
    page.get_by_role("button", name="Record usage").first.click()
    quantity = dialog(page).get_by_label("Quantity")
    quantity.fill("1.5")
    dialog(page).get_by_role("button", name=submit).click()
    expect(quantity).to_have_accessible_description("Must be a number written like 1.234,56.")
    quantity.fill("1.234,5")
    expect(dialog(page).get_by_text("= 1,234.5 units")).to_be_visible()
    dialog(page).get_by_role("button", name=submit).click()
    expect(dialog(page)).to_have_count(0)
    with site.database.transaction(SYSTEM) as session:
        events = usage_log.list_usage(session, SYSTEM, UsageFilter(customer=key)).items
    assert [event.quantity for event in events] == [Decimal("1234.5")]


def test_payment_is_recorded_as_it_is_written_in_the_locale(open_in: OpenIn, site: Site) -> None:
    last_month = previous_period(period_of(datetime.now(UTC)))
    with site.database.transaction(SYSTEM) as session:
        created = customers.create_customer(
            session, SYSTEM, name="Zahlen Rechnung", email="zahlen@rechnung.test", plan_id=growth(site),
            start=last_month,
        )  # fmt: skip
    invoice = generate_invoice(site.database, SYSTEM, created.key, last_month)
    page = open_in("de-DE")
    page.goto(f"/invoices/{invoice.number}")
    page.get_by_role("button", name="Record payment").first.click()
    amount = dialog(page).get_by_label("Amount in USD")
    expect(amount).to_have_value("29,00")
    amount.fill("0,63")
    expect(dialog(page).get_by_text("= $0.63")).to_be_visible()
    dialog(page).get_by_role("button", name="Record payment").click()
    expect(dialog(page)).to_have_count(0)
    expect(page.get_by_role("table", name="Payments")).to_contain_text("$0.63")
