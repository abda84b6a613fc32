"""The list of imports, with the place to upload another file."""

from __future__ import annotations

import reflex as rx

from billing_app.state.pages.usage_imports import CORRECTIONS, UsageImportsState
from billing_app.state.presenters.usage_imports import ImportItem
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import by_phase, notice
from billing_app.ui.kit.buttons import writers_only
from billing_app.ui.kit.filters import segments
from billing_app.ui.kit.layout import page
from billing_app.ui.kit.tables import column, page_links, row_link, table, table_skeleton
from billing_app.ui.pages.import_parts import file_drop, import_badge
from billing_app.ui.pages.usage import usage_views


def usage_imports() -> rx.Component:
    """Build the page of imports."""
    return page(
        "Usage",
        "Usage",
        rx.el.div(usage_views("imports"), class_name="mb-4"),
        writers_only(
            rx.el.div(
                segments(
                    "What to import",
                    ("Usage events", UsageImportsState.usage_href, UsageImportsState.kind != CORRECTIONS),
                    (
                        "Corrections",
                        UsageImportsState.corrections_href,
                        UsageImportsState.kind == CORRECTIONS,
                    ),
                ),
                rx.el.span(
                    rx.cond(
                        UsageImportsState.kind == CORRECTIONS,
                        "New quantities of events that are already recorded.",
                        "New events. An event that is already recorded stays as it is.",
                    ),
                    class_name=classes.CAPTION,
                ),
                class_name="mb-2 flex flex-wrap items-center gap-x-3 gap-y-1.5",
            ),
            file_drop(),
        ),
        by_phase(
            UsageImportsState.phase,
            UsageImportsState.problem,
            loading=table_skeleton(4),
            missing=rx.fragment(),
            ready=rx.cond(UsageImportsState.rows.length() > 0, _table(), _empty()),
        ),
    )


def _table() -> rx.Component:
    return rx.fragment(
        table(
            "Imports",
            [
                column("File"),
                column("Rows", wide_only=True),
                column("Status"),
                column("Outcome", wide_only=True),
                column("Size", wide_only=True),
                column("Uploaded", wide_only=True),
            ],
            rx.foreach(UsageImportsState.rows, _row),
        ),
        page_links(UsageImportsState.pages),
    )


def _row(item: rx.Var[ImportItem]) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            rx.el.div(row_link(item.file_name, item.href), class_name="max-w-48 truncate md:max-w-64"),
            rx.el.div(item.outcome, class_name=f"{classes.NARROW_CAPTION} max-w-48"),
            class_name=classes.TD_MAIN,
        ),
        rx.el.td(item.kind, class_name=f"{classes.TD} {classes.WIDE_ONLY}"),
        rx.el.td(import_badge(item.status), class_name=classes.TD),
        rx.el.td(
            rx.el.div(item.outcome, title=item.outcome, class_name="max-w-sm truncate tabular-nums"),
            class_name=f"{classes.TD} {classes.WIDE_ONLY}",
        ),
        rx.el.td(item.size, class_name=f"{classes.TD} {classes.WIDE_ONLY} tabular-nums"),
        rx.el.td(
            rx.el.span(item.uploaded, title=item.uploaded_utc, class_name="relative"),
            class_name=f"{classes.TD} {classes.WIDE_ONLY} tabular-nums",
        ),
        class_name=classes.TR_LINK,
    )


def _empty() -> rx.Component:
    return rx.el.div(
        notice(
            "file-text",
            "No imports yet",
            "Imported files appear here, with the outcome of every row.",
        ),
        class_name=classes.PANEL,
    )
