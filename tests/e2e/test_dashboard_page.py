"""The dashboard: its figures match the lists, and the guide for a new installation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from billing_app.database import locks
from billing_app.database.embedded import cluster
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Role
from billing_app.domain.invoice import AGES
from billing_app.domain.periods import bounds, period_of, previous_period
from billing_app.jobs.figures import refresh_figures
from billing_app.jobs.leadership import lock
from billing_app.services.customers import customers
from billing_app.services.customers.rows import CustomerFilter
from billing_app.services.identity import users
from billing_app.services.invoices import invoices
from billing_app.services.invoices.filters import InvoiceFilter
from billing_app.services.invoices.rows import InvoiceRow
from billing_app.services.payments import payments
from billing_app.services.plans import plans
from billing_app.services.usage import log as usage_log
from billing_app.services.usage import recording
from billing_app.services.usage.filters import UsageFilter
from billing_app.state.kit import text
from tests.conftest import new_database
from tests.e2e.business import ADMIN, FINANCE, PASSWORD, TimedActions
from tests.e2e.conftest import Site, serving
from tests.e2e.test_look import found_by_axe

NOW = datetime.now(UTC)
THIS, LAST = period_of(NOW), previous_period(period_of(NOW))


def card(page: Page, label: str) -> Locator:
    """Return the card of a figure by the label of its link."""
    return (
        page.get_by_role("main")
        .locator("div.group")
        .filter(has=page.get_by_role("link", name=label, exact=True))
    )


def everything(page_of: Callable[[str | None], Any]) -> list[Any]:
    """Return the items of all pages of a list."""
    found, cursor = [], None
    while True:
        page = page_of(cursor)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found


def used_on(database: Database, day: date) -> Decimal:
    with database.transaction(SYSTEM) as session:
        events = everything(
            lambda cursor: usage_log.list_usage(
                session, SYSTEM, UsageFilter(period=period_of(NOW), meter="usage"), cursor=cursor
            )
        )
    return sum((each.current_quantity for each in events if each.occurred_at.date() == day), Decimal(0))


@pytest.fixture(scope="module")
def swiss(site: Site) -> Iterator[Database]:
    """A customer in another currency, whose last month is invoiced and partially paid."""
    own = Database(site.urls.application)
    actions = TimedActions(own)
    begin = bounds(LAST)[0] + timedelta(hours=9)
    plan = actions.at(
        begin, plans.create_plan, name="Alpine", currency="CHF", monthly_price="100", included_units="10",
        overage_unit_price="0.5",
    )  # fmt: skip
    actions.at(
        begin, customers.create_customer, name="Gipfel Bahnen", email="kasse@gipfel.test",
        plan_id=plan.plan_id, key="gipfel",
    )  # fmt: skip
    actions.at(begin, recording.record_usage, recording.UsageReport("gipfel", "first", 1234, begin))
    own.clock = lambda: datetime.now(UTC)
    actions.invoice(NOW, "gipfel", LAST)
    actions.at(
        NOW, payments.record_payment, "GIPFEL-0001", amount="12.00", received_on=NOW.date(),
        idempotency_key="gipfel-1",
    )  # fmt: skip
    actions.at(NOW, recording.record_usage, recording.UsageReport("gipfel", "second", "2000.5", NOW))
    own.clock = lambda: datetime.now(UTC)
    refresh_figures(own)
    yield own
    own.close()


def test_every_figure_is_that_of_the_list_it_links_to(authenticated: Page, swiss: Database) -> None:
    page = authenticated
    refresh_figures(swiss)
    with swiss.transaction(SYSTEM) as session:
        active = customers.count_customers(session, SYSTEM, CustomerFilter(status="active"))
        rows: list[InvoiceRow] = everything(
            lambda cursor: invoices.list_invoices(session, SYSTEM, cursor=cursor)
        )
        events = everything(
            lambda cursor: usage_log.list_usage(
                session, SYSTEM, UsageFilter(period=THIS, meter="usage"), cursor=cursor
            )
        )
        outstanding = everything(
            lambda cursor: invoices.list_invoices(
                session, SYSTEM, InvoiceFilter(status="outstanding"), cursor=cursor
            )
        )
        subscribed = customers.count_customers(session, SYSTEM, CustomerFilter(subscribed=True))
    page.goto("/")
    expect(card(page, "MRR")).to_contain_text(f"{subscribed:,} subscription")
    expect(page.get_by_role("link", name="MRR", exact=True)).to_have_attribute(
        "href", "/customers?subscribed=true"
    )
    expect(card(page, "Active customers")).to_contain_text(f"{active:,}")
    used = sum((each.current_quantity for each in events), Decimal(0))
    expect(card(page, "Usage this month")).to_contain_text(text.quantity(used))
    assert {each.number for each in outstanding} == {each.number for each in rows if each.balance_minor}
    for label, chosen, amount, href in (
        ("Outstanding", lambda row: row.balance_minor > 0, "balance_minor", "/invoices?status=outstanding"),
        ("Overdue", lambda row: row.payment_status == "overdue", "balance_minor", "/invoices?status=overdue"),
        (f"Invoiced for {text.month(LAST)}", lambda row: row.period_start == LAST, "total_minor",
         f"/invoices?period={LAST:%Y-%m}"),
    ):  # fmt: skip
        found = [row for row in rows if chosen(row)]
        shown = card(page, label)
        expect(shown).to_contain_text(f"{len(found):,} invoice")
        for currency in {row.currency for row in rows}:
            total = sum(getattr(row, amount) for row in found if row.currency == currency)
            expect(shown).to_contain_text(text.money(total, currency))
        expect(page.get_by_role("link", name=label, exact=True)).to_have_attribute("href", href)


@pytest.mark.parametrize("currency", ["CHF", "USD"])
def test_each_age_links_to_the_invoices_that_it_counts(
    authenticated: Page, swiss: Database, currency: str
) -> None:
    page = authenticated
    refresh_figures(swiss)
    for age in AGES:
        with swiss.transaction(SYSTEM) as session:
            rows: list[InvoiceRow] = everything(
                lambda cursor, age=age: invoices.list_invoices(
                    session, SYSTEM, InvoiceFilter(age=age.name, currency=currency), cursor=cursor
                )
            )
        page.goto(f"/?currency={currency}")
        item = page.get_by_role("main").get_by_role("listitem").filter(has_text=text.age(age))
        counted = f"{len(rows):,} {'invoice' if len(rows) == 1 else 'invoices'}"
        owed = text.money(sum(row.balance_minor for row in rows), currency)
        expect(item).to_contain_text(counted)
        expect(item).to_contain_text(owed)
        item.get_by_role("link").click()
        expect(page).to_have_url(re.compile(f"/invoices.age={age.name}&currency={currency}$"))
        expect(page.get_by_label("Age", exact=True)).to_have_value(age.name)
        expect(page.get_by_label("Currency", exact=True)).to_have_value(currency)
        if rows:
            totals = page.get_by_role("region", name="Totals of these invoices")
            expect(totals).to_contain_text(re.compile(f"{currency}\\s*{counted}"))
            expect(totals).to_contain_text(owed)
        else:
            expect(page.get_by_text("No invoices match")).to_be_visible()


def test_currencies_are_shown_separately(authenticated: Page, swiss: Database) -> None:
    page = authenticated
    page.goto("/")
    main = page.get_by_role("main")
    expect(main.get_by_role("link", name="Acme Industrial Supply")).to_be_visible()
    main.get_by_role("link", name="CHF", exact=True).click()
    expect(page).to_have_url(re.compile(r"/\?currency=CHF$"))
    expect(main.get_by_role("link", name="Gipfel Bahnen")).to_be_visible()
    expect(main.get_by_role("link", name="Acme Industrial Supply")).to_have_count(0)
    # 100.00 plus 1,224 units of overage at 0.5 each. 12.00 is paid, and the rest is not due yet.
    expect(main.get_by_role("listitem").filter(has_text="Not due yet")).to_contain_text("CHF\u00a0700.00")
    expect(card(page, "MRR")).to_contain_text("CHF\u00a0100.00")
    page.reload()
    expect(main.get_by_role("link", name="CHF", exact=True)).to_have_attribute("aria-current", "page")
    page.go_back()
    expect(main.get_by_role("link", name="Acme Industrial Supply")).to_be_visible()


def test_charts_can_be_shown_as_tables(authenticated: Page, swiss: Database) -> None:
    page = authenticated
    refresh_figures(swiss)
    page.goto("/?currency=CHF")
    expect(page.get_by_role("figure")).to_have_count(2)
    usage_chart, revenue = page.get_by_role("figure").all()
    revenue.get_by_role("button", name="Show as a table").click()
    row = revenue.get_by_role("row").filter(has_text=text.month(LAST))
    expect(row.get_by_role("cell")).to_have_text(["CHF\u00a0100.00", "CHF\u00a0612.00", "CHF\u00a00.00"])
    usage_chart.get_by_role("button", name="Show as a table").click()
    expect(usage_chart.get_by_role("columnheader")).to_have_text(["Day", text.month(THIS), text.month(LAST)])
    today = usage_chart.get_by_role("row").nth(NOW.day)
    # Other tests may have recorded usage today too.
    expect(today.get_by_role("cell").first).to_have_text(text.quantity(used_on(swiss, NOW.date())))
    assert found_by_axe(page) == []


def test_card_links_to_its_list(signed_in: Page) -> None:
    page = signed_in
    page.get_by_role("link", name="Dashboard", exact=True).click()
    page.wait_for_url("**/")
    page.get_by_role("link", name="Active customers").click()
    page.wait_for_url("**/customers?status=active")


def test_figures_appear_after_the_first_count(authenticated: Page, site: Site, swiss: Database) -> None:
    page = authenticated
    with lock(swiss, SYSTEM, locks.COUNTING):
        forget_figures(site)
        page.goto("/")
        expect(page.get_by_text("Calculating your figures")).to_be_visible()
        assert found_by_axe(page) == []
    # The background checks every five seconds.
    expect(card(page, "MRR")).to_contain_text("CHF", timeout=15_000)


def forget_figures(site: Site) -> None:
    url = site.urls.owner.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DELETE FROM dashboard_figures")


def test_finance_user_sees_the_dashboard(page: Page, sign_in: Callable[..., None], swiss: Database) -> None:
    sign_in(FINANCE)
    expect(card(page, "MRR")).to_contain_text("$")
    expect(page.get_by_text("Read-only")).to_be_visible()


def step(page: Page, title: str) -> Locator:
    return page.get_by_role("region", name="Getting started").get_by_role("listitem").filter(has_text=title)


@pytest.fixture
def new_site(server: cluster.Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Serve an installation that has only an admin and a finance user."""
    with new_database(server) as urls:
        database = Database(urls.application)
        with psycopg.connect(
            urls.owner.replace("postgresql+psycopg://", "postgresql://"), autocommit=True
        ) as owner:
            owner.execute("UPDATE issuer SET name = '', address = ''")
        with database.transaction(SYSTEM) as session:
            for email, role in ((ADMIN, Role.ADMIN), (FINANCE, Role.FINANCE)):
                users.create_user(session, SYSTEM, email=email, name=email, role=role, password=PASSWORD)
        with serving(urls, tmp_path_factory.mktemp("new")) as url:
            yield Site(url, urls, database)
        database.close()


def sign_in_at(page: Page, site: Site, email: str) -> None:
    page.goto(f"{site.url}/login")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def test_new_installation_shows_the_next_step_until_the_guide_is_closed(
    browser: Browser, new_site: Site
) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    sign_in_at(page, new_site, ADMIN)
    guide = page.get_by_role("region", name="Getting started")
    expect(guide).to_contain_text("0 of 5 done")
    expect(page.get_by_text("No figures yet")).to_have_count(0)
    assert found_by_axe(page) == []
    step(page, "company details").get_by_role("link", name="Add company details").click()
    page.wait_for_url("**/settings")
    with new_site.database.transaction(SYSTEM) as session:
        plan = plans.create_plan(
            session, SYSTEM, name="Growth", monthly_price="29", included_units="0", overage_unit_price="1"
        )
        customers.create_customer(
            session, SYSTEM, name="Acme", email="ap@acme.test", plan_id=plan.plan_id, key="acme"
        )
    page.goto(new_site.url)
    expect(guide).to_contain_text("2 of 5 done")
    expect(step(page, "Create a plan")).to_contain_text("(done)")
    with psycopg.connect(
        new_site.urls.owner.replace("postgresql+psycopg://", "postgresql://"), autocommit=True
    ) as owner:
        owner.execute("UPDATE issuer SET name = 'Harbour Ltd', address = '1 Quay Street'")
    page.reload()
    usage = step(page, "Record usage")
    expect(usage.get_by_role("link")).to_have_text(["Record usage", "Import CSV", "Create API token"])
    usage.get_by_role("button", name="Copy").click()
    expect(usage.get_by_text("Copied")).to_be_visible()
    command = page.evaluate("navigator.clipboard.readText()")
    assert f"curl {new_site.url}/api/v1/usage" in command
    assert '"customer": "acme"' in command
    assert found_by_axe(page) == []
    for width in (320, 390, 768, 1440):
        page.set_viewport_size({"width": width, "height": 800})
        # The charts take the new width a moment later.
        expect(page.locator("html")).to_have_js_property("scrollWidth", width)
    guide.get_by_role("button", name="Close getting started").click()
    expect(guide).to_have_count(0)
    page.reload()
    expect(card(page, "MRR")).to_be_visible(timeout=15_000)
    expect(guide).to_have_count(0)
    context.close()


def test_finance_user_sees_no_guide(page: Page, new_site: Site) -> None:
    sign_in_at(page, new_site, FINANCE)
    expect(page.get_by_text("No figures yet")).to_be_visible(timeout=15_000)
    expect(page.get_by_role("region", name="Getting started")).to_have_count(0)
    expect(page.get_by_role("main").get_by_role("link")).to_have_count(0)


@pytest.mark.parametrize("width", [320, 390, 768, 1024, 1440])
def test_sums_of_20_digits_are_not_cut(signed_in: Page, site: Site, width: int) -> None:
    """Every figure fits its card, on the dashboard and on the customer's page."""
    with site.database.transaction(SYSTEM) as session:
        plan = plans.create_plan(
            session, SYSTEM, name="Twenty digits", currency="JPY", monthly_price="123456789012345678",
            included_units="0", overage_unit_price="0",
        )  # fmt: skip
        for number in range(200 if plan.is_new else 0):
            customers.create_customer(
                session, SYSTEM, name=f"Digits {number}", email=f"digits{number}@digits.test",
                plan_id=plan.plan_id,
            )  # fmt: skip
    refresh_figures(site.database)
    page = signed_in
    page.set_viewport_size({"width": width, "height": 800})
    page.goto("/?currency=JPY")
    expect(card(page, "MRR")).to_contain_text("¥24,691,357,802,469,135,600")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.get_by_role("main").evaluate(OVERFLOWING) == []


# Elements that are wider than their panel.
OVERFLOWING = """main => [...main.querySelectorAll('div.group, section')].filter(
    panel => panel.scrollWidth > panel.clientWidth + 1).map(panel => panel.innerText)"""
