"""The meters: what each takes, its usage this month, and the dialogs that change them."""

from __future__ import annotations

import reflex as rx

from billing_app.state.pages.meters import AGGREGATIONS, ARCHIVE, EDIT, NEW, MetersState
from billing_app.state.presenters.meters import MeterItem
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import by_phase, icon, link, notice
from billing_app.ui.kit.buttons import admins_only, button, writers_only
from billing_app.ui.kit.dialogs import confirm_dialog, form_dialog
from billing_app.ui.kit.fields import DialogForm, select_field, text_field
from billing_app.ui.kit.filters import segments
from billing_app.ui.kit.layout import page
from billing_app.ui.kit.menus import menu, menu_item
from billing_app.ui.kit.tables import column, number_column, page_links, table, table_skeleton

_FROM_LG = "hidden lg:table-cell"
_UNIT_HELP = "In the singular: call, seat, GB. Invoices show it."


def meters() -> rx.Component:
    """Build the page: a table of meters, and the dialogs that open from it."""
    return page(
        "Meters",
        "Plans",
        rx.el.p(
            "A meter records one kind of usage, and plans set a price for it. You only need more than one if you"
            " charge for several things, such as calls and seats.",
            class_name="mb-4 max-w-prose text-pretty text-sm text-soft",
        ),
        rx.el.div(
            _shown(),
            writers_only(button("New meter", "plus", look="primary", on_click=MetersState.open_new)),
            class_name="mb-4 flex flex-wrap justify-between gap-2",
        ),
        by_phase(
            MetersState.phase,
            MetersState.problem,
            loading=table_skeleton(4),
            missing=rx.fragment(),
            ready=rx.cond(MetersState.rows.length() > 0, _table(), _empty()),
        ),
        _new_dialog(),
        _edit_dialog(),
        _archive_dialog(),
        above=rx.fragment(
            link("Plans", "/plans", "hidden text-sm text-soft hover:text-ink md:inline"),
            icon("chevron-right", 14, "hidden shrink-0 text-faint md:block"),
        ),
    )


def _shown() -> rx.Component:
    show = MetersState.show
    return segments(
        "Which meters",
        ("Current", "/plans/meters", (show != "archived") & (show != "all")),
        ("Archived", "/plans/meters?show=archived", show == "archived"),
        ("All", "/plans/meters?show=all", show == "all"),
    )


def _table() -> rx.Component:
    return rx.fragment(
        rx.cond(
            MetersState.as_of != "",
            rx.el.p(
                "Usage as of ",
                MetersState.as_of,
                title=MetersState.as_of_utc,
                class_name=f"mb-2 px-0.5 text-right tabular-nums {classes.CAPTION}",
            ),
        ),
        table(
            "Meters",
            [
                column("Meter"),
                rx.el.th("Takes events of the type", scope="col", class_name=f"{classes.TH} {_FROM_LG}"),
                column("A month counts", wide_only=True),
                number_column("Usage this month"),
                rx.el.th(rx.el.span("Actions", class_name=classes.SCREEN_READER), class_name=classes.TH),
            ],
            rx.foreach(MetersState.rows, _row),
        ),
        page_links(MetersState.pages),
    )


def _row(meter: rx.Var[MeterItem]) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            rx.el.div(
                rx.el.span(meter.name, class_name=f"min-w-0 {classes.WRAPPED}"),
                rx.cond(meter.is_archived, rx.el.span("Archived", class_name=classes.BADGE_HOLD)),
                class_name="flex flex-wrap items-center gap-x-2",
            ),
            rx.el.div(meter.code, class_name=f"text-xs font-normal leading-4 text-faint {classes.WRAPPED}"),
            rx.el.div(meter.aggregation, class_name=classes.NARROW_CAPTION),
            class_name=f"{classes.TD_MAIN} min-w-28 py-1.5",
        ),
        rx.el.td(
            rx.el.div(meter.event_type, class_name="max-w-56 truncate text-ink", title=meter.event_type),
            rx.cond(
                meter.takes_other_types,
                rx.el.div("and all types that no meter takes", class_name=classes.CAPTION),
            ),
            class_name=f"{classes.TD} {_FROM_LG}",
        ),
        rx.el.td(meter.aggregation, class_name=f"{classes.TD} {classes.WIDE_ONLY}"),
        _usage(meter),
        rx.el.td(
            writers_only(rx.el.div(_menu(meter), class_name="-my-1 flex justify-end")),
            class_name="w-10 border-b border-line pr-1",
        ),
        class_name=classes.TR,
    )


def _usage(meter: rx.Var[MeterItem]) -> rx.Component:
    return rx.el.td(
        rx.cond(
            meter.usage != "",
            link(
                meter.usage,
                meter.usage_href,
                "hover:underline underline-offset-4",
                aria_label=f"Usage of {meter.name}: {meter.usage}",
            ),
            rx.el.span("\N{EM DASH}", class_name="text-faint"),
        ),
        class_name="h-10 border-b border-line px-3 text-right font-medium tabular-nums text-ink"
        f" {classes.WRAPPED}",
    )


def _menu(meter: rx.Var[MeterItem]) -> rx.Component:
    return menu(
        f"meter-menu-{meter.code}",
        f"Actions for {meter.name}",
        menu_item("Edit meter", "pencil", on_click=MetersState.open_edit(meter.code)),
        rx.cond(
            ~meter.is_archived & ~meter.is_default,
            menu_item("Archive meter", "archive", danger=True, on_click=MetersState.open_archive(meter.code)),
        ),
    )


def _new_dialog() -> rx.Component:
    dialog = DialogForm(NEW, MetersState.form)
    proposed = MetersState.proposed_code
    return form_dialog(
        dialog,
        MetersState.create,
        text_field(
            dialog, "name", "Name", placeholder="API calls", max_length=200,
            on_change=MetersState.propose_code.debounce(200),
        ),
        text_field(dialog, "unit", "Unit", placeholder="call", max_length=63, help_text=_UNIT_HELP),
        select_field(
            dialog, "aggregation", "A month counts", list(AGGREGATIONS.items()),
            help_text="The largest quantity suits seats or storage. Different items counts each item, such as a"
            " user, once a month.",
        ),
        text_field(
            dialog, "code", "Code (optional)", max_length=63, placeholder=proposed,
            help_text=rx.cond(
                proposed != "",
                f"Events name the meter by it. Leave empty to use {proposed}.",
                "Events name the meter by it. Lower-case letters, digits and underscores.",
            ),
        ),
        text_field(
            dialog, "event_type", "CloudEvents type (optional)", max_length=255, placeholder=proposed,
            help_text="CloudEvents of this type are recorded on the meter. Leave empty to use the code.",
        ),
        submit="Create meter",
        explanation="Only the name and the unit can be changed later.",
    )  # fmt: skip


def _edit_dialog() -> rx.Component:
    dialog = DialogForm(EDIT, MetersState.form)
    return form_dialog(
        dialog,
        MetersState.save,
        text_field(dialog, "name", "Name", max_length=200),
        text_field(dialog, "unit", "Unit", max_length=63, help_text=_UNIT_HELP),
        rx.cond(
            MetersState.is_default,
            admins_only(
                select_field(
                    dialog, "takes_other_types", "CloudEvents of other types",
                    [("true", "Record on this meter"), ("false", "Reject")],
                    help_text="Those of a type that no meter takes.",
                )
            ),
        ),
        explanation="Existing invoices keep the name and unit they were issued with.",
    )  # fmt: skip


def _archive_dialog() -> rx.Component:
    return confirm_dialog(
        DialogForm(ARCHIVE, MetersState.form),
        MetersState.archive,
        "New plan versions can’t charge for it. It still records usage, and existing plans still charge for it."
        " This can’t be undone.",
        submit="Archive meter",
    )


def _empty() -> rx.Component:
    return rx.el.div(
        notice(
            "archive",
            "No archived meters",
            "Archived meters appear here. They still record usage.",
            link("Current meters", "/plans/meters", classes.BUTTON),
        ),
        class_name=classes.PANEL,
    )
