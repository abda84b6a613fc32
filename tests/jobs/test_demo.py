"""The demo: a year of a growing business, loaded once, and resumed if it was interrupted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest

from billing_app.database.embedded import cluster
from billing_app.database.session import Database
from billing_app.demo import DemoLoaded, load_demo
from billing_app.demo.actions import Actions
from billing_app.demo.customers import CUSTOMERS, MOVES
from billing_app.demo.timeline import MONTHS, Timeline
from billing_app.domain.actor import SYSTEM, Role
from billing_app.domain.invoice import DAYS_TO_PAY
from billing_app.jobs.verification import verify
from billing_app.services.adjustments.credit import get_credit
from billing_app.services.adjustments.refunds import list_refunds
from billing_app.services.customers.customers import create_customer, list_customers
from billing_app.services.identity.demo_accounts import DEMO_USERS
from billing_app.services.identity.sessions import sign_in
from billing_app.services.identity.users import create_user, list_users
from billing_app.services.invoices.invoices import get_invoice, list_invoices
from billing_app.services.invoices.rows import InvoiceDetail, InvoiceRow
from billing_app.services.payments.payments import list_payments
from billing_app.services.plans.meters import list_meters
from billing_app.services.plans.plans import create_plan, list_plans
from billing_app.services.usage.correction_log import list_corrections
from tests.conftest import Clock, new_database

TODAY = datetime(2026, 11, 22, 15, 30, tzinfo=UTC)


@dataclass(frozen=True)
class Demo:
    """A database with the demo as of `TODAY`, and the number of rows in its tables."""

    database: Database
    loaded: DemoLoaded
    rows: dict[str, int]


@pytest.fixture(scope="module")
def demo(server: cluster.Server) -> Iterator[Demo]:
    with new_database(server) as urls:
        database = Database(urls.application, clock=Clock(TODAY))
        loaded = load_demo(database)
        assert loaded is not None
        yield Demo(database, loaded, rows_of_every_table(database))
        database.close()


def invoices(database: Database) -> list[InvoiceRow]:
    rows: list[InvoiceRow] = []
    cursor = None
    with database.transaction(SYSTEM) as session:
        while True:
            page = list_invoices(session, SYSTEM, limit=200, cursor=cursor)
            rows += page.items
            cursor = page.next_cursor
            if cursor is None:
                return rows


def whole(database: Database, rows: list[InvoiceRow]) -> list[InvoiceDetail]:
    with database.transaction(SYSTEM) as session:
        return [get_invoice(session, SYSTEM, row.number) for row in rows]


def state_of(database: Database) -> dict[str, tuple[str, int]]:
    """Return the hash and the paid amount of each invoice."""
    return {
        each.number: (each.content_sha256, each.paid_minor) for each in whole(database, invoices(database))
    }


def age_class(row: InvoiceRow) -> str:
    days = (TODAY.date() - row.due_on).days
    return "current" if days <= 0 else "90+" if days > 90 else f"{(days - 1) // 30 * 30 + 1}"


def test_demo_is_a_year_of_a_growing_business(demo: Demo) -> None:
    database, loaded = demo.database, demo.loaded
    created = Counter(row.period_start for row in invoices(database))
    assert sorted(created) == [
        date(2025, 11, 1),
        date(2025, 12, 1),
        *(date(2026, m, 1) for m in range(1, 11)),
    ]
    assert created[date(2026, 10, 1)] > 2 * created[date(2025, 11, 1)]
    assert sum(created.values()) == loaded.invoices
    assert 30 <= loaded.customers <= 60
    assert 20_000 <= loaded.events <= 60_000


def test_demo_has_no_discrepancies(demo: Demo) -> None:
    database, loaded = demo.database, demo.loaded
    report = verify(database, SYSTEM)
    assert report.discrepancies == []
    assert report.awaiting_invoice == []
    assert report.checked.events == loaded.events
    assert 0 < report.checked.events_open < loaded.events
    assert loaded.verified


def test_demo_has_invoices_of_every_age_and_status(demo: Demo) -> None:
    rows = invoices(demo.database)
    owed = [row for row in rows if row.balance_minor > 0]
    assert {age_class(row) for row in owed} == {"current", "1", "31", "61", "90+"}
    statuses = Counter(row.payment_status for row in rows)
    assert statuses.keys() == {"paid", "unpaid", "partially_paid", "overdue", "credit"}
    assert statuses["paid"] > len(rows) * 0.8


def test_demo_has_late_usage_and_months_with_and_without_overage(demo: Demo) -> None:
    database = demo.database
    lines = [line for invoice in whole(database, invoices(database)) for line in invoice.lines]
    late = [line for line in lines if line.kind == "late_usage"]
    assert sum(line.amount_minor > 0 for line in late) >= 5
    own = Counter(line.amount_minor > 0 for line in lines if line.kind == "overage")
    assert min(own[True], own[False]) > 100


def test_demo_has_changed_plans_customers_and_payments(demo: Demo) -> None:
    database = demo.database
    with database.transaction(SYSTEM) as session:
        plans = list_plans(session, SYSTEM).items
        customers = list_customers(session, SYSTEM, limit=200).items
        payments = [
            payment
            for row in invoices(database)
            for payment in list_payments(session, SYSTEM, row.number).items
        ]
    assert {plan.currency for plan in plans} == {"USD", "EUR"}
    assert {plan.version for plan in plans} == {1, 2}
    assert any(plan.archived_at and plan.customers for plan in plans)
    assert {customer.status for customer in customers} == {"active", "suspended"}
    assert any(customer.plan_id is None for customer in customers)
    assert len(payments) > 300
    assert any(payment.reversal_reason for payment in payments)


def test_demo_has_three_meters_and_every_kind_of_day(demo: Demo) -> None:
    database = demo.database
    with database.transaction(SYSTEM) as session:
        meters = {meter.code: meter.aggregation for meter in list_meters(session, SYSTEM).items}
        corrections = list_corrections(session, SYSTEM).items
    assert meters == {"usage": "sum", "map_tiles": "sum", "seats": "max"}
    assert len(corrections) == 2
    lines = [line for invoice in whole(database, invoices(database)) for line in invoice.lines]
    charged = {(line.meter_code, line.model) for line in lines if line.amount_minor > 0 and line.model}
    assert charged == {
        ("usage", "per_unit"), ("usage", "graduated"), ("map_tiles", "package"), ("seats", "per_unit"),
    }  # fmt: skip
    divided = [line for line in lines if line.kind == "base" and line.days != line.days_in_month]
    starts = [line for line in divided if line.segment_start and line.segment_start.day > 1]
    # Three customers started in the middle of a month, and one changed its plan.
    assert (len(starts), len(divided)) == (4, 5)
    assert any(line.is_correction and line.kind == "late_usage" and line.amount_minor < 0 for line in lines)


def test_demo_has_discounts_one_off_items_and_a_refund_of_credit(demo: Demo) -> None:
    database = demo.database
    kinds = Counter(line.kind for invoice in whole(database, invoices(database)) for line in invoice.lines)
    assert kinds["discount"] >= 5
    assert kinds["one_off"] == 4
    with database.transaction(SYSTEM) as session:
        (refund,) = list_refunds(session, SYSTEM, "granite").items
        left = get_credit(session, SYSTEM, "granite").amount_minor
    assert refund.amount_minor == 10000
    assert left > 0


def test_demo_users_can_sign_in(demo: Demo) -> None:
    database = demo.database
    with database.transaction(SYSTEM) as session:
        assert {user.role for user in list_users(session, SYSTEM).items} == set(Role)
        for user in DEMO_USERS:
            sign_in(
                session, SYSTEM, email=user.email, password=user.password, secret="s" * 32,
                user_agent="test", address="127.0.0.1",
            )  # fmt: skip


def test_loading_again_changes_nothing(demo: Demo) -> None:
    database = demo.database
    before = rows_of_every_table(database)
    assert load_demo(database) is None
    assert load_demo(database, today=TODAY + timedelta(days=40)) is None
    assert rows_of_every_table(database) == before


def test_interrupted_demo_is_finished_by_one_of_two_processes(
    demo: Demo, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Actions, "generate_invoice", killed)
        with pytest.raises(Killed):
            load_demo(database, today=TODAY)
    assert invoices(database)

    with ThreadPoolExecutor() as threads:
        # The interrupted demo is finished as of its own `today`.
        both = list(threads.map(lambda day: load_demo(database, today=day), [TODAY + timedelta(days=9)] * 2))

    finished = [loaded for loaded in both if loaded]
    assert len(finished) == 1
    assert finished[0].verified
    assert state_of(database) == state_of(demo.database)
    assert rows_of_every_table(database) == demo.rows


class Killed(Exception):
    pass


def killed(*_: object, **__: object) -> None:
    raise Killed


def rows_of_every_table(database: Database) -> dict[str, int]:
    with psycopg.connect(database.url.replace("+psycopg", "")) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        counts = {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone() for (table,) in tables
        }
    return {table: row[0] for table, row in counts.items() if row}


def test_database_with_a_user_is_not_changed(database: Database) -> None:
    with database.transaction(SYSTEM) as session:
        create_user(session, SYSTEM, email="ada@example.com", name="Ada", role="admin")
    before = rows_of_every_table(database)
    assert load_demo(database) is None
    assert rows_of_every_table(database) == before


def test_database_with_a_customer_is_not_changed(database: Database) -> None:
    with database.transaction(SYSTEM) as session:
        plan = create_plan(
            session, SYSTEM, name="Solo", monthly_price="1", included_units=0, overage_unit_price="1"
        )
        create_customer(session, SYSTEM, name="Acme", email="acme@example.com", plan_id=plan.plan_id)
    assert load_demo(database) is None
    assert rows_of_every_table(database)["user_account"] == 0


@pytest.mark.parametrize("offset", range(0, 730, 7))
def test_invoices_of_every_age_are_unpaid_on_any_day(offset: int) -> None:
    """Check the timeline alone, for two years of days, including a leap day and short months."""
    today = datetime(2027, 3, 1, 9, tzinfo=UTC) + timedelta(days=offset)
    for hours in range(0, 7 * 24, 24):
        assert ages_of_unpaid(Timeline(today + timedelta(hours=hours))) == {0, 1, 2, 3, 4}


def ages_of_unpaid(timeline: Timeline) -> set[int]:
    """Return the ages of unpaid invoices: 0 until the due date, then 1 per 30 days, at most 4."""
    receipts, reversals = timeline.list_receipts()
    reversed_by_now = {each.receipt for each in reversals if each.at <= timeline.today}
    percent: Counter[tuple[str, date]] = Counter()
    for receipt in receipts:
        if receipt.recorded_at <= timeline.today and receipt not in reversed_by_now:
            percent[receipt.customer_key, receipt.period_start] += receipt.to_percent - receipt.from_percent
    assert max(percent.values()) == 100
    return {
        min(4, max(0, -(-days_overdue // 30)))
        for customer in CUSTOMERS
        if customer.plan != "Pilot"
        for month in range(customer.month, cancelled_in(customer.key))
        if percent[customer.key, timeline.months[month]] < 100
        for issued in [timeline.issued_at(customer.key, timeline.months[month])]
        if issued <= timeline.today
        for days_overdue in [(timeline.today.date() - issued.date()).days - DAYS_TO_PAY]
    }


def cancelled_in(key: str) -> int:
    return min([MONTHS, *(move.month for move in MOVES if move.key == key and not move.plan)])
