"""The usage log page, and recording one event in its dialog."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from billing_app.domain.actor import SYSTEM
from billing_app.services.customers import customers
from billing_app.services.plans import plans
from billing_app.services.usage import log as usage_log
from billing_app.services.usage.filters import UsageFilter
from tests.e2e.business import ACME_OCTOBER, FINANCE, OCTOBER_EVENTS
from tests.e2e.conftest import Site
from tests.e2e.test_look import found_by_axe


def make_customer(site: Site, key: str, name: str) -> None:
    """Create a customer that has a plan from October 2026 on."""
    with site.database.transaction(SYSTEM) as session:
        plan = next(each for each in plans.list_plans(session, SYSTEM).items if each.name == "Growth")
        customers.create_customer(
            session, SYSTEM, name=name, email=f"{key}@usage.test", key=key, plan_id=plan.plan_id,
            start=date(2026, 10, 1),
        )  # fmt: skip


def quantities(site: Site, key: str) -> list[str]:
    with site.database.transaction(SYSTEM) as session:
        found = usage_log.list_usage(session, SYSTEM, UsageFilter(customer=key))
        return [format(event.quantity.normalize(), "f") for event in found.items]


def rows(page: Page) -> Locator:
    return page.get_by_role("table", name="Usage events").locator("tbody tr")


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog")


def fill(page: Page, **values: str) -> None:
    for label, value in values.items():
        dialog(page).get_by_label(label.replace("_", " ")).fill(value)


def test_event_shows_the_period_and_invoice_that_bill_it(signed_in: Page) -> None:
    page = signed_in
    page.get_by_role("link", name="Usage", exact=True).click()
    page.get_by_role("searchbox", name="Customer", exact=True).fill("acme")
    late_only = page.get_by_role("link", name="Late only")
    expect(late_only).to_have_attribute("href", "/usage?customer=acme&late=true")
    late_only.click()
    page.wait_for_url("**/usage?customer=acme&late=true")
    late = rows(page).filter(has_text="sep-late")
    for words in (
        "Sep 11, 2026, 10:00:00",
        "Acme Industrial Supply",
        "300",
        "October 2026",
        "Late",
        "sep-late",
    ):
        expect(late).to_contain_text(words)
    expect(late.get_by_text("Sep 11, 2026, 10:00:00")).to_have_attribute("title", "2026-09-11 08:00:00 UTC")
    expect(late.get_by_title("September 2026 was already closed when this was recorded")).to_be_visible()
    late.get_by_role("link", name=ACME_OCTOBER).click()
    page.wait_for_url(f"**/invoices/{ACME_OCTOBER}")


def test_filters_are_in_the_address_and_going_back_works(authenticated: Page) -> None:
    page = authenticated
    page.goto("/usage?customer=acme")
    page.get_by_label("Usage month").select_option("October 2026")
    page.wait_for_url("**/usage?customer=acme&period=2026-10")
    page.get_by_label("Billed in").select_option("October 2026")
    expect(page.get_by_text(f"{OCTOBER_EVENTS} events")).to_be_visible()
    expect(rows(page)).to_have_count(50)
    page.get_by_role("link", name="Next").click()
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text("oct-000")
    page.go_back()
    expect(rows(page)).to_have_count(50)
    page.get_by_label("Usage month").select_option("September 2026")
    expect(rows(page)).to_have_count(1)
    page.reload()
    expect(rows(page)).to_contain_text("sep-late")
    expect(page.get_by_label("Billed in")).to_have_value("2026-10")


def test_customer_is_found_by_part_of_its_name(authenticated: Page) -> None:
    page = authenticated
    page.goto("/usage")
    search = page.get_by_role("searchbox", name="Customer", exact=True)
    search.fill("industrial")
    page.wait_for_url("**/usage?customer=industrial")
    expect(rows(page).first).to_contain_text("Acme Industrial Supply")
    search.fill("branch")
    expect(page.get_by_role("heading", name="Which customer?")).to_be_visible()
    page.get_by_role("link", name="Branch 03 (branch-03)").click()
    page.wait_for_url("**/usage?customer=branch-03")
    expect(page.get_by_role("heading", name="No usage matches")).to_be_visible()
    page.get_by_role("searchbox", name="Customer", exact=True).fill("no such customer")
    expect(page.get_by_role("heading", name="No customer matches")).to_be_visible()


def test_invalid_month_in_the_address_shows_an_error(authenticated: Page) -> None:
    authenticated.goto("/usage?period=October")
    expect(authenticated.get_by_role("heading", name="This page could not be loaded")).to_be_visible()


def test_export_uses_the_filters(authenticated: Page, tmp_path: Path) -> None:
    page = authenticated
    page.goto("/usage?customer=industrial&late=true")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export CSV").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert file.name == "usage-acme-late.csv"
    with file.open(newline="") as lines:
        assert "sep-late" in [row["idempotency_key"] for row in csv.DictReader(lines)]


def test_event_is_recorded_once(authenticated: Page, site: Site) -> None:
    make_customer(site, "meterworks", "Meterworks Ltd")
    page = authenticated
    page.goto("/usage?customer=meterworks")
    expect(page.get_by_role("heading", name="No usage matches")).to_be_visible()
    record = page.get_by_role("button", name="Record usage")
    record.click()
    expect(dialog(page).get_by_label("Customer")).to_have_value("meterworks")
    key = dialog(page).get_by_label("Idempotency key").input_value()
    assert key.startswith("page-")
    assert found_by_axe(page) == []
    time = "2026-10-31T23:30:15"
    fill(page, Quantity="12.5", Time=time)
    dialog(page).get_by_role("button", name="Record usage").click()
    expect(page.get_by_text("12.5 units recorded for Meterworks Ltd, billed in October 2026")).to_be_visible()
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text("Oct 31, 2026, 23:30:15")
    expect(page.get_by_title("2026-10-31 22:30:15 UTC")).to_have_count(1)

    record.click()
    expect(dialog(page).get_by_label("Idempotency key")).not_to_have_value(key)
    fill(page, Customer="meterworks LTD", Quantity="12.50", Time=time, Idempotency_key=key)
    dialog(page).get_by_role("button", name="Record usage").click()
    expect(
        page.get_by_text("Already recorded: 12.5 units for Meterworks Ltd, billed in October 2026")
    ).to_be_visible()

    record.click()
    fill(page, Quantity="13", Time=time, Idempotency_key=key)
    dialog(page).get_by_role("button", name="Record usage").click()
    field = dialog(page).get_by_label("Idempotency key")
    expect(field).to_have_accessible_description(
        "This was already used for Meterworks Ltd with a different quantity or time. That event is unchanged."
    )
    expect(dialog(page).get_by_label("Quantity")).to_have_value("13")
    assert quantities(site, "meterworks") == ["12.5"]


def test_event_without_a_time_occurs_now_and_a_double_click_records_it_once(
    authenticated: Page, site: Site
) -> None:
    make_customer(site, "nowworks", "Nowworks")
    page = authenticated
    page.goto("/usage")
    page.get_by_role("button", name="Record usage").click()
    dialog(page).get_by_label("Customer").press_sequentially("Nowwo")
    expect(page.locator("datalist option")).to_have_attribute("value", "nowworks")
    fill(page, Customer="nowworks", Quantity="3")
    dialog(page).get_by_role("button", name="Record usage").evaluate("it => { it.click(); it.click() }")
    expect(page.get_by_text("3 units recorded for Nowworks")).to_be_visible()
    assert quantities(site, "nowworks") == ["3"]


@pytest.mark.parametrize(
    ("label", "value", "message"),
    [
        ("Customer", "no such customer", "This is not the name or key of a customer."),
        ("Quantity", "-1", "Must be zero or more."),
        ("Quantity", "\N{FULLWIDTH DIGIT THREE}", "Must be a number written like 1,234.56."),
        ("Time (optional)", "2026-07-01T00:00", "Must be on a day on which the customer has a plan."),
        ("Idempotency key", "", "Must be 1 to 255 characters."),
        ("Idempotency key", "a\tb", "Must not contain control characters such as tabs or line breaks."),
    ],
)
def test_invalid_field_shows_its_error(authenticated: Page, label: str, value: str, message: str) -> None:
    page = authenticated
    page.goto("/usage?customer=quiet")
    page.get_by_role("button", name="Record usage").first.click()
    fill(page, Quantity="1")
    field = dialog(page).get_by_label(label, exact=True)
    field.fill(value)
    dialog(page).get_by_role("button", name="Record usage").click()
    expect(field).to_have_accessible_description(message)
    expect(field).to_have_value(re.compile(f"^{re.escape(value)}"))


def test_finance_user_sees_usage_without_actions(page: Page, sign_in: Callable[..., None]) -> None:
    sign_in(FINANCE, at="/login?next=/usage?customer=acme")
    expect(rows(page).first).to_contain_text("Acme Industrial Supply")
    expect(page.get_by_text("Read-only")).to_be_visible()
    expect(page.get_by_role("link", name="Export CSV")).to_be_visible()
    expect(page.get_by_role("button", name="Record usage")).to_have_count(0)
    expect(page.get_by_role("link", name="Import CSV")).to_have_count(0)
    page.get_by_role("link", name="Imports", exact=True).click()
    page.wait_for_url("**/usage/imports")
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    expect(page.locator("input[type=file]")).to_have_count(0)
