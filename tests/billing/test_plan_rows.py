"""A plan version is stored with exactly its charges and tiers, whatever code writes the rows."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from tests.billing.shop import Shop

PLAN = (
    "INSERT INTO plan (name, version, currency, monthly_price_minor, charge_count, tier_count, created_at)"
    " VALUES ('New', 1, 'USD', 0, {charges}, {tiers}, now())"
)
CHARGE = (
    "INSERT INTO plan_charge (plan_id, position, meter_id, model, included_units, unit_price, tier_count)"
    " SELECT max(plan_id), {position}, {meter}, 'per_unit', 0, 1, 0 FROM plan"
)
TIERED = (
    "INSERT INTO plan_charge (plan_id, position, meter_id, model, tier_count)"
    " SELECT max(plan_id), 1, 1, 'volume', {tiers} FROM plan"
)


def tiers(*bounds: str, first: int = 1) -> str:
    rows = ", ".join(f"({number}, {bound}::numeric)" for number, bound in enumerate(bounds, first))
    return (
        "INSERT INTO plan_tier (plan_id, position, tier_number, up_to, unit_price, flat_price_minor)"
        " SELECT (SELECT max(plan_id) FROM plan), 1, number, up_to, 1, 0"
        f" FROM (VALUES {rows}) AS given (number, up_to)"
    )


ONE_CHARGE, THREE_TIERS = PLAN.format(charges=1, tiers=0), PLAN.format(charges=1, tiers=3)
VALID = [
    [PLAN.format(charges=0, tiers=0)],
    [ONE_CHARGE, CHARGE.format(position=1, meter=1)],
    [THREE_TIERS, TIERED.format(tiers=3), tiers("5", "10", "NULL")],
]

# The trigger that refuses each of them, and what is written.
ATTACKS = [
    ("plan.ck_plan_complete", [ONE_CHARGE]),
    ("plan.ck_plan_complete", [THREE_TIERS, TIERED.format(tiers=3)]),
    ("plan_charge.charges_complete",
     [PLAN.format(charges=2, tiers=0), CHARGE.format(position=1, meter=1), CHARGE.format(position=2, meter=2)]),
    ("plan_charge.charges_complete", [PLAN.format(charges=1, tiers=0), CHARGE.format(position=2, meter=1)]),
    ("plan_charge.charges_complete",
     [PLAN.format(charges=1, tiers=2), TIERED.format(tiers=3), tiers("5", "NULL")]),
    ("plan_tier.tiers_complete", [THREE_TIERS, TIERED.format(tiers=3), tiers("10", "5", "NULL")]),
    ("plan_tier.tiers_complete", [THREE_TIERS, TIERED.format(tiers=3), tiers("5", "5", "NULL")]),
    ("plan_tier.tiers_complete", [THREE_TIERS, TIERED.format(tiers=3), tiers("5", "10", "15")]),
    ("plan_tier.tiers_complete", [THREE_TIERS, TIERED.format(tiers=3), tiers("5", "NULL", "NULL")]),
    ("plan_tier.tiers_complete", [THREE_TIERS, TIERED.format(tiers=3), tiers("5", "10", "NULL", first=2)]),
    ("plan_tier.tiers_complete",
     [THREE_TIERS, TIERED.format(tiers=3), tiers("5", "10"), tiers("NULL", first=3)]),
]  # fmt: skip
LATER = [
    ("plan_charge.charges_complete", [ONE_CHARGE, CHARGE.format(position=1, meter=1)],
     CHARGE.format(position=2, meter=2)),
    ("plan_tier.tiers_complete", [THREE_TIERS, TIERED.format(tiers=3), tiers("5", "10", "NULL")],
     tiers("NULL", first=4)),
]  # fmt: skip


@pytest.fixture
def metered(shop: Shop, owner: psycopg.Connection) -> psycopg.Connection:
    """Add a second meter."""
    owner.execute(
        "INSERT INTO meter (code, name, unit, aggregation, event_type, takes_other_types, created_at, version)"
        " VALUES ('calls', 'Calls', 'call', 'sum', 'calls', false, now(), 1)"
    )
    return owner


def write(connection: psycopg.Connection, statements: list[str], *, without: str = "") -> None:
    """Write in a transaction that is rolled back at its end, with one trigger disabled."""
    with connection.transaction(force_rollback=True):
        if without:
            table, trigger = without.split(".")
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")  # type: ignore[arg-type]
        for statement in statements:
            connection.execute(statement)  # type: ignore[arg-type]
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")


@pytest.mark.parametrize("statements", VALID)
def test_whole_plan_is_accepted(metered: psycopg.Connection, statements: list[str]) -> None:
    write(metered, statements)


@pytest.mark.parametrize(("trigger", "statements"), ATTACKS)
def test_plan_with_other_rows_than_it_says_is_refused(
    metered: psycopg.Connection, trigger: str, statements: list[str]
) -> None:
    with pytest.raises(errors.RestrictViolation):
        write(metered, statements)


@pytest.mark.parametrize(("trigger", "statements", "later"), LATER)
def test_nothing_is_added_to_a_saved_plan(
    metered: psycopg.Connection, trigger: str, statements: list[str], later: str
) -> None:
    with metered.transaction():
        for statement in statements:
            metered.execute(statement)  # type: ignore[arg-type]
    with pytest.raises(errors.RestrictViolation):
        write(metered, [later])
    write(metered, [later], without=trigger)


@pytest.mark.parametrize(
    ("trigger", "statements"), [each for each in ATTACKS if each[0] == "plan_tier.tiers_complete"][:4]
)
def test_only_the_trigger_refuses_tiers_out_of_order(
    metered: psycopg.Connection, trigger: str, statements: list[str]
) -> None:
    write(metered, statements, without=trigger)
