"""Imports of usage files, their rejected rows, and the file contents until the import has ended."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, Column, ForeignKeyConstraint, Index, Integer
from sqlalchemy import LargeBinary as Bytes
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from billing_app.models.columns import identity_column, moment_column, text_column

# Files are stored and read in parts of this size, so that no process holds a whole file in memory.
PART_BYTES_MAX = 1024 * 1024


def _count_column() -> Column[int]:
    return Column(BigInteger, nullable=False)


class UsageImport(SQLModel, table=True):
    """An import of a file of usage or of corrections, with its status, progress and counts."""

    __tablename__ = "usage_import"
    __table_args__ = (
        CheckConstraint("kind IN ('usage', 'corrections')", name="kind_known"),
        CheckConstraint(
            "status IN ('checking', 'checked', 'importing', 'done', 'cancelled', 'failed')",
            name="status_known",
        ),
        CheckConstraint(
            "(status IN ('done', 'cancelled', 'failed')) = (finished_at IS NOT NULL)",
            name="finished_when_ended",
        ),
        CheckConstraint("(status = 'failed') = (fault IS NOT NULL)", name="fault_when_failed"),
        CheckConstraint(
            "row_count = recorded + duplicates + conflicts + rejected", name="every_row_counted_once"
        ),
        CheckConstraint("bytes_read BETWEEN 0 AND size_bytes", name="progress_within_size"),
        # Finds earlier imports of the same content.
        Index("ix_usage_import_sha256", "sha256", "uploaded_at"),
        Index("ix_usage_import_uploaded_at", "uploaded_at", "import_id"),
    )

    import_id: int | None = Field(default=None, sa_column=identity_column())
    kind: str = Field(default="usage", sa_column=text_column())
    file_name: str = Field(sa_column=text_column())
    size_bytes: int = Field(sa_column=_count_column())
    sha256: str = Field(sa_column=text_column())
    status: str = Field(default="checking", sa_column=text_column())
    # First the counts of the check. The import starts again from zero.
    row_count: int = Field(default=0, sa_column=_count_column())
    recorded: int = Field(default=0, sa_column=_count_column())
    duplicates: int = Field(default=0, sa_column=_count_column())
    conflicts: int = Field(default=0, sa_column=_count_column())
    rejected: int = Field(default=0, sa_column=_count_column())
    bytes_read: int = Field(default=0, sa_column=_count_column())
    # The last line checked or imported so far. Each chunk's transaction advances it.
    through_line: int = Field(default=0, sa_column=_count_column())
    # Failures since the last progress. After too many the import fails.
    attempts: int = Field(default=0, sa_column=Column(Integer, nullable=False))
    preview: list[dict[str, Any]] | None = Field(
        default=None, sa_column=Column(JSONB(none_as_null=True), nullable=True)
    )
    uploaded_by: str = Field(sa_column=text_column())
    uploaded_at: datetime = Field(sa_column=moment_column())
    finished_at: datetime | None = Field(default=None, sa_column=moment_column(nullable=True))
    fault: dict[str, Any] | None = Field(
        default=None, sa_column=Column(JSONB(none_as_null=True), nullable=True)
    )


class UsageImportPart(SQLModel, table=True):
    """A part of a file whose import has not ended. It is stored here so that every server process can read it."""

    __tablename__ = "usage_import_part"
    __table_args__ = (
        ForeignKeyConstraint(["import_id"], ["usage_import.import_id"]),
        CheckConstraint(f"octet_length(content) BETWEEN 1 AND {PART_BYTES_MAX}", name="content_size"),
    )

    import_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    part_number: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    content: bytes = Field(sa_column=Column(Bytes, nullable=False))


class UsageImportRejectedRow(SQLModel, table=True):
    """A row that was not recorded, with the reason. Its cells are stored as bytes, as they may not be UTF-8."""

    __tablename__ = "usage_import_rejected_row"
    __table_args__ = (
        ForeignKeyConstraint(["import_id"], ["usage_import.import_id"]),
        CheckConstraint("status IN ('conflict', 'rejected')", name="status_known"),
    )

    import_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    line: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    cells: list[bytes] = Field(sa_column=Column(ARRAY(Bytes), nullable=False))
    status: str = Field(sa_column=text_column())
    reason: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
