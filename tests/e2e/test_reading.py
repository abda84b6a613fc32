"""From the list of customers to the events behind an amount."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.e2e.business import ACME_OCTOBER, OCTOBER_EVENTS


def test_line_of_an_invoice_is_traced_to_its_events(signed_in: Page) -> None:
    page = signed_in
    page.get_by_role("link", name="Acme Industrial Supply").click()
    page.wait_for_url("**/customers/acme")
    row = page.get_by_role("row", name=ACME_OCTOBER)
    expect(row).to_contain_text("October 2026")
    expect(row).to_contain_text("$38.13")
    page.get_by_role("link", name=ACME_OCTOBER).click()

    expect(page.get_by_text("1,530 used − 1,000 included = 530 × $0.0125 = $6.625 → $6.63")).to_be_visible()
    for sentence in (
        "Before: 900 used, within the 1,000 included = $0.00",
        "Now: 1,200 used − 1,000 included = 200 × $0.0125 = $2.50",
        "$2.50 − $0.00 already charged = $2.50",
    ):
        expect(page.get_by_text(sentence)).to_be_visible()

    page.get_by_role("button", name="Show usage for Usage in October 2026").click()
    expect(page.get_by_role("figure")).to_contain_text("Usage per day")
    events = page.get_by_role("table", name="Events").locator("tbody tr")
    expect(events.first).to_contain_text("oct-000")
    expect(events.first).to_contain_text("Oct 2, 2026, 09:30:00")  # 07:30 UTC, in Berlin
    seen = []
    for _ in range(3):
        seen += [text.split("\n")[0] for text in events.locator("td:nth-child(2)").all_inner_texts()]
        turn = page.get_by_role("navigation", name="Event pages").get_by_role("button", name="Next")
        if turn.is_enabled():
            turn.click()
            expect(events.first).not_to_contain_text(seen[-20])
    assert seen == [f"oct-{number:03d}" for number in range(OCTOBER_EVENTS)]


def test_invoice_shows_payments_and_that_it_is_unchanged(authenticated: Page) -> None:
    authenticated.goto(f"/invoices/{ACME_OCTOBER}")
    sheet = authenticated.get_by_role("article")
    expect(sheet).to_contain_text("Tallybook Ltd")
    expect(sheet).to_contain_text(re.compile(r"Total\s*\$38\.13"))
    expect(sheet).to_contain_text(re.compile(r"Amount due\s*\$23\.13"))
    expect(sheet).to_contain_text("−$15.00")
    expect(authenticated.get_by_text("Unchanged since it was issued, and linked")).to_be_visible()


def test_opened_line_is_in_the_address(authenticated: Page) -> None:
    authenticated.goto(f"/invoices/{ACME_OCTOBER}")
    authenticated.get_by_role("button", name="Show usage for Usage in September 2026").click()
    expect(authenticated.get_by_text("sep-late")).to_be_visible()
    expect(authenticated).to_have_url(re.compile(r"\?line=3$"))
    authenticated.reload()
    expect(authenticated.get_by_text("sep-late")).to_be_visible()


def test_search_pagination_and_history_work_together(authenticated: Page) -> None:
    page = authenticated
    page.goto("/customers?search=branches.test")
    rows = page.get_by_role("table", name="Customers").locator("tbody tr")
    expect(rows).to_have_count(25)
    page.get_by_role("link", name="Next").click()
    expect(rows).to_have_count(5)
    expect(page).to_have_url(re.compile(r"[?&]page="))
    page.go_back()
    expect(rows).to_have_count(25)
    page.keyboard.press("/")
    page.keyboard.type("quiet")
    expect(rows).to_have_count(1)
    expect(page).to_have_url(re.compile(r"\?search=quiet$"))
    page.get_by_role("link", name="Quiet Corner").click()
    expect(page.get_by_text("No invoices yet")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("searchbox")).to_have_value("quiet")
    page.get_by_role("searchbox").fill("no such customer")
    expect(page.get_by_text("No customer matches")).to_be_visible()


def test_missing_page_says_so(authenticated: Page) -> None:
    for address, sentence in (
        ("/customers/missing", "Customer not found"),
        ("/invoices/MISSING-0001", "Invoice not found"),
        (f"/invoices/{ACME_OCTOBER[:-4]}9999", "Invoice not found"),
        ("/nothing/at/all", "Page not found"),
    ):
        authenticated.goto(address)
        expect(authenticated.get_by_role("heading", name=sentence)).to_be_visible()


def test_figures_of_one_customer_are_never_shown_for_another(authenticated: Page) -> None:
    authenticated.goto("/customers/acme")
    expect(authenticated.get_by_role("link", name=ACME_OCTOBER)).to_be_visible()
    authenticated.get_by_role("link", name="Customers").first.click()
    authenticated.get_by_label("Search customers").fill("quiet")
    authenticated.get_by_role("link", name="Quiet Corner").click()
    expect(authenticated.get_by_role("heading", name="Quiet Corner")).to_be_visible()
    expect(authenticated.get_by_text(ACME_OCTOBER)).to_have_count(0)
