"""Months in which the subscription changes, through the services: races, properties and verification."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import psycopg
import pytest
from sqlmodel import Session

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor
from billing_app.errors import BillingError
from billing_app.jobs.invoice_runs import run_invoices
from billing_app.jobs.verification import verify
from billing_app.services.customers import subscriptions
from billing_app.services.customers.customers import get_customer
from billing_app.services.invoices.closing import close_period, find_due_period
from billing_app.services.invoices.previews import InvoicePreview, preview_invoice
from billing_app.services.plans.plans import create_plan
from billing_app.services.usage.unpriced import count_unpriced
from tests.billing.shop import Shop, total
from tests.conftest import Clock
from tests.races import Work, codes, overlap
from tests.refusals import refused

OCTOBER = date(2026, 10, 1)


def preview(shop: Shop, key: str, period: date = OCTOBER) -> InvoicePreview:
    with shop.database.transaction(shop.actor) as session:
        return preview_invoice(session, shop.actor, key, period)


@pytest.mark.parametrize("seed", range(5))
def test_dividing_a_month_by_a_change_that_changes_nothing_changes_nothing(
    shop: Shop, owner: psycopg.Connection, seed: int
) -> None:
    """Neither a change to the same plan, nor a row with the same plan that the database has anyway."""
    chance = random.Random(seed)
    plan_id = shop.plan()
    customer_id = shop.customer("acme", "2026-10", plan_id)
    for number in range(20):
        quantity = f"{chance.randint(0, 200_000_000)}e-6"
        shop.use("acme", f"event {number}", quantity, f"2026-10-{chance.randint(1, 31):02d}T23:59:59Z")
    undivided = preview(shop, "acme")
    for _ in range(3):
        shop.set_plan("acme", plan_id, f"2026-10-{chance.randint(1, 31):02d}")
        assert preview(shop, "acme").lines == undivided.lines
    assert owner.execute("SELECT count(*) FROM subscription").fetchone() == (1,)
    for day in chance.sample(range(2, 32), 4):
        owner.execute(
            "INSERT INTO subscription VALUES (%s, %s, %s, 'USD')",
            [customer_id, date(2026, 10, day), plan_id],
        )
        assert preview(shop, "acme").lines == undivided.lines
    assert shop.invoice("acme", "2026-10").lines == undivided.lines
    assert verify(shop.database, shop.actor).ok


def test_twin_plan_shares_the_included_units_on_every_day(shop: Shop, clock: Clock) -> None:
    """Its charge is identical, so only the monthly price is divided."""
    team = shop.plan("Team", price="31.00")
    twin = shop.plan("Twin", price="31.00")
    shop.customer("acme", "2026-10", team)
    shop.use("acme", "a", "1530", "2026-10-20T00:00:00Z")
    whole = preview(shop, "acme")
    for day in (2, 10, 31):
        shop.set_plan("acme", twin, f"2026-10-{day:02d}")
        divided = preview(shop, "acme")
        assert divided.total_minor == whole.total_minor
        assert [line for line in divided.lines if line.kind == "overage"] == [
            line for line in whole.lines if line.kind == "overage"
        ]
        shop.set_plan("acme", team, f"2026-10-{day:02d}")


def change_to(key: str, plan_id: int | None, day: date) -> Work:
    def work(session: Session) -> object:
        return subscriptions.set_plan(session, SYSTEM, key, plan_id=plan_id, effective_from=day)

    return work


def close_october(customer_id: int) -> Work:
    return lambda session: close_period(session, SYSTEM, period_start=OCTOBER, customer_ids=[customer_id])


def test_change_that_waits_for_a_closing_is_refused(shop: Shop, database: Database) -> None:
    customer_id, scale = shop.customer("acme", "2026-10"), shop.plan("Scale", price="99.00")
    outcome = overlap(database, close_october(customer_id), change_to("acme", scale, date(2026, 10, 15)))
    assert outcome.second_waited
    assert codes([outcome.second]) == ["period_closed"]
    assert total(shop.invoice("acme", "2026-10")) == "29.00"


def test_closing_waits_for_a_change_which_the_invoice_then_has(shop: Shop, database: Database) -> None:
    customer_id, scale = shop.customer("acme", "2026-10"), shop.plan("Scale", price="99.00")
    outcome = overlap(database, change_to("acme", scale, date(2026, 10, 15)), close_october(customer_id))
    assert outcome.second_waited
    assert total(shop.invoice("acme", "2026-10")) == "67.39"


def test_changes_while_a_run_closes_the_month_are_on_the_invoice_or_refused(
    shop: Shop, database: Database, admin: Actor
) -> None:
    plans = [shop.plan("Team"), shop.plan("Scale", price="99.00", included="10", unit="0.5")]
    keys = [f"c{number}" for number in range(20)]
    for key in keys:
        shop.customer(key, "2026-10", plans[0])
        shop.use(key, "a", "40", "2026-10-20T00:00:00Z")
    go, stop, refusals = threading.Barrier(5), threading.Event(), set()

    def change(seed: int) -> None:
        chance = random.Random(seed)
        go.wait()
        while not stop.is_set():
            day = date(2026, 10, chance.randint(1, 31))
            try:
                database.run(admin, change_to(chance.choice(keys), chance.choice(plans), day))
            except BillingError as refusal:
                refusals.add(refusal.code)

    with ThreadPoolExecutor(4) as pool:
        changing = [pool.submit(change, seed) for seed in range(4)]
        go.wait()
        run_invoices(database, admin, OCTOBER)
        stop.set()
        for each in changing:
            each.result()
    assert "period_closed" in refusals
    assert refusals <= {"period_closed", "too_many_changes", "unavailable"}
    report = verify(database, admin)
    assert (report.ok, report.checked.invoices) == (True, 20)


def test_month_with_nothing_but_a_cancelled_zero_is_passed_over(
    shop: Shop, database: Database, clock: Clock
) -> None:
    """An event of quantity zero doesn't prevent the cancellation, and must not block later months."""
    plan_id = shop.plan()
    shop.customer("acme", "2026-09", plan_id)
    shop.invoice("acme", "2026-09")
    shop.use("acme", "zero", "0", "2026-10-20T00:00:00Z")
    shop.set_plan("acme", None, "2026-10")
    shop.set_plan("acme", plan_id, "2026-11")
    clock.set(2026, 12, 2)
    with database.transaction(SYSTEM) as session:
        assert find_due_period(session, SYSTEM, "acme") == date(2026, 11, 1)
    with refused("nothing_to_invoice"):
        shop.invoice("acme", "2026-10")
    assert total(shop.invoice("acme", "2026-11")) == "29.00"
    report = verify(database, shop.actor)
    assert (report.ok, report.checked.events_missing, report.checked.events_open) == (True, 0, 1)


def test_late_usage_of_a_divided_month_is_priced_by_the_plan_of_its_day(shop: Shop, clock: Clock) -> None:
    free, paid = shop.plan("Free", "0", "310", "1"), shop.plan("Paid", "0", "0", "2")
    shop.customer("acme", "2026-10", free)
    shop.set_plan("acme", paid, "2026-10-16")
    shop.set_plan("acme", None, "2026-10-31")
    shop.use("acme", "a", "150", "2026-10-15T23:59:59Z")
    assert total(shop.invoice("acme", "2026-10")) == "0.00"
    shop.use("acme", "b", "1", "2026-10-15T23:59:59.999999Z")
    shop.use("acme", "c", "1", "2026-10-16T00:00:00Z")
    with refused("no_plan"):
        shop.use("acme", "d", "1", "2026-10-31T00:00:00Z")
    clock.set(2026, 12, 2)
    late = shop.invoice("acme", "2026-11")
    assert [(line.segment_start, line.amount_minor) for line in late.lines] == [
        (date(2026, 10, 1), 100), (date(2026, 10, 16), 200),
    ]  # fmt: skip
    assert verify(shop.database, shop.actor).ok


def test_events_without_a_price_are_counted(shop: Shop, database: Database) -> None:
    with database.transaction(SYSTEM) as session:
        bare = create_plan(session, SYSTEM, name="Bare", monthly_price="5", charges=[]).plan_id
    shop.customer("acme", "2026-10")
    shop.set_plan("acme", bare, "2026-10-15")
    for day in (14, 15, 16):
        shop.use("acme", f"event {day}", "10", f"2026-10-{day}T00:00:00Z")
    shop.use("acme", "nothing", "0", "2026-10-17T00:00:00Z")
    shop.set_plan("acme", shop.plan(), "2026-10-20")
    shop.use("acme", "priced again", "1", "2026-10-20T00:00:00Z")
    with database.transaction(SYSTEM) as session:
        for period, expected in ((OCTOBER, (("usage", "Usage", 2, 1, False),)), (date(2026, 11, 1), ())):
            assert count_unpriced(session, SYSTEM, period) == expected
    shop.invoice("acme", "2026-10")
    report = verify(database, shop.actor)
    assert (report.ok, report.checked.events_billed_once, report.checked.events_unpriced) == (True, 5, 2)


def test_plan_of_a_customer_is_the_one_of_today(shop: Shop, database: Database, clock: Clock) -> None:
    scale = shop.plan("Scale")
    shop.customer("acme", "2026-11-10")
    shop.set_plan("acme", scale, "2026-11-20")

    def name() -> str | None:
        with database.transaction(SYSTEM) as session:
            return get_customer(session, SYSTEM, "acme").plan_name

    found = []
    for day in (9, 10, 19, 20):
        clock.set(2026, 11, day, 0)
        found.append(name())
    assert found == [None, "Plan of acme", "Plan of acme", "Scale"]
