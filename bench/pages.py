"""The pages as a user sees them: from a click in Chromium to the last change on the screen.

Nothing is waited for by guess: bench/recorder.js notes the input, what goes over the websocket, and
the frame in which the rows of the answer were drawn.
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
class Deed:
    """One action of a user: the row it is reported in, how it is done, and what ends it."""

    what: str
    do: Callable[[Page], None]
    answer: str = LOAD


@dataclass(frozen=True, slots=True)
class Times:
    """The median and the 95th percentile in ms until the answer was on the screen, and the median of
    the time in which the browser waited for the server."""

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
    """Choose an option of a filter."""
    return lambda page: _filters(page).get_by_label(label, exact=True).select_option(index=nth) and None


def search(label: str, text: str) -> Callable[[Page], None]:
    """Type into a filter. The pause that waits for more letters does not count."""
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


# One round. Each action starts where the one before it led to.
TOUR = [
    Deed("dashboard", section("Dashboard")),
    Deed("customers", section("Customers")),
    Deed("customers sorted", sort("Usage this month")),
    Deed("customers sorted", sort("Outstanding")),
    Deed("customers sorted", sort("Created")),
    Deed("customers sorted", sort("Customer")),
    Deed("customers, next page", link("Next")),
    Deed("customers, next page", link("Next")),
    Deed("customers filtered", choose("Status", nth=1)),
    Deed("customers filtered", search("Plan", "Plan 3")),
    Deed("plans", section("Plans")),
    Deed("customers", section("Customers")),
    Deed("customers searched", search("Search customers", "customer-77")),
    Deed("customers searched", search("Search customers", "4711")),
    Deed("one customer", first_row),
    Deed("usage", section("Usage")),
    Deed("usage, next page", link("Next")),
    Deed("usage, next page", link("Next")),
    Deed("usage filtered", choose("Usage month", nth=2)),
    Deed("usage filtered", choose("Billed in", nth=2)),
    Deed("usage filtered", link("Late only")),
    Deed("usage imports", link("Imports")),
    Deed("usage", link("Events")),
    Deed("usage filtered", search("Whose usage", "customer-4711")),
    Deed("dialog opened", open_record, DIALOG),
    Deed("usage recorded", record, TOAST),
    Deed("invoices", section("Invoices")),
    Deed("invoices, next page", link("Next")),
    Deed("invoices, next page", link("Next")),
    Deed("invoices filtered", choose("Period", nth=2)),
    Deed("invoices filtered", choose("Status", nth=1)),
    Deed("invoices filtered", sort("Period")),
    Deed("audit", section("Audit")),
    Deed("invoices", section("Invoices")),
    Deed("invoices searched", search("Search invoices", "customer-77-0002")),
    Deed("one invoice", first_row),
    Deed("audit", section("Audit")),
    Deed("audit, next page", link("Next")),
    Deed("audit, next page", link("Next")),
    Deed("audit filtered", choose("Person", nth=1)),
    Deed("audit filtered", search("Subject", "customer-4711")),
]


def page_times(bench: Bench, server: Served, rounds: int) -> dict[str, Times]:
    """Measure each action as an admin, after one round to warm up, and then pages opened with an empty
    browser cache."""
    _add_user(bench)
    settle(bench)
    found: defaultdict[str, list[_Taken]] = defaultdict(list)
    with _browser() as browser:
        context = _context(browser, server)
        page = _signed_in(context)
        for deed in TOUR:
            _taken(page, deed)
        for deed in TOUR * rounds:
            found[deed.what].append(_taken(page, deed))
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


def _taken(page: Page, deed: Deed) -> _Taken:
    """Measure the time in ms, and the part of it spent waiting for the server."""
    page.evaluate("answer => tallybookBench.arm(answer)", deed.answer)
    try:
        deed.do(page)
        return _answer(page)
    except Error as error:
        raise RuntimeError(f"{deed.what}, at {page.url}: {error.message}") from error


def _answer(page: Page) -> _Taken:
    times = page.evaluate("() => tallybookBench.ended()")
    return times["shown"], times["server"]


def _times(taken: list[_Taken]) -> Times:
    shown = [each for each, _ in taken]
    return Times(median(shown), quantiles(shown, n=20)[18], median(server for _, server in taken))
