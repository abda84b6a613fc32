"""Files of usage, imported in the background.

Revision ID: 2026_11_22_usage_imports
Revises: 2026_11_22_open_invoices

- The bytes of a file are in the database, in parts of at most 1 MiB, until its import has ended:
  every server process can go on with it, after a restart as well.
- Refused rows are kept as bytes, since what is no UTF-8 is refused and handed back as it came.

Going back takes the imports with it; the events that they recorded stay.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_22_usage_imports"
down_revision = "2026_11_22_open_invoices"
branch_labels = None
depends_on = None

COUNTS = ("row_count", "recorded", "duplicates", "conflicts", "rejected", "bytes_read", "through_line")


def upgrade() -> None:
    op.create_table(
        "usage_import",
        sa.Column("import_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in COUNTS),
        sa.Column("preview", postgresql.JSONB(), nullable=True),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fault", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "status IN ('checking', 'checked', 'importing', 'done', 'cancelled', 'failed')",
            name=op.f("ck_usage_import_status_known"),
        ),
        sa.CheckConstraint(
            "(status IN ('done', 'cancelled', 'failed')) = (finished_at IS NOT NULL)",
            name=op.f("ck_usage_import_finished_when_ended"),
        ),
        sa.CheckConstraint(
            "(status = 'failed') = (fault IS NOT NULL)", name=op.f("ck_usage_import_fault_when_failed")
        ),
        sa.CheckConstraint(
            "row_count = recorded + duplicates + conflicts + rejected",
            name=op.f("ck_usage_import_every_row_counted_once"),
        ),
        sa.CheckConstraint(
            "bytes_read BETWEEN 0 AND size_bytes", name=op.f("ck_usage_import_progress_within_size")
        ),
        sa.PrimaryKeyConstraint("import_id", name=op.f("pk_usage_import")),
    )
    op.create_index("ix_usage_import_sha256", "usage_import", ["sha256", "started_at"])
    op.create_index("ix_usage_import_started_at", "usage_import", ["started_at", "import_id"])
    op.create_table(
        "usage_import_part",
        sa.Column("import_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("part_number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            "octet_length(content) BETWEEN 1 AND 1048576", name=op.f("ck_usage_import_part_content_size")
        ),
        sa.ForeignKeyConstraint(
            ["import_id"], ["usage_import.import_id"], name=op.f("fk_usage_import_part_usage_import")
        ),
        sa.PrimaryKeyConstraint("import_id", "part_number", name=op.f("pk_usage_import_part")),
    )
    # It comes compressed, or is read once: no time is spent on compressing it here.
    op.execute("ALTER TABLE usage_import_part ALTER COLUMN content SET STORAGE EXTERNAL")
    op.create_table(
        "usage_import_refusal",
        sa.Column("import_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("line", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("cells", sa.ARRAY(sa.LargeBinary()), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "status IN ('conflict', 'rejected')", name=op.f("ck_usage_import_refusal_status_known")
        ),
        sa.ForeignKeyConstraint(
            ["import_id"], ["usage_import.import_id"], name=op.f("fk_usage_import_refusal_usage_import")
        ),
        sa.PrimaryKeyConstraint("import_id", "line", name=op.f("pk_usage_import_refusal")),
    )


def downgrade() -> None:
    op.drop_table("usage_import_refusal")
    op.drop_table("usage_import_part")
    op.drop_table("usage_import")
