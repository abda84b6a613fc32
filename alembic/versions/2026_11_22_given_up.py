"""Work in the background that keeps failing is given up, and says why.

Revision ID: 2026_11_22_given_up
Revises: 2026_11_22_usage_imports

- `attempts` counts how often it failed without getting any further, over all server processes.
- An invoice run can be `failed`, and a verification that was given up has no judgement; both have
  their `fault`, as imports had before.

Going back, failed runs are cancelled ones, and verifications without a judgement are gone: the old
tables can't hold them.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_22_given_up"
down_revision = "2026_11_22_usage_imports"
branch_labels = None
depends_on = None

TABLES = ("invoice_run", "verification", "usage_import")
KNOWN = "status IN ('running', 'done', 'cancelled'{failed})"
JUDGED = "(finished_at IS NULL) = (ok IS NULL{given_up})"
REPORTED = "finished_at IS NULL OR report IS NOT NULL{given_up}"


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"))
        op.alter_column(table, "attempts", server_default=None)
    for table in ("invoice_run", "verification"):
        op.add_column(table, sa.Column("fault", sa.Text(), nullable=True))
    _replace_checks(", 'failed'", " AND fault IS NULL", " OR fault IS NOT NULL")
    op.create_check_constraint(
        op.f("ck_invoice_run_fault_when_failed"), "invoice_run", "(status = 'failed') = (fault IS NOT NULL)"
    )
    op.create_check_constraint(
        op.f("ck_verification_fault_when_ended"), "verification", "fault IS NULL OR ok IS NULL"
    )


def downgrade() -> None:
    op.drop_constraint(op.f("ck_invoice_run_fault_when_failed"), "invoice_run")
    op.drop_constraint(op.f("ck_verification_fault_when_ended"), "verification")
    op.execute("UPDATE invoice_run SET status = 'cancelled' WHERE status = 'failed'")
    op.execute("DELETE FROM verification WHERE fault IS NOT NULL")
    _replace_checks("", "", "")
    for table in ("invoice_run", "verification"):
        op.drop_column(table, "fault")
    for table in TABLES:
        op.drop_column(table, "attempts")


def _replace_checks(failed: str, and_not_given_up: str, or_given_up: str) -> None:
    for table, name, rule in (
        ("invoice_run", "status_known", KNOWN.format(failed=failed)),
        ("verification", "judged_when_ended", JUDGED.format(given_up=and_not_given_up)),
        ("verification", "reported_when_ended", REPORTED.format(given_up=or_given_up)),
    ):
        op.drop_constraint(op.f(f"ck_{table}_{name}"), table)
        op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, rule)
