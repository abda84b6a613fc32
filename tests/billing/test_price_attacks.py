"""The database refuses what would charge wrongly, from the application's role and from the owner alike.

That rows of append-only tables never change is tested in test_append_only.py, that each kind of line has to add
up in test_line_checks.py, and that a plan is saved whole in test_plan_rows.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors

from billing_app.database.provision import Urls
from billing_app.models import Invoice, InvoiceLine
from tests.billing.everything import bill_everything
from tests.billing.shop import Shop
from tests.conftest import Clock

INVOICE_COLUMNS = [column.name for column in Invoice.__table__.columns]  # type: ignore[attr-defined]
LINE_COLUMNS = [column.name for column in InvoiceLine.__table__.columns]  # type: ignore[attr-defined]
CORRECTION = (
    "INSERT INTO usage_correction SELECT customer_id, 'new', idempotency_key, 3, occurred_at, meter_id, 1200,"
    " {quantity}, {quantity} - 1200, {period}, reason, recorded_at, recorded_by FROM usage_correction"
    " WHERE number = 2"
)
ITEM = (
    "INSERT INTO one_off_item (customer_id, idempotency_key, description, quantity, unit_price, item_date,"
    " billing_period, reverses_item_id, reason, recorded_at, recorded_by)"
    " SELECT customer_id, 'new', description, quantity, {unit_price}, item_date, {period}, {reverses},"
    " {reason}, recorded_at, recorded_by FROM one_off_item WHERE idempotency_key = 'training'"
)
DISCOUNT = (
    "INSERT INTO discount SELECT customer_id, 2, name, {percent}, {amount}, applies_to, {first},"
    " last_period, recorded_at, recorded_by FROM discount"
)
REFUND = (
    "INSERT INTO refund (customer_id, idempotency_key, amount_minor, refunded_on, reference, recorded_at,"
    " recorded_by) SELECT customer_id, 'new', {amount}, refunded_on, reference, recorded_at, recorded_by"
    " FROM refund WHERE idempotency_key = '5.00'"
)


def line(**changes: str) -> str:
    """Return a statement that adds a changed copy of November's late line of tier 2, by default to its invoice."""
    values = [changes.get(name, name) for name in LINE_COLUMNS]
    return (
        f"INSERT INTO invoice_line ({', '.join(LINE_COLUMNS)}) SELECT {', '.join(values)} FROM invoice_line"
        " WHERE kind = 'late_usage' AND period_start = '2026-11-01' AND tier_number = 2"
    )


def invoice_of_december(**changes: str) -> str:
    """Return a statement that adds an invoice of one line, for a month that is closed before."""
    changes |= {"period_start": "'2026-12-01'", "sequence": "3", "number": "'ACME-0003'", "line_count": "1"}
    values = [changes.get(name, name) for name in INVOICE_COLUMNS]
    return (
        f"INSERT INTO invoice ({', '.join(INVOICE_COLUMNS)}) SELECT {', '.join(values)} FROM invoice"
        " WHERE number = 'ACME-0002'"
    )


REFUSED = {
    "correction in a closed period": CORRECTION.format(quantity=1000, period="'2026-11-01'"),
    "correction before its event": CORRECTION.format(quantity=1000, period="'2026-09-01'"),
    "correction of nothing": CORRECTION.format(quantity=1200, period="'2026-12-01'"),
    "correction below zero": CORRECTION.format(quantity=-1, period="'2026-12-01'"),
    "correction of another meter": CORRECTION.format(quantity=1000, period="'2026-12-01'").replace(
        "meter_id, 1200", "meter_id + 1, 1200"
    ),
    "correction out of order": CORRECTION.format(quantity=1000, period="'2026-12-01'").replace(" 3,", " 4,"),
    "correction of no event": CORRECTION.format(quantity=1000, period="'2026-12-01'").replace(
        "'new', idempotency_key", "'new', 'none'"
    ),
    "discount of a closed month": DISCOUNT.format(percent=5, amount="NULL", first="'2026-11-01'"),
    "discount of more than everything": DISCOUNT.format(percent=101, amount="NULL", first="'2026-12-01'"),
    "discount in both ways": DISCOUNT.format(percent=5, amount=100, first="'2026-12-01'"),
    "discount in no way": DISCOUNT.format(percent="NULL", amount="NULL", first="'2026-12-01'"),
    "more of a discount": "UPDATE discount SET percent = 90",
    "another last month of a discount": "UPDATE discount SET last_period = '2027-01-01'",
    "discount removed": "DELETE FROM discount",
    "all discounts removed": "TRUNCATE discount",
    "item in a closed period": ITEM.format(
        unit_price=1, period="'2026-11-01'", reverses="NULL", reason="NULL"
    ),
    "half of a reversal": ITEM.format(
        unit_price="-1", period="'2026-12-01'", reverses="item_id", reason="'x'"
    ),
    "reversal without a reason": ITEM.format(
        unit_price="-unit_price", period="'2026-12-01'", reverses="item_id", reason="NULL"
    ),
    "reversal of no item": ITEM.format(
        unit_price="-unit_price", period="'2026-12-01'", reverses="item_id + 100", reason="'x'"
    ),
    "refund of more than the credit": REFUND.format(amount=10_000_000),
    "refund of nothing": REFUND.format(amount=0),
    "refund below zero": REFUND.format(amount=-1),
    "second reversal of a refund": "INSERT INTO refund_reversal SELECT * FROM refund_reversal",
    "reversal of no refund": (
        "INSERT INTO refund_reversal SELECT customer_id, refund_id + 100, reason, recorded_at, recorded_by"
        " FROM refund_reversal"
    ),
    "credit below zero": "UPDATE customer_billing SET credit_minor = -1",
    "other code of a meter": "UPDATE meter SET code = 'chairs' WHERE code = 'seats'",
    "other aggregation of a meter": "UPDATE meter SET aggregation = 'sum' WHERE code = 'seats'",
    "meter removed": "DELETE FROM meter WHERE code = 'seats'",
    "second meter with a code": (
        "INSERT INTO meter (meter_id, code, name, unit, aggregation, event_type, takes_other_types, version,"
        " created_at) OVERRIDING SYSTEM VALUE SELECT 99, code, name, unit, aggregation, 'other', false, 1, created_at FROM meter"
        " WHERE code = 'seats'"
    ),
    "charge added to a plan": (
        "INSERT INTO plan_charge SELECT plan_id, 3, 3, model, included_units, unit_price, package_size,"
        " package_price_minor, tier_count FROM plan_charge WHERE model = 'per_unit' LIMIT 1"
    ),
    "tier added to a charge": (
        "INSERT INTO plan_tier SELECT plan_id, position, 3, 5000, unit_price, flat_price_minor FROM plan_tier"
        " WHERE up_to IS NULL"
    ),
    "line added to an invoice": line(line_number="99", charge_position="7"),
    "component charged twice": line(line_number="99"),
}


@pytest.fixture(params=["application", "owner"])
def attacker(request: pytest.FixtureRequest, urls: Urls) -> Iterator[psycopg.Connection]:
    url = getattr(urls, request.param).replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def billed(shop: Shop, clock: Clock) -> Shop:
    bill_everything(shop, clock)
    return shop


@pytest.mark.parametrize("statement", REFUSED.values(), ids=REFUSED)
def test_attack_is_refused_whoever_tries(
    billed: Shop, attacker: psycopg.Connection, owner: psycopg.Connection, statement: str
) -> None:
    before = fingerprint(owner)
    with pytest.raises((errors.IntegrityError, errors.InsufficientPrivilege)):
        attacker.execute(statement)
    assert fingerprint(owner) == before


def charge_in_december(attacker: psycopg.Connection) -> None:
    """Add an invoice that bills November's late line again."""
    with attacker.transaction():
        attacker.execute("UPDATE customer_billing SET closed_through = '2026-12-01'")
        attacker.execute(invoice_of_december(total_minor="-300"))
        attacker.execute(line(period_start="'2026-12-01'", line_number="1"))


def test_line_that_forgets_what_was_charged_is_refused(billed: Shop, attacker: psycopg.Connection) -> None:
    # October's second tier was charged 10.00, and November took 3.00 back: 7.00, not 10.00 again.
    found = attacker.execute(
        "SELECT already_charged_minor, amount_minor FROM invoice_line WHERE tier_number = 2"
        " AND kind = 'late_usage'"
    )
    assert found.fetchone() == (1000, -300)
    with pytest.raises(errors.RestrictViolation, match="already charged"):
        charge_in_december(attacker)


def test_what_is_attacked_is_accepted_when_it_is_right(billed: Shop, owner: psycopg.Connection) -> None:
    owner.execute(CORRECTION.format(quantity=1000, period="'2026-12-01'"))
    owner.execute(DISCOUNT.format(percent=5, amount="NULL", first="'2026-12-01'"))
    owner.execute(
        ITEM.format(unit_price="-unit_price", period="'2026-12-01'", reverses="item_id", reason="'x'")
    )
    owner.execute(REFUND.format(amount=1))


def fingerprint(owner: psycopg.Connection) -> list[tuple[object, ...]]:
    tables = (
        "usage_correction", "discount", "one_off_item", "refund", "refund_reversal", "meter", "plan_charge",
        "plan_tier", "invoice_line", "customer_billing",
    )  # fmt: skip
    return [
        owner.execute(f"SELECT md5(string_agg(t::text, '\n' ORDER BY t::text)) FROM {table} t").fetchone()  # type: ignore[misc]
        for table in tables
    ]
