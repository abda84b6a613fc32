"""The read model: what is counted in the background, for sorting lists and for the dashboard.

Revision ID: 2026_11_22_figures
Revises: 2026_11_22_usage_log

- A row for each customer, so that a list sorted by figures has everybody in it; those that are
  there begin uncounted (without a month), and the first count, at the server's start, fills them.
- Two indexes to page by. They cost the count, not those who record usage.
- Customers can be listed by their age (`ix_customer_created_at`).
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_22_figures"
down_revision = "2026_11_22_usage_log"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "customer_figures",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("month", sa.Date(), nullable=True),
        sa.Column("usage_quantity", sa.Numeric(38, 6), nullable=False),
        sa.Column("outstanding_minor", sa.Numeric(38, 0), nullable=False),
        sa.Column("overdue_minor", sa.Numeric(38, 0), nullable=False),
        sa.Column("invoiced_minor", sa.Numeric(38, 0), nullable=False),
        sa.CheckConstraint(
            "extract(day FROM month) = 1", name=op.f("ck_customer_figures_month_first_of_month")
        ),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.customer_id"], name=op.f("fk_customer_figures_customer")
        ),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_customer_figures")),
    )
    op.execute("INSERT INTO customer_figures SELECT customer_id, NULL, 0, 0, 0, 0 FROM customer")
    op.create_index("ix_customer_figures_usage", "customer_figures", ["usage_quantity", "customer_id"])
    op.create_index(
        "ix_customer_figures_outstanding", "customer_figures", ["outstanding_minor", "customer_id"]
    )
    op.create_table(
        "dashboard_figures",
        sa.Column("figures_id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("document", postgresql.JSONB(), nullable=False),
        sa.CheckConstraint("figures_id = 1", name=op.f("ck_dashboard_figures_only_one")),
        sa.PrimaryKeyConstraint("figures_id", name=op.f("pk_dashboard_figures")),
    )
    op.create_index("ix_customer_created_at", "customer", ["created_at", "customer_id"])


def downgrade() -> None:
    op.drop_index("ix_customer_created_at", "customer")
    op.drop_table("dashboard_figures")
    op.drop_table("customer_figures")
