"""Corrections and unpriced usage on the pages: correct an event, its history, and files of corrections."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from billing_app.domain.actor import SYSTEM
from billing_app.domain.periods import label, period_of, previous_period
from billing_app.jobs.invoicing import generate_invoice
from billing_app.services.customers import customers
from billing_app.services.plans.meters import archive_meter
from billing_app.services.usage.filters import UsageFilter
from billing_app.services.usage.log import list_usage
from billing_app.services.usage.recording import UsageReport, record_usage
from billing_app.state.kit import text
from tests.e2e.business import FINANCE, PASSWORD
from tests.e2e.conftest import Site
from tests.e2e.test_customers_page import growth
from tests.e2e.test_look import assert_accessible_and_fitting, found_by_axe
from tests.factories import make_meter

pytestmark = pytest.mark.usefixtures("today")
THIS = period_of(datetime.now(UTC))
LAST = previous_period(THIS)
HEADER = "customer,idempotency_key,quantity,reason,correction_key\n"


def make(site: Site, key: str, first: date = LAST) -> str:
    """Create a customer with 1,530 units in last month."""
    with site.database.transaction(SYSTEM) as session:
        customers.create_customer(
            session, SYSTEM, name=key.replace("-", " ").title(), email=f"{key}@fix.test", key=key,
            plan_id=growth(site), start=first,
        )  # fmt: skip
    use(site, key, f"{key} event", 1530, LAST)
    return key


def use(site: Site, key: str, event: str, quantity: object, month: date, meter: str | None = None) -> None:
    with site.database.transaction(SYSTEM) as session:
        record_usage(session, SYSTEM, UsageReport(key, event, quantity, f"{month}T10:00:00Z", meter))


def quantities(site: Site, key: str) -> list[str]:
    with site.database.transaction(SYSTEM) as session:
        events = list_usage(session, SYSTEM, UsageFilter(customer=key)).items
        return [text.quantity(each.current_quantity) for each in events]


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog")


def row(page: Page, table: str = "Usage events") -> Locator:
    return page.get_by_role("table", name=table).locator("tbody tr")


def correct(page: Page, quantity: str, reason: str) -> None:
    dialog(page).get_by_label("New quantity").fill(quantity)
    dialog(page).get_by_label("Reason").fill(reason)
    dialog(page).get_by_role("button", name="Correct usage").click()


def test_event_is_corrected_and_its_history_says_where_each_quantity_is_billed(
    authenticated: Page, site: Site
) -> None:
    key = make(site, "fix-works")
    invoice = generate_invoice(site.database, SYSTEM, key, LAST).number
    page = authenticated
    page.goto(f"/usage?customer={key}")
    row(page).get_by_role("button", name="Correct").click()
    expect(dialog(page)).to_contain_text("1,530")
    assert found_by_axe(page) == []
    dialog(page).get_by_label("New quantity").fill("1030")
    effect = (
        dialog(page).get_by_role("heading", name=f"Upcoming invoice, {text.month(THIS)}").locator("xpath=..")
    )
    expect(effect).to_contain_text("$29.00 → $22.75")
    assert quantities(site, key) == ["1,530"]
    dialog(page).get_by_role("button", name="Correct usage").click()
    expect(dialog(page).get_by_label("Reason")).to_have_accessible_description("Must not be empty.")
    correct(page, "1030", "Counted twice")
    billed_in = f"billed in {text.month(THIS)}"
    expect(page.get_by_text(f"Usage of Fix Works corrected from 1,530 to 1,030, {billed_in}")).to_be_visible()
    expect(row(page)).to_contain_text("1,030Corrected once from 1,530")
    row(page).get_by_role("button", name="Correct").click()
    correct(page, "1030", "Again")
    expect(dialog(page).get_by_label("New quantity")).to_have_accessible_description(
        "This is already the quantity of the event."
    )
    correct(page, "1100", "Recounted")
    expect(row(page)).to_contain_text("1,100Corrected 2 times from 1,530")

    row(page).get_by_role("button", name="Show history").click()
    items = dialog(page).get_by_role("listitem")
    expect(items).to_have_count(3)
    expect(items.nth(0)).to_contain_text("1,100 (+70)")
    expect(items.nth(0)).to_contain_text("Recounted")
    expect(items.nth(0)).to_contain_text("Corrected by Ada Lovelace")
    expect(items.nth(0)).to_contain_text(f"Billed in {text.month(THIS)}")
    expect(items.nth(1)).to_contain_text("1,030 (−500)")
    expect(items.nth(2)).to_contain_text(f"1,530Billed on {invoice}Recorded by System")
    assert_accessible_and_fitting(page)
    page.keyboard.press("Escape")
    expect(dialog(page)).to_have_count(0)
    assert quantities(site, key) == ["1,100"]


def test_event_is_undone_on_its_customers_page(authenticated: Page, site: Site) -> None:
    key = make(site, "undo-works")
    use(site, key, "now", 2000, THIS)
    page = authenticated
    page.goto(f"/customers/{key}")
    now = row(page, "Latest usage").filter(has_text="2,000")
    now.get_by_role("button", name="Correct").click()
    correct(page, "0", "A test")
    corrected = row(page, "Latest usage").filter(has_text="Corrected once from 2,000")
    expect(corrected).to_be_visible()
    expect(page.get_by_role("region", name="Usage this month")).to_contain_text("1,000 left")
    corrected.get_by_role("button", name="Show history").click()
    expect(dialog(page).get_by_role("listitem").first).to_contain_text("0 (−2,000)")
    assert sorted(quantities(site, key)) == ["0", "1,530"]


def test_finance_user_sees_the_history_and_corrects_nothing(page: Page, site: Site) -> None:
    key = make(site, "watched-works")
    page.request.post(f"{site.url}/api/v1/auth/session", data={"email": FINANCE, "password": PASSWORD})
    for address, table in ((f"/usage?customer={key}", "Usage events"), (f"/customers/{key}", "Latest usage")):
        page.goto(address)
        expect(row(page, table)).to_have_count(1)
        expect(page.get_by_role("button", name="Correct")).to_have_count(0)
        row(page, table).get_by_role("button", name="Show history").click()
        expect(dialog(page).get_by_role("listitem")).to_contain_text("Recorded by System")
        page.keyboard.press("Escape")


def test_unpriced_usage_is_marked_filtered_and_named_before_a_run(authenticated: Page, site: Site) -> None:
    key = make(site, "seat-works")
    make_meter(site.database, "seats", "max", name="Seats")
    use(site, key, "five seats", 5, LAST, "seats")
    use(site, key, "no seats", 0, LAST, "seats")
    page = authenticated
    page.goto(f"/usage?customer={key}")
    expect(row(page)).to_have_count(3)
    expect(page.get_by_text("Not priced").filter(visible=True)).to_have_count(1)
    page.get_by_role("link", name="Unpriced").click()
    page.wait_for_url(f"**/usage?customer={key}&unpriced=true")
    expect(row(page)).to_have_count(1)
    expect(row(page)).to_contain_text("Not priced")
    assert_accessible_and_fitting(page)
    page.goto(f"/customers/{key}")
    expect(page.get_by_text("Not priced").filter(visible=True)).to_have_count(1)
    page.goto("/invoices")
    page.get_by_role("button", name="Run invoices for a month").click()
    dialog(page).get_by_label("Month", exact=True).select_option(text.month(LAST))
    expect(dialog(page)).to_contain_text("1 event of Seats (1 customer)")
    dialog(page).get_by_role("link", name="View this usage").click()
    page.wait_for_url(f"**/usage?period={label(LAST)}&billing_period={label(LAST)}&unpriced=true")
    expect(row(page)).to_contain_text("five seats")
    row(page).get_by_role("button", name="Correct").click()
    correct(page, "0", "Not used")
    expect(page.get_by_role("heading", name="No usage matches")).to_be_visible()
    with site.database.transaction(SYSTEM) as session:
        # Dialogs of other tests have no meter to choose.
        archive_meter(session, SYSTEM, "seats")


def test_file_of_corrections_is_imported_once(authenticated: Page, site: Site, tmp_path: Path) -> None:
    key = make(site, "file-works")
    file = tmp_path / "fixes.csv"
    file.write_text(
        f"{HEADER}{key},{key} event,1030,Counted twice,fix 1\n{key},other,1,Unknown,fix 2\n{key},short\n"
    )
    page = authenticated
    for outcome in ("1 row recorded.", "Nothing was recorded. 1 row was already recorded."):
        page.goto("/usage/imports")
        page.get_by_role("link", name="Corrections", exact=True).click()
        page.wait_for_url("**/usage/imports?kind=corrections")
        expect(page.get_by_text("customer,idempotency_key,quantity,reason,correction_key")).to_be_visible()
        page.locator("input[type=file]").set_input_files(file)
        page.wait_for_url("**/usage/imports/imp_*")
        expect(page.get_by_text("Ready to import").first).to_be_visible()
        first = row(page, "First rows").first
        for words in (key, f"{key} event", "fix 1", "1,030", "Counted twice"):
            expect(first).to_contain_text(words)
        rejected = row(page, "Rejected rows")
        expect(rejected.nth(0)).to_contain_text("Key must be the key of an event of this customer.")
        expect(rejected.nth(1)).to_contain_text("5 columns")
        assert_accessible_and_fitting(page)
        page.set_viewport_size({"width": 1280, "height": 800})
        page.get_by_role("button", name="Import").filter(has_not_text="Cancel").first.click()
        expect(page.get_by_text(outcome, exact=True)).to_be_visible()
    expect(page.get_by_text("Its corrections are never recorded twice.")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download rejected rows").click()
    back = tmp_path / "back.csv"
    download.value.save_as(back)
    assert back.read_text("utf-8-sig").startswith(
        "line,customer,idempotency_key,quantity,reason,correction_key,"
    )
    assert quantities(site, key) == ["1,030"]


def test_line_of_an_invoice_lists_its_corrections(authenticated: Page, site: Site) -> None:
    key = make(site, "line-works", previous_period(LAST))
    before = previous_period(LAST)
    use(site, key, "old", 1530, before)
    generate_invoice(site.database, SYSTEM, key, before)
    page = authenticated
    page.goto(f"/usage?customer={key}&period={label(before)}")
    row(page).get_by_role("button", name="Correct").click()
    correct(page, "1030", "Counted twice")
    expect(row(page)).to_contain_text("Corrected once")
    number = generate_invoice(site.database, SYSTEM, key, LAST).number
    page.goto(f"/invoices/{number}?line=3")
    corrections = page.get_by_role("table", name="Corrections").locator("tbody")
    expect(corrections.locator("tr")).to_have_count(2)
    for words in ("old", "1,530 → 1,030", "−500", "Counted twice"):
        expect(corrections).to_contain_text(words)
    expect(page.get_by_role("table", name="Events")).to_have_count(0)
    assert_accessible_and_fitting(page)
