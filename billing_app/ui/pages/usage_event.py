"""One usage event in a list: its badges and buttons, and the dialogs of its history and its correction."""

from __future__ import annotations

from typing import Any

import reflex as rx

from billing_app.state.pages.usage_event import CORRECT, HISTORY, UsageEventState
from billing_app.state.presenters.usage import HistoryItem
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import icon, link
from billing_app.ui.kit.buttons import icon_button, writers_only
from billing_app.ui.kit.dialogs import form_dialog, info_dialog
from billing_app.ui.kit.fields import DialogForm, text_field
from billing_app.ui.kit.number_field import number_field
from billing_app.ui.pages.plan_effects import invoice_effect

_UNPRICED = "The customer’s plan of this day has no charge for this meter, so this usage costs nothing."


def event_buttons(customer_key: rx.Var[str], key: rx.Var[str]) -> rx.Component:
    """Build the buttons of an event: its history, and for writers its correction."""
    return rx.el.div(
        icon_button("Show history", "history", on_click=UsageEventState.open_history(customer_key, key)),
        writers_only(
            icon_button("Correct", "pencil", on_click=UsageEventState.open_correct(customer_key, key))
        ),
        class_name="flex justify-end",
    )


def event_quantity(event: rx.Var[Any], meter_class: str = "") -> rx.Component:
    """Show the current quantity of an event, its meter and item, and how often it was corrected."""
    caption = f"{classes.CAPTION} max-w-32 whitespace-normal font-normal sm:max-w-none"
    return rx.fragment(
        event.quantity,
        rx.cond(
            event.meter != "",
            rx.el.div(
                event.meter,
                rx.cond(event.item != "", f", {event.item}", ""),
                class_name=f"{caption} min-w-20 {classes.WRAPPED} {meter_class}",
            ),
        ),
        rx.cond(
            event.corrected != "",
            rx.el.div(event.corrected, class_name=caption),
        ),
    )


def unpriced_badge() -> rx.Component:
    """Create the badge of usage that no charge prices."""
    return rx.el.span("Not priced", title=_UNPRICED, class_name=classes.BADGE_WARN)


def event_dialogs() -> rx.Component:
    """Build the dialogs of an event."""
    return rx.fragment(_history(), _correct())


def _history() -> rx.Component:
    event = UsageEventState.history
    return info_dialog(
        HISTORY,
        "History of this usage",
        rx.el.dl(
            _fact("Customer", link(event.customer, event.customer_href)),
            _fact("Time", rx.el.span(event.occurred, title=event.occurred_utc)),
            _fact("Idempotency key", event.key),
            rx.cond(event.meter != "", _fact("Meter", event.meter)),
            class_name="grid grid-cols-2 gap-x-4 gap-y-2.5",
        ),
        rx.el.ol(
            rx.foreach(event.quantities, _history_item),
            class_name="mt-4 divide-y divide-line border-t border-line",
            aria_label="Quantities, newest first",
        ),
        rx.el.p(event.left_out, class_name=f"{classes.CAPTION} mt-2 empty:hidden"),
        rx.el.p("Times in ", UsageEventState.zone, ", months in UTC", class_name=f"{classes.CAPTION} mt-2"),
    )


def _fact(name: str, value: Any) -> rx.Component:
    return rx.el.div(
        rx.el.dt(name, class_name=classes.EYEBROW),
        rx.el.dd(value, class_name="mt-0.5 text-sm tabular-nums text-ink [overflow-wrap:anywhere]"),
        class_name="min-w-0",
    )


def _history_item(item: rx.Var[HistoryItem]) -> rx.Component:
    return rx.el.li(
        rx.el.div(
            rx.el.span(
                rx.el.span(item.quantity, class_name="font-semibold text-ink"),
                rx.cond(item.difference != "", rx.fragment(" (", item.difference, ")")),
                class_name="text-soft [overflow-wrap:anywhere]",
            ),
            rx.el.span(
                rx.cond(
                    item.invoice != "",
                    rx.fragment("Billed on ", link(item.invoice, item.invoice_href)),
                    rx.fragment("Billed in ", item.billed_in),
                ),
                title=item.billed_in,
                class_name="text-soft",
            ),
            class_name="flex flex-wrap items-baseline justify-between gap-x-4 text-sm tabular-nums",
        ),
        rx.el.p(item.reason, class_name="mt-0.5 text-sm text-ink empty:hidden [overflow-wrap:anywhere]"),
        rx.el.p(
            rx.cond(item.difference != "", "Corrected by ", "Recorded by "),
            item.who,
            " · ",
            rx.el.span(item.at, title=item.at_utc),
            class_name=f"{classes.CAPTION} mt-0.5 tabular-nums [overflow-wrap:anywhere]",
        ),
        class_name="py-2.5",
    )


def _correct() -> rx.Component:
    dialog = DialogForm(CORRECT, UsageEventState.form)
    hidden: Any = dialog.form.hidden
    return form_dialog(
        dialog,
        UsageEventState.correct,
        rx.el.p(
            icon("activity", 16, "mt-0.5 shrink-0 text-faint"),
            rx.el.span(UsageEventState.note, class_name="min-w-0 [overflow-wrap:anywhere]"),
            class_name="flex gap-2 text-sm tabular-nums text-ink",
        ),
        number_field(
            dialog, "quantity", "New quantity", UsageEventState.kind, help_text="0 undoes the event.",
            also=lambda value: UsageEventState.preview(hidden["customer"], hidden["event"], value),
        ),
        text_field(
            dialog, "reason", "Reason", max_length=1000, placeholder="Counted twice",
            help_text="Kept in the history of the event.",
        ),
        # An error at the quantity says the same.
        rx.cond(
            dialog.form.errors["quantity"], rx.fragment(), invoice_effect(UsageEventState.effect)
        ),
        submit="Correct usage",
        explanation="The event stays as it was recorded. The difference is billed in its month, or on the next"
        " invoice if that month is closed.",
    )  # fmt: skip
