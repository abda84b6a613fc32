"""The page of one customer: its figures and its actions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from billing_app.domain.actor import SYSTEM
from billing_app.domain.periods import next_period, period_of, previous_period
from billing_app.services.customers import customers, subscriptions
from billing_app.services.plans import plans
from billing_app.services.usage import recording
from billing_app.state.kit import text
from tests.e2e.business import BILLING, FINANCE, PASSWORD
from tests.e2e.conftest import Site
from tests.e2e.test_customers_page import growth
from tests.e2e.test_look import found_by_axe

pytestmark = pytest.mark.usefixtures("today")
THIS = period_of(datetime.now(UTC))
NEXT, LAST = next_period(THIS), previous_period(THIS)


def make(site: Site, name: str, first: date = THIS) -> str:
    with site.database.transaction(SYSTEM) as session:
        made = customers.create_customer(
            session, SYSTEM, name=name, email=f"{name.replace(' ', '.')}@one.test", plan_id=growth(site),
            start=first,
        )  # fmt: skip
    return made.key


def use(site: Site, key: str, event: str, quantity: str, at: datetime | None = None) -> None:
    with site.database.transaction(SYSTEM) as session:
        recording.record_usage(session, SYSTEM, recording.UsageReport(key, event, quantity, at))


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog")


def more(page: Page, action: str) -> None:
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name=action).click()
    expect(dialog(page)).to_be_visible()


@pytest.fixture
def colleague(browser: Browser, site: Site) -> Iterator[Page]:
    """A billing user in another browser."""
    context = browser.new_context(base_url=site.url, viewport={"width": 1280, "height": 800})
    context.set_default_timeout(10_000)
    page = context.new_page()
    page.goto("/login")
    page.get_by_label("Email").fill(BILLING)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/login" not in url)
    yield page
    context.close()


def test_page_shows_usage_and_the_upcoming_invoice(authenticated: Page, site: Site) -> None:
    key = make(site, "Xenon Works")
    use(site, key, "first-event", "1530")
    page = authenticated
    page.goto(f"/customers/{key}")
    used = page.get_by_role("region", name="Usage this month")
    expect(used).to_contain_text("1,530")
    expect(used).to_contain_text("of 1,000 included units (530 overage)")
    expect(used.locator(".recharts-area-curve")).to_be_visible()
    expect(used.locator(".recharts-reference-line-line")).to_have_count(1)
    used.get_by_role("button", name="Show as a table").click()
    today = text.day_of_month(datetime.now(UTC).date())
    expect(used.get_by_role("row", name=today)).to_have_text(f"{today}1,5301,530")
    expect(used.get_by_role("row")).to_have_count(datetime.now(UTC).day + 1)
    for words in (
        "Upcoming invoice",
        text.month(THIS),
        "1,530 used − 1,000 included = 530 × $0.0125 = $6.625 → $6.63",
        "$35.63",
        "first-event",
        "Customer created",
    ):
        expect(page.get_by_role("main")).to_contain_text(words)
    expect(page.get_by_role("link", name="All usage")).to_have_attribute("href", f"/usage?customer={key}")
    expect(page.get_by_role("link", name="All entries")).to_have_attribute(
        "href", re.compile(r"^/audit\?subject=cus_[0-9]+$")
    )


def test_concurrent_edits_show_the_other_persons_values(signed_in: Page, colleague: Page, site: Site) -> None:
    key = make(site, "Xylo Press")
    for page in (signed_in, colleague):
        page.goto(f"/customers/{key}")
        page.get_by_role("button", name="Edit customer").click()
        expect(dialog(page).get_by_label("Name", exact=True)).to_have_value("Xylo Press")
    dialog(colleague).get_by_label("Name", exact=True).fill("Xylo Printers")
    colleague.get_by_role("button", name="Save").click()
    expect(colleague.get_by_text("Xylo Printers updated")).to_be_visible()

    page = signed_in
    dialog(page).get_by_label("Name", exact=True).fill("Xylo Press GmbH")
    dialog(page).get_by_label("Billing address").fill("1 Press Yard")
    page.get_by_role("button", name="Save").click()
    expect(dialog(page)).to_contain_text("Someone else changed this")
    expect(dialog(page)).to_contain_text("Now: Xylo Printers")
    expect(dialog(page).get_by_text(re.compile("^Now: "))).to_have_count(1)
    expect(dialog(page).get_by_label("Name", exact=True)).to_have_value("Xylo Press GmbH")
    expect(dialog(page).get_by_label("Billing address")).to_have_value("1 Press Yard")
    assert found_by_axe(page) == []
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Xylo Press GmbH")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("1 Press Yard")


def test_invoice_generated_by_two_people_is_created_once(
    signed_in: Page, colleague: Page, site: Site
) -> None:
    key = make(site, "Xact Twins", LAST)
    pages = (signed_in, colleague)
    for page in pages:
        page.goto(f"/customers/{key}")
        expect(page.get_by_text(f"{text.month(LAST)} has ended and isn’t invoiced yet")).to_be_visible()
        page.get_by_role("button", name="Generate invoice").click()
        expect(dialog(page)).to_contain_text(f"Xact Twins will be invoiced $29.00 for {text.month(LAST)}.")
    for page in pages:
        # Without waiting for the response.
        dialog(page).get_by_role("button", name="Generate invoice").evaluate("it => { it.click() }")
    made = [page.get_by_text("Invoice XACT-TWINS-0001 for $29.00 created") for page in pages]
    told = [page.get_by_role("link", name="Open XACT-TWINS-0001") for page in pages]
    for mine, said in zip(made, told, strict=True):
        expect(mine.or_(said)).to_be_visible()
    assert sorted((mine.count(), said.count()) for mine, said in zip(made, told, strict=True)) == [
        (0, 1),
        (1, 0),
    ]
    winner, loser = pages if made[0].count() else pages[::-1]
    expect(winner.get_by_role("link", name="XACT-TWINS-0001")).to_be_visible()
    expect(winner.get_by_text("has ended and isn’t invoiced yet")).to_have_count(0)
    expect(dialog(loser)).to_contain_text(f"{text.month(LAST)} is already invoiced (XACT-TWINS-0001)")
    loser.get_by_role("link", name="Open XACT-TWINS-0001").click()
    loser.wait_for_url("**/invoices/XACT-TWINS-0001")
    expect(loser.get_by_role("article")).to_contain_text("$29.00")


def test_oldest_month_is_invoiced_first(authenticated: Page, site: Site) -> None:
    key = make(site, "Xray Two Months", previous_period(LAST))
    page = authenticated
    page.goto(f"/customers/{key}")
    for month, number in ((previous_period(LAST), "0001"), (LAST, "0002")):
        expect(page.get_by_text(f"{text.month(month)} has ended and isn’t invoiced yet")).to_be_visible()
        page.get_by_role("button", name="Generate invoice").click()
        dialog(page).get_by_role("button", name="Generate invoice").click()
        expect(page.get_by_role("row", name=f"XRAY-TWO-MONTHS-{number}")).to_contain_text(text.month(month))
    expect(page.get_by_role("button", name="Generate invoice")).to_have_count(0)


def test_suspending_asks_and_offers_to_cancel_instead(authenticated: Page, site: Site) -> None:
    key = make(site, "Xeno Held")
    page = authenticated
    page.goto(f"/customers/{key}")
    more(page, "Suspend customer")
    expect(dialog(page)).to_contain_text("The subscription continues")
    assert found_by_axe(page) == []
    dialog(page).get_by_role("button", name="Cancel subscription instead").click()
    expect(dialog(page)).to_have_count(1)
    expect(dialog(page)).to_contain_text("Cancel subscription of Xeno Held?")
    page.keyboard.press("Escape")
    more(page, "Suspend customer")
    dialog(page).get_by_role("button", name="Suspend customer", exact=True).click()
    expect(page.get_by_text("Xeno Held suspended")).to_be_visible()
    expect(page.get_by_role("main").get_by_text("Suspended", exact=True)).to_be_visible()
    page.get_by_role("button", name="Record usage").click()
    dialog(page).get_by_label("Quantity").fill("5")
    dialog(page).get_by_role("button", name="Record usage").click()
    expect(dialog(page)).to_contain_text("the customer was not suspended")
    expect(dialog(page).get_by_label("Quantity")).to_have_value("5")
    page.keyboard.press("Escape")
    dialog(page).get_by_role("button", name="Discard").click()
    more(page, "Reactivate customer")
    dialog(page).get_by_role("button", name="Reactivate customer").click()
    expect(page.get_by_text("Xeno Held reactivated")).to_be_visible()
    expect(page.get_by_role("main").get_by_text("Active", exact=True)).to_be_visible()


def test_plan_changes_next_month_and_the_subscription_is_cancelled(authenticated: Page, site: Site) -> None:
    with site.database.transaction(SYSTEM) as session:
        terms = {"monthly_price": "99", "included_units": "5000", "overage_unit_price": "0.01"}
        plans.create_plan(session, SYSTEM, name="Xplan Scale", **terms)  # type: ignore[arg-type]
        plans.create_plan(session, SYSTEM, name="Xplan Yen", currency="JPY", **terms)  # type: ignore[arg-type]
        old = plans.create_plan(session, SYSTEM, name="Xplan Old", **terms)  # type: ignore[arg-type]
        plans.archive_plan(session, SYSTEM, old.plan_id)
    key = make(site, "Xtra Mover")
    page = authenticated
    page.goto(f"/customers/{key}")
    more(page, "Change plan")
    offered = dialog(page).get_by_label("Plan", exact=True)
    options = offered.locator("xpath=following-sibling::datalist[1]/option")
    offered.fill("xplan")
    expect(options).to_have_text(["Xplan Scale, version 1: $99.00 a month"])
    offered.fill("xplan scale")
    dialog(page).get_by_role("button", name="Change plan").click()
    expect(page.get_by_text(f"Plan changes to Xplan Scale, version 1 from {text.day(NEXT)}")).to_be_visible()
    history = page.get_by_role("complementary", name="About the customer").get_by_role("list").first
    expect(history.get_by_role("listitem").first).to_contain_text("Xplan Scale, version 1")
    expect(history.get_by_role("listitem").first).to_contain_text(f"From {text.day(NEXT)}")
    expect(history.get_by_role("listitem").nth(1)).to_contain_text("Now")
    use(site, key, "used", "1")
    more(page, "Cancel subscription")
    dialog(page).get_by_label("From").select_option("A date")
    dialog(page).get_by_label("Date").fill(THIS.isoformat())
    used = f"Usage is already recorded on {text.day(THIS)} or later, so a plan is required"
    # Said while the day is being chosen, and again if it is sent nevertheless.
    expect(dialog(page).get_by_role("status").filter(has_text=used)).to_be_visible()
    dialog(page).get_by_role("button", name="Cancel subscription").click()
    expect(dialog(page).get_by_role("alert")).to_contain_text(used)
    dialog(page).get_by_label("From").select_option(NEXT.isoformat())
    dialog(page).get_by_role("button", name="Cancel subscription").click()
    expect(history.get_by_role("listitem").first).to_contain_text("Cancelled")
    with site.database.transaction(SYSTEM) as session:
        found = subscriptions.list_subscriptions(session, SYSTEM, key)
    assert [(row.effective_from, row.plan_name) for row in found] == [(THIS, "Growth"), (NEXT, None)]


def test_usage_is_recorded_once_however_often_it_is_sent(authenticated: Page, site: Site) -> None:
    key = make(site, "Xfer Meter")
    page = authenticated
    page.goto(f"/customers/{key}")
    expect(page.get_by_text("No usage yet")).to_be_visible()
    page.get_by_role("button", name="Record usage").click()
    dialog(page).get_by_label("Quantity").fill("-3")
    record = dialog(page).get_by_role("button", name="Record usage")
    record.click()
    expect(dialog(page).get_by_label("Quantity")).to_have_accessible_description("Must be zero or more.")
    dialog(page).get_by_label("Quantity").fill("12.5")
    dialog(page).get_by_label("Time (optional)").fill("2199-01-01T10:00")
    record.click()
    expect(dialog(page).get_by_label("Time (optional)")).to_have_accessible_description(
        "Must not be more than 5 minutes in the future."
    )
    # Midnight in Berlin is the evening before in UTC.
    moment = datetime.now(UTC).strftime("%Y-%m-%dT00:00")
    if datetime.now(UTC).day > 1:
        dialog(page).get_by_label("Time (optional)").fill(moment)
    else:
        dialog(page).get_by_label("Time (optional)").fill("")
    record.evaluate("it => { it.click(); it.click(); it.click() }")
    expect(page.get_by_text(f"12.5 units recorded, billed in {text.month(THIS)}")).to_be_visible()
    events = page.get_by_role("table", name="Latest usage").locator("tbody tr")
    expect(events).to_have_count(1)
    expect(events).to_contain_text("00:00:00" if datetime.now(UTC).day > 1 else "12.5")


def test_finance_user_sees_a_customer_without_actions(
    page: Page, sign_in: Callable[..., None], site: Site
) -> None:
    key = make(site, "Xenia Readonly", LAST)
    sign_in(FINANCE, at=f"/login?next=/customers/{key}")
    expect(page.get_by_text(f"{text.month(LAST)} has ended and isn’t invoiced yet")).to_be_visible()
    for name in ("Record usage", "Edit customer", "More actions", "Generate invoice"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)


def test_concurrent_plan_change_is_shown_first(signed_in: Page, colleague: Page, site: Site) -> None:
    key = make(site, "Xi Planners")
    for page in (signed_in, colleague):
        page.goto(f"/customers/{key}")
        more(page, "Cancel subscription")
    dialog(colleague).get_by_label("From").select_option(NEXT.isoformat())
    dialog(colleague).get_by_role("button", name="Cancel subscription").click()
    expect(colleague.get_by_text(f"Subscription cancelled from {text.day(NEXT)}")).to_be_visible()
    dialog(signed_in).get_by_label("From").select_option("A date")
    dialog(signed_in).get_by_label("Date").fill(next_period(NEXT).isoformat())
    dialog(signed_in).get_by_role("button", name="Cancel subscription").click()
    expect(dialog(signed_in)).to_contain_text(f"Now: Cancelled, from {text.day(NEXT)}")
    dialog(signed_in).get_by_role("button", name="Cancel subscription").click()
    # It already ends before the chosen day.
    expect(signed_in.get_by_text(f"Subscription cancelled from {text.day(NEXT)}")).to_be_visible()
