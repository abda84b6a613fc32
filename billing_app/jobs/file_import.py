"""Import usage from a CSV file on this machine: check the whole file, then record it in batches."""

from __future__ import annotations

import io
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple, cast

from sqlmodel import Session

from billing_app.database.session import Database
from billing_app.domain.actor import Actor, Permission
from billing_app.errors import Invalid
from billing_app.jobs.usage_csv import Batch, read_batches
from billing_app.jobs.usage_files import check_integrity
from billing_app.services.shared import audit
from billing_app.services.shared.permissions import require
from billing_app.services.usage.recording import (
    BatchResult,
    UnreadableReport,
    UsageReport,
    record_usage_file_batch,
)
from billing_app.services.usage_imports.rows import RejectedRow

_BATCHES_AT_A_TIME = 2


@dataclass(slots=True)
class ImportSummary:
    """The counts so far. `rows` is the sum of the others."""

    rows: int = 0
    recorded: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: int = 0
    bytes_read: int = 0


class CheckedFile:
    """An open file that was read to its end without errors and has not changed since."""

    def __init__(self, name: str, raw: io.BufferedReader) -> None:
        """Read the file to its end. Raises Invalid if it can't be imported as a whole."""
        self.name, self.raw = name, raw
        self._version = self._read_version()
        self.size_bytes = self._version[0]
        check_integrity(raw)
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
def open_checked_file(path: Path) -> Iterator[CheckedFile]:
    """Open a usage file that can be imported as a whole. Raises Invalid (`file`, `header`)."""
    try:
        raw = path.open("rb")
    except OSError as error:
        raise Invalid("file", "unreadable_file", reason=error.strerror) from error
    with raw:
        if raw.seekable():
            yield CheckedFile(path.name, raw)
            return
        # A pipe can be read only once.
        with TemporaryFile() as copy:
            shutil.copyfileobj(raw, copy)
            copy.seek(0)
            yield CheckedFile(path.name, cast(io.BufferedReader, copy))


def import_usage(
    database: Database,
    actor: Actor,
    file: CheckedFile,
    *,
    on_rejected: Callable[[RejectedRow], None] = lambda row: None,
    on_progress: Callable[[ImportSummary], None] = lambda summary: None,
) -> ImportSummary:
    """Record the events of a file, each once however often the file is imported.

    Each batch is one transaction, and two batches are recorded at a time. After an interruption, import
    the file again: rows that are already recorded are duplicates. The transaction that records the first
    event also writes the only audit entry.
    """
    require(actor, Permission.RECORD_USAGE)
    summary = ImportSummary()
    for batch, outcome, bytes_read in _record_batches(database, actor, file):
        summary.rows += len(batch.reports)
        summary.recorded += outcome.recorded
        summary.duplicates += outcome.duplicates
        summary.conflicts += outcome.conflicts
        summary.rejected += outcome.rejected
        for row in batch.rejected_rows(outcome):
            on_rejected(row)
        summary.bytes_read = bytes_read
        on_progress(summary)
    return summary


class _Recording(NamedTuple):
    """A batch that is being recorded, and how much of the file was read by then."""

    batch: Batch
    keys: set[object]
    outcome: Future[BatchResult]
    bytes_read: int


def _record_batches(
    database: Database, actor: Actor, file: CheckedFile
) -> Iterator[tuple[Batch, BatchResult, int]]:
    """Record two batches at a time, and yield their outcomes in the order of the file.

    Batches with a key in common wait for each other, because the first row with a key is the one that
    is recorded. Until something is recorded, every batch waits: that transaction writes the audit entry.
    """
    under_way: deque[_Recording] = deque()
    is_audited = False
    with ThreadPoolExecutor(_BATCHES_AT_A_TIME, "usage-import") as threads:
        for batch in read_batches(file.raw):
            file.require_unchanged()
            keys: set[object] = {report[1] for report in batch.reports}
            while under_way and (
                not is_audited
                or len(under_way) == _BATCHES_AT_A_TIME
                or not all(keys.isdisjoint(recording.keys) for recording in under_way)
            ):
                first = under_way.popleft()
                outcome = first.outcome.result()
                is_audited = is_audited or outcome.recorded > 0
                yield first.batch, outcome, first.bytes_read
            recorded = threads.submit(
                database.call, actor, _record, batch.reports, "" if is_audited else file.name
            )
            under_way.append(_Recording(batch, keys, recorded, file.raw.tell()))
        for recording in under_way:
            yield recording.batch, recording.outcome.result(), recording.bytes_read


def _record(
    session: Session, actor: Actor, reports: Sequence[UsageReport | UnreadableReport], file_name: str
) -> BatchResult:
    """Record a batch. Write the file's audit entry if `file_name` is given and anything was recorded."""
    outcome = record_usage_file_batch(session, actor, reports)
    if file_name and outcome.recorded:
        audit.record(session, actor, "usage.file_imported", "usage", file_name=file_name)
    return outcome
