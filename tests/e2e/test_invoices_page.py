"""The pages of invoices: search, totals, export, and generating one invoice or those of a month."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date

import psycopg
from playwright.sync_api import BrowserContext, Locator, Page, expect

from billing_app.domain.actor import SYSTEM
from billing_app.domain.periods import periods_between
from billing_app.jobs.invoicing import generate_invoice
from billing_app.services.invoices import runs
from billing_app.services.invoices.run_progress import count_failed_attempt
from billing_app.services.shared.reasons import Reason
from tests.e2e.business import ACME_OCTOBER, FINANCE
from tests.e2e.conftest import Site
from tests.e2e.test_look import found_by_axe
from tests.factories import make_customer, make_plan

# Months in which no other customer has a plan, so that runs for them only affect these tests.
APRIL, MAY, JUNE, JULY = (date(2026, month, 1) for month in (4, 5, 6, 7))


def rows(page: Page) -> Locator:
    return page.get_by_role("table", name="Invoices").locator("tbody tr")


def customer(site: Site, key: str, start: date, **terms: object) -> None:
    plan = make_plan(site.database, **terms)
    name = key.replace("-", " ").title()
    make_customer(site.database, plan, key=key, name=name, email=f"{key}@rows.test", start=start)


def invoiced(site: Site, key: str, *periods: date) -> None:
    for period in periods:
        generate_invoice(site.database, SYSTEM, key, period)


@contextmanager
def blocked_runs(site: Site) -> Iterator[None]:
    """Block every run at its first customers until the block ends."""
    with psycopg.connect(site.urls.owner.replace("+psycopg", "")) as holder:
        holder.execute("SELECT FROM customer_billing FOR UPDATE")
        yield
        holder.rollback()


def month_field(page: Page) -> Locator:
    return page.get_by_role("dialog").get_by_label("Month", exact=True)


def choose_month(page: Page, opener: str, month: str) -> None:
    page.get_by_role("button", name=opener).click()
    month_field(page).select_option(month)


def run_month(page: Page, month: str) -> Locator:
    choose_month(page, "Run invoices for a month", month)
    page.get_by_role("button", name="Run invoices", exact=True).click()
    page.wait_for_url("**/invoices?run=run_*")
    return page.get_by_role("region", name="Invoice run")


def test_filters_are_in_the_address(signed_in: Page, site: Site) -> None:
    customer(site, "lantern", APRIL)
    invoiced(site, "lantern", APRIL, MAY)
    page = signed_in
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Invoices").click()
    expect(page.get_by_label("Search invoices")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("lantern")
    expect(rows(page)).to_have_count(2)
    expect(rows(page).first).to_contain_text("LANTERN-0002")
    for words in ("Lantern", "May 2026", "Unpaid", "Dec 1, 2026", "$29.00"):
        expect(rows(page).first).to_contain_text(words)
    page.get_by_label("Period").select_option(label="April 2026")
    expect(rows(page)).to_have_count(1)
    expect(page).to_have_url(re.compile(r"\?search=lantern&period=2026-04$"))
    page.reload()
    expect(page.get_by_label("Period")).to_have_value("2026-04")
    expect(rows(page)).to_contain_text(["LANTERN-0001"])
    page.get_by_label("Status").select_option("paid")
    expect(page.get_by_text("No invoices match")).to_be_visible()
    page.go_back()
    expect(rows(page)).to_contain_text(["LANTERN-0001"])


def test_periods_sort_either_way(authenticated: Page, site: Site) -> None:
    customer(site, "either", APRIL)
    invoiced(site, "either", APRIL, MAY, JUNE)
    page = authenticated
    page.goto("/invoices?search=either")
    expect(rows(page)).to_contain_text(["EITHER-0003", "EITHER-0002", "EITHER-0001"])
    head = page.get_by_role("columnheader", name="Period")
    expect(head).to_have_attribute("aria-sort", "descending")
    head.get_by_role("link").click()
    expect(rows(page)).to_contain_text(["EITHER-0001", "EITHER-0002", "EITHER-0003"])
    expect(head).to_have_attribute("aria-sort", "ascending")
    expect(page).to_have_url(re.compile(r"search=either&sort=period$"))


def test_listed_invoices_are_totalled_by_currency(authenticated: Page, site: Site) -> None:
    customer(site, "sums-home", APRIL)
    customer(site, "sums-abroad", APRIL, currency="JPY", monthly_price="3000")
    invoiced(site, "sums-home", APRIL, MAY)
    invoiced(site, "sums-abroad", APRIL)
    authenticated.goto("/invoices?search=sums-")
    totals = authenticated.get_by_role("region", name="Totals of these invoices")
    expect(totals).to_contain_text(re.compile(r"JPY\s*1 invoice\s*Invoiced\s*¥3,000\s*Outstanding\s*¥3,000"))
    expect(totals).to_contain_text(
        re.compile(r"USD\s*2 invoices\s*Invoiced\s*\$58\.00\s*Outstanding\s*\$58\.00")
    )
    expect(totals).not_to_contain_text("As of")
    authenticated.get_by_label("Period").select_option("2026-05")
    expect(totals).not_to_contain_text("JPY")


def test_csv_file_contains_the_listed_invoices(authenticated: Page, site: Site) -> None:
    customer(site, "filed", APRIL)
    invoiced(site, "filed", APRIL, MAY)
    authenticated.goto("/invoices?search=filed&period=2026-05")
    expect(rows(authenticated)).to_have_count(1)
    with authenticated.expect_download() as download:
        authenticated.get_by_role("link", name="CSV").click()
    lines = list(csv.DictReader(io.StringIO(download.value.path().read_text("utf-8-sig"))))
    assert [line["number"] for line in lines] == ["FILED-0002"]


def test_customer_filter_can_be_cleared(authenticated: Page) -> None:
    page = authenticated
    page.goto("/invoices?customer=acme&status=paid")
    expect(rows(page)).to_contain_text(["ACME-0002", "ACME-0001"])
    page.get_by_role("link", name="Show invoices of all customers").click()
    expect(page).to_have_url(re.compile(r"/invoices\?status=paid$"))
    page.goto("/invoices?customer=missing")
    expect(page.get_by_role("heading", name="Customer not found")).to_be_visible()


def test_long_list_is_paged(authenticated: Page, site: Site) -> None:
    customer(site, "archive", date(2024, 1, 1))
    invoiced(site, "archive", *periods_between(date(2024, 1, 1), MAY))
    page = authenticated
    page.goto("/invoices?search=archive-")
    expect(rows(page)).to_have_count(25)
    page.get_by_role("link", name="Next").click()
    expect(rows(page)).to_contain_text(["ARCHIVE-0003", "ARCHIVE-0002", "ARCHIVE-0001"])
    page.go_back()
    expect(rows(page)).to_have_count(25)


def test_invoice_is_generated_by_customer_name(authenticated: Page, site: Site) -> None:
    customer(site, "hand-made", JUNE)
    page = authenticated
    page.goto("/invoices")
    page.get_by_role("button", name="Generate invoice").click()
    field = page.get_by_label("Customer", exact=True)
    expect(field).to_be_focused()
    page.keyboard.type("hand m")
    expect(page.locator("datalist option[value=hand-made]")).to_have_count(1)
    month_field(page).select_option("2026-07")
    generate = page.get_by_role("dialog").get_by_role("button", name="Generate invoice")
    generate.click()
    # An invoice can't be undone, so a customer is never guessed.
    expect(field).to_have_accessible_description(
        "This is only part of a customer's name or key. Did you mean hand-made?"
    )
    field.fill("Hand Made")
    generate.click()
    expect(page.get_by_role("alert")).to_contain_text("Invoice June 2026 for hand-made first.")
    expect(field).to_have_value("Hand Made")
    assert found_by_axe(page) == []
    page.get_by_role("button", name="Generate June 2026 first").click()
    expect(page.get_by_text("Invoice HAND-MADE-0001 for June 2026 created")).to_be_visible()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_have_text("")
    expect(month_field(page)).to_have_value("2026-07")
    generate.click()
    page.wait_for_url("**/invoices/HAND-MADE-0002")
    expect(page.get_by_text("Invoice HAND-MADE-0002 for July 2026 created")).to_be_visible()
    expect(page.get_by_role("article")).to_contain_text("$29.00")


def test_existing_invoice_is_linked_from_the_refusal(authenticated: Page) -> None:
    page = authenticated
    page.goto("/invoices")
    choose_month(page, "Generate invoice", "2026-10")
    page.keyboard.type("acme")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text(f"October 2026 is already invoiced ({ACME_OCTOBER}).")
    expect(page.get_by_role("link", name=f"Open {ACME_OCTOBER}")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/invoices/{ACME_OCTOBER}")
    expect(page.get_by_role("article")).to_be_visible()


def test_ambiguous_customer_is_asked_for_again(authenticated: Page) -> None:
    page = authenticated
    page.goto("/invoices")
    page.get_by_role("button", name="Generate invoice").click()
    field = page.get_by_label("Customer", exact=True)
    for wanted, said in (
        ("", "Must not be empty."),
        ("branch", re.compile(r"^This is only part of a customer's name or key\. Did you mean .*branch")),
        ("no one of that name", "This is not the name or key of a customer."),
    ):
        field.fill(wanted)
        page.get_by_role("dialog").get_by_role("button", name="Generate invoice").click()
        expect(field).to_have_accessible_description(said)


def test_failed_run_says_why_and_is_run_again(authenticated: Page, site: Site) -> None:
    with site.database.transaction(SYSTEM) as session:
        run = runs.start_run(session, SYSTEM, date(2023, 1, 1)).public_id
        reason = Reason("database_refused", facts={"sqlstate": "53100"})
        count_failed_attempt(session, SYSTEM, run, reason, attempts_max=1)
    page = authenticated
    page.goto(f"/invoices?run={run}")
    shown = page.get_by_role("region", name="Invoice run")
    expect(shown).to_contain_text("Invoice run for January 2023 failed")
    expect(shown).to_contain_text("The database reported error 53100.")
    assert found_by_axe(page) == []
    shown.get_by_role("button", name="Run again").click()
    expect(page).not_to_have_url(re.compile(f"run={run}$"))
    expect(shown).to_contain_text("Invoice run for January 2023 is done")
    last = page.get_by_role("table", name="Recent invoice runs").locator("tbody tr")
    expect(last.nth(0)).to_contain_text("Done")
    expect(last.nth(1)).to_contain_text("Failed")


def test_admin_runs_invoices_for_a_month(authenticated: Page, site: Site) -> None:
    customer(site, "run-fine", MAY)
    customer(site, "run-behind", APRIL)
    page = authenticated
    page.goto("/invoices")
    page.get_by_role("button", name="Run invoices for a month").click()
    expect(page.get_by_role("dialog")).to_contain_text(re.compile("for all [0-9]+ customers"))
    expect(month_field(page)).to_have_value("2026-10")
    page.keyboard.press("Escape")
    run = run_month(page, "2026-05")
    expect(run).to_contain_text("Invoice run for May 2026 is done")
    for words in ("Created", "Existing", "Skipped", "Failed"):
        expect(run).to_contain_text(words)
    failures = run.get_by_role("list", name="Failed customers")
    expect(failures).to_contain_text("Invoice April 2026 for run-behind first.")
    assert found_by_axe(page) == []
    failures.get_by_role("link", name="run-behind").click()
    page.wait_for_url("**/customers/run-behind")
    page.goto("/invoices?search=run-fine")
    expect(rows(page)).to_contain_text(["RUN-FINE-0001"])
    last = page.get_by_role("table", name="Recent invoice runs").locator("tbody tr").first
    expect(last).to_contain_text("May 2026")
    expect(last).to_contain_text("Done")
    expect(last).to_contain_text("Ada Lovelace")
    last.get_by_role("link").click()
    expect(run).to_contain_text("Invoice run for May 2026 is done")
    run.get_by_role("link", name="Close invoice run").click()
    expect(run).to_have_count(0)


def test_run_continues_without_its_page_and_is_shown_again(
    authenticated: Page, context: BrowserContext, site: Site
) -> None:
    customer(site, "run-alone", JULY)
    authenticated.goto("/invoices")
    with blocked_runs(site):
        run = run_month(authenticated, "2026-07")
        expect(run).to_contain_text("Invoice run for July 2026 is running")
        expect(run).to_contain_text(re.compile("0 of [0-9]+ customers"))
        authenticated.close()
        again = context.new_page()
        again.goto("/invoices")
        found = again.get_by_role("region", name="Invoice run")
        expect(found).to_contain_text("Invoice run for July 2026 is running")
    expect(found).to_contain_text("Invoice run for July 2026 is done")
    again.goto("/invoices?search=run-alone")
    expect(rows(again)).to_contain_text(["RUN-ALONE-0001"])


def test_run_is_cancelled_after_confirmation(authenticated: Page, site: Site) -> None:
    customer(site, "run-stopped", JUNE)
    page = authenticated
    page.goto("/invoices")
    with blocked_runs(site):
        run = run_month(page, "2026-06")
        run.get_by_role("button", name="Cancel run").click()
        expect(page.get_by_role("dialog")).to_contain_text("Cancel the invoice run for June 2026?")
        expect(page.get_by_role("button", name="Keep running")).to_be_focused()
        assert found_by_axe(page) == []
        page.get_by_role("dialog").get_by_role("button", name="Cancel run").click()
        expect(page.get_by_text("Invoice run for June 2026 cancelled")).to_be_visible()
        expect(run).to_contain_text("Invoice run for June 2026 was cancelled")
    last = page.get_by_role("table", name="Recent invoice runs").locator("tbody tr").first
    expect(last).to_contain_text("Cancelled")


def test_finance_user_sees_invoices_without_actions(page: Page, sign_in: Callable[..., None]) -> None:
    sign_in(FINANCE, at="/login?next=/invoices?search=acme")
    expect(page.get_by_role("link", name=ACME_OCTOBER)).to_be_visible()
    expect(page.get_by_role("link", name="CSV")).to_be_visible()
    for name in ("Generate invoice", "Run invoices for a month", "Cancel run"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
