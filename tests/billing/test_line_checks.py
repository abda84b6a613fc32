"""The table of invoice lines verifies all arithmetic by itself: right lines are accepted, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import errors

from billing_app.domain.bill import MonthTerms, UsageKey
from billing_app.domain.days import segments_in
from billing_app.domain.discounts import Discount
from billing_app.domain.lines import Line, MonthUsage, late_lines, month_lines
from billing_app.domain.periods import next_period
from tests.billing.line_rows import insert, invoice_row, line_row
from tests.billing.shop import Shop
from tests.domain.months import (
    NOVEMBER,
    OCTOBER,
    late_lines_of,
    lines_of,
    october,
    per_unit,
    plan,
    whole,
)
from tests.domain.test_bill import GRADUATED, PACKAGE, VOLUME, billed_months

CUSTOMERS = {"USD": (1, "usd"), "JPY": (2, "jpy"), "KWD": (3, "kwd")}
Drawn = tuple[MonthTerms, list[dict[UsageKey, Decimal]]]
# The tables are the same in all examples: each one is rolled back, or changes nothing.
in_one_database = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture
def closed(shop: Shop, owner: psycopg.Connection) -> psycopg.Connection:
    """Create a customer of each currency whose periods are all closed."""
    for currency, (customer_id, key) in CUSTOMERS.items():
        price = "29" if currency == "JPY" else "29.00"
        plan_id = shop.plan(f"Plan {currency}", price=price, currency=currency)
        assert shop.customer(key, "2026-01", plan_id) == customer_id
    owner.execute("UPDATE customer_billing SET closed_through = '2029-01-01'")
    return owner


def invoices_of(drawn: Drawn) -> Iterator[tuple[date, tuple[Line, ...]]]:
    """Yield the invoice of the month and those that charge its late usage, each as its period and lines."""
    terms, after = drawn
    period_start = terms.period_start
    yield period_start, month_lines(terms, MonthUsage(after[0]))
    for before, now in pairwise(after):
        period_start = next_period(period_start)
        arrived = {key for key in now if now.get(key) != before.get(key)}
        if lines := late_lines(terms, MonthUsage(now, before, arrived, arrived)):
            yield period_start, lines


@in_one_database
@given(billed_months())
def test_lines_of_any_bill_are_accepted(closed: psycopg.Connection, drawn: Drawn) -> None:
    currency = drawn[0].currency
    customer = CUSTOMERS[currency]
    with closed.transaction(force_rollback=True):
        for sequence, (period_start, lines) in enumerate(invoices_of(drawn), 1):
            row = invoice_row(lines, period_start, currency, customer=customer, sequence=sequence)
            insert(closed, "invoice", row)
            insert(
                closed,
                "invoice_line",
                *(
                    line_row(line, period_start, currency, customer_id=customer[0], number=number)
                    for number, line in enumerate(lines, 1)
                ),
            )
        closed.execute("SET CONSTRAINTS ALL IMMEDIATE")


def decided_fields(line: Line) -> list[str]:
    """Return the numbers of a line of which no other value can be right."""
    fields = ["exact_amount", "exact_denominator", "rated_minor", "exact_amount_before"]
    fields += ["already_charged_minor", "amount_minor", "days", "days_in_month", "monthly_price_minor"]
    fields += ["quantity", "quantity_before", "quantity_after", "billed_quantity", "billed_quantity_before"]
    fields += ["included_units", "included_quantity", "packages", "packages_before", "component_tier"]
    fields += ["tier_above", "tier_above_units", "tier_up_to", "tier_up_to_units"]
    if line.discount_percent is not None:
        fields += ["discounted_minor", *(["discount_percent"] if line.discounted_minor else [])]
    # Nothing shows that a price is wrong while nothing has that price.
    if line.billed_quantity:
        fields += ["unit_price", "flat_price_minor"]
    if line.packages:
        fields += ["package_price_minor"]
    if line.billed_quantity_before:
        fields += ["unit_price_before", "flat_price_minor_before"]
    return [field for field in fields if getattr(line, field) is not None]


@pytest.fixture
def copy(owner: psycopg.Connection) -> psycopg.Connection:
    """Create a table with the checks of `invoice_line`, and without its keys and triggers."""
    owner.execute("CREATE TEMPORARY TABLE checked (LIKE invoice_line INCLUDING CONSTRAINTS)")
    return owner


@in_one_database
@given(st.data(), billed_months(), st.sampled_from([1, -1]))
def test_line_with_one_wrong_number_is_refused(
    copy: psycopg.Connection, data: st.DataObject, drawn: Drawn, by: int
) -> None:
    period_start, lines = data.draw(st.sampled_from(list(invoices_of(drawn))))
    line = data.draw(st.sampled_from(lines))
    row = line_row(line, period_start, drawn[0].currency)
    insert(copy, "checked", row, like="invoice_line")
    for field in decided_fields(line):
        wrong = {**row, field: row[field] + by}
        try:
            insert(copy, "checked", wrong, like="invoice_line")
        except errors.CheckViolation:
            continue
        pytest.fail(f"{field} is {wrong[field]} instead of {row[field]} in {line}")


HALF = MonthTerms(OCTOBER, segments_in(OCTOBER, [(october(15), plan(2900, per_unit("1000", "0.0125")))]))
PART_BASE, PART = month_lines(HALF, MonthUsage({UsageKey(1, october(15)): Decimal(700)}))
GROWTH = plan(2900, per_unit("1000", "0.0125"))
BASE, OWN = lines_of(GROWTH, "1530")
(LATE,) = late_lines_of(GROWTH, "1530", "1630")
(PACKAGES,) = late_lines_of(plan(0, PACKAGE), "11", "27")
TIER = lines_of(plan(0, GRADUATED), "25000")[2]
VOLUME_OWN = lines_of(plan(0, VOLUME), "10001")[1]
(VOLUME_LATE,) = late_lines_of(plan(0, VOLUME), "1000", "1001")
DISCOUNTS = (
    Discount(1, "Welcome", Decimal(20), None, "base", OCTOBER, None),
    Discount(2, "Loyalty", None, 1000, "base", OCTOBER, None),
)
PERCENT, AMOUNT = month_lines(MonthTerms(OCTOBER, whole(GROWTH), DISCOUNTS), MonthUsage({}))[-2:]
ITEM = Line(
    kind="one_off", description="Setup", usage_period=None, exact_amount=Decimal("100.5"), exact_denominator=1,
    rated_minor=10050, exact_amount_before=Decimal(0), already_charged_minor=0, amount_minor=10050,
    quantity=Decimal(3), unit_price=Decimal("33.5"), item_key="setup", item_date=october(3),
)  # fmt: skip

# A line for each check, with values that only this check refuses, whatever the others do.
ATTACKS: dict[str, list[tuple[Line, dict[str, Any]]]] = {
    "known_kind": [(BASE, {"kind": "gift"})],
    "usage_period_of_kind": [
        (BASE, {"usage_period": date(2026, 9, 1)}), (LATE, {"usage_period": NOVEMBER}),
        (PERCENT, {"usage_period": date(2026, 12, 1)}), (ITEM, {"usage_period": OCTOBER}),
        (OWN, {"usage_period": None}),
    ],
    "days_of_kind": [(BASE, {"days": None}), (ITEM, {"days": 31}), (OWN, {"plan_name": None})],
    "base_of_kind": [(BASE, {"monthly_price_minor": None}), (OWN, {"monthly_price_minor": 2900})],
    "usage_of_kind": [(OWN, {"meter_code": None}), (BASE, {"quantity": 1}), (ITEM, {"quantity": None})],
    "terms_of_model": [
        (OWN, {"unit_price": None}), (OWN, {"packages": 1}), (PACKAGES, {"package_size": None}),
        (TIER, {"included_units": 1}), (VOLUME_OWN, {"tier_number": None}), (ITEM, {"unit_price": None}),
        (BASE, {"unit_price": 1}),
    ],
    "tier_whole": [(TIER, {"tier_above": None}), (TIER, {"flat_price_minor": None}), (OWN, {"tier_up_to": 1})],
    "component_tier_of_model": [(TIER, {"component_tier": None}), (VOLUME_OWN, {"component_tier": 3})],
    "tier_before_of_kind": [
        (VOLUME_LATE, {"unit_price_before": None}), (TIER, {"tier_number_before": 1}),
        (OWN, {"tier_up_to_before": 1}),
    ],
    "discount_of_kind": [
        (PERCENT, {"discount_amount_minor": 1}), (PERCENT, {"discount_percent": None}),
        (AMOUNT, {"discount_available_minor": None}), (OWN, {"discount_number": 1}),
    ],
    "item_of_kind": [(ITEM, {"item_key": None}), (OWN, {"item_date": OCTOBER})],
    "nothing_before_of_kind": [
        (OWN, {"exact_amount_before": 1}), (OWN, {"quantity_before": 1}),
        (OWN, {"billed_quantity_before": 1}), (BASE, {"exact_amount_before": 1}),
    ],
    "line_number_positive": [(BASE, {"line_number": 0})],
    "known_aggregation": [(OWN, {"aggregation": "mean"})],
    "known_model": [(OWN, {"model": "flat"})],
    "known_discount_part": [(PERCENT, {"discount_part": "all"})],
    "days_rule": [
        (BASE, {"days": 30}), (BASE, {"days_in_month": 30}), (BASE, {"segment_start": october(2)}),
        (PART_BASE, {"segment_start": october(1), "segment_end": october(1), "days": 0}),
        (BASE, {"segment_start": october(2), "segment_end": date(2026, 11, 2)}),
    ],
    "exact_denominator_rule": [(PART_BASE, {"exact_denominator": 30}), (ITEM, {"exact_denominator": 31})],
    "quantities_add_up": [(LATE, {"quantity": 101}), (LATE, {"quantity_before": 0})],
    "included_quantity_rule": [
        (PART, {"included_quantity": "548.387096"}), (PART, {"included_quantity": "548.387098"}),
        (OWN, {"included_quantity": 999}), (PART, {"included_quantity": None}),
    ],
    "tier_above_rule": [(TIER, {"tier_above": 999}), (TIER, {"tier_above_units": 1001})],
    "tier_up_to_rule": [(TIER, {"tier_up_to": 10001}), (TIER, {"tier_up_to": None})],
    "billed_quantity_rule": [
        (OWN, {"billed_quantity": 531}), (TIER, {"billed_quantity": 9001}), (VOLUME_OWN, {"billed_quantity": 10000}),
        (PACKAGES, {"billed_quantity": 16}),
    ],
    "billed_quantity_before_rule": [
        (LATE, {"billed_quantity_before": 531}), (VOLUME_LATE, {"billed_quantity_before": 999}),
        (PACKAGES, {"billed_quantity_before": 0}),
    ],
    "volume_tier_rule": [(VOLUME_OWN, {"tier_above": 10001}), (VOLUME_OWN, {"tier_up_to": 10000})],
    "volume_tier_before_rule": [
        (VOLUME_LATE, {"tier_up_to_before": 999}),
        (VOLUME_LATE, {"tier_above_before": 1000, "tier_number_before": 2}),
    ],
    "packages_rule": [
        (PACKAGES, {"packages": 3}), (PACKAGES, {"packages": 5}), (PACKAGES, {"packages_before": 0}),
        (PACKAGES, {"packages_before": 2}), (PACKAGES, {"package_size": 4}), (PACKAGES, {"package_size": 6}),
    ],
    "base_rule": [(BASE, {"monthly_price_minor": 2901}), (PART_BASE, {"monthly_price_minor": 2901})],
    "usage_rule": [
        (OWN, {"unit_price": "0.0126"}), (TIER, {"flat_price_minor": 1}), (VOLUME_OWN, {"flat_price_minor": 0}),
        (PACKAGES, {"package_price_minor": 301}), (PART, {"exact_amount": "1.8951"}),
    ],
    "usage_before_rule": [
        (LATE, {"exact_amount_before": "6.63"}), (VOLUME_LATE, {"unit_price_before": "0.03"}),
        (PACKAGES, {"exact_amount_before": 0}),
    ],
    "discount_rule": [
        (PERCENT, {"discounted_minor": 2901}), (PERCENT, {"discount_percent": 21}),
        (AMOUNT, {"exact_amount": -9}), (AMOUNT, {"discounted_minor": 900}),
        (AMOUNT, {"exact_amount_before": -1}),
    ],
    "discount_limits": [
        (PERCENT, {"discounted_minor": -1}), (PERCENT, {"discount_percent": 101}),
        (PERCENT, {"discount_percent": 0}), (AMOUNT, {"discount_available_minor": 1001}),
        (AMOUNT, {"discount_amount_minor": 0}), (AMOUNT, {"discounted_minor_before": -1}),
    ],
    "one_off_rule": [(ITEM, {"quantity": 4}), (ITEM, {"unit_price": 33})],
    "rounded_half_up": [
        (OWN, {"rated_minor": 662}), (OWN, {"rated_minor": 664}), (PART_BASE, {"rated_minor": 1591}),
        (PART_BASE, {"rated_minor": -1590}), (PERCENT, {"rated_minor": 580}),
    ],
    "rounded_half_up_before": [(LATE, {"already_charged_minor": 662}), (OWN, {"already_charged_minor": 1})],
    "amount_rule": [(OWN, {"amount_minor": 664}), (LATE, {"amount_minor": 788})],
}  # fmt: skip


def test_every_check_is_attacked(owner: psycopg.Connection) -> None:
    checks = owner.execute(
        "SELECT substr(conname, length('ck_invoice_line_') + 1) FROM pg_constraint"
        " WHERE conrelid = 'invoice_line'::regclass AND contype = 'c'"
    )
    assert {name for (name,) in checks} == ATTACKS.keys()


@pytest.mark.parametrize("name", ATTACKS)
def test_check_refuses_what_it_is_for(owner: psycopg.Connection, name: str) -> None:
    """The table has only this check, so nothing else can refuse what it would let pass."""
    (check,) = owner.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", [f"ck_invoice_line_{name}"]
    ).fetchall()[0]
    owner.execute("CREATE TEMPORARY TABLE checked (LIKE invoice_line)")
    owner.execute(f"ALTER TABLE checked ADD {check}")  # type: ignore[arg-type]
    for line, changes in ATTACKS[name]:
        period_start = NOVEMBER if line.kind == "late_usage" else OCTOBER
        row = line_row(line, period_start, "USD")
        insert(owner, "checked", row, like="invoice_line")
        try:
            insert(owner, "checked", {**row, **changes}, like="invoice_line")
        except errors.CheckViolation:
            continue
        pytest.fail(f"{changes} is accepted in {line}")
