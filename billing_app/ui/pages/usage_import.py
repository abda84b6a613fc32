"""One import: its check, its outcome, and its rejected rows."""

from __future__ import annotations

import reflex as rx

from billing_app.state.pages.usage_imports import CANCEL, UsageImportState
from billing_app.state.presenters.usage_imports import FileRow
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import Text, by_phase, file_link, icon, link, notice
from billing_app.ui.kit.buttons import button, writers_only
from billing_app.ui.kit.cards import progress
from billing_app.ui.kit.dialogs import confirm_dialog
from billing_app.ui.kit.fields import DialogForm
from billing_app.ui.kit.layout import page
from billing_app.ui.kit.tables import column, number_column, page_links, table, table_skeleton
from billing_app.ui.pages.import_parts import import_badge, row_badge

_SHEET = UsageImportState.sheet


def usage_import() -> rx.Component:
    """Build the page of an import."""
    return page(
        "Import",
        "Usage",
        by_phase(
            UsageImportState.phase,
            UsageImportState.problem,
            loading=table_skeleton(),
            missing=_missing(),
            ready=rx.el.div(
                _head(), _outcome(), _rejected_rows(), _first_rows(), class_name="flex flex-col gap-6"
            ),
        ),
        _cancel_dialog(),
        above=link(
            rx.fragment(icon("chevron-left"), rx.el.span("Imports", class_name="sr-only")),
            "/usage/imports",
            classes.BUTTON_ICON,
            title="Imports",
        ),
    )


def _head() -> rx.Component:
    return rx.el.div(
        rx.el.div(
            rx.el.div(
                rx.el.h2(_SHEET.file_name, class_name="min-w-0 truncate text-base font-semibold leading-6"),
                import_badge(_SHEET.status),
                class_name="flex min-w-0 items-center gap-2.5",
            ),
            rx.el.p(
                _SHEET.kind,
                " · ",
                _SHEET.size,
                " · Uploaded ",
                rx.el.span(_SHEET.uploaded, title=_SHEET.uploaded_utc),
                rx.cond(
                    _SHEET.finished != "",
                    rx.fragment(" · Finished ", rx.el.span(_SHEET.finished, title=_SHEET.finished_utc)),
                ),
                class_name=f"mt-0.5 {classes.CAPTION} tabular-nums",
            ),
            class_name="min-w-0",
        ),
        _actions(),
        class_name="flex flex-wrap items-start justify-between gap-3",
    )


def _actions() -> rx.Component:
    return rx.el.div(
        writers_only(
            rx.cond(
                _SHEET.is_open,
                button(
                    rx.cond(_SHEET.status == "importing", "Cancel import", "Discard file"),
                    on_click=UsageImportState.open_cancel,
                ),
            ),
            rx.cond(
                _SHEET.status == "checked",
                rx.fragment(
                    rx.cond(_SHEET.start != "", _start_button(_SHEET.start, "primary")),
                    rx.cond(_SHEET.start_again != "", _start_button(_SHEET.start_again, "plain")),
                ),
            ),
        ),
        rx.cond(_SHEET.status == "done", link("View usage", "/usage", classes.BUTTON)),
        class_name="flex shrink-0 gap-2",
    )


def _start_button(label: rx.Var[str], look: str) -> rx.Component:
    return button(label, look=look, on_click=UsageImportState.start)


def _outcome() -> rx.Component:
    return rx.el.section(
        rx.cond(
            (_SHEET.status == "checking") | (_SHEET.status == "importing"),
            rx.el.div(
                progress(
                    rx.cond(_SHEET.status == "checking", "Checking", "Importing"),
                    _SHEET.done_bytes,
                    _SHEET.all_bytes,
                    _SHEET.caption,
                ),
                class_name="mb-3",
            ),
        ),
        rx.el.p(
            _SHEET.summary,
            class_name=rx.cond(_SHEET.status == "failed", "text-sm text-bad", "text-sm text-ink"),
            role="status",
        ),
        rx.cond(
            _SHEET.same_as != "",
            rx.el.p(
                icon("copy-check", 16, "shrink-0"),
                rx.el.span(
                    "The same file was already imported on ",
                    link(_SHEET.same_as, _SHEET.same_as_href, f"{classes.LINK} underline"),
                    rx.cond(
                        _SHEET.has_corrections,
                        ". Its corrections are never recorded twice.",
                        ". Its events are never recorded twice.",
                    ),
                ),
                class_name="mt-2 flex items-start gap-2 text-sm text-soft",
            ),
        ),
        _counts(),
        class_name=f"{classes.PANEL} px-5 py-4",
        aria_label="Outcome",
    )


def _counts() -> rx.Component:
    return rx.el.dl(
        _figure("Rows", _SHEET.rows),
        _figure(rx.cond(_SHEET.is_expected, "To record", "Recorded"), _SHEET.recorded),
        _figure("Duplicates", _SHEET.duplicates),
        _figure("Conflicts", _SHEET.conflicts),
        _figure("Rejected", _SHEET.rejected),
        class_name="mt-4 grid grid-cols-2 gap-4 border-t border-line pt-4 sm:grid-cols-5",
    )


def _figure(label: Text, value: rx.Var[str]) -> rx.Component:
    return rx.el.div(
        rx.el.dt(label, class_name=classes.EYEBROW),
        rx.el.dd(value, class_name=f"mt-0.5 {classes.FIGURE}"),
        class_name="min-w-0",
    )


def _rejected_rows() -> rx.Component:
    return rx.cond(
        _SHEET.has_rejected_rows,
        rx.el.section(
            rx.el.div(
                rx.el.h2("Rejected rows", class_name="text-sm font-semibold"),
                rx.el.span(_SHEET.rejected_rows_note, class_name=classes.CAPTION),
                file_link("Download rejected rows", _SHEET.rejected_rows_href, f"{classes.BUTTON} ml-auto"),
                class_name="mb-2 flex flex-wrap items-center gap-3",
            ),
            table(
                "Rejected rows",
                [number_column("Line"), column("Reason"), *_CELL_HEADS],
                rx.foreach(UsageImportState.rejected, _rejected_row),
            ),
            page_links(UsageImportState.pages),
        ),
    )


_CELL_HEADS = [
    column("Customer", wide_only=True),
    column(rx.cond(_SHEET.has_corrections, "Event key, correction key", "Key"), wide_only=True),
    number_column("Quantity", wide_only=True),
    column(rx.cond(_SHEET.has_corrections, "Correction reason", "Time"), wide_only=True),
]


def _rejected_row(row: rx.Var[FileRow]) -> rx.Component:
    return rx.el.tr(
        rx.el.td(row.line, class_name=classes.TD_NUMBER),
        rx.el.td(
            rx.el.div(row.detail, class_name="min-w-48 whitespace-normal py-2 font-normal text-bad"),
            rx.el.div(row.caption, class_name=f"{classes.NARROW_CAPTION} max-w-64 pb-2"),
            class_name=classes.TD_MAIN,
        ),
        *_cells(row),
        class_name=classes.TR,
    )


def _first_rows() -> rx.Component:
    return rx.cond(
        _SHEET.is_expected & (UsageImportState.preview.length() > 0),
        rx.el.section(
            rx.el.h2("First rows", class_name="mb-2 text-sm font-semibold"),
            table(
                "First rows",
                [number_column("Line"), column("Expected outcome"), *_CELL_HEADS],
                rx.foreach(UsageImportState.preview, _preview_row),
            ),
        ),
    )


def _preview_row(row: rx.Var[FileRow]) -> rx.Component:
    return rx.el.tr(
        rx.el.td(row.line, class_name=classes.TD_NUMBER),
        rx.el.td(
            rx.el.div(
                row_badge(row.status),
                rx.cond(row.detail != "", rx.el.span(row.detail, class_name="ml-2.5 text-xs text-soft")),
                class_name="min-w-48 whitespace-normal py-2",
            ),
            rx.el.div(row.caption, class_name=f"{classes.NARROW_CAPTION} max-w-64 pb-2"),
            class_name=classes.TD,
        ),
        *_cells(row),
        class_name=classes.TR,
    )


def _cells(row: rx.Var[FileRow]) -> list[rx.Component]:
    wide = f"{classes.TD} {classes.WIDE_ONLY}"
    return [
        rx.el.td(
            rx.el.div(row.customer, title=row.customer, class_name="max-w-48 truncate"), class_name=wide
        ),
        rx.el.td(
            rx.el.div(row.key, title=row.key, class_name="max-w-56 truncate"),
            rx.cond(
                row.correction_key != "",
                rx.el.div(
                    row.correction_key,
                    title=row.correction_key,
                    class_name=f"{classes.CAPTION} max-w-56 truncate",
                ),
            ),
            class_name=wide,
        ),
        rx.el.td(
            row.quantity,
            rx.cond(row.quantity_note != "", rx.el.div(row.quantity_note, class_name=classes.CAPTION)),
            class_name=f"{classes.TD_NUMBER} {classes.WIDE_ONLY}",
        ),
        rx.el.td(
            rx.cond(
                _SHEET.has_corrections,
                rx.el.div(row.why, title=row.why, class_name="max-w-56 truncate"),
                rx.el.span(row.time, title=row.time_note, class_name="tabular-nums"),
            ),
            class_name=wide,
        ),
    ]


def _cancel_dialog() -> rx.Component:
    dialog = DialogForm(CANCEL, UsageImportState.form)
    is_importing = dialog.form.hidden["status"] == "importing"
    return confirm_dialog(
        dialog,
        UsageImportState.cancel,
        rx.cond(
            is_importing,
            "Rows that are already recorded stay recorded. To record the rest, import the file again.",
            "Nothing from this file is recorded. You can upload it again.",
        ),
        submit=rx.cond(is_importing, "Cancel import", "Discard file"),
    )


def _missing() -> rx.Component:
    return rx.el.div(
        notice(
            "search-x",
            "Import not found",
            "Check the address, or open it from the list of imports.",
            link("View imports", "/usage/imports", classes.BUTTON),
        ),
        class_name=classes.PANEL,
    )
