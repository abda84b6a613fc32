"""Which users have closed the guide for a new installation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from billing_app.database.baseline.pieces import TIMESTAMP, Subject


def _create_getting_started_table() -> None:
    """Create the users who have closed the guide for a new installation."""
    op.create_table(
        "getting_started_dismissal",
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("dismissed_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_getting_started_dismissal")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.user_id"], name=op.f("fk_getting_started_dismissal_user_account")
        ),
    )


SUBJECT = Subject(
    tables=("getting_started_dismissal",),
    steps=(_create_getting_started_table,),
)
