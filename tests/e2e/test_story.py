"""From an empty installation to a business that runs, step by step, as its people would take them.

Each step is a function of its own; a page that is new adds its step where it belongs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from billing_app import embedded
from billing_app.ui.layout import SECTIONS
from tests.conftest import new_database
from tests.e2e.conftest import serving

ADMIN, FINANCE = "root@harbour.test", "fay@harbour.test"
ADMIN_PASSWORD, FINANCE_PASSWORD = "seven grey herons wade", "four horses near a lake"
# What a button that writes begins with, on any page.
WRITES = re.compile(
    r"^(New|Add|Edit|Change|Save|Invite|Record|Import|Run|Generate|Archive|Suspend|Reactivate|Actions for|"
    r"Make|Revoke|Disable|Enable|Verify|Reverse|Cancel plan)\b"
)


@pytest.fixture
def url(server: embedded.Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on a new, empty database, told who its first admin is."""
    first_admin = {"BILLING_ADMIN_EMAIL": ADMIN, "BILLING_ADMIN_PASSWORD": ADMIN_PASSWORD}
    with new_database(server) as urls, serving(urls, tmp_path_factory.mktemp("story"), **first_admin) as at:
        yield at


def test_a_business_begins(browser: Browser, url: str) -> None:
    root = somebody(browser, url)
    sign_in(root, ADMIN, ADMIN_PASSWORD)
    there_is_nothing_yet_and_each_page_says_what_to_do(root)
    the_issuer_is_filled_in(root)
    a_plan_is_made(root)
    one_time = a_finance_person_is_invited(root)

    fay = somebody(browser, url)
    sign_in(fay, FINANCE, one_time)
    a_password_is_chosen(fay, one_time)
    finance_sees_everything_and_no_button_that_writes(fay)


def somebody(browser: Browser, url: str) -> Page:
    """A person with a browser of their own."""
    context = browser.new_context(base_url=url, viewport={"width": 1280, "height": 800})
    context.set_default_timeout(10_000)
    return context.new_page()


def go(page: Page, section: str) -> None:
    page.get_by_role("navigation", name="Main").get_by_role("link", name=section, exact=True).click()
    expect(page.get_by_role("heading", level=1, name=section)).to_be_visible()


def sign_in(page: Page, email: str, password: str) -> None:
    page.goto("/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def there_is_nothing_yet_and_each_page_says_what_to_do(page: Page) -> None:
    go(page, "Customers")
    expect(page.get_by_role("heading", name="Make a plan first")).to_be_visible()
    go(page, "Plans")
    expect(page.get_by_role("heading", name="No plans yet")).to_be_visible()
    go(page, "Settings")
    expect(page.get_by_text("Nothing is filled in yet")).to_be_visible()
    page.get_by_role("link", name="API tokens").click()
    expect(page.get_by_role("heading", name="No API tokens yet")).to_be_visible()


def the_issuer_is_filled_in(page: Page) -> None:
    go(page, "Settings")
    page.get_by_label("Name").fill("Harbour Ltd")
    page.get_by_label("Email").fill("billing@harbour.test")
    page.get_by_label("Address").fill("1 Quay Street\nBristol")
    page.get_by_label("Payment instructions").fill("By bank transfer")
    page.get_by_role("button", name="Save issuer").click()
    expect(page.get_by_text("The issuer is saved")).to_be_visible()
    expect(page.get_by_text("Nothing is filled in yet")).to_have_count(0)


def a_plan_is_made(page: Page) -> None:
    go(page, "Plans")
    page.get_by_role("button", name="New plan").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("Growth")
    dialog.get_by_label("Monthly price").fill("29.00")
    dialog.get_by_label("Included units").fill("1000")
    dialog.get_by_label("Price of a unit beyond").fill("0.0125")
    dialog.get_by_role("button", name="Save plan").click()
    expect(page.get_by_role("article", name="Growth")).to_contain_text("$29.00")


def a_finance_person_is_invited(page: Page) -> str:
    """Answers the one-time password, as it is read from the screen."""
    go(page, "Users")
    page.get_by_role("button", name="Invite somebody").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Email").fill(FINANCE)
    dialog.get_by_label("Name").fill("Fay Figures")
    dialog.get_by_label("Role").select_option("Finance")
    dialog.get_by_role("button", name="Invite", exact=True).click()
    expect(dialog).to_contain_text("A one-time password for Fay Figures")
    shown = dialog.locator("[data-secret]")
    expect(shown).not_to_be_empty()
    one_time = shown.inner_text()
    dialog.get_by_role("button", name="Done").click()
    expect(page.get_by_role("row", name="Fay Figures")).to_contain_text("One-time password")
    return one_time


def a_password_is_chosen(page: Page, one_time: str) -> None:
    expect(page.get_by_role("heading", name="Choose your password")).to_be_visible()
    page.get_by_label("Present password").fill(one_time)
    page.get_by_label("New password").fill(FINANCE_PASSWORD)
    page.get_by_role("button", name="Save password").click()
    expect(page.get_by_role("navigation", name="Main")).to_be_visible()


def finance_sees_everything_and_no_button_that_writes(page: Page) -> None:
    for section in SECTIONS:
        if section.admins_only:
            expect(page.get_by_role("link", name=section.title, exact=True)).to_have_count(0)
            continue
        go(page, section.title)
        expect(page.get_by_text("Read-only")).to_be_visible()
        expect(page.locator("main [aria-busy=true]")).to_have_count(0)
        expect(page.get_by_role("heading", name="This could not be loaded")).to_have_count(0)
        assert (section.title, page.get_by_role("button", name=WRITES).all_inner_texts()) == (
            section.title,
            [],
        )
    go(page, "Plans")
    expect(page.get_by_role("article", name="Growth")).to_contain_text("$29.00")
    go(page, "Settings")
    expect(page.get_by_text("1 Quay Street")).to_be_visible()
    expect(page.get_by_role("textbox", name="Name")).to_have_count(0)
