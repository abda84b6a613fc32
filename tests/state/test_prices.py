"""Prices in words."""

from __future__ import annotations

import pytest

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.domain.terms import Charge
from billing_app.services.plans.meters import update_meter
from billing_app.state.pages.plans import plan_item
from billing_app.wording.prices import describe_charge, describe_plan
from billing_app.wording.values import plural_of
from tests.domain.months import CALLS, SEATS, per_unit, plan, tiers
from tests.domain.test_bill import GRADUATED, PACKAGE, VOLUME
from tests.factories import make_plan


@pytest.mark.parametrize(
    ("unit", "plural"),
    [
        ("call", "calls"), ("API call", "API calls"), ("query", "queries"), ("day", "days"), ("box", "boxes"),
        ("process", "processes"), ("status", "statuses"), ("GB", "GB"), ("kWh", "kWh"), ("ms", "ms"),
        ("calls", "calls"), ("m2", "m2"), ("%", "%"),
    ],
)  # fmt: skip
def test_units_have_plurals_but_symbols_have_none(unit: str, plural: str) -> None:
    assert plural_of(unit) == plural


def test_one_price_per_unit_is_said_as_before() -> None:
    simple = plan(2900, per_unit("1000", "0.0125"))
    assert describe_plan(simple) == "$29.00 a month, 1,000 included units, $0.0125 per unit of overage"
    assert describe_plan(plan(2900)) == "$29.00 a month"
    assert describe_charge(per_unit("1", "2", SEATS), "USD") == "1 included seat, $2.00 per seat of overage"
    assert describe_charge(per_unit("0", "10", SEATS), "USD") == "$10.00 per seat"


def test_packages_and_tiers_are_described() -> None:
    assert describe_charge(PACKAGE, "USD") == "10 included units, $3.00 for each package of 5 units"
    assert describe_charge(GRADUATED, "USD") == (
        "up to 1,000 units at $0.00 per unit, up to 10,000 at $0.01, above 10,000 at $0.004 plus $5.00;"
        " each tier has its own price"
    )
    assert describe_charge(VOLUME, "USD") == (
        "up to 1,000 units at $0.02 per unit, up to 10,000 at $0.015, above 10,000 at $0.01 plus $5.00;"
        " the tier reached sets the price of all units"
    )
    single = Charge(CALLS, "volume", tiers=tiers((None, "0.01", 500)))
    assert describe_charge(single, "USD") == "$0.01 per call plus $5.00"


def test_charges_of_several_meters_name_them() -> None:
    terms = plan(2900, per_unit("1000", "0.0125"), per_unit("0", "10", SEATS))
    assert describe_plan(terms) == (
        "$29.00 a month; 1,000 included units, $0.0125 per unit of overage; Seats: $10.00 per seat"
    )


def test_card_of_a_plan_has_the_unit_of_its_meter(database: Database) -> None:
    assert (plan_item(make_plan(database)).unit, plan_item(make_plan(database)).units) == ("unit", "units")
    with database.transaction(SYSTEM) as session:
        update_meter(session, SYSTEM, "usage", name="API requests", unit="request")
    card = plan_item(make_plan(database))
    assert (card.included, card.unit, card.units) == ("1,000", "request", "requests")
    assert plan_item(make_plan(database, charges=[])).units == "units"
