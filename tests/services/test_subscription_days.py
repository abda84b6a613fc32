"""Subscriptions that change on any day: what is written, what is refused and in which order."""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.domain.subscription import in_effect, replace_from
from billing_app.jobs.file_import import import_usage, open_checked_file
from billing_app.services.customers import subscriptions
from billing_app.services.customers.rows import CustomerRow, PlanChange, SubscriptionRow
from billing_app.services.invoices.previews import preview_invoice
from billing_app.services.plans import plans
from billing_app.services.plans.rows import PlanRow
from billing_app.services.usage import recording
from billing_app.services.usage_imports.rows import RejectedRow
from tests.conftest import Clock
from tests.factories import make_customer, make_invoice, make_plan, record
from tests.refusals import refused

OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)


def november(day: int) -> date:
    return date(2026, 11, day)


def make_bare_plan(database: Database, monthly_price: str = "5.00") -> PlanRow:
    """Create a version of a plan that has no charge for usage."""
    with database.transaction(SYSTEM) as session:
        return plans.create_plan(session, SYSTEM, name="Bare", monthly_price=monthly_price, charges=[])


def set_plan(
    database: Database, customer: CustomerRow, plan: PlanRow | None, day: date, **more: Any
) -> list[tuple[date, int | None]]:
    with database.transaction(SYSTEM) as session:
        rows = subscriptions.set_plan(
            session, SYSTEM, customer.key,
            plan_id=plan.plan_id if plan else None, effective_from=day, **more,
        )  # fmt: skip
    return [(row.effective_from, row.plan_id) for row in rows]


def written(owner: psycopg.Connection) -> tuple[Any, ...]:
    """Return everything that a change of a subscription may write."""
    rows = owner.execute(
        "SELECT customer_id, effective_from, plan_id, xmin::text FROM subscription"
    ).fetchall()
    (entries,) = owner.execute("SELECT count(*) FROM audit_entry").fetchone() or ()
    return sorted(rows, key=str), entries, owner.execute("SELECT version FROM customer").fetchall()


def test_change_replaces_everything_from_its_day_on(database: Database) -> None:
    basic, pro = make_plan(database), make_plan(database)
    customer = make_customer(database, basic)
    assert set_plan(database, customer, pro, november(15)) == [
        (NOVEMBER, basic.plan_id), (november(15), pro.plan_id),
    ]  # fmt: skip
    assert set_plan(database, customer, None, november(20))[2:] == [(november(20), None)]
    assert set_plan(database, customer, basic, november(25))[3:] == [(november(25), basic.plan_id)]
    assert set_plan(database, customer, pro, november(10)) == [
        (NOVEMBER, basic.plan_id), (november(10), pro.plan_id),
    ]  # fmt: skip
    # The plan of the day before goes on, so this only removes what follows.
    assert set_plan(database, customer, basic, november(10)) == [(NOVEMBER, basic.plan_id)]


def test_change_that_changes_nothing_writes_nothing(database: Database, owner: psycopg.Connection) -> None:
    basic, pro = make_plan(database), make_plan(database)
    customer = make_customer(database, basic)
    for plan, first in ((pro, november(20)), (None, november(25))):
        rows = set_plan(database, customer, plan, first)
        before = written(owner)
        for day in (first, november(26), date(2027, 3, 1)):
            assert set_plan(database, customer, plan, day) == rows
            assert written(owner) == before


@given(
    st.lists(st.tuples(st.integers(1, 30), st.sampled_from([1, 2, None])), min_size=1, max_size=6),
    st.integers(1, 30),
    st.sampled_from([1, 2, None]),
)
def test_rows_after_a_change_have_its_plan_from_its_day_on(
    drawn: list[tuple[int, int | None]], day: int, plan_id: int | None
) -> None:
    rows = tuple(
        SubscriptionRow(november(each), plan, None, None) for each, plan in sorted(dict(drawn).items())
    )
    change = SubscriptionRow(november(day), plan_id, None, None)
    after = replace_from(rows, change)

    def plan_on(of: tuple[SubscriptionRow, ...], number: int) -> int | None:
        current = in_effect(of, november(number))
        return current.plan_id if current else None

    for number in range(1, 31):
        expected = plan_id if number >= day else plan_on(rows, number)
        assert plan_on(after, number) == expected
    assert all(earlier.effective_from < later.effective_from for earlier, later in pairwise(after))
    if all(plan_on(rows, number) == plan_on(after, number) for number in range(1, 31)):
        assert after == rows
    assert replace_from(after, change) == after


def test_a_month_has_at_most_five_changes(database: Database) -> None:
    basic, pro = make_plan(database), make_plan(database)
    customer = make_customer(database, basic)
    for day, plan in ((5, pro), (10, None), (15, basic), (20, pro)):
        set_plan(database, customer, plan, november(day))
    with refused("too_many_changes") as caught:
        set_plan(database, customer, None, november(25))
    assert caught.value.facts == {"at_most": 5}
    # Other months have their own five, and a change that replaces one of them is not a sixth.
    assert len(set_plan(database, customer, None, date(2026, 12, 1))) == 6
    assert len(set_plan(database, customer, None, november(20))) == 5
    assert len(set_plan(database, customer, pro, november(2))) == 2


def test_cancellation_ignores_usage_of_quantity_zero_and_usage_of_earlier_days(database: Database) -> None:
    customer = make_customer(database)
    record(database, customer, 5, "2026-11-09T23:59:59.999999Z")
    record(database, customer, 0, "2026-11-10T00:00:00Z")
    with refused("usage_recorded") as caught:
        set_plan(database, customer, None, november(9))
    assert caught.value.facts == {"effective_from": "2026-11-09"}
    assert set_plan(database, customer, None, november(10))[1:] == [(november(10), None)]


def test_plan_that_leaves_usage_without_a_price_must_be_confirmed(
    database: Database, owner: psycopg.Connection
) -> None:
    bare = make_bare_plan(database)
    customer = make_customer(database)
    for quantity, day in ((5, 9), (0, 12), (7, 12), (8, 13)):
        record(database, customer, quantity, f"2026-11-{day:02d}T10:00:00Z")
    before = written(owner)
    with refused("usage_unpriced") as caught:
        set_plan(database, customer, bare, november(10))
    assert caught.value.facts == {"unpriced": [{"meter": "usage", "name": "Usage", "events": 2}]}
    assert written(owner) == before
    assert set_plan(database, customer, bare, november(14))[1:] == [(november(14), bare.plan_id)]
    assert len(set_plan(database, customer, bare, november(10), confirm_unpriced=True)) == 2
    # What has no price already is not made unpriced again.
    record(database, customer, 1, "2026-11-14T10:00:00Z")
    other = make_bare_plan(database, "6.00")
    with refused("usage_unpriced") as caught:
        set_plan(database, customer, other, november(9))
    assert caught.value.facts["unpriced"] == [{"meter": "usage", "name": "Usage", "events": 1}]
    assert len(set_plan(database, customer, other, november(10))) == 2


def test_refusals_come_in_a_fixed_order_in_changes_and_previews(database: Database) -> None:
    """Each step removes the cause of the first refusal, and the next one appears."""
    bare, euro = make_bare_plan(database), make_plan(database, currency="EUR")
    basic, pro = make_plan(database), make_plan(database)
    customer = make_customer(database, basic, start=OCTOBER)
    make_invoice(database, customer, OCTOBER)
    for day, plan in ((5, pro), (6, basic), (7, pro), (8, basic), (9, pro)):
        set_plan(database, customer, plan, november(day))
    record(database, customer, 3, "2026-11-10T00:00:00Z")
    with database.transaction(SYSTEM) as session:
        for plan in (bare, euro):
            plans.archive_plan(session, SYSTEM, plan.plan_id)

    def expect(code: str, plan_id: Any, day: date, ref: str = customer.key) -> None:
        with refused(code), database.transaction(SYSTEM) as session:
            subscriptions.set_plan(session, SYSTEM, ref, plan_id=plan_id, effective_from=day)
        with refused(code), database.transaction(SYSTEM) as session:
            preview_invoice(session, SYSTEM, ref, None, PlanChange(plan_id, day))

    closed_day = date(2026, 10, 31)
    expect("invalid", 99, date(1900, 1, 1), "missing")
    expect("invalid", "1", closed_day, "missing")
    expect("customer_not_found", 99, closed_day, "missing")
    expect("plan_not_found", 99, closed_day)
    expect("currency_mismatch", euro.plan_id, closed_day)
    expect("plan_archived", bare.plan_id, closed_day)
    expect("period_closed", basic.plan_id, closed_day)
    expect("period_closed", None, closed_day)
    expect("usage_recorded", None, november(10))
    expect("usage_unpriced", make_bare_plan(database, "6.00").plan_id, november(10))
    expect("too_many_changes", basic.plan_id, november(10))
    expect("too_many_changes", None, november(11))


CANCELLED_DAYS = "2026-11-05T00:00:00Z", "2026-11-09T23:59:59.999999Z", "2026-11-12T10:00:00Z"
PLAN_DAYS = "2026-11-04T23:59:59.999999Z", "2026-11-10T00:00:00Z", "2026-11-11T23:59:59.999999Z"


@pytest.fixture
def on_and_off(database: Database) -> CustomerRow:
    """A customer that starts on Nov 2, with a plan on Nov 2 to 4, and on Nov 10 and 11."""
    plan = make_plan(database)
    customer = make_customer(database, plan, key="acme", start=november(2))
    for each, day in ((None, 5), (plan, 10), (None, 12)):
        set_plan(database, customer, each, november(day))
    return customer


def test_event_on_a_day_without_a_plan_is_rejected(database: Database, on_and_off: CustomerRow) -> None:
    for moment in PLAN_DAYS:
        record(database, on_and_off, 1, moment)
    for moment in (*CANCELLED_DAYS, "2026-11-01T23:59:59.999999Z", "2026-10-31T00:00:00Z"):
        with refused("no_plan", field="occurred_at"):
            record(database, on_and_off, 1, moment)
    with refused("no_plan"), database.transaction(SYSTEM) as session:
        recording.record_usage(session, SYSTEM, recording.UsageReport("acme", "now", 1, None))


def test_batch_judges_each_event_by_its_day(database: Database, on_and_off: CustomerRow) -> None:
    moments = [*PLAN_DAYS, *CANCELLED_DAYS]
    reports = [recording.UsageReport("acme", f"key-{at}", 1, at) for at in moments]
    with database.transaction(SYSTEM) as session:
        done = recording.record_usage_batch(session, SYSTEM, reports)
    assert (done.recorded, done.rejected) == (3, 3)
    assert {(row.index, row.reason.code if row.reason else "") for row in done.results} == {
        (index, "no_plan") for index in (3, 4, 5)
    }


def test_file_import_judges_each_row_by_its_day(
    database: Database, on_and_off: CustomerRow, tmp_path: Path
) -> None:
    path = tmp_path / "usage.csv"
    rows = [f"acme,key-{number},1,{at}" for number, at in enumerate((*PLAN_DAYS, *CANCELLED_DAYS))]
    path.write_text("\n".join(["customer,idempotency_key,quantity,occurred_at", *rows]))
    rejected: list[RejectedRow] = []
    with open_checked_file(path) as file:
        summary = import_usage(
            database, SYSTEM, file, on_rejected=rejected.append, on_progress=lambda _: None
        )
    assert (summary.recorded, [row.line for row in rejected]) == (3, [5, 6, 7])


def test_days_of_a_closed_month_are_protected_from_the_owner(
    database: Database, owner: psycopg.Connection, clock: Clock
) -> None:
    plan = make_plan(database)
    customer = make_customer(database, plan, start=date(2026, 10, 15))
    set_plan(database, customer, make_plan(database), date(2026, 10, 20))
    make_invoice(database, customer, OCTOBER)
    for statement in (
        "DELETE FROM subscription WHERE effective_from = '2026-10-20'",
        "UPDATE subscription SET effective_from = '2026-10-21' WHERE effective_from = '2026-10-20'",
        "UPDATE subscription SET effective_from = '2026-11-20' WHERE effective_from = '2026-10-20'",
        f"INSERT INTO subscription VALUES ({customer.customer_id}, '2026-10-31', {plan.plan_id}, 'USD')",
        f"INSERT INTO subscription VALUES ({customer.customer_id}, '2026-10-02', NULL, 'USD')",
    ):
        with pytest.raises(psycopg.errors.RestrictViolation):
            owner.execute(statement)
        owner.rollback()
    owner.execute(f"INSERT INTO subscription VALUES ({customer.customer_id}, '2026-11-30', NULL, 'USD')")
