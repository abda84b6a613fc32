"""Imports of files of usage and of corrections as pages show them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from billing_app.errors import FieldError
from billing_app.services.shared.characters import reveal_invisible
from billing_app.services.shared.reasons import Reason
from billing_app.services.usage_imports.rows import (
    COLUMNS,
    CORRECTION_COLUMNS,
    METERED_COLUMNS,
    Kind,
    PreviewRow,
    RejectedRow,
    UsageImportRow,
)
from billing_app.state.kit import address, text
from billing_app.wording.refusals import reason_sentence
from billing_app.wording.rules import rule_text
from billing_app.wording.values import counted

PATH = "/usage/imports"
OPEN_STATUSES = ("checking", "checked", "importing")
_CELL_MAX = 200
_KB = 1000
_WIDTHS: dict[Kind, tuple[int, ...]] = {
    "usage": (len(COLUMNS), len(METERED_COLUMNS)),
    "corrections": (len(CORRECTION_COLUMNS),),
}
_KIND_NAMES: dict[Kind, str] = {"usage": "Usage", "corrections": "Corrections"}
_NOTHING_RECORDED = "Nothing was recorded."
_COLUMN_NAMES = {
    "customer": "Customer",
    "idempotency_key": "Key",
    "quantity": "Quantity",
    "occurred_at": "Time",
    "meter": "Meter",
    "item": "Item",
    "reason": "Reason",
    "correction_key": "Correction key",
    "header": "The first line",
    "file": "The file",
    "row": "This row",
}


@dataclass(frozen=True)
class ImportItem:
    """An import in a list."""

    href: str = ""
    file_name: str = ""
    kind: str = ""
    size: str = ""
    status: str = ""
    outcome: str = ""
    uploaded: str = ""
    uploaded_utc: str = ""


@dataclass(frozen=True)
class ImportSheet:
    """An import on its page. The byte counts draw the progress bar; `caption` is its text.

    `is_expected` says that the counts are the expected outcome of an import that has not started.
    `start` and `start_again` are the labels of the buttons that start it, each empty if there is no button.
    """

    import_id: str = ""
    file_name: str = ""
    kind: str = ""
    has_corrections: bool = False
    size: str = ""
    status: str = ""
    is_open: bool = False
    uploaded: str = ""
    uploaded_utc: str = ""
    finished: str = ""
    finished_utc: str = ""
    done_bytes: int = 0
    all_bytes: int = 1
    caption: str = ""
    summary: str = ""
    is_expected: bool = False
    rows: str = ""
    recorded: str = ""
    duplicates: str = ""
    conflicts: str = ""
    rejected: str = ""
    has_rejected_rows: bool = False
    rejected_rows_note: str = ""
    rejected_rows_href: str = ""
    start: str = ""
    start_again: str = ""
    same_as: str = ""
    same_as_href: str = ""


@dataclass(frozen=True)
class FileRow:
    """A row of a file with its outcome.

    `quantity_note` and `time_note` have the text in the file if it differs from the value shown.
    `quantity_note` also has the meter and the item, if the file names them. Only corrections have `why`, the
    reason, and `correction_key`. `caption` replaces the columns that narrow screens hide.
    """

    line: str = ""
    customer: str = ""
    key: str = ""
    quantity: str = ""
    quantity_note: str = ""
    time: str = ""
    time_note: str = ""
    why: str = ""
    correction_key: str = ""
    caption: str = ""
    status: str = ""
    detail: str = ""


def import_item(row: UsageImportRow, zone: ZoneInfo) -> ImportItem:
    """Build an import of a list."""
    return ImportItem(
        href=address.link(f"{PATH}/{row.public_id}"),
        file_name=row.file_name,
        kind=_KIND_NAMES[row.kind],
        size=_size(row.size_bytes),
        status=row.status,
        outcome=_outcome(row),
        uploaded=text.timestamp(row.uploaded_at, zone),
        uploaded_utc=text.timestamp_utc(row.uploaded_at),
    )


def import_sheet(row: UsageImportRow, zone: ZoneInfo) -> ImportSheet:
    """Build an import for its own page."""
    not_recorded = row.conflicts + row.rejected
    finished_before = row.same_as.finished_at if row.same_as else None
    return ImportSheet(
        import_id=row.public_id,
        file_name=row.file_name,
        kind=_KIND_NAMES[row.kind],
        has_corrections=row.kind == "corrections",
        size=_size(row.size_bytes),
        status=row.status,
        is_open=row.status in OPEN_STATUSES,
        uploaded=text.timestamp(row.uploaded_at, zone),
        uploaded_utc=text.timestamp_utc(row.uploaded_at),
        finished=text.timestamp(row.finished_at, zone) if row.finished_at else "",
        finished_utc=text.timestamp_utc(row.finished_at) if row.finished_at else "",
        done_bytes=row.bytes_read,
        all_bytes=max(1, row.size_bytes),
        caption=f"{counted(row.rows, 'row')}, {_share(row)}",
        summary=import_summary(row),
        is_expected=row.status in ("checking", "checked"),
        rows=f"{row.rows:,}",
        recorded=f"{row.recorded:,}",
        duplicates=f"{row.duplicates:,}",
        conflicts=f"{row.conflicts:,}",
        rejected=f"{row.rejected:,}",
        has_rejected_rows=row.rejected_rows_kept > 0,
        rejected_rows_note=_rejected_rows_note(row, not_recorded),
        rejected_rows_href=f"/api/v1{PATH}/{row.public_id}/rejected-rows.csv",
        start=f"Import {counted(row.recorded, 'row')}" if row.recorded else "",
        start_again="Import again" if row.duplicates and not row.recorded else "",
        same_as=text.timestamp(finished_before, zone) if finished_before else "",
        same_as_href=address.link(f"{PATH}/{row.same_as.public_id}") if row.same_as else "",
    )


def import_summary(row: UsageImportRow) -> str:
    """Describe the import's status in one or two sentences."""
    match row.status:
        case "checking" | "importing" if row.waits_for:
            result = "checked" if row.status == "checking" else "imported"
            return f"Waiting until {row.waits_for.file_name} is {result}."
        case "checking":
            return "Nothing is recorded until you start the import."
        case "checked":
            return _expectation(row)
        case "importing":
            return "The import continues on the server, even if you close this page."
        case "done":
            return _result(row)
        case "failed":
            return f"{_outcome(row)} {_recorded_so_far(row)}"
        case _:
            return _recorded_so_far(row)


def _expectation(row: UsageImportRow) -> str:
    if row.recorded:
        return "Nothing is recorded yet."
    if row.duplicates:
        is_already = "is already" if row.duplicates == 1 else "are already"
        return f"{counted(row.duplicates, 'row')} {is_already} recorded. Importing the file again records nothing twice."
    return "No row of this file can be recorded."


def _result(row: UsageImportRow) -> str:
    was_already = "was already" if row.duplicates == 1 else "were already"
    already = f"{counted(row.duplicates, 'row')} {was_already} recorded."
    if row.recorded == 0 and row.duplicates:
        return f"{_NOTHING_RECORDED} {already}"
    return f"{counted(row.recorded, 'row')} recorded." + (f" {already}" if row.duplicates else "")


def preview_row(row: PreviewRow, zone: ZoneInfo, kind: Kind = "usage") -> FileRow:
    """Build a row of the preview, with quantity and time as they were understood."""
    file_row = _file_row(row.line, row.row, row.status, row.reason, kind)
    if len(row.row) not in _WIDTHS[kind]:
        return file_row
    understood = None if row.quantity is None else text.quantity(row.quantity)
    quantity, note = _understood_quantity(file_row.quantity, understood)
    time, time_note = (
        ("", "") if kind == "corrections" else _understood_time(file_row.time, row.occurred_at, zone)
    )
    return replace(
        file_row,
        quantity=quantity,
        quantity_note=", ".join(filter(None, (file_row.quantity_note, note))),
        time=time,
        time_note=time_note,
        caption=_caption(file_row.customer, file_row.key, f"{quantity} ({note})" if note else quantity),
    )


def rejected_row(row: RejectedRow, kind: Kind = "usage") -> FileRow:
    """Build a row that was not recorded, with its cells as they are in the file."""
    return _file_row(row.line, row.row, row.status, row.reason, kind)


def _understood_quantity(cell: str, understood: str | None) -> tuple[str, str]:
    """Return the quantity to show, and a note if the file has it in another notation."""
    if understood is None:
        return cell, ""
    return understood, "" if cell.strip() == understood.replace(",", "") else f"{cell} in the file"


def _understood_time(cell: str, occurred_at: datetime | None, zone: ZoneInfo) -> tuple[str, str]:
    if occurred_at is None:
        return (cell, "") if cell else ("Time of the import", "")
    return text.timestamp(occurred_at, zone), cell


def _file_row(line: int, cells: tuple[str, ...], status: str, reason: Reason | None, kind: Kind) -> FileRow:
    shown = [_displayed(cell) for cell in cells]
    # A row with the wrong number of columns is shown in the first column.
    customer, key, quantity, fourth, *others = (
        shown if len(shown) in _WIDTHS[kind] else (", ".join(shown)[:_CELL_MAX], "", "", "")
    )
    file_row = FileRow(
        line=f"{line:,}",
        customer=customer,
        key=key,
        quantity=quantity,
        caption=_caption(customer, key, quantity),
        status=status,
        detail=_row_reason(reason),
    )
    if kind == "corrections":
        return replace(file_row, why=fourth, correction_key="".join(others))
    return replace(file_row, time=fourth, quantity_note=", ".join(filter(None, others)))


def _displayed(cell: str) -> str:
    # Bytes that are not UTF-8 are surrogates here, which can't be sent to a browser.
    readable = cell[:_CELL_MAX].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return reveal_invisible(readable)


def _caption(*cells: str) -> str:
    return " · ".join(cell for cell in cells if cell)


def _row_reason(reason: Reason | None) -> str:
    """Say why a row or a file was rejected, with the column's name as the page shows it."""
    if reason is None:
        return ""
    if not reason.rule:
        return reason_sentence(reason)
    column = _COLUMN_NAMES.get(reason.field, reason.field.capitalize())
    sentence = f"{column} {rule_text(FieldError(reason.field, reason.rule, dict(reason.facts)))}"
    return sentence if sentence.endswith(".") else f"{sentence}."


def _outcome(row: UsageImportRow) -> str:
    """Describe the actual or expected outcome of the rows in a few words."""
    match row.status:
        case "checking" | "importing" if row.waits_for:
            return f"Waiting for {row.waits_for.file_name}"
        case "checking" | "importing":
            return f"{_share(row)}, {counted(row.rows, 'row')} so far"
        case "failed":
            return _row_reason(row.fault)
        case "checked":
            return ", ".join([f"{row.recorded:,} to record", *_not_recorded(row)])
        case _:
            return ", ".join([f"{row.recorded:,} recorded", *_not_recorded(row)])


def _not_recorded(row: UsageImportRow) -> list[str]:
    """Name the counts of the rows that are not recorded, without those that are zero."""
    names = [
        (row.duplicates, counted(row.duplicates, "duplicate")),
        (row.conflicts, counted(row.conflicts, "conflict")),
        (row.rejected, f"{row.rejected:,} rejected"),
    ]
    return [name for count, name in names if count]


def _recorded_so_far(row: UsageImportRow) -> str:
    if not row.recorded:
        return _NOTHING_RECORDED
    return f"{counted(row.recorded, 'row')} recorded before the import ended. Recorded rows are kept."


def _rejected_rows_note(row: UsageImportRow, not_recorded: int) -> str:
    notes = ["Includes conflicts."] if row.conflicts else []
    if not_recorded > row.rejected_rows_kept:
        notes.append(f"Only the first {row.rejected_rows_kept:,} are available.")
    return " ".join(notes)


def _share(row: UsageImportRow) -> str:
    return f"{100 * row.bytes_read // max(1, row.size_bytes)}%"


def _size(size_bytes: int) -> str:
    """Write a size, such as `12 bytes` or `3.4 MB`."""
    if size_bytes < _KB:
        return f"{size_bytes} bytes"
    size = float(size_bytes)
    for unit in ("kB", "MB"):
        size /= _KB
        if size < _KB:
            return f"{size:.1f} {unit}"
    return f"{size / _KB:.1f} GB"
