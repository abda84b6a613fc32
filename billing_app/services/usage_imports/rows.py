"""What an import is made of: the file's record, its preview, its rejected rows, and chunks of progress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from billing_app.services.shared.ids import public_id
from billing_app.services.shared.reasons import Reason
from billing_app.services.usage.recording import BatchResult

COLUMNS = ("customer", "idempotency_key", "quantity", "occurred_at")
# Of one file; further ones are only counted.
REJECTED_ROWS_KEPT_MAX = 100_000
# A larger file is checked and imported apart from smaller ones, so that it does not hold them up.
SMALL_FILE_BYTES_MAX = 1024 * 1024

Status = Literal["checking", "checked", "importing", "done", "cancelled", "failed"]
Phase = Literal["checking", "importing"]
Lane = Literal["small", "large"]


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that was not recorded: a conflict, or rejected.

    `line` is its line number; the header is line 1. `row` holds its cells, with bytes that are not
    UTF-8 as surrogates: in the order of COLUMNS, or as many as it has, or its whole text as one
    cell when its quoting is wrong. It is empty when the row is too long to keep.
    """

    line: int
    row: tuple[str, ...]
    status: Literal["conflict", "rejected"]
    reason: Reason


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """One of a file's first rows with its expected outcome, and the reason unless it is recorded.

    `quantity` and `occurred_at` are what was read from its cells; None where they can't be read or
    where an empty time means the time of the import.
    """

    line: int
    row: tuple[str, ...]
    quantity: Decimal | None
    occurred_at: datetime | None
    status: Literal["recorded", "duplicate", "conflict", "rejected"]
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """The outcome of the lines after `after_line` up to `through_line`, expected or actual."""

    after_line: int
    through_line: int
    bytes_read: int
    outcome: BatchResult
    rejected_rows: Sequence[RejectedRow]
    preview: Sequence[PreviewRow] = ()


@dataclass(frozen=True, slots=True)
class ImportReference:
    """Another import that a page or an answer points to."""

    import_id: int
    file_name: str
    finished_at: datetime | None

    @property
    def public_id(self) -> str:
        """The ID as callers see it: `imp_7`."""
        return public_id("imp", self.import_id)


@dataclass(frozen=True, slots=True)
class UsageImportRow:
    """An import with its progress: `bytes_read` of `size_bytes`.

    The counts are those of the check until the import is started, then those of the import. `rows`
    is the sum of the others. `same_as` is the latest finished import of the same content.
    `waits_for` is an import that the server works on before this one.
    """

    import_id: int
    file_name: str
    size_bytes: int
    sha256: str
    status: Status
    rows: int
    recorded: int
    duplicates: int
    conflicts: int
    rejected: int
    bytes_read: int
    through_line: int
    preview: tuple[PreviewRow, ...]
    uploaded_by: str
    uploaded_at: datetime
    finished_at: datetime | None
    fault: Reason | None
    same_as: ImportReference | None
    waits_for: ImportReference | None

    @property
    def public_id(self) -> str:
        """The ID as callers see it: `imp_7`."""
        return public_id("imp", self.import_id)

    @property
    def rejected_rows_kept(self) -> int:
        """The number of conflicts and rejected rows that can be read, from the first on."""
        return min(self.conflicts + self.rejected, REJECTED_ROWS_KEPT_MAX)


class Overtaken(Exception):
    """The import was cancelled, or another process continued it. The work at hand is obsolete."""
