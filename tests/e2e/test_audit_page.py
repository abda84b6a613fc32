"""The page of the audit log: who did what, when, and to what."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, expect

from billing_app.database.session import Database
from billing_app.domain.actor import Actor, Role
from billing_app.services.customers import customers
from billing_app.services.identity import users
from billing_app.services.plans import plans
from billing_app.services.shared import audit
from tests.e2e.business import ACME_OCTOBER, ADMIN, FINANCE, OPERATOR
from tests.e2e.conftest import Site
from tests.e2e.test_look import found_by_axe

AT = datetime(2026, 11, 3, 22, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def ada(site: Site) -> Actor:
    """Ada, who created a customer and renamed it."""
    database = Database(site.urls.application, clock=lambda: AT)
    with database.transaction(OPERATOR) as session:
        found = next(each for each in users.list_users(session, OPERATOR).items if each.email == ADMIN)
        plan_id = next(
            each for each in plans.list_plans(session, OPERATOR).items if each.name == "Growth"
        ).plan_id
    ada = Actor("user", found.public_id, found.name, Role.ADMIN)
    with database.transaction(ada) as session:
        customers.create_customer(
            session, ada, name="Noted & Co", email="noted@noted.test", plan_id=plan_id, key="noted"
        )
    with database.transaction(ada) as session:
        customers.update_customer(session, ada, "noted", name="Noted and Company")
    database.close()
    return ada


def test_customer_history_is_found_by_key(signed_in: Page, ada: Actor) -> None:
    page = signed_in
    page.get_by_role("link", name="Audit log").click()
    page.get_by_role("searchbox", name="Subject").fill("noted")
    expect(page).to_have_url(re.compile(r"\?subject=noted$"))
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(2)
    changed, created = rows.all()
    expect(changed).to_contain_text("Customer changed")
    expect(changed).to_contain_text("Name Noted and Company")
    for words in ("Customer created", "Ada Lovelace", "Name Noted & Co", "Plan Growth, version 1",
                  "Starts on Nov 1, 2026"):  # fmt: skip
        expect(created).to_contain_text(words)
    moment = created.locator("time").last
    expect(moment).to_have_text("Nov 3, 2026, 23:30:00")
    expect(moment).to_have_attribute("title", "2026-11-03 22:30:00 UTC")
    created.get_by_role("link", name="Noted and Company", exact=True).last.click()
    page.wait_for_url("**/customers/noted")


def test_entries_of_an_actor_are_selected_in_the_address(authenticated: Page, ada: Actor) -> None:
    page = authenticated
    page.goto("/audit?subject=noted")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_label("Actor").select_option("Ada Lovelace")
    expect(page).to_have_url(re.compile(rf"actor={ada.id}"))
    expect(page.locator("tbody tr")).to_have_count(2)
    page.reload()
    expect(page.get_by_label("Actor")).to_have_value(ada.id)
    page.go_back()
    expect(page.get_by_label("Actor")).to_have_value("")


def test_entry_links_to_similar_entries(authenticated: Page, ada: Actor) -> None:
    page = authenticated
    page.goto(f"/audit?subject={ACME_OCTOBER.lower()}")
    made = page.locator("tbody tr").filter(has_text="Invoice created")
    expect(made).to_contain_text("Period October 2026")
    expect(made).to_contain_text("on the command line")
    expect(made.get_by_role("link", name=ACME_OCTOBER, exact=True).last).to_have_attribute(
        "href", f"/invoices/{ACME_OCTOBER}"
    )
    expect(page.locator("tbody tr").filter(has_text="Payment recorded")).to_contain_text("Amount $15.00")
    made.get_by_role("link", name="tests").last.click()
    expect(page).to_have_url(re.compile("actor=cli%3Atests"))
    expect(page.get_by_label("Actor")).to_have_value("cli:tests")
    page.goto("/audit?subject=noted")
    # The rows of the first address may still be shown, so the row is looked for by its words.
    noted = page.locator("tbody tr").filter(has_text="Noted and Company").first
    noted.get_by_role("link", name="Show only entries about").last.click()
    expect(page).to_have_url(re.compile(r"\?subject=cus_\d+$"))
    expect(page.locator("tbody tr")).to_have_count(2)


def test_pages_of_the_log_follow_each_other(authenticated: Page, site: Site) -> None:
    database = Database(site.urls.application)
    with database.transaction(OPERATOR) as session:
        for number in range(51):
            audit.record(session, OPERATOR, "page.turned", "turned", number=number + 1)
    database.close()
    page = authenticated
    page.goto("/audit?subject=turned")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(50)
    page.get_by_role("link", name="Next").click()
    expect(rows).to_have_count(1)
    expect(page).to_have_url(re.compile(r"subject=turned&page="))
    page.get_by_role("link", name="Previous").click()
    expect(rows).to_have_count(50)
    assert found_by_axe(page) == []


@pytest.mark.parametrize(
    "address", ["/audit?subject=%00", "/audit?actor=" + "x" * 190, "/audit?page=nonsense"]
)
def test_invalid_address_shows_an_error(authenticated: Page, address: str) -> None:
    authenticated.goto(address)
    expect(
        authenticated.get_by_text(re.compile("No matching entries|This page could not be loaded"))
    ).to_be_visible()


def test_finance_user_can_read_the_log(page: Page, sign_in: Callable[..., None], ada: Actor) -> None:
    sign_in(FINANCE, at="/login?next=/audit?subject=noted")
    expect(page.locator("tbody tr")).to_have_count(2)


def test_narrow_screen_shows_the_whole_entry(signed_in: Page, ada: Actor) -> None:
    page = signed_in
    page.set_viewport_size({"width": 360, "height": 800})
    page.goto("/audit?subject=noted")
    created = page.locator("tbody tr").last
    for words in ("Customer created", "by Ada Lovelace", "Name Noted & Co", "Nov 3, 2026, 23:30:00"):
        expect(created.get_by_text(words).locator("visible=true").first).to_be_visible()
