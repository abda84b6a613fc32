"""Files of usage in the background: stored, checked, and imported when somebody has started them.

A file is in the database, in parts; whoever checks or imports one holds a lock of its own, which is
gone with the process. An import that was cut off goes on after its last committed chunk, a check
begins again. Both read the same batches and judge by the same statements.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import BoundedSemaphore
from typing import Any

from sqlmodel import Session

from billing_app.database import locks
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor, Permission, system
from billing_app.errors import Conflict, Invalid
from billing_app.jobs.leadership import only_one
from billing_app.jobs.retries import attempting
from billing_app.jobs.usage_csv import Batch, read_batches
from billing_app.services.shared.permissions import require
from billing_app.services.shared.reasons import Reason
from billing_app.services.usage.recording import BatchResult, dry_run_usage_batch, record_usage_file_batch
from billing_app.services.usage_imports.files import read_part, store_file
from billing_app.services.usage_imports.imports import (
    Chunk,
    Overtaken,
    Phase,
    PreviewRow,
    UsageImportRow,
    begin_check,
    cancel_forgotten,
    count_chunk,
    end_check,
    find_due,
    finish_import,
    get_import,
    note_failed_attempt,
)

PREVIEW_ROWS = 20
PREVIEW_CHARS_MAX = 200
# Each holds a connection, as long as its sender takes.
RECEIVED_AT_ONCE_MAX = 4

Progress = Callable[[Chunk], None]
_receiving = BoundedSemaphore(RECEIVED_AT_ONCE_MAX)


def receive_file(database: Database, actor: Actor, file_name: str, pieces: Iterable[bytes]) -> UsageImportRow:
    """Stores a file as its pieces come: all of it when they end, nothing when they raise.

    Raises Invalid, and Conflict (`uploads_under_way`) while four others come in.
    """
    require(actor, Permission.RECORD_USAGE)
    if not _receiving.acquire(blocking=False):
        refusal = Conflict("uploads_under_way")
        refusal.retry_after_seconds = 5
        raise refusal
    try:
        # Not by `run`: what has come can't come again.
        with database.transaction(actor) as session:
            return store_file(session, actor, file_name, pieces)
    finally:
        _receiving.release()


def go_on_checking(database: Database, on_progress: Progress = lambda chunk: None) -> None:
    """Checks the files that came in and nobody checks."""
    database.call(SYSTEM, cancel_forgotten)
    _go_on(database, "checking", lambda worker, row: _check(database, worker, row, on_progress))


def go_on_importing(database: Database, on_progress: Progress = lambda chunk: None) -> None:
    """Imports the files that were started and nobody imports, each from where it is."""
    _go_on(database, "importing", lambda worker, row: _import(database, worker, row, on_progress))


def _go_on(database: Database, phase: Phase, work: Callable[[Actor, UsageImportRow], None]) -> None:
    """The oldest first; what another process is at, it passes over."""
    for due in database.call(SYSTEM, find_due, phase):
        with attempting(database, due.public_id, note_failed_attempt):
            _go_on_with(database, due, phase, work)


def _go_on_with(
    database: Database, due: UsageImportRow, phase: Phase, work: Callable[[Actor, UsageImportRow], None]
) -> None:
    worker = system(due.public_id, on_behalf_of=due.started_by)
    with only_one(database, worker, locks.IMPORT, due.import_id) as alone, suppress(Overtaken):
        row = database.call(worker, get_import, due.public_id)
        if not alone or row.status != phase:
            return
        try:
            work(worker, row)
        except Invalid as fault:
            database.call(worker, finish_import, row.import_id, "failed", Reason.of(fault))


def _check(database: Database, worker: Actor, row: UsageImportRow, on_progress: Progress) -> None:
    """Judges every row in one transaction, which keeps none of it; progress is written beside it."""
    database.call(worker, begin_check, row.import_id)
    file = _File(database, worker, row)
    with database.transaction(worker) as session:
        for number, batch in enumerate(read_batches(io.BufferedReader(file))):
            outcome = dry_run_usage_batch(session, worker, batch.reports)
            preview = [] if number else _preview(batch, outcome)
            chunk = _chunk(batch, file, outcome, preview)
            database.call(worker, count_chunk, row.import_id, "checking", chunk)
            on_progress(chunk)
    database.call(worker, end_check, row.import_id)


def _import(database: Database, worker: Actor, row: UsageImportRow, on_progress: Progress) -> None:
    """Records and counts the rows after those that are counted, a batch of them in one transaction."""
    file = _File(database, worker, row)

    def record(session: Session, actor: Actor, batch: Batch) -> Chunk:
        chunk = _chunk(batch, file, record_usage_file_batch(session, actor, batch.reports))
        count_chunk(session, actor, row.import_id, "importing", chunk)
        return chunk

    for batch in read_batches(io.BufferedReader(file), row.through_line):
        on_progress(database.call(worker, record, batch))
    database.call(worker, finish_import, row.import_id, "done")


def _chunk(batch: Batch, file: _File, outcome: BatchResult, preview: list[PreviewRow] | None = None) -> Chunk:
    return Chunk(
        batch.after_line, batch.through_line, file.bytes_read, outcome, batch.refused(outcome), preview or ()
    )


def _preview(batch: Batch, outcome: BatchResult) -> list[PreviewRow]:
    results = {result.index: result for result in outcome.results}
    shown = []
    for index, (line, cells) in enumerate(zip(batch.lines[:PREVIEW_ROWS], batch.cells, strict=False)):
        result = results.get(index)
        shown.append(
            PreviewRow(
                line,
                tuple(_shown(cell) for cell in cells[:PREVIEW_ROWS]),
                result.status if result else "recorded",
                result.reason if result else None,
            )
        )
    return shown


def _shown(cell: str) -> str:
    """The beginning of a cell as text that any place can hold."""
    text = cell[:PREVIEW_CHARS_MAX].replace("\0", "\ufffd")
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class _File(io.RawIOBase):
    """The bytes of an import's file, of which a part is in memory. Raises Overtaken when it is gone."""

    def __init__(self, database: Database, actor: Actor, row: UsageImportRow) -> None:
        self._database, self._actor, self._row = database, actor, row
        self._part, self._parts_read = memoryview(b""), 0
        self.bytes_read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._part and self.bytes_read < self._row.size_bytes:
            content = self._database.call(self._actor, read_part, self._row.import_id, self._parts_read)
            self._part, self._parts_read = memoryview(content), self._parts_read + 1
        size = min(len(buffer), len(self._part))
        buffer[:size] = self._part[:size]
        self._part = self._part[size:]
        self.bytes_read += size
        return size
