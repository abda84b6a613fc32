"""Read the rows of a file of usage or of corrections in batches, so that any file fits into a few megabytes of memory."""

from __future__ import annotations

import io
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from typing import Any, Generic, TypeVar

from billing_app.domain.rules import BrokenRule
from billing_app.domain.spreadsheets import unescape_cell
from billing_app.jobs.usage_files import (
    CORRECTIONS,
    ROW_CHARS_MAX,
    USAGE,
    Header,
    Layout,
    is_too_long,
    is_utf8,
    open_usage_text,
    split_row,
)
from billing_app.services.usage.correction_rows import CorrectionReport
from billing_app.services.usage.recording import BATCH_MAX, BatchResult, UnreadableReport, UsageReport
from billing_app.services.usage_imports.rows import COLUMNS, RejectedRow

BATCH_CHARS_MAX = 4_000_000
# Empty lines are skipped. This bounds the number of lines in a batch.
BATCH_LINES_MAX = 100 * BATCH_MAX

Report = TypeVar("Report")
# Like `UsageReport._make`, but without running Python code for each row.
_as_report: Callable[[list[str]], Any] = partial(tuple.__new__, UsageReport)


@dataclass(slots=True)
class Batch(Generic[Report]):
    """The rows of the lines after `after_line` up to `through_line`.

    `cells` has each row's cells in the order of the header's columns. If the number of cells is wrong, it has
    those, but never as many as a header has columns; if the cells can't be told apart, the whole text as one
    cell; if the row is too long to store, none. `to_report` makes a report from the cells.
    """

    after_line: int
    through_line: int
    to_report: Callable[[list[str]], Report]
    lines: list[int] = field(default_factory=list)
    cells: list[list[str]] = field(default_factory=list)
    reports: list[Report | UnreadableReport] = field(default_factory=list)
    chars: int = 0

    @property
    def is_full(self) -> bool:
        """Whether the batch ends here."""
        return (
            len(self.reports) >= BATCH_MAX
            or self.chars >= BATCH_CHARS_MAX
            or self.through_line - self.after_line >= BATCH_LINES_MAX
        )

    def add_row(self, number: int, line: str, header: Header) -> None:
        """Add the row of a line. An empty line has none."""
        self.through_line = number
        if line:
            cells, unreadable = read_cells(line, header)
            self.lines.append(number)
            self.cells.append(cells)
            self.reports.append(unreadable or self.to_report(cells))
            self.chars += len(line)

    def add_plain_rows(self, lines: list[str], after_line: int, header: Header) -> bool:
        """Add the rows of lines at once. Return False if that would differ from adding one by one."""
        chars = sum(map(len, lines))
        if (
            len(self.reports) + len(lines) > BATCH_MAX
            or self.chars + chars >= BATCH_CHARS_MAX
            or after_line + len(lines) - self.after_line >= BATCH_LINES_MAX
        ):
            return False
        rows = _parse_plain_rows(lines, header)
        if rows is None:
            return False
        self.through_line = after_line + len(lines)
        self.lines.extend(range(after_line + 1, self.through_line + 1))
        self.cells.extend(rows)
        if header.columns == COLUMNS and all(map(itemgetter(3), rows)):
            self.reports.extend(map(_as_report, rows))
        else:
            self.reports.extend(map(self.to_report, rows))
        self.chars += chars
        return True

    def rejected_rows(self, outcome: BatchResult) -> list[RejectedRow]:
        """Return the rows that were not recorded, in the file's order. `outcome` is that of `reports`."""
        return [
            RejectedRow(
                line=self.lines[result.index],
                row=tuple(self.cells[result.index]),
                status=result.status,
                reason=result.reason,
            )
            for result in outcome.results
            if result.status in ("conflict", "rejected") and result.reason
        ]


def read_batches(raw: io.BufferedReader, after_line: int = 0) -> Generator[Batch[UsageReport], None, None]:
    """Read the rows after a line in batches of up to 10,000. The batches are the same each time.

    Raises Invalid (`file`, `header`) if the file as a whole can't be read.
    """
    return _read_batches(raw, after_line, USAGE, _to_report)


def read_corrections(
    raw: io.BufferedReader, after_line: int = 0
) -> Generator[Batch[CorrectionReport], None, None]:
    """Read the rows of a file of corrections as `read_batches` does those of a file of usage."""
    return _read_batches(raw, after_line, CORRECTIONS, CorrectionReport._make)


def _read_batches(
    raw: io.BufferedReader, after_line: int, layout: Layout, to_report: Callable[[list[str]], Report]
) -> Generator[Batch[Report], None, None]:
    with open_usage_text(raw, layout) as text:
        batch, number = Batch(after_line, after_line, to_report), 1
        for lines in text:
            if number >= after_line and batch.add_plain_rows(lines, number, text.header):
                number += len(lines)
                if batch.is_full:
                    yield batch
                    batch = Batch(number, number, to_report)
                continue
            for line in lines:
                number += 1
                if number > after_line:
                    batch.add_row(number, line, text.header)
                    if batch.is_full:
                        yield batch
                        batch = Batch(number, number, to_report)
        if batch.reports:
            yield batch


def _parse_plain_rows(lines: list[str], header: Header) -> list[list[str]] | None:
    """Return the cells of each row, or None unless all are ASCII text without quotes and apostrophes.

    Nearly all rows are. None of this runs Python code row by row, so it takes a sixth of the time.
    """
    text = "\n".join(lines)
    if not text.isascii() or '"' in text or "'" in text or not all(lines):
        return None
    rows = [line.split(",") for line in lines]
    if set(map(len, rows)) != {header.width} or max(map(len, lines)) > ROW_CHARS_MAX:
        return None
    if header.lacks_column:
        for row in rows:
            row.append("")
    if header.positions == tuple(range(header.width)):
        return rows
    return list(map(list, map(itemgetter(*header.positions), rows)))


def read_cells(line: str, header: Header) -> tuple[list[str], UnreadableReport | None]:
    """Return the cells of a line in the order of the header's columns, and why they can't be read, if so."""
    if is_too_long(line):
        return [], UnreadableReport("row", "row_too_long", {"at_most": ROW_CHARS_MAX})
    try:
        cells = split_row(line)
    except BrokenRule as broken:
        return [line], UnreadableReport("row", broken.rule, broken.facts)
    if "'" in line:
        cells = [unescape_cell(cell) for cell in cells]
    if len(cells) != header.width:
        # As many cells would pass for those of a header when the file of rejected rows is imported.
        kept = [line] if len(cells) in header.layout.widths else cells
        return kept, UnreadableReport("row", "wrong_width", {"expected": header.width, "found": len(cells)})
    row = [[*cells, ""][position] for position in header.positions]
    if not is_utf8(line):
        for column, cell in zip(header.columns, row, strict=True):
            if not is_utf8(cell):
                return row, UnreadableReport(column, "not_utf8")
    return row, None


def _to_report(row: list[str]) -> UsageReport:
    """Build a report. An empty time means now, like a missing one in the API, and other cells likewise."""
    if len(row) == len(COLUMNS):
        return tuple.__new__(UsageReport, (*row[:3], row[3] or None))
    customer, key, *others = row
    return tuple.__new__(UsageReport, (customer, key, *(cell or None for cell in others)))
