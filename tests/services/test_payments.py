from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlmodel import Session

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.domain.money import Amount
from billing_app.services.invoices import invoices
from billing_app.services.payments import payments
from billing_app.services.payments.rows import PaymentRow
from billing_app.wording.refusals import refusal_sentence
from tests.conftest import Clock
from tests.factories import make_customer, make_invoice, make_plan
from tests.races import at_once, codes, overlap
from tests.refusals import refused

TODAY = date(2026, 11, 15)


@pytest.fixture
def number(database: Database) -> str:
    """Return the number of an October invoice over 29.00 USD, created today."""
    return make_invoice(database).number


def paying(number: str, amount: object = "29.00", key: str = "key", **more: Any) -> Callable[[Session], Any]:
    details = {"amount": amount, "received_on": TODAY, "idempotency_key": key, **more}
    return lambda session: payments.record_payment(session, SYSTEM, number, **details)


def pay(database: Database, number: str, *arguments: Any, **more: Any) -> payments.RecordedPayment:
    with database.transaction(SYSTEM) as session:
        return paying(number, *arguments, **more)(session)  # type: ignore[no-any-return]


def reversing(number: str, payment_id: int, reason: str = "bounced") -> Callable[[Session], Any]:
    return lambda session: payments.reverse_payment(session, SYSTEM, number, payment_id, reason=reason)


def reverse(database: Database, number: str, payment_id: int, reason: str = "bounced") -> PaymentRow:
    with database.transaction(SYSTEM) as session:
        return reversing(number, payment_id, reason)(session)  # type: ignore[no-any-return]


def status(database: Database, number: str) -> tuple[str, int]:
    with database.transaction(SYSTEM) as session:
        invoice = invoices.get_invoice(session, SYSTEM, number)
    return invoice.payment_status, invoice.balance_minor


def test_payment_is_recorded_with_its_values(database: Database, number: str, clock: Clock) -> None:
    recorded = pay(database, number.lower(), "10.50", method=" transfer ", reference="R-1")
    assert recorded.created
    assert recorded.payment == PaymentRow(
        payment_id=recorded.payment.payment_id, invoice_number=number, amount_minor=1050, currency="USD",
        received_on=TODAY, method="transfer", reference="R-1", recorded_at=clock.moment,
        recorded_by="system", reversed_at=None, reversed_by=None, reversal_reason=None,
    )  # fmt: skip


def test_status_follows_payments_and_reversals(database: Database, number: str, clock: Clock) -> None:
    assert status(database, number) == ("unpaid", 2900)
    first = pay(database, number, "9.00", "a").payment
    assert status(database, number) == ("partially_paid", 2000)
    pay(database, number, "20.00", "b")
    assert status(database, number) == ("paid", 0)
    reverse(database, number, first.payment_id)
    assert status(database, number) == ("partially_paid", 900)
    clock.moment += timedelta(days=31)
    assert status(database, number) == ("overdue", 900)
    pay(database, number, 9, "c")
    assert status(database, number) == ("paid", 0)


def test_payment_above_the_balance_is_refused(database: Database, number: str) -> None:
    with refused("overpayment") as caught:
        pay(database, number, "29.01")
    assert caught.value.facts["balance"] == Amount(2900, "USD")
    pay(database, number, "28.99", "a")
    with refused("overpayment") as caught:
        pay(database, number, "0.02", "b")
    assert refusal_sentence(caught.value) == f"Only $0.01 of {number} is outstanding."


def test_concurrent_payments_cannot_overpay(database: Database, number: str) -> None:
    outcome = overlap(database, paying(number, "20.00", "a"), paying(number, "20.00", "b"))
    assert outcome.second_waited
    assert codes([outcome.second]) == ["overpayment"]
    assert status(database, number) == ("partially_paid", 900)


def test_many_concurrent_payments_pay_exactly_the_balance(database: Database, number: str) -> None:
    outcomes = at_once(database, [paying(number, "5.00", f"key-{each}") for each in range(12)])
    assert codes(outcomes) == ["overpayment"] * 7
    assert status(database, number) == ("partially_paid", 400)


def test_same_key_records_one_payment(database: Database, number: str, clock: Clock) -> None:
    first = pay(database, number, "29.00", reference="R-1")
    clock.moment += timedelta(days=3)
    again = pay(database, number, "29", reference=" R-1 ")
    assert (again.created, again.payment) == (False, first.payment)
    reversed_payment = reverse(database, number, first.payment.payment_id)
    assert pay(database, number, "29", reference="R-1") == payments.RecordedPayment(
        reversed_payment, created=False
    )


def test_concurrent_calls_with_the_same_key_record_one_payment(database: Database, number: str) -> None:
    outcomes = at_once(database, [paying(number, "5.00")] * 8)
    assert codes(outcomes) == []
    assert sorted(outcome.created for outcome in outcomes) == [False] * 7 + [True]
    assert status(database, number) == ("partially_paid", 2400)


def test_same_key_with_other_content_is_a_conflict(
    database: Database, number: str, subtests: pytest.Subtests
) -> None:
    first = pay(database, number, "29.00")
    for change in (
        {"amount": "28.00"}, {"amount": "0"}, {"amount": "99.00"}, {"method": "cash"}, {"reference": "R-2"},
        {"received_on": TODAY - timedelta(days=1)}, {"received_on": TODAY + timedelta(days=9)},
    ):  # fmt: skip
        with subtests.test(**change), refused("idempotency_conflict") as caught:
            pay(database, number, **change)
        assert caught.value.facts["payment"] == first.payment.public_id


def test_key_belongs_to_one_customer(database: Database, number: str) -> None:
    pay(database, number)
    assert pay(database, make_invoice(database).number).created


def test_key_used_for_another_invoice_of_the_customer_is_a_conflict(database: Database, clock: Clock) -> None:
    customer = make_customer(database, start=date(2026, 9, 1))
    first = make_invoice(database, customer, date(2026, 9, 1))
    second = make_invoice(database, customer, date(2026, 10, 1))
    pay(database, first.number)
    with refused("idempotency_conflict"):
        pay(database, second.number)


def test_invalid_field_is_named(database: Database, number: str, subtests: pytest.Subtests) -> None:
    for details, field in [
        ({"amount": "0"}, "amount"),
        ({"amount": "-1"}, "amount"),
        ({"amount": "1.001"}, "amount"),
        ({"amount": 1.5}, "amount"),
        ({"amount": None}, "amount"),
        ({"amount": "NaN"}, "amount"),
        ({"received_on": TODAY + timedelta(days=2)}, "received_on"),
        ({"received_on": "2026-11-15"}, "received_on"),
        ({"key": ""}, "idempotency_key"),
        ({"key": "k" * 256}, "idempotency_key"),
        ({"key": "a\0"}, "idempotency_key"),
        ({"method": 5}, "method"),
        ({"reference": "x" * 201}, "reference"),
    ]:
        with subtests.test(**details), refused("invalid", field=field):
            pay(database, number, **details)


def test_amounts_have_the_decimals_of_their_currency(database: Database, clock: Clock) -> None:
    for currency, price, too_fine in (("JPY", "2900", "0.5"), ("KWD", "1.005", "0.0005")):
        plan = make_plan(database, currency=currency, monthly_price=price)
        customer = make_customer(database, plan, start=date(2026, 10, 1))
        number = make_invoice(database, customer).number
        with refused("invalid", field="amount"):
            pay(database, number, too_fine)
        pay(database, number, price)
        assert status(database, number) == ("paid", 0)


def test_payment_is_reversed_once_with_a_reason(database: Database, number: str, clock: Clock) -> None:
    payment = pay(database, number).payment
    for reason in ("", "  ", None, "a\0"):
        with refused("invalid", field="reason"):
            reverse(database, number, payment.payment_id, reason)  # type: ignore[arg-type]
    undone = reverse(database, number, payment.payment_id, " bounced ")
    assert (undone.reversed_at, undone.reversed_by) == (clock.moment, "system")
    assert undone.reversal_reason == "bounced"
    with refused("already_reversed"):
        reverse(database, number, payment.payment_id)


def test_concurrent_reversals_create_one(database: Database, number: str) -> None:
    payment = pay(database, number).payment
    undo = reversing(number, payment.payment_id)
    outcome = overlap(database, undo, undo)
    assert outcome.second_waited
    assert codes([outcome.second]) == ["already_reversed"]


def test_unknown_invoice_or_payment_is_not_found(database: Database, number: str) -> None:
    other = pay(database, make_invoice(database).number).payment
    for wrong in ("MISSING-0001", "x", "", f"{number}0", "a\0-0001", "\ud800-0001", None, number[:-1] + "2"):
        with refused("invoice_not_found"):
            pay(database, wrong)  # type: ignore[arg-type]
    for payment_id in (other.payment_id, 999, 0, 2**80):
        with refused("payment_not_found"):
            reverse(database, number, payment_id)


def test_payments_are_listed_last_recorded_first(database: Database, number: str, clock: Clock) -> None:
    for amount in (1, 2, 3, 4, 5):
        pay(database, number, amount, f"key-{amount}")
        clock.moment += timedelta(minutes=amount % 2)
    found, cursor = [], None
    while True:
        with database.transaction(SYSTEM) as session:
            page = payments.list_payments(session, SYSTEM, number, limit=2, cursor=cursor)
        found += [payment.amount_minor // 100 for payment in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == [5, 4, 3, 2, 1]


def test_database_itself_protects_payments(
    database: Database, number: str, owner: psycopg.Connection
) -> None:
    payment = pay(database, number).payment
    reverse(database, number, payment.payment_id)
    for table in ("payment", "payment_reversal"):
        for statement in (
            f"UPDATE {table} SET recorded_by = 'x'",
            f"DELETE FROM {table}",
            f"TRUNCATE {table} CASCADE",
        ):
            with pytest.raises(psycopg.errors.RestrictViolation):
                owner.execute(statement)


def test_payment_based_on_an_old_balance_is_refused(database: Database, number: str) -> None:
    pay(database, number, "9.00", "first", expected_balance="29.00")
    with refused("stale") as caught:
        pay(database, number, "9.00", "second", expected_balance="29.00")
    assert caught.value.facts == {
        "version": "20.00", "newer": {"amount": "20.00"}, "balance": Amount(2000, "USD"), "currency": "USD"
    }  # fmt: skip
    assert not pay(database, number, "9.00", "first", expected_balance="29.00").created
    assert pay(database, number, "20.00", "second", expected_balance="20.00").created
    with refused("overpayment") as caught:
        pay(database, number, "0.01", "third")
    assert refusal_sentence(caught.value) == f"{number} is already paid."
    with refused("invalid", field="balance"):
        pay(database, number, "0.01", "third", expected_balance="much")


@pytest.mark.parametrize(
    ("now", "latest"),
    [
        # Noon in UTC is already the next day on Kiritimati, at UTC+14.
        (datetime(2026, 11, 15, 12, tzinfo=UTC), date(2026, 11, 16)),
        (datetime(2026, 11, 15, 9, 59, tzinfo=UTC), date(2026, 11, 15)),
        # A morning in Auckland, at UTC+13, is still the evening before in UTC.
        (datetime(2026, 11, 15, 20, tzinfo=UTC), date(2026, 11, 16)),
        (datetime(2026, 12, 31, 23, 59, tzinfo=UTC), date(2027, 1, 1)),
    ],
)
def test_payment_can_be_dated_today_anywhere_on_earth(
    database: Database, number: str, clock: Clock, now: datetime, latest: date
) -> None:
    clock.moment = now
    assert pay(database, number, "1.00", received_on=latest).payment.received_on == latest
    with refused("invalid", field="received_on"):
        pay(database, number, "1.00", key="ahead", received_on=latest + timedelta(days=1))


def test_database_rejects_a_payment_dated_in_the_future_everywhere(
    database: Database, number: str, owner: psycopg.Connection
) -> None:
    pay(database, number, "1.00")
    copy = (
        "INSERT INTO payment (customer_id, period_start, amount_minor, received_on, method, reference,"
        " idempotency_key, recorded_at, recorded_by) SELECT customer_id, period_start, amount_minor,"
        " %s, method, reference, %s, '2026-11-15 12:00Z', recorded_by FROM payment LIMIT 1"
    )
    owner.execute(copy, [date(2026, 11, 16), "today in UTC+14"])
    with pytest.raises(psycopg.errors.CheckViolation, match="not_dated_ahead"):
        owner.execute(copy, [date(2026, 11, 17), "ahead"])
