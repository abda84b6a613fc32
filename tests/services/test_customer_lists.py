from __future__ import annotations

import random
from datetime import date
from typing import Any

import pytest

from billing_app.db import Database
from billing_app.domain.actor import SYSTEM
from billing_app.services import customers
from tests.factories import make_customer, make_plan
from tests.refusals import refused


def listed(database: Database, limit: int = 2, **filters: Any) -> list[str]:
    """The names of all customers, read a small page at a time."""
    names, cursor = [], None
    while True:
        with database.transaction(SYSTEM) as session:
            page = customers.list_customers(session, SYSTEM, limit=limit, cursor=cursor, **filters)
        assert len(page.items) <= limit
        names += [customer.name for customer in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return names


def test_customers_are_listed_by_name_each_once(database: Database) -> None:
    names = ["acme", "Acme", "Zebra", "älter", "_x", "beta", "Beta"] + [f"Name {n}" for n in range(8)]
    plan = make_plan(database)
    for name in random.Random(1).sample(names, len(names)):
        make_customer(database, plan, name=name)
    found = listed(database)
    assert sorted(found) == sorted(names)
    assert [name.lower() for name in found] == sorted(name.lower() for name in names)


def test_search_looks_within_name_email_and_key_and_takes_letters_as_they_are(database: Database) -> None:
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


def test_filters_by_status_and_by_the_plan_of_this_month(database: Database) -> None:
    pro, new_pro, basic = (make_plan(database, name=name) for name in ("Pro", "pro", "Basic"))
    for name, plan in (("a", pro), ("b", new_pro), ("c", basic)):
        make_customer(database, plan, name=name)
    make_customer(database, pro, name="later", start_period=date(2026, 12, 1))
    with database.transaction(SYSTEM) as session:
        customers.update_customer(session, SYSTEM, "b", status="suspended")
    assert listed(database, plan="PRO") == ["a", "b"]
    assert listed(database, plan=new_pro.public_id) == ["b"]
    assert listed(database, plan="nothing") == []
    assert listed(database, status="suspended") == ["b"]
    assert listed(database, status="active", plan="pro", search="A") == ["a"]
    with refused("invalid", field="status"):
        listed(database, status="gone")


def test_a_made_up_cursor_is_refused(database: Database, subtests: pytest.Subtests) -> None:
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


def test_a_page_has_1_to_200_rows(database: Database, subtests: pytest.Subtests) -> None:
    for limit in [0, 201, -1, "5", 1.5, None]:
        with (
            subtests.test(limit=limit),
            refused("invalid", field="limit"),
            database.transaction(SYSTEM) as session,
        ):
            customers.list_customers(session, SYSTEM, limit=limit)
