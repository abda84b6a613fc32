"""The page of meters, and what other pages show once there is more than one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from billing_app.database.embedded import cluster
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.domain.periods import bounds, period_of, previous_period
from billing_app.jobs.figures import refresh_figures
from billing_app.services.adjustments import one_off_items
from billing_app.services.customers import customers
from billing_app.services.plans import meters, plans
from billing_app.services.plans.charges import ChargeTerms
from billing_app.services.usage import recording
from billing_app.services.usage.log import list_usage
from billing_app.services.usage.rows import UsageEventRow
from billing_app.state.kit import text
from tests.conftest import new_database
from tests.e2e.business import ADMIN, BILLING, FINANCE, PASSWORD, TimedActions, create_business
from tests.e2e.conftest import Site, serving
from tests.e2e.test_look import assert_accessible_and_fitting, found_by_axe

NOW = datetime.now(UTC)
THIS, LAST = period_of(NOW), previous_period(period_of(NOW))
METER = re.compile(r"\bmeters?\b", re.IGNORECASE)


@dataclass
class Shop:
    """A running server of a business with four meters, and an admin's page of it."""

    site: Site
    page: Page


def create_metered_business(database: Database) -> None:
    """Add meters, and a customer that pays for seats first and also has usage without a price."""
    actions, begin = TimedActions(database), bounds(LAST)[0] + timedelta(hours=9)
    for code, name, unit, aggregation in (
        ("api_calls", "API calls", "call", "sum"),
        ("seats", "Seats", "seat", "max"),
        ("users", "Monthly users", "user", "unique"),
    ):
        actions.at(begin, meters.create_meter, code=code, name=name, unit=unit, aggregation=aggregation)
    charges = [
        ChargeTerms("per_unit", meter="seats", included_units="5", unit_price="10"),
        ChargeTerms("per_unit", meter="api_calls", included_units="1000", unit_price="0.01"),
    ]
    plan = actions.at(begin, plans.create_plan, name="Team", monthly_price="20", charges=charges)
    actions.at(
        begin, customers.create_customer, name="Metro Lines", email="ap@metro.test", plan_id=plan.plan_id,
        key="metro",
    )  # fmt: skip
    item: dict[str, Any] = {"description": "Goodwill", "quantity": "1", "unit_price": "-70"}
    actions.at(begin, one_off_items.record_item, "metro", **item, item_date=begin.date(), idempotency_key="i")
    actions.invoice(NOW, "metro", LAST)
    for key, quantity, meter, name in (
        ("s1", "4", "seats", None), ("s2", "8", "seats", None), ("s3", "6", "seats", None),
        ("c1", "1200", "api_calls", None), ("u1", None, "users", "ada"), ("u2", None, "users", "bob"),
        ("u3", None, "users", "ada"),
    ):  # fmt: skip
        report = recording.UsageReport("metro", key, quantity, NOW, meter, name)
        actions.at(NOW, recording.record_usage, report)
    database.clock = lambda: datetime.now(UTC)
    refresh_figures(database)


@pytest.fixture(scope="module")
def metered_site(server: cluster.Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with new_database(server) as urls:
        database = Database(urls.application)
        create_business(database)
        create_metered_business(database)
        with serving(urls, tmp_path_factory.mktemp("metered")) as url:
            yield Site(url, urls, database)
        database.close()


@pytest.fixture
def metered(browser: Browser, metered_site: Site) -> Iterator[Shop]:
    context = browser.new_context(base_url=metered_site.url, viewport={"width": 1440, "height": 900})
    context.set_default_timeout(10_000)
    page = context.new_page()
    sign_in(page, ADMIN)
    yield Shop(metered_site, page)
    context.close()


def sign_in(page: Page, email: str) -> None:
    page.request.post("/api/v1/auth/session", data={"email": email, "password": PASSWORD})


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("table").first.locator("tbody tr").filter(has_text=name)


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog")


def fill(page: Page, **values: str) -> None:
    for label, value in values.items():
        dialog(page).get_by_label(label.replace("_", " ")).fill(value)


def choose(page: Page, name: str, action: str) -> None:
    page.get_by_role("button", name=f"Actions for {name}").click()
    page.get_by_role("menuitem", name=action).click()


def newest_event(site: Site) -> UsageEventRow:
    with site.database.transaction(SYSTEM) as session:
        return max(list_usage(session, SYSTEM).items, key=lambda each: each.recorded_at)


@pytest.fixture(scope="module")
def simple_site(server: cluster.Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Serve a business with only the default meter. Tests of other pages add meters to the usual one."""
    with new_database(server) as urls:
        database = Database(urls.application)
        create_business(database)
        with serving(urls, tmp_path_factory.mktemp("simple")) as url:
            yield Site(url, urls, database)
        database.close()


@pytest.mark.parametrize("address", ["/", "/customers", "/customers/acme", "/usage", "/invoices"])
def test_business_with_one_meter_never_meets_the_word(
    browser: Browser, simple_site: Site, address: str
) -> None:
    with browser.new_context(base_url=simple_site.url) as context:
        page = context.new_page()
        sign_in(page, ADMIN)
        page.goto(address)
        expect(page.locator("[data-skeleton], .animate-pulse")).to_have_count(0)
        expect(page.get_by_role("main")).not_to_contain_text(METER)
        if address.startswith(("/usage", "/customers/")):
            page.get_by_role("button", name="Record usage").first.click()
            expect(dialog(page).get_by_label("Quantity")).to_be_visible()
            expect(dialog(page)).not_to_contain_text(METER)


def test_meters_show_what_takes_them_and_this_month(metered: Shop) -> None:
    page = metered.page
    page.goto("/plans")
    page.get_by_role("link", name="Meters", exact=True).click()
    page.wait_for_url("**/plans/meters")
    expect(row(page, "API calls")).to_contain_text("api_calls")
    expect(row(page, "API calls")).to_contain_text("1,200 calls")
    expect(row(page, "Seats")).to_contain_text("Largest quantity8 seats")
    expect(row(page, "Monthly users")).to_contain_text("Different items2 users")
    expect(row(page, "all types that no meter takes")).to_contain_text("Usage")
    assert_accessible_and_fitting(page)


def test_meter_is_created_renamed_and_archived(metered: Shop) -> None:
    page = metered.page
    page.goto("/plans/meters")
    page.get_by_role("button", name="New meter").click()
    fill(page, Name="Stored GB", Unit="GB")
    dialog(page).get_by_label("A month counts").select_option("Largest quantity")
    expect(dialog(page).get_by_label("Code (optional)")).to_have_attribute("placeholder", "stored_gb")
    assert found_by_axe(page) == []
    dialog(page).get_by_role("button", name="Create meter").click()
    expect(page.get_by_text("Meter Stored GB created")).to_be_visible()
    expect(row(page, "Stored GB")).to_contain_text("0 GB")
    page.get_by_role("button", name="New meter").click()
    fill(page, Name="Stored GB", Unit="GB")
    dialog(page).get_by_role("button", name="Create meter").click()
    expect(dialog(page)).to_contain_text("Another meter already has the code stored_gb.")
    fill(page, **{"Code (optional)": "Stored GB"})
    dialog(page).get_by_role("button", name="Create meter").click()
    expect(dialog(page).get_by_label("Code (optional)")).to_have_accessible_description(
        "Must be 1 to 63 lower-case letters, digits and underscores."
    )
    page.goto("/plans/meters")
    choose(page, "Stored GB", "Edit meter")
    # Only the default meter can take other types.
    expect(dialog(page).get_by_label("CloudEvents of other types")).to_have_count(0)
    fill(page, Name="Storage")
    with metered.site.database.transaction(SYSTEM) as session:
        meters.update_meter(session, SYSTEM, "stored_gb", unit="GiB")
    dialog(page).get_by_role("button", name="Save").click()
    expect(dialog(page)).to_contain_text("Now: GiB")
    dialog(page).get_by_role("button", name="Save").click()
    expect(row(page, "Storage")).to_contain_text("0 GB")
    choose(page, "Storage", "Archive meter")
    dialog(page).get_by_role("button", name="Archive meter").click()
    expect(page.get_by_text("Storage archived")).to_be_visible()
    expect(row(page, "Storage")).to_have_count(0)
    page.get_by_role("link", name="Archived", exact=True).click()
    expect(row(page, "Storage")).to_contain_text("Archived")


def test_only_admins_choose_whether_other_types_are_taken(metered: Shop) -> None:
    page = metered.page
    page.goto("/plans/meters")
    choose(page, "Usage", "Edit meter")
    dialog(page).get_by_label("CloudEvents of other types").select_option("Reject")
    dialog(page).get_by_role("button", name="Save").click()
    expect(row(page, "all types that no meter takes")).to_have_count(0)
    sign_in(page, BILLING)
    page.goto("/plans/meters")
    choose(page, "Usage", "Edit meter")
    expect(dialog(page).get_by_label("Unit")).to_be_visible()
    expect(dialog(page).get_by_label("CloudEvents of other types")).to_have_count(0)
    dialog(page).get_by_role("button", name="Save").click()
    expect(page.get_by_text("Usage updated")).to_be_visible()
    sign_in(page, FINANCE)
    page.goto("/plans/meters")
    expect(row(page, "Seats")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Actions for|New meter"))).to_have_count(0)


def test_usage_is_recorded_on_the_chosen_meter(metered: Shop) -> None:
    page = metered.page
    page.goto("/usage?customer=metro")
    page.get_by_role("button", name="Record usage").first.click()
    expect(dialog(page).get_by_label("Meter")).to_have_value("usage")
    dialog(page).get_by_label("Meter").select_option("API calls")
    fill(page, Quantity="12.5")
    expect(dialog(page).get_by_text("= 12.5", exact=True)).to_be_visible()
    assert found_by_axe(page) == []
    dialog(page).get_by_role("button", name="Record usage").click()
    expect(page.get_by_text("12.5 calls recorded for Metro Lines")).to_be_visible()
    page.get_by_role("button", name="Record usage").first.click()
    dialog(page).get_by_label("Meter").select_option("Monthly users")
    expect(dialog(page).get_by_label("Quantity")).to_have_count(0)
    dialog(page).get_by_role("button", name="Record usage").click()
    expect(dialog(page).get_by_label("Item")).to_have_accessible_description(
        "This is required, because the meter counts different items."
    )
    fill(page, Item="eve")
    dialog(page).get_by_role("button", name="Record usage").click()
    expect(page.get_by_text("Monthly users: eve recorded for Metro Lines")).to_be_visible()
    event = newest_event(metered.site)
    assert (event.meter, event.item, event.quantity) == ("users", "eve", 1)


def test_customer_records_on_the_first_meter_of_its_plan(metered: Shop) -> None:
    page = metered.page
    page.goto("/customers/metro")
    page.get_by_role("button", name="Record usage").click()
    expect(dialog(page).get_by_label("Meter")).to_have_value("seats")
    fill(page, Quantity="3")
    dialog(page).get_by_role("button", name="Record usage").click()
    expect(page.get_by_text("3 seats recorded, billed in")).to_be_visible()
    assert newest_event(metered.site).meter == "seats"


def test_customer_shows_the_picked_meter(metered: Shop) -> None:
    page = metered.page
    page.goto("/customers/metro")
    usage = page.get_by_role("region", name="Usage this month")
    expect(usage).to_contain_text("8of 5 included seats (3 overage)")
    expect(usage).to_contain_text(f"Seats in {text.month(THIS)}")
    assert_accessible_and_fitting(page)
    usage.get_by_label("Meter").select_option("api_calls")
    page.wait_for_url("**/customers/metro?meter=api_calls")
    expect(usage).to_contain_text("of 1,000 included calls")
    usage.get_by_label("Meter").select_option("users")
    expect(usage).to_contain_text(re.compile("users, not priced"))
    usage.get_by_role("button", name="Show as a table").click()
    expect(usage.get_by_role("columnheader")).to_have_text(
        ["Day", "Different items", "Different items so far"]
    )


def card(page: Page, label: str) -> Locator:
    link = page.get_by_role("link", name=label, exact=True)
    return page.get_by_role("main").locator("div.group").filter(has=link)


def test_dashboard_shows_the_picked_meter(metered: Shop) -> None:
    page = metered.page
    page.goto("/?meter=seats")
    expect(card(page, "Seats this month")).to_contain_text("8seats")
    expect(page.get_by_label("Meter")).to_have_value("seats")
    page.get_by_label("Meter").select_option("Monthly users")
    page.wait_for_url("**/?meter=users")
    expect(card(page, "Monthly users this month")).to_contain_text("users")
    expect(page.get_by_role("figure").first).to_contain_text("Monthly users per day")
    expect(page.get_by_role("link", name="Monthly users this month")).to_have_attribute(
        "href", f"/usage?period={THIS:%Y-%m}&meter=users"
    )
    assert_accessible_and_fitting(page)


def test_dashboard_counts_unpriced_usage_and_credit(metered: Shop) -> None:
    page = metered.page
    refresh_figures(metered.site.database)
    page.goto("/")
    unpriced = f"Unpriced usage, {text.month(THIS)}"
    expect(card(page, unpriced)).to_contain_text("events")
    expect(page.get_by_role("link", name=unpriced)).to_have_attribute(
        "href", f"/usage?period={THIS:%Y-%m}&unpriced=true"
    )
    expect(card(page, "Credits held")).to_contain_text("$50.001 customer")
    page.get_by_role("link", name="Credits held").click()
    page.wait_for_url("**/customers?credit=true")
    expect(row(page, "Metro Lines")).to_be_visible()
    expect(page.get_by_role("table").locator("tbody tr")).to_have_count(1)
    expect(page.get_by_label("Credit", exact=True)).to_have_value("true")
    page.get_by_label("Credit", exact=True).select_option("Without credit")
    expect(row(page, "Acme Industrial Supply")).to_be_visible()
    expect(row(page, "Metro Lines")).to_have_count(0)


def test_list_shows_the_unit_of_the_first_charge(metered: Shop) -> None:
    page = metered.page
    page.goto("/customers?search=metro")
    expect(row(page, "Metro Lines")).to_contain_text("8 of 5 seats")
    page.goto("/customers?search=acme")
    expect(row(page, "Acme")).to_contain_text("0 of 1,000 units")
    assert_accessible_and_fitting(page)


def test_log_is_filtered_by_meter_and_shows_items(metered: Shop) -> None:
    page = metered.page
    page.goto("/usage?customer=metro")
    table = page.get_by_role("table", name="Usage events")
    expect(table.get_by_role("columnheader", name="Meter")).to_be_visible()
    page.get_by_label("Meter", exact=True).select_option("Monthly users")
    page.wait_for_url("**/usage?customer=metro&meter=users")
    expect(table.locator("tbody tr").filter(has_text="ada").first).to_contain_text("Monthly users")
    expect(table).not_to_contain_text("Seats")
    page.reload()
    expect(page.get_by_label("Meter", exact=True)).to_have_value("users")
    expect(page.get_by_role("link", name="Export CSV")).to_have_attribute("href", re.compile("meter=users"))
    assert_accessible_and_fitting(page)
    page.goto("/usage?meter=missing")
    expect(page.get_by_role("heading", name="No usage matches")).to_be_visible()


def test_each_picked_meter_is_selected_at_its_address(metered: Shop) -> None:
    """The list appears only after the page has loaded, possibly with the choice of the page before."""
    page = metered.page
    for code in ("users", "api_calls", "users"):
        page.goto(f"/customers/metro?meter={code}")
        expect(page.get_by_role("region", name="Usage this month").get_by_label("Meter")).to_have_value(code)
