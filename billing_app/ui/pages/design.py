"""All components on one page, for those who work on them. Only `make dev` serves it."""

from __future__ import annotations

from typing import Any

import reflex as rx

from billing_app.state.kit.charts import point
from billing_app.state.kit.forms import Form
from billing_app.state.kit.lists import Pages, Sorting
from billing_app.state.pages.design import DesignState
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import (
    customer_badge,
    failed,
    late_badge,
    notice,
    payment_badge,
)
from billing_app.ui.kit.buttons import admins_only, button, icon_button, submit_button, writers_only
from billing_app.ui.kit.cards import card, progress, stat
from billing_app.ui.kit.charts import Series, area_chart, bar_chart, chart_frame, level
from billing_app.ui.kit.dialogs import confirm_dialog, form_dialog
from billing_app.ui.kit.fields import DialogForm, checkbox, select_field, text_area, text_field
from billing_app.ui.kit.filters import filters, search_filter, segments, select_filter
from billing_app.ui.kit.layout import page
from billing_app.ui.kit.menus import menu, menu_item, menu_link
from billing_app.ui.kit.tables import column, page_links, row_link, sort_column, table, table_skeleton

_MONTHS = ("June", "July", "August", "September", "October", "November")
_REVENUE = [Series("base", "Base"), Series("overage", "Overage"), Series("late", "Late usage")]
_USAGE = [Series("units", "Units")]
_STATUSES = [("paid", "Paid"), ("overdue", "Overdue")]


def design() -> rx.Component:
    """Show the components, each under a heading."""
    return page(
        "Design",
        "Design",
        rx.el.div(
            _buttons(), _badges(), _stats(), _charts(), _lists(), _forms(), _states(),
            class_name="flex flex-col gap-8",
        ),
    )  # fmt: skip


def _part(name: str, *content: Any) -> rx.Component:
    return rx.el.section(
        rx.el.h2(name, class_name="mb-3 text-sm font-semibold"),
        *content,
        class_name="min-w-0",
    )


def _row(*content: Any) -> rx.Component:
    return rx.el.div(*content, class_name="flex flex-wrap items-center gap-2")


def _buttons() -> rx.Component:
    return _part(
        "Buttons, menus, toasts",
        _row(
            button("Record payment", "plus", look="primary"),
            button("Export CSV", "download"),
            button("Cancel", look="quiet"),
            button("Suspend", look="danger"),
            button("Not now", disabled=True),
            submit_button("Save"),
            icon_button("Refresh", "rotate-cw"),
            menu(
                "design-menu",
                "Actions",
                menu_item("Edit", "pencil"),
                menu_link("Its invoices", "/customers", "file-text"),
                menu_item("Archive", "archive", danger=True),
            ),
            button("Toast", on_click=rx.toast.success("Growth, version 2 created")),
            button("Refusal", on_click=rx.toast.error("October 2026 is already invoiced (ACME-0003).")),
            writers_only(rx.el.span("Admin and billing users see this", class_name=classes.CAPTION)),
            admins_only(rx.el.span("Only admins see this", class_name=classes.CAPTION)),
        ),
    )


def _badges() -> rx.Component:
    return _part(
        "Badges",
        _row(
            *[
                payment_badge(rx.Var.create(status))
                for status in ("paid", "partially_paid", "overdue", "unpaid")
            ],
            customer_badge(rx.Var.create("active")),
            customer_badge(rx.Var.create("suspended")),
            late_badge(),
        ),
    )


def _stats() -> rx.Component:
    return _part(
        "Cards",
        rx.el.div(
            stat("MRR", "$12,480.00", "32 customers", "/customers"),
            stat("Outstanding", "$1,204.50", "in 14 invoices", "/customers"),
            stat("Usage this month", "1,204,331", "+12% on October to the 22nd"),
            card("A card", rx.el.p("Its content goes here.", class_name="text-soft"), actions=button("Edit")),
            class_name="grid grid-cols-1 gap-4 sm:grid-cols-2 xl:grid-cols-4",
        ),
        rx.el.div(
            button("Watch", on_click=DesignState.watch),
            rx.el.div(
                progress("Invoicing October 2026", DesignState.done, 40, f"{DesignState.done} of 40"),
                class_name="flex-1",
            ),
            class_name="mt-4 flex items-center gap-6",
        ),
    )


def _charts() -> rx.Component:
    revenue = rx.Var.create(
        [
            point(
                month,
                base=(2900 + 90 * index, f"${2900 + 90 * index:,}.00"),
                overage=(410 + 160 * index, f"${410 + 160 * index}.00"),
                late=(60 * (index % 3), f"${60 * (index % 3)}.00"),
            )
            for index, month in enumerate(_MONTHS)
        ]
    )
    usage = rx.Var.create(
        [point(f"Nov {day}", units=(day * 37 % 29 * 40, f"{day * 37 % 29 * 40:,}")) for day in range(1, 31)]
    )
    return _part(
        "Charts",
        rx.el.div(
            rx.el.div(
                chart_frame(
                    "Revenue", "Month", _REVENUE, revenue, bar_chart(_REVENUE, revenue, unit="$")
                ),
                class_name=f"{classes.PANEL} px-5 py-4",
            ),
            rx.el.div(
                chart_frame(
                    "Usage per day", "Day", _USAGE, usage,
                    area_chart(_USAGE, usage, extra=level(1000, "Included")),
                ),
                class_name=f"{classes.PANEL} px-5 py-4",
            ),
            class_name="grid grid-cols-1 gap-4 lg:grid-cols-2",
        ),
    )  # fmt: skip


def _lists() -> rx.Component:
    rows = [("ACME-0003", "$38.13", "overdue"), ("ACME-0002", "$29.00", "paid")]
    return _part(
        "A list",
        filters(
            search_filter("Search", "Search by number"),
            select_filter("Status", "status", _STATUSES, everything="Any status"),
            segments("Which", ("Current", "/design", True), ("All", "/design?show=all", False)),
        ),
        table(
            "Invoices",
            [
                sort_column("Number", rx.Var.create(Sorting("/design?sort=-number", "ascending"))),
                column("Status"),
                sort_column("Total", rx.Var.create(Sorting("/design?sort=total")), number=True),
            ],
            rx.fragment(
                *[
                    rx.el.tr(
                        rx.el.td(row_link(number, "/design"), class_name=classes.TD_MAIN),
                        rx.el.td(payment_badge(rx.Var.create(status)), class_name=classes.TD),
                        rx.el.td(total, class_name=classes.TD_AMOUNT),
                        class_name=classes.TR_LINK,
                    )
                    for number, total, status in rows
                ]
            ),
            tall=True,
        ),
        page_links(rx.Var.create(Pages("", "/design?page=2"))),
    )


def _forms() -> rx.Component:
    plain = DialogForm(
        "design-form", rx.Var.create(Form(opened="1", title="Edit Acme", start={"name": "Acme"}))
    )
    wrong = DialogForm(
        "design-refused",
        rx.Var.create(
            Form(
                opened="2",
                title="Rejected",
                start={"name": "", "address": "1 Ledger Lane", "plan": "b"},
                errors={"name": "Must not be empty."},
                newer={"address": "2 Ledger Lane\nLondon"},
                problem="October 2026 is already invoiced (ACME-0003).",
                problem_href="/invoices/ACME-0003",
                problem_link="Open ACME-0003",
            )
        ),
    )
    asks = DialogForm("design-asks", rx.Var.create(Form(opened="3", title="Archive Growth, version 1?")))
    return _part(
        "Dialogs",
        _row(*[_opener(dialog) for dialog in (plain, wrong, asks)]),
        *[form_dialog(dialog, rx.console_log("sent"), *_fields(dialog)) for dialog in (plain, wrong)],
        confirm_dialog(
            asks, rx.console_log("sent"), "New customers can't be assigned to it.", submit="Archive plan"
        ),
    )


def _opener(dialog: DialogForm) -> rx.Component:
    return button(dialog.form.title, custom_attrs={"data-action": "open-dialog", "data-dialog": dialog.name})


def _fields(dialog: DialogForm) -> list[rx.Component]:
    return [
        text_field(dialog, "name", "Name", help_text="As shown on invoices"),
        text_area(dialog, "address", "Billing address"),
        select_field(dialog, "plan", "Plan", [("a", "Starter"), ("b", "Growth")]),
        checkbox(dialog, "now", "Starting this month", help_text="Otherwise starting next month"),
    ]


def _states() -> rx.Component:
    return _part(
        "Loading, empty, failed",
        rx.el.div(
            table_skeleton(3),
            rx.el.div(
                notice(
                    "users",
                    "No customers yet",
                    "Customers you bill appear here.",
                    button("New customer", "plus"),
                ),
                class_name=classes.PANEL,
            ),
            failed(rx.Var.create("The database can't be reached. Try again in a moment.")),
            class_name="grid grid-cols-1 gap-4 xl:grid-cols-3",
        ),
    )
