"""Receive usage files, and check and import them in the background.

Files are stored in the database in parts. The process that checks or imports one holds an advisory lock,
which is released when the process ends. An interrupted import continues after its last committed chunk; an
interrupted check starts over. Both read the same batches and check them with the same statements.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any, Generic

from sqlmodel import Session

from billing_app.database import locks
from billing_app.database.session import Database, allow_pauses
from billing_app.domain.actor import SYSTEM, Actor, system
from billing_app.domain.money import parse_quantity
from billing_app.domain.periods import parse_timestamp
from billing_app.domain.rules import BrokenRule
from billing_app.errors import Conflict, Invalid
from billing_app.jobs.leadership import try_lock
from billing_app.jobs.retries import giving_up_when_it_keeps_failing
from billing_app.jobs.usage_csv import Batch, Report, read_batches, read_corrections
from billing_app.jobs.worker_process import WorkerProcess, report_progress
from billing_app.services.shared.permissions import require
from billing_app.services.shared.reasons import Reason
from billing_app.services.usage.correction_rows import CorrectionReport
from billing_app.services.usage.corrections import correct_usage_batch, dry_run_correction_batch
from billing_app.services.usage.recording import (
    BatchResult,
    RowResult,
    UnreadableReport,
    UsageReport,
    dry_run_usage_batch,
    record_usage_file_batch,
)
from billing_app.services.usage_imports.files import read_part, store_file
from billing_app.services.usage_imports.imports import get_import
from billing_app.services.usage_imports.progress import (
    cancel_abandoned,
    count_chunk,
    count_failed_attempt,
    end_check,
    find_due,
    finish_import,
    restart_check,
)
from billing_app.services.usage_imports.rows import (
    PERMISSIONS,
    Chunk,
    ImportSuperseded,
    Kind,
    Lane,
    Phase,
    PreviewRow,
    UsageImportRow,
)

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LARGE_FILE_BYTES_MIN = 4 * 1024 * 1024
PREVIEW_ROWS = 20
PREVIEW_CHARS_MAX = 200
# Each upload holds a database connection until it is complete.
CONCURRENT_UPLOADS_MAX = 4

Progress = Callable[[Chunk], None]
_uploads = BoundedSemaphore(CONCURRENT_UPLOADS_MAX)


@dataclass(frozen=True)
class _Rows(Generic[Report]):
    """How the rows of one kind of file are read, checked and recorded."""

    read: Callable[[io.BufferedReader, int], Iterator[Batch[Report]]]
    check: Callable[[Session, Actor, Sequence[Report | UnreadableReport]], BatchResult]
    record: Callable[[Session, Actor, Sequence[Report | UnreadableReport]], BatchResult]


def _rows_of(kind: Kind) -> _Rows[Any]:
    if kind == "corrections":
        return _Rows(read_corrections, dry_run_correction_batch, correct_usage_batch)
    return _Rows(read_batches, dry_run_usage_batch, record_usage_file_batch)


def receive_file(
    database: Database, actor: Actor, file_name: str, pieces: Iterable[bytes], *, kind: Kind = "usage"
) -> UsageImportRow:
    """Store a file while it is being uploaded: all of it, or nothing if `pieces` raises.

    Raises Invalid, and Conflict (`uploads_under_way`) while four other files are being uploaded.
    """
    require(actor, PERMISSIONS[kind])
    if not _uploads.acquire(blocking=False):
        raise Conflict("uploads_under_way", retry_after_seconds=5)
    try:
        # Not `run`, which retries: the pieces can be read only once.
        with database.transaction(actor) as session:
            allow_pauses(session)
            return store_file(session, actor, file_name, pieces, kind=kind)
    finally:
        _uploads.release()


def check_files(
    database: Database, on_progress: Progress = lambda chunk: None, *, lane: Lane | None = None
) -> None:
    """Check the uploaded files, of one lane or of both, that no other process is checking."""
    database.call(SYSTEM, cancel_abandoned)
    _work_through(database, "checking", lane, on_progress)


def import_files(
    database: Database, on_progress: Progress = lambda chunk: None, *, lane: Lane | None = None
) -> None:
    """Import the started files, of one lane or of both, that no other process is importing."""
    _work_through(database, "importing", lane, on_progress)


def _work_through(database: Database, phase: Phase, lane: Lane | None, on_progress: Progress) -> None:
    """Process each file that is due, oldest first.

    A large file gets a process, because reading it would slow down all requests that this one answers.
    """
    for due in database.call(SYSTEM, find_due, phase, lane):
        with giving_up_when_it_keeps_failing(database, due.public_id, count_failed_attempt):
            if due.size_bytes < LARGE_FILE_BYTES_MIN:
                _work_on(database, due, phase, on_progress)
            else:
                with WorkerProcess(database) as process:
                    process.call_with_progress(on_progress, work_in_process, due, phase)


def work_in_process(database: Database, due: UsageImportRow, phase: Phase) -> None:
    """Process one file in a worker process."""
    _work_on(database, due, phase, report_progress)


def _work_on(database: Database, due: UsageImportRow, phase: Phase, on_progress: Progress) -> None:
    """Process one file, unless another process does or it is no longer due."""
    work = _check if phase == "checking" else _import
    worker = system(due.public_id, on_behalf_of=due.uploaded_by)
    with try_lock(database, worker, locks.IMPORT, due.import_id) as is_leader, suppress(ImportSuperseded):
        row = database.call(worker, get_import, due.public_id)
        if not is_leader or row.status != phase:
            return
        try:
            work(database, worker, row, on_progress)
        except Invalid as fault:
            database.call(worker, finish_import, row.import_id, "failed", Reason.of(fault))


def _check(database: Database, worker: Actor, row: UsageImportRow, on_progress: Progress) -> None:
    """Check all rows in one transaction, which is rolled back. Progress is committed in others."""
    database.call(worker, restart_check, row.import_id)
    file, rows = _StoredFile(database, worker, row), _rows_of(row.kind)
    with database.transaction(worker) as session:
        for number, batch in enumerate(rows.read(io.BufferedReader(file), 0)):
            outcome = rows.check(session, worker, batch.reports)
            preview = [] if number else _preview_rows(batch, outcome)
            chunk = _to_chunk(batch, file, outcome, preview)
            database.call(worker, count_chunk, row.import_id, "checking", chunk)
            on_progress(chunk)
    database.call(worker, end_check, row.import_id)


def _import(database: Database, worker: Actor, row: UsageImportRow, on_progress: Progress) -> None:
    """Record and count the remaining rows, each batch in one transaction."""
    file, rows = _StoredFile(database, worker, row), _rows_of(row.kind)

    def record(session: Session, actor: Actor, batch: Batch[Any]) -> Chunk:
        chunk = _to_chunk(batch, file, rows.record(session, actor, batch.reports))
        count_chunk(session, actor, row.import_id, "importing", chunk)
        return chunk

    for batch in rows.read(io.BufferedReader(file), row.through_line):
        on_progress(database.call(worker, record, batch))
    database.call(worker, finish_import, row.import_id, "done")


def _to_chunk(
    batch: Batch[Any], file: _StoredFile, outcome: BatchResult, preview: list[PreviewRow] | None = None
) -> Chunk:
    return Chunk(
        after_line=batch.after_line,
        through_line=batch.through_line,
        bytes_read=file.bytes_read,
        outcome=outcome,
        rejected_rows=batch.rejected_rows(outcome),
        preview=preview or (),
    )


def _preview_rows(batch: Batch[Any], outcome: BatchResult) -> list[PreviewRow]:
    results = {result.index: result for result in outcome.results}
    first_rows = zip(batch.lines[:PREVIEW_ROWS], batch.cells, batch.reports, strict=False)
    return [
        _preview_row(line, cells, report, results.get(index, RowResult(index, "recorded")))
        for index, (line, cells, report) in enumerate(first_rows)
    ]


def _preview_row(line: int, cells: list[str], report: object, result: RowResult) -> PreviewRow:
    quantity, occurred_at = _parse_values(report)
    return PreviewRow(
        line=line,
        row=tuple(_storable_text(cell) for cell in cells[:PREVIEW_ROWS]),
        quantity=quantity,
        occurred_at=occurred_at,
        status=result.status,
        reason=result.reason,
    )


def _parse_values(report: object) -> tuple[Decimal | None, datetime | None]:
    """Return the quantity and the time as recording parses them, or None if they are invalid."""
    quantity, occurred_at = None, None
    if isinstance(report, UsageReport | CorrectionReport):
        with suppress(BrokenRule):
            quantity = parse_quantity(report.quantity)
    if isinstance(report, UsageReport):
        with suppress(BrokenRule):
            occurred_at = parse_timestamp(report.occurred_at) if report.occurred_at else None
    return quantity, occurred_at


def _storable_text(cell: str) -> str:
    """Return the beginning of a cell, without the characters that JSONB and browsers can't store."""
    text = cell[:PREVIEW_CHARS_MAX].replace("\0", "\ufffd")
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class _StoredFile(io.RawIOBase):
    """The contents of an import's file, one part in memory. Raises ImportSuperseded if the file is deleted."""

    def __init__(self, database: Database, actor: Actor, row: UsageImportRow) -> None:
        self._database, self._actor, self._row = database, actor, row
        self._part, self._parts_read = memoryview(b""), 0
        self.bytes_read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        if not self._part and self.bytes_read < self._row.size_bytes:
            content = self._database.call(self._actor, read_part, self._row.import_id, self._parts_read)
            self._part, self._parts_read = memoryview(content), self._parts_read + 1
        size = min(len(view), len(self._part))
        view[:size] = self._part[:size]
        self._part = self._part[size:]
        self.bytes_read += size
        return size
