"""A verification is a row from its start on, so that it survives the process that executes it.

Revision ID: 2026_11_22_verifications
Revises: 2026_11_22_sign_in_attempts

- What is known at the end only may be empty until then; `report` holds what is counted so far.
- At most one is under way (a partial unique index): whoever starts another gets that one.

Those that are there have ended. Going back takes the one that is under way with it: the old table
can't hold it.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_22_verifications"
down_revision = "2026_11_22_sign_in_attempts"
branch_labels = None
depends_on = None

CHECKS = {
    "judged_when_ended": "(finished_at IS NULL) = (ok IS NULL)",
    "reported_when_ended": "finished_at IS NULL OR report IS NOT NULL",
}
OF_THE_END = ("finished_at", "ok", "report")


def upgrade() -> None:
    for column in OF_THE_END:
        op.alter_column("verification", column, nullable=True)
    for name, rule in CHECKS.items():
        op.create_check_constraint(op.f(f"ck_verification_{name}"), "verification", rule)
    op.create_index(
        "uq_verification_running",
        "verification",
        [sa.literal_column("(finished_at IS NULL)")],
        unique=True,
        postgresql_where=sa.text("finished_at IS NULL"),
    )


def downgrade() -> None:
    op.execute("DELETE FROM verification WHERE finished_at IS NULL")
    op.drop_index("uq_verification_running", "verification")
    for name in CHECKS:
        op.drop_constraint(op.f(f"ck_verification_{name}"), "verification")
    for column in OF_THE_END:
        op.alter_column("verification", column, nullable=False)
