"""The charges in the dialog of a plan: which fields it has, what was typed, and what it costs.

The names of the fields say everything: `charge.3.model`, `charge.3.unit_price`, `charge.3.tier.2.up_to`. So
the charges of a sent form can be read even if the server was restarted while it was being filled in. Numbers
in the names are never used twice, and ascend in the order shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, NamedTuple

from billing_app.domain.money import major_text, plain
from billing_app.domain.pricing import WHOLE, ZERO, price
from billing_app.domain.rules import BrokenRule
from billing_app.domain.terms import CHARGES_MAX, TIERS_MAX, Charge, Meter
from billing_app.errors import BillingError, FieldError, Invalid
from billing_app.services.plans.charges import DEFAULT_METER, ChargeTerms, TierTerms, parse_charges
from billing_app.services.plans.rows import PlanRow
from billing_app.services.shared import validation
from billing_app.state.kit import text
from billing_app.state.kit.lists import Option
from billing_app.state.kit.numbers import Notation
from billing_app.wording.values import counted, plural_of

PER_UNIT, PACKAGE, GRADUATED, VOLUME = "per_unit", "package", "graduated", "volume"
MODELS = [
    (PER_UNIT, "Per unit"),
    (PACKAGE, "Per package"),
    (GRADUATED, "Graduated tiers"),
    (VOLUME, "Volume tiers"),
]
EXAMPLES = 5
_CHARGE = re.compile(r"charge\.([0-9]{1,6})\.model")
_TIER = r"charge\.{}\.tier\.([0-9]{{1,6}})\.unit_price"


@dataclass(frozen=True)
class Example:
    """What a quantity costs."""

    quantity: str = ""
    cost: str = ""


@dataclass(frozen=True)
class TierEditor:
    """The fields of a tier. The last one has no upper bound."""

    key: int = 0
    number: int = 0
    is_last: bool = False
    up_to: str = ""
    unit_price: str = ""
    flat_price: str = ""


@dataclass(frozen=True)
class ChargeEditor:
    """The fields of a charge, and examples of what it costs with the terms typed so far."""

    key: int = 0
    model: str = PER_UNIT
    meter: str = DEFAULT_METER
    unit: str = "unit"
    units: str = "units"
    model_name: str = ""
    meter_name: str = ""
    included_units: str = ""
    unit_price: str = ""
    package_size: str = ""
    package_price: str = ""
    tiers: list[TierEditor] = field(default_factory=list)
    can_add_tier: bool = True
    examples: list[Example] = field(default_factory=list)


@dataclass(frozen=True)
class PlanEditor:
    """The charges of the open dialog. If `is_simple`, it shows the two fields of one price per unit only."""

    charges: list[ChargeEditor] = field(default_factory=list)
    meters: list[Option] = field(default_factory=list)
    is_simple: bool = True
    has_meters: bool = False
    can_add: bool = False
    next_key: int = 1


def start_editor(plan: PlanRow | None, meters: Mapping[str, Meter]) -> PlanEditor:
    """Return the editor for a new plan, or for the next version of a plan."""
    options = [Option(code, meter.name) for code, meter in meters.items()]
    editor = PlanEditor(meters=options, has_meters=len(options) > 1)
    charges = plan.charges if plan else ()
    for charge in charges:
        editor = add_charge(editor, meters, charge)
    if plan is None:
        editor = add_charge(editor, meters)
    return replace(editor, is_simple=plan is None or plan.simple_charge is not None)


def start_values(editor: PlanEditor, plan: PlanRow | None, notation: Notation) -> dict[str, str]:
    """Return the initial values of all fields, which for a new plan are empty."""
    values = dict.fromkeys(_field_names(editor), "")
    for each in editor.charges:
        values |= {each.model_name: each.model, each.meter_name: each.meter}
    for each, charge in zip(editor.charges, plan.charges if plan else (), strict=False):
        values |= _values_of(each, charge, plan.currency if plan else "", notation)
    return values


def _values_of(editor: ChargeEditor, charge: Charge, currency: str, notation: Notation) -> dict[str, str]:
    def number(value: Decimal | None) -> str:
        return "" if value is None else notation.write(plain(value))

    def amount(minor: int | None) -> str:
        return "" if minor is None else notation.write(major_text(minor, currency))

    values = {
        editor.included_units: number(charge.included_units),
        editor.unit_price: number(charge.unit_price),
        editor.package_size: number(charge.package_size),
        editor.package_price: amount(charge.package_price_minor),
    }
    for fields, tier in zip(editor.tiers, charge.tiers, strict=False):
        values |= {
            fields.up_to: number(tier.up_to),
            fields.unit_price: number(tier.unit_price),
            fields.flat_price: amount(tier.flat_price_minor) if tier.flat_price_minor else "",
        }
    return values


def _field_names(editor: PlanEditor) -> list[str]:
    names = []
    for each in editor.charges:
        names += [each.model_name, each.meter_name, each.included_units, each.unit_price]
        names += [each.package_size, each.package_price]
        names += [name for tier in each.tiers for name in (tier.up_to, tier.unit_price, tier.flat_price)]
    return names


def add_charge(editor: PlanEditor, meters: Mapping[str, Meter], charge: Charge | None = None) -> PlanEditor:
    """Add a charge, by default a price per unit of the first meter that has none."""
    used = {each.meter for each in editor.charges}
    code = charge.meter.code if charge else next((each for each in meters if each not in used), DEFAULT_METER)
    key = editor.next_key
    place = f"charge.{key}"
    added = ChargeEditor(
        key=key,
        model=charge.model if charge else PER_UNIT,
        model_name=f"{place}.model",
        meter_name=f"{place}.meter",
        included_units=f"{place}.included_units",
        unit_price=f"{place}.unit_price",
        package_size=f"{place}.package_size",
        package_price=f"{place}.package_price",
    )
    for _ in range(max(2, len(charge.tiers) if charge else 0)):
        added = _add_tier(added)
    if charge and len(charge.tiers) == 1:
        added = _remove_tier(added, 2)
    added = _with_meter(added, code, charge.meter if charge else meters.get(code))
    return _counted(replace(editor, charges=[*editor.charges, added], next_key=key + 1, is_simple=False))


def remove_charge(editor: PlanEditor, key: int) -> PlanEditor:
    """Remove a charge."""
    return _counted(replace(editor, charges=[each for each in editor.charges if each.key != key]))


def _counted(editor: PlanEditor) -> PlanEditor:
    most = min(CHARGES_MAX, len(editor.meters))
    return replace(editor, can_add=len(editor.charges) < most)


def choose_model(editor: PlanEditor, key: int, model: str) -> PlanEditor:
    """Show the fields of another model."""
    known = model if model in dict(MODELS) else PER_UNIT
    return _change(editor, key, lambda each: replace(each, model=known, examples=[]))


def choose_meter(editor: PlanEditor, key: int, code: str, meters: Mapping[str, Meter]) -> PlanEditor:
    """Show the unit of another meter."""
    return _change(editor, key, lambda each: _with_meter(each, code, meters.get(code)))


def add_tier(editor: PlanEditor, key: int) -> PlanEditor:
    """Add a tier, which becomes the last one."""
    return _change(editor, key, _add_tier)


def remove_tier(editor: PlanEditor, key: int, tier: int) -> PlanEditor:
    """Remove a tier, unless it is the only one."""
    return _change(editor, key, lambda each: _remove_tier(each, tier))


def _change(editor: PlanEditor, key: int, change: Callable[[ChargeEditor], ChargeEditor]) -> PlanEditor:
    return replace(editor, charges=[change(each) if each.key == key else each for each in editor.charges])


def _with_meter(editor: ChargeEditor, code: str, meter: Meter | None) -> ChargeEditor:
    unit = meter.unit if meter else "unit"
    return replace(editor, meter=code, unit=unit, units=plural_of(unit))


def _add_tier(editor: ChargeEditor) -> ChargeEditor:
    if len(editor.tiers) >= TIERS_MAX:
        return editor
    key = max((tier.key for tier in editor.tiers), default=0) + 1
    place = f"charge.{editor.key}.tier.{key}"
    added = TierEditor(
        key=key, up_to=f"{place}.up_to", unit_price=f"{place}.unit_price", flat_price=f"{place}.flat_price"
    )
    return _numbered(editor, [*editor.tiers, added])


def _remove_tier(editor: ChargeEditor, key: int) -> ChargeEditor:
    return _numbered(editor, [tier for tier in editor.tiers if tier.key != key] or editor.tiers)


def _numbered(editor: ChargeEditor, tiers: Sequence[TierEditor]) -> ChargeEditor:
    numbered = [
        replace(tier, number=number, is_last=number == len(tiers)) for number, tier in enumerate(tiers, 1)
    ]
    return replace(editor, tiers=numbered, can_add_tier=len(tiers) < TIERS_MAX)


class TypedCharges(NamedTuple):
    """The charges of a form, and the name of the form's field for each field that a service may refuse."""

    terms: list[ChargeTerms]
    fields: dict[str, str]

    def at_fields(self, error: BillingError) -> BillingError:
        """Return an error of the service that names the fields of the form."""
        renamed = [
            FieldError(self.fields.get(each.field, each.field), each.rule, each.facts)
            for each in error.errors
        ]
        return Invalid.from_errors(renamed) if renamed else error


def read_charges(form: Mapping[str, object], notation: Notation) -> TypedCharges:
    """Read the charges of a form, whose names say what there is. Raises Invalid, naming the form's field."""
    terms: list[ChargeTerms] = []
    fields: dict[str, str] = {}
    keys = sorted(int(found[1]) for name in form if (found := _CHARGE.fullmatch(name)))
    for number, key in enumerate(keys, 1):
        charge, names = _read_charge(form, f"charge.{key}", notation)
        terms.append(charge)
        fields |= {f"charges.{number}.{name}": given for name, given in names.items()}
    return TypedCharges(terms, fields)


_READ = {
    PER_UNIT: ("included_units", "unit_price"),
    PACKAGE: ("included_units", "package_size", "package_price"),
}


def _read_charge(
    form: Mapping[str, object], place: str, notation: Notation
) -> tuple[ChargeTerms, dict[str, str]]:
    model = str(form.get(f"{place}.model", ""))
    meter = str(form.get(f"{place}.meter") or DEFAULT_METER)
    names = {name: f"{place}.{name}" for name in ("model", "meter")}
    if model in _READ:
        names |= {name: f"{place}.{name}" for name in _READ[model]}
        values: dict[str, Any] = {name: _number(form, names[name], notation) for name in _READ[model]}
        return ChargeTerms(model=model, meter=meter, **values), names
    tiers = []
    pattern = re.compile(_TIER.format(place.removeprefix("charge.")))
    keys = sorted(int(found[1]) for name in form if (found := pattern.fullmatch(name)))
    for number, key in enumerate(keys, 1):
        parts = {part: f"{place}.tier.{key}.{part}" for part in ("up_to", "unit_price", "flat_price")}
        names |= {f"tiers.{number}.{part}": name for part, name in parts.items()}
        tiers.append(
            TierTerms(
                unit_price=_number(form, parts["unit_price"], notation),
                up_to=None if number == len(keys) else _number(form, parts["up_to"], notation),
                flat_price=_number(form, parts["flat_price"], notation, default="0"),
            )
        )
    return ChargeTerms(model=model, meter=meter, tiers=tiers), names


def _number(form: Mapping[str, object], name: str, notation: Notation, default: str = "") -> str:
    typed = str(form.get(name) or "")
    return validation.parsed(name, notation.read, typed) if typed.strip() or not default else default


def with_examples(
    editor: PlanEditor,
    typed: Mapping[str, object],
    currency: str,
    notation: Notation,
    meters: Mapping[str, Meter],
) -> PlanEditor:
    """Show what some quantities cost. A charge whose terms are not complete has no examples."""
    charges = []
    for each in editor.charges:
        place = f"charge.{each.key}"
        own = {name: value for name, value in typed.items() if name.startswith(f"{place}.")}
        own |= {each.model_name: each.model, each.meter_name: each.meter}
        # A field that is not in the dialog may still have been typed in before.
        kept = {tier.unit_price for tier in each.tiers}
        own = {name: value for name, value in own.items() if ".tier." not in name or _row(name) in kept}
        charges.append(replace(each, examples=_examples(own, place, currency, notation, meters)))
    return replace(editor, charges=charges)


def _row(name: str) -> str:
    return f"{name.rpartition('.')[0]}.unit_price"


def _examples(
    form: Mapping[str, object], place: str, currency: str, notation: Notation, meters: Mapping[str, Meter]
) -> list[Example]:
    try:
        terms, _ = _read_charge(form, place, notation)
        (charge,) = parse_charges([terms], currency, meters)
        return [_example(charge, quantity, currency) for quantity in example_quantities(charge)]
    except (BillingError, BrokenRule):
        return []


def _example(charge: Charge, quantity: Decimal, currency: str) -> Example:
    cost_minor = sum(each.amount_minor for each in price(charge, quantity, WHOLE, currency))
    unit = charge.meter.unit
    return Example(counted(quantity, unit, plural_of(unit)), text.money(cost_minor, currency))


def example_quantities(charge: Charge) -> list[Decimal]:
    """Return a few quantities at which the price of a charge changes."""
    bounds = [tier.up_to for tier in charge.tiers if tier.up_to is not None]
    if bounds:
        shown = sorted({quantity for bound in bounds for quantity in (bound, bound + 1)})
        last = bounds[-1] * 2
        return [*shown[: EXAMPLES - 1], last] if last > shown[-1] else shown[:EXAMPLES]
    if charge.tiers:
        return [Decimal(quantity) for quantity in (1, 100, 1000)]
    included = charge.included_units or ZERO
    step = charge.package_size or (included / 2 if included else Decimal(100))
    return [each for each in (included, included + 1, included + step, included + step * 2) if each]
