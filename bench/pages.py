"""Response times of pages in Chromium, from a click to the last change on the screen.

bench/recorder.js records the input, the websocket messages, and the frame in which the rows of the response
are drawn, so nothing depends on fixed waiting times.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Error, Locator, Page, sync_playwright

from bench.databases import Bench, settle
from bench.http import Served
from bench.ingest import ACTOR
from bench.measures import say
from billing_app.domain.actor import Role
from billing_app.services.identity.users import create_user
from tests.browser import find_browser
from tests.e2e.conftest import BROWSER_FLAGS

EMAIL, PASSWORD = "bench@bench.test", "a quiet harbour at noon"
RECORDER = Path(__file__).parent / "recorder.js"
LOAD, DIALOG, TOAST = "load", "dialog", "toast"
FIRST_LOAD = "first load"
_Taken = tuple[float, float]


@dataclass(frozen=True, slots=True)
class UserAction:
    """An action of a user: the row that reports it, the function that does it, and what it waits for."""

    what: str
    do: Callable[[Page], None]
    answer: str = LOAD


@dataclass(frozen=True, slots=True)
class Times:
    """The median and 95th percentile in ms until the result is visible, and the median wait for the
    server."""

    p50_ms: float
    p95_ms: float
    server_p50_ms: float


def section(title: str) -> Callable[[Page], None]:
    """Open a section of the navigation."""
    return lambda page: (
        page.get_by_role("navigation", name="Main").get_by_role("link", name=title, exact=True).click()
    )


def link(name: str) -> Callable[[Page], None]:
    """Follow a link on the page."""
    return lambda page: page.locator("main").get_by_role("link", name=name, exact=True).click()


def sort(title: str) -> Callable[[Page], None]:
    """Sort by a column."""
    return lambda page: page.get_by_role("columnheader", name=title).get_by_role("link").click()


def choose(label: str, *, nth: int) -> Callable[[Page], None]:
    """Select an option of a filter."""
    return lambda page: _filters(page).get_by_label(label, exact=True).select_option(index=nth) and None


def search(label: str, text: str) -> Callable[[Page], None]:
    """Type into a filter. The delay before the search starts is not counted."""
    return lambda page: (
        _filters(page)
        .get_by_label(label, exact=True)
        .evaluate("(field, text) => { field.value = text; field.form.requestSubmit(); }", text)
    )


def _filters(page: Page) -> Locator:
    return page.locator("[data-filters]")


def first_row(page: Page) -> None:
    """Open the first row of a list."""
    page.locator("tbody tr a").first.click()


def open_record(page: Page) -> None:
    """Open the dialog for one event."""
    page.get_by_role("button", name="Record usage").click()


def record(page: Page) -> None:
    """Record one event of the customer whose usage is shown."""
    page.get_by_role("dialog").get_by_label("Quantity").fill("12.5")
    page.get_by_role("dialog").get_by_role("button", name="Record").click()


# One round. Each action starts on the page that the previous one led to.
TOUR = [
    UserAction("dashboard", section("Dashboard")),
    UserAction("customers", section("Customers")),
    UserAction("customers sorted", sort("Usage this month")),
    UserAction("customers sorted", sort("Outstanding")),
    UserAction("customers sorted", sort("Created")),
    UserAction("customers sorted", sort("Customer")),
    UserAction("customers, next page", link("Next")),
    UserAction("customers, next page", link("Next")),
    UserAction("customers filtered", choose("Status", nth=1)),
    UserAction("customers filtered", search("Plan", "Plan 3")),
    UserAction("plans", section("Plans")),
    UserAction("customers", section("Customers")),
    UserAction("customers searched", search("Search customers", "customer-77")),
    UserAction("customers searched", search("Search customers", "4711")),
    UserAction("one customer", first_row),
    UserAction("usage", section("Usage")),
    UserAction("usage, next page", link("Next")),
    UserAction("usage, next page", link("Next")),
    UserAction("usage filtered", choose("Usage month", nth=2)),
    UserAction("usage filtered", choose("Billed in", nth=2)),
    UserAction("usage filtered", link("Late only")),
    UserAction("usage imports", link("Imports")),
    UserAction("usage", link("Events")),
    UserAction("usage filtered", search("Customer", "customer-4711")),
    UserAction("dialog opened", open_record, DIALOG),
    UserAction("usage recorded", record, TOAST),
    UserAction("invoices", section("Invoices")),
    UserAction("invoices, next page", link("Next")),
    UserAction("invoices, next page", link("Next")),
    UserAction("invoices filtered", choose("Period", nth=2)),
    UserAction("invoices filtered", choose("Status", nth=1)),
    UserAction("invoices filtered", sort("Period")),
    UserAction("audit", section("Audit log")),
    UserAction("invoices", section("Invoices")),
    UserAction("invoices searched", search("Search invoices", "customer-77-0002")),
    UserAction("one invoice", first_row),
    UserAction("audit", section("Audit log")),
    UserAction("audit, next page", link("Next")),
    UserAction("audit, next page", link("Next")),
    UserAction("audit filtered", choose("Person", nth=1)),
    UserAction("audit filtered", search("Subject", "customer-4711")),
]


def page_times(bench: Bench, server: Served, rounds: int) -> dict[str, Times]:
    """Measure each action as an admin, after a warm-up round, and then page loads with an empty cache."""
    _add_user(bench)
    settle(bench)
    found: defaultdict[str, list[_Taken]] = defaultdict(list)
    with _browser() as browser:
        context = _context(browser, server)
        page = _signed_in(context)
        for action in TOUR:
            _taken(page, action)
        for action in TOUR * rounds:
            found[action.what].append(_taken(page, action))
        found[FIRST_LOAD] = [
            _first_load(_context(browser, server, storage_state=context.storage_state()))
            for _ in range(max(2, rounds))
        ]
    times = {what: _times(taken) for what, taken in found.items()}
    for what, each in times.items():
        server_ms = f", of it {each.server_p50_ms:.0f} ms for the server" if each.server_p50_ms else ""
        say(f"page, {what}: p50 {each.p50_ms:.0f} ms{server_ms}; p95 {each.p95_ms:.0f} ms")
    return times


@contextmanager
def _browser() -> Iterator[Browser]:
    path = find_browser()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=BROWSER_FLAGS)
        yield browser
        browser.close()


def _context(browser: Browser, server: Served, **options: Any) -> BrowserContext:
    made = browser.new_context(
        base_url=f"http://localhost:{server.port}", viewport={"width": 1280, "height": 800}, **options
    )
    made.add_init_script(path=RECORDER)
    return made


def _signed_in(context: BrowserContext) -> Page:
    page = context.new_page()
    page.goto("/login")
    page.get_by_label("Email").fill(EMAIL)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("navigation", name="Main").wait_for()
    page.goto("/plans")
    _answer(page)
    return page


def _add_user(bench: Bench) -> None:
    database = bench.database()
    with database.transaction(ACTOR) as session:
        create_user(session, ACTOR, email=EMAIL, name="Bench", role=Role.ADMIN, password=PASSWORD)
    database.close()


def _first_load(context: BrowserContext) -> _Taken:
    page = context.new_page()
    page.goto("/customers", wait_until="commit")
    taken = _answer(page)
    context.close()
    return taken


def _taken(page: Page, action: UserAction) -> _Taken:
    """Measure the time in ms, and the part of it spent waiting for the server."""
    page.evaluate("answer => tallybookBench.arm(answer)", action.answer)
    try:
        action.do(page)
        return _answer(page)
    except Error as error:
        raise RuntimeError(f"{action.what}, at {page.url}: {error.message}") from error


def _answer(page: Page) -> _Taken:
    times = page.evaluate("() => tallybookBench.ended()")
    return times["shown"], times["server"]


def _times(taken: list[_Taken]) -> Times:
    shown = [each for each, _ in taken]
    return Times(median(shown), quantiles(shown, n=20)[18], median(server for _, server in taken))
