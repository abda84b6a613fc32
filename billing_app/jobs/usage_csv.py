"""Read the rows of a usage file in batches, so that any file fits into a few megabytes of memory."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field

from billing_app.domain.rules import BrokenRule
from billing_app.domain.spreadsheets import unescape_cell
from billing_app.jobs.usage_files import ROW_CHARS_MAX, Header, Line, is_utf8, open_usage_text, split_row
from billing_app.services.usage.recording import BATCH_MAX, BatchResult, UnreadableReport, UsageReport
from billing_app.services.usage_imports.rows import COLUMNS, RejectedRow

BATCH_CHARS_MAX = 4_000_000
# Empty lines are skipped. This bounds the number of lines in a batch.
BATCH_LINES_MAX = 100 * BATCH_MAX

Report = UsageReport | UnreadableReport


@dataclass(slots=True)
class Batch:
    """The rows of the lines after `after_line` up to `through_line`.

    `cells` has each row's cells in the order of COLUMNS. If the number of cells is wrong, it has those,
    but never as many as COLUMNS; if the cells can't be told apart, the whole text as one cell; if the row
    is too long to store, none.
    """

    after_line: int
    through_line: int
    lines: list[int] = field(default_factory=list)
    cells: list[list[str]] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)

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


def read_batches(raw: io.BufferedReader, after_line: int = 0) -> Iterator[Batch]:
    """Read the rows after a line in batches of up to 10,000. The batches are the same each time.

    Raises Invalid (`file`, `header`) if the file as a whole can't be read.
    """
    with open_usage_text(raw) as text:
        batch, chars = Batch(after_line, after_line), 0
        for line in text:
            if line.number <= after_line:
                continue
            batch.through_line = line.number
            if line.text:
                cells, report = _parse_row(line, text.header)
                batch.lines.append(line.number)
                batch.cells.append(cells)
                batch.reports.append(report)
                chars += len(line.text)
            lines = line.number - batch.after_line
            if len(batch.reports) == BATCH_MAX or chars >= BATCH_CHARS_MAX or lines >= BATCH_LINES_MAX:
                yield batch
                batch, chars = Batch(line.number, line.number), 0
        if batch.reports:
            yield batch


def _parse_row(line: Line, header: Header) -> tuple[list[str], Report]:
    if line.is_too_long:
        return [], UnreadableReport("row", "row_too_long", {"at_most": ROW_CHARS_MAX})
    try:
        cells = split_row(line.text)
    except BrokenRule as broken:
        return [line.text], UnreadableReport("row", broken.rule, broken.facts)
    if "'" in line.text:
        cells = [unescape_cell(cell) for cell in cells]
    if len(cells) != header.width:
        # Four cells would pass for those of COLUMNS when the file of rejected rows is imported.
        kept = [line.text] if len(cells) == len(COLUMNS) else cells
        return kept, UnreadableReport("row", "wrong_width", {"expected": header.width, "found": len(cells)})
    row = [cells[position] for position in header.positions]
    if not is_utf8(line.text):
        for column, cell in zip(COLUMNS, row, strict=True):
            if not is_utf8(cell):
                return row, UnreadableReport(column, "not_utf8")
    customer, key, quantity, occurred_at = row
    # An empty time means now, like a missing one in the API.
    return row, UsageReport(customer, key, quantity, occurred_at or None)
