"""Import corrections of usage from a CSV file on this machine, in the order of its rows."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from billing_app.database.session import Database
from billing_app.domain.actor import Actor, Permission
from billing_app.jobs.file_import import CheckedFile, ImportSummary
from billing_app.jobs.usage_csv import BATCH_CHARS_MAX, read_cells
from billing_app.jobs.usage_files import CORRECTIONS, Header, open_usage_text
from billing_app.services.shared.permissions import require
from billing_app.services.usage.correction_rows import CorrectionReport
from billing_app.services.usage.corrections import correct_usage_batch
from billing_app.services.usage.recording import BATCH_MAX, BatchResult, UnreadableReport
from billing_app.services.usage_imports.rows import RejectedRow


def import_corrections(
    database: Database,
    actor: Actor,
    file: CheckedFile,
    *,
    on_rejected: Callable[[RejectedRow], None] = lambda row: None,
    on_progress: Callable[[ImportSummary], None] = lambda summary: None,
) -> ImportSummary:
    """Record the corrections of a file, each once however often the file is imported.

    Each batch is recorded in a transaction of its own, with an audit entry. After an interruption, import the
    file again: rows that are already recorded are duplicates.
    """
    require(actor, Permission.CORRECT_USAGE)
    summary = ImportSummary()
    for batch in _read_batches(file.raw):
        file.require_unchanged()
        outcome = database.call(actor, correct_usage_batch, batch.reports)
        for row in batch.rejected_rows(outcome):
            on_rejected(row)
        summary.add(outcome, file.raw.tell())
        on_progress(summary)
    return summary


@dataclass(slots=True)
class _Batch:
    """Rows with the numbers of their lines, and their cells as `read_cells` returns them."""

    lines: list[int] = field(default_factory=list)
    cells: list[list[str]] = field(default_factory=list)
    reports: list[CorrectionReport | UnreadableReport] = field(default_factory=list)
    chars: int = 0

    def add(self, number: int, line: str, header: Header) -> None:
        """Add the row of a line."""
        cells, unreadable = read_cells(line, header)
        self.lines.append(number)
        self.cells.append(cells)
        self.reports.append(unreadable or CorrectionReport(*cells))
        self.chars += len(line)

    @property
    def is_full(self) -> bool:
        """Whether the batch ends here."""
        return len(self.reports) >= BATCH_MAX or self.chars >= BATCH_CHARS_MAX

    def rejected_rows(self, outcome: BatchResult) -> Iterator[RejectedRow]:
        """Yield the conflicts and rejected rows, in the file's order."""
        for result in outcome.results:
            if result.status in ("conflict", "rejected") and result.reason:
                row = tuple(self.cells[result.index])
                yield RejectedRow(self.lines[result.index], row, result.status, result.reason)


def _read_batches(raw: io.BufferedReader) -> Iterator[_Batch]:
    with open_usage_text(raw, CORRECTIONS) as text:
        batch, number = _Batch(), 1
        for lines in text:
            for line in lines:
                number += 1
                # Empty lines are skipped.
                if line:
                    batch.add(number, line, text.header)
                if batch.is_full:
                    yield batch
                    batch = _Batch()
        if batch.reports:
            yield batch
