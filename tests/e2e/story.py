"""Navigation for the story, and the controls of a page that write something."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from playwright.sync_api import Browser, Locator, Page, expect

from billing_app.domain.periods import next_period, period_of, previous_period
from billing_app.ui.kit.layout import SECTIONS

# All buttons except those that only show something. A new button counts as writing unless it is listed here.
WRITES = re.compile(r"^(?!(Show|Hide|Print|Previous|Next|Copy|Close getting started)\b)")
# The longest time that background work takes on a busy machine.
ENDS_WITHIN_MS = 60_000
THIS = period_of(datetime.now(UTC))
NEXT, LAST = next_period(THIS), previous_period(THIS)


def open_browser(browser: Browser, url: str) -> Page:
    """Open a page in a new browser, an hour or two ahead of UTC."""
    context = browser.new_context(
        base_url=url, viewport={"width": 1280, "height": 800}, timezone_id="Europe/Berlin"
    )
    context.set_default_timeout(10_000)
    return context.new_page()


def go(page: Page, section: str) -> None:
    page.get_by_role("navigation", name="Main").get_by_role("link", name=section, exact=True).click()
    expect(page.get_by_role("heading", level=1, name=section)).to_be_visible()


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog")


def rows(page: Page, table: str) -> Locator:
    return page.get_by_role("table", name=table, exact=True).locator("tbody tr")


def to_customer(page: Page, name: str) -> None:
    go(page, "Customers")
    page.get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_role("heading", level=1, name=name)).to_be_visible()


def to_invoice(page: Page, number: str) -> None:
    go(page, "Invoices")
    page.get_by_role("link", name=number, exact=True).click()
    expect(page.get_by_role("article")).to_contain_text(number)


def to_import(page: Page, file: str) -> None:
    go(page, "Usage")
    page.get_by_role("link", name="Imports", exact=True).click()
    page.get_by_role("link", name=file).first.click()
    expect(page.get_by_role("heading", level=2, name=file)).to_be_visible()


def sign_in(page: Page, email: str, password: str) -> None:
    page.goto("/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def record(page: Page, customer: str, quantity: str, moment: str = "") -> None:
    """Record usage in the dialog of the usage page, by default at the current time."""
    go(page, "Usage")
    page.get_by_role("button", name="Record usage").first.click()
    dialog(page).get_by_label("Customer").fill(customer)
    dialog(page).get_by_label("Quantity").fill(quantity)
    dialog(page).get_by_label("Time").fill(moment)
    dialog(page).get_by_role("button", name="Record usage").click()


def every_page(page: Page) -> Iterator[str]:
    """Open page after page and yield the name of each."""
    for section in SECTIONS:
        if not section.admins_only:
            go(page, section.title)
            yield section.title
    to_customer(page, "Borough Bakers")
    yield "a customer"
    for number in ("ACME-SUPPLY-0001", "BOROUGH-BAKERS-0001"):
        to_invoice(page, number)
        yield number
    to_import(page, "later.csv")
    yield "an import"


def writing(page: Page) -> list[str]:
    """Return the controls of the open page that write something."""
    expect(page.locator("main [aria-busy=true]")).to_have_count(0)
    expect(page.get_by_role("heading", name="This page could not be loaded")).to_have_count(0)
    main = page.get_by_role("main")
    fields = main.get_by_role("textbox").or_(main.locator("input[type=file]"))
    found = main.get_by_role("button", name=WRITES).or_(fields)
    return [each.evaluate("it => it.ariaLabel || it.name || it.innerText") for each in found.all()]
