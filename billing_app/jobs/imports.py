"""Usage from a CSV file: good rows recorded, every other row named with its line and reason."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal, cast

from billing_app.db import Database
from billing_app.domain.actor import Actor, Permission
from billing_app.errors import Invalid
from billing_app.services.access import require
from billing_app.services.usage import BATCH_MAX, BatchResult, UsageReport, record_usage_batch

COLUMNS = ("customer", "idempotency_key", "quantity", "occurred_at")
_GZIP_MAGIC = b"\x1f\x8b"
_SURROGATE = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that was not recorded: the line it begins on (the header is line 1), as it came, why."""

    line: int
    row: tuple[str, ...]
    status: Literal["conflict", "rejected"]
    code: str
    detail: str


@dataclass(slots=True)
class ImportSummary:
    """The counts so far; `rows` is the sum of the others."""

    rows: int = 0
    recorded: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: int = 0
    bytes_read: int = 0


@dataclass(slots=True)
class _Batch:
    """Rows on their way, with the lines they came from."""

    lines: list[int] = field(default_factory=list)
    reports: list[UsageReport] = field(default_factory=list)


def import_usage(
    database: Database,
    actor: Actor,
    path: Path,
    *,
    on_refused: Callable[[RefusedRow], None] = lambda row: None,
    on_progress: Callable[[ImportSummary], None] = lambda summary: None,
) -> ImportSummary:
    """Records the file's events, each once however often it is imported; plain CSV or gzip.

    UTF-8, a header with exactly the columns customer, idempotency_key, quantity, occurred_at in
    any order. One transaction for each 10,000 rows; killed and started again, the rows recorded
    are duplicates. Raises Invalid (`file`) when the file as a whole can't be read.
    """
    require(actor, Permission.RECORD_USAGE)
    summary = ImportSummary()
    with _opened(path) as (stream, raw):
        for batch in _batches(_rows(stream), summary, on_refused):
            if batch.reports:
                _record(database, actor, batch, summary, on_refused)
            summary.bytes_read = raw.tell()
            on_progress(summary)
    return summary


def _record(
    database: Database,
    actor: Actor,
    batch: _Batch,
    summary: ImportSummary,
    on_refused: Callable[[RefusedRow], None],
) -> None:
    outcome: BatchResult = database.run(
        actor, lambda session: record_usage_batch(session, actor, batch.reports)
    )
    summary.recorded += outcome.recorded
    summary.duplicates += outcome.duplicates
    summary.conflicts += outcome.conflicts
    summary.rejected += outcome.rejected
    for result in outcome.results:
        if result.status in ("conflict", "rejected"):
            on_refused(
                RefusedRow(
                    batch.lines[result.index],
                    tuple(str(value or "") for value in batch.reports[result.index]),
                    result.status,
                    result.code or "",
                    result.detail or "",
                )
            )


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[str], IO[bytes]]]:
    """The file as text, and as the raw bytes by whose position progress is told.

    Bytes that are not UTF-8 come through as surrogates, so that only their own row is refused.
    """
    try:
        raw = path.open("rb")
    except OSError as error:
        raise Invalid("file", f"can't be read: {error.strerror}") from error
    with raw:
        packed = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        data = cast(IO[bytes], gzip.GzipFile(fileobj=raw) if packed else raw)
        with io.TextIOWrapper(data, "utf-8-sig", errors="surrogateescape", newline="") as text:
            yield text, raw


def _rows(stream: IO[str]) -> Iterator[tuple[int, list[str] | str]]:
    """Each row after the header with the line it begins on; text instead of a row is its fault."""
    reader = csv.reader(stream)
    try:
        header = next(reader, None)
    except (csv.Error, OSError, EOFError, zlib.error):
        header = []
    if header is None:
        raise Invalid("file", f"is empty: it must begin with the header {','.join(COLUMNS)}")
    if sorted(header) != sorted(COLUMNS):
        raise Invalid("file", f"must have exactly the columns {','.join(COLUMNS)}")
    order = [header.index(column) for column in COLUMNS]
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except (OSError, EOFError, zlib.error) as error:
            raise Invalid("file", f"can't be read beyond line {line - 1}: it is damaged") from error
        except csv.Error as error:
            yield line, f"row: can't be read as CSV: {error}"
            continue
        if len(row) == len(COLUMNS):
            yield line, [row[index] for index in order]
        elif row:
            yield line, f"row: must have {len(COLUMNS)} columns, has {len(row)}"


def _batches(
    rows: Iterator[tuple[int, list[str] | str]],
    summary: ImportSummary,
    on_refused: Callable[[RefusedRow], None],
) -> Iterator[_Batch]:
    """The readable rows in batches; the others are counted and told at once."""
    batch = _Batch()
    for line, row in rows:
        summary.rows += 1
        fault = row if isinstance(row, str) else _fault(row)
        if fault:
            summary.rejected += 1
            given = () if isinstance(row, str) else tuple(row)
            on_refused(RefusedRow(line, given, "rejected", "invalid", fault))
            continue
        assert isinstance(row, list)
        batch.lines.append(line)
        # An empty moment means now, as a missing one does over the API.
        batch.reports.append(UsageReport(row[0], row[1], row[2], row[3] or None))
        if len(batch.reports) == BATCH_MAX:
            yield batch
            batch = _Batch()
    yield batch


def _fault(row: list[str]) -> str | None:
    for column, value in zip(COLUMNS, row, strict=True):
        if _SURROGATE.search(value):
            return f"{column}: must be UTF-8"
    return None
