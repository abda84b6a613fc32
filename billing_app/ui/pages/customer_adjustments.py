"""The discounts, one-off items and credit of a customer."""

from __future__ import annotations

import reflex as rx

from billing_app.state.pages.adjustment_actions import AdjustmentsState
from billing_app.state.pages.customer import CustomerState
from billing_app.state.presenters.adjustments import CreditItem, DiscountItem, OneOffEntry
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import Text, link
from billing_app.ui.kit.buttons import button, writers_only
from billing_app.ui.kit.tables import column, number_column, page_links, table
from billing_app.ui.pages.money import amount_cell, reverse_button

_NOTE = "whitespace-normal text-xs font-normal leading-4 text-faint [overflow-wrap:anywhere]"
_CELL_MAIN = f"{classes.TD_MAIN} py-2 [overflow-wrap:anywhere]"
_AMOUNT = "[overflow-wrap:anywhere]"


def discounts() -> rx.Component:
    """The discounts in the order in which they apply."""
    shown = CustomerState.adjustments
    return rx.el.section(
        _heading("Discounts", button("Add discount", "plus", on_click=AdjustmentsState.open_discount)),
        rx.cond(
            shown.discounts.length() > 0,
            rx.fragment(
                table(
                    "Discounts",
                    [column("Discount"), column("Takes off", wide_only=True), column("Months", wide_only=True), column("")],
                    rx.foreach(shown.discounts, _discount),
                ),
                rx.cond(
                    shown.discounts.length() > 1,
                    rx.el.p(
                        "They apply in this order, each to what the ones above it leave.",
                        class_name=f"mt-2 {classes.CAPTION}",
                    ),
                ),
                rx.cond(
                    shown.hidden_discounts > 0,
                    rx.el.p(
                        f"{shown.hidden_discounts} older discounts are not shown.",
                        class_name=f"mt-2 {classes.CAPTION}",
                    ),
                ),
            ),
            _none("No discounts. A discount takes a percentage or an amount off the bills of the months you choose."),
        ),
    )  # fmt: skip


def _discount(row: rx.Var[DiscountItem]) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            row.name,
            rx.el.div(row.terms, class_name=f"{_NOTE} md:hidden"),
            rx.el.div(row.months, class_name=f"{_NOTE} md:hidden"),
            class_name=_CELL_MAIN,
        ),
        rx.el.td(
            row.terms,
            class_name=f"{classes.TD} {classes.WIDE_ONLY} py-2 !whitespace-normal tabular-nums {classes.WRAPPED}",
        ),
        rx.el.td(row.months, class_name=f"{classes.TD} {classes.WIDE_ONLY}"),
        rx.el.td(
            rx.cond(
                row.can_end,
                writers_only(
                    button(
                        "Set last month",
                        look="quiet",
                        on_click=AdjustmentsState.open_end_discount(row.number),
                        aria_label=f"Set the last month of {row.name}",
                    )
                ),
            ),
            class_name=f"{classes.TD} text-right",
        ),
        class_name=classes.TR,
    )


def one_off_items() -> rx.Component:
    """The one-off items with their reversals, the latest billing period first."""
    shown = CustomerState.adjustments
    return rx.el.section(
        _heading(
            "One-off items",
            rx.el.div(
                button("Charge", "plus", on_click=AdjustmentsState.open_charge, aria_label="Charge once"),
                button("Credit", "minus", on_click=AdjustmentsState.open_credit, aria_label="Credit once"),
                class_name="flex gap-2",
            ),
        ),
        rx.cond(
            shown.one_off_items.length() > 0,
            rx.fragment(
                table(
                    "One-off items",
                    [
                        column("Description"),
                        column("Date", wide_only=True),
                        column("Billed in", wide_only=True),
                        number_column("Amount"),
                        column(""),
                    ],
                    rx.foreach(shown.one_off_items, _item),
                ),
                page_links(shown.item_pages),
            ),
            _none("No one-off items. Charge a setup fee or give a goodwill credit on the next invoice."),
        ),
    )


def _item(row: rx.Var[OneOffEntry]) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            row.description,
            rx.cond(row.quantity != "", rx.el.div(row.quantity, class_name=f"{_NOTE} tabular-nums")),
            rx.cond(row.note != "", rx.el.div(row.note, class_name=_NOTE)),
            rx.el.div(f"{row.date}, billed in {row.billed_in}", class_name=f"{_NOTE} md:hidden"),
            class_name=_CELL_MAIN,
        ),
        rx.el.td(row.date, class_name=f"{classes.TD} {classes.WIDE_ONLY} tabular-nums"),
        rx.el.td(row.billed_in, class_name=f"{classes.TD} {classes.WIDE_ONLY}"),
        # Not struck through, because both the item and its reversal are on invoices.
        rx.el.td(row.amount, class_name=classes.TD_AMOUNT),
        rx.el.td(
            rx.cond(row.is_reversed, rx.el.span("Reversed", class_name=classes.BADGE_QUIET)),
            rx.cond(
                row.can_reverse,
                reverse_button(row.description, AdjustmentsState.open_reverse_item(row.item_id)),
            ),
            class_name=f"{classes.TD} text-right",
        ),
        class_name=classes.TR,
    )


def credit() -> rx.Component:
    """The credit, where it came from and what it was used for. Nothing if there never was any."""
    shown = CustomerState.adjustments
    return rx.cond(
        (shown.history.length() > 0) | shown.has_credit,
        rx.el.section(
            _heading(
                rx.fragment(
                    "Credit ",
                    rx.el.span(shown.credit, class_name=f"ml-1 tabular-nums {_AMOUNT}"),
                ),
                rx.cond(
                    shown.has_credit,
                    button("Record refund", "undo-2", on_click=AdjustmentsState.open_refund),
                ),
            ),
            table(
                "Credit",
                [column("Entry"), column("Recorded", wide_only=True), number_column("Amount"), column("")],
                rx.foreach(shown.history, _entry),
            ),
            page_links(shown.history_pages),
            rx.el.p(
                "Credit comes from invoices with a total below zero. It is applied to new invoices automatically.",
                class_name=f"mt-2 {classes.CAPTION}",
            ),
        ),
    )


def _entry(row: rx.Var[CreditItem]) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            rx.cond(row.href != "", link(row.what, row.href, "hover:underline"), row.what),
            rx.cond(row.note != "", rx.el.div(row.note, class_name=_NOTE)),
            rx.el.div(row.at, class_name=f"{_NOTE} md:hidden"),
            class_name=_CELL_MAIN,
        ),
        rx.el.td(
            rx.el.span(row.at, title=row.at_utc), class_name=f"{classes.TD} {classes.WIDE_ONLY} tabular-nums"
        ),
        amount_cell(row.amount, row.is_reversed),
        rx.el.td(
            rx.cond(row.is_reversed, rx.el.span("Reversed", class_name=classes.BADGE_QUIET)),
            rx.cond(
                row.refund_id != 0,
                reverse_button(
                    f"the refund of {row.amount}", AdjustmentsState.open_reverse_refund(row.refund_id)
                ),
            ),
            class_name=f"{classes.TD} text-right",
        ),
        class_name=classes.TR,
    )


def _heading(title: Text | rx.Component, actions: rx.Component) -> rx.Component:
    return rx.el.div(
        rx.el.h2(title, class_name="min-w-0 text-sm font-semibold"),
        writers_only(actions),
        class_name="mb-3 flex min-h-8 flex-wrap items-center justify-between gap-x-3 gap-y-2",
    )


def _none(explanation: str) -> rx.Component:
    return rx.el.p(explanation, class_name=f"{classes.PANEL} px-5 py-4 text-pretty text-sm text-soft")
