from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.services.customers import subscriptions
from billing_app.services.plans import plans
from tests.conftest import Clock
from tests.factories import make_customer, make_plan
from tests.races import at_once, codes, overlap
from tests.refusals import refused

TERMS: dict[str, Any] = {
    "name": "Pro",
    "monthly_price": "29.00",
    "included_units": 1000,
    "overage_unit_price": "0.0125",
}


def listed(database: Database, **filters: Any) -> list[tuple[str, int]]:
    """Return name and version of every plan, read two at a time."""
    found, cursor = [], None
    while True:
        with database.transaction(SYSTEM) as session:
            page = plans.list_plans(session, SYSTEM, limit=2, cursor=cursor, **filters)
        found += [(plan.name, plan.version) for plan in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return found


def test_terms_are_stored_exactly(database: Database) -> None:
    plan = make_plan(
        database, currency="KWD", monthly_price="1.005", included_units="0.000001",
        overage_unit_price="12345678.000000000001",
    )  # fmt: skip
    assert plan.monthly_price_minor == 1005
    assert plan.simple_charge is not None
    assert plan.simple_charge.included_units == Decimal("0.000001")
    assert plan.simple_charge.unit_price == Decimal("12345678.000000000001")
    with database.transaction(SYSTEM) as session:
        assert plans.get_plan(session, SYSTEM, plan.plan_id) == plan


def test_currency_is_trimmed(database: Database) -> None:
    assert make_plan(database, currency=" KWD ").currency == "KWD"
    with refused("invalid", field="currency"):
        make_plan(database, currency="usd")


def test_same_name_in_another_case_creates_the_next_version(database: Database) -> None:
    made = [
        make_plan(database, name=name, monthly_price=price)
        for price, name in enumerate(("Pro", " PRO ", "pro", "Professional"))
    ]
    assert [plan.version for plan in made] == [1, 2, 3, 1]


def test_concurrent_versions_are_numbered_without_gaps(database: Database) -> None:
    outcomes = at_once(
        database,
        [
            lambda session, price=price: plans.create_plan(
                session, SYSTEM, **TERMS | {"monthly_price": price}
            )
            for price in range(6)
        ],
    )
    assert codes(outcomes) == []
    assert sorted(plan.version for plan in outcomes) == [1, 2, 3, 4, 5, 6]


def test_same_terms_as_the_newest_version_return_that_version(database: Database) -> None:
    first = make_plan(database, **TERMS)
    for same in (TERMS, TERMS | {"name": " PRO"}, TERMS | {"monthly_price": 29, "included_units": "1000.0"}):
        repeated = make_plan(database, **same)
        assert (repeated, repeated.is_new) == (first, False)
    second = make_plan(database, **TERMS | {"monthly_price": "31.00"})
    assert (first.is_new, second.is_new, second.version) == (True, True, 2)
    # Going back to earlier terms is a change too, so it creates a version.
    assert make_plan(database, **TERMS).version == 3


@pytest.mark.parametrize(
    "change",
    [{"currency": "EUR"}, {"monthly_price": "29.01"}, {"included_units": 1001}, {"overage_unit_price": "0"}],
)
def test_changed_term_creates_a_new_version(database: Database, change: dict[str, Any]) -> None:
    make_plan(database, **TERMS)
    assert make_plan(database, **TERMS | change).version == 2


def test_same_terms_as_an_archived_version_are_a_new_version(database: Database) -> None:
    archived = make_plan(database, **TERMS)
    with database.transaction(SYSTEM) as session:
        plans.archive_plan(session, SYSTEM, archived.plan_id)
    assert make_plan(database, **TERMS).version == 2


def test_same_terms_sent_concurrently_create_one_version(database: Database) -> None:
    outcomes = at_once(database, [lambda session: plans.create_plan(session, SYSTEM, **TERMS)] * 6)
    assert {plan.version for plan in outcomes} == {1}
    assert sorted(plan.is_new for plan in outcomes) == [False] * 5 + [True]
    assert listed(database) == [("Pro", 1)]


@pytest.mark.parametrize("search", ["CAF\u00c9", "cafe\u0301"], ids=["composed", "decomposed"])
@pytest.mark.parametrize("name", ["Caf\u00e9", "Cafe\u0301"], ids=["composed", "decomposed"])
def test_search_finds_composed_and_decomposed_letters(database: Database, name: str, search: str) -> None:
    plan = make_plan(database, name=name)
    assert plan.name == "Caf\u00e9"
    with database.transaction(SYSTEM) as session:
        assert plans.find_plans(session, SYSTEM, search=search) == (plan,)
        assert plans.find_plans(session, SYSTEM, name=search) == (plan,)


def test_version_waits_for_the_previous_one(database: Database) -> None:
    outcome = overlap(
        database,
        lambda session: plans.create_plan(session, SYSTEM, **TERMS),
        lambda session: plans.create_plan(session, SYSTEM, **TERMS | {"name": "PRO", "monthly_price": 1}),
    )
    assert outcome.second_waited
    assert outcome.second.version == 2


def test_invalid_term_is_named(database: Database, subtests: pytest.Subtests) -> None:
    for terms, field in [
        ({"name": " "}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": None}, "name"),
        ({"currency": "usd"}, "currency"),
        ({"currency": "XXX"}, "currency"),
        ({"currency": 840}, "currency"),
        ({"monthly_price": "29.001"}, "monthly_price"),
        ({"monthly_price": 29.0}, "monthly_price"),
        ({"monthly_price": "-1"}, "monthly_price"),
        ({"monthly_price": "29", "currency": "JPY", "included_units": "1e400"}, "included_units"),
        ({"monthly_price": "29.5", "currency": "JPY"}, "monthly_price"),
        ({"included_units": "NaN"}, "included_units"),
        ({"included_units": "0.0000001"}, "included_units"),
        ({"included_units": None}, "included_units"),
        ({"overage_unit_price": "Infinity"}, "overage_unit_price"),
        ({"overage_unit_price": "0.0000000000001"}, "overage_unit_price"),
        ({"overage_unit_price": True}, "overage_unit_price"),
    ]:
        with subtests.test(terms=terms, field=field), refused("invalid", field=field):
            make_plan(database, **terms)


def test_archiving_again_keeps_the_first_time(database: Database, clock: Clock) -> None:
    plan = make_plan(database)
    with database.transaction(SYSTEM) as session:
        archived = plans.archive_plan(session, SYSTEM, plan.plan_id)
    clock.set(2026, 12)
    with database.transaction(SYSTEM) as session:
        assert plans.archive_plan(session, SYSTEM, plan.plan_id) == archived
    assert archived.archived_at is not None


def test_unknown_plan_is_not_found(database: Database, subtests: pytest.Subtests) -> None:
    for plan_id in [99, 0, -1, 2**80]:
        with subtests.test(plan_id=plan_id):
            for call in (plans.get_plan, plans.archive_plan):
                with refused("plan_not_found"), database.transaction(SYSTEM) as session:
                    call(session, SYSTEM, plan_id)


def test_plans_are_listed_by_name_the_newest_version_first(database: Database) -> None:
    for price, name in enumerate(("beta", "Alpha", "alpha", "Beta", "ALPHA")):
        make_plan(database, name=name, monthly_price=price)
    assert listed(database) == [("ALPHA", 3), ("alpha", 2), ("Alpha", 1), ("Beta", 2), ("beta", 1)]
    with database.transaction(SYSTEM) as session:
        plans.archive_plan(session, SYSTEM, 1)
    assert listed(database, archived=True) == [("beta", 1)]
    assert ("beta", 1) not in listed(database, archived=False)


def test_list_counts_this_months_customers(database: Database) -> None:
    plan, other = make_plan(database, name="A"), make_plan(database, name="B")
    for start in (date(2026, 1, 1), date(2026, 11, 1), date(2026, 12, 1)):
        make_customer(database, plan, start=start)
    moved = make_customer(database, plan)
    with database.transaction(SYSTEM) as session:
        subscriptions.set_plan(
            session, SYSTEM, moved.key, plan_id=other.plan_id, effective_from=date(2026, 11, 1)
        )
    with database.transaction(SYSTEM) as session:
        page = plans.list_plans(session, SYSTEM)
    assert [(row.name, row.customers) for row in page.items] == [("A", 2), ("B", 1)]


def test_terms_of_a_plan_cannot_be_changed_even_by_the_owner(
    database: Database, owner: psycopg.Connection
) -> None:
    make_plan(database)
    for statement in ("UPDATE plan SET monthly_price_minor = 1", "DELETE FROM plan"):
        with pytest.raises(psycopg.errors.RestrictViolation):
            owner.execute(statement)


def test_plan_is_found_by_name_among_a_thousand(database: Database) -> None:
    with database.transaction(SYSTEM) as session:
        session.connection().execute(
            text(
                "INSERT INTO plan (name, version, currency, monthly_price_minor, charge_count, tier_count,"
                " created_at) SELECT 'Plan ' || n, 1, 'USD', n, 0, 0, now()"
                " FROM generate_series(1, 1000) n"
            )
        )
    make_plan(database, name="plan 999")
    with database.transaction(SYSTEM) as session:
        found = plans.find_plans(session, SYSTEM, search="LAN 99", limit=5)
        assert [each.name for each in found] == ["Plan 99", "Plan 990", "Plan 991", "Plan 992", "Plan 993"]
        named = plans.find_plans(session, SYSTEM, name="PLAN 999")
        assert [(each.name, each.version) for each in named] == [("plan 999", 2), ("Plan 999", 1)]
        assert [each.version for each in plans.find_plans(session, SYSTEM, name="Plan 999", version=1)] == [1]
        plans.archive_plan(session, SYSTEM, named[0].plan_id)
        assert plans.find_plans(session, SYSTEM, name="Plan 999", archived=False) == named[1:]
        assert plans.find_plans(session, SYSTEM, search="%") == ()
        assert plans.find_plans(session, SYSTEM, currency="JPY") == ()


def test_plans_are_listed_by_currency(database: Database) -> None:
    euro = make_plan(database, name="E", currency="EUR")
    make_plan(database, name="D")
    assert listed(database, currency="EUR") == [("E", 1)]
    with database.transaction(SYSTEM) as session:
        plans.archive_plan(session, SYSTEM, euro.plan_id)
    assert listed(database, currency="EUR", archived=False) == []
