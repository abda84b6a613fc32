"""Run the migrations as the owner, then grant the application's role exactly its privileges.

`billing_app.database.migrations` sets the target in `config.attributes`. The plain `alembic` command
takes it from the settings, and starts the embedded database if they name no other.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, pool, text
from sqlmodel import SQLModel

import billing_app.models  # noqa: F401  (fills the metadata)
from billing_app.database import locks, migrations
from billing_app.database.lock_waits import naming_lock_waits
from billing_app.database.privileges import grant_application_role


def run_migrations(owner_url: str, application_role: str) -> None:
    """Migrate in one transaction, together with the privileges."""
    engine = create_engine(owner_url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=SQLModel.metadata,
            compare_type=True,
            compare_server_default=True,
        )
        # Other sessions queue behind a migration that waits for a lock, so it must not wait long.
        seconds = migrations.LOCK_SECONDS_MAX
        with naming_lock_waits(connection, owner_url, seconds), context.begin_transaction():
            connection.execute(text(f"SET LOCAL lock_timeout = '{seconds}s'"))
            # Of two migrations at once, the second waits and then finds nothing to do.
            connection.execute(
                text("SELECT pg_advisory_xact_lock(:migrating)"), {"migrating": locks.MIGRATING}
            )
            context.run_migrations()
            grant_application_role(connection, application_role)


with migrations.provide_target(context.config) as target:
    run_migrations(target.owner_url, target.application_role)
