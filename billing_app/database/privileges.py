"""What the application's role may do: the first lock of append-only, declared in one place.

Applied after every migration. A table that is missing here can't be used by the application, and
a test says so.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from billing_app.database.errors import DatabaseUnusable

_READ_AND_ADD = ("SELECT", "INSERT")
_READ_ADD_CHANGE = ("SELECT", "INSERT", "UPDATE")

APPEND_ONLY = ("usage_event", "invoice", "invoice_line", "payment", "payment_reversal", "audit_entry")

PRIVILEGES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(APPEND_ONLY, _READ_AND_ADD),
    "alembic_version": ("SELECT",),
    "api_token": _READ_ADD_CHANGE,
    # A customer's key and currency stay what they were.
    "customer": (
        *_READ_AND_ADD,
        "UPDATE (name)",
        "UPDATE (email)",
        "UPDATE (email_key)",
        "UPDATE (billing_address)",
        "UPDATE (version)",
    ),
    "customer_billing": _READ_ADD_CHANGE,
    "customer_figures": _READ_ADD_CHANGE,
    "dashboard_figures": _READ_ADD_CHANGE,
    "getting_started_dismissal": _READ_AND_ADD,
    # Expired answers are locked, which needs UPDATE, and deleted.
    "idempotent_request": (*_READ_AND_ADD, "UPDATE", "DELETE"),
    "invoice_run": _READ_ADD_CHANGE,
    "invoice_run_failure": _READ_AND_ADD,
    # Kept by triggers on what is append-only, which act as who inserts.
    "open_invoice": ("SELECT", "INSERT", "DELETE"),
    "issuer": ("SELECT", "UPDATE"),
    "known_place": (*_READ_ADD_CHANGE, "DELETE"),
    "plan": (*_READ_AND_ADD, "UPDATE (archived_at)"),
    # Counts of failed sign-ins: a right password clears them, and old ones are forgotten.
    "sign_in_attempt": (*_READ_ADD_CHANGE, "DELETE"),
    # Setting a plan from a month on replaces the rows from that month on.
    "subscription": ("SELECT", "INSERT", "DELETE"),
    "suspension": (*_READ_AND_ADD, "UPDATE (ended_at)"),
    "usage_import": _READ_ADD_CHANGE,
    # A file's bytes go when its import has ended; the rejected rows of its check when it is started.
    "usage_import_part": (*_READ_AND_ADD, "DELETE"),
    "usage_import_rejected_row": (*_READ_AND_ADD, "DELETE"),
    "user_account": _READ_ADD_CHANGE,
    "user_session": _READ_ADD_CHANGE,
    # Who started one, and when, stays.
    "verification": (
        *_READ_AND_ADD,
        "UPDATE (finished_at)",
        "UPDATE (ok)",
        "UPDATE (report)",
        "UPDATE (attempts)",
        "UPDATE (fault)",
    ),
}


def grant_application_role(connection: Connection, role: str) -> None:
    """Gives the role exactly `PRIVILEGES` and nothing else; the owner must be connected."""
    quoted = connection.dialect.identifier_preparer.quote(role)
    present = set(connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")))
    # Databases that began before PostgreSQL 15 let everybody make tables here.
    connection.execute(text(f"REVOKE CREATE ON SCHEMA public FROM PUBLIC, {quoted}"))
    connection.execute(text(f"GRANT USAGE ON SCHEMA public TO {quoted}"))
    for table in sorted(present & PRIVILEGES.keys()):
        connection.execute(text(f"REVOKE ALL ON {table} FROM {quoted}, PUBLIC"))
        granted = ", ".join(_that_can_be_granted(connection, table))
        connection.execute(text(f"GRANT {granted} ON {table} TO {quoted}"))


def _that_can_be_granted(connection: Connection, table: str) -> list[str]:
    """The table's privileges; after going back to an older revision without those on columns to come."""
    columns = set(
        connection.scalars(
            text(
                "SELECT column_name FROM information_schema.columns"
                " WHERE table_schema = 'public' AND table_name = :table"
            ),
            {"table": table},
        )
    )
    later = {
        each
        for each in PRIVILEGES[table]
        if "(" in each and each.partition("(")[2].rstrip(")") not in columns
    }
    return [each for each in PRIVILEGES[table] if each not in later]


_DANGEROUS = text("""
    SELECT c.relname AS table_name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'
    WHERE c.relname = ANY(:tables)
      AND (pg_has_role(current_user, c.relowner, 'MEMBER')
           OR has_table_privilege(c.oid, 'UPDATE') OR has_any_column_privilege(c.oid, 'UPDATE')
           OR has_table_privilege(c.oid, 'DELETE') OR has_table_privilege(c.oid, 'TRUNCATE')
           OR has_table_privilege(c.oid, 'TRIGGER'))
    ORDER BY c.relname
""")


def refuse_unsafe_role(connection: Connection) -> None:
    """Refuse a role that owns an append-only table or has a privilege to change one; a superuser has all.

    Raises:
        DatabaseUnusable: The connected role is such a one.
    """
    tables = list(connection.scalars(_DANGEROUS, {"tables": list(APPEND_ONLY)}))
    if tables:
        role = connection.scalar(text("SELECT current_user"))
        raise DatabaseUnusable(
            f"The role {role!r} of DATABASE_URL could change append-only tables ({', '.join(tables)}). Use a "
            "role that does not own them, and set DATABASE_OWNER_URL to their owner."
        )
