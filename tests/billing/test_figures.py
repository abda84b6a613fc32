"""Figures counted in the background: they miss nothing and match the events and invoices."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

import billing_app
from billing_app.database import locks
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor
from billing_app.domain.invoice import AGES
from billing_app.jobs import figures as job
from billing_app.jobs.figures import keep_figures_current, refresh_figures
from billing_app.jobs.leadership import lock
from billing_app.services.dashboard import figures
from billing_app.services.dashboard.dashboard import (
    CurrencyFigures,
    Dashboard,
    MeterFigures,
    figures_as_of,
    get_dashboard,
)
from billing_app.services.invoices.filters import InvoiceFilter
from billing_app.services.invoices.invoices import list_invoices
from billing_app.services.usage.recording import UsageReport, record_usage
from tests.billing.shop import Shop
from tests.conftest import Clock
from tests.races import at_once

OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)


def refreshed(database: Database) -> Dashboard:
    refresh_figures(database)
    with database.transaction(SYSTEM) as session:
        found = get_dashboard(session, SYSTEM)
    assert found is not None
    return found


def money(dashboard: Dashboard, currency: str = "USD") -> CurrencyFigures:
    return next(each for each in dashboard.currencies if each.currency == currency)


def metered(dashboard: Dashboard) -> MeterFigures:
    """Return the figures of the default meter, which is the only one."""
    (found,) = dashboard.meters
    return found


def kept(owner: psycopg.Connection) -> list[Any]:
    """Return all customers' figures, with the ID of the transaction that wrote each row."""
    return owner.execute("SELECT f.*, f.xmin FROM customer_figures f ORDER BY customer_id").fetchall()


def usage_of(owner: psycopg.Connection, customer_id: int) -> tuple[date, Decimal]:
    found = owner.execute(
        "SELECT month, usage_quantity FROM customer_figures WHERE customer_id = %s", [customer_id]
    ).fetchone()
    assert found is not None
    return found


def test_before_the_first_count_there_are_no_figures(database: Database, finance: Actor) -> None:
    with database.transaction(finance) as session:
        assert get_dashboard(session, finance) is None
        assert figures_as_of(session, finance) is None


def test_event_committed_late_is_in_the_next_count(
    shop: Shop, clock: Clock, owner: psycopg.Connection
) -> None:
    acme = shop.customer("acme")
    shop.use("acme", "first", 5)
    with shop.database.transaction(SYSTEM) as session:
        record_usage(session, SYSTEM, UsageReport("acme", "late", 7))
        # The event above is recorded, but not committed yet.
        clock.set(2026, 11, 16)
        shop.use("acme", "second", 11)
        assert metered(refreshed(shop.database)).quantity == 16
    assert usage_of(owner, acme) == (NOVEMBER, 16)
    assert metered(refreshed(shop.database)).quantity == 23
    assert usage_of(owner, acme) == (NOVEMBER, 23)


def test_count_is_of_one_moment(shop: Shop, owner: psycopg.Connection) -> None:
    acme = shop.customer("acme")
    shop.use("acme", "first", 5)
    refresh_figures(shop.database, lambda step: shop.use("acme", "late", 7))
    assert usage_of(owner, acme) == (NOVEMBER, 5)
    with shop.database.transaction(SYSTEM) as session:
        found = get_dashboard(session, SYSTEM)
    assert found
    assert metered(found).quantity == 5


def test_second_count_writes_no_customer(shop: Shop, owner: psycopg.Connection) -> None:
    for key in ("acme", "globex"):
        shop.customer(key)
        shop.use(key, "e", 3)
    first = refreshed(shop.database)
    before = kept(owner)
    assert refreshed(shop.database) == first
    assert kept(owner) == before
    shop.use("acme", "f", 4)
    refresh_figures(shop.database)
    assert [new == old for new, old in zip(kept(owner), before, strict=True)] == [False, True]


def test_customers_without_figures_get_them(shop: Shop, owner: psycopg.Connection) -> None:
    acme = shop.customer("acme")
    shop.use("acme", "e", 3)
    owner.execute("DELETE FROM customer_figures")
    refresh_figures(shop.database)
    assert usage_of(owner, acme) == (NOVEMBER, 3)


def test_usage_counts_in_the_month_in_which_it_occurred(
    shop: Shop, clock: Clock, owner: psycopg.Connection
) -> None:
    acme = shop.customer("acme", start="2026-09")
    clock.set(2026, 10, 30)
    shop.use("acme", "october", 100, "2026-10-03T10:00:00Z")
    shop.use("acme", "october, later", 50, "2026-10-20T10:00:00Z")
    clock.set(2026, 11, 15, 12)
    shop.invoice("acme", "2026-09")
    shop.invoice("acme", "2026-10")
    late = shop.use("acme", "october, too late", 7, "2026-10-15T11:59:59Z")
    assert late.event.billing_period == NOVEMBER
    shop.use("acme", "october, after the hour", 9, "2026-10-15T12:00:00Z")
    shop.use("acme", "september, far too late", 1000, "2026-09-30T23:59:59Z")
    shop.use("acme", "november", 20)
    usage = metered(refreshed(shop.database))
    assert usage_of(owner, acme) == (NOVEMBER, 20)
    assert (usage.quantity, usage.last_month, usage.last_month_so_far) == (20, 166, 107)
    assert [(each.day.day, each.quantity, each.events) for each in usage.days_last_month] == [
        (3, 100, 1), (15, 16, 2), (20, 50, 1),
    ]  # fmt: skip
    assert [(each.day, each.quantity) for each in usage.days] == [(date(2026, 11, 15), 20)]


def test_new_month_starts_without_usage(shop: Shop, clock: Clock, owner: psycopg.Connection) -> None:
    acme = shop.customer("acme")
    shop.use("acme", "e", 30)
    assert metered(refreshed(shop.database)).quantity == 30
    clock.set(2026, 12, 1, 0)
    found = refreshed(shop.database)
    usage = metered(found)
    assert usage_of(owner, acme) == (date(2026, 12, 1), 0)
    assert (found.month, usage.quantity, usage.last_month) == (date(2026, 12, 1), 0, 30)
    assert usage.last_month_so_far == 0


def test_customers_are_counted_by_plan_and_status(shop: Shop, clock: Clock) -> None:
    dear, cheap = shop.plan("Dear", price="100.00"), shop.plan("Cheap", price="1.00")
    yen = shop.plan("Yen", price="700", currency="JPY")
    for key, plan_id in (("a", dear), ("b", cheap), ("c", dear), ("d", cheap), ("e", yen)):
        shop.customer(key, plan_id=plan_id)
    shop.customer("later", start="2026-12", plan_id=dear)
    shop.set_status("b", "suspended")
    shop.set_plan("c", None, "2026-11")
    shop.set_plan("d", dear, "2026-12")
    found = refreshed(shop.database)
    assert (found.customers, found.active, found.suspended, found.without_plan) == (6, 3, 1, 2)
    assert [(each.currency, each.mrr_minor) for each in found.currencies] == [("JPY", 700), ("USD", 10200)]
    shop.set_status("b", "active")
    clock.set(2026, 12, 2)
    found = refreshed(shop.database)
    assert (found.active, found.suspended, found.without_plan) == (5, 0, 1)
    assert money(found).mrr_minor == 20100 + 10000


def test_money_is_summed_by_currency_status_and_age(owing: Shop) -> None:
    found = refreshed(owing.database)
    usd, yen = money(found), money(found, "JPY")
    assert found.last_month == OCTOBER
    assert (usd.invoiced_minor, usd.invoices) == (3563 + 2900, 2)
    assert (yen.invoiced_minor, yen.invoices) == (700, 1)
    # Invoices for July are due on September 1, for August on October 2, for September on November 1.
    assert [(each.age.days_from, each.age.days_to, each.outstanding_minor, each.invoices) for each in usd.receivables] == [
        (0, 0, 3563 + 2000, 2),
        (1, 30, 3563 + 125 + 2900, 2),
        (31, 60, 3000 + 2900, 2),
        (61, 90, 2900, 1),
        (91, None, 0, 0),
    ]  # fmt: skip
    assert [each.outstanding_minor for each in yen.receivables] == [700, 700, 700, 700, 0]
    assert (usd.outstanding_minor, usd.outstanding_invoices) == (20951, 7)
    assert (usd.overdue_minor, usd.overdue_invoices) == (20951 - 5563, 5)
    assert usd.revenue[0].period_start == date(2025, 11, 1)
    assert [tuple(each)[1:] for each in usd.revenue[-5:]] == [
        (0, 0, 0), (5800, 663, 0), (5800, 663, 0), (5800, 788, 0), (5800, 663, 0),
    ]  # fmt: skip
    assert [(each.key, each.name, each.invoiced_minor) for each in usd.largest] == [
        ("acme", "acme Inc.", 4 * 3563 + 125), ("globex", "globex Inc.", 4 * 2900),
    ]  # fmt: skip
    assert [(each.key, each.name, each.invoiced_minor) for each in yen.largest] == [("edo", "edo Inc.", 2800)]


def test_ages_have_exact_limits(shop: Shop, clock: Clock) -> None:
    shop.customer("acme", start="2026-10")
    due_on = shop.invoice("acme", "2026-10").due_on
    for days, expected in ((0, 0), (1, 1), (30, 1), (31, 31), (60, 31), (61, 61), (90, 61), (91, 91)):
        clock.moment = datetime(due_on.year, due_on.month, due_on.day, 23, 59, tzinfo=UTC) + timedelta(days)
        ages = money(refreshed(shop.database)).receivables
        assert [each.age.days_from for each in ages if each.invoices] == [expected], days
        with shop.database.transaction(SYSTEM) as session:
            listed = [
                age.days_from
                for age in AGES
                if list_invoices(session, SYSTEM, InvoiceFilter(age=age.name)).items
            ]
        assert listed == [expected], days


def test_statuses_are_those_of_the_lists(owing: Shop, clock: Clock) -> None:
    for day in (15, 1, 2, 30):
        clock.set(2026, 11, day)
        found = refreshed(owing.database)
        for currency in ("USD", "JPY"):
            with owing.database.transaction(SYSTEM) as session:
                rows = [row for row in list_invoices(session, SYSTEM).items if row.currency == currency]
            figures_ = money(found, currency)
            overdue = [row.balance_minor for row in rows if row.payment_status == "overdue"]
            assert (figures_.overdue_minor, figures_.overdue_invoices) == (sum(overdue), len(overdue))
            assert figures_.outstanding_minor == sum(row.balance_minor for row in rows)


def test_figures_of_each_customer(owing: Shop, owner: psycopg.Connection) -> None:
    refresh_figures(owing.database)
    found = owner.execute(
        "SELECT c.key, f.outstanding_minor, f.overdue_minor, f.invoiced_minor"
        " FROM customer_figures f JOIN customer c USING (customer_id) ORDER BY c.key"
    ).fetchall()
    assert found == [
        ("acme", 3000 + 3563 + 125 + 3563, 3000 + 3563 + 125, 4 * 3563 + 125),
        ("edo", 2800, 2100, 2800),
        ("globex", 2900 * 3 + 2000, 2900 * 3, 2900 * 4),
    ]


def test_simultaneous_counts_take_turns(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.customer("acme")
    shop.use("acme", "e", 3)
    counting: list[int] = []

    def count(*arguments: Any) -> datetime:
        counting.append(1)
        assert counting == [1]
        done = figures.count_figures(*arguments)
        counting.pop()
        return done

    monkeypatch.setattr(job, "count_figures", count)
    done = at_once(shop.database, [lambda _: refresh_figures(shop.database)] * 4)
    assert done == [datetime(2026, 11, 15, 12, tzinfo=UTC)] * 4


def test_nothing_is_counted_while_another_process_counts(shop: Shop) -> None:
    with lock(shop.database, SYSTEM, locks.COUNTING):
        keep_figures_current(shop.database)
    with shop.database.transaction(SYSTEM) as session:
        assert get_dashboard(session, SYSTEM) is None


def test_pause_depends_on_how_long_a_count_takes(shop: Shop, clock: Clock, owner: psycopg.Connection) -> None:
    def as_of() -> int:
        keep_figures_current(shop.database)
        (found,) = owner.execute("SELECT as_of FROM dashboard_figures").fetchone() or (None,)
        return round((found - start).total_seconds())

    start = clock.moment
    for after, expected in ((0, 0), (4, 0), (5, 5), (9, 5), (3600, 3600), (3604, 3600), (10, 10)):
        clock.moment = datetime.fromtimestamp(start.timestamp() + after, UTC)
        assert as_of() == expected
    owner.execute("UPDATE dashboard_figures SET seconds = 3")
    for after, expected in ((39, 10), (40, 40)):
        clock.moment = datetime.fromtimestamp(start.timestamp() + after, UTC)
        assert as_of() == expected


def test_billing_never_reads_figures() -> None:
    """Only the modules that count, show or create figures may use them."""
    root = Path(billing_app.__file__).parent
    users = {
        str(path.relative_to(root))
        for folder in ("services", "jobs", "domain")
        for path in (root / folder).rglob("*.py")
        for name in ("customer_figures", "CustomerFigures", "DashboardFigures", "count_figures")
        if name in path.read_text()
    }
    assert users == {
        "jobs/figures.py",
        "services/customers/customers.py",
        "services/customers/selection.py",
        "services/dashboard/dashboard.py",
        "services/dashboard/figures.py",
        "services/invoices/totals.py",
    }
