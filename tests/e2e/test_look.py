"""Every page in light and dark, wide and narrow: accessible, and never wider than the screen."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.e2e.business import ACME_OCTOBER, ADMIN, PASSWORD
from tests.e2e.conftest import Site

PAGES = {
    "/": "Largest customers",
    "/customers": "Acme Industrial Supply",
    "/plans": "Growth",
    "/plans?show=archived": "Archived",
    "/customers?search=zzz": "No customer matches",
    "/customers/acme": ACME_OCTOBER,
    "/customers/quiet": "No invoices yet",
    "/customers/missing": "Customer not found",
    "/usage?customer=acme": ACME_OCTOBER,
    "/usage?customer=branch": "Which customer?",
    "/usage?customer=quiet": "No usage matches",
    "/usage/imports": "Choose a CSV file",
    "/usage/imports/imp_999999": "Import not found",
    "/invoices?search=acme": ACME_OCTOBER,
    "/invoices?search=zzz": "No invoices match",
    "/invoices?age=current&currency=USD": ACME_OCTOBER,
    f"/invoices/{ACME_OCTOBER}?line=2": "oct-000",
    "/invoices/MISSING-0001": "Invoice not found",
    "/verify": "Start verification",
    "/audit": "Signed in",
    "/audit?subject=acme": "Customer created",
    "/audit?subject=missing": "No matching entries",
    "/settings": "Payment instructions",
    "/settings/account": "Current",
    "/settings/tokens": "Authorization: Bearer",
    "/users": "Finn Ance",
    "/users?search=zzz": "No matching users",
}


@pytest.fixture(params=["light", "dark"])
def themed(request: pytest.FixtureRequest, browser: Browser, site: Site):
    made = browser.new_context(base_url=site.url, color_scheme=request.param)
    yield made
    made.close()


def found_by_axe(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found if each["impact"] in SEVERE]


SEVERE = ("serious", "critical")


@pytest.mark.parametrize("width", [1440, 360])
def test_pages_are_accessible_and_fit(
    themed, width: int, console_problems: Callable[[Page], list[str]]
) -> None:
    page = themed.new_page()
    page.set_viewport_size({"width": width, "height": 800})
    problems = console_problems(page)
    page.goto("/login")
    expect(page.get_by_label("Email")).to_be_visible()
    assert not found_by_axe(page)
    page.get_by_label("Email").fill(ADMIN)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/")
    for address, expected in PAGES.items():
        page.goto(address)
        expect(page.get_by_text(expected).filter(visible=True).first).to_be_visible()
        beside = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert (address, beside) == (address, 0)
        assert (address, found_by_axe(page)) == (address, [])
    assert problems == []


@pytest.fixture
def console_problems() -> Callable[[Page], list[str]]:
    """Collect the errors of a page's console, and what it fetches from other hosts."""

    def listen(page: Page) -> list[str]:
        problems: list[str] = []
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request",
            lambda request: problems.append(request.url) if "//localhost:" not in request.url else None,
        )
        return problems

    return listen


def test_selected_theme_is_kept(signed_in: Page) -> None:
    html = signed_in.locator("html")
    signed_in.get_by_role("button", name="Dark theme").click()
    expect(html).to_have_class("dark")
    signed_in.reload()
    expect(html).to_have_class("dark")
    signed_in.get_by_role("button", name="Light theme").click()
    expect(html).to_have_class("light")


def test_navigation_becomes_a_drawer_on_narrow_screens(signed_in: Page) -> None:
    signed_in.set_viewport_size({"width": 390, "height": 800})
    drawer = signed_in.locator("#navigation")
    expect(drawer).to_be_hidden()
    signed_in.get_by_role("button", name="Open navigation").click()
    expect(drawer.get_by_role("link", name="Customers")).to_be_visible()
    signed_in.keyboard.press("Escape")
    expect(drawer).to_be_hidden()


def test_row_is_opened_by_keyboard(signed_in: Page) -> None:
    row = signed_in.get_by_role("link", name="Acme Industrial Supply")
    expect(row).to_be_visible()
    signed_in.get_by_role("link", name="Created").focus()
    signed_in.keyboard.press("Tab")
    expect(row).to_be_focused()
    signed_in.keyboard.press("Enter")
    signed_in.wait_for_url("**/customers/acme")
