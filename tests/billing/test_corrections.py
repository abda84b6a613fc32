"""Corrections of usage: what they charge, how often they are recorded, and what they can never do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from sqlmodel import Session

from billing_app.domain.actor import Actor, Scope
from billing_app.domain.money import major_text
from billing_app.errors import Forbidden
from billing_app.jobs.verification import verify
from billing_app.services.customers.customers import create_customer
from billing_app.services.invoices.line_usage import sum_usage_per_day
from billing_app.services.plans.charges import ChargeTerms
from billing_app.services.plans.plans import create_plan
from billing_app.services.usage.correction_rows import CorrectionReport, RecordedCorrection
from billing_app.services.usage.corrections import correct_usage, correct_usage_batch
from billing_app.services.usage.days import get_monthly_usage
from billing_app.services.usage.recording import BatchResult, UsageReport, record_usage
from tests.billing.shop import Shop, amounts, total
from tests.conftest import Clock
from tests.factories import make_meter
from tests.races import at_once, codes, overlap
from tests.refusals import refused

OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)


def correct(
    shop: Shop,
    event: str,
    quantity: object,
    key: str,
    *,
    customer: str = "acme",
    reason: str = "counted twice",
) -> RecordedCorrection:
    return shop.correct(customer, event, quantity, key, reason)


def correcting(shop: Shop, event: str, quantity: object, key: str) -> Callable[[Session], RecordedCorrection]:
    report = CorrectionReport("acme", event, quantity, "counted twice", key)
    return lambda session: correct_usage(session, shop.actor, report)


def correct_many(shop: Shop, *rows: tuple[str, object, str]) -> BatchResult:
    reports = [CorrectionReport("acme", event, quantity, "x", key) for event, quantity, key in rows]
    with shop.database.transaction(shop.actor) as session:
        return correct_usage_batch(session, shop.actor, reports)


def assert_verified(shop: Shop) -> None:
    assert verify(shop.database, shop.actor).discrepancies == []


@pytest.fixture
def used(shop: Shop) -> Shop:
    """1,530 units of October at 29.00 with 1,000 included and 0.0125 each beyond."""
    shop.customer("acme", "2026-10")
    shop.use("acme", "a", "1530", "2026-10-15T10:00:00Z")
    return shop


def test_correction_of_an_invoiced_month_is_a_late_line(used: Shop, clock: Clock) -> None:
    assert total(used.invoice("acme", "2026-10")) == "35.63"
    found = correct(used, "a", "1030", "fix 1")
    assert (found.status, found.correction.billing_period) == ("recorded", NOVEMBER)
    assert (found.correction.quantity_before, found.correction.difference) == (Decimal(1530), Decimal(-500))
    clock.set(2026, 12)
    november = used.invoice("acme", "2026-11")
    late = november.lines[2]
    assert (late.kind, late.is_correction, late.quantity) == ("late_usage", True, Decimal(-500))
    assert (late.rated_minor, late.already_charged_minor, late.amount_minor) == (38, 663, -625)
    assert total(november) == "22.75"
    with used.database.transaction(used.actor) as session:
        days = sum_usage_per_day(session, used.actor, november.number, 3)
        (usage,) = get_monthly_usage(session, used.actor, "acme", OCTOBER).meters
    assert [(each.day, each.quantity, each.events) for each in days] == [
        (date(2026, 10, 15), Decimal(-500), 0)
    ]
    assert (usage.quantity, len(usage.days)) == (Decimal(1030), 1)
    assert_verified(used)


def test_correction_of_an_open_month_changes_its_own_line(used: Shop) -> None:
    assert correct(used, "a", "1030", "fix 1").correction.billing_period == OCTOBER
    october = used.invoice("acme", "2026-10")
    assert amounts(october) == {("base", None): "29.00", ("overage", "2026-10"): "0.38"}
    assert october.lines[1].is_correction
    assert_verified(used)


def test_correction_that_changes_no_price_still_has_a_line(used: Shop, clock: Clock) -> None:
    used.use("acme", "b", "10", "2026-10-16T10:00:00Z")
    correct(used, "a", "100", "fix 1")
    used.invoice("acme", "2026-10")
    correct(used, "b", "20", "fix 2")
    clock.set(2026, 12)
    late = used.invoice("acme", "2026-11").lines[2]
    assert late.is_correction
    assert (late.quantity, late.amount_minor) == (Decimal(10), 0)
    assert_verified(used)


def test_correction_makes_a_month_without_a_plan_due(used: Shop, clock: Clock) -> None:
    used.set_plan("acme", None, "2026-11")
    used.invoice("acme", "2026-10")
    correct(used, "a", 0, "undo")
    clock.set(2027, 1)
    with refused("earlier_period_open"):
        used.invoice("acme", "2026-12")
    assert total(used.invoice("acme", "2026-11")) == "-6.63"
    assert_verified(used)


def test_newest_correction_that_is_billed_so_far_counts(used: Shop, clock: Clock) -> None:
    correct(used, "a", "2000", "first")
    correct(used, "a", "1100", "second")
    assert total(used.invoice("acme", "2026-10")) == "30.25"
    correct(used, "a", "1200", "third")
    clock.set(2026, 12)
    assert amounts(used.invoice("acme", "2026-11"))["late_usage", "2026-10"] == "1.25"
    correct(used, "a", "1530", "fourth")
    correct(used, "a", "0", "fifth")
    clock.set(2027, 1)
    assert amounts(used.invoice("acme", "2026-12"))["late_usage", "2026-10"] == "-2.50"
    assert_verified(used)


def metered_customer(shop: Shop, meter: str, aggregation: str, start: str = "2026-10-01") -> None:
    """Put a customer on a plan that costs 10.00 per unit of a meter and nothing else."""
    make_meter(shop.database, meter, aggregation)
    with shop.database.transaction(shop.actor) as session:
        charge = ChargeTerms("per_unit", meter=meter, included_units="0", unit_price="10")
        plan_id = create_plan(
            session, shop.actor, name="Metered", monthly_price="0", charges=[charge]
        ).plan_id  # fmt: skip
        create_customer(
            session, shop.actor, name="Acme", email="a@example.com", key="acme", plan_id=plan_id,
            start=date.fromisoformat(start),
        )  # fmt: skip


def use(shop: Shop, meter: str, event: str, quantity: object = None, item: str | None = None) -> None:
    with shop.database.transaction(shop.actor) as session:
        report = UsageReport("acme", event, quantity, "2026-10-20T10:00:00Z", meter, item)
        record_usage(session, shop.actor, report)


@pytest.mark.parametrize("start", ["2026-10-01", "2026-10-12"])
def test_largest_quantity_is_made_again_from_corrected_events(shop: Shop, clock: Clock, start: str) -> None:
    metered_customer(shop, "seats", "max", start)
    use(shop, "seats", "five", 5)
    use(shop, "seats", "eight", 8)
    october = shop.invoice("acme", "2026-10").total_minor
    use(shop, "seats", "seven", 7)
    correct(shop, "eight", 0, "undo")
    clock.set(2026, 12)
    november = shop.invoice("acme", "2026-11")
    late = november.lines[-1]
    assert late.is_correction
    assert (late.quantity_before, late.quantity_after) == (Decimal(8), Decimal(7))
    if start == "2026-10-01":
        assert (october, total(november)) == (8000, "-10.00")
    correct(shop, "eight", 9, "redo")
    clock.set(2027, 1)
    assert shop.invoice("acme", "2026-12").lines[-1].quantity_after == 9
    assert_verified(shop)


def test_different_items_are_counted_again_from_corrected_events(shop: Shop, clock: Clock) -> None:
    metered_customer(shop, "users", "unique")
    use(shop, "users", "ann 1", item="ann")
    use(shop, "users", "ann 2", item="ann")
    use(shop, "users", "bob 1", item="bob")
    correct(shop, "bob 1", 0, "no bob")
    assert total(shop.invoice("acme", "2026-10")) == "10.00"
    correct(shop, "ann 1", 0, "first ann")
    clock.set(2026, 12)
    assert total(shop.invoice("acme", "2026-11")) == "0.00"
    correct(shop, "ann 2", 0, "second ann")
    correct(shop, "bob 1", 1, "bob after all")
    with refused("invalid", field="quantity"):
        correct(shop, "bob 1", "0.5", "half of bob")
    clock.set(2027, 1)
    december = shop.invoice("acme", "2026-12")
    assert (total(december), december.lines[-1].is_correction) == ("0.00", True)
    assert_verified(shop)


def test_same_correction_key_is_answered_before_anything_else(used: Shop) -> None:
    first = correct(used, "a", "1030", "fix")
    correct(used, "a", "0", "undo")
    again = correct(used, "a", "1030.0", "fix")
    assert again == ("duplicate", first.correction)
    for changed in ({"quantity": 5}, {"event": "b"}, {"reason": "another"}):
        given: dict[str, Any] = {"event": "a", "quantity": "1030", "key": "fix", **changed}
        with refused("idempotency_conflict", field="correction_key"):
            correct(used, **given)


def test_wrong_corrections_are_refused(used: Shop) -> None:
    with refused("customer_not_found", field="customer"):
        correct(used, "a", 1, "k", customer="nobody")
    with refused("event_not_found", field="idempotency_key"):
        correct(used, "other", 1, "k")
    with refused("nothing_to_correct", field="quantity"):
        correct(used, "a", "1530.000", "k")
    with refused("invalid", field="quantity"):
        correct(used, "a", "-1", "k")
    with refused("invalid", field="reason"):
        correct(used, "a", 1, "k", reason=" ")
    with refused("invalid", field="correction_key"):
        correct(used, "a", 1, "a\tb")


def test_repeated_event_is_compared_with_what_was_first_recorded(used: Shop) -> None:
    correct(used, "a", "1030", "fix")
    assert used.use("acme", "a", "1530", "2026-10-15T10:00:00Z").status == "duplicate"
    with refused("idempotency_conflict"):
        used.use("acme", "a", "1030", "2026-10-15T10:00:00Z")


def test_corrected_usage_does_not_keep_a_plan_and_is_not_revived_without_one(used: Shop) -> None:
    with refused("usage_recorded"):
        used.set_plan("acme", None, "2026-10-10")
    correct(used, "a", 0, "undo")
    used.set_plan("acme", None, "2026-10-10")
    with refused("no_plan", field="quantity"):
        correct(used, "a", 1, "redo")
    assert amounts(used.invoice("acme", "2026-10"))["overage", "2026-10"] == "0.00"
    assert_verified(used)


def test_batch_applies_several_corrections_of_an_event_in_row_order(
    used: Shop, owner: psycopg.Connection
) -> None:
    used.use("acme", "b", "10", "2026-10-16T10:00:00Z")
    outcome = correct_many(
        used,
        ("b", "7", "b1"),
        ("a", "1000", "a1"),
        ("a", "1000", "same quantity"),
        ("a", "1100", "a2"),
        ("a", "1100", "a2"),
        ("b", "9", "a2"),
        ("c", "1", "c1"),
        ("b", "many", "b2"),
    )
    assert (outcome.recorded, outcome.duplicates, outcome.conflicts, outcome.rejected) == (3, 1, 1, 3)
    reasons = {each.index: each.reason.code if each.reason else None for each in outcome.results}
    assert reasons == {
        2: "nothing_to_correct",
        4: None,
        5: "idempotency_conflict",
        6: "event_not_found",
        7: "invalid",
    }
    rows = owner.execute(
        "SELECT idempotency_key, number, quantity_before, quantity FROM usage_correction ORDER BY 1, 2"
    ).fetchall()
    assert rows == [("a", 1, 1530, 1000), ("a", 2, 1000, 1100), ("b", 1, 10, 7)]
    entry = owner.execute(
        "SELECT details FROM audit_entry WHERE action = 'usage.corrections_recorded'"
    ).fetchall()
    assert [details["differences"] for (details,) in entry] == ["usage -433"]
    assert correct_many(used, ("b", "7", "b1"), ("a", "1100", "a2")).duplicates == 2
    assert owner.execute(
        "SELECT count(*) FROM audit_entry WHERE action = 'usage.corrections_recorded'"
    ).fetchone() == (1,)


def test_batch_has_at_most_ten_thousand_rows(used: Shop) -> None:
    with refused("batch_too_large"):
        correct_many(used, *(("a", 1, f"k{number}") for number in range(10_001)))


def test_who_may_correct_usage(used: Shop, billing: Actor, finance: Actor) -> None:
    def token(*scopes: Scope) -> Actor:
        return Actor("token", "tok_1", "a token", scopes=frozenset(scopes))

    for number, actor in enumerate((billing, token(Scope.USAGE_CORRECT))):
        assert correct(Shop(used.database, actor), "a", number, f"k{number}").status == "recorded"
    for actor in (finance, token(Scope.USAGE_WRITE, Scope.READ)):
        with pytest.raises(Forbidden):
            correct(Shop(used.database, actor), "a", 5, "never")
    with pytest.raises(Forbidden):
        Shop(used.database, token(Scope.USAGE_CORRECT)).use("acme", "b", 1)


def test_fifty_senders_of_one_correction_record_it_once(used: Shop, owner: psycopg.Connection) -> None:
    found = at_once(used.database, [correcting(used, "a", 7, "same")] * 50)
    assert sorted(each.status for each in found) == ["duplicate"] * 49 + ["recorded"]
    assert owner.execute("SELECT count(*), min(number) FROM usage_correction").fetchone() == (1, 1)


def test_corrections_of_one_event_at_once_follow_each_other(used: Shop) -> None:
    found = at_once(used.database, [correcting(used, "a", number, f"k{number}") for number in range(20)])
    assert codes(found) == []
    in_order = sorted((each.correction for each in found), key=lambda each: each.number)
    assert [each.number for each in in_order] == list(range(1, 21))
    before = [Decimal(1530), *(each.quantity for each in in_order)]
    assert [each.quantity_before for each in in_order] == before[:-1]
    assert_verified(used)


def test_later_correction_of_an_event_waits_and_starts_from_the_earlier_one(used: Shop) -> None:
    both = overlap(used.database, correcting(used, "a", 100, "one"), correcting(used, "a", 50, "two"))
    assert both.second_waited
    assert (both.second.correction.number, both.second.correction.quantity_before) == (2, 100)
    again = overlap(used.database, correcting(used, "a", 7, "three"), correcting(used, "a", 7, "four"))
    assert codes([again.second]) == ["nothing_to_correct"]


def test_correction_while_its_month_is_invoiced_is_charged_once(used: Shop, clock: Clock) -> None:
    go, stop = threading.Barrier(5), threading.Event()

    def keep_correcting(worker: int) -> None:
        go.wait()
        number = 0
        while not stop.is_set():
            used.database.run(
                used.actor, correcting(used, "a", worker + 10 * (number % 200), f"{worker}-{number}")
            )
            number += 1

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(keep_correcting, worker) for worker in range(4)]
        go.wait()
        try:
            october = used.invoice("acme", "2026-10")
        finally:
            stop.set()
        for each in running:
            each.result()
    clock.set(2026, 12)
    november = used.invoice("acme", "2026-11")
    charged = october.lines[1].amount_minor + sum(
        line.amount_minor for line in november.lines if line.kind == "late_usage"
    )
    last = correct(used, "a", "99999", "last").correction.quantity_before
    assert major_text(charged, "USD") == str(
        (max(last - 1000, Decimal(0)) * Decimal("0.0125")).quantize(Decimal("0.01"), "ROUND_HALF_UP")
    )
    assert_verified(used)
