"""The privileges of the application's role, which are the first protection of append-only tables.

They are granted after every migration. The application can't use a table that is missing here; a test checks
that none is.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from billing_app.database.errors import DatabaseUnusable

_READ_AND_ADD = ("SELECT", "INSERT")
_READ_ADD_CHANGE = ("SELECT", "INSERT", "UPDATE")

APPEND_ONLY = (
    "plan_charge",
    "plan_tier",
    "usage_event",
    "usage_correction",
    "invoice",
    "invoice_line",
    "number_gap",
    "one_off_item",
    "payment",
    "payment_reversal",
    "refund",
    "refund_reversal",
    "audit_entry",
)

PRIVILEGES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(APPEND_ONLY, _READ_AND_ADD),
    "alembic_version": ("SELECT",),
    "api_token": _READ_ADD_CHANGE,
    # A customer's key and currency never change.
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
    "discount": (*_READ_AND_ADD, "UPDATE (last_period)"),
    "getting_started_dismissal": _READ_AND_ADD,
    # Expired responses are locked, which requires UPDATE, and then deleted.
    "idempotent_request": (*_READ_AND_ADD, "UPDATE", "DELETE"),
    "invoice_run": _READ_ADD_CHANGE,
    "invoice_run_failure": _READ_AND_ADD,
    # Maintained by triggers on append-only tables, which run as the role that inserts.
    "open_invoice": ("SELECT", "INSERT", "DELETE"),
    "issuer": ("SELECT", "UPDATE"),
    "known_place": (*_READ_ADD_CHANGE, "DELETE"),
    # A meter's code and aggregation never change.
    "meter": (
        *_READ_AND_ADD,
        "UPDATE (name)",
        "UPDATE (unit)",
        "UPDATE (takes_other_types)",
        "UPDATE (archived_at)",
        "UPDATE (version)",
    ),
    "plan": (*_READ_AND_ADD, "UPDATE (archived_at)"),
    # Counts of failed sign-ins. The correct password clears them, and old ones are deleted.
    "sign_in_attempt": (*_READ_ADD_CHANGE, "DELETE"),
    # Only the progress of a simulation changes. It is removed with its rows some days after its end.
    "simulated_customer": (*_READ_AND_ADD, "DELETE"),
    "simulation": (
        *_READ_AND_ADD,
        "DELETE",
        "UPDATE (status)",
        "UPDATE (finished_at)",
        "UPDATE (done_through_customer_ids)",
        "UPDATE (simulated)",
        "UPDATE (other_currency)",
        "UPDATE (no_plan)",
        "UPDATE (before_minor)",
        "UPDATE (after_minor)",
        "UPDATE (attempts)",
        "UPDATE (fault)",
    ),
    # Setting a plan from a month on replaces the rows of that month and later ones.
    "subscription": ("SELECT", "INSERT", "DELETE"),
    "suspension": (*_READ_AND_ADD, "UPDATE (ended_at)"),
    "usage_import": _READ_ADD_CHANGE,
    # File contents are deleted when the import has ended, and the check's rejected rows when it starts.
    "usage_import_part": (*_READ_AND_ADD, "DELETE"),
    "usage_import_rejected_row": (*_READ_AND_ADD, "DELETE"),
    "user_account": _READ_ADD_CHANGE,
    "user_session": _READ_ADD_CHANGE,
    # Who started a verification, and when, never changes.
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
    """Grant the role exactly `PRIVILEGES`. The connection must be that of the tables' owner."""
    quoted = connection.dialect.identifier_preparer.quote(role)
    present = set(connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")))
    # A database that was created before PostgreSQL 15 allows every role to create tables here.
    connection.execute(text(f"REVOKE CREATE ON SCHEMA public FROM PUBLIC, {quoted}"))
    connection.execute(text(f"GRANT USAGE ON SCHEMA public TO {quoted}"))
    for table in sorted(present & PRIVILEGES.keys()):
        connection.execute(text(f"REVOKE ALL ON {table} FROM {quoted}, PUBLIC"))
        granted = ", ".join(_grantable_privileges(connection, table))
        connection.execute(text(f"GRANT {granted} ON {table} TO {quoted}"))


def _grantable_privileges(connection: Connection, table: str) -> list[str]:
    """Return the table's privileges, except those on columns that don't exist after a downgrade."""
    columns = set(
        connection.scalars(
            text(
                "SELECT column_name FROM information_schema.columns"
                " WHERE table_schema = 'public' AND table_name = :table"
            ),
            {"table": table},
        )
    )
    return [
        privilege
        for privilege in PRIVILEGES[table]
        if "(" not in privilege or privilege.partition("(")[2].rstrip(")") in columns
    ]


_CHANGEABLE_TABLES = text("""
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
    """Raise an error if the connected role is a superuser, or owns or can change an append-only table.

    Raises:
        DatabaseUnusable: The role has too many privileges.
    """
    tables = list(connection.scalars(_CHANGEABLE_TABLES, {"tables": list(APPEND_ONLY)}))
    if tables:
        role = connection.scalar(text("SELECT current_user"))
        raise DatabaseUnusable(
            f"The role {role!r} of DATABASE_URL could change append-only tables ({', '.join(tables)}). Use a "
            "role that does not own them, and set DATABASE_OWNER_URL to their owner."
        )


_MISSING_PRIVILEGES = text("""
    SELECT privilege || ' on ' || table_name
    FROM unnest(CAST(:tables AS text[]), CAST(:privileges AS text[]), CAST(:columns AS text[]))
         AS required(table_name, privilege, column_name)
    WHERE NOT CASE column_name
                   WHEN '' THEN has_table_privilege('public.' || table_name, privilege)
                   ELSE has_column_privilege('public.' || table_name, column_name, privilege) END
""")


def refuse_missing_privileges(connection: Connection) -> None:
    """Refuse a role that lacks one of `PRIVILEGES`, so that no request fails for it later.

    Raises:
        DatabaseUnusable: The connected role is such a one.
    """
    required = [(table, *_split(each)) for table, privileges in PRIVILEGES.items() for each in privileges]
    tables, privileges, columns = map(list, zip(*required, strict=True))
    values = {"tables": tables, "privileges": privileges, "columns": columns}
    missing = list(connection.scalars(_MISSING_PRIVILEGES, values))
    if missing:
        others = f" and {len(missing) - 1} others" if len(missing) > 1 else ""
        raise DatabaseUnusable(
            f"The role of DATABASE_URL lacks a privilege: {missing[0]}{others}. Run `billing migrate` with "
            "DATABASE_OWNER_URL set to the owner of the tables."
        )


def _split(privilege: str) -> tuple[str, str]:
    """Return `("UPDATE", "name")` for `UPDATE (name)`; the column is empty for the whole table."""
    kind, _, column = privilege.partition(" (")
    return kind, column.rstrip(")")
