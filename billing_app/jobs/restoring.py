"""Restoring a backup into an empty database: all of it in one transaction, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC

from sqlalchemy import Connection, Engine, create_engine, func, make_url, select, text
from sqlalchemy.pool import NullPool
from sqlmodel import Session

from billing_app.database import locks
from billing_app.database.backup.archive import Archive
from billing_app.database.backup.errors import BackupUnusable
from billing_app.database.backup.loading import load, refuse_occupied_database
from billing_app.database.migrations import newest_revision
from billing_app.database.privileges import grant_application_role
from billing_app.database.provision import Urls
from billing_app.database.requirements import refuse_unsuitable_database
from billing_app.database.session import utc_now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.invoice import NumberGap
from billing_app.services.invoices.number_gaps import reserve_issued_numbers
from billing_app.services.shared import audit
from billing_app.services.shared.permissions import require

_SESSION_OPTIONS = (
    "-c timezone=UTC -c search_path=public,pg_temp -c idle_in_transaction_session_timeout=0"
    " -c statement_timeout=0 -c transaction_timeout=0 -c application_name=tallybook-restore"
)
_OWNER_ACTS_AS = text("""
    SELECT pg_has_role(rolname, current_user, 'MEMBER') FROM pg_roles WHERE rolname = :role
""")


def restore(
    urls: Urls, archive: Archive, actor: Actor, issued: Mapping[str, int] | None = None
) -> list[NumberGap]:
    """Load a backup into an empty database as its owner, and give the application's role its privileges.

    `issued` has the last invoice number by customer that was used before the restore. Returns the gaps
    between those and the numbers in the backup, which are never used again.

    Raises:
        BackupUnusable: The backup or the database is unsuitable. The database is unchanged.
        NotFound: `customer_not_found`. The database is unchanged.
        DatabaseUnusable: As above, if the database's encoding or locale is unsuitable.
    """
    require(actor, Permission.ADMINISTER)
    refuse_other_schema(archive)
    engine = create_engine(urls.owner, poolclass=NullPool, connect_args={"options": _SESSION_OPTIONS})
    with engine.begin() as connection:
        _refuse_unsuitable_target(connection, make_url(urls.application).username or "")
        load(connection, archive)
        with Session(connection) as session:
            session.info["now"] = utc_now()
            moment = f"{archive.manifest.taken_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
            audit.record(session, actor, "database.restored", "database", backup_of=moment)
            gaps = [
                reserve_issued_numbers(
                    session, actor, customer, last_issued=last, backup_of=archive.manifest.taken_at
                )
                for customer, last in (issued or {}).items()
            ]
            session.flush()
        grant_application_role(connection, make_url(urls.application).username or "")
    _analyze(engine)
    return [gap for gap in gaps if gap]


def refuse_other_schema(archive: Archive) -> None:
    """Refuse a backup of another schema than this version's.

    Raises:
        BackupUnusable: It is older or newer.
    """
    manifest, ours = archive.manifest, newest_revision()
    if manifest.schema == ours:
        return
    raise BackupUnusable(
        f"The backup was created by Tallybook {manifest.tallybook} with the schema {manifest.schema}, and this "
        f"version has the schema {ours}. Nothing was changed. Restore it with the version that created it, "
        "then upgrade."
    )


def _refuse_unsuitable_target(connection: Connection, role: str) -> None:
    """Refuse a database that has tables, or whose application's role is missing or is the owner."""
    # A migration that starts now waits until this transaction has ended, and then finds a schema.
    if not connection.scalar(select(func.pg_try_advisory_xact_lock(locks.MIGRATING))):
        raise BackupUnusable(
            "Another restore or a migration is running on this database. Nothing was changed."
        )
    refuse_unsuitable_database(connection)
    refuse_occupied_database(connection)
    is_owner = connection.scalar(_OWNER_ACTS_AS, {"role": role})
    if is_owner is None:
        raise BackupUnusable(f"The role {role!r} of DATABASE_URL does not exist. Create it and try again.")
    if is_owner:
        raise BackupUnusable(
            f"The role {role!r} of DATABASE_URL would own the tables, and could change recorded usage and "
            "invoices. Set DATABASE_URL to another role."
        )


def _analyze(engine: Engine) -> None:
    """Collect statistics, without which the first queries would choose slow plans."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM (ANALYZE)"))
