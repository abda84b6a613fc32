"""Runs the migrations as the owner, then gives the application's role exactly its privileges.

`config.attributes["owner_url"]` and `["application_role"]` are set by `billing_app.database.migrations`;
the plain `alembic` command takes them from the settings, starting the embedded database if that
is what they say.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, pool, text
from sqlmodel import SQLModel

import billing_app.models  # noqa: F401  (fills the metadata)
from billing_app.database import locks
from billing_app.database.migrations import provide_target
from billing_app.database.privileges import grant_application_role


def run(owner_url: str, application_role: str) -> None:
    engine = create_engine(owner_url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=SQLModel.metadata,
            compare_type=True,
            compare_server_default=True,
        )
        with context.begin_transaction():
            # A migration that can't get its lock soon must not make everyone else wait behind it.
            connection.execute(text("SET LOCAL lock_timeout = '30s'"))
            # Two that migrate at once take turns; the second finds nothing to do.
            connection.execute(
                text("SELECT pg_advisory_xact_lock(:migrating)"), {"migrating": locks.MIGRATING}
            )
            context.run_migrations()
            grant_application_role(connection, application_role)


with provide_target(context.config) as target:
    run(target.owner_url, target.application_role)
