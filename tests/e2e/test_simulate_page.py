"""The page of price simulations: asking for one, its progress and result, and saving its terms."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal

import pytest
from playwright.sync_api import Locator, Page, expect

from billing_app.database import locks
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, system
from billing_app.jobs.leadership import lock
from billing_app.jobs.simulations import request_simulation
from billing_app.services.plans import plans
from billing_app.services.shared.reasons import Reason
from billing_app.services.simulations.progress import finish_simulation
from billing_app.services.simulations.rows import CustomersGiven, TermsGiven
from tests.e2e.business import FINANCE
from tests.e2e.conftest import Site
from tests.e2e.test_look import found_by_axe
from tests.e2e.test_plans_page import dialog, fill

FINISHED = 30_000


@pytest.fixture
def own(site: Site) -> Iterator[Database]:
    """The site's database with the same clock as the server."""
    database = Database(site.urls.application)
    yield database
    database.close()


def open_dialog(page: Page) -> None:
    page.goto("/plans/simulate")
    page.get_by_role("button", name="New simulation").first.click()
    expect(dialog(page)).to_be_visible()


def select(page: Page, **options: str) -> None:
    for label, option in options.items():
        dialog(page).get_by_label(label, exact=True).select_option(option)


def figure(page: Page, name: str) -> Locator:
    return page.get_by_text(name, exact=True).locator("xpath=following-sibling::*[1]")


def test_month_is_simulated_under_another_plan(authenticated: Page, site: Site) -> None:
    with site.database.transaction(SYSTEM) as session:
        plans.create_plan(
            session, SYSTEM, name="Flat", monthly_price="30", included_units="10000", overage_unit_price="1"
        )
    page = authenticated
    page.goto("/plans")
    page.get_by_role("link", name="Simulate prices").click()
    page.get_by_role("button", name="New simulation").first.click()
    select(page, Month="September 2026", Customers="Customers on a plan")
    dialog(page).get_by_label("Customers’ plan").fill("Growth, version 1")
    dialog(page).get_by_label("Plan", exact=True).fill("Flat")
    dialog(page).get_by_role("button", name="Simulate prices").click()
    expect(dialog(page)).to_have_count(0)
    expect(
        page.get_by_role("heading", name=re.compile("September 2026, customers on Growth"))
    ).to_be_visible()
    # Acme used 1,200 units, 300 of which were reported late, and pays $31.50. Others pay $29.00.
    acme = page.get_by_role("row").filter(has_text="Acme Industrial Supply")
    expect(acme).to_contain_text("\N{MINUS SIGN}$1.50", timeout=FINISHED)
    expect(acme).to_contain_text("\N{MINUS SIGN}4.8%")
    expect(figure(page, "Difference").first).to_contain_text("+$")
    assert found_by_axe(page) == []
    page.get_by_role("link", name="Difference").click()
    page.wait_for_url(re.compile("sort=difference"))
    expect(page.get_by_role("row").nth(1)).to_contain_text("Acme Industrial Supply")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export CSV").click()
    lines = list(csv.DictReader(io.StringIO(download.value.path().read_text("utf-8-sig"))))
    by_key = {line["customer_key"]: line for line in lines}
    assert (by_key["acme"]["before"], by_key["acme"]["after"]) == ("31.50", "30.00")
    assert by_key["quiet"]["difference"] == "1.00"


def test_edited_terms_start_with_those_of_a_plan_and_become_a_version(
    authenticated: Page, site: Site
) -> None:
    page = authenticated
    open_dialog(page)
    select(page, Month="October 2026", Customers="One customer")
    fill(page, Customer="acme", Plan="Growth")
    select(page, Prices="Edited terms")
    expect(dialog(page).get_by_label("Monthly price")).to_have_value("29.00")
    expect(dialog(page).get_by_label("Included units")).to_have_value("1000")
    fill(page, Monthly_price="39", Overage_price="0.01")
    dialog(page).get_by_role("button", name="Simulate prices").click()
    heading = page.get_by_role("heading", name="October 2026, Acme Industrial Supply")
    expect(heading).to_be_visible()
    expect(page.get_by_text("Terms not saved as a plan")).to_be_visible()
    # 29.00 + 530 x 0.0125 before, 39.00 + 530 x 0.01 after.
    expect(figure(page, "Before").first).to_have_text("$35.63", timeout=FINISHED)
    expect(figure(page, "After").first).to_have_text("$44.30")
    page.get_by_role("button", name="Change and run again").click()
    expect(dialog(page).get_by_label("Customer", exact=True)).to_have_value("acme")
    expect(dialog(page).get_by_label("Monthly price")).to_have_value("39.00")
    expect(dialog(page).get_by_label("Overage price")).to_have_value("0.01")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Save as plan version").click()
    fill(page, Name="Dearer")
    dialog(page).get_by_role("button", name="Save as plan version").click()
    expect(page.get_by_text("Dearer, version 1 created")).to_be_visible()
    with site.database.transaction(SYSTEM) as session:
        (saved,) = plans.find_plans(session, SYSTEM, name="Dearer")
    assert (saved.monthly_price_minor, saved.charges[0].unit_price) == (3900, Decimal("0.01"))


def test_wrong_values_are_shown_at_their_fields(authenticated: Page) -> None:
    page = authenticated
    open_dialog(page)
    start = dialog(page).get_by_role("button", name="Simulate prices")

    def refused(label: str, why: str) -> None:
        start.click()
        field = dialog(page).get_by_label(label, exact=True)
        expect(field).to_have_accessible_description(why)
        # Until it has the focus, what is typed could get into this field.
        expect(field).to_be_focused()

    refused("Plan", "This is required.")
    dialog(page).get_by_label("Customers’ currency").fill("XXX")
    fill(page, Plan="Growth")
    refused("Customers’ currency", "Must be an ISO 4217 currency code, such as USD.")
    select(page, Customers="Customers on a plan", Prices="Edited terms")
    dialog(page).get_by_label("Customers’ plan").fill("Nothing like it")
    refused("Customers’ plan", "This is not the name of a plan.")
    dialog(page).get_by_label("Customers’ plan").fill("Growth")
    fill(page, Monthly_price="1.005")
    refused("Monthly price", "Must have at most 2 decimals.")
    assert found_by_axe(page) == []


def test_running_simulation_shows_its_progress_and_another_one_is_refused(
    authenticated: Page, own: Database
) -> None:
    page = authenticated
    with lock(own, SYSTEM, locks.SIMULATING):
        running = request_simulation(
            own, SYSTEM, period_start=date(2026, 10, 1), customers=CustomersGiven(currency="USD"),
            terms=TermsGiven("USD", "12.00"),
        )  # fmt: skip
        open_dialog(page)
        expect(page.get_by_role("progressbar")).to_be_attached()
        fill(page, Plan="Growth")
        dialog(page).get_by_role("button", name="Simulate prices").click()
        expect(dialog(page).get_by_role("alert")).to_contain_text("Another price simulation is running")
        dialog(page).get_by_role("link", name="Show that simulation").click()
        page.wait_for_url(re.compile(f"simulation={running.public_id}"))
        expect(page.get_by_text(re.compile(r"^0 of [\d,]+ customers$"))).to_be_visible()
        assert found_by_axe(page) == []
    expect(page.get_by_role("row").filter(has_text="Quiet Corner")).to_be_visible(timeout=FINISHED)
    expect(page.get_by_role("progressbar")).to_have_count(0)


def test_finance_user_simulates_but_saves_no_plan(
    page: Page, site: Site, sign_in: Callable[..., None]
) -> None:
    sign_in(FINANCE)
    page.wait_for_url(f"{site.url}/")
    open_dialog(page)
    select(page, Month="October 2026", Customers="One customer", Prices="Edited terms")
    fill(page, Customer="quiet", Monthly_price="9", Included_units="0", Overage_price="0.02")
    dialog(page).get_by_role("button", name="Simulate prices").click()
    expect(page.get_by_role("heading", name="October 2026, Quiet Corner")).to_be_visible()
    expect(figure(page, "After").first).to_have_text("$9.00", timeout=FINISHED)
    expect(page.get_by_text("Started by Finn Ance")).to_be_visible()
    expect(page.get_by_role("button", name="Change and run again")).to_be_visible()
    expect(page.get_by_role("button", name="Save as plan version")).to_have_count(0)


def test_missing_and_failed_simulations_say_so(authenticated: Page, own: Database) -> None:
    page = authenticated
    page.goto("/plans/simulate?simulation=sim_999999")
    expect(page.get_by_text("Price simulation not found")).to_be_visible()
    with lock(own, SYSTEM, locks.SIMULATING):
        failed = request_simulation(
            own, system("tests"), period_start=date(2026, 10, 1), customers=CustomersGiven(customer="acme"),
            terms=TermsGiven("USD", "12.00"),
        )  # fmt: skip
        fault = Reason("database_refused", facts={"sqlstate": "42P01"})
        own.call(SYSTEM, finish_simulation, failed.public_id, "failed", fault)
    page.goto(f"/plans/simulate?simulation={failed.public_id}")
    expect(page.get_by_role("region", name="Failed simulation")).to_contain_text("reported error 42P01")
