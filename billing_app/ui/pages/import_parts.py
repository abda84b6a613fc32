"""Parts of the import pages: status badges, and the drop zone for a file of usage or of corrections."""

from __future__ import annotations

import reflex as rx

from billing_app.state.pages.usage_imports import CORRECTIONS, UsageImportsState
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import icon
from billing_app.ui.kit.buttons import button

FILE_BYTES_MAX = 1024 * 1024 * 1024
COLUMNS = "customer,idempotency_key,quantity,occurred_at"
CORRECTION_COLUMNS = "customer,idempotency_key,quantity,reason,correction_key"


def import_badge(status: rx.Var[str]) -> rx.Component:
    """Show the status of an import as a badge."""
    return rx.match(
        status,
        ("checking", rx.el.span("Checking", class_name=classes.BADGE_QUIET)),
        ("checked", rx.el.span("Ready to import", class_name=classes.BADGE_WARN)),
        ("importing", rx.el.span("Importing", class_name=classes.BADGE_QUIET)),
        ("done", rx.el.span("Done", class_name=classes.BADGE_GOOD)),
        ("failed", rx.el.span("Failed", class_name=classes.BADGE_BAD)),
        rx.el.span("Cancelled", class_name=classes.BADGE_HOLD),
    )


def row_badge(status: rx.Var[str]) -> rx.Component:
    """Show the expected outcome of a row as a badge."""
    return rx.match(
        status,
        ("recorded", rx.el.span("To record", class_name=classes.BADGE_GOOD)),
        ("duplicate", rx.el.span("Duplicate", class_name=classes.BADGE_QUIET)),
        ("conflict", rx.el.span("Conflict", class_name=classes.BADGE_WARN)),
        rx.el.span("Rejected", class_name=classes.BADGE_BAD),
    )


def file_drop() -> rx.Component:
    """Build the drop zone. assets/js/uploads.js uploads the file and opens its import."""
    return rx.el.form(
        _file_choice(),
        _upload_progress(),
        rx.el.p(role="alert", class_name="mt-2 text-sm text-bad empty:hidden"),
        aria_label=rx.cond(
            UsageImportsState.kind == CORRECTIONS, "Import a file of corrections", "Import a usage file"
        ),
        class_name="mb-6",
        custom_attrs={
            "data-upload": "/api/v1/usage/imports",
            "data-kind": UsageImportsState.kind,
            "data-then": "/usage/imports/",
            "data-bytes-max": FILE_BYTES_MAX,
        },
    )


def _file_choice() -> rx.Component:
    return rx.el.label(
        rx.el.input(
            type="file",
            accept=".csv,.gz,text/csv,application/gzip",
            class_name="sr-only",
            custom_attrs={"data-file": ""},
        ),
        icon("upload", 20, "shrink-0 text-faint"),
        rx.el.span(
            rx.el.span("Choose a CSV file", class_name="font-medium text-accent"),
            " or drop it here",
            class_name="text-sm",
        ),
        rx.el.span(
            "Columns ",
            rx.el.code(
                rx.cond(UsageImportsState.kind == CORRECTIONS, CORRECTION_COLUMNS, COLUMNS),
                class_name="[overflow-wrap:anywhere] font-mono",
            ),
            ". Up to 1\u00a0GiB, plain or gzip. You review the file before anything is recorded.",
            class_name=f"max-w-xl text-pretty text-center {classes.CAPTION}",
        ),
        class_name="upload-choice flex cursor-pointer flex-col items-center gap-2 rounded-lg border"
        " border-dashed border-field-line bg-raised px-5 py-8 hover:bg-hover"
        " focus-within:outline-2 focus-within:outline-offset-2 focus-within:outline-accent",
    )


def _upload_progress() -> rx.Component:
    return rx.el.div(
        rx.el.div(
            rx.el.span(class_name="min-w-0 truncate font-medium", custom_attrs={"data-upload-name": ""}),
            rx.el.span(class_name="tabular-nums text-soft", custom_attrs={"data-upload-share": ""}),
            class_name="flex justify-between gap-4 text-sm",
            role="status",
        ),
        rx.el.progress(
            value=0,
            max=100,
            aria_label="Upload progress",
            class_name="progress h-1.5 w-full overflow-hidden rounded-full",
            custom_attrs={"data-upload-progress": ""},
        ),
        rx.el.div(
            rx.el.span("Keep Tallybook open until the upload is complete.", class_name=classes.CAPTION),
            button("Cancel upload", custom_attrs={"data-action": "cancel-upload"}),
            class_name="flex items-center justify-between gap-4",
        ),
        class_name=f"upload-progress {classes.PANEL} flex-col gap-3 px-5 py-4",
    )
