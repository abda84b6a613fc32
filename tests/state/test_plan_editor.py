"""The charges in the dialog of a plan."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from billing_app.domain.terms import Charge, Meter
from billing_app.errors import Invalid
from billing_app.services.plans.charges import ChargeTerms, TierTerms
from billing_app.services.plans.rows import PlanRow
from billing_app.state.kit.numbers import AMERICAN, Notation
from billing_app.state.pages import plan_editor
from billing_app.state.pages.plan_editor import Example, PlanEditor
from tests.domain.months import CALLS, SEATS, USAGE, tiers

METERS: dict[str, Meter] = {meter.code: meter for meter in (USAGE, CALLS, SEATS)}
GERMAN = Notation(",", ".")


def new(meters: dict[str, Meter] = METERS) -> PlanEditor:
    return plan_editor.start_editor(None, meters)


def shown(editor: PlanEditor, typed: dict[str, str], currency: str = "USD") -> list[list[Example]]:
    made = plan_editor.with_examples(editor, typed, currency, AMERICAN, METERS)
    return [each.examples for each in made.charges]


def test_new_plan_starts_with_one_price_per_unit_of_the_default_meter() -> None:
    editor = new()
    assert editor.is_simple
    assert [(each.meter, each.model, each.units) for each in editor.charges] == [
        ("usage", "per_unit", "units")
    ]
    assert editor.has_meters
    assert not new({"usage": USAGE}).has_meters


def test_charge_is_added_for_a_meter_without_one() -> None:
    editor = plan_editor.add_charge(new(), METERS)
    assert [(each.meter, each.units) for each in editor.charges] == [
        ("usage", "units"),
        ("api_calls", "calls"),
    ]
    editor = plan_editor.add_charge(editor, METERS)
    assert not editor.can_add
    editor = plan_editor.remove_charge(editor, 2)
    assert ([each.key for each in editor.charges], editor.can_add) == ([1, 3], True)
    assert plan_editor.add_charge(editor, METERS).charges[-1].key == 4


def test_last_tier_has_no_bound() -> None:
    editor = plan_editor.add_tier(new(), 1)
    assert [(tier.number, tier.is_last) for tier in editor.charges[0].tiers] == [
        (1, False), (2, False), (3, True),
    ]  # fmt: skip
    editor = plan_editor.remove_tier(editor, 1, 3)
    assert [(tier.key, tier.is_last) for tier in editor.charges[0].tiers] == [(1, False), (2, True)]


def test_charges_are_read_from_the_names_of_the_fields() -> None:
    form = {
        "charge.2.model": "volume",
        "charge.2.meter": "seats",
        "charge.2.tier.1.up_to": "1.000,5",
        "charge.2.tier.1.unit_price": "0,02",
        "charge.2.tier.1.flat_price": "",
        "charge.2.tier.4.unit_price": "0,01",
        "charge.2.tier.4.flat_price": "5",
        "charge.1.model": "per_unit",
        "charge.1.included_units": "1.000",
        "charge.1.unit_price": "0,0125",
    }
    read = plan_editor.read_charges(form, GERMAN)
    assert read.terms == [
        ChargeTerms("per_unit", included_units="1000", unit_price="0.0125"),
        ChargeTerms(
            "volume", "seats", tiers=[TierTerms("0.02", "1000.5", "0"), TierTerms("0.01", None, "5")]
        ),
    ]
    assert read.fields["charges.2.tiers.2.flat_price"] == "charge.2.tier.4.flat_price"
    refused = read.at_fields(Invalid("charges.2.tiers.1.up_to", "not_ascending"))
    assert refused.errors[0].field == "charge.2.tier.1.up_to"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"charge.1.unit_price": ""}, "charge.1.unit_price"),
        ({"charge.1.included_units": "x"}, "charge.1.included_units"),
        ({"charge.1.model": "graduated"}, "charge.1.tier.1.unit_price"),
    ],
)
def test_wrong_number_names_the_field_of_the_form(changes: dict[str, Any], field: str) -> None:
    form = {
        "charge.1.model": "per_unit",
        "charge.1.included_units": "1",
        "charge.1.unit_price": "1",
        "charge.1.tier.1.unit_price": "",
        **changes,
    }
    with pytest.raises(Invalid) as refused:
        plan_editor.read_charges(form, AMERICAN)
    assert refused.value.errors[0].field == field


def test_examples_follow_what_is_typed() -> None:
    editor = new()
    typed = {"charge.1.included_units": "1000", "charge.1.unit_price": ""}
    assert shown(editor, typed) == [[]]
    typed["charge.1.unit_price"] = "0.0125"
    assert shown(editor, typed) == [
        [
            Example("1,000 units", "$0.00"),
            Example("1,001 units", "$0.01"),
            Example("1,500 units", "$6.25"),
            Example("2,000 units", "$12.50"),
        ]
    ]
    assert shown(editor, typed, "XX") == [[]]


def test_examples_of_tiers_show_both_sides_of_each_bound() -> None:
    editor = plan_editor.choose_model(new(), 1, "volume")
    editor = plan_editor.choose_meter(editor, 1, "api_calls", METERS)
    typed = {
        "charge.1.tier.1.up_to": "1000",
        "charge.1.tier.1.unit_price": "0.02",
        "charge.1.tier.2.unit_price": "0.015",
        # A tier that was removed again.
        "charge.1.tier.3.unit_price": "9",
    }
    assert shown(editor, typed) == [
        [
            Example("1,000 calls", "$20.00"),
            Example("1,001 calls", "$15.02"),
            Example("2,000 calls", "$30.00"),
        ]
    ]


def test_terms_of_a_version_start_in_the_notation_of_the_viewer() -> None:
    charge = Charge(SEATS, "graduated", tiers=tiers(("10.5", "1", 0), (None, "0.5", 250)))
    row = PlanRow(1, "Pro", 1, "USD", 2900, (charge,), datetime(2026, 11, 1, tzinfo=UTC), None)
    editor = plan_editor.start_editor(row, METERS)
    values = plan_editor.start_values(editor, row, GERMAN)
    assert not editor.is_simple
    assert values["charge.1.tier.1.up_to"] == "10,5"
    assert values["charge.1.tier.2.flat_price"] == "2,50"
    read = plan_editor.read_charges(values, GERMAN)
    assert read.terms[0].tiers == [TierTerms("1", "10.5", "0"), TierTerms("0.5", None, "2.50")]
