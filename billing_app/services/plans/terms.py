"""Read the terms of plan versions: their prices, charges and tiers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from psycopg import Cursor

from billing_app.domain.terms import Charge, Meter, Plan, Tier

_CHARGES = """
    SELECT c.plan_id, c.position, m.meter_id, m.code, m.name, m.unit, m.aggregation, c.model,
           c.included_units, c.unit_price, c.package_size, c.package_price_minor
    FROM plan_charge c JOIN meter m USING (meter_id)
    WHERE %(all)s OR c.plan_id = ANY(%(ids)s) ORDER BY c.plan_id, c.position
"""
_TIERS = """
    SELECT plan_id, position, up_to, unit_price, flat_price_minor FROM plan_tier
    WHERE %(all)s OR plan_id = ANY(%(ids)s) ORDER BY plan_id, position, tier_number
"""
_PLANS = """
    SELECT plan_id, name, version, currency, monthly_price_minor FROM plan
    WHERE %(all)s OR plan_id = ANY(%(ids)s)
"""


def read_plans(db: Cursor[Any], plan_ids: Iterable[int] | None = None) -> dict[int, Plan]:
    """Return the terms of these plan versions, or of all of them, by id."""
    which = {"all": plan_ids is None, "ids": list(plan_ids or ())}
    charges = _read_charges(db, which)
    db.execute(_PLANS, which)
    return {
        plan_id: Plan(plan_id, name, version, currency, int(price_minor), tuple(charges[plan_id]))
        for plan_id, name, version, currency, price_minor in db
    }


def _read_charges(db: Cursor[Any], which: dict[str, object]) -> defaultdict[int, list[Charge]]:
    tiers: defaultdict[tuple[int, int], list[Tier]] = defaultdict(list)
    db.execute(_TIERS, which)
    for plan_id, position, up_to, unit_price, flat_price_minor in db:
        tiers[plan_id, position].append(Tier(up_to, unit_price, int(flat_price_minor)))
    charges: defaultdict[int, list[Charge]] = defaultdict(list)
    db.execute(_CHARGES, which)
    for plan_id, position, meter_id, code, name, unit, aggregation, model, *terms in db:
        included_units, unit_price, package_size, package_price_minor = terms
        charges[plan_id].append(
            Charge(
                meter=Meter(meter_id, code, name, unit, aggregation),
                model=model,
                included_units=included_units,
                unit_price=unit_price,
                package_size=package_size,
                package_price_minor=None if package_price_minor is None else int(package_price_minor),
                tiers=tuple(tiers[plan_id, position]),
            )
        )
    return charges
