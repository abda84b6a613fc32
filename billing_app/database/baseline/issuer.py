"""Who issues the invoices."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from billing_app.database.baseline.pieces import Subject


def _create_issuer_table() -> None:
    """Create the issuer and its only row, which is edited and never added or deleted."""
    op.create_table(
        "issuer",
        sa.Column("issuer_id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("payment_instructions", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("issuer_id", name=op.f("pk_issuer")),
        sa.CheckConstraint("issuer_id = 1", name=op.f("ck_issuer_only_one")),
    )
    op.execute(
        "INSERT INTO issuer (issuer_id, name, address, email, payment_instructions, version)"
        " VALUES (1, '', '', '', '', 1)"
    )


SUBJECT = Subject(
    tables=("issuer",),
    steps=(_create_issuer_table,),
)
