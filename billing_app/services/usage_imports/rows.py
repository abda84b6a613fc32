"""The rows of imports: the import with its preview, its rejected rows, and its chunks of progress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from billing_app.domain.actor import Permission
from billing_app.services.shared.ids import public_id
from billing_app.services.shared.reasons import Reason
from billing_app.services.usage.correction_rows import CorrectionReport
from billing_app.services.usage.recording import BatchResult

COLUMNS = ("customer", "idempotency_key", "quantity", "occurred_at")
# A file that names a meter or an item has all of these; a missing one of the last two is empty.
METERED_COLUMNS = (*COLUMNS, "meter", "item")
CORRECTION_COLUMNS = CorrectionReport._fields
# Per file. Further ones are only counted.
REJECTED_ROWS_KEPT_MAX = 100_000
# Larger files have a separate queue, so that they don't delay smaller ones.
SMALL_FILE_BYTES_MAX = 1024 * 1024

Status = Literal["checking", "checked", "importing", "done", "cancelled", "failed"]
Kind = Literal["usage", "corrections"]
Phase = Literal["checking", "importing"]
Lane = Literal["small", "large"]

PERMISSIONS: dict[Kind, Permission] = {
    "usage": Permission.RECORD_USAGE,
    "corrections": Permission.CORRECT_USAGE,
}
"""What an actor needs to import a file of each kind."""


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that was not recorded: a conflict, or rejected.

    `line` is its line number; the header is line 1. `row` has its cells in the order of COLUMNS,
    METERED_COLUMNS or CORRECTION_COLUMNS, with bytes that are not UTF-8 as surrogates. If the number of cells is wrong, it has
    those, but never as many as these; if the cells can't be told apart, the whole text as one cell. It is
    empty if the row is too long to store.
    """

    line: int
    row: tuple[str, ...]
    status: Literal["conflict", "rejected"]
    reason: Reason


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """One of a file's first rows with its expected outcome, and the reason unless it is recorded.

    `quantity` and `occurred_at` are the parsed values of its cells. They are None if a cell can't be parsed,
    or if an empty time means the time of the import. A correction has no time.
    """

    line: int
    row: tuple[str, ...]
    quantity: Decimal | None
    occurred_at: datetime | None
    status: Literal["recorded", "duplicate", "conflict", "rejected"]
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """The expected or actual outcome of the lines after `after_line` up to `through_line`."""

    after_line: int
    through_line: int
    bytes_read: int
    outcome: BatchResult
    rejected_rows: Sequence[RejectedRow]
    preview: Sequence[PreviewRow] = ()


@dataclass(frozen=True, slots=True)
class ImportReference:
    """A reference to another import."""

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

    The counts are those of the check until the import is started, and then those of the import. `rows` is the
    sum of the others. `same_as` is the latest finished import of the same content. `waits_for` is an import
    that is processed before this one.
    """

    import_id: int
    kind: Kind
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


class ImportSuperseded(Exception):
    """The import was cancelled, or another process continued it. The caller must stop working on it."""
