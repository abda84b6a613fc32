from __future__ import annotations

import random
from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import text

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.jobs.figures import refresh_figures
from billing_app.services.customers import customers
from billing_app.services.customers.rows import CustomerFilter, CustomerRow, CustomerSort
from billing_app.services.customers.selection import select_customers
from billing_app.services.customers.subscriptions import set_plan
from billing_app.services.payments.payments import record_payment
from billing_app.services.shared.pagination import encode_cursor
from tests.conftest import Clock
from tests.factories import make_customer, make_invoice, make_plan, record
from tests.refusals import refused


def listed(database: Database, limit: int = 2, sort: str = "name", **filters: Any) -> list[str]:
    """Return the names of all customers, read in small pages."""
    names, cursor = [], None
    while True:
        with database.transaction(SYSTEM) as session:
            page = customers.list_customers(
                session, SYSTEM, CustomerFilter(**filters), sort=sort, limit=limit, cursor=cursor
            )
        assert len(page.items) <= limit
        names += [customer.name for customer in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return names


def test_customers_are_listed_by_name_exactly_once(database: Database) -> None:
    names = ["acme", "Acme", "Zebra", "älter", "_x", "beta", "Beta"] + [f"Name {n}" for n in range(8)]
    plan = make_plan(database)
    for name in random.Random(1).sample(names, len(names)):
        make_customer(database, plan, name=name)
    found = listed(database)
    assert sorted(found) == sorted(names)
    assert [name.lower() for name in found] == sorted(name.lower() for name in names)


def test_search_matches_name_email_and_key_literally(database: Database) -> None:
    plan = make_plan(database)
    make_customer(database, plan, name="Acme_100%", email="one@example.com", key="first")
    make_customer(database, plan, name="Globex\\", email="acme@example.org", key="second")
    make_customer(database, plan, name="Ünïted", email="three@example.com", key="ACME-3")
    assert listed(database, search="aCMe") == ["Acme_100%", "Globex\\", "Ünïted"]
    assert listed(database, search=" org ") == ["Globex\\"]
    assert listed(database, search="ÜNÏ") == ["Ünïted"]
    assert listed(database, search="_100%") == ["Acme_100%"]
    assert listed(database, search="\\") == ["Globex\\"]
    assert listed(database, search="%%") == []
    assert listed(database, search="") == ["Acme_100%", "Globex\\", "Ünïted"]
    with refused("invalid", field="search"):
        listed(database, search="a\0")


def test_search_finds_composed_and_decomposed_letters(database: Database) -> None:
    composed, decomposed = "Jos\u00e9", "Jose\u0301"
    plan = make_plan(database)
    for name in (composed, decomposed):
        assert make_customer(database, plan, name=name).name == composed
    for search in (composed, decomposed, decomposed.upper()):
        assert listed(database, search=search) == [composed, composed]
        with database.transaction(SYSTEM) as session:
            assert len(customers.list_named(session, SYSTEM, search, limit=5)) == 2


def test_search_can_use_the_index(database: Database) -> None:
    with database.transaction(SYSTEM) as session:
        conditions, values, _ = select_customers(session, CustomerFilter(search="acme"))
        # In an empty table, the planner prefers a sequential scan.
        session.execute(text("SET LOCAL enable_seqscan = off"))
        query = text(f"EXPLAIN SELECT customer_id FROM customer WHERE {conditions[0]}")
        plan = "\n".join(session.execute(query, values).scalars())
    assert plan.count("ix_customer_search") == 3


def test_customers_are_filtered_by_status_and_current_plan(database: Database) -> None:
    pro, new_pro, basic = (
        make_plan(database, name=name, monthly_price=price)
        for price, name in enumerate(("Pro", "pro", "Basic"))
    )
    for name, plan in (("a", pro), ("b", new_pro), ("c", basic)):
        make_customer(database, plan, name=name)
    make_customer(database, pro, name="later", start=date(2026, 12, 1))
    with database.transaction(SYSTEM) as session:
        customers.update_customer(session, SYSTEM, "b", status="suspended")
    assert listed(database, plan="PRO") == ["a", "b"]
    assert listed(database, plan=new_pro.public_id) == ["b"]
    assert listed(database, plan="nothing") == []
    assert listed(database, status="suspended") == ["b"]
    assert listed(database, status="active", plan="pro", search="A") == ["a"]
    with refused("invalid", field="status"):
        listed(database, status="gone")


@pytest.fixture
def shop(database: Database, clock: Clock) -> Database:
    """Five customers with usage of 5, 3, 3, 1 and 0 this month, and nothing or 29.00 outstanding."""
    plan = make_plan(database)
    for number, (name, quantity) in enumerate((("e", 5), ("d", 3), ("c", 3), ("b", 1), ("a", None))):
        clock.moment = datetime(2026, 10, 1 + number, tzinfo=UTC)
        customer = make_customer(database, plan, name=name)
        clock.set(2026, 11, 15)
        if quantity:
            record(database, customer, quantity, "2026-11-01T00:00:00Z")
        if name in "bd":
            make_invoice(database, customer)
    refresh_figures(database)
    return database


def test_every_order_lists_each_customer_once(shop: Database, subtests: pytest.Subtests) -> None:
    expected = {"name": "abcde", "usage": "abdce", "outstanding": "ecadb", "created": "edcba"}
    for sort, names in expected.items():
        for prefix in ("", "-"):
            with subtests.test(sort=prefix + sort):
                assert "".join(listed(shop, sort=prefix + sort)) == names[:: -1 if prefix else 1]
                assert "".join(listed(shop, sort=prefix + sort, limit=1)) == names[:: -1 if prefix else 1]
    assert listed(shop, sort="-usage", search="d") == ["d"]
    with refused("invalid", field="sort"):
        listed(shop, sort="price")


FEW = [{"status": "suspended"}, {"plan": "Rare"}, {"subscribed": False}]


@pytest.mark.parametrize("few", FEW, ids=lambda few: next(iter(few)))
def test_filter_that_selects_few_customers_keeps_every_order(
    shop: Database, clock: Clock, few: dict[str, Any]
) -> None:
    rare = make_plan(shop, name="Rare")
    with shop.transaction(SYSTEM) as session:
        for name in "bde":
            customers.update_customer(session, SYSTEM, name, status="suspended")
            plan_id = rare.plan_id if "plan" in few else None
            set_plan(session, SYSTEM, name, plan_id=plan_id, effective_from=date(2026, 12, 1))
    clock.set(2026, 12, 15)
    refresh_figures(shop)
    for sort in CustomerSort:
        expected = [name for name in listed(shop, sort=sort) if name in "bde"]
        assert listed(shop, sort=sort, limit=1, **few) == expected


@pytest.mark.parametrize("few", FEW, ids=lambda few: next(iter(few)))
def test_filter_that_selects_few_customers_is_applied_before_sorting(
    database: Database, few: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading 100,000 customers in an order until enough match took three seconds."""
    statements: list[str] = []
    with database.transaction(SYSTEM) as session:
        execute = session.execute
        monkeypatch.setattr(
            session, "execute", lambda query, *given: statements.append(str(query)) or execute(query, *given)
        )
        customers.list_customers(session, SYSTEM, CustomerFilter(**few), sort="-outstanding")
        values = {"month": date(2026, 11, 1), "today": date(2026, 11, 15), "limit": 25, "plan_ids": [1]}
        plan = "\n".join(execute(text(f"EXPLAIN {statements[-1]}"), values).scalars())
    assert "CTE narrowed" in plan
    assert "CTE Scan on narrowed" in plan


def test_new_customer_is_listed_in_every_order_at_once(shop: Database) -> None:
    make_customer(shop, name="new")
    for sort in CustomerSort:
        assert "new" in listed(shop, sort=sort)


def test_cursor_of_another_order_is_rejected(shop: Database, subtests: pytest.Subtests) -> None:
    cursors = {}
    for sort in CustomerSort:
        with shop.transaction(SYSTEM) as session:
            cursors[sort] = customers.list_customers(session, SYSTEM, sort=sort, limit=1).next_cursor
    for sort in CustomerSort:
        for other, cursor in cursors.items():
            if other is not sort:
                with (
                    subtests.test(sort=sort, cursor_of=other),
                    refused("invalid", field="cursor"),
                    shop.transaction(SYSTEM) as session,
                ):
                    customers.list_customers(session, SYSTEM, sort=sort, cursor=cursor)


def test_cursor_with_an_invalid_number_is_rejected(database: Database, subtests: pytest.Subtests) -> None:
    for number in ("NaN", "Infinity", "x", "1" * 61, 5, None, "1e999999999"):
        with (
            subtests.test(number=number),
            refused("invalid", field="cursor"),
            database.transaction(SYSTEM) as session,
        ):
            cursor = encode_cursor(("usage", number, 1))  # type: ignore[arg-type]
            customers.list_customers(session, SYSTEM, sort="usage", cursor=cursor)


def test_rows_have_usage_and_outstanding_amount(shop: Database, clock: Clock) -> None:
    def row(name: str) -> CustomerRow:
        with shop.transaction(SYSTEM) as session:
            return customers.list_customers(session, SYSTEM, CustomerFilter(search=name)).items[0]

    b = row("b")
    assert (b.usage_quantity, b.outstanding_minor) == (1, 2900)
    with shop.transaction(SYSTEM) as session:
        record_payment(
            session, SYSTEM, "B-0001", amount="9", received_on=date(2026, 11, 2), idempotency_key="p"
        )
    assert row("b").outstanding_minor == 2000
    clock.set(2026, 12)
    assert row("b").usage_quantity is None
    refresh_figures(shop)
    assert row("b").usage_quantity == 0


def test_count_matches_the_list(shop: Database, subtests: pytest.Subtests) -> None:
    with shop.transaction(SYSTEM) as session:
        customers.update_customer(session, SYSTEM, "b", status="suspended")
        set_plan(session, SYSTEM, "c", plan_id=None, effective_from=date(2026, 12, 1))
    make_customer(shop, name="later", start=date(2026, 12, 1))
    chosen: dict[str, dict[str, Any]] = {
        "abcdelater": {},
        "b": {"status": "suspended"},
        "acdelater": {"status": "active"},
        "abcde": {"subscribed": True},
        "later": {"subscribed": False},
        "acde": {"subscribed": True, "status": "active"},
        "": {"search": "missing"},
    }
    for names, filters in chosen.items():
        with subtests.test(**filters), shop.transaction(SYSTEM) as session:
            assert "".join(listed(shop, **filters)) == names
            assert customers.count_customers(session, SYSTEM, CustomerFilter(**filters)) == len(
                listed(shop, **filters)
            )


def test_invented_cursor_is_rejected(database: Database, subtests: pytest.Subtests) -> None:
    for cursor in [
        "x",
        "!",
        "W10",
        "é",
        "WyJhIiwgMTAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMF0",
        "WyJcdTAwMDAiLCAxXQ",
        "W" * 9999,
        7,
    ]:
        with (
            subtests.test(cursor=cursor),
            refused("invalid", field="cursor"),
            database.transaction(SYSTEM) as session,
        ):
            customers.list_customers(session, SYSTEM, cursor=cursor)


def test_page_has_1_to_200_rows(database: Database, subtests: pytest.Subtests) -> None:
    for limit in [0, 201, -1, "5", 1.5, None]:
        with (
            subtests.test(limit=limit),
            refused("invalid", field="limit"),
            database.transaction(SYSTEM) as session,
        ):
            customers.list_customers(session, SYSTEM, limit=limit)
