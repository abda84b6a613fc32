"""Writing CSV files that open correctly in a spreadsheet and can be imported again."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal

from billing_app.domain.spreadsheets import escape_cell
from billing_app.services.usage_imports.rows import RejectedRow
from billing_app.wording.refusals import reason_sentence

Cell = str | int | Decimal | date | datetime | None

# Without it, Excel would read the file in the computer's regional encoding rather than UTF-8.
BYTE_ORDER_MARK = "\ufeff".encode()


def encode_rows(rows: Iterable[Iterable[Cell]]) -> bytes:
    """Encode rows as UTF-8. Surrogates become the bytes that they were read from."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([_format_cell(value) for value in row] for row in rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


def rejected_columns(columns: Iterable[str]) -> tuple[str, ...]:
    """Return the header of a file of rejected rows, which can be corrected and imported again."""
    return ("line", *columns, "code", "detail")


def rejected_row_cells(row: RejectedRow) -> tuple[Cell, ...]:
    """Return the cells of `rejected_columns`. A row with wrong columns has more or fewer of them."""
    return (row.line, *row.row, row.reason.code, reason_sentence(row.reason))


def _format_cell(value: Cell) -> str:
    """Format a value like the API, and escape text that a spreadsheet would run as a formula."""
    if value is None:
        return ""
    if isinstance(value, str):
        return escape_cell(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return format(value, "f") if isinstance(value, Decimal) else str(value)
