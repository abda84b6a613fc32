"""CSV as Tallybook writes it: opens in a spreadsheet by double click, and can be imported back."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal

from billing_app.domain.spreadsheets import escape_cell
from billing_app.services.usage_imports.rows import COLUMNS, RejectedRow
from billing_app.wording.refusals import reason_sentence

Cell = str | int | Decimal | date | datetime | None

# Without it Excel reads UTF-8 as the encoding of the computer's region.
BYTE_ORDER_MARK = "\ufeff".encode()
REJECTED_ROW_COLUMNS = ("line", *COLUMNS, "code", "detail")


def encode_rows(rows: Iterable[Iterable[Cell]]) -> bytes:
    """Write rows as UTF-8; surrogates become the bytes that they were read from."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([_format_cell(value) for value in row] for row in rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


def rejected_row_cells(row: RejectedRow) -> tuple[Cell, ...]:
    """Return the cells of REJECTED_ROW_COLUMNS; more or fewer for a row that has not the right columns."""
    return (row.line, *row.row, row.reason.code, reason_sentence(row.reason))


def _format_cell(value: Cell) -> str:
    """Write a value as the API does, and text so that a spreadsheet does not run it."""
    if value is None:
        return ""
    if isinstance(value, str):
        return escape_cell(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return format(value, "f") if isinstance(value, Decimal) else str(value)
