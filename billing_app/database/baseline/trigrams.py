"""The `pg_trgm` extension."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


def install_extension() -> None:
    """Install `pg_trgm`, which the customer search index needs.

    PostgreSQL's contrib package includes the extension, and the owner of the database may install
    it.

    Raises:
        RuntimeError: The server lacks the extension, or the connected role may not install it.
    """
    if _fetch_bool("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm')"):
        return
    if not _fetch_bool("SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm')"):
        raise RuntimeError(
            "the database server doesn't have the pg_trgm extension: install PostgreSQL's contrib package"
        )
    if not _fetch_bool("SELECT has_database_privilege(current_database(), 'CREATE')"):
        raise RuntimeError(
            "the role that owns the tables can't install the pg_trgm extension: grant it CREATE on the"
            " database, or ask an administrator to install the extension"
        )
    op.execute("CREATE EXTENSION pg_trgm")


def _fetch_bool(query: str) -> bool:
    return bool(op.get_bind().execute(sa.text(query)).scalar_one())
