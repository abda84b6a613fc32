"""Takes screenshots of every page: with the demo and empty, light and dark, wide and narrow.

`make screenshots` writes them to the folder screenshots/, which git ignores.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from billing_app.database.embedded import cluster
from billing_app.database.provision import create_database, urls_of
from billing_app.services.identity.demo_accounts import DEMO_USERS
from tests.browser import find_browser
from tests.e2e.conftest import BROWSER_FLAGS, serving

FOLDER = Path(__file__).parents[2] / "screenshots"
FIRST_ADMIN = ("admin@example.com", "seven quiet lighthouses")
PAGES = [
    "/", "/customers", "/plans", "/plans/meters", "/plans/simulate", "/usage", "/usage/imports", "/invoices",
    "/verify", "/audit",
    "/settings", "/settings/account", "/settings/tokens", "/users", "/nowhere",
]  # fmt: skip
DEMO_PAGES = [
    "/customers/clover",
    "/invoices/CLOVER-0005?line=2",
    "/invoices?status=overdue",
    # A month under two plans, and a customer with credit.
    "/invoices/STAYFINCH-0009",
    "/customers/granite",
]
# Dialogs: the page and the button that opens them.
DIALOGS = [
    ("/customers", "New customer"),
    ("/customers/clover", "Record usage"),
    ("/customers/clover", "Edit customer"),
    ("/plans", "New plan"),
    ("/plans/simulate", "New simulation"),
    ("/usage", "Record usage"),
    ("/invoices", "Run invoices for a month"),
    ("/invoices", "Generate invoice"),
    ("/settings/tokens", "New token"),
    ("/users", "Invite user"),
]
THEMES = ("light", "dark")
WIDTHS = (1440, 768, 390)


def main() -> None:
    """Take screenshots of the demo and of an empty installation."""
    FOLDER.mkdir(exist_ok=True)
    email, password = FIRST_ADMIN
    demo_admin = (DEMO_USERS[0].email, DEMO_USERS[0].password)
    path = find_browser()
    with cluster.use_temporary_server() as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=BROWSER_FLAGS)
        for kind, account, pages, settings in (
            ("demo", demo_admin, PAGES + DEMO_PAGES, {"BILLING_DEMO": "1"}),
            ("empty", FIRST_ADMIN, PAGES, {"BILLING_ADMIN_EMAIL": email, "BILLING_ADMIN_PASSWORD": password}),
        ):
            create_database(server, kind)
            with (
                tempfile.TemporaryDirectory() as data,
                serving(urls_of(server, kind), Path(data), **settings) as url,
            ):
                _take_all(browser, url, kind, account, pages)
        browser.close()


def _take_all(browser: Browser, url: str, kind: str, account: tuple[str, str], pages: list[str]) -> None:
    for theme in THEMES:
        for width in WIDTHS:
            context = browser.new_context(
                base_url=url, color_scheme=theme, viewport={"width": width, "height": 900},
                timezone_id="Europe/Berlin", reduced_motion="reduce",
            )  # fmt: skip
            page = context.new_page()
            page.goto("/login")
            page.get_by_label("Email").wait_for()
            _take(page, f"{kind}-{theme}-{width}-login")
            page.get_by_label("Email").fill(account[0])
            page.get_by_label("Password").fill(account[1])
            page.get_by_role("button", name="Sign in").click()
            page.locator("#content").wait_for()
            for address in pages:
                page.goto(address)
                page.locator("main").wait_for()
                _take(page, f"{kind}-{theme}-{width}-{_named(address)}")
            for address, button in DIALOGS if kind == "demo" else []:
                page.goto(address)
                page.get_by_role("button", name=button, exact=True).first.click()
                page.get_by_role("dialog").wait_for()
                _take(page, f"{kind}-{theme}-{width}-{_named(address)}-{_named(button)}", full=False)
            context.close()


def _named(address: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", address.lower()).strip("-") or "dashboard"


# Charts adapt to the width of their frame shortly after they are drawn.
_CHARTS_FIT = """() => [...document.querySelectorAll("[data-drawing]:not(:has(polyline))")].every((frame) => {
  const chart = frame.querySelector("svg.recharts-surface")
  return !frame.clientWidth || (chart && Math.abs(chart.clientWidth - frame.clientWidth) < 2)
})"""


def _take(page: Page, name: str, *, full: bool = True) -> None:
    # Wait until everything is loaded and drawn.
    expect(page.locator(".animate-pulse")).to_have_count(0)
    page.wait_for_timeout(500)
    page.wait_for_function(_CHARTS_FIT)
    page.screenshot(path=FOLDER / f"{name}.png", full_page=full)
    print(f"{name}.png", flush=True)


if __name__ == "__main__":
    main()
