"""The fields of a plan's terms: those of one price per unit, or charges of any model."""

from __future__ import annotations

from typing import Any, NamedTuple

import reflex as rx

from billing_app.state.pages.plan_editing import PlanEditing
from billing_app.state.pages.plan_editor import (
    GRADUATED,
    MODELS,
    PACKAGE,
    VOLUME,
    ChargeEditor,
    Example,
    TierEditor,
)
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import icon
from billing_app.ui.kit.buttons import button, icon_button
from billing_app.ui.kit.fields import DialogForm, select_field, text_field
from billing_app.ui.kit.number_field import currency_field, number_field

_HELP = {
    PACKAGE: "Each package that is started is charged in full.",
    GRADUATED: "Each tier prices the units that fall into it. A flat fee is added once a tier has units.",
    VOLUME: "The tier that the month’s quantity reaches prices all units, and adds its flat fee.",
}


class PlanFields(NamedTuple):
    """The dialog that the fields are in, and the state that has its form and the editor."""

    dialog: DialogForm
    state: type[PlanEditing]

    @property
    def currency(self) -> rx.Var[str]:
        """The currency in which prices are explained."""
        currency: rx.Var[str] = self.dialog.form.start["currency"]
        return currency


def plan_fields(fields: PlanFields) -> rx.Component:
    """Build the fields of the monthly price, the currency and the charges."""
    editor = fields.state.editor
    return rx.fragment(
        rx.el.div(
            number_field(
                fields.dialog, "monthly_price", "Monthly price", "monthly_price", currency=fields.currency,
                also=_type(fields, "monthly_price"), placeholder="29",
            ),
            currency_field(
                fields.dialog, "currency", "Currency", also=_type(fields, "currency"),
                help_text="ISO code, such as USD",
            ),
            class_name="grid grid-cols-[2fr_1fr] gap-3",
        ),
        rx.foreach(editor.charges, lambda charge: _charge(fields, charge)),
        rx.cond(
            editor.is_simple,
            rx.el.div(
                button("More pricing options", "settings-2", look="quiet", on_click=fields.state.show_models),
                class_name="-ml-2.5",
            ),
            rx.cond(
                editor.can_add,
                rx.el.div(button("Add charge", "plus", on_click=fields.state.add_charge)),
            ),
        ),
    )  # fmt: skip


def _type(fields: PlanFields, name: Any) -> Any:
    """Return what handles typing in a field: the examples follow it."""
    return lambda value: fields.state.type_term(fields.dialog.form.opened, name, value)


def _charge(fields: PlanFields, charge: rx.Var[ChargeEditor]) -> rx.Component:
    return rx.cond(
        fields.state.editor.is_simple,
        rx.el.div(
            _hidden(charge.model_name, charge.model),
            _hidden(charge.meter_name, charge.meter),
            _unit_fields(fields, charge),
            class_name="flex flex-col gap-4",
            key=f"simple-{charge.key}",
        ),
        rx.el.fieldset(
            rx.el.div(
                _selects(fields, charge),
                icon_button("Remove charge", "trash-2", on_click=fields.state.remove_charge(charge.key)),
                class_name="flex items-end justify-between gap-2",
            ),
            rx.match(
                charge.model,
                (PACKAGE, _package_fields(fields, charge)),
                (GRADUATED, _tier_fields(fields, charge, GRADUATED)),
                (VOLUME, _tier_fields(fields, charge, VOLUME)),
                _unit_fields(fields, charge),
            ),
            rx.cond(charge.examples.length() > 0, _examples(charge)),
            class_name="flex min-w-0 flex-col gap-4 rounded-lg border border-line p-4",
            key=f"charge-{charge.key}",
        ),
    )


def _hidden(name: rx.Var[str], value: rx.Var[str]) -> rx.Component:
    return rx.el.input(type="hidden", name=name, value=value, read_only=True)


def _selects(fields: PlanFields, charge: rx.Var[ChargeEditor]) -> rx.Component:
    editor = fields.state.editor
    return rx.el.div(
        rx.cond(
            editor.has_meters,
            select_field(
                fields.dialog, charge.meter_name, "Meter", editor.meters,
                on_change=lambda code: fields.state.choose_meter(charge.key, code),
            ),
            _hidden(charge.meter_name, charge.meter),
        ),
        select_field(
            fields.dialog, charge.model_name, "Price model", MODELS,
            on_change=lambda model: fields.state.choose_model(charge.key, model),
        ),
        class_name="grid min-w-0 flex-1 grid-cols-1 gap-3 sm:grid-cols-[repeat(auto-fit,minmax(9rem,1fr))]",
    )  # fmt: skip


def _included_field(fields: PlanFields, charge: rx.Var[ChargeEditor]) -> rx.Component:
    return number_field(
        fields.dialog, charge.included_units, f"Included {charge.units}", "included", placeholder="1000",
        help_text="Per month, covered by the monthly price. Enter 0 for none.",
        also=_type(fields, charge.included_units),
    )  # fmt: skip


def _unit_fields(fields: PlanFields, charge: rx.Var[ChargeEditor]) -> rx.Component:
    return rx.fragment(
        _included_field(fields, charge),
        number_field(
            fields.dialog, charge.unit_price, "Overage price", "unit_price", currency=fields.currency,
            help_text=f"Per {charge.unit} above the included {charge.units}, with up to 12 decimals."
            " Only the month’s total is rounded.",
            also=_type(fields, charge.unit_price),
        ),
    )  # fmt: skip


def _package_fields(fields: PlanFields, charge: rx.Var[ChargeEditor]) -> rx.Component:
    return rx.fragment(
        _included_field(fields, charge),
        rx.el.div(
            number_field(
                fields.dialog, charge.package_size, "Package size", "quantity", placeholder="100",
                also=_type(fields, charge.package_size),
            ),
            number_field(
                fields.dialog, charge.package_price, "Price per package", "amount", currency=fields.currency,
                also=_type(fields, charge.package_price),
            ),
            class_name="grid grid-cols-2 items-start gap-3",
        ),
        rx.el.p(_HELP[PACKAGE], class_name=classes.CAPTION),
    )  # fmt: skip


def _tier_fields(fields: PlanFields, charge: rx.Var[ChargeEditor], model: str) -> rx.Component:
    return rx.el.div(
        rx.el.p(_HELP[model], class_name=classes.CAPTION),
        rx.foreach(charge.tiers, lambda tier: _tier(fields, charge, tier)),
        rx.cond(
            charge.can_add_tier,
            rx.el.div(
                button("Add tier", "plus", look="quiet", on_click=fields.state.add_tier(charge.key)),
                class_name="-ml-2.5",
            ),
        ),
        class_name="flex min-w-0 flex-col gap-3",
    )


def _tier(fields: PlanFields, charge: rx.Var[ChargeEditor], tier: rx.Var[TierEditor]) -> rx.Component:
    def term(name: rx.Var[str], label: str, **props: Any) -> rx.Component:
        return text_field(
            fields.dialog,
            name,
            label,
            input_mode="decimal",
            max_length=60,
            on_change=_type(fields, name),
            **props,
        )

    return rx.el.div(
        rx.cond(
            tier.is_last,
            rx.el.div(
                rx.el.span("Up to", class_name=classes.LABEL),
                rx.el.span("No limit", class_name="flex h-9 items-center text-sm text-soft"),
                class_name="flex min-w-0 flex-col gap-1.5",
            ),
            term(tier.up_to, "Up to", placeholder="1000"),
        ),
        term(tier.unit_price, f"Per {charge.unit}", placeholder="0.01"),
        term(tier.flat_price, "Flat fee", placeholder="0"),
        rx.cond(
            charge.tiers.length() > 1,
            rx.el.div(
                icon_button("Remove tier", "x", on_click=fields.state.remove_tier(charge.key, tier.key)),
                class_name="pt-6",
            ),
        ),
        role="group",
        aria_label=f"Tier {tier.number}",
        key=f"tier-{tier.key}",
        class_name="grid grid-cols-[1fr_1fr_1fr_2rem] items-start gap-2",
    )


def _examples(charge: rx.Var[ChargeEditor]) -> rx.Component:
    return rx.el.div(
        rx.el.p(
            icon("calculator", 14), "Examples", class_name=f"flex items-center gap-1.5 {classes.EYEBROW}"
        ),
        rx.el.dl(
            rx.foreach(charge.examples, _example),
            class_name="mt-1.5 flex flex-col gap-1 text-[13px] leading-5 tabular-nums",
        ),
        class_name="rounded-md bg-sunken px-3 py-2.5",
        role="status",
    )


def _example(example: rx.Var[Example]) -> rx.Component:
    return rx.el.div(
        rx.el.dt(example.quantity, class_name=f"min-w-0 text-soft {classes.WRAPPED}"),
        rx.el.dd(example.cost, class_name=f"min-w-0 text-right font-medium text-ink {classes.WRAPPED}"),
        class_name="flex justify-between gap-3",
    )
