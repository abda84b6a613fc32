"""The dashboard's numbers are those of the lists, in words that people read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Locator, Page, expect

from billing_app.database.embedded import cluster
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Role
from billing_app.domain.invoice import AGES
from billing_app.domain.periods import bounds, period_of, previous_period
from billing_app.jobs import figures as job
from billing_app.jobs.figures import refresh_figures
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
from tests.e2e.business import ADMIN, FINANCE, PASSWORD, Hand
from tests.e2e.conftest import Site, serving
from tests.e2e.test_look import found_by_axe

NOW = datetime.now(UTC)
THIS, LAST = period_of(NOW), previous_period(period_of(NOW))


def card(page: Page, label: str) -> Locator:
    """The card of a number: the link that it is, and what stands around it."""
    return (
        page.get_by_role("main")
        .locator("div.group")
        .filter(has=page.get_by_role("link", name=label, exact=True))
    )


def everything(page_of: Callable[[str | None], Any]) -> list[Any]:
    """All pages of a list."""
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
                session, SYSTEM, UsageFilter(period=period_of(NOW)), cursor=cursor
            )
        )
    return sum((each.quantity for each in events if each.occurred_at.date() == day), Decimal(0))


@pytest.fixture(scope="module")
def swiss(site: Site) -> Iterator[Database]:
    """A customer in a currency of its own, whose October, say, is invoiced and partly paid."""
    own = Database(site.urls.application)
    hand = Hand(own)
    begin = bounds(LAST)[0] + timedelta(hours=9)
    plan = hand.at(
        begin, plans.create_plan, name="Alpine", currency="CHF", monthly_price="100", included_units="10",
        overage_unit_price="0.5",
    )  # fmt: skip
    hand.at(
        begin, customers.create_customer, name="Gipfel Bahnen", email="kasse@gipfel.test",
        plan_id=plan.plan_id, key="gipfel",
    )  # fmt: skip
    hand.at(begin, recording.record_usage, recording.UsageReport("gipfel", "first", 1234, begin))
    own.clock = lambda: datetime.now(UTC)
    hand.invoice(NOW, "gipfel", LAST)
    hand.at(
        NOW, payments.record_payment, "GIPFEL-0001", amount="12.00", received_on=NOW.date(),
        idempotency_key="gipfel-1",
    )  # fmt: skip
    hand.at(NOW, recording.record_usage, recording.UsageReport("gipfel", "second", "2000.5", NOW))
    own.clock = lambda: datetime.now(UTC)
    refresh_figures(own)
    yield own
    own.close()


def test_every_number_is_that_of_the_list_it_leads_to(signed_in: Page, swiss: Database) -> None:
    page = signed_in
    refresh_figures(swiss)
    with swiss.transaction(SYSTEM) as session:
        active = customers.count_customers(session, SYSTEM, CustomerFilter(status="active"))
        rows: list[InvoiceRow] = everything(
            lambda cursor: invoices.list_invoices(session, SYSTEM, cursor=cursor)
        )
        events = everything(
            lambda cursor: usage_log.list_usage(session, SYSTEM, UsageFilter(period=THIS), cursor=cursor)
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
    used = sum((each.quantity for each in events), Decimal(0))
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
def test_each_age_leads_to_the_invoices_that_it_counts(
    signed_in: Page, swiss: Database, currency: str
) -> None:
    page = signed_in
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
            expect(page.get_by_text("No invoice matches")).to_be_visible()


def test_each_currency_is_read_by_itself(signed_in: Page, swiss: Database) -> None:
    page = signed_in
    page.goto("/")
    main = page.get_by_role("main")
    expect(main.get_by_role("link", name="Acme Industrial Supply")).to_be_visible()
    main.get_by_role("link", name="CHF", exact=True).click()
    expect(page).to_have_url(re.compile(r"/\?currency=CHF$"))
    expect(main.get_by_role("link", name="Gipfel Bahnen")).to_be_visible()
    expect(main.get_by_role("link", name="Acme Industrial Supply")).to_have_count(0)
    # 100.00, and 1,224 beyond at 0.5 each; 12.00 of it is paid, and the rest not due yet.
    expect(main.get_by_role("listitem").filter(has_text="Not due yet")).to_contain_text("CHF\u00a0700.00")
    expect(card(page, "MRR")).to_contain_text("CHF\u00a0100.00")
    page.reload()
    expect(main.get_by_role("link", name="CHF", exact=True)).to_have_attribute("aria-current", "page")
    page.go_back()
    expect(main.get_by_role("link", name="Acme Industrial Supply")).to_be_visible()


def test_charts_turn_over_to_their_exact_numbers(signed_in: Page, swiss: Database) -> None:
    page = signed_in
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
    # Other tests recorded today, too.
    expect(today.get_by_role("cell").first).to_have_text(text.quantity(used_on(swiss, NOW.date())))
    assert found_by_axe(page) == []


def test_a_card_leads_to_its_list(signed_in: Page) -> None:
    page = signed_in
    page.get_by_role("link", name="Dashboard").click()
    page.wait_for_url("**/")
    page.get_by_role("link", name="Active customers").click()
    page.wait_for_url("**/customers?status=active")


def test_before_the_first_count_it_says_so_and_then_shows_the_figures(
    signed_in: Page, site: Site, swiss: Database
) -> None:
    page = signed_in
    with job._alone(swiss, "SELECT pg_advisory_xact_lock(:counting)"):
        forget_figures(site)
        page.goto("/")
        expect(page.get_by_text("Calculating your figures")).to_be_visible()
        assert found_by_axe(page) == []
    # Whoever counts looks every five seconds.
    expect(card(page, "MRR")).to_contain_text("CHF", timeout=15_000)


def forget_figures(site: Site) -> None:
    url = site.urls.owner.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DELETE FROM dashboard_figures")


def test_finance_reads_the_dashboard(page: Page, sign_in: Callable[..., None], swiss: Database) -> None:
    sign_in(FINANCE)
    expect(card(page, "MRR")).to_contain_text("$")
    expect(page.get_by_text("Read-only")).to_be_visible()


def test_a_new_installation_says_what_to_do_next(
    page: Page, server: cluster.Server, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with new_database(server) as urls:
        database = Database(urls.application)
        with database.transaction(SYSTEM) as session:
            users.create_user(
                session, SYSTEM, email=ADMIN, name="Ada Lovelace", role=Role.ADMIN, password=PASSWORD
            )
        database.close()
        with serving(urls, tmp_path_factory.mktemp("new")) as url:
            page.goto(f"{url}/login")
            page.get_by_label("Email").fill(ADMIN)
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_text("Getting started")).to_be_visible()
            assert found_by_axe(page) == []
            page.get_by_role("link", name="Verify").click()
            expect(page.get_by_text("No verification yet")).to_be_visible()
            page.get_by_role("button", name="Start verification").click()
            expect(page.get_by_role("heading", name="No discrepancies")).to_be_visible()
            page.get_by_role("link", name="Audit").click()
            expect(page.get_by_role("row").filter(has_text="Verification started")).to_contain_text("Ada")
            page.goto(f"{url}/")
            page.get_by_role("link", name="Make a plan").click()
            page.wait_for_url("**/plans")
            page.goto("about:blank")
