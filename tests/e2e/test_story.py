"""From an empty installation to a running business, step by step, in the browser.

Each step is a function. A new page adds its step where it belongs. Two of the customers start last month, so
invoices can be run on any day.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from billing_app.database.embedded import cluster
from billing_app.state.kit import text
from billing_app.ui.kit.layout import SECTIONS
from tests.conftest import new_database
from tests.e2e.conftest import serving
from tests.e2e.story import (
    ENDS_WITHIN_MS,
    LAST,
    NEXT,
    THIS,
    dialog,
    every_page,
    go,
    open_browser,
    record,
    rows,
    sign_in,
    to_customer,
    to_invoice,
    writing,
)
from tests.e2e.story_files import (
    check_and_import_file,
    download_rejected_rows,
    import_same_file_again,
    upload_file_and_leave_it,
    write_file_with_rejected_rows,
)

ADMIN, FINANCE = "root@harbour.test", "fay@harbour.test"
ADMIN_PASSWORD, FINANCE_PASSWORD = "seven grey herons wade", "four horses near a lake"
# Pages without controls that write something, even for admins.
ONLY_READ = ("Dashboard", "Audit log")


@pytest.fixture
def url(server: cluster.Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve an empty database with a first admin from the settings."""
    first_admin = {"BILLING_ADMIN_EMAIL": ADMIN, "BILLING_ADMIN_PASSWORD": ADMIN_PASSWORD}
    with new_database(server) as urls:
        # The databases of tests have an issuer, but a new installation has none.
        owner_url = urls.owner.replace("postgresql+psycopg://", "postgresql://")
        with psycopg.connect(owner_url, autocommit=True) as owner:
            owner.execute("UPDATE issuer SET name = '', address = '', email = '', payment_instructions = ''")
        with serving(urls, tmp_path_factory.mktemp("story"), **first_admin) as at:
            yield at


def test_new_installation_becomes_a_running_business(browser: Browser, url: str, tmp_path: Path) -> None:
    root = open_browser(browser, url)
    sign_in(root, ADMIN, ADMIN_PASSWORD)
    check_empty_pages(root)
    fill_in_company_details(root)
    create_plan(root)
    create_customers(root)

    record_usage_by_hand(root)
    file = write_file_with_rejected_rows(tmp_path)
    check_and_import_file(root, file)
    download_rejected_rows(root, file)
    import_same_file_again(root, file)

    check_upcoming_invoice_grows(root)
    preview_last_month(root)
    run_last_month(root)
    follow_line_to_events(root)
    pay_in_two_parts(root)

    create_plan_version(root)
    change_plan_from_next_month(root)
    suspend_customer(root)
    upload_file_and_leave_it(root, tmp_path)
    check_admin_can_write(root)

    one_time = invite_finance_user(root)
    fay = open_browser(browser, url)
    sign_in(fay, FINANCE, one_time)
    choose_password(fay, one_time)
    check_finance_sees_everything(fay)
    check_finance_cannot_write(fay)


def check_empty_pages(page: Page) -> None:
    steps_done(page, 0)
    go(page, "Customers")
    expect(page.get_by_role("heading", name="Create a plan first")).to_be_visible()
    go(page, "Usage")
    expect(page.get_by_role("heading", name="No usage yet")).to_be_visible()
    go(page, "Invoices")
    expect(page.get_by_role("heading", name="No invoices yet")).to_be_visible()
    go(page, "Plans")
    expect(page.get_by_role("heading", name="No plans yet")).to_be_visible()
    go(page, "Settings")
    expect(page.get_by_text("Add your company’s name and address")).to_be_visible()
    page.get_by_role("link", name="API tokens").click()
    expect(page.get_by_role("heading", name="No API tokens yet")).to_be_visible()


def fill_in_company_details(page: Page) -> None:
    go(page, "Settings")
    page.get_by_label("Name").fill("Harbour Ltd")
    page.get_by_label("Email").fill("billing@harbour.test")
    page.get_by_label("Address").fill("1 Quay Street\nBristol")
    page.get_by_label("Payment instructions").fill("By bank transfer")
    page.get_by_role("button", name="Save company details").click()
    expect(page.get_by_text("Company details saved")).to_be_visible()
    expect(page.get_by_text("Add your company’s name and address")).to_have_count(0)
    steps_done(page, 1)


def steps_done(page: Page, count: int) -> None:
    """Check the guide on the dashboard, which disappears when all steps are done."""
    go(page, "Dashboard")
    guide = page.get_by_role("region", name="Getting started")
    if count == 5:
        expect(page.get_by_text("MRR")).to_be_visible(timeout=ENDS_WITHIN_MS)
        expect(guide).to_have_count(0)
    else:
        expect(guide).to_contain_text(f"{count} of 5 done")


def create_plan(page: Page) -> None:
    go(page, "Plans")
    page.get_by_role("button", name="New plan").first.click()
    dialog(page).get_by_label("Name").fill("Growth")
    dialog(page).get_by_label("Monthly price").fill("29.00")
    dialog(page).get_by_label("Included units").fill("1000")
    dialog(page).get_by_label("Overage price").fill("0.0125")
    dialog(page).get_by_role("button", name="Create plan").click()
    expect(page.get_by_role("article", name="Growth")).to_contain_text("$29.00")
    steps_done(page, 2)


def create_customers(page: Page) -> None:
    """Create two customers since last month, which can be invoiced, and one since this month."""
    for name, email, since in (
        ("Acme Supply", "bills@acme.test", LAST),
        ("Borough Bakers", "bills@bakers.test", LAST),
        ("Clay & Daughters", "bills@clay.test", THIS),
    ):
        go(page, "Customers")
        page.get_by_role("button", name="New customer").first.click()
        dialog(page).get_by_label("Name", exact=True).fill(name)
        dialog(page).get_by_label("Email").fill(email)
        dialog(page).get_by_label("Starts").select_option("On a date")
        dialog(page).get_by_label("Start date").fill(since.isoformat())
        dialog(page).get_by_role("button", name="Create customer").click()
        expect(page.get_by_role("heading", level=1, name=name)).to_be_visible()
        expect(page.get_by_text(f"{text.month(LAST)} has ended and isn’t invoiced yet")).to_have_count(
            1 if since == LAST else 0
        )
    go(page, "Customers")
    expect(rows(page, "Customers")).to_have_count(3)
    steps_done(page, 3)


def record_usage_by_hand(page: Page) -> None:
    record(page, "acme-supply", "1000", f"{LAST:%Y-%m}-15T12:00")
    expect(
        page.get_by_text(f"1,000 units recorded for Acme Supply, billed in {text.month(LAST)}")
    ).to_have_count(1)
    # Half an hour into this month in the browser's zone, but still last month in UTC, which counts.
    record(page, "acme-supply", "30", f"{THIS:%Y-%m}-01T00:30")
    expect(
        page.get_by_text(f"30 units recorded for Acme Supply, billed in {text.month(LAST)}", exact=True)
    ).to_be_visible()
    record(page, "acme-supply", "1200")
    expect(
        page.get_by_text(f"1,200 units recorded for Acme Supply, billed in {text.month(THIS)}")
    ).to_be_visible()
    expect(rows(page, "Usage events")).to_have_count(3)
    steps_done(page, 4)


def upcoming_invoice(page: Page) -> Locator:
    return page.locator("section").filter(has=page.get_by_role("heading", name="Upcoming invoice"))


def check_upcoming_invoice_grows(page: Page) -> None:
    to_customer(page, "Acme Supply")
    for words in (text.month(THIS), "1,200 used − 1,000 included = 200 × $0.0125 = $2.50", "$31.50"):
        expect(upcoming_invoice(page)).to_contain_text(words)
    page.get_by_role("button", name="Record usage").click()
    dialog(page).get_by_label("Quantity").fill("100.5")
    dialog(page).get_by_role("button", name="Record usage").click()
    for words in ("1,300.5 used − 1,000 included = 300.5 × $0.0125 = $3.75625 → $3.76", "$32.76"):
        expect(upcoming_invoice(page)).to_contain_text(words)


def preview_last_month(page: Page) -> None:
    page.get_by_role("button", name="Generate invoice").click()
    expect(dialog(page)).to_contain_text(f"Acme Supply will be invoiced $35.63 for {text.month(LAST)}.")
    dialog(page).get_by_role("button", name="Cancel").click()
    expect(dialog(page)).to_have_count(0)
    expect(page.get_by_role("heading", name="No invoices yet")).to_be_visible()


def run_last_month(page: Page) -> None:
    go(page, "Invoices")
    page.get_by_role("button", name="Run invoices for a month").first.click()
    expect(dialog(page)).to_contain_text("for all 3 customers")
    expect(dialog(page).get_by_label("Month")).to_have_value(f"{LAST:%Y-%m}")
    dialog(page).get_by_role("button", name="Run invoices", exact=True).click()
    run = page.get_by_role("region", name="Invoice run")
    expect(run).to_contain_text(f"Invoice run for {text.month(LAST)} is done", timeout=ENDS_WITHIN_MS)
    expect(run.locator("dl")).to_have_text("Created2Existing0Skipped1Failed0")
    expect(rows(page, "Invoices")).to_have_count(2)
    expect(rows(page, "Invoices").filter(has_text="ACME-SUPPLY-0001")).to_contain_text("$35.63")
    # 250.5 units of overage are $3.13125.
    expect(rows(page, "Invoices").filter(has_text="BOROUGH-BAKERS-0001")).to_contain_text("$32.13")
    expect(page.get_by_role("region", name="Totals of these invoices")).to_contain_text(
        re.compile(r"2 invoices\s*Invoiced\s*\$67\.76\s*Outstanding\s*\$67\.76")
    )
    steps_done(page, 5)


def follow_line_to_events(page: Page) -> None:
    to_invoice(page, "ACME-SUPPLY-0001")
    sheet = page.get_by_role("article")
    for words in (
        "Harbour Ltd",
        "Acme Supply",
        text.month(LAST),
        "1,530 used − 1,000 included = 530 × $0.0125 = $6.625 → $6.63",
        "$35.63",
    ):
        expect(sheet).to_contain_text(words)
    sheet.get_by_role("button", name="Show usage").click()
    events = rows(page, "Events")
    expect(events).to_have_count(4)
    expect(events.filter(has_text="meter-1")).to_contain_text("480")
    assert (
        sum(int(each.replace(",", "")) for each in events.locator("td:last-child").all_inner_texts()) == 1530
    )


def pay(page: Page, suggested: str, amount: str) -> None:
    page.get_by_role("button", name="Record payment").click()
    field = dialog(page).get_by_label("Amount in USD")
    expect(field).to_have_value(suggested)
    field.fill(amount)
    dialog(page).get_by_role("button", name="Record payment").click()
    expect(page.get_by_text(f"Payment of ${amount} recorded on ACME-SUPPLY-0001")).to_be_visible()


def pay_in_two_parts(page: Page) -> None:
    pay(page, "35.63", "20.00")
    main = page.get_by_role("main")
    expect(main).to_contain_text("Partially paid")
    expect(main).to_contain_text("$15.63 due by")
    pay(page, "15.63", "15.63")
    expect(main).to_contain_text("Nothing due")
    expect(page.get_by_role("button", name="Record payment")).to_have_count(0)
    go(page, "Invoices")
    expect(rows(page, "Invoices").filter(has_text="ACME-SUPPLY-0001")).to_contain_text("Paid")
    expect(page.get_by_role("region", name="Totals of these invoices")).to_contain_text(
        re.compile(r"Invoiced\s*\$67\.76\s*Outstanding\s*\$32\.13")
    )


def create_plan_version(page: Page) -> None:
    go(page, "Plans")
    page.get_by_role("button", name="Actions for Growth").click()
    page.get_by_role("menuitem", name="New version").click()
    dialog(page).get_by_label("Monthly price").fill("35")
    dialog(page).get_by_role("button", name="Create version").click()
    expect(page.get_by_role("article", name="Growth")).to_contain_text("$35.00")


def choose(page: Page, action: str) -> None:
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name=action).click()


def change_plan_from_next_month(page: Page) -> None:
    to_customer(page, "Acme Supply")
    choose(page, "Change plan")
    plan = dialog(page).get_by_label("Plan", exact=True)
    plan.fill("Growth, version 2")
    expect(plan.locator("xpath=following-sibling::datalist[1]/option").first).to_have_text(
        "Growth, version 2: $35.00 a month"
    )
    expect(dialog(page).get_by_label("From")).to_have_value(NEXT.isoformat())
    dialog(page).get_by_role("button", name="Change plan").click()
    expect(page.get_by_text(f"Plan changes to Growth, version 2 from {text.day(NEXT)}")).to_be_visible()
    about = page.get_by_role("complementary", name="About the customer")
    expect(about.get_by_role("listitem").filter(has_text="Planned")).to_contain_text(f"From {text.day(NEXT)}")
    # This month keeps its plan.
    expect(upcoming_invoice(page)).to_contain_text("$32.76")


def suspend_customer(page: Page) -> None:
    to_customer(page, "Borough Bakers")
    choose(page, "Suspend customer")
    expect(dialog(page)).to_contain_text("The subscription continues")
    dialog(page).get_by_role("button", name="Suspend customer", exact=True).click()
    expect(page.get_by_text("Borough Bakers suspended")).to_be_visible()
    go(page, "Customers")
    expect(rows(page, "Customers").filter(has_text="Borough Bakers")).to_contain_text("Suspended")
    record(page, "borough-bakers", "1")
    expect(dialog(page)).to_contain_text("the customer was not suspended")
    dialog(page).get_by_role("button", name="Cancel").click()
    expect(rows(page, "Usage events")).to_have_count(7)


def invite_finance_user(page: Page) -> str:
    """Invite a user, and return the one-time password from the screen."""
    go(page, "Users")
    page.get_by_role("button", name="Invite user").click()
    dialog(page).get_by_label("Email").fill(FINANCE)
    dialog(page).get_by_label("Name").fill("Fay Figures")
    dialog(page).get_by_label("Role").select_option("Finance")
    dialog(page).get_by_role("button", name="Invite user").click()
    expect(dialog(page)).to_contain_text("One-time password for Fay Figures")
    shown = dialog(page).locator("[data-secret]")
    expect(shown).not_to_be_empty()
    one_time = shown.inner_text()
    dialog(page).get_by_role("button", name="Done").click()
    expect(page.get_by_role("row", name="Fay Figures")).to_contain_text("One-time password")
    return one_time


def choose_password(page: Page, one_time: str) -> None:
    expect(page.get_by_role("heading", name="Choose your password")).to_be_visible()
    page.get_by_label("Current password").fill(one_time)
    page.get_by_label("New password").fill(FINANCE_PASSWORD)
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_role("navigation", name="Main")).to_be_visible()


def check_admin_can_write(page: Page) -> None:
    without = [name for name in every_page(page) if not writing(page)]
    assert without == list(ONLY_READ)


def check_finance_sees_everything(page: Page) -> None:
    for section in SECTIONS:
        shown = 0 if section.admins_only else 1
        expect(page.get_by_role("link", name=section.title, exact=True)).to_have_count(shown)
    to_invoice(page, "ACME-SUPPLY-0001")
    expect(page.get_by_role("article")).to_contain_text("$35.63")
    for amount in ("$20.00", "$15.63"):
        expect(rows(page, "Payments").filter(has_text=amount)).to_have_count(1)
    to_customer(page, "Borough Bakers")
    expect(page.get_by_role("main")).to_contain_text("Suspended")
    expect(rows(page, "Invoices")).to_contain_text("$32.13")
    go(page, "Plans")
    expect(page.get_by_role("article", name="Growth")).to_contain_text("$35.00")
    go(page, "Settings")
    expect(page.get_by_text("1 Quay Street")).to_be_visible()
    expect(page.get_by_role("textbox", name="Name")).to_have_count(0)


def check_finance_cannot_write(page: Page) -> None:
    for name in every_page(page):
        expect(page.get_by_text("Read-only")).to_be_visible()
        assert (name, writing(page)) == (name, [])
        expect(page.get_by_role("link", name="Import CSV")).to_have_count(0)
