from __future__ import annotations

from datetime import date, datetime
from typing import Any

import psycopg
import pytest

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.domain.subscription import in_effect
from billing_app.services.customers import customers, subscriptions
from billing_app.services.customers.rows import CustomerRow, SubscriptionRow
from billing_app.services.plans import plans
from billing_app.services.plans.rows import PlanRow
from billing_app.services.usage import recording
from tests.conftest import Clock
from tests.factories import make_customer, make_invoice, make_plan, record
from tests.races import codes, overlap
from tests.refusals import refused

OCTOBER, NOVEMBER, DECEMBER, JANUARY = (
    date(2026, 10, 1), date(2026, 11, 1), date(2026, 12, 1), date(2027, 1, 1),
)  # fmt: skip


def set_plan(
    database: Database, customer: CustomerRow, plan: PlanRow | None, month: Any, **more: Any
) -> list[tuple[date, int | None]]:
    """Set a plan, and return the customer's rows as month and plan."""
    with database.transaction(SYSTEM) as session:
        rows = subscriptions.set_plan(
            session, SYSTEM, customer.key,
            plan_id=plan.plan_id if plan else None, effective_from=month, **more,
        )  # fmt: skip
    return [(row.effective_from, row.plan_id) for row in rows]


def test_setting_a_plan_replaces_later_months(database: Database) -> None:
    basic, pro = make_plan(database), make_plan(database)
    customer = make_customer(database, basic)
    assert set_plan(database, customer, pro, JANUARY) == [(NOVEMBER, basic.plan_id), (JANUARY, pro.plan_id)]
    assert set_plan(database, customer, pro, JANUARY) == [(NOVEMBER, basic.plan_id), (JANUARY, pro.plan_id)]
    assert set_plan(database, customer, None, DECEMBER) == [(NOVEMBER, basic.plan_id), (DECEMBER, None)]
    assert set_plan(database, customer, pro, NOVEMBER) == [(NOVEMBER, pro.plan_id)]
    with database.transaction(SYSTEM) as session:
        assert customers.get_customer(session, SYSTEM, customer.key).plan_id == pro.plan_id


def test_rows_name_the_plan(database: Database) -> None:
    plan = make_plan(database, name="Pro")
    customer = make_customer(database, plan)
    set_plan(database, customer, None, DECEMBER)
    with database.transaction(SYSTEM) as session:
        rows = subscriptions.list_subscriptions(session, SYSTEM, customer.public_id)
    assert rows == (
        SubscriptionRow(NOVEMBER, plan.plan_id, "Pro", 1),
        SubscriptionRow(DECEMBER, None, None, None),
    )
    assert in_effect(rows, OCTOBER) is None
    assert in_effect(rows, NOVEMBER) == rows[0]
    assert in_effect(rows, JANUARY) == rows[1]
    assert in_effect(rows[::-1], NOVEMBER) == rows[0]


def test_closed_months_and_months_before_the_first_cannot_be_changed(
    database: Database, clock: Clock
) -> None:
    plan = make_plan(database)
    customer = make_customer(database, plan, start=OCTOBER)
    for month in (date(2026, 9, 1), date(1970, 1, 1)):
        with refused("period_closed"):
            set_plan(database, customer, plan, month)
    make_invoice(database, customer, OCTOBER)
    for target in (plan, None):
        with refused("period_closed") as caught:
            set_plan(database, customer, target, OCTOBER)
    assert caught.value.facts == {"closed_through": OCTOBER}
    set_plan(database, customer, plan, NOVEMBER)


def test_currency_of_a_customer_cannot_change(database: Database) -> None:
    customer = make_customer(database, make_plan(database, currency="USD"))
    with refused("currency_mismatch"):
        set_plan(database, customer, make_plan(database, currency="EUR"), DECEMBER)


def test_archived_plan_accepts_no_new_customers_and_keeps_existing_ones(database: Database) -> None:
    basic, old = make_plan(database), make_plan(database)
    on_it, another = make_customer(database, old), make_customer(database, basic)
    with database.transaction(SYSTEM) as session:
        plans.archive_plan(session, SYSTEM, old.plan_id)
    with refused("plan_archived"):
        set_plan(database, another, old, DECEMBER)
    set_plan(database, on_it, basic, JANUARY)
    assert set_plan(database, on_it, old, DECEMBER) == [(NOVEMBER, old.plan_id)]


def test_plan_cannot_be_removed_from_a_month_with_usage(database: Database, clock: Clock) -> None:
    customer = make_customer(database, start=OCTOBER)
    record(database, customer, 1, "2026-10-31T23:59:59.999999Z")
    with refused("usage_recorded"):
        set_plan(database, customer, None, OCTOBER)
    assert len(set_plan(database, customer, None, NOVEMBER)) == 2
    set_plan(database, customer, make_plan(database), NOVEMBER)
    record(database, customer, "0.000001", "2026-11-01T00:00:00Z")
    for month in (OCTOBER, NOVEMBER):
        with refused("usage_recorded"):
            set_plan(database, customer, None, month)
    assert len(set_plan(database, customer, None, DECEMBER)) == 3


def test_late_usage_does_not_prevent_a_change(database: Database) -> None:
    customer = make_customer(database, start=OCTOBER)
    make_invoice(database, customer, OCTOBER)
    record(database, customer, 1, "2026-10-05T00:00:00Z")
    assert len(set_plan(database, customer, None, NOVEMBER)) == 2


def test_cancellation_waits_for_usage_in_progress(database: Database) -> None:
    customer = make_customer(database)
    outcome = overlap(
        database,
        lambda session: recording.record_usage(
            session, SYSTEM, recording.UsageReport(customer.key, "k", 1, None)
        ),
        lambda session: subscriptions.set_plan(
            session, SYSTEM, customer.key, plan_id=None, effective_from=NOVEMBER
        ),
    )
    assert outcome.second_waited
    assert codes([outcome.second]) == ["usage_recorded"]


def test_usage_waits_for_a_cancellation_in_progress(database: Database) -> None:
    customer = make_customer(database)
    outcome = overlap(
        database,
        lambda session: subscriptions.set_plan(
            session, SYSTEM, customer.key, plan_id=None, effective_from=NOVEMBER
        ),
        lambda session: recording.record_usage(
            session, SYSTEM, recording.UsageReport(customer.key, "k", 1, None)
        ),
    )
    assert outcome.second_waited
    assert codes([outcome.second]) == ["no_plan"]


def test_subscription_change_increases_the_customers_version(database: Database) -> None:
    plan = make_plan(database)
    customer = make_customer(database)
    set_plan(database, customer, plan, DECEMBER, version=1)
    with refused("stale"):
        set_plan(database, customer, plan, JANUARY, version=1)
    set_plan(database, customer, None, JANUARY, version=2)


def test_day_must_be_a_date_in_the_years_of_periods(database: Database, subtests: pytest.Subtests) -> None:
    for day in ["2026-12", None, date(1969, 12, 31), date(9999, 1, 1), datetime(2026, 12, 1)]:  # noqa: DTZ001
        with subtests.test(day=day):
            customer = make_customer(database)
            with refused("invalid", field="effective_from"):
                set_plan(database, customer, None, day)


def test_unknown_customers_and_plans_are_not_found(database: Database) -> None:
    customer = make_customer(database)
    for code, ref, plan_id in (("customer_not_found", "missing", None), ("plan_not_found", customer.key, 99)):
        with refused(code), database.transaction(SYSTEM) as session:
            subscriptions.set_plan(session, SYSTEM, ref, plan_id=plan_id, effective_from=DECEMBER)


def test_database_protects_closed_months(database: Database, owner: psycopg.Connection) -> None:
    customer = make_customer(database, start=OCTOBER)
    make_invoice(database, customer, OCTOBER)
    for statement in ("DELETE FROM subscription", "UPDATE subscription SET plan_id = NULL"):
        with pytest.raises(psycopg.errors.RestrictViolation):
            owner.execute(statement)
