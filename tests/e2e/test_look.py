"""Every page in light and dark, wide and narrow: accessible, and never wider than the screen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.e2e.business import ACME_OCTOBER, ADMIN, PASSWORD
from tests.e2e.conftest import Site

Theme = Literal["light", "dark"]
PAGES = {
    "/": "Largest customers",
    "/customers": "Acme Industrial Supply",
    "/plans": "Growth",
    "/plans?show=archived": "Archived",
    "/plans/meters": "Sum of quantities",
    "/plans/meters?show=archived": "Archived",
    "/plans/simulate": "New simulation",
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


SEVERE = ("serious", "critical")
# Each differs from the one before in one respect.
LOOKS: tuple[tuple[Theme, int], ...] = (("light", 1440), ("dark", 1440), ("dark", 360), ("light", 360))
ENDED = "Promise.all(document.getAnimations().filter((each) => each.playState == 'running').map(ended))"
# Colors change gradually, except those of a waiting sign, which never end. A change has also ended if
# something else replaced it.
CHANGE_ENDS = (
    "const ended = (each) => each.effect.getTiming().iterations == Infinity"
    f" || each.finished.catch(() => null); {ENDED}"
)


def found_by_axe(page: Page) -> list[str]:
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found if each["impact"] in SEVERE]


@pytest.fixture(scope="module")
def visitor(browser: Browser, site: Site) -> Iterator[Page]:
    """Return a page that nobody is signed in on."""
    context = browser.new_context(base_url=site.url)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def problems(visitor: Page) -> list[str]:
    """Collect the errors of the page's console, and what it fetches from other hosts."""
    found: list[str] = []
    visitor.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    visitor.on("pageerror", lambda error: found.append(str(error)))
    visitor.on(
        "request", lambda request: found.append(request.url) if "//localhost:" not in request.url else None
    )
    return found


def assert_accessible_and_fitting(page: Page) -> None:
    """Look at the open page in both themes and on a wide and a narrow screen."""
    for theme, width in LOOKS:
        page.emulate_media(color_scheme=theme)
        page.set_viewport_size({"width": width, "height": 800})
        expect(page.locator("html")).to_have_class(theme)
        page.evaluate(CHANGE_ENDS)
        beside = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert (theme, width, beside) == (theme, width, 0)
        assert (theme, width, found_by_axe(page)) == (theme, width, [])


@pytest.mark.parametrize("address", ["/login", *PAGES])
def test_page_is_accessible_and_fits(visitor: Page, problems: list[str], site: Site, address: str) -> None:
    problems.clear()
    if address == "/login":
        visitor.context.clear_cookies()
    else:
        visitor.request.post(f"{site.url}/api/v1/auth/session", data={"email": ADMIN, "password": PASSWORD})
    visitor.goto(address)
    expected = PAGES.get(address, "Sign in")
    expect(visitor.get_by_text(expected).filter(visible=True).first).to_be_visible()
    assert_accessible_and_fitting(visitor)
    assert problems == []


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
