"""The list of customers: search, filters, orders and new customers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from billing_app.database.embedded import cluster
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Role
from billing_app.jobs.figures import refresh_figures
from billing_app.services.customers import customers
from billing_app.services.identity import users
from billing_app.services.plans import plans
from billing_app.services.usage import recording
from tests.conftest import new_database
from tests.e2e.business import ADMIN, BILLING, FINANCE, PASSWORD
from tests.e2e.conftest import Site, serving
from tests.e2e.test_look import found_by_axe

pytestmark = pytest.mark.usefixtures("today")


def rows(page: Page) -> Locator:
    return page.get_by_role("table", name="Customers").locator("tbody tr")


def names(page: Page) -> Locator:
    return rows(page).locator("td:first-child a")


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog")


def options(field: Locator) -> Locator:
    """Return the suggestions of a field."""
    return field.locator("xpath=following-sibling::datalist[1]/option")


def growth(site: Site) -> int:
    with site.database.transaction(SYSTEM) as session:
        return next(each.plan_id for each in plans.list_plans(session, SYSTEM).items if each.name == "Growth")


def make(site: Site, name: str, used: str = "") -> str:
    """Create a customer before the page is opened, and return its key."""
    with site.database.transaction(SYSTEM) as session:
        made = customers.create_customer(
            session, SYSTEM, name=name, email=f"{name.replace(' ', '.')}@made.test", plan_id=growth(site)
        )
        if used:
            recording.record_usage(session, SYSTEM, recording.UsageReport(made.key, "first", used))
    return made.key


def test_customer_is_created_by_keyboard_alone(signed_in: Page, site: Site) -> None:
    page = signed_in
    page.get_by_role("button", name="New customer").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    page.keyboard.type("Zephyr & Söhne")
    expect(page.get_by_label("Key (optional)")).to_have_accessible_description(
        re.compile("Leave empty to use zephyr-sohne")
    )
    assert found_by_axe(page) == []
    page.keyboard.press("Tab")
    page.keyboard.type("zephyr@sohne.test")
    page.keyboard.press("Tab")
    page.keyboard.type("Growth")
    for field in ("Starts", "Key (optional)", "Billing address (optional)"):
        page.keyboard.press("Tab")
        expect(dialog(page).get_by_label(field)).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Create customer")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/customers/zephyr-sohne")
    expect(page.get_by_text("Customer Zephyr & Söhne created")).to_be_visible()
    expect(page.get_by_role("heading", name="Zephyr & Söhne")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("Growth, version 1")
    with site.database.transaction(SYSTEM) as session:
        made = customers.get_customer(session, SYSTEM, "zephyr-sohne")
    assert (made.email, made.plan_name) == ("zephyr@sohne.test", "Growth")


def test_errors_of_a_new_customer_are_shown_at_their_fields(signed_in: Page, site: Site) -> None:
    make(site, "Zack One")
    with site.database.transaction(SYSTEM) as session:
        # With several plans, none is preselected.
        plans.create_plan(
            session, SYSTEM, name="Zack Plan", monthly_price="1", included_units="0", overage_unit_price="1"
        )
    page = signed_in
    page.get_by_role("button", name="New customer").click()
    dialog(page).get_by_label("Name", exact=True).fill("Zack Two")
    dialog(page).get_by_label("Email").fill("zack.one@MADE.test")
    save = page.get_by_role("button", name="Create customer")
    save.click()
    plan = dialog(page).get_by_label("Plan", exact=True)
    expect(plan).to_have_accessible_description("This is required.")
    plan.fill("Zack Plan, version 2")
    save.click()
    expect(plan).to_have_accessible_description("This is not the name of a plan.")
    plan.press_sequentially("", delay=0)
    plan.fill("grow")
    expect(options(plan)).to_have_count(1)
    expect(options(plan)).to_have_attribute("value", "Growth, version 1")
    expect(options(plan)).to_have_text("Growth, version 1: $29.00 a month")
    plan.fill("Growth, version 1")
    save.click()
    expect(dialog(page).get_by_role("alert")).to_contain_text(
        "The email zack.one@MADE.test is already in use"
    )
    expect(dialog(page).get_by_label("Name", exact=True)).to_have_value("Zack Two")
    dialog(page).get_by_label("Email").fill("zack.two@made.test")
    dialog(page).get_by_label("Key (optional)").fill("cus_9")
    save.click()
    key = dialog(page).get_by_label("Key (optional)")
    expect(key).to_have_accessible_description("Must not start with cus_, because customer IDs do.")
    key.fill("Zack.2")
    save.click()
    page.wait_for_url("**/customers/Zack.2")


def test_order_is_kept_in_the_address(authenticated: Page, site: Site) -> None:
    make(site, "Zulu Small", "10")
    make(site, "Zulu Large", "2500.5")
    make(site, "Zulu None")
    refresh_figures(site.database)
    page = authenticated
    page.goto("/customers?search=zulu")
    expect(rows(page)).to_have_count(3)
    expect(names(page)).to_have_text(["Zulu Large", "Zulu None", "Zulu Small"])
    expect(page.get_by_text("3 customers", exact=True)).to_be_visible()
    page.get_by_role("link", name="Usage this month").click()
    expect(page).to_have_url(re.compile(r"sort=-usage"))
    expect(rows(page).first).to_contain_text("2,500.5 of 1,000")
    expect(names(page)).to_have_text(["Zulu Large", "Zulu Small", "Zulu None"])
    expect(page.get_by_role("columnheader", name="Usage this month")).to_have_attribute(
        "aria-sort", "descending"
    )
    page.get_by_role("link", name="Usage this month").click()
    expect(rows(page).first).to_contain_text("Zulu None")
    page.go_back()
    expect(rows(page).first).to_contain_text("Zulu Large")
    expect(page.get_by_text(re.compile("^Usage as of "))).to_have_attribute("title", re.compile("UTC$"))


def test_filters_are_kept_in_the_address(authenticated: Page, site: Site) -> None:
    key = make(site, "Yonder Held")
    make(site, "Yonder Free")
    with site.database.transaction(SYSTEM) as session:
        customers.update_customer(session, SYSTEM, key, status="suspended")
    page = authenticated
    page.goto("/customers?search=yonder")
    expect(rows(page)).to_have_count(2)
    page.get_by_label("Status", exact=True).select_option("suspended")
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text("Suspended")
    page.reload()
    expect(page.get_by_label("Status", exact=True)).to_have_value("suspended")
    expect(rows(page)).to_have_count(1)
    page.go_back()
    expect(rows(page)).to_have_count(2)


def test_customers_are_filtered_by_any_of_many_plans(signed_in: Page, site: Site) -> None:
    with site.database.transaction(SYSTEM) as session:
        terms = {"monthly_price": "5", "included_units": "0", "overage_unit_price": "1"}
        for number in range(60):
            plans.create_plan(session, SYSTEM, name=f"Vast {number:02}", **terms)  # type: ignore[arg-type]
        last = plans.create_plan(session, SYSTEM, name="Vast 59", **{**terms, "included_units": "1"})  # type: ignore[arg-type]
        customers.create_customer(
            session, SYSTEM, name="Vanessa", email="vanessa@made.test", plan_id=last.plan_id
        )
    page = signed_in
    field = page.get_by_role("search").get_by_label("Plan", exact=True)
    field.fill("vast 5")
    expect(page.get_by_role("heading", name="Which plan?")).to_be_visible()
    expect(options(field)).to_have_count(11)
    page.get_by_role("main").get_by_role("link", name="Vast 59, version 2: $5.00 a month").click()
    expect(names(page)).to_have_text(["Vanessa"])
    expect(field).to_have_value("Vast 59, version 2")
    assert found_by_axe(page) == []
    for wanted in ("vast 59", f"plan_{last.plan_id}"):
        field.fill(wanted)
        expect(page).to_have_url(re.compile(f"plan={wanted.replace(' ', '[+]')}$"))
        expect(names(page)).to_have_text(["Vanessa"])
    field.fill("Vast 59, version 1")
    expect(page.get_by_text("No customer matches")).to_be_visible()
    page.get_by_role("link", name="Show all customers").click()
    expect(field).to_have_value("")
    page.get_by_label("Subscription").select_option("false")
    expect(page).to_have_url(re.compile("subscribed=false$"))


def test_finance_user_sees_no_new_customer_button(page: Page, sign_in: Callable[..., None]) -> None:
    sign_in(FINANCE, at="/login?next=/customers")
    expect(page.get_by_role("link", name="Acme Industrial Supply")).to_be_visible()
    expect(page.get_by_role("button", name="New customer")).to_have_count(0)


def test_billing_user_sees_the_new_customer_button(page: Page, sign_in: Callable[..., None]) -> None:
    sign_in(BILLING, at="/login?next=/customers")
    expect(page.get_by_role("button", name="New customer")).to_be_visible()


@pytest.fixture
def empty_site(server: cluster.Server, tmp_path: Path) -> Iterator[Site]:
    """Serve an installation that has only an admin."""
    with new_database(server) as urls:
        database = Database(urls.application)
        with database.transaction(SYSTEM) as session:
            users.create_user(
                session, SYSTEM, email=ADMIN, name="Ada Lovelace", role=Role.ADMIN, password=PASSWORD
            )
        with serving(urls, tmp_path) as url:
            yield Site(url, urls, database)
        database.close()


def test_new_installation_leads_to_a_plan_and_then_to_a_customer(empty_site: Site, browser: Browser) -> None:
    context = browser.new_context(base_url=empty_site.url)
    page = context.new_page()
    page.goto("/login?next=/customers")
    page.get_by_label("Email").fill(ADMIN)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Create a plan first")).to_be_visible()
    expect(page.get_by_role("button", name="New customer")).to_have_count(0)
    page.get_by_role("link", name="Go to plans").click()
    page.wait_for_url("**/plans")
    with empty_site.database.transaction(SYSTEM) as session:
        plans.create_plan(
            session, SYSTEM, name="Growth", monthly_price="29", included_units="10", overage_unit_price="1"
        )
    page.go_back()
    expect(page.get_by_role("heading", name="No customers yet")).to_be_visible()
    page.get_by_role("main").get_by_role("button", name="New customer").last.click()
    expect(dialog(page).get_by_label("Plan", exact=True)).to_have_value("Growth, version 1")
    context.close()
