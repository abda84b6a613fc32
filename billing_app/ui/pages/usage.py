"""The usage log: one event per row, with the period and invoice that bill it."""

from __future__ import annotations

import reflex as rx

from billing_app.state.pages.usage import RECORD, UsageState
from billing_app.state.presenters.usage import UsageItem
from billing_app.state.presenters.usage_imports import ImportItem
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import by_phase, file_link, icon, late_badge, link, notice
from billing_app.ui.kit.buttons import button, writers_only
from billing_app.ui.kit.customer_field import customer_field
from billing_app.ui.kit.dialogs import form_dialog
from billing_app.ui.kit.fields import DialogForm, text_field
from billing_app.ui.kit.filters import ambiguous_matches, filters, search_filter, segments, select_filter
from billing_app.ui.kit.layout import page
from billing_app.ui.kit.meter_fields import meter_fields
from billing_app.ui.kit.tables import column, number_column, page_links, table, table_skeleton
from billing_app.ui.pages.import_parts import import_badge
from billing_app.ui.pages.usage_event import event_buttons, event_dialogs, event_quantity, unpriced_badge

# Next to the navigation, a medium screen has no room for all columns.
_FROM_LG, _FROM_XL = "hidden lg:table-cell", "hidden xl:table-cell"


def usage() -> rx.Component:
    """Build the usage log with its filters and the dialog that records an event."""
    return page(
        "Usage",
        "Usage",
        rx.el.div(
            usage_views("events"),
            writers_only(
                rx.el.div(
                    link(
                        rx.fragment(icon("upload"), rx.el.span("Import CSV", class_name="max-sm:sr-only")),
                        "/usage/imports",
                        classes.BUTTON,
                    ),
                    _record_button("primary"),
                    class_name="flex gap-2",
                )
            ),
            class_name="mb-4 flex flex-wrap justify-between gap-2",
        ),
        writers_only(
            rx.el.div(
                rx.foreach(UsageState.open_imports, _open_import),
                class_name="mb-4 flex flex-col gap-2 empty:hidden",
            )
        ),
        _filters(),
        by_phase(
            UsageState.phase,
            UsageState.problem,
            loading=table_skeleton(12),
            missing=rx.fragment(),
            ready=rx.cond(UsageState.rows.length() > 0, _table(), _empty()),
        ),
        _record_dialog(),
        event_dialogs(),
    )


def usage_views(current: str) -> rx.Component:
    """Build the links between the events and the imported files."""
    return segments(
        "Usage",
        ("Events", "/usage", current == "events"),
        ("Imports", "/usage/imports", current == "imports"),
    )


def _record_button(look: str) -> rx.Component:
    return button("Record usage", "plus", look=look, on_click=UsageState.open_record)


def _open_import(item: rx.Var[ImportItem]) -> rx.Component:
    """Build the link to an import that is in progress or waits to be started."""
    return rx.el.div(
        icon("file-text", 16, "shrink-0 text-faint"),
        link(item.file_name, item.href, f"{classes.ROW_LINK} max-w-72 truncate font-medium after:rounded-lg"),
        import_badge(item.status),
        rx.el.span(item.outcome, class_name="tabular-nums text-soft max-sm:hidden"),
        icon("chevron-right", 16, "ml-auto shrink-0 text-faint"),
        class_name=f"{classes.PANEL} relative flex items-center gap-2.5 px-3 py-2 text-sm hover:bg-hover",
    )


def _filters() -> rx.Component:
    return filters(
        search_filter("Customer", "Customer key or name", name="customer"),
        rx.cond(
            UsageState.meters.length() > 1,
            select_filter("Meter", "meter", UsageState.meters, everything="All meters"),
        ),
        select_filter("Usage month", "period", UsageState.months, everything="All usage months"),
        select_filter("Billed in", "billing_period", UsageState.months, everything="All billing periods"),
        segments(
            "Kind of usage",
            ("All usage", UsageState.all_href, ~(UsageState.is_late_only | UsageState.is_unpriced_only)),
            ("Late only", UsageState.late_href, UsageState.is_late_only),
            ("Unpriced", UsageState.unpriced_href, UsageState.is_unpriced_only),
        ),
    )


def _table() -> rx.Component:
    return rx.fragment(
        rx.el.div(
            rx.el.span(UsageState.count, class_name="text-sm font-medium tabular-nums", role="status"),
            rx.el.span(
                "Times in ", UsageState.zone, ", months in UTC", class_name=f"{classes.CAPTION} max-sm:hidden"
            ),
            file_link("Export CSV", UsageState.csv_href, f"{classes.BUTTON_QUIET} ml-auto"),
            class_name="mb-1.5 flex items-center gap-3",
        ),
        table(
            "Usage events",
            [
                column("Time"),
                rx.el.th("Customer", scope="col", class_name=f"{classes.TH} {_FROM_LG}"),
                rx.cond(
                    UsageState.meters.length() > 1,
                    rx.el.th("Meter", scope="col", class_name=f"{classes.TH} {_FROM_LG}"),
                ),
                rx.cond(
                    UsageState.has_items,
                    rx.el.th("Item", scope="col", class_name=f"{classes.TH} {_FROM_LG}"),
                ),
                number_column("Quantity"),
                rx.el.th("Billed in", scope="col", class_name=f"{classes.TH} {_FROM_LG}"),
                rx.el.th("Idempotency key", scope="col", class_name=f"{classes.TH} {_FROM_XL}"),
                rx.el.th(
                    rx.el.span("Actions", class_name=classes.SCREEN_READER),
                    scope="col",
                    class_name=classes.TH,
                ),
            ],
            rx.foreach(UsageState.rows, _row),
        ),
        page_links(UsageState.pages),
    )


def _row(event: rx.Var[UsageItem]) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            rx.el.span(event.occurred, title=event.occurred_utc, class_name="whitespace-nowrap"),
            _narrow_details(event),
            class_name=f"{classes.TD_MAIN} tabular-nums max-lg:py-1.5",
        ),
        rx.el.td(
            rx.el.div(
                link(
                    event.customer, event.customer_href, "hover:text-ink hover:underline underline-offset-4"
                ),
                class_name="max-w-56 truncate",
            ),
            class_name=f"{classes.TD} {_FROM_LG}",
        ),
        rx.cond(UsageState.meters.length() > 1, _text_cell(event.meter)),
        rx.cond(UsageState.has_items, _text_cell(event.item)),
        rx.el.td(event_quantity(event, "lg:hidden"), class_name=f"{classes.TD_AMOUNT} py-1"),
        rx.el.td(
            rx.el.div(
                event.billed_in,
                rx.cond(event.invoice != "", link(event.invoice, event.invoice_href)),
                rx.cond(event.is_late, rx.el.span(late_badge("Late"), title=event.late_reason)),
                rx.cond(event.is_unpriced, unpriced_badge()),
                class_name="flex flex-wrap items-center gap-x-2.5 gap-y-0.5",
            ),
            class_name=f"{classes.TD} {_FROM_LG}",
        ),
        rx.el.td(
            rx.el.div(event.key, title=event.details, class_name="max-w-72 truncate"),
            class_name=f"{classes.TD} {_FROM_XL}",
        ),
        rx.el.td(event_buttons(event.customer_key, event.key), class_name=f"{classes.TD} pl-0"),
        class_name=f"{classes.TR} hover:bg-hover",
    )


def _text_cell(value: rx.Var[str]) -> rx.Component:
    return rx.el.td(
        rx.el.div(value, title=value, class_name="max-w-36 truncate"), class_name=f"{classes.TD} {_FROM_LG}"
    )


def _narrow_details(event: rx.Var[UsageItem]) -> rx.Component:
    """Build what narrow screens show under the time instead of in columns of their own."""
    return rx.fragment(
        rx.el.div(
            link(event.customer, event.customer_href, "hover:underline"),
            class_name="max-w-40 truncate text-xs font-normal leading-4 text-faint md:max-w-64 lg:hidden",
        ),
        rx.el.div(
            event.billed_in,
            rx.cond(event.invoice != "", link(event.invoice, event.invoice_href, classes.LINK)),
            rx.cond(event.is_late, late_badge("Late")),
            rx.cond(event.is_unpriced, unpriced_badge()),
            class_name="flex flex-wrap items-center gap-x-2 text-xs font-normal leading-4 text-faint lg:hidden",
        ),
    )


def _record_dialog() -> rx.Component:
    dialog = DialogForm(RECORD, UsageState.form)
    return form_dialog(
        dialog,
        UsageState.record,
        customer_field(dialog),
        meter_fields(dialog, UsageState.fields, UsageState.choose_meter),
        text_field(
            dialog, "occurred_at", "Time (optional)", kind="datetime-local", step="1",
            help_text=f"In {UsageState.zone}. Leave empty for the current time.",
        ),
        text_field(
            dialog, "idempotency_key", "Idempotency key", max_length=255,
            help_text="Identifies the event. The same key is never counted twice.",
        ),
        submit="Record usage",
    )  # fmt: skip


def _empty() -> rx.Component:
    show_all = link("Show all usage", "/usage", classes.BUTTON)
    return rx.el.div(
        rx.cond(
            UsageState.candidates.length() > 0,
            ambiguous_matches("Which customer?", UsageState.candidates),
            rx.cond(
                UsageState.is_unknown_customer,
                notice("search-x", "No customer matches", "No customer has this key or name.", show_all),
                rx.cond(
                    UsageState.is_filtered,
                    notice("search-x", "No usage matches", "No usage event matches these filters.", show_all),
                    notice(
                        "activity",
                        "No usage yet",
                        "Usage that your systems send, or that you import or record, appears here.",
                        writers_only(_record_button("plain")),
                    ),
                ),
            ),
        ),
        class_name=classes.PANEL,
    )
