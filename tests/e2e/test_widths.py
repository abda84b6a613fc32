"""At any width, no page scrolls sideways and no number is cut off, even with very long texts and amounts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest
from playwright.sync_api import Browser, Page, TimeoutError, expect

from billing_app.database.embedded import cluster
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Role
from billing_app.jobs.simulations import request_simulation, resume_simulation
from billing_app.services.customers import customers
from billing_app.services.identity import users
from billing_app.services.plans import meters, plans
from billing_app.services.plans.charges import ChargeTerms
from billing_app.services.simulations.rows import CustomersGiven, TermsGiven
from billing_app.services.usage import recording
from tests.conftest import new_database
from tests.e2e.business import ADMIN, PASSWORD, TimedActions, create_business
from tests.e2e.conftest import Site, serving

WIDTHS = (1440, 1280, 1150, 1024, 1023, 955, 875, 820, 768, 767, 700, 639, 540, 430, 390, 360, 320)
LONG = "Rechtsschutzversicherungsgesellschaften" * 4
LONG_KEY = "rechtsschutzversicherungsgesellschaften-9001"  # 44 letters, as the number of its invoices begins
START = datetime(2026, 8, 3, 9, tzinfo=UTC)
PAGES = (
    "/", "/customers", f"/customers/{LONG_KEY}", "/plans", "/plans/meters",
    "/plans/simulate", "/usage", f"/usage?customer={LONG_KEY}",
    "/usage/imports", "/invoices", "/invoices?status=outstanding", "/invoices/ACME-0003?line=2",
    "/verify", "/audit", "/settings", "/settings/account", "/settings/tokens", "/users", "/nowhere",
)  # fmt: skip

# Elements that contain a long number and cut off part of it.
CUT_NUMBERS = r"""() => [...document.querySelectorAll("main *")].filter((each) => {
  const text = [...each.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data).join("")
  if (!/\d[\d,.]{7,}/.test(text) || !each.checkVisibility()) return false
  for (let box = each; box && box.tagName !== "MAIN"; box = box.parentElement) {
    const overflow = getComputedStyle(box).overflowX
    if (overflow === "auto" || overflow === "scroll") return false
    if ((overflow === "hidden" || overflow === "clip") && box.scrollWidth > box.clientWidth + 1) return true
  }
  return false
}).map((each) => each.textContent)"""
FITS = "() => document.documentElement.scrollWidth <= document.documentElement.clientWidth"
BEYOND = """() => {
  const width = document.documentElement.clientWidth
  const inside = (each) => each.closest("[popover], dialog, .sr-only") ||
    [...(function* () { for (let box = each.parentElement; box; box = box.parentElement) yield box })()]
      .some((box) => getComputedStyle(box).overflowX !== "visible")
  return document.documentElement.scrollWidth <= width ? [] : [...document.querySelectorAll("body *")]
    .filter((each) => each.checkVisibility() && each.getBoundingClientRect().right > width + 0.5 && !inside(each))
    .map((each) => each.outerHTML.slice(0, 150)).slice(-3)
}"""


def _grow(database: Database) -> None:
    """Add names, keys and prices of the maximum length, and sums of more than 20 digits."""
    actions = TimedActions(database)
    create_plan, create_customer = plans.create_plan, customers.create_customer
    actions.at(
        START, meters.create_meter, code="m" * 63, name=LONG, unit="u" * 63, aggregation="unique",
        event_type="t" * 255,
    )  # fmt: skip
    dear = actions.at(
        START, create_plan, name=LONG, currency="USD", monthly_price="1234567.89",
        included_units="99999999999999", overage_unit_price="1234567.89",
    )  # fmt: skip
    huge = actions.at(
        START, create_plan, name="Huge", currency="JPY", monthly_price="99999999999999",
        included_units="0", overage_unit_price="9999999",
    )  # fmt: skip
    for key, name, plan in ((LONG_KEY, LONG, dear), ("huge", "Huge", huge), ("vast", f"{LONG} 2", huge)):
        actions.at(
            START, create_customer, name=name, email=f"{key[:20]}.{'x' * 40}@{'y' * 50}.example",
            plan_id=plan.plan_id, key=key, billing_address=f"{LONG}\n{'9' * 100}",
        )  # fmt: skip
        report = recording.UsageReport(key, "k" * 200, "9999999999999", START)
        actions.at(START, recording.record_usage, report)
        actions.invoice(datetime(2026, 9, 1, 6, tzinfo=UTC), key, date(2026, 8, 1))
    for currency in ("EUR", "GBP", "CHF", "SEK", "KWD", "INR"):
        plan = actions.at(
            START, create_plan, name=f"Plan {currency}", currency=currency, monthly_price="9999999.00",
            included_units="1", overage_unit_price="1",
        )  # fmt: skip
        key = currency.lower()
        email = f"{key}@example.com"
        actions.at(START, create_customer, name=key, email=email, plan_id=plan.plan_id, key=key)
        actions.invoice(datetime(2026, 9, 1, 6, tzinfo=UTC), key, date(2026, 8, 1))
    _simulate(database)
    actions.at(START, users.create_user, email=f"{'u' * 60}@{'v' * 60}.example", name=LONG, role=Role.BILLING)


def _simulate(database: Database) -> None:
    """Simulate prices with differences of more than 20 digits."""
    charges = [ChargeTerms("per_unit", included_units="0", unit_price="5000000")]
    request_simulation(
        database, SYSTEM, period_start=date(2026, 8, 1), customers=CustomersGiven(currency="JPY"),
        terms=TermsGiven("JPY", "1", charges),
    )  # fmt: skip
    resume_simulation(database)


@pytest.fixture(scope="module")
def long_site(server: cluster.Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Serve the usual business with very long texts and amounts."""
    with new_database(server) as urls:
        database = Database(urls.application)
        create_business(database)
        _grow(database)
        with serving(urls, tmp_path_factory.mktemp("long")) as url:
            yield Site(url, urls, database)
        database.close()


@pytest.fixture
def long_page(browser: Browser, long_site: Site) -> Iterator[Page]:
    context = browser.new_context(base_url=long_site.url, viewport={"width": 1440, "height": 900})
    context.request.post("/api/v1/auth/session", data={"email": ADMIN, "password": PASSWORD})
    yield context.new_page()
    context.close()


def problems_of(page: Page) -> list[str]:
    """Return the widths at which the page scrolls sideways or cuts off a number."""
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        try:
            # Charts adapt shortly after the page has its new width.
            page.wait_for_function(FITS, timeout=2000)
        except TimeoutError:
            found.append(f"{width}: beside the screen: {page.evaluate(BEYOND)}")
        found += [f"{width}: cut: {text}" for text in page.evaluate(CUT_NUMBERS)]
    return found


def test_no_page_scrolls_sideways_or_cuts_numbers(long_page: Page) -> None:
    page, found = long_page, {}
    page.goto("/invoices?search=rechts")
    addresses = [*PAGES, page.get_by_role("link", name="RECHTS").first.get_attribute("href") or ""]
    for address in addresses:
        page.set_viewport_size({"width": WIDTHS[0], "height": 900})
        page.goto(address)
        page.locator("main").first.wait_for()
        expect(page.locator("[data-skeleton], .animate-pulse")).to_have_count(0)
        if problems := problems_of(page):
            found[address] = problems
    assert not found, json.dumps(found, indent=1)
