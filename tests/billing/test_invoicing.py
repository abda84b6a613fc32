"""A customer's invoices: their order, closing, cancellations, currencies and copies."""

from __future__ import annotations

import pytest

from billing_app.database.session import Database
from billing_app.domain.actor import Actor
from billing_app.domain.periods import parse_period
from billing_app.errors import Forbidden
from billing_app.jobs.invoicing import generate_invoice
from billing_app.services.customers.customers import update_customer
from billing_app.services.invoices.filters import InvoiceFilter
from billing_app.services.invoices.invoices import get_invoice, list_invoices
from billing_app.services.invoices.issuer import update_issuer
from billing_app.services.invoices.line_usage import list_invoice_events, sum_usage_per_day
from tests.billing.shop import Shop, amounts, total
from tests.conftest import Clock
from tests.refusals import refused


def test_current_month_is_refused(shop: Shop) -> None:
    shop.customer("acme", "2026-11")
    with refused("period_open"):
        shop.invoice("acme", "2026-11")


def test_older_month_must_be_invoiced_first_and_is_named(shop: Shop) -> None:
    shop.customer("acme", "2026-08")
    with refused("earlier_period_open") as refusal:
        shop.invoice("acme", "2026-10")
    assert refusal.value.facts["period"] == parse_period("2026-08")
    shop.use("acme", "still-open", 1, "2026-10-05T00:00:00Z")


def test_generating_again_names_the_invoice(shop: Shop) -> None:
    shop.customer("acme", "2026-10")
    shop.invoice("acme", "2026-10")
    with refused("invoice_exists") as refusal:
        shop.invoice("acme", "2026-10")
    assert refusal.value.facts["number"] == "ACME-0001"


def test_month_before_the_first_plan_has_nothing_to_invoice(shop: Shop) -> None:
    shop.customer("acme", "2026-10")
    with refused("nothing_to_invoice"):
        shop.invoice("acme", "2026-09")


def test_unknown_customer_is_refused(shop: Shop) -> None:
    with refused("customer_not_found"):
        shop.invoice("missing", "2026-10")


def test_cancelled_month_without_usage_does_not_block_the_next(shop: Shop, clock: Clock) -> None:
    shop.customer("acme", "2026-07")
    clock.set(2026, 8, 2)
    shop.invoice("acme", "2026-07")
    shop.set_plan("acme", None, "2026-08")
    shop.use("acme", "late", "1100", "2026-07-20T00:00:00Z")
    clock.set(2026, 9, 2)
    invoice = shop.invoice("acme", "2026-08")
    assert amounts(invoice) == {("late_usage", "2026-07"): "1.25"}
    clock.set(2026, 11, 2)
    with refused("nothing_to_invoice"):
        shop.invoice("acme", "2026-10")
    shop.use("acme", "later", "100", "2026-07-21T00:00:00Z")
    clock.set(2026, 12, 2)
    shop.set_plan("acme", shop.plan("Again"), "2026-12")
    clock.set(2027, 1, 2)
    with refused("earlier_period_open") as refusal:
        shop.invoice("acme", "2026-12")
    assert refusal.value.facts["period"] == parse_period("2026-09")
    assert amounts(shop.invoice("acme", "2026-09")) == {("late_usage", "2026-07"): "1.25"}
    assert total(shop.invoice("acme", "2026-12")) == "29.00"


def test_late_usage_is_priced_by_the_plan_of_its_month(shop: Shop, clock: Clock) -> None:
    shop.customer("acme", "2026-09")
    shop.set_plan("acme", shop.plan("Pricey", "50.00", "0", "1"), "2026-10")
    clock.set(2026, 10, 2)
    shop.invoice("acme", "2026-09")
    shop.use("acme", "late", "1080", "2026-09-30T00:00:00Z")
    clock.set(2026, 11, 2)
    invoice = shop.invoice("acme", "2026-10")
    late = invoice.lines[2]
    assert (late.plan_name, late.amount_minor) == ("Plan of acme", 100)
    assert invoice.lines[0].amount_minor == 5000


@pytest.mark.parametrize(
    ("currency", "price", "unit", "quantity", "expected"),
    [("JPY", "2900", "0.5", "1001", "2901"), ("KWD", "29.005", "0.0005", "1001", "29.006")],
)
def test_currencies_with_other_minor_units(
    shop: Shop, currency: str, price: str, unit: str, quantity: str, expected: str
) -> None:
    shop.customer("acme", "2026-10", shop.plan("Odd", price, "1000", unit, currency))
    shop.use("acme", "a", quantity, "2026-10-15T00:00:00Z")
    assert total(shop.invoice("acme", "2026-10")) == expected


def test_invoice_keeps_its_copies_after_later_edits(shop: Shop, database: Database, admin: Actor) -> None:
    shop.customer("acme", "2026-09")
    with database.transaction(admin) as session:
        update_issuer(session, admin, name="Tally Ltd", address="1 Road", email="pay@tally.example",
                      payment_instructions="IBAN")  # fmt: skip
    first = shop.invoice("acme", "2026-09")
    with database.transaction(admin) as session:
        update_customer(session, admin, "acme", name="Renamed", email="new@example.com")
        update_issuer(
            session, admin, name="Other", address="2 Road", email="o@example.com", payment_instructions=""
        )
    second = shop.invoice("acme", "2026-10")
    with database.transaction(admin) as session:
        again = get_invoice(session, admin, "acme-0001")
    assert again == first
    assert (again.customer.name, again.issuer.name) == ("acme Inc.", "Tally Ltd")
    assert (second.customer.name, second.issuer.name) == ("Renamed", "Other")
    assert second.previous_sha256 == first.content_sha256
    assert second.chain_ok


def test_finance_user_cannot_generate_an_invoice(shop: Shop, database: Database, finance: Actor) -> None:
    shop.customer("acme", "2026-10")
    with pytest.raises(Forbidden):
        generate_invoice(database, finance, "acme", parse_period("2026-10"))


def test_invoice_lists_its_events_and_its_usage_per_day(
    shop: Shop, database: Database, finance: Actor
) -> None:
    shop.customer("acme", "2026-10")
    for day in range(1, 8):
        shop.use("acme", f"e{day}", day, f"2026-10-0{day}T12:00:00+02:00")
    number = shop.invoice("acme", "2026-10").number
    with database.transaction(finance) as session:
        page = list_invoice_events(session, finance, number, line_number=2, limit=4)
        rest = list_invoice_events(session, finance, number, line_number=2, limit=4, cursor=page.next_cursor)
        days = sum_usage_per_day(session, finance, number, 2)
        listed = list_invoices(session, finance, InvoiceFilter(customer="ACME", status="unpaid"))
        nothing = list_invoices(session, finance, InvoiceFilter(status="paid"))
    assert [each.idempotency_key for each in (*page.items, *rest.items)] == [f"e{n}" for n in range(1, 8)]
    assert rest.next_cursor is None
    assert [(each.day.day, each.quantity) for each in days] == [(n, n) for n in range(1, 8)]
    assert [each.number for each in listed.items] == [number]
    assert nothing.items == ()
