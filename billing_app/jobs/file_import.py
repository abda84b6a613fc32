"""Import usage from a CSV file on this machine: check the whole file, then record it in batches."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryFile
from typing import cast

from sqlmodel import Session

from billing_app.database.session import Database
from billing_app.domain.actor import Actor, Permission
from billing_app.errors import Invalid
from billing_app.jobs.usage_csv import Batch, read_batches
from billing_app.jobs.usage_files import USAGE, Layout, check_integrity
from billing_app.services.shared import audit
from billing_app.services.shared.permissions import require
from billing_app.services.usage.recording import (
    BatchResult,
    UnreadableReport,
    UsageReport,
    record_usage_file_batch,
)
from billing_app.services.usage_imports.rows import RejectedRow

# Of a batch, each recorded in a transaction of its own.
_PARTS = 2


@dataclass(slots=True)
class ImportSummary:
    """The counts so far. `rows` is the sum of the others."""

    rows: int = 0
    recorded: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: int = 0
    bytes_read: int = 0

    def add(self, outcome: BatchResult, bytes_read: int) -> None:
        """Add the outcome of a batch, when this much of the file was read."""
        self.rows += outcome.recorded + outcome.duplicates + outcome.conflicts + outcome.rejected
        self.recorded += outcome.recorded
        self.duplicates += outcome.duplicates
        self.conflicts += outcome.conflicts
        self.rejected += outcome.rejected
        self.bytes_read = bytes_read


class CheckedFile:
    """An open file that was read to its end without errors and has not changed since."""

    def __init__(self, name: str, raw: io.BufferedReader, layout: Layout = USAGE) -> None:
        """Read the file to its end. Raises Invalid if it can't be imported as a whole."""
        self.name, self.raw = name, raw
        self._version = self._read_version()
        self.size_bytes = self._version[0]
        self.columns = check_integrity(raw, layout).columns
        self.require_unchanged()
        raw.seek(0)

    def require_unchanged(self) -> None:
        """Raise Invalid if the file has changed since it was opened."""
        if self._read_version() != self._version:
            raise Invalid("file", "changed_while_reading")

    def _read_version(self) -> tuple[int, int]:
        status = os.fstat(self.raw.fileno())
        return status.st_size, status.st_mtime_ns


@contextmanager
def open_checked_file(path: Path, layout: Layout = USAGE) -> Iterator[CheckedFile]:
    """Open a usage file that can be imported as a whole. Raises Invalid (`file`, `header`)."""
    try:
        raw = path.open("rb")
    except OSError as error:
        raise Invalid("file", "unreadable_file", reason=error.strerror) from error
    with raw:
        if raw.seekable():
            yield CheckedFile(path.name, raw, layout)
            return
        # A pipe can be read only once.
        with TemporaryFile() as copy:
            shutil.copyfileobj(raw, copy)
            copy.seek(0)
            yield CheckedFile(path.name, cast(io.BufferedReader, copy), layout)


def import_usage(
    database: Database,
    actor: Actor,
    file: CheckedFile,
    *,
    on_rejected: Callable[[RejectedRow], None] = lambda row: None,
    on_progress: Callable[[ImportSummary], None] = lambda summary: None,
) -> ImportSummary:
    """Record the events of a file, each once however often the file is imported.

    Each batch is recorded in two transactions at the same time. After an interruption, import the file
    again: rows that are already recorded are duplicates. The transaction that records the first event
    also writes the only audit entry.
    """
    require(actor, Permission.RECORD_USAGE)
    summary = ImportSummary()
    with closing(_record_batches(database, actor, file)) as recorded:
        for batch, outcome, bytes_read in recorded:
            for row in batch.rejected_rows(outcome):
                on_rejected(row)
            summary.add(outcome, bytes_read)
            on_progress(summary)
    return summary


def _record_batches(
    database: Database, actor: Actor, file: CheckedFile
) -> Generator[tuple[Batch[UsageReport], BatchResult, int], None, None]:
    """Record each batch and yield its outcome, and how much of the file was read by then.

    Two connections record a batch, because the database takes most of the time. While they do, the next
    batch is read, but none of it is recorded before the outcome of this one was taken.
    """
    has_audit_entry = False
    with closing(read_batches(file.raw)) as batches, ThreadPoolExecutor(_PARTS + 1) as threads:
        upcoming = threads.submit(_read_next, batches, file)
        while read := upcoming.result():
            batch, bytes_read = read
            file.require_unchanged()
            # The transaction that records the first event writes the audit entry, so it is alone.
            parts = _split(batch.reports) if has_audit_entry else [list(range(len(batch.reports)))]
            file_name = "" if has_audit_entry else file.name
            recordings = [
                threads.submit(
                    database.call, actor, _record, [batch.reports[index] for index in part], file_name
                )
                for part in parts
            ]
            upcoming = threads.submit(_read_next, batches, file)
            outcome = _merge(parts, [recording.result() for recording in recordings])
            has_audit_entry = has_audit_entry or outcome.recorded > 0
            yield batch, outcome, bytes_read


def _read_next(
    batches: Iterator[Batch[UsageReport]], file: CheckedFile
) -> tuple[Batch[UsageReport], int] | None:
    batch = next(batches, None)
    return (batch, file.raw.tell()) if batch else None


def _split(reports: Sequence[UsageReport | UnreadableReport]) -> list[list[int]]:
    """Divide the positions of a batch. Rows with the same key stay together: the first of them counts."""
    parts: list[list[int]] = [[] for _ in range(_PARTS)]
    for index, report in enumerate(reports):
        parts[hash(report[1]) % _PARTS].append(index)
    return parts


def _merge(parts: Sequence[Sequence[int]], outcomes: Sequence[BatchResult]) -> BatchResult:
    """Return the outcome of a batch from those of its parts."""
    results = [
        replace(result, index=part[result.index])
        for part, outcome in zip(parts, outcomes, strict=True)
        for result in outcome.results
    ]
    return BatchResult(
        recorded=sum(outcome.recorded for outcome in outcomes),
        duplicates=sum(outcome.duplicates for outcome in outcomes),
        conflicts=sum(outcome.conflicts for outcome in outcomes),
        rejected=sum(outcome.rejected for outcome in outcomes),
        results=tuple(sorted(results, key=attrgetter("index"))),
    )


def _record(
    session: Session, actor: Actor, reports: Sequence[UsageReport | UnreadableReport], file_name: str
) -> BatchResult:
    """Record a batch or a part of it. Write the file's audit entry if `file_name` is given and anything was recorded."""
    outcome = record_usage_file_batch(session, actor, reports)
    if file_name and outcome.recorded:
        audit.record(session, actor, "usage.file_imported", "usage", file_name=file_name)
    return outcome
