"""The log of usage as people read it, and one event recorded by hand."""

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
    """Somebody whose usage of October 2026 and later can be recorded."""
    with site.database.transaction(SYSTEM) as session:
        plan = next(each for each in plans.list_plans(session, SYSTEM).items if each.name == "Growth")
        customers.create_customer(
            session, SYSTEM, name=name, email=f"{key}@usage.test", key=key, plan_id=plan.plan_id,
            start_period=date(2026, 10, 1),
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


def test_each_event_tells_where_it_is_billed(signed_in: Page) -> None:
    page = signed_in
    page.get_by_role("link", name="Usage", exact=True).click()
    page.get_by_label("Whose usage").fill("acme")
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
    expect(late.get_by_title("September 2026 was closed when it was reported")).to_be_visible()
    late.get_by_role("link", name=ACME_OCTOBER).click()
    page.wait_for_url(f"**/invoices/{ACME_OCTOBER}")


def test_what_is_shown_is_in_the_address_and_back_works(signed_in: Page) -> None:
    page = signed_in
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


def test_a_customer_is_found_by_a_part_of_its_name(signed_in: Page) -> None:
    page = signed_in
    page.goto("/usage")
    wanted = page.get_by_label("Whose usage")
    wanted.fill("industrial")
    page.wait_for_url("**/usage?customer=industrial")
    expect(rows(page).first).to_contain_text("Acme Industrial Supply")
    wanted.fill("branch")
    expect(page.get_by_role("heading", name="Which customer?")).to_be_visible()
    page.get_by_role("link", name="Branch 03 (branch-03)").click()
    page.wait_for_url("**/usage?customer=branch-03")
    expect(page.get_by_role("heading", name="No usage matches")).to_be_visible()
    page.get_by_label("Whose usage").fill("nobody at all")
    expect(page.get_by_role("heading", name="No customer matches")).to_be_visible()


def test_a_month_that_is_none_is_refused_and_says_so(signed_in: Page) -> None:
    signed_in.goto("/usage?period=October")
    expect(signed_in.get_by_role("heading", name="This could not be loaded")).to_be_visible()


def test_what_is_shown_is_exported(signed_in: Page, tmp_path: Path) -> None:
    page = signed_in
    page.goto("/usage?customer=industrial&late=true")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export CSV").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert file.name == "usage-acme-late.csv"
    with file.open(newline="") as lines:
        assert "sep-late" in [row["idempotency_key"] for row in csv.DictReader(lines)]


def test_one_event_is_recorded_and_never_twice(signed_in: Page, site: Site) -> None:
    make_customer(site, "meterworks", "Meterworks Ltd")
    page = signed_in
    page.goto("/usage?customer=meterworks")
    expect(page.get_by_role("heading", name="No usage matches")).to_be_visible()
    record = page.get_by_role("button", name="Record usage")
    record.click()
    expect(dialog(page).get_by_label("Customer")).to_have_value("meterworks")
    key = dialog(page).get_by_label("Idempotency key").input_value()
    assert key.startswith("page-")
    assert found_by_axe(page) == []
    moment = "2026-10-31T23:30:15"
    fill(page, Quantity="12.5", Used_at=moment)
    dialog(page).get_by_role("button", name="Record").click()
    expect(
        page.get_by_text("12.5 for Meterworks Ltd is recorded, to be billed in October 2026")
    ).to_be_visible()
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text("Oct 31, 2026, 23:30:15")
    expect(page.get_by_title("2026-10-31 22:30:15 UTC")).to_have_count(1)

    record.click()
    expect(dialog(page).get_by_label("Idempotency key")).not_to_have_value(key)
    fill(page, Customer="meterworks LTD", Quantity="12.50", Used_at=moment, Idempotency_key=key)
    dialog(page).get_by_role("button", name="Record").click()
    expect(page.get_by_text("was recorded before under this key: nothing is recorded twice")).to_be_visible()

    record.click()
    fill(page, Quantity="13", Used_at=moment, Idempotency_key=key)
    dialog(page).get_by_role("button", name="Record").click()
    field = dialog(page).get_by_label("Idempotency key")
    expect(field).to_have_accessible_description(
        "Was used before for Meterworks Ltd, with another quantity or moment; that one stands."
    )
    expect(dialog(page).get_by_label("Quantity")).to_have_value("13")
    assert quantities(site, "meterworks") == ["12.5"]


def test_without_a_moment_it_is_now_and_one_sending_counts_once(signed_in: Page, site: Site) -> None:
    make_customer(site, "nowworks", "Nowworks")
    page = signed_in
    page.goto("/usage")
    page.get_by_role("button", name="Record usage").click()
    dialog(page).get_by_label("Customer").press_sequentially("Nowwo")
    expect(page.locator("datalist option")).to_have_attribute("value", "nowworks")
    fill(page, Customer="nowworks", Quantity="3")
    dialog(page).get_by_role("button", name="Record").evaluate("it => { it.click(); it.click() }")
    expect(page.get_by_text("3 for Nowworks is recorded")).to_be_visible()
    assert quantities(site, "nowworks") == ["3"]


@pytest.mark.parametrize(
    ("label", "value", "said"),
    [
        ("Customer", "nobody of this name", "No customer has this key or name."),
        ("Quantity", "-1", "Must be zero or more."),
        ("Used at (optional)", "2026-07-01T00:00", "Must be in a month in which the customer has a plan."),
        ("Idempotency key", "", "Must be text of 1 to 255 characters."),
    ],
)
def test_what_is_wrong_with_an_event_is_said_in_place(
    signed_in: Page, label: str, value: str, said: str
) -> None:
    page = signed_in
    page.goto("/usage?customer=quiet")
    page.get_by_role("button", name="Record usage").first.click()
    fill(page, Quantity="1")
    field = dialog(page).get_by_label(label, exact=True)
    field.fill(value)
    dialog(page).get_by_role("button", name="Record").click()
    expect(field).to_have_accessible_description(said)
    expect(field).to_have_value(re.compile(f"^{re.escape(value)}"))


def test_finance_reads_usage_and_is_offered_no_change(page: Page, sign_in: Callable[..., None]) -> None:
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
