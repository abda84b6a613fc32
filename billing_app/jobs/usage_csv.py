"""CSV files of usage, read in batches: a few megabytes are in memory, whatever the file is."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, cast

from billing_app.errors import Invalid
from billing_app.services.usage.recording import BATCH_MAX, BatchResult, UnreadableReport, UsageReport
from billing_app.services.usage_imports.imports import COLUMNS, RefusedRow

# What refused rows are given back with: mended, they can be imported as they are.
IGNORED_COLUMNS = ("line", "code", "detail", "reason")
BATCH_CHARS_MAX = 4_000_000
# Lines of any kind; empty ones make no rows, and still pass in batches.
BATCH_LINES_MAX = 100 * BATCH_MAX
ROW_CHARS_MAX = 1_000_000
_GZIP_MAGIC = b"\x1f\x8b"
_SURROGATE = re.compile("[\udc80-\udcff]")

Report = UsageReport | UnreadableReport


@dataclass(slots=True)
class Batch:
    """The rows of the lines after one up to another: the lines they begin on, their cells (in the
    order of COLUMNS, or as they came when they are too few or too many), and what they report."""

    after_line: int
    through_line: int
    lines: list[int] = field(default_factory=list)
    cells: list[list[str]] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)

    def refused(self, outcome: BatchResult) -> list[RefusedRow]:
        """Those that were not recorded, in the file's order; `outcome` is of `reports`."""
        return [
            RefusedRow(
                self.lines[result.index],
                tuple(self.cells[result.index]),
                result.status,
                result.reason,
            )
            for result in outcome.results
            if result.status in ("conflict", "rejected") and result.reason
        ]


def read_batches(raw: io.BufferedReader, after_line: int = 0) -> Iterator[Batch]:
    """The rows after a line, up to 10,000 at a time; the same batches whenever they are read.

    Plain CSV or gzip, UTF-8, a header with exactly the columns of COLUMNS, and perhaps some of
    IGNORED_COLUMNS, in any order. Raises Invalid (`file`) where the file as a whole can't be read.
    """
    # Held here, since it closes `raw` when it is let go: at the end, and not before the last batch.
    text = _text(raw)
    batch, chars = Batch(after_line, after_line), 0
    for line, last_line, cells, report in _rows(text):
        if last_line <= after_line:
            continue
        batch.through_line = last_line
        if report:
            batch.lines.append(line)
            batch.cells.append(cells)
            batch.reports.append(report)
            chars += sum(map(len, cells))
        lines = last_line - batch.after_line
        if len(batch.reports) == BATCH_MAX or chars >= BATCH_CHARS_MAX or lines >= BATCH_LINES_MAX:
            yield batch
            batch, chars = Batch(last_line, last_line), 0
    if batch.reports:
        yield batch


def _text(raw: io.BufferedReader) -> IO[str]:
    """The text. Bytes that are not UTF-8 come through as surrogates: only their own row is refused."""
    packed = raw.peek(2).startswith(_GZIP_MAGIC)
    data = cast(IO[bytes], gzip.GzipFile(fileobj=raw) if packed else raw)
    return io.TextIOWrapper(data, "utf-8-sig", errors="surrogateescape", newline="")


class _Lines:
    """The lines of a text, for the CSV reader. Raises Invalid where a row has too many characters: a
    line without end must not be held."""

    def __init__(self, text: IO[str]) -> None:
        self._text = text
        self.begin_row()

    def begin_row(self) -> None:
        self._room = ROW_CHARS_MAX

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._text.readline(self._room + 1)
        if not line:
            raise StopIteration
        self._room -= len(line)
        if self._room < 0:
            raise Invalid("file", "row_too_long", at_most=ROW_CHARS_MAX)
        return line


def _rows(text: IO[str]) -> Iterator[tuple[int, int, list[str], Report | None]]:
    """After the header, each row's first and last line, its cells and its report; None for no row."""
    lines = _Lines(text)
    reader = csv.reader(lines)
    width, order = _header(reader)
    while True:
        line = reader.line_num + 1
        lines.begin_row()
        report: Report | None
        try:
            row = next(reader)
        except StopIteration:
            return
        except (OSError, EOFError, zlib.error) as error:
            raise Invalid("file", "damaged", line=line - 1) from error
        except csv.Error as error:
            row, report = [], UnreadableReport("row", "not_csv", {"reason": str(error)})
        else:
            if len(row) == width:
                row = [row[index] for index in order]
                report = _report(row)
            else:
                facts: dict[str, object] = {"expected": width, "found": len(row)}
                report = UnreadableReport("row", "wrong_width", facts) if row else None
        yield line, reader.line_num, row, report


def _header(reader: Iterator[list[str]]) -> tuple[int, list[int]]:
    """How many columns there are, and where those of COLUMNS stand."""
    try:
        header = next(reader, None)
    except (csv.Error, OSError, EOFError, zlib.error):
        header = []
    if header is None:
        raise Invalid("file", "no_header", columns=",".join(COLUMNS))
    if sorted(name for name in header if name not in IGNORED_COLUMNS) != sorted(COLUMNS):
        raise Invalid("file", "wrong_columns", columns=COLUMNS)
    return len(header), [header.index(column) for column in COLUMNS]


def _report(row: list[str]) -> Report:
    for column, value in zip(COLUMNS, row, strict=True):
        if not value.isascii() and _SURROGATE.search(value):
            return UnreadableReport(column, "not_utf8")
    # An empty moment means now, as a missing one does over the API.
    return UsageReport(row[0], row[1], row[2], row[3] or None)
