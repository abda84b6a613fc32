"""The trigger of tables whose rows are never changed or deleted, and its function."""

from __future__ import annotations

from billing_app.database.baseline.pieces import PLPGSQL, Subject

_REFUSE_CHANGE = f"""
CREATE FUNCTION refuse_change() RETURNS trigger {PLPGSQL} AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is not allowed', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END
$$
"""


def append_only(table: str) -> str:
    """Return the definition of the trigger that makes a table append-only."""
    return f"""
    CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """


SUBJECT = Subject(functions={"refuse_change()": _REFUSE_CHANGE})
