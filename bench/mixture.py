"""The mixed load: customers with everything that prices can do, in SQL for speed.

By the last two digits of their IDs: 10 % of the customers change their plan in the middle of each month, 20 % have
tiered prices, 5 % have a meter that takes the largest quantity or counts different items, and 10 % have a discount.
1 % of the events are corrected, half of them after their month was invoiced.
"""

from __future__ import annotations

from datetime import date, timedelta

from bench.databases import Bench

METER_IDS = {"usage": 1, "seats": 2, "users": 3}
ITEMS = 20
"""How many different items a customer reports."""


def meter_of(number: int, customer_id: int, customers: int) -> str:
    """Return the meter of the event with this number: another one for every second event of 5 % of the customers."""
    if not 30 <= customer_id % 100 <= 34 or number // customers % 2:
        return "usage"
    return "seats" if customer_id % 100 < 33 else "users"


# The same in SQL.
METER_ID = """
    CASE WHEN customer_id %% 100 NOT BETWEEN 30 AND 34 OR n / %(customers)s %% 2 = 1 THEN 1
         WHEN customer_id %% 100 < 33 THEN 2 ELSE 3 END
"""


def mix(bench: Bench, months: list[date]) -> None:
    """Move customers to other plans and give them discounts. Plans and customers are those of `add_customers`."""
    changes = [day for month in months for day in (month, month + timedelta(days=15))]
    with bench.superuser() as db:
        db.execute(ADD_METERS)
        db.execute(_PLANS)
        db.execute(_CHARGES)
        db.execute(_TIERS)
        db.execute(
            "UPDATE subscription SET plan_id = CASE WHEN customer_id % 100 < 20 THEN 11"
            " WHEN customer_id % 100 < 30 THEN 12 WHEN customer_id % 100 < 33 THEN 13 ELSE 14 END"
            " WHERE customer_id % 100 BETWEEN 10 AND 34"
        )
        # On the plan before in the first half of each month, and on the next one in the second half.
        db.execute(
            "INSERT INTO subscription (customer_id, effective_from, plan_id, currency)"
            " SELECT customer_id, day, 1 + (customer_id + number - 1) %% 10, 'USD' FROM customer"
            " CROSS JOIN LATERAL unnest(%s::date[]) WITH ORDINALITY AS change(day, ordinality)"
            " CROSS JOIN LATERAL (SELECT 1 + (ordinality + 1) %% 2 AS number) alternating"
            " WHERE customer_id %% 100 < 10 AND ordinality > 1",
            [changes],
        )
        db.execute(
            "INSERT INTO discount"
            " (customer_id, number, name, percent, applies_to, first_period, recorded_at, recorded_by)"
            " SELECT customer_id, 1, 'Agreement', 10, 'all', %s, '2026-09-15', 'bench' FROM customer"
            " WHERE customer_id %% 100 BETWEEN 35 AND 44",
            [months[0]],
        )
        db.execute("VACUUM (ANALYZE)")


def add_corrections(bench: Bench) -> None:
    """Correct 1 % of the events to half of their quantity, or to none on the meter that counts items."""
    with bench.superuser() as db:
        db.execute(
            "INSERT INTO usage_correction (customer_id, correction_key, idempotency_key, number, occurred_at,"
            "   meter_id, quantity_before, quantity, difference, billing_period, reason, recorded_at, recorded_by)"
            " SELECT customer_id, idempotency_key, idempotency_key, 1, occurred_at, meter_id, quantity,"
            "        corrected, corrected - quantity,"
            "        (billing_period + CASE WHEN hash / 100 % 2 = 0 THEN interval '1 month' ELSE '0' END)::date,"
            "        'A mistake.', recorded_at, 'bench'"
            " FROM usage_event"
            " CROSS JOIN LATERAL (SELECT hashtext(idempotency_key) & 2147483647 AS hash,"
            "                            CASE WHEN item IS NULL THEN quantity * 0.5 ELSE 0 END AS corrected) c"
            " WHERE hash % 100 = 0 AND quantity > 0"
        )
        db.execute("VACUUM (ANALYZE) usage_correction")


ADD_METERS = """
    INSERT INTO meter (code, name, unit, aggregation, event_type, takes_other_types, created_at, version)
    VALUES ('seats', 'Seats', 'seat', 'max', 'seats', false, '2026-09-15', 1),
           ('users', 'Users', 'user', 'unique', 'users', false, '2026-09-15', 1)
"""
_PLANS = """
    INSERT INTO plan (name, version, currency, monthly_price_minor, charge_count, tier_count, created_at)
    VALUES ('Graduated', 1, 'USD', 2900, 1, 3, '2026-09-15'), ('Volume', 1, 'USD', 2900, 1, 3, '2026-09-15'),
           ('Seats', 1, 'USD', 2900, 2, 0, '2026-09-15'), ('Users', 1, 'USD', 2900, 2, 0, '2026-09-15')
"""
_CHARGES = """
    INSERT INTO plan_charge (plan_id, position, meter_id, model, included_units, unit_price, tier_count)
    VALUES (11, 1, 1, 'graduated', NULL, NULL, 3), (12, 1, 1, 'volume', NULL, NULL, 3),
           (13, 1, 1, 'per_unit', 100, 0.0125, 0), (13, 2, 2, 'per_unit', 5, 1.5, 0),
           (14, 1, 1, 'per_unit', 100, 0.0125, 0), (14, 2, 3, 'per_unit', 5, 0.8, 0)
"""
_TIERS = """
    INSERT INTO plan_tier (plan_id, position, tier_number, up_to, unit_price, flat_price_minor)
    SELECT plan_id, 1, tier_number, up_to, unit_price, flat_price_minor
    FROM unnest(ARRAY[11, 12]) AS plan_id
    CROSS JOIN (VALUES (1, 200, 0.02, 0), (2, 600, 0.0125, 0), (3, NULL, 0.01, 500))
        AS tier(tier_number, up_to, unit_price, flat_price_minor)
"""
