"""Who is searched for is found by an index of the parts of names, rather than by reading all customers.

Revision ID: 2026_11_22_search
Revises: 2026_11_22_given_up

The extension comes with PostgreSQL, and whoever owns the database may install it. It stays there
when going back: it may be somebody else's.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_22_search"
down_revision = "2026_11_22_given_up"
branch_labels = None
depends_on = None

INDEX = "ix_customer_search"
SEARCHED = ("name", "email", "key")


def upgrade() -> None:
    _install()
    op.create_index(
        INDEX,
        "customer",
        [sa.literal_column(f"lower({column}) gin_trgm_ops") for column in SEARCHED],
        postgresql_using="gin",
    )


def downgrade() -> None:
    op.drop_index(INDEX, "customer")


def _install() -> None:
    if _holds("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm')"):
        return
    if not _holds("SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm')"):
        raise RuntimeError(
            "the database server lacks the extension pg_trgm: install PostgreSQL's contrib package"
        )
    if not _holds("SELECT has_database_privilege(current_database(), 'CREATE')"):
        raise RuntimeError(
            "the role of the tables' owner may not install the extension pg_trgm: grant it CREATE on the"
            " database, or have an administrator install it"
        )
    op.execute("CREATE EXTENSION pg_trgm")


def _holds(question: str) -> bool:
    return bool(op.get_bind().execute(sa.text(question)).scalar_one())
