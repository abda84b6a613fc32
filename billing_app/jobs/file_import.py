"""Usage from a CSV file: good rows recorded, every other row named with its line and reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session

from billing_app.database.session import Database
from billing_app.domain.actor import Actor, Permission
from billing_app.errors import Invalid
from billing_app.jobs.usage_csv import read_batches
from billing_app.services.shared import audit
from billing_app.services.shared.permissions import require
from billing_app.services.usage.recording import (
    BatchResult,
    UnreadableReport,
    UsageReport,
    record_usage_file_batch,
)
from billing_app.services.usage_imports.imports import RefusedRow


@dataclass(slots=True)
class ImportSummary:
    """The counts so far; `rows` is the sum of the others."""

    rows: int = 0
    recorded: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: int = 0
    bytes_read: int = 0


def import_usage(
    database: Database,
    actor: Actor,
    path: Path,
    *,
    on_refused: Callable[[RefusedRow], None] = lambda row: None,
    on_progress: Callable[[ImportSummary], None] = lambda summary: None,
) -> ImportSummary:
    """Records the file's events, each once however often it is imported; plain CSV or gzip.

    One transaction for each batch of `read_batches`; killed and started again, the rows recorded
    are duplicates. The audit log has one entry, of the transaction that recorded the first of them:
    killed at any point, nothing was recorded without one. Raises Invalid (`file`) when the file as a whole can't be read.
    """
    require(actor, Permission.RECORD_USAGE)
    summary = ImportSummary()
    try:
        raw = path.open("rb")
    except OSError as error:
        raise Invalid("file", "unreadable_file", reason=error.strerror) from error
    with raw:
        for batch in read_batches(raw):
            outcome = database.call(actor, _record, batch.reports, "" if summary.recorded else path.name)
            summary.rows += len(batch.reports)
            summary.recorded += outcome.recorded
            summary.duplicates += outcome.duplicates
            summary.conflicts += outcome.conflicts
            summary.rejected += outcome.rejected
            for refused in batch.refused(outcome):
                on_refused(refused)
            summary.bytes_read = raw.tell()
            on_progress(summary)
    return summary


def _record(
    session: Session, actor: Actor, reports: Sequence[UsageReport | UnreadableReport], file_name: str
) -> BatchResult:
    """Records a batch; with a file's name it is the first, and tells of the file when it records anything."""
    outcome = record_usage_file_batch(session, actor, reports)
    if file_name and outcome.recorded:
        audit.record(session, actor, "usage.file_imported", "usage", file_name=file_name)
    return outcome
