"""Create the whole schema: the extension, tables, indexes, functions and triggers.

`billing_app/database/baseline` has a file for each subject. `customer_id` is the first column of every key of
a customer-owned table, so those tables can be distributed by customer. The other tables can then be copied to
every node. The privileges of the application's role are not part of this revision:
`billing_app/database/privileges.py` grants them after every migration.

Downgrading drops everything except the `pg_trgm` extension, which other applications in the same
database may be using.

Revision ID: 2026_11_28_baseline
Revises:
"""

from alembic import op

from billing_app.database.baseline import (
    adjustments,
    append_only,
    audit,
    customers,
    figures,
    getting_started,
    idempotency,
    identity,
    invoice_lines,
    invoice_runs,
    invoices,
    issuer,
    meters,
    payments,
    plans,
    refunds,
    simulations,
    subscriptions,
    trigrams,
    usage,
    usage_imports,
    verifications,
)

revision = "2026_11_28_baseline"
down_revision = None
branch_labels = None
depends_on = None

# In an order in which every subject follows those that its tables and triggers refer to.
SUBJECTS = (
    append_only.SUBJECT,
    customers.SUBJECT,
    meters.SUBJECT,
    plans.SUBJECT,
    issuer.SUBJECT,
    subscriptions.SUBJECT,
    usage.SUBJECT,
    invoices.SUBJECT,
    invoice_lines.SUBJECT,
    adjustments.SUBJECT,
    payments.SUBJECT,
    refunds.SUBJECT,
    identity.SUBJECT,
    invoice_runs.SUBJECT,
    verifications.SUBJECT,
    simulations.SUBJECT,
    usage_imports.SUBJECT,
    audit.SUBJECT,
    figures.SUBJECT,
    idempotency.SUBJECT,
    getting_started.SUBJECT,
)


def upgrade() -> None:
    trigrams.install_extension()
    for subject in SUBJECTS:
        subject.create()


def downgrade() -> None:
    # An invoice and its last line refer to each other, so this foreign key must be dropped before the tables.
    op.drop_constraint("fk_invoice_last_line", "invoice", type_="foreignkey")
    for subject in reversed(SUBJECTS):
        subject.drop()
