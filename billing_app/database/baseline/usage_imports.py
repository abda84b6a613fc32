"""Imports of files of usage or of corrections."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from billing_app.database.baseline.pieces import TIMESTAMP, Subject, checks


def _create_usage_import_table() -> None:
    """Create the imports of files of usage or of corrections.

    `attempts` counts the failures since the import last made progress, across all server processes.
    """
    op.create_table(
        "usage_import",
        sa.Column("import_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _USAGE_IMPORT_COUNTS),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("preview", postgresql.JSONB(), nullable=True),
        sa.Column("uploaded_by", sa.Text(), nullable=False),
        sa.Column("uploaded_at", TIMESTAMP, nullable=False),
        sa.Column("finished_at", TIMESTAMP, nullable=True),
        sa.Column("fault", postgresql.JSONB(), nullable=True),
        sa.PrimaryKeyConstraint("import_id", name=op.f("pk_usage_import")),
        *checks(_USAGE_IMPORT_CHECKS),
    )


_USAGE_IMPORT_COUNTS = (
    "row_count",
    "recorded",
    "duplicates",
    "conflicts",
    "rejected",
    "bytes_read",
    "through_line",
)

_USAGE_IMPORT_CHECKS = {
    "ck_usage_import_kind_known": "kind IN ('usage', 'corrections')",
    "ck_usage_import_status_known": (
        "status IN ('checking', 'checked', 'importing', 'done', 'cancelled', 'failed')"
    ),
    "ck_usage_import_finished_when_ended": (
        "(status IN ('done', 'cancelled', 'failed')) = (finished_at IS NOT NULL)"
    ),
    "ck_usage_import_fault_when_failed": "(status = 'failed') = (fault IS NOT NULL)",
    "ck_usage_import_every_row_counted_once": "row_count = recorded + duplicates + conflicts + rejected",
    "ck_usage_import_progress_within_size": "bytes_read BETWEEN 0 AND size_bytes",
}


def _create_usage_import_content_tables() -> None:
    """Create the uploaded content of imports and their rejected rows.

    The file is stored in parts of at most 1 MiB until its import has ended, so that any server
    process can resume the import, including after a restart. Rejected rows are stored as bytes,
    because they may not be valid UTF-8 and are handed back exactly as received.
    """
    op.create_table(
        "usage_import_part",
        sa.Column("import_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("part_number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("import_id", "part_number", name=op.f("pk_usage_import_part")),
        sa.ForeignKeyConstraint(
            ["import_id"], ["usage_import.import_id"], name=op.f("fk_usage_import_part_usage_import")
        ),
        sa.CheckConstraint(
            "octet_length(content) BETWEEN 1 AND 1048576", name=op.f("ck_usage_import_part_content_size")
        ),
    )
    # Compression isn't worth its time: the content is already compressed or is read only once.
    op.execute("ALTER TABLE usage_import_part ALTER COLUMN content SET STORAGE EXTERNAL")
    op.create_table(
        "usage_import_rejected_row",
        sa.Column("import_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("line", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("cells", sa.ARRAY(sa.LargeBinary()), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("import_id", "line", name=op.f("pk_usage_import_rejected_row")),
        sa.ForeignKeyConstraint(
            ["import_id"], ["usage_import.import_id"], name=op.f("fk_usage_import_rejected_row_usage_import")
        ),
        sa.CheckConstraint(
            "status IN ('conflict', 'rejected')", name=op.f("ck_usage_import_rejected_row_status_known")
        ),
    )


def _create_usage_import_indexes() -> None:
    # This finds earlier imports of a file with the same content.
    op.create_index("ix_usage_import_sha256", "usage_import", ["sha256", "uploaded_at"])
    op.create_index("ix_usage_import_uploaded_at", "usage_import", ["uploaded_at", "import_id"])


SUBJECT = Subject(
    tables=("usage_import", "usage_import_part", "usage_import_rejected_row"),
    steps=(_create_usage_import_table, _create_usage_import_content_tables, _create_usage_import_indexes),
)
